//! `trunkdns rehearse`: what it plays is what the server and the platform do.

#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use serde_json::Value;

use server::command;
use support::{EU, World};

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
secondary = [{ target = "sbc2.us", weight = 60 }, { target = "sbc2.eu", weight = 40 }]
tertiary = ["sbc1.eu"]
["_sip._tcp".eu]
primary = ["sbc1.eu"]
secondary = ["sbc2.eu"]
["_sip._tcp".default]
primary = ["sbc1.us"]
"#;

fn world() -> World {
    World::with_zone("carrier.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)])
}

/// Rehearses with 200 resolvers; returns exit code and JSON.
fn rehearse(world: &World, arguments: &str) -> (Option<i32>, Value) {
    let arguments = format!("rehearse --json --resolvers 200 {arguments}");
    let (code, text) = command(&world.path().join("trunkdns.toml"), &arguments);
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The earliest, typical and worst time of a way, in milliseconds.
fn times(rehearsal: &Value, by: &str) -> Option<[u64; 3]> {
    let ways = rehearsal["ways"].as_array().unwrap();
    let way = ways.iter().find(|way| way["by"] == by).unwrap();
    span(&way["times"])
}

fn span(times: &Value) -> Option<[u64; 3]> {
    let time = |key: &str| times[key].as_u64();
    Some([time("earliest-ms")?, time("typical-ms")?, time("worst-ms")?])
}

/// Says whether times are within seconds, and reach nearly to both ends.
fn assert_fills(times: [u64; 3], from: u64, to: u64) {
    let [earliest, typical, worst] = times;
    let slack = (to - from) * 1000 / 10;
    assert!((from * 1000..=from * 1000 + slack).contains(&earliest), "{times:?}");
    assert!((to * 1000 - slack..=to * 1000).contains(&worst), "{times:?}");
    assert!(earliest < typical && typical < worst, "{times:?}");
}

//----------- The health check -----------------------------------------------

#[test]
fn a_silent_endpoint_is_left_after_so_many_checks_and_the_last_ones_timeout() {
    let (code, rehearsal) = rehearse(&world(), "_sip._tcp");
    assert_eq!(code, Some(0));
    // The third check is 20 to 30 s behind the death, and waits for 5 s.
    assert_fills(times(&rehearsal, "health-check").unwrap(), 25, 35);
    // Two successes, then 30 s: the fifth check.
    assert_fills(span(&rehearsal["back"]).unwrap(), 40, 50);
}

#[test]
fn an_endpoint_that_answers_503_is_left_without_waiting_for_it() {
    let (_, rehearsal) = rehearse(&world(), "_sip._tcp --with 503");
    assert_fills(times(&rehearsal, "health-check").unwrap(), 20, 30);
}

#[test]
fn mode_immediate_leaves_at_the_first_failure() {
    let (_, rehearsal) = rehearse(&world(), "_sip._tcp --mode immediate");
    assert_fills(times(&rehearsal, "health-check").unwrap(), 5, 15);
}

#[test]
fn mode_outage_keeps_a_trunk_that_anybody_answers_on() {
    let world = world();
    let check = |arguments: &str| times(&rehearse(&world, arguments).1, "health-check");
    assert_eq!(check("_sip._tcp --mode outage"), None);
    let primary = "_sip._tcp.primary.carrier.test --mode outage";
    assert_fills(check(primary).unwrap(), 25, 35);
    assert_eq!(check(&format!("{primary} --with 503")), None);
}

#[test]
fn calls_move_to_the_next_tier_whose_endpoints_are_alive() {
    let world = world();
    let next = |arguments: &str| {
        let (_, rehearsal) = rehearse(&world, arguments);
        rehearsal["ways"][0]["then"].as_str().unwrap().to_owned()
    };
    let primary = "_sip._tcp.primary.carrier.test";
    assert_eq!(next(primary), "to the next trunk, _sip._tcp.secondary.carrier.test.");
    let region = format!("{primary} --fail us");
    assert_eq!(next(&region), "to the next trunk, _sip._tcp.tertiary.carrier.test.");
}

//----------- DNS ------------------------------------------------------------

#[test]
fn a_handover_leads_away_after_the_wait_and_within_the_spread() {
    let (_, rehearsal) = rehearse(&world(), "_sip._tcp");
    // Published in the second behind the edit; all names have 60 s at most.
    let [earliest, _, worst] = times(&rehearsal, "handover").unwrap();
    assert!((61_000..=63_000).contains(&earliest), "{earliest}");
    assert!((75_000..=77_500).contains(&worst), "{worst}");
}

#[test]
fn a_change_at_once_leads_away_as_copies_expire() {
    let world = world();
    let (_, rehearsal) = rehearse(&world, "_sip._tcp");
    let [earliest, _, worst] = times(&rehearsal, "now").unwrap();
    assert!((1_000..=5_000).contains(&earliest), "{earliest}");
    assert!((56_000..=61_500).contains(&worst), "{worst}");
    let (_, rehearsal) = rehearse(&world, "_sip._tcp --reaction 2m --stale 30s");
    let [earliest, _, worst] = times(&rehearsal, "now").unwrap();
    assert!(earliest > 120_000 && (190_000..=212_000).contains(&worst), "{earliest} {worst}");
}

#[test]
fn one_address_changes_over_at_its_own_moment() {
    let (_, rehearsal) = rehearse(&world(), &format!("_sip._tcp --from {EU}"));
    assert_eq!(rehearsal["region"], "eu");
    let [earliest, _, worst] = times(&rehearsal, "handover").unwrap();
    assert!(worst - earliest < 1_500, "{earliest} {worst}");
}

#[test]
fn nobody_is_led_anywhere_where_there_is_nobody_else() {
    let (code, rehearsal) = rehearse(&world(), "_sip._tcp --from ap");
    assert_eq!(code, Some(1));
    assert_eq!(rehearsal["has-way-out"], false);
    for by in ["health-check", "handover", "now"] {
        assert_eq!(times(&rehearsal, by), None, "{by}");
    }
}

#[test]
fn what_is_no_first_choice_is_not_noticed() {
    let (code, rehearsal) = rehearse(&world(), "_sip._tcp --fail sbc1.eu");
    assert_eq!((code, &rehearsal["share-of-calls"]), (Some(0), &0.0.into()));
    let (_, rehearsal) = rehearse(&world(), "_sip._tcp.secondary.carrier.test --fail sbc2.us");
    assert_eq!(rehearsal["share-of-calls"], 0.6);
}

//----------- Resolvers ------------------------------------------------------

#[test]
fn tiers_and_spreads_keep_resolvers_apart() {
    let mut world = world();
    let config = world.text("trunkdns.toml");
    world.file("trunkdns.toml", format!("{config}[handover]\nspread-ttl = 10\n"));
    let (_, rehearsal) = rehearse(&world, "_sip._tcp");
    let variants = rehearsal["herd"]["variants"].as_array().unwrap();
    let peak = |what: &str| {
        let variant = variants.iter().find(|one| one["what"] == what);
        variant.unwrap_or_else(|| panic!("{what} in {variants:?}"))["peak"].as_u64().unwrap()
    };
    // All of 200 resolvers ask for three names in one second.
    assert_eq!(peak("one TTL of 60 s"), 600);
    assert!(peak("TTLs of 60, 45, 30 s") <= 600);
    assert!(peak("and spread-ttl = 10") < 300);
    assert!(peak("changeover with spread = 15 s") * 2 < peak("changeover without spread"));
    let configured = variants.iter().filter(|one| one["is-configured"] == true).count();
    assert_eq!(configured, 2);
}

#[test]
fn the_same_seed_gives_the_same_rehearsal() {
    let world = world();
    let first = rehearse(&world, "_sip._tcp --seed 7").1;
    assert_eq!(first, rehearse(&world, "_sip._tcp --seed 7").1);
    assert_ne!(first["ways"], rehearse(&world, "_sip._tcp --seed 8").1["ways"]);
}

//----------- The picture, and arguments -------------------------------------

#[test]
fn a_timeline_is_drawn() {
    let world = world();
    let path = world.path().join("failover.svg");
    let (_, rehearsal) = rehearse(&world, &format!("_sip._tcp --svg {}", path.display()));
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains("prefers-color-scheme: dark"), "it follows the reader's scheme");
    for wrong in ["NaN", "inf", "width=\"-", "height=\"-"] {
        assert!(!svg.contains(wrong), "{wrong} in {svg}");
    }
    let ways = rehearsal["ways"].as_array().unwrap().len();
    assert_eq!(svg.matches("class=\"mixed\"").count(), ways);
}

#[test]
fn what_the_tables_do_not_have_is_refused_and_what_they_have_is_named() {
    let world = world();
    for (arguments, text) in [
        ("rehearse _sip._udp", "no zone has SRV records at `_sip._udp`"),
        ("rehearse _sip._tcp --from mars", "there is no region `mars`; there are ap, eu, us"),
        ("rehearse _sip._tcp --fail sbc9", "`sbc9` is neither a region nor an endpoint"),
        ("rehearse _sip._tcp --zone other.test", "no zone has SRV records"),
    ] {
        let (code, found) = command(&world.path().join("trunkdns.toml"), arguments);
        assert_eq!(code, Some(1), "{found}");
        assert!(found.contains(text), "{found}");
    }
}
