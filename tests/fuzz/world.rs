//! What is asked: a steered zone in the middle of a handover, a static zone
//! with one of everything, and a child of that.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use trunkdns::answer;
use trunkdns::config::read_regions;
use trunkdns::daemon::load::compile_texts;
use trunkdns::diag::{Report, Sources};
use trunkdns::geo::{CloudLists, Databases, RegionMap, RegionTable};
use trunkdns::snapshot::{Order, Settings, Snapshot, Timeline, Version, Zone};
use trunkdns::state::Tables;
use trunkdns::wire::CookieSecrets;

/// Three regions that networks alone place.
pub const REGIONS: &str = "default = 'us'
[regions.us]
location = [39.04, -77.49]
networks = ['10.1.0.0/16', '2001:db8:1::/48']
[regions.eu]
location = [50.11, 8.68]
networks = ['10.2.0.0/16', '2001:db8:2::/48']
[regions.ap]
networks = ['10.3.0.0/17', '10.3.128.0/24', '2001:db8:3::/48']
";

pub const ZONE: &str = "[soa]
primary = 'ns1'
contact = 'hostmaster'
minimum = 30
[ns]
hosts = ['ns1', 'ns2.example.net.']
[hosts]
ns1 = ['192.0.2.53', '2001:db8::53']
'sbc1.us' = { addresses = ['198.51.100.11', '2001:db8:a::11'], ttl = 300 }
'sbc2.us' = ['198.51.100.12']
'sbc1.eu' = ['198.51.100.21', '2001:db8:a::21']
[services.'_sip._tcp']
port = 5060
ttl = 60
[services.'_sip._tcp'.tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
[services.'_sips._tcp']
port = 5061
ttl = 50
priorities = '_sip._tcp'
[naptr]
order = ['_sips._tcp', '_sip._tcp']
[compat]
srv-owner-as-host = true
[[geo]]
name = 'proxy'
type = 'A'
ttl = 60
records.eu = ['198.51.100.21']
records.default = ['198.51.100.11']
[[geo]]
name = '*.wild'
type = 'TXT'
ttl = 30
records.ap = ['ap']
records.default = ['elsewhere']
";

pub const PRIORITIES: &str = "['_sip._tcp'.us]
primary = ['sbc1.us']
secondary = [{ target = 'sbc2.us', weight = 40, port = 5070 }, 'sbc1.eu']
['_sip._tcp'.eu]
primary = ['sbc1.eu']
['_sip._tcp'.default]
secondary = ['sbc2.us']
";

const RECORDS: &str = "$TTL 120
www CNAME sbc1.us
steered CNAME proxy
mx MX 10 proxy
lab NS ns.lab
ns.lab A 192.0.2.99
old DNAME new
host.new A 192.0.2.77
";

/// The same with an endpoint taken out, and with a record more.
const EDITED: &str = "['_sip._tcp'.us]
primary = ['sbc2.us']
['_sip._tcp'.default]
secondary = ['sbc2.us']
";

/// When the steered zone changes, in seconds since the Unix epoch.
pub const EDITED_AT: u64 = 1_000;

/// The secret of cookies.
pub const SECRET: [u8; 16] = *b"not that secret!";

/// The map of [`REGIONS`].
pub static MAP: LazyLock<Arc<RegionMap>> = LazyLock::new(|| {
    let (clouds, databases) = (CloudLists::default(), Databases::default());
    Arc::new(RegionMap::compile(&regions(), &clouds, &databases))
});

//----------- Snapshots ------------------------------------------------------

/// One snapshot with all that the configuration can add to answers, and one
/// with nothing of it.
pub static SNAPSHOTS: LazyLock<[Snapshot; 2]> = LazyLock::new(|| {
    let map = &*MAP;
    let timelines = || {
        let fixed = [
            ("rich.example", include_str!("../data/rich.zone")),
            ("child.rich.example", include_str!("../data/child.rich.zone")),
        ];
        let fixed = fixed.map(|(folder, records)| {
            let zone = zone(folder, &[("records.zone", records)]);
            Timeline::new(Arc::new(Version::new(zone, map.clone())), 0)
        });
        fixed.into_iter().chain([in_handover(map)]).map(Arc::new)
    };
    let settings = Settings {
        client_subnet: true,
        identity: Some("ns1.carrier.example.com".into()),
        version: Some("trunkdns".repeat(40)),
        tcp_keepalive: 100,
        cookie_secrets: CookieSecrets::new(&[SECRET, [7; 16]]),
        spread_ttl: 20,
        ..Settings::default()
    };
    let long_identity = Some("i".repeat(600));
    let bare = Settings { identity: long_identity, ..Settings::default() };
    [Snapshot::new(1, settings, timelines()), Snapshot::new(2, bare, timelines())]
});

/// Returns the steered zone with two edits under way.
fn in_handover(map: &Arc<RegionMap>) -> Timeline {
    let version = |priorities: &str, records: &str| {
        let files =
            [("zone.toml", ZONE), ("priorities.toml", priorities), ("records.zone", records)];
        Arc::new(Version::new(zone("carrier.example.com", &files), map.clone()))
    };
    let order = |now| Order {
        now,
        published: now + 1,
        spread: 15,
        longest: 300,
        immediate: false,
        effective: None,
    };
    let timeline = Timeline::new(version(PRIORITIES, RECORDS), 0);
    let edited = version(EDITED, RECORDS);
    let (timeline, _) = timeline.publish(edited, order(EDITED_AT), answer::change);
    let more = format!("{RECORDS}more A 192.0.2.1\nwww.more MX 5 proxy\n");
    let (timeline, _) = timeline.publish(version(EDITED, &more), order(1_020), answer::change);
    assert_eq!(timeline.entries().len(), 3, "two edits are under way");
    timeline
}

/// Compiles a zone of files.
pub fn zone(folder: &str, files: &[(&str, &str)]) -> Arc<Zone> {
    compile_texts(&tables(folder, files), &regions(), 1).expect("the tables are sound")
}

/// Returns the tables of a zone.
pub fn tables(folder: &str, files: &[(&str, &str)]) -> Tables {
    let path = Path::new(folder);
    let files = files.iter().map(|(name, text)| (path.join(name), Arc::from(*text)));
    Tables::new(path.to_owned(), files)
}

/// Reads [`REGIONS`].
pub fn regions() -> RegionTable {
    let path = Path::new("regions.toml");
    let mut sources = Sources::of_texts([(path.to_owned(), Arc::from(REGIONS))]);
    read_regions(&mut sources, path, &mut Report::default()).expect("the region table is sound")
}
