//! Sessions at work: who is awake, what runs, how it ends.
//!
//! * [`machine`]: what an agent says → what is written; pure.
//! * `running`: one start of a turn around that machine: stops, timers, checkpoints.
//! * [`actor`]: one awake session.
//! * [`commands`]: what agents told of theirs.
//! * [`recall`]: what its agent is given of memory.
//! * `transcript`: what an agent is told that lost its conversation.
//! * [`registry`]: wakes, bounds, retires, drains.
//! * [`users`]: the user ids of agents' own.
//! * [`fork`]: agents' own conversations, copied.
//! * [`disconnect`] carries out `cancel_on_disconnect`.

pub mod actor;
pub mod commands;
mod conversation;
pub mod disconnect;
pub mod fork;
pub mod handle;
pub mod machine;
pub mod recall;
pub mod registry;
mod running;
pub mod snapshots;
mod subagents;
mod told;
mod transcript;
pub mod users;
pub mod workspace;
