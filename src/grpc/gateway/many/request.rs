//! What a SubscribeMany asks for.

use crate::{
    domain::{event::EventKind, ids::SessionKey, refusal::Refusal, session::SessionFilter},
    grpc::gateway::streams::{coalesce, progress_interval},
    proto,
    wire::parse::Fields,
};
use std::{collections::HashSet, time::Duration};

/// Sessions that one call may name.
const CURSORS_MAX: usize = 1000;

/// A request whose fields are right.
pub(super) struct ManyRequest {
    /// Which sessions to follow, present and coming.
    pub(super) filter: Option<SessionFilter>,
    /// Which sessions to follow from where.
    pub(super) named: Vec<Named>,
    /// Which sessions to report.
    pub(super) watch: Option<SessionFilter>,
    /// What to send of sessions that say nothing else.
    pub(super) wants: Wants,
    pub(super) progress_interval: Duration,
    pub(super) coalesce: Duration,
}

/// A session that is named.
pub(super) struct Named {
    pub(super) key: SessionKey,
    pub(super) start: Start,
    pub(super) wants: Wants,
}

/// Where a session's events begin.
pub(super) enum Start {
    Head,
    Oldest,
    After { log_id: String, after_seq: i64 },
}

/// Which of a session's events to send.
#[derive(Clone)]
pub(super) struct Wants {
    /// Empty means all.
    pub(super) kinds: Vec<EventKind>,
    pub(super) deltas: bool,
    pub(super) subagents: bool,
}

// === impl ManyRequest ===

impl ManyRequest {
    /// # Errors
    /// `INVALID_FIELD` with all that is wrong.
    pub(super) fn parse(request: proto::SubscribeManyRequest) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let proto::SubscribeManyRequest {
            filter,
            cursors,
            kinds,
            deltas,
            watch,
            progress_interval: interval,
            coalesce: gather,
            subagents,
        } = request;
        if filter.is_none() && cursors.is_empty() && watch.is_none() {
            let problem = "at least one of filter, cursors and watch must be set";
            fields.wrong("cursors", problem);
        }
        if cursors.len() > CURSORS_MAX {
            fields.wrong("cursors", format!("must be at most {CURSORS_MAX}"));
        }
        let wants = Wants {
            kinds: fields.kinds("kinds", &kinds),
            deltas: deltas.unwrap_or(true),
            subagents,
        };
        let mut keys = HashSet::new();
        let mut named = Vec::new();
        for (at, cursor) in cursors.into_iter().enumerate().take(CURSORS_MAX) {
            let Some(one) = Named::parse(&mut fields, &format!("cursors[{at}]"), cursor, &wants)
            else {
                continue;
            };
            if keys.insert(one.key.clone()) {
                named.push(one);
            } else {
                fields.wrong(format!("cursors[{at}].session_key"), "is named twice");
            }
        }
        let filter = filter.map(|filter| fields.filter("filter", Some(filter)));
        let watch = watch.map(|watch| fields.filter("watch", Some(watch)));
        let request = Self {
            filter,
            named,
            watch,
            wants,
            progress_interval: progress_interval(&mut fields, interval),
            coalesce: coalesce(&mut fields, gather),
        };
        fields.finish(Some(request))
    }
}

// === impl Named ===

impl Named {
    fn parse(
        fields: &mut Fields,
        path: &str,
        cursor: proto::SessionCursor,
        wants: &Wants,
    ) -> Option<Self> {
        let proto::SessionCursor {
            session_key,
            log_id,
            after_seq,
            from_head,
            from_oldest,
            events,
        } = cursor;
        let key = fields.session_key(&format!("{path}.session_key"), &session_key);
        fields.not_negative(&format!("{path}.after_seq"), after_seq);
        let positioned = !log_id.is_empty() || after_seq != 0;
        if from_head && (positioned || from_oldest) {
            let problem = "can't stand beside log_id, after_seq or from_oldest";
            fields.wrong(format!("{path}.from_head"), problem);
        } else if from_oldest && positioned {
            let problem = "can't stand beside log_id or after_seq";
            fields.wrong(format!("{path}.from_oldest"), problem);
        }
        let wants = match events {
            None => wants.clone(),
            Some(proto::EventSelection {
                kinds,
                deltas,
                subagents,
            }) => Wants {
                kinds: fields.kinds(&format!("{path}.events.kinds"), &kinds),
                deltas: deltas.unwrap_or(true),
                subagents,
            },
        };
        let start = if from_head {
            Start::Head
        } else if from_oldest {
            Start::Oldest
        } else {
            Start::After { log_id, after_seq }
        };
        Some(Self {
            key: key?,
            start,
            wants,
        })
    }
}
