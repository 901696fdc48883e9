//! Commands that bring more bytes than belong into one commit: it is looked whether the command is let in, its
//! attachments are written in pieces, each slice in a commit of its own, and the command names them then. What one has
//! written that is refused after that, or was done already, is taken back before its caller is answered; of one that was
//! cut, by housekeeping.

use super::{
    attachments,
    fault::{Answer, Fault},
    making::{Making, Makings},
    writer::Unit,
};
use crate::{
    domain::{Refusal, turn::Attachment},
    failpoint,
    store::{
        Caller, Committed,
        core::{
            decide::Decided,
            facts::{Context, Decision, Facts},
            snapshot::Snapshot,
        },
    },
};
use std::{collections::VecDeque, sync::Arc};

/// Bytes of attachments that a command writes in its own commit.
pub(super) const WHOLE_MAX_BYTES: usize = 512 * 1024;
/// Bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;

/// A command on its way; `D` decides about it.
pub(super) struct Staging<D> {
    caller: Caller,
    decide: D,
    makings: Arc<Makings>,
    stage: Stage,
    /// What it has begun to write.
    made: Vec<Made>,
}

/// How far it is.
enum Stage {
    /// Nothing is written.
    Looking,
    /// Its attachments are written.
    Writing(Pieces),
    /// They are whole.
    Committing,
    /// What is not needed is taken back, and then its caller is told.
    TakingBack(Result<Committed, Refusal>),
    /// That was told.
    Told,
}

/// What is still to be written.
struct Pieces {
    waiting: VecDeque<Attachment>,
    /// Bytes of the first that are written.
    written: usize,
}

/// A content that is written.
struct Made {
    attachment_id: String,
    content: Making,
}

/// Whether a command brings more bytes than belong into its own commit.
pub(super) fn is_large(attachments: &[Attachment]) -> bool {
    let bytes = attachments.iter().map(|attachment| attachment.data.len());
    bytes.sum::<usize>() > WHOLE_MAX_BYTES
}

impl<D> Staging<D>
where
    D: Fn(&Context<'_>, &Facts, Option<&Snapshot>) -> Decision<Decided>,
{
    /// A command that has not begun.
    pub(super) fn new(caller: Caller, makings: Arc<Makings>, decide: D) -> Self {
        Self {
            caller,
            decide,
            makings,
            stage: Stage::Looking,
            made: Vec::new(),
        }
    }

    /// One commit of it. What it gives is told to its caller.
    pub(super) fn slice(
        &mut self,
        unit: &mut Unit<'_>,
    ) -> Answer<Option<Result<Committed, Refusal>>> {
        loop {
            match &mut self.stage {
                Stage::Looking => {
                    let decided = unit.decided(&self.caller, &self.decide)?;
                    let session = decided.writes.session.as_ref();
                    let new = session.map_or(&[][..], |session| &session.attachments);
                    // What is there already is not brought again.
                    if !is_large(new) {
                        return Ok(Some(Ok(unit.commit(decided)?)));
                    }
                    self.stage = Stage::Writing(Pieces {
                        waiting: new.iter().cloned().collect(),
                        written: 0,
                    });
                }
                Stage::Writing(pieces) => match pieces.write(unit, &self.makings, &mut self.made) {
                    Ok(true) => self.stage = Stage::Committing,
                    Ok(false) => return Ok(None),
                    Err(Fault::Refused(refusal)) => self.stage = Stage::TakingBack(Err(refusal)),
                    Err(fault) => return Err(fault),
                },
                Stage::Committing => {
                    failpoint::pass("staged");
                    let outcome = match unit.decided(&self.caller, &self.decide) {
                        Ok(decided) => {
                            let made = self.made.iter();
                            unit.staged = made
                                .map(|made| (made.attachment_id.clone(), made.content.row))
                                .collect();
                            Ok(unit.commit(decided)?)
                        }
                        Err(Fault::Refused(refusal)) => Err(refusal),
                        Err(fault) => return Err(fault),
                    };
                    self.stage = Stage::TakingBack(outcome);
                }
                Stage::TakingBack(_) => {
                    for made in &self.made {
                        if !attachments::take_back(unit, made.content.row)? {
                            return Ok(None);
                        }
                    }
                    if let Stage::TakingBack(outcome) =
                        std::mem::replace(&mut self.stage, Stage::Told)
                    {
                        return Ok(Some(outcome));
                    }
                }
                Stage::Told => return Err(Fault::Broken("a command is told once".to_owned())),
            }
        }
    }
}

// === impl Pieces ===

impl Pieces {
    /// Writes as much as belongs into one commit. True when all is written.
    fn write(
        &mut self,
        unit: &Unit<'_>,
        makings: &Arc<Makings>,
        made: &mut Vec<Made>,
    ) -> Answer<bool> {
        while let Some(attachment) = self.waiting.front() {
            if self.written == 0 {
                let content = attachments::begin(unit, &attachment.reference)?;
                made.push(Made {
                    attachment_id: attachment.reference.attachment_id.clone(),
                    content: makings.begin(content),
                });
            }
            let rest = &attachment.data[self.written..];
            let piece = &rest[..rest.len().min(PIECE_BYTES)];
            unit.require_room(piece.len())?;
            let content = made.last().map_or(0, |made| made.content.row);
            attachments::add_piece(unit, content, piece)?;
            self.written += piece.len();
            let spent = i64::try_from(piece.len()).unwrap_or(i64::MAX);
            if self.written == attachment.data.len() {
                self.waiting.pop_front();
                self.written = 0;
            }
            if !unit.spend(spent) {
                return Ok(self.waiting.is_empty());
            }
        }
        Ok(true)
    }
}
