//! Records on standard error: a line of text for people, or one JSON object a line.

use super::LogFormat;
use super::record::{Record, Sink};
use crate::domain::ids::Time;
use serde::ser::{SerializeMap, Serializer};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    time::{Duration, SystemTime},
};
use tracing::Level;

/// Standard error.
pub(super) struct Stderr {
    format: LogFormat,
    /// Whether levels are coloured.
    colours: bool,
}

// === impl Stderr ===

impl Stderr {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            colours: io::stderr().is_terminal() && colours_are_wanted(),
        }
    }
}

impl Sink for Stderr {
    fn take(&self, record: Record) {
        let line = match self.format {
            LogFormat::Text => text(&record, self.colours),
            LogFormat::Json => json(&record),
        };
        // One write a line, so that lines of other processes don't fall between. Nobody is left to tell of a failure.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

fn colours_are_wanted() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
    !no_colour && !dumb
}

fn text(record: &Record, colours: bool) -> String {
    let Record {
        time,
        level,
        target,
        message,
        fields,
    } = record;
    let mut line = timestamp(*time);
    if colours {
        let _ = write!(line, " \x1b[{}m{level:>5}\x1b[0m", colour(*level));
    } else {
        let _ = write!(line, " {level:>5}");
    }
    let _ = write!(line, " {target}: {message}");
    for (name, value) in fields {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        let _ = if plain {
            write!(line, " {name}={value}")
        } else {
            write!(line, " {name}=\"{}\"", value.replace('"', "\\\""))
        };
    }
    line.push('\n');
    line
}

fn json(record: &Record) -> String {
    let Record {
        time,
        level,
        target,
        message,
        fields,
    } = record;
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let written = (|| {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &timestamp(*time))?;
        map.serialize_entry("level", level.as_str())?;
        map.serialize_entry("target", target)?;
        map.serialize_entry("message", message)?;
        map.serialize_entry("fields", &Fields(fields))?;
        map.end()
    })();
    written.expect("texts are always JSON");
    let mut line = String::from_utf8(line).expect("JSON is UTF-8");
    line.push('\n');
    line
}

/// Fields as a JSON object in their order.
pub(super) struct Fields<'a>(pub(super) &'a [(std::borrow::Cow<'static, str>, String)]);

impl serde::Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

pub(super) fn timestamp(time: Time) -> String {
    let since_epoch = Duration::from_micros(u64::try_from(time.0).unwrap_or(0));
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let record = Record {
            time: Time(1_700_000_000_000_001),
            level: Level::INFO,
            target: "quarterdeck::app".into(),
            message: "it said \"no\"".into(),
            fields: vec![
                ("a".into(), "1".into()),
                ("b".into(), "two \"words\"".into()),
            ],
        };
        assert_eq!(
            text(&record, false),
            "2023-11-14T22:13:20.000001Z  INFO quarterdeck::app: it said \"no\" a=1 b=\"two \\\"words\\\"\"\n"
        );
        assert_eq!(
            json(&record),
            concat!(
                r#"{"timestamp":"2023-11-14T22:13:20.000001Z","level":"INFO","target":"quarterdeck::app","#,
                r#""message":"it said \"no\"","fields":{"a":"1","b":"two \"words\""}}"#,
                "\n"
            )
        );
    }
}
