//! `sessions create|show|update|fork`: one session.

use super::{
    arguments::{
        ClientArgs, CreateSessionArgs, ForkArgs, NewSessionArgs, Nobody, QuestionSettings,
        ShowSessionArgs, UpdateSessionArgs,
    },
    failure::Failure,
    output,
    send::duration,
    sessions::{print_session, state_word},
    usage::count_of,
};
use quarterdeck::{
    client::Client,
    proto::{self, NoApprover, SessionSnapshot, Usage},
};
use std::{process::ExitCode, time::Duration};
use tonic::Status;

pub(crate) async fn create(arguments: CreateSessionArgs) -> Result<ExitCode, Failure> {
    let CreateSessionArgs {
        session,
        new,
        questions,
        expire_after_idle,
        memory_namespaces,
        client,
    } = arguments;
    let NewSessionArgs {
        agent,
        model,
        thinking_level,
        cwd,
        display_name,
        labels,
    } = new;
    let QuestionSettings {
        no_approver,
        question_ttl,
    } = questions;
    let request = proto::CreateSessionRequest {
        session_key: session,
        agent,
        model,
        thinking_level,
        labels: labels.into_iter().collect(),
        cwd,
        display_name,
        expire_after_idle: expire_after_idle.map(duration).transpose()?,
        memory_namespaces,
        no_approver: no_approver.map_or(0, |it| NoApprover::from(it).into()),
        question_ttl: question_ttl.map(duration).transpose()?,
        ..proto::CreateSessionRequest::default()
    };
    let created = client.client()?.create_session(request).await;
    told(&client, created.map(|it| it.session))
}

pub(crate) async fn show(arguments: ShowSessionArgs) -> Result<ExitCode, Failure> {
    let ShowSessionArgs { session, client } = arguments;
    let found = read(&client.client()?, &session).await;
    let found = found.map_err(|status| Failure::call(&client.addr, &status))?;
    if client.json {
        output::json("SessionSnapshot", &found)?;
    } else {
        output::write(&output::table(&rows(found)))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn update(arguments: UpdateSessionArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client.client()?;
    let failed = |status| Failure::call(&arguments.client.addr, &status);
    let relabels = !(arguments.labels.is_empty() && arguments.removed_labels.is_empty());
    let present = match relabels {
        true => read(&client, &arguments.session).await.map_err(failed)?,
        false => SessionSnapshot::default(),
    };
    let (session, paths) = changes(&arguments, present)?;
    if paths.is_empty() {
        let nothing = "nothing to change: name what, such as --display-name NAME (`quarterdeck sessions update --help`)";
        return Err(Failure::new(super::failure::USAGE, nothing));
    }
    let request = proto::UpdateSessionRequest {
        session_key: arguments.session.clone(),
        session: Some(session),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..proto::UpdateSessionRequest::default()
    };
    let updated = client.update_session(request).await;
    told(&arguments.client, updated.map(|it| it.session))
}

/// The new values, and the paths of what they change.
fn changes(
    arguments: &UpdateSessionArgs,
    present: SessionSnapshot,
) -> Result<(SessionSnapshot, Vec<String>), Failure> {
    let mut session = SessionSnapshot::default();
    let mut paths = Vec::new();
    let mut change = |path: &str| paths.push(path.to_owned());
    if let Some(name) = &arguments.display_name {
        session.display_name.clone_from(name);
        change("display_name");
    }
    if !(arguments.labels.is_empty() && arguments.removed_labels.is_empty()) {
        session.labels = present.labels;
        session
            .labels
            .retain(|key, _| !arguments.removed_labels.contains(key));
        session.labels.extend(arguments.labels.iter().cloned());
        change("labels");
    }
    if let Some(agent) = &arguments.agent {
        session.agent.clone_from(agent);
        change("agent");
    }
    if let Some(cwd) = &arguments.cwd {
        session.cwd.clone_from(cwd);
        change("cwd");
    }
    if let Some(idle) = arguments.expire_after_idle {
        session.expire_after_idle = unless_zero(idle)?;
        change("expire_after_idle");
    }
    if let Some(nobody) = arguments.no_approver {
        session.no_approver = NoApprover::from(nobody).into();
        change("no_approver");
    }
    if let Some(ttl) = arguments.question_ttl {
        session.question_ttl = unless_zero(ttl)?;
        change("question_ttl");
    }
    Ok((session, paths))
}

pub(crate) async fn fork(arguments: ForkArgs) -> Result<ExitCode, Failure> {
    let ForkArgs {
        session,
        new_session,
        turn_id,
        client,
    } = arguments;
    let request = proto::ForkSessionRequest {
        session_key: session,
        new_session_key: new_session,
        turn_id,
        ..proto::ForkSessionRequest::default()
    };
    let forked = client.client()?.fork_session(request).await;
    told(&client, forked.map(|it| it.session))
}

// === functions ===

async fn read(client: &Client, session: &str) -> Result<SessionSnapshot, Status> {
    let request = proto::GetSessionRequest {
        session_key: session.to_owned(),
        min_seq: 0,
    };
    Ok(client
        .get_session(request)
        .await?
        .session
        .unwrap_or_default())
}

/// Prints the session that a change left.
fn told(
    arguments: &ClientArgs,
    changed: Result<Option<SessionSnapshot>, Status>,
) -> Result<ExitCode, Failure> {
    let changed = changed.map_err(|status| Failure::call(&arguments.addr, &status))?;
    if let Some(session) = changed {
        print_session(&session, arguments.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is set on a session, and what is known of it; what says nothing is left out.
fn rows(session: SessionSnapshot) -> Vec<[String; 2]> {
    let state = state_word(session.state());
    let nobody = match session.no_approver() {
        NoApprover::Deny => "questions are denied at once",
        NoApprover::Wait | NoApprover::Unspecified => "",
    };
    let rules = session.tool_policy.iter().map(|rule| {
        let action = output::word(rule.action().as_str_name(), "TOOL_ACTION_");
        format!("{action} {}", rule.tool)
    });
    let rules = rules.collect::<Vec<_>>().join("; ");
    let shares = session.shares.iter().map(|share| {
        let access = output::word(share.access().as_str_name(), "SHARE_ACCESS_");
        format!("{} ({access})", share.principal)
    });
    let shares = shares.collect::<Vec<_>>().join(", ");
    let labels = session.labels.iter().map(|(key, it)| format!("{key}={it}"));
    let labels = labels.collect::<Vec<_>>().join(" ");
    let rows = [
        ("session", session.session_key),
        ("name", session.display_name),
        ("state", state),
        ("running turn", session.active_turn_id),
        ("turns that wait", number(session.queue_depth.into())),
        ("the next one is held by", session.wait_reason),
        (
            "questions that wait",
            number(session.pending_questions.into()),
        ),
        ("agent", session.agent),
        ("agent from the next reset on", session.next_agent),
        ("model", session.model),
        ("thinking level", session.thinking_level),
        (
            "routed",
            session.routing.map(|it| it.reason).unwrap_or_default(),
        ),
        ("directory", session.cwd),
        ("labels", labels),
        ("owner", session.owner),
        ("shared with", shares),
        ("memory", session.memory_namespaces.join(" ")),
        ("where nobody is there", nobody.to_owned()),
        ("questions wait for", time_span(session.question_ttl)),
        ("tool policy", rules),
        (
            "deleted after idling for",
            time_span(session.expire_after_idle),
        ),
        (
            "conversation",
            format!("{}, {}", session.generation, session.session_id),
        ),
        ("messages", session.message_count.to_string()),
        (
            "events",
            format!("{} to {}", session.first_seq, session.head_seq),
        ),
        ("used", used(session.usage.unwrap_or_default())),
        ("made", output::date(session.create_time)),
        ("last active", output::date(session.last_active_time)),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| [name.to_owned(), value]).collect()
}

fn number(count: i64) -> String {
    match count {
        0 => String::new(),
        count => count.to_string(),
    }
}

/// What models were given and made, where anything was.
pub(crate) fn used(usage: Usage) -> String {
    if usage.model_calls == 0 && usage.input_tokens == 0 && usage.output_tokens == 0 {
        return String::new();
    }
    format!(
        "{} in, {} out, {}",
        count_of(usage.input_tokens, "token"),
        usage.output_tokens,
        count_of(usage.model_calls, "model call")
    )
}

fn time_span(span: Option<prost_types::Duration>) -> String {
    span.and_then(|span| Duration::try_from(span).ok())
        .map(|span| humantime::format_duration(span).to_string())
        .unwrap_or_default()
}

fn unless_zero(span: Duration) -> Result<Option<prost_types::Duration>, Failure> {
    match span.is_zero() {
        true => Ok(None),
        false => duration(span).map(Some),
    }
}

impl From<Nobody> for NoApprover {
    fn from(nobody: Nobody) -> Self {
        match nobody {
            Nobody::Wait => Self::Wait,
            Nobody::Deny => Self::Deny,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_shares_are_told_in_words() {
        let session = SessionSnapshot {
            tool_policy: vec![proto::ToolRule {
                tool: "bash".into(),
                action: proto::ToolAction::Deny.into(),
            }],
            shares: vec![proto::SessionShare {
                principal: "default/ann".into(),
                access: proto::ShareAccess::Read.into(),
            }],
            ..SessionSnapshot::default()
        };
        let rows = rows(session);
        for row in [
            ["tool policy", "deny bash"],
            ["shared with", "default/ann (read)"],
        ] {
            assert!(rows.iter().any(|it| *it == row), "{row:?}: {rows:?}");
        }
    }
}
