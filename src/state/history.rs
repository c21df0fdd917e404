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
//!
//! In memory are the publications alone: the zones of the first line are all
//! there are, and read when somebody asks for them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::manifest::{SharedRecord, ZoneRecord};
use super::pack::{self, ObjectId};
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
    events: Vec<Event>,

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
        let (events, is_torn) = read_lines(&text, generation, |line: EventLine| line.event);
        History { events, is_torn }
    }

    /// Returns the history with another publication, and without those that
    /// are before a time and needed for nothing after it; what is new is on the
    /// disk then.
    pub(super) fn with(&self, folder: &Path, record: Record, since: u64) -> io::Result<Self> {
        let mut events = self.events.clone();
        // One that took too long is written again, with later times.
        events.retain(|other| other.generation < record.event.generation);
        events.push(record.event.clone());
        let forgotten = forgotten(&events, since);
        events.drain(..forgotten);
        if forgotten == 0 && !self.is_torn && !self.events.is_empty() {
            let mut file = File::options().create(true).append(true).open(path(folder))?;
            file.write_all(line(&record)?.as_bytes())?;
            file.sync_all()?;
        } else {
            let mut records = self.records(folder)?;
            records.retain(|other| other.event.generation < record.event.generation);
            records.push(record);
            write_anew(folder, &forget(records, since))?;
        }
        Ok(History { events, is_torn: false })
    }

    /// Reads the records.
    pub(super) fn records(&self, folder: &Path) -> io::Result<Vec<Record>> {
        let Some(last) = self.events.last() else { return Ok(Vec::new()) };
        let text = match fs::read_to_string(path(folder)) {
            // It was taken away, which is no reason to publish no more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        Ok(read_lines(&text, last.generation, |record: Record| record).0)
    }

    /// Returns the publications.
    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    /// Says whether a publication is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// Returns what was published by a record: what all zones shared, and the
/// zones; none if nothing like it is remembered.
pub(super) fn state(
    records: &[Record],
    is_it: impl Fn(&Event) -> bool,
) -> Option<(&Record, BTreeMap<&Name, &ZoneRecord>)> {
    let end = records.iter().rposition(|record| is_it(&record.event))?;
    let mut zones = BTreeMap::new();
    for (name, zone) in records[..=end].iter().flat_map(|record| &record.zones) {
        match zone {
            Some(zone) => zones.insert(name, zone),
            None => zones.remove(name),
        };
    }
    Some((&records[end], zones))
}

/// Returns how many of the first publications are before a time and needed for
/// nothing after it, or too many.
fn forgotten<E: AsRef<Event>>(events: &[E], since: u64) -> usize {
    let later = events.iter().skip(1);
    let settled = later.take_while(|event| event.as_ref().time <= since).count();
    settled.max(events.len().saturating_sub(RECORDS_MAX))
}

/// Returns records without those that are before a time, of which only the
/// zones stay that no later one has.
pub(super) fn forget(mut records: Vec<Record>, since: u64) -> Vec<Record> {
    let forgotten = forgotten(&records, since);
    let mut before = BTreeMap::new();
    for record in records.drain(..forgotten) {
        before.extend(record.zones);
    }
    if let Some(first) = records.first_mut().filter(|_| forgotten > 0) {
        before.extend(first.zones.drain(..));
        before.retain(|_, zone| zone.is_some());
        first.zones = before.into_iter().collect();
    }
    records
}

fn write_anew(folder: &Path, records: &[Record]) -> io::Result<()> {
    let new = folder.join("history.new");
    let mut file = BufWriter::new(File::create(&new)?);
    for record in records {
        file.write_all(line(record)?.as_bytes())?;
    }
    file.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    fs::rename(new, path(folder))?;
    pack::sync(folder)
}

impl AsRef<Event> for Event {
    fn as_ref(&self) -> &Event {
        self
    }
}

/// What is read of a line where nobody asks for its zones.
#[derive(Deserialize)]
struct EventLine {
    event: Event,
}

impl AsRef<Event> for EventLine {
    fn as_ref(&self) -> &Event {
        &self.event
    }
}

impl Record {
    /// Returns every object that is named.
    pub(super) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        let zones = self.zones.iter().filter_map(|(_, zone)| zone.as_ref());
        self.shared.objects().into_iter().chain(zones.flat_map(ZoneRecord::objects))
    }
}

impl AsRef<Event> for Record {
    fn as_ref(&self) -> &Event {
        &self.event
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("history")
}

fn line(record: &Record) -> io::Result<String> {
    let body = serde_json::to_string(record)?;
    Ok(format!("{} {body}\n", ObjectId::of(body.as_bytes())))
}

/// Reads lines up to a generation; says whether there is anything else.
fn read_lines<L: AsRef<Event> + DeserializeOwned, T>(
    text: &str,
    generation: u64,
    take: impl Fn(L) -> T,
) -> (Vec<T>, bool) {
    let mut lines: Vec<L> = Vec::new();
    for line in text.lines().filter_map(parse::<L>) {
        // What was written for a manifest that never came is written again.
        let number = line.as_ref().generation;
        while lines.last().is_some_and(|last| last.as_ref().generation >= number) {
            lines.pop();
        }
        lines.push(line);
    }
    lines.retain(|line| line.as_ref().generation <= generation);
    let is_torn = lines.len() != text.lines().count() || !text.ends_with('\n');
    (lines.into_iter().map(take).collect(), is_torn)
}

fn parse<L: DeserializeOwned>(line: &str) -> Option<L> {
    let (digest, body) = line.split_once(' ')?;
    let is_whole = digest == ObjectId::of(body.as_bytes()).to_string();
    serde_json::from_str(body).ok().filter(|_| is_whole)
}
