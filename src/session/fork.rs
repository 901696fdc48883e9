//! What the agent of a forked session is given of the conversation that its driver keeps. Done beside the commit, and
//! nothing hangs on it: an agent that finds no conversation is told the stored one.

use super::handle::Directories;
use crate::{
    agent::{Driver, ForkRequest},
    beneath::blocking,
    domain::{session::Session, turn::Turn},
};
use std::{collections::BTreeMap, io, sync::Arc};
use tracing::warn;

/// The way to agents' own conversations.
#[derive(Clone)]
pub struct Conversations {
    /// Where agents keep their files.
    pub directories: Directories,
    /// Every configured agent.
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
}

// === impl Conversations ===

impl Conversations {
    /// Copies the agent's conversation of a session up to the end of a turn to a session that was just forked from it.
    pub async fn copy(&self, from: &Session, turn: &Turn, to: &Session) {
        // What an agent keeps may hold what it was given of its owner's memory; an older generation's is not looked for.
        let same_owner = (&from.tenant, &from.owner) == (&to.tenant, &to.owner);
        let same_agent = from.agent == to.agent && turn.agent == to.agent;
        let (Some(until), Some(driver)) = (turn.end_time, self.drivers.get(&to.agent)) else {
            return;
        };
        if !same_owner || !same_agent || turn.generation != from.generation {
            return;
        }
        let copied = async {
            let [from_directory, to_directory] =
                [self.directory(from).await?, self.directory(to).await?];
            let request = ForkRequest {
                from_directory,
                from_id: from.session_id,
                to_directory,
                to_id: to.session_id,
                until,
            };
            driver.fork(request).await
        };
        if let Err(problem) = copied.await {
            warn!(session_key = %to.key, %problem, "an agent's conversation was not copied; it is told the stored one");
        }
    }

    async fn directory(&self, session: &Session) -> io::Result<std::path::PathBuf> {
        let directories = self.directories.clone();
        let uid = session.uid;
        blocking(move || directories.agents_own(uid)).await
    }
}
