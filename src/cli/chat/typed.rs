//! What was typed or pasted before the line editor took over: read whole, so that none of it is lost.

use quarterdeck::domain::limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;

/// What the terminal puts around a paste.
const PASTE: (&str, &str) = ("\x1b[200~", "\x1b[201~");
/// Ctrl-D.
const END: char = '\u{4}';
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 4096;
/// How long more of the same burst may take to come, in nanoseconds.
const BURST_NANOSECONDS: i64 = 30_000_000;
/// The same inside of a paste, whose end is marked: longer, for a slow line.
const PASTE_NANOSECONDS: i64 = 5_000_000_000;
/// Bytes that are looked at: the longest prompt, and something to tell that it is too long.
const TYPED_MAX_BYTES: usize = 4 * limits::TEXT_MAX_BYTES;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Text that goes on being edited.
    Text(String),
    /// A line with its end.
    Line(String),
    /// The key for the line before.
    Back,
    /// A key that means nothing in an empty line.
    Nothing,
    /// Ctrl-D.
    End,
}

/// Reads what waits at the terminal.
pub(super) fn read() -> io::Result<Typed> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; CHUNK_BYTES];
        let read = match rustix::io::read(io::stdin(), &mut chunk) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            return Ok(Typed::End);
        }
        bytes.extend_from_slice(&chunk[..read]);
        let wait = match missing(&bytes) {
            Missing::Nothing => return Ok(meaning(&String::from_utf8_lossy(&bytes))),
            Missing::Perhaps => BURST_NANOSECONDS,
            Missing::Certainly => PASTE_NANOSECONDS,
        };
        if bytes.len() > TYPED_MAX_BYTES || !more_comes(wait)? {
            return Ok(meaning(&String::from_utf8_lossy(&bytes)));
        }
    }
}

/// Whether more belongs to what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Nothing,
    Perhaps,
    Certainly,
}

fn missing(bytes: &[u8]) -> Missing {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A character that is not whole yet.
        Err(error) if error.error_len().is_none() => return Missing::Certainly,
        Err(_) => return Missing::Perhaps,
    };
    match (text.rfind(PASTE.0), text.rfind(PASTE.1)) {
        (Some(begin), end) if end.is_none_or(|end| end < begin) => Missing::Certainly,
        (Some(_), _) => Missing::Nothing,
        // One key, or a sequence of one. What comes as a burst may go on.
        (None, _) if text.chars().count() == 1 && text != "\x1b" => Missing::Nothing,
        (None, _) => Missing::Perhaps,
    }
}

fn meaning(text: &str) -> Typed {
    match text {
        "\x1b\n" | "\x1b\r" => return Typed::Text("\n".into()),
        "\x1b[A" | "\x1bOA" => return Typed::Back,
        _ if text.starts_with(END) => return Typed::End,
        _ if text.starts_with('\x1b') && !text.starts_with(PASTE.0) => return Typed::Nothing,
        _ => {}
    }
    // Outside of a paste a line's end sends; inside, it is a part of the text.
    let sends = text.ends_with(['\n', '\r']);
    let text = text.replace(PASTE.0, "").replace(PASTE.1, "");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    match text.strip_suffix('\n') {
        Some(line) if sends => Typed::Line(line.to_owned()),
        Some(_) | None if text.is_empty() => Typed::Nothing,
        Some(_) | None => Typed::Text(text),
    }
}

fn more_comes(nanoseconds: i64) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    };
    match poll(&mut descriptors, Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_is_one_text_and_no_line_of_it_is_sent_alone() {
        let text = |text: &str| Typed::Text(text.into());
        let line = |text: &str| Typed::Line(text.into());
        for (came, wanted) in [
            ("h", text("h")),
            ("\n", line("")),
            ("hello\n", line("hello")),
            (
                "\x1b[200~one\rtwo\r\nthree\x1b[201~",
                text("one\ntwo\nthree"),
            ),
            ("\x1b[200~one\ntwo\n\x1b[201~", text("one\ntwo\n")),
            ("\x1b[200~one\ntwo\x1b[201~\n", line("one\ntwo")),
            // A terminal that marks nothing.
            ("one\ntwo\nthree\n", line("one\ntwo\nthree")),
            ("one\ntwo", text("one\ntwo")),
            ("\x1b[200~a\x1b[2Jb\x1b[201~", text("a[2Jb")),
            ("\x1b\n", text("\n")),
            ("\x1b[A", Typed::Back),
            ("\x1b[D", Typed::Nothing),
            ("\u{4}", Typed::End),
            ("\x7f", Typed::Nothing),
        ] {
            assert_eq!(meaning(came), wanted, "{came:?}");
        }
    }

    #[test]
    fn it_is_read_until_it_is_whole() {
        for (came, wanted) in [
            ("h".as_bytes(), Missing::Nothing),
            ("ü".as_bytes(), Missing::Nothing),
            (&"ü".as_bytes()[..1], Missing::Certainly),
            (b"hello", Missing::Perhaps),
            (b"\x1b", Missing::Perhaps),
            (b"\x1b[200~one\n", Missing::Certainly),
            (b"\x1b[200~one\x1b[201", Missing::Certainly),
            (b"\x1b[200~one\x1b[201~", Missing::Nothing),
        ] {
            assert_eq!(missing(came), wanted, "{came:?}");
        }
    }
}
