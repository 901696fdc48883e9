//! Lists page after page, schedules and webhooks.

use crate::{Request, answers::Failure};
use quarterdeck::{
    client::{Client, Pages},
    proto::{
        Artifact, CreateScheduleRequest, CreateWebhookRequest, DeleteScheduleRequest,
        DeleteWebhookRequest, EnqueueRequest, ListArtifactsRequest, ListScheduleRunsRequest,
        ListSchedulesRequest, ListSessionsRequest, ListTurnsRequest, ListWebhooksRequest,
        RunScheduleNowRequest, Schedule, ScheduleRun, ScheduleSpec, Webhook, schedule_spec::When,
    },
};
use serde_json::{Value, json};

/// What is done here.
pub const OPS: [&str; 11] = [
    "all_sessions",
    "all_turns",
    "all_schedules",
    "all_schedule_runs",
    "create_schedule",
    "run_schedule_now",
    "delete_schedule",
    "create_webhook",
    "all_webhooks",
    "delete_webhook",
    "all_artifacts",
];

pub async fn call(client: &Client, request: &Request) -> Result<Value, Failure> {
    let page_size = request.number("page_size").unwrap_or_default() as i32;
    let (schedule_name, session_key) = (request.text("schedule_name"), request.text("session_key"));
    Ok(match request.text("op").as_str() {
        "all_sessions" => {
            let all = client.all_sessions(ListSessionsRequest {
                page_size,
                ..ListSessionsRequest::default()
            });
            json!({"session_keys": collect(request, all, |it| it.session_key).await?})
        }
        "all_turns" => {
            let all = client.all_turns(ListTurnsRequest {
                session_key,
                page_size,
                ..ListTurnsRequest::default()
            });
            json!({"turn_ids": collect(request, all, |it| it.turn_id).await?})
        }
        "all_schedules" => {
            let all = client.all_schedules(ListSchedulesRequest {
                page_size,
                ..ListSchedulesRequest::default()
            });
            json!({"schedule_names": collect(request, all, |it| it.schedule_name).await?})
        }
        "all_schedule_runs" => {
            let all = client.all_schedule_runs(ListScheduleRunsRequest {
                schedule_name,
                page_size,
                ..ListScheduleRunsRequest::default()
            });
            json!({"runs": collect(request, all, |it| shown(&it)).await?})
        }
        "create_schedule" => {
            let schedule = Schedule {
                schedule_name,
                spec: Some(ScheduleSpec {
                    when: Some(When::Cron(request.text("cron"))),
                    ..ScheduleSpec::default()
                }),
                enqueue: Some(EnqueueRequest {
                    session_key,
                    text: request.text("text"),
                    ..EnqueueRequest::default()
                }),
                ..Schedule::default()
            };
            let asked = CreateScheduleRequest {
                schedule: Some(schedule),
                request_id: request.text("request_id"),
            };
            let answer = client.create_schedule(asked).await?;
            let owner = answer.schedule.unwrap_or_default().owner;
            json!({"replayed": answer.replayed, "owner": owner})
        }
        "run_schedule_now" => {
            let asked = RunScheduleNowRequest {
                schedule_name,
                ..RunScheduleNowRequest::default()
            };
            let run = client
                .run_schedule_now(asked)
                .await?
                .run
                .unwrap_or_default();
            json!({"session_key": run.session_key, "turn_id": run.turn_id})
        }
        "create_webhook" => {
            let asked = CreateWebhookRequest {
                webhook: Some(Webhook {
                    url: request.text("url"),
                    ..Webhook::default()
                }),
                secrets: Vec::new(),
                request_id: request.text("request_id"),
                ..Default::default()
            };
            let answer = client.create_webhook(asked).await?;
            let webhook_id = answer.webhook.unwrap_or_default().webhook_id;
            json!({"webhook_id": webhook_id, "secret": answer.secret, "replayed": answer.replayed})
        }
        "all_webhooks" => {
            let all = client.all_webhooks(ListWebhooksRequest {
                page_size,
                ..ListWebhooksRequest::default()
            });
            json!({"urls": collect(request, all, |it| it.url).await?})
        }
        "delete_webhook" => {
            let asked = DeleteWebhookRequest {
                webhook_id: request.text("webhook_id"),
                ..DeleteWebhookRequest::default()
            };
            client.delete_webhook(asked).await?;
            json!({})
        }
        "all_artifacts" => {
            let all = client.all_artifacts(ListArtifactsRequest {
                session_key,
                page_size,
                ..ListArtifactsRequest::default()
            });
            let name = |it: Artifact| it.attachment.unwrap_or_default().name;
            json!({"names": collect(request, all, name).await?})
        }
        _ => {
            let asked = DeleteScheduleRequest {
                schedule_name,
                ..DeleteScheduleRequest::default()
            };
            client.delete_schedule(asked).await?;
            json!({})
        }
    })
}

fn shown(run: &ScheduleRun) -> String {
    let trigger = run.trigger().as_str_name();
    let outcome = run.outcome().as_str_name();
    format!(
        "{} {}",
        trigger.trim_start_matches("SCHEDULE_TRIGGER_"),
        outcome.trim_start_matches("SCHEDULE_OUTCOME_"),
    )
}

/// What an iterator gives, or its first `at_most`.
async fn collect<Item>(
    request: &Request,
    mut all: Pages<Item>,
    text: impl Fn(Item) -> String,
) -> Result<Vec<String>, Failure> {
    let most = request.number("at_most").unwrap_or(i64::MAX);
    let mut found = Vec::new();
    while (found.len() as i64) < most
        && let Some(item) = all.next().await
    {
        found.push(text(item?));
    }
    Ok(found)
}
