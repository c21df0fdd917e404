//! What was published, by whom and when: `state/history`.
//!
//! A line a publication, each with a digest in front, that names what it
//! published by the names of objects: with these, earlier answers can be
//! explained, and earlier tables published again. The first line has all zones
//! as they were then; later ones have the zones that they changed.
//!
//! A line is written, and is on the disk, before the manifest that it belongs
//! to. Lines of a generation that no manifest has had are forgotten, and so are
//! lines that are not what was written: what is served does not depend on
//! them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pack::{self, ObjectId};
use super::store::{SharedRecord, ZoneRecord};
use crate::wire::Name;

/// The most publications that are remembered, whatever `[server] keep` says.
const RECORDS_MAX: usize = 1_000;

//----------- Event ----------------------------------------------------------

/// A publication, for people and programs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// The generation.
    pub generation: u64,

    /// When it was published, in seconds since the Unix epoch.
    pub time: u64,

    /// Who did it.
    pub by: String,

    /// What it was, such as `reload`.
    pub what: String,

    /// What became of each zone.
    pub lines: Vec<String>,
}

//----------- History --------------------------------------------------------

/// All publications that are remembered, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    records: Vec<Record>,

    /// Whether the file holds anything else.
    is_torn: bool,
}

/// A publication.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) event: Event,
    pub(super) shared: SharedRecord,

    /// Zones that are other ones than before; those without a record are no
    /// longer served.
    pub(super) zones: Vec<(Name, Option<ZoneRecord>)>,
}

impl History {
    /// Reads what a folder remembers up to a generation.
    pub(super) fn read(folder: &Path, generation: u64) -> Self {
        let text = fs::read_to_string(path(folder)).unwrap_or_default();
        let mut records: Vec<Record> = Vec::new();
        for record in text.lines().filter_map(parse) {
            // What was written for a manifest that never came is written again.
            while records.last().is_some_and(|last| last.generation() >= record.generation()) {
                records.pop();
            }
            records.push(record);
        }
        records.retain(|record| record.generation() <= generation);
        let is_torn = records.len() != text.lines().count() || !text.ends_with('\n');
        History { records, is_torn }
    }

    /// Returns the history with another publication, and without those that
    /// are before a time and needed for nothing after it; says whether the file
    /// is to be written anew.
    pub(super) fn with(&self, record: Record, since: u64) -> (Self, bool) {
        let mut records = self.records.clone();
        // One that took too long is written again, with later times.
        records.retain(|other| other.generation() < record.generation());
        records.push(record);
        let later = &records[1..];
        let settled = later.iter().take_while(|record| record.event.time <= since).count();
        let forgotten = settled.max(records.len().saturating_sub(RECORDS_MAX));
        let mut before = BTreeMap::new();
        for record in records.drain(..forgotten) {
            before.extend(record.zones);
        }
        if let Some(first) = records.first_mut().filter(|_| forgotten > 0) {
            before.extend(first.zones.drain(..));
            before.retain(|_, zone| zone.is_some());
            first.zones = before.into_iter().collect();
        }
        (History { records, is_torn: false }, forgotten > 0 || self.is_torn)
    }

    /// Brings the last record to the disk, or all of them.
    pub(super) fn write(&self, folder: &Path, all: bool) -> io::Result<()> {
        let Some(last) = self.records.last() else { return Ok(()) };
        if !all {
            let mut file = File::options().create(true).append(true).open(path(folder))?;
            file.write_all(line(last)?.as_bytes())?;
            return file.sync_all();
        }
        let new = folder.join("history.new");
        let mut file = File::create(&new)?;
        for record in &self.records {
            file.write_all(line(record)?.as_bytes())?;
        }
        file.sync_all()?;
        fs::rename(new, path(folder))?;
        pack::sync(folder)
    }

    /// Returns every object that is named.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.records.iter().flat_map(|record| {
            let zones = record.zones.iter().filter_map(|(_, zone)| zone.as_ref());
            let zones = zones.flat_map(ZoneRecord::objects);
            record.shared.objects().into_iter().chain(zones)
        })
    }

    /// Returns the publications.
    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.records.iter().map(|record| &record.event)
    }

    /// Returns what was published by a record: what all zones shared, and the
    /// zones; none if nothing like it is remembered.
    pub(super) fn state(
        &self,
        is_it: impl Fn(&Event) -> bool,
    ) -> Option<(&Record, BTreeMap<&Name, &ZoneRecord>)> {
        let end = self.records.iter().rposition(|record| is_it(&record.event))?;
        let mut zones = BTreeMap::new();
        for (name, zone) in self.records[..=end].iter().flat_map(|record| &record.zones) {
            match zone {
                Some(zone) => zones.insert(name, zone),
                None => zones.remove(name),
            };
        }
        Some((&self.records[end], zones))
    }

    /// Says whether a publication is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Record {
    fn generation(&self) -> u64 {
        self.event.generation
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("history")
}

fn line(record: &Record) -> io::Result<String> {
    let body = serde_json::to_string(record)?;
    Ok(format!("{} {body}\n", ObjectId::of(body.as_bytes())))
}

fn parse(line: &str) -> Option<Record> {
    let (digest, body) = line.split_once(' ')?;
    let is_whole = digest == ObjectId::of(body.as_bytes()).to_string();
    serde_json::from_str(body).ok().filter(|_| is_whole)
}
