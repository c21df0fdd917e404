//! The control plane without sockets: files in, snapshots out.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{EU, US, World, question};
use trunkdns::clock;
use trunkdns::daemon::board::Outcome;
use trunkdns::daemon::{Publisher, Request};
use trunkdns::snapshot::{Order, Snapshot};
use trunkdns::state::{Found, State};
use trunkdns::wire::Name;

const PRIORITIES: &str = "zones/a.example/priorities.toml";
const ZONE: &str = "zones/a.example/zone.toml";

fn zone() -> String {
    let mut zone = "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\n[ns]\nhosts = [\"ns1\"]\n\
                    [services.\"_sip._tcp\"]\nport = 5060\nttl = 30\n\
                    [services.\"_sip._tcp\".tiers]\nprimary = { priority = 10 }\n\
                    [hosts]\nns1 = [\"192.0.2.53\"]\n"
        .to_owned();
    for at in 1..6 {
        zone += &format!("sbc{at} = [\"198.51.100.{at}\"]\n");
    }
    zone
}

fn row(target: &str) -> String {
    format!("[\"_sip._tcp\".default]\nprimary = [\"{target}\"]\n")
}

fn scheduled(target: &str, effective: u64) -> String {
    let time = humantime(effective);
    format!("effective = {time}\n{}", row(target))
}

/// A time as TOML writes it.
fn humantime(seconds: u64) -> String {
    let days = seconds / 86_400;
    // Civil dates by days since 1970 (Hinnant).
    let z = days as i64 + 719_468;
    let era = z / 146_097;
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn world() -> World {
    let priorities = row("sbc1");
    World::with_zone("a.example", &[("zone.toml", &zone()), ("priorities.toml", &priorities)])
}

fn configure(world: &mut World, more: &str) {
    let text = format!("[geoip]\ndatabases = []\nregions = \"regions.toml\"\n{more}");
    world.file("trunkdns.toml", text);
}

fn start(world: &World) -> Publisher {
    Publisher::start(&world.path().join("trunkdns.toml")).unwrap()
}

fn reload(publisher: &mut Publisher) -> Outcome {
    publisher.reload(&Request::default())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn name(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap()
}

/// The target of a zone's only SRV record, at a second from now.
fn target(snapshot: &Snapshot, zone: &str, client: &str, later: u64) -> String {
    let at = (now() + later) * 1000 + 999;
    let question = question(&format!("_sip._tcp.{zone}."), "SRV").from(client).at(at);
    let data = question.ask(snapshot).data();
    data.first().map_or_else(String::new, |record| {
        record.rsplit(' ').next().unwrap().split('.').next().unwrap().to_owned()
    })
}

fn target_of(publisher: &Publisher, later: u64) -> String {
    target(&publisher.served().load(), "a.example", US, later)
}

//----------- Regions --------------------------------------------------------

#[test]
fn a_zone_is_compiled_anew_when_regions_were_added_while_it_was_held_back() {
    let mut world = world();
    let rows = "[\"_sip._tcp\".eu]\nprimary = [\"sbc2\"]\n[\"_sip._tcp\".default]\n\
                primary = [\"sbc1\"]\n";
    world.file(PRIORITIES, rows);
    let mut publisher = start(&world);
    assert_eq!(target(&publisher.served().load(), "a.example", EU, 0), "sbc2");
    // Another region in front gives every region another number.
    world.file(PRIORITIES, "typo");
    world.file("regions.toml", format!("{}[regions.aa]\n", support::REGIONS));
    assert!(!reload(&mut publisher).is_whole);
    world.file(PRIORITIES, rows);
    assert!(reload(&mut publisher).is_whole);
    let snapshot = publisher.served().load();
    for later in [0, 600] {
        assert_eq!(target(&snapshot, "a.example", EU, later), "sbc2");
        assert_eq!(target(&snapshot, "a.example", US, later), "sbc1");
    }
    assert_eq!(target(&snapshot, "aa.a.example", US, 600), "sbc1");
}

//----------- Schedules ------------------------------------------------------

#[test]
fn immediate_mode_takes_effect_at_the_time_that_the_table_names() {
    let mut world = world();
    configure(&mut world, "[handover]\nmode = \"immediate\"\n");
    let mut publisher = start(&world);
    world.file(PRIORITIES, scheduled("sbc2", now() + 3600));
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(target_of(&publisher, 3000), "sbc1");
    let soon = now() + 6;
    world.file(PRIORITIES, scheduled("sbc2", soon));
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(
        (target_of(&publisher, 0), target_of(&publisher, 7)),
        ("sbc1".into(), "sbc2".into())
    );
}

#[test]
fn now_means_what_has_no_time_of_its_own() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, scheduled("sbc2", now() + 3600));
    world.file(ZONE, zone().replace("198.51.100.1\"", "198.51.100.9\""));
    let request = Request { now: true, ..Request::default() };
    assert!(publisher.reload(&request).is_whole);
    assert_eq!(target_of(&publisher, 3000), "sbc1");
    let host = question("sbc1.a.example.", "A").at((now() + 10) * 1000);
    assert_eq!(host.ask(&publisher.served().load()).data(), ["198.51.100.9"]);
    let board = publisher.board().load();
    assert!(board.kept.zones[&name("a.example")].scheduled.is_some());
}

#[test]
fn a_time_that_is_moved_or_taken_away_counts_until_somebody_has_changed_over() {
    let mut world = world();
    let mut publisher = start(&world);
    // Soon enough to be published at once: pending, not scheduled.
    let first = now() + 30 + Order::LEAD;
    world.file(PRIORITIES, scheduled("sbc2", first));
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(target_of(&publisher, 120), "sbc2");
    world.file(PRIORITIES, scheduled("sbc2", first + 3600));
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(target_of(&publisher, 1200), "sbc1");
    world.file(PRIORITIES, row("sbc2"));
    assert!(reload(&mut publisher).is_whole);
    assert_eq!(
        (target_of(&publisher, 20), target_of(&publisher, 60)),
        ("sbc1".into(), "sbc2".into())
    );
    // Nothing new: nothing is published.
    let generation = publisher.board().load().kept.generation;
    assert!(reload(&mut publisher).lines.is_empty());
    assert_eq!(publisher.board().load().kept.generation, generation);
}

#[test]
fn a_time_that_has_passed_does_not_keep_an_edit_from_being_withdrawn() {
    let mut world = world();
    let past = now() - 86_400;
    world.file(PRIORITIES, scheduled("sbc1", past));
    let mut publisher = start(&world);
    world.file(PRIORITIES, scheduled("sbc2", past));
    let outcome = reload(&mut publisher);
    assert!(!outcome.lines.concat().contains("later than `effective`"), "{:?}", outcome.lines);
    world.file(PRIORITIES, scheduled("sbc1", past));
    let outcome = reload(&mut publisher);
    assert!(outcome.lines.concat().contains("is withdrawn"), "{:?}", outcome.lines);
    assert!((0..600).all(|later| target_of(&publisher, later) == "sbc1"));
}

#[test]
fn a_first_priority_table_does_not_wait_for_its_time() {
    let mut world = world();
    let without =
        zone().split("[services").next().unwrap().to_owned() + "[hosts]\nns1 = [\"192.0.2.1\"]\n";
    world.file(ZONE, without);
    fs::remove_file(world.path().join(PRIORITIES)).unwrap();
    let mut publisher = start(&world);
    world.file(ZONE, zone());
    world.file(PRIORITIES, scheduled("sbc1", now() + 3600));
    let outcome = publisher.reload(&Request { force: true, ..Request::default() });
    assert!(outcome.is_whole, "{outcome:?}");
    // The address of ns1 is another one, and its TTL is waited for.
    assert_eq!(target_of(&publisher, 400), "sbc1");
}

//----------- What is held back ----------------------------------------------

#[test]
fn a_zone_below_another_one_waits_until_its_answers_are_gone() {
    let mut world = world();
    world.file(ZONE, zone() + "\"www.sub\" = [\"192.0.2.77\"]\n");
    let mut publisher = start(&world);
    // Delegated from now on, but the old address may be cached for 300 s.
    world.file(ZONE, zone());
    let child = "$TTL 30\n@ SOA n h 1 2 3 4 5\n@ NS n\nn A 192.0.2.1\nwww A 192.0.2.88\n";
    assert!(reload(&mut publisher).is_whole);
    world.file("zones/sub.a.example/records.zone", child);
    for _ in 0..2 {
        let outcome = reload(&mut publisher);
        assert_eq!(outcome.held_back.len(), 1, "{outcome:?}");
        assert!(outcome.held_back[0].why.contains("or had until now"), "{outcome:?}");
    }
    let request = Request { now: true, ..Request::default() };
    assert!(publisher.reload(&request).is_whole);
}

#[test]
fn the_client_subnet_is_not_turned_on_or_off_in_passing() {
    let mut world = world();
    let mut publisher = start(&world);
    configure(&mut world, "client-subnet = false\n");
    let outcome = reload(&mut publisher);
    assert_eq!(outcome.held_back[0].what, "`client-subnet`");
    assert!(publisher.served().load().settings.client_subnet);
    let request = Request { now: true, ..Request::default() };
    assert!(publisher.reload(&request).is_whole);
    assert!(!publisher.served().load().settings.client_subnet);
}

#[test]
fn a_zone_whose_folder_holds_another_one_can_be_removed() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(ZONE, format!("origin = \"b.example.\"\n{}", zone()));
    let outcome = reload(&mut publisher);
    assert!(outcome.held_back[0].why.contains("holds another zone now"), "{outcome:?}");
    let outcome = publisher.reload(&Request { force: true, ..Request::default() });
    assert!(outcome.is_whole, "{outcome:?}");
    assert_eq!(
        publisher.board().load().kept.zones.keys().collect::<Vec<_>>(),
        [&name("b.example")]
    );
}

#[test]
fn what_is_in_force_is_no_loss() {
    let mut world = world();
    let mut publisher = start(&world);
    let mut more = zone();
    for at in 0..40 {
        more += &format!("more{at} = [\"192.0.2.{at}\"]\n");
    }
    // A change of the row keeps all of it pending.
    world.file(ZONE, more);
    world.file(PRIORITIES, row("sbc2"));
    assert!(reload(&mut publisher).is_whole);
    world.file(ZONE, zone());
    world.file(PRIORITIES, row("sbc1"));
    let outcome = reload(&mut publisher);
    assert!(outcome.is_whole && outcome.lines.concat().contains("withdrawn"), "{outcome:?}");
}

#[test]
fn force_does_not_stop_serving_everything_because_a_directory_is_empty() {
    let world = world();
    let mut publisher = start(&world);
    fs::remove_dir_all(world.path().join("zones/a.example")).unwrap();
    let force = Request { force: true, ..Request::default() };
    let outcome = publisher.reload(&force);
    assert!(outcome.held_back[0].why.contains("no zone folder is left"), "{outcome:?}");
    assert_eq!(target_of(&publisher, 0), "sbc1");
    let outcome = publisher.reload(&Request { zones: vec![name("a.example")], ..force });
    assert!(outcome.is_whole, "{outcome:?}");
    assert!(publisher.board().load().kept.zones.is_empty());
}

#[test]
fn whoever_names_a_zone_is_not_told_of_mistakes_in_others() {
    let mut world = world();
    world.zone("b.example", &[("zone.toml", &zone()), ("priorities.toml", &row("sbc1"))]);
    let mut publisher = start(&world);
    world.file("zones/b.example/priorities.toml", "typo");
    world.file(PRIORITIES, row("sbc2"));
    let named = |zone: &str| Request { zones: vec![name(zone)], ..Request::default() };
    assert!(publisher.reload(&named("a.example")).is_whole);
    assert!(!publisher.reload(&named("b.example")).is_whole);
}

#[test]
fn what_passed_lenient_checks_stays_until_it_is_edited_under_strict_ones() {
    const RECORDS: &str = "zones/a.example/records.zone";
    let mut world = world();
    world.file(RECORDS, "$TTL 60\nx CNAME y\ny CNAME x\n");
    configure(&mut world, "[zones]\nlenient = true\n");
    let mut publisher = start(&world);
    configure(&mut world, "");
    assert!(reload(&mut publisher).is_whole);
    world.file(PRIORITIES, row("sbc2"));
    let outcome = reload(&mut publisher);
    assert!(outcome.findings.contains("error[cname-loop]"), "{outcome:?}");
    assert_eq!(outcome.held_back[0].what, "a.example.");
    assert_eq!(target_of(&publisher, 100), "sbc1");
    configure(&mut world, "[zones]\nlenient = true\n");
    let outcome = reload(&mut publisher);
    assert!(outcome.is_whole && outcome.findings.is_empty(), "{outcome:?}");
    assert_eq!(target_of(&publisher, 100), "sbc2");
}

//----------- Serials, time, state -------------------------------------------

#[test]
fn a_zone_that_comes_back_goes_on_with_its_serial() {
    let mut world = world();
    world.zone("b.example", &[("zone.toml", &zone()), ("priorities.toml", &row("sbc1"))]);
    let mut publisher = start(&world);
    let serial = |publisher: &Publisher| {
        publisher.board().load().kept.zones[&name("a.example")].timeline.newest().zone.serial()
    };
    let first = serial(&publisher);
    let folder = world.path().join("zones/a.example");
    fs::rename(&folder, world.path().join("away")).unwrap();
    assert!(publisher.reload(&Request { force: true, ..Request::default() }).is_whole);
    drop(publisher);
    let mut publisher = start(&world);
    fs::rename(world.path().join("away"), &folder).unwrap();
    for file in [ZONE, PRIORITIES] {
        let file = fs::File::options().append(true).open(world.path().join(file)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    }
    assert!(reload(&mut publisher).is_whole);
    assert!(serial(&publisher) > first);
}

fn change_time(folder: PathBuf, by: i64) {
    let (mut state, found) = State::open(&folder).unwrap();
    let Found::Kept(mut kept) = found else { panic!("{found:?}") };
    kept.time = kept.time.saturating_add_signed(by);
    state.save(&kept, None).unwrap();
}

#[test]
fn a_clock_that_was_ahead_once_does_not_stay_ahead_after_a_restart() {
    let world = world();
    drop(start(&world));
    let years = 10 * 365 * 86_400;
    change_time(world.path().join("state"), years);
    let publisher = start(&world);
    assert!(publisher.clock().deviation(clock::wall()).abs() < 2000);
}

#[test]
fn time_does_not_begin_before_the_last_publication_while_a_handover_is_under_way() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, row("sbc2"));
    assert!(reload(&mut publisher).is_whole);
    drop(publisher);
    change_time(world.path().join("state"), 20);
    let publisher = start(&world);
    let ahead = -publisher.clock().deviation(clock::wall());
    assert!((15_000..=21_500).contains(&ahead), "{ahead}");
}

#[test]
fn what_was_kept_and_perhaps_never_served_waits_anew() {
    let mut world = world();
    let mut publisher = start(&world);
    world.file(PRIORITIES, row("sbc2"));
    assert!(reload(&mut publisher).is_whole);
    let entries = |publisher: &Publisher| {
        let kept = publisher.board().load().kept.clone();
        let entries = kept.zones[&name("a.example")].timeline.entries().to_vec();
        (entries[1].published, entries[1].effective())
    };
    let before = entries(&publisher);
    drop(publisher);
    // A restart goes on with the same times …
    let publisher = start(&world);
    assert_eq!(entries(&publisher), before);
    drop(publisher);
    // … unless the server was killed before it noted that it serves it.
    std::thread::sleep(Duration::from_secs(3));
    fs::write(world.path().join("state/served"), "1").unwrap();
    let after = entries(&start(&world));
    assert!(after.0 > before.0 && after.1 >= before.1 + 2, "{before:?} {after:?}");
}
