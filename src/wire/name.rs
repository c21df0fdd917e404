//! Domain names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

//----------- Name -----------------------------------------------------------

/// An absolute domain name in wire format, uncompressed.
///
/// The letter case is kept as written and ignored by comparison and hash
/// (RFC 4343). The order is the canonical one of RFC 4034 section 6.1: by
/// label from the right, so that a name sorts directly before the names
/// below it.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "Box<[u8]>", into = "Box<[u8]>")]
pub struct Name(Box<[u8]>);

impl Name {
    /// The longest name, in octets of wire format (RFC 1035 section 2.3.4).
    pub const MAX_LEN: usize = 255;

    /// The longest label, in octets (RFC 1035 section 2.3.4).
    pub const MAX_LABEL: usize = 63;

    /// Returns the root.
    pub fn root() -> Self {
        Name(Box::new([0]))
    }

    /// Reads a name in presentation format (RFC 1035 section 5.1).
    ///
    /// A text without final dot is relative to `origin`; `@` is the origin
    /// itself. Escapes are `\DDD` and `\C`.
    pub fn parse(text: &str, origin: &Name) -> Result<Self, NameError> {
        if text == "@" {
            return Ok(origin.clone());
        }
        if text == "." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label_at = 0;
        wire.push(0);
        let mut octets = text.bytes();
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => {
                    Self::end_label(&mut wire, label_at)?;
                    label_at = wire.len();
                    wire.push(0);
                }
                b'\\' => wire.push(unescape(&mut octets)?),
                octet => wire.push(octet),
            }
        }
        if wire.len() == label_at + 1 {
            // The text ended in a dot: what was begun is the root label.
            return Self::checked(wire);
        }
        Self::end_label(&mut wire, label_at)?;
        wire.extend_from_slice(&origin.0);
        Self::checked(wire)
    }

    /// Reads a name in wire format, which must fill the octets exactly.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0;
        loop {
            match wire.get(at) {
                Some(0) if at + 1 == wire.len() => return Self::checked(wire.to_vec()),
                Some(&len) if len != 0 && usize::from(len) <= Self::MAX_LABEL => {
                    at += 1 + usize::from(len);
                }
                _ => return Err(NameError::Malformed),
            }
        }
    }

    /// Returns the name with one more label in front.
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > Self::MAX_LABEL {
            return Err(NameError::LabelTooLong);
        }
        let mut wire = Vec::with_capacity(1 + label.len() + self.0.len());
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Self::checked(wire)
    }

    /// Returns the name without its first label; the root has no parent.
    pub fn parent(&self) -> Option<Self> {
        match self.0[0] {
            0 => None,
            len => Some(Name(self.0[1 + usize::from(len)..].into())),
        }
    }

    /// Returns the wire format.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns the wire format in lower case: the key of name tables.
    pub fn to_key(&self) -> Box<[u8]> {
        // Length octets are below 64 and so are no letters.
        self.0.to_ascii_lowercase().into()
    }

    /// Returns the labels, from the left, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let len = usize::from(rest[0]);
            if len == 0 {
                return None;
            }
            let label = &rest[1..1 + len];
            rest = &rest[1 + len..];
            Some(label)
        })
    }

    /// Counts the labels, the root's not among them.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Says whether this is `other` or a name below it.
    pub fn is_within(&self, other: &Name) -> bool {
        is_within(&self.0, &other.0)
    }

    /// Says whether the first label is the asterisk (RFC 4592 section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Returns the first label, and what is behind it; nothing of the root.
    fn split(&self) -> Option<(&[u8], &[u8])> {
        let (len, rest) = self.0.split_first()?;
        rest.split_at_checked(usize::from(*len)).filter(|_| *len > 0)
    }

    fn end_label(wire: &mut [u8], label_at: usize) -> Result<(), NameError> {
        match wire.len() - label_at - 1 {
            0 => Err(NameError::EmptyLabel),
            len if len > Self::MAX_LABEL => Err(NameError::LabelTooLong),
            len => {
                wire[label_at] = len as u8;
                Ok(())
            }
        }
    }

    fn checked(wire: Vec<u8>) -> Result<Self, NameError> {
        if wire.len() > Self::MAX_LEN {
            return Err(NameError::NameTooLong);
        }
        Ok(Name(wire.into()))
    }
}

fn unescape(octets: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = octets.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        match octets.next() {
            Some(digit) if digit.is_ascii_digit() => value = value * 10 + u16::from(digit - b'0'),
            _ => return Err(NameError::BadEscape),
        }
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

//--- Comparison

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        is_same_name(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // In one go: hashers take words faster than octets.
        let mut lower = [0; Self::MAX_LEN];
        let lower = &mut lower[..self.0.len()];
        lower.copy_from_slice(&self.0);
        lower.make_ascii_lowercase();
        state.write(lower);
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        // Tables of ten thousand customers' zones compare siblings.
        if let (Some((one, above)), Some((two, other_above))) = (self.split(), other.split())
            && above == other_above
        {
            return compare_labels(one, two);
        }
        let (left, right) = (self.label_count(), other.label_count());
        // The rightmost labels that differ decide, counted from the right.
        let pairs = self.labels().skip(left.saturating_sub(right));
        let pairs = pairs.zip(other.labels().skip(right.saturating_sub(left)));
        // Names that are sorted have most of their labels in common, and
        // nearly always in the same letter case.
        let orders = pairs.filter(|(a, b)| a != b).map(|(a, b)| compare_labels(a, b));
        orders.filter(|order| order.is_ne()).last().unwrap_or_else(|| left.cmp(&right))
    }
}

fn compare_labels(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

//--- Output

impl fmt::Display for Name {
    /// Writes the presentation format with the final dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl TryFrom<Box<[u8]>> for Name {
    type Error = NameError;

    fn try_from(wire: Box<[u8]>) -> Result<Self, NameError> {
        Name::from_wire(&wire)
    }
}

impl From<Name> for Box<[u8]> {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// Says whether a name in wire format is another one or below it.
pub fn is_within(name: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while name.len() - at > other.len() {
        at += 1 + usize::from(name[at]);
    }
    name[at..].eq_ignore_ascii_case(other)
}

/// Says whether two names in wire format are the same: letter case does not
/// count (RFC 4343).
#[inline]
pub fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    // Nearly always both are in lower case, and then this is shorter.
    one == other || one.eq_ignore_ascii_case(other)
}

//============ Errors ========================================================

/// Why something is not a domain name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameError {
    /// A backslash is not followed by three digits up to 255 or a character.
    BadEscape,

    /// There is nothing between two dots.
    EmptyLabel,

    /// A label is longer than 63 octets.
    LabelTooLong,

    /// The octets are no uncompressed name.
    Malformed,

    /// The name is longer than 255 octets.
    NameTooLong,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadEscape => "a backslash without three digits up to 255 or a character",
            Self::EmptyLabel => "an empty label",
            Self::LabelTooLong => "a label of more than 63 octets",
            Self::Malformed => "octets that are no name",
            Self::NameTooLong => "a name of more than 255 octets",
        })
    }
}

impl std::error::Error for NameError {}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text, &Name::root()).unwrap()
    }

    #[test]
    fn relative_names_take_the_origin() {
        let origin = name("Example.com.");
        assert_eq!(
            Name::parse("sbc1", &origin).unwrap().as_wire(),
            b"\x04sbc1\x07Example\x03com\0"
        );
        assert_eq!(Name::parse("@", &origin).unwrap(), origin);
        assert_eq!(Name::parse("sbc1.", &origin).unwrap().as_wire(), b"\x04sbc1\0");
    }

    #[test]
    fn comparison_ignores_case_and_sorts_canonically() {
        // The example of RFC 4034 section 6.1.
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        let mut names: Vec<_> = sorted.iter().rev().map(|text| name(text)).collect();
        names.sort();
        let expected: Vec<_> = sorted.iter().map(|text| name(text)).collect();
        assert_eq!(names, expected);
        assert_eq!(name("a.EXAMPLE."), name("A.example."));
    }

    #[test]
    fn limits_of_labels_and_names_hold() {
        let label = "x".repeat(63);
        assert!(Name::parse(&format!("{label}."), &Name::root()).is_ok());
        assert_eq!(Name::parse(&format!("{label}x."), &Name::root()), Err(NameError::LabelTooLong));
        let long = format!("{label}.{label}.{label}.{}.", "x".repeat(61));
        assert_eq!(name(&long).as_wire().len(), 255);
        let longer = format!("{label}.{label}.{label}.{}.", "x".repeat(62));
        assert_eq!(Name::parse(&longer, &Name::root()), Err(NameError::NameTooLong));
        assert_eq!(Name::parse("a..b.", &Name::root()), Err(NameError::EmptyLabel));
    }

    #[test]
    fn escapes_are_read_and_written() {
        let odd = name("a\\.b\\032c\\\\.example.");
        assert_eq!(odd.as_wire(), b"\x06a.b c\\\x07example\0");
        assert_eq!(odd.to_string(), "a\\.b\\032c\\\\.example.");
        assert_eq!(Name::parse("\\256.", &Name::root()), Err(NameError::BadEscape));
    }

    #[test]
    fn a_name_is_within_itself_and_its_ancestors_only() {
        assert!(name("a.b.c.").is_within(&name("B.c.")));
        assert!(name("b.c.").is_within(&name("b.c.")));
        assert!(name("b.c.").is_within(&Name::root()));
        assert!(!name("c.").is_within(&name("b.c.")));
        assert!(!name("ab.c.").is_within(&name("b.c.")));
    }

    #[test]
    fn wire_names_are_checked() {
        assert!(Name::from_wire(b"\x01a\0").is_ok());
        for bad in [&b""[..], b"\x01a", b"\x01a\0\0", b"\xc0\x0c", b"\x02a\0"] {
            assert_eq!(Name::from_wire(bad), Err(NameError::Malformed), "{bad:?}");
        }
    }
}
