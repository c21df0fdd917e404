//! Values that are texts of a form: durations, addresses, paths, names.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::Item;
use crate::diag::words::{quoted, suggest};
use crate::diag::{Code, Finding, Located, Report};
use crate::wire::{Name, NameError};

//----------- Item -----------------------------------------------------------

impl Item<'_> {
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
        if let DeValue::Integer(value) = self.value() {
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
        self.socket_with(53, report)
    }

    /// Reads an address and port to listen on, of which this one is usual.
    pub(super) fn socket_with(self, port: u16, report: &mut Report) -> Option<SocketAddr> {
        let text = self.string(report)?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let help = match text.parse() {
            Ok(IpAddr::V4(_)) => format!("add the port: \"{text}:{port}\""),
            Ok(IpAddr::V6(_)) => format!("add brackets and the port: \"[{text}]:{port}\""),
            Err(_) => {
                format!("write them as in \"192.0.2.53:{port}\" or \"[2001:db8::53]:{port}\"")
            }
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

    /// Reads the name of a user or group of the host; `kind` says which.
    pub(super) fn account(self, kind: &str, report: &mut Report) -> Option<String> {
        let form = format!("name of a {kind} such as \"trunkdns\"");
        let is_name = |text: &str| {
            !text.is_empty()
                && !text.contains([':', '/', ','])
                && !text.contains(char::is_whitespace)
        };
        self.parsed(Code::BadValue, &form, report, |text| is_name(text).then(|| text.to_owned()))
    }

    /// Reads a path, relative to the folder of the file it is written in.
    pub(super) fn path(self, report: &mut Report) -> Option<PathBuf> {
        let text = self.string(report)?;
        if text.is_empty() {
            let help = "write a path, relative to the folder of this file";
            self.add(Code::BadValue, "an empty path", help, report);
            return None;
        }
        Some(self.text().folder().join(text))
    }

    /// Reads a domain name, relative to `origin` unless it ends in a dot.
    pub(super) fn name(self, origin: &Name, report: &mut Report) -> Option<Name> {
        let text = self.string(report)?;
        parse_name(Located::new(text, self.span()), origin, report)
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
                "name it below [hosts], `{example} = [\"{address}\"]`, and write \"{example}\""
            ),
            report,
        );
        None
    }
}

//------------ Names ---------------------------------------------------------

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

//------------ Helpers -------------------------------------------------------

/// Finds an address in a text that should be a host name: bare, with a final
/// dot, in brackets, or with a port.
fn find_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_end_matches('.').trim_matches(['[', ']']);
    let socket = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.parse().ok().or_else(socket)
}

/// Reads a duration: digits and one of the units.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
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
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let divides = |(_, unit): &&(char, u64)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().rfind(divides).unwrap_or(&UNITS[0]);
    format!("{}{name}", seconds / unit)
}

/// The units of durations, in seconds, the smallest first.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_digits_and_a_unit() {
        assert_eq!(parse_duration("15s"), Some(Duration::from_secs(15)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_secs(2_592_000)));
        for bad in
            ["", "s", "15", "-1s", "+1s", "1.5h", "1h30m", "15 s", "15µ", "99999999999999999999d"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_duration("213503982334602d"), None);
    }

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_fits() {
        let show = |seconds| show_duration(Duration::from_secs(seconds));
        assert_eq!([show(0), show(90), show(3600), show(172_800)], ["0s", "90s", "1h", "2d"]);
    }

    #[test]
    fn addresses_are_found_however_they_are_dressed() {
        for text in ["192.0.2.1", "192.0.2.1.", "192.0.2.1:5060", "2001:db8::1", "[2001:db8::1]"] {
            assert!(find_address(text).is_some(), "{text}");
        }
        for text in ["sbc1", "192.0.2.1.example.net.", "1.2.3", ""] {
            assert_eq!(find_address(text), None, "{text}");
        }
    }
}
