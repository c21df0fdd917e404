//! Capabilities and other marks of a process on Linux.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

/// What capabilities are kept for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Binding addresses and the control socket.
    Bind,

    /// Answering.
    Serve,
}

impl Purpose {
    /// Returns the capabilities that serve it.
    ///
    /// Root reads files that belong to others by a capability, not by its
    /// number; where nobody else is to be the server, it goes on to.
    fn capabilities(self) -> CapabilitySet {
        let reads = match nix::unistd::geteuid().is_root() {
            true => CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH,
            false => CapabilitySet::empty(),
        };
        match self {
            // Ports below 1024, receive buffers beyond the system's limit, and
            // the control socket's group.
            Purpose::Bind => {
                reads
                    | CapabilitySet::NET_BIND_SERVICE
                    | CapabilitySet::NET_ADMIN
                    | CapabilitySet::CHOWN
            }
            Purpose::Serve => reads,
        }
    }
}

/// Gives up all capabilities of this thread, and of those that it starts,
/// but those that serve a purpose.
pub(super) fn keep(purpose: Purpose) -> io::Result<()> {
    let kept = capabilities(None)?.permitted & purpose.capabilities();
    // Kernels before 4.3 have no ambient set.
    let _ = clear_ambient_capability_set();
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?)
}

/// Lets capabilities outlast the change from root to another user, and has
/// none ever come back.
pub(super) fn keep_across_users() -> io::Result<()> {
    for capability in CapabilitySet::all() {
        // The kernel does not know those that are newer than it, and in a
        // container root may lack the right.
        let _ = remove_capability_from_bounding_set(capability);
    }
    Ok(set_keep_capabilities(true)?)
}

/// Has no program that is run give the process more than it has.
pub(super) fn forbid_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// Keeps the memory, with its secrets, out of core dumps and from debuggers of
/// anybody but root.
pub(super) fn forbid_core_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
