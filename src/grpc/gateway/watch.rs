//! WatchSessions, and the list of sessions that SubscribeMany reports too: all that match, then each that changes.
//!
//! Nothing runs and nothing waits here while nobody takes: what changes meanwhile waits in the feed's watch, in its
//! newest state only.

use super::Call;
use crate::{
    domain::{
        access::Identity,
        refusal::Refusal,
        session::{Session, SessionFilter, SessionState},
    },
    feed::{StreamPermit, Watch},
    grpc::status::status,
    proto,
    store::Store,
    wire::{encode, parse::Fields},
};
use futures_util::{TryStreamExt, stream};
use std::{pin::Pin, sync::Arc, time::Duration, vec};
use tokio::time::{Instant, Interval};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What WatchSessions answers with.
pub(super) type Snapshots =
    Pin<Box<dyn Stream<Item = Result<proto::SessionSnapshot, Status>> + Send>>;

/// Time between two empty snapshots.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Sessions that are read, or told, at a time.
const PAGE: usize = 200;

/// The list of the sessions that match, and then their changes.
pub(super) struct Listing {
    watch: Watch,
    store: Arc<dyn Store>,
    viewer: Arc<Identity>,
    filter: SessionFilter,
    ending: CancellationToken,
    /// Where the list goes on; `None` once it is over.
    page: Option<Option<i64>>,
    /// Sessions that changed and were not told yet.
    changed: vec::IntoIter<Arc<Session>>,
    heartbeat: Interval,
    /// Of a stream that is this list alone.
    permit: Option<StreamPermit>,
}

// === impl Call ===

impl Call<'_> {
    pub(super) fn watch_sessions(
        &self,
        request: proto::WatchSessionsRequest,
    ) -> Result<Snapshots, Refusal> {
        let mut fields = Fields::default();
        let filter = fields.filter("filter", request.filter);
        fields.check()?;
        let permit = self.feed.stream_permit()?;
        self.facts.reads_of_another("");
        let mut listing = self.listing(filter, request.initial.unwrap_or(true));
        listing.permit = Some(permit);
        let snapshots = listing
            .batches()
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
            .map_err(|refusal| status(&refusal));
        Ok(Box::pin(snapshots))
    }

    /// Watches from now on; `initial` tells whether all that match come first.
    pub(super) fn listing(&self, filter: SessionFilter, initial: bool) -> Listing {
        Listing {
            // Watched before the list is read, so that no change falls between.
            watch: self.feed.watch(self.identity.clone(), filter.clone()),
            store: self.store.clone(),
            viewer: self.identity.clone(),
            filter,
            ending: self.ending.clone(),
            page: initial.then_some(None),
            changed: vec::IntoIter::default(),
            heartbeat: tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
            permit: None,
        }
    }
}

// === impl Listing ===

impl Listing {
    /// Snapshots as they come, some at a time; an empty one tells that the list is complete, and later that the stream
    /// lives. Ends with a refusal alone.
    pub(super) fn batches(
        self,
    ) -> impl Stream<Item = Result<Vec<proto::SessionSnapshot>, Refusal>> + Send {
        stream::try_unfold((self, false), |(mut listing, complete)| async move {
            let batch = if complete {
                listing.changes().await?
            } else {
                listing.page().await?
            };
            let complete = listing.page.is_none();
            Ok(Some((batch, (listing, complete))))
        })
    }

    /// The next page of the list; the last one ends with the empty snapshot.
    async fn page(&mut self) -> Result<Vec<proto::SessionSnapshot>, Refusal> {
        let mut batch = Vec::new();
        if let Some(after) = self.page {
            self.watch.page_begins();
            let page = self
                .store
                .list_sessions(&self.viewer, self.filter.clone(), after, PAGE)
                .await?;
            for session in &page.sessions {
                self.watch.listed(session);
                batch.push(encode::session(session));
            }
            self.page = page.next.map(Some);
        }
        if self.page.is_none() {
            self.watch.list_complete();
            self.heartbeat.reset();
            batch.push(proto::SessionSnapshot::default());
        }
        Ok(batch)
    }

    async fn changes(&mut self) -> Result<Vec<proto::SessionSnapshot>, Refusal> {
        if self.changed.len() == 0 {
            tokio::select! {
                biased;
                changed = self.watch.next() => self.changed = changed?.into_iter(),
                _ = self.heartbeat.tick() => return Ok(vec![proto::SessionSnapshot::default()]),
                () = self.ending.cancelled() => return Err(Refusal::Draining { last_seq: None }),
            }
        }
        let next = self.changed.by_ref().take(PAGE);
        Ok(next.map(|session| snapshot(&session)).collect())
    }
}

fn snapshot(session: &Session) -> proto::SessionSnapshot {
    match session.state {
        SessionState::Deleted => encode::deleted_session(session),
        SessionState::Idle
        | SessionState::Running
        | SessionState::WaitingInput
        | SessionState::Canceling
        | SessionState::Resetting
        | SessionState::Deleting => encode::session(session),
    }
}
