//! Which user id each owner's agents have, and the directories that belong to it.
//!
//! Decided once for an owner and kept by the file system alone: the owner's directory belongs to its user, and an empty
//! file of the id's name below [`CLAIMED`] says that it is taken.

use crate::{agent::isolation::users::UserRange, beneath::Directory};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Holds a file for each id that was given to an owner.
const CLAIMED: &str = "users";

/// The user ids of agents. Only where the server runs as root.
#[derive(Debug)]
pub struct AgentUsers {
    range: UserRange,
    /// Agents whose processes have one.
    pub(super) agents: BTreeSet<String>,
    /// Tells this server's choice from others', so that they rarely meet.
    seed: String,
    /// Held while an owner gets one.
    giving: Mutex<()>,
}

// === impl AgentUsers ===

impl AgentUsers {
    /// Ids of this range for the agents of these names. `seed` is the store's id.
    pub fn new(range: UserRange, agents: BTreeSet<String>, seed: String) -> Self {
        Self {
            range,
            agents,
            seed,
            giving: Mutex::default(),
        }
    }

    /// The id of an owner whose directory this is, below `root`; a new one for a new owner, or where the range was
    /// changed. Blocks.
    ///
    /// # Errors
    /// What the system says, and that all ids are taken.
    #[cfg(target_os = "linux")]
    pub(super) fn of(&self, root: &Directory, owner: &Path) -> io::Result<u32> {
        let _giving = self.giving.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = root.make(owner)?;
        let user = directory.owner()?;
        if self.range.holds(user) {
            return Ok(user);
        }
        let claimed = root.make(Path::new(CLAIMED))?;
        for user in self.range.from(self.place_of(owner)) {
            if claimed.claim(&user.to_string())? {
                // What lies in it belongs to the agents, each of which has a directory of its own.
                directory.give_itself(user)?;
                return Ok(user);
            }
        }
        let range = self.range;
        Err(io::Error::other(format!(
            "every user id of {range} is taken; give agent_uids a larger range"
        )))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(&self, _: &Directory, _: &Path) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn place_of(&self, owner: &Path) -> u64 {
        let mut digest = Sha256::new();
        digest.update(self.seed.as_bytes());
        digest.update(owner.as_os_str().as_encoded_bytes());
        let digest = digest.finalize();
        digest[..8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Makes a directory of agents belong to the user that its agent has, with all that an earlier one left in it. Blocks.
/// Does nothing where this process is not root's: then all is its own.
#[cfg(target_os = "linux")]
pub(super) fn settle(root: &Directory, path: &Path, user: Option<u32>) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    root.make(path)?;
    root.hand_over(path, user.unwrap_or(0))?;
    if user.is_none() {
        return Ok(());
    }
    // The way there is every user's: what is in these directories has names that nobody guesses, and modes of its own.
    let ways = path.ancestors().skip(1);
    for way in ways.filter(|way| !way.as_os_str().is_empty()) {
        root.at(way)?.let_pass()?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn settle(_: &Directory, _: &Path, _: Option<u32>) -> io::Result<()> {
    Ok(())
}
