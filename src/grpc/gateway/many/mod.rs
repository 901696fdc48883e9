//! SubscribeMany: several sessions in one stream, and the list of sessions beside them.
//!
//! A call is answered once all sessions that it names, and all that match its filter, were found and have their places:
//! what happens in them after the answer's head comes on the stream.
//!
//! * `request`: what is asked for.
//! * `arriving`: sessions that come to match later.
//! * `body`: the stream.

mod arriving;
mod body;
mod request;

use super::Call;
use crate::{
    domain::{ids::SessionKey, refusal::Refusal, session::SessionFilter},
    feed::{self, Arrivals, Tail},
    grpc::{
        channels::Place,
        handover::{self, Handed},
        status::{status, status_about},
    },
    proto,
};
use arriving::Arriving;
use body::{ManyBody, Shared};
use request::{ManyRequest, Named, Start};
use std::sync::Arc;
use tonic::{Response, Status};

/// Sessions read at a time where a filter is given.
const FILTER_PAGE: usize = 200;

// === impl Call ===

impl Call<'_> {
    pub(super) async fn subscribe_many(
        &self,
        place: Place,
        request: proto::SubscribeManyRequest,
    ) -> Result<Response<Handed<proto::GatewayEvent>>, Status> {
        let refuse = |refusal| status(&refusal);
        let request = ManyRequest::parse(request).map_err(refuse)?;
        let ManyRequest {
            filter,
            named,
            watch,
            wants,
            progress_interval,
            coalesce,
        } = request;
        // Before anything is looked at, so that nothing falls between.
        let filter = filter.map(|filter| {
            let arrivals = self.feed.arrivals(self.identity.clone(), filter.clone());
            (filter, arrivals)
        });
        let shared = Shared {
            feed: self.feed.clone(),
            store: self.store.clone(),
            viewer: self.identity.clone(),
            place,
            wants,
            progress_interval,
            coalesce,
        };
        let mut body = ManyBody::new(shared).map_err(refuse)?;
        if filter.is_some() || watch.is_some() {
            self.facts.reads_of_another("");
        }
        for Named { key, start, wants } in named {
            let about = |refusal| status_about(key.as_str(), &refusal);
            let (tail, after) = self.begin(&key, start).await.map_err(about)?;
            if let Some((_, arrivals)) = &filter {
                arrivals.know(tail.session().row);
            }
            body.follow(tail, after, wants).map_err(about)?;
        }
        if let Some((filter, arrivals)) = filter {
            self.follow_matching(&mut body, filter, &arrivals).await?;
            body.follow_arriving(Arriving::new(self, arrivals));
        }
        if let Some(watch) = watch {
            body.list(self.listing(watch, true));
        }
        Ok(handover::stream(body))
    }

    /// A named session, and the position that its events begin after.
    async fn begin(&self, key: &SessionKey, start: Start) -> Result<(Arc<Tail>, i64), Refusal> {
        let tail = self.tail(key, 0).await?;
        let session = tail.session();
        let after = match start {
            Start::Head => session.head,
            Start::Oldest => feed::resolve_cursor(&session, "", 0, true)?,
            Start::After { log_id, after_seq } => {
                feed::resolve_cursor(&session, &log_id, after_seq, false)?
            }
        };
        Ok((tail, after))
    }

    /// Follows all that match now and are not followed yet, each from its head on.
    async fn follow_matching(
        &self,
        body: &mut ManyBody,
        filter: SessionFilter,
        arrivals: &Arrivals,
    ) -> Result<(), Status> {
        let mut page = Some(None);
        while let Some(after) = page {
            let found = self
                .store
                .list_sessions(&self.identity, filter.clone(), after, FILTER_PAGE)
                .await
                .map_err(|refusal| status(&refusal))?;
            for session in found.sessions {
                let about = |refusal| status_about(session.key.as_str(), &refusal);
                if !arrivals.found(session.row) {
                    continue;
                }
                // `None`: it was deleted since.
                if let Some(tail) = self.tail_of(session.row).await.map_err(about)? {
                    let wants = body.wants();
                    body.follow(tail, session.head, wants).map_err(about)?;
                }
            }
            page = found.next.map(Some);
        }
        Ok(())
    }
}
