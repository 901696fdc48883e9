//! What is asked of the store about webhooks out.

use super::{StoredEvent, core::commands::RequestKey};
use crate::domain::{
    access::Identity,
    event::EventKind,
    ids::{LogId, Principal, SessionKey, SessionRow, Time},
    refusal::Refusal,
    webhooks_out::{Delivery, Next, PauseReason, Tried, Webhook, WebhookRules},
};
use async_trait::async_trait;
use std::sync::Arc;
use uuid::Uuid;

/// Who changes webhooks, and when.
#[derive(Clone, Debug)]
pub struct WebhookCaller {
    /// Who calls: the webhook's owner.
    pub identity: Arc<Identity>,
    /// When its right ends, where no key of it is looked up.
    pub until: Option<Time>,
    /// Set where the caller gave a `request_id`.
    pub request: Option<RequestKey>,
    /// When, by the clock of ages.
    pub now: Time,
}

/// A webhook that is made.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Who makes it.
    pub caller: WebhookCaller,
    /// Names it.
    pub webhook_id: Uuid,
    /// What it says.
    pub rules: WebhookRules,
    /// Nothing is delivered.
    pub paused: bool,
    /// Why.
    pub pause_reason: String,
    /// What signs, sealed: one or two.
    pub secrets: Vec<Vec<u8>>,
}

/// Another content of a webhook, all of it; its owner's credential is the caller's from then on.
#[derive(Clone, Debug)]
pub struct WebhookUpdate {
    /// The content; without secrets those of before sign.
    pub new: NewWebhook,
    /// [`Webhook::version`] that it was made from; where it is another one now, nothing is changed.
    pub version: i64,
}

/// What a webhook is to tell next of a session.
#[derive(Clone, Debug)]
pub struct DueDeliveries {
    /// The webhook, its owner looked up.
    pub webhook: Webhook,
    /// What signs, sealed.
    pub secrets: Vec<Vec<u8>>,
    /// The session.
    pub session: SessionRow,
    /// Its key.
    pub session_key: SessionKey,
    /// Its log.
    pub log_id: LogId,
    /// How far the address has taken its log.
    pub position: i64,
    /// What comes next, in order.
    pub events: Vec<DueEvent>,
    /// There may be more behind them.
    pub more: bool,
}

/// An event that is to be told.
#[derive(Clone, Debug)]
pub struct DueEvent {
    /// The event.
    pub event: StoredEvent,
    /// When it was written.
    pub time: Time,
    /// A webhook in made its turn.
    pub of_webhook: bool,
}

/// What is due of a session.
#[derive(Clone, Debug)]
pub enum Due {
    /// The webhook is gone or paused.
    Ended,
    /// Its owner may not read any more.
    Revoked,
    /// Its turn has ended, and nothing of that is left to tell.
    Over,
    /// Nothing, for now.
    Nothing,
    /// That.
    Deliveries(Box<DueDeliveries>),
}

/// What came of a delivery.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Which webhook.
    pub webhook: i64,
    /// Which session.
    pub session: SessionRow,
    /// Its key.
    pub session_key: SessionKey,
    /// Its log.
    pub log_id: LogId,
    /// How far it was before. Where that is another place now, it stays.
    pub position: i64,
    /// [`Webhook::failures`] as it was before. Tries that fail at once are one failure.
    pub failures: i64,
    /// Which event.
    pub seq: i64,
    /// Its kind.
    pub kind: EventKind,
    /// What came of it.
    pub tried: Tried,
    /// What the webhook does, where it failed.
    pub next: Option<Next>,
    /// When.
    pub now: Time,
}

/// Sessions that a webhook has not told all of, and where the search goes on.
pub type SessionsBehind = (Vec<SessionRow>, Option<SessionRow>);
/// Webhooks of a page, and where the next one begins.
pub type WebhooksPage = (Vec<Webhook>, Option<i64>);
/// Deliveries of a page, and where the next one begins.
pub type DeliveriesPage = (Vec<Delivery>, Option<i64>);

/// The part of the store that knows webhooks out. Errors as of [`Store`](super::Store).
#[async_trait]
pub trait WebhookStore: Send + Sync + 'static {
    /// Makes a webhook; true for a repeat. `INVALID_FIELD` where the tenant has enough; for one of a turn
    /// `SESSION_NOT_FOUND`, `TURN_NOT_FOUND`.
    async fn create_webhook(&self, new: NewWebhook) -> Result<(Webhook, bool), Refusal>;
    /// Changes a webhook; true for a repeat, `None` where it has changed meanwhile. `WEBHOOK_NOT_FOUND`.
    async fn update_webhook(
        &self,
        update: WebhookUpdate,
    ) -> Result<Option<(Webhook, bool)>, Refusal>;
    /// Deletes a webhook: its row, which says that it was there; true for a repeat. `WEBHOOK_NOT_FOUND`.
    async fn delete_webhook(
        &self,
        caller: WebhookCaller,
        webhook_id: Uuid,
    ) -> Result<bool, Refusal>;
    /// Delivers again from a position of a session on, and tries at once; true for a repeat. `WEBHOOK_NOT_FOUND`,
    /// `SESSION_NOT_FOUND`.
    async fn redeliver(
        &self,
        caller: WebhookCaller,
        webhook_id: Uuid,
        from: Option<(SessionKey, i64)>,
    ) -> Result<(Webhook, bool), Refusal>;
    /// A webhook of somebody. `WEBHOOK_NOT_FOUND`.
    async fn webhook(&self, owner: &Principal, webhook_id: Uuid) -> Result<Webhook, Refusal>;
    /// A webhook of anybody, its owner looked up; `None` where it is gone.
    async fn webhook_of_id(&self, webhook_id: Uuid) -> Result<Option<Webhook>, Refusal>;
    /// Webhooks of somebody after a position, the oldest first.
    async fn list_webhooks(
        &self,
        owner: &Principal,
        after: Option<i64>,
        limit: usize,
    ) -> Result<WebhooksPage, Refusal>;
    /// Deliveries of a webhook before a position, the newest first. `WEBHOOK_NOT_FOUND`.
    async fn deliveries(
        &self,
        owner: &Principal,
        webhook_id: Uuid,
        before: Option<i64>,
        limit: usize,
    ) -> Result<DeliveriesPage, Refusal>;
    /// Whether secrets of webhooks are sealed.
    async fn has_webhook_secrets(&self) -> Result<bool, Refusal>;

    /// Webhooks that deliver, of all owners, after a row.
    async fn live_webhooks(&self, after: i64, limit: usize) -> Result<Vec<Webhook>, Refusal>;
    /// A webhook that delivers; `None` where it is gone or paused.
    async fn live_webhook(&self, webhook: i64) -> Result<Option<Webhook>, Refusal>;
    /// Sessions after one whose newest event a webhook may not have told, also those that were deleted.
    async fn sessions_behind(
        &self,
        webhook: i64,
        after: SessionRow,
        limit: usize,
    ) -> Result<SessionsBehind, Refusal>;
    /// What a webhook is to tell next of a session, at most so many events.
    async fn due_deliveries(
        &self,
        webhook: i64,
        session: SessionRow,
        limit: usize,
    ) -> Result<Due, Refusal>;
    /// Notes what came of a delivery, in one commit with how far the address is and what the webhook does next. The webhook
    /// as it is then; `None` where it is gone or paused.
    async fn settle_delivery(&self, settled: Settled) -> Result<Option<Webhook>, Refusal>;
    /// Deletes a webhook that has nothing to tell any more: [`Due::Over`].
    async fn end_webhook(&self, webhook: i64) -> Result<(), Refusal>;
    /// Pauses a webhook, for its owner's right or its secrets are gone; one of a turn ends.
    async fn pause_webhook(&self, webhook: i64, reason: PauseReason) -> Result<(), Refusal>;
}
