//! pi's file of a conversation, whose first line names the directory that pi works in, wherever it is started.
//!
//! A session that is given another directory, or whose data directory was moved, must have another first line: pi refuses
//! to start where the old directory is gone, and would work in it where it is not.

use crate::beneath::{Directory, blocking};
use serde_json::{Value, json};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Longest first line, in bytes; pi's are some hundred.
const HEADER_MAX_BYTES: u64 = 64 * 1024;
/// Largest file that is given another first line, in bytes. pi itself reads all of it into memory.
const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Makes pi work in this directory when it goes on with the file of this name. A file that is not there is pi's to make;
/// one that begins in another way than pi's do is left alone.
///
/// # Errors
/// What the system says, and what an agent put in the file's place.
pub(super) async fn work_in(place: PathBuf, name: String, directory: PathBuf) -> io::Result<()> {
    blocking(move || change(&place, Path::new(&name), &directory)).await
}

fn change(place: &Path, name: &Path, directory: &Path) -> io::Result<()> {
    let place = Directory::open(place)?;
    let head = match place.head(name, HEADER_MAX_BYTES) {
        Ok(head) => head,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(directory) = directory.to_str() else {
        return Ok(());
    };
    let length = head.iter().position(|byte| *byte == b'\n');
    let Some((length, header)) =
        length.and_then(|length| Some((length, header_in(&head[..length], directory)?)))
    else {
        return Ok(());
    };
    let mut content = place.read(name, FILE_MAX_BYTES)?;
    content.splice(..length.min(content.len()), header.into_bytes());
    place.write(name, &content)
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
