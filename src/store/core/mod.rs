//! The store's rules: what a command is answered and what it writes, decided on a snapshot of its session.
//!
//! Nothing here knows an engine, a clock, or does any I/O. An engine loads a [`snapshot::Snapshot`], calls a function of
//! [`decide`], loads what that says it [`facts::Want`]s and calls again, and commits the [`write_set::WriteSet`] that
//! comes of it. A refusal has written nothing, for nothing is written before the decision is whole.

pub(crate) mod cache;
pub(crate) mod commands;
pub(crate) mod decide;
pub(crate) mod draft;
pub(crate) mod facts;
pub(crate) mod ownership;
pub(crate) mod published;
pub(crate) mod request_id;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod snapshot;
pub(crate) mod usage;
pub(crate) mod write_set;

#[cfg(test)]
pub(crate) mod tests;
