//! What is known to be answered, by whom, and for which regions.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use serde::Serialize;

use crate::geo::RegionId;
use crate::offline::{self, Offline, ask, client_of, map_of_regions};
use crate::snapshot::{Moment, Settings, Snapshot, Timeline, Zone};
use crate::state::Kept;
use crate::wire::{Name, Rtype};

//----------- Known ----------------------------------------------------------

/// An answer that some clients are given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// By what.
    pub origin: Origin,

    /// The regions whose clients are given it; none where all are.
    pub regions: Vec<String>,

    /// What it says.
    pub said: Said,
}

/// By what an answer is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Origin {
    /// By the tables on disk.
    Tables,

    /// By a version that is published and in force for somebody, or will be.
    Published {
        /// The SOA record's serial.
        serial: u32,
    },

    /// By a version that is in force for nobody any more.
    Over {
        /// The SOA record's serial.
        serial: u32,

        /// Since when, in seconds since the Unix epoch.
        since: u64,
    },
}

/// Returns what is known about a question, the tables first and old versions
/// last.
pub fn known(
    offline: &Offline,
    kept: Option<&Kept>,
    name: &Name,
    rtype: Rtype,
    now: u64,
) -> Vec<Known> {
    let Some(zone) = offline.zone_of(name) else { return Vec::new() };
    let names: Vec<_> = offline.regions.regions.iter().map(|region| &*region.name).collect();
    let mut known = by_region(&zone.zone, &names, Origin::Tables, name, rtype);
    let timeline = kept.and_then(|kept| kept.zones.get(&zone.tables.origin));
    let entries = timeline.map(|zone| &*zone.timeline).map_or(&[][..], Timeline::entries);
    for (at, entry) in entries.iter().enumerate().rev() {
        let names: Vec<_> = entry.version.map.names().iter().map(|name| &**name).collect();
        let serial = entry.version.zone.serial();
        let over = entries.get(at + 1).map(|next| next.settled()).filter(|over| *over <= now);
        let origin = match over {
            Some(since) => Origin::Over { serial, since },
            None => Origin::Published { serial },
        };
        known.extend(by_region(&entry.version.zone, &names, origin, name, rtype));
    }
    known
}

/// Returns the answers of a zone, each with the regions that are given it.
fn by_region(
    zone: &Arc<Zone>,
    names: &[&str],
    origin: Origin,
    name: &Name,
    rtype: Rtype,
) -> Vec<Known> {
    let map = Arc::new(map_of_regions(names.iter().copied()));
    let timeline = offline::settled(zone.clone(), &map);
    let snapshot = Snapshot::new(1, Settings::default(), [timeline]);
    let mut known: Vec<Known> = Vec::new();
    for (region, id) in names.iter().zip((0..=u8::MAX).map(RegionId)) {
        let answer = ask(&snapshot, client_of(id, 0), Moment(0), name, rtype);
        let Some(said) = answer.map(|message| Said::of(&message)) else { continue };
        match known.iter_mut().find(|known| known.said == said) {
            Some(known) => known.regions.push((*region).to_owned()),
            None => known.push(Known { origin, regions: vec![(*region).to_owned()], said }),
        }
    }
    if let [only] = &mut known[..] {
        only.regions.clear();
    }
    known
}

//----------- Said -----------------------------------------------------------

/// What an answer says, whatever the order and however long it is good for.
#[derive(Clone, Debug, Eq)]
pub struct Said {
    /// The response code.
    pub rcode: u16,

    /// The records of the answer section in presentation format, in lower
    /// case.
    pub records: BTreeSet<String>,

    /// The lowest of their TTLs.
    pub ttl: Option<u32>,
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        self.rcode == other.rcode && self.records == other.records
    }
}

impl Said {
    /// Reads a message. Signatures say nothing of their own.
    pub fn of(message: &Message) -> Self {
        let counts = |kind| kind != RecordType::RRSIG;
        let answers = message.answers.iter().filter(|record| counts(record.record_type()));
        let text = |record: &hickory_proto::rr::Record| {
            let (owner, kind) = (&record.name, record.record_type());
            format!("{owner} {kind} {}", record.data).to_ascii_lowercase()
        };
        Said {
            rcode: message.metadata.response_code.into(),
            records: answers.clone().map(text).collect(),
            ttl: answers.map(|record| record.ttl).min(),
        }
    }

    /// Returns the response code as dig writes it.
    pub fn code(&self) -> String {
        match self.rcode {
            0 => "NOERROR".to_owned(),
            2 => "SERVFAIL".to_owned(),
            3 => "NXDOMAIN".to_owned(),
            5 => "REFUSED".to_owned(),
            code => format!("RCODE {code}"),
        }
    }
}
