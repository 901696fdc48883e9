//! Sessions that come to match the filter of a SubscribeMany, ready to be followed.

use crate::{
    domain::refusal::Refusal,
    feed::{Arrival, Arrivals, Feed, Tail},
    grpc::gateway::Call,
    store::Store,
};
use futures_util::{Stream, stream};
use std::{sync::Arc, vec};
use tokio_util::sync::CancellationToken;

/// What is needed to find them.
pub(super) struct Arriving {
    arrivals: Arrivals,
    feed: Arc<Feed>,
    store: Arc<dyn Store>,
    ending: CancellationToken,
    /// Those that came and were not taken yet.
    waiting: vec::IntoIter<Arrival>,
}

// === impl Arriving ===

impl Arriving {
    pub(super) fn new(call: &Call<'_>, arrivals: Arrivals) -> Self {
        Self {
            arrivals,
            feed: call.feed.clone(),
            store: call.store.clone(),
            ending: call.ending.clone(),
            waiting: vec::IntoIter::default(),
        }
    }

    /// Each session, and the position that its events begin after. Ends with a refusal alone.
    pub(super) fn stream(self) -> impl Stream<Item = Result<(Arc<Tail>, i64), Refusal>> + Send {
        stream::try_unfold(self, |mut arriving| async move {
            let next = arriving.next().await?;
            Ok(Some((next, arriving)))
        })
    }

    async fn next(&mut self) -> Result<(Arc<Tail>, i64), Refusal> {
        loop {
            for Arrival { session, after } in self.waiting.by_ref() {
                // `None`: it was deleted since.
                if let Some(tail) = self.feed.tail(&self.store, session.row).await? {
                    return Ok((tail, after));
                }
            }
            tokio::select! {
                biased;
                came = self.arrivals.next() => self.waiting = came?.into_iter(),
                () = self.ending.cancelled() => return Err(Refusal::Draining { last_seq: None }),
            }
        }
    }
}
