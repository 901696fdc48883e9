//! What `worker` and `workers` take.

use super::{ClientArgs, ConfigArgs, pair};
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// An agent of its configuration that it runs; may be repeated
    #[arg(long = "agent", required = true, value_name = "NAME")]
    pub(crate) agents: Vec<String>,
    /// Its name, unique below its principal
    #[arg(long, value_name = "NAME", default_value = "worker")]
    pub(crate) name: String,
    /// Turns that it runs at a time
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub(crate) capacity: i32,
    /// What the gateway's `worker_labels` select by; may be repeated
    #[arg(long = "worker-label", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Leave after one turn
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct WorkersArgs {
    #[command(subcommand)]
    pub(crate) command: Option<WorkersVerb>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkersVerb {
    /// Tell a worker to end; its turns end as those of a lost one
    Terminate(TerminateWorkerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TerminateWorkerArgs {
    /// Name of the worker
    pub(crate) name: String,
    /// Why, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
