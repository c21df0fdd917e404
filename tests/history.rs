//! `trunkdns history`, `rollback`, and `explain` of the past.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use server::Server;
use support::{AP, EU, US, World, question};
use trunkdns::daemon::board::Outcome;
use trunkdns::daemon::{Publisher, Request, drain, explain, rollback};
use trunkdns::snapshot::{Moment, Settings, Snapshot};
use trunkdns::state;
use trunkdns::wire::Name;

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
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
"#;

const PRIORITIES: &str = "zones/a.test/priorities.toml";

fn table(first: &str, second: &str) -> String {
    format!("[\"_sip._tcp\".default]\nprimary = [\"{first}\"]\nsecondary = [\"{second}\"]\n")
}

fn world() -> World {
    let table = table("sbc1.us", "sbc2.us");
    World::with_zone("a.test", &[("zone.toml", ZONE), ("priorities.toml", &table)])
}

fn configure(world: &mut World, more: &str) {
    let text = format!("[geoip]\ndatabases = []\nregions = \"regions.toml\"\n{more}");
    world.file("trunkdns.toml", text);
}

fn start(world: &World) -> Publisher {
    Publisher::start(&world.path().join("trunkdns.toml")).unwrap()
}

fn reload(publisher: &mut Publisher) -> Outcome {
    publisher.reload(&Request { by: "carol".into(), ..Request::default() })
}

fn rollback_to(publisher: &mut Publisher, generation: Option<u64>) -> Outcome {
    let request =
        rollback::Request { by: "dave".into(), generation, ..rollback::Request::default() };
    publisher.rollback(&request).unwrap()
}

/// Says whether files are skipped because they hold what was rolled back.
fn is_skipped(outcome: &Outcome) -> bool {
    outcome.notes.iter().any(|note| note.contains("a.test. was rolled back: "))
}

fn generation(publisher: &Publisher) -> u64 {
    publisher.board().load().kept.generation
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The answer at a second, without the SOA serial.
fn answer(snapshot: &Snapshot, name: &str, client: &str, at: u64) -> Vec<u8> {
    question(name, "SRV").from(client).at(at * 1000 + 500).ask_octets(snapshot).0
}

/// The first target of the answer in some seconds.
fn first(publisher: &Publisher, later: u64, client: &str) -> String {
    let at = (now() + later) * 1000 + 500;
    let question = question("_sip._tcp.a.test.", "SRV").from(client).at(at);
    let data = question.ask(&publisher.served().load()).data();
    data[0].rsplit(' ').next().unwrap().to_owned()
}

/// The first target once every network has changed over.
fn settled(publisher: &Publisher) -> String {
    first(publisher, 400, US)
}

//----------- Rollback -------------------------------------------------------

#[test]
fn a_rollback_publishes_the_tables_of_then_through_a_handover() {
    let mut world = world();
    let mut publisher = start(&world);
    let before = generation(&publisher);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    assert!(reload(&mut publisher).is_whole);
    world.file(PRIORITIES, table("sbc3.us", "sbc1.us"));
    publisher.reload(&Request { now: true, ..Request::default() });
    assert_eq!(first(&publisher, 8, US), "sbc3.us.a.test.");
    let outcome = rollback_to(&mut publisher, Some(before));
    assert!(outcome.is_whole && outcome.lines.len() == 1, "{outcome:?}");
    assert_eq!(outcome.generation, before + 3);
    // Cached copies first.
    assert_eq!(first(&publisher, 8, US), "sbc3.us.a.test.");
    assert_eq!(settled(&publisher), "sbc1.us.a.test.");
    // Without a number it takes back the last publication, a rollback too.
    rollback_to(&mut publisher, None);
    assert_eq!(settled(&publisher), "sbc3.us.a.test.");
}

#[test]
fn a_rollback_now_waits_for_no_cached_copy() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    publisher.reload(&Request { now: true, ..Request::default() });
    let request = rollback::Request { now: true, ..rollback::Request::default() };
    assert!(publisher.rollback(&request).unwrap().is_whole);
    assert_eq!(first(&publisher, 8, US), "sbc1.us.a.test.");
}

#[test]
fn what_was_rolled_back_is_skipped_until_it_changes_or_by_force() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    rollback_to(&mut publisher, None);
    let outcome = reload(&mut publisher);
    assert!(outcome.is_whole && outcome.lines.is_empty(), "{outcome:?}");
    assert!(is_skipped(&outcome), "{outcome:?}");
    assert_eq!(settled(&publisher), "sbc1.us.a.test.");
    // Nor does a restart take it in.
    drop(publisher);
    let mut publisher = start(&world);
    assert!(is_skipped(publisher.last()));
    assert_eq!(settled(&publisher), "sbc1.us.a.test.");
    // The file is another one.
    world.file(PRIORITIES, table("sbc3.us", "sbc1.us"));
    assert!(!is_skipped(&reload(&mut publisher)));
    assert_eq!(settled(&publisher), "sbc3.us.a.test.");
    rollback_to(&mut publisher, None);
    assert_eq!(settled(&publisher), "sbc1.us.a.test.");
    publisher.reload(&Request { force: true, ..Request::default() });
    assert_eq!(settled(&publisher), "sbc3.us.a.test.");
    assert!(!is_skipped(&reload(&mut publisher)));
}

#[test]
fn a_file_that_is_edited_back_is_not_skipped() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    rollback_to(&mut publisher, None);
    world.file(PRIORITIES, table("sbc1.us", "sbc2.us"));
    let outcome = reload(&mut publisher);
    assert!(outcome.is_whole && !is_skipped(&outcome), "{outcome:?}");
    // And then what was rolled back once is an edit like any other.
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    assert_eq!(settled(&publisher), "sbc2.us.a.test.");
}

#[test]
fn a_region_map_is_rolled_back_with_everything_and_skipped_too() {
    let mut world = world();
    let rows =
        format!("{}[\"_sip._tcp\".eu]\nprimary = [\"sbc3.us\"]\n", table("sbc1.us", "sbc2.us"));
    world.file(PRIORITIES, rows);
    let mut publisher = start(&world);
    assert_eq!(first(&publisher, 400, EU), "sbc3.us.a.test.");
    let moved = support::REGIONS
        .replace("\"10.2.0.0/16\", ", "")
        .replace("\"10.3.0.0/16\", ", "\"10.3.0.0/16\", \"10.2.0.0/16\", ");
    world.file("regions.toml", moved);
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(first(&publisher, 400, EU), "sbc1.us.a.test.");
    rollback_to(&mut publisher, None);
    assert_eq!(first(&publisher, 400, EU), "sbc3.us.a.test.");
    let outcome = reload(&mut publisher);
    assert!(outcome.notes[0].starts_with("the region map was rolled back: "), "{outcome:?}");
    assert_eq!(first(&publisher, 400, EU), "sbc3.us.a.test.");
    publisher.reload(&Request { force: true, ..Request::default() });
    assert_eq!(first(&publisher, 400, EU), "sbc1.us.a.test.");
}

#[test]
fn regions_that_were_others_then_are_not_rolled_back() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file("regions.toml", format!("{}[regions.aa]\n", support::REGIONS));
    assert!(reload(&mut publisher).is_whole);
    let why = publisher.rollback(&rollback::Request::default()).unwrap_err();
    assert!(why.contains("has other regions: bring back "), "{why}");
}

#[test]
fn what_is_drained_stays_drained() {
    let mut world = world();
    let mut publisher = start(&world);
    let before = generation(&publisher);
    let request = drain::Request { what: "sbc1.us".into(), ..drain::Request::default() };
    publisher.drain(&request).unwrap();
    world.file(PRIORITIES, table("sbc3.us", "sbc1.us"));
    reload(&mut publisher);
    rollback_to(&mut publisher, Some(before));
    assert_eq!(settled(&publisher), "sbc2.us.a.test.");
}

#[test]
fn zones_can_be_named_and_removed_ones_come_back() {
    let mut world = world();
    let files = [("zone.toml", ZONE), ("priorities.toml", &table("sbc1.us", "sbc2.us"))];
    world.zone("b.test", &files);
    let mut publisher = start(&world);
    let before = generation(&publisher);
    let name = |text: &str| Name::parse(text, &Name::root()).unwrap();
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    fs::remove_dir_all(world.path().join("zones/b.test")).unwrap();
    publisher.reload(&Request { force: true, ..Request::default() });
    assert_eq!(publisher.board().load().kept.zones.len(), 1);
    let of = |zone: &str| rollback::Request {
        generation: Some(before),
        zones: vec![name(zone)],
        ..rollback::Request::default()
    };
    assert!(publisher.rollback(&of("b.test")).unwrap().is_whole);
    assert_eq!(publisher.board().load().kept.zones.len(), 2);
    assert_eq!(settled(&publisher), "sbc2.us.a.test.");
    let why = publisher.rollback(&of("c.test")).unwrap_err();
    assert_eq!(why, format!("generation {before} has no zone c.test."));
}

//----------- History --------------------------------------------------------

#[test]
fn who_published_what_is_remembered_over_restarts() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    drop(publisher);
    let mut publisher = start(&world);
    rollback_to(&mut publisher, None);
    let request =
        drain::Request { by: "erin".into(), what: "sbc1.us".into(), ..Default::default() };
    publisher.drain(&request).unwrap();
    let events = state::events(&world.path().join("state"));
    let told: Vec<_> = events.iter().map(|event| (&*event.what, &*event.by)).collect();
    let first = events[0].generation;
    assert_eq!(
        told,
        [
            ("reload", "the start"),
            ("reload", "carol"),
            (&*format!("rollback to {first}"), "dave"),
            ("drain sbc1.us.a.test.", "erin"),
        ]
    );
    assert!(events.iter().all(|event| event.lines.len() == 1), "{events:?}");
    assert!(events.windows(2).all(|pair| pair[0].generation < pair[1].generation));
}

#[test]
fn what_is_older_than_keep_is_forgotten_but_for_what_was_served_then() {
    let mut world = world();
    configure(&mut world, "[server]\nkeep = \"60s\"\n");
    let files = [("zone.toml", ZONE), ("priorities.toml", &table("sbc1.us", "sbc2.us"))];
    world.zone("b.test", &files);
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    drop(publisher);
    // Two minutes pass.
    let path = world.path().join("state/history");
    age(&path, 120);
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc3.us", "sbc1.us"));
    reload(&mut publisher);
    let events = state::events(&world.path().join("state"));
    assert_eq!(events.len(), 2, "{events:?}");
    // The other zone was published by what is forgotten.
    let past = state::recall(&world.path().join("state"), now() - 70, |_| true).unwrap();
    assert_eq!(past.kept.zones.len(), 2);
    rollback_to(&mut publisher, None);
    assert_eq!(settled(&publisher), "sbc2.us.a.test.");
    let request = rollback::Request { generation: Some(1), ..rollback::Request::default() };
    let why = publisher.rollback(&request).unwrap_err();
    assert!(why.starts_with("generation 1 is not remembered: by [server] keep there"), "{why}");
}

/// Has all that a history tells have happened earlier.
fn age(path: &Path, seconds: u64) {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let (_, body) = line.split_once(' ').unwrap();
        let mut record: Value = serde_json::from_str(body).unwrap();
        let time = record["event"]["time"].as_u64().unwrap();
        record["event"]["time"] = Value::from(time - seconds);
        let body = record.to_string();
        format!("{} {body}\n", digest(&body))
    });
    let text: String = lines.collect();
    fs::write(path, text).unwrap();
}

/// Half of the SHA-256, as the state folder writes it.
fn digest(body: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(body)[..16].iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn a_damaged_history_is_forgotten_and_nothing_else() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    reload(&mut publisher);
    drop(publisher);
    let path = world.path().join("state/history");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 10]).unwrap();
    let mut publisher = start(&world);
    assert!(publisher.board().load().health.damaged.is_none());
    assert_eq!(settled(&publisher), "sbc2.us.a.test.");
    assert_eq!(state::events(&world.path().join("state")).len(), 1);
    world.file(PRIORITIES, table("sbc3.us", "sbc1.us"));
    reload(&mut publisher);
    assert_eq!(state::events(&world.path().join("state")).len(), 2);
}

//----------- The past -------------------------------------------------------

#[test]
fn what_was_answered_then_is_answered_again_octet_for_octet() {
    let mut world = world();
    let mut publisher = start(&world);
    let published = |publisher: &Publisher| publisher.board().load().kept.time;
    let mut served = vec![(published(&publisher), publisher.served().load_full())];
    let rows = |eu: &str| {
        format!("{}[\"_sip._tcp\".eu]\nprimary = [\"{eu}\"]\n", table("sbc1.us", "sbc2.us"))
    };
    for eu in ["sbc3.us", "sbc2.us", "sbc3.us"] {
        // A publication that takes long names a time that is further ahead.
        while now() <= published(&publisher) + 1 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        world.file(PRIORITIES, rows(eu));
        assert!(reload(&mut publisher).is_whole);
        served.push((published(&publisher), publisher.served().load_full()));
    }
    drop(publisher);
    let folder = world.path().join("state");
    for (at, snapshot) in served {
        let past = state::recall(&folder, at, |_| true).unwrap();
        assert_eq!(past.event.generation, snapshot.generation, "{at}");
        let again = past.kept.snapshot(&Settings::default());
        for name in ["_sip._tcp.a.test.", "_sip._tcp.primary.a.test.", "_sip._tcp.eu.a.test."] {
            for client in [US, EU, AP, "10.2.7.1", "2001:db8:2::7"] {
                let octets = answer(&again, name, client, at);
                assert!(octets == answer(&snapshot, name, client, at), "{name} {client} {at}");
            }
        }
    }
}

#[test]
fn a_moment_of_the_past_is_explained_with_the_tables_of_then() {
    let mut world = world();
    let mut publisher = start(&world);
    let at = now() + 1;
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.file(PRIORITIES, format!("\n\n{}", table("sbc2.us", "sbc1.us")));
    publisher.reload(&Request { now: true, ..Request::default() });
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let board = publisher.board().load();
    let snapshot: Arc<Snapshot> = publisher.served().load_full();
    let explained = |at: Option<u64>| {
        let request = trunkdns::explain::Request {
            name: "_sip._tcp.a.test.".into(),
            rtype: "SRV".into(),
            clients: vec![trunkdns::explain::Asker { from: US.parse().unwrap(), subnet: None }],
            at: at.map(|at| at * 1000),
        };
        let now = Moment(now() * 1000);
        let folder = world.path().join("state");
        let past = explain::past(&folder, &snapshot.settings, now, &request);
        assert_eq!(past.is_some(), at.is_some());
        let explained = match &past {
            Some((snapshot, kept)) => explain::explain(snapshot, kept, now, &request),
            None => explain::explain(&snapshot, &board.kept, now, &request),
        };
        trunkdns::explain::render(&explained.unwrap()[0])
    };
    let (then, today) = (explained(Some(at)), explained(None));
    assert!(then.contains("SRV 10 100 5060 sbc1.us.a.test."), "{then}");
    assert!(then.contains("priorities.toml:2:12"), "{then}");
    assert!(today.contains("SRV 10 100 5060 sbc2.us.a.test."), "{today}");
    assert!(today.contains("priorities.toml:4:12"), "{today}");
}

//----------- The real server ------------------------------------------------

#[test]
fn the_commands_list_explain_and_roll_back() {
    let mut world = world();
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    world.file(PRIORITIES, table("sbc2.us", "sbc1.us"));
    assert_eq!(server.command("reload").0, Some(0));
    let (code, text) = server.command("rollback");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a.test. is withdrawn: what is in force stays"), "{text}");
    assert!(text.ends_with(" is served\n"), "{text}");
    let (code, text) = server.command("history --json");
    let events: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, events.as_array().unwrap().len()), (Some(0), 3), "{text}");
    assert_eq!(events[2]["by"], "the start");
    assert!(events[0]["by"].as_str().unwrap().contains("uid"), "{text}");
    assert_eq!(server.command("history -n 1").1.lines().count(), 2);
    let (code, text) = server.command("rollback 99999");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("generation 99999 is not remembered: by [server] keep there"), "{text}");
    let (code, text) = server.command("rollback --zone mars.test");
    assert_eq!(code, Some(1), "{text}");
    let (_, text) = server.command("reload");
    assert!(text.contains("a.test. was rolled back: its files are not taken in"), "{text}");
    // A server that is stopped remembers, too.
    let config = world.path().join("trunkdns.toml");
    drop(server);
    let (code, text) = server::command(&config, "history");
    assert_eq!(code, Some(0));
    assert!(text.contains("rollback to 1, by "), "{text}");
}
