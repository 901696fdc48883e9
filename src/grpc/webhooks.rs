//! `WebhookService`: webhooks out are parsed, kept and told. What is due of them is delivered by [`crate::webhooks_out`].

use super::{identity, schedules::right_ends, status::status};
use crate::{
    clock,
    config::live::LiveConfig,
    domain::{
        access::Identity,
        event::EventKind,
        ids::SessionKey,
        limits::{DISPLAY_NAME_MAX_BYTES, NAME_MAX_BYTES},
        refusal::Refusal,
        schedule::PAUSE_REASON_MAX_BYTES,
        webhooks_out::{
            A2A_KINDS, DELIVERIES_KEPT, Delivery, Format, SECRETS_MAX, Webhook, WebhookRules,
        },
    },
    memory::Vault,
    proto::{self, webhook_service_server::WebhookService},
    store::{NewWebhook, RequestKey, WebhookCaller, WebhookStore, WebhookUpdate},
    webhooks_out::{Inbox, PushCredentials, Reach, make_secret, secret_bytes},
    wire::{
        encode,
        page::PageTokens,
        parse::{self, Fields},
    },
};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

/// Tries of a change whose webhook changes meanwhile.
const TRIES_MAX: usize = 8;
/// Why push notifications have no secrets.
const UNSIGNED: &str =
    "push notifications are not signed; `token` and `authorization` go with them";
/// What UpdateWebhook changes.
const PATHS: [&str; 7] = [
    "url",
    "kinds",
    "filter",
    "payload",
    "paused",
    "pause_reason",
    "display_name",
];

/// The service.
pub struct WebhookCalls {
    /// The rows.
    pub store: Arc<dyn WebhookStore>,
    /// Seals secrets.
    pub vault: Arc<Vault>,
    /// Which addresses may be called.
    pub reach: Reach,
    /// Who delivers.
    pub inbox: Arc<Inbox>,
    /// Of lists.
    pub pages: Arc<PageTokens>,
    /// What may change of the configuration.
    pub live: Arc<LiveConfig>,
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    result
        .map(Response::new)
        .map_err(|refusal| status(&refusal))
}

#[async_trait]
impl WebhookService for WebhookCalls {
    async fn create_webhook(
        &self,
        request: Request<proto::CreateWebhookRequest>,
    ) -> Answer<proto::CreateWebhookResponse> {
        let caller = identity(&request);
        answer(self.create(caller, request.into_inner()).await)
    }

    async fn list_webhooks(
        &self,
        request: Request<proto::ListWebhooksRequest>,
    ) -> Answer<proto::ListWebhooksResponse> {
        let caller = identity(&request);
        answer(self.list(&caller, request.into_inner()).await)
    }

    async fn update_webhook(
        &self,
        request: Request<proto::UpdateWebhookRequest>,
    ) -> Answer<proto::UpdateWebhookResponse> {
        let caller = identity(&request);
        answer(self.update(caller, request.into_inner()).await)
    }

    async fn delete_webhook(
        &self,
        request: Request<proto::DeleteWebhookRequest>,
    ) -> Answer<proto::DeleteWebhookResponse> {
        let caller = identity(&request);
        let mut request = request.into_inner();
        let deleted = async {
            let request_id = std::mem::take(&mut request.request_id);
            let mut fields = Fields::default();
            fields.request_id(&request_id);
            let id = webhook_id(&mut fields, &request.webhook_id);
            let id = fields.finish(id)?;
            // Of one that is gone nobody knows the row; a repeat has nothing to tell the task.
            let row = self.store.webhook(&caller.principal, id).await;
            let by = self.caller(caller, "DeleteWebhook", request_id, &request);
            let replayed = self.store.delete_webhook(by, id).await?;
            if let Ok(found) = row {
                self.inbox.changed(found.row);
            }
            Ok(proto::DeleteWebhookResponse { replayed })
        };
        answer(deleted.await)
    }

    async fn redeliver_webhook(
        &self,
        request: Request<proto::RedeliverWebhookRequest>,
    ) -> Answer<proto::RedeliverWebhookResponse> {
        let caller = identity(&request);
        let mut request = request.into_inner();
        let redelivered = async {
            let request_id = std::mem::take(&mut request.request_id);
            let mut fields = Fields::default();
            fields.request_id(&request_id);
            fields.not_negative("from_seq", request.from_seq);
            let id = webhook_id(&mut fields, &request.webhook_id);
            let from = match request.session_key.as_str() {
                "" => {
                    if request.from_seq != 0 {
                        fields.wrong("from_seq", "goes with session_key");
                    }
                    None
                }
                key => fields
                    .session_key("session_key", key)
                    .map(|key| (key, request.from_seq)),
            };
            let id = fields.finish(id)?;
            let by = self.caller(caller, "RedeliverWebhook", request_id, &request);
            let (webhook, replayed) = self.store.redeliver(by, id, from).await?;
            self.inbox.changed(webhook.row);
            Ok(proto::RedeliverWebhookResponse {
                webhook: Some(message(webhook)),
                replayed,
            })
        };
        answer(redelivered.await)
    }

    async fn list_deliveries(
        &self,
        request: Request<proto::ListDeliveriesRequest>,
    ) -> Answer<proto::ListDeliveriesResponse> {
        let caller = identity(&request);
        answer(self.deliveries(&caller, request.into_inner()).await)
    }
}

// === impl WebhookCalls ===

impl WebhookCalls {
    async fn create(
        &self,
        caller: Arc<Identity>,
        mut request: proto::CreateWebhookRequest,
    ) -> Result<proto::CreateWebhookResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let Some(asked) = request.webhook.clone() else {
            fields.wrong("webhook", "must be set");
            return Err(fields.check().expect_err("a field is wrong"));
        };
        let mut given = std::mem::take(&mut request.secrets);
        secrets(&mut fields, &given);
        let rules = self.content(&mut fields, &asked).await;
        let sent = [&mut request.token, &mut request.authorization].map(std::mem::take);
        let format = rules.as_ref().map(|rules| rules.format);
        let credentials = credentials(&mut fields, format, &sent, &given);
        let rules = fields.finish(rules)?;
        let mut made = String::new();
        if let Some(credentials) = credentials {
            // What they were stands in the request's hash, and they themselves do not.
            request.secrets = self.digests(&sent);
            given.push(credentials.to_text());
        } else if given.is_empty() {
            made = make_secret().expose_secret().to_owned();
            given.push(made.clone());
        } else {
            // Which they were stands in the request's hash, and they themselves do not.
            request.secrets = self.digests(&given);
        }
        let webhook_id = Uuid::new_v4();
        let new = NewWebhook {
            caller: self.caller(caller, "CreateWebhook", request_id, &request),
            webhook_id,
            rules,
            paused: asked.paused,
            pause_reason: asked.pause_reason,
            secrets: self.sealed(webhook_id, &given)?,
        };
        let (webhook, replayed) = self.store.create_webhook(new).await?;
        if !replayed {
            self.inbox.changed(webhook.row);
        }
        Ok(proto::CreateWebhookResponse {
            webhook: Some(message(webhook)),
            secret: if replayed { String::new() } else { made },
            replayed,
        })
    }

    async fn update(
        &self,
        caller: Arc<Identity>,
        mut request: proto::UpdateWebhookRequest,
    ) -> Result<proto::UpdateWebhookResponse, Refusal> {
        let request_id = std::mem::take(&mut request.request_id);
        let given = std::mem::take(&mut request.secrets);
        let mut fields = Fields::default();
        fields.request_id(&request_id);
        let id = webhook_id(&mut fields, &request.webhook_id);
        secrets(&mut fields, &given);
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        if paths.is_empty() && given.is_empty() {
            let problem = format!("must name what changes: {}", PATHS.join(", "));
            fields.wrong("update_mask", problem);
        }
        for (at, path) in paths.iter().enumerate().take(PATHS.len() * 2) {
            if !PATHS.contains(&path.as_str()) {
                let problem = format!("can't be changed; {} can", PATHS.join(", "));
                fields.wrong(format!("update_mask.paths[{at}]"), problem);
            }
        }
        let id = fields.finish(id)?;
        request.secrets = self.digests(&given);
        let new = request.webhook.clone().unwrap_or_default();
        for _ in 0..TRIES_MAX {
            let before = self.store.webhook(&caller.principal, id).await?;
            let (version, was_paused) = (before.version, before.paused);
            let (turn_id, format) = (before.rules.turn_id, before.rules.format);
            let mut merged = merge(message(before), &new, &paths);
            if was_paused && !merged.paused && !paths.iter().any(|path| path == "pause_reason") {
                merged.pause_reason.clear();
            }
            let mut fields = Fields::default();
            let rules = self.content(&mut fields, &merged).await;
            if format == Format::A2a && !given.is_empty() {
                fields.wrong("secrets", UNSIGNED);
            }
            if rules.as_ref().is_some_and(|rules| rules.turn_id != turn_id) {
                fields.wrong("webhook.filter.turn_id", "stays what it was made with");
            }
            let rules = fields.finish(rules)?;
            let update = WebhookUpdate {
                new: NewWebhook {
                    caller: self.caller(
                        caller.clone(),
                        "UpdateWebhook",
                        request_id.clone(),
                        &request,
                    ),
                    webhook_id: id,
                    rules,
                    paused: merged.paused,
                    pause_reason: merged.pause_reason,
                    secrets: self.sealed(id, &given)?,
                },
                version,
            };
            if let Some((webhook, replayed)) = self.store.update_webhook(update).await? {
                self.inbox.changed(webhook.row);
                return Ok(proto::UpdateWebhookResponse {
                    webhook: Some(message(webhook)),
                    replayed,
                });
            }
        }
        Err(Refusal::StoreUnavailable)
    }

    async fn list(
        &self,
        caller: &Identity,
        request: proto::ListWebhooksRequest,
    ) -> Result<proto::ListWebhooksResponse, Refusal> {
        let mut fields = Fields::default();
        let limit = fields.page_size(request.page_size);
        let list = self.pages.list(caller, "webhooks");
        let after = list.position(&mut fields, &request.page_token);
        fields.check()?;
        let after = after.map(|[after]| after);
        let page = self.store.list_webhooks(&caller.principal, after, limit);
        let (found, next) = page.await?;
        Ok(proto::ListWebhooksResponse {
            webhooks: found.into_iter().map(message).collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    async fn deliveries(
        &self,
        caller: &Identity,
        request: proto::ListDeliveriesRequest,
    ) -> Result<proto::ListDeliveriesResponse, Refusal> {
        let mut fields = Fields::default();
        let id = webhook_id(&mut fields, &request.webhook_id);
        let kept = usize::try_from(DELIVERIES_KEPT).unwrap_or(usize::MAX);
        let limit = fields.page_size(request.page_size).min(kept);
        let query = format!("deliveries {}", request.webhook_id);
        let list = self.pages.list(caller, &query);
        let before = list.position(&mut fields, &request.page_token);
        let id = fields.finish(id)?;
        let before = before.map(|[before]| before);
        let page = self.store.deliveries(&caller.principal, id, before, limit);
        let (found, next) = page.await?;
        Ok(proto::ListDeliveriesResponse {
            deliveries: found.into_iter().map(delivery).collect(),
            next_page_token: list.token(next.map(|next| [next])),
        })
    }

    /// What every change carries. `request` is the request with its `request_id` and its secrets taken out.
    fn caller(
        &self,
        identity: Arc<Identity>,
        method: &'static str,
        request_id: String,
        request: &impl prost::Message,
    ) -> WebhookCaller {
        WebhookCaller {
            until: right_ends(&identity, self.live.current().config.max_key_ttl),
            identity,
            request: (!request_id.is_empty()).then(|| RequestKey {
                request_id,
                method,
                hash: parse::request_hash(request),
            }),
            now: clock::now(),
        }
    }

    /// Reads a webhook's content; what is wrong is told of fields of `webhook`.
    async fn content(&self, fields: &mut Fields, asked: &proto::Webhook) -> Option<WebhookRules> {
        let proto::Webhook {
            webhook_id: _,
            url,
            kinds,
            filter,
            payload,
            paused: _,
            pause_reason,
            secret_count: _,
            owner: _,
            create_time: _,
            failing_since: _,
            next_try_time: _,
            display_name,
            format,
        } = asked;
        let format = match proto::WebhookFormat::try_from(*format) {
            Ok(proto::WebhookFormat::Unspecified | proto::WebhookFormat::Standard) => {
                Format::Standard
            }
            Ok(proto::WebhookFormat::A2a) => Format::A2a,
            Err(_) => {
                fields.wrong("webhook.format", "is no value of WebhookFormat");
                Format::Standard
            }
        };
        let url = match self.reach.read(url).await {
            Ok(url) => Some(url.to_string()),
            Err(problem) => {
                fields.wrong("webhook.url", problem);
                None
            }
        };
        let mut numbers = Vec::new();
        for (at, kind) in fields.kinds("webhook.kinds", kinds).into_iter().enumerate() {
            if !kind.is_durable() {
                let problem = "is told only to those who subscribe; durable kinds are";
                fields.wrong(format!("webhook.kinds[{at}]"), problem);
            }
            numbers.push(kind.0);
        }
        if format == Format::A2a {
            let own = A2A_KINDS.map(|kind| kind.0).to_vec();
            if !numbers.is_empty() && numbers != own {
                fields.wrong("webhook.kinds", "are chosen by format A2A");
            }
            numbers = own;
        }
        let proto::WebhookFilter {
            session_key,
            session_key_prefix,
            agent,
            labels,
            turn_id,
        } = filter.clone().unwrap_or_default();
        let turn_id = fields.optional_turn_id("webhook.filter.turn_id", &turn_id);
        if turn_id.is_some() && session_key.is_empty() {
            let problem = "must be set with turn_id: the turn's session";
            fields.wrong("webhook.filter.session_key", problem);
        }
        if turn_id.is_some() && !numbers.is_empty() && !numbers.contains(&EventKind::TURN_ENDED.0) {
            let problem = "must have turn_ended, with which the webhook of a turn ends";
            fields.wrong("webhook.kinds", problem);
        }
        if turn_id.is_none() && format == Format::A2a {
            let problem = "must be set with format A2A: push notifications tell of one turn";
            fields.wrong("webhook.filter.turn_id", problem);
        }
        if !session_key.is_empty() {
            let _: Option<SessionKey> =
                fields.session_key("webhook.filter.session_key", &session_key);
        }
        fields.text(
            "webhook.filter.session_key_prefix",
            &session_key_prefix,
            NAME_MAX_BYTES,
        );
        fields.text("webhook.filter.agent", &agent, NAME_MAX_BYTES);
        fields.labels("webhook.filter.labels", &labels);
        fields.text("webhook.pause_reason", pause_reason, PAUSE_REASON_MAX_BYTES);
        fields.text("webhook.display_name", display_name, DISPLAY_NAME_MAX_BYTES);
        let full = match proto::WebhookPayload::try_from(*payload) {
            Ok(proto::WebhookPayload::Unspecified | proto::WebhookPayload::Thin) => false,
            Ok(proto::WebhookPayload::Full) => true,
            Err(_) => {
                fields.wrong("webhook.payload", "is no value of WebhookPayload");
                false
            }
        };
        Some(WebhookRules {
            url: url?,
            kinds: numbers,
            session_key,
            key_prefix: session_key_prefix,
            agent,
            labels,
            full,
            display_name: display_name.clone(),
            turn_id,
            format,
        })
    }

    fn digests(&self, secrets: &[String]) -> Vec<String> {
        let one = |secret: &String| {
            let digest = self.vault.digest(&[b"webhook", secret.as_bytes()]);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        secrets.iter().map(one).collect()
    }

    fn sealed(&self, webhook_id: Uuid, secrets: &[String]) -> Result<Vec<Vec<u8>>, Refusal> {
        let sealed = secrets
            .iter()
            .map(|secret| self.vault.seal(webhook_id, secret));
        let sealed: Result<Vec<_>, _> = sealed.collect();
        sealed.map_err(|_| Refusal::SecretUnreadable)
    }
}

fn secrets(fields: &mut Fields, given: &[String]) {
    if given.len() > SECRETS_MAX {
        fields.wrong("secrets", format!("must be at most {SECRETS_MAX}"));
    }
    for (at, secret) in given.iter().enumerate().take(SECRETS_MAX) {
        if let Err(problem) = secret_bytes(secret) {
            fields.wrong(format!("secrets[{at}]"), problem);
        }
    }
}

/// What push notifications carry; `None` where they are none, or something is wrong.
fn credentials(
    fields: &mut Fields,
    format: Option<Format>,
    [token, authorization]: &[String; 2],
    secrets: &[String],
) -> Option<PushCredentials> {
    match format? {
        Format::A2a => {
            if !secrets.is_empty() {
                fields.wrong("secrets", UNSIGNED);
            }
            let read = PushCredentials::new(token, authorization);
            let wrong = match read {
                Ok(credentials) => return Some(credentials),
                Err(wrong) => wrong,
            };
            for (name, problem) in wrong {
                fields.wrong(name, problem);
            }
        }
        Format::Standard => {
            for (name, text) in [("token", token), ("authorization", authorization)] {
                if !text.is_empty() {
                    fields.wrong(name, "goes with format A2A; others are signed");
                }
            }
        }
    }
    None
}

fn webhook_id(fields: &mut Fields, text: &str) -> Option<Uuid> {
    let id = text.parse().ok();
    if id.is_none() {
        fields.wrong("webhook_id", "must be the id of a webhook, a UUID");
    }
    id
}

/// A webhook with the values of another one where the paths say so.
fn merge(mut merged: proto::Webhook, new: &proto::Webhook, paths: &[String]) -> proto::Webhook {
    for path in paths {
        match path.as_str() {
            "url" => merged.url.clone_from(&new.url),
            "kinds" => merged.kinds.clone_from(&new.kinds),
            "filter" => merged.filter.clone_from(&new.filter),
            "payload" => merged.payload = new.payload,
            "paused" => merged.paused = new.paused,
            "pause_reason" => merged.pause_reason.clone_from(&new.pause_reason),
            "display_name" => merged.display_name.clone_from(&new.display_name),
            _ => unreachable!("the paths were checked"),
        }
    }
    merged
}

fn message(webhook: Webhook) -> proto::Webhook {
    let Webhook {
        row: _,
        webhook_id,
        owner,
        rules,
        paused,
        pause_reason,
        secret_count,
        failures: _,
        failing_since,
        next_try,
        create_time,
        version: _,
    } = webhook;
    let WebhookRules {
        url,
        kinds,
        session_key,
        key_prefix,
        agent,
        labels,
        full,
        display_name,
        turn_id,
        format,
    } = rules;
    let filter = proto::WebhookFilter {
        session_key,
        session_key_prefix: key_prefix,
        agent,
        labels,
        turn_id: turn_id.map(|id| id.to_string()).unwrap_or_default(),
    };
    let (format, secret_count) = match format {
        Format::Standard => (proto::WebhookFormat::Standard, secret_count),
        Format::A2a => (proto::WebhookFormat::A2a, 0),
    };
    let payload = match full {
        true => proto::WebhookPayload::Full,
        false => proto::WebhookPayload::Thin,
    };
    proto::Webhook {
        webhook_id: webhook_id.to_string(),
        url,
        kinds: kinds
            .into_iter()
            .map(|number| EventKind(number).name().to_owned())
            .collect(),
        filter: (filter != proto::WebhookFilter::default()).then_some(filter),
        payload: payload.into(),
        paused,
        pause_reason,
        secret_count: i32::try_from(secret_count).unwrap_or(i32::MAX),
        owner: owner.principal.to_string(),
        create_time: Some(encode::timestamp(create_time)),
        failing_since: failing_since.map(encode::timestamp),
        next_try_time: next_try.map(encode::timestamp),
        display_name,
        format: format.into(),
    }
}

fn delivery(delivery: Delivery) -> proto::Delivery {
    let Delivery {
        log_id,
        session_key,
        seq,
        kind,
        state,
        tries,
        status,
        problem,
        first_try,
        last_try,
    } = delivery;
    proto::Delivery {
        delivery_id: format!("{log_id}:{seq}"),
        session_key,
        seq,
        kind: kind.name().to_owned(),
        state: state as i32,
        tries: i32::try_from(tries).unwrap_or(i32::MAX),
        status_code: status.into(),
        problem,
        first_try_time: Some(encode::timestamp(first_try)),
        last_try_time: Some(encode::timestamp(last_try)),
    }
}
