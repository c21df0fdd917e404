//! What the answer core says beside records, by RFC clause: EDNS and its
//! options, cookies, errors, operations that are not served.
//!
//! No sockets: octets go in, octets come out and are read by hickory-proto.

mod support;

use std::net::IpAddr;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{DNSClass, RData};
use support::{Answer, EU, Question, US, World, question};
use trunkdns::answer::{Cause, Client, Transport, Verdict, answer};
use trunkdns::snapshot::{Moment, Snapshot};
use trunkdns::wire::{CookieSecrets, Reason};

const CONFIG: &str = "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n";

const RECORDS: &str = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 30\n@ NS ns1\n\
                       ns1 A 192.0.2.53\nwww A 192.0.2.80\n";

const NAME: &str = "www.z.example.";

/// The identity, which an error has no room for.
const IDENTITY: &str = "a-name-server-with-a-name-that-is-longer-than-any-cookie";

fn world() -> World {
    let mut world = World::with_zone("z.example", &[("records.zone", RECORDS)]);
    world.file("trunkdns.toml", format!("[server]\nidentity = \"{IDENTITY}\"\n{CONFIG}"));
    world
}

/// A query whose only option is as given.
fn asking(name: &str, code: u16, data: &[u8]) -> Question {
    question(name, "A").option(code, data)
}

const NSID: u16 = 3;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

/// Returns an option of a response as it is.
fn option(answer: &Answer, code: u16) -> Option<Vec<u8>> {
    let option = answer.message.edns.as_ref()?.option(EdnsCode::from(code))?;
    Some(Vec::try_from(option).unwrap())
}

/// Puts octets together to a message: ID 4711, flags, counts and the rest.
fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    let words = [4711, flags].into_iter().chain(counts);
    let mut message: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
    message.extend(parts.concat());
    message
}

/// `www.z.example`, A, IN, in mixed case.
const QUESTION: &[u8] = b"\x03wWw\x01Z\x07example\0\0\x01\0\x01";
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";

/// Returns an OPT record with options as they are.
fn opt(options: &[u8]) -> Vec<u8> {
    [&OPT[..9], &(options.len() as u16).to_be_bytes(), options].concat()
}

/// Sends octets; returns what comes back, and why.
fn send(snapshot: &Snapshot, transport: Transport, message: &[u8]) -> (Option<Vec<u8>>, Cause) {
    let client = Client { address: US.parse().unwrap(), transport };
    // What an earlier response has left there must not matter.
    let mut out = vec![0xee; 65_535];
    let outcome = answer(snapshot, &client, Moment(0), message, &mut out);
    let response = match outcome.verdict {
        Verdict::Send(len) => Some(out[..len].to_vec()),
        Verdict::Drop => None,
    };
    (response, outcome.cause)
}

/// Sends octets over UDP; returns the response code, and the response.
fn send_udp(snapshot: &Snapshot, message: &[u8]) -> (u16, Vec<u8>) {
    let (response, cause) = send(snapshot, Transport::Udp, message);
    let response = response.unwrap_or_else(|| panic!("{cause:?}: no response"));
    let rcode = Message::from_vec(&response).unwrap().metadata.response_code;
    (rcode.into(), response)
}

//----------- Cookies (RFC 7873, RFC 9018) -----------------------------------

/// Ten o'clock, in milliseconds.
const TEN: u64 = 36_000_000;
const MINUTE: u64 = 60_000;

/// Asks with a client cookie alone at ten o'clock; returns the whole cookie.
fn learn(snapshot: &Snapshot, address: &str) -> Vec<u8> {
    let answer = asking(NAME, COOKIE, b"mycookie").from(address).at(TEN).ask(snapshot);
    option(&answer, COOKIE).unwrap()
}

#[test]
fn rfc_7873_5_2_3_a_client_cookie_alone_gets_a_server_cookie() {
    let snapshot = world().load();
    let answer = asking(NAME, COOKIE, b"mycookie").at(TEN).ask(&snapshot);
    assert_eq!((answer.rcode(), answer.data()), ("NOERROR", vec!["192.0.2.80".to_owned()]));
    assert!(!answer.outcome.has_cookie);
    let cookie = option(&answer, COOKIE).unwrap();
    // RFC 9018 section 4: version 1, reserved, the time.
    assert_eq!(cookie[..16], *b"mycookie\x01\0\0\0\0\0\x8c\xa0");
    assert_eq!(cookie.len(), 24);
}

#[test]
fn rfc_7873_5_2_5_a_valid_cookie_is_known_and_comes_back_over_every_transport() {
    let snapshot = world().load();
    let cookie = learn(&snapshot, US);
    let asked = asking(NAME, COOKIE, &cookie).at(TEN + 10 * MINUTE);
    for asked in [asked.clone(), asked.clone().tcp(), asked.encrypted()] {
        let answer = asked.ask(&snapshot);
        assert!(answer.outcome.has_cookie);
        assert_eq!(option(&answer, COOKIE), Some(cookie.clone()));
    }
}

#[test]
fn rfc_9018_4_3_a_cookie_is_renewed_after_half_an_hour_and_ends_after_one() {
    let snapshot = world().load();
    let cookie = learn(&snapshot, US);
    let at = |milliseconds: u64| {
        let answer = asking(NAME, COOKIE, &cookie).at(milliseconds).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.answers().len()), ("NOERROR", 1));
        let is_same = option(&answer, COOKIE).unwrap() == cookie;
        (answer.outcome.has_cookie, is_same)
    };
    assert_eq!(at(TEN - 5 * MINUTE), (true, true));
    assert_eq!(at(TEN - 5 * MINUTE - 1), (false, false));
    assert_eq!(at(TEN + 30 * MINUTE + 999), (true, true));
    assert_eq!(at(TEN + 30 * MINUTE + 1000), (true, false));
    assert_eq!(at(TEN + 60 * MINUTE + 999), (true, false));
    assert_eq!(at(TEN + 60 * MINUTE + 1000), (false, false));
}

#[test]
fn rfc_7873_5_2_4_an_invalid_cookie_counts_as_none_and_gets_a_fresh_one() {
    let snapshot = world().load();
    let fresh = learn(&snapshot, US);
    let forged = [b"mycookie".as_slice(), &[7; 16]].concat();
    for cookie in [forged, b"mycookieOlDcOoKiE".to_vec(), [fresh.as_slice(), &[0; 16]].concat()] {
        let answer = asking(NAME, COOKIE, &cookie).at(TEN).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.answers().len()), ("NOERROR", 1));
        assert!(!answer.outcome.has_cookie);
        assert_eq!(option(&answer, COOKIE), Some(fresh.clone()));
    }
}

#[test]
fn rfc_7873_5_2_2_cookies_of_wrong_lengths_are_format_errors() {
    let snapshot = world().load();
    for len in [0, 1, 7, 9, 15, 41, 100] {
        let answer = asking(NAME, COOKIE, &vec![7; len]).ask(&snapshot);
        assert_eq!(answer.rcode(), "FORMERR", "{len}");
        assert_eq!((option(&answer, COOKIE), answer.message.queries.len()), (None, 1));
        assert_eq!(answer.outcome.cause, Cause::Malformed(Reason::Cookie));
    }
}

#[test]
fn rfc_7873_5_2_of_two_cookies_the_first_counts() {
    let snapshot = world().load();
    let options = opt(b"\0\x0a\0\x08mycookie\0\x0a\0\x08ignored!");
    let (rcode, response) = send_udp(&snapshot, &message(0, [1, 0, 0, 1], &[QUESTION, &options]));
    assert_eq!((rcode, response.len()), (0, 12 + QUESTION.len() + 16 + 11 + 28));
    assert_eq!(response[response.len() - 24..][..8], *b"mycookie");
}

#[test]
fn rfc_7873_5_4_a_cookie_can_be_asked_for_and_checked_without_a_question() {
    let snapshot = world().load();
    let ask = |cookie: &[u8], address: &str| {
        let asked = asking(NAME, COOKIE, cookie).from(address).at(TEN + MINUTE);
        let answer = asked.with(|message| message.queries.clear()).ask(&snapshot);
        assert!(answer.answers().is_empty() && answer.message.queries.is_empty());
        assert_eq!((answer.outcome.cause, answer.flags().as_str()), (Cause::Cookie, ""));
        (answer.rcode(), answer.outcome.has_cookie, option(&answer, COOKIE).unwrap().len())
    };
    let cookie = learn(&snapshot, US);
    assert_eq!(ask(b"mycookie", US), ("NOERROR", false, 24));
    assert_eq!(ask(&cookie, US), ("NOERROR", true, 24));
    assert_eq!(ask(&cookie, EU), ("BADCOOKIE", false, 24));
}

#[test]
fn rfc_9018_4_4_a_cookie_is_bound_to_the_source_address_and_not_to_the_client_subnet() {
    let snapshot = world().load();
    let cookie = learn(&snapshot, US);
    let ask = |address: &str, subnet: &str| {
        let asked = asking(NAME, COOKIE, &cookie).from(address).subnet(subnet).at(TEN);
        asked.ask(&snapshot).outcome.has_cookie
    };
    assert!(ask(US, "10.2.0.0/24"));
    assert!(!ask(EU, "10.1.0.1/32"));
}

#[test]
fn rfc_7873_5_2_errors_carry_cookies_too() {
    let snapshot = world().load();
    let cookie = learn(&snapshot, US);
    let notify = |message: &mut Message| message.metadata.op_code = OpCode::Notify;
    for (asked, rcode) in [
        (asking("example.org.", COOKIE, &cookie), "REFUSED"),
        (asking(NAME, COOKIE, &cookie).with(notify), "NOTIMP"),
        (asking(NAME, COOKIE, &cookie).option(8, b"\0"), "FORMERR"),
    ] {
        let answer = asked.at(TEN).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.outcome.has_cookie), (rcode, true));
        assert_eq!(option(&answer, COOKIE), Some(cookie.clone()), "{rcode}");
    }
}

#[test]
fn rfc_9018_5_a_fleet_with_the_same_file_accepts_each_others_cookies() {
    let fleet_member = |secrets: &str| {
        let mut world = world();
        let config = format!("[server]\ncookie-secrets = \"secrets\"\n{CONFIG}");
        world.file("trunkdns.toml", config);
        world.file("secrets", secrets);
        world.private("secrets");
        world.load()
    };
    let (old, new) = ("e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962");
    let both = format!("{new}\n{old}\n");
    let asks = |snapshot: &Snapshot, cookie: &[u8]| {
        let answer = asking(NAME, COOKIE, cookie).at(TEN).ask(snapshot);
        (answer.outcome.has_cookie, option(&answer, COOKIE).unwrap())
    };
    let (first, second, third) = (fleet_member(old), fleet_member(&both), fleet_member(new));
    let cookie = learn(&first, US);
    assert_eq!(learn(&fleet_member(old), US), cookie);
    let (is_known, renewed) = asks(&second, &cookie);
    assert!(is_known && renewed != cookie);
    assert_eq!(asks(&third, &renewed), (true, renewed.clone()));
    assert!(!asks(&third, &cookie).0);
}

#[test]
fn without_a_file_of_secrets_a_reload_keeps_the_cookies_of_the_process() {
    let world = world();
    assert_eq!(learn(&world.load(), US), learn(&world.load(), US));
}

#[test]
fn a_file_of_secrets_that_cannot_be_used_is_refused() {
    let mut world = world();
    world.file("trunkdns.toml", format!("[server]\ncookie-secrets = \"secrets\"\n{CONFIG}"));
    world.file("secrets", "e5e973e5\n");
    let (loaded, findings) = world.try_load();
    assert!(loaded.is_none() && findings.contains("error[bad-value]: line 1"), "{findings}");
    assert!(!findings.contains("e5e973e5"), "a secret is shown: {findings}");
}

#[test]
fn without_secrets_the_option_is_ignored() {
    let mut snapshot = world().load();
    snapshot.settings.cookie_secrets = CookieSecrets::default();
    let answer = asking(NAME, COOKIE, b"mycookie").ask(&snapshot);
    assert_eq!((answer.rcode(), option(&answer, COOKIE)), ("NOERROR", None));
    let alone = asking(NAME, COOKIE, b"mycookie").with(|message| message.queries.clear());
    let answer = alone.ask(&snapshot);
    assert_eq!(answer.rcode(), "FORMERR");
    assert_eq!(answer.outcome.cause, Cause::Malformed(Reason::QuestionCount));
}

//----------- TCP keepalive (RFC 7828) ---------------------------------------

#[test]
fn rfc_7828_3_3_2_a_client_that_asks_over_tcp_learns_the_idle_timeout() {
    let mut snapshot = world().load();
    snapshot.settings.tcp_keepalive = 0x0102;
    let asked = asking(NAME, KEEPALIVE, b"").tcp();
    assert_eq!(option(&asked.ask(&snapshot), KEEPALIVE), Some(vec![1, 2]));
    let answer = question(NAME, "A").edns(1232).tcp().ask(&snapshot);
    assert_eq!(option(&answer, KEEPALIVE), None);
    snapshot.settings.tcp_keepalive = 0;
    assert_eq!(option(&asked.ask(&snapshot), KEEPALIVE), None);
}

#[test]
fn rfc_7828_3_3_1_over_udp_keepalive_is_ignored_whatever_it_holds() {
    let snapshot = world().load();
    for data in [&b""[..], b"\0", b"\0\x64", b"\0\0\0\0"] {
        let answer = asking(NAME, KEEPALIVE, data).ask(&snapshot);
        assert_eq!((answer.rcode(), option(&answer, KEEPALIVE)), ("NOERROR", None));
    }
}

#[test]
fn rfc_7828_3_2_1_a_query_over_tcp_with_a_timeout_is_a_format_error() {
    let snapshot = world().load();
    for data in [&b"\0"[..], b"\0\x64", b"\0\0\0\0"] {
        let answer = asking(NAME, KEEPALIVE, data).tcp().ask(&snapshot);
        assert_eq!((answer.rcode(), answer.message.queries.len()), ("FORMERR", 1));
        assert!(answer.message.edns.is_some());
        assert_eq!(answer.outcome.cause, Cause::Malformed(Reason::TcpKeepalive));
    }
}

#[test]
fn rfc_9250_5_5_2_encrypted_transports_carry_no_keepalive() {
    let answer = asking(NAME, KEEPALIVE, b"").encrypted().ask(&world().load());
    assert_eq!((answer.rcode(), option(&answer, KEEPALIVE)), ("NOERROR", None));
}

//----------- Padding (RFC 7830, RFC 8467) -----------------------------------

#[test]
fn rfc_8467_4_1_encrypted_responses_are_padded_to_multiples_of_468_octets() {
    let text = format!("big TXT {}\n", "\"123456789\" ".repeat(60));
    let world = World::with_zone("z.example", &[("records.zone", &(RECORDS.to_owned() + &text))]);
    let snapshot = world.load();
    for (name, rtype, len) in [
        (NAME, "A", 468),
        ("missing.z.example.", "A", 468),
        ("big.z.example.", "TXT", 936),
        ("example.org.", "A", 468),
    ] {
        for sent in [&b""[..], &[0; 100]] {
            let asked = question(name, rtype).option(PADDING, sent).encrypted();
            let answer = asked.ask(&snapshot);
            assert_eq!(answer.len, len, "{name}");
            let padding = option(&answer, PADDING).unwrap();
            assert!(padding.iter().all(|&octet| octet == 0), "{name}");
        }
    }
}

#[test]
fn rfc_7830_4_there_is_no_padding_where_none_was_sent_or_others_can_see_it() {
    let snapshot = world().load();
    let unasked = question(NAME, "A").edns(1232).encrypted().ask(&snapshot);
    assert_eq!(option(&unasked, PADDING), None);
    let asked = asking(NAME, PADDING, b"\0\0\0");
    for asked in [asked.clone(), asked.tcp()] {
        let answer = asked.ask(&snapshot);
        assert_eq!((answer.rcode(), option(&answer, PADDING)), ("NOERROR", None));
        assert_eq!(answer.len, unasked.len);
    }
}

//----------- Extended errors (RFC 8914) -------------------------------------

/// Queries that are refused, and with what information code.
fn refused() -> Vec<(Question, &'static str, [u8; 2])> {
    let operation =
        |code: OpCode| question(NAME, "SOA").with(move |message| message.metadata.op_code = code);
    let chaos = question("version.bind.", "TXT").with(|message| {
        message.queries[0].set_query_class(DNSClass::CH);
    });
    vec![
        (question("example.org.", "A"), "REFUSED", [0, 20]),
        (chaos, "REFUSED", [0, 20]),
        (question("z.example.", "AXFR"), "REFUSED", [0, 18]),
        (question("z.example.", "IXFR"), "REFUSED", [0, 18]),
        (operation(OpCode::Notify), "NOTIMP", [0, 21]),
        (operation(OpCode::Update), "NOTIMP", [0, 21]),
    ]
}

#[test]
fn rfc_8914_4_an_error_says_what_it_means_where_edns_was_sent() {
    let snapshot = world().load();
    for (asked, rcode, info) in refused() {
        let answer = asked.clone().edns(1232).tcp().ask(&snapshot);
        assert_eq!((answer.rcode(), option(&answer, EXTENDED_ERROR)), (rcode, Some(info.into())));
        let answer = asked.tcp().ask(&snapshot);
        assert!(answer.rcode() == rcode && answer.message.edns.is_none());
    }
}

#[test]
fn rfc_8914_3_answers_and_denials_carry_no_extended_error() {
    let snapshot = world().load();
    for name in [NAME, "missing.z.example.", "z.example."] {
        let answer = question(name, "A").edns(1232).tcp().ask(&snapshot);
        assert_eq!(option(&answer, EXTENDED_ERROR), None, "{name}");
    }
}

#[test]
fn an_error_over_udp_is_never_longer_than_what_it_answers_a_fresh_cookie_aside() {
    let snapshot = world().load();
    for (asked, rcode, info) in refused() {
        let plain = asked.clone().edns(1232).option(NSID, b"");
        let answer = plain.ask(&snapshot);
        assert!(answer.rcode() == rcode && answer.len <= plain.octets().len());
        assert_eq!((option(&answer, NSID), option(&answer, EXTENDED_ERROR)), (None, None));
        // Six octets to spare are what the extended error takes.
        for (spare, expected) in [(2, Some(Vec::from(info))), (1, None)] {
            let roomy = asked.clone().option(PADDING, &vec![0; spare]);
            let answer = roomy.ask(&snapshot);
            assert!(answer.len <= roomy.octets().len());
            assert_eq!(option(&answer, EXTENDED_ERROR), expected, "{spare}");
        }
        let learning = asked.clone().option(COOKIE, b"mycookie").option(NSID, b"");
        assert_eq!(learning.ask(&snapshot).len, learning.octets().len() - 4 + 16);
    }
}

#[test]
fn a_valid_cookie_proves_the_address_so_that_errors_may_say_more() {
    let snapshot = world().load();
    let cookie = learn(&snapshot, US);
    for (asked, rcode, info) in refused() {
        let asked = asked.option(COOKIE, &cookie).option(NSID, b"").at(TEN);
        let answer = asked.ask(&snapshot);
        assert_eq!((answer.rcode(), option(&answer, EXTENDED_ERROR)), (rcode, Some(info.into())));
        assert_eq!(option(&answer, NSID), Some(IDENTITY.into()));
    }
}

//----------- EDNS (RFC 6891) ------------------------------------------------

#[test]
fn rfc_6891_6_1_2_options_that_nobody_knows_are_ignored() {
    let snapshot = world().load();
    for code in [0, 1, 5, 13, 14, 65001, 65535] {
        let answer = asking(NAME, code, b"whatever").ask(&snapshot);
        assert_eq!((answer.rcode(), answer.answers().len()), ("NOERROR", 1));
        assert!(answer.message.edns.as_ref().unwrap().options().as_ref().is_empty(), "{code}");
    }
}

#[test]
fn rfc_6891_6_1_1_two_opt_records_are_a_format_error() {
    let query = message(0, [1, 0, 0, 2], &[QUESTION, OPT, OPT]);
    let (rcode, response) = send_udp(&world().load(), &query);
    assert_eq!((rcode, response.len()), (1, query.len() - OPT.len()));
    assert!(response[12..].starts_with(QUESTION) && response.ends_with(OPT));
}

#[test]
fn rfc_6891_6_1_2_an_opt_record_below_the_root_is_a_format_error() {
    let snapshot = world().load();
    for owner in [&b"\x01a\0"[..], b"\xc0\x0c"] {
        let query = message(0, [1, 0, 0, 1], &[QUESTION, owner, &OPT[1..]]);
        let (rcode, response) = send_udp(&snapshot, &query);
        assert_eq!(rcode, 1);
        assert!(response[12..].starts_with(QUESTION) && response.ends_with(OPT));
    }
}

#[test]
fn rfc_6891_6_1_3_a_version_above_ours_is_badvers_with_ours() {
    let snapshot = world().load();
    for version in [1, 255] {
        let opt = [&OPT[..6], &[version], &OPT[7..9], b"\0\x02xy"].concat();
        let query = message(0, [1, 0, 0, 1], &[QUESTION, &opt]);
        let (rcode, response) = send_udp(&snapshot, &query);
        assert_eq!(rcode, 16);
        let reply = &response[12 + QUESTION.len()..];
        // The upper bits of the code, then the version.
        assert_eq!((reply.len(), reply[5], reply[6]), (11, 1, 0));
    }
}

#[test]
fn rfc_3225_3_the_do_bit_is_copied_and_no_other_flag() {
    let snapshot = world().load();
    for (sent, copied) in [([0x80, 0], [0x80, 0]), ([0x7f, 0xff], [0, 0]), ([0xff; 2], [0x80, 0])] {
        let opt = [&OPT[..7], &sent, &OPT[9..]].concat();
        for question in [QUESTION, b"\0\0\x01\0\x01"] {
            let query = message(0, [1, 0, 0, 1], &[question, &opt]);
            let (_, response) = send_udp(&snapshot, &query);
            assert_eq!(response[response.len() - 4..][..2], copied);
        }
    }
}

#[test]
fn an_identity_that_has_no_room_is_left_out_and_never_the_response() {
    let mut world = world();
    let identity = "x".repeat(255);
    world.file("trunkdns.toml", format!("[server]\nidentity = \"{identity}\"\n{CONFIG}"));
    let snapshot = world.load();
    let label = "l".repeat(63);
    let name = format!("{label}.{label}.{label}.{}.z.example.", "l".repeat(51));
    let asked = question(&name, "A").option(NSID, b"").edns(512);
    let small = asked.ask(&snapshot);
    assert_eq!((small.rcode(), option(&small, NSID)), ("NXDOMAIN", None));
    let large = asked.edns(1232).ask(&snapshot);
    assert_eq!((large.rcode(), option(&large, NSID)), ("NXDOMAIN", Some(identity.into())));
}

//----------- Messages that are no queries -----------------------------------

#[test]
fn an_identity_that_the_buffer_has_no_room_for_is_left_out_and_never_the_response() {
    let snapshot = world().load();
    let nsid = [&[0, NSID as u8][..], &[0, 0]].concat();
    let query = message(0, [1, 0, 0, 1], &[QUESTION, &opt(&nsid)]);
    let client = Client { address: US.parse().unwrap(), transport: Transport::Tcp };
    let identity_at = |len: usize| {
        let mut out = vec![0; len];
        let outcome = answer(&snapshot, &client, Moment(0), &query, &mut out);
        let Verdict::Send(len) = outcome.verdict else { panic!("{len}: {outcome:?}") };
        out[..len].windows(IDENTITY.len()).any(|octets| octets == IDENTITY.as_bytes())
    };
    let least = 12 + QUESTION.len() + OPT.len();
    assert!(!identity_at(least) && !identity_at(least + IDENTITY.len() + 3));
    assert!(identity_at(least + IDENTITY.len() + 4) && identity_at(65535));
}

#[test]
fn other_operations_are_not_implemented_copy_no_flag_and_their_question_comes_back() {
    // 1 IQUERY (RFC 3425), 2 STATUS, 4 NOTIFY (RFC 1996 section 3.12), 5 UPDATE
    // (RFC 2136 section 2.2), 6 DSO (RFC 8490 section 5.1.1): nothing of it is
    // served.
    let snapshot = world().load();
    for opcode in 1..=15 {
        // With every flag set, none of which comes back, nor the code below them.
        let query = message(opcode << 11 | 0x07ff, [1, 0, 0, 1], &[QUESTION, OPT]);
        let (rcode, response) = send_udp(&snapshot, &query);
        assert_eq!((rcode, response.len()), (4, query.len()), "{opcode}");
        assert_eq!(response[2..4], [0x80 | (opcode as u8) << 3, 4], "{opcode}");
        assert!(response[12..].starts_with(QUESTION) && response.ends_with(OPT));
    }
}

#[test]
fn rfc_8945_5_3_2_a_signed_query_is_told_that_its_key_is_unknown() {
    let snapshot = world().load();
    let tsig = b"\x03key\x01Z\x07example\0\0\xfa\0\xff\0\0\0\0\0\x43\x0bhmac-sha256\0\
                 \0\0\x65\x01\x02\x03\x01\x2c\0\x20abcdefghijklmnopqrstuvwxyzabcdef\
                 \x12\x67\0\0\0\x06\0\0\0\0\0\0";
    assert_eq!(tsig[23..25], [0, (tsig.len() - 25) as u8], "its length");
    for (count, opt) in [(1, &b""[..]), (2, OPT), (2, &opt(b"\0\x03\0\0\0\x0f\0\0"))] {
        let query = message(0x0100, [1, 0, 0, count], &[QUESTION, opt, tsig]);
        for transport in [Transport::Udp, Transport::Tcp] {
            let (response, cause) = send(&snapshot, transport, &query);
            assert_eq!(cause, Cause::Malformed(Reason::TsigKey));
            let response = response.unwrap();
            assert!(transport == Transport::Tcp || response.len() <= query.len());
            let message = Message::from_vec(&response).unwrap();
            assert_eq!(u16::from(message.metadata.response_code), 9);
            assert_eq!(message.edns.is_some(), count == 2);
            let record = message.additionals.last().unwrap();
            assert_eq!(record.name.to_string(), "key.Z.example.");
            let RData::TSIG(data) = &record.data else { panic!("{record}") };
            assert_eq!((data.error.map(u16::from), data.oid, data.mac.len()), (Some(17), 4711, 0));
            assert_eq!((data.time, data.fudge), (0x65_01_02_03, 300));
        }
    }
}

#[test]
fn rfc_1996_3_12_a_notify_with_its_soa_is_not_implemented() {
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x02ab";
    let query = message(0x2400, [1, 1, 0, 0], &[QUESTION, soa]);
    let (rcode, response) = send_udp(&world().load(), &query);
    assert_eq!((rcode, &response[12..]), (4, QUESTION));
}

#[test]
fn rfc_2136_2_2_an_update_is_not_implemented_whatever_it_holds() {
    let snapshot = world().load();
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    let update = message(0x2800, [1, 0, 1, 0], &[QUESTION, record]);
    let (rcode, response) = send_udp(&snapshot, &update);
    assert_eq!((rcode, &response[12..]), (4, QUESTION));
    let garbage = message(0x2800, [1, 9, 9, 9], &[b"\xff"]);
    let (rcode, response) = send_udp(&snapshot, &garbage);
    assert_eq!((rcode, response.len()), (4, 12));
}

#[test]
fn responses_and_less_than_a_header_are_never_answered() {
    let snapshot = world().load();
    let whole = message(0x8000, [1, 0, 0, 1], &[QUESTION, OPT]);
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Encrypted] {
        for len in 0..=whole.len() {
            let (response, cause) = send(&snapshot, transport, &whole[..len]);
            assert_eq!(response, None);
            let reason = if len < 12 { Reason::Short } else { Reason::Response };
            assert_eq!(cause, Cause::Malformed(reason));
        }
    }
}

#[test]
fn rfc_9619_4_anything_but_one_question_is_a_format_error() {
    let snapshot = world().load();
    for count in [0, 2, 3] {
        let questions = QUESTION.repeat(count.into());
        let query = message(0, [count, 0, 0, 1], &[&questions, OPT]);
        let (rcode, response) = send_udp(&snapshot, &query);
        assert_eq!((rcode, &response[12..]), (1, OPT), "{count}");
    }
}

#[test]
fn a_message_cut_anywhere_is_a_format_error_with_what_could_be_read() {
    let snapshot = world().load();
    let options = opt(b"\0\x0a\0\x08mycookie\0\x03\0\0");
    let whole = message(0x0100, [1, 0, 0, 1], &[QUESTION, &options]);
    for len in 12..whole.len() {
        let (rcode, response) = send_udp(&snapshot, &whole[..len]);
        assert_eq!((rcode, response[2]), (1, 0x81), "{len}");
        assert_eq!(response[..2], whole[..2]);
        let echoed: &[u8] = if len >= 12 + QUESTION.len() { QUESTION } else { b"" };
        assert_eq!(response[12..], *echoed, "{len}");
    }
}

/// Changes octets of queries with many options at random.
#[test]
fn whatever_comes_over_udp_an_error_is_no_longer_than_it() {
    let snapshot = world().load();
    let options = opt(b"\0\x03\0\0\0\x08\0\x07\0\x01\x18\0\x0a\x02\0\0\x0b\0\0\0\x0c\0\x02\0\0");
    let whole = message(0x0100, [1, 0, 0, 1], &[QUESTION, &options]);
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    let mut errors = 0;
    for _ in 0..20_000 {
        let mut query = whole.clone();
        for _ in 0..=next(3) {
            let at = next(query.len());
            query[at] = next(256) as u8;
        }
        query.truncate(whole.len() - next(2) * next(20));
        let (Some(response), cause) = send(&snapshot, Transport::Udp, &query) else { continue };
        if matches!(cause, Cause::Malformed(_) | Cause::NotServed | Cause::Transfer) {
            errors += 1;
            assert!(response.len() <= query.len(), "{cause:?}: {query:?}");
        }
        assert!(response.len() <= 1232 && response[2] & 0x80 != 0);
    }
    assert!(errors > 5_000, "{errors} errors");
}

//----------- Server identity (RFC 4892) and classes -------------------------

#[test]
fn rfc_4892_2_identity_and_version_are_given_as_configured_and_refused_otherwise() {
    let chaos = |name: &str, rtype: &str, snapshot: &Snapshot| {
        let asked = question(name, rtype).with(|message| {
            message.queries[0].set_query_class(DNSClass::CH);
        });
        let answer = asked.ask(snapshot);
        (answer.rcode(), answer.data().first().cloned())
    };
    let mut world = world();
    let named = world.load();
    for name in ["id.server.", "hostname.bind."] {
        assert_eq!(chaos(name, "TXT", &named), ("NOERROR", Some(IDENTITY.to_owned())));
    }
    for name in ["version.bind.", "version.server.", "authors.bind.", "bind.", "."] {
        assert_eq!(chaos(name, "TXT", &named), ("REFUSED", None), "{name}");
    }
    world.file("trunkdns.toml", format!("[server]\nversion = \"not told\"\n{CONFIG}"));
    let versioned = world.load();
    for name in ["version.bind.", "VERSION.server."] {
        assert_eq!(chaos(name, "TXT", &versioned), ("NOERROR", Some("not told".to_owned())));
        assert_eq!(chaos(name, "A", &versioned), ("REFUSED", None));
    }
    assert_eq!(chaos("id.server.", "TXT", &versioned), ("REFUSED", None));
    // Of class IN these are names like others.
    assert_eq!(question("version.bind.", "TXT").ask(&versioned).rcode(), "REFUSED");
}

#[test]
fn rfc_5936_4_2_transfers_are_refused_over_udp_and_tcp() {
    let snapshot = world().load();
    for rtype in ["AXFR", "IXFR"] {
        for asked in [question("z.example.", rtype), question("z.example.", rtype).tcp()] {
            let answer = asked.ask(&snapshot);
            assert_eq!((answer.rcode(), answer.answers().len()), ("REFUSED", 0), "{rtype}");
            assert_eq!(answer.outcome.cause, Cause::Transfer);
        }
    }
}

#[test]
fn addresses_that_carry_ipv4_get_the_cookies_of_that_ipv4_address() {
    let snapshot = world().load();
    let mapped = match US.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_string(),
        IpAddr::V6(_) => unreachable!("US is an IPv4 address"),
    };
    assert_eq!(learn(&snapshot, US), learn(&snapshot, &mapped));
}
