//! Who the server is, and what it may do, as `trunkdns status` shows it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::privileges::{self, sandbox};

/// Who the server is, and what it may do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Process {
    /// The name of its user.
    pub user: String,

    /// The number of its user.
    pub uid: u32,

    /// Whether it was told to be in a sandbox.
    pub is_sandboxed: bool,

    /// What the sandbox restricts, and by what.
    pub restricted: Vec<String>,

    /// What it does not restrict, and why.
    pub unrestricted: Vec<String>,
}

impl Process {
    /// Returns how it is with this process.
    pub fn new() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let sandbox = sandbox::in_force().cloned();
        let is_sandboxed = sandbox.is_some();
        let sandbox::InForce { parts, missing, .. } = sandbox.unwrap_or_default();
        let user = privileges::name_of(uid);
        Process { user, uid, is_sandboxed, restricted: parts, unrestricted: missing }
    }

    /// Writes it for people: what is not as it should be in capitals.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "process   user {}", self.user)?;
        if self.uid == 0 {
            write!(out, ", AS ROOT: see [server] user")?;
        }
        match (self.is_sandboxed, self.restricted.is_empty()) {
            (false, _) => write!(out, "; NO SANDBOX: see [server] sandbox")?,
            (true, true) => write!(out, "; NO SANDBOX")?,
            (true, false) => write!(out, "; sandbox: {}", self.restricted.join(", "))?,
        }
        for missing in &self.unrestricted {
            write!(out, "; UNRESTRICTED {missing}")?;
        }
        writeln!(out)
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(uid: u32, is_sandboxed: bool, restricted: &[&str], unrestricted: &[&str]) -> String {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (restricted, unrestricted) = (texts(restricted), texts(unrestricted));
        let user = if uid == 0 { "root" } else { "trunkdns" }.to_owned();
        let mut out = String::new();
        let process = Process { user, uid, is_sandboxed, restricted, unrestricted };
        process.write(&mut out).unwrap();
        out
    }

    #[test]
    fn what_is_not_as_it_should_be_is_loud() {
        assert_eq!(
            shown(106, true, &["files (Landlock 6)", "system calls (seccomp)"], &[]),
            "process   user trunkdns; sandbox: files (Landlock 6), system calls (seccomp)\n"
        );
        assert_eq!(
            shown(0, true, &["system calls (seccomp)"], &["files: this kernel has no Landlock"]),
            "process   user root, AS ROOT: see [server] user; sandbox: system calls (seccomp); \
             UNRESTRICTED files: this kernel has no Landlock\n"
        );
        assert_eq!(
            shown(106, false, &[], &[]),
            "process   user trunkdns; NO SANDBOX: see [server] sandbox\n"
        );
    }
}
