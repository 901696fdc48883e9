//! `webhooks`: what happens in sessions, posted to addresses.

use super::{
    arguments::{
        ClientArgs, CreateWebhookArgs, DeliveriesArgs, NamedWebhookArgs, RedeliverArgs, ToldArgs,
        UpdateWebhookArgs, WebhooksArgs, WebhooksVerb,
    },
    failure::{Failure, NO_INPUT, USAGE},
    output::{self, date},
};
use quarterdeck::proto::{self, Delivery, DeliveryState, Webhook, WebhookFilter, WebhookPayload};
use std::{fs, path::Path, process::ExitCode};

/// Rows that one call asks for.
const PAGE: i32 = 500;

pub(crate) async fn webhooks(arguments: WebhooksArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        WebhooksVerb::Create(arguments) => create(*arguments).await,
        WebhooksVerb::List(arguments) => list(arguments).await,
        WebhooksVerb::Update(arguments) => update(*arguments).await,
        WebhooksVerb::Delete(arguments) => delete(arguments).await,
        WebhooksVerb::Redeliver(arguments) => redeliver(arguments).await,
        WebhooksVerb::Deliveries(arguments) => deliveries(arguments).await,
    }
}

async fn create(arguments: CreateWebhookArgs) -> Result<ExitCode, Failure> {
    let CreateWebhookArgs {
        url,
        told,
        full,
        secret_file,
        display_name,
        client: client_arguments,
    } = arguments;
    let payload = match full {
        true => WebhookPayload::Full,
        false => WebhookPayload::Thin,
    };
    let webhook = Webhook {
        url,
        kinds: told.kinds.clone(),
        filter: filter(told),
        payload: payload.into(),
        display_name,
        ..Webhook::default()
    };
    let request = proto::CreateWebhookRequest {
        webhook: Some(webhook),
        secrets: secrets(secret_file.as_deref())?,
        ..proto::CreateWebhookRequest::default()
    };
    let made = client_arguments
        .client()?
        .create_webhook(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("CreateWebhookResponse", &made)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_one(&made.webhook.unwrap_or_default())?;
    if !made.secret.is_empty() {
        output::line(&format!("secret {}", made.secret))?;
        output::notice("keep the secret: it is not shown again");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: ClientArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let mut webhooks = client.all_webhooks(proto::ListWebhooksRequest {
        page_size: PAGE,
        ..Default::default()
    });
    let mut none = true;
    while let Some(webhook) = webhooks.next().await {
        let webhook = webhook.map_err(|status| Failure::call(&arguments.addr, &status))?;
        none = false;
        match arguments.json {
            true => output::json("Webhook", &webhook)?,
            false => print_one(&webhook)?,
        }
    }
    if none && !arguments.json {
        output::notice("you have no webhooks");
    }
    Ok(ExitCode::SUCCESS)
}

async fn update(arguments: UpdateWebhookArgs) -> Result<ExitCode, Failure> {
    let UpdateWebhookArgs {
        webhook,
        url,
        told,
        all,
        full,
        thin,
        secret_file,
        pause,
        resume,
        client: client_arguments,
    } = arguments;
    let mut new = Webhook::default();
    let mut paths = Vec::new();
    if let Some(url) = url {
        new.url = url;
        paths.push("url");
    }
    if all || !told.kinds.is_empty() {
        new.kinds.clone_from(&told.kinds);
        paths.push("kinds");
    }
    new.filter = filter(told);
    if all || new.filter.is_some() {
        paths.push("filter");
    }
    if full || thin {
        let payload = match full {
            true => WebhookPayload::Full,
            false => WebhookPayload::Thin,
        };
        new.payload = payload.into();
        paths.push("payload");
    }
    if let Some(reason) = pause {
        new.paused = true;
        new.pause_reason = reason;
        paths.extend(["paused", "pause_reason"]);
    } else if resume {
        paths.push("paused");
    }
    let secrets = secrets(secret_file.as_deref())?;
    if paths.is_empty() && secrets.is_empty() {
        let problem = "nothing to change; `webhooks update --help` says what can be";
        return Err(Failure::new(USAGE, problem));
    }
    let request = proto::UpdateWebhookRequest {
        webhook_id: webhook,
        webhook: Some(new),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.into_iter().map(str::to_owned).collect(),
        }),
        secrets,
        request_id: String::new(),
    };
    let changed = client_arguments
        .client()?
        .update_webhook(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    print_whole(changed.webhook, &client_arguments)
}

async fn delete(arguments: NamedWebhookArgs) -> Result<ExitCode, Failure> {
    let NamedWebhookArgs {
        webhook,
        client: client_arguments,
    } = arguments;
    let request = proto::DeleteWebhookRequest {
        webhook_id: webhook.clone(),
        request_id: String::new(),
    };
    let deleted = client_arguments
        .client()?
        .delete_webhook(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("DeleteWebhookResponse", &deleted)?;
    } else {
        output::line(&format!("deleted {webhook}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn redeliver(arguments: RedeliverArgs) -> Result<ExitCode, Failure> {
    let RedeliverArgs {
        webhook,
        session,
        from,
        client: client_arguments,
    } = arguments;
    let request = proto::RedeliverWebhookRequest {
        webhook_id: webhook,
        session_key: session.unwrap_or_default(),
        from_seq: from.unwrap_or(0),
        request_id: String::new(),
    };
    let tried = client_arguments
        .client()?
        .redeliver_webhook(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    print_whole(tried.webhook, &client_arguments)
}

async fn deliveries(arguments: DeliveriesArgs) -> Result<ExitCode, Failure> {
    let DeliveriesArgs {
        webhook,
        limit,
        client: client_arguments,
    } = arguments;
    // As many as are kept fit into one page.
    let request = proto::ListDeliveriesRequest {
        webhook_id: webhook,
        page_size: i32::try_from(limit).unwrap_or(i32::MAX).clamp(1, PAGE),
        page_token: String::new(),
    };
    let page = client_arguments
        .client()?
        .list_deliveries(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if page.deliveries.is_empty() && !client_arguments.json {
        output::notice("nothing was delivered yet");
    }
    for delivery in page.deliveries.iter().take(limit) {
        match client_arguments.json {
            true => output::json("Delivery", delivery)?,
            false => print_delivery(delivery)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(told: ToldArgs) -> Option<WebhookFilter> {
    let ToldArgs {
        kinds: _,
        session,
        turn,
        session_prefix,
        agent,
        labels,
    } = told;
    let filter = WebhookFilter {
        session_key: session.unwrap_or_default(),
        session_key_prefix: session_prefix.unwrap_or_default(),
        agent: agent.unwrap_or_default(),
        labels: labels.into_iter().collect(),
        turn_id: turn.unwrap_or_default(),
    };
    (filter != WebhookFilter::default()).then_some(filter)
}

/// Secrets, one a line.
fn secrets(file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::new(NO_INPUT, format!("can't read {}: {error}", file.display()))
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<String> = lines.map(str::to_owned).collect();
    if secrets.is_empty() {
        let problem = format!("{} holds no secret", file.display());
        return Err(Failure::new(NO_INPUT, problem));
    }
    Ok(secrets)
}

fn print_whole(webhook: Option<Webhook>, arguments: &ClientArgs) -> Result<ExitCode, Failure> {
    let webhook = webhook.unwrap_or_default();
    match arguments.json {
        true => output::json("Webhook", &webhook)?,
        false => print_one(&webhook)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_one(webhook: &Webhook) -> Result<(), Failure> {
    let kinds = match webhook.kinds.is_empty() {
        true => "all events".to_owned(),
        false => webhook.kinds.join(", "),
    };
    let mut line = format!("{} {}: {kinds}", webhook.webhook_id, webhook.url);
    if !webhook.display_name.is_empty() {
        line.push_str(&format!(" ({})", webhook.display_name));
    }
    let turn = webhook.filter.as_ref().map(|it| it.turn_id.as_str());
    if let Some(turn) = turn.filter(|turn| !turn.is_empty()) {
        line.push_str(&format!(", of turn {turn}"));
    }
    if webhook.paused {
        line.push_str(match webhook.pause_reason.as_str() {
            "" => ", paused",
            _ => ", paused: ",
        });
        line.push_str(&webhook.pause_reason);
    } else if let Some(since) = webhook.failing_since {
        line.push_str(&format!(
            ", failing since {}, next try {}",
            date(Some(since)),
            date(webhook.next_try_time)
        ));
    }
    output::line(&line)
}

fn print_delivery(delivery: &Delivery) -> Result<(), Failure> {
    let state = match delivery.state() {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
        DeliveryState::Skipped => "skipped",
        DeliveryState::Unspecified => "",
    };
    let mut came = state.to_owned();
    if delivery.status_code != 0 {
        came.push_str(&format!(" ({})", delivery.status_code));
    }
    if !delivery.problem.is_empty() {
        came.push_str(&format!(": {}", delivery.problem));
    }
    output::line(&format!(
        "{} {} {} of {}, try {}: {came}",
        date(delivery.last_try_time),
        delivery.kind,
        delivery.seq,
        delivery.session_key,
        delivery.tries
    ))
}
