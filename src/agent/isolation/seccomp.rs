//! System calls that an agent may not make on rung `landlock`: making unix sockets, which Landlock does not bound by
//! path before version 9 of its interface, and io_uring, which would make them without a call. Pairs
//! (`socketpair`) stay allowed: they reach nobody.

use super::plan::Step;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use std::{collections::BTreeMap, io};

/// Numbers of `socket` and `io_uring_setup`.
#[cfg(target_arch = "x86_64")]
const CALLS: (i64, i64) = (41, 425);
/// Numbers of `socket` and `io_uring_setup`, as all newer architectures have them.
#[cfg(not(target_arch = "x86_64"))]
const CALLS: (i64, i64) = (198, 425);
/// `AF_UNIX`.
const UNIX: u64 = 1;

/// Both calls get EPERM from here on.
pub(super) fn deny_unix_sockets() -> io::Result<()> {
    let filter = program().step("build the filter of system calls")?;
    apply_filter(&filter).step("seccomp")
}

fn program() -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let unix = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, UNIX)?;
    let (socket, io_uring_setup) = CALLS;
    let rules = BTreeMap::from([
        (socket, vec![SeccompRule::new(vec![unix])?]),
        (io_uring_setup, vec![]),
    ]);
    let denied = u32::try_from(Errno::PERM.raw_os_error())?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(denied),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
