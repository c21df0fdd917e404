//! `trunkdns probe dns` against a real Unbound in front of the real server,
//! and against resolvers that lie.

#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record};
use serde_json::Value;

use server::{Resolver, Server, framed, has_address, installed, read_framed};
use support::World;

const NAME: &str = "_sip._tcp.carrier.example.com";

/// Runs `probe dns --json` on a configuration; returns the exit code and the
/// questions.
fn probe(config: &Path, via: SocketAddr, arguments: &str) -> (Option<i32>, Vec<Value>) {
    let arguments = format!("probe dns --via {via} --json {arguments}");
    let (code, text) = server::command(config, &arguments);
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (code, json["questions"].as_array().unwrap().clone())
}

/// Returns judgement and regions of the first question.
fn first(questions: &[Value]) -> (&str, Vec<&str>) {
    let question = &questions[0];
    let regions = question["regions"].as_array().unwrap();
    let regions = regions.iter().map(|region| region.as_str().unwrap()).collect();
    (question["judgement"].as_str().unwrap(), regions)
}

//----------- Unbound --------------------------------------------------------

#[test]
fn a_resolver_hands_out_the_answer_of_its_region_until_it_is_over() {
    if !installed("unbound") || !has_address("127.0.12.1") {
        return;
    }
    // No database: a reload is quick.
    let server = Server::example_with(|folder| {
        let path = folder.join("trunkdns.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let config = config.replace("databases = [\"geoip/country.mmdb\"]", "databases = []");
        std::fs::write(path, config.replace("watch = true", "watch = false")).unwrap();
    });
    let resolver = Resolver::start("127.0.12.1", "carrier.example.com", server.address);
    let config = server.folder().join("trunkdns.toml");
    let ask = |arguments: &str| {
        probe(&config, resolver.address, &format!("{NAME} --max-ms 5000 {arguments}"))
    };

    let (code, questions) = ask("--expect-region us-west");
    assert_eq!((code, first(&questions)), (Some(0), ("current", vec!["us-west"])));
    assert!(questions.len() > 5, "the addresses of the targets are asked for: {questions:?}");
    assert_eq!(questions[0]["ttl"], 60);
    assert!(questions[0]["ttl-left"].as_u64().unwrap() <= 60);
    assert_eq!(ask("--expect-region eu-west").0, Some(1));

    // Edited, and not published: the resolver has what the server gives.
    let table = server.folder().join("zones/carrier.example.com/priorities.toml");
    let before = std::fs::read_to_string(&table).unwrap();
    let turned = before.replace(
        "primary = [\"sbc1.us-west\"]\nsecondary = [\"sbc2.us-west\"]",
        "primary = [\"sbc2.us-west\"]\nsecondary = [\"sbc1.us-west\"]",
    );
    assert_ne!(before, turned);
    std::fs::write(&table, &turned).unwrap();
    let (code, questions) = ask("--expect-region us-west");
    assert_eq!((code, first(&questions)), (Some(0), ("published", vec!["us-west"])));

    // In the handover it is still in force; published at once it is over, and
    // the resolver's copy is stale.
    assert_eq!(server.command("reload").0, Some(0));
    let (code, questions) = ask("");
    assert_eq!((code, first(&questions)), (Some(0), ("published", vec!["us-west"])));
    assert_eq!(server.command("reload --now").0, Some(0));
    // From the next full second on.
    let deadline = Instant::now() + Duration::from_secs(10);
    let stale = loop {
        let (code, questions) = ask("");
        if first(&questions).0 != "published" || Instant::now() > deadline {
            break (code, first(&questions).0.to_owned());
        }
    };
    assert_eq!(stale, (Some(1), "stale".to_owned()));

    let all = probe(&config, resolver.address, "");
    assert!(all.1.iter().any(|one| one["name"] == "_sips._tcp.carrier.example.com."), "{all:?}");
}

//----------- Resolvers that lie ---------------------------------------------

/// Starts a resolver that answers a query with what a function makes of it,
/// over UDP and TCP; it lives as long as the test.
fn liar(answer: impl Fn(Message, bool) -> Vec<Message> + Clone + Send + 'static) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    let over_tcp = answer.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            for message in answer(Message::from_vec(&buffer[..len]).unwrap(), false) {
                let _ = udp.send_to(&message.to_vec().unwrap(), from);
            }
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let query = Message::from_vec(&read_framed(&mut stream).unwrap()).unwrap();
            for message in over_tcp(query, true) {
                use std::io::Write;
                let _ = stream.write_all(&framed(&message.to_vec().unwrap()));
            }
        }
    });
    address
}

fn answered(mut message: Message, records: &[&str]) -> Message {
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    let rtype = message.queries[0].query_type();
    for text in records {
        let data = RData::try_from_str(rtype, text).unwrap();
        message.add_answer(Record::from_rdata(name.clone(), 60, data));
    }
    message
}

/// Two regions that have two endpoints each.
fn world() -> World {
    let zone = "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\n[ns]\nhosts = [\"ns1\"]\n[hosts]\n\
                ns1 = [\"192.0.2.1\"]\na = [\"192.0.2.2\"]\nb = [\"192.0.2.3\"]\n\
                [services.\"_sip._tcp\"]\nport = 5060\nttl = 60\n\
                [services.\"_sip._tcp\".tiers]\nprimary = { priority = 10, ttl = 60 }\n\
                secondary = { priority = 20, ttl = 60 }\n";
    let table = "[\"_sip._tcp\".us]\nprimary = [\"a\"]\nsecondary = [\"b\"]\n\
                 [\"_sip._tcp\".default]\nprimary = [\"b\"]\nsecondary = [\"a\"]\n";
    World::with_zone("carrier.test", &[("zone.toml", zone), ("priorities.toml", table)])
}

fn judged(records: &'static [&'static str]) -> (Option<i32>, String) {
    let world = world();
    let address = liar(move |query, _| match query.queries[0].name().to_string().as_str() {
        "_sip._tcp.carrier.test." => vec![answered(query, records)],
        _ => vec![answered(query, &[])],
    });
    let config = world.path().join("trunkdns.toml");
    let (code, questions) = probe(&config, address, "_sip._tcp.carrier.test");
    (code, first(&questions).0.to_owned())
}

#[test]
fn records_of_several_answers_are_a_mix_and_others_are_foreign() {
    let mix = &["10 100 5060 a.carrier.test.", "10 100 5060 b.carrier.test."];
    assert_eq!(judged(mix), (Some(1), "mix".into()));
    let foreign = &["10 100 5060 a.carrier.test.", "20 100 5060 evil.test."];
    assert_eq!(judged(foreign), (Some(1), "foreign".into()));
    assert_eq!(judged(&[]), (Some(1), "foreign".into()));
}

#[test]
fn a_resolver_that_fails_or_is_silent_is_told_apart() {
    let world = world();
    let config = world.path().join("trunkdns.toml");
    let failing = liar(|query, _| {
        let mut answer = answered(query, &[]);
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer]
    });
    let silent = liar(|_, _| Vec::new());
    let arguments = "_sip._tcp.carrier.test --timeout 1s";
    for (address, why) in [(failing, "SERVFAIL"), (silent, "no answer within 1 s")] {
        let (code, questions) = probe(&config, address, arguments);
        assert_eq!((code, first(&questions).0), (Some(1), "failed"));
        assert_eq!(questions[0]["details"][0], why);
    }
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    let world = world();
    let right = &["10 100 5060 a.carrier.test.", "20 100 5060 b.carrier.test."];
    let address = liar(|query, _| {
        let (mut other_id, mut other_name) = (query.clone(), query.clone());
        other_id.metadata.id ^= 1;
        other_name.queries[0].set_name("elsewhere.test.".parse().unwrap());
        let forged = [other_id, other_name].map(|query| answered(query, &[]));
        forged.into_iter().chain([answered(query, right)]).collect()
    });
    let config = world.path().join("trunkdns.toml");
    let (_, questions) = probe(&config, address, "_sip._tcp.carrier.test");
    assert_eq!(first(&questions), ("current", vec!["us"]));
}

#[test]
fn an_answer_that_is_cut_short_is_asked_for_over_tcp() {
    let world = world();
    let right = &["10 100 5060 b.carrier.test.", "20 100 5060 a.carrier.test."];
    let address = liar(|query, over_tcp| {
        let mut answer = answered(query, if over_tcp { right } else { &[] });
        answer.metadata.truncation = !over_tcp;
        vec![answer]
    });
    let config = world.path().join("trunkdns.toml");
    let (_, questions) = probe(&config, address, "_sip._tcp.carrier.test");
    assert_eq!(first(&questions), ("current", vec!["ap", "eu"]));
    assert_eq!(questions[0]["over-tcp"], true);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let world = world();
    let config = world.path().join("trunkdns.toml");
    for (arguments, code) in [
        ("probe dns --via 127.0.0.1 elsewhere.test", 1),
        ("probe dns --via 127.0.0.1 carrier.test NONSENSE", 1),
        ("probe dns --via 127.0.0.1 carrier.test --expect-region mars", 1),
        ("probe dns --via nowhere carrier.test", 2),
        ("probe dns carrier.test", 2),
    ] {
        let (found, text) = server::command(&config, arguments);
        assert_eq!(found, Some(code), "{arguments}: {text}");
    }
}
