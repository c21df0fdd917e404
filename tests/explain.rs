//! Explanations: they are of the very answers that are served, and say when
//! these change.

#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Stdio;
use std::sync::Arc;

use hickory_proto::op::Message;
use ipnet::IpNet;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use server::Server;
use support::World;
use trunkdns::answer::{Client, Transport, change, trace};
use trunkdns::explain::{Asker, Explanation, Request, explain};
use trunkdns::snapshot::{Moment, Order, Settings, Snapshot, Timeline};

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10 }
secondary = { priority = 20, ttl = 45 }
[hosts]
ns1 = ["192.0.2.53"]
sbc1 = { addresses = ["198.51.100.1", "2001:db8::1"], ttl = 90 }
sbc2 = { addresses = ["198.51.100.2"], ttl = 30 }
"#;

const PRIORITIES: &str = r#"["_sip._tcp".eu]
primary = ["sbc2"]
secondary = ["sbc1"]
["_sip._tcp".default]
primary = ["sbc1"]
"#;

const RECORDS: &str = "$TTL 120\n*.wild TXT a\nalias CNAME sbc1\nto DNAME wild\nlab NS ns.lab\n\
                       ns.lab A 192.0.2.2\n";

const NAMES: [&str; 10] = [
    "_sip._tcp.carrier.example.com.",
    "_sip._tcp.secondary.carrier.example.com.",
    "_sip._tcp.eu.carrier.example.com.",
    "sbc1.carrier.example.com.",
    "a.wild.carrier.example.com.",
    "alias.carrier.example.com.",
    "x.lab.carrier.example.com.",
    "x.to.carrier.example.com.",
    "missing.carrier.example.com.",
    "carrier.example.com.",
];

const TYPES: [&str; 6] = ["SRV", "A", "AAAA", "TXT", "SOA", "ANY"];

fn world() -> World {
    World::with_zone(
        "carrier.example.com",
        &[("zone.toml", ZONE), ("priorities.toml", PRIORITIES), ("records.zone", RECORDS)],
    )
}

//----------- Explanations and answers ---------------------------------------

/// A zone that is edited again and again, each edit through a handover, as it
/// is in the second `NOW`.
fn in_handover() -> Snapshot {
    let mut world = world();
    let first = world.load().timelines()[0].newest().clone();
    let mut timeline = Timeline::new(first, 0);
    let edits = [
        ("priorities.toml", PRIORITIES.replace("sbc1", "sbc3").replace("sbc2", "sbc1")),
        ("records.zone", RECORDS.replace("TXT a", "TXT b")),
        ("priorities.toml", PRIORITIES.replacen("sbc2", "sbc1", 1)),
    ];
    world.file("zones/carrier.example.com/zone.toml", format!("{ZONE}sbc3 = [\"198.51.100.3\"]\n"));
    for ((file, text), published) in edits.into_iter().zip([NOW - 130, NOW - 20, NOW]) {
        world.file(format!("zones/carrier.example.com/{file}"), text);
        let version = world.load().timelines()[0].newest().clone();
        let order = Order {
            now: published,
            published,
            spread: 15,
            longest: 300,
            immediate: false,
            effective: None,
        };
        (timeline, _) = timeline.publish(version, order, change);
    }
    assert!(timeline.entries().len() >= 3);
    let settings = Settings { spread_ttl: 20, ..world.load().settings };
    Snapshot::new(7, settings, [Arc::new(timeline)])
}

const NOW: u64 = 1_800_000_000;

struct Draw(TestRng);

impl Draw {
    fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.0.next_u32() as usize % list.len()]
    }

    /// An address in one of the regions, or in none.
    fn address(&mut self) -> IpAddr {
        let low = self.0.next_u32();
        match low % 3 {
            0 => Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(low % 5) << 80)).into(),
            _ => Ipv4Addr::from((10 << 24) | ((low % 5) << 16) | (low >> 16)).into(),
        }
    }

    fn asker(&mut self) -> Asker {
        let address = self.address();
        let len = match address {
            IpAddr::V4(_) => self.0.next_u32() % 33,
            IpAddr::V6(_) => self.0.next_u32() % 129,
        };
        let subnet = IpNet::new(address, len as u8).unwrap().trunc();
        let from = self.address();
        Asker { from, subnet: Some(subnet).filter(|_| self.0.next_u32().is_multiple_of(2)) }
    }
}

fn ask(snapshot: &Snapshot, request: &Request) -> Explanation {
    let mut explained = explain(snapshot, Moment(0), request, |_| None).unwrap();
    assert_eq!(explained.len(), 1);
    explained.remove(0)
}

/// The answer to the same question, asked the way that resolvers do.
fn served(snapshot: &Snapshot, request: &Request) -> Vec<u8> {
    let question = support::question(&request.name, &request.rtype).edns(1232);
    let asker = request.clients[0];
    let question = match asker.subnet {
        Some(subnet) => question.subnet(&subnet.to_string()),
        None => question,
    };
    let question = question.from(&asker.from.to_string()).at(request.at.unwrap());
    question.ask_octets(snapshot).0
}

/// What an answer says beside its ID and its TTLs.
fn content(octets: &[u8]) -> Vec<String> {
    let message = Message::from_vec(octets).unwrap();
    let records = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
    let mut content: Vec<_> =
        records.map(|record| format!("{} {:?}", record.name, record.data)).collect();
    content.push(message.metadata.response_code.to_string());
    content
}

#[test]
fn an_explanation_is_of_the_answer_that_is_served_with_its_ttls_and_its_next_change() {
    let snapshot = in_handover();
    let mut draw = Draw(TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut changes = BTreeSet::new();
    for _ in 0..10_000 {
        let at = NOW * 1000 - 30_000 + u64::from(draw.0.next_u32() % 150_000);
        let request = Request {
            name: (*draw.pick(&NAMES)).to_owned(),
            rtype: (*draw.pick(&TYPES)).to_owned(),
            clients: vec![draw.asker()],
            at: Some(at),
        };
        let explanation = ask(&snapshot, &request);
        let octets = served(&snapshot, &request);
        let hex: String = octets.iter().skip(2).map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(explanation.answer.octets[4..], hex, "{request:?}");
        check_ttls(&snapshot, &request, &explanation);
        if let Some(next) = check_next_change(&snapshot, &request, &explanation) {
            changes.insert(next);
        }
    }
    // One edit is under way, and two are pending for most.
    assert!(changes.len() > 10, "{changes:?}");
}

/// Each record's TTL is the one that the trace says is sent.
fn check_ttls(snapshot: &Snapshot, request: &Request, explanation: &Explanation) {
    let Asker { from, subnet } = request.clients[0];
    let question = support::question(&request.name, &request.rtype).edns(1232);
    let question = match subnet {
        Some(subnet) => question.subnet(&subnet.to_string()),
        None => question,
    };
    let client = Client { address: from, transport: Transport::Udp };
    let now = Moment(request.at.unwrap());
    let trace = trace(snapshot, &client, now, &question.octets(), 1232).unwrap();
    let sent = trace.records.iter().flat_map(|rrset| rrset.rdatas.iter().map(|_| rrset.sent));
    let ttls = explanation.answer.records.iter().map(|record| record.ttl);
    assert!(ttls.eq(sent.take(explanation.answer.records.len())), "{explanation:#?}");
    for record in &explanation.answer.records {
        assert!(record.ttl <= record.lowered_ttl && record.lowered_ttl <= record.table_ttl);
    }
}

/// The answer is the same until the next change, and another one then.
fn check_next_change(
    snapshot: &Snapshot,
    request: &Request,
    explanation: &Explanation,
) -> Option<u64> {
    let next = explanation.zone.as_ref().unwrap().next_change;
    let now = request.at.unwrap();
    let content_at = |at| content(&served(snapshot, &Request { at: Some(at), ..request.clone() }));
    let is_any = request.rtype == "ANY";
    match next {
        Some(next) => {
            assert_eq!(content_at(next * 1000 - 1), content_at(now), "{explanation:#?}");
            assert!(is_any || content_at(next * 1000) != content_at(now), "{explanation:#?}");
        }
        None => assert_eq!(content_at(now + 400_000), content_at(now), "{explanation:#?}"),
    }
    next
}

#[test]
fn the_scope_is_explained_by_a_neighbour_that_gets_another_answer() {
    let world = world();
    let snapshot = world.load();
    let asker =
        Asker { from: "192.0.2.1".parse().unwrap(), subnet: Some("10.2.7.0/24".parse().unwrap()) };
    let request = Request {
        name: NAMES[0].to_owned(),
        rtype: "SRV".to_owned(),
        clients: vec![asker],
        at: Some(0),
    };
    let zone = ask(&snapshot, &request).zone.unwrap();
    let scope = zone.scope.unwrap();
    assert_eq!(zone.region, "eu");
    assert_eq!(zone.range, ("10.2.0.0".parse().unwrap(), "10.2.255.255".parse().unwrap()));
    assert_eq!(scope.length, 16);
    assert_eq!(scope.because, "10.3.0.0 to 10.3.255.255 are in ap, and get another answer");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let snapshot = world().load();
    let request = |name: &str, rtype: &str| Request {
        name: name.to_owned(),
        rtype: rtype.to_owned(),
        clients: Vec::new(),
        at: None,
    };
    let error = |request| explain(&snapshot, Moment(0), &request, |_| None).unwrap_err();
    assert_eq!(error(request("a..b", "SRV")), "`a..b` has an empty label");
    assert_eq!(error(request("a.b", "SVR")), "`SVR` is not a record type");
}

//----------- The command ----------------------------------------------------

/// Runs a command with lines on its standard input; returns code and output.
fn run(world: &World, arguments: &str, input: &str) -> (Option<i32>, String) {
    let mut command = server::trunkdns();
    command.arg("--config").arg(world.path().join("trunkdns.toml"));
    command.args(arguments.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.replace(&format!("{}/", world.path().display()), ""))
}

#[test]
fn the_tables_on_the_disk_are_explained_with_every_place() {
    let world = world();
    let (code, text) =
        run(&world, "explain _sip._tcp.carrier.example.com --from 10.2.0.1 --tables", "");
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "client    10.2.0.1, by its own address; network 10.2.0.0/24",
        "rule      network 10.2.0.0/16, regions.toml:8:13: eu",
        "region    eu, as 10.2.0.0 to 10.2.255.255",
        "next      no change of this answer is pending",
        "answer    NOERROR (Answered)",
        "  _sip._tcp.carrier.example.com. 60 IN SRV 10 100 5060 sbc2.carrier.example.com.",
        "      primary of eu, zones/carrier.example.com/priorities.toml:2:12",
        "      secondary of eu, zones/carrier.example.com/priorities.toml:3:14",
        "      [hosts], zones/carrier.example.com/zone.toml:16:23",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn tables_that_are_served_with_an_excuse_are_explained_like_others() {
    let mut world = world();
    let config = world.text("trunkdns.toml");
    world.file("trunkdns.toml", format!("{config}[zones]\nlenient = true\n"));
    world.file(
        "zones/carrier.example.com/records.zone",
        format!("{RECORDS}elsewhere.example. TXT outside\n"),
    );
    let (code, text) =
        run(&world, "explain a.wild.carrier.example.com TXT --from 10.2.0.1 --tables", "");
    assert_eq!(code, Some(0), "{text}");
    let written = "      the master file, zones/carrier.example.com/records.zone:2:1\n";
    assert!(text.contains(written), "{text}");
}

#[test]
fn a_table_of_addresses_is_explained_in_one_call() {
    let world = world();
    let input = "10.1.0.1\n\n# a comment\n10.2.0.0/16  Frankfurt\n192.0.2.1, lab\n";
    let (code, text) = run(&world, "explain - _sip._tcp.carrier.example.com --tables", input);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        text,
        "10.1.0.1\tus\tnetwork 10.1.0.0/16\t10 100 5060 sbc1.carrier.example.com.\n\
         10.2.0.0/16\teu\tnetwork 10.2.0.0/16\t10 100 5060 sbc2.carrier.example.com.\n\
         192.0.2.1\tus\tthe default: a special-purpose address in no network (RFC 6890)\t\
         10 100 5060 sbc1.carrier.example.com.\n"
    );
    let (code, text) = run(&world, "explain - _sip._tcp.carrier.example.com --tables", "1.2.3\n");
    assert_eq!(
        (code, &*text),
        (Some(1), "trunkdns: line 1: `1.2.3` is neither address nor prefix\n")
    );
}

#[test]
fn an_address_leads_to_the_endpoint_and_to_the_rows_that_name_it() {
    let world = world();
    for what in ["198.51.100.1", "2001:db8::1", "sbc1.carrier.example.com"] {
        let (code, text) = run(&world, &format!("explain {what} --tables"), "");
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(
            text,
            "sbc1.carrier.example.com.  198.51.100.1 2001:db8::1\n  secondary of eu for \
             _sip._tcp:5060: priority 20, weight 100, \
             zones/carrier.example.com/priorities.toml:3:14\n  primary of default for \
             _sip._tcp:5060: priority 10, weight 100, \
             zones/carrier.example.com/priorities.toml:5:12\n"
        );
    }
    let (code, text) = run(&world, "explain 203.0.113.1 --tables", "");
    assert_eq!(code, Some(1));
    assert_eq!(text, "203.0.113.1 is no endpoint, and no endpoint's address\n");
}

#[test]
fn the_running_server_explains_what_is_in_force_and_what_is_pending() {
    let mut world = world();
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    world.file("zones/carrier.example.com/priorities.toml", PRIORITIES.replacen("sbc2", "sbc1", 1));
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
    let name = "_sip._tcp.carrier.example.com";
    let (code, now) = run(&world, &format!("explain {name} --from 10.2.0.1"), "");
    assert_eq!(code, Some(0), "{now}");
    assert!(now.contains("IN FORCE for this network\n"), "{now}");
    assert!(now.contains(", with another answer\n"), "{now}");
    assert!(now.contains("SRV 10 100 5060 sbc2.carrier.example.com.\n"), "{now}");
    assert!(now.contains("next      this answer changes at "), "{now}");
    let (code, later) = run(&world, &format!("explain {name} --from 10.2.0.1 --at +200s"), "");
    assert_eq!(code, Some(0), "{later}");
    assert!(later.contains("SRV 10 100 5060 sbc1.carrier.example.com.\n"), "{later}");
    assert!(later.contains("primary of eu, zones/carrier.example.com/priorities.toml:2:12\n"));
    let (code, json) = run(&world, &format!("explain {name} --from 10.2.0.1 --json"), "");
    assert_eq!(code, Some(0), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["zone"]["region"], "eu");
    assert_eq!(json["placement"]["region"], "eu");
    assert_eq!(json["answer"]["records"][0]["table-ttl"], 60);
    let (code, text) = run(&world, "explain 198.51.100.2", "");
    assert_eq!(code, Some(1), "nobody names it any more: {text}");
}

#[test]
fn without_a_server_the_tables_have_to_be_asked_for() {
    let world = world();
    let (code, text) = run(&world, "explain _sip._tcp.carrier.example.com --from 10.2.0.1", "");
    assert_eq!(code, Some(1));
    assert!(text.contains("no server answers on "), "{text}");
    assert!(text.contains("add --tables to explain the tables on the disk"), "{text}");
    let (code, text) = run(&world, "explain _sip._tcp.carrier.example.com SRV --tables", "");
    assert_eq!(code, Some(1));
    assert!(text.contains("who asks? add --from ADDRESS"), "{text}");
}
