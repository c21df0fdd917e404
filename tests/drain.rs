//! `trunkdns drain`: an endpoint behind all others, and never gone.

#[path = "support/server.rs"]
mod server;
mod support;

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use server::Server;
use support::{EU, US, World, question};
use trunkdns::daemon::board::Outcome;
use trunkdns::daemon::drain;
use trunkdns::daemon::status::{DrainPhase, Status};
use trunkdns::daemon::{Publisher, Request};

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1"]
[hosts]
ns1 = ["192.0.2.1"]
"sbc1.us" = ["192.0.2.11"]
"sbc2.us" = ["192.0.2.12"]
"sbc3.us" = ["192.0.2.13"]
"sbc1.eu" = ["192.0.2.21"]
"sbc2.eu" = ["192.0.2.22"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
tertiary = { priority = 30, ttl = 30 }
"#;

const TABLE: &str = r#"
["_sip._tcp".us]
primary = ["sbc1.us"]
secondary = [{ target = "sbc2.us", weight = 60 }, { target = "sbc3.us", weight = 40 }]
tertiary = ["sbc1.eu"]
["_sip._tcp".eu]
primary = ["sbc1.eu"]
secondary = ["sbc2.eu"]
["_sip._tcp".default]
primary = ["sbc2.eu"]
secondary = ["sbc1.eu"]
"#;

const PRIORITIES: &str = "zones/a.test/priorities.toml";

fn world() -> World {
    World::with_zone("a.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)])
}

fn start(world: &World) -> Publisher {
    Publisher::start(&world.path().join("trunkdns.toml")).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn endpoint(what: &str) -> drain::Request {
    drain::Request { by: "carol".into(), what: what.into(), ..drain::Request::default() }
}

fn drain(publisher: &mut Publisher, what: &str) -> Outcome {
    publisher.drain(&endpoint(what)).unwrap().0
}

fn names(list: Vec<trunkdns::wire::Name>) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The answer some seconds from now: `priority target`, targets by their
/// labels in front of the zone's.
fn later(publisher: &Publisher, seconds: u64, name: &str, client: &str) -> Vec<String> {
    let at = (now() + seconds) * 1000 + 999;
    let snapshot = publisher.served().load();
    let data = question(name, "SRV").from(client).at(at).ask(&snapshot).data();
    data.iter()
        .map(|record| {
            let words: Vec<_> = record.split(' ').collect();
            format!("{} {}", words[0], words[3].trim_end_matches(".a.test."))
        })
        .collect()
}

/// The answer once every network has changed over.
fn settled(publisher: &Publisher, name: &str, client: &str) -> Vec<String> {
    later(publisher, 400, name, client)
}

//----------- Order ----------------------------------------------------------

#[test]
fn a_drained_endpoint_comes_last_and_changes_nothing_elsewhere() {
    let world = world();
    let mut publisher = start(&world);
    let outcome = drain(&mut publisher, "sbc1.us");
    assert!(outcome.is_whole && outcome.lines.len() == 1, "{outcome:?}");
    // Cached copies first.
    assert_eq!(later(&publisher, 0, "_sip._tcp.a.test.", US)[0], "10 sbc1.us");
    assert_eq!(
        settled(&publisher, "_sip._tcp.a.test.", US),
        ["20 sbc2.us", "20 sbc3.us", "30 sbc1.eu", "40 sbc1.us"]
    );
    assert_eq!(
        settled(&publisher, "_sip._tcp.us.a.test.", EU),
        settled(&publisher, "_sip._tcp.a.test.", US)
    );
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", EU), ["10 sbc1.eu", "20 sbc2.eu"]);
}

#[test]
fn a_tier_whose_endpoints_are_all_drained_lists_the_next_ones_first() {
    let world = world();
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.us");
    assert_eq!(
        settled(&publisher, "_sip._tcp.primary.a.test.", US),
        ["20 sbc2.us", "20 sbc3.us", "30 sbc1.us"]
    );
    drain(&mut publisher, "sbc2.us");
    assert_eq!(
        settled(&publisher, "_sip._tcp.secondary.a.test.", US),
        ["20 sbc3.us", "30 sbc2.us"]
    );
    drain(&mut publisher, "sbc3.us");
    assert_eq!(settled(&publisher, "_sip._tcp.primary.a.test.", US), ["30 sbc1.eu", "40 sbc1.us"]);
    // The last tier has the one before it.
    drain(&mut publisher, "sbc2.eu");
    publisher.undrain(&endpoint("sbc*.us")).unwrap();
    assert_eq!(
        settled(&publisher, "_sip._tcp.secondary.a.test.", EU),
        ["10 sbc1.eu", "20 sbc2.eu"]
    );
}

#[test]
fn records_of_master_files_are_drained_too() {
    let mut world = world();
    world.file(
        "zones/a.test/records.zone",
        "_x._tcp 60 SRV 1 1 1 sbc1.us\n_x._tcp 60 SRV 2 1 1 sbc2.us\n",
    );
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.us");
    assert_eq!(settled(&publisher, "_x._tcp.a.test.", US), ["2 sbc2.us", "12 sbc1.us"]);
}

#[test]
fn a_service_that_is_declared_absent_has_no_endpoint_to_drain() {
    let mut world = world();
    world.file("zones/a.test/records.zone", "_x._tcp 60 SRV 0 0 0 .\n");
    let mut publisher = start(&world);
    let request = drain::Request { force: true, ..endpoint("*") };
    let (_, endpoints) = publisher.drain(&request).unwrap();
    assert_eq!(endpoints.len(), 5, "{endpoints:?}");
}

#[test]
fn undraining_brings_an_endpoint_back_to_its_place() {
    let world = world();
    let mut publisher = start(&world);
    let before = settled(&publisher, "_sip._tcp.a.test.", US);
    drain(&mut publisher, "sbc1.us");
    let (outcome, endpoints) = publisher.undrain(&endpoint("sbc1.us")).unwrap();
    assert!(outcome.is_whole);
    assert_eq!(names(endpoints), ["sbc1.us.a.test."]);
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US), before);
    // What is not drained need not be brought back.
    let (outcome, _) = publisher.undrain(&endpoint("sbc1.us")).unwrap();
    assert!(outcome.is_whole && outcome.lines.is_empty(), "{outcome:?}");
}

//----------- Whom -----------------------------------------------------------

#[test]
fn endpoints_are_named_alone_by_a_pattern_or_by_their_region() {
    let world = world();
    let mut publisher = start(&world);
    let mut meant = |what: &str| {
        let request = drain::Request { force: true, ..endpoint(what) };
        publisher.drain(&request).map(|(_, endpoints)| names(endpoints))
    };
    let of_us = ["sbc1.us.a.test.", "sbc2.us.a.test.", "sbc3.us.a.test."];
    assert_eq!(meant("SBC1.us.a.test.").unwrap(), [of_us[0]]);
    assert_eq!(meant("sbc2.us").unwrap(), [of_us[1]]);
    assert_eq!(meant("*.us").unwrap(), of_us);
    // sbc1.eu is the third choice of us, and the first of eu.
    assert_eq!(meant("us").unwrap(), of_us);
    assert_eq!(meant("ap").unwrap_err(), "no endpoint is closest to ap");
    assert_eq!(meant("sbc9").unwrap_err(), "`sbc9` is neither an endpoint nor a region");
    assert_eq!(meant("ns1").unwrap_err(), "`ns1` is neither an endpoint nor a region");
}

#[test]
fn a_short_name_that_several_zones_have_is_not_guessed() {
    let mut world = world();
    world.zone("b.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)]);
    let mut publisher = start(&world);
    let why = publisher.drain(&endpoint("sbc1.us")).unwrap_err();
    assert!(
        why.starts_with("`sbc1.us` means 2 endpoints, such as sbc1.us.a.test. and sbc1.us.b"),
        "{why}"
    );
    let zone = trunkdns::wire::Name::parse("b.test", &trunkdns::wire::Name::root()).unwrap();
    let request = drain::Request { zone: Some(zone), ..endpoint("sbc1.us") };
    assert_eq!(names(publisher.drain(&request).unwrap().1), ["sbc1.us.b.test."]);
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US)[0], "10 sbc1.us");
}

#[test]
fn a_shared_endpoint_is_drained_in_every_zone_that_names_it() {
    let mut world = world();
    world.zone(
        "b.test",
        &[
            ("zone.toml", ZONE),
            (
                "priorities.toml",
                "[\"_sip._tcp\".default]\nprimary = [\"sbc1.us.a.test.\"]\n\
             secondary = [\"sbc1.us\"]\n",
            ),
        ],
    );
    let mut publisher = start(&world);
    let outcome = drain(&mut publisher, "sbc1.us.a.test");
    assert_eq!(outcome.lines.len(), 2, "{outcome:?}");
    assert_eq!(settled(&publisher, "_sip._tcp.b.test.", US), ["20 sbc1.us.b.test.", "30 sbc1.us"]);
}

#[test]
fn the_last_endpoint_of_a_row_is_drained_by_force_alone_and_still_answers() {
    let world = world();
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.eu");
    let why = publisher.drain(&endpoint("sbc2.eu")).unwrap_err();
    assert!(
        why.starts_with("every endpoint that some clients are given at _sip._tcp.")
            && why.contains("--force"),
        "{why}"
    );
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", EU)[0], "20 sbc2.eu");
    let request = drain::Request { force: true, ..endpoint("sbc2.eu") };
    assert!(publisher.drain(&request).unwrap().0.is_whole);
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", EU), ["10 sbc1.eu", "20 sbc2.eu"]);
    // What is so already is no reason to refuse anything else.
    drain(&mut publisher, "sbc1.us");
}

//----------- When -----------------------------------------------------------

#[test]
fn draining_now_waits_for_no_cached_copy_and_hastens_what_is_under_way() {
    let world = world();
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.us");
    assert_eq!(later(&publisher, 2, "_sip._tcp.a.test.", US)[0], "10 sbc1.us");
    publisher.drain(&drain::Request { now: true, ..endpoint("sbc1.us") }).unwrap();
    assert_eq!(later(&publisher, 8, "_sip._tcp.a.test.", US)[0], "20 sbc2.us");
}

#[test]
fn draining_at_a_time_takes_effect_then_and_other_edits_flow_past_it() {
    let mut world = world();
    let mut publisher = start(&world);
    let at = now() + 3600;
    let request = drain::Request { effective: Some(at), ..endpoint("sbc1.us") };
    assert!(publisher.drain(&request).unwrap().0.is_whole);
    world.file(PRIORITIES, TABLE.replace("[\"sbc1.eu\"]", "[\"sbc2.eu\"]"));
    assert!(publisher.reload(&Request::default()).is_whole);
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US)[0], "10 sbc1.us");
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", EU)[0], "10 sbc2.eu");
    // Soon enough to be published at once.
    let at = now() + 65;
    publisher.drain(&drain::Request { effective: Some(at), ..endpoint("sbc1.us") }).unwrap();
    let left = at - now();
    assert_eq!(later(&publisher, left - 2, "_sip._tcp.primary.a.test.", US), ["10 sbc1.us"]);
    assert_eq!(later(&publisher, left + 16, "_sip._tcp.primary.a.test.", US)[0], "20 sbc2.us");
}

#[test]
fn draining_for_a_while_ends_by_itself_through_a_handover() {
    let world = world();
    let mut publisher = start(&world);
    let request = drain::Request { lasts: Some(1), now: true, ..endpoint("sbc1.us") };
    publisher.drain(&request).unwrap();
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US)[0], "20 sbc2.us");
    let mut done = None;
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(100));
        done = done.or_else(|| publisher.tick());
    }
    assert!(done.unwrap().is_whole);
    assert_eq!(later(&publisher, 8, "_sip._tcp.a.test.", US)[0], "20 sbc2.us");
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US)[0], "10 sbc1.us");
    assert!(publisher.board().load().kept.drains.is_empty());
}

//----------- What else happens ----------------------------------------------

#[test]
fn draining_again_changes_nothing() {
    let world = world();
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.us");
    let generation = publisher.board().load().kept.generation;
    let again = drain(&mut publisher, "sbc1.us");
    assert!(again.is_whole && again.lines.is_empty(), "{again:?}");
    assert_eq!(publisher.board().load().kept.generation, generation);
}

#[test]
fn edits_and_restarts_leave_drained_endpoints_drained() {
    let mut world = world();
    let mut publisher = start(&world);
    drain(&mut publisher, "sbc1.us");
    let at = now() + 7200;
    publisher.drain(&drain::Request { effective: Some(at), ..endpoint("sbc1.eu") }).unwrap();
    drop(publisher);
    let mut publisher = start(&world);
    assert!(publisher.last().lines.is_empty(), "{:?}", publisher.last());
    assert_eq!(settled(&publisher, "_sip._tcp.a.test.", US)[0], "20 sbc2.us");
    let kept = publisher.board().load().kept.clone();
    let drains: Vec<_> = kept.drains.iter().map(|(name, one)| (name.to_string(), one)).collect();
    assert_eq!(drains.len(), 2);
    assert_eq!((&*drains[0].0, drains[0].1.effective), ("sbc1.eu.a.test.", Some(at)));
    assert_eq!((&*drains[1].0, &*drains[1].1.by), ("sbc1.us.a.test.", "carol"));
    // A table that names the endpoint in another place.
    let row = "[\"_sip._tcp\".ap]\nprimary = [\"sbc1.us\"]\nsecondary = [\"sbc1.eu\"]\n";
    world.file(PRIORITIES, format!("{TABLE}{row}"));
    assert!(publisher.reload(&Request::default()).is_whole);
    assert_eq!(settled(&publisher, "_sip._tcp.ap.a.test.", US), ["20 sbc1.eu", "30 sbc1.us"]);
}

//----------- The real server ------------------------------------------------

/// A zone with TTLs that tests can wait for.
fn quick_world() -> World {
    let mut world = world();
    let zone = ZONE.replace("ttl = 60", "ttl = 2").replace("ttl = 45", "ttl = 2");
    world.file("zones/a.test/zone.toml", zone.replace("ttl = 30", "ttl = 2"));
    world.file(
        "trunkdns.toml",
        "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n[handover]\nspread = \"1s\"\n",
    );
    world.listen_anywhere();
    world
}

#[test]
fn waiting_for_a_drain_ends_when_no_cached_answer_prefers_the_endpoint() {
    let world = quick_world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    // Everybody is in the default region.
    let first = || {
        let response = server.udp(&question("_sip._tcp.us.a.test.", "SRV").octets());
        let message = hickory_proto::op::Message::from_vec(&response).unwrap();
        (message.answers[0].data.to_string(), message.answers[0].ttl)
    };
    assert!(first().0.contains("sbc1.us"));
    let start = std::time::Instant::now();
    let (code, text) = server.command("drain sbc1.us --reason CHG-4711 --wait");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("sbc1.us.a.test. is preferred by no cached answer\n"), "{text}");
    assert!(text.contains("waiting for sbc1.us.a.test.: last client networks"), "{text}");
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(first().0.contains("sbc2.us"));
    let status: Status = serde_json::from_value(server.status()).unwrap();
    assert_eq!(status.drains.len(), 1);
    assert_eq!(status.drains[0].phase, DrainPhase::Drained);
    assert!(status.drains[0].by.contains("uid"), "{:?}", status.drains);
    let (_, text) = server.command("status");
    assert!(text.contains("ago (CHG-4711): drained, no cached answer prefers it"), "{text}");
    let (_, text) = server.command("explain _sip._tcp.us.a.test --from 10.1.0.1");
    assert!(text.contains("primary of us, drained"), "{text}");
    let (code, text) = server.command("undrain sbc1.us --now");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("sbc1.us.a.test. is not drained\n"), "{text}");
}

#[test]
fn what_cannot_be_drained_is_refused_with_the_reason() {
    let world = quick_world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    for (arguments, expected) in [
        ("drain mars", 1),
        ("drain sbc1.us --zone mars.test", 1),
        ("drain sbc1.us --at yesterday", 2),
        ("drain sbc1.us --for 0s", 2),
        ("drain *.eu", 1),
        ("undrain mars", 1),
    ] {
        assert_eq!(server.command(arguments).0, Some(expected), "{arguments}");
    }
    let (code, text) = server.command("drain *.eu --force --json");
    assert_eq!(code, Some(0), "{text}");
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(done["endpoints"].as_array().unwrap().len(), 2);
    let (code, _) = server.command("drain *.eu --force --wait");
    assert_eq!(code, Some(1), "nobody else is left, and waiting would never end");
}
