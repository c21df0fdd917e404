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
use crate::diag::{Code, Finding, Report, SourceId, Sources, Span};
use crate::wire::{Name, Rtype};

/// The most records of a zone, included files together.
///
/// A record takes some 200 octets, so this is 2 GB; the largest zones of
/// carriers, with a name a number, have a few million.
const RECORDS_MAX: usize = 10_000_000;

/// How deep files may include each other.
const INCLUDE_DEPTH_MAX: usize = 8;

/// How many `$INCLUDE` lines are followed for a zone.
///
/// Without it, eight levels of files of 100 lines each would be 100⁸ reads.
const INCLUDES_MAX: usize = 1_000;

/// How many errors of a zone are reported; reading stops there.
const ERRORS_MAX: usize = 1_000;

/// How many warnings of a zone are reported, and errors that have an excuse;
/// the rest is not shown.
const WARNINGS_MAX: usize = 1_000;

/// The largest file, in octets: [`Span`] counts with 32 bits.
const FILE_MAX: usize = u32::MAX as usize - 1;

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

    /// How many errors and how many others were reported.
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
        let is_error = finding.is_inexcusable();
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
        let finding = Finding::new(Code::OutsideZone, self.file.span(word.range()), message, help);
        self.reader.tell(finding.excusable());
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
        let finding = Finding::new(Code::BadTtl, self.file.span(word.range()), message, help);
        self.reader.tell(match seconds {
            0 => finding.excusable(),
            _ => finding,
        });
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
mod tests;
