//! What the words mean: ids, turns, items, events, sessions, and every "no" the product can say.
//!
//! Pure: no tokio, tonic, SQL or clock. Time comes in as [`Time`].

pub mod access;
pub mod agent;
pub mod api_key;
pub mod budget;
pub mod client_tool;
pub mod command;
pub mod cron;
pub mod event;
mod form;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod memory;
pub mod message;
pub mod offers;
pub mod prices;
pub mod question;
pub mod quotas;
pub mod refusal;
pub mod routing;
pub mod schedule;
pub mod schema;
pub mod session;
pub mod subagent;
pub mod times;
pub mod tool_policy;
pub mod turn;
pub mod usage;
pub mod webhook;
pub mod webhooks_out;

pub use event::{Event, EventKind};
pub use ids::{LogId, SessionKey, Time};
pub use refusal::Refusal;
