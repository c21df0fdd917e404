//! Call records: a table of comma-separated values with a header.

use std::io::BufRead;
use std::net::IpAddr;

use super::read_time;
use crate::snapshot::Moment;
use crate::wire::Name;

/// The longest row that is read, in octets.
const ROW_MAX: u64 = 64 << 10;

//----------- Call -----------------------------------------------------------

/// A call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// The row it stands in.
    pub row: u64,

    /// When it was made.
    pub time: Moment,

    /// Whose resolver was asked.
    pub holder: Holder,

    /// Where it went.
    pub target: Target,

    /// The name that was asked, where that is known.
    pub name: Option<Name>,

    /// What the table calls it.
    pub id: Option<String>,
}

/// Who held an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// The resolver at an address, or whoever shares its network.
    Resolver(IpAddr),

    /// Any resolver of a region.
    Region(String),
}

/// Where a call went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// To an address.
    Address(IpAddr),

    /// To an endpoint by its name.
    Name(Name),
}

//----------- Calls ----------------------------------------------------------

/// The rows of a table, one after the other.
pub struct Calls<R> {
    reader: R,
    file: String,
    row: u64,
    columns: Columns,
    last: u64,
}

/// In which columns what stands.
struct Columns {
    time: usize,
    resolver: usize,
    endpoint: usize,
    name: Option<usize>,
    id: Option<usize>,
}

impl<R: BufRead> Calls<R> {
    /// Reads the header. Columns beside those that are known are left alone.
    ///
    /// `file` is what errors call the table.
    pub fn new(mut reader: R, file: &str) -> Result<Self, String> {
        let mut line = String::new();
        read_line(&mut reader, &mut line).map_err(|error| format!("{file}: {error}"))?;
        let header = split(line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']));
        let header = header.ok_or_else(|| format!("{file}:1: a quote that is not closed"))?;
        let find = |name: &str| header.iter().position(|one| one.trim().eq_ignore_ascii_case(name));
        let need = |name: &str| {
            find(name).ok_or_else(|| {
                format!(
                    "{file}:1: no column `{name}`: expected a header such as \
                     time,resolver,endpoint (and, if known, name and id)"
                )
            })
        };
        let columns = Columns {
            time: need("time")?,
            resolver: need("resolver")?,
            endpoint: need("endpoint")?,
            name: find("name"),
            id: find("id"),
        };
        Ok(Calls { reader, file: file.to_owned(), row: 1, columns, last: 0 })
    }

    /// Returns the next call; errors name file and row.
    pub fn read_next(&mut self) -> Result<Option<Call>, String> {
        loop {
            let mut line = String::new();
            self.row += 1;
            match read_line(&mut self.reader, &mut line).map_err(|error| self.fault(&error))? {
                0 => return Ok(None),
                _ if line.trim().is_empty() => {}
                _ => break self.read(line.trim_end_matches(['\n', '\r'])).map(Some),
            }
        }
    }

    fn read(&mut self, line: &str) -> Result<Call, String> {
        let fields = split(line).ok_or_else(|| self.fault(&"a quote that is not closed"))?;
        let field = |column: usize| fields.get(column).map_or("", |field| field.trim());
        let optional = |column: Option<usize>| column.map(field).filter(|text| !text.is_empty());
        let columns = &self.columns;
        let time = moment(field(columns.time)).map_err(|why| self.fault(&why))?;
        let holder = holder(field(columns.resolver)).map_err(|why| self.fault(&why))?;
        let target = target(field(columns.endpoint)).map_err(|why| self.fault(&why))?;
        let name = optional(columns.name).map(name).transpose().map_err(|why| self.fault(&why))?;
        let id = optional(columns.id).map(str::to_owned);
        if time.0 < self.last {
            return Err(self.fault(
                &"this call is earlier than the one before: sort the rows by their time, such as \
                  `(head -1 calls.csv; tail -n +2 calls.csv | sort) > sorted.csv`",
            ));
        }
        self.last = time.0;
        Ok(Call { row: self.row, time, holder, target, name, id })
    }

    fn fault(&self, why: &dyn std::fmt::Display) -> String {
        format!("{}:{}: {why}", self.file, self.row)
    }
}

fn read_line(reader: &mut impl BufRead, line: &mut String) -> std::io::Result<usize> {
    use std::io::Read;
    reader.by_ref().take(ROW_MAX).read_line(line)
}

/// Reads a time with its zone offset, or seconds since the Unix epoch.
fn moment(text: &str) -> Result<Moment, String> {
    let seconds = || text.parse().ok().filter(|seconds| (0.0..1e11).contains(seconds));
    let epoch = || seconds().map(|seconds: f64| (seconds * 1000.0).round() as u64);
    read_time(text).or_else(epoch).map(Moment).ok_or_else(|| {
        format!(
            "`{text}` is no time: expected one with its zone, such as 2026-12-01T02:00:00Z, or \
             seconds since 1970"
        )
    })
}

fn holder(text: &str) -> Result<Holder, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Holder::Resolver(address.to_canonical()));
    }
    let is_region = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    match !text.is_empty() && text.bytes().all(is_region) {
        true => Ok(Holder::Region(text.to_ascii_lowercase())),
        false => Err(format!("`{text}` is neither the address of a resolver nor a region")),
    }
}

fn target(text: &str) -> Result<Target, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Target::Address(address.to_canonical())),
        Err(_) => name(text).map(Target::Name),
    }
}

fn name(text: &str) -> Result<Name, String> {
    match Name::parse(text, &Name::root()) {
        Ok(name) if !text.is_empty() && !text.contains([' ', ':', '/']) => Ok(name),
        _ => Err(format!(
            "`{text}` is neither the address nor the name of an endpoint, without its port"
        )),
    }
}

/// Splits a row into its fields (RFC 4180 section 2); none where a quote is not
/// closed.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted || field.trim().is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(letter),
        }
    }
    fields.push(field);
    (!is_quoted).then_some(fields)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Call>, String> {
        let mut calls = Calls::new(text.as_bytes(), "calls.csv")?;
        let mut read = Vec::new();
        while let Some(call) = calls.read_next()? {
            read.push(call);
        }
        Ok(read)
    }

    #[test]
    fn columns_are_found_by_their_names_and_fields_may_be_quoted() {
        let calls = read(
            "\u{feff}ID,Duration,endpoint,\"time\",resolver,name\r\n\
             \"a, \"\"b\"\"\",12,SBC1.example.com,2026-12-01T02:00:00.5Z,us-east,\r\n\
             \n\
             ,,198.51.100.11,1796090401,::ffff:192.0.2.1,_sip._tcp.example.com.\n",
        );
        let calls = calls.unwrap();
        let name = |text| Name::parse(text, &Name::root()).unwrap();
        let first = Call {
            row: 2,
            time: Moment(1_796_090_400_500),
            holder: Holder::Region("us-east".into()),
            target: Target::Name(name("sbc1.example.com.")),
            name: None,
            id: Some("a, \"b\"".into()),
        };
        let second = Call {
            row: 4,
            time: Moment(1_796_090_401_000),
            holder: Holder::Resolver("192.0.2.1".parse().unwrap()),
            target: Target::Address("198.51.100.11".parse().unwrap()),
            name: Some(name("_sip._tcp.example.com.")),
            id: None,
        };
        assert_eq!(calls, [first, second]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_told_with_its_place_and_what_was_expected() {
        let cases = [
            ("time,endpoint", "calls.csv:1: no column `resolver`"),
            ("", "calls.csv:1: no column `time`"),
            ("\"time", "calls.csv:1: a quote"),
            ("time,resolver,endpoint\nnow,us,sbc1", "calls.csv:2: `now` is no time"),
            ("time,resolver,endpoint\n1,,sbc1", "calls.csv:2: `` is neither the address of a r"),
            ("time,resolver,endpoint\n1,us,", "calls.csv:2: `` is neither the address nor the n"),
            ("time,resolver,endpoint\n1,us,a:5060", "calls.csv:2: `a:5060` is neither"),
            ("time,resolver,endpoint\n2,us,a\n1,us,a", "calls.csv:3: this call is earlier"),
            ("time,resolver,endpoint\n2,us,\"a", "calls.csv:2: a quote"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
