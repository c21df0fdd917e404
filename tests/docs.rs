//! The documentation is true: what `docs/rfc.md` and `docs/threat-model.md` name exists, what the
//! code cites is in the former, and `docs/findings.md` has a section for every finding.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use trunkdns::diag::{Code, Severity};

#[test]
fn every_file_and_test_that_the_support_table_names_exists() {
    let tests = tests();
    let mut missing = Vec::new();
    for row in rows() {
        for path in row.files().filter(|path| !root().join(path).exists()) {
            missing.push(format!("{}: there is no file {path}", row.clause));
        }
        for test in row.tests().filter(|test| !tests.contains(*test)) {
            missing.push(format!("{}: there is no test {test}", row.clause));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_row_says_whether_it_holds_and_what_holds_has_a_test() {
    let rows = rows();
    assert!(rows.len() > 50, "{} rows", rows.len());
    for row in rows {
        let (verdict, reason) = row.holds.split_once([':', ',']).unwrap_or((&row.holds, ""));
        let is_plain = verdict == "yes" && row.files().count() > 0 && row.tests().count() > 0;
        let is_excused = ["partial", "no", "n/a"].contains(&verdict) && !reason.trim().is_empty();
        assert!(is_plain || is_excused, "{}: {}", row.clause, row.holds);
    }
}

#[test]
fn every_line_of_the_threat_model_names_what_holds_it_and_the_tests_that_guard_it() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let (tests, mut faults, mut numbers) = (tests(), Vec::new(), Vec::new());
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let is_numbered = cells[0].len() > 1 && cells[0][1..].chars().all(|c| c.is_ascii_digit());
        let [number, .., held, guarded] = cells[..] else { continue };
        if !is_numbered || number.starts_with('A') {
            continue;
        }
        numbers.push(number);
        let files: Vec<_> = quoted(held).collect();
        let guards: Vec<_> = quoted(guarded).collect();
        let missing_files = files.iter().filter(|path| !root().join(path).exists());
        faults.extend(missing_files.map(|path| format!("{number}: there is no file {path}")));
        let missing_tests = guards.iter().filter(|test| !tests.contains(**test));
        faults.extend(missing_tests.map(|test| format!("{number}: there is no test {test}")));
        if files.is_empty() || guards.is_empty() {
            faults.push(format!("{number}: it does not say by what it is held"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let threats: Vec<_> = numbers.iter().filter(|number| number.starts_with('T')).collect();
    assert_eq!(threats.len(), 17, "{threats:?}");
}

#[test]
fn every_rfc_that_the_answer_core_cites_has_a_row() {
    let listed: BTreeSet<_> = rows().iter().flat_map(|row| rfcs(&row.clause)).collect();
    for folder in ["src/wire", "src/answer"] {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let unlisted: Vec<_> =
                rfcs(&text).into_iter().filter(|rfc| !listed.contains(rfc)).collect();
            assert!(unlisted.is_empty(), "{}: RFC {unlisted:?}", file.display());
        }
    }
}

#[test]
fn every_finding_has_a_section_that_says_what_its_table_does() {
    let text = fs::read_to_string(root().join("docs/findings.md")).unwrap();
    let sections: Vec<_> = text.split("\n### ").skip(1).collect();
    let names: Vec<_> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    let expected: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names, expected);
    for (code, section) in Code::ALL.iter().zip(sections) {
        let severity = match code.severity() {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
        };
        let mut paragraphs = section.split("\n\n").skip(1);
        assert_eq!(paragraphs.next(), Some(&*format!("*{severity}.* {}", code.meaning())));
        assert!(paragraphs.next().is_some_and(|reason| reason.len() > 30), "{code}: {section}");
    }
}

#[test]
fn links_within_the_findings_lead_to_sections() {
    let text = fs::read_to_string(root().join("docs/findings.md")).unwrap();
    for link in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(Code::find(link).is_some(), "{link}");
    }
}

//----------- Row ------------------------------------------------------------

/// A row of the support table.
struct Row {
    clause: String,
    files: String,
    tests: String,
    holds: String,
}

impl Row {
    fn files(&self) -> impl Iterator<Item = &str> {
        quoted(&self.files)
    }

    fn tests(&self) -> impl Iterator<Item = &str> {
        quoted(&self.tests)
    }
}

/// Returns what stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Reads the rows of all tables; each has a clause that begins with `RFC`.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/rfc.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| RFC "));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [clause, _, files, tests, holds] = cells[..] else { panic!("no five cells: {line}") };
        let [clause, files, tests, holds] = [clause, files, tests, holds].map(str::to_owned);
        Row { clause, files, tests, holds }
    };
    lines.map(row).collect()
}

/// Returns the numbers of the RFCs that a text names.
fn rfcs(text: &str) -> BTreeSet<u32> {
    let after = text.split("RFC ").skip(1);
    let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

//----------- Sources --------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the names of all tests: functions behind `#[test]`.
fn tests() -> BTreeSet<String> {
    let files = ["src", "tests"].iter().flat_map(|folder| sources(&root().join(folder)));
    let mut tests = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for behind in text.split("#[test]\n").skip(1) {
            // Another attribute may stand between.
            let name = behind.lines().find_map(|line| line.trim().strip_prefix("fn "));
            tests.extend(name.and_then(|name| name.split('(').next()).map(str::to_owned));
        }
    }
    tests
}
