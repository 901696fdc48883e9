//! Push notifications: where a task's updates are posted to. A configuration is a webhook of one turn, in the protocol's
//! format, so that the webhooks' rules hold: which addresses may be called, tries, order, bounds, whose right it is. It is its
//! owner's alone, and ends with the task. A client's own id of it is the webhook's name; the token and the credentials that are
//! sent along are never shown again.

use super::{Fault, tasks::of_name};
use crate::{
    edge::turns::Caller,
    proto::{
        CreateWebhookRequest, CreateWebhookResponse, DeleteWebhookRequest, DeleteWebhookResponse,
        ListWebhooksRequest, ListWebhooksResponse, Webhook, WebhookFilter, WebhookFormat,
    },
    wire::a2a::TaskId,
};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

/// Webhooks that one call asks for: as many as a tenant has.
const PAGE: i32 = 1000;

/// What a client asks for.
pub(super) struct Config {
    id: String,
    url: String,
    token: String,
    authorization: String,
}

// === impl Config ===

impl Config {
    pub(super) fn of(said: &Map<String, Json>) -> Result<Self, Fault> {
        let text = |name: &str| match said.get(name) {
            None | Some(Json::Null) => Ok(String::new()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(_) => Err(Fault::invalid(&format!("{name} must be a string"))),
        };
        let url = text("url")?;
        if url.is_empty() {
            return Err(Fault::invalid("url is missing"));
        }
        let authentication = said.get("authentication").unwrap_or(&Json::Null);
        let of = |name: &str| authentication[name].as_str().unwrap_or_default();
        let authorization = match (of("scheme"), of("credentials")) {
            ("", "") | (_, "") => String::new(),
            ("", _) => return Err(Fault::invalid("authentication.scheme is missing")),
            (scheme, credentials) => format!("{scheme} {credentials}"),
        };
        Ok(Self {
            id: text("id")?,
            url,
            token: text("token")?,
            authorization,
        })
    }

    /// Has a task's updates pushed from its beginning on. The same `request_id` again does it once.
    pub(super) async fn keep(
        self,
        caller: &Caller,
        task: &TaskId,
        request_id: &str,
    ) -> Result<Webhook, Fault> {
        let filter = WebhookFilter {
            session_key: task.session_key.clone(),
            turn_id: task.turn_id.clone(),
            ..WebhookFilter::default()
        };
        let request = CreateWebhookRequest {
            webhook: Some(Webhook {
                url: self.url,
                filter: Some(filter),
                format: WebhookFormat::A2a.into(),
                display_name: self.id,
                ..Webhook::default()
            }),
            token: self.token,
            authorization: self.authorization,
            request_id: request_id.into(),
            ..CreateWebhookRequest::default()
        };
        let made: CreateWebhookResponse = caller
            .ask("/quarterdeck.v1.WebhookService/CreateWebhook", &request)
            .await?;
        Ok(made.webhook.unwrap_or_default())
    }
}

/// `CreateTaskPushNotificationConfig`. One with an id that the task has already takes the other's place.
pub(super) async fn create(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<Json, Fault> {
    let config = Config::of(params)?;
    let (id, turn) = of_name(caller, agent, &text(params, "taskId")).await?;
    if turn.end_time.is_some() {
        return Err(Fault::unsupported("the task has ended: get it"));
    }
    let before = match config.id.as_str() {
        "" => Vec::new(),
        _ => of_task(caller, &id).await?,
    };
    let before = before.into_iter().find(|it| id_of(it) == config.id);
    let made = config.keep(caller, &id, "").await?;
    if let Some(before) = before {
        forget(caller, before).await?;
    }
    Ok(shown(&id, &made))
}

/// `GetTaskPushNotificationConfig`.
pub(super) async fn get(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<Json, Fault> {
    let (id, webhook) = named(caller, agent, params).await?;
    Ok(shown(&id, &webhook))
}

/// `ListTaskPushNotificationConfigs`: one's own, the oldest first.
pub(super) async fn list(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<Json, Fault> {
    let (id, _) = of_name(caller, agent, &text(params, "taskId")).await?;
    let token = text(params, "pageToken");
    let from = match token.as_str() {
        "" => 0,
        token => token
            .parse::<usize>()
            .map_err(|_| Fault::invalid("pageToken is none of this list"))?,
    };
    let size = params.get("pageSize").and_then(Json::as_u64);
    let size = usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX);
    let size = if size == 0 { usize::MAX } else { size };
    let all = of_task(caller, &id).await?;
    let page = all.iter().skip(from).take(size);
    let configs: Vec<Json> = page.map(|it| shown(&id, it)).collect();
    let end = from.saturating_add(configs.len());
    let next = if end < all.len() {
        end.to_string()
    } else {
        String::new()
    };
    Ok(json!({ "configs": configs, "nextPageToken": next }))
}

/// `DeleteTaskPushNotificationConfig`.
pub(super) async fn delete(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<Json, Fault> {
    let (_, webhook) = named(caller, agent, params).await?;
    forget(caller, webhook).await?;
    Ok(json!({}))
}

fn text(params: &Map<String, Json>, name: &str) -> String {
    let text = params.get(name).and_then(Json::as_str);
    text.unwrap_or_default().to_owned()
}

/// The client's own id of a configuration, else ours.
fn id_of(webhook: &Webhook) -> &str {
    match webhook.display_name.as_str() {
        "" => &webhook.webhook_id,
        own => own,
    }
}

fn shown(id: &TaskId, webhook: &Webhook) -> Json {
    json!({ "id": id_of(webhook), "taskId": id.to_string(), "url": webhook.url })
}

/// The configuration that a request names.
async fn named(
    caller: &Caller,
    agent: &str,
    params: &Map<String, Json>,
) -> Result<(TaskId, Webhook), Fault> {
    let (id, _) = of_name(caller, agent, &text(params, "taskId")).await?;
    let name = text(params, "id");
    let all = of_task(caller, &id).await?;
    match all.into_iter().find(|it| id_of(it) == name) {
        Some(webhook) => Ok((id, webhook)),
        None => Err(Fault::new(
            StatusCode::NOT_FOUND,
            "TASK_NOT_FOUND",
            &format!("the task has no push notification config {name}"),
        )),
    }
}

/// One's own configurations of a task.
async fn of_task(caller: &Caller, id: &TaskId) -> Result<Vec<Webhook>, Fault> {
    let mut request = ListWebhooksRequest {
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut found = Vec::new();
    loop {
        let page: ListWebhooksResponse = caller
            .ask("/quarterdeck.v1.WebhookService/ListWebhooks", &request)
            .await?;
        found.extend(page.webhooks.into_iter().filter(|it| {
            let turn = it.filter.as_ref().map(|filter| filter.turn_id.as_str());
            it.format() == WebhookFormat::A2a && turn == Some(id.turn_id.as_str())
        }));
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

async fn forget(caller: &Caller, webhook: Webhook) -> Result<(), Fault> {
    let request = DeleteWebhookRequest {
        webhook_id: webhook.webhook_id,
        request_id: String::new(),
    };
    let _: DeleteWebhookResponse = caller
        .ask("/quarterdeck.v1.WebhookService/DeleteWebhook", &request)
        .await?;
    Ok(())
}
