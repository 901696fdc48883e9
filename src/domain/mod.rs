//! What the words mean: ids, turns, items, events, sessions, and every "no" the product can say.
//!
//! Pure: no tokio, tonic, SQL or clock. Time comes in as [`Time`].

pub mod ids;

pub use ids::{LogId, SessionKey, Time};
