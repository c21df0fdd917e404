//! From the octets of a message to a query, or to why it is none.
//!
//! The cost is linear in the length of the message: the name asked for is
//! walked once, records are stepped over, and no compression pointer is ever
//! followed.

use super::edns::EdnsQuery;
use super::header::{HEADER_LEN, Head, Header, Rcode};
use super::lower::LowerName;
use super::name::Name;
use super::reason::Reason;
use super::rtype::Rtype;
use super::tsig::Tsig;

/// Parses a message that arrived.
///
/// Every sequence of octets has an outcome: a query that can be looked up, or
/// a refusal that says whether and how to answer. `name` takes the name asked
/// for, and is lent to the question: too large to be handed on by value.
pub fn parse<'a>(message: &'a [u8], name: &'a mut LowerName) -> Parsed<'a> {
    let Some(header) = Header::read(message) else {
        return Parsed::Refused(Refusal::silent(Reason::Short));
    };
    if header.is_response() {
        return Parsed::Refused(Refusal::silent(Reason::Response));
    }
    let mut walk = Walk::new(message, header);
    let outcome = walk.run(name);
    let head = header.head();
    let Walk { question, edns, tsig, .. } = walk;
    match (outcome, question, edns) {
        (Ok(()), Some(question), edns) => Parsed::Query(Query { head, question, edns }),
        (Ok(()), None, Some(edns)) => Parsed::CookieQuery(CookieQuery { head, edns }),
        // Unreachable: without its one question a walk ends well on a cookie only.
        (Ok(()), None, None) => {
            Parsed::Refused(Refusal::new(Reason::QuestionCount, head, None, None, None))
        }
        (Err(reason), question, edns) => {
            Parsed::Refused(Refusal::new(reason, head, question, edns, tsig))
        }
    }
}

//----------- Parsed ---------------------------------------------------------

/// What a message turned out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<'a> {
    /// A well-formed message of operation QUERY.
    Query(Query<'a>),

    /// One without a question, which asks for a cookie alone.
    CookieQuery(CookieQuery<'a>),

    /// Anything else.
    Refused(Refusal<'a>),
}

impl<'a> Parsed<'a> {
    /// Returns the OPT record, where one was found.
    pub fn edns(&self) -> Option<&EdnsQuery<'a>> {
        match self {
            Parsed::Query(query) => query.edns.as_ref(),
            Parsed::CookieQuery(query) => Some(&query.edns),
            Parsed::Refused(Refusal { reply: Reply::Error(error), .. }) => error.edns.as_ref(),
            Parsed::Refused(Refusal { reply: Reply::Drop, .. }) => None,
        }
    }

    /// Refuses a query that is well-formed in itself, but not over the
    /// transport it came by.
    pub fn refuse(self, reason: Reason) -> Self {
        let refusal = match self {
            Parsed::Query(Query { head, question, edns, .. }) => {
                Refusal::new(reason, head, Some(question), edns, None)
            }
            Parsed::CookieQuery(CookieQuery { head, edns }) => {
                Refusal::new(reason, head, None, Some(edns), None)
            }
            Parsed::Refused(refusal) => refusal,
        };
        Parsed::Refused(refusal)
    }
}

//----------- Query ----------------------------------------------------------

/// A well-formed query, which borrows from its message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query<'a> {
    /// What the response's header takes over.
    pub head: Head,

    /// The question.
    pub question: Question<'a>,

    /// The OPT record, where there is one; its version is 0.
    pub edns: Option<EdnsQuery<'a>>,
}

//----------- CookieQuery ----------------------------------------------------

/// A query without a question, by which a client asks for a server cookie, or
/// whether the one it has is valid (RFC 7873 section 5.4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CookieQuery<'a> {
    /// What the response's header takes over.
    pub head: Head,

    /// The OPT record, which has a cookie; its version is 0.
    pub edns: EdnsQuery<'a>,
}

//----------- Question -------------------------------------------------------

/// The question of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question<'a> {
    /// The octets as they came, with their letter case: name, type and class.
    pub wire: &'a [u8],

    /// The name asked for, in lower case.
    pub name: &'a LowerName,

    /// The type asked for, which may be any number.
    pub qtype: Rtype,

    /// The class asked for, which may be any number.
    pub qclass: u16,
}

impl<'a> Question<'a> {
    /// Reads the question that the octets begin with, and its name into `name`.
    fn read(octets: &'a [u8], name: &'a mut LowerName) -> Result<Self, Reason> {
        name.fill(octets)?;
        let len = name.as_wire().len();
        let &[type_0, type_1, class_0, class_1] =
            octets[len..].first_chunk().ok_or(Reason::Truncated)?;
        Ok(Question {
            wire: &octets[..len + 4],
            name,
            qtype: Rtype(u16::from_be_bytes([type_0, type_1])),
            qclass: u16::from_be_bytes([class_0, class_1]),
        })
    }

    /// Returns the name as it came, with its letter case.
    pub fn name_as_sent(&self) -> &'a [u8] {
        &self.wire[..self.wire.len() - 4]
    }
}

//----------- Refusal --------------------------------------------------------

/// A message that is no query, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal<'a> {
    /// Why.
    pub reason: Reason,

    /// How to answer.
    pub reply: Reply<'a>,
}

impl<'a> Refusal<'a> {
    fn new(
        reason: Reason,
        head: Head,
        question: Option<Question<'a>>,
        edns: Option<EdnsQuery<'a>>,
        tsig: Option<Tsig<'a>>,
    ) -> Self {
        let tsig = tsig.filter(|_| reason == Reason::TsigKey);
        let reply = match reason.rcode() {
            Some(rcode) => Reply::Error(ErrorReply { rcode, head, question, edns, tsig }),
            None => Reply::Drop,
        };
        Refusal { reason, reply }
    }

    fn silent(reason: Reason) -> Self {
        Refusal { reason, reply: Reply::Drop }
    }
}

/// How to answer a message that is no query.
#[derive(Clone, Debug, Eq, PartialEq)]
// Some 500 octets on the stack are what parsing without allocation means.
#[allow(clippy::large_enum_variant)]
pub enum Reply<'a> {
    /// Not at all.
    Drop,

    /// With an error.
    Error(ErrorReply<'a>),
}

/// What an error response is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorReply<'a> {
    /// The code to answer with.
    pub rcode: Rcode,

    /// What the response's header takes over.
    pub head: Head,

    /// The question to echo, where there is exactly one and it can be read.
    pub question: Option<Question<'a>>,

    /// The OPT record, where one was found: then the response has one too
    /// (RFC 6891 section 6.1.1). Its options go as far as they are well-formed.
    pub edns: Option<EdnsQuery<'a>>,

    /// The TSIG record, where its key is what is wrong.
    pub tsig: Option<Tsig<'a>>,
}

//----------- Walk -----------------------------------------------------------

/// A walk over a message, with what it has found so far.
struct Walk<'a> {
    message: &'a [u8],
    header: Header<'a>,
    at: usize,

    /// Whether the authority section holds nothing but SOA records.
    authority_is_soa: bool,

    question: Option<Question<'a>>,
    edns: Option<EdnsQuery<'a>>,
    tsig: Option<Tsig<'a>>,
}

impl<'a> Walk<'a> {
    fn new(message: &'a [u8], header: Header<'a>) -> Self {
        Walk {
            message,
            header,
            at: HEADER_LEN,
            authority_is_soa: true,
            question: None,
            edns: None,
            tsig: None,
        }
    }

    /// Walks the whole message, so that the reply to a refused one can have
    /// its question and OPT record. `name` is room for the name of the one
    /// question.
    fn run(&mut self, name: &'a mut LowerName) -> Result<(), Reason> {
        let well_formed = self.questions(name).and_then(|()| self.records());
        // The sections of other operations may hold what they like.
        if self.header.opcode() != Head::QUERY {
            return Err(Reason::Opcode);
        }
        well_formed?;
        match self.edns {
            Some(edns) if edns.version != 0 => Err(Reason::EdnsVersion),
            _ => self.check_counts(),
        }?;
        // There are no keys here.
        if self.tsig.is_some() { Err(Reason::TsigKey) } else { Ok(()) }
    }

    fn questions(&mut self, name: &'a mut LowerName) -> Result<(), Reason> {
        let [count, ..] = self.header.counts();
        if count == 1 {
            let question = Question::read(&self.message[self.at..], name)?;
            self.at += question.wire.len();
            self.question = Some(question);
            return Ok(());
        }
        // None of several is echoed: which one would be a guess.
        for _ in 0..count {
            self.owner()?;
            self.take::<4>()?;
        }
        Ok(())
    }

    fn records(&mut self) -> Result<(), Reason> {
        let [_, answer, authority, additional] = self.header.counts();
        for _ in 0..answer {
            self.record()?;
        }
        for _ in 0..authority {
            self.authority_is_soa &= self.record()?.rtype == Rtype::SOA;
        }
        for left in (0..additional).rev() {
            self.additional(left)?;
        }
        if self.at < self.message.len() {
            return Err(Reason::Trailing);
        }
        Ok(())
    }

    /// Steps over an additional record with `left` more behind it.
    fn additional(&mut self, left: u16) -> Result<(), Reason> {
        let start = self.at;
        let record = self.record()?;
        match record.rtype {
            Rtype::OPT if self.edns.is_some() => Err(Reason::OptTwice),
            Rtype::OPT => {
                let edns = self.edns.insert(EdnsQuery::new(record.class, record.ttl));
                if self.message[start] != 0 {
                    return Err(Reason::OptOwner);
                }
                edns.read_options(record.rdata)
            }
            Rtype::TSIG if left > 0 => Err(Reason::TsigPlace),
            Rtype::TSIG => {
                let question_end = HEADER_LEN + self.question.as_ref().map_or(0, |q| q.wire.len());
                let octets = &self.message[start..self.at];
                let owner_len = octets.len() - record.rdata.len() - Record::FIXED_LEN;
                let tsig = Tsig::read(octets, owner_len, question_end);
                self.tsig = Some(tsig.ok_or(Reason::TsigForm)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks how many entries the sections of a query have.
    fn check_counts(&self) -> Result<(), Reason> {
        let [questions, answer, authority, _] = self.header.counts();
        // An IXFR query says with an SOA record what it has (RFC 1995 section 3).
        let authority_max = match self.question {
            Some(Question { qtype: Rtype::IXFR, .. }) if self.authority_is_soa => 1,
            _ => 0,
        };
        // The one use of a query without a question (RFC 7873 section 5.4).
        let has_cookie = self.edns.is_some_and(|edns| edns.cookie.is_some());
        if questions != 1 && !(questions == 0 && has_cookie) {
            return Err(Reason::QuestionCount);
        }
        if answer > 0 {
            return Err(Reason::AnswerSection);
        }
        if authority > authority_max {
            return Err(Reason::AuthoritySection);
        }
        Ok(())
    }

    /// Steps over a record.
    fn record(&mut self) -> Result<Record<'a>, Reason> {
        self.owner()?;
        let fixed = self.take::<{ Record::FIXED_LEN }>()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let rdata = &self.message[self.at..];
        let rdata = rdata.get(..usize::from(word(8))).ok_or(Reason::Truncated)?;
        self.at += rdata.len();
        Ok(Record {
            rtype: Rtype(word(0)),
            class: word(2),
            ttl: u32::from(word(4)) << 16 | u32::from(word(6)),
            rdata,
        })
    }

    /// Takes the next octets. What precedes them must have been there.
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Reason> {
        let octets = self.message[self.at..].first_chunk().ok_or(Reason::Truncated)?;
        self.at += N;
        Ok(octets)
    }

    /// Steps over the owner of a record.
    fn owner(&mut self) -> Result<(), Reason> {
        let start = self.at;
        loop {
            let len = *self.message.get(self.at).ok_or(Reason::Truncated)?;
            match len {
                0 => {
                    self.at += 1;
                    break;
                }
                1..=63 => self.at += 1 + usize::from(len),
                0xc0.. => {
                    let low = *self.message.get(self.at + 1).ok_or(Reason::Truncated)?;
                    let target = usize::from(len & 0x3f) << 8 | usize::from(low);
                    if !(HEADER_LEN..start).contains(&target) {
                        return Err(Reason::RecordName);
                    }
                    self.at += 2;
                    break;
                }
                _ => return Err(Reason::RecordName),
            }
        }
        match self.at - start {
            ..=Name::MAX_LEN => Ok(()),
            _ => Err(Reason::RecordName),
        }
    }
}

/// The parts of a record that matter here.
struct Record<'a> {
    rtype: Rtype,
    class: u16,
    ttl: u32,
    rdata: &'a [u8],
}

impl Record<'_> {
    /// The octets between owner and data: type, class, TTL and length.
    const FIXED_LEN: usize = 10;
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A.eXample, A, IN.
    const QUESTION: &[u8] = b"\x01A\x07eXample\0\0\x01\0\x01";
    const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";
    const SOA: &[u8] = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x02ab";
    const TSIG: &[u8] = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x18\x04hmac\0\0\0\x65\x01\x02\x03\
                          \x01\x2c\0\x02ab\x12\x34\0\0\0\0";
    const UNKNOWN: &[u8] = b"\x01x\xc0\x0c\xff\0\0\x01\0\0\0\0\0\x03abc";

    fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![0x12, 0x34];
        message.extend(flags.to_be_bytes());
        message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        message.extend(parts.concat());
        message
    }

    /// Parses with room for a name that is never taken back.
    fn parse(message: &[u8]) -> Parsed<'_> {
        super::parse(message, Box::leak(Box::default()))
    }

    fn query(message: &[u8]) -> Query<'_> {
        match parse(message) {
            Parsed::Query(query) => query,
            other => panic!("no query: {other:?}"),
        }
    }

    fn refusal(message: &[u8]) -> Refusal<'_> {
        match parse(message) {
            Parsed::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn error(message: &[u8], reason: Reason) -> ErrorReply<'_> {
        let refusal = refusal(message);
        assert_eq!(refusal.reason, reason);
        match refusal.reply {
            Reply::Error(error) => error,
            Reply::Drop => panic!("{reason:?} is not answered"),
        }
    }

    #[test]
    fn a_query_gives_its_question_as_sent_and_lowered() {
        let message = message(0x0100, [1, 0, 0, 0], &[QUESTION]);
        let query = query(&message);
        assert_eq!(query.head, Head { id: 0x1234, opcode: 0, rd: true });
        assert_eq!(query.question.wire, QUESTION);
        assert_eq!(query.question.name_as_sent(), b"\x01A\x07eXample\0");
        assert_eq!(query.question.name.as_wire(), b"\x01a\x07example\0");
        assert_eq!((query.question.qtype, query.question.qclass), (Rtype::A, 1));
        assert_eq!(query.edns, None);
    }

    #[test]
    fn a_query_may_have_opt_and_unknown_records() {
        let message = message(0, [1, 0, 0, 2], &[QUESTION, UNKNOWN, OPT]);
        let edns = query(&message).edns.unwrap();
        assert_eq!((edns.payload, edns.version, edns.dnssec_ok), (1232, 0, true));
    }

    #[test]
    fn rfc_8945_5_2_1_a_key_that_nobody_has_is_answered_by_its_name_and_a_bad_record_is_not() {
        let signed = message(0, [1, 0, 0, 3], &[QUESTION, UNKNOWN, OPT, TSIG]);
        let error = error(&signed, Reason::TsigKey);
        assert_eq!(error.rcode, Rcode::NOTAUTH);
        let (mut response, tsig) = ([0; 100], error.tsig.unwrap());
        let len = tsig.append(&mut response, 12);
        let expected = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x16\x04hmac\0\0\0\x65\x01\x02\x03\
                         \x01\x2c\0\0\x12\x34\0\x11\0\0";
        assert_eq!(response[12..len], expected[..]);
        assert_eq!((response[11], tsig.reply_len()), (1, expected.len()));
        for (at, octet) in [(8, 1), (12, 1), (14, 0x17), (15, 0x40), (30, 3), (38, 1)] {
            let mut tsig = TSIG.to_vec();
            tsig[at] = octet;
            let message = message(0, [1, 0, 0, 1], &[QUESTION, &tsig]);
            let reason = refusal(&message).reason;
            assert_ne!(reason, Reason::TsigKey, "{at}: {reason:?}");
        }
    }

    #[test]
    fn the_name_of_a_key_may_point_into_the_question_and_nowhere_else() {
        let keyed = |name: &[u8]| {
            message(0, [1, 0, 0, 2], &[QUESTION, UNKNOWN, name, &TSIG[5..]].map(|part| part))
        };
        assert!(error(&keyed(b"\x01k\xc0\x0c"), Reason::TsigKey).tsig.is_some());
        let unknown_at = 12 + QUESTION.len() as u8;
        error(&keyed(&[1, b'k', 0xc0, unknown_at]), Reason::TsigForm);
    }

    #[test]
    fn flags_that_mean_nothing_in_a_query_are_ignored() {
        // AA, TC, RA, Z, AD, CD and an RCODE.
        let message = message(0x06ff, [1, 0, 0, 0], &[QUESTION]);
        assert_eq!(query(&message).head, Head { id: 0x1234, opcode: 0, rd: false });
    }

    #[test]
    fn less_than_a_header_and_responses_are_dropped() {
        let whole = message(0x8000, [1, 0, 0, 0], &[QUESTION]);
        for len in 0..12 {
            assert_eq!(refusal(&whole[..len]), Refusal::silent(Reason::Short));
        }
        for len in 12..=whole.len() {
            assert_eq!(refusal(&whole[..len]), Refusal::silent(Reason::Response));
        }
    }

    #[test]
    fn other_operations_are_not_implemented_and_copy_no_flag() {
        for opcode in 1..16 {
            let message = message(opcode << 11 | 0x07ff, [1, 0, 0, 1], &[QUESTION, OPT]);
            let error = error(&message, Reason::Opcode);
            assert_eq!(error.rcode, Rcode::NOTIMP);
            assert_eq!(error.head, Head { id: 0x1234, opcode: opcode as u8, rd: false });
            assert_eq!(error.question.unwrap().wire, QUESTION);
            assert!(error.edns.is_some());
        }
    }

    #[test]
    fn notify_with_a_soa_and_garbage_of_other_operations_are_not_implemented() {
        let notify = message(0x2400, [1, 1, 0, 0], &[QUESTION, SOA]);
        assert_eq!(error(&notify, Reason::Opcode).question.unwrap().wire, QUESTION);
        let update = message(0x2800, [1, 2, 3, 4], &[b"\xc0\xff"]);
        assert_eq!(error(&update, Reason::Opcode).question, None);
    }

    #[test]
    fn anything_but_one_question_is_a_format_error() {
        let none = message(0, [0, 0, 0, 1], &[OPT]);
        let two = message(0, [2, 0, 0, 1], &[QUESTION, QUESTION, OPT]);
        for message in [&none, &two] {
            let error = error(message, Reason::QuestionCount);
            assert_eq!((error.rcode, error.question), (Rcode::FORMERR, None));
            assert!(error.edns.is_some());
        }
    }

    #[test]
    fn a_cookie_may_be_asked_for_without_a_question() {
        let opt = |version: u8, option: &[u8]| {
            let fixed = [b"\0\0\x29\x04\xd0\0".as_slice(), &[version], b"\0\0\0"].concat();
            [fixed.as_slice(), &[option.len() as u8], option].concat()
        };
        let cookie = b"\0\x0a\0\x0812345678";
        let asked = message(0x0100, [0, 0, 0, 1], &[&opt(0, cookie)]);
        let Parsed::CookieQuery(query) = parse(&asked) else { panic!("{:?}", parse(&asked)) };
        assert_eq!(query.head, Head { id: 0x1234, opcode: 0, rd: true });
        assert_eq!(query.edns.cookie, Some(&b"12345678"[..]));
        let with_record = message(0, [0, 1, 0, 1], &[b"\0", &SOA[2..], &opt(0, cookie)]);
        error(&with_record, Reason::AnswerSection);
        error(&message(0, [0, 0, 0, 1], &[&opt(0, &cookie[..4])]), Reason::OptOptions);
        error(&message(0, [0, 0, 0, 1], &[&opt(1, cookie)]), Reason::EdnsVersion);
        error(&message(0x2800, [0, 0, 0, 1], &[&opt(0, cookie)]), Reason::Opcode);
    }

    #[test]
    fn a_name_asked_for_must_be_plain() {
        for name in [&b"\xc0\x0c"[..], b"\x01a\xc0\x0c", b"\x40", b"\x80\0"] {
            let message = message(0, [1, 0, 0, 0], &[name, b"\0\0\x01\0\x01"]);
            assert_eq!(error(&message, Reason::QuestionName).question, None);
        }
    }

    #[test]
    fn records_in_answer_and_authority_are_refused() {
        let answer = message(0, [1, 1, 0, 1], &[QUESTION, SOA, OPT]);
        let authority = message(0, [1, 0, 1, 1], &[QUESTION, SOA, OPT]);
        for (message, reason) in
            [(&answer, Reason::AnswerSection), (&authority, Reason::AuthoritySection)]
        {
            let error = error(message, reason);
            assert!(error.question.is_some() && error.edns.is_some());
        }
    }

    #[test]
    fn an_ixfr_may_have_one_soa_in_its_authority_section() {
        let ixfr = b"\0\0\xfb\0\x01";
        assert_eq!(query(&message(0, [1, 0, 1, 0], &[ixfr, SOA])).question.qtype, Rtype::IXFR);
        for message in [
            message(0, [1, 0, 2, 0], &[ixfr, SOA, SOA]),
            message(0, [1, 0, 1, 0], &[ixfr, UNKNOWN]),
        ] {
            error(&message, Reason::AuthoritySection);
        }
    }

    #[test]
    fn a_cut_at_any_octet_is_a_format_error_that_echoes_a_whole_question() {
        let parts = [QUESTION, UNKNOWN, OPT, TSIG];
        let whole = message(0, [1, 0, 0, 3], &parts);
        for len in 12..whole.len() {
            let error = error(&whole[..len], Reason::Truncated);
            assert_eq!(error.rcode, Rcode::FORMERR);
            assert_eq!(error.question.is_some(), len >= 12 + QUESTION.len(), "{len}");
        }
    }

    #[test]
    fn octets_behind_the_message_are_a_format_error() {
        let message = message(0, [1, 0, 0, 1], &[QUESTION, OPT, b"\0"]);
        let error = error(&message, Reason::Trailing);
        assert!(error.question.is_some() && error.edns.is_some());
    }

    #[test]
    fn opt_comes_once_and_at_the_root() {
        let twice = message(0, [1, 0, 0, 2], &[QUESTION, OPT, OPT]);
        assert!(error(&twice, Reason::OptTwice).edns.is_some());
        for owner in [&b"\x01a"[..], b"\xc0\x16"] {
            let opt = [owner, if owner[0] == 1 { OPT } else { &OPT[1..] }].concat();
            let message = message(0, [1, 0, 0, 1], &[QUESTION, &opt]);
            assert!(error(&message, Reason::OptOwner).edns.is_some());
        }
    }

    #[test]
    fn malformed_options_are_format_errors_with_opt() {
        let subnet = b"\0\0\x29\x04\xd0\0\0\0\0\0\x08\0\x08\0\x04\0\x01\x18\0";
        let cookie = b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x01x";
        let beyond = b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0a\0\x08";
        for (opt, reason) in [
            (&subnet[..], Reason::ClientSubnet),
            (cookie, Reason::Cookie),
            (beyond, Reason::OptOptions),
        ] {
            let message = message(0, [1, 0, 0, 1], &[QUESTION, opt]);
            let error = error(&message, reason);
            assert_eq!(error.rcode, Rcode::FORMERR);
            assert_eq!(error.edns.unwrap().client_subnet, None);
        }
    }

    #[test]
    fn a_version_above_0_is_bad_whatever_its_options() {
        let opt = b"\0\0\x29\x04\xd0\0\x01\0\0\0\x01\xff";
        let message = message(0, [1, 0, 0, 1], &[QUESTION, opt]);
        let error = error(&message, Reason::EdnsVersion);
        assert_eq!(error.rcode, Rcode::BADVERS);
        assert_eq!(error.question.unwrap().wire, QUESTION);
        assert_eq!(error.edns.unwrap().version, 1);
    }

    #[test]
    fn tsig_is_last() {
        let message = message(0, [1, 0, 0, 2], &[QUESTION, TSIG, OPT]);
        error(&message, Reason::TsigPlace);
    }

    #[test]
    fn owners_of_records_point_backwards_and_keep_the_limits() {
        let at = (12 + QUESTION.len()) as u8;
        let long = [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(4);
        for owner in [&[0xc0, at][..], &[0xc0, 11], &[1, b'a', 0xc0, at], b"\x40", &long] {
            let rest = b"\0\xff\0\0\x01\0\0\0\0\0\0";
            let message = message(0, [1, 0, 0, 1], &[QUESTION, owner, rest]);
            error(&message, Reason::RecordName);
        }
    }

    #[test]
    fn announcing_more_than_there_is_costs_no_more_than_the_message() {
        for counts in [[1, 0, 0, u16::MAX], [u16::MAX; 4], [0, u16::MAX, u16::MAX, u16::MAX]] {
            let message = message(0, counts, &[QUESTION, OPT]);
            assert_eq!(refusal(&message).reason, Reason::Truncated);
        }
    }

    /// What must hold of any outcome.
    fn check(message: &[u8]) {
        let response = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let silent = message.len() < 12 || response;
        match parse(message) {
            Parsed::Query(query) => {
                assert!(!silent && query.head.opcode == 0);
                assert!(message[12..].starts_with(query.question.wire));
                assert!(query.edns.is_none_or(|edns| edns.version == 0));
            }
            Parsed::CookieQuery(query) => {
                assert!(!silent && query.head.opcode == 0);
                assert!(query.edns.version == 0 && query.edns.cookie.is_some());
            }
            Parsed::Refused(Refusal { reply: Reply::Drop, reason }) => {
                assert!(silent);
                assert_eq!(reason.rcode(), None);
            }
            Parsed::Refused(Refusal { reply: Reply::Error(error), reason }) => {
                assert!(!silent);
                assert_eq!(reason.rcode(), Some(error.rcode));
                assert_eq!(message[..2], error.head.id.to_be_bytes());
                if let Some(question) = error.question {
                    assert!(message[12..].starts_with(question.wire));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_octets_have_one_outcome(message in prop::collection::vec(any::<u8>(), 0..600)) {
            check(&message);
        }

        #[test]
        fn a_query_with_changed_octets_has_one_outcome(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let subnet = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\xc0\0\x02";
            let mut message = message(0, [1, 0, 0, 3], &[QUESTION, UNKNOWN, subnet, TSIG]);
            for (at, octet) in changes {
                let at = at.index(message.len());
                message[at] = octet;
            }
            check(&message);
            check(&message[..cut.index(message.len())]);
        }
    }
}
