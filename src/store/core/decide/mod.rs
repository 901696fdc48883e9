//! What commands and owners' calls are answered, and what they write. Pure functions over a snapshot.
//!
//! "How a turn ends" has one home: [`turns`]; whether something becomes a steer or a turn is decided in [`admission`].

pub(crate) mod access;
pub(crate) mod admission;
mod agents;
pub(crate) mod budgets;
pub(crate) mod choices;
pub(crate) mod control;
pub(crate) mod fork;
mod items;
pub(crate) mod questions;
pub(crate) mod queue;
mod quotas;
pub(crate) mod recovery;
pub(crate) mod requests;
pub(crate) mod routing;
pub(crate) mod sessions;
pub(crate) mod turns;
pub(crate) mod workers;

use super::{
    commands::{Admission, Committed, Receipt},
    write_set::{SessionWrite, WriteSet},
};
use crate::domain::{session::Session, turn::Turn};
use std::sync::Arc;

pub(crate) use quotas::require_stored;

/// What a command is answered, and what it writes.
#[derive(Debug)]
pub(crate) struct Decided {
    /// The answer, true once the writes are committed.
    pub(crate) committed: Committed,
    /// The writes; empty for a repeat.
    pub(crate) writes: WriteSet,
}

/// What a command did, before it is kept under its request id.
pub(crate) struct Done {
    receipt: Receipt,
    session: Arc<Session>,
    write: Option<SessionWrite>,
    turn: Option<Turn>,
    cleared: Vec<Turn>,
    keep: Keep,
    new_work_bytes: Option<usize>,
}

/// How long a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// Until 24 h after the end of the turn or steer that it admitted.
    Admitted,
    /// 24 h from now.
    Day,
}

// === impl Done ===

impl Done {
    /// A command that changed a session.
    pub(crate) fn of(write: SessionWrite) -> Self {
        let session = Arc::clone(&write.after.session);
        Self {
            write: Some(write),
            ..Self::nothing(session)
        }
    }

    /// A command that changed nothing.
    pub(crate) fn nothing(session: Arc<Session>) -> Self {
        Self {
            receipt: Receipt {
                seq: session.head,
                turn_id: None,
                steer_id: None,
                admission: Admission::Queued,
                queue_position: 0,
                cleared: Vec::new(),
                stopping: false,
            },
            session,
            write: None,
            turn: None,
            cleared: Vec::new(),
            keep: Keep::Day,
            new_work_bytes: None,
        }
    }

    /// Adds the turns that the command took.
    fn with_cleared(mut self, cleared: Vec<Turn>) -> Self {
        self.receipt.cleared = cleared.iter().map(|turn| turn.turn_id).collect();
        self.cleared = cleared;
        self
    }

    /// Adds the turn that the command is about.
    fn with_turn(mut self, turn: Option<Turn>) -> Self {
        self.receipt.turn_id = turn.as_ref().map(|turn| turn.turn_id);
        self.turn = turn;
        self
    }

    /// Marks it as new work of so many bytes, whose request lives as long as what it admitted.
    fn admitting(mut self, bytes: usize) -> Self {
        self.keep = Keep::Admitted;
        self.new_work_bytes = Some(bytes);
        self
    }
}
