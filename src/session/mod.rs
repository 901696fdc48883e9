//! Sessions at work: who is awake, what runs, how it ends.
//!
//! * [`machine`]: what an agent says → what is written; pure.
//! * `running`: one start of a turn around that machine: stops, timers, checkpoints.
//! * [`actor`]: one awake session.
//! * [`recall`]: what its agent is given of memory.
//! * [`registry`]: wakes, bounds, retires, drains.
//! * [`users`]: the user ids of agents' own.
//! * [`disconnect`] carries out `cancel_on_disconnect`.

pub mod actor;
pub mod disconnect;
pub mod handle;
pub mod machine;
pub mod recall;
pub mod registry;
mod running;
mod told;
pub mod users;
