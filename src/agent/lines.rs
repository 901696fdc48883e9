//! Lines of a child's output, in bounded memory.
//!
//! Only LF ends a line; one CR before it is taken off. What follows the last LF when the stream ends is no line and is
//! dropped: it is the torn end of a child that was killed while it wrote.
//!
//! A line beyond [`LINE_MAX`] is handed on with its long strings cut, as far as it is JSON: who reads it still learns what
//! it is about, and how that ended. Nothing else is said about what a line holds.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that is handed on as it is, in bytes without its end: the largest attachment fits in it as base64.
pub const LINE_MAX: usize = 12 * 1024 * 1024;
/// What is kept of each string of a longer line, in bytes as they are written there.
pub const STRING_KEPT_BYTES: usize = 256 * 1024;
/// Longest line after its strings were cut, in bytes; one that is still longer is skipped.
pub(super) const SHORTENED_MAX: usize = 4 * 1024 * 1024;
/// Room for one read, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end; any bytes.
    Text(Bytes),
    /// A line longer than [`LINE_MAX`], from its first `{"` on.
    Shortened {
        /// What is left of it: each of its strings is cut to [`STRING_KEPT_BYTES`]. JSON where the line was JSON.
        text: Bytes,
        /// Bytes that were taken out of its strings.
        cut: usize,
    },
    /// A line that is too long even so: skipped, the stream goes on.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: BytesMut,
    /// Bytes of `buffer` that hold no LF for sure.
    seen: usize,
    /// The line that is being shortened.
    long: Option<Shortener>,
}

/// Cuts the strings of a line while it comes.
#[derive(Debug)]
struct Shortener {
    kept: BytesMut,
    /// Bytes of the line so far.
    length: usize,
    /// Bytes left out of strings.
    cut: usize,
    /// Bytes kept of the present string; `None` between strings.
    string: Option<usize>,
    /// The present string has reached its bound: nothing more of it is kept.
    cutting: bool,
    /// Bytes that belong to an escape which has begun, and go with it.
    escape: usize,
    /// Nothing of it can be used.
    lost: bool,
}

// === impl Lines ===

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            seen: 0,
            long: None,
        }
    }

    /// The next line; `None` at the end of the stream, and where it can't be read any more. Cancel-safe: all that was
    /// read stays in the buffer.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.take() {
                return Some(line);
            }
            if self.read().await == 0 {
                self.forget();
                return None;
            }
        }
    }

    /// Reads to the end and throws everything away, so that a child which is told to leave can write its last words.
    pub(super) async fn drain(&mut self) {
        loop {
            self.forget();
            if self.read().await == 0 {
                return;
            }
        }
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.seen = 0;
        self.long = None;
    }

    async fn read(&mut self) -> usize {
        if self.buffer.is_empty() && self.buffer.capacity() > READ_SIZE {
            // One long line must not cost its memory for the life of the session.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ_SIZE);
        self.source.read_buf(&mut self.buffer).await.unwrap_or(0)
    }

    fn take(&mut self) -> Option<Line> {
        let end = self.buffer[self.seen..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|at| self.seen + at) else {
            // One more than the longest line, for its CR.
            if self.buffer.len() > LINE_MAX + 1 || self.long.is_some() {
                shorten(&mut self.long, &self.buffer);
                self.buffer.clear();
            }
            self.seen = self.buffer.len();
            return None;
        };
        let mut text = self.buffer.split_to(end + 1);
        self.seen = 0;
        text.truncate(end);
        if text.last() == Some(&b'\r') {
            text.truncate(end - 1);
        }
        if self.long.is_none() && text.len() <= LINE_MAX {
            return Some(Line::Text(text.freeze()));
        }
        shorten(&mut self.long, &text);
        self.long.take().map(Shortener::finish)
    }
}

fn shorten(long: &mut Option<Shortener>, bytes: &[u8]) {
    match long {
        Some(long) => long.push(bytes),
        None => *long = Some(Shortener::begin(bytes)),
    }
}

// === impl Shortener ===

impl Shortener {
    /// Begins with the first bytes of a line. What stands before its object would be taken for a part of it.
    fn begin(bytes: &[u8]) -> Self {
        let start = bytes.windows(2).position(|pair| pair == b"{\"");
        let mut shortener = Self {
            kept: BytesMut::new(),
            length: start.unwrap_or(0),
            cut: 0,
            string: None,
            cutting: false,
            escape: 0,
            lost: start.is_none(),
        };
        shortener.push(&bytes[start.unwrap_or(0)..]);
        shortener
    }

    fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() && !self.lost {
            let run = self.run(bytes);
            bytes = &bytes[run..];
        }
    }

    /// Takes some bytes; returns how many.
    fn run(&mut self, bytes: &[u8]) -> usize {
        let Some(string) = self.string else {
            let quote = bytes.iter().position(|byte| *byte == b'"');
            let run = quote.map_or(bytes.len(), |at| at + 1);
            self.keep(&bytes[..run]);
            self.string = quote.map(|_| 0);
            return run;
        };
        if self.escape > 0 {
            // `\\uXXXX` is kept or cut as one.
            self.escape -= 1;
            if bytes[0] == b'u' && self.escape == 0 {
                self.escape = 4;
            }
            self.keep_or_cut(&bytes[..1]);
            return 1;
        }
        let stop = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        match stop {
            Some(0) if bytes[0] == b'"' => {
                self.keep(&bytes[..1]);
                (self.string, self.cutting) = (None, false);
                1
            }
            Some(0) => {
                self.cutting |= string >= STRING_KEPT_BYTES && !self.ends_in_half();
                self.escape = 1;
                self.keep_or_cut(&bytes[..1]);
                1
            }
            stop => {
                let run = &bytes[..stop.unwrap_or(bytes.len())];
                if !self.cutting {
                    let mut fits = STRING_KEPT_BYTES.saturating_sub(string).min(run.len());
                    // To the end of a character.
                    while run.get(fits).is_some_and(|byte| byte & 0xc0 == 0x80) {
                        fits += 1;
                    }
                    if fits > 0 {
                        self.keep_or_cut(&run[..fits]);
                        return fits;
                    }
                    self.cutting = true;
                }
                self.keep_or_cut(run);
                run.len()
            }
        }
    }

    /// Whether the first half of a `\\ud83d\\ude00` was kept last: the other one goes with it.
    fn ends_in_half(&self) -> bool {
        let last = self.kept.len().saturating_sub(6);
        matches!(
            self.kept[last..],
            [
                b'\\',
                b'u',
                b'd' | b'D',
                b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
                _,
                _
            ]
        )
    }

    /// Takes bytes inside of a string.
    fn keep_or_cut(&mut self, bytes: &[u8]) {
        if self.cutting {
            self.cut += bytes.len();
        } else {
            self.string = self.string.map(|string| string + bytes.len());
            self.keep(bytes);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.kept.len() + bytes.len() > SHORTENED_MAX {
            self.lost = true;
            self.kept = BytesMut::new();
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn finish(self) -> Line {
        if self.lost {
            let length = self.length;
            return Line::TooLong { length };
        }
        Line::Shortened {
            text: self.kept.freeze(),
            cut: self.cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(input);
        let mut all = vec![];
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    fn text(text: &'static [u8]) -> Line {
        Line::Text(Bytes::from_static(text))
    }

    #[tokio::test]
    async fn only_lf_ends_a_line_and_one_cr_goes_with_it() {
        let separators = "a\u{2028}b\u{85}c\rd\n".as_bytes();
        assert_eq!(
            lines(b"one\ntwo\r\n\nthree\r\r\n\xff\xfe\0\ntorn").await,
            [
                text(b"one"),
                text(b"two"),
                text(b""),
                text(b"three\r"),
                text(b"\xff\xfe\0")
            ]
        );
        let whole = Bytes::copy_from_slice(&separators[..separators.len() - 1]);
        assert_eq!(lines(separators).await, [Line::Text(whole)]);
    }

    /// R16: any bytes, and what comes out is what a plain split says.
    #[test]
    fn any_bytes_are_cut_as_a_split_would_cut_them() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("it starts");
        crate::fuzz::fuzz(&[b"one\ntwo\r\n\n\r\n\xff\ntorn"], |input| {
            let mut expected: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
            // What follows the last LF is no line.
            expected.pop();
            let expected: Vec<Line> = expected
                .into_iter()
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .map(|line| Line::Text(Bytes::copy_from_slice(line)))
                .collect();
            assert_eq!(runtime.block_on(lines(input)), expected);
        });
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_shortened_or_skipped_in_bounded_memory() {
        let longest = vec![b'x'; LINE_MAX];
        let mut input = longest.clone();
        input.extend_from_slice(b"\r\n");
        input.extend_from_slice(&vec![b'y'; LINE_MAX + 1]);
        input.extend_from_slice(b"\n");
        input.extend_from_slice(&vec![b'z'; 3 * LINE_MAX]);
        input.extend_from_slice(b"\n{\"type\":\"t\",\"list\":[");
        input.extend_from_slice(&b"1,".repeat(LINE_MAX));
        input.extend_from_slice(b"1]}\nafter\n");
        let mut lines = Lines::new(&input[..]);
        assert_eq!(lines.next().await, Some(Line::Text(longest.into())));
        let length = LINE_MAX + 1;
        assert_eq!(lines.next().await, Some(Line::TooLong { length }));
        let length = 3 * LINE_MAX;
        assert_eq!(lines.next().await, Some(Line::TooLong { length }));
        assert!(lines.buffer.capacity() <= LINE_MAX + 2 * READ_SIZE);
        let length = 2 * LINE_MAX + "{\"type\":\"t\",\"list\":[1]}".len();
        assert_eq!(lines.next().await, Some(Line::TooLong { length }));
        assert_eq!(lines.next().await, Some(text(b"after")));
        assert_eq!(lines.next().await, None);
        assert!(lines.buffer.capacity() <= READ_SIZE);
    }

    /// Whatever stands in it, in whatever pieces it comes: what is left is the same JSON with cut strings, and says how
    /// much is missing.
    #[test]
    fn a_shortened_line_is_json_with_the_same_fields() {
        for piece in [
            "x",
            "ä",
            "😀",
            "\\\"",
            "\\\\",
            "\\ud83d\\ude00",
            "\\n",
            "a\\u0001bc",
        ] {
            for shift in 0..4 {
                let long = "s".repeat(shift) + &piece.repeat(STRING_KEPT_BYTES / piece.len() + 99);
                let few = "s".repeat(shift);
                let json = format!(
                    "{{\"type\":\"end\",\"result\":{{\"text\":\"{long}\",\"more\":[\"{few}\"]}},\"isError\":false}}"
                );
                let input = format!("\x1b]0;\"{json}");
                let (first, rest) = input.as_bytes().split_at(1000 + shift);
                let mut shortener = Shortener::begin(first);
                rest.chunks(70_001).for_each(|bytes| shortener.push(bytes));
                let Line::Shortened { text: left, cut } = shortener.finish() else {
                    panic!("{piece}: skipped");
                };
                assert!(cut > 0 && left.len() + cut == json.len(), "{piece}");
                let left: serde_json::Value = serde_json::from_slice(&left).expect(piece);
                assert_eq!(left["isError"], false);
                assert_eq!(left["result"]["more"][0], few);
                let whole: String = serde_json::from_str(&format!("\"{long}\"")).expect("JSON");
                let cut = left["result"]["text"].as_str().expect("a string");
                assert!(
                    whole.starts_with(cut) && cut.len() > STRING_KEPT_BYTES / 8,
                    "{piece}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_line_with_a_long_string_is_handed_on_without_its_end() {
        let json = format!("{{\"data\":\"{}\",\"end\":1}}", "x".repeat(LINE_MAX));
        let lines = lines(format!("{json}\r\nafter\n").as_bytes()).await;
        let [Line::Shortened { text: left, cut }, after] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert_eq!(after, &text(b"after"));
        assert_eq!(left.len() + cut, json.len());
        assert!(left.ends_with(b"x\",\"end\":1}"));
    }
}
