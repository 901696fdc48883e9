//! Lines of a child's output, in bounded memory.
//!
//! Only LF ends a line; one CR before it is taken off. What follows the last LF when the stream ends is no line and is
//! dropped: it is the torn end of a child that was killed while it wrote. Nothing is said about what a line holds.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that is handed on, in bytes without its end.
pub const LINE_MAX: usize = 8 * 1024 * 1024;
/// Room for one read, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end; any bytes.
    Text(Bytes),
    /// A line longer than [`LINE_MAX`]: skipped, the stream goes on.
    TooLong {
        /// Its length in bytes, its CR included.
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
    /// Bytes of a line already thrown away, while one is skipped.
    skipped: Option<usize>,
}

// === impl Lines ===

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            seen: 0,
            skipped: None,
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
                self.buffer.clear();
                self.seen = 0;
                return None;
            }
        }
    }

    /// Reads to the end and throws everything away, so that a child which is told to leave can write its last words.
    pub(super) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            self.seen = 0;
            if self.read().await == 0 {
                return;
            }
        }
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
            if self.buffer.len() > LINE_MAX + 1 || self.skipped.is_some() {
                *self.skipped.get_or_insert(0) += self.buffer.len();
                self.buffer.clear();
            }
            self.seen = self.buffer.len();
            return None;
        };
        let mut text = self.buffer.split_to(end + 1);
        self.seen = 0;
        text.truncate(end);
        if let Some(skipped) = self.skipped.take() {
            let length = skipped + end;
            return Some(Line::TooLong { length });
        }
        if text.last() == Some(&b'\r') {
            text.truncate(end - 1);
        }
        Some(if text.len() > LINE_MAX {
            Line::TooLong { length: end }
        } else {
            Line::Text(text.freeze())
        })
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
    async fn a_line_over_the_bound_is_skipped_in_bounded_memory() {
        let longest = vec![b'x'; LINE_MAX];
        let mut input = longest.clone();
        input.extend_from_slice(b"\r\n");
        input.extend_from_slice(&vec![b'y'; LINE_MAX + 1]);
        input.extend_from_slice(b"\n");
        input.extend_from_slice(&vec![b'z'; 3 * LINE_MAX]);
        input.extend_from_slice(b"\nafter\n");
        let mut lines = Lines::new(&input[..]);
        assert_eq!(lines.next().await, Some(Line::Text(longest.into())));
        let length = LINE_MAX + 1;
        assert_eq!(lines.next().await, Some(Line::TooLong { length }));
        let length = 3 * LINE_MAX;
        assert_eq!(lines.next().await, Some(Line::TooLong { length }));
        assert!(lines.buffer.capacity() <= LINE_MAX + 2 * READ_SIZE);
        assert_eq!(lines.next().await, Some(text(b"after")));
        assert_eq!(lines.next().await, None);
        assert!(lines.buffer.capacity() <= READ_SIZE);
    }
}
