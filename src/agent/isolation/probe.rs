//! Which rung this machine offers, found out by trying it: a process is started the way agents are, and says what it
//! can reach. Settings of the kernel are not asked: there are systems on which namespaces can be made and are of no use.

#[cfg(target_os = "linux")]
pub(in crate::agent) mod inside;
#[cfg(target_os = "linux")]
mod trial;

use super::{AgentUser, Isolation, KillProof, ProcView, Rung};
use crate::agent::process::ProcessHost;
use std::path::Path;

/// Which rung is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that there is.
    #[default]
    Auto,
    /// This one, or the server does not start.
    Exactly(Rung),
}

/// Which user id an agent is to have that is not the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnUser {
    /// None.
    #[default]
    No,
    /// This one, where that works.
    IfPossible(u32),
    /// This one, or the rung is not to be had.
    Required(u32),
}

/// The rung that is wanted is not to be had. For people: names the step, the error and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("isolation = \"{}\" can't be had on this machine: {reason}", rung.name())]
pub struct NotOffered {
    /// The rung.
    pub rung: Rung,
    /// Why.
    pub reason: String,
}

/// Finds the rung. `directory` must be one that no agent may see, and exist. It is left as it was, except that every
/// user may pass through it where agents go that way as users of their own: on rung `landlock`. On a system without
/// namespaces and Landlock there is [`Rung::None`] alone.
///
/// # Errors
/// A rung that was named can't be had.
pub async fn probe(
    host: &ProcessHost,
    choice: Choice,
    user: OwnUser,
    directory: &Path,
) -> Result<Isolation, NotOffered> {
    let rungs: &[Rung] = match choice {
        Choice::Auto => &[Rung::Namespace, Rung::Landlock],
        Choice::Exactly(Rung::None) => &[],
        Choice::Exactly(Rung::Namespace) => &[Rung::Namespace],
        Choice::Exactly(Rung::Landlock) => &[Rung::Landlock],
    };
    let mut reasons = vec![];
    for rung in rungs {
        let users: &[Option<u32>] = match user {
            OwnUser::No => &[None],
            OwnUser::IfPossible(user) => &[Some(user), None],
            OwnUser::Required(user) => &[Some(user)],
        };
        for user in users {
            match offered(host, *rung, *user, directory).await {
                Ok(isolation) => {
                    return Ok(Isolation {
                        reason: reasons.join("; "),
                        ..isolation
                    });
                }
                Err(reason) => {
                    let own = user.map_or(String::new(), |user| format!(" as user {user}"));
                    reasons.push(format!("{}{own}: {reason}", rung.name()));
                }
            }
        }
    }
    let reason = reasons.join("; ");
    match choice {
        Choice::Exactly(rung) if rung != Rung::None => Err(NotOffered { rung, reason }),
        Choice::Auto | Choice::Exactly(_) => Ok(without(reason)),
    }
}

/// What holds where nothing is isolated.
fn without(reason: String) -> Isolation {
    Isolation {
        rung: Rung::None,
        abstract_sockets: true,
        kill_proof: if cfg!(target_os = "linux") {
            KillProof::Subreaper
        } else {
            KillProof::None
        },
        reason: match reason.as_str() {
            "" => "isolation = \"none\" is configured".into(),
            _ => reason,
        },
        ..Isolation::default()
    }
}

#[cfg(not(target_os = "linux"))]
async fn offered(_: &ProcessHost, _: Rung, _: Option<u32>, _: &Path) -> Result<Isolation, String> {
    Err("it needs Linux".into())
}

#[cfg(target_os = "linux")]
async fn offered(
    host: &ProcessHost,
    rung: Rung,
    user: Option<u32>,
    directory: &Path,
) -> Result<Isolation, String> {
    let own = match rung {
        Rung::Namespace => ProcView::Own,
        Rung::Landlock | Rung::None => ProcView::Host,
    };
    let (proc, seen) = match trial::run(host, rung, own, user, directory).await {
        Ok(seen) => (own, seen),
        // Covered, as in a container: all else still holds.
        Err(problem) if problem.contains(super::mounts::MOUNT_PROC) => {
            let seen = trial::run(host, rung, ProcView::Shared, user, directory).await;
            (ProcView::Shared, seen.map_err(|problem| explain(&problem))?)
        }
        Err(problem) => return Err(explain(&problem)),
    };
    Ok(Isolation {
        rung,
        user: match user {
            Some(_) => AgentUser::Own,
            None => AgentUser::Shared,
        },
        proc,
        abstract_sockets: seen.abstract_socket,
        landlock_abi: seen.landlock_abi,
        kill_proof: match rung {
            Rung::Namespace => KillProof::PidNamespace,
            Rung::Landlock | Rung::None => KillProof::Subreaper,
        },
        ..Isolation::default()
    })
}

/// Adds what to do to a problem that is known.
fn explain(problem: &str) -> String {
    let has = |text: &str| problem.contains(text);
    let denied = has("(os error 1)") || has("(os error 13)");
    let remedy = if has("isolation: unshare") && has("(os error 28)") {
        "this error means that user.max_user_namespaces or user.max_pid_namespaces is 0: set it with sysctl"
    } else if has("isolation: unshare") && denied {
        "a container's system call filter forbids user namespaces, or kernel.unprivileged_userns_clone is 0: allow \
         them, or run the server outside of the container"
    } else if denied && has("isolation: ") && !has("isolation: landlock") {
        "user namespaces can be made but not used, as AppArmor has it on Ubuntu: give the program a profile, in \
         /etc/apparmor.d/quarterdeck: `profile quarterdeck /usr/bin/quarterdeck flags=(unconfined) { userns, }`"
    } else if has("isolation: landlock") {
        "it needs Linux 6.12 or newer with `landlock` in the kernel's list of security modules (lsm=)"
    } else {
        return problem.to_owned();
    };
    format!("{problem} ({remedy})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_problem_says_what_to_do() {
        for (problem, word) in [
            (
                "isolation: unshare: No space left on device (os error 28)",
                "max_user_namespaces",
            ),
            (
                "isolation: unshare: Operation not permitted (os error 1)",
                "unprivileged_userns_clone",
            ),
            (
                "isolation: write uid_map: Permission denied (os error 13)",
                "apparmor.d",
            ),
            (
                "isolation: make mounts private: Operation not permitted (os error 1)",
                "apparmor.d",
            ),
            ("isolation: landlock: no", "6.12"),
        ] {
            let told = explain(problem);
            assert!(told.starts_with(problem) && told.contains(word), "{told}");
        }
        assert_eq!(explain("it did not answer"), "it did not answer");
    }
}
