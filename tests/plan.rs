//! `trunkdns plan`: what a reload would change, hold back, and for whom.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;

use serde_json::Value;

use server::{Server, command, example_in};
use support::{REGIONS, World};
use trunkdns::daemon::{Publisher, Request, drain, rollback};

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
"sbc1.eu" = ["192.0.2.21"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
"#;

const TABLE: &str = r#"
["_sip._tcp".us]
primary = ["sbc1.us"]
secondary = ["sbc2.us"]
["_sip._tcp".eu]
primary = ["sbc1.eu"]
["_sip._tcp".default]
primary = ["sbc1.us"]
"#;

const PRIORITIES: &str = "zones/a.test/priorities.toml";

fn world() -> World {
    World::with_zone("a.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)])
}

/// Publishes the world as it is, by a server that ends then.
fn serve(world: &World) -> Publisher {
    Publisher::start(&world.path().join("trunkdns.toml")).unwrap()
}

fn plan(world: &World, arguments: &str) -> (Option<i32>, String) {
    command(&world.path().join("trunkdns.toml"), &format!("plan {arguments}"))
}

fn plan_json(world: &World) -> Value {
    let (_, text) = plan(world, "--json");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

//----------- Records --------------------------------------------------------

#[test]
fn files_that_are_served_change_nothing() {
    let world = world();
    drop(serve(&world));
    let (code, text) = plan(&world, "--exit-code");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("nothing would change: the files are what generation "), "{text}");
}

#[test]
fn what_was_rolled_back_is_not_taken_in_and_the_plan_says_so() {
    let mut world = world();
    let mut publisher = serve(&world);
    world.file(PRIORITIES, TABLE.replace("[\"sbc1.eu\"]", "[\"sbc2.us\"]"));
    assert!(publisher.reload(&Request { now: true, ..Request::default() }).is_whole);
    let request = rollback::Request { now: true, ..rollback::Request::default() };
    assert!(publisher.rollback(&request).unwrap().is_whole);
    drop(publisher);
    let (code, text) = plan(&world, "--exit-code");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a.test. was rolled back: its files are not taken in"), "{text}");
    // Other tables are.
    world.file(PRIORITIES, TABLE.replace("[\"sbc1.eu\"]", "[\"sbc1.us\"]"));
    assert_eq!(plan(&world, "--exit-code").0, Some(1));
}

#[test]
fn records_that_come_and_go_are_listed_with_their_regions_and_times() {
    let mut world = world();
    drop(serve(&world));
    world.file(PRIORITIES, TABLE.replace("[\"sbc1.eu\"]", "[\"sbc2.us\"]"));
    let (code, text) = plan(&world, "");
    assert_eq!(code, Some(0), "{text}");
    let expected = "a.test. 6 records come, 6 go; in force after 60 s, for everybody after 75 s\n  \
                    - _sip._tcp.a.test. 60 SRV 10 100 5060 sbc1.eu.a.test.  ; eu\n";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("  + _sip._tcp.a.test. 60 SRV 10 100 5060 sbc2.us.a.test.  ; eu\n"),
        "{text}"
    );
    assert!(
        text.contains("  + _sip._tcp.eu.a.test. 60 SRV 10 100 5060 sbc2.us.a.test.\n"),
        "{text}"
    );
    assert!(text.contains("sbc1.eu.a.test. leaves a.test. and was not drained"), "{text}");
    assert_eq!(plan(&world, "--exit-code").0, Some(1));
}

#[test]
fn what_a_plan_says_is_what_a_reload_publishes() {
    let mut world = world();
    let mut publisher = serve(&world);
    for table in
        [TABLE.replace("weight", ""), TABLE.replace("sbc2.us", "sbc1.eu"), TABLE.to_owned()]
    {
        world.file(PRIORITIES, table);
        let planned = plan_json(&world);
        let outcome = publisher.reload(&Request::default());
        let zones = planned["zones"].as_array().unwrap();
        assert_eq!(zones.len(), outcome.lines.len(), "{planned} {outcome:?}");
        assert_eq!(plan(&world, "--exit-code").0, Some(0));
    }
}

#[test]
fn zones_that_are_new_or_gone_are_told() {
    let mut world = world();
    drop(serve(&world));
    world.zone("b.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)]);
    fs::remove_dir_all(world.path().join("zones/a.test")).unwrap();
    let (code, text) = plan(&world, "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("b.test. 24 records come, 0 go; new, in force at once"), "{text}");
    assert!(text.contains("a.test. 0 records come, 24 go; its folder is gone"), "{text}");
    assert!(text.contains("held back: a.test. "), "{text}");
    assert!(text.contains("and 12 more records: --all shows them"), "{text}");
    assert!(!plan(&world, "--all").1.contains("more records"));
}

#[test]
fn mistakes_are_told_as_check_tells_them_and_nothing_of_the_zone_goes() {
    let mut world = world();
    drop(serve(&world));
    world.file(PRIORITIES, "typo");
    let (code, text) = plan(&world, "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("held back: a.test. its tables are refused, see the findings"), "{text}");
    assert!(text.contains("priorities.toml:1:"), "{text}");
    assert!(!text.contains("\n  - "), "{text}");
}

#[test]
fn a_time_that_the_tables_name_is_told_until_it_has_passed() {
    let mut world = world();
    drop(serve(&world));
    let edited = TABLE.replace("[\"sbc1.eu\"]", "[\"sbc2.us\"]");
    world.file(PRIORITIES, format!("effective = 2100-01-01T02:00:00Z\n{edited}"));
    let (_, text) = plan(&world, "");
    assert!(text.contains("6 go; in force at 2100-01-01T02:00:00Z"), "{text}");
    world.file(PRIORITIES, format!("effective = 2020-01-01T02:00:00Z\n{edited}"));
    let (_, text) = plan(&world, "");
    assert!(text.contains("6 go; in force after 60 s"), "{text}");
}

//----------- Addresses ------------------------------------------------------

#[test]
fn who_moves_is_told_by_share_network_and_endpoint() {
    let mut world = world();
    let config = "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n[customers]\n\
                  acme = [\"10.2.7.0/24\"]\n";
    world.file("trunkdns.toml", config);
    drop(serve(&world));
    world.file(
        "regions.toml",
        REGIONS.replace("10.3.0.0/16", "10.0.0.0/9").replace("10.2.0.0/16", "10.200.0.0/16"),
    );
    let (code, text) = plan(&world, "--all");
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("0.194 % of IPv4 and 0.000 % of IPv6 would be in another region"),
        "{text}"
    );
    assert!(text.contains("  us -> ap: 0.191 % / 0.000 %"), "{text}");
    assert!(text.contains("  eu -> ap: 0.002 % / 0.000 %"), "{text}");
    assert!(text.contains("10.2.7.0/24 of customer acme: eu -> ap"), "{text}");
    assert!(text.contains("  by address space, not by queries"), "{text}");
}

#[test]
fn endpoints_are_told_that_another_share_of_the_addresses_prefers() {
    let mut world = world();
    world.file(PRIORITIES, TABLE.replace("[\"sbc2.us\"]", "[\"sbc1.eu\"]"));
    drop(serve(&world));
    world.file(
        PRIORITIES,
        TABLE
            .replace("primary = [\"sbc1.us\"]\nsecondary", "primary = [\"sbc2.us\"]\nsecondary")
            .replace("secondary = [\"sbc2.us\"]", "secondary = [\"sbc1.us\"]"),
    );
    let (_, text) = plan(&world, "");
    assert!(
        text.contains("  sbc2.us.a.test. 0.00 / 0.00 -> 100.00 / 99.99, in a.test.\n"),
        "{text}"
    );
}

#[test]
fn a_database_that_moves_countries_is_told_by_country() {
    let folder = tempfile::tempdir().unwrap();
    let config = example_in(folder.path(), "127.0.0.1:0");
    drop(Publisher::start(&config).unwrap());
    let path = folder.path().join("geoip/regions.toml");
    let text = fs::read_to_string(&path).unwrap();
    let moved = text.replace("[\"ES\", ", "[").replace("[\"AE\", ", "[\"ES\", \"AE\", ");
    assert_ne!(moved, text);
    fs::write(&path, moved).unwrap();
    let (code, text) = command(&config, "plan");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("  eu-west -> me-central: "), "{text}");
    assert!(text.contains(", in ES\n"), "{text}");
    assert!(text.contains("  sbc1.me-central.carrier.example.com. "), "{text}");
    // Steered answers are others for them, and records are as they were.
    assert!(text.contains("0 records come, 0 go; in force after 60 s"), "{text}");
}

//----------- Guards ---------------------------------------------------------

#[test]
fn a_region_that_loses_its_first_tier_everywhere_waits_for_force() {
    let mut world = world();
    let mut publisher = serve(&world);
    world.file(PRIORITIES, TABLE.replace("[\"_sip._tcp\".eu]\nprimary = [\"sbc1.eu\"]\n", ""));
    let why = "eu had endpoints of its own in a first tier, and has none in any zone any more";
    assert!(plan(&world, "").1.contains(why));
    let outcome = publisher.reload(&Request::default());
    assert!(!outcome.is_whole && outcome.held_back[0].why.starts_with(why), "{outcome:?}");
    // Another zone has it still.
    world.zone("b.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)]);
    assert!(publisher.reload(&Request::default()).is_whole);
    // A first tier that another takes over is one.
    world.file(PRIORITIES, TABLE.replace("[\"sbc1.eu\"]", "[\"sbc2.us\"]"));
    fs::remove_dir_all(world.path().join("zones/b.test")).unwrap();
    assert!(publisher.reload(&Request { force: true, ..Request::default() }).is_whole);
}

#[test]
fn an_endpoint_that_leaves_undrained_is_told_and_a_drained_one_is_not() {
    let mut world = world();
    let mut publisher = serve(&world);
    world.file(PRIORITIES, TABLE.replace("secondary = [\"sbc2.us\"]\n", ""));
    let outcome = publisher.reload(&Request::default());
    assert!(outcome.is_whole, "{outcome:?}");
    assert!(
        outcome.notes[0].starts_with("sbc2.us.a.test. leaves a.test. and was not drained"),
        "{outcome:?}"
    );
    world.file(PRIORITIES, TABLE);
    publisher.reload(&Request::default());
    let request = drain::Request { what: "sbc2.us".into(), ..drain::Request::default() };
    publisher.drain(&request).unwrap();
    world.file(PRIORITIES, TABLE.replace("secondary = [\"sbc2.us\"]\n", ""));
    let outcome = publisher.reload(&Request::default());
    assert!(outcome.is_whole && outcome.notes.is_empty(), "{outcome:?}");
}

//----------- The real server ------------------------------------------------

#[test]
fn a_plan_disturbs_no_server_and_needs_none() {
    let world = world();
    let (code, text) = plan(&world, "");
    assert_eq!(code, Some(1));
    assert!(text.contains("nothing is served from "), "{text}");
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let generation = server.status()["generation"].clone();
    let (code, text) = server.command("plan --exit-code");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(server.status()["generation"], generation);
}
