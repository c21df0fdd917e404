//! The cost of an answer, by kind of question.
//!
//! `cargo bench --bench answer` asks the answer core what the shipped example
//! is asked: no socket, one thread. `-- hit` runs what begins so.

#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkdns::answer::{Client, Transport, Verdict, answer, change};
use trunkdns::daemon::load;
use trunkdns::diag::{Report, Sources};
use trunkdns::snapshot::{Moment, Order, Snapshot, Timeline};

const NOW: Moment = Moment(1_800_000_000_000);

/// Names that are asked for, in presentation format.
const SRV: &str = "_sip._tcp.carrier.example.com";
const HOST: &str = "sbc1.us-east.carrier.example.com";

//----------- Questions ------------------------------------------------------

struct Scenario {
    name: &'static str,
    query: Vec<u8>,
    transport: Transport,
    client: IpAddr,
}

fn scenarios() -> Vec<Scenario> {
    let subnet = b"\0\x08\0\x07\0\x01\x18\0\x03\x05\x8c";
    let cookie = b"\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08";
    let long = format!("{}carrier.example.com", "a.".repeat(112));
    let scenario = |name, query| Scenario {
        name,
        query,
        transport: Transport::Udp,
        client: "3.5.140.2".parse().unwrap(),
    };
    vec![
        scenario("hit", query(SRV, 33, None)),
        scenario("hit-edns", query(SRV, 33, Some(b""))),
        scenario("hit-subnet", query(SRV, 33, Some(subnet))),
        scenario("hit-cookie", query(SRV, 33, Some(cookie))),
        scenario("hit-address", query(HOST, 1, None)),
        scenario("naptr", query("carrier.example.com", 35, Some(b""))),
        scenario("nodata", query(SRV, 1, Some(b""))),
        scenario("nxdomain", query("missing.carrier.example.com", 1, Some(b""))),
        scenario("nxdomain-113-labels", query(&long, 1, Some(b""))),
        scenario("refused", query("www.example.net", 1, Some(b""))),
        scenario("formerr", query(SRV, 33, None)[..20].to_vec()),
    ]
}

/// A query in wire format, with an OPT record that holds some options.
fn query(name: &str, rtype: u16, options: Option<&[u8]>) -> Vec<u8> {
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

//----------- Snapshots ------------------------------------------------------

fn example() -> Snapshot {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("trunkdns.toml");
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let loaded = load::load(&path, None, &mut sources, &mut report);
    assert!(!report.has_errors(), "{}", report.render(&sources, false));
    loaded.unwrap().into_snapshot()
}

/// The example in a handover: the second row takes the place of the first.
fn in_handover(snapshot: &Snapshot) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let zone = folder.path().join("zones/carrier.example.com");
    std::fs::create_dir_all(&zone).unwrap();
    for file in ["zone.toml", "priorities.toml", "records.zone"] {
        let from = project.join("zones/carrier.example.com").join(file);
        let text = std::fs::read_to_string(from).unwrap();
        let text =
            text.replace("primary = [\"sbc1.ap-northeast\"]", "primary = [\"sbc2.ap-northeast\"]");
        std::fs::write(zone.join(file), text).unwrap();
    }
    let config = std::fs::read_to_string(project.join("trunkdns.toml")).unwrap();
    let config = config.replace("\"geoip/", &format!("\"{}/geoip/", project.display()));
    let path = folder.path().join("trunkdns.toml");
    std::fs::write(&path, config).unwrap();
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let loaded = load::load(&path, None, &mut sources, &mut report).unwrap();
    let next = loaded.into_snapshot().timelines()[0].newest().clone();
    let old = Timeline::new(snapshot.timelines()[0].newest().clone(), 0);
    let order = Order {
        now: NOW.second(),
        published: NOW.second(),
        spread: 15,
        longest: 300,
        immediate: false,
        effective: None,
    };
    let (timeline, _) = old.publish(next, order, change);
    assert_eq!(timeline.entries().len(), 2);
    Snapshot::new(2, snapshot.settings.clone(), [Arc::new(timeline)])
}

//----------- Measuring ------------------------------------------------------

fn ask(snapshot: &Snapshot, scenario: &Scenario, out: &mut [u8]) -> usize {
    let client = Client { address: scenario.client, transport: scenario.transport };
    match answer(snapshot, &client, NOW, &scenario.query, out).verdict {
        Verdict::Send(len) => len,
        Verdict::Drop => 0,
    }
}

fn answers(criterion: &mut Criterion) {
    let snapshot = example();
    let pending = in_handover(&snapshot);
    let mut out = vec![0; usize::from(u16::MAX)];
    for scenario in scenarios() {
        assert!(ask(&snapshot, &scenario, &mut out) > 0, "{}", scenario.name);
        criterion.bench_function(scenario.name, |bencher| {
            bencher.iter(|| ask(black_box(&snapshot), black_box(&scenario), &mut out));
        });
    }
    for scenario in scenarios().into_iter().take(3) {
        criterion.bench_function(&format!("handover-{}", scenario.name), |bencher| {
            bencher.iter(|| ask(black_box(&pending), black_box(&scenario), &mut out));
        });
    }
}

criterion_group!(benches, answers);
criterion_main!(benches);
