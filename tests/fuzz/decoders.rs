//! Messages as two decoders read them that nobody here wrote.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::fmt::{self, Write};

use domain::base::iana::{Class, OptionCode, Rtype};
use domain::base::opt::UnknownOptData;
use domain::base::rdata::ComposeRecordData;
use domain::base::{self, ParsedName, Question, ToName};
use domain::rdata::AllRecordData;
use hickory_proto::op::{self, MessageType};
use hickory_proto::rr::{self, DNSClass};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

//----------- Seen -----------------------------------------------------------

/// A message as a decoder sees it.
///
/// Names are uncompressed and in lower case, because compression may change
/// the letter case of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    pub id: u16,
    pub opcode: u8,
    pub flags: Flags,

    /// The response code, with the upper bits that OPT holds.
    pub rcode: u16,
    pub questions: Vec<(Vec<u8>, u16, u16)>,

    /// Answer, authority and additional section, without OPT and TSIG.
    pub sections: [Vec<Record>; 3],
    pub opt: Option<Opt>,
}

/// The bits of the header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    pub response: bool,
    pub authoritative: bool,
    pub truncated: bool,
    pub recursion_desired: bool,
    pub recursion_available: bool,
    pub authentic_data: bool,
    pub checking_disabled: bool,
}

/// A record.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Record {
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// What an OPT record says beside its options.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opt {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
}

/// Reads a message with both decoders, which must see the same.
pub fn read(octets: &[u8]) -> Seen {
    let seen = by_domain(octets).unwrap_or_else(|error| panic!("domain: {error}: {octets:02x?}"));
    let other = by_hickory(&without_family_0(&without_tsig(octets)))
        .unwrap_or_else(|error| panic!("hickory: {error}: {octets:02x?}"));
    assert_eq!(seen, other, "domain sees the left, hickory-proto the right");
    seen
}

/// Returns a message without its TSIG record, which is the last one.
fn without_tsig(octets: &[u8]) -> Vec<u8> {
    let word = |at: usize| usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
    let behind_name = |mut at: usize| loop {
        match octets[at] {
            0 => break at + 1,
            0xc0.. => break at + 2,
            len => at += 1 + usize::from(len),
        }
    };
    let [questions, records] = [word(4), word(6) + word(8) + word(10)];
    let mut at = (0..questions).fold(12, |at, _| behind_name(at) + 4);
    for _ in 0..records {
        let fixed = behind_name(at);
        if Rtype::from_int(word(fixed) as u16) == Rtype::TSIG {
            let mut octets = octets[..at].to_vec();
            octets[11] -= 1;
            return octets;
        }
        at = fixed + 10 + word(fixed + 8);
    }
    octets.to_vec()
}

/// Returns a message whose client subnet of family 0, which opts out, is an
/// option of no meaning: hickory-proto 0.26 refuses the whole message for it.
fn without_family_0(octets: &[u8]) -> Vec<u8> {
    let options = options(octets);
    let mut octets = octets.to_vec();
    // OPT is the last record of ours, and its options the end of the message.
    let len: usize = options.iter().map(|(_, data)| 4 + data.len()).sum();
    let mut at = octets.len() - len;
    for (code, data) in options {
        if code == 8 && data.starts_with(&[0, 0]) {
            octets[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
        }
        at += 4 + data.len();
    }
    octets
}

/// Reads a message with `domain`.
pub fn by_domain(octets: &[u8]) -> Result<Seen, String> {
    let message = base::Message::from_octets(octets).map_err(|error| error.to_string())?;
    let header = message.header();
    let mut questions = Vec::new();
    for question in message.question() {
        let question: Question<ParsedName<_>> = question.map_err(|error| error.to_string())?;
        let name = question.qname().to_vec().as_slice().to_ascii_lowercase();
        questions.push((name, question.qtype().to_int(), question.qclass().to_int()));
    }
    let mut sections = [const { Vec::new() }; 3];
    for record in message.iter() {
        let (record, section) = record.map_err(|error| error.to_string())?;
        let section = match section {
            base::message::Section::Answer => 0,
            base::message::Section::Authority => 1,
            _ => 2,
        };
        if [Rtype::OPT, Rtype::TSIG].contains(&record.rtype()) {
            continue;
        }
        let record = record
            .to_any_record::<AllRecordData<_, ParsedName<_>>>()
            .map_err(|error| error.to_string())?;
        let mut rdata = Vec::new();
        record.data().compose_rdata(&mut rdata).expect("a vector takes any length");
        let rtype = record.rtype().to_int();
        sections[section].push(Record {
            owner: record.owner().to_vec().as_slice().to_ascii_lowercase(),
            rtype,
            class: record.class().to_int(),
            ttl: record.ttl().as_secs(),
            rdata: lowered(rtype, rdata),
        });
    }
    let opt = message.opt().map(|opt| Opt {
        payload: opt.udp_payload_size(),
        version: opt.version(),
        dnssec_ok: opt.dnssec_ok(),
    });
    Ok(Seen {
        id: header.id(),
        opcode: header.opcode().to_int(),
        flags: Flags {
            response: header.qr(),
            authoritative: header.aa(),
            truncated: header.tc(),
            recursion_desired: header.rd(),
            recursion_available: header.ra(),
            authentic_data: header.ad(),
            checking_disabled: header.cd(),
        },
        rcode: message.opt_rcode().to_int(),
        questions,
        sections,
        opt,
    })
}

/// Returns the options of a message as `domain` reads them.
pub fn options(octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let Some(opt) = base::Message::from_octets(octets).ok().and_then(|message| message.opt())
    else {
        return Vec::new();
    };
    let options = opt.opt().iter::<UnknownOptData<_>>();
    options
        .map(|option| {
            let option = option.expect("an option is read as it is");
            (OptionCode::to_int(option.code()), option.as_slice().to_vec())
        })
        .collect()
}

/// Reads a message with hickory-proto.
pub fn by_hickory(octets: &[u8]) -> Result<Seen, String> {
    let message = op::Message::from_vec(octets).map_err(|error| error.to_string())?;
    let metadata = &message.metadata;
    let record = |record: &rr::Record| {
        let rtype = record.record_type().into();
        Record {
            owner: uncompressed(&record.name).to_ascii_lowercase(),
            rtype,
            class: record.dns_class.into(),
            ttl: record.ttl,
            rdata: lowered(rtype, uncompressed(&record.data)),
        }
    };
    let question = |query: &op::Query| {
        let class: u16 = DNSClass::into(query.query_class());
        (uncompressed(query.name()).to_ascii_lowercase(), query.query_type().into(), class)
    };
    let sections = [&message.answers, &message.authorities, &message.additionals];
    Ok(Seen {
        id: metadata.id,
        opcode: metadata.op_code.into(),
        flags: Flags {
            response: metadata.message_type == MessageType::Response,
            authoritative: metadata.authoritative,
            truncated: metadata.truncation,
            recursion_desired: metadata.recursion_desired,
            recursion_available: metadata.recursion_available,
            authentic_data: metadata.authentic_data,
            checking_disabled: metadata.checking_disabled,
        },
        rcode: metadata.response_code.into(),
        questions: message.queries.iter().map(question).collect(),
        sections: sections.map(|records| records.iter().map(record).collect()),
        opt: message.edns.as_ref().map(|edns| Opt {
            payload: edns.max_payload(),
            version: edns.version(),
            dnssec_ok: edns.flags().dnssec_ok,
        }),
    })
}

/// Encodes a value without compression.
fn uncompressed(value: &impl BinEncodable) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    value.emit(&mut encoder).expect("what was decoded can be encoded");
    octets
}

/// Returns RDATA in lower case if names may be in it.
fn lowered(rtype: u16, mut rdata: Vec<u8>) -> Vec<u8> {
    // NS, CNAME, SOA, PTR, MX, RP, AFSDB, SRV, NAPTR, KX, DNAME, SVCB, HTTPS.
    if [2, 5, 6, 12, 15, 17, 18, 33, 35, 36, 39, 64, 65].contains(&rtype) {
        rdata.make_ascii_lowercase();
    }
    rdata
}

//----------- Display --------------------------------------------------------

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rtype = Rtype::from_int(self.rtype);
        let class = Class::from_int(self.class);
        write!(f, "{} {} {class} {rtype}", name(&self.owner), self.ttl)?;
        match self.rtype {
            2 | 5 | 12 | 39 => write!(f, " {}", name(&self.rdata)),
            _ => write!(f, " {}", text(&self.rdata)),
        }
    }
}

/// Returns a name in wire format for people.
pub fn name(wire: &[u8]) -> String {
    base::Name::from_octets(wire).map_or_else(|_| text(wire), |name| format!("{name}."))
}

fn text(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        let _ = match octet {
            b'!'..=b'~' => write!(text, "{}", char::from(*octet)),
            _ => write!(text, "<{octet:02x}>"),
        };
    }
    text
}
