//! Every finding, as the operator reads it.
//!
//! `tests/findings/CODE/CASE/` holds input files and, in `expected.txt`, the
//! exact rendering of what is found in them. A case with a `trunkdns.toml` is
//! a whole configuration, one with a `regions.toml` a region table, any other
//! a zone folder, read with `tests/findings/regions.toml`. Zones are linted, at
//! a fixed time. `BLESS=1` writes the expected files anew: read what it wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use trunkdns::config::read_regions;
use trunkdns::daemon::load;
use trunkdns::diag::{Code, Report, Sources};
use trunkdns::lint::Context;

/// 27 November 2026, noon, in seconds since the Unix epoch.
const NOW: u64 = 1_795_780_800;

#[test]
fn every_case_reads_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings");
    let mut failures = Vec::new();
    let mut count = 0;
    for code in folders(&root) {
        for case in folders(&code) {
            count += 1;
            failures.extend(check(&root, &code, &case));
        }
    }
    assert!(count > 0, "no cases below {}", root.display());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_code_has_a_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings");
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !root.join(code.name()).is_dir()).collect();
    assert!(missing.is_empty(), "no case of {missing:?}");
}

/// Checks a case and returns what differs.
fn check(root: &Path, code: &Path, case: &Path) -> Option<String> {
    let mut sources = Sources::default();
    let mut report = Report::default();
    read(root, case, &mut sources, &mut report);
    let found = report.render(&sources, false).replace(&format!("{}/", case.display()), "");
    let found = found.replace(&case.display().to_string(), ".");
    let found = found.replace(&format!("{}/", root.display()), "");
    let code = code.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if report.findings().iter().all(|finding| finding.code.name() != code) {
        return Some(format!("{}: no finding of {code} in\n{found}", case.display()));
    }
    let path = case.join("expected.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (found != expected).then(|| format!("{}: found\n{found}\nexpected\n{expected}", case.display()))
}

fn read(root: &Path, case: &Path, sources: &mut Sources, report: &mut Report) {
    // What a clone may read of the files depends on the umask.
    for (secret, mode) in [("cookies", 0o644), ("key.pem", 0o600), ("open.pem", 0o644)] {
        let path = case.join(secret);
        if path.exists() {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    if case.join("trunkdns.toml").exists() {
        load::load_and_lint(&case.join("trunkdns.toml"), None, NOW, sources, report);
    } else if case.join("regions.toml").exists() {
        read_regions(sources, &case.join("regions.toml"), report);
    } else {
        let regions = read_regions(sources, &root.join("regions.toml"), report).unwrap();
        let context =
            Context { regions: &regions, databases: None, production: false, spread_ttl: 0 };
        load::load_folder(case, &regions, Some(context), sources, report);
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}
