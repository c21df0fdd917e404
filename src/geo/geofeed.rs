//! Geofeeds (RFC 8805): the places of networks, published by who runs them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::Facts;
use super::prefix::{self, Family, Piece};
use super::region::{Country, Subdivision};
use crate::diag::{Code, Finding, Report, SourceId, Sources, Span};

//----------- Geofeed --------------------------------------------------------

/// A geofeed that was read.
#[derive(Debug)]
pub(super) struct Geofeed {
    /// What each entry says.
    pub(super) facts: Vec<Facts>,

    v4: Vec<Piece>,
    v6: Vec<Piece>,
}

impl Geofeed {
    /// Reads a feed; every bad line is a finding.
    pub(super) fn read(file: SourceId, sources: &Sources, report: &mut Report) -> Self {
        let text = sources.text(file);
        let mut entries: BTreeMap<IpNet, (Facts, Span)> = BTreeMap::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let content = line.trim_start_matches('\u{feff}').trim();
            let begin = start + line.find(content).unwrap_or(0);
            let span = file.span(begin..begin + content.len());
            start += line.len();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            match read_line(content) {
                Ok((prefix, facts)) => {
                    if let Some((_, first)) = entries.insert(prefix, (facts, span)) {
                        report
                            .add(duplicate(prefix, span).with_related(first, "listed first here"));
                    }
                }
                Err(message) => report.add(bad_line(span, message)),
            }
        }
        Self::index(entries)
    }

    /// Returns what the longest prefix around an address says.
    pub(super) fn facts(&self, address: IpAddr) -> Facts {
        let id = prefix::find(self.pieces(Family::of(address)), prefix::number(address));
        id.map_or_else(Facts::default, |id| self.facts[id as usize])
    }

    /// Returns the pieces of a family; their ids are positions in `facts`.
    pub(super) fn pieces(&self, family: Family) -> &[Piece] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn index(entries: BTreeMap<IpNet, (Facts, Span)>) -> Self {
        let prefixes: Vec<_> = entries.keys().copied().zip(0..).collect();
        let [v4, v6] = Family::ALL.map(|family| prefix::flatten(family, prefixes.iter().copied()));
        Geofeed { facts: entries.into_values().map(|(facts, _)| facts).collect(), v4, v6 }
    }
}

/// Reads `prefix,country,region,city,postal` (RFC 8805 section 2.1.1). City
/// and postal code place nobody here, and quotes matter in the city only.
fn read_line(line: &str) -> Result<(IpNet, Facts), String> {
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let mut next = || fields.next().unwrap_or_default();
    let (prefix, country, region) = (read_prefix(next())?, next(), next());
    let country = match country {
        "" => None,
        code => Some(Country::parse(code).ok_or_else(|| {
            format!("`{code}` is not a country; expected an ISO 3166-1 code of two letters")
        })?),
    };
    let subdivision = match region {
        "" => None,
        code => Some(
            Subdivision::parse(code)
                .filter(|found| country.is_none_or(|country| country == found.country))
                .ok_or_else(|| {
                    format!("`{code}` is not a region of the country; expected an ISO 3166-2 code")
                })?,
        ),
    };
    Ok((prefix, Facts { country, subdivision, ..Facts::default() }))
}

/// Reads a prefix, or an address alone.
fn read_prefix(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    match text.parse::<IpNet>() {
        Ok(prefix) if prefix == prefix.trunc() => Ok(prefix),
        Ok(prefix) => {
            Err(format!("`{text}` has bits behind its prefix; expected `{}`", prefix.trunc()))
        }
        Err(_) => Err(format!("`{text}` is not a prefix; expected one such as `192.0.2.0/24`")),
    }
}

fn bad_line(span: Span, message: String) -> Finding {
    let help = "write `prefix,country,region,city,postal` (RFC 8805), or ask the feed's publisher";
    Finding::new(Code::BadGeofeed, span, message, help)
}

fn duplicate(prefix: IpNet, span: Span) -> Finding {
    let message = format!("`{prefix}` is listed twice; expected one line for each prefix");
    Finding::new(Code::BadGeofeed, span, message, "remove one of the lines")
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> (Geofeed, Vec<String>) {
        let mut sources = Sources::default();
        let mut report = Report::default();
        let file = sources.add(Path::new("feed.csv"), text);
        let feed = Geofeed::read(file, &sources, &mut report);
        let found = report.findings().iter().map(|f| f.locator(&sources)).collect();
        (feed, found)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let (feed, found) = read(
            "\u{feff}# feed\r\n192.0.2.0/24,US,US-VA,Ashburn,\r\n\n\
             192.0.2.128/25,CA,,\"Toronto, Ont\",\n192.0.2.200,de\n2001:db8::/32,JP,,,\n",
        );
        assert!(found.is_empty(), "{found:?}");
        let country = |address: &str| feed.facts(address.parse().unwrap()).country;
        assert_eq!(country("192.0.2.1"), Country::parse("US"));
        assert_eq!(country("192.0.2.130"), Country::parse("CA"));
        assert_eq!(country("192.0.2.200"), Country::parse("DE"));
        assert_eq!(country("2001:db8:1::1"), Country::parse("JP"));
        assert_eq!(country("192.0.3.0"), None);
        let facts = feed.facts("192.0.2.1".parse().unwrap());
        assert_eq!(facts.subdivision, Subdivision::parse("US-VA"));
    }

    #[test]
    fn each_bad_line_is_found() {
        let (_, found) = read(
            "192.0.2.1/24,US,,,\n192.0.2.0/33,US,,,\n10.0.0.0/8,QQ,,,\n\
             10.0.0.0/8,US,CA-ON,,\n  x\n10.0.0.0/8,,,,\n10.0.0.0/8,US,,,\n",
        );
        let lines = [1, 2, 3, 4, 5, 7]
            .map(|line| format!("feed.csv:{line}:{}", if line == 5 { 3 } else { 1 }));
        assert_eq!(found, lines);
    }
}
