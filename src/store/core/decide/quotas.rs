//! Who may have how much: sessions, bytes that wait, bytes that are stored.
//!
//! What a turn that runs still writes is never refused, so a bound may be passed by what the running turns have left to
//! say. History stays readable after a Reset, so that alone gives nothing back; retention and Delete do.

use super::super::facts::{Context, Decision};
use crate::domain::{
    refusal::{LimitOf, Refusal},
    session::Session,
};

/// Refuses new work of so many bytes where a session's owner, or its tenant, would have more stored than it may.
pub(crate) fn require_stored(ctx: &Context<'_>, session: &Session, more: i64) -> Decision<()> {
    let quotas = ctx.rules.quotas.get();
    let (owner, tenant) = ctx.held(session);
    let places = [
        (
            LimitOf::Principal,
            quotas.principal.max_stored_bytes,
            owner.stored_bytes,
        ),
        (
            LimitOf::Tenant,
            quotas.tenant.max_stored_bytes,
            tenant.stored_bytes,
        ),
    ];
    for (of, limit, current) in places {
        // What was stored before the bound was lowered stays; nothing more comes beside it.
        if current >= limit || current.saturating_add(more) > limit {
            return Err(Refusal::TooManyBytes { of, limit, current }.into());
        }
    }
    Ok(())
}

/// Refuses where so many more bytes may not wait: in the session, of its owner, in its tenant.
pub(super) fn require_queued(ctx: &Context<'_>, session: &Session, more: i64) -> Decision<()> {
    let quotas = ctx.rules.quotas.get();
    let (owner, tenant) = ctx.held(session);
    let places = [
        (
            LimitOf::Session,
            quotas.queue_limit_bytes,
            session.queue_bytes,
        ),
        (
            LimitOf::Principal,
            quotas.principal.max_queue_bytes,
            owner.queue_bytes,
        ),
        (
            LimitOf::Tenant,
            quotas.tenant.max_queue_bytes,
            tenant.queue_bytes,
        ),
    ];
    for (of, limit, current) in places {
        if current.saturating_add(more) > limit {
            return Err(Refusal::QueueFull {
                of,
                unit: "bytes",
                limit,
                current,
            }
            .into());
        }
    }
    Ok(())
}

/// Refuses one more session where its owner, its tenant or the store has as many as it may.
pub(super) fn require_place(ctx: &Context<'_>, session: &Session) -> Decision<()> {
    let quotas = ctx.rules.quotas.get();
    let (owner, tenant) = ctx.held(session);
    let places = [
        (
            LimitOf::Principal,
            quotas.principal.max_sessions,
            owner.sessions,
        ),
        (LimitOf::Tenant, quotas.tenant.max_sessions, tenant.sessions),
        (LimitOf::Server, quotas.max_sessions, ctx.usage.sessions()),
    ];
    for (of, limit, current) in places {
        if current >= limit {
            return Err(Refusal::TooManySessions { of, limit, current }.into());
        }
    }
    Ok(())
}
