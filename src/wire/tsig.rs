//! TSIG records (RFC 8945), as far as a server without keys needs them.
//!
//! Nothing is verified: there is no key that a message could be signed with.
//! A record that can be read is answered by one that says so, made of it; one
//! that cannot makes a format error (RFC 8945 section 5.2).

use super::header::HEADER_LEN;
use super::rdata::name_len;
use super::rtype::Rtype;

/// What is to be read of a TSIG record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tsig<'a> {
    /// The name of the key, as it came.
    owner: &'a [u8],

    /// The name of the algorithm, the time of signing, and how far clocks may
    /// be apart.
    signed: &'a [u8],

    /// The ID that the message had first.
    original_id: [u8; 2],
}

impl<'a> Tsig<'a> {
    /// The class, which is ANY, and the TTL, which is 0 (RFC 8945 section 4.2).
    const CLASS_AND_TTL: [u8; 6] = [0, 255, 0, 0, 0, 0];

    /// No MAC, and behind the ID: the error BADKEY (RFC 8945 section 3), and
    /// no other data.
    const NO_MAC: [u8; 2] = [0, 0];
    const BADKEY: [u8; 4] = [0, 17, 0, 0];

    /// Reads a record; returns nothing if it is malformed.
    ///
    /// Where the owner is compressed it must point into the question, which
    /// ends at `question_end` and stands in the response too.
    pub(super) fn read(record: &'a [u8], owner_len: usize, question_end: usize) -> Option<Self> {
        let (owner, record) = record.split_at_checked(owner_len)?;
        let is_plain = name_len(owner) == Some(owner_len);
        if !is_plain {
            let target = u16::from_be_bytes(*owner.last_chunk()?) & 0x3fff;
            (HEADER_LEN..question_end).contains(&target.into()).then_some(())?;
        }
        let rdata = record.strip_prefix(&Rtype::TSIG.0.to_be_bytes())?;
        let rdata = rdata.strip_prefix(&Self::CLASS_AND_TTL)?.get(2..)?;
        let (signed, rest) = rdata.split_at_checked(name_len(rdata)? + 8)?;
        let (mac_len, rest) = rest.split_first_chunk()?;
        let (original_id, rest) =
            rest.get(u16::from_be_bytes(*mac_len).into()..)?.split_first_chunk()?;
        // The error, which means nothing in a query.
        let (other_len, other) = rest.get(2..)?.split_first_chunk()?;
        let is_whole = other.len() == usize::from(u16::from_be_bytes(*other_len));
        is_whole.then_some(Tsig { owner, signed, original_id: *original_id })
    }

    /// Returns the length of the record of the response, in octets: it is not
    /// longer than the one it answers.
    pub fn reply_len(&self) -> usize {
        self.owner.len() + 10 + self.signed.len() + 2 + 2 + 4
    }

    /// Adds the record that says that nobody here has the key, unsigned (RFC
    /// 8945 section 5.3.2), to a response of `len` octets; returns its new
    /// length. There must be room for it.
    pub fn append(&self, response: &mut [u8], len: usize) -> usize {
        let rdata_len = (self.signed.len() + 8) as u16;
        let parts = [
            self.owner,
            &Rtype::TSIG.0.to_be_bytes(),
            &Self::CLASS_AND_TTL,
            &rdata_len.to_be_bytes(),
            self.signed,
            &Self::NO_MAC,
            &self.original_id,
            &Self::BADKEY,
        ];
        let mut end = len;
        for part in parts {
            response[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        // The number of additional records; beside this one there is OPT.
        response[HEADER_LEN - 1] += 1;
        end
    }
}
