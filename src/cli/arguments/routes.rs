//! What `routes` takes.

use super::{ClientArgs, pair};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RoutesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RoutesVerb>,
    /// Tenant, where it is not one's own
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoutesVerb {
    /// Replace all routes by those of a JSON file, in the form that `routes --json` prints.
    ///
    /// Where the file has an etag, and they have changed since, nothing is set. `{"routes":[]}` takes routing away.
    Set(SetRoutesArgs),
    /// Tell what the routes would do with a turn. Nothing is sent.
    Resolve(ResolveRouteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetRoutesArgs {
    /// The file; without one standard input is read
    pub(crate) file: Option<PathBuf>,
    /// Tenant, where it is not one's own
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveRouteArgs {
    /// The prompt
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) text: String,
    /// Agent of its session [default: the session is made by it]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) agent: String,
    /// A label of its session; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// Media type of an attachment; may be given several times
    #[arg(long = "attachment-type", value_name = "TYPE")]
    pub(crate) attachment_types: Vec<String>,
    /// Who sends it [default: you]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TENANT/SUBJECT"
    )]
    pub(crate) principal: String,
    /// Where it comes from
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) source: String,
    /// Tenant, where it is not one's own
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
