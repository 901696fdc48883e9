//! What commands print: text for people, or one JSON object a line in the canonical form of protobuf.
//!
//! The one place that writes to the terminal. Nothing that others chose (an agent, another caller, a server) steers it:
//! control characters, those of C1, and those that turn the direction of writing are written out as `\u{1b}`. In JSON
//! they are escaped as JSON does. Our own styles pass in [`styled`] alone; text in it was escaped before by the renderer,
//! and whatever was forgotten is escaped here.

use super::failure::Failure;
use prost_reflect::{DescriptorPool, DynamicMessage};
use quarterdeck::{
    proto::DESCRIPTORS,
    telemetry::redact::{escape, steers},
};
use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the build made them"));
/// Whether what is said beside the answer is JSON too.
static JSON: AtomicBool = AtomicBool::new(false);

pub(crate) const DIM: &str = "\x1b[2m";
pub(crate) const RED: &str = "\x1b[31m";
pub(crate) const CYAN: &str = "\x1b[36m";
pub(crate) const PLAIN: &str = "\x1b[0m";
/// All of ours.
const STYLES: [&str; 4] = [DIM, RED, CYAN, PLAIN];

/// From now on notices and failures are JSON objects.
pub(crate) fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether text may be coloured on a terminal: not where `NO_COLOR` is set to something, nor on one that calls itself dumb.
pub(crate) fn colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()) && !is_dumb()
}

/// Whether the terminal understands no sequences at all.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|it| it == "dumb")
}

/// Writes text at once, escaped.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    Ok(raw(&escaped(text))?)
}

/// Writes rendered text at once: with our styles, and on a terminal nothing else that steers. A file gets it as it is.
pub(crate) fn styled(text: &str) -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        return Ok(raw(text)?);
    }
    Ok(raw(&escaped_around_styles(text))?)
}

/// Writes what a file of somebody else's holds: as it is, but on a terminal, where it steers nothing.
pub(crate) fn content(bytes: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return write(&String::from_utf8_lossy(bytes));
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// As it is: for sequences of our own.
pub(crate) fn raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// Says something beside the answer, on standard error.
pub(crate) fn notice(text: &str) {
    let line = if JSON.load(Ordering::Relaxed) {
        json_text(&serde_json::json!({ "notice": text }).to_string())
    } else {
        format!("quarterdeck: {}", escaped(text))
    };
    complain(&line);
}

/// Says why the command failed, on standard error.
pub(crate) fn failure(failure: &Failure) {
    let Failure { message, code, .. } = failure;
    if message.is_empty() {
        return;
    }
    if !JSON.load(Ordering::Relaxed) {
        complain(&format!("quarterdeck: {}", escaped(message)));
        return;
    }
    let fields: Vec<_> = failure
        .fields
        .iter()
        .map(|(field, problem)| serde_json::json!({ "field": field, "problem": problem }))
        .collect();
    let error = serde_json::json!({ "error": {
        "code": failure.status,
        "reason": failure.reason,
        "message": message,
        "fields": fields,
        "exit_code": code,
    }});
    complain(&json_text(&error.to_string()));
}

/// Says what is wrong with a command line, on standard error. It repeats words that others may have chosen.
pub(crate) fn usage(text: &str) {
    complain(escaped(text).trim_end());
}

fn complain(line: &str) {
    // Nobody is left to tell of a failure.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Text whose lines stay lines, and that steers nothing.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            // A line's end as other systems write it.
            '\r' if characters.peek() == Some(&'\n') => {}
            c if steers(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

fn escaped_around_styles(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, from) = rest.split_at(at);
        shown.push_str(&escaped(before));
        match STYLES.iter().find(|style| from.starts_with(**style)) {
            Some(style) => {
                shown.push_str(style);
                rest = &from[style.len()..];
            }
            None => {
                shown.extend('\x1b'.escape_default());
                rest = &from[1..];
            }
        }
    }
    shown.push_str(&escaped(rest));
    shown
}

/// A list in columns under their names; where it is empty, a line that says so beside the answer.
pub(crate) fn list<const COLUMNS: usize>(
    names: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
    empty: &str,
) -> Result<(), Failure> {
    if rows.is_empty() {
        notice(empty);
        return Ok(());
    }
    let mut all = vec![names.map(str::to_owned)];
    all.extend(rows);
    write(&table(&all))
}

/// Rows in columns that stand below each other.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    columns(rows.iter().map(|row| &row[..]))
}

/// The same, of as many columns as there are.
pub(crate) fn columns<'a>(rows: impl Iterator<Item = &'a [String]>) -> String {
    // Escaped here, so that columns stand where they are counted; a cell is one line.
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.iter().map(|cell| escape(cell).into_owned()).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What an enum's value is called, for people: its name without what all values begin with.
pub(crate) fn word(name: &str, beginning: &str) -> String {
    let word = name.strip_prefix(beginning).unwrap_or(name);
    word.to_ascii_lowercase()
}

/// A time to the second, in UTC.
pub(crate) fn date(time: Option<prost_types::Timestamp>) -> String {
    time.and_then(|time| SystemTime::try_from(time).ok())
        .map_or_else(
            || "never".to_owned(),
            |time| humantime::format_rfc3339_seconds(time).to_string(),
        )
}

/// Writes a message of `quarterdeck.v1` as one line of JSON.
pub(crate) fn json<M: prost::Message>(name: &str, message: &M) -> Result<(), Failure> {
    line(&to_json(name, message))
}

fn to_json<M: prost::Message>(name: &str, message: &M) -> String {
    let descriptor = POOL
        .get_message_by_name(&format!("quarterdeck.v1.{name}"))
        .expect("callers name messages of the contract");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic
        .transcode_from(message)
        .expect("the same proto made both");
    json_text(&serde_json::to_string(&dynamic).expect("every message has a JSON form"))
}

/// Prints JSON that somebody else wrote, with the breaks that stand between its parts.
pub(crate) fn foreign_json(json: &str) -> Result<(), Failure> {
    // In a text of JSON none of these stands as it is.
    let lines = json
        .split('\n')
        .map(|it| json_text(&it.replace(['\r', '\t'], " ")));
    line(&lines.collect::<Vec<_>>().join("\n"))
}

/// JSON whose texts steer no terminal: JSON itself leaves DEL, C1 and the characters of writing's direction as they are.
fn json_text(json: &str) -> String {
    if !json.contains(steers) {
        return json.to_owned();
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if steers(c) {
            // Inside of a text: nothing else in compact JSON steers. All of them have four digits at most.
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Reads a message of `quarterdeck.v1` from one line of JSON; the error says what is wrong with it.
pub(crate) fn from_json<M: prost::Message + Default>(name: &str, text: &str) -> Result<M, String> {
    let descriptor = POOL
        .get_message_by_name(&format!("quarterdeck.v1.{name}"))
        .expect("callers name messages of the contract");
    let mut json = serde_json::Deserializer::from_str(text);
    let dynamic =
        DynamicMessage::deserialize(descriptor, &mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck::proto::{GatewayEvent, Token, gateway_event::Kind};

    #[test]
    fn nothing_steers_but_our_own_styles() {
        let hostile = "a\x1b]0;t\x07\u{9b}31m\u{202e}b\r\nc\rd\te\u{2028}";
        let shown = "a\\u{1b}]0;t\\u{7}\\u{9b}31m\\u{202e}b\nc\\rd\te\\u{2028}";
        assert_eq!(escaped(hostile), shown);
        let styled = format!("{DIM}{hostile}{PLAIN}");
        assert_eq!(
            escaped_around_styles(&styled),
            format!("{DIM}{shown}{PLAIN}")
        );
        assert_eq!(
            escaped_around_styles("\x1b[2J\x1b[2m"),
            format!("\\u{{1b}}[2J{DIM}")
        );
        let json = serde_json::json!({ "text": hostile }).to_string();
        let told = json_text(&json);
        assert!(!told.contains(steers), "{told}");
        let read: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(read["text"], hostile);
        assert_eq!(table(&[["a\nb".into(), "c".into()]]), "a\\nb  c\n");
    }

    #[test]
    fn json_is_the_canonical_form() {
        let event = GatewayEvent {
            session_key: "main".into(),
            after_seq: 7,
            kind: Some(Kind::Token(Token {
                delta: "hi".into(),
                content_index: 1,
                offset: 0,
            })),
            ..GatewayEvent::default()
        };
        assert_eq!(
            to_json("GatewayEvent", &event),
            r#"{"sessionKey":"main","afterSeq":"7","token":{"delta":"hi","contentIndex":1}}"#
        );
    }
}
