//! `schedules`: prompts that are sent again at their times.

use super::{
    arguments::{
        ClientArgs, CreateScheduleArgs, NamedScheduleArgs, PolicyArgs, PreviewScheduleArgs,
        ScheduleRunsArgs, SchedulesArgs, SchedulesVerb, SpecArgs, UpdateScheduleArgs,
    },
    failure::{Failure, USAGE},
    output::{self, date},
    send::{duration, given_text},
    sessions::preview,
};
use quarterdeck::proto::{
    self, EnqueueRequest, MissedPolicy, OnInterrupt, OverlapPolicy, Schedule, ScheduleOutcome,
    ScheduleRun, ScheduleSpec, ScheduleTrigger, SessionMode, schedule_spec::When,
};
use std::process::ExitCode;

/// Rows that one call asks for.
const PAGE: i32 = 500;

pub(crate) async fn schedules(arguments: SchedulesArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        SchedulesVerb::Create(arguments) => create(*arguments).await,
        SchedulesVerb::List(arguments) => list(arguments).await,
        SchedulesVerb::Show(arguments) => show(arguments).await,
        SchedulesVerb::Update(arguments) => update(*arguments).await,
        SchedulesVerb::Delete(arguments) => delete(arguments).await,
        SchedulesVerb::Run(arguments) => run(arguments).await,
        SchedulesVerb::Preview(arguments) => preview_times(arguments).await,
        SchedulesVerb::Runs(arguments) => runs(arguments).await,
    }
}

async fn create(arguments: CreateScheduleArgs) -> Result<ExitCode, Failure> {
    let CreateScheduleArgs {
        name,
        text,
        spec,
        session,
        new_sessions,
        key_template,
        policy,
        paused,
        on_interrupt,
        turn_timeout,
        metadata,
        new,
        client: client_arguments,
    } = arguments;
    let session_mode = if new_sessions {
        SessionMode::New
    } else {
        SessionMode::Same
    };
    let session_key = if new_sessions {
        String::new()
    } else {
        session.unwrap_or_else(|| name.clone())
    };
    let enqueue = EnqueueRequest {
        session_key,
        text: given_text(text, false)?,
        source: "schedule".into(),
        metadata: metadata.into_iter().collect(),
        on_interrupt: on_interrupt.map_or(0, |choice| OnInterrupt::from(choice).into()),
        turn_timeout: turn_timeout.map(duration).transpose()?,
        agent: new.agent,
        model: new.model,
        thinking_level: new.thinking_level,
        labels: new.labels.into_iter().collect(),
        cwd: new.cwd,
        display_name: new.display_name,
        ..EnqueueRequest::default()
    };
    let PolicyArgs {
        overlap,
        missed,
        missed_window,
        pause_after,
        runs,
    } = policy;
    let schedule = Schedule {
        schedule_name: name,
        spec: Some(required(spec)?),
        enqueue: Some(enqueue),
        session_mode: session_mode.into(),
        key_template,
        overlap: overlap.map_or(0, |it| OverlapPolicy::from(it).into()),
        missed: missed.map_or(0, |it| MissedPolicy::from(it).into()),
        missed_window: missed_window.map(duration).transpose()?,
        paused,
        pause_after_failures: pause_after,
        remaining_runs: runs,
        ..Schedule::default()
    };
    let request = proto::CreateScheduleRequest {
        schedule: Some(schedule),
        request_id: String::new(),
    };
    let made = client_arguments
        .client()?
        .create_schedule(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    print_whole(made.schedule.as_ref(), &client_arguments)
}

async fn list(arguments: ClientArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let mut schedules = client.all_schedules(proto::ListSchedulesRequest {
        page_size: PAGE,
        ..Default::default()
    });
    let mut none = true;
    while let Some(schedule) = schedules.next().await {
        let schedule = schedule.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if arguments.json {
            output::json("Schedule", &schedule)?;
            continue;
        }
        if none {
            none = false;
            let (name, next) = ("SCHEDULE", "NEXT");
            output::line(&format!("{name:<24} {next:<20} WHEN, AND WHAT"))?;
        }
        let next = match schedule.next_times.first() {
            Some(time) => date(Some(*time)),
            None if schedule.paused => "paused".to_owned(),
            None => "no more".to_owned(),
        };
        let text = schedule.enqueue.as_ref().map(|it| preview(&it.text));
        output::line(&format!(
            "{:<24} {next:<20} {}: {}",
            schedule.schedule_name,
            when(schedule.spec.as_ref()),
            text.unwrap_or_default()
        ))?;
    }
    if none && !arguments.json {
        output::notice("no schedules");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: NamedScheduleArgs) -> Result<ExitCode, Failure> {
    let NamedScheduleArgs {
        name,
        client: client_arguments,
    } = arguments;
    let request = proto::GetScheduleRequest {
        schedule_name: name,
    };
    let found = client_arguments
        .client()?
        .get_schedule(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    print_whole(found.schedule.as_ref(), &client_arguments)
}

async fn update(arguments: UpdateScheduleArgs) -> Result<ExitCode, Failure> {
    let UpdateScheduleArgs {
        name,
        text,
        spec,
        policy,
        pause,
        resume,
        client: client_arguments,
    } = arguments;
    let client = client_arguments.client()?;
    let failed = |status| Failure::call(&client_arguments.addr, &status);
    let mut new = Schedule::default();
    let mut paths: Vec<&str> = Vec::new();
    if let Some(text) = text {
        // The rest of the request stays.
        let request = proto::GetScheduleRequest {
            schedule_name: name.clone(),
        };
        let found = client.get_schedule(request).await.map_err(failed)?.schedule;
        let enqueue = found.and_then(|it| it.enqueue).unwrap_or_default();
        new.enqueue = Some(EnqueueRequest { text, ..enqueue });
        paths.push("enqueue");
    }
    if let Some(spec) = given(spec)? {
        new.spec = Some(spec);
        paths.push("spec");
    }
    let PolicyArgs {
        overlap,
        missed,
        missed_window,
        pause_after,
        runs,
    } = policy;
    if let Some(overlap) = overlap {
        new.overlap = OverlapPolicy::from(overlap).into();
        paths.push("overlap");
    }
    if let Some(missed) = missed {
        new.missed = MissedPolicy::from(missed).into();
        paths.push("missed");
    }
    if let Some(window) = missed_window {
        new.missed_window = Some(duration(window)?);
        paths.push("missed_window");
    }
    if pause_after.is_some() {
        new.pause_after_failures = pause_after;
        paths.push("pause_after_failures");
    }
    if runs.is_some() {
        new.remaining_runs = runs;
        paths.push("remaining_runs");
    }
    if let Some(reason) = pause {
        new.paused = true;
        new.pause_reason = reason;
        paths.extend(["paused", "pause_reason"]);
    } else if resume {
        paths.push("paused");
    }
    if paths.is_empty() {
        let problem = "nothing to change; `schedules update --help` says what can be";
        return Err(Failure::new(USAGE, problem));
    }
    let request = proto::UpdateScheduleRequest {
        schedule_name: name,
        schedule: Some(new),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.into_iter().map(str::to_owned).collect(),
        }),
        request_id: String::new(),
    };
    let changed = client.update_schedule(request).await.map_err(failed)?;
    print_whole(changed.schedule.as_ref(), &client_arguments)
}

async fn delete(arguments: NamedScheduleArgs) -> Result<ExitCode, Failure> {
    let NamedScheduleArgs {
        name,
        client: client_arguments,
    } = arguments;
    let request = proto::DeleteScheduleRequest {
        schedule_name: name.clone(),
        request_id: String::new(),
    };
    let deleted = client_arguments
        .client()?
        .delete_schedule(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("DeleteScheduleResponse", &deleted)?;
    } else {
        output::line(&format!("deleted {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(arguments: NamedScheduleArgs) -> Result<ExitCode, Failure> {
    let NamedScheduleArgs {
        name,
        client: client_arguments,
    } = arguments;
    let request = proto::RunScheduleNowRequest {
        schedule_name: name,
        request_id: String::new(),
    };
    let ran = client_arguments
        .client()?
        .run_schedule_now(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    let run = ran.run.unwrap_or_default();
    print_run(&run, client_arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn preview_times(arguments: PreviewScheduleArgs) -> Result<ExitCode, Failure> {
    let PreviewScheduleArgs {
        spec,
        count,
        client: client_arguments,
    } = arguments;
    let request = proto::PreviewScheduleRequest {
        spec: Some(required(spec)?),
        count,
    };
    let found = client_arguments
        .client()?
        .preview_schedule(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if client_arguments.json {
        output::json("PreviewScheduleResponse", &found)?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.times.is_empty() {
        output::notice("no time to come");
    }
    for time in found.times {
        output::line(&date(Some(time)))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn runs(arguments: ScheduleRunsArgs) -> Result<ExitCode, Failure> {
    let ScheduleRunsArgs {
        name,
        limit,
        client: client_arguments,
    } = arguments;
    // As many as are kept fit into one page.
    let request = proto::ListScheduleRunsRequest {
        schedule_name: name,
        page_size: i32::try_from(limit).unwrap_or(i32::MAX).clamp(1, PAGE),
        page_token: String::new(),
    };
    let page = client_arguments
        .client()?
        .list_schedule_runs(request)
        .await
        .map_err(|status| Failure::call(&client_arguments.addr, &status))?;
    if page.runs.is_empty() && !client_arguments.json {
        output::notice("it did not run yet");
    }
    for run in page.runs.iter().take(limit) {
        print_run(run, client_arguments.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A spec that must be there.
fn required(arguments: SpecArgs) -> Result<ScheduleSpec, Failure> {
    given(arguments)?.ok_or_else(|| {
        Failure::new(
            USAGE,
            "say when: --cron EXPRESSION, --every DURATION or --at TIME",
        )
    })
}

/// A spec, where one is named.
fn given(arguments: SpecArgs) -> Result<Option<ScheduleSpec>, Failure> {
    let SpecArgs {
        cron,
        every,
        at,
        zone,
        start,
        end,
        jitter,
    } = arguments;
    let when = match (cron, every, at) {
        (Some(cron), _, _) => When::Cron(cron),
        (None, Some(every), _) => When::Every(duration(every)?),
        (None, None, Some(at)) => When::At(at),
        (None, None, None) => return Ok(None),
    };
    Ok(Some(ScheduleSpec {
        when: Some(when),
        time_zone: zone.unwrap_or_default(),
        start_time: start,
        end_time: end,
        jitter: jitter.map(duration).transpose()?,
    }))
}

/// When a schedule runs, for people.
fn when(spec: Option<&ScheduleSpec>) -> String {
    let Some(spec) = spec else {
        return String::new();
    };
    match &spec.when {
        Some(When::Cron(cron)) => format!("{cron} ({})", spec.time_zone),
        Some(When::Every(every)) => {
            let every = std::time::Duration::try_from(*every).unwrap_or_default();
            format!("every {}", humantime::format_duration(every))
        }
        Some(When::At(at)) => format!("once at {}", date(Some(*at))),
        None => String::new(),
    }
}

fn print_whole(schedule: Option<&Schedule>, arguments: &ClientArgs) -> Result<ExitCode, Failure> {
    let Some(schedule) = schedule else {
        return Ok(ExitCode::SUCCESS);
    };
    if arguments.json {
        output::json("Schedule", schedule)?;
        return Ok(ExitCode::SUCCESS);
    }
    let enqueue = schedule.enqueue.clone().unwrap_or_default();
    let session = match schedule.session_mode() {
        SessionMode::New => schedule.key_template.as_str(),
        SessionMode::Same | SessionMode::Unspecified => &enqueue.session_key,
    };
    output::line(&format!(
        "{}: {}, as {}",
        schedule.schedule_name,
        when(schedule.spec.as_ref()),
        schedule.owner
    ))?;
    output::line(&format!("in {session}: {}", preview(&enqueue.text)))?;
    if schedule.paused {
        let why = match schedule.pause_reason.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        output::line(&format!("paused{why}"))?;
    }
    for time in &schedule.next_times {
        output::line(&format!("next {}", date(Some(*time))))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_run(run: &ScheduleRun, json: bool) -> Result<(), Failure> {
    if json {
        return output::json("ScheduleRun", run);
    }
    let came = match run.outcome() {
        ScheduleOutcome::Started => format!("turn {} in {}", run.turn_id, run.session_key),
        ScheduleOutcome::Skipped => format!("skipped: {}", run.reason),
        ScheduleOutcome::Refused | ScheduleOutcome::Unspecified => {
            format!("refused: {}", run.reason)
        }
    };
    let by = match run.trigger() {
        ScheduleTrigger::Manual => "by hand",
        ScheduleTrigger::CatchUp => "late",
        ScheduleTrigger::Time | ScheduleTrigger::Unspecified => "",
    };
    output::line(&format!("{} {by:<7} {came}", date(run.scheduled_time)))
}
