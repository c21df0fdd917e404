//! What `trunkdns status` shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::board::{Board, Outcome, StateHealth};
use super::drain;
use super::encryption::Encryption;
use super::handed_out::HandedOut;
use super::limits::Limits;
use super::process::Process;
use crate::geo::DatabaseSummary;
use crate::snapshot::{Entry, Timeline};
use crate::state::{Drain, Kept, KeptZone};
use crate::time::span;
use crate::transport::counters::{Kind, Protocol, QueryType, Row, Totals};
use crate::transport::latency::Latency;
use crate::wire::Name;

//----------- Status ---------------------------------------------------------

/// How a running server is. Times are in seconds since the Unix epoch.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The release.
    pub version: String,

    /// The time that the server goes by.
    pub now: u64,

    /// When the server started.
    pub started: u64,

    /// Counts publications.
    pub generation: u64,

    /// When a zone was published last.
    pub published: u64,

    /// Addresses that answer queries, over UDP and TCP.
    pub listeners: Vec<String>,

    /// The encrypted transports.
    pub encrypted: Encryption,

    /// How many zones there are.
    pub zones: usize,

    /// Versions that are not in force for everybody yet.
    pub handovers: Vec<Handover>,

    /// Tables that are to be published at a time.
    pub scheduled: Vec<Scheduled>,

    /// Endpoints that are drained, or will be.
    pub drains: Vec<DrainStatus>,

    /// The databases that clients are placed by.
    pub databases: Vec<DatabaseSummary>,

    /// When cached copies of SRV answers expire, by endpoint.
    pub endpoints: Vec<Endpoint>,

    /// What became of messages and connections since the start.
    pub counters: Vec<Count>,

    /// Queries that zones answered, by region, whatever the answer was.
    pub regions: Vec<RegionCount>,

    /// Queries by what they ask for.
    pub queries: Vec<QueryCount>,

    /// How long the answer core took, of one message in 1024.
    pub latency: LatencyStatus,

    /// What became of the last time that files were taken in.
    pub last: Outcome,

    /// The last time that not everything could be taken in.
    pub last_error: Option<Outcome>,

    /// How the state folder is.
    pub state: StateHealth,

    /// How often the system's clock has stepped.
    pub clock_steps: u64,

    /// How far the system's clock is ahead of the server's, in milliseconds.
    pub clock_deviation: i64,

    /// What was limited, and what customers were told.
    pub limits: Limits,

    /// Who the server is, and what it may do.
    pub process: Process,
}

/// A version of a zone that is not in force for everybody yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Handover {
    /// The zone.
    pub zone: String,

    /// The serial that the version has.
    pub serial: u32,

    /// Where it stands.
    pub phase: Phase,

    /// When it was published.
    pub published: u64,

    /// When the first client networks change over.
    pub effective: u64,

    /// When the last ones do.
    pub settled: u64,
}

/// Where a handover stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// TTLs fall until all cached copies have expired.
    Waiting,

    /// Client networks change over, one after the other.
    ChangingOver,
}

/// Tables that are to be published at a time.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scheduled {
    /// The zone.
    pub zone: String,

    /// When they are published.
    pub begin: u64,

    /// When they take effect.
    pub effective: u64,
}

/// An endpoint that is drained, or will be. Times are in seconds since the
/// Unix epoch.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DrainStatus {
    /// The SRV target.
    pub endpoint: String,

    /// Who drained it.
    pub by: String,

    /// Why, in their words.
    pub reason: Option<String>,

    /// When.
    pub since: u64,

    /// Where it stands.
    pub phase: DrainPhase,

    /// When it takes effect, where a time was named.
    pub effective: Option<u64>,

    /// When it ends by itself.
    pub until: Option<u64>,

    /// When every client network has changed over.
    pub settled: u64,

    /// When the last cached copy expires that puts it first, of those that
    /// were sent; 0 if none was.
    pub preferred_until: u64,

    /// A name that puts it first all the same, for nobody else is left.
    pub only_choice_of: Option<String>,
}

/// Where draining stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainPhase {
    /// It is published later.
    Scheduled,

    /// Clients may still prefer it.
    Draining,

    /// No cached copy that puts it first is left.
    Drained,
}

/// Until when callers may know an endpoint.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    /// The zone.
    pub zone: String,

    /// The SRV target.
    pub target: String,

    /// The port.
    pub port: u16,

    /// When the last cached copy of an answer expires that puts it first; 0
    /// if none was sent.
    pub prefers: u64,

    /// When the last cached copy of an answer expires that names it; 0 if
    /// none was sent.
    pub names: u64,

    /// How many answers put it first.
    pub first: u64,

    /// How many answers named it behind others.
    pub behind: u64,
}

/// How often something happened.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Count {
    /// `udp`, `tcp`, `tls`, `quic` or `https`.
    pub transport: String,

    /// What; of malformed messages, the reason too.
    pub name: String,

    /// How often.
    pub value: u64,

    /// Whether it says what became of a message: each message has one such.
    pub is_outcome: bool,
}

/// How many queries a region's clients sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RegionCount {
    /// The region, by the version that answered.
    pub region: String,

    /// How many since the start.
    pub queries: u64,
}

/// How many queries asked for a type.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueryCount {
    /// `udp`, `tcp`, `tls`, `quic` or `https`.
    pub transport: String,

    /// `srv`, `naptr`, `address` or `other`.
    #[serde(rename = "type")]
    pub qtype: String,

    /// How many since the start.
    pub queries: u64,
}

/// How long answers took, of those whose time was taken.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LatencyStatus {
    /// In nanoseconds: how long at most; and how many took that long and longer
    /// than the bound before. No bound is the last one's.
    pub buckets: Vec<(Option<u64>, u64)>,

    /// How long all of them took together, in nanoseconds.
    pub sum: u64,
}

/// What the control plane does not know of itself.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// What became of messages and connections.
    pub totals: Totals,

    /// Queries by region.
    pub regions: BTreeMap<Box<str>, u64>,

    /// How long answers took.
    pub latency: Latency,

    /// Addresses that answer queries.
    pub listeners: Vec<String>,

    /// The encrypted transports.
    pub encrypted: Encryption,

    /// When the server started.
    pub started: u64,

    /// The time.
    pub now: u64,

    /// How often the system's clock has stepped.
    pub clock_steps: u64,

    /// How far the system's clock is ahead, in milliseconds.
    pub clock_deviation: i64,

    /// What was limited, and what customers were told.
    pub limits: Limits,

    /// Who the server is, and what it may do.
    pub process: Process,
}

impl Status {
    /// Collects it.
    pub fn new(board: &Board, around: Surroundings) -> Self {
        let kept = &board.kept;
        let now = around.now;
        let zones = || kept.zones.iter();
        let endpoints = HandedOut::of_board(board).endpoints();
        let handovers: Vec<_> =
            zones().flat_map(|(name, zone)| handovers(name, &zone.timeline, now)).collect();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            started: around.started,
            generation: kept.generation,
            published: kept.published(),
            listeners: around.listeners,
            encrypted: around.encrypted,
            zones: kept.zones.len(),
            drains: drains(kept, &endpoints, &handovers, now),
            handovers,
            scheduled: zones().filter_map(|(name, zone)| scheduled(name, zone)).collect(),
            databases: kept.shared.databases.clone(),
            endpoints,
            counters: around.totals.rows().map(|row| Count::new(&row)).collect(),
            regions: around.regions.into_iter().map(RegionCount::from).collect(),
            queries: QueryCount::all(&around.totals).collect(),
            latency: around.latency.into(),
            last: board.last.clone(),
            last_error: board.last_error.clone(),
            state: board.health.clone(),
            clock_steps: around.clock_steps,
            clock_deviation: around.clock_deviation,
            limits: around.limits,
            process: around.process,
        }
    }
}

impl Count {
    fn new(row: &Row) -> Self {
        let reason = row.reason.map(|reason| format!(":{}", reason.name())).unwrap_or_default();
        Count {
            transport: row.protocol.name().to_owned(),
            name: format!("{}{reason}", row.name),
            value: row.value,
            is_outcome: row.kind == Kind::Outcome,
        }
    }
}

impl From<(Box<str>, u64)> for RegionCount {
    fn from((region, queries): (Box<str>, u64)) -> Self {
        RegionCount { region: region.into(), queries }
    }
}

impl QueryCount {
    fn all(totals: &Totals) -> impl Iterator<Item = Self> {
        Protocol::ALL.into_iter().flat_map(|protocol| {
            QueryType::ALL.map(|qtype| QueryCount {
                transport: protocol.name().to_owned(),
                qtype: qtype.name().to_owned(),
                queries: totals.of(protocol).queries(qtype),
            })
        })
    }
}

impl From<Latency> for LatencyStatus {
    fn from(latency: Latency) -> Self {
        let bounds = Latency::BOUNDS.map(Some).into_iter().chain([None]);
        LatencyStatus { buckets: bounds.zip(latency.counts).collect(), sum: latency.sum }
    }
}

fn scheduled(name: &Name, zone: &KeptZone) -> Option<Scheduled> {
    let scheduled = zone.scheduled.as_ref()?;
    let (begin, effective) = (scheduled.begin, scheduled.effective);
    Some(Scheduled { zone: name.to_string(), begin, effective })
}

/// Returns the versions of a zone that some network has yet to change over
/// to.
fn handovers(name: &Name, timeline: &Timeline, now: u64) -> Vec<Handover> {
    let mut effective = 0;
    let mut settled = 0;
    let handover = |entry: &Entry| {
        // A network never changes over to a version before the one before.
        effective = entry.effective().max(effective);
        settled = if entry.immediate { entry.published } else { entry.settled().max(settled) };
        Handover {
            zone: name.to_string(),
            serial: entry.version.zone.serial(),
            phase: if effective > now { Phase::Waiting } else { Phase::ChangingOver },
            published: entry.published,
            effective,
            settled,
        }
    };
    timeline.entries().iter().map(handover).skip(1).filter(|next| next.settled > now).collect()
}

/// Returns how far draining is.
fn drains(
    kept: &Kept,
    endpoints: &[Endpoint],
    handovers: &[Handover],
    now: u64,
) -> Vec<DrainStatus> {
    let status = |(name, drain): (&Name, &Drain)| {
        let endpoint = name.to_string();
        let own = endpoints.iter().filter(|one| one.target.eq_ignore_ascii_case(&endpoint));
        let preferred_until = own.clone().map(|one| one.prefers).max().unwrap_or(0);
        let pending = handovers.iter().filter(|next| own.clone().any(|one| one.zone == next.zone));
        let settled = pending.map(|next| next.settled).max().unwrap_or(now).max(now);
        let with_it = kept.zones.values().filter(|zone| zone.drained.contains(name));
        let only_choice_of = with_it
            .flat_map(|zone| drain::exhausted(&zone.timeline.newest().zone, &zone.drained, name))
            .next();
        let phase = match drain.has_begun {
            false => DrainPhase::Scheduled,
            true if settled > now || preferred_until > now => DrainPhase::Draining,
            true if only_choice_of.is_some() => DrainPhase::Draining,
            true => DrainPhase::Drained,
        };
        DrainStatus {
            endpoint,
            by: drain.by.clone(),
            reason: drain.reason.clone(),
            since: drain.since,
            phase,
            effective: drain.effective,
            until: drain.until,
            settled,
            preferred_until,
            only_choice_of: only_choice_of.map(|name| name.to_string()),
        }
    };
    kept.drains.iter().map(status).collect()
}

//----------- Text -----------------------------------------------------------

impl Status {
    /// Returns it for people.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let up = span(self.now.saturating_sub(self.started));
        writeln!(out, "trunkdns {}, up {up}, generation {}", self.version, self.generation)?;
        writeln!(out, "zones     {}", self.zones)?;
        writeln!(out, "listeners {}", self.listeners.join(" "))?;
        self.encrypted.write(out)?;
        self.process.write(out)?;
        for database in &self.databases {
            let age = database.built.map_or("without a date".to_owned(), |built| {
                format!("built {} ago", span(self.now.saturating_sub(built)))
            });
            writeln!(out, "database  {} ({age})", database.path)?;
        }
        self.write_counters(out)?;
        self.write_regions(out)?;
        self.write_changes(out)?;
        self.write_drains(out)?;
        self.write_endpoints(out)?;
        self.limits.write(out)?;
        self.write_troubles(out)
    }

    /// Writes how many messages came, and what has happened besides.
    fn write_counters(&self, out: &mut String) -> std::fmt::Result {
        for transport in Protocol::ALL.map(Protocol::name) {
            let counts = || self.counters.iter().filter(|count| count.transport == transport);
            let messages: u64 =
                counts().filter(|count| count.is_outcome).map(|count| count.value).sum();
            let is_encrypted = !["udp", "tcp"].contains(&transport);
            if is_encrypted && counts().all(|count| count.value == 0) {
                continue;
            }
            write!(out, "{transport:9} {messages} messages")?;
            for count in counts().filter(|count| count.value > 0) {
                write!(out, ", {} {}", count.name, count.value)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Writes where queries came from.
    fn write_regions(&self, out: &mut String) -> std::fmt::Result {
        let asking = self.regions.iter().filter(|count| count.queries > 0);
        let list: Vec<_> =
            asking.map(|RegionCount { region, queries }| format!("{region} {queries}")).collect();
        match list.is_empty() {
            true => Ok(()),
            false => writeln!(out, "regions   queries from {}", list.join(", ")),
        }
    }

    fn write_changes(&self, out: &mut String) -> std::fmt::Result {
        if self.handovers.is_empty() && self.scheduled.is_empty() {
            return writeln!(out, "handovers none");
        }
        writeln!(out, "handovers")?;
        let until = |time: u64| span(time.saturating_sub(self.now));
        for next in &self.handovers {
            let (zone, serial) = (&next.zone, next.serial);
            let settled = until(next.settled);
            match next.phase {
                Phase::Waiting => writeln!(
                    out,
                    "  {zone} serial {serial}: waiting, in force in {}, for everybody in {settled}",
                    until(next.effective)
                )?,
                Phase::ChangingOver => writeln!(
                    out,
                    "  {zone} serial {serial}: changing over, for everybody in {settled}"
                )?,
            }
        }
        for next in &self.scheduled {
            let (begin, effective) = (until(next.begin), until(next.effective));
            writeln!(
                out,
                "  {} scheduled: published in {begin}, in force in {effective}",
                next.zone
            )?;
        }
        Ok(())
    }

    fn write_drains(&self, out: &mut String) -> std::fmt::Result {
        for drain in &self.drains {
            let DrainStatus { endpoint, by, .. } = drain;
            let since = span(self.now.saturating_sub(drain.since));
            write!(out, "drain     {endpoint} by {by} {since} ago")?;
            if let Some(reason) = &drain.reason {
                write!(out, " ({})", reason.escape_debug())?;
            }
            write!(out, ": {}", drain.progress(self.now))?;
            if let Some(until) = drain.until {
                write!(out, "; ends in {}", span(until.saturating_sub(self.now)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_endpoints(&self, out: &mut String) -> std::fmt::Result {
        let left = |time: u64| match time.checked_sub(self.now) {
            Some(left) if left > 0 => span(left),
            _ => "-".to_owned(),
        };
        let name = |endpoint: &Endpoint| format!("{}:{}", endpoint.target, endpoint.port);
        let is_known = |endpoint: &&Endpoint| endpoint.names > self.now;
        let known: Vec<_> = self.endpoints.iter().filter(is_known).collect();
        write!(
            out,
            "endpoints {}, of {} cached answers may be left",
            self.endpoints.len(),
            known.len()
        )?;
        writeln!(out, "{}", if known.is_empty() { "" } else { ":" })?;
        let width = known.iter().map(|endpoint| name(endpoint).len()).max().unwrap_or(0);
        for endpoint in known {
            let (prefers, names) = (left(endpoint.prefers), left(endpoint.names));
            writeln!(
                out,
                "  {:width$}  that prefer it: {prefers:>8}, that name it: {names:>8}",
                name(endpoint)
            )?;
        }
        Ok(())
    }

    fn write_troubles(&self, out: &mut String) -> std::fmt::Result {
        if self.clock_steps > 0 || self.clock_deviation.abs() >= 1000 {
            let (steps, deviation) = (self.clock_steps, self.clock_deviation);
            writeln!(out, "clock     stepped {steps} times, the system's is {deviation} ms ahead")?;
        }
        if let Some(why) = &self.state.damaged {
            writeln!(out, "state     was damaged at the start: {why}")?;
        }
        if let Some(why) = &self.state.write_error {
            writeln!(out, "state     NOT WRITTEN: {why}")?;
        }
        self.last.write(out, "last", self.now)?;
        match &self.last_error {
            Some(error) if error.at != self.last.at => error.write(out, "last error", self.now),
            _ => Ok(()),
        }
    }
}

impl DrainStatus {
    /// Says how far it is, for people.
    pub fn progress(&self, now: u64) -> String {
        let left = |time: u64| span(time.saturating_sub(now));
        match (self.phase, &self.only_choice_of) {
            (DrainPhase::Scheduled, _) => {
                let effective = self.effective.unwrap_or(now);
                format!("takes effect in {}", left(effective))
            }
            (DrainPhase::Drained, _) => "drained, no cached answer prefers it".to_owned(),
            (DrainPhase::Draining, Some(name)) => {
                format!("still the first choice of {name}, where nobody else is left")
            }
            (DrainPhase::Draining, None) if self.settled > now => {
                format!("last client networks change over in {}", left(self.settled))
            }
            (DrainPhase::Draining, None) => {
                format!(
                    "last cached answer that prefers it expires in {}",
                    left(self.preferred_until)
                )
            }
        }
    }
}

impl Outcome {
    /// Returns it for people.
    pub fn render(&self) -> String {
        let mut out = self.findings.clone();
        // Writing to a string does not fail.
        let _ = self.write_lines(&mut out, "");
        out
    }

    fn write(&self, out: &mut String, title: &str, now: u64) -> std::fmt::Result {
        let ago = span(now.saturating_sub(self.at));
        let what = if self.is_whole { "done" } else { "NOT ALL TAKEN IN" };
        writeln!(out, "{title:9} {ago} ago, by {}: {what}", self.by)?;
        self.write_lines(out, "  ")?;
        for line in self.findings.lines() {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }

    fn write_lines(&self, out: &mut String, indent: &str) -> std::fmt::Result {
        for line in self.lines.iter().chain(&self.notes) {
            writeln!(out, "{indent}{line}")?;
        }
        for held in &self.held_back {
            writeln!(out, "{indent}{} is held back: {}", held.what, held.why)?;
        }
        if let Some(line) = self.warned() {
            writeln!(out, "{indent}{line}")?;
        }
        Ok(())
    }
}
