//! Typed access to TOML that reports what it finds and goes on.
//!
//! A table is read as [`Fields`]: every key is taken by its name, and what
//! nobody took is an unknown key. A value is an [`Item`], with a method for
//! each type that the files use. Both report to the [`Report`] that is passed
//! along, and give `None` where there is nothing to go on with. Texts that have
//! a form of their own, such as durations and names, are read in `values`.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::text::Text;
use crate::diag::words::{quoted, suggest};
use crate::diag::{Code, Finding, Located, Report, Span};

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
    pub(super) fn set<T: Eq + Hash>(
        self,
        report: &mut Report,
        read: impl FnMut(Item<'d>, &mut Report) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        let values = self.list(report, read)?;
        add_duplicates(&values, report);
        Some(values)
    }

    /// Reads a set that must not be empty; `what` says of what it is.
    pub(super) fn filled_set<T: Eq + Hash>(
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

/// Reports entries of a list that are equal to an earlier one.
pub(super) fn add_duplicates<T: Eq + Hash>(values: &[Located<T>], report: &mut Report) {
    let mut seen = HashMap::new();
    for value in values {
        if let Some(first) = seen.get(&value.value) {
            report.add(
                Finding::new(
                    Code::DuplicateValue,
                    value.span,
                    "the same entry a second time",
                    "remove one of the two",
                )
                .with_related(*first, "here first"),
            );
            continue;
        }
        seen.insert(&value.value, value.span);
    }
}

/// Returns the finding for something that is declared at `first` already.
pub(super) fn declared_twice(what: impl fmt::Display, span: Span, first: Span) -> Finding {
    Finding::new(
        Code::DuplicateValue,
        span,
        format!("{what} is declared twice"),
        "remove one of the two; letter case does not tell names apart",
    )
    .with_related(first, "here first")
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::diag::Sources;

    fn read<T>(
        text: &str,
        read: impl FnOnce(&mut Fields<'_>, &mut Report) -> T,
    ) -> (T, Vec<(Code, String, String)>) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("a.toml"), text);
        let mut report = Report::default();
        let value = Text::of(&sources, file)
            .parse(&mut report, |mut root, report| {
                let value = read(&mut root, report);
                root.finish(report);
                value
            })
            .value;
        let findings = report.findings().into_iter();
        (value, findings.map(|f| (f.code, f.message.clone(), f.help.clone())).collect())
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let (_, findings) = read("lisen = 1\nport = 2", |root, report| {
            root.optional("listen", report, |item, report| item.integer::<u8>(0..=9, report))
        });
        assert_eq!(findings[0].2, "did you mean `listen`?");
        assert_eq!(findings[1].2, "remove it; known here: `listen`");
    }

    #[test]
    fn reading_goes_on_after_an_error() {
        let (values, findings) = read("a = 'x'\nb = 2", |root, report| {
            let mut read =
                |key| root.or(key, 7, report, |item, report| item.integer::<u8>(0..=9, report));
            (read("a"), read("b"), read("c"))
        });
        assert_eq!(values, (7, 2, 7));
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_list_keeps_what_can_be_read_in_its_order() {
        let (values, findings) = read("a = [3, 'x', 1, 300]", |root, report| {
            root.optional("a", report, |item, report| {
                item.list(report, |item, report| item.integer::<u8>(0..=255, report))
            })
        });
        let values: Vec<_> = values.unwrap().iter().map(|value| value.value).collect();
        assert_eq!(values, [3, 1]);
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn integers_of_any_spelling_are_read_and_never_wrap() {
        let (values, findings) =
            read("a = [0x10, 1_0, -1, 256, 9223372036854775808]", |root, report| {
                root.optional("a", report, |item, report| {
                    item.list(report, |item, report| item.integer::<u8>(0..=1000, report))
                })
            });
        let values: Vec<_> = values.unwrap().iter().map(|value| value.value).collect();
        assert_eq!(values, [16, 10]);
        assert!(findings.iter().all(|(code, ..)| *code == Code::OutOfRange));
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn entries_come_in_the_order_of_the_file() {
        let (keys, _) = read("b = 1\na = 2\nc = 3", |root, _| {
            root.take_rest().iter().map(|(key, _)| key.value.to_owned()).collect::<Vec<_>>()
        });
        assert_eq!(keys, ["b", "a", "c"]);
    }

    #[test]
    fn headers_are_found_below_tables_without_one() {
        let (headers, _) = read("[a.b.c]\nx = 1\n[a.d]\n", |root, _| {
            let (key, item) = root.take("a").unwrap();
            assert!(item.is_implied_by(key));
            let headers = item.headers(&["a"]).into_iter();
            headers.map(|(path, _)| path.join(".")).collect::<Vec<_>>()
        });
        assert_eq!(headers, ["a.b.c", "a.d"]);
    }
}
