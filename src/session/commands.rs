//! The commands that agents told, for who asks while their processes may be gone.

use crate::domain::{command::Command, ids::SessionRow};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// Bytes of what is kept of all sessions; beyond that those that told longest ago are forgotten, and tell it again when
/// they start.
const KNOWN_MAX_BYTES: usize = 8 * 1024 * 1024;
/// What a command takes besides its texts, and a session besides its commands, in bytes.
const EACH_BYTES: usize = 128;

/// What is known of the sessions whose agents told their commands since the server started.
#[derive(Debug, Default)]
pub struct KnownCommands(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Newest last.
    sessions: VecDeque<Told>,
    bytes: usize,
}

#[derive(Debug)]
struct Told {
    session: SessionRow,
    agent: String,
    commands: Arc<[Command]>,
    bytes: usize,
}

// === impl KnownCommands ===

impl KnownCommands {
    /// Takes what a session's agent told. True where that is something else than before.
    pub fn hear(&self, session: SessionRow, agent: &str, commands: Vec<Command>) -> bool {
        let texts = commands.iter().map(|it| it.text_bytes() + EACH_BYTES);
        let told = Told {
            session,
            agent: agent.to_owned(),
            bytes: EACH_BYTES + texts.sum::<usize>(),
            commands: commands.into(),
        };
        let mut known = self.0.lock().expect("no holder panics");
        let before = known.sessions.iter().position(|it| it.session == session);
        let before = before.and_then(|at| known.sessions.remove(at));
        known.bytes -= before.as_ref().map_or(0, |before| before.bytes);
        let changed =
            before.is_none_or(|it| it.agent != told.agent || it.commands != told.commands);
        known.bytes += told.bytes;
        known.sessions.push_back(told);
        while known.bytes > KNOWN_MAX_BYTES
            && let Some(oldest) = known.sessions.pop_front()
        {
            known.bytes -= oldest.bytes;
        }
        changed
    }

    /// The commands of a session, whose agent this is; `None` where it did not tell them.
    pub fn of(&self, session: SessionRow, agent: &str) -> Option<Arc<[Command]>> {
        let known = self.0.lock().expect("no holder panics");
        let told = known.sessions.iter().find(|it| it.session == session)?;
        (told.agent == agent).then(|| told.commands.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(name: &str) -> Vec<Command> {
        Command::bounded(name, "does it", "").into_iter().collect()
    }

    #[test]
    fn what_is_known_is_of_one_session_and_agent() {
        let known = KnownCommands::default();
        assert!(known.hear(SessionRow(1), "a", commands("x")));
        assert!(!known.hear(SessionRow(1), "a", commands("x")));
        assert!(known.hear(SessionRow(1), "a", commands("y")));
        assert_eq!(known.of(SessionRow(1), "a").unwrap()[0].name, "y");
        assert_eq!(known.of(SessionRow(1), "b"), None);
        assert_eq!(known.of(SessionRow(2), "a"), None);
    }

    /// R16: what agents tell does not grow memory.
    #[test]
    fn those_who_told_longest_ago_are_forgotten() {
        let known = KnownCommands::default();
        let many = |number: i64| -> Vec<Command> {
            let name = |nth| format!("{number} {nth}");
            let each = |nth| Command::bounded(&name(nth), &"d".repeat(1024), "");
            (0..240).filter_map(each).collect()
        };
        for number in 0..100 {
            known.hear(SessionRow(number), "a", many(number));
            assert!(known.0.lock().unwrap().bytes <= KNOWN_MAX_BYTES);
        }
        assert_eq!(known.of(SessionRow(0), "a"), None);
        assert!(known.of(SessionRow(99), "a").is_some());
    }
}
