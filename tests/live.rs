//! The real binary while its files are edited, broken, mended, and while it
//! is killed.

#![allow(clippy::print_stdout, reason = "some tests measure: `--nocapture` shows it")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hickory_proto::op::Message;
use server::{Resolver, Server, command};
use support::{REGIONS, World, question};

const SRV: &str = "_sip._tcp.carrier.example.com.";
const ZONE: &str = "zones/carrier.example.com/zone.toml";
const PRIORITIES: &str = "zones/carrier.example.com/priorities.toml";

/// A zone whose TTLs, and a spread, are short enough to wait for.
fn world() -> World {
    let mut world = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", &zone(3)), ("priorities.toml", &priorities("sbc1", "sbc2"))],
    );
    configure(&mut world, "spread = \"2s\"");
    world
}

/// Writes a configuration with keys under `[handover]`.
fn configure(world: &mut World, handover: &str) {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[geoip]\ndatabases = []\n\
         regions = \"regions.toml\"\n[handover]\n{handover}\n"
    );
    world.file("trunkdns.toml", text);
}

fn zone(ttl: u32) -> String {
    format!(
        "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\n[ns]\nhosts = [\"ns1\"]\n\
         [hosts]\nns1 = [\"192.0.2.53\"]\nsbc1 = [\"198.51.100.1\"]\n\
         sbc2 = [\"198.51.100.2\"]\n[services.\"_sip._tcp\"]\nport = 5060\nttl = {ttl}\n\
         [services.\"_sip._tcp\".tiers]\nprimary = {{ priority = 10 }}\n\
         secondary = {{ priority = 20 }}\n"
    )
}

fn priorities(primary: &str, secondary: &str) -> String {
    format!("[\"_sip._tcp\".default]\nprimary = [\"{primary}\"]\nsecondary = [\"{secondary}\"]\n")
}

fn config(world: &World) -> PathBuf {
    world.path().join("trunkdns.toml")
}

fn start(world: &World) -> Server {
    Server::start_logging(&config(world), Stdio::null())
}

/// Asks for the SRV records; returns the first target and the TTL.
fn first_target(server: &Server) -> (String, u32) {
    let message = Message::from_vec(&server.udp(&question(SRV, "SRV").octets())).unwrap();
    let first = &message.answers[0];
    let target = first.data.to_string().rsplit(' ').next().unwrap().to_owned();
    (target.split('.').next().unwrap().to_owned(), first.ttl)
}

fn serial(server: &Server) -> u64 {
    let query = question("carrier.example.com.", "SOA").octets();
    let message = Message::from_vec(&server.udp(&query)).unwrap();
    message.answers[0].data.to_string().split(' ').nth(2).unwrap().parse().unwrap()
}

/// Waits until something holds, and fails with its name if it never does.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

//----------- Edits ----------------------------------------------------------

#[test]
fn an_edit_changes_over_once_and_after_every_copy_has_expired() {
    let mut world = world();
    let server = start(&world);
    assert_eq!(first_target(&server), ("sbc1".to_owned(), 3));
    // Nobody is told: the file watch sees it.
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    let start = Instant::now();
    let mut latest_expiry = Duration::ZERO;
    let mut ttls = Vec::new();
    let changed = loop {
        let asked = start.elapsed();
        assert!(asked < Duration::from_secs(30), "it never changes over");
        let (target, ttl) = first_target(&server);
        if target == "sbc2" {
            assert_eq!(ttl, 3, "the TTL is the table's again");
            break start.elapsed();
        }
        latest_expiry = latest_expiry.max(asked + Duration::from_secs(ttl.into()));
        ttls.push(ttl);
        std::thread::sleep(Duration::from_millis(50));
    };
    // In the very last second the TTL cannot be less than 1.
    assert!(changed + Duration::from_secs(1) > latest_expiry, "{changed:?} {latest_expiry:?}");
    assert!(ttls.contains(&1) && ttls.is_sorted_by(|a, b| a >= b), "{ttls:?}");
    for _ in 0..20 {
        assert_eq!(first_target(&server), ("sbc2".to_owned(), 3));
    }
}

#[test]
fn reload_says_what_it_did_and_status_what_is_pending() {
    let mut world = world();
    let server = start(&world);
    let before = serial(&server);
    let (code, text) = server.command("reload");
    assert_eq!((code, text.as_str()), (Some(0), "generation 1 is served\n"));
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
    // The file watch may have been quicker.
    assert!(text.ends_with("generation 2 is served\n"), "{text}");
    let status = server.status();
    let handover = &status["handovers"][0];
    assert_eq!(handover["zone"], "carrier.example.com.");
    assert_eq!(handover["phase"], "waiting");
    let time = |key: &str| handover[key].as_u64().unwrap();
    assert_eq!(time("effective"), time("published") + 3);
    assert_eq!(time("settled"), time("effective") + 2);
    let (_, text) = server.command("status");
    assert!(text.contains("carrier.example.com. serial"), "{text}");
    assert!(text.contains("waiting, in force in"), "{text}");
    wait_for("the end of the handover", || {
        server.status()["handovers"].as_array().unwrap().is_empty()
    });
    assert_eq!(first_target(&server).0, "sbc2");
    assert!(serial(&server) > before);
}

#[test]
fn reload_now_is_in_force_for_everybody_within_a_second() {
    let mut world = world();
    world.file(ZONE, zone(300));
    configure(&mut world, "");
    let server = start(&world);
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    let (code, text) = server.command("reload --now");
    assert_eq!(code, Some(0), "{text}");
    wait_for("the change", || first_target(&server).0 == "sbc2");
    assert_eq!(first_target(&server), ("sbc2".to_owned(), 300));
}

#[test]
fn status_knows_until_when_a_cached_copy_prefers_or_names_an_endpoint() {
    let world = world();
    let server = start(&world);
    let expiry = |key: &str| -> Vec<u64> {
        let status = server.status();
        let endpoints = status["endpoints"].as_array().unwrap().clone();
        let targets: Vec<_> = endpoints.iter().map(|one| one["target"].as_str().unwrap()).collect();
        assert_eq!(targets, ["sbc1.carrier.example.com.", "sbc2.carrier.example.com."]);
        endpoints.iter().map(|endpoint| endpoint[key].as_u64().unwrap()).collect()
    };
    assert_eq!((expiry("prefers"), expiry("names")), (vec![0, 0], vec![0, 0]));
    let asked = now();
    assert_eq!(first_target(&server).1, 3);
    let (prefers, names) = (expiry("prefers"), expiry("names"));
    assert!((asked + 3..=asked + 5).contains(&prefers[0]), "{asked} {prefers:?}");
    assert_eq!((prefers[1], &names), (0, &vec![prefers[0], prefers[0]]));
}

#[test]
fn two_servers_that_get_a_table_with_an_effective_time_change_over_in_the_same_second() {
    let mut worlds = [world(), world()];
    let servers: Vec<_> = worlds.iter().map(start).collect();
    let serial_before = serial(&servers[0]);
    let effective = now() + 3 + 10 + 8;
    let stamp = toml_time(effective);
    for (world, server) in worlds.iter_mut().zip(&servers) {
        // Not at the same time.
        world.file(PRIORITIES, format!("effective = {stamp}\n{}", priorities("sbc2", "sbc1")));
        let (code, text) = server.command("reload");
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(server.status()["scheduled"][0]["effective"], effective);
        std::thread::sleep(Duration::from_secs(2));
    }
    // Other edits flow past it.
    for world in &mut worlds {
        world.file(ZONE, zone(3).replace("[hosts]\n", "[hosts]\nnew = [\"192.0.2.9\"]\n"));
    }
    let has_new = |server: &Server| {
        let query = question("new.carrier.example.com.", "A").octets();
        Message::from_vec(&server.udp(&query)).unwrap().answers.len() == 1
    };
    for server in &servers {
        wait_for("the other edit", || has_new(server));
        assert_eq!(first_target(server).0, "sbc1");
    }
    wait_for("both to be published", || {
        servers.iter().all(|server| {
            let status = server.status();
            let is_published = status["scheduled"].as_array().unwrap().is_empty();
            assert!(status["now"].as_u64().unwrap() <= effective + 1, "too late");
            is_published
        })
    });
    for server in &servers {
        assert_eq!(server.status()["handovers"][0]["effective"], effective);
        assert_eq!(server.status()["handovers"][0]["serial"], effective);
    }
    // 127.0.0.0/24 is the client's network on both.
    let changed: Vec<_> = servers
        .iter()
        .map(|server| {
            wait_for("the change", || first_target(server).0 == "sbc2");
            (now(), serial(server))
        })
        .collect();
    assert!(changed[0].0 >= effective && changed[1].0 <= effective + 2 + 2, "{changed:?}");
    assert_eq!((changed[0].1, changed[1].1), (effective, effective));
    assert!(effective > serial_before);
}

fn toml_time(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    // macOS has another date.
    let output = match output.status.success() {
        true => output,
        false => std::process::Command::new("date")
            .args(["-u", "-r", &seconds.to_string(), "+%Y-%m-%dT%H:%M:%SZ"])
            .output()
            .unwrap(),
    };
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What a resolver said, and what the server said to its network right
/// afterwards: first target and TTL.
struct Sighting {
    through: (String, u32),
    beside: (String, u32),
}

#[test]
fn no_resolver_holds_an_answer_that_the_server_contradicts() {
    if !server::installed("dig") || !server::installed("unbound") {
        return;
    }
    let sources = ["127.0.21.1", "127.0.22.1", "127.0.23.1"];
    if !sources.iter().all(|source| server::has_address(source)) {
        return;
    }
    let mut world = world();
    world.file(ZONE, zone(10));
    configure(&mut world, "spread = \"8s\"");
    let server = start(&world);
    let resolvers: Vec<_> = sources
        .iter()
        .map(|source| Resolver::start(source, "carrier.example.com.", server.address))
        .collect();
    println!("second  resolver at {}", sources.join("         resolver at "));
    println!("        {}", ["held           server says     "; 3].join(""));
    let start = Instant::now();
    let mut changed = [None; 3];
    for second in 0..34u64 {
        if second == 3 {
            world.file(PRIORITIES, priorities("sbc2", "sbc1"));
        }
        std::thread::sleep(Duration::from_secs(second).saturating_sub(start.elapsed()));
        let sightings: Vec<_> = sources
            .iter()
            .zip(&resolvers)
            .map(|(source, resolver)| Sighting {
                through: first(&resolver.dig(&format!("{SRV} SRV"))),
                beside: first(&server.dig(&format!("-b {source} {SRV} SRV"))),
            })
            .collect();
        let line: Vec<_> = sightings.iter().map(Sighting::to_string).collect();
        println!("{second:6}  {}", line.join("  "));
        for (sighting, changed) in sightings.iter().zip(&mut changed) {
            // In the last second the TTL cannot be less than 1.
            let is_last_second = sighting.through.1 <= 1;
            assert!(
                sighting.through.0 == sighting.beside.0 || is_last_second,
                "{}",
                line.join("  ")
            );
            if sighting.beside.0 == "sbc2" {
                changed.get_or_insert(second);
            }
            assert_eq!(changed.is_some(), sighting.beside.0 == "sbc2", "it changed over twice");
        }
    }
    println!("changed over in second {changed:?}");
    assert!(changed.iter().all(|second| second.is_some_and(|second| (13..=24).contains(&second))));
}

/// The first target and the TTL in what dig prints.
fn first(output: &str) -> (String, u32) {
    let records: Vec<Vec<&str>> = output
        .lines()
        .filter(|line| line.starts_with(SRV))
        .map(|line| line.split_whitespace().collect())
        .collect();
    // A resolver may hand records on in another order.
    let first =
        records.iter().find(|record| record[4] == "10").unwrap_or_else(|| panic!("{output}"));
    let target = first[7].split('.').next().unwrap().to_owned();
    (target, first[1].parse().unwrap())
}

impl std::fmt::Display for Sighting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |(target, ttl): &(String, u32)| format!("{target} {ttl:2} s");
        write!(f, "{:14} {:14}", show(&self.through), show(&self.beside))
    }
}

//----------- Faults ---------------------------------------------------------

/// Something that goes wrong with the files, what mends it, and what the
/// operator is told.
struct Fault {
    name: &'static str,
    breaks: fn(&World),
    mends: fn(&World),
    says: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "a syntax error",
        breaks: |world| put(world, PRIORITIES, "[\"_sip._tcp\".default]\nprimary = [\"sbc1\"\n"),
        mends: |world| put(world, PRIORITIES, &priorities("sbc1", "sbc2")),
        says: &["priorities.toml:", "error[", "its tables are refused"],
    },
    Fault {
        name: "half a file",
        breaks: |world| put(world, ZONE, &zone(3)[..150]),
        mends: |world| put(world, ZONE, &zone(3)),
        says: &["zone.toml", "error["],
    },
    Fault {
        name: "a missing file",
        breaks: |world| fs::remove_file(world.path().join(PRIORITIES)).unwrap(),
        mends: |world| put(world, PRIORITIES, &priorities("sbc1", "sbc2")),
        says: &["priorities.toml", "it does not exist"],
    },
    Fault {
        name: "a file that cannot be read",
        breaks: |world| {
            fs::remove_file(world.path().join(PRIORITIES)).unwrap();
            fs::create_dir(world.path().join(PRIORITIES)).unwrap();
        },
        mends: |world| {
            fs::remove_dir(world.path().join(PRIORITIES)).unwrap();
            put(world, PRIORITIES, &priorities("sbc1", "sbc2"));
        },
        says: &["priorities.toml", "error["],
    },
    Fault {
        name: "a zones directory that is gone",
        breaks: |world| rename(world, "zones", "elsewhere"),
        mends: |world| rename(world, "elsewhere", "zones"),
        says: &["zones", "everything is held back"],
    },
    Fault {
        name: "a zone that is gone",
        breaks: |world| rename(world, "zones/carrier.example.com", "elsewhere"),
        mends: |world| rename(world, "elsewhere", "zones/carrier.example.com"),
        says: &["carrier.example.com. is held back", "is gone", "--force"],
    },
    Fault {
        name: "a zone that lost most of its records",
        breaks: |world| {
            put(world, ZONE, "[soa]\nprimary='x.test.'\ncontact='h'\n[ns]\nhosts=['x.test.']\n")
        },
        mends: |world| put(world, ZONE, &zone(3)),
        says: &["held back"],
    },
    Fault {
        name: "a broken region table",
        breaks: |world| put(world, "regions.toml", "default = \"nowhere\"\n[regions.us]\n"),
        mends: |world| put(world, "regions.toml", REGIONS),
        says: &["regions.toml:1:11", "everything is held back"],
    },
    Fault {
        name: "a region table that moves everybody",
        breaks: |world| put(world, "regions.toml", &REGIONS.replace("\"us\"", "\"eu\"")),
        mends: |world| put(world, "regions.toml", REGIONS),
        says: &["everything is held back", "% of the IPv", "--force"],
    },
    Fault {
        name: "a broken configuration",
        breaks: |world| put(world, "trunkdns.toml", "[server\n"),
        mends: |world| put(world, "trunkdns.toml", &world.text("trunkdns.toml")),
        says: &["trunkdns.toml:1", "everything is held back"],
    },
    Fault {
        name: "a truncated database",
        breaks: |world| {
            let mmdb = fs::read(server::project().join("geoip/country.mmdb")).unwrap();
            fs::write(world.path().join("broken.mmdb"), &mmdb[..100_000]).unwrap();
            let text = world.text("trunkdns.toml");
            put(world, "trunkdns.toml", &text.replace("[]", "[\"broken.mmdb\"]"));
        },
        mends: |world| put(world, "trunkdns.toml", &world.text("trunkdns.toml")),
        says: &["broken.mmdb` cannot be used", "everything is held back"],
    },
];

fn put(world: &World, path: &str, text: &str) {
    fs::write(world.path().join(path), text).unwrap();
}

fn rename(world: &World, from: &str, to: &str) {
    fs::rename(world.path().join(from), world.path().join(to)).unwrap();
}

#[test]
fn a_fault_leaves_what_is_served_is_reported_and_is_over_when_the_files_are_mended() {
    let world = world();
    let server = start(&world);
    let generation = server.status()["generation"].clone();
    for fault in FAULTS {
        let name = fault.name;
        (fault.breaks)(&world);
        let (code, text) = server.command("reload");
        assert_eq!(code, Some(1), "{name}: {text}");
        for part in fault.says {
            assert!(text.contains(part), "{name}: no `{part}` in\n{text}");
        }
        assert_eq!(first_target(&server), ("sbc1".to_owned(), 3), "{name}");
        let (code, status) = server.command("status");
        assert_eq!(code, Some(0), "{name}");
        for part in fault.says {
            assert!(status.contains(part), "{name}: no `{part}` in\n{status}");
        }
        (fault.mends)(&world);
        wait_for(name, || server.status()["last"]["is-whole"] == true);
        assert_eq!(server.status()["generation"], generation, "{name}");
    }
}

#[test]
fn what_is_held_back_is_done_by_force_and_one_zone_can_be_named() {
    let mut world = world();
    world.zone(
        "b.example",
        &[("records.zone", "$TTL 3\n@ SOA n h 1 2 3 4 5\n@ NS n\nn A 192.0.2.1\n")],
    );
    let server = start(&world);
    fs::remove_dir_all(world.path().join("zones/b.example")).unwrap();
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    let (code, text) = server.command("reload carrier.example.com");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = server.command("reload b.example.");
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = server.command("reload no.such.zone");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no.such.zone. is held back: there is no such zone"), "{text}");
    let (code, text) = server.command("reload --force");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("b.example. is removed"), "{text}");
    assert_eq!(server.status()["zones"], 1);
}

#[test]
fn a_state_that_cannot_be_written_publishes_nothing_and_is_tried_again() {
    if !std::path::Path::new("/dev/full").exists() {
        return server::skip("this system has no /dev/full");
    }
    let mut world = world();
    let server = start(&world);
    // What is written there meets a disk without room.
    let blocker = world.path().join("state/manifest.new");
    std::os::unix::fs::symlink("/dev/full", &blocker).unwrap();
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cannot write to the state folder"), "{text}");
    let status = server.status();
    assert!(status["state"]["write-error"].is_string(), "{status}");
    assert!(status["handovers"].as_array().unwrap().is_empty());
    assert_eq!(first_target(&server), ("sbc1".to_owned(), 3));
    fs::remove_file(&blocker).unwrap();
    wait_for("another attempt", || server.status()["state"]["write-error"].is_null());
    wait_for("the change", || first_target(&server).0 == "sbc2");
}

#[test]
fn a_link_that_is_turned_to_another_folder_is_taken_in() {
    let world = world();
    // As ConfigMaps are mounted: zones -> ..data/zones, ..data -> a version.
    let root = world.path();
    fs::create_dir_all(root.join("v1")).unwrap();
    rename(&world, "zones", "v1/zones");
    server::copy(&root.join("v1"), &root.join("v2"));
    put(&world, &format!("v2/{PRIORITIES}"), &priorities("sbc2", "sbc1"));
    std::os::unix::fs::symlink("v1", root.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/zones", root.join("zones")).unwrap();
    let server = start(&world);
    assert_eq!(first_target(&server).0, "sbc1");
    std::os::unix::fs::symlink("v2", root.join("..new")).unwrap();
    fs::rename(root.join("..new"), root.join("..data")).unwrap();
    wait_for("the change", || first_target(&server).0 == "sbc2");
}

#[test]
fn files_that_come_and_go_while_they_are_read_do_no_harm() {
    let mut world = world();
    let server = start(&world);
    let stop = Arc::new(AtomicBool::new(false));
    let toggler = {
        let (stop, root) = (stop.clone(), world.path().to_owned());
        std::thread::spawn(move || {
            let paths = [PRIORITIES, ZONE, "regions.toml", "zones/carrier.example.com"];
            let mut random = 1u32;
            while !stop.load(Ordering::Relaxed) {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let path = root.join(paths[(random >> 30) as usize]);
                fs::rename(&path, root.join("away")).unwrap();
                std::thread::sleep(Duration::from_micros(u64::from(random >> 22)));
                fs::rename(root.join("away"), &path).unwrap();
                std::thread::sleep(Duration::from_micros(u64::from(random >> 21)));
            }
        })
    };
    let mut whole = 0;
    for _ in 0..150 {
        let (code, _) = server.command("reload");
        whole += u32::from(code == Some(0));
        assert_eq!(first_target(&server), ("sbc1".to_owned(), 3));
    }
    stop.store(true, Ordering::Relaxed);
    toggler.join().unwrap();
    assert!((1..150).contains(&whole), "{whole} of 150 reloads saw all files");
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    wait_for("the edit", || first_target(&server).0 == "sbc2");
    assert_eq!(server.status()["last"]["is-whole"], true);
}

//----------- Clocks ---------------------------------------------------------

/// The library with which libfaketime steps a process's wall clock.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let found = folders.map(|entry| library(entry.path())).find(|path| path.exists());
    if found.is_none() {
        server::skip("faketime is not installed");
    }
    found
}

#[test]
fn a_step_of_the_system_clock_neither_hastens_nor_undoes_a_handover() {
    let Some(library) = faketime() else { return };
    for step in ["-3600", "+3600"] {
        let mut world = world();
        world.file(ZONE, zone(5));
        let clock = world.path().join("clock");
        fs::write(&clock, "+0").unwrap();
        let server = Server::start_with(&config(&world), Stdio::null(), |command| {
            command
                .env("LD_PRELOAD", &library)
                .env("FAKETIME_TIMESTAMP_FILE", &clock)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        });
        world.file(PRIORITIES, priorities("sbc2", "sbc1"));
        assert_eq!(server.command("reload").0, Some(0));
        let start = Instant::now();
        fs::write(&clock, step).unwrap();
        // It waits as long as cached copies live, whatever the clock says.
        while first_target(&server).0 == "sbc1" {
            assert!(start.elapsed() < Duration::from_secs(12), "{step}: it never changes over");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(start.elapsed() > Duration::from_secs(4), "{step}: {:?}", start.elapsed());
        let is_followed = || {
            let status = server.status();
            status["clock-steps"] == 1 && status["clock-deviation"].as_i64().unwrap().abs() < 1000
        };
        wait_for("the clock to be followed", || {
            assert_eq!(first_target(&server).0, "sbc2", "{step}: it went back");
            is_followed()
        });
        let real = i64::try_from(now()).unwrap();
        let stepped = server.status()["now"].as_i64().unwrap() - real;
        assert!((stepped - step.parse::<i64>().unwrap()).abs() < 5, "{step}: {stepped}");
    }
}

//----------- Restarts -------------------------------------------------------

#[test]
fn a_server_that_is_killed_in_a_handover_goes_on_with_the_same_times() {
    let mut world = world();
    world.file(ZONE, zone(8));
    let server = start(&world);
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    assert_eq!(server.command("reload").0, Some(0));
    let before = server.status();
    server.kill();
    let server = start(&world);
    let after = server.status();
    assert_eq!(after["handovers"], before["handovers"]);
    assert_eq!(after["generation"], before["generation"]);
    let over = before["handovers"][0]["effective"].as_u64().unwrap();
    loop {
        let asked = now();
        let (target, ttl) = first_target(&server);
        if target == "sbc2" {
            assert!(now() >= over);
            break;
        }
        assert!(asked + u64::from(ttl) <= over + 2 + 1, "{asked} {ttl} {over}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_server_that_starts_with_broken_tables_serves_the_last_good_ones() {
    let world = world();
    let server = start(&world);
    let serial_before = serial(&server);
    server.kill();
    for fault in FAULTS {
        let name = fault.name;
        (fault.breaks)(&world);
        let server = start(&world);
        assert!(server.ready.contains("SERVING LAST GOOD TABLES"), "{name}: {}", server.ready);
        assert_eq!(first_target(&server), ("sbc1".to_owned(), 3), "{name}");
        assert_eq!(serial(&server), serial_before, "{name}");
        let (_, status) = server.command("status");
        for part in fault.says {
            assert!(status.contains(part), "{name}: no `{part}` in\n{status}");
        }
        (fault.mends)(&world);
        wait_for(name, || server.status()["last"]["is-whole"] == true);
        server.kill();
    }
}

#[test]
fn without_a_last_good_state_broken_tables_are_refused() {
    for fault in
        FAULTS.iter().filter(|fault| fault.says.iter().all(|part| !part.contains("held back")))
    {
        let world = world();
        (fault.breaks)(&world);
        let (code, text) = command(&config(&world), "serve");
        assert_eq!(code, Some(1), "{}: {text}", fault.name);
        assert!(text.contains("nothing is served"), "{}: {text}", fault.name);
    }
}

#[test]
fn check_says_what_a_server_would_serve_instead_of_broken_tables() {
    let mut world = world();
    start(&world).kill();
    world.file(PRIORITIES, "broken");
    let (code, text) = command(&config(&world), "check");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("a server that starts now serves the last good tables"), "{text}");
}

#[test]
fn a_server_that_is_killed_at_any_moment_of_a_reload_starts_again() {
    let mut world = world();
    let mut server = start(&world);
    for round in 0..25u64 {
        let (primary, secondary) = if round % 2 == 0 { ("sbc2", "sbc1") } else { ("sbc1", "sbc2") };
        world.file(PRIORITIES, priorities(primary, secondary));
        let path = config(&world);
        let reload = std::thread::spawn(move || command(&path, "reload"));
        // From before the reload begins to after its end.
        std::thread::sleep(Duration::from_millis(round * 3));
        server.kill();
        reload.join().unwrap();
        server = start(&world);
        assert!(!server.ready.contains("LAST GOOD"), "{}", server.ready);
        let status = server.status();
        assert!(status["state"]["damaged"].is_null(), "{status}");
        assert!(["sbc1", "sbc2"].contains(&first_target(&server).0.as_str()));
    }
}

#[test]
fn a_damaged_state_is_reported_set_aside_and_made_anew() {
    let world = world();
    start(&world).kill();
    for file in ["1.pack", "manifest"] {
        let path = world.path().join("state").join(file);
        let mut octets = fs::read(&path).unwrap();
        let middle = octets.len() / 2;
        octets[middle] ^= 1;
        fs::write(&path, octets).unwrap();
        let server = start(&world);
        assert_eq!(first_target(&server), ("sbc1".to_owned(), 3));
        let status = server.status();
        let why = status["state"]["damaged"].as_str().unwrap_or_else(|| panic!("{status}"));
        assert!(why.contains("it was moved to") && why.contains("damaged-"), "{why}");
        server.kill();
        let server = start(&world);
        assert!(server.status()["state"]["damaged"].is_null());
        server.kill();
    }
}

#[test]
fn a_second_server_with_the_same_state_is_refused() {
    let world = world();
    let server = start(&world);
    let (code, text) = command(&config(&world), "serve");
    assert_eq!(code, Some(1));
    assert!(text.contains("another server uses the state folder"), "{text}");
    assert_eq!(first_target(&server).0, "sbc1");
}

#[test]
fn commands_without_a_server_say_so_and_exit_1() {
    let world = world();
    for arguments in ["status", "reload"] {
        let (code, text) = command(&config(&world), arguments);
        assert_eq!(code, Some(1));
        assert!(text.contains("no server answers on"), "{text}");
    }
}

#[test]
fn the_control_socket_is_its_owners_and_does_not_outlive_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let world = world();
    let path = world.path().join("state/control.sock");
    let mut server = start(&world);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!path.exists());
    // One that was killed leaves it behind.
    start(&world).kill();
    assert!(path.exists());
    start(&world).status();
}

#[test]
fn the_serial_never_goes_back_whatever_the_files_times_say() {
    let mut world = world();
    let server = start(&world);
    let first = serial(&server);
    let old = fs::File::options().append(true).open(world.path().join(PRIORITIES)).unwrap();
    world.file(PRIORITIES, priorities("sbc2", "sbc1"));
    old.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    let zone = fs::File::options().append(true).open(world.path().join(ZONE)).unwrap();
    zone.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    assert_eq!(server.command("reload --now").0, Some(0));
    wait_for("the change", || first_target(&server).0 == "sbc2");
    let second = serial(&server);
    assert!(second > first);
    server.kill();
    let server = start(&world);
    assert_eq!(serial(&server), second);
    // A serial that is written in the table counts, even alone.
    let fixed = second + 100;
    world.file(ZONE, self::zone(3).replace("[soa]\n", &format!("[soa]\nserial = {fixed}\n")));
    assert_eq!(server.command("reload").0, Some(0));
    wait_for("the serial", || serial(&server) == fixed);
}

//----------- Under load -----------------------------------------------------

/// Asks without a pause until told to stop; every answer must be one of two.
fn ask_on(address: std::net::SocketAddr, stop: &AtomicBool, asked: &AtomicU64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let query = question(SRV, "SRV").octets();
    let mut octets = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        socket.send(&query).unwrap();
        let len = socket.recv(&mut octets).expect("a query is lost");
        let message = Message::from_vec(&octets[..len]).unwrap();
        let records: Vec<_> =
            message.answers.iter().map(|record| record.data.to_string()).collect();
        let is_valid = |first: &str, second: &str| {
            records
                == [
                    format!("10 100 5060 {first}.carrier.example.com."),
                    format!("20 100 5060 {second}.carrier.example.com."),
                ]
        };
        assert!(is_valid("sbc1", "sbc2") || is_valid("sbc2", "sbc1"), "{records:?}");
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// The memory that a process has, in KiB, where the system says.
fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_thousand_reloads_lose_no_query_and_leave_memory_as_it_was() {
    let mut world = world();
    let server = start(&world);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let askers: Vec<_> = (0..2)
        .map(|_| {
            let (stop, asked, address) = (stop.clone(), asked.clone(), server.address);
            std::thread::spawn(move || ask_on(address, &stop, &asked))
        })
        .collect();
    let mut memory = Vec::new();
    for round in 0..1000 {
        let (primary, secondary) = if round % 2 == 0 { ("sbc2", "sbc1") } else { ("sbc1", "sbc2") };
        world.file(PRIORITIES, priorities(primary, secondary));
        let (code, text) = server.command("reload");
        assert_eq!(code, Some(0), "{round}: {text}");
        if round % 100 == 99 {
            memory.extend(resident(server.id()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.join().unwrap();
    }
    let asked = asked.load(Ordering::Relaxed);
    println!("1,000 reloads, {asked} queries, resident memory in KiB each 100: {memory:?}");
    assert!(asked > 1000);
    if let [first, .., last] = memory[..] {
        assert!(last < first + (10 << 10), "it grows: {memory:?}");
    }
}
