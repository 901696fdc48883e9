//! Landlock: on rung `landlock` the files that an agent may open, and on both rungs the end of signals and of abstract
//! unix sockets at the agent's own processes, and, where its network is not open, the ports that it may connect to.
//!
//! On rung `namespace` there are no rules over files: whoever is bound by one may not mount, and agents' own sandboxes
//! would fail, while the mounts bound files already.

use super::{
    Rung,
    layout::{Access, Entry, grants},
    plan::{Plan, Step},
};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    NetPort, PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};
use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// The newest interface that is asked for; older kernels give less where that is allowed.
const NEWEST: ABI = ABI::V7;

/// Devices that are open to all.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// Bounds this process and all that it starts, as its rung wants it.
pub(super) fn restrict(plan: &Plan) -> io::Result<()> {
    match plan.rung {
        Rung::None => Ok(()),
        Rung::Namespace => {
            // An older kernel has no scopes; the probe says so.
            let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
            let ruleset = ruleset.scope(Scope::from_all(NEWEST)).step("landlock")?;
            let ruleset = handle_ports(ruleset, plan.ports.as_deref())?;
            let ruleset = ruleset.create().step("landlock")?;
            let ruleset = allow_ports(ruleset, plan.ports.as_deref())?;
            ruleset.restrict_self().step("landlock").map(|_| ())
        }
        Rung::Landlock => {
            // Without scopes (Linux before 6.12) an agent could end its keeper.
            let ruleset = Ruleset::default()
                .set_compatibility(CompatLevel::HardRequirement)
                .scope(Scope::from_all(ABI::V6))
                .step("landlock")?
                .handle_access(AccessFs::from_all(ABI::V6))
                .step("landlock")?;
            let ruleset = handle_ports(ruleset, plan.ports.as_deref())?;
            let ruleset = ruleset.create().step("landlock")?;
            let mut ruleset = allow_ports(ruleset, plan.ports.as_deref())?;
            for Entry { path, access } in grants(&plan.layout, list) {
                ruleset = allow(ruleset, &path, rights(access))?;
            }
            ruleset = allow(ruleset, Path::new("/proc"), rights(Access::Read))?;
            let device = AccessFs::ReadFile
                | AccessFs::WriteFile
                | AccessFs::ReadDir
                | AccessFs::Truncate
                | AccessFs::IoctlDev;
            for path in DEVICES {
                ruleset = allow(ruleset, Path::new(path), device)?;
            }
            let status = ruleset.restrict_self().step("landlock")?.ruleset;
            if status == RulesetStatus::FullyEnforced {
                Ok(())
            } else {
                Err(io::Error::other(format!(
                    "isolation: landlock: the kernel enforces only a part ({status:?})"
                )))
            }
        }
    }
}

/// Where ports are named, no other one may be used, or the process is not started.
fn handle_ports(ruleset: Ruleset, ports: Option<&[u16]>) -> io::Result<Ruleset> {
    if ports.is_none() {
        return Ok(ruleset);
    }
    ruleset
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp)
        .step("landlock: ports")
}

fn allow_ports(ruleset: RulesetCreated, ports: Option<&[u16]>) -> io::Result<RulesetCreated> {
    let Some(ports) = ports else {
        return Ok(ruleset);
    };
    let connect = ports.iter().map(|port| (*port, AccessNet::ConnectTcp));
    // Port 0 is one that the system chooses: no service that others know is there.
    let rules = connect.chain([(0, AccessNet::BindTcp)]);
    rules
        .into_iter()
        .try_fold(ruleset, |ruleset, (port, right)| {
            let rule = NetPort::new(port, right);
            ruleset
                .add_rule(rule)
                .step(format!("landlock: port {port}"))
        })
}

/// Version of the kernel's interface; 0 where there is none. Bounds the caller, who is the probe.
pub(super) fn abi() -> i32 {
    let bounded = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::from_all(NEWEST))
        .and_then(|ruleset| ruleset.create())
        .and_then(|ruleset| ruleset.restrict_self());
    match bounded.map(|status| status.landlock) {
        Ok(LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        }) => kernel_abi.unwrap_or(effective_abi as i32),
        Ok(LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) | Err(_) => 0,
    }
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::Hidden => BitFlags::EMPTY,
        Access::Read => AccessFs::from_read(ABI::V6),
        Access::Write => AccessFs::from_all(ABI::V6) & !AccessFs::IoctlDev,
    }
}

/// Allows a path and all below it. One that is not there, or is a symbolic link, is passed over; that a session's own
/// directories are there and are none, the working directory shows.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    let named = || format!("landlock: {}", path.display());
    let handle = match open(path) {
        Ok(handle) => handle,
        Err(Errno::NOENT | Errno::ACCESS | Errno::LOOP)
            if !rights.contains(AccessFs::WriteFile) =>
        {
            return Ok(ruleset);
        }
        Err(error) => return Err(error).step(named()),
    };
    let is_directory = fstat(&handle)
        .map(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
        .step(named())?;
    let rights = if is_directory {
        rights
    } else {
        rights & AccessFs::from_file(ABI::V6)
    };
    ruleset
        .add_rule(PathBeneath::new(handle, rights))
        .step(named())
}

/// A rule holds for what its path names when it is made: no link that an agent left may lead it elsewhere.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    openat2(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
