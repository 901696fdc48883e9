//! pi's file of a conversation, whose first line names the directory that pi works in, wherever it is started.
//!
//! A session that is given another directory, or whose data directory was moved, must have another first line: pi refuses
//! to start where the old directory is gone, and would work in it where it is not.

use crate::agent::ForkRequest;
use crate::beneath::{Directory, blocking};
use crate::domain::ids::Time;
use serde_json::{Value, json};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use uuid::Uuid;

/// Longest first line, in bytes; pi's are some hundred.
const HEADER_MAX_BYTES: u64 = 64 * 1024;
/// Largest file that is given another first line, in bytes. pi itself reads all of it into memory.
const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Name of a generation's file.
pub(super) fn name(generation: Uuid) -> String {
    format!("{generation}.jsonl")
}

/// Copies a conversation, as far as it was written at a moment, under the name of another one.
///
/// # Errors
/// What the system says, and what an agent put in the file's place.
pub(super) async fn copy(request: ForkRequest) -> io::Result<()> {
    let ForkRequest {
        from_directory,
        from_id,
        to_directory,
        to_id,
        until,
    } = request;
    blocking(move || {
        let from = Directory::open(&from_directory)?;
        let content = match from.read(Path::new(&name(from_id)), FILE_MAX_BYTES) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(copy) = written_until(&content, to_id, until) else {
            return Ok(());
        };
        Directory::open(&to_directory)?.write(Path::new(&name(to_id)), &copy)
    })
    .await
}

/// The entries of a file up to a moment, below a header with another id; `None` where it is none of pi's.
fn written_until(content: &[u8], id: Uuid, until: Time) -> Option<Vec<u8>> {
    let mut lines = content.split_inclusive(|byte| *byte == b'\n');
    let mut header: Value = serde_json::from_slice(lines.next()?).ok()?;
    if header["type"] != "session" {
        return None;
    }
    header["id"] = json!(id.to_string());
    let mut copy = header.to_string().into_bytes();
    copy.push(b'\n');
    // In the order of their writing: the first that is later ends it, and so does one that is being written.
    for line in lines {
        let entry: Option<Value> = serde_json::from_slice(line).ok();
        let written = entry.as_ref().and_then(|it| it["timestamp"].as_str());
        let written = written.and_then(|it| humantime::parse_rfc3339(it).ok());
        let written = written.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        match written {
            Some(at) if i128::from(until.0) >= micros(at) && line.ends_with(b"\n") => {
                copy.extend_from_slice(line);
            }
            Some(_) | None => break,
        }
    }
    Some(copy)
}

fn micros(since: Duration) -> i128 {
    i128::try_from(since.as_micros()).unwrap_or(i128::MAX)
}

/// Makes pi work in this directory when it goes on with the file of this name. A file that is not there is pi's to make;
/// one that begins in another way than pi's do is left alone. True where pi finds a conversation there.
///
/// # Errors
/// What the system says, and what an agent put in the file's place.
pub(super) async fn work_in(place: PathBuf, name: String, directory: PathBuf) -> io::Result<bool> {
    blocking(move || change(&place, Path::new(&name), &directory)).await
}

fn change(place: &Path, name: &Path, directory: &Path) -> io::Result<bool> {
    let place = Directory::open(place)?;
    let head = match place.head(name, HEADER_MAX_BYTES) {
        Ok(head) => head,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let length = head.iter().position(|byte| *byte == b'\n');
    // Its first line says that it is one, the others are it.
    let found = length.is_some_and(|length| length + 1 < head.len());
    let Some(directory) = directory.to_str() else {
        return Ok(found);
    };
    let Some((length, header)) =
        length.and_then(|length| Some((length, header_in(&head[..length], directory)?)))
    else {
        return Ok(found);
    };
    let mut content = place.read(name, FILE_MAX_BYTES)?;
    content.splice(..length.min(content.len()), header.into_bytes());
    place.write(name, &content)?;
    Ok(found)
}

/// The header with this directory in it; `None` where it has that, or is none of pi's.
fn header_in(line: &[u8], directory: &str) -> Option<String> {
    let mut header: Value = serde_json::from_slice(line).ok()?;
    let is_header = header["type"] == "session" && header["cwd"].is_string();
    if !is_header || header["cwd"] == directory {
        return None;
    }
    header["cwd"] = json!(directory);
    Some(header.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_line_names_another_directory_and_the_rest_stays() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.jsonl");
        let rest = "{\"type\":\"message\",\"cwd\":\"/old\"}\nno json\n";
        let header = "{\"type\":\"session\",\"version\":3,\"id\":\"x\",\"cwd\":\"/old\"}\n";
        std::fs::write(&file, format!("{header}{rest}")).unwrap();
        let read = || std::fs::read_to_string(&file).unwrap();
        work_in(place.path().into(), "a.jsonl".into(), "/new".into())
            .await
            .unwrap();
        let (first, after) = read()
            .split_once('\n')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(
            first,
            json!({"type":"session","version":3,"id":"x","cwd":"/new"})
        );
        assert_eq!(after, rest);
        // Nothing to do, and nothing left behind.
        let before = read();
        work_in(place.path().into(), "a.jsonl".into(), "/new".into())
            .await
            .unwrap();
        assert_eq!(read(), before);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_copy_ends_with_the_turn_that_was_forked() {
        let at = |second: i64| Time(second * 1_000_000);
        let entry = |second: u64| {
            let time = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_secs(second));
            format!("{{\"type\":\"message\",\"timestamp\":\"{time}\"}}\n")
        };
        let header = "{\"type\":\"session\",\"version\":3,\"id\":\"x\",\"cwd\":\"/\"}\n";
        let file = format!("{header}{}{}{}{}", entry(1), entry(2), entry(9), entry(3));
        let copy = written_until(file.as_bytes(), Uuid::nil(), at(5)).unwrap();
        let copy = String::from_utf8(copy).unwrap();
        let (first, rest) = copy.split_once('\n').unwrap();
        let first: Value = serde_json::from_str(first).unwrap();
        assert_eq!(first["id"], Uuid::nil().to_string());
        assert_eq!(rest, entry(1) + &entry(2));
        // One that is being written is not whole.
        let file = format!("{header}{}{}", entry(1), entry(2).trim_end());
        let copy = written_until(file.as_bytes(), Uuid::nil(), at(5)).unwrap();
        assert!(copy.ends_with(entry(1).as_bytes()));
        assert_eq!(written_until(b"{}\n", Uuid::nil(), at(5)), None);
    }

    #[tokio::test]
    async fn what_is_no_file_of_pis_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.jsonl");
        work_in(place.path().into(), "a.jsonl".into(), "/new".into())
            .await
            .unwrap();
        for content in [
            "",
            "no json\n",
            "{\"type\":\"message\",\"cwd\":\"/old\"}\n",
            "{\"type\":\"session\"}\n",
        ] {
            std::fs::write(&file, content).unwrap();
            work_in(place.path().into(), "a.jsonl".into(), "/new".into())
                .await
                .unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        }
        // Another one's file behind a link.
        let other = place.path().join("other");
        let content = "{\"type\":\"session\",\"cwd\":\"/old\"}\n";
        std::fs::write(&other, content).unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        let refused = work_in(place.path().into(), "a.jsonl".into(), "/new".into()).await;
        assert!(refused.is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), content);
    }
}
