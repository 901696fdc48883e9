//! The sessions that are known, in their order, and which of them is chosen. Pure.

use quarterdeck::{
    client::SessionsUpdate,
    proto::{SessionSnapshot, SessionState},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// Sessions that are kept; what comes beyond is counted as left out.
const SESSIONS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Board {
    sessions: HashMap<String, SessionSnapshot>,
    /// Keys that a list under way has named.
    arriving: Option<HashSet<String>>,
    /// Whether a whole list was there.
    complete: bool,
    /// Whether the server is out of reach.
    cut: bool,
    /// Whether there were more sessions than are kept.
    left_out: bool,
    /// Key of the session that a person went to; the first row until then.
    chosen: Option<String>,
}

/// What the sessions do together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) sessions: usize,
    /// Sessions with an active turn.
    pub(super) running: usize,
    /// Those of them that wait for an answer.
    pub(super) asking: usize,
    /// Turns that wait.
    pub(super) waiting: u64,
}

/// How the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Live { left_out: bool },
    Cut,
}

// === impl Board ===

impl Board {
    pub(super) fn apply(&mut self, update: SessionsUpdate) {
        self.cut = update == SessionsUpdate::Cut;
        match update {
            SessionsUpdate::Began => {
                self.arriving = Some(HashSet::new());
                self.left_out = false;
            }
            SessionsUpdate::Session(session) => self.report(*session),
            SessionsUpdate::Complete => {
                if let Some(named) = self.arriving.take() {
                    self.sessions.retain(|key, _| named.contains(key));
                    self.complete = true;
                }
            }
            SessionsUpdate::Cut => {}
        }
    }

    fn report(&mut self, session: SessionSnapshot) {
        let key = session.session_key.clone();
        if session.state() == SessionState::Deleted {
            self.sessions.remove(&key);
            return;
        }
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&key) {
            self.left_out = true;
            return;
        }
        if let Some(arriving) = &mut self.arriving {
            arriving.insert(key.clone());
        }
        self.sessions.insert(key, session);
    }

    /// The sessions: those that work first, then those whose turns wait, then the others; the last active ones first.
    pub(super) fn rows(&self) -> Vec<&SessionSnapshot> {
        let mut rows: Vec<_> = self.sessions.values().collect();
        rows.sort_by_cached_key(|session| {
            let rank = match session.state() {
                SessionState::Idle | SessionState::Unspecified if session.queue_depth == 0 => 2,
                SessionState::Idle | SessionState::Unspecified => 1,
                SessionState::Running
                | SessionState::WaitingInput
                | SessionState::Canceling
                | SessionState::Resetting
                | SessionState::Deleting
                | SessionState::Deleted => 0,
            };
            let active = session.last_active_time.map_or(0, |time| time.seconds);
            (rank, Reverse(active), session.session_key.clone())
        });
        rows
    }

    /// Where the chosen session stands among the rows; the first where the chosen one is gone.
    pub(super) fn place(&self, rows: &[&SessionSnapshot]) -> Option<usize> {
        let place = self
            .chosen
            .as_ref()
            .and_then(|key| rows.iter().position(|row| row.session_key == *key));
        place.or_else(|| (!rows.is_empty()).then_some(0))
    }

    pub(super) fn chosen(&self) -> Option<&SessionSnapshot> {
        let rows = self.rows();
        self.place(&rows).map(|place| rows[place])
    }

    /// Chooses another row.
    pub(super) fn step(&mut self, by: isize) {
        let rows = self.rows();
        let Some(place) = self.place(&rows) else {
            return;
        };
        let place = place.saturating_add_signed(by).min(rows.len() - 1);
        self.chosen = Some(rows[place].session_key.clone());
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals {
            sessions: self.sessions.len(),
            ..Totals::default()
        };
        for session in self.sessions.values() {
            totals.running += usize::from(!session.active_turn_id.is_empty());
            totals.asking += usize::from(session.state() == SessionState::WaitingInput);
            totals.waiting += u64::try_from(session.queue_depth).unwrap_or(0);
        }
        totals
    }

    pub(super) fn link(&self) -> Link {
        match (self.cut, self.complete) {
            (true, _) => Link::Cut,
            (false, false) => Link::Connecting,
            (false, true) => Link::Live {
                left_out: self.left_out,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(key: &str, state: SessionState, queue_depth: i32, active: i64) -> SessionsUpdate {
        let turn = if state == SessionState::Idle { "" } else { "t" };
        SessionsUpdate::Session(Box::new(SessionSnapshot {
            session_key: key.into(),
            state: state.into(),
            queue_depth,
            active_turn_id: turn.into(),
            last_active_time: Some(prost_types::Timestamp {
                seconds: active,
                nanos: 0,
            }),
            ..SessionSnapshot::default()
        }))
    }

    fn keys(board: &Board) -> Vec<&str> {
        let rows = board.rows();
        rows.iter().map(|row| row.session_key.as_str()).collect()
    }

    #[test]
    fn what_works_stands_first_and_a_new_list_replaces_the_old_one() {
        use SessionState::{Deleted, Idle, Running, WaitingInput};
        let mut board = Board::default();
        assert_eq!(board.link(), Link::Connecting);
        board.apply(SessionsUpdate::Began);
        for update in [
            session("old", Idle, 0, 1),
            session("new", Idle, 0, 9),
            session("waits", Idle, 2, 5),
            session("runs", Running, 1, 3),
            session("asks", WaitingInput, 0, 4),
        ] {
            board.apply(update);
        }
        board.apply(SessionsUpdate::Complete);
        assert_eq!(keys(&board), ["asks", "runs", "waits", "new", "old"]);
        let totals = Totals {
            sessions: 5,
            running: 2,
            asking: 1,
            waiting: 3,
        };
        assert_eq!(board.totals(), totals);
        assert_eq!(board.link(), Link::Live { left_out: false });
        board.apply(session("new", Deleted, 0, 9));
        board.apply(SessionsUpdate::Cut);
        assert_eq!(board.link(), Link::Cut);
        // A sign of life takes nothing away; a list takes what it does not name.
        board.apply(SessionsUpdate::Complete);
        assert_eq!(keys(&board), ["asks", "runs", "waits", "old"]);
        board.apply(SessionsUpdate::Began);
        board.apply(session("runs", Running, 0, 3));
        board.apply(SessionsUpdate::Complete);
        assert_eq!(keys(&board), ["runs"]);
    }

    #[test]
    fn the_chosen_session_stays_chosen_wherever_it_goes() {
        let mut board = Board::default();
        assert_eq!(board.chosen(), None);
        board.step(1);
        board.apply(session("a", SessionState::Idle, 0, 2));
        board.apply(session("b", SessionState::Idle, 0, 1));
        let chosen = |board: &Board| board.chosen().map(|it| it.session_key.clone());
        assert_eq!(chosen(&board).as_deref(), Some("a"));
        board.step(1);
        board.step(1);
        assert_eq!(chosen(&board).as_deref(), Some("b"));
        board.apply(session("b", SessionState::Running, 0, 3));
        assert_eq!(keys(&board), ["b", "a"]);
        assert_eq!(chosen(&board).as_deref(), Some("b"));
        board.step(isize::MAX);
        assert_eq!(chosen(&board).as_deref(), Some("a"));
        board.step(isize::MIN);
        board.apply(session("b", SessionState::Deleted, 0, 3));
        assert_eq!(chosen(&board).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_beyond_the_bound_is_left_out_and_said() {
        let mut board = Board::default();
        board.apply(SessionsUpdate::Began);
        for at in 0..=SESSIONS_MAX {
            board.apply(session(&format!("s{at}"), SessionState::Idle, 0, 1));
        }
        board.apply(SessionsUpdate::Complete);
        assert_eq!(board.totals().sessions, SESSIONS_MAX);
        assert_eq!(board.link(), Link::Live { left_out: true });
    }
}
