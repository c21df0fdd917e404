//! What the system says of a process.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each binary uses its part")]

/// A process that runs.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Returns its memory, in KiB.
    pub fn resident(self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns how many descriptors it has open.
    pub fn descriptors(self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count()
    }
}
