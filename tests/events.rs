//! Events of the server: what programs and journald read.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use serde_json::Value;

use server::Server;
use support::World;

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";

/// Serves a zone, reloads one that is refused, and returns the events.
fn events(arguments: &[&str], is_journal: bool) -> String {
    let mut world = World::with_zone("carrier.example.com", &[("records.zone", ZONE)]);
    world.listen_anywhere();
    let path = world.path().join("events");
    let file = File::create(&path).unwrap();
    let metadata = file.metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    let server =
        Server::start_with(&world.path().join("trunkdns.toml"), Stdio::from(file), |command| {
            command.args(arguments).env_remove("JOURNAL_STREAM");
            if is_journal {
                command.env("JOURNAL_STREAM", stream);
            }
        });
    world.file("zones/carrier.example.com/records.zone", "@ SOA\n");
    assert_eq!(server.command("reload").0, Some(1));
    drop(server);
    fs::read_to_string(path).unwrap()
}

#[test]
fn events_are_objects_of_json_where_that_is_asked_for() {
    let text = events(&["--log-format", "json"], true);
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for event in &events {
        assert!(
            ["timestamp", "level", "message", "target"].iter().all(|key| event[key].is_string())
        );
    }
    let has = |level: &str, part: &str| {
        let mut events = events.iter();
        events.any(|event| {
            event["level"] == level && event["message"].as_str().unwrap().contains(part)
        })
    };
    assert!(has("INFO", "carrier.example.com. is added"), "{text}");
    assert!(has("ERROR", "carrier.example.com. is held back"), "{text}");
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let text = events(&[], true);
    assert!(text.lines().all(|line| line.starts_with('<') && line[2..].starts_with('>')), "{text}");
    assert!(text.contains("<6>carrier.example.com. is added\n"), "{text}");
    assert!(text.contains("<3>carrier.example.com. is held back"), "{text}");
}

#[test]
fn where_standard_error_is_not_the_journal_events_have_times_and_levels() {
    let text = events(&[], false);
    assert!(
        text.lines().any(|line| line.contains(" INFO ") && line.contains("is added")),
        "{text}"
    );
    assert!(!text.contains("<6>"), "{text}");
}
