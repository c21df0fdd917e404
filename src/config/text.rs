//! A TOML file: its text, its syntax errors, and what can be trusted of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::reader::Fields;
use crate::diag::{Code, Finding, Place, Report, SourceId, Sources, Span};
use crate::privileges;

//----------- Text -----------------------------------------------------------

/// A TOML file that was read.
#[derive(Debug)]
pub(super) struct Text {
    /// The file.
    file: SourceId,

    /// Its text.
    text: Arc<str>,

    /// The folder that its relative paths start from.
    folder: PathBuf,
}

impl Text {
    /// Reads a file that must be there.
    pub(super) fn read(sources: &mut Sources, path: &Path, report: &mut Report) -> Option<Self> {
        Self::try_read(sources, path, report)?.or_else(|| {
            report.add(unreadable(path, &io::ErrorKind::NotFound.into()));
            None
        })
    }

    /// Reads a file that may be missing: `Some(None)`.
    ///
    /// Any other failure is a finding and `None`.
    pub(super) fn try_read(
        sources: &mut Sources,
        path: &Path,
        report: &mut Report,
    ) -> Option<Option<Self>> {
        match sources.read(path) {
            Ok(file) => Some(Some(Self::of(sources, file))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Some(None),
            Err(err) => {
                report.add(unreadable(path, &err));
                None
            }
        }
    }

    /// Returns a text that was read already.
    pub(super) fn of(sources: &Sources, file: SourceId) -> Self {
        let folder = sources.path(file).parent().unwrap_or(Path::new("")).to_owned();
        Text { file, text: sources.text(file), folder }
    }

    /// Returns the folder that holds the file.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file's text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the span of some octets.
    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        self.file.span(range)
    }

    /// Returns the span from the first sign of a line up to the end of a key
    /// in it: the whole of a dotted key, of which the parser keeps the parts.
    pub(super) fn line_up_to(&self, key: Span) -> Span {
        let before = self.line_before(key);
        let dotted = before.trim_start_matches([' ', '\t', '{', '[']);
        self.span(key.start as usize - dotted.len()..key.end as usize)
    }

    /// Parses the file and reads its root table with `read`.
    ///
    /// All syntax errors are reported. What the parser makes of the rest of
    /// such a file is still read, but tables may be missing or merged in it:
    /// see [`Parsed::is_whole`].
    pub(super) fn parse<T>(
        &self,
        report: &mut Report,
        read: impl FnOnce(Fields<'_>, &mut Report) -> T,
    ) -> Parsed<T> {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        let broken = self.add_syntax(&errors, report);
        let mut inner = Report::default();
        let value = read(Fields::root(self, root.get_ref()), &mut inner);
        if !broken.is_empty() {
            inner.retain(|finding| self.can_trust(finding, &broken));
        }
        report.extend(inner);
        Parsed { value, is_whole: broken.is_empty() }
    }

    /// Says whether a finding stands although the file is broken elsewhere.
    fn can_trust(&self, finding: &Finding, broken: &[Span]) -> bool {
        let Place::Span(span) = finding.place else { return false };
        is_about_one_value(finding.code)
            && broken.iter().all(|other| self.line_of(*other) != self.line_of(span))
    }

    fn line_of(&self, span: Span) -> usize {
        let start = (span.start as usize).min(self.text.len());
        self.text.as_bytes()[..start].iter().filter(|octet| **octet == b'\n').count()
    }

    /// Reports the syntax errors, one a line, and returns where they are.
    ///
    /// The parser often finds several things wrong with one slip; the first
    /// of a line is the one that explains it. A list without its bracket takes
    /// in the rest of the file, of which nothing can be said then.
    fn add_syntax(&self, errors: &[toml::de::Error], report: &mut Report) -> Vec<Span> {
        let mut errors: Vec<_> = errors
            .iter()
            .map(|error| (self.span(error.span().unwrap_or(0..0)), error.message()))
            .collect();
        let is_open = errors.iter().any(|(_, message)| message.contains("unclosed array"));
        errors.sort();
        errors.dedup_by_key(|(span, _)| self.line_of(*span));
        if is_open {
            let is_next_line = |(span, message): &(Span, &str)| {
                message.contains("array") && self.line_before(*span).trim().is_empty()
            };
            if let Some(at) = errors.iter().position(is_next_line) {
                errors.truncate(at + 1);
                errors[at].1 = "unclosed array";
            }
        }
        for (span, message) in &errors {
            report.add(self.syntax(*span, message));
        }
        errors.into_iter().map(|(span, _)| span).collect()
    }

    fn syntax(&self, span: Span, message: &str) -> Finding {
        let found = self.get(span);
        if message == "duplicate key" {
            let before = self.line_before(span).replace([' ', '\t'], "");
            if found == "records" && matches!(&before[..], "[geo." | "[[geo.") {
                return split_records(span);
            }
            return Finding::new(
                Code::TomlSyntax,
                span,
                format!("`{found}` is written a second time"),
                "keep one of the two, or join what is below them",
            );
        }
        if UNQUOTED.iter().any(|part| message.contains(part)) {
            return unquoted(self.get(self.token(span)), self.token(span));
        }
        let known = SYNTAX.iter().find(|(part, ..)| message.contains(part));
        let (message, help) = match known {
            Some((_, message, help)) => (*message, *help),
            None => (message, "mend the line: `key = value`"),
        };
        Finding::new(Code::TomlSyntax, span, message, help)
    }

    /// Returns what is written at a span.
    fn get(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Returns the part of a line that stands before a span.
    fn line_before(&self, span: Span) -> &str {
        let before = self.text.get(..span.start as usize).unwrap_or(&self.text);
        before.rfind('\n').map_or(before, |at| &before[at + 1..])
    }

    /// Widens a span to the whole of a value without quotes.
    fn token(&self, span: Span) -> Span {
        let ends = |c: char| c.is_whitespace() || "=,[]{}#\"'".contains(c);
        let before = self.line_before(span);
        let kept = before.rfind(ends).map_or(0, |at| at + 1);
        let start = (span.start as usize).saturating_sub(before.len() - kept);
        let rest = self.text.get(start..).unwrap_or_default();
        self.span(start..start + rest.find(ends).unwrap_or(rest.len()))
    }
}

/// What the parser says of texts without quotes, in parts.
const UNQUOTED: [&str; 4] =
    ["string values must be quoted", "invalid boolean", "invalid float", "invalid integer"];

/// What the parser says of a syntax error, in part; what we say of it, and
/// what to do.
const SYNTAX: [(&str, &str, &str); 8] = [
    ("unclosed array", "the list above has no end", "close it with `]`"),
    ("array elements", "a comma is missing in the list", "separate the entries by commas"),
    ("unclosed table", "the header has no end", "close it with `]`"),
    ("invalid basic string", "the text has no end", "end it with a quote on the same line"),
    ("leading zero", "a number with a leading zero", "write it without"),
    ("key with no value", "a key without value", "write `key = value`"),
    (
        "unquoted key",
        "a key that needs quotes",
        "write `key = value`; a key with dots, blanks or a colon goes in quotes",
    ),
    ("newline", "more than one thing in a line", "begin a new line, or quote the text"),
];

/// Returns the finding for a text without quotes.
fn unquoted(found: &str, span: Span) -> Finding {
    let number = found.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or_default();
    let help = match number.parse::<u64>() {
        Ok(_) => format!(
            "write a duration in quotes, `\"{found}\"`; a TTL is seconds without unit, `60`"
        ),
        Err(_) => format!("put it in quotes: `\"{found}\"`"),
    };
    Finding::new(Code::TomlSyntax, span, format!("a text without quotes: `{found}`"), help)
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    /// What it says.
    pub(super) value: T,

    /// Whether there was no syntax error, so that nothing is missing.
    pub(super) is_whole: bool,
}

impl<T> Parsed<T> {
    /// Returns what stands for a file that may be missing and is.
    pub(super) fn without_file(value: T) -> Self {
        Parsed { value, is_whole: true }
    }

    /// Returns the value if nothing can be missing from it.
    pub(super) fn whole(self) -> Option<T> {
        self.is_whole.then_some(self.value)
    }
}

/// Returns the finding for a file or folder that cannot be read.
pub(super) fn unreadable(path: &Path, err: &io::Error) -> Finding {
    if err.kind() == io::ErrorKind::PermissionDenied {
        let (why, help) = privileges::explain_denial(path);
        let message = format!("the server may not read it: {why}");
        return Finding::new(Code::FileUnreadable, path.to_owned(), message, help);
    }
    let (message, help) = match err.kind() {
        io::ErrorKind::InvalidData => {
            ("the file is not UTF-8 text".to_owned(), "save it in UTF-8, as TOML asks")
        }
        io::ErrorKind::NotFound => {
            ("it does not exist".to_owned(), "create it, or correct the path that leads to it")
        }
        _ => (format!("cannot read it: {err}"), "correct the path, or what is stored there"),
    };
    Finding::new(Code::FileUnreadable, path.to_owned(), message, help)
}

/// Says whether a finding of this code follows from one value alone.
///
/// In a file with a syntax error, tables and keys may have gone missing or
/// astray: what is said of missing or unknown ones would be noise.
fn is_about_one_value(code: Code) -> bool {
    matches!(
        code,
        Code::OutOfRange
            | Code::BadValue
            | Code::BadTtl
            | Code::BadNetwork
            | Code::BadName
            | Code::BadRdata
            | Code::LabelTooLong
            | Code::NameTooLong
            | Code::TargetIsAddress
    )
}

fn split_records(span: Span) -> Finding {
    Finding::new(
        Code::SplitRecords,
        span,
        "the records of this [[geo]] entry have begun above, as `records.REGION = …`",
        "go on with `records.REGION = […]` above, or move all of it below `[geo.records]`",
    )
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<Code> {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("a.toml"), text);
        let mut report = Report::default();
        Text::of(&sources, file).parse(&mut report, |mut root, report| {
            root.or("ttl", 1, report, super::super::reader::Item::ttl);
            root.finish(report);
        });
        report.findings().iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_broken_file_gets_no_findings_about_keys_that_may_have_gone_astray() {
        assert_eq!(codes("x = 1\ny = \nttl = 0"), [Code::TomlSyntax, Code::BadTtl]);
        assert_eq!(codes("x = 1\nttl = 0"), [Code::UnknownKey, Code::BadTtl]);
    }

    #[test]
    fn a_line_has_one_syntax_error() {
        assert_eq!(codes("a = 1 b = 2\n"), [Code::TomlSyntax]);
        assert_eq!(codes("a = x\nb = y\n"), [Code::TomlSyntax, Code::TomlSyntax]);
    }

    #[test]
    fn a_file_that_may_be_missing_is_no_finding_and_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let mut report = Report::default();
        let missing = folder.path().join("missing.toml");
        assert!(Text::try_read(&mut sources, &missing, &mut report).is_some_and(|t| t.is_none()));
        assert!(report.findings().is_empty());
        let binary = folder.path().join("binary.toml");
        std::fs::write(&binary, [0xff]).unwrap();
        assert!(Text::try_read(&mut sources, &binary, &mut report).is_none());
        assert!(Text::read(&mut sources, &missing, &mut report).is_none());
        assert_eq!(report.findings().len(), 2);
    }
}
