//! What the keeper and the processes between it and the agent are told, and how they tell what went wrong.
//!
//! It goes through one variable of the environment, not through arguments: those of the first process of a PID namespace
//! can be read inside, its environment can't.

use super::{
    Confinement, ProcView, Rung, Visible,
    layout::{Entry, layout},
};
use crate::agent::{confine::ProcessLimits, process::KEEPER_VARIABLE};
use serde::{Deserialize, Serialize};
use std::{fmt::Display, io, path::PathBuf};

/// Everything that the steps need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::agent) struct Plan {
    pub(in crate::agent) rung: Rung,
    pub(super) proc: ProcView,
    pub(super) layout: Vec<Entry>,
    pub(super) tmp_max_bytes: u64,
    pub(super) working_directory: PathBuf,
    pub(super) limits: ProcessLimits,
    /// Ports that it may connect to; `None` is all.
    pub(super) ports: Option<Vec<u16>>,
    /// User and group id of the agent; `None` leaves the server's.
    pub(in crate::agent) user: Option<u32>,
    /// The file that says until when a worker's agent may run; `None` for those of a gateway.
    pub(in crate::agent) fence: Option<PathBuf>,
}

/// Names the step that failed.
pub(super) trait Step<T> {
    /// Adds the step's name to an error.
    fn step(self, name: impl Display) -> io::Result<T>;
}

// === impl Plan ===

impl Plan {
    /// A plan for one process.
    ///
    /// # Errors
    /// What contradicts itself, for people.
    pub(in crate::agent) fn new(
        confinement: &Confinement,
        visible: &Visible,
        working_directory: PathBuf,
        limits: ProcessLimits,
        user: Option<u32>,
        fence: Option<PathBuf>,
    ) -> Result<Self, String> {
        Ok(Self {
            rung: confinement.rung,
            proc: confinement.proc,
            layout: match confinement.rung {
                Rung::None => vec![],
                Rung::Landlock | Rung::Namespace => layout(confinement, visible)?,
            },
            tmp_max_bytes: confinement.tmp_max_bytes,
            working_directory,
            limits,
            ports: confinement.ports.clone(),
            user,
            fence,
        })
    }

    /// As the value of [`KEEPER_VARIABLE`].
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub(in crate::agent) fn to_value(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    /// What this process was told.
    pub(in crate::agent) fn of_environment() -> io::Result<Self> {
        let value = std::env::var_os(KEEPER_VARIABLE).unwrap_or_default();
        serde_json::from_slice(value.as_encoded_bytes()).step(KEEPER_VARIABLE)
    }
}

// === impl Step ===

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, name: impl Display) -> io::Result<T> {
        self.map_err(|error| io::Error::other(format!("isolation: {name}: {error}")))
    }
}
