//! Master files (RFC 1035 section 5).
//!
//! # Choices
//!
//! - A record without TTL takes that of `$TTL` (RFC 2308 section 4), else the
//!   last one stated (RFC 1035 section 5.1). Where there is neither, NSD and
//!   Knot take 3600 and say nothing, and BIND takes the SOA's minimum, which
//!   RFC 2308 made the negative TTL. A TTL decides how long failover takes,
//!   so nothing is guessed here: it is a finding, once for a file.
//! - An included file begins with the state of the line that includes it, and
//!   whatever it changes ends with it: origin, owner and TTL.
//! - A record that is written twice, with the same TTL, is kept once
//!   (RFC 2181 section 5). Letter case counts as a difference in data.
//!   Duplicates whose TTLs differ are kept for the check of whole RRsets.
//!
//! # What is absent
//!
//! Classes other than IN, and `$GENERATE`. Whether records fit together is
//! the compiler's to say.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};

use domain::base::iana::Class;

use super::model::Record;
use super::rdata::{Data, Problem, lacks_dot, read_name, read_seconds, unescape};
use super::tokens::{Damage, Entries, Entry, Word, shown};
use crate::diag::{Code, Finding, Report, Severity, SourceId, Sources, Span};
use crate::wire::{Name, Rtype};

/// The most records of a zone, included files together.
///
/// A record takes some 200 octets, so this is 2 GB; the largest zones of
/// carriers, with a name a number, have a few million.
pub const RECORDS_MAX: usize = 10_000_000;

/// How deep files may include each other.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// How many `$INCLUDE` lines are followed for a zone.
///
/// Without it, eight levels of files of 100 lines each would be 100⁸ reads.
pub const INCLUDES_MAX: usize = 1_000;

/// How many errors of a zone are reported; reading stops there.
pub const ERRORS_MAX: usize = 1_000;

/// How many warnings of a zone are reported; the rest is not shown.
pub const WARNINGS_MAX: usize = 1_000;

/// The largest file, in octets: [`Span`] counts with 32 bits.
pub const FILE_MAX: usize = u32::MAX as usize - 1;

/// Reads the records of a zone.
///
/// `origin` is the zone's name, and the origin that the file begins with.
/// Returns all records that could be read, in the order they are written,
/// each with the span of its entry's first line; what could not be read is
/// in the report.
pub fn read_master(
    sources: &mut Sources,
    path: &Path,
    origin: &Name,
    report: &mut Report,
) -> Vec<Record> {
    let mut reader = Reader::new(sources, origin, report);
    match reader.sources.read(path) {
        Ok(file) => reader.read_file(file, &mut State::new(origin)),
        Err(error) => reader.report.add(Finding::new(
            Code::FileUnreadable,
            path.to_owned(),
            format!("cannot read the master file: {error}"),
            "make it a UTF-8 text that the server's user may read",
        )),
    }
    reader.drop_duplicates();
    reader.records
}

//----------- Reader ---------------------------------------------------------

/// What is common to all files of a zone.
struct Reader<'a> {
    sources: &'a mut Sources,
    report: &'a mut Report,

    /// The zone's name.
    apex: &'a Name,

    records: Vec<Record>,

    /// The files being read, each but the first included by the one before.
    open: Vec<PathBuf>,

    /// How many files were included.
    includes: usize,

    /// How many errors and how many warnings were reported.
    errors: usize,
    warnings: usize,

    /// Set when a limit is reached: nothing more is read.
    is_stopped: bool,
}

/// What an entry takes over from those before it.
#[derive(Clone)]
struct State {
    origin: Name,
    owner: Owner,

    /// `$TTL`.
    default_ttl: Option<u32>,

    /// The last TTL that a record stated.
    last_ttl: Option<u32>,
}

/// The owner of entries that begin with a blank.
#[derive(Clone)]
enum Owner {
    /// There was no record yet.
    None,

    /// The last owner that was stated.
    Known(Name),

    /// The last owner that was stated could not be read. Records of it are
    /// checked and left out.
    Unreadable,
}

impl State {
    /// Returns the state at the top of a zone.
    fn new(origin: &Name) -> Self {
        State { origin: origin.clone(), owner: Owner::None, default_ttl: None, last_ttl: None }
    }
}

impl<'a> Reader<'a> {
    fn new(sources: &'a mut Sources, apex: &'a Name, report: &'a mut Report) -> Self {
        Reader {
            sources,
            report,
            apex,
            records: Vec::new(),
            open: Vec::new(),
            includes: 0,
            errors: 0,
            warnings: 0,
            is_stopped: false,
        }
    }

    /// Reads the entries of a file, and of those it includes.
    fn read_file(&mut self, file: SourceId, state: &mut State) {
        let text = self.sources.text(file);
        if text.len() > FILE_MAX {
            let message = format!("expected at most {FILE_MAX} octets, found {}", text.len());
            self.stop(file.span(0..0), message, "split the zone");
            return;
        }
        self.open.push(self.sources.path(file).to_owned());
        let mut entries = Entries::new(&text);
        let mut entry = Entry::default();
        while !self.is_stopped && entries.next(&mut entry) {
            Line { reader: self, file, text: &text, entry: &entry, state }.read();
        }
        self.open.pop();
    }

    /// Adds a finding, up to the limits.
    fn tell(&mut self, finding: Finding) {
        let is_error = finding.severity() == Severity::Error;
        let (count, max) = match is_error {
            true => (&mut self.errors, ERRORS_MAX),
            false => (&mut self.warnings, WARNINGS_MAX),
        };
        *count += 1;
        if *count <= max {
            let place = finding.place.clone();
            self.report.add(finding);
            if is_error && self.errors == ERRORS_MAX {
                self.is_stopped = true;
                self.report.add(Finding::new(
                    Code::MasterSyntax,
                    place,
                    format!("more than {ERRORS_MAX} errors; the rest of the zone was not read"),
                    "mend those above first",
                ));
            }
        }
    }

    /// Adds a finding after which nothing more is read.
    fn stop(&mut self, place: Span, message: String, help: &str) {
        self.tell(Finding::new(Code::MasterSyntax, place, message, help));
        self.is_stopped = true;
    }

    /// Drops records that are written twice, and warns of them.
    fn drop_duplicates(&mut self) {
        let mut order: Vec<(u64, usize)> =
            self.records.iter().map(digest).enumerate().map(|(at, hash)| (hash, at)).collect();
        order.sort_unstable();
        let mut doubles = Vec::new();
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            for (count, &(_, at)) in same.iter().enumerate() {
                let first = same[..count]
                    .iter()
                    .find(|(_, first)| is_same(&self.records[*first], &self.records[at]));
                if let Some(&(_, first)) = first {
                    doubles.push((at, first));
                }
            }
        }
        doubles.sort_unstable();
        for &(at, first) in &doubles {
            let (double, first) = (&self.records[at], &self.records[first]);
            let message = format!("{} {} is written twice", double.owner, double.rtype);
            let finding =
                Finding::new(Code::DuplicateRecord, double.span, message, "remove one of them")
                    .with_related(first.span, "the same record");
            self.tell(finding);
        }
        let mut at = 0;
        self.records.retain(|_| {
            at += 1;
            doubles.binary_search_by_key(&(at - 1), |(double, _)| *double).is_err()
        });
    }
}

/// Returns a hash that identical records share.
fn digest(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A name's wire format at once: its `Hash` takes octet by octet.
    record.owner.to_key().hash(&mut hasher);
    (record.rtype, record.ttl, &record.rdata).hash(&mut hasher);
    hasher.finish()
}

/// Says whether two records are identical, TTL included.
fn is_same(a: &Record, b: &Record) -> bool {
    (a.rtype, a.ttl, &a.rdata, &a.owner) == (b.rtype, b.ttl, &b.rdata, &b.owner)
}

//----------- Line -----------------------------------------------------------

/// One entry, as it is read.
struct Line<'r, 'a, 'e> {
    reader: &'r mut Reader<'a>,
    file: SourceId,
    text: &'e str,
    entry: &'e Entry,
    state: &'r mut State,
}

/// What stands between owner and data.
struct Head {
    ttl: Option<(Word, u64)>,
    rtype: Rtype,
    rtype_word: Word,

    /// How many words are in front of the data.
    len: usize,
}

impl Line<'_, '_, '_> {
    /// Reads the entry, whatever it is.
    fn read(&mut self) {
        for damage in &self.entry.damages {
            self.tell_damage(damage);
        }
        let first = self.entry.words.first().filter(|_| !self.entry.inherits_owner);
        let directive =
            first.filter(|word| !word.is_quoted && word.text(self.text).starts_with('$'));
        match (directive, self.entry.damages.is_empty()) {
            (Some(word), true) => self.read_directive(*word),
            (None, true) => self.read_record(),
            (Some(_), false) => {}
            (None, false) => {
                // The words are not to be trusted, but the lines that follow
                // may continue the owner.
                if let Some(word) = first {
                    let owner = read_name(*word, self.text, &self.state.origin);
                    self.state.owner = owner.map_or(Owner::Unreadable, Owner::Known);
                }
            }
        }
    }

    //--- Records

    /// Reads a record; each part that is wrong is reported.
    fn read_record(&mut self) {
        let owner = self.read_owner();
        let Some(head) = self.read_head(usize::from(!self.entry.inherits_owner)) else { return };
        let ttl = self.read_ttl(&head);
        let data = Data {
            rtype: head.rtype,
            text: self.text,
            words: &self.entry.words[head.len..],
            end: self.end(),
            origin: &self.state.origin,
            apex: self.reader.apex,
        };
        let read = match data.read() {
            Ok(read) => read,
            Err(problem) => return self.tell_problem(problem),
        };
        for (word, name) in &read.dotless {
            self.tell_dotless(*word, name);
        }
        let Some(owner) = owner else { return };
        let span = self.file.span(self.entry.head());
        if self.reader.records.len() == RECORDS_MAX {
            let message = format!("more than {RECORDS_MAX} records");
            return self.reader.stop(span, message, "split the zone");
        }
        let (rtype, rdata) = (head.rtype, read.rdata);
        self.reader.records.push(Record { owner, rtype, ttl, rdata, span });
    }

    /// Reads the owner, or takes over the last; `None` if there is no good one.
    fn read_owner(&mut self) -> Option<Name> {
        if self.entry.inherits_owner {
            return match &self.state.owner {
                Owner::Known(owner) if owner.is_within(self.reader.apex) => Some(owner.clone()),
                Owner::Known(_) | Owner::Unreadable => None,
                Owner::None => {
                    self.tell(
                        Code::MasterSyntax,
                        self.entry.words[0].range(),
                        "expected an owner, as no record stands before this one",
                        "begin the first record in the first column with its owner, such as `@`",
                    );
                    // Once is enough for all the records that follow.
                    self.state.owner = Owner::Unreadable;
                    None
                }
            };
        }
        let word = self.entry.words[0];
        let Some(owner) = self.read_name(word) else {
            self.state.owner = Owner::Unreadable;
            return None;
        };
        self.state.owner = Owner::Known(owner.clone());
        if lacks_dot(word, self.text, &owner, &self.state.origin, self.reader.apex) {
            self.tell_dotless(word, &owner);
        }
        if owner.is_within(self.reader.apex) {
            return Some(owner);
        }
        let message = format!("expected a name within {}, found {owner}", self.reader.apex);
        let help = "move the record to the zone it belongs to, or mend the name or `$ORIGIN`";
        self.tell(Code::OutsideZone, word.range(), message, help);
        None
    }

    /// Reads TTL and class, in either order and each optional, and the type.
    fn read_head(&mut self, owner_len: usize) -> Option<Head> {
        let mut ttl = None;
        let mut has_class = false;
        for (at, &word) in self.entry.words.iter().enumerate().skip(owner_len) {
            let text = word.text(self.text);
            if let Some(seconds) = read_seconds(text).filter(|_| ttl.is_none()) {
                ttl = Some((word, seconds));
            } else if let Ok(rtype) = text.parse::<Rtype>() {
                let head = Head { ttl, rtype, rtype_word: word, len: at + 1 };
                return self.check_type(head);
            } else if let Some(class) = text.parse::<Class>().ok().filter(|_| !has_class) {
                has_class = true;
                if class != Class::IN {
                    let message = format!("expected class IN, found {class}");
                    let help = "only class IN is served; remove the record";
                    self.tell(Code::MasterSyntax, word.range(), message, help);
                    return None;
                }
            } else {
                let message =
                    format!("expected a TTL, class or record type, found {}", shown(text));
                self.tell(Code::MasterSyntax, word.range(), message, ENTRY_HELP);
                return None;
            }
        }
        let message = "expected a record type, found the end of the entry";
        self.tell(Code::MasterSyntax, self.end()..self.end(), message, ENTRY_HELP);
        None
    }

    /// Refuses types that exist in queries and messages only.
    fn check_type(&mut self, head: Head) -> Option<Head> {
        if head.rtype.is_data() {
            return Some(head);
        }
        let message = format!("expected a record type, found {}, which no record has", head.rtype);
        let help = "remove the entry: the type is one of queries and messages only";
        self.tell(Code::MasterSyntax, head.rtype_word.range(), message, help);
        None
    }

    /// Returns the record's TTL, which is a good one whatever is written.
    fn read_ttl(&mut self, head: &Head) -> u32 {
        if let Some((word, seconds)) = head.ttl {
            let ttl = self.check_ttl(word, seconds);
            self.state.last_ttl = Some(ttl);
            return ttl;
        }
        if let Some(ttl) = self.state.default_ttl.or(self.state.last_ttl) {
            return ttl;
        }
        self.tell(
            Code::BadTtl,
            head.rtype_word.range(),
            "expected a TTL, as neither `$TTL` nor a record before this one states any",
            "add a `$TTL` line at the top, such as `$TTL 3600`",
        );
        // One finding is enough for all the records that follow.
        self.state.last_ttl = Some(TTL_UNSTATED);
        TTL_UNSTATED
    }

    /// Returns a TTL within its range, or the nearest that is (RFC 2181 section 8).
    fn check_ttl(&mut self, word: Word, seconds: u64) -> u32 {
        if (1..=TTL_MAX).contains(&seconds) {
            return seconds as u32;
        }
        let message =
            format!("expected a TTL from 1 to {TTL_MAX}, found {}", shown(word.text(self.text)));
        let help = match seconds {
            0 => "write at least 1: with TTL 0 calls fail, as SIP stacks find nothing cached",
            _ => "write the TTL in seconds or with units, as in `1h30m`",
        };
        self.tell(Code::BadTtl, word.range(), message, help);
        seconds.clamp(1, TTL_MAX) as u32
    }

    //--- Directives

    /// Reads an entry that begins with `$`.
    fn read_directive(&mut self, word: Word) {
        let words = &self.entry.words[1..];
        let name = word.text(self.text).to_ascii_uppercase();
        let (usage, most) = match name.as_str() {
            "$ORIGIN" => ("$ORIGIN name", 1),
            "$TTL" => ("$TTL seconds", 1),
            "$INCLUDE" => ("$INCLUDE file [origin]", 2),
            "$GENERATE" => {
                let help = "write the records out, one by one";
                let message = "$GENERATE isn't supported";
                return self.tell(Code::MasterSyntax, word.range(), message, help);
            }
            _ => {
                let message = format!("expected a directive, found {}", shown(&name));
                let help = "write $ORIGIN, $TTL or $INCLUDE; an owner that begins with $ is `\\$`";
                return self.tell(Code::MasterSyntax, word.range(), message, help);
            }
        };
        let help = format!("write `{usage}`");
        let Some(&argument) = words.first() else {
            let message = format!("expected something after {name}, found the end of the entry");
            return self.tell(Code::MasterSyntax, self.end()..self.end(), message, help);
        };
        if let Some(extra) = words.get(most) {
            let message =
                format!("expected the end of the entry, found {}", shown(extra.text(self.text)));
            return self.tell(Code::MasterSyntax, extra.range(), message, help);
        }
        match name.as_str() {
            "$ORIGIN" => {
                if let Some(origin) = self.read_name(argument) {
                    self.state.origin = origin;
                }
            }
            "$TTL" => self.read_default_ttl(argument),
            _ => self.include(argument, words.get(1).copied()),
        }
    }

    /// Reads the argument of `$TTL` (RFC 2308 section 4).
    fn read_default_ttl(&mut self, word: Word) {
        let text = word.text(self.text);
        let ttl = match read_seconds(text) {
            Some(seconds) => self.check_ttl(word, seconds),
            None => {
                let message = format!("expected a TTL, found {}", shown(text));
                let help = "write the TTL in seconds or with units, as in `1h30m`";
                self.tell(Code::BadTtl, word.range(), message, help);
                TTL_UNSTATED
            }
        };
        self.state.default_ttl = Some(ttl);
    }

    /// Reads another file in the place of the entry (RFC 1035 section 5.1).
    fn include(&mut self, word: Word, origin: Option<Word>) {
        let mut state = self.state.clone();
        if let Some(origin) = origin {
            // A file read with the wrong origin would be wrong as a whole.
            let Some(origin) = self.read_name(origin) else { return };
            state.origin = origin;
        }
        let Some(path) = self.include_path(word) else { return };
        match self.reader.sources.read(&path) {
            Ok(file) => self.reader.read_file(file, &mut state),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let help = "write a path relative to this file, of a UTF-8 text \
                    that the server's user may read";
                self.tell(Code::FileUnreadable, word.range(), message, help);
            }
        }
    }

    /// Returns which file is to be included, if it may be.
    fn include_path(&mut self, word: Word) -> Option<PathBuf> {
        let written = unescape(word.text(self.text)).and_then(|path| String::from_utf8(path).ok());
        let folder = self.reader.sources.path(self.file).parent().unwrap_or(Path::new(""));
        let path = written.map(|path| folder.join(path));
        let (message, help) = match &path {
            None => ("expected a path".to_owned(), "write a backslash as `\\\\`"),
            Some(path) if self.reader.open.iter().any(|open| is_same_path(open, path)) => (
                format!("{} includes itself, directly or through others", path.display()),
                "remove the line",
            ),
            Some(_) if self.reader.open.len() > INCLUDE_DEPTH_MAX => (
                format!("files include each other more than {INCLUDE_DEPTH_MAX} deep"),
                "include the file from one further up",
            ),
            Some(_) if self.reader.includes == INCLUDES_MAX => {
                let span = self.file.span(word.range());
                let message = format!("more than {INCLUDES_MAX} files are included");
                self.reader.stop(span, message, "join some of them");
                return None;
            }
            Some(_) => {
                self.reader.includes += 1;
                return path;
            }
        };
        self.tell(Code::MasterSyntax, word.range(), message, help);
        None
    }

    //--- Words and findings

    /// Reads a word as a name.
    fn read_name(&mut self, word: Word) -> Option<Name> {
        match read_name(word, self.text, &self.state.origin) {
            Ok(name) => Some(name),
            Err(error) => {
                let found = shown(word.text(self.text));
                self.tell_problem(Problem::name(word.range(), &found, error));
                None
            }
        }
    }

    /// Returns where the entry's words end.
    fn end(&self) -> usize {
        self.entry.words.last().map_or(0, |word| word.end)
    }

    fn tell(
        &mut self,
        code: Code,
        range: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reader.tell(Finding::new(code, self.file.span(range), message, help));
    }

    fn tell_problem(&mut self, problem: Problem) {
        self.tell(problem.code, problem.range, problem.message, problem.help);
    }

    fn tell_damage(&mut self, damage: &Damage) {
        let place = self.file.span(damage.range());
        let mut finding = Finding::new(
            Code::MasterSyntax,
            place,
            format!("found {}", damage.name()),
            damage.help(),
        );
        if let Damage::OpenParenthesis { next: Some(next), .. } = *damage {
            finding = finding.with_related(self.file.span(next..next + 1), "the next one");
        }
        self.reader.tell(finding);
    }

    /// Warns of a name that probably lacks its final dot.
    fn tell_dotless(&mut self, word: Word, name: &Name) {
        let text = word.text(self.text);
        let message = format!("{} has no final dot and so is {name}", shown(text));
        let help = format!("write `{text}.`, or leave the zone's name out");
        self.tell(Code::MissingDot, word.range(), message, help);
    }
}

/// The largest TTL (RFC 2181 section 8).
const TTL_MAX: u64 = i32::MAX as u64;

/// The TTL of records that state none, where that has been reported: with it
/// the checks that follow can still run.
const TTL_UNSTATED: u32 = 3600;

/// What an entry looks like.
const ENTRY_HELP: &str = "write `owner TTL class type data`; a line that begins with a blank has \
    the owner of the one before";

/// Says whether two paths are the same but for `.` components.
///
/// Links are not followed: a loop through them meets the limit of the depth.
fn is_same_path(a: &Path, b: &Path) -> bool {
    a.components().eq(b.components())
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::super::rdata::from_text;
    use super::*;

    const ZONE: &str = "carrier.example.com.";

    fn name(text: &str) -> Name {
        Name::parse(text, &Name::root()).unwrap()
    }

    /// What came out of reading some files, the first of which is the zone's.
    struct Outcome {
        /// `owner TTL type`, in order.
        records: Vec<String>,

        /// `file:line:column code`, in order.
        findings: Vec<String>,

        /// `message; help` of each of these.
        texts: Vec<String>,

        raw: Vec<Record>,
        sources: Sources,
    }

    fn read_files(files: &[(&str, &str)]) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut sources = Sources::default();
        let mut report = Report::default();
        let path = folder.path().join(files[0].0);
        let raw = read_master(&mut sources, &path, &name(ZONE), &mut report);
        let prefix = format!("{}/", folder.path().display());
        let show = |record: &Record| format!("{} {} {}", record.owner, record.ttl, record.rtype);
        Outcome {
            records: raw.iter().map(show).collect(),
            findings: report
                .findings()
                .iter()
                .map(|finding| format!("{} {}", finding.locator(&sources), finding.code))
                .map(|line| line.replace(&prefix, ""))
                .collect(),
            texts: report
                .findings()
                .iter()
                .map(|finding| format!("{}; {}", finding.message, finding.help))
                .map(|line| line.replace(&prefix, ""))
                .collect(),
            raw,
            sources,
        }
    }

    fn read(text: &str) -> Outcome {
        read_files(&[("z", text)])
    }

    /// Returns the records of a text in which nothing is wrong.
    fn records(text: &str) -> Vec<String> {
        let outcome = read(text);
        assert_eq!(outcome.texts, [""; 0], "{text}");
        outcome.records
    }

    /// Returns the findings of a text that begins with `$TTL 60` on line 1.
    fn findings(text: &str) -> Vec<String> {
        read(&format!("$TTL 60\n{text}")).findings
    }

    //--- What is read

    #[test]
    fn the_example_of_rfc_1035_section_5_3_is_read() {
        let outcome = read_files(&[
            (
                "z",
                "$TTL 60\n\
                 @   IN  SOA     VENERA      Action\\.domains (\n\
                 \x20                                20     ; SERIAL\n\
                 \x20                                7200   ; REFRESH\n\
                 \x20                                600    ; RETRY\n\
                 \x20                                3600000; EXPIRE\n\
                 \x20                                60)    ; MINIMUM\n\
                 \n\
                 \x20       NS      A.ISI.EDU.\n\
                 \x20       NS      VENERA\n\
                 \x20       MX      10      VENERA\n\
                 A       A       26.3.0.103\n\
                 VENERA  A       10.1.0.52\n\
                 \x20       A       128.9.0.32\n\
                 $INCLUDE sub/mailboxes.txt",
            ),
            (
                "sub/mailboxes.txt",
                "MOE     MB      A.ISI.EDU.\nSTOOGES MG      MOE\n\x20       MG      LARRY\n",
            ),
        ]);
        assert_eq!(outcome.texts, [""; 0]);
        let z = ZONE;
        assert_eq!(
            outcome.records,
            [
                format!("{z} 60 SOA"),
                format!("{z} 60 NS"),
                format!("{z} 60 NS"),
                format!("{z} 60 MX"),
                format!("A.{z} 60 A"),
                format!("VENERA.{z} 60 A"),
                format!("VENERA.{z} 60 A"),
                format!("MOE.{z} 60 MB"),
                format!("STOOGES.{z} 60 MG"),
                format!("STOOGES.{z} 60 MG"),
            ]
        );
        let soa =
            from_text(Rtype::SOA, "venera action\\.domains 20 7200 600 3600000 60", &name(ZONE));
        assert!(outcome.raw[0].rdata.eq_ignore_ascii_case(&soa.unwrap()));
        let position = outcome.sources.position(outcome.raw[9].span);
        assert_eq!((position.line, position.column), (3, 9));
    }

    #[test]
    fn a_record_has_the_span_of_its_first_line() {
        let text = "$TTL 60\nsbc1 A 192.0.2.1 ; x\n  TXT ( a ; y\n b )\n";
        let spans: Vec<_> = read(text)
            .raw
            .iter()
            .map(|record| &text[record.span.start as usize..record.span.end as usize])
            .collect();
        assert_eq!(spans, ["sbc1 A 192.0.2.1", "TXT ( a"]);
    }

    #[test]
    fn ttl_and_class_come_in_either_order_or_not_at_all() {
        let expected = [format!("a.{ZONE} 5400 A")];
        for text in [
            "a 5400 IN A 192.0.2.1",
            "a IN 5400 A 192.0.2.1",
            "a in 1h30m a 192.0.2.1",
            "a 5400 CLASS1 TYPE1 192.0.2.1",
            "$TTL 90m\na A 192.0.2.1",
            "\u{feff}a 5400 A 192.0.2.1",
            "a 5400 A 192.0.2.1\r\n",
            "\r\na\t5400\tA\t(\r\n192.0.2.1\r\n)\r\n",
            "$ORIGIN com.\n$ORIGIN carrier.example\na 5400 A 192.0.2.1",
            "$origin a.carrier.example.com.\n@ 5400 A 192.0.2.1",
            "\\097 5400 A 192.0.2.1",
            "a 5400 A \\# 4 c0000201",
        ] {
            assert_eq!(records(text), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_ttl_is_that_of_the_directive_or_else_the_last() {
        let ttls = |text| read(text).raw.iter().map(|record| record.ttl).collect::<Vec<_>>();
        assert_eq!(
            ttls("a 5 A 192.0.2.1\nb A 192.0.2.1\nc 7 A 192.0.2.1\nd A 192.0.2.1"),
            [5, 5, 7, 7]
        );
        assert_eq!(
            ttls("$TTL 9\na 5 A 192.0.2.1\nb A 192.0.2.1\n$TTL 8\nc A 192.0.2.1"),
            [5, 9, 8]
        );
    }

    #[test]
    fn odd_owners_are_read() {
        assert_eq!(
            records(
                "$TTL 60\n* A 192.0.2.1\n\\@ A 192.0.2.1\n\\$ttl A 192.0.2.1\na\\.b A 192.0.2.1"
            ),
            [
                format!("*.{ZONE} 60 A"),
                format!("\\@.{ZONE} 60 A"),
                format!("\\$ttl.{ZONE} 60 A"),
                format!("a\\.b.{ZONE} 60 A"),
            ]
        );
    }

    #[test]
    fn an_included_file_changes_nothing_behind_it() {
        let outcome = read_files(&[
            (
                "z",
                "$TTL 60\na A 192.0.2.1\n$INCLUDE \"d/i\" us\n  A 192.0.2.2\n$INCLUDE d/i\nb A 192.0.2.1",
            ),
            ("d/i", "  TXT x\n$TTL 70\n$ORIGIN in\nc 5 TXT y\n$INCLUDE j\n"),
            ("d/j", "@ TXT z"),
        ]);
        // The text of `a` is included twice.
        assert_eq!(outcome.findings, ["d/i:1:3 duplicate-record"]);
        assert_eq!(
            outcome.records,
            [
                format!("a.{ZONE} 60 A"),
                format!("a.{ZONE} 60 TXT"),
                format!("c.in.us.{ZONE} 5 TXT"),
                format!("in.us.{ZONE} 70 TXT"),
                format!("a.{ZONE} 60 A"),
                format!("c.in.{ZONE} 5 TXT"),
                format!("in.{ZONE} 70 TXT"),
                format!("b.{ZONE} 60 A"),
            ]
        );
    }

    //--- What is found

    #[test]
    fn all_errors_are_reported_and_good_records_kept() {
        let outcome = read(
            "$TTL 60\n\
             a A 192.0.2.1\n\
             b A 192.0.2.256\n\
             c SRV 10 100 sbc1\n\
             d NOPE x\n\
             \x20 TXT \"open\n\
             e..f A 192.0.2.1\n\
             \x20 A 192.0.2.300\n\
             g A 192.0.2.1\n",
        );
        assert_eq!(
            outcome.findings,
            [
                "z:3:5 bad-rdata",
                "z:4:14 bad-rdata",
                "z:5:3 master-syntax",
                "z:6:7 master-syntax",
                "z:7:1 bad-name",
                "z:8:5 bad-rdata",
            ]
        );
        assert_eq!(outcome.records, [format!("a.{ZONE} 60 A"), format!("g.{ZONE} 60 A")]);
        assert_eq!(
            outcome.texts[1],
            "expected the port (a number from 0 to 65535), found `sbc1`; \
             write SRV data as `priority weight port target`"
        );
    }

    #[test]
    fn each_finding_has_its_code_and_place() {
        let label = "x".repeat(64);
        let long = [&"x".repeat(60)[..]; 4].join(".");
        for (text, expected) in [
            ("a CH A 192.0.2.1", "z:2:3 master-syntax"),
            ("a IN IN A 192.0.2.1", "z:2:6 master-syntax"),
            ("a 1 2 A 192.0.2.1", "z:2:5 master-syntax"),
            ("a ANY x", "z:2:3 master-syntax"),
            ("a OPT x", "z:2:3 master-syntax"),
            ("a AXFR", "z:2:3 master-syntax"),
            ("a TSIG x", "z:2:3 master-syntax"),
            ("a", "z:2:2 master-syntax"),
            ("a 60 IN", "z:2:8 master-syntax"),
            ("\"a\" A 192.0.2.1", "z:2:1 bad-name"),
            ("bücher A 192.0.2.1", "z:2:1 bad-name"),
            ("a\\300 A 192.0.2.1", "z:2:1 bad-name"),
            (&*format!("{label} A 192.0.2.1"), "z:2:1 label-too-long"),
            (&*format!("{long} A 192.0.2.1"), "z:2:1 name-too-long"),
            (&*format!("a CNAME {label}"), "z:2:9 label-too-long"),
            (&*format!("a CNAME {long}"), "z:2:9 name-too-long"),
            ("a 0 A 192.0.2.1", "z:2:3 bad-ttl"),
            ("a 2147483648 A 192.0.2.1", "z:2:3 bad-ttl"),
            ("a 99999w A 192.0.2.1", "z:2:3 bad-ttl"),
            ("$TTL 0", "z:2:6 bad-ttl"),
            ("$TTL x", "z:2:6 bad-ttl"),
            ("a.example. A 192.0.2.1", "z:2:1 outside-zone"),
            ("example.com. A 192.0.2.1", "z:2:1 outside-zone"),
            ("  A 192.0.2.1\n  A 192.0.2.2", "z:2:3 master-syntax"),
            ("a A 192.0.2.1 192.0.2.2", "z:2:15 bad-rdata"),
            ("a A", "z:2:4 bad-rdata"),
            ("a CERT 1", "z:2:8 bad-rdata"),
            ("$GENERATE 1-9 a$ A 192.0.2.$", "z:2:1 master-syntax"),
            ("$NOPE", "z:2:1 master-syntax"),
            ("$ORIGIN", "z:2:8 master-syntax"),
            ("$ORIGIN a b", "z:2:11 master-syntax"),
            ("$ORIGIN a..", "z:2:9 bad-name"),
            ("$INCLUDE nope", "z:2:10 file-unreadable"),
            ("$INCLUDE z", "z:2:10 master-syntax"),
            ("$INCLUDE ./z a..b", "z:2:14 bad-name"),
            ("a TXT x)", "z:2:8 master-syntax"),
            ("a TXT (x", "z:2:7 master-syntax"),
            ("a TXT \"x", "z:2:7 master-syntax"),
            ("a TXT x\\", "z:2:8 master-syntax"),
            ("a TXT x\0\0", "z:2:8 master-syntax"),
            ("a TXT \"x\u{7}\"", "z:2:9 master-syntax"),
            ("sbc1.carrier.example.com A 192.0.2.1", "z:2:1 missing-dot"),
            ("carrier.example.com A 192.0.2.1", "z:2:1 missing-dot"),
            ("$ORIGIN us\nsbc1.Carrier.example.com A 192.0.2.1", "z:3:1 missing-dot"),
            ("a SRV 1 1 1 sbc1.carrier.example.com", "z:2:13 missing-dot"),
            ("a MX 1 sbc1.carrier.example.com", "z:2:8 missing-dot"),
            ("a TXT x\nA TXT x", "z:3:1 duplicate-record"),
        ] {
            assert_eq!(findings(text), [expected], "{text}");
        }
    }

    #[test]
    fn texts_say_what_was_expected_and_what_to_do() {
        for (text, expected) in [
            (
                " A 192.0.2.1",
                "expected an owner, as no record stands before this one; \
                 begin the first record in the first column with its owner, such as `@`",
            ),
            (
                "a CH A 192.0.2.1",
                "expected class IN, found CH; only class IN is served; remove the record",
            ),
            (
                "$GENERATE 1-9 a$ A 192.0.2.$",
                "$GENERATE isn't supported; write the records out, one by one",
            ),
            (
                "b.example. A 192.0.2.1",
                "expected a name within carrier.example.com., found b.example.; \
                 move the record to the zone it belongs to, or mend the name or `$ORIGIN`",
            ),
            (
                "a.carrier.example.com A 192.0.2.1",
                "`a.carrier.example.com` has no final dot and so is \
                 a.carrier.example.com.carrier.example.com.; \
                 write `a.carrier.example.com.`, or leave the zone's name out",
            ),
            (
                "a 0 A 192.0.2.1",
                "expected a TTL from 1 to 2147483647, found `0`; \
                 write at least 1: with TTL 0 calls fail, as SIP stacks find nothing cached",
            ),
        ] {
            assert_eq!(read(&format!("$TTL 60\n{text}")).texts, [expected]);
        }
    }

    #[test]
    fn a_ttl_that_nothing_states_is_reported_once() {
        let outcome = read("a A 192.0.2.1\nb A 192.0.2.1\n  TXT x\n");
        assert_eq!(outcome.findings, ["z:1:3 bad-ttl"]);
        assert!(outcome.texts[0].contains("add a `$TTL` line"));
        assert_eq!(outcome.records.len(), 3);
    }

    #[test]
    fn a_parenthesis_left_open_costs_one_entry() {
        let outcome = read(
            "$TTL 60\n\
             @ SOA ns1 host ( 1 2\n\
             \x20 3 4 5\n\
             a A 192.0.2.1\n\
             @ MX ( 10 mx )\n\
             b TXT ( x\n\
             ; comment )\n\
             c A 192.0.2.1\n",
        );
        assert_eq!(outcome.findings, ["z:2:16 master-syntax", "z:6:7 master-syntax"]);
        assert!(outcome.texts[0].starts_with("found a parenthesis that is not closed before"));
        assert!(outcome.texts[1].starts_with("found a parenthesis that is never closed"));
        assert_eq!(
            outcome.records,
            [format!("a.{ZONE} 60 A"), format!("{ZONE} 60 MX"), format!("c.{ZONE} 60 A")]
        );
    }

    #[test]
    fn records_of_an_owner_that_cannot_be_read_go_to_no_other() {
        let outcome = read("$TTL 60\na A 192.0.2.1\nb..c A 192.0.2.1\n  TXT x\n");
        assert_eq!(outcome.findings, ["z:3:1 bad-name"]);
        assert_eq!(outcome.records, [format!("a.{ZONE} 60 A")]);
        // The same for an owner of another zone, reported once.
        let outcome = read("$TTL 60\na.example. A 192.0.2.1\n  TXT x\n");
        assert_eq!(outcome.findings, ["z:2:1 outside-zone"]);
        assert_eq!(outcome.records, [""; 0]);
    }

    #[test]
    fn includes_are_bounded_and_findings_are_in_their_file() {
        let outcome = read_files(&[("z", "$TTL 60\n$INCLUDE i\n"), ("i", "\na A x\n$INCLUDE z")]);
        assert_eq!(outcome.findings, ["i:2:5 bad-rdata", "i:3:10 master-syntax"]);

        let files: Vec<_> =
            (0..12).map(|at| (format!("f{at}"), format!("$INCLUDE f{}", at + 1))).collect();
        let files: Vec<_> = files.iter().map(|(file, text)| (&file[..], &text[..])).collect();
        assert_eq!(read_files(&files).findings, ["f8:1:10 master-syntax"]);

        let many = "$INCLUDE i\n".repeat(INCLUDES_MAX + 5);
        let outcome = read_files(&[("z", &many), ("i", "")]);
        assert_eq!(outcome.findings, [format!("z:{}:10 master-syntax", INCLUDES_MAX + 1)]);
    }

    #[test]
    fn the_zones_file_that_is_missing_is_named() {
        let mut report = Report::default();
        let path = Path::new("/nowhere/records.zone");
        read_master(&mut Sources::default(), path, &name(ZONE), &mut report);
        let finding = report.findings()[0];
        assert_eq!(finding.code, Code::FileUnreadable);
        assert_eq!(finding.place, path.to_owned().into());
    }

    #[test]
    fn findings_are_bounded_and_errors_are_not_crowded_out() {
        let outcome = read(&"a A x\n".repeat(ERRORS_MAX + 10));
        assert_eq!(outcome.findings.len(), ERRORS_MAX + 1);
        assert!(outcome.texts.iter().any(|text| text.starts_with("more than 1000 errors")));

        let mut text = "$TTL 60\n".to_owned();
        for at in 0..WARNINGS_MAX + 10 {
            let _ = writeln!(text, "x{at} CNAME a.carrier.example.com");
        }
        let outcome = read(&(text + "a A x\n"));
        assert_eq!(outcome.findings.len(), WARNINGS_MAX + 1);
        assert!(outcome.findings.last().unwrap().ends_with("bad-rdata"));
    }

    #[test]
    fn duplicates_with_another_ttl_are_kept() {
        let outcome = read("a 5 A 192.0.2.1\na 6 A 192.0.2.1\na 5 A 192.0.2.1\n");
        assert_eq!(outcome.records, [format!("a.{ZONE} 5 A"), format!("a.{ZONE} 6 A")]);
        assert_eq!(outcome.findings, ["z:3:1 duplicate-record"]);
    }

    #[test]
    fn a_line_of_a_megabyte_is_read_in_reasonable_time() {
        let outcome = read(&format!("$TTL 60\na TXT {}\nb A 192.0.2.1", "x ".repeat(500_000)));
        assert_eq!(outcome.findings, ["z:2:65541 bad-rdata"]);
        assert_eq!(outcome.records, [format!("b.{ZONE} 60 A")]);
        let outcome = read(&"(\n".repeat(500_000));
        assert_eq!(outcome.findings.len(), ERRORS_MAX + 1);
        let outcome = read(&format!("{} 60 A 192.0.2.1", "x".repeat(1_000_000)));
        assert_eq!(outcome.findings, ["z:1:1 label-too-long"]);
        assert!(outcome.texts[0].len() < 300);
    }

    #[test]
    fn a_carriers_zone_is_read_whole() {
        let outcome = read(include_str!("../../tests/data/carrier.zone"));
        assert_eq!(outcome.texts, [""; 0]);
        let count = |rtype| outcome.raw.iter().filter(|record| record.rtype == rtype).count();
        assert_eq!(outcome.raw.len(), 44);
        assert_eq!((count(Rtype::SOA), count(Rtype::NS), count(Rtype::SRV)), (1, 2, 12));
        assert_eq!((count(Rtype::A), count(Rtype::AAAA), count(Rtype::NAPTR)), (9, 6, 3));
        let srv = &outcome.raw.iter().find(|record| record.rtype == Rtype::SRV).unwrap();
        assert_eq!((srv.owner.to_string(), srv.ttl), (format!("_sip._udp.{ZONE}"), 60));
        let expected = from_text(Rtype::SRV, "10 60 5060 sbc1.us-east", &name(ZONE)).unwrap();
        assert_eq!(srv.rdata, expected);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_all_spans_lie_in_the_file(text in any_text()) {
            let mut sources = Sources::default();
            let file = sources.add(Path::new("z"), text.clone());
            let mut report = Report::default();
            let apex = name("example.");
            let mut reader = Reader::new(&mut sources, &apex, &mut report);
            reader.read_file(file, &mut State::new(&apex));
            reader.drop_duplicates();
            let mut spans: Vec<_> = reader.records.iter().map(|record| record.span).collect();
            for finding in report.findings() {
                let crate::diag::Place::Span(span) = finding.place else { panic!("{finding:?}") };
                spans.push(span);
            }
            for span in spans {
                prop_assert!(span.start <= span.end && span.end as usize <= text.len());
                prop_assert!(text.is_char_boundary(span.start as usize));
                prop_assert!(text.is_char_boundary(span.end as usize));
            }
            report.render(&sources, false);
        }
    }

    /// Texts of pieces that mean something, and of any characters.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "\n",
            "\r\n",
            " ",
            "\t",
            "(",
            ")",
            "\"",
            ";",
            "\\",
            "\\#",
            "\\065",
            "@",
            "$TTL",
            "$ORIGIN",
            "$INCLUDE",
            "/nowhere",
            "a",
            "a.example",
            "a.example.",
            "A",
            "AAAA",
            "SRV",
            "TXT",
            "SOA",
            "SVCB",
            "NSEC",
            "IN",
            "CH",
            "60",
            "0",
            "192.0.2.1",
            "::1",
            "alpn=",
            "é",
            "\0",
            "\u{feff}",
            "..",
        ]);
        let pieces = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
        prop_oneof![pieces, any::<String>()]
    }

    /// Not a test of behaviour: prints how long a million records take.
    #[test]
    #[ignore = "a measurement, for `cargo test --release -- --ignored --nocapture`"]
    #[expect(clippy::print_stdout)]
    fn a_million_records() {
        let mut text = "$TTL 60\n".to_owned();
        for at in 0..500_000 {
            let _ =
                writeln!(text, "sbc{at} 300 IN A 10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
            let _ = writeln!(text, "_sip._udp.n{at} SRV 10 100 5060 sbc{at}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z");
        std::fs::write(&path, &text).unwrap();
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let start = std::time::Instant::now();
        let records = read_master(&mut sources, &path, &name(ZONE), &mut report);
        println!("{} records, {} octets: {:?}", records.len(), text.len(), start.elapsed());
        assert_eq!(records.len(), 1_000_000);
    }
}
