//! What a decision may look at beside the session's snapshot. Looked up only where it is wanted.
//!
//! A decision that needs a fact that is not there stops with the [`Want`] of it; whoever runs it looks that up and begins
//! the decision anew, with all facts from before.

use super::{
    ownership::Fence,
    request_id::Request,
    rules::StoreRules,
    snapshot::Tombstone,
    usage::{Held, Ledger},
};
use crate::domain::{
    budget::{Budget, Spender},
    event::EventKind,
    ids::{SessionRow, Time},
    question::Question,
    refusal::Refusal,
    routing::RouteTable,
    session::Session,
    turn::Turn,
};
use crate::store::KeptOffers;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// What stands around a decision: the same for all of a commit.
pub(crate) struct Context<'a> {
    /// Bounds and rules.
    pub(crate) rules: &'a StoreRules,
    /// Who holds how much.
    pub(crate) usage: &'a Ledger,
    /// New ids.
    pub(crate) ids: &'a dyn Ids,
    /// Whether the disk has room for so many bytes of new work.
    pub(crate) has_room: &'a dyn Fn(usize) -> bool,
    /// The store's generation: a part of every log id.
    pub(crate) generation: Uuid,
    /// What was accepted before this does not expire: its age tells nothing.
    pub(crate) oldest_that_expires: Time,
}

/// Makes what must be new.
pub(crate) trait Ids {
    /// An id that is greater than those before it (UUIDv7).
    fn ordered(&self) -> Uuid;
    /// An id that tells nothing (UUIDv4).
    fn random(&self) -> Uuid;
    /// Row of a new session.
    fn session_row(&self) -> SessionRow;
    /// Row of a new turn, greater than those before it.
    fn turn_row(&self) -> i64;
}

/// Why a decision did not come about.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The domain says no; nothing is wrong.
    Refused(Refusal),
    /// An invariant does not hold; the text says which.
    Broken(String),
    /// A fact is not there.
    Wants(Want),
}

/// Result of a decision.
pub(crate) type Decision<T> = Result<T, Stop>;

/// A fact that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// A turn of the session, in any state.
    Turn(Uuid),
    /// A question of the session, in any state.
    Question(Uuid),
    /// The texts of waiting turns: of this one, or of all.
    Texts(Option<Uuid>),
    /// The texts of open items.
    OpenTexts,
    /// Whether the session has an attachment.
    Attachment(String),
    /// Whether an API key is revoked.
    RevokedKey(String),
    /// What is left of the sessions that had the key before.
    Tombstones,
    /// User messages of the generation before a turn's own.
    UserMessagesBefore(Uuid),
    /// Text of the newest assistant message of the active turn.
    LastText,
    /// Kind of the newest event.
    NewestKind,
    /// The budgets that somebody's calls count against.
    Budgets(Spender),
    /// Whether the session has tools that its caller runs.
    ClientTools,
    /// What an agent told that it offers.
    Offers {
        /// The tenant.
        tenant: String,
        /// The agent.
        agent: String,
        /// How it is configured.
        revision: String,
        /// The session, where it told it in one.
        session: Option<SessionRow>,
    },
    /// A request's session, or what is left of it, and turns of it.
    Replay {
        /// The session.
        session: SessionRow,
        /// The turns.
        turns: Vec<Uuid>,
    },
}

/// What was looked up for a decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// What is kept of the caller's request. Always looked up first.
    pub(crate) request: Request,
    /// By id.
    pub(crate) turns: BTreeMap<Uuid, Option<Turn>>,
    /// By id.
    pub(crate) questions: BTreeMap<Uuid, Option<Question>>,
    /// By id of the attachment.
    pub(crate) attachments: BTreeMap<String, bool>,
    /// By id of the key.
    pub(crate) revoked_keys: BTreeMap<String, bool>,
    /// The newest first.
    pub(crate) tombstones: Option<Vec<Tombstone>>,
    /// See [`Want::UserMessagesBefore`].
    pub(crate) user_messages_before: Option<i64>,
    /// See [`Want::LastText`].
    pub(crate) last_text: Option<String>,
    /// See [`Want::NewestKind`].
    pub(crate) newest_kind: Option<Option<EventKind>>,
    /// By who spends.
    pub(crate) budgets: BTreeMap<Spender, Vec<Budget>>,
    /// See [`Want::ClientTools`].
    pub(crate) has_client_tools: Option<bool>,
    /// The tenant's routes. Always there.
    pub(crate) routes: Arc<RouteTable>,
    /// By what was asked for.
    pub(crate) offers: BTreeMap<Want, Option<KeptOffers>>,
    /// See [`Want::Replay`].
    pub(crate) replay: Option<Replay>,
}

/// What a request did it to.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    /// The session, if there still is one.
    pub(crate) session: Option<Session>,
    /// What is left of it.
    pub(crate) tombstone: Option<Tombstone>,
    /// The turns that still are.
    pub(crate) turns: Vec<Turn>,
}

// === impl Context ===

impl Context<'_> {
    /// What an owner holds, and what its tenant does.
    pub(crate) fn held(&self, session: &Session) -> (Held, Held) {
        self.usage.held(&session.tenant, &session.owner)
    }

    /// Refuses new work of so many bytes while the disk is nearly full.
    pub(crate) fn require_room(&self, bytes: usize) -> Decision<()> {
        if (self.has_room)(bytes) {
            Ok(())
        } else {
            Err(Refusal::StorageFull.into())
        }
    }
}

// === impl Facts ===

impl Facts {
    /// A turn of the session, in any state.
    pub(crate) fn turn(&self, turn_id: Uuid) -> Decision<Option<Turn>> {
        let known = self.turns.get(&turn_id).cloned();
        known.ok_or(Stop::Wants(Want::Turn(turn_id)))
    }

    /// A question of the session, in any state.
    pub(crate) fn question(&self, question_id: Uuid) -> Decision<Option<Question>> {
        let known = self.questions.get(&question_id).cloned();
        known.ok_or(Stop::Wants(Want::Question(question_id)))
    }

    /// Whether the session has an attachment.
    pub(crate) fn has_attachment(&self, attachment_id: &str) -> Decision<bool> {
        let known = self.attachments.get(attachment_id).copied();
        known.ok_or_else(|| Stop::Wants(Want::Attachment(attachment_id.to_owned())))
    }

    /// Whether an API key is revoked.
    pub(crate) fn is_revoked(&self, key_id: &str) -> Decision<bool> {
        let known = self.revoked_keys.get(key_id).copied();
        known.ok_or_else(|| Stop::Wants(Want::RevokedKey(key_id.to_owned())))
    }

    /// The budgets that somebody's calls count against, as they were at their last change.
    pub(crate) fn budgets(&self, spender: &Spender) -> Decision<&[Budget]> {
        let known = self.budgets.get(spender).map(Vec::as_slice);
        known.ok_or_else(|| Stop::Wants(Want::Budgets(spender.clone())))
    }

    /// Whether the session has tools that its caller runs.
    pub(crate) fn has_client_tools(&self) -> Decision<bool> {
        self.has_client_tools.ok_or(Stop::Wants(Want::ClientTools))
    }

    /// What an agent told that it offers.
    pub(crate) fn offers(&self, want: &Want) -> Decision<Option<&KeptOffers>> {
        let known = self.offers.get(want).map(Option::as_ref);
        known.ok_or_else(|| Stop::Wants(want.clone()))
    }

    /// What is left of the sessions that had the key before, the newest first.
    pub(crate) fn tombstones(&self) -> Decision<&[Tombstone]> {
        let known = self.tombstones.as_deref();
        known.ok_or(Stop::Wants(Want::Tombstones))
    }
}

// === impl Stop ===

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Fence {
    /// The fence of a session as it is.
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            session: session.row,
            epoch: session.epoch,
        }
    }
}
