//! One question of each kind that the answer core meets, for what is counted
//! over all of them: instructions, allocations.

use std::net::IpAddr;
use std::sync::Arc;

use trunkdns::answer::{Client, Outcome, Transport, Verdict, answer, change};
use trunkdns::daemon::{Publisher, drain};
use trunkdns::limit::Limiter;
use trunkdns::snapshot::{Moment, Order, Settings, Snapshot, Timeline};
use trunkdns::wire::CookieSecrets;

use super::{EU, World};

/// When all questions are asked.
pub const NOW: Moment = Moment(1_800_000_000_000);

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1", "ns2"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
tertiary = { priority = 30, ttl = 30 }
[services."_sips._tcp"]
port = 5061
ttl = 60
priorities = "_sip._tcp"
[naptr]
order = ["_sips._tcp", "_sip._tcp"]
[hosts]
ns1 = ["192.0.2.53", "2001:db8::53"]
ns2 = ["192.0.2.54", "2001:db8::54"]
"sbc1.us" = ["198.51.100.11"]
"sbc1.eu" = ["198.51.100.21"]
"sbc2.eu" = ["198.51.100.22"]
"sbc1.ap" = ["198.51.100.31"]
[[geo]]
name = "proxy"
type = "A"
ttl = 60
records.eu = ["198.51.100.21"]
records.default = ["198.51.100.11"]
"#;

const ROWS: &str = r#"
["_sip._tcp".eu]
primary = ["sbc1.eu"]
secondary = ["sbc2.eu"]
tertiary = ["sbc1.us"]
["_sip._tcp".default]
primary = ["sbc1.us"]
secondary = ["sbc1.ap"]
tertiary = ["sbc1.eu"]
"#;

const RECORDS: &str = "\
$TTL 300
*.wild TXT \"anything\"
www CNAME sbc1.eu
moved CNAME proxy
old DNAME new
host.new A 192.0.2.77
lab NS ns.lab
lab NS ns1
ns.lab A 192.0.2.99
other TXT \"old\"
";

//----------- Scenario -------------------------------------------------------

/// A question, and what it is asked of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,

    /// The message.
    pub query: Vec<u8>,

    /// Who asks.
    pub client: Client,

    /// What is served.
    pub snapshot: Arc<Snapshot>,
}

impl Scenario {
    /// Asks, limits the response as the transports do, and returns what became
    /// of it.
    pub fn ask(&self, limiter: &Limiter, out: &mut [u8]) -> Outcome<'_> {
        let outcome = answer(&self.snapshot, &self.client, NOW, &self.query, out);
        let policy = &self.snapshot.settings.policy;
        if !policy.is_idle() {
            limiter.decide(policy, &self.client, NOW, &outcome);
        }
        outcome
    }

    /// The same by another transport.
    pub fn over(&self, transport: Transport) -> Self {
        let client = Client { transport, ..self.client };
        Scenario { client, ..self.clone() }
    }
}

/// Returns all scenarios, each with a name of its own.
pub fn all() -> Vec<Scenario> {
    let stages = Stages::new();
    let mut all = stages.settled();
    let more = [
        ("handover-", &stages.pending),
        ("handover-elsewhere-", &stages.pending_elsewhere),
        ("spread-", &stages.spread),
        ("drained-", &stages.drained),
        ("limit-", &stages.limited),
        ("limit-count-", &stages.counted),
    ];
    for (prefix, snapshot) in more {
        for scenario in stages.settled() {
            if ["hit", "hit-subnet", "address", "nodata", "nxdomain"].contains(&scenario.name) {
                let name = format!("{prefix}{}", scenario.name).leak();
                all.push(Scenario { name, snapshot: snapshot.clone(), ..scenario });
            }
        }
    }
    all
}

//----------- Stages ---------------------------------------------------------

/// What the questions are asked of.
struct Stages {
    settled: Arc<Snapshot>,

    /// In a handover that changes what is asked for.
    pending: Arc<Snapshot>,

    /// In a handover that changes something else.
    pending_elsewhere: Arc<Snapshot>,

    /// With TTLs that are lowered by up to 10 percent.
    spread: Arc<Snapshot>,

    /// With the first endpoint drained.
    drained: Arc<Snapshot>,

    /// With rates that are not reached.
    limited: Arc<Snapshot>,

    /// The same as a dry run.
    counted: Arc<Snapshot>,
}

impl Stages {
    fn new() -> Self {
        let settled = world(ROWS, RECORDS, "").load();
        let settings = Settings {
            identity: Some("ns1.carrier.example".into()),
            cookie_secrets: CookieSecrets::new(&[[7; 16]]),
            ..settled.settings.clone()
        };
        let stage = |settings: &Settings, timelines: Vec<Arc<Timeline>>| {
            Arc::new(Snapshot::new(1, settings.clone(), timelines))
        };
        let timelines = || settled.timelines().to_vec();
        let after = |rows: &str, records: &str| {
            let next = world(rows, records, "").load().timelines()[0].newest().clone();
            let mut timelines = timelines();
            timelines[0] = Arc::new(in_handover(&timelines[0], next));
            stage(&settings, timelines)
        };
        let rows = ROWS.replace("primary = [\"sbc1.eu\"]", "primary = [\"sbc2.eu\"]");
        let limits = |config: &str| {
            let policy = world(ROWS, RECORDS, config).load().settings.policy;
            stage(&Settings { policy, ..settings.clone() }, timelines())
        };
        Stages {
            settled: stage(&settings, timelines()),
            pending: after(&rows, RECORDS),
            pending_elsewhere: after(ROWS, &RECORDS.replace("\"old\"", "\"new\"")),
            spread: stage(&Settings { spread_ttl: 10, ..settings.clone() }, timelines()),
            drained: stage(&settings, drained()),
            limited: limits(LIMIT),
            counted: limits(&LIMIT.replace("\"on\"", "\"count\"")),
        }
    }

    fn settled(&self) -> Vec<Scenario> {
        let srv = "_sip._tcp.carrier.example.com";
        let subnet = b"\0\x08\0\x07\0\x01\x18\0\x0a\x02\0";
        let deep = format!("{}carrier.example.com", "a.".repeat(110));
        let asks = [
            ("hit", query(srv, 33, None)),
            ("hit-mixed-case", query("_SiP._tCp.CarRier.eXample.Com", 33, None)),
            ("hit-edns", query(srv, 33, Some(b""))),
            ("hit-dnssec-ok", with_dnssec_ok(query(srv, 33, Some(b"")))),
            ("hit-subnet", query(srv, 33, Some(subnet))),
            ("hit-opted-out", query(srv, 33, Some(b"\0\x08\0\x04\0\x01\0\0"))),
            ("hit-nsid", query(srv, 33, Some(b"\0\x03\0\0"))),
            ("hit-cookie", query(srv, 33, Some(b"\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08"))),
            ("hit-tier", query("_sip._tcp.primary.carrier.example.com", 33, None)),
            ("hit-region", query("_sip._tcp.eu.carrier.example.com", 33, None)),
            ("address", query("sbc1.eu.carrier.example.com", 1, None)),
            ("address-steered", query("proxy.carrier.example.com", 1, Some(subnet))),
            ("naptr", query("carrier.example.com", 35, Some(b""))),
            ("soa", query("carrier.example.com", 6, Some(b""))),
            ("ns", query("carrier.example.com", 2, Some(b""))),
            ("any", query("carrier.example.com", 255, Some(b""))),
            ("alias", query("www.carrier.example.com", 1, Some(b""))),
            ("alias-steered", query("moved.carrier.example.com", 1, Some(subnet))),
            ("alias-nodata", query("www.carrier.example.com", 16, Some(b""))),
            ("redirected", query("host.old.carrier.example.com", 1, Some(b""))),
            ("wildcard", query("x.wild.carrier.example.com", 16, Some(b""))),
            ("wildcard-deep", query("a.b.c.d.wild.carrier.example.com", 16, Some(b""))),
            ("wildcard-nodata", query("x.wild.carrier.example.com", 1, Some(b""))),
            ("nodata", query(srv, 1, Some(b""))),
            ("nodata-subnet", query("proxy.carrier.example.com", 28, Some(subnet))),
            ("nodata-empty", query("_tcp.carrier.example.com", 33, Some(b""))),
            ("nxdomain", query("missing.carrier.example.com", 1, Some(b""))),
            ("nxdomain-subnet", query("missing.carrier.example.com", 1, Some(subnet))),
            ("nxdomain-below-a-name", query("x.y.ns1.carrier.example.com", 1, Some(b""))),
            ("nxdomain-deep", query(&deep, 1, Some(b""))),
            ("nxdomain-soa-names", query("hostmaster.carrier.example.com", 1, Some(b""))),
            ("refused", query("www.example.net", 1, Some(b""))),
            ("transfer", query("carrier.example.com", 252, Some(b""))),
            ("referral", query("x.lab.carrier.example.com", 1, Some(b""))),
            ("referral-at-cut", query("lab.carrier.example.com", 2, Some(b""))),
            ("truncated", query("large.carrier.example.com", 16, None)),
            ("whole", query("large.carrier.example.com", 16, Some(b""))),
            ("formerr", query(srv, 33, None)[..20].to_vec()),
        ];
        let client = Client { address: EU.parse::<IpAddr>().unwrap(), transport: Transport::Udp };
        let snapshot = &self.settled;
        let mut all: Vec<_> = asks
            .into_iter()
            .map(|(name, query)| Scenario { name, query, client, snapshot: snapshot.clone() })
            .collect();
        let valid = with_cookie(&all, srv);
        all.push(valid);
        all
    }
}

/// A hit whose client presents the cookie that it got with another one.
fn with_cookie(all: &[Scenario], srv: &str) -> Scenario {
    let first = all.iter().find(|scenario| scenario.name == "hit-cookie").unwrap();
    let mut out = [0; 512];
    let outcome = answer(&first.snapshot, &first.client, NOW, &first.query, &mut out);
    let Verdict::Send(len) = outcome.verdict else { panic!("{outcome:?}") };
    let option = [b"\0\x0a\0\x18", &out[len - 24..len]].concat();
    Scenario { name: "hit-cookie-valid", query: query(srv, 33, Some(&option)), ..first.clone() }
}

/// A limit that nobody in here reaches.
/// Returns the zone with an endpoint drained, as the control plane has it.
fn drained() -> Vec<Arc<Timeline>> {
    let world = world(ROWS, RECORDS, "");
    let mut publisher = Publisher::start(&world.path().join("trunkdns.toml")).unwrap();
    let request = drain::Request { what: "sbc1.eu".into(), now: true, ..drain::Request::default() };
    publisher.drain(&request).unwrap();
    publisher.served().load().timelines().to_vec()
}

const LIMIT: &str = "[limit]\nmode = \"on\"\nanswers = 5000\n";

fn world(rows: &str, records: &str, config: &str) -> World {
    let large: String = (0..8).map(|at| format!("large TXT \"{at:0>100}\"\n")).collect();
    let mut world = World::with_zone(
        "carrier.example.com",
        &[
            ("zone.toml", ZONE),
            ("priorities.toml", rows),
            ("records.zone", &format!("{records}{large}")),
        ],
    );
    // Others, so that a zone is not found by chance.
    for at in 0..20 {
        let text = "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns.example.org.\n";
        world.zone(&format!("zone{at}.example.org"), &[("records.zone", text)]);
    }
    let text = world.text("trunkdns.toml");
    world.file("trunkdns.toml", format!("{text}{config}"));
    world
}

fn in_handover(old: &Timeline, next: Arc<trunkdns::snapshot::Version>) -> Timeline {
    let order = Order {
        now: NOW.second(),
        published: NOW.second(),
        spread: 15,
        longest: 300,
        immediate: false,
        effective: None,
    };
    let (timeline, _) = old.publish(next, order, change);
    let entries = timeline.entries();
    assert_eq!(entries.len(), 2, "a handover is under way");
    timeline
}

//----------- Queries --------------------------------------------------------

/// A query in wire format, with an OPT record that holds some options.
pub fn query(name: &str, rtype: u16, options: Option<&[u8]>) -> Vec<u8> {
    let mut octets = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    if let Some(options) = options {
        octets[11] = 1;
        octets.extend(b"\0\0\x29\x04\xd0\0\0\0\0");
        octets.extend((options.len() as u16).to_be_bytes());
        octets.extend(options);
    }
    octets
}

/// A query with an OPT record at its end, with the DO flag.
fn with_dnssec_ok(mut query: Vec<u8>) -> Vec<u8> {
    let at = query.len() - 4;
    query[at] |= 0x80;
    query
}
