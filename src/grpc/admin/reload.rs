//! BroadcastReload.

use super::Admin;
use crate::{
    domain::{access::Identity, refusal::Refusal},
    proto,
    wire::parse::Fields,
};

/// Longest reason, in bytes.
const REASON_MAX_BYTES: usize = 256;

// === impl Admin ===

impl Admin {
    pub(super) fn reload(
        &self,
        identity: &Identity,
        request: proto::BroadcastReloadRequest,
    ) -> Result<proto::BroadcastReloadResponse, Refusal> {
        let proto::BroadcastReloadRequest { reason } = request;
        let mut fields = Fields::default();
        fields.text("reason", &reason, REASON_MAX_BYTES);
        fields.check()?;
        let tenant = &identity.principal.tenant;
        // Agents first: who reads again on the event finds them on their way.
        let agents = self.registry.reload(tenant);
        self.feed.reload(tenant, &reason);
        let listening = self.channels.streams(tenant, "", 0, usize::MAX).len();
        Ok(proto::BroadcastReloadResponse {
            channels: i32::try_from(listening).unwrap_or(i32::MAX),
            agents: i32::try_from(agents).unwrap_or(i32::MAX),
        })
    }
}
