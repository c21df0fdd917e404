//! What is installed beside the binary: the unit of systemd and its user.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use server::{installed, project, skip};

/// Writes the unit to a folder, with the binary where it was built.
fn unit_in(folder: &Path) -> PathBuf {
    let unit = fs::read_to_string(project().join("pkg/trunkdns.service")).unwrap();
    assert!(unit.contains("=/usr/sbin/trunkdns "));
    let path = folder.join("trunkdns.service");
    let binary = env!("CARGO_BIN_EXE_trunkdns");
    fs::write(&path, unit.replace("=/usr/sbin/trunkdns ", &format!("={binary} "))).unwrap();
    path
}

/// Runs a program; returns whether it succeeded, and all that it printed.
fn run(program: &str, arguments: &[&str], path: &Path) -> (bool, String) {
    let output = Command::new(program).args(arguments).arg(path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    if !installed("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (is_well, text) = run("systemd-analyze", &["verify", "--man=no"], &unit_in(folder.path()));
    assert!(is_well && !text.contains("trunkdns.service"), "{text}");
}

#[test]
fn systemd_finds_little_exposed_by_the_unit() {
    if !installed("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // 20 is 2.0 of 10; a unit without hardening has 9.6.
    let arguments = ["security", "--offline=yes", "--threshold=20", "--no-pager"];
    let (is_well, text) = run("systemd-analyze", &arguments, &unit_in(folder.path()));
    assert!(is_well, "{text}");
}

#[test]
fn the_user_is_made_and_owns_its_folders() {
    if !installed("systemd-sysusers") || !installed("systemd-tmpfiles") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    if root.path().metadata().unwrap().uid() != 0 {
        return skip("only root can make users");
    }
    let under = format!("--root={}", root.path().display());
    fs::create_dir(root.path().join("etc")).unwrap();
    let sysusers = project().join("pkg/trunkdns.sysusers");
    let (is_well, text) = run("systemd-sysusers", &[&under], &sysusers);
    assert!(is_well, "{text}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let line = users.lines().find(|line| line.starts_with("trunkdns:")).unwrap();
    let uid: u32 = line.split(':').nth(2).unwrap().parse().unwrap();
    assert_ne!(uid, 0);
    let tmpfiles = project().join("pkg/trunkdns.tmpfiles");
    let (is_well, text) = run("systemd-tmpfiles", &[&under, "--create"], &tmpfiles);
    assert!(is_well, "{text}");
    for (folder, mode) in [("run/trunkdns", 0o755), ("var/lib/trunkdns", 0o750)] {
        let metadata = root.path().join(folder).metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (uid, mode), "{folder}");
    }
}
