//! The writer against two decoders that nobody here wrote, and the parser
//! against packets that others fuzzed with.

use std::io::{Read, Write};
use std::path::Path;

use domain::base::iana::OptionCode;
use domain::base::{Message, ParsedName, ToName};
use domain::rdata::AllRecordData;
use hickory_proto::op;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;

use super::*;

const HEAD: Head = Head { id: 0xbeef, opcode: 0, rd: true };

//----------- Rrset ----------------------------------------------------------

/// An RRset to write.
#[derive(Clone, Debug)]
struct Rrset {
    section: Section,
    owner: Vec<u8>,
    rtype: Rtype,
    ttl: u32,
    rdatas: Vec<Vec<u8>>,
}

impl Rrset {
    fn write(&self, writer: &mut ResponseWriter<'_>) -> Result<(), Full> {
        let &Rrset { ref owner, rtype, ttl, .. } = self;
        let head = RrsetHead { owner: Some(owner), rtype, class: 1, ttl };
        writer.rrset(self.section, head, self.rdatas.iter().map(|rdata| &rdata[..]))
    }

    /// Returns what a decoder should see.
    fn seen(&self) -> impl Iterator<Item = Seen> {
        self.rdatas.iter().map(|rdata| Seen {
            section: self.section,
            owner: self.owner.to_ascii_lowercase(),
            rtype: self.rtype.0,
            ttl: self.ttl,
            rdata: rdata.to_ascii_lowercase(),
        })
    }
}

/// A record as a decoder sees it. In lower case, because compression may
/// change the case of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    section: Section,
    owner: Vec<u8>,
    rtype: u16,
    ttl: u32,
    rdata: Vec<u8>,
}

//----------- Generators -----------------------------------------------------

/// Names of few labels in two cases each, so that many share an ancestor.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![
        4 => prop::sample::select(vec!["example", "EXAMPLE", "com", "a", "A", "sbc1", "Sbc1"])
            .prop_map(|label| label.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..=63),
    ];
    prop::collection::vec(label, 0..6)
        .prop_map(|labels| {
            let mut wire = Vec::new();
            for label in labels {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
            wire.push(0);
            wire
        })
        .prop_filter("a name of at most 255 octets", |wire| wire.len() <= Name::MAX_LEN)
}

fn octets(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

/// A type and valid RDATA of it.
fn typed() -> impl Strategy<Value = (Rtype, Vec<u8>)> {
    let named = |types: Vec<Rtype>, before: usize, after: usize| {
        (prop::sample::select(types), octets(before), name(), octets(after))
            .prop_map(|(rtype, before, name, after)| (rtype, [before, name, after].concat()))
    };
    let soa = (name(), name(), octets(20))
        .prop_map(|(primary, contact, rest)| (Rtype::SOA, [primary, contact, rest].concat()));
    let naptr = (octets(4), name()).prop_map(|(before, name)| {
        let texts = b"\x01s\x07SIP+D2T\0".to_vec();
        (Rtype::NAPTR, [before, texts, name].concat())
    });
    let txt = octets(0..40).prop_map(|text| (Rtype::TXT, [vec![text.len() as u8], text].concat()));
    prop_oneof![
        octets(4).prop_map(|rdata| (Rtype::A, rdata)),
        octets(16).prop_map(|rdata| (Rtype::AAAA, rdata)),
        named(vec![Rtype::NS, Rtype::CNAME, Rtype::PTR, Rtype::DNAME], 0, 0),
        named(vec![Rtype::MX], 2, 0),
        named(vec![Rtype::SRV], 6, 0),
        soa,
        naptr,
        txt,
        // hickory-proto refuses records of unknown types without RDATA.
        octets(1..40).prop_map(|rdata| (Rtype(65280), rdata)),
    ]
}

/// RRsets in the order of their sections.
fn rrsets() -> impl Strategy<Value = Vec<Rrset>> {
    let sections = vec![Section::Answer, Section::Authority, Section::Additional];
    let rrset = (prop::sample::select(sections), name(), 0..1u32 << 31, typed(), 1..3usize)
        .prop_map(|(section, owner, ttl, (rtype, rdata), count)| Rrset {
            section,
            owner,
            rtype,
            ttl,
            rdatas: vec![rdata; count],
        });
    prop::collection::vec(rrset, 0..8).prop_map(|mut rrsets| {
        rrsets.sort_by_key(|rrset| rrset.section);
        rrsets
    })
}

//----------- Decoders -------------------------------------------------------

/// Decodes with `domain`.
fn seen_by_domain(response: &[u8]) -> Vec<Seen> {
    let message = Message::from_octets(response).unwrap();
    let mut seen = Vec::new();
    for record in message.iter() {
        let (record, section) = record.unwrap();
        if record.rtype() == domain::base::iana::Rtype::OPT {
            continue;
        }
        let record = record.to_any_record::<AllRecordData<_, ParsedName<_>>>().unwrap();
        let mut rdata = Vec::new();
        domain::base::rdata::ComposeRecordData::compose_rdata(record.data(), &mut rdata).unwrap();
        seen.push(Seen {
            section: match section {
                domain::base::message::Section::Answer => Section::Answer,
                domain::base::message::Section::Authority => Section::Authority,
                _ => Section::Additional,
            },
            owner: record.owner().to_vec().as_slice().to_ascii_lowercase(),
            rtype: record.rtype().to_int(),
            ttl: record.ttl().as_secs(),
            rdata: rdata.to_ascii_lowercase(),
        });
    }
    seen
}

/// Decodes with hickory-proto.
fn seen_by_hickory(response: &[u8]) -> Vec<Seen> {
    let message = op::Message::from_vec(response).unwrap();
    let sections = [
        (Section::Answer, &message.answers),
        (Section::Authority, &message.authorities),
        (Section::Additional, &message.additionals),
    ];
    let mut seen = Vec::new();
    for (section, records) in sections {
        seen.extend(records.iter().map(|record| Seen {
            section,
            owner: hickory_octets(&record.name),
            rtype: record.record_type().into(),
            ttl: record.ttl,
            rdata: hickory_octets(&record.data),
        }));
    }
    seen
}

/// Encodes without compression, in lower case.
fn hickory_octets(value: &impl BinEncodable) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    value.emit(&mut encoder).unwrap();
    octets.make_ascii_lowercase();
    octets
}

/// Writes what fits within the limit and checks it with both decoders; returns
/// the length.
fn check(question: &[u8], rrsets: &[Rrset], edns: EdnsReply<'_>, limit: usize) -> usize {
    let mut buf = vec![0xee; limit + 1];
    let mut writer =
        ResponseWriter::new(&mut buf, limit, HEAD, Some(question), Some(&edns)).unwrap();
    let mut expected = Vec::new();
    for rrset in rrsets {
        if rrset.write(&mut writer).is_ok() {
            expected.extend(rrset.seen());
        }
    }
    let rcode = Rcode::NXDOMAIN;
    let len = writer.finish(Ending { rcode, authoritative: true, truncated: false });
    assert!(len <= limit && buf[limit] == 0xee);
    let response = &buf[..len];
    assert!(response[12..].starts_with(question));
    assert_eq!(seen_by_domain(response), expected);
    assert_eq!(seen_by_hickory(response), expected);
    let opt = Message::from_octets(response).unwrap().opt().unwrap();
    assert_eq!((opt.udp_payload_size(), opt.version()), (edns.payload, 0));
    let message = op::Message::from_vec(response).unwrap();
    assert_eq!(message.metadata.response_code, op::ResponseCode::NXDomain);
    assert!(message.metadata.authoritative && message.metadata.recursion_desired);
    assert_eq!(message.edns.unwrap().max_payload(), edns.payload);
    len
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_two_decoders_read_at_every_limit(
        name in name(),
        rrsets in rrsets(),
        dnssec_ok: bool,
    ) {
        let question = [&name[..], b"\0\x21\0\x01"].concat();
        let edns = EdnsReply { payload: 1232, dnssec_ok, ..EdnsReply::default() };
        let whole = check(&question, &rrsets, edns, 65535);
        let least = 12 + question.len() + 11;
        for limit in least..=whole {
            let len = check(&question, &rrsets, edns, limit);
            prop_assert!(limit < whole || len == whole);
        }
    }

    #[test]
    fn a_query_that_another_made_is_read_as_it_was_meant(
        name in name(),
        id: u16,
        qtype: u16,
        octets in any::<[u8; 4]>(),
        source in 0..=32u8,
        dnssec_ok: bool,
    ) {
        use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
        let address = ipnet::Ipv4Net::new(octets.into(), source).unwrap().network();
        let mut edns = op::Edns::new();
        edns.set_dnssec_ok(dnssec_ok).set_max_payload(4096);
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address.into(), source, 0)));
        let mut message = op::Message::new(id, op::MessageType::Query, op::OpCode::Query);
        let hickory_name =
            hickory_proto::serialize::binary::BinDecodable::from_bytes(&name).unwrap();
        message.add_query(op::Query::query(hickory_name, qtype.into()));
        message.set_edns(edns);
        let octets = message.to_vec().unwrap();

        let mut lower = LowerName::default();
        let parsed = parse(&octets, &mut lower);
        let Parsed::Query(query) = parsed else { panic!("refused: {parsed:?}") };
        prop_assert_eq!(query.head.id, id);
        prop_assert_eq!(query.question.name_as_sent(), &name[..]);
        prop_assert_eq!(query.question.name.as_wire(), &name.to_ascii_lowercase()[..]);
        prop_assert_eq!(query.question.qtype, Rtype(qtype));
        let edns = query.edns.unwrap();
        prop_assert_eq!((edns.payload, edns.dnssec_ok), (4096, dnssec_ok));
        let prefix = (source > 0).then_some((address.into(), source));
        prop_assert_eq!(edns.client_subnet.unwrap().prefix(), prefix);
    }
}

#[test]
fn names_beyond_the_table_and_beyond_the_reach_of_pointers_come_out_right() {
    let text = [vec![255; 1], vec![b'x'; 255]].concat();
    let hosts = (0..300).map(|n: u32| Rrset {
        section: Section::Answer,
        owner: [&b"\x04"[..], format!("h{n:03}").as_bytes(), b"\x03net\0"].concat(),
        rtype: if n.is_multiple_of(2) { Rtype::TXT } else { Rtype::NS },
        ttl: n,
        rdatas: match n % 2 {
            0 => vec![text.clone()],
            _ => vec![[&b"\x03ns1\x04"[..], format!("h{n:03}").as_bytes(), b"\0"].concat()],
        },
    });
    let rrsets: Vec<_> = hosts.collect();
    let edns = EdnsReply { payload: 1232, ..EdnsReply::default() };
    let len = check(b"\x03net\0\0\x10\0\x01", &rrsets, edns, 65535);
    assert!(len > 0x4000);
    // And where the first new name lies beyond the reach already.
    let large = Rrset {
        section: Section::Answer,
        owner: b"\0".to_vec(),
        rtype: Rtype(65280),
        ttl: 1,
        rdatas: vec![vec![7; 0x4000]],
    };
    check(b"\0\0\x10\0\x01", &[vec![large], rrsets].concat(), edns, 65535);
}

#[test]
fn both_decoders_read_the_client_subnet_of_a_reply() {
    use domain::base::opt::UnknownOptData;
    let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01\
        \0\0\x29\x04\xd0\0\0\x80\0\0\x0b\0\x08\0\x07\0\x01\x17\0\xc0\0\x02";
    let mut name = LowerName::default();
    let Parsed::Query(query) = parse(query, &mut name) else { panic!("refused") };
    let mut buf = [0; 512];
    let edns = query.edns.unwrap();
    let client_subnet = edns.client_subnet.map(|subnet| (subnet, 20));
    let edns = EdnsReply { client_subnet, ..EdnsReply::new(&edns, 1232) };
    let question = query.question.wire;
    let writer =
        ResponseWriter::new(&mut buf, 512, query.head, Some(question), Some(&edns)).unwrap();
    let rcode = Rcode::NOERROR;
    let len = writer.finish(Ending { rcode, authoritative: true, truncated: false });

    let message = Message::from_octets(&buf[..len]).unwrap();
    let opt = message.opt().unwrap();
    let option = opt.opt().iter::<UnknownOptData<_>>().next().unwrap().unwrap();
    assert_eq!(option.code(), OptionCode::CLIENT_SUBNET);
    assert_eq!(*option.data(), b"\0\x01\x17\x14\xc0\0\x02");
    let edns = op::Message::from_vec(&buf[..len]).unwrap().edns.unwrap();
    assert!(edns.flags().dnssec_ok);
}

/// The packets are others' and stay out of this repository: see their README.
#[test]
fn packets_of_other_fuzzers_have_an_outcome_that_decoders_can_read() {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&root).join("../shared/corpus/dns-packets.bin.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        // Not through eprintln, which is shown for tests that fail only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}", path.display());
        return;
    };
    let mut packets = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut packets).unwrap();
    let mut rest = &packets[..];
    let mut count = 0;
    while let Some((len, after)) = rest.split_first_chunk() {
        let (packet, after) = after.split_at(usize::from(u16::from_be_bytes(*len)));
        replay(packet);
        // As a query too, where it is a response.
        if let [id_0, id_1, flags, tail @ ..] = packet {
            replay(&[&[*id_0, *id_1, flags & 0x07], tail].concat());
        }
        count += 1;
        rest = after;
    }
    assert!(rest.is_empty() && count > 300, "{count} packets");
}

/// Parses a packet and answers it as its outcome asks.
fn replay(packet: &[u8]) {
    let mut name = LowerName::default();
    let (rcode, head, question, edns) = match parse(packet, &mut name) {
        Parsed::Query(query) => (Rcode::REFUSED, query.head, Some(query.question), query.edns),
        Parsed::Refused(Refusal { reply: Reply::Error(error), .. }) => {
            (error.rcode, error.head, error.question, error.edns)
        }
        Parsed::CookieQuery(CookieQuery { head, edns }) => (Rcode::NOERROR, head, None, Some(edns)),
        Parsed::Refused(Refusal { reply: Reply::Drop, .. }) => return,
    };
    let mut buf = [0; 512];
    let edns = edns.map(|edns| EdnsReply::new(&edns, 1232));
    let question = question.as_ref().map(|question| question.wire);
    let writer = ResponseWriter::new(&mut buf, 512, head, question, edns.as_ref()).unwrap();
    let len = writer.finish(Ending { rcode, authoritative: false, truncated: false });
    let message = Message::from_octets(&buf[..len]).unwrap();
    assert_eq!(message.opt_rcode().to_int(), rcode.0);
    assert_eq!(message.header().id(), head.id);
    assert_eq!(message.opt().is_some(), edns.is_some());
    assert_eq!(message.question().count(), usize::from(question.is_some()));
}
