//! Sessions at work: who is awake, what runs, how it ends.
//!
//! * [`machine`]: what an agent says → what is written; pure.

pub mod machine;
