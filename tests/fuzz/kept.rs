//! Targets of what the server itself wrote, or a client of its own: the state
//! folder and the control socket.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};
use trunkdns::daemon::control::{Command, Reply};
use trunkdns::explain::{render, render_line, render_usages};
use trunkdns::geo::RegionMap;
use trunkdns::snapshot::{Timeline, Version, Zone};
use trunkdns::state::{Found, Kept, KeptZone, Scheduled, Shared, State, Tables, has_last_good};

use super::world;

//----------- state ----------------------------------------------------------

/// An octet of what is damaged, then with what: the folder opens, and holds
/// what was saved or says that it is damaged.
pub fn state(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    match kind % 6 {
        0 => check_damage(|files| drop(files.insert("manifest".into(), data.to_vec()))),
        1 => check_damage(|files| edit(files, "manifest", data)),
        2 => check_damage(|files| edit(files, "1.pack", data)),
        3 => check_damage(|files| {
            // Another file beside those of the folder, or in the place of one.
            let mut parts = data.splitn(2, |octet| *octet == b'\n');
            let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
            let name: String = name.chars().filter(|c| !"/\0".contains(*c)).take(60).collect();
            if !["", ".", "..", "lock"].contains(&&name[..]) {
                files.insert(name, parts.next().unwrap_or_default().to_vec());
            }
        }),
        4 => check_sealed(data),
        _ => {
            // Objects are named by their content, so that only another release
            // could have written these.
            if let Some(zone) = Zone::from_octets(data) {
                zone.serial();
            }
            if let Some(map) = RegionMap::from_octets(data) {
                map.locate([192, 0, 2, 1].into());
            }
        }
    }
}

/// The files of a state folder, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A state folder that a server left.
static SAVED: LazyLock<Files> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (mut state, _) = State::open(folder.path()).expect("a new folder opens");
    state.save(&KEPT, None).expect("the disk has room");
    let entries = fs::read_dir(folder.path()).expect("the folder is there");
    let files = entries.map(|entry| {
        let entry = entry.expect("the folder is there");
        let name = entry.file_name().into_string().expect("names of files are UTF-8");
        (name, fs::read(entry.path()).expect("the file is there"))
    });
    files.filter(|(name, _)| name != "lock").collect()
});

/// What that server published.
static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let map = world::MAP.clone();
    let files = [("zone.toml", world::ZONE), ("priorities.toml", world::PRIORITIES)];
    let tables = Arc::new(world::tables("carrier.example.com", &files));
    let version = Version::new(world::zone("carrier.example.com", &files), map.clone());
    let zone = KeptZone {
        skipped: None,
        drained: Arc::default(),
        timeline: Arc::new(Timeline::new(Arc::new(version), 1_000)),
        tables: tables.clone(),
        scheduled: Some(Scheduled { tables, effective: 3_000, begin: 2_000 }),
        serial: 1,
    };
    let file = |name: &str, text: &str| {
        let path = PathBuf::from(name);
        Arc::new(Tables::new(path.clone(), [(path, Arc::from(text))]))
    };
    let shared = Shared {
        config: file("trunkdns.toml", ""),
        regions: file("regions.toml", world::REGIONS),
        map,
        fingerprint: Some([7; 32]),
        reading: None,
        databases: Vec::new(),
    };
    let origin = zone.timeline.newest().zone.origin().clone();
    let zones = BTreeMap::from([(origin, Arc::new(zone))]);
    Kept { generation: 3, time: 1_000, zones, ..Kept::new(Arc::new(shared)) }
});

/// Opens a folder with other files.
fn open(files: &Files) -> (tempfile::TempDir, Result<(State, Found), trunkdns::state::Error>) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for (name, octets) in files {
        fs::write(folder.path().join(name), octets).expect("a scratch file");
    }
    has_last_good(folder.path());
    let opened = State::open(folder.path());
    (folder, opened)
}

/// Damage is noticed: what is read is what was saved. And it does no harm: the
/// folder can be used on.
fn check_damage(damage: impl FnOnce(&mut Files)) {
    let mut files = SAVED.clone();
    damage(&mut files);
    let (folder, opened) = open(&files);
    let (mut state, found) = opened.unwrap_or_else(|error| panic!("{error}"));
    if let Found::Kept(found) = found {
        assert_eq!((found.generation, found.time), (KEPT.generation, KEPT.time));
        let zones = |kept: &Kept| -> Vec<_> {
            kept.zones.values().map(|zone| zone.timeline.newest().zone.to_octets()).collect()
        };
        assert_eq!(zones(&found), zones(&KEPT));
    }
    state.save(&KEPT, None).unwrap_or_else(|error| panic!("{error}"));
    drop(state);
    assert!(has_last_good(folder.path()));
    let (_, found) = State::open(folder.path()).expect("what was saved opens");
    assert!(matches!(found, Found::Kept(_)), "what was saved is read: {found:?}");
}

/// Changes a file as edits of three octets say: where, in two, and to what.
fn edit(files: &mut Files, name: &str, edits: &[u8]) {
    let Some(octets) = files.get_mut(name) else { return };
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        match at {
            // Cut short.
            0xffff => octets.truncate(octets.len() / 256 * usize::from(edit[2])),
            at => {
                let len = octets.len().max(1);
                if let Some(octet) = octets.get_mut(at % len) {
                    *octet = edit[2];
                }
            }
        }
    }
}

/// A manifest with a digest that is right, as only a server writes it: it may
/// be refused, or say anything.
fn check_sealed(body: &[u8]) {
    let mut files = SAVED.clone();
    let digest = Sha256::digest(body);
    let digest: String = digest[..16].iter().map(|octet| format!("{octet:02x}")).collect();
    let head = files["manifest"].split(|octet| *octet == b'\n').next().unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let magic = head.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let manifest = [format!("{magic} {digest}\n").as_bytes(), body].concat();
    files.insert("manifest".into(), manifest);
    let (folder, opened) = open(&files);
    drop(opened);
    assert!(folder.path().join("lock").exists());
}

//----------- control --------------------------------------------------------

/// A line that came through the control socket: no command, or one that is the
/// same when it is written again. So are replies, which clients read.
pub fn control(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    if let Ok(command) = serde_json::from_str::<Command>(line) {
        let text = serde_json::to_string(&command).expect("a command can be written");
        let again: Command = serde_json::from_str(&text).expect("and read again");
        assert_eq!(format!("{again:?}"), format!("{command:?}"));
        if let Command::Reload { zones, .. } = command {
            for zone in zones {
                let origin = trunkdns::wire::Name::root();
                if let Ok(name) = trunkdns::wire::Name::parse(&zone, &origin) {
                    let again = trunkdns::wire::Name::parse(&name.to_string(), &origin);
                    assert_eq!(again.as_ref(), Ok(&name));
                }
            }
        }
    }
    if let Ok(reply) = serde_json::from_str::<Reply>(line) {
        let text = serde_json::to_string(&reply).expect("a reply can be written");
        serde_json::from_str::<Reply>(&text).expect("and read again");
        match reply {
            Reply::Status(status) => drop(status.render()),
            Reply::Reload(outcome) | Reply::Drain { outcome, .. } => drop(outcome.render()),
            Reply::Explain { explanations } => {
                for explanation in explanations {
                    drop((render(&explanation), render_line(&explanation)));
                }
            }
            Reply::Usages { usages } => drop(render_usages("x", &usages)),
            Reply::History { .. } | Reply::Refused { .. } => {}
        }
    }
}
