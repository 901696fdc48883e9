//! ListChannels.

use super::Admin;
use crate::{
    domain::{access::Identity, refusal::Refusal},
    grpc::channels::Channel,
    proto,
    wire::{encode::timestamp, parse::Fields},
};

// === impl Admin ===

impl Admin {
    pub(super) fn listeners(
        &self,
        caller: &Identity,
        request: proto::ListChannelsRequest,
    ) -> Result<proto::ListChannelsResponse, Refusal> {
        let proto::ListChannelsRequest {
            session_key,
            page_size,
            page_token,
        } = request;
        let mut fields = Fields::default();
        if !session_key.is_empty() {
            fields.session_key("session_key", &session_key);
        }
        let limit = fields.page_size(page_size);
        let tenant = &caller.principal.tenant;
        let list = self.pages.list(caller, &format!("channels {session_key}"));
        let after = list.position(&mut fields, &page_token);
        fields.check()?;
        let after = after.and_then(|[id]| u64::try_from(id).ok()).unwrap_or(0);
        // One more than asked for tells whether there is a next page.
        let mut found = self
            .channels
            .streams(tenant, &session_key, after, limit + 1);
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next = last.and_then(|channel| i64::try_from(channel.id).ok());
        Ok(proto::ListChannelsResponse {
            channels: found
                .iter()
                .map(|channel| message(channel, &session_key))
                .collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }
}

/// A stream, as one that listens to `asked` where that is given: it may listen to others besides.
fn message(channel: &Channel, asked: &str) -> proto::Channel {
    let identity = channel.facts.identity.as_ref();
    proto::Channel {
        channel_id: channel.id.to_string(),
        principal: identity.map_or_else(String::new, |it| it.principal.to_string()),
        key_id: channel.key_id().unwrap_or_default().to_owned(),
        method: channel.facts.method.into(),
        session_key: match asked {
            "" => channel.session_key(),
            asked => asked.to_owned(),
        },
        peer_address: channel.facts.peer.clone(),
        user_agent: channel.facts.user_agent.clone(),
        start_time: Some(timestamp(channel.start_time)),
    }
}
