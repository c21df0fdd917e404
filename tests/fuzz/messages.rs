//! Targets of messages that arrive: query parser, EDNS, the whole core.

use std::net::IpAddr;

use trunkdns::answer::{Cause, Client, Outcome, Transport, Verdict, answer};
use trunkdns::snapshot::{Moment, Snapshot};
use trunkdns::transport::proxy;
use trunkdns::wire::{
    CookieSecrets, EdnsQuery, EdnsReply, Ending, Head, LowerName, Parsed, Query, Rcode, Reason,
    Reply, ResponseWriter, parse,
};

use super::decoders::{self, Seen};
use super::world;

/// The length of a header, in octets.
const HEADER_LEN: usize = 12;

//----------- query ----------------------------------------------------------

/// Any octets have one outcome, and what was parsed is read alike when it is
/// encoded again.
pub fn query(data: &[u8]) {
    let is_response = data.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let is_silent = data.len() < HEADER_LEN || is_response;
    match parse(data, &mut LowerName::default()) {
        Parsed::Query(query) => {
            assert!(!is_silent && query.head.opcode == 0);
            assert!(data[HEADER_LEN..].starts_with(query.question.wire));
            assert!(query.edns.is_none_or(|edns| edns.version == 0));
            check_question(data, &query);
            check_encoding(query.head, Some(query.question.wire), query.edns);
        }
        Parsed::CookieQuery(query) => {
            assert!(!is_silent && query.head.opcode == 0 && query.edns.version == 0);
            assert!(query.edns.cookie.is_some());
            check_encoding(query.head, None, Some(query.edns));
        }
        Parsed::Refused(refusal) => match refusal.reply {
            Reply::Drop => assert!(is_silent && refusal.reason.rcode().is_none()),
            Reply::Error(error) => {
                assert!(!is_silent && refusal.reason.rcode() == Some(error.rcode));
                assert_eq!(data[..2], error.head.id.to_be_bytes());
                if let Some(question) = error.question {
                    assert!(data[HEADER_LEN..].starts_with(question.wire));
                }
            }
        },
    }
}

/// Checks the question of a query against what `domain` reads.
fn check_question(data: &[u8], query: &Query<'_>) {
    use domain::base::{Message, ToName};
    let message = Message::from_octets(data).expect("a query has a header");
    let question = message.sole_question().expect("a query has one question");
    let name = question.qname().to_vec();
    assert_eq!(name.as_slice(), query.question.name_as_sent());
    assert_eq!(name.as_slice().to_ascii_lowercase(), query.question.name.as_wire());
    assert_eq!(question.qtype().to_int(), query.question.qtype.0);
    assert_eq!(question.qclass().to_int(), query.question.qclass);
    // A second OPT record would have been refused.
    assert_eq!(message.opt().is_some(), query.edns.is_some());
}

/// Writes what was parsed as a response, turns that into a query, and reads it
/// again.
fn check_encoding(head: Head, question: Option<&[u8]>, edns: Option<EdnsQuery<'_>>) {
    // A response has whole server cookies only, and a timeout of keepalive.
    let kept = edns.map(|edns| EdnsQuery {
        cookie: edns.cookie.filter(|cookie| cookie.len() == 24),
        tcp_keepalive: edns.tcp_keepalive.filter(|timeout| timeout.len() == 2),
        ..edns
    });
    let reply = kept.map(|edns| EdnsReply {
        nsid: edns.nsid.then_some(&b""[..]),
        cookie: edns.cookie.map(|cookie| cookie.try_into().expect("24 octets")),
        tcp_keepalive: edns
            .tcp_keepalive
            .map(|timeout| u16::from_be_bytes(timeout.try_into().expect("two octets"))),
        padding: edns.padding,
        ..EdnsReply::new(&edns, edns.payload)
    });
    let mut out = vec![0xaa; 65535];
    let limit = out.len();
    let writer =
        ResponseWriter::new(&mut out, limit, head, question, reply.as_ref()).expect("it fits");
    let ending = Ending { rcode: Rcode::NOERROR, authoritative: false, truncated: false };
    let len = writer.finish(ending);
    let octets = &mut out[..len];
    octets[2] &= 0x7f;
    match parse(octets, &mut LowerName::default()) {
        Parsed::Query(again) => {
            assert_eq!((again.head, Some(again.question.wire)), (head, question));
            assert_eq!(again.edns, kept);
        }
        Parsed::CookieQuery(again) => assert_eq!((again.head, Some(again.edns)), (head, kept)),
        // Without its cookie it asks for nothing.
        Parsed::Refused(refusal) => {
            assert!(question.is_none() && kept.is_some_and(|edns| edns.cookie.is_none()));
            assert_eq!(refusal.reason, Reason::QuestionCount);
        }
    }
}

//----------- proxy ----------------------------------------------------------

/// Any datagram of a load balancer is refused, or names its client and holds
/// the message behind its header as section 2.2 of the PROXY protocol's
/// specification says.
pub fn proxy(data: &[u8]) {
    let Some((client, behind)) = proxy::split(data) else {
        assert!(sound_header(data).is_none(), "a sound header is refused");
        return;
    };
    let len = sound_header(data).expect("only sound headers are read");
    assert_eq!(behind, &data[len..]);
    // PROXY with an address of IPv4 or IPv6; else nobody is named.
    let size = match (data[12], data[13] >> 4) {
        (0x21, 1) => 4,
        (0x21, 2) => 16,
        _ => return assert_eq!(client, None),
    };
    let client = client.expect("a client is named");
    let octets = match client.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    assert_eq!(octets, &data[16..16 + size]);
    assert_eq!(client.port().to_be_bytes(), data[16 + 2 * size..18 + 2 * size]);
}

/// Returns the length of a header with its addresses, if it is sound.
fn sound_header(data: &[u8]) -> Option<usize> {
    let [command, family, high, low] =
        *data.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let addresses = *[0, 12, 36, 216].get(usize::from(family >> 4))?;
    let is_sound = matches!(command, 0x20 | 0x21) && family & 15 <= 2 && len >= addresses;
    (is_sound && 16 + len <= proxy::HEADER_MAX.min(data.len())).then_some(16 + len)
}

//----------- edns -----------------------------------------------------------

/// The data of an OPT record: two octets of payload size, four of what stands
/// in the TTL field, then options. They are read as `domain` splits them.
pub fn edns(data: &[u8]) {
    let Some((fixed, options)) = data.split_first_chunk::<6>() else { return };
    let options = &options[..options.len().min(60_000)];
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x02ns\x04rich\x07example\0\0\x01\0\x01\
                        \0\0\x29"
        .to_vec();
    message.extend(fixed);
    message.extend((options.len() as u16).to_be_bytes());
    message.extend(options);
    match parse(&message, &mut LowerName::default()) {
        Parsed::Query(query) => {
            let edns = query.edns.expect("there is an OPT record");
            check_options(fixed, &decoders::options(&message), &edns);
        }
        Parsed::Refused(refusal) => {
            let Reply::Error(error) = refusal.reply else { panic!("a query is dropped") };
            assert!(error.question.is_some() && error.edns.is_some());
            let is_options = [Reason::OptOptions, Reason::ClientSubnet, Reason::Cookie];
            let is_version = refusal.reason == Reason::EdnsVersion && fixed[3] != 0;
            assert!(is_version || is_options.contains(&refusal.reason), "{:?}", refusal.reason);
        }
        Parsed::CookieQuery(_) => panic!("there is a question"),
    }
    core(&[b"\0\0\0", &message[..]].concat());
    core(&[b"\x02\x01\x03", &message[..]].concat());
}

fn check_options(fixed: &[u8; 6], options: &[(u16, Vec<u8>)], edns: &EdnsQuery<'_>) {
    let first = |code| options.iter().find(|(other, _)| *other == code).map(|(_, data)| &data[..]);
    let payload = u16::from_be_bytes([fixed[0], fixed[1]]);
    assert_eq!((edns.payload, edns.version), (payload.max(512), 0));
    assert_eq!(edns.dnssec_ok, fixed[4] & 0x80 != 0);
    assert_eq!((edns.nsid, edns.padding), (first(3).is_some(), first(12).is_some()));
    assert_eq!((edns.cookie, edns.tcp_keepalive), (first(10), first(11)));
    assert_eq!(edns.client_subnet.is_some(), first(8).is_some());
    if let (Some(subnet), Some(data)) = (edns.client_subnet, first(8)) {
        assert_eq!((subnet.source(), data[3]), (data[2], 0));
        let octets = match subnet.prefix() {
            Some((IpAddr::V4(address), _)) => address.octets().to_vec(),
            Some((IpAddr::V6(address), _)) => address.octets().to_vec(),
            None => Vec::new(),
        };
        assert!(octets.starts_with(&data[4..]));
        assert!(octets[data.len() - 4..].iter().all(|octet| *octet == 0));
    }
}

//----------- core -----------------------------------------------------------

/// Three octets of who asks, when and with which buffer, then a message: it is
/// dropped with a cause, or answered with a message that two decoders read
/// alike and that keeps every promise about its form.
pub fn core(data: &[u8]) {
    let Some((envelope, message)) = data.split_first_chunk::<3>() else { return };
    let mut message = message[..message.len().min(65_535)].to_vec();
    let asked = Asked::new(*envelope, &message);
    if envelope[0] & 8 != 0 {
        put_valid_cookie(&mut message, &asked);
    }
    check_answer(&asked, &message);
}

/// Who asks, when, and with how much room.
struct Asked {
    snapshot: &'static Snapshot,
    client: Client,
    now: Moment,
    buffer: usize,
}

impl Asked {
    const CLIENTS: [&'static str; 8] = [
        "10.1.0.1",
        "10.2.0.1",
        "10.3.128.77",
        "203.0.113.9",
        "2001:db8:2::1",
        "2001:db8:3:ffff::1",
        "::ffff:10.2.0.1",
        "2002:a02:1::",
    ];

    /// Around the moments at which the handover goes on, in milliseconds.
    const TIMES: [u64; 8] =
        [0, 1_000_999, 1_001_000, 1_058_000, 1_061_000, 1_070_500, 1_077_000, 1 << 42];

    fn new([how, who, when]: [u8; 3], message: &[u8]) -> Self {
        let transport = match how & 3 {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            2 => Transport::Encrypted,
            _ => Transport::Tls,
        };
        let client = Self::CLIENTS[usize::from(who % 8)].parse().expect("an address");
        let buffer = match when >> 4 {
            1 => 512,
            2 => usize::from(who) * 2,
            3 => message.len(),
            _ => 65_535,
        };
        Asked {
            snapshot: &world::SNAPSHOTS[usize::from(how >> 2 & 1)],
            client: Client { address: client, transport },
            now: Moment(Self::TIMES[usize::from(when % 8)]),
            buffer,
        }
    }

    /// Asks with a buffer that was used before.
    fn ask(&self, message: &[u8], used: u8) -> (Option<Vec<u8>>, Outcome<'static>) {
        let mut out = vec![used; self.buffer];
        let outcome = answer(self.snapshot, &self.client, self.now, message, &mut out);
        match outcome.verdict {
            Verdict::Drop => (None, outcome),
            Verdict::Send(len) => {
                out.truncate(len);
                assert_eq!(out.len(), len, "more than there is room for");
                (Some(out), outcome)
            }
        }
    }
}

/// Puts a cookie that the server takes for its own where there is room for it.
fn put_valid_cookie(message: &mut [u8], asked: &Asked) {
    let mut name = LowerName::default();
    let parsed = parse(message, &mut name);
    let Some(cookie) = parsed.edns().and_then(|edns| edns.cookie) else { return };
    let at = cookie.as_ptr().addr() - message.as_ptr().addr();
    let secrets = CookieSecrets::new(&[world::SECRET]);
    let made = secrets.check(cookie, asked.client.address, asked.now.second() as u32);
    if let Some(made) = made.filter(|_| cookie.len() == 24) {
        message[at..at + 24].copy_from_slice(&made.wire);
    }
}

fn check_answer(asked: &Asked, message: &[u8]) {
    let (octets, outcome) = asked.ask(message, 0xaa);
    let (again, _) = asked.ask(message, 0x55);
    assert_eq!(octets, again, "the same question gets the same octets");
    let mut name = LowerName::default();
    let parsed = parse(message, &mut name);
    let Some(octets) = octets else {
        match outcome.cause {
            Cause::Malformed(reason) if reason.rcode().is_none() => {}
            // A question and an OPT record of ours fit into 512 octets.
            _ => assert!(asked.buffer < 512, "{:?} is dropped", outcome.cause),
        }
        return;
    };
    let edns = parsed.edns();
    let room = asked.client.transport.room(edns.map(|edns| edns.payload));
    assert!(octets.len() <= room, "{} octets, and there is room for {room}", octets.len());
    let seen = decoders::read(&octets);
    check_header(message, &seen, &outcome);
    check_question_echo(message, &parsed, &octets, &seen);
    match (edns, seen.opt) {
        (Some(edns), Some(opt)) => {
            assert_eq!((opt.version, opt.dnssec_ok), (0, edns.dnssec_ok));
            assert_eq!(opt.payload, trunkdns::answer::UDP_PAYLOAD);
        }
        (query, response) => assert!(query.is_none() && response.is_none()),
    }
    check_records(&seen, &outcome);
    check_size(asked, message, &octets, &seen, &outcome);
}

fn check_header(message: &[u8], seen: &Seen, outcome: &Outcome<'_>) {
    assert_eq!(seen.id.to_be_bytes(), message[..2]);
    assert_eq!(seen.opcode, message[2] >> 3 & 15);
    let flags = &seen.flags;
    assert!(flags.response && !flags.recursion_available);
    assert!(!flags.authentic_data && !flags.checking_disabled);
    assert_eq!(flags.recursion_desired, seen.opcode == 0 && message[2] & 1 != 0);
    assert_eq!(flags.truncated, outcome.truncated);
}

fn check_question_echo(message: &[u8], parsed: &Parsed<'_>, octets: &[u8], seen: &Seen) {
    let question = match parsed {
        Parsed::Query(query) => Some(query.question.wire),
        Parsed::CookieQuery(_) => None,
        Parsed::Refused(refusal) => match &refusal.reply {
            Reply::Error(error) => error.question.as_ref().map(|question| question.wire),
            Reply::Drop => panic!("what must be dropped is answered"),
        },
    };
    assert_eq!(seen.questions.len(), usize::from(question.is_some()));
    if let Some(question) = question {
        assert_eq!(octets[HEADER_LEN..][..question.len()], message[HEADER_LEN..][..question.len()]);
    }
}

fn check_records(seen: &Seen, outcome: &Outcome<'_>) {
    let [answers, authorities, additionals] = &seen.sections;
    let total = answers.len() + authorities.len() + additionals.len();
    if seen.flags.truncated {
        assert_eq!(total, 0, "part of an answer is worse than none");
    }
    let is_answer = matches!(seen.rcode, 0 | 3 | 6);
    assert!(is_answer || total == 0, "an error has records");
    match outcome.cause {
        Cause::Answered | Cause::Identity => assert!(outcome.truncated || !answers.is_empty()),
        Cause::NoData | Cause::NoName => {
            let is_soa = authorities.iter().map(|record| record.rtype).eq([6]);
            assert!(outcome.truncated || is_soa);
        }
        Cause::Referral => {
            assert!(!seen.flags.authoritative && answers.is_empty());
            let servers = authorities.iter().all(|record| record.rtype == 2);
            assert!(outcome.truncated || (servers && !authorities.is_empty()));
        }
        Cause::TooLong => assert_eq!(seen.rcode, 6),
        Cause::Cookie => assert!([0, 23].contains(&seen.rcode) && seen.opt.is_some()),
        Cause::NotServed | Cause::Transfer => assert_eq!(seen.rcode, 5),
        Cause::Malformed(reason) => assert_eq!(reason.rcode().map(|code| code.0), Some(seen.rcode)),
        Cause::NoRoom => panic!("there was room"),
    }
    // RFC 2181 section 5.2, and a TTL of 0 fails calls.
    for section in &seen.sections {
        for record in section {
            let others = section
                .iter()
                .filter(|other| (&other.owner, other.rtype) == (&record.owner, record.rtype));
            assert!(others.clone().all(|other| other.ttl == record.ttl));
            assert_eq!(others.filter(|other| other.rdata == record.rdata).count(), 1);
            assert!(record.ttl > 0 || record.class == 3);
        }
    }
}

/// Whoever sends from an address that is not its own must not make us send
/// more there than it sent, a fresh cookie of 16 octets aside.
fn check_size(asked: &Asked, message: &[u8], octets: &[u8], seen: &Seen, outcome: &Outcome<'_>) {
    let is_error = !matches!(seen.rcode, 0 | 3 | 6);
    if asked.client.transport == Transport::Udp && is_error && !outcome.has_cookie {
        let has_cookie = decoders::options(octets).iter().any(|(code, _)| *code == 10);
        let most = message.len() + if has_cookie { 16 } else { 0 };
        assert!(octets.len() <= most, "{} octets for {}", octets.len(), message.len());
    }
}
