//! Responses into a caller's buffer.

use std::fmt;

use super::compress::Compressor;
use super::edns::EdnsReply;
use super::header::{HEADER_LEN, Head, Rcode};
use super::name::Name;
use super::rdata::{NameLayout, name_len};
use super::rtype::Rtype;

//----------- ResponseWriter -------------------------------------------------

/// Writes one response, from its header to its OPT record.
///
/// ```text
/// new: header, question | rrset: answer, authority, additional | finish: OPT, header
/// ```
///
/// Room for the OPT record is set aside first, so that it always fits. Names
/// are compressed against the question and against all names before them,
/// without regard to letter case, in owners and where [RFC 3597 section
/// 4](https://www.rfc-editor.org/rfc/rfc3597#section-4) lets RDATA have it.
/// Nothing is allocated. What to leave out when something does not fit, and
/// when to say so with TC, is for the caller to decide.
pub struct ResponseWriter<'a> {
    /// As many octets as the response may have.
    buf: &'a mut [u8],

    /// What comes before the octets set aside for the OPT record.
    room: usize,

    /// The octets written.
    len: usize,

    /// The number of entries in each section.
    counts: [u16; 4],

    /// The section of the last record.
    section: Section,

    /// The names that later ones can point to; none as long as there is no
    /// record.
    names: Option<Compressor>,

    /// How much of the end of the question's name is among them, in octets.
    known: usize,

    /// Where pointers are noted that depend on how long the question is.
    pointers: Option<&'a mut Vec<u16>>,

    head: Head,
    edns: Option<&'a EdnsReply<'a>>,
}

impl<'a> ResponseWriter<'a> {
    /// Begins a response of at most `limit` octets.
    ///
    /// The question is echoed octet for octet; it is name, type and class.
    /// A limit of 512 has room for header, any question and any OPT record
    /// without an identity (NSID): 350 octets at most. Neither the length of the
    /// buffer nor that of a message, 65,535 octets, is exceeded, whatever the
    /// limit.
    pub fn new(
        buf: &'a mut [u8],
        limit: usize,
        head: Head,
        question: Option<&[u8]>,
        edns: Option<&'a EdnsReply<'a>>,
    ) -> Result<Self, Full> {
        let limit = limit.min(buf.len()).min(usize::from(u16::MAX));
        let opt_len = edns.map_or(0, EdnsReply::wire_len);
        let mut writer = ResponseWriter {
            buf: &mut buf[..limit],
            room: limit.checked_sub(opt_len).ok_or(Full)?,
            // The header is written last.
            len: HEADER_LEN,
            counts: [0; 4],
            section: Section::Answer,
            names: None,
            known: Name::MAX_LEN,
            pointers: None,
            head,
            edns,
        };
        if writer.room < HEADER_LEN {
            return Err(Full);
        }
        if let Some(question) = question {
            writer.question(question)?;
        }
        Ok(writer)
    }

    /// Has names compressed against the end of the question's name alone, of
    /// so many octets: it begins with a label, or is longer than the name.
    ///
    /// To be said before the first record. So an answer that many questions
    /// get is the same behind each of them, but for where pointers point.
    pub fn share(&mut self, known: usize) {
        debug_assert!(self.names.is_none(), "a record is written already");
        self.known = known;
    }

    /// Has the places in the message noted where pointers are, but for those of
    /// owners that are the question's name: these point elsewhere where the
    /// question is longer.
    pub fn note_pointers(&mut self, pointers: &'a mut Vec<u16>) {
        self.pointers = Some(pointers);
    }

    /// Writes an RRset, or nothing of it where it does not fit.
    ///
    /// The owner and the RDATA are in uncompressed wire format. RDATA that is
    /// not as its type says is written as it is.
    ///
    /// # Panics
    ///
    /// Panics where a section is returned to, since sections are written in
    /// order, and where the owner is no name.
    pub fn rrset<'r>(
        &mut self,
        section: Section,
        rrset: RrsetHead<'_>,
        rdatas: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<(), Full> {
        assert!(section >= self.section, "sections are written in order");
        let mark = self.mark();
        self.section = section;
        let layout = NameLayout::of(rrset.rtype);
        for rdata in rdatas {
            if let Err(full) = self.record(&rrset, layout, rdata) {
                self.rollback(mark);
                return Err(full);
            }
            self.counts[section as usize] += 1;
        }
        Ok(())
    }

    /// Writes records that were written behind another question before, the
    /// first ones of a response; `counts` says how many each section has.
    ///
    /// `pointers` says where in the octets the pointers are that were noted, in
    /// ascending order, and `shift` how much longer this question is.
    pub fn prebuilt(
        &mut self,
        octets: &[u8],
        counts: [u16; 3],
        (pointers, shift): (&[u16], u16),
    ) -> Result<(), Full> {
        debug_assert_eq!(self.counts[1..], [0; 3], "names in it point to where they were written");
        let start = self.len;
        self.octets(octets)?;
        move_pointers(&mut self.buf[start..self.len], pointers, shift);
        self.counts[1..].copy_from_slice(&counts);
        self.section = Section::Additional;
        Ok(())
    }

    /// Changes the TTLs of all records that were written: `change` gets a
    /// record's owner, type and TTL and returns the TTL that it is to have.
    pub fn change_ttls(&mut self, mut change: impl FnMut(WrittenName<'_>, Rtype, u32) -> u32) {
        let mut at = HEADER_LEN + self.question_name().len() + 4;
        while at < self.len {
            let owner = WrittenName { message: &self.buf[..self.len], at };
            let fixed = owner.end();
            let Some(octets) = self.buf[fixed..self.len].first_chunk::<10>() else { break };
            let [t0, t1, _, _, a, b, c, d, l0, l1] = *octets;
            let rtype = Rtype(u16::from_be_bytes([t0, t1]));
            let ttl = change(owner, rtype, u32::from_be_bytes([a, b, c, d]));
            self.buf[fixed + 4..fixed + 8].copy_from_slice(&ttl.to_be_bytes());
            at = fixed + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        }
    }

    /// Returns how many octets are written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Says whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many octets there is room for still.
    pub fn space(&self) -> usize {
        self.room - self.len
    }

    /// Returns the number of entries in each section, the question's first.
    pub fn counts(&self) -> [u16; 4] {
        self.counts
    }

    /// Returns the state, to come back to with [`rollback`](Self::rollback).
    pub fn mark(&self) -> Mark {
        let names = self.names.as_ref().map(Compressor::len);
        Mark { len: self.len, counts: self.counts, section: self.section, names }
    }

    /// Takes back what was written since the mark was taken.
    ///
    /// A mark taken after a mark that was gone back to is void.
    pub fn rollback(&mut self, mark: Mark) {
        debug_assert!(mark.len <= self.len, "a void mark");
        self.len = mark.len;
        self.counts = mark.counts;
        self.section = mark.section;
        match (&mut self.names, mark.names) {
            (Some(names), Some(len)) => names.forget(len),
            (names, _) => *names = None,
        }
    }

    /// Completes the response; returns its length, in octets.
    ///
    /// A response code above 15 can be sent only where the response has an OPT
    /// record; otherwise SERVFAIL goes out in its place.
    // Where it is a call, the writer is put together in memory for it, which
    // takes as long as the rest.
    #[inline(always)]
    pub fn finish(mut self, ending: Ending) -> usize {
        let rcode = match self.edns {
            None if ending.rcode.0 > 0x0f => Rcode::SERVFAIL,
            _ => ending.rcode,
        };
        if let Some(edns) = self.edns {
            // `new` has set these octets aside; padding takes what is left.
            let opt_len = self.buf.len() - self.room;
            let end = edns.padded(self.len + opt_len, self.buf.len());
            edns.write((rcode.0 >> 4) as u8, &mut self.buf[self.len..end]);
            self.len = end;
            self.counts[Section::Additional as usize] += 1;
        }
        let flags = self.head.response_flags()
            | u16::from(ending.authoritative) << 10
            | u16::from(ending.truncated) << 9
            | rcode.0 & 0x0f;
        let [question, answer, authority, additional] = self.counts;
        let words = [self.head.id, flags, question, answer, authority, additional];
        if let Some(header) = self.buf.first_chunk_mut::<HEADER_LEN>() {
            let (octets, _) = header.as_chunks_mut::<2>();
            octets.iter_mut().zip(words).for_each(|(octets, word)| *octets = word.to_be_bytes());
        }
        self.len
    }

    fn question(&mut self, question: &[u8]) -> Result<(), Full> {
        self.octets(question)?;
        self.counts[0] = 1;
        Ok(())
    }

    /// Returns the name that was asked for; it is empty where there is none.
    fn question_name(&self) -> &[u8] {
        let octets = &self.buf[HEADER_LEN..self.len];
        let len = if self.counts[0] == 0 { 0 } else { name_len(octets).unwrap_or(0) };
        &octets[..len]
    }

    fn record(
        &mut self,
        rrset: &RrsetHead<'_>,
        layout: NameLayout,
        rdata: &[u8],
    ) -> Result<(), Full> {
        match rrset.owner {
            Some(owner) => self.name(owner)?,
            // The root is shorter than a pointer to it.
            None if self.question_name().len() <= 1 => self.octets(&[0])?,
            None => self.octets(&(0xc000 | HEADER_LEN as u16).to_be_bytes())?,
        }
        let mut fixed = [0; 10];
        fixed[..2].copy_from_slice(&rrset.rtype.0.to_be_bytes());
        fixed[2..4].copy_from_slice(&rrset.class.to_be_bytes());
        fixed[4..8].copy_from_slice(&rrset.ttl.to_be_bytes());
        self.octets(&fixed)?;
        let start = self.len;
        self.rdata(layout, rdata)?;
        // A message is of at most 65,535 octets, and so is what is in it.
        let rdata_len = (self.len - start) as u16;
        self.buf[start - 2..start].copy_from_slice(&rdata_len.to_be_bytes());
        Ok(())
    }

    fn rdata(&mut self, layout: NameLayout, rdata: &[u8]) -> Result<(), Full> {
        let (before, mut rest) = rdata.split_at(layout.before.min(rdata.len()));
        self.octets(before)?;
        for _ in 0..layout.names {
            // RDATA in the form of RFC 3597 section 5 may hold anything.
            let Some(len) = name_len(rest) else { break };
            let (name, after) = rest.split_at(len);
            self.name(name)?;
            rest = after;
        }
        self.octets(rest)
    }

    /// Writes a valid name, compressed as far as it goes.
    fn name(&mut self, name: &[u8]) -> Result<(), Full> {
        debug_assert_eq!(name_len(name), Some(name.len()));
        let start = self.len;
        let mut names = self.names.take().unwrap_or_else(|| self.question_names());
        let found = names.find(&self.buf[..start], name);
        let (new, known) = name.split_at(found.new_len());
        let written = self.octets(new).and_then(|()| match names.target(&found) {
            Some(target) => {
                let at = self.len as u16;
                self.pointers.iter_mut().for_each(|pointers| pointers.push(at));
                self.octets(&(0xc000 | target).to_be_bytes())
            }
            None => self.octets(known),
        });
        if written.is_ok() {
            names.remember(&found, start);
        }
        self.names = Some(names);
        written
    }

    /// Returns what is known before the first record: the end of the question's
    /// name.
    fn question_names(&self) -> Compressor {
        let mut names = Compressor::new();
        let name = self.question_name();
        let skipped = name.len().saturating_sub(self.known);
        if skipped < name.len() {
            let found = names.find(&[], &name[skipped..]);
            names.remember(&found, HEADER_LEN + skipped);
        }
        names
    }

    fn octets(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.len + octets.len();
        if end > self.room {
            return Err(Full);
        }
        self.buf[self.len..end].copy_from_slice(octets);
        self.len = end;
        Ok(())
    }
}

/// Moves what pointers in records point to, of which `pointers` says where they
/// are, in ascending order. Those behind the records' end are passed over.
pub fn move_pointers(records: &mut [u8], pointers: &[u16], shift: u16) {
    if shift == 0 {
        return;
    }
    for at in pointers.iter().map(|at| usize::from(*at)) {
        let Some(pointer) = records.get_mut(at..at + 2) else { break };
        let moved = u16::from_be_bytes([pointer[0], pointer[1]]).wrapping_add(shift);
        pointer.copy_from_slice(&moved.to_be_bytes());
    }
}

//----------- RrsetHead ------------------------------------------------------

/// What the records of an RRset have in common.
#[derive(Clone, Copy, Debug)]
pub struct RrsetHead<'a> {
    /// The owner in uncompressed wire format; its letter case goes out where
    /// the name is not known already. None is the question's name.
    pub owner: Option<&'a [u8]>,

    /// The type.
    pub rtype: Rtype,

    /// The class.
    pub class: u16,

    /// The TTL, in seconds.
    pub ttl: u32,
}

/// A section of a response that has records.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Section {
    /// What was asked for.
    Answer = 1,

    /// Who has it: NS and SOA records.
    Authority = 2,

    /// What may be asked for next: addresses.
    Additional = 3,
}

/// How a response ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The response code.
    pub rcode: Rcode,

    /// Whether the answer is authoritative (AA).
    pub authoritative: bool,

    /// Whether something that was needed did not fit (TC).
    pub truncated: bool,
}

/// A state of a [`ResponseWriter`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    counts: [u16; 4],
    section: Section,
    names: Option<usize>,
}

//----------- WrittenName ----------------------------------------------------

/// A name in a message that was written here.
#[derive(Clone, Copy, Debug)]
pub struct WrittenName<'m> {
    message: &'m [u8],
    at: usize,
}

impl WrittenName<'_> {
    /// Reads it into a buffer; returns it in wire format and lower case.
    pub fn read<'o>(&self, out: &'o mut [u8; Name::MAX_LEN]) -> &'o [u8] {
        let (mut at, mut len) = (self.at, 0);
        // Pointers that we write point backwards, and names have a limit.
        while let [first, rest @ ..] = &self.message[at..] {
            if first & 0xc0 == 0xc0 {
                at = usize::from(first & 0x3f) << 8 | usize::from(rest[0]);
                continue;
            }
            let label = &self.message[at..=at + usize::from(*first)];
            out[len..len + label.len()].copy_from_slice(label);
            len += label.len();
            at += label.len();
            if *first == 0 {
                break;
            }
        }
        out[..len].make_ascii_lowercase();
        &out[..len]
    }

    /// Returns where in the message it begins to be spelled out, if it begins
    /// with a pointer, or is.
    pub fn place(&self) -> usize {
        match self.message[self.at] {
            high @ 0xc0.. => usize::from(high & 0x3f) << 8 | usize::from(self.message[self.at + 1]),
            _ => self.at,
        }
    }

    /// Returns where in the message it ends.
    fn end(&self) -> usize {
        let mut at = self.at;
        loop {
            match self.message[at] {
                0 => return at + 1,
                0xc0.. => return at + 2,
                len => at += 1 + usize::from(len),
            }
        }
    }
}

//============ Errors ========================================================

/// Something does not fit into the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response is full")
    }
}

impl std::error::Error for Full {}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::super::edns::EdnsQuery;
    use super::*;

    const HEAD: Head = Head { id: 0x1234, opcode: 0, rd: true };
    const QUESTION: &[u8] = b"\x04_sip\x07ExamplE\x03com\0\0\x21\0\x01";
    const OWNER: &[u8] = b"\x04_sip\x07example\x03com\0";
    const NOERROR: Ending = Ending { rcode: Rcode::NOERROR, authoritative: true, truncated: false };

    fn head(owner: &[u8], rtype: Rtype) -> RrsetHead<'_> {
        RrsetHead { owner: Some(owner), rtype, class: 1, ttl: 60 }
    }

    /// Writes a response with `write`; returns what follows the question.
    fn records(write: impl FnOnce(&mut ResponseWriter<'_>)) -> Vec<u8> {
        let mut buf = [0xee; 65535];
        let mut writer = ResponseWriter::new(&mut buf, 65535, HEAD, Some(QUESTION), None).unwrap();
        write(&mut writer);
        let len = writer.finish(NOERROR);
        buf[HEADER_LEN + QUESTION.len()..len].to_vec()
    }

    #[test]
    fn the_header_copies_what_it_should_and_the_question_comes_back() {
        let mut buf = [0xee; 512];
        let writer = ResponseWriter::new(&mut buf, 512, HEAD, Some(QUESTION), None).unwrap();
        let outcome = Ending { rcode: Rcode::NXDOMAIN, authoritative: true, truncated: true };
        let len = writer.finish(outcome);
        assert_eq!(buf[..12], *b"\x12\x34\x87\x03\0\x01\0\0\0\0\0\0");
        assert_eq!(&buf[12..len], QUESTION);
    }

    #[test]
    fn a_reply_without_question_is_a_header() {
        let mut buf = [0xee; 12];
        let head = Head { id: 1, opcode: 15, rd: false };
        let writer = ResponseWriter::new(&mut buf, 12, head, None, None).unwrap();
        let rcode = Rcode::NOTIMP;
        assert_eq!(writer.finish(Ending { rcode, authoritative: false, truncated: false }), 12);
        assert_eq!(buf, *b"\0\x01\xf8\x04\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn owners_point_to_the_question_whatever_their_case() {
        let written = records(|writer| {
            let rdata: [&[u8]; 1] = [b"\0\x0a\0\x64\x13\xc4\x04sbc1\x07example\x03com\0"];
            writer.rrset(Section::Answer, head(OWNER, Rtype::SRV), rdata).unwrap();
        });
        // The target of an SRV record is never compressed (RFC 2782).
        assert_eq!(
            written,
            b"\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x18\0\x0a\0\x64\x13\xc4\x04sbc1\x07example\x03com\0"
        );
    }

    #[test]
    fn names_in_rdata_of_old_types_are_compressed_and_pointed_to() {
        let written = records(|writer| {
            let host: [&[u8]; 1] = [b"\x03ns1\x07EXAMPLE\x03com\0"];
            let owner = b"\x07example\x03com\0";
            writer.rrset(Section::Authority, head(owner, Rtype::NS), host).unwrap();
            let address: [&[u8]; 1] = [b"\xc0\0\x02\x35"];
            writer.rrset(Section::Additional, head(host[0], Rtype::A), address).unwrap();
        });
        // The question ends at 34, the NS record's RDATA begins at 46.
        assert_eq!(
            written,
            b"\xc0\x11\0\x02\0\x01\0\0\0\x3c\0\x06\x03ns1\xc0\x11\
              \xc0\x2e\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x35"
        );
    }

    #[test]
    fn names_in_rdata_of_later_types_are_left_as_they_are() {
        let name = &OWNER[5..];
        for rtype in [Rtype::SRV, Rtype::NAPTR, Rtype::DNAME, Rtype::RRSIG, Rtype::NSEC] {
            let written = records(|writer| {
                writer.rrset(Section::Answer, head(OWNER, rtype), [name]).unwrap();
            });
            assert!(written.ends_with(name), "{rtype}");
        }
    }

    #[test]
    fn rdata_that_is_not_as_its_type_says_is_written_as_it_is() {
        for rdata in [&b""[..], b"\x05ab", b"\xc0\x0c", b"\x01", b"\x01a", b"\x40"] {
            for rtype in [Rtype::NS, Rtype::SOA, Rtype::MX] {
                let written = records(|writer| {
                    writer.rrset(Section::Answer, head(b"\0", rtype), [rdata]).unwrap();
                });
                assert_eq!(written[11..], *rdata);
            }
        }
    }

    #[test]
    fn an_rrset_that_does_not_fit_leaves_no_trace() {
        let one: [&[u8]; 1] = [b"\xc0\0\x02\x01"];
        let new = b"\x03new\x07example\x03com\0";
        let expected = records(|writer| {
            writer.rrset(Section::Answer, head(OWNER, Rtype::A), one).unwrap();
            writer.rrset(Section::Additional, head(new, Rtype::A), one).unwrap();
        });
        let written = records(|writer| {
            writer.rrset(Section::Answer, head(OWNER, Rtype::A), one).unwrap();
            let large = std::iter::repeat_n(&[7; 1000][..], 66);
            let set = writer.rrset(Section::Authority, head(new, Rtype::TXT), large);
            assert_eq!(set, Err(Full));
            writer.rrset(Section::Additional, head(new, Rtype::A), one).unwrap();
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn a_rollback_forgets_records_names_and_section() {
        let one: [&[u8]; 1] = [b"\xc0\0\x02\x01"];
        let new = b"\x03new\x07example\x03com\0";
        let written = records(|writer| {
            let mark = writer.mark();
            writer.rrset(Section::Additional, head(new, Rtype::A), one).unwrap();
            writer.rollback(mark);
            writer.rrset(Section::Answer, head(new, Rtype::A), one).unwrap();
        });
        assert_eq!(written[..6], *b"\x03new\xc0\x11");
    }

    #[test]
    fn opt_always_fits_behind_records_that_fill_the_limit() {
        let mut edns = EdnsQuery::new(1232, 0);
        edns.read_options(b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02").unwrap();
        let client_subnet = edns.client_subnet.map(|subnet| (subnet, 20));
        let nsid = Some(&b"ns1"[..]);
        let edns = EdnsReply { nsid, client_subnet, ..EdnsReply::new(&edns, 1232) };
        let mut buf = [0xee; 200];
        let mut writer =
            ResponseWriter::new(&mut buf, 100, HEAD, Some(QUESTION), Some(&edns)).unwrap();
        let room = 100 - 12 - QUESTION.len() - edns.wire_len() - 12;
        let rdata = [7; 100];
        let rrset = head(OWNER, Rtype::TXT);
        assert_eq!(writer.rrset(Section::Answer, rrset, [&rdata[..=room]]), Err(Full));
        assert_eq!(writer.rrset(Section::Answer, rrset, [&rdata[..room]]), Ok(()));
        assert_eq!(writer.finish(NOERROR), 100);
        assert!(buf[..100].ends_with(b"\0\x08\0\x07\0\x01\x18\x14\xc0\0\x02"));
        assert_eq!(buf[10..12], [0, 1]);
        assert!(buf[100..].iter().all(|&octet| octet == 0xee));
    }

    #[test]
    fn what_cannot_hold_header_question_and_opt_is_full_at_once() {
        let edns = EdnsReply { payload: 1232, ..EdnsReply::default() };
        let needed = 12 + QUESTION.len() + 11;
        for limit in 0..=needed {
            let mut buf = [0; 512];
            let writer = ResponseWriter::new(&mut buf, limit, HEAD, Some(QUESTION), Some(&edns));
            assert_eq!(writer.is_ok(), limit == needed, "{limit}");
        }
    }

    #[test]
    fn a_code_above_15_is_split_or_becomes_servfail_without_opt() {
        let edns = EdnsReply { payload: 1232, ..EdnsReply::default() };
        let outcome = Ending { rcode: Rcode::BADVERS, authoritative: false, truncated: false };
        let mut buf = [0; 512];
        let writer = ResponseWriter::new(&mut buf, 512, HEAD, None, Some(&edns)).unwrap();
        assert_eq!(writer.finish(outcome), 23);
        assert_eq!((buf[3], buf[17]), (0, 1));
        let writer = ResponseWriter::new(&mut buf, 512, HEAD, None, None).unwrap();
        writer.finish(outcome);
        assert_eq!(buf[3], 2);
    }

    #[test]
    #[should_panic = "sections are written in order"]
    fn sections_are_not_returned_to() {
        records(|writer| {
            let rrset = head(OWNER, Rtype::A);
            writer.rrset(Section::Additional, rrset, [&b"abcd"[..]]).unwrap();
            let _ = writer.rrset(Section::Answer, rrset, [&b"abcd"[..]]);
        });
    }
}
