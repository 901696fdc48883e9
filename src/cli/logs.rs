//! `logs`: what the server says of itself.

use super::{
    arguments::{Absence, Level, LogsArgs, interrupted},
    failure::Failure,
    follow::cut_text,
    output,
};
use quarterdeck::{
    client::LogUpdate,
    proto::{LogLevel, LogRecord, TailLogsRequest},
    telemetry::redact::escape,
};
use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Last second that can be written: of the year 9999.
const TIME_MAX_SECONDS: u64 = 253_402_300_799;

pub(crate) async fn logs(arguments: LogsArgs) -> Result<ExitCode, Failure> {
    let LogsArgs {
        last,
        level,
        target,
        session,
        principal,
        no_follow,
        client: client_arguments,
    } = arguments;
    let mut reader = client_arguments.client()?.logs(TailLogsRequest {
        cursor: None,
        last: Some(last),
        level: wire(level).into(),
        target,
        session_key: session,
        principal,
        no_follow,
    });
    let (mut cut, mut none) = (false, true);
    let mut absence = Absence::new(client_arguments.spoken_patience());
    loop {
        let update = tokio::select! {
            update = reader.next() => update,
            away = absence.over() => return Err(Failure::away(&client_arguments.addr, away)),
            _ = tokio::signal::ctrl_c() => return Err(interrupted()),
        };
        if let Ok(Some(update)) = &update {
            absence.is(matches!(update, LogUpdate::Cut(_)));
        }
        match update.map_err(|status| Failure::call(&client_arguments.addr, &status))? {
            Some(LogUpdate::Record(record)) => {
                (cut, none) = (false, false);
                if client_arguments.json {
                    output::json("LogRecord", record.as_ref())?;
                } else {
                    output::write(&text(&record))?;
                }
            }
            // Said once, however often it is tried.
            Some(LogUpdate::Cut(_)) if cut => {}
            Some(LogUpdate::Cut(why)) => {
                cut = true;
                output::notice(&cut_text(&why));
            }
            Some(LogUpdate::Gap) => {
                cut = false;
                output::notice("some records may be missing; these are kept");
            }
            None => {
                if none && !client_arguments.json {
                    output::notice("no such records");
                }
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// A record as a line, after one that tells of those that went by.
fn text(record: &LogRecord) -> String {
    let mut text = String::new();
    if record.dropped > 0 {
        text.push_str(&format!("… {} records went by unread\n", record.dropped));
    }
    let level = match record.level() {
        LogLevel::Unspecified => "?",
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    };
    text.push_str(&format!(
        "{} {level:>5} {}: {}",
        time(record),
        escape(&record.target),
        escape(&record.message)
    ));
    for (name, value) in record.fields.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!(" {}={}", escape(name), escape(value)));
    }
    text.push('\n');
    text
}

fn time(record: &LogRecord) -> String {
    let time = record.time.unwrap_or_default();
    let seconds = u64::try_from(time.seconds)
        .unwrap_or(0)
        .min(TIME_MAX_SECONDS);
    let nanos = u32::try_from(time.nanos).unwrap_or(0).min(999_999_999);
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    humantime::format_rfc3339_millis(time).to_string()
}

fn wire(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}
