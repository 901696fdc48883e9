//! What `webhooks` takes.

use super::{ClientArgs, pair};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(subcommand)]
    pub(crate) command: WebhooksVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksVerb {
    /// Make a webhook: what happens in your sessions is posted to an address.
    ///
    /// Deliveries are signed by the Standard Webhooks specification. The secret that the server makes is printed here, once.
    Create(Box<CreateWebhookArgs>),
    /// List your webhooks.
    List(ClientArgs),
    /// Change a webhook, pause it or resume it; what is not named stays.
    Update(Box<UpdateWebhookArgs>),
    /// Delete a webhook and the list of its deliveries.
    Delete(NamedWebhookArgs),
    /// Deliver a session's events again from a place on, or try at once what waits.
    Redeliver(RedeliverArgs),
    /// List what was delivered, tried or left out, newest first.
    Deliveries(DeliveriesArgs),
}

/// What a webhook tells, and of which sessions.
#[derive(Clone, Debug, Args)]
pub(crate) struct ToldArgs {
    /// Kind of event that is told, such as turn_ended or question_asked; may be repeated [default: all durable ones]
    #[arg(long = "kind", value_name = "KIND")]
    pub(crate) kinds: Vec<String>,
    /// Of this session alone
    #[arg(long, value_name = "SESSION")]
    pub(crate) session: Option<String>,
    /// Of this turn of that session alone, from its beginning; the webhook ends with it
    #[arg(long, value_name = "TURN", requires = "session")]
    pub(crate) turn: Option<String>,
    /// Of sessions whose keys begin so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) session_prefix: Option<String>,
    /// Of sessions of this agent
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Of sessions that have this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateWebhookArgs {
    /// Where to post, such as https://example.org/hook
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) told: ToldArgs,
    /// Tell whole events, not just where they stand
    #[arg(long)]
    pub(crate) full: bool,
    /// File with the secrets that sign, `whsec_…`, one or two lines [default: the server makes one]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Name for people
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    pub(crate) display_name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateWebhookArgs {
    /// Id of the webhook
    pub(crate) webhook: String,
    /// Another address
    #[arg(long)]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) told: ToldArgs,
    /// Tell of all kinds and all sessions again, or what else is named here
    #[arg(long)]
    pub(crate) all: bool,
    /// Tell whole events
    #[arg(long, conflicts_with = "thin")]
    pub(crate) full: bool,
    /// Tell just where events stand
    #[arg(long)]
    pub(crate) thin: bool,
    /// File with the secrets that sign from now on, one or two lines: the new one first
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Deliver nothing until it is resumed; for people why
    #[arg(
        long,
        value_name = "REASON",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with = "resume"
    )]
    pub(crate) pause: Option<String>,
    /// Go on where it was
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamedWebhookArgs {
    /// Id of the webhook
    pub(crate) webhook: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RedeliverArgs {
    /// Id of the webhook
    pub(crate) webhook: String,
    /// Session whose events are delivered again
    #[arg(long, value_name = "SESSION")]
    pub(crate) session: Option<String>,
    /// The first event of it that is [default: the oldest that is kept]
    #[arg(long, value_name = "SEQ", requires = "session")]
    pub(crate) from: Option<i64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeliveriesArgs {
    /// Id of the webhook
    pub(crate) webhook: String,
    /// Print at most this many
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
