//! Bounds of single values; checks over several keys stand in `load`.

use super::{SECOND, Setting};
use crate::domain::{ids::SessionKey, limits};
use std::{path::PathBuf, time::Duration};

pub(super) fn within<T: Setting + PartialOrd>(min: T, max: T) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if *value >= min && *value <= max {
            return Ok(());
        }
        Err(format!(
            "must be from {} to {}, found {}",
            min.write(),
            max.write(),
            value.write()
        ))
    }
}

pub(super) fn at_least_a_second(value: &Option<Duration>) -> Result<(), String> {
    match value {
        Some(duration) if *duration < SECOND => Err("must be at least 1s, or never".into()),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn session_key(value: &str) -> Result<(), String> {
    SessionKey::parse(value).map(|_| ())
}

pub(super) fn log_filter(value: &str) -> Result<(), String> {
    tracing_subscriber::EnvFilter::try_new(value)
        .map(|_| ())
        .map_err(|error| format!("expected a level or directives, found `{value}`: {error}"))
}

pub(super) fn otlp_endpoint(value: &str) -> Result<(), String> {
    if value.is_empty() {
        Ok(())
    } else if !cfg!(feature = "otlp") {
        Err("this program was built without the feature otlp and sends no spans".into())
    } else if value
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme_str() == Some("http") && !value.contains('@'))
    {
        Ok(())
    } else {
        // Not repeated: it may hold a password.
        Err("expected http://HOST:PORT, without a user".into())
    }
}

pub(super) fn command(value: &[String]) -> Result<(), String> {
    match value.first() {
        Some(program) if !program.is_empty() => Ok(()),
        Some(_) | None => Err("must begin with a program".into()),
    }
}

pub(super) fn absolute(value: &[PathBuf]) -> Result<(), String> {
    match value.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(format!(
            "must be absolute paths, found `{}`",
            path.display()
        )),
        None => Ok(()),
    }
}

pub(super) fn short(value: &str) -> Result<(), String> {
    if value.len() <= limits::NAME_MAX_BYTES {
        Ok(())
    } else {
        Err(format!("must be at most {} bytes", limits::NAME_MAX_BYTES))
    }
}
