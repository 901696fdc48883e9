//! The newest lines of one session, as they come.

use crate::cli::{follow::View, output};
use quarterdeck::{
    client::{Client, Start, Update},
    proto::{Cursor, SessionSnapshot, SubscribeRequest},
};
use ratatui::text::Span;
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tonic::Status;

/// Events with which it begins.
const NEWEST_EVENTS: i64 = 100;
/// Lines that are kept.
const LINES_MAX: usize = 1000;
/// Bytes of a line; a longer one goes on in the next.
const LINE_MAX_BYTES: usize = 16 * 1024;

pub(super) struct Tail {
    pub(super) session_key: String,
    updates: mpsc::Receiver<Result<Update, Status>>,
    /// Whether the end of the updates was told.
    over: bool,
    view: View,
    lines: Lines,
    /// Rows below what is shown; 0 follows the end.
    below: usize,
}

/// Lines of text that steer nothing. The last one may go on.
#[derive(Debug, Default)]
struct Lines {
    whole: VecDeque<String>,
    open: String,
}

// === impl Tail ===

impl Tail {
    pub(super) fn open(client: &Client, session: &SessionSnapshot) -> Self {
        let oldest = (session.first_seq - 1).max(0);
        let cursor = Cursor {
            log_id: session.log_id.clone(),
            after_seq: (session.head_seq - NEWEST_EVENTS).max(oldest),
        };
        let request = SubscribeRequest {
            session_key: session.session_key.clone(),
            deltas: Some(true),
            ..SubscribeRequest::default()
        };
        Self {
            session_key: session.session_key.clone(),
            updates: client.follow(request, Start::After(cursor)),
            over: false,
            view: View::plain(),
            lines: Lines::default(),
            below: 0,
        }
    }

    /// The next update; `None` once, at their end.
    pub(super) async fn next(&mut self) -> Option<Result<Update, Status>> {
        match self.over {
            false => self.updates.recv().await,
            true => std::future::pending().await,
        }
    }

    pub(super) fn apply(&mut self, update: Option<Result<Update, Status>>) {
        match update {
            Some(Ok(update)) => {
                let text = self.view.text(&update);
                self.lines.push(&text);
            }
            Some(Err(status)) => {
                self.over = true;
                self.lines.push(&format!("\n[{}]\n", status.message()));
            }
            None => self.over = true,
        }
    }

    /// Goes so many rows up, or down.
    pub(super) fn scroll(&mut self, rows: isize) {
        self.below = self.below.saturating_add_signed(rows);
    }

    /// The rows that are shown on a screen of that size.
    pub(super) fn rows(&mut self, width: usize, height: usize) -> Vec<String> {
        let (rows, below) = self.lines.shown(width, height, self.below);
        self.below = below;
        rows
    }
}

// === impl Lines ===

impl Lines {
    fn push(&mut self, text: &str) {
        let text = output::escaped(text).replace('\t', "    ");
        let mut pieces = text.split('\n').peekable();
        while let Some(piece) = pieces.next() {
            self.open.push_str(piece);
            if pieces.peek().is_some() || self.open.len() > LINE_MAX_BYTES {
                self.whole.push_back(std::mem::take(&mut self.open));
            }
            while self.whole.len() > LINES_MAX {
                self.whole.pop_front();
            }
        }
    }

    /// The rows of a screen of that size that has so many rows below it, and how many there are: above the oldest line
    /// there is nothing.
    fn shown(&self, width: usize, height: usize, below: usize) -> (Vec<String>, usize) {
        let wanted = height.saturating_add(below);
        let mut rows: VecDeque<String> = VecDeque::new();
        let open = (!self.open.is_empty()).then_some(&self.open);
        for line in open.into_iter().chain(self.whole.iter().rev()) {
            for row in wrapped(line, width).into_iter().rev() {
                rows.push_front(row);
            }
            if rows.len() >= wanted {
                break;
            }
        }
        let below = below.min(rows.len().saturating_sub(height));
        let end = rows.len() - below;
        let begin = end.saturating_sub(height);
        (rows.drain(begin..end).collect(), below)
    }
}

/// A line in rows of that width, of which each holds a character at least.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for (at, c) in line.char_indices() {
        let size = match c.is_ascii() {
            true => 1,
            false => Span::raw(&line[at..at + c.len_utf8()]).width(),
        };
        if used + size > width && used > 0 {
            rows.push(String::new());
            used = 0;
        }
        used += size;
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_steer_nothing() {
        let mut lines = Lines::default();
        lines.push("a\tb\x1b[2J\nopen");
        assert_eq!(lines.whole, ["a    b\\u{1b}[2J"]);
        assert_eq!(lines.open, "open");
        for _ in 0..2 * LINES_MAX {
            lines.push("\n");
        }
        assert_eq!(lines.whole.len(), LINES_MAX);
        for _ in 0..20 {
            lines.push(&"x".repeat(1024));
        }
        assert!(lines.open.len() <= LINE_MAX_BYTES);
        assert_eq!(lines.whole.len(), LINES_MAX);
    }

    #[test]
    fn long_lines_go_on_in_the_next_row() {
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(wrapped("a漢字", 3), ["a漢", "字"]);
        assert_eq!(wrapped("漢字", 1), ["漢", "字"]);
    }

    #[test]
    fn the_end_is_shown_and_scrolling_ends_at_the_oldest_line() {
        let mut lines = Lines::default();
        lines.push("one\ntwo long\nthree\nopen");
        assert_eq!(lines.shown(4, 2, 0), (vec!["e".into(), "open".into()], 0));
        assert_eq!(lines.shown(4, 2, 1), (vec!["thre".into(), "e".into()], 1));
        assert_eq!(
            lines.shown(4, 2, 99),
            (vec!["one".into(), "two ".into()], 4)
        );
        assert_eq!(lines.shown(4, 50, 7).1, 0);
    }
}
