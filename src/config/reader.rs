//! Typed access to TOML that reports what it finds and goes on.
//!
//! A table is read as [`Fields`]: every key is taken by its name, and what
//! nobody took is an unknown key. A value is an [`Item`], with a method for
//! each type that the files use. Both report to the [`Report`] that is passed
//! along, and give `None` where there is nothing to go on with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::nearest::{nearest, suggest};
use super::text::Text;
use crate::diag::{Code, Finding, Located, Report, Span};
use crate::wire::{Name, NameError};

/// The largest TTL (RFC 2181 section 8).
const MAX_TTL: i64 = i32::MAX as i64;

//----------- Fields ---------------------------------------------------------

/// The keys of a table that are still to be taken.
#[derive(Debug)]
pub(super) struct Fields<'d> {
    /// What messages call the table, such as `[server]`; empty for the root.
    title: String,

    /// Where the table is written: its header, its key, or its braces.
    span: Span,

    /// What was not taken yet, in the order of the file.
    entries: Vec<Entry<'d>>,

    /// The keys that were asked for.
    known: Vec<&'static str>,
}

/// A key and its value.
pub(super) type Entry<'d> = (Located<&'d str>, Item<'d>);

impl<'d> Fields<'d> {
    /// Returns the fields of a file's root table.
    pub(super) fn root(text: &'d Text, table: &'d DeTable<'d>) -> Self {
        Self::new(text, table, "", text.span(0..0))
    }

    fn new(text: &'d Text, table: &'d DeTable<'d>, title: impl Into<String>, span: Span) -> Self {
        let mut entries: Vec<Entry<'d>> = table
            .iter()
            .map(|(key, value)| {
                let item = Item { text, value: value.get_ref(), span: text.span(value.span()) };
                (Located::new(key.get_ref().as_ref(), text.span(key.span())), item)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span);
        Fields { title: title.into(), span, entries, known: Vec::new() }
    }

    /// Returns where the table is written.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Takes the entry of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(other, _)| other.value == key)?;
        Some(self.entries.remove(at))
    }

    /// Takes all entries that are left, in the order of the file.
    pub(super) fn take_rest(&mut self) -> Vec<Entry<'d>> {
        std::mem::take(&mut self.entries)
    }

    /// Reads a key that may be missing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        read: impl FnOnce(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        let (_, item) = self.take(key)?;
        read(item, report)
    }

    /// Reads a key; where it is missing or wrong, the default stands in.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        report: &mut Report,
        read: impl FnOnce(Item<'d>, &mut Report) -> Option<T>,
    ) -> T {
        self.optional(key, report, read).unwrap_or(default)
    }

    /// Reads a key that must be there; `example` is shown where it is not.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report,
        read: impl FnOnce(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            Some((_, item)) => read(item, report),
            None => {
                self.add_missing(key, example, report);
                None
            }
        }
    }

    /// Reports a key that must be there and is not.
    pub(super) fn add_missing(&self, key: &str, example: &str, report: &mut Report) {
        report.add(Finding::new(
            Code::MissingKey,
            self.span,
            format!("no `{key}` {}", self.place()),
            format!("add it, such as `{example}`"),
        ));
    }

    /// Returns a sub-table; one that is missing or no table has no fields.
    pub(super) fn section(&mut self, key: &'static str, report: &mut Report) -> Fields<'d> {
        self.try_section(key, report).unwrap_or_else(|| self.empty(key))
    }

    /// Returns a sub-table that may be missing.
    pub(super) fn try_section(
        &mut self,
        key: &'static str,
        report: &mut Report,
    ) -> Option<Fields<'d>> {
        self.optional(key, report, |item, report| item.table(format!("[{key}]"), report))
    }

    /// Reports every key that was not taken.
    pub(super) fn finish(self, report: &mut Report) {
        for (key, _) in &self.entries {
            report.add(Finding::new(
                Code::UnknownKey,
                key.span,
                format!("unknown key `{}` {}", key.value, self.place()),
                suggest(key.value, self.known.iter().copied(), &self.list_known()),
            ));
        }
    }

    fn place(&self) -> String {
        match &self.title[..] {
            "" => "at the top of the file".to_owned(),
            title => format!("in {title}"),
        }
    }

    fn list_known(&self) -> String {
        format!("remove it; known here: {}", quoted(self.known.iter()))
    }

    fn empty(&self, key: &str) -> Fields<'d> {
        Fields {
            title: format!("[{key}]"),
            span: self.span,
            entries: Vec::new(),
            known: Vec::new(),
        }
    }
}

//----------- Item -----------------------------------------------------------

/// A value and where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'d> {
    text: &'d Text,
    value: &'d DeValue<'d>,
    span: Span,
}

impl<'d> Item<'d> {
    /// Returns where the value is written.
    ///
    /// That of a table is its header with the brackets, or its braces; that
    /// of a table that only exists because longer keys name it is the key.
    pub(super) fn span(self) -> Span {
        self.span
    }

    /// Returns the value as the parser gave it.
    pub(super) fn value(self) -> &'d DeValue<'d> {
        self.value
    }

    /// Returns the file that the value is in.
    pub(super) fn text(self) -> &'d Text {
        self.text
    }

    /// Reports a finding at this value.
    pub(super) fn add(
        self,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
        report: &mut Report,
    ) {
        report.add(Finding::new(code, self.span, message, help));
    }

    /// Says whether the value is a table that has no header or braces of its
    /// own: longer keys or headers name what is in it.
    pub(super) fn is_implied_by(self, key: Located<&str>) -> bool {
        matches!(self.value, DeValue::Table(_)) && self.span == key.span
    }

    /// Says whether the value is a table.
    pub(super) fn is_table(self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Returns the entries of a table, and none of anything else.
    pub(super) fn entries(self) -> Vec<Entry<'d>> {
        match self.value {
            DeValue::Table(table) => Fields::new(self.text, table, "", self.span).entries,
            _ => Vec::new(),
        }
    }

    /// Finds the headers of this table and those below it, with the keys that
    /// lead there from `path`.
    pub(super) fn headers(self, path: &[&'d str]) -> Vec<(Vec<&'d str>, Span)> {
        let mut headers = Vec::new();
        if self.is_table() && self.source().starts_with('[') {
            headers.push((path.to_vec(), self.span));
        }
        for (key, item) in self.entries() {
            headers.extend(item.headers(&[path, &[key.value]].concat()));
        }
        headers
    }

    //--- Plain types

    /// Reads a table under the title that messages are to give it.
    pub(super) fn table(self, title: impl Into<String>, report: &mut Report) -> Option<Fields<'d>> {
        let title = title.into();
        if let DeValue::Table(table) = self.value {
            return Some(Fields::new(self.text, table, title, self.span));
        }
        let help = if title.starts_with('[') {
            format!("begin it with the header `{title}`, in these brackets")
        } else {
            "write a table in braces: `{ key = value }`".to_owned()
        };
        self.add(
            Code::WrongType,
            format!("expected a table, found {}", self.describe()),
            help,
            report,
        );
        None
    }

    /// Reads the items of a list.
    pub(super) fn items(self, report: &mut Report) -> Option<Vec<Item<'d>>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type(Kind::List, report);
        };
        let text = self.text;
        let item = |value: &'d toml::Spanned<DeValue<'d>>| Item {
            text,
            value: value.get_ref(),
            span: text.span(value.span()),
        };
        Some(array.iter().map(item).collect())
    }

    /// Reads a list, leaving out entries that cannot be read.
    pub(super) fn list<T>(
        self,
        report: &mut Report,
        mut read: impl FnMut(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        let mut values = Vec::new();
        for item in self.items(report)? {
            if let Some(value) = read(item, report) {
                values.push(Located::new(value, item.span));
            }
        }
        Some(values)
    }

    /// Reads a list in which nothing may stand twice.
    pub(super) fn set<T: PartialEq>(
        self,
        report: &mut Report,
        read: impl FnMut(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        let values = self.list(report, read)?;
        add_duplicates(&values, |value| value, report);
        Some(values)
    }

    /// Reads a set that must not be empty; `what` says of what it is.
    pub(super) fn filled_set<T: PartialEq>(
        self,
        what: &str,
        report: &mut Report,
        read: impl FnMut(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        self.refuse_empty(what, report)?;
        self.set(report, read)
    }

    /// Reports an empty list; `what` says of what it is.
    pub(super) fn refuse_empty(self, what: &str, report: &mut Report) -> Option<()> {
        if self.items(report)?.is_empty() {
            let help = "add at least one, or remove the key";
            self.add(Code::EmptySet, format!("an empty list of {what}"), help, report);
            return None;
        }
        Some(())
    }

    /// Reads a string.
    pub(super) fn string(self, report: &mut Report) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(Kind::String, report),
        }
    }

    /// Reads a string that is not empty and fits a character string of DNS.
    pub(super) fn word(self, report: &mut Report) -> Option<String> {
        let text = self.string(report)?;
        if text.is_empty() || text.len() > 255 {
            let message = format!("a text of {} octets", text.len());
            self.add(Code::BadValue, message, "write 1 to 255 octets", report);
            return None;
        }
        Some(text.to_owned())
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(self, report: &mut Report) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(Kind::Boolean, report),
        }
    }

    /// Reads an integer within a range that the target type holds.
    pub(super) fn integer<T: TryFrom<i64>>(
        self,
        range: RangeInclusive<i64>,
        report: &mut Report,
    ) -> Option<T> {
        let value = self.any_integer(report)?.filter(|value| range.contains(value));
        let value = value.and_then(|value| T::try_from(value).ok());
        if value.is_none() {
            self.add(
                Code::OutOfRange,
                format!("{} is not within {} to {}", self.source(), range.start(), range.end()),
                format!("write a number from {} to {}", range.start(), range.end()),
                report,
            );
        }
        value
    }

    /// Reads a TTL: 1 to 2147483647 seconds.
    pub(super) fn ttl(self, report: &mut Report) -> Option<u32> {
        let value = self.any_integer(report)?;
        if let Some(value @ 1..=MAX_TTL) = value {
            return Some(value as u32);
        }
        let (message, help) = match value {
            Some(0) => (
                "a TTL of 0 fails every call of a Kamailio with default settings".to_owned(),
                "write at least 1; below 30, resolvers ask more often than failover needs",
            ),
            _ => (
                format!("a TTL of {} is not within 1 to {MAX_TTL}", self.source()),
                "write seconds, usually 30 to 300 (RFC 2181 section 8)",
            ),
        };
        self.add(Code::BadTtl, message, help, report);
        None
    }

    /// Reads a number with or without fraction.
    pub(super) fn number(self, report: &mut Report) -> Option<f64> {
        let text = match self.value {
            DeValue::Float(value) => value.as_str(),
            DeValue::Integer(value) if value.radix() == 10 => value.as_str(),
            _ => return self.wrong_type(Kind::Number, report),
        };
        // The parser let only numbers pass, of which `f64` reads all.
        text.parse().ok()
    }

    /// Returns the integer, or the inner `None` for one beyond 64 bits.
    fn any_integer(self, report: &mut Report) -> Option<Option<i64>> {
        match self.value {
            DeValue::Integer(value) => {
                Some(i64::from_str_radix(value.as_str(), value.radix()).ok())
            }
            _ => self.wrong_type(Kind::Integer, report),
        }
    }

    //--- Texts with a form

    /// Reads a text by a function; `form` says what it should have been.
    pub(super) fn parsed<T>(
        self,
        code: Code,
        form: &str,
        report: &mut Report,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.string(report)?;
        let value = parse(text);
        if value.is_none() {
            let article = if form.starts_with(['A', 'E', 'I', 'a', 'e', 'i']) { "an" } else { "a" };
            let (kind, _) = form.split_once(" such as").unwrap_or((form, ""));
            self.add(
                code,
                format!("\"{text}\" is not {article} {kind}"),
                format!("write {article} {form}"),
                report,
            );
        }
        value
    }

    /// Reads one of some words.
    pub(super) fn choice<T: Copy>(self, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let text = self.string(report)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let list = quoted(words.iter().map(|(word, _)| word));
            let help = suggest(text, words.iter().map(|(word, _)| *word), "write one of those");
            let message = format!("\"{text}\" is none of {list}");
            self.add(Code::BadValue, message, help, report);
        }
        found.map(|(_, value)| *value)
    }

    /// Reads a duration: digits and one of the units s, m, h, d.
    pub(super) fn duration(
        self,
        range: RangeInclusive<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        if let DeValue::Integer(value) = self.value {
            self.add(
                Code::WrongType,
                format!("expected a duration, found the integer {value}"),
                format!("write a text with a unit (s, m, h or d): `\"{value}s\"`"),
                report,
            );
            return None;
        }
        let form = "duration such as \"15s\", \"5m\", \"12h\" or \"30d\"";
        let value = self.parsed(Code::BadValue, form, report, parse_duration)?;
        if !range.contains(&value) {
            let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
            self.add(
                Code::OutOfRange,
                format!("{} is not within {low} to {high}", show_duration(value)),
                format!("write a duration from \"{low}\" to \"{high}\""),
                report,
            );
            return None;
        }
        Some(value)
    }

    /// Reads an address and port to listen on; port 0 takes any free one.
    pub(super) fn socket(self, report: &mut Report) -> Option<SocketAddr> {
        let text = self.string(report)?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let help = match text.parse() {
            Ok(IpAddr::V4(_)) => format!("add the port: \"{text}:53\""),
            Ok(IpAddr::V6(_)) => format!("add brackets and the port: \"[{text}]:53\""),
            Err(_) => "write them as in \"192.0.2.53:53\" or \"[2001:db8::53]:53\"".to_owned(),
        };
        self.add(
            Code::BadValue,
            format!("\"{text}\" is not an IP address with a port"),
            help,
            report,
        );
        None
    }

    /// Reads an IP address.
    pub(super) fn address(self, report: &mut Report) -> Option<IpAddr> {
        let form = "IP address such as \"192.0.2.53\" or \"2001:db8::53\"";
        self.parsed(Code::BadValue, form, report, |text| text.parse().ok())
    }

    /// Reads a path, relative to the folder of the file it is written in.
    pub(super) fn path(self, report: &mut Report) -> Option<PathBuf> {
        let text = self.string(report)?;
        if text.is_empty() {
            let help = "write a path, relative to the folder of this file";
            self.add(Code::BadValue, "an empty path", help, report);
            return None;
        }
        Some(self.text.folder().join(text))
    }

    /// Reads a domain name, relative to `origin` unless it ends in a dot.
    pub(super) fn name(self, origin: &Name, report: &mut Report) -> Option<Name> {
        let text = self.string(report)?;
        parse_name(Located::new(text, self.span), origin, report)
    }

    /// Reads the name of a host, where an address is a frequent mistake.
    ///
    /// `example` is the name that the help gives the address.
    pub(super) fn host(self, origin: &Name, example: &str, report: &mut Report) -> Option<Name> {
        let text = self.string(report)?;
        let Some(address) = find_address(text) else { return self.name(origin, report) };
        self.add(
            Code::TargetIsAddress,
            format!("the IP address {address} stands where a host name belongs"),
            format!(
                "name it below [hosts], as in `{example} = [\"{address}\"]`, and write \"{example}\""
            ),
            report,
        );
        None
    }

    //--- Wrong types

    /// Reports that this is no endpoint.
    pub(super) fn not_an_endpoint<T>(self, report: &mut Report) -> Option<T> {
        self.wrong_type(Kind::Endpoint, report)
    }

    fn wrong_type<T>(self, expected: Kind, report: &mut Report) -> Option<T> {
        self.add(
            Code::WrongType,
            format!("expected {expected}, found {}", self.describe()),
            self.type_help(expected),
            report,
        );
        None
    }

    /// Says what the value is, with the value where it is short.
    pub(super) fn describe(self) -> String {
        match self.value {
            DeValue::String(text) if text.len() <= 40 => format!("a string \"{text}\""),
            DeValue::String(_) => "a string".to_owned(),
            DeValue::Integer(value) => format!("an integer {value}"),
            DeValue::Float(value) => format!("a number {}", value.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => format!("a date {}", self.source()),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    fn type_help(self, expected: Kind) -> String {
        match (expected, self.value) {
            (Kind::Integer | Kind::Number | Kind::Boolean, DeValue::String(text))
                if expected.can_read(text) =>
            {
                format!("remove the quotes: `{text}`")
            }
            (Kind::Integer | Kind::Number, DeValue::String(_)) => {
                "write a number, without quotes".to_owned()
            }
            (Kind::String, DeValue::Array(array)) if array.len() == 1 => {
                format!("remove the brackets: `{}`", self.source().trim_matches(['[', ']', ' ']))
            }
            (Kind::String, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                format!("put it in quotes: `\"{}\"`", self.source())
            }
            (Kind::List, DeValue::Array(_) | DeValue::Table(_)) => format!("write {expected}"),
            (Kind::List, _) => format!("put it in brackets: `[{}]`", self.source()),
            _ => format!("write {expected}"),
        }
    }

    /// Returns the value as it is written.
    pub(super) fn source(self) -> &'d str {
        let range = self.span.start as usize..self.span.end as usize;
        self.text.as_str().get(range).unwrap_or_default()
    }
}

//----------- Kind -----------------------------------------------------------

/// What a value was expected to be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Boolean,
    Endpoint,
    Integer,
    List,
    Number,
    String,
}

impl Kind {
    /// Says whether a text without its quotes would be of this kind.
    fn can_read(self, text: &str) -> bool {
        match self {
            Kind::Boolean => text.parse::<bool>().is_ok(),
            Kind::Integer => text.parse::<i64>().is_ok(),
            Kind::Number => text.parse::<f64>().is_ok(),
            Kind::Endpoint | Kind::List | Kind::String => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Boolean => "true or false",
            Kind::Endpoint => "a host name in quotes or a table with `target`",
            Kind::Integer => "an integer",
            Kind::List => "a list in brackets",
            Kind::Number => "a number",
            Kind::String => "a string in quotes",
        })
    }
}

//------------ Helpers -------------------------------------------------------

/// Reads a domain name, relative to `origin` unless it ends in a dot.
pub(super) fn parse_name(text: Located<&str>, origin: &Name, report: &mut Report) -> Option<Name> {
    let err = match Name::parse(text.value, origin) {
        Ok(name) => return Some(name),
        Err(err) => err,
    };
    let (code, message, help) = match err {
        NameError::LabelTooLong => (
            Code::LabelTooLong,
            "the name has a label of more than 63 octets".to_owned(),
            "shorten it: 63 octets fit between two dots",
        ),
        NameError::NameTooLong => (
            Code::NameTooLong,
            "the name has more than 255 octets".to_owned(),
            "shorten it; a name without final dot has the zone's name added",
        ),
        NameError::BadEscape | NameError::EmptyLabel | NameError::Malformed => (
            Code::BadName,
            format!("the name has {err}"),
            "write a name such as \"sbc1.us-east\", or \"sbc1.example.net.\"",
        ),
    };
    report.add(Finding::new(code, text.span, message, help));
    None
}

/// Reads a single label of letters, digits and hyphens, into lower case.
///
/// `what` says what it names.
pub(super) fn parse_label(key: Located<&str>, what: &str, report: &mut Report) -> Option<String> {
    let text = key.value;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let finding = if text.len() > Name::MAX_LABEL {
        Finding::new(
            Code::LabelTooLong,
            key.span,
            format!("the name of a {what} has {} octets", text.len()),
            "shorten it: it is a DNS label, where 63 fit",
        )
    } else if text.is_empty() || !text.chars().all(is_plain) {
        Finding::new(
            Code::BadName,
            key.span,
            format!("\"{text}\" cannot be the name of a {what}"),
            "write one DNS label of letters, digits and hyphens, such as `us-east`",
        )
    } else {
        return Some(text.to_ascii_lowercase());
    };
    report.add(finding);
    None
}

/// Reports entries of a list that are equal to an earlier one.
pub(super) fn add_duplicates<T, K: PartialEq + ?Sized>(
    values: &[Located<T>],
    key: impl Fn(&T) -> &K,
    report: &mut Report,
) {
    for (at, value) in values.iter().enumerate() {
        let first = values[..at].iter().find(|other| key(&other.value) == key(&value.value));
        if let Some(first) = first {
            report.add(
                Finding::new(
                    Code::DuplicateValue,
                    value.span,
                    "the same entry a second time",
                    "remove one of the two",
                )
                .with_related(first.span, "here first"),
            );
        }
    }
}

/// Writes words as "`a`, `b`".
pub(super) fn quoted(words: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// Returns the help for a word that is none of those declared.
pub(super) fn suggest_declared<'a>(
    word: &str,
    declared: impl IntoIterator<Item = &'a str> + Clone,
    declare: &str,
) -> String {
    match nearest(word, declared.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let mut declared = declared.into_iter().peekable();
            match declared.peek() {
                Some(_) => format!("{declare}; declared are {}", quoted(declared)),
                None => declare.to_owned(),
            }
        }
    }
}

/// Finds an address in a text that should be a host name.
fn find_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_end_matches('.').trim_matches(['[', ']']);
    let bare_of_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    // Four numbers with dots never are a host name, not even "1.2.3.999",
    // but only what parses can be shown as an address.
    bare.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| bare.parse()).ok().or_else(bare_of_port)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(*seconds).map(Duration::from_secs)
}

/// Writes a duration in the largest unit that divides it.
fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let divides = |(_, unit): &&(char, u64)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rfind(divides).unwrap_or(&UNITS[0]);
    format!("{}{name}", seconds / unit)
}

/// The units of durations, in seconds, the smallest first.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
