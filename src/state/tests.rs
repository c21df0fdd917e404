//! What the state folder gives back, and what it does with damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::config::read_regions;
use crate::daemon::load::compile_texts;
use crate::diag::{Report, Sources};
use crate::geo::{CloudLists, Databases, RegionTable};
use crate::snapshot::{Entry, Version};

const REGIONS: &str = "default = 'a'\n[regions.a]\n[regions.b]\nnetworks = ['10.0.0.0/8', \
                       '2001:db8::/32', '64:ff9b::/96']\n";

fn tables(path: &str, text: &str) -> Arc<Tables> {
    let path = PathBuf::from(path);
    Arc::new(Tables::new(path.clone(), [(path, Arc::from(text))]))
}

fn regions() -> RegionTable {
    let path = PathBuf::from("regions.toml");
    let mut sources = Sources::of_texts([(path.clone(), Arc::from(REGIONS))]);
    read_regions(&mut sources, &path, &mut Report::default()).unwrap()
}

fn zone_tables(address: &str) -> Arc<Tables> {
    let folder = Path::new("example");
    let zone = format!(
        "[soa]\nprimary = 'ns'\ncontact = 'h'\n[ns]\nhosts = ['ns']\n[hosts]\nns = ['{address}']\n\
         [services.'_sip._tcp']\nport = 5060\nttl = 60\n[services.'_sip._tcp'.tiers]\n\
         primary = {{ priority = 10 }}\n"
    );
    let rows = "['_sip._tcp'.b]\nprimary = ['ns']\n['_sip._tcp'.default]\nprimary = ['x.test.']\n";
    let files = vec![
        (folder.join("zone.toml"), Arc::from(zone)),
        (folder.join("priorities.toml"), Arc::from(rows)),
    ];
    Arc::new(Tables::new(folder.to_owned(), files))
}

/// What is published, of one zone in mid-handover.
fn kept(generation: u64) -> Kept {
    let map = RegionMap::compile(&regions(), &CloudLists::default(), &Databases::default());
    let map = Arc::new(map);
    let entry = |address: &str, wait| Entry {
        version: Arc::new(Version::new(
            compile_texts(&zone_tables(address), &regions(), 7).unwrap(),
            map.clone(),
        )),
        published: 1000 + u64::from(wait),
        wait,
        spread: 15,
        immediate: wait == 0,
    };
    let entries = vec![entry("192.0.2.1", 0), entry("192.0.2.2", 60)];
    let scheduled = Scheduled { tables: zone_tables("192.0.2.3"), effective: 2000, begin: 1900 };
    let zone = KeptZone {
        skipped: Some(zone_tables("192.0.2.9")),
        drained: Arc::new([Name::parse("sbc2", &Name::root()).unwrap()].into()),
        timeline: Arc::new(Timeline::of_entries(entries).unwrap()),
        tables: zone_tables("192.0.2.2"),
        scheduled: Some(scheduled),
        serial: 9,
    };
    let shared = Shared {
        config: tables("trunkdns.toml", ""),
        regions: tables("regions.toml", REGIONS),
        map,
        fingerprint: Some([7; 32]),
        reading: None,
        databases: Vec::new(),
    };
    let origin = zone.timeline.newest().zone.origin().clone();
    let zones = BTreeMap::from([(origin, Arc::new(zone))]);
    let drain = Drain {
        by: "carol (uid 1001)".into(),
        reason: Some("CHG-4711".into()),
        since: 1000,
        effective: Some(2000),
        immediate: false,
        begin: 1930,
        has_begun: false,
        until: None,
    };
    let drains = BTreeMap::from([(Name::parse("sbc1", &Name::root()).unwrap(), drain)]);
    let removed = BTreeMap::from([(Name::parse("old", &Name::root()).unwrap(), 3)]);
    Kept {
        generation,
        time: 1060,
        shared: Arc::new(shared),
        skipped: Some([9; 32]),
        zones,
        drains,
        removed,
    }
}

/// Opens a folder that must hold something.
fn reopen(folder: &Path) -> (State, Kept) {
    match State::open(folder).unwrap() {
        (state, Found::Kept(kept)) => (state, *kept),
        (_, found) => panic!("{found:?}"),
    }
}

fn assert_same(read: &Kept, written: &Kept) {
    assert_eq!((read.generation, read.time), (written.generation, written.time));
    assert_eq!(read.removed, written.removed);
    assert_eq!(read.shared.config, written.shared.config);
    assert_eq!(read.shared.regions, written.shared.regions);
    assert_eq!(read.shared.fingerprint, written.shared.fingerprint);
    assert_eq!(read.shared.map, written.shared.map);
    assert!(read.zones.keys().eq(written.zones.keys()));
    for (read, written) in read.zones.values().zip(written.zones.values()) {
        assert_eq!(read.tables, written.tables);
        assert_eq!(read.scheduled, written.scheduled);
        assert_eq!(read.serial, written.serial);
        let entries = read.timeline.entries().iter().zip(written.timeline.entries());
        assert_eq!(read.timeline.entries().len(), written.timeline.entries().len());
        for (read, written) in entries {
            let times =
                |entry: &Entry| (entry.published, entry.wait, entry.spread, entry.immediate);
            assert_eq!(times(read), times(written));
            assert_eq!(read.version.zone, written.version.zone);
            assert_eq!(read.version.map, written.version.map);
        }
    }
}

#[test]
fn what_was_saved_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new/state");
    let (mut state, found) = State::open(&folder).unwrap();
    assert!(matches!(found, Found::Nothing));
    let written = kept(1);
    state.save(&written, None).unwrap();
    drop(state);
    let (mut state, read) = reopen(&folder);
    assert_same(&read, &written);
    // Maps and zones are shared again.
    let versions: Vec<_> = read.zones.values().next().unwrap().timeline.entries().to_vec();
    assert!(Arc::ptr_eq(&versions[0].version.map, &versions[1].version.map));
    // What has been read need not be written again.
    state.save(&Kept { generation: 2, ..read.clone() }, None).unwrap();
    assert_eq!(pack::list(&folder).unwrap(), [1]);
    drop(state);
    assert_eq!(reopen(&folder).1.generation, 2);
}

#[test]
fn a_second_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = State::open(folder.path()).unwrap();
    assert!(matches!(State::open(folder.path()), Err(Error::Locked { .. })));
    drop(first);
    State::open(folder.path()).unwrap();
}

#[test]
fn every_octet_that_is_changed_is_noticed_and_everything_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let written = kept(1);
    let (mut state, _) = State::open(folder.path()).unwrap();
    state.save(&written, None).unwrap();
    drop(state);
    for name in ["manifest", "1.pack"] {
        let sound = fs::read(folder.path().join(name)).unwrap();
        let step = (sound.len() / 40).max(1);
        for at in (0..sound.len()).step_by(step) {
            let copy = tempfile::tempdir().unwrap();
            for file in ["manifest", "1.pack"] {
                fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
            }
            let mut damaged = sound.clone();
            damaged[at] ^= 0x20;
            fs::write(copy.path().join(name), damaged).unwrap();
            let (mut state, found) = State::open(copy.path()).unwrap();
            let Found::Damaged { aside, .. } = found else { panic!("{name} {at}: {found:?}") };
            assert!(aside.join("manifest").exists() && aside.join("1.pack").exists());
            state.save(&written, None).unwrap();
            drop(state);
            assert_same(&reopen(copy.path()).1, &written);
        }
    }
}

#[test]
fn files_that_are_cut_short_or_missing_are_noticed() {
    for (name, len) in [("manifest", 0), ("manifest", 300), ("1.pack", 100), ("1.pack", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _) = State::open(folder.path()).unwrap();
        state.save(&kept(1), None).unwrap();
        drop(state);
        let path = folder.path().join(name);
        match len {
            0 if name == "1.pack" => fs::remove_file(&path).unwrap(),
            len => fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap(),
        }
        let (_, found) = State::open(folder.path()).unwrap();
        assert!(matches!(found, Found::Damaged { .. }), "{name} {len}: {found:?}");
    }
}

#[test]
fn a_few_damaged_states_are_left_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..6 {
        fs::write(folder.path().join("manifest"), "damaged").unwrap();
        assert!(matches!(State::open(folder.path()).unwrap().1, Found::Damaged { .. }));
    }
    let entries = fs::read_dir(folder.path()).unwrap();
    let damaged = entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(damaged, 3);
}

#[test]
fn what_an_interrupted_write_leaves_is_ignored_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    state.save(&kept(1), None).unwrap();
    drop(state);
    fs::write(folder.path().join("2.pack"), "half").unwrap();
    fs::write(folder.path().join("manifest.new"), "half").unwrap();
    let (mut state, read) = reopen(folder.path());
    assert_eq!(read.generation, 1);
    state.save(&kept(2), None).unwrap();
    drop(state);
    assert_eq!(reopen(folder.path()).1.generation, 2);
    assert!(!folder.path().join("2.pack").exists());
}

#[test]
fn files_that_only_look_like_packs_are_no_packs() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["18446744073709551615.pack", "01.pack", "+1.pack", "x.pack"];
    for name in names {
        fs::write(folder.path().join(name), "foreign").unwrap();
    }
    let (mut state, _) = State::open(folder.path()).unwrap();
    state.save(&kept(1), None).unwrap();
    drop(state);
    fs::write(folder.path().join("manifest"), "damaged").unwrap();
    assert!(matches!(State::open(folder.path()).unwrap().1, Found::Damaged { .. }));
    for name in names {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn packs_do_not_grow_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    let mut written = kept(1);
    let size = |folder: &Path| -> u64 {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    // 200 KiB of tables that are replaced each time, beside what stays.
    for generation in 1..40 {
        written.generation = generation;
        let zone = written.zones.values_mut().next().unwrap();
        let text = format!("{generation}{}", "x".repeat(200 << 10));
        Arc::make_mut(zone).tables = tables("example", &text);
        state.save(&written, None).unwrap();
        assert!(size(folder.path()) < 2 << 20, "{generation}: {}", size(folder.path()));
    }
    drop(state);
    assert_same(&reopen(folder.path()).1, &written);
}

#[test]
fn a_write_that_fails_leaves_what_is_there_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    state.save(&kept(1), None).unwrap();
    // A folder where the manifest is to be written.
    fs::create_dir(folder.path().join("manifest.new")).unwrap();
    let mut written = kept(2);
    let zone = written.zones.values_mut().next().unwrap();
    Arc::make_mut(zone).tables = zone_tables("192.0.2.9");
    assert!(matches!(state.save(&written, None), Err(Error::Write { .. })));
    fs::remove_dir(folder.path().join("manifest.new")).unwrap();
    state.save(&written, None).unwrap();
    drop(state);
    assert_same(&reopen(folder.path()).1, &written);
}

/// What is published, of many zones.
fn many(generation: u64, count: usize) -> Kept {
    let mut kept = kept(generation);
    let (_, first) = kept.zones.pop_first().unwrap();
    for number in 0..count {
        let (origin, zone) = numbered(&first, number, "192.0.2.2");
        kept.zones.insert(origin, zone);
    }
    kept
}

/// A zone of its own name, like another one.
fn numbered(like: &KeptZone, number: usize, address: &str) -> (Name, Arc<KeptZone>) {
    let folder = PathBuf::from(format!("c{number}"));
    let text =
        format!("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A {address}\n; {}\n", "x".repeat(300));
    let tables = Tables::new(folder.clone(), [(folder.join("records.zone"), Arc::from(text))]);
    let zone = compile_texts(&tables, &regions(), 1).unwrap();
    let origin = zone.origin().clone();
    let version = Version::new(zone, like.timeline.newest().map.clone());
    let timeline = Arc::new(Timeline::new(Arc::new(version), 1000));
    let zone = KeptZone { timeline, tables: Arc::new(tables), ..like.clone() };
    (origin, Arc::new(zone))
}

/// Gives a zone another address.
fn edit(kept: &mut Kept, number: usize, address: &str) {
    let like = kept.zones.values().next().unwrap().clone();
    let (origin, zone) = numbered(&like, number, address);
    kept.zones.insert(origin, zone);
}

fn publication(kept: &Kept, zones: impl IntoIterator<Item = usize>) -> Publication {
    let name = |number| Name::parse(&format!("c{number}"), &Name::root()).unwrap();
    Publication {
        by: "dave".into(),
        what: format!("edit {}", kept.generation),
        lines: Vec::new(),
        zones: zones.into_iter().map(name).collect(),
        keep_since: 0,
    }
}

#[test]
fn an_edit_writes_what_it_changes_however_many_zones_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    let mut written = many(1, 600);
    state.save(&written, Some(&publication(&written, []))).unwrap();
    let len = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    let all = len("1.pack");
    for (generation, restart) in [(2, false), (3, true)] {
        if restart {
            drop(state);
            (state, written) = reopen(folder.path());
        }
        written.generation = generation;
        edit(&mut written, 77, &format!("198.51.100.{generation}"));
        state.save(&written, Some(&publication(&written, [77]))).unwrap();
        let pack = len(&format!("{generation}.pack"));
        assert!(pack < all / 20, "{pack} of {all}");
        assert!(len("manifest") < 4000, "{}", len("manifest"));
    }
    // Zones that come and go change their neighbours' page, and no other.
    written.generation = 4;
    let gone = written.zones.keys().nth(100).unwrap().clone();
    written.zones.remove(&gone);
    edit(&mut written, 600, "192.0.2.7");
    state.save(&written, None).unwrap();
    assert!(len("4.pack") < all / 10, "{} of {all}", len("4.pack"));
    drop(state);
    assert_same(&reopen(folder.path()).1, &written);
}

#[test]
fn many_small_edits_leave_few_packs_and_every_publication_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    let mut written = many(1, 40);
    state.save(&written, Some(&publication(&written, []))).unwrap();
    for generation in 2..80 {
        written.generation = generation;
        let number = generation as usize % 40;
        edit(&mut written, number, &format!("198.51.100.{generation}"));
        state.save(&written, Some(&publication(&written, [number]))).unwrap();
        let packs = pack::list(folder.path()).unwrap().len();
        assert!(packs <= 33, "{packs}");
        if generation % 9 == 0 {
            // As when a handover is over, which nobody waits for.
            state.save(&written, None).unwrap();
        }
    }
    for restart in [false, true] {
        if restart {
            drop(state);
            (state, written) = reopen(folder.path());
        }
        for generation in [1, 5, 44, 79] {
            let past = state.published(Some(generation)).unwrap();
            assert_eq!(past.kept.zones.len(), 40);
            let zone = past.kept.zones.values().find(|zone| zone.tables.path.ends_with("c4"));
            let address =
                zone.unwrap().tables.files().unwrap()[0].1.lines().nth(3).unwrap()[5..].to_owned();
            let expected = match generation {
                1 => "192.0.2.2",
                5 => "198.51.100.4",
                _ => "198.51.100.44",
            };
            assert_eq!(address, expected, "{generation}");
        }
    }
    assert!(written.zones.values().all(|zone| zone.tables.files().is_ok()));
}

#[test]
fn the_state_of_an_older_release_is_set_aside_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::open(folder.path()).unwrap();
    state.save(&kept(1), None).unwrap();
    drop(state);
    let path = folder.path().join("manifest");
    let text = fs::read(&path).unwrap();
    let head = b"trunkdns state 4".len();
    fs::write(&path, [b"trunkdns state 3", &text[head..]].concat()).unwrap();
    let (_, found) = State::open(folder.path()).unwrap();
    let Found::Damaged { why, aside } = found else { panic!("{found:?}") };
    assert_eq!(why, "manifest: it does not begin with `trunkdns state 4`");
    assert!(aside.join("1.pack").exists());
}
