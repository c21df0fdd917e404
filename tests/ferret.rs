//! Zones and questions that others made by searching the whole of RFC 1034's
//! algorithm (Ferret, NSDI 2022), with the answers on which a majority of NSD,
//! Knot, BIND and PowerDNS agrees.
//!
//! All zones are served at once. None of the answers differs from the accepted
//! one. The cases are others' and stay out of this repository.

#[path = "fuzz/decoders.rs"]
mod decoders;
#[path = "support/server.rs"]
mod server;
#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use decoders::Seen;
use serde::Deserialize;
use trunkdns::answer::{Client, Transport, Verdict, answer};
use trunkdns::compile::compile;
use trunkdns::config::model::{Checks, ZoneTables};
use trunkdns::config::{read_regions, read_zone};
use trunkdns::diag::{Code, Report, Severity, Sources};
use trunkdns::geo::{CloudLists, Databases, RegionMap, RegionTable};
use trunkdns::snapshot::{Moment, Settings, Snapshot, Timeline, Version, Zone};
use trunkdns::wire::{Name, Rtype};

/// How many cases there are.
const CASES: usize = 12_618;

#[test]
fn every_case_of_ferret_is_answered_as_most_servers_do() {
    let Some(cases) = cases() else { return };
    let regions = regions();
    let map = RegionMap::compile(&regions, &CloudLists::default(), &Databases::default());
    let map = Arc::new(map);
    let timelines = cases.iter().map(|case| {
        let zone = case.compile(&regions, Checks::Lenient).unwrap_or_else(|why| panic!("{why}"));
        Arc::new(Timeline::new(Arc::new(Version::new(Arc::new(zone), map.clone())), 0))
    });
    let snapshot = Snapshot::new(1, Settings::default(), timelines);
    let differs = |case: &Case| {
        let given = case.ask(&snapshot);
        (!case.accepted.contains(&given)).then(|| format!("{case}{given}\n"))
    };
    let complaints: String = cases.iter().filter_map(differs).collect();
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn zones_of_ferret_that_strict_checks_refuse_have_loops_of_aliases() {
    let Some(cases) = cases() else { return };
    let regions = regions();
    let refused = cases.iter().filter_map(|case| case.compile(&regions, Checks::Strict).err());
    let refused: Vec<_> = refused.collect();
    let is_loop = |why: &String| why.starts_with(Code::CnameLoop.name());
    assert!(refused.iter().all(is_loop), "{refused:#?}");
    assert_eq!(refused.len(), 98);
}

//----------- Case -----------------------------------------------------------

/// A zone, a question and the answers that are accepted.
struct Case {
    number: usize,
    origin: String,
    zone: String,
    name: Name,
    rtype: Rtype,
    accepted: Vec<Given>,
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    n: usize,
    origin: String,
    zone: Vec<String>,
    qname: String,
    qtype: String,
    ok: Vec<(String, bool, Vec<Triple>, Vec<Triple>)>,
}

/// Owner, type and data of a record, of an SOA record without its data.
type Triple = (String, u16, String);

/// What an answer says.
#[derive(Eq, PartialEq)]
struct Given {
    rcode: String,
    authoritative: bool,
    answer: BTreeSet<Triple>,
    authority: BTreeSet<Triple>,
}

/// Returns the octets of data in hexadecimal, letters in lower case: what is a
/// name in it may have come back in either.
fn in_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{:02x}", octet.to_ascii_lowercase())).collect()
}

fn in_lower_case((owner, rtype, data): Triple) -> Triple {
    let octets = (0..data.len()).step_by(2).map(|at| u8::from_str_radix(&data[at..at + 2], 16));
    let octets: Vec<_> = octets.map(|octet| octet.expect("data in hexadecimal")).collect();
    (owner, rtype, in_hex(&octets))
}

fn cases() -> Option<Vec<Case>> {
    let text = shared::text("ferret/cases.jsonl.gz")?;
    let cases: Vec<_> = text.lines().map(Case::read).collect();
    assert_eq!(cases.len(), CASES);
    Some(cases)
}

fn regions() -> RegionTable {
    let path = Path::new("regions.toml");
    let text = Arc::from("default = 'a'\n[regions.a]\n");
    let mut sources = Sources::of_texts([(path.to_owned(), text)]);
    read_regions(&mut sources, path, &mut Report::default()).unwrap()
}

impl Case {
    fn read(line: &str) -> Self {
        let line: Line = serde_json::from_str(line).unwrap();
        let accepted = line.ok.into_iter().map(|(rcode, authoritative, answer, authority)| Given {
            rcode,
            authoritative,
            answer: answer.into_iter().map(in_lower_case).collect(),
            authority: authority.into_iter().map(in_lower_case).collect(),
        });
        Case {
            number: line.n,
            zone: line.zone.join("\n") + "\n",
            name: Name::parse(&line.qname, &Name::root()).unwrap(),
            rtype: line.qtype.parse().unwrap(),
            accepted: accepted.collect(),
            origin: line.origin,
        }
    }

    /// Compiles the zone; fails with the first error that is found.
    fn compile(&self, regions: &RegionTable, checks: Checks) -> Result<Zone, String> {
        let folder = Path::new(self.origin.trim_end_matches('.'));
        let file = (folder.join("records.zone"), Arc::from(&*self.zone));
        let (mut sources, mut report) = (Sources::of_texts([file]), Report::default());
        let tables: ZoneTables =
            read_zone(&mut sources, folder, regions, &mut report).expect("a zone with a name");
        let zone = compile(&tables, regions, 1, checks, &mut report);
        let errors = report.findings().into_iter().find(|one| one.severity() == Severity::Error);
        match (errors, zone) {
            (None, Some(zone)) => Ok(zone),
            (error, _) => Err(error.map_or("no zone".to_owned(), |error| {
                format!("{} in case {}: {}", error.code, self.number, error.message)
            })),
        }
    }

    /// Asks the question, without a limit on the length of its answer.
    fn ask(&self, snapshot: &Snapshot) -> Given {
        let mut query = b"\0\x01\0\0\0\x01\0\0\0\0\0\0".to_vec();
        query.extend(self.name.as_wire());
        query.extend(self.rtype.0.to_be_bytes());
        query.extend([0, 1]);
        let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Tcp };
        let mut out = [0; 65_535];
        match answer(snapshot, &client, Moment(0), &query, &mut out).verdict {
            Verdict::Send(len) => Given::of(&decoders::read(&out[..len])),
            Verdict::Drop => panic!("no answer\n{self}"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "case {}: {} {}\n{}", self.number, self.name, self.rtype, self.zone)?;
        self.accepted.iter().try_for_each(|accepted| write!(f, "accepted: {accepted}"))
    }
}

impl Given {
    fn of(seen: &Seen) -> Self {
        let section = |section: usize| {
            let records = seen.sections[section].iter();
            let data = |record: &decoders::Record| match Rtype(record.rtype) {
                Rtype::SOA if section == 1 => String::new(),
                _ => in_hex(&record.rdata),
            };
            records
                .map(|record| (decoders::name(&record.owner), record.rtype, data(record)))
                .collect()
        };
        let rcode = match seen.rcode {
            0 => "NOERROR".to_owned(),
            3 => "NXDOMAIN".to_owned(),
            6 => "YXDOMAIN".to_owned(),
            rcode => rcode.to_string(),
        };
        let authoritative = seen.flags.authoritative;
        Given { rcode, authoritative, answer: section(0), authority: section(1) }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.rcode, if self.authoritative { "AA" } else { "" })?;
        for (name, section) in [("answer", &self.answer), ("authority", &self.authority)] {
            for (owner, rtype, data) in section {
                writeln!(f, "  {name} {owner} {} {data}", Rtype(*rtype))?;
            }
        }
        Ok(())
    }
}
