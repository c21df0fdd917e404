//! The guarantee of the handover, played at random on a manual clock.
//!
//! Every seed plays edits, reverts, additions, removals, moves of address
//! ranges, scheduled and immediate changes and crashes, while resolvers with
//! and without the client subnet option ask and cache. After each step every
//! cached answer that has not expired is compared with what the server says
//! now. One seed in four plays several servers, which are given the same
//! tables with an `effective` time at different times: then an answer of one
//! of them is compared with what all of them say.
//!
//! `TRUNKDNS_SEEDS=100000` plays more; `TRUNKDNS_SEED=17` plays one, and says
//! what happens.

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::RData;
use support::{Answer, REGIONS, World, question};
use trunkdns::answer::change;
use trunkdns::snapshot::{
    Change, Moment, Network, Order, Publication, Settings, Snapshot, Timeline, Version,
};

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1"]
ttl = 200
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10 }
secondary = { priority = 20, ttl = 45 }
[hosts]
ns1 = ["192.0.2.53"]
sbc1 = { addresses = ["198.51.100.1"], ttl = 90 }
sbc2 = { addresses = ["198.51.100.2"], ttl = 30 }
"#;

const ROWS: [&str; 4] = [
    "[\"_sip._tcp\".default]\nprimary = [\"sbc1\"]\nsecondary = [\"sbc2\"]\n",
    "[\"_sip._tcp\".default]\nprimary = [\"sbc2\"]\nsecondary = [\"sbc1\"]\n",
    "[\"_sip._tcp\".eu]\nprimary = [\"sbc2\"]\n[\"_sip._tcp\".default]\nprimary = [\"sbc1\"]\n",
    "[\"_sip._tcp\".us]\nprimary = [\"sbc1\"]\n[\"_sip._tcp\".default]\nprimary = [\"sbc2\"]\n",
];

const HOSTS: [(&str, &str); 2] = [
    ("", ""),
    ("sbc1 = { addresses = [\"198.51.100.1\"]", "sbc1 = { addresses = [\"198.51.100.9\"]"),
];

const RECORDS: [&str; 6] = [
    "$TTL 120\n*.wild TXT a\n",
    "$TTL 120\n*.wild TXT a\nb.wild A 192.0.2.1\n",
    "$TTL 120\nb.wild TXT b\nalias CNAME sbc1\n",
    "$TTL 400\nalias CNAME sbc2\nlab NS ns.lab\nns.lab 70 A 192.0.2.2\n",
    "$TTL 20\nalias CNAME b.wild\nb.wild A 192.0.2.3\nlab NS ns.lab\nns.lab 70 A 192.0.2.4\n",
    "$TTL 120\nwild DNAME lab\na.lab TXT d\nb.lab TXT e\n",
];

const QUESTIONS: [(&str, &str); 10] = [
    ("_sip._tcp.carrier.example.com.", "SRV"),
    ("_sip._tcp.secondary.carrier.example.com.", "SRV"),
    ("_sip._tcp.eu.carrier.example.com.", "SRV"),
    ("sbc1.carrier.example.com.", "A"),
    ("a.wild.carrier.example.com.", "TXT"),
    ("b.wild.carrier.example.com.", "TXT"),
    ("b.wild.carrier.example.com.", "A"),
    ("alias.carrier.example.com.", "A"),
    ("x.lab.carrier.example.com.", "A"),
    ("carrier.example.com.", "SOA"),
];

const SPREAD: u32 = 15;
const LONGEST: u32 = 300;

//----------- Play -----------------------------------------------------------

#[test]
fn no_unexpired_cached_answer_contradicts_the_server() {
    let changes = Changes::new(versions());
    let one = std::env::var("TRUNKDNS_SEED").ok().map(|seed| seed.parse().unwrap());
    let count = std::env::var("TRUNKDNS_SEEDS").map_or(2000, |count| count.parse().unwrap());
    let mut handovers = 0;
    for seed in one.map_or(0..count, |seed: u64| seed..seed + 1) {
        let mut play = Play::new(&changes, seed);
        for _ in 0..120 {
            play.step();
        }
        handovers += play.handovers;
    }
    assert!(one.is_some() || handovers > count, "{handovers} handovers in {count} seeds");
}

/// Versions, and what each changes for another: comparing takes longer than
/// all else in a play.
struct Changes {
    versions: Vec<Arc<Version>>,
    known: RefCell<HashMap<(usize, usize), Change>>,
}

impl Changes {
    fn new(versions: Vec<Arc<Version>>) -> Self {
        Changes { versions, known: RefCell::default() }
    }

    fn change(&self, old: &Version, new: &Version) -> Change {
        let key = (std::ptr::from_ref(old).addr(), std::ptr::from_ref(new).addr());
        *self.known.borrow_mut().entry(key).or_insert_with(|| change(old, new))
    }
}

struct Play<'v> {
    seed: u64,
    random: Random,
    changes: &'v Changes,
    nodes: Vec<Node>,
    settings: Settings,
    now: u64,

    /// With several nodes, until when the last edit is on its way to them.
    busy_until: u64,
    clients: Vec<IpAddr>,
    caches: HashMap<(usize, usize), Cached>,
    handovers: u64,
    history: Vec<String>,
}

/// A server.
struct Node {
    timeline: Timeline,
    snapshot: Snapshot,

    /// Tables on their way to it: when they arrive, in seconds.
    arrivals: Vec<(u64, Edit)>,

    /// Tables that wait for their time, and when that is.
    scheduled: Option<(u64, Edit)>,
}

#[derive(Clone, Debug)]
struct Edit {
    version: Arc<Version>,
    immediate: bool,
    effective: Option<u64>,
}

/// What a resolver got, and who it may hand it to.
struct Cached {
    sent: u64,

    /// The RRsets of the answer, and when each expires.
    rrsets: Vec<(Content, u64)>,

    /// The prefix of the client subnet option: the answer is used for every
    /// client in it.
    scope: Option<u8>,
}

impl<'v> Play<'v> {
    fn new(changes: &'v Changes, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let timeline = Timeline::new(random.pick(&changes.versions).clone(), 0);
        // Neighbours in one network, in neighbouring ones, and in all regions.
        let clients = [
            "10.1.0.1",
            "10.1.0.200",
            "10.1.1.1",
            "10.2.0.1",
            "10.2.0.130",
            "10.2.128.1",
            "10.3.5.5",
            "192.0.2.1",
            "2001:db8:2::1",
            "2001:db8:2:8000::1",
            "2001:db8:77::1",
            "2002:a02:1::1",
        ];
        let clients = clients.iter().map(|client| client.parse().unwrap()).collect();
        let spread_ttl = if random.below(4) == 0 { 30 } else { 0 };
        let settings = Settings { client_subnet: true, spread_ttl, ..Settings::default() };
        let count = if random.below(4) == 0 { 3 } else { 1 };
        let node = || Node {
            snapshot: snapshot(&timeline, &settings),
            timeline: timeline.clone(),
            arrivals: Vec::new(),
            scheduled: None,
        };
        Play {
            seed,
            nodes: (0..count).map(|_| node()).collect(),
            settings: settings.clone(),
            random,
            changes,
            now: 1_000_000,
            busy_until: 0,
            clients,
            caches: HashMap::new(),
            handovers: 0,
            history: Vec::new(),
        }
    }

    fn step(&mut self) {
        // Mostly within a TTL, often at a full second, sometimes far.
        let to = self.now
            + match self.random.below(10) {
                0 => 0,
                1..=3 => self.random.below(1000),
                4..=7 => self.random.below(20) * 1000,
                8 => self.random.below(20_000),
                _ => self.random.below(400_000),
            };
        self.pass_until(to);
        match self.random.below(6) {
            0 => self.edit(),
            _ => self.ask(),
        }
        self.check();
    }

    /// Lets time pass, and servers do what falls due on the way.
    fn pass_until(&mut self, to: u64) {
        while let Some((second, node)) = self.next_due().filter(|(second, _)| second * 1000 <= to) {
            self.now = self.now.max(second * 1000);
            let arrived = self.nodes[node].arrivals.iter().position(|(at, _)| *at == second);
            let edit = match arrived {
                Some(at) => self.nodes[node].arrivals.remove(at).1,
                None => self.nodes[node].scheduled.take().unwrap().1,
            };
            self.publish(node, edit);
        }
        self.now = self.now.max(to);
    }

    fn next_due(&self) -> Option<(u64, usize)> {
        let due = self.nodes.iter().enumerate().flat_map(|(at, node)| {
            let waiting = node.arrivals.iter().chain(&node.scheduled);
            waiting.map(move |(second, _)| (*second, at))
        });
        due.min()
    }

    fn edit(&mut self) {
        let version = self.random.pick(&self.changes.versions).clone();
        let second = self.now / 1000;
        if self.nodes.len() == 1 {
            let effective = (self.random.below(5) == 0).then(|| second + self.random.below(500));
            let immediate = self.random.below(25) == 0;
            return self.publish(0, Edit { version, immediate, effective });
        }
        // Servers agree if each of them has the tables in time, and no others
        // come before these are published.
        if second <= self.busy_until {
            return;
        }
        let effective = second + 60 + u64::from(LONGEST) + Order::LEAD + self.random.below(60);
        self.busy_until = effective;
        let edit = Edit { version, immediate: false, effective: Some(effective) };
        for node in 0..self.nodes.len() {
            let arrival = second + 1 + self.random.below(50);
            self.nodes[node].arrivals.push((arrival, edit.clone()));
        }
    }

    fn publish(&mut self, at: usize, edit: Edit) {
        let order = Order {
            now: self.now / 1000,
            published: self.now / 1000 + 1 + self.random.below(3),
            spread: SPREAD,
            longest: LONGEST,
            immediate: edit.immediate,
            effective: edit.effective,
        };
        let compare = |old: &Version, new: &Version| self.changes.change(old, new);
        let node = &mut self.nodes[at];
        let (timeline, publication) = node.timeline.publish(edit.version.clone(), order, compare);
        assert!(timeline.entries().len() <= 16, "seed {}", self.seed);
        self.history.push(format!("{} node {at} {publication:?} {order:?}", self.now));
        node.scheduled = None;
        if let Publication::Scheduled { begin } = publication {
            // It is noticed within a second or two.
            node.scheduled = Some((begin + self.random.below(3), edit));
            return;
        }
        self.handovers += u64::from(publication == Publication::Published);
        node.timeline = timeline;
        node.snapshot = snapshot(&node.timeline, &self.settings);
        if order.immediate && publication != Publication::Unchanged {
            // By the operator's word: all caches may be wrong now.
            self.caches.clear();
        }
        if self.nodes.len() == 1 && self.random.below(8) == 0 {
            self.crash();
        }
    }

    /// What was kept is there again after a while, what was answered is not
    /// known: the server was killed when it had written, before it could
    /// swap.
    fn crash(&mut self) {
        self.now += self.random.below(30_000);
        let node = &mut self.nodes[0];
        let entries = node.timeline.entries().to_vec();
        node.timeline = Timeline::of_entries(entries).unwrap();
        node.snapshot = snapshot(&node.timeline, &self.settings);
        self.history.push(format!("{} restarted", self.now));
    }

    fn ask(&mut self) {
        let client = self.random.below(self.clients.len() as u64) as usize;
        let asked = self.random.below(QUESTIONS.len() as u64) as usize;
        let with_subnet = self.random.below(2) == 0;
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let answer = self.answer(node, client, asked, with_subnet);
        let rrsets = contents(&answer).into_iter().map(|(content, ttl)| {
            // TTLs above `longest` are outside of the guarantee, and so is the
            // rest of the very last second, in which the TTL cannot be 0.
            let expires = match ttl.min(LONGEST) {
                1 => self.now.div_ceil(1000) * 1000,
                ttl => self.now + u64::from(ttl) * 1000,
            };
            (content, expires)
        });
        let rrsets = rrsets.collect();
        let scope = answer.scope().filter(|_| with_subnet);
        self.caches.insert((client, asked), Cached { sent: self.now, rrsets, scope });
    }

    fn check(&mut self) {
        for cached in self.caches.values_mut() {
            cached.rrsets.retain(|(_, expires)| self.now < *expires);
        }
        self.caches.retain(|_, cached| !cached.rrsets.is_empty());
        // The order of a hash map would not play the same again.
        let mut keys: Vec<_> = self.caches.keys().copied().collect();
        keys.sort_unstable();
        for _ in 0..keys.len().min(8) {
            let key @ (client, asked) = *self.random.pick(&keys);
            let cached = &self.caches[&key];
            let holder = self.clients[client];
            for (other, address) in self.clients.iter().enumerate() {
                let is_meant = match cached.scope {
                    Some(scope) => in_prefix(holder, scope, *address),
                    None => other == client,
                };
                if is_meant {
                    self.compare(cached, other, asked);
                }
            }
        }
    }

    fn compare(&self, cached: &Cached, client: usize, asked: usize) {
        for node in 0..self.nodes.len() {
            self.compare_with(node, cached, client, asked);
        }
    }

    fn compare_with(&self, node: usize, cached: &Cached, client: usize, asked: usize) {
        let says = self.answer(node, client, asked, cached.scope.is_some());
        let says: Vec<_> = contents(&says).into_iter().map(|(content, _)| content).collect();
        for (content, expires) in &cached.rrsets {
            assert!(
                says.contains(content),
                "seed {}: at {} node {node} tells {} {says:?} where a copy of {} says {content:?} \
                 until {expires}, after\n{}",
                self.seed,
                self.now,
                self.clients[client],
                cached.sent,
                self.history.join("\n"),
            );
        }
    }

    fn answer(&self, node: usize, client: usize, asked: usize, with_subnet: bool) -> Answer {
        let (name, rtype) = QUESTIONS[asked];
        let client = self.clients[client];
        let question = question(name, rtype).at(self.now);
        let question = match with_subnet {
            true => question.from("198.51.100.77").subnet(&match client {
                IpAddr::V4(_) => format!("{client}/32"),
                IpAddr::V6(_) => format!("{client}/128"),
            }),
            false => question.from(&client.to_string()),
        };
        question.ask(&self.nodes[node].snapshot)
    }
}

/// An RRset as resolvers hand it on, without its TTL.
type Content = (String, Vec<String>);

/// Returns the RRsets of an answer with their TTLs. Of the SOA record the
/// serial is left out: it does not count.
fn contents(answer: &Answer) -> Vec<(Content, u32)> {
    let mut rrsets: Vec<(Content, u32)> = Vec::new();
    for record in &answer.message.answers {
        let name = format!("{} {}", record.name, record.record_type());
        let data = match &record.data {
            RData::SOA(soa) => format!("{} {} {}", soa.mname, soa.rname, soa.minimum),
            data => data.to_string(),
        };
        match rrsets.iter_mut().find(|((known, _), _)| *known == name) {
            Some(((_, list), _)) => list.push(data),
            None => rrsets.push(((name, vec![data]), record.ttl)),
        }
    }
    rrsets
}

fn in_prefix(holder: IpAddr, length: u8, other: IpAddr) -> bool {
    holder.is_ipv4() == other.is_ipv4()
        && ipnet::IpNet::new(holder, length).unwrap().contains(&other)
}

fn snapshot(timeline: &Timeline, settings: &Settings) -> Snapshot {
    Snapshot::new(1, settings.clone(), [Arc::new(timeline.clone())])
}

/// Returns versions that differ in one thing or in several, in two maps.
fn versions() -> Vec<Arc<Version>> {
    let moved = REGIONS.replace("\"10.2.0.0/16\"", "\"10.2.0.0/17\"");
    let moved = moved.replace("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.2.0.128/25\"");
    let mut versions = Vec::new();
    for (at, records) in RECORDS.iter().enumerate() {
        for (row, rows) in ROWS.iter().enumerate() {
            // A quarter of what there could be, with everything in it.
            let (from, to) = HOSTS[(at + row) % 2];
            let regions = if (at + row / 2) % 2 == 0 { REGIONS } else { &moved };
            versions.push(version(&ZONE.replace(from, to), rows, records, regions));
        }
    }
    versions
}

fn version(zone: &str, row: &str, records: &str, regions: &str) -> Arc<Version> {
    let mut world = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", zone), ("priorities.toml", row), ("records.zone", records)],
    );
    world.file("regions.toml", regions);
    world.load().timelines()[0].newest().clone()
}

//----------- Random ---------------------------------------------------------

/// A small generator (xorshift64*): the same plays on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

//----------- The rules, one by one ------------------------------------------

fn two() -> [Arc<Version>; 2] {
    [ROWS[0], ROWS[1]].map(|row| version(ZONE, row, RECORDS[0], REGIONS))
}

const ORDER: Order = Order {
    now: 999,
    published: 1000,
    spread: SPREAD,
    longest: LONGEST,
    immediate: false,
    effective: None,
};

fn handed_over(timeline: &Timeline, client: IpAddr, second: u64) -> bool {
    let version = timeline.view(client, Moment(second * 1000)).version();
    std::ptr::eq(version, &**timeline.newest())
}

#[test]
fn a_change_waits_for_the_largest_ttl_that_it_changes() {
    let [old, new] = two();
    assert_eq!(change(&old, &new), Change::Records { ttl: 60 });
    let host = version(&ZONE.replace(HOSTS[1].0, HOSTS[1].1), ROWS[0], RECORDS[0], REGIONS);
    assert_eq!(change(&old, &host), Change::Records { ttl: 90 });
    let added = version(ZONE, ROWS[0], &format!("{}new A 192.0.2.9\n", RECORDS[0]), REGIONS);
    assert_eq!(change(&old, &added), Change::Additions);
    assert_eq!(change(&added, &old), Change::Records { ttl: 120 });
    // A name below the wildcard takes the wildcard's text away from it.
    let below = version(ZONE, ROWS[0], RECORDS[1], REGIONS);
    assert_eq!(change(&old, &below), Change::Records { ttl: 120 });
    let same = version(ZONE, ROWS[0], RECORDS[0], REGIONS);
    assert_eq!(change(&old, &same), Change::Nothing);
}

#[test]
fn a_moved_range_is_a_change_of_what_its_clients_see() {
    let moved = REGIONS.replace("\"10.2.0.0/16\"", "\"10.2.0.0/17\"");
    let old = version(ZONE, ROWS[2], RECORDS[0], REGIONS);
    let new = version(ZONE, ROWS[2], RECORDS[0], &moved);
    assert_eq!(change(&old, &new), Change::Records { ttl: 60 });
    // All regions see the same in this table: nobody is moved.
    let old = version(ZONE, ROWS[0], RECORDS[0], REGIONS);
    let new = version(ZONE, ROWS[0], RECORDS[0], &moved);
    assert_eq!(change(&old, &new), Change::Nothing);
}

#[test]
fn ten_thousand_networks_change_over_once_each_and_evenly_within_the_spread() {
    let [old, new] = two();
    let (timeline, _) = Timeline::new(old, 0).publish(new, ORDER, change);
    let [.., entry] = timeline.entries() else { panic!() };
    assert_eq!((entry.wait, entry.effective()), (60, 1060));
    let mut seconds = HashMap::new();
    for number in 0..10_000u32 {
        let client = IpAddr::V4((0x0b00_0000 + (number << 8)).into());
        let over: Vec<_> =
            (1055..=1080).filter(|second| handed_over(&timeline, client, *second)).collect();
        assert_eq!(over.len() as u64, 1080 - over[0] + 1, "{client} went back");
        assert_eq!(over[0], 1060 + u64::from(Network::of(client).offset(SPREAD)));
        *seconds.entry(over[0]).or_insert(0u32) += 1;
    }
    assert_eq!((seconds.keys().min(), seconds.keys().max()), (Some(&1060), Some(&1075)));
    let even = 10_000 / (SPREAD + 1);
    assert!(seconds.values().all(|count| *count <= 2 * even), "{seconds:?}");
}

#[test]
fn offsets_are_the_same_in_every_release() {
    let offset = |client: &str| Network::of(client.parse().unwrap()).offset(3599);
    assert_eq!(offset("192.0.2.1"), offset("192.0.2.255"));
    assert_eq!(offset("192.0.2.1"), offset("::ffff:192.0.2.77"));
    assert_eq!(
        ["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:0:ffff::1"].map(offset),
        [2694, 723, 472, 472]
    );
}

#[test]
fn ttls_fall_towards_the_changeover_and_come_back_after_it() {
    let [old, new] = two();
    let (timeline, _) = Timeline::new(old, 0).publish(new, ORDER, change);
    let snapshot = snapshot(&timeline, &Settings::default());
    let offset = u64::from(Network::of("10.1.0.1".parse().unwrap()).offset(SPREAD));
    let ttl = |milliseconds: u64| {
        let answer = question(QUESTIONS[0].0, "SRV").at(milliseconds).ask(&snapshot);
        answer.message.answers[0].ttl
    };
    let over = (1060 + offset) * 1000;
    assert_eq!(ttl(over - 100_000), 60);
    assert_eq!(ttl(over - 40_000), 40);
    assert_eq!(ttl(over - 39_999), 39);
    assert_eq!(ttl(over - 1_000), 1);
    assert_eq!(ttl(over - 1), 1);
    assert_eq!(ttl(over), 60);
    // What does not change keeps its TTL.
    let host = question("sbc1.carrier.example.com.", "A").at(over - 10_000).ask(&snapshot);
    assert_eq!(host.message.answers[0].ttl, 90);
}

#[test]
fn what_is_in_force_published_again_withdraws_what_is_pending() {
    let [old, new] = two();
    let timeline = Timeline::new(old.clone(), 0);
    let (timeline, _) = timeline.publish(new, ORDER, change);
    let again = Order { now: 1029, published: 1030, ..ORDER };
    let (timeline, publication) = timeline.publish(old.clone(), again, change);
    assert_eq!((publication, timeline.entries().len()), (Publication::Withdrawn, 1));
    assert!(Arc::ptr_eq(timeline.newest(), &old));
}

#[test]
fn edits_in_quick_succession_are_bounded_and_none_starves() {
    let versions = versions();
    let mut timeline = Timeline::new(versions[0].clone(), 0);
    for (second, version) in (1000..1040).zip(versions.iter().cycle().skip(1)) {
        let order = Order { now: second, published: second, ..ORDER };
        (timeline, _) = timeline.publish(version.clone(), order, change);
        assert!(timeline.entries().len() <= Timeline::PENDING_MAX + 1);
    }
    let client = "10.1.0.1".parse().unwrap();
    // The last one waits for the longest TTL from its own publication on.
    assert!(handed_over(&timeline, client, 1040 + 300 + 15));
}

#[test]
fn an_immediate_change_is_in_force_for_everybody_when_it_is_published() {
    let [old, new] = two();
    let (timeline, _) = Timeline::new(old.clone(), 0).publish(new.clone(), ORDER, change);
    // What is pending is hastened, too.
    let now = Order { now: 1009, published: 1010, immediate: true, ..ORDER };
    let (timeline, publication) = timeline.publish(new, now, change);
    assert_eq!(publication, Publication::Published);
    for client in ["10.1.0.1", "10.2.0.1", "2001:db8::1"] {
        let client = client.parse().unwrap();
        assert!(!handed_over(&timeline, client, 1009));
        assert!(handed_over(&timeline, client, 1010));
    }
}

#[test]
fn spread_ttls_are_lowered_by_a_fixed_amount_for_each_network_and_name() {
    let [old, _] = two();
    let timeline = Timeline::new(old, 0);
    let ask = |percent: u8, name: &str, client: &str| {
        let settings = Settings { spread_ttl: percent, ..Settings::default() };
        let snapshot = Snapshot::new(1, settings, [Arc::new(timeline.clone())]);
        question(name, "SRV").from(client).ask(&snapshot).message.answers[0].ttl
    };
    let name = QUESTIONS[0].0;
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..200 {
        let client = format!("10.{}.{}.1", number % 4, number);
        let ttl = ask(10, name, &client);
        assert_eq!(ttl, ask(10, &name.to_uppercase(), &format!("10.{}.{}.9", number % 4, number)));
        assert_eq!(ask(0, name, &client), 60);
        seen.insert(ttl);
    }
    // 10 % of 60 s, and every second of it.
    assert!(seen.iter().copied().eq(54..=60), "{seen:?}");
    let names = ["_sip._tcp.eu.carrier.example.com.", "_sip._tcp.us.carrier.example.com."];
    let differs = |client: &str| ask(50, names[0], client) != ask(50, names[1], client);
    assert!(["10.1.0.1", "10.2.0.1", "10.3.0.1"].iter().any(|client| differs(client)));
}

#[test]
fn an_immediate_change_caps_ttls_until_its_second_although_another_one_comes_later() {
    let [old, new] = two();
    let row = |row| version(ZONE, ROWS[row], RECORDS[0], REGIONS);
    let (timeline, _) = Timeline::new(old, 0).publish(new, ORDER, change);
    // The first one is in force for some and not for this client, 10 s before
    // it would change over.
    let client = "10.1.9.1";
    let over = 1060 + u64::from(Network::of(client.parse().unwrap()).offset(SPREAD));
    assert!(over > 1061, "choose a client that changes over later");
    let now = Order { now: 1060, published: 1062, immediate: true, ..ORDER };
    let (timeline, _) = timeline.publish(row(2), now, change);
    let (timeline, _) = timeline.publish(row(3), Order { immediate: false, ..now }, change);
    let snapshot = snapshot(&timeline, &Settings::default());
    let answer = question(QUESTIONS[0].0, "SRV").from(client).at(1_060_500).ask(&snapshot);
    assert_eq!(answer.message.answers[0].ttl, 1);
}
