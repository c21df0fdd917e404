//! What an answer must be, and whether one is.
//!
//! It reads the octets itself: a codec would cost the generator more than the
//! server, and would hide what it forgives.

use std::fmt;
use std::ops::RangeInclusive;

//----------- Expected -------------------------------------------------------

/// What the answer to a question must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The response code.
    pub rcode: u8,

    /// How many records the answer section has.
    pub count: u16,

    /// The type of each.
    pub rtype: u16,

    /// What is in each.
    pub data: Data,
}

/// What is in a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Anything.
    Any,

    /// An address.
    Address([u8; 4]),

    /// A name of which this is a label.
    Label(&'static str),

    /// An SRV record with a port out of these. The port tells the region and
    /// the version of the zone; all records of an answer have the same.
    Port(RangeInclusive<u16>),
}

/// Why an answer is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// It ends too early.
    CutOff,

    /// It is no authoritative, complete response.
    Flags,

    /// The response code is another.
    Rcode,

    /// The question is not the one that was asked, octet by octet.
    Question,

    /// There are more or fewer records.
    Count,

    /// A record has another type.
    Type,

    /// A record is of another region or version, or records differ in that.
    Content,

    /// Nobody has asked, or the answer came twice, or too late.
    Unasked,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

//----------- check ----------------------------------------------------------

/// Says whether an answer to a query is what is expected; returns the port
/// where it has to be one of some. The answer may have an OPT record and an
/// additional section, whatever they hold.
pub fn check(answer: &[u8], query: &[u8], expected: &Expected) -> Result<Option<u16>, Fault> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let flags = number(2).ok_or(Fault::CutOff)?;
    // A response to a query, authoritative and not cut short.
    if flags & 0xfe00 != 0x8400 {
        return Err(Fault::Flags);
    }
    if (flags & 15) as u8 != expected.rcode {
        return Err(Fault::Rcode);
    }
    let end = question_end(query).ok_or(Fault::CutOff)?;
    if number(4) != Some(1) || answer.get(12..end) != query.get(12..end) {
        return Err(Fault::Question);
    }
    if number(6) != Some(expected.count) {
        return Err(Fault::Count);
    }
    let mut at = end;
    let mut first = None;
    for _ in 0..expected.count {
        let record = Record::read(answer, at).ok_or(Fault::CutOff)?;
        if record.rtype != expected.rtype {
            return Err(Fault::Type);
        }
        let port = record.data.get(4..6);
        let port = port.map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
        let is_right = match &expected.data {
            Data::Any => true,
            Data::Address(address) => record.data == address,
            Data::Label(label) => has_label(record.data, label),
            Data::Port(ports) => ports.contains(&port) && *first.get_or_insert(port) == port,
        };
        if !is_right {
            return Err(Fault::Content);
        }
        at = record.end;
    }
    Ok(first)
}

/// Returns where the question ends that a message begins with.
pub fn question_end(message: &[u8]) -> Option<usize> {
    Some(name_end(message, 12)? + 4)
}

fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            len if len < 64 => at += 1 + len,
            _ => return Some(at + 2),
        }
    }
}

/// Says whether a name, which may end in a pointer, has a label before that.
fn has_label(name: &[u8], label: &str) -> bool {
    let mut rest = name;
    while let Some((len @ 1..64, behind)) = rest.split_first().map(|(len, rest)| (*len, rest)) {
        let Some((found, behind)) = behind.split_at_checked(len.into()) else { return false };
        if found == label.as_bytes() {
            return true;
        }
        rest = behind;
    }
    false
}

/// A record of a message.
struct Record<'m> {
    rtype: u16,
    data: &'m [u8],

    /// Where the next one begins.
    end: usize,
}

impl<'m> Record<'m> {
    fn read(message: &'m [u8], at: usize) -> Option<Self> {
        let head = name_end(message, at)?;
        let fixed: &[u8; 10] = message.get(head..)?.first_chunk()?;
        let end = head + 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
        Some(Record { rtype, data: message.get(head + 10..end)?, end })
    }
}
