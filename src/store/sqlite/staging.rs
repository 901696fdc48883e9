//! Work that brings more bytes than belong into one commit: it is looked whether it is let in, its attachments are
//! written in pieces, each slice in a commit of its own, and the work's own commit names them then. What was written for
//! work that is refused after that, or was done already, is taken back before its caller is answered; for work that was
//! cut, by housekeeping.

use super::{
    attachments,
    commands::Tell,
    fault::{Answer, Fault},
    making::{Making, Makings},
    writer::Unit,
};
use crate::{
    domain::{
        Refusal,
        session::Session,
        turn::{Attachment, Turn},
    },
    failpoint,
    store::{
        Committed, Ended,
        core::{decide::Decided, write_set::SessionWrite},
    },
};
use std::{collections::VecDeque, sync::Arc};

/// Bytes of attachments that are written in the commit that names them.
pub(super) const WHOLE_MAX_BYTES: usize = 512 * 1024;
/// Bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;

/// What was decided, before it is written.
pub(super) trait Brings {
    /// What its caller is told.
    type Done;

    /// The attachments that are not there yet.
    fn attachments(&self) -> &[Attachment];

    /// Writes it.
    fn commit(self, unit: &mut Unit<'_>) -> Answer<Self::Done>;
}

/// Work on its way; `D` decides about it, and writes nothing.
pub(super) struct Staging<D, T> {
    decide: D,
    makings: Arc<Makings>,
    stage: Stage<T>,
    /// What it has begun to write.
    made: Vec<Made>,
}

/// How far it is.
enum Stage<T> {
    /// Nothing is written.
    Looking,
    /// Its attachments are written.
    Writing(Pieces),
    /// They are whole.
    Committing,
    /// What is not needed is taken back, and then its caller is told.
    TakingBack(Result<T, Refusal>),
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

/// Whether attachments are more than belong into one commit.
pub(super) fn is_large(attachments: &[Attachment]) -> bool {
    let bytes = attachments.iter().map(|attachment| attachment.data.len());
    bytes.sum::<usize>() > WHOLE_MAX_BYTES
}

impl<D, W> Staging<D, W::Done>
where
    D: Fn(&Unit<'_>) -> Answer<W>,
    W: Brings,
{
    /// Work that has not begun.
    pub(super) fn new(makings: Arc<Makings>, decide: D) -> Self {
        Self {
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
    ) -> Answer<Option<Result<W::Done, Refusal>>> {
        loop {
            match &mut self.stage {
                Stage::Looking => {
                    let decided = (self.decide)(unit)?;
                    let new = decided.attachments();
                    // What is there already is not brought again.
                    if !is_large(new) {
                        return Ok(Some(Ok(decided.commit(unit)?)));
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
                    let outcome = match (self.decide)(unit) {
                        Ok(decided) => {
                            let made = self.made.iter();
                            unit.staged = made
                                .map(|made| (made.attachment_id.clone(), made.content.row))
                                .collect();
                            Ok(decided.commit(unit)?)
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
                Stage::Told => return Err(Fault::Broken("its caller is told once".to_owned())),
            }
        }
    }
}

impl Brings for Decided {
    type Done = Committed;

    fn attachments(&self) -> &[Attachment] {
        let session = self.writes.session.as_ref();
        session.map_or(&[], |session| &session.attachments)
    }

    fn commit(self, unit: &mut Unit<'_>) -> Answer<Committed> {
        unit.commit(self)
    }
}

impl Brings for SessionWrite {
    type Done = Arc<Session>;

    fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    fn commit(self, unit: &mut Unit<'_>) -> Answer<Arc<Session>> {
        unit.write(self, Tell::All)
    }
}

impl Brings for (Turn, SessionWrite) {
    type Done = Ended;

    fn attachments(&self) -> &[Attachment] {
        self.1.attachments()
    }

    fn commit(self, unit: &mut Unit<'_>) -> Answer<Ended> {
        let (turn, write) = self;
        let session = unit.write(write, Tell::All)?;
        Ok(Ended { turn, session })
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
