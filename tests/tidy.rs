//! The house rules that a program can check.
//!
//! These tests read the source as text, line by line. They lean on rustfmt:
//! an item's closing brace stands alone, as deep as the item's first line.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of more lines is two modules.
const FILE_LINES_MAX: usize = 1_000;

/// A line of more characters does not fit beside another file on a screen.
const LINE_CHARACTERS_MAX: usize = 100;

/// A function of more lines cannot be seen at once.
const FUNCTION_LINES_MAX: usize = 70;

/// Files with a table whose rows read best as one line each.
const LONG_LINES_ALLOWED: &[&str] = &["src/diag/code.rs", "src/wire/reason.rs"];

/// Files that may use the keyword `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &["src/transport/udp/sys.rs"];

/// What marks unfinished work. Taken apart, so that this file has none.
const LEFTOVERS: &[&str] = &[
    concat!("todo", "!("),
    concat!("dbg", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
];

//----------- The rules ------------------------------------------------------

#[test]
fn files_are_short() {
    check(&sources(&["src"]), |file, complain| {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            complain(1, format!("{lines} lines, at most {FILE_LINES_MAX}"));
        }
    });
}

#[test]
fn lines_are_short() {
    check(&sources(&["src", "tests", "benches", "fuzz/fuzz_targets"]), |file, complain| {
        if LONG_LINES_ALLOWED.contains(&file.name.as_str()) {
            return;
        }
        for (number, line) in numbered(&file.text) {
            let characters = line.chars().count();
            if characters > LINE_CHARACTERS_MAX {
                complain(number, format!("{characters} characters, at most {LINE_CHARACTERS_MAX}"));
            }
        }
    });
}

#[test]
fn functions_are_short() {
    check(&sources(&["src"]), |file, complain| {
        for (number, lines) in function_lengths(&file.text) {
            if lines > FUNCTION_LINES_MAX {
                complain(
                    number,
                    format!("a function of {lines} lines, at most {FUNCTION_LINES_MAX}"),
                );
            }
        }
    });
}

#[test]
fn nothing_is_left_unfinished() {
    check(&sources(&["src", "tests", "benches", "fuzz/fuzz_targets"]), |file, complain| {
        for (number, line) in numbered(&file.text) {
            for leftover in LEFTOVERS.iter().filter(|leftover| line.contains(**leftover)) {
                complain(number, format!("a leftover {leftover}"));
            }
        }
    });
}

#[test]
fn files_say_what_they_are_for() {
    check(&sources(&["src", "tests", "benches", "fuzz/fuzz_targets"]), |file, complain| {
        if !file.text.starts_with("//! ") {
            complain(1, "no `//!` comment at the top".into());
        }
    });
}

#[test]
fn unsafe_code_is_where_it_is_allowed() {
    check(&sources(&["src"]), |file, complain| {
        if UNSAFE_ALLOWED.contains(&file.name.as_str()) {
            return;
        }
        for (number, line) in numbered(&file.text) {
            if words(code_of(line)).any(|word| word == "unsafe") {
                complain(number, "`unsafe` outside of the files that may use it".into());
            }
        }
    });
}

#[test]
fn dependencies_have_a_reason() {
    let manifests = ["Cargo.toml", "fuzz/Cargo.toml"].map(|path| read(Path::new(path)));
    check(&manifests, |file, complain| {
        for (number, name) in dependencies_without_reason(&file.text) {
            complain(number, format!("no comment above the dependency {name}"));
        }
    });
}

//----------- The rules see what they should see -----------------------------

#[test]
fn a_function_is_as_long_as_its_lines() {
    let text = "\
fn one() {}
impl A {
    pub(crate) const fn three() {
        body();
    }
    fn none(&self);
}
async fn wrapped(
    a: u8,
) -> u8 {
    a
}
";
    assert_eq!(function_lengths(text), [(1, 1), (3, 3), (6, 1), (8, 5)]);
}

#[test]
fn functions_of_test_modules_do_not_count() {
    let text = "\
fn before() {}
#[cfg(test)]
mod tests {
    fn inside() {
    }
}
#[cfg(test)]
mod elsewhere;
fn after() {}
";
    assert_eq!(function_lengths(text), [(1, 1), (9, 1)]);
}

#[test]
fn a_dependency_without_a_comment_is_seen() {
    let text = "\
[package]
name = \"a\"
[dependencies]
# Why.
good = \"1\"
bad = { version = \"1\", features = [
    \"x\",
] }

[dev-dependencies.worse]
version = \"1\"
[lints.rust]
missing_docs = \"warn\"
";
    assert_eq!(dependencies_without_reason(text), [(6, "bad"), (10, "worse")]);
}

#[test]
fn a_word_in_a_comment_is_not_code() {
    let found = |line| words(code_of(line)).any(|word| word == "unsafe");
    assert!(found("    unsafe { call() } // why"));
    assert!(!found("    call() // unsafe elsewhere"));
    assert!(!found("#![deny(unsafe_code)]"));
}

//----------- File -----------------------------------------------------------

/// A file of the package.
struct File {
    /// Its path from the package's root, with forward slashes.
    name: String,

    /// What is in it.
    text: String,
}

/// Reads every Rust file below some folders of the package.
fn sources(folders: &[&str]) -> Vec<File> {
    let mut pending: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        let full = root().join(&path);
        if full.is_dir() {
            let entries = fs::read_dir(&full).expect("the folder was there a moment ago");
            pending.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(read(&path));
        }
    }
    assert!(!files.is_empty(), "there are sources in {folders:?}");
    files
}

/// Reads a file of the package.
fn read(path: &Path) -> File {
    let text = fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    File { name: path.display().to_string(), text }
}

/// Returns the package's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//----------- Helpers --------------------------------------------------------

/// Applies a rule to files, and fails with all complaints at once.
fn check(files: &[File], rule: impl Fn(&File, &mut dyn FnMut(usize, String))) {
    let mut complaints = Vec::new();
    for file in files {
        rule(file, &mut |line, text| complaints.push(format!("{}:{line}: {text}", file.name)));
    }
    complaints.sort();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Returns the lines of a text, counted from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Returns the first line and the number of lines of each function outside
/// of test modules.
fn function_lengths(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lengths = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|l| is_module(l)) {
            at += 1 + item_length(&lines[at + 1..]);
            continue;
        }
        if is_function(lines[at]) {
            lengths.push((at + 1, item_length(&lines[at..])));
        }
        at += 1;
    }
    lengths
}

/// Returns how many lines the item takes that starts at the first of some.
fn item_length(lines: &[&str]) -> usize {
    let depth = lines[0].len() - lines[0].trim_start().len();
    let ends = |line: &&str| {
        let own_depth = line.len() - line.trim_start().len();
        own_depth == depth && (line.ends_with('}') || line.ends_with(';'))
    };
    lines.iter().position(ends).map_or(lines.len(), |last| last + 1)
}

/// Says whether a function starts on a line.
fn is_function(line: &str) -> bool {
    const BEFORE: [&str; 5] = ["pub", "const", "async", "unsafe", "extern"];
    let ahead = line.split_whitespace().find(|word| {
        !BEFORE.contains(word) && !word.starts_with("pub(") && !word.starts_with("\"C")
    });
    ahead == Some("fn")
}

/// Says whether a module starts on a line.
fn is_module(line: &str) -> bool {
    words(line).find(|word| *word != "pub") == Some("mod")
}

/// Returns a line without its comment.
fn code_of(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Returns the words of a line, as the language cuts them.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Returns the dependencies of a manifest that no comment stands above.
fn dependencies_without_reason(manifest: &str) -> Vec<(usize, &str)> {
    let mut missing = Vec::new();
    let mut in_table = false;
    let mut last = "";
    for (number, line) in numbered(manifest) {
        let mut found = None;
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            in_table = header.ends_with("dependencies");
            // A dependency may have a table of its own: [dependencies.name].
            found = header.split_once("dependencies.").map(|(_, name)| name);
        } else if in_table && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            found = line.split(['.', ' ', '=']).next();
        }
        if let Some(name) = found.filter(|_| !last.starts_with('#')) {
            missing.push((number, name));
        }
        last = line;
    }
    missing
}
