//! Prebuilt answers against the general path: octet for octet, whatever is
//! asked, however.

use std::sync::Arc;

use super::*;
use crate::daemon::load;
use crate::diag::{Report, Sources};
use crate::snapshot::{Order, Settings};
use crate::wire::{CookieSecrets, LowerName};

const NOW: Moment = Moment(1_800_000_000_500);

const REGIONS: &str = r#"
default = "us"
[regions.us]
location = [39.04, -77.49]
networks = ["10.1.0.0/16", "2001:db8:1::/48"]
[regions.eu]
location = [50.11, 8.68]
networks = ["10.2.0.0/16", "2001:db8:2::/48"]
[regions.ap]
location = [35.68, 139.77]
networks = ["10.3.0.0/16", "2001:db8:3::/48"]
"#;

/// Besides what is usual: targets whose addresses are steered apart from the
/// services, spelled in both cases, and names with several steered types.
const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1", "ns2.example.net."]
[hosts]
ns1 = ["192.0.2.53", "2001:db8::53"]
SBC1 = ["198.51.100.11", "2001:db8:a::11"]
sbc2 = { addresses = ["198.51.100.12"], ttl = 90 }
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
[naptr]
order = ["_sip._tcp"]
[[geo]]
name = "proxy"
type = "A"
ttl = 60
records.eu = ["198.51.100.21"]
records.default = ["198.51.100.11"]
[[geo]]
name = "proxy"
type = "TXT"
ttl = 60
records.eu = ["\"eu\""]
records.default = ["\"all\""]
[[geo]]
name = "*.near"
type = "CNAME"
ttl = 60
records.eu = ["sbc1"]
records.default = ["proxy"]
"#;

const ROWS: &str = r#"
["_sip._tcp".eu]
primary = ["SBC1"]
secondary = ["proxy", "sbc2"]
["_sip._tcp".default]
primary = ["sbc2"]
secondary = ["proxy"]
"#;

const RECORDS: &str = "\
$TTL 120
@ TXT carrier
www CNAME Sbc1
far CNAME host.example.net.
gone CNAME missing
chain CNAME www
moved CNAME proxy
into CNAME x.lab
mx MX 10 proxy
mx MX 20 SBC1
*.wild TXT any
*.wild MX 10 ns1
b.wild TXT b
*.alias CNAME sbc2
*.round CNAME x.round
*.other CNAME y.wild
lab NS ns.lab
lab NS ns1
lab DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766
ns.lab A 192.0.2.99
old DNAME new
host.new A 192.0.2.77
a.b.c.deep A 192.0.2.78
type TYPE65280 \\# 3 010203
";

//----------- What is asked --------------------------------------------------

/// Loads the example, with other rows or records in it.
fn load_example(change: impl Fn(&str) -> String) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, change(text)).unwrap();
    };
    let large: String = (0..9).map(|at| format!("large TXT \"{at:0>99}\"\n")).collect();
    let many: String =
        (0..30).map(|at| format!("many MX 1 h{at}\nh{at} A 192.0.2.{at}\n")).collect();
    let huge: String = (0..250).map(|at| format!("*.huge TXT \"{at:0>99}\"\n")).collect();
    write("zones/carrier.example/zone.toml", ZONE);
    write("zones/carrier.example/priorities.toml", ROWS);
    write("zones/carrier.example/records.zone", &[RECORDS, &large, &many, &huge].concat());
    write(
        "zones/lab.carrier.example/records.zone",
        "@ 9 SOA n h 1 2 3 4 5\n@ 9 NS n\nn 9 A 192.0.2.9\n",
    );
    write("regions.toml", REGIONS);
    write("trunkdns.toml", "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n");
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let loaded = load::load(&folder.path().join("trunkdns.toml"), None, &mut sources, &mut report);
    assert!(!report.has_errors(), "{}", report.render(&sources, false));
    let snapshot = loaded.unwrap().into_snapshot();
    let settings = Settings {
        identity: Some("ns1.carrier.example".into()),
        cookie_secrets: CookieSecrets::new(&[[7; 16]]),
        ..snapshot.settings.clone()
    };
    Snapshot::new(1, settings, snapshot.timelines().to_vec())
}

/// Returns the example in three states: at rest, in handovers of which one
/// changes much and one little, and with TTLs that are spread.
fn examples() -> Vec<Snapshot> {
    let rest = load_example(str::to_owned);
    let edits: [fn(&str) -> String; 2] = [
        |text| text.replace("192.0.2.78", "192.0.2.79"),
        |text| {
            let text = text.replace("192.0.2.78", "192.0.2.79").replace("\"SBC1\"", "\"sbc2\"");
            text.replace(" any", " none").replace("b.wild", "c.wild").replace("ns.lab", "n.lab")
        },
    ];
    let mut timelines = rest.timelines().to_vec();
    for (edit, now) in edits.iter().zip([NOW.second() - 200, NOW.second() - 20]) {
        let order = Order {
            now,
            published: now,
            spread: 100,
            longest: 300,
            immediate: false,
            effective: None,
        };
        let next = load_example(edit).timelines()[0].newest().clone();
        timelines[0] = Arc::new(timelines[0].publish(next, order, change).0);
    }
    assert_eq!(timelines[0].entries().len(), 3);
    let spread = Settings { spread_ttl: 25, ..rest.settings.clone() };
    let pending = Snapshot::new(2, rest.settings.clone(), timelines.clone());
    let all = Snapshot::new(3, spread, timelines);
    vec![rest, pending, all]
}

/// Returns every name of the example and names below each, in both cases; long
/// ones first, so that what they have built is moved for the others.
fn names(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let zones = snapshot.timelines().iter().map(|timeline| &timeline.newest().zone);
    let owners: Vec<_> =
        zones.flat_map(|zone| zone.nodes()).map(|node| node.owner().to_vec()).collect();
    let mut names: Vec<_> = owners
        .iter()
        .flat_map(|owner| {
            let below = |prefix: &[u8]| [prefix, owner].concat();
            [below(b"\x01x\x03Ab9\x01z"), below(b"\x01x"), below(b"\x01*"), owner.clone()]
        })
        .collect();
    let origin = snapshot.timelines()[0].newest().zone.origin().as_wire();
    names.push([b"\x0ahostmaster", origin].concat());
    names.push([&b"\x01a".repeat(110), origin].concat());
    names.extend([b"\x03com\0".to_vec(), b"\0".to_vec()]);
    let upper: Vec<_> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
    names.extend(upper);
    names
}

fn query(name: &[u8], rtype: Rtype, edns: Option<(u16, u16, &[u8])>) -> Vec<u8> {
    let mut octets = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    octets.extend(name);
    octets.extend(rtype.0.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    if let Some((payload, flags, options)) = edns {
        octets[11] = 1;
        octets.extend(b"\0\0\x29");
        octets.extend(payload.to_be_bytes());
        octets.extend([0, 0]);
        octets.extend(flags.to_be_bytes());
        octets.extend((options.len() as u16).to_be_bytes());
        octets.extend(options);
    }
    octets
}

/// Returns the ways in which a question is asked: transport and message.
fn ways(name: &[u8], rtype: Rtype) -> Vec<(Transport, Vec<u8>)> {
    use Transport::{Encrypted, Tcp, Udp};
    let subnet = b"\0\x08\0\x07\0\x01\x18\0\x0a\x02\x07";
    let all = [
        &b"\0\x03\0\0\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08"[..],
        b"\0\x08\0\x0a\0\x02\x30\0\x20\x01\x0d\xb8\0\x03\0\x0c\0\0",
    ];
    let edns: [(Transport, u16, u16, &[u8]); 9] = [
        (Udp, 512, 0, b""),
        (Udp, 700, 0x8000, b""),
        (Udp, 1232, 0, subnet),
        (Udp, 1232, 0, b"\0\x08\0\x04\0\x01\0\0"),
        (Udp, 512, 0x8000, &all.concat()),
        (Udp, 65_535, 0, &all.concat()),
        (Tcp, 512, 0, subnet),
        (Tcp, 1232, 0x8000, &[all[0], b"\0\x0b\0\0"].concat()),
        (Encrypted, 1232, 0, &all.concat()),
    ];
    let edns = edns.map(|(transport, payload, flags, options)| {
        (transport, query(name, rtype, Some((payload, flags, options))))
    });
    let plain = [Udp, Tcp].map(|transport| (transport, query(name, rtype, None)));
    plain.into_iter().chain(edns).collect()
}

//----------- Comparing ------------------------------------------------------

/// Answers as [`answer`] does, without anything that is prebuilt.
fn answer_generally<'s>(
    snapshot: &'s Snapshot,
    client: &Client,
    message: &[u8],
    out: &mut [u8],
) -> Outcome<'s> {
    let mut name = LowerName::default();
    let Parsed::Query(query) = parse(message, &mut name) else { panic!("no query") };
    let question = &query.question;
    let lens = Lens { message: message.len(), buffer: out.len() };
    let edns = query.edns.as_ref();
    let mut exchange = Exchange::new(&snapshot.settings, client, NOW, edns, lens);
    let timeline = match judge(snapshot, question) {
        Ok(timeline) => timeline,
        Err(resolution) => return write(&query, &mut exchange, &resolution, &Ttls::default(), out),
    };
    let prefix = exchange.steering_prefix();
    let address = prefix.unwrap_or(client.address);
    let view = timeline.view(address, NOW);
    let said = Said::resolved(view.version(), address, question);
    let differs = |other| !said.agrees(&Said::resolved(other, address, question), question);
    let ttls = Ttls::new(view.cap(NOW, differs), snapshot.settings.spread_ttl, address);
    if prefix.is_some() {
        exchange.set_scope(handover_scope(&view, address, question, &said));
    }
    said.write(&query, &mut exchange, &ttls, out)
}

#[test]
fn prebuilt_answers_are_those_that_the_general_path_writes_octet_for_octet() {
    let (mut out, mut expected) = (vec![0; 65_535], vec![0; 65_535]);
    let (mut truncated, mut capped) = (0, 0);
    for snapshot in examples() {
        let zone = snapshot.timelines()[0].newest().zone.clone();
        let mut types: Vec<_> = zone.rrsets().map(|rrset| rrset.rtype()).collect();
        types.extend([Rtype::DS, Rtype::ANY, Rtype(65_000), Rtype::AXFR]);
        types.sort_unstable();
        types.dedup();
        let names = names(&snapshot);
        for (at, name) in names.iter().enumerate() {
            for rtype in &types {
                let ways = ways(name, *rtype);
                // Not each in each way, which would take minutes: in turn.
                for turn in 0..3 {
                    let (transport, message) = &ways[(at * 5 + turn * 4) % ways.len()];
                    let address = ["10.1.0.1", "10.2.3.4", "2001:db8:3::1"][(at + turn) % 3];
                    let client =
                        Client { address: address.parse().unwrap(), transport: *transport };
                    let outcome = answer(&snapshot, &client, NOW, message, &mut out);
                    let other = answer_generally(&snapshot, &client, message, &mut expected);
                    let shown = format!("{} {rtype} {transport:?}", name.escape_ascii());
                    let Verdict::Send(len) = outcome.verdict else { panic!("{shown}") };
                    assert_eq!(outcome.verdict, other.verdict, "{shown}");
                    assert!(out[..len] == expected[..len], "{shown}");
                    assert_eq!(outcome.cause, other.cause, "{shown}");
                    assert_eq!(outcome.truncated, other.truncated, "{shown}");
                    let srv = |outcome: &Outcome<'_>| {
                        outcome.handed_out.map(|handed_out| (handed_out.slot, handed_out.ttl))
                    };
                    assert_eq!(srv(&outcome), srv(&other), "{shown}");
                    truncated += usize::from(outcome.truncated);
                    capped += usize::from(srv(&outcome).is_some_and(|(_, ttl)| ttl < 45));
                }
            }
        }
    }
    assert!(truncated > 0 && capped > 0, "{truncated} {capped}");
}

#[test]
fn all_is_prebuilt_but_what_depends_on_more_than_a_name_and_what_is_very_long() {
    let snapshot = load_example(str::to_owned);
    let mut resolved = std::collections::BTreeSet::new();
    for name in names(&snapshot) {
        for rtype in [Rtype::A, Rtype::SRV, Rtype::TXT, Rtype::SOA, Rtype::NS, Rtype::ANY] {
            let message = query(&name, rtype, None);
            let mut asked = LowerName::default();
            let Parsed::Query(query) = parse(&message, &mut asked) else { panic!() };
            let Ok(timeline) = judge(&snapshot, &query.question) else { continue };
            let address = "10.2.0.1".parse().unwrap();
            // The first one builds.
            for _ in 0..2 {
                if !Said::of(timeline.newest(), &address, &query.question).is_prebuilt() {
                    let name = LowerName::from_wire(&name).unwrap();
                    let labels = name.ancestor(name.label_count().saturating_sub(3)).to_vec();
                    resolved.insert(labels[1..=usize::from(labels[0])].to_vec());
                }
            }
        }
    }
    // Below a DNAME; an alias that may lead back to the name; 25,000 octets.
    let expected = [&b"huge"[..], b"old", b"other", b"round"].map(<[u8]>::to_vec);
    assert_eq!(resolved, expected.into());
}
