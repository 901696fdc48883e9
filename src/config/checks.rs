//! Bounds of single values; checks over several keys stand in `load`.

use super::{Origin, SECOND, Secret, Secrets, Setting, TenantPlaces};
use crate::{
    domain::{
        access::Scope,
        command,
        ids::SessionKey,
        limits,
        offers::OPTIONS_MAX,
        tool_policy::{self, ToolRule},
        webhook,
    },
    memory::Vault,
    telemetry::LEVELS,
};
use secrecy::ExposeSecret as _;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Variables that the gateway sets for every process that it starts.
pub(super) const MARKS: [&str; 3] = [
    "QUARTERDECK_NODE",
    "QUARTERDECK_PROCESS",
    "QUARTERDECK_KEEPER",
];

/// Secrets of a webhook.
const WEBHOOK_SECRETS_MAX: usize = 8;
/// Shortest secret of a webhook, in bytes: a blank one would let anybody in.
const WEBHOOK_SECRET_MIN_BYTES: usize = 8;
/// Longest template of a webhook, in bytes.
const WEBHOOK_TEMPLATE_MAX_BYTES: usize = 4096;

/// Origins that may be listed; each call of a page is compared with all of them.
const ORIGINS_MAX: usize = 64;

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

/// As [`within`]; 0 stands for no bound.
pub(super) fn zero_or<T: Setting + PartialOrd + Default>(
    min: T,
    max: T,
) -> impl Fn(&T) -> Result<(), String> {
    let bounded = within(min, max);
    move |value| match *value == T::default() {
        true => Ok(()),
        false => bounded(value).map_err(|problem| format!("{problem}; or 0 for no bound")),
    }
}

pub(super) fn places(value: &TenantPlaces) -> Result<(), String> {
    match value {
        TenantPlaces::AtMost(places) => within(0, 100_000)(places),
        TenantPlaces::Auto => Ok(()),
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

/// One word: directives for single modules could silence audit records, or log what others send.
pub(super) fn log_level(value: &str) -> Result<(), String> {
    match LEVELS.contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "must be one of {}; found `{value}`",
            LEVELS.join(", ")
        )),
    }
}

pub(super) fn http_url(value: &str) -> Result<(), String> {
    let expected =
        "must be an address such as http://127.0.0.1:8080/v1, without a name or a password";
    if value.is_empty() {
        return Ok(());
    }
    // The value is not repeated: it may hold a password.
    let url = reqwest::Url::parse(value).map_err(|_| expected.to_owned())?;
    let plain = url.username().is_empty() && url.password().is_none();
    if ["http", "https"].contains(&url.scheme()) && url.has_host() && plain {
        Ok(())
    } else {
        Err(expected.into())
    }
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

/// Variables of an agent are free but for the marks by which its processes are found. `LD_PRELOAD`, `NODE_OPTIONS` and
/// their like are allowed: whoever writes this file also names the program, and no call can set a variable.
pub(super) fn no_marks(value: &Secrets) -> Result<(), String> {
    match MARKS.iter().find(|mark| value.0.contains_key(**mark)) {
        Some(mark) => Err(format!(
            "{mark} is for the server to set in its own processes; leave it out"
        )),
        None if value.0.contains_key("TMPDIR") => Err(
            "TMPDIR is a directory of each session's own, so that no agent runs what another left there; leave it out"
                .into(),
        ),
        None => Ok(()),
    }
}

pub(super) fn host_names(value: &[String]) -> Result<(), String> {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(allowed)
    };
    let is_name = |name: &str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        name.parse::<IpAddr>().is_ok() || name.split('.').all(is_label)
    };
    match value.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!(
            "must be names such as agents.example.org or *.example.org, or addresses, all without a port; found `{name}`"
        )),
        None => Ok(()),
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

pub(super) fn origins(value: &[Origin]) -> Result<(), String> {
    if value.len() <= ORIGINS_MAX {
        Ok(())
    } else {
        Err(format!("must be at most {ORIGINS_MAX} origins"))
    }
}

pub(super) fn memory_key(value: &Secret) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    Vault::from_text(value.0.expose_secret())
        .map(drop)
        .map_err(|error| error.to_string())
}

pub(super) fn few_words(value: &[String]) -> Result<(), String> {
    let fits = |word: &String| !word.is_empty() && word.len() <= limits::NAME_MAX_BYTES;
    if value.len() <= OPTIONS_MAX && value.iter().all(fits) {
        Ok(())
    } else {
        let longest = limits::NAME_MAX_BYTES;
        Err(format!(
            "must be at most {OPTIONS_MAX} words of at most {longest} bytes"
        ))
    }
}

/// Labels of workers.
pub(super) fn worker_labels(value: &[String]) -> Result<(), String> {
    few_words(value)?;
    match value.iter().find(|label| !label.contains('=')) {
        Some(label) => Err(format!("`{label}` is not name=value")),
        None => Ok(()),
    }
}

/// Servers of one agent.
const SERVERS_MAX: usize = 16;

pub(super) fn few_servers(value: &[String]) -> Result<(), String> {
    if value.len() <= SERVERS_MAX {
        Ok(())
    } else {
        Err(format!("must be at most {SERVERS_MAX} servers"))
    }
}

pub(super) fn few_secrets(value: &Secrets) -> Result<(), String> {
    if value.0.len() > WEBHOOK_SECRETS_MAX {
        return Err(format!("must be at most {WEBHOOK_SECRETS_MAX}"));
    }
    match value
        .0
        .iter()
        .find(|(_, secret)| secret.trim().len() < WEBHOOK_SECRET_MIN_BYTES)
    {
        // The value is not repeated: it is a secret.
        Some((name, _)) => Err(format!(
            "`{name}` must have at least {WEBHOOK_SECRET_MIN_BYTES} characters"
        )),
        None => Ok(()),
    }
}

pub(super) fn known_scopes(value: &[String]) -> Result<(), String> {
    match value.iter().find(|name| Scope::parse(name).is_none()) {
        Some(name) => Err(format!(
            "`{name}` is no scope; there are {}",
            Scope::names_in_use()
        )),
        None => Ok(()),
    }
}

pub(super) fn webhook_template(value: &str) -> Result<(), String> {
    if value.len() > WEBHOOK_TEMPLATE_MAX_BYTES {
        return Err(format!(
            "must be at most {WEBHOOK_TEMPLATE_MAX_BYTES} bytes"
        ));
    }
    webhook::problem(value).map_or(Ok(()), Err)
}

pub(super) fn headers(value: &Secrets) -> Result<(), String> {
    for (name, text) in &value.0 {
        let named = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !named || http::HeaderValue::from_str(text).is_err() {
            // The value is not repeated: it is a secret.
            return Err(format!("{name:?} and its value can't be a header"));
        }
    }
    Ok(())
}

pub(super) fn few_rules(value: &[ToolRule]) -> Result<(), String> {
    if value.len() <= tool_policy::RULES_MAX {
        Ok(())
    } else {
        Err(format!("must be at most {} rules", tool_policy::RULES_MAX))
    }
}

pub(super) fn command_names(value: &[String]) -> Result<(), String> {
    if value.len() > command::COMMANDS_MAX {
        return Err(format!("must be at most {} names", command::COMMANDS_MAX));
    }
    match value.iter().find(|name| !command::is_name(name)) {
        Some(name) => Err(format!(
            "must be names of commands without their slash, found `{name}`"
        )),
        None => Ok(()),
    }
}

/// Text that goes out with every call of a model, in bytes.
const INSTRUCTIONS_MAX_BYTES: usize = 64 * 1024;

pub(super) fn instructions(value: &str) -> Result<(), String> {
    if value.len() <= INSTRUCTIONS_MAX_BYTES {
        Ok(())
    } else {
        Err(format!("must be at most {INSTRUCTIONS_MAX_BYTES} bytes"))
    }
}

pub(super) fn short(value: &str) -> Result<(), String> {
    if value.len() <= limits::NAME_MAX_BYTES {
        Ok(())
    } else {
        Err(format!("must be at most {} bytes", limits::NAME_MAX_BYTES))
    }
}

pub(super) fn web_address(value: &str) -> Result<(), String> {
    // Which http:// addresses are this machine's is looked at when the server starts.
    if value.is_empty() || value.starts_with("https://") || value.starts_with("http://") {
        Ok(())
    } else {
        Err(format!(
            "must begin with https:// (http:// only for this machine), found `{value}`"
        ))
    }
}

/// Algorithms that a published key can check. Those of the HS family would take the public key for a secret.
pub(super) fn signatures(value: &[String]) -> Result<(), String> {
    const KNOWN: [&str; 9] = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ];
    match value.iter().find(|name| !KNOWN.contains(&name.as_str())) {
        Some(name) => Err(format!("must be of {}; found `{name}`", KNOWN.join(", "))),
        None if value.is_empty() => Err("must name one at least".into()),
        None => Ok(()),
    }
}

pub(super) fn scopes(value: &[String]) -> Result<(), String> {
    match value.iter().find(|name| Scope::parse(name).is_none()) {
        Some(name) => Err(format!(
            "must be of {}; found `{name}`",
            Scope::names_in_use()
        )),
        None => Ok(()),
    }
}
