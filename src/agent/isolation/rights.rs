//! Giving up capabilities, for good.

use super::plan::Step;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
};
use std::io;

/// Numbers that capabilities may have.
const CAPABILITIES: u32 = 64;

/// What this process starts from here on gets none, whoever's user it runs as: root would be given those of the bounding
/// and of the inheritable set anew with each program.
pub(in crate::agent) fn keep_from_children() -> io::Result<()> {
    clear_ambient_capability_set().step("clear ambient capabilities")?;
    let held = capabilities(None).step("read capabilities")?;
    if held.permitted.contains(CapabilitySet::SETPCAP) {
        // The right to remove goes last.
        let last = CapabilitySet::SETPCAP;
        let all = (0..CAPABILITIES).map(|number| CapabilitySet::from_bits_retain(1 << number));
        for right in all.filter(|right| *right != last).chain([last]) {
            if capability_is_in_bounding_set(right).unwrap_or(false) {
                remove_capability_from_bounding_set(right).step("drop capabilities")?;
            }
        }
    }
    let inheritable = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            inheritable,
            ..held
        },
    )
    .step("drop inheritable capabilities")
}

/// This process has none from here on.
pub(super) fn drop_own() -> io::Result<()> {
    keep_only(CapabilitySet::empty())
}

/// This process has none from here on but that of signalling other users' processes.
pub(super) fn drop_all_but_signals() -> io::Result<()> {
    keep_only(CapabilitySet::KILL)
}

fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).step("drop capabilities")
}
