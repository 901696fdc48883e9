//! What the words mean: ids, turns, items, events, sessions, and every "no" the product can say.
//!
//! Pure: no tokio, tonic, SQL or clock. Time comes in as [`Time`].

pub mod access;
pub mod api_key;
pub mod event;
pub mod ids;
pub mod limits;
pub mod message;
pub mod quotas;
pub mod refusal;
pub mod session;
pub mod turn;

pub use event::{Event, EventKind};
pub use ids::{LogId, SessionKey, Time};
pub use refusal::Refusal;
