//! The message header (RFC 1035 section 4.1.1).

use std::fmt;

//----------- Header ---------------------------------------------------------

/// The header of a message that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    octets: &'a [u8; HEADER_LEN],
}

/// The length of a header, in octets.
pub(crate) const HEADER_LEN: usize = 12;

impl<'a> Header<'a> {
    /// Reads a header; there is none in fewer than 12 octets.
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        message.first_chunk().map(|octets| Header { octets })
    }

    /// Says whether the message is a response (QR).
    pub(super) fn is_response(self) -> bool {
        self.word(1) & 0x8000 != 0
    }

    /// Returns the operation, from 0 to 15.
    pub(super) fn opcode(self) -> u8 {
        (self.word(1) >> 11) as u8 & 0x0f
    }

    /// Returns the number of entries in each section: question, answer,
    /// authority, additional.
    pub(super) fn counts(self) -> [u16; 4] {
        [2, 3, 4, 5].map(|at| self.word(at))
    }

    /// Returns what a response takes over.
    pub(super) fn head(self) -> Head {
        let opcode = self.opcode();
        Head { id: self.word(0), opcode, rd: opcode == Head::QUERY && self.word(1) & 0x0100 != 0 }
    }

    /// Returns a word, of which there are six.
    fn word(self, at: usize) -> u16 {
        u16::from_be_bytes([self.octets[2 * at], self.octets[2 * at + 1]])
    }
}

//----------- Head -----------------------------------------------------------

/// What the header of a response takes over from the header it answers.
///
/// CD is not among it: an authoritative server clears it (RFC 4035 section
/// 3.1.6). Neither are AD, RA and Z, which are always clear.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// The message ID.
    pub id: u16,

    /// The operation, from 0 to 15.
    pub opcode: u8,

    /// Recursion desired. Always false for operations other than QUERY,
    /// where the bit has no meaning that we know of.
    pub rd: bool,
}

impl Head {
    /// The only operation that is served.
    pub const QUERY: u8 = 0;

    /// Returns the flags of the response, without AA, TC and RCODE.
    pub(super) fn response_flags(self) -> u16 {
        0x8000 | u16::from(self.opcode) << 11 | u16::from(self.rd) << 8
    }
}

//----------- Rcode ----------------------------------------------------------

/// A response code, extended ones included (RFC 6895 section 2.3).
///
/// The header has room for four bits, OPT for eight more: a code above 15
/// can be sent only where the response has an OPT record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rcode(pub u16);

#[allow(missing_docs)]
impl Rcode {
    pub const NOERROR: Rcode = Rcode(0);
    pub const FORMERR: Rcode = Rcode(1);
    pub const SERVFAIL: Rcode = Rcode(2);
    pub const NXDOMAIN: Rcode = Rcode(3);
    pub const NOTIMP: Rcode = Rcode(4);
    pub const REFUSED: Rcode = Rcode(5);
    pub const YXDOMAIN: Rcode = Rcode(6);
    pub const NOTAUTH: Rcode = Rcode(9);
    pub const BADVERS: Rcode = Rcode(16);
    pub const BADCOOKIE: Rcode = Rcode(23);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOERROR => f.write_str("NOERROR"),
            Self::FORMERR => f.write_str("FORMERR"),
            Self::SERVFAIL => f.write_str("SERVFAIL"),
            Self::NXDOMAIN => f.write_str("NXDOMAIN"),
            Self::NOTIMP => f.write_str("NOTIMP"),
            Self::REFUSED => f.write_str("REFUSED"),
            Self::YXDOMAIN => f.write_str("YXDOMAIN"),
            Self::NOTAUTH => f.write_str("NOTAUTH"),
            Self::BADVERS => f.write_str("BADVERS"),
            Self::BADCOOKIE => f.write_str("BADCOOKIE"),
            Rcode(code) => write!(f, "RCODE{code}"),
        }
    }
}
