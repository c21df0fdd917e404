//! The one place that changes what is served.
//!
//! ```text
//!  files ── load ──▶ candidates ── guard ──▶ edits ── Draft ──▶ state ──▶ Snapshot
//! ```
//!
//! A [`Publisher`] reads the operator's files, holds back what is refused or
//! looks like an accident, keeps the rest on the disk and only then swaps it
//! in. Whatever fails on the way leaves what is served as it is.
//!
//! At the start there is what was published last: it is served first, and the
//! files are then taken in like any edit.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::board::{Board, Outcome, StateHealth};
use super::guard;
use super::load::{self, Loaded, LoadedZone, compile_texts};
use super::publish::{Candidate, Changes, Draft, Edit};
use crate::clock::{self, Clock};
use crate::config;
use crate::config::model::{Config, Handover, HandoverMode};
use crate::diag::{Report, Sources};
use crate::geo::RegionTable;
use crate::snapshot::{Moment, Order, Settings, Snapshot, Version};
use crate::state::{self, Found, Kept, KeptZone, Shared, State, Tables};
use crate::wire::Name;

/// How long a failed write or a scheduled table that does not fit waits until
/// it is tried again, in seconds.
const RETRY: u64 = 10;

//----------- Publisher ------------------------------------------------------

/// Changes what is served, one change after the other.
#[derive(Debug)]
pub struct Publisher {
    /// The configuration's file.
    path: PathBuf,

    clock: Arc<Clock>,
    served: Arc<ArcSwap<Snapshot>>,
    board: Arc<ArcSwap<Board>>,
    state: State,

    /// What is published.
    kept: Arc<Kept>,

    /// The last good configuration.
    config: Config,

    /// What it has answers say beside records.
    settings: Settings,

    /// The last good region table; none if this release cannot read the one
    /// that was kept.
    regions: Option<RegionTable>,

    /// Every path that the last reading looked at.
    visited: BTreeSet<PathBuf>,

    /// Versions that nobody is answered from any more, and of which copies
    /// may still be cached.
    retired: Vec<Arc<Version>>,

    /// Snapshots that a worker may still be answering from, and when each was
    /// replaced, in seconds since the Unix epoch. Whoever lets go of one last
    /// frees it, which is not to be a worker.
    replaced: Vec<(u64, Arc<Snapshot>)>,

    health: StateHealth,
    last: Outcome,
    last_error: Option<Outcome>,
}

/// How files are to be taken in.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Who asks, for people.
    pub by: String,

    /// Whether everything is to be in force at once.
    pub now: bool,

    /// Whether what looks like an accident is meant.
    pub force: bool,

    /// The zones to take in; all if there is none.
    pub zones: Vec<Name>,
}

impl Publisher {
    /// Begins with what was published last, else with the operator's files,
    /// which then must be without errors.
    ///
    /// What is found in the files is in the outcome of [`Self::last`].
    pub fn start(path: &Path) -> Result<Publisher, Error> {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let config = config::read_config(&mut sources, path, &mut report);
        // Where the configuration cannot be read, what was served last may
        // still be in the place where it is by default.
        let default = || path.parent().unwrap_or(Path::new("")).join("state");
        let folder = config.as_ref().map_or_else(default, |config| config.server.state.clone());
        if config.is_none() && !folder.exists() {
            return Err(Error::Refused { findings: report.render(&sources, false) });
        }
        let (state, found) = State::open(&folder).map_err(Error::State)?;
        let damaged = match found {
            Found::Kept(kept) => {
                let config = config.filter(|_| !report.has_errors());
                return Self::resume(path, state, *kept, config);
            }
            Found::Nothing => None,
            Found::Damaged { why, aside } => {
                Some(format!("{why}; it was moved to {}", aside.display()))
            }
        };
        Self::begin(path, state, damaged)
    }

    /// Begins with the operator's files.
    fn begin(path: &Path, state: State, damaged: Option<String>) -> Result<Publisher, Error> {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let loaded = load::load(path, None, &mut sources, &mut report);
        let findings = report.render(&sources, false);
        let Some(loaded) = loaded.filter(|_| !report.has_errors()) else {
            return Err(Error::Refused { findings });
        };
        let shared = loaded.shared.clone();
        let kept = Kept { generation: 0, time: 0, shared, zones: Default::default() };
        let health = StateHealth { damaged, ..StateHealth::default() };
        let (config, settings) = (loaded.config.clone(), loaded.settings.clone());
        let mut publisher = Self::new(path, state, kept, config, settings);
        publisher.health = health;
        publisher.visited = sources.visited().clone();
        let mut outcome = publisher.outcome("the start", findings, true);
        let request = Request { now: true, force: true, ..Request::default() };
        publisher.take_in(loaded, &request, &mut outcome);
        let refused = outcome.held_back.first().map(|held| held.why.clone());
        publisher.conclude(outcome);
        refused.map_or(Ok(publisher), |why| Err(Error::Unpublished { why }))
    }

    /// Goes on with what was published last, and takes in the files as they
    /// are now.
    fn resume(
        path: &Path,
        state: State,
        kept: Kept,
        config: Option<Config>,
    ) -> Result<Publisher, Error> {
        let config = config.or_else(|| read_kept(&kept.shared.config, config::read_config));
        let config = config.ok_or(Error::NoConfig)?;
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let secrets = load::read_secrets(&config, &mut sources, &mut report);
        let settings = load::settings(&config, secrets);
        let mut publisher = Self::new(path, state, kept, config, settings);
        publisher.regions = read_kept(&publisher.kept.shared.regions, config::read_regions);
        let now = publisher.clock.now().second();
        for zone in publisher.kept.zones.values() {
            for entry in zone.timeline.entries() {
                entry.version.assume_handed_out(now);
            }
        }
        publisher.reload(&Request { by: "the start".into(), ..Request::default() });
        Ok(publisher)
    }

    fn new(path: &Path, state: State, kept: Kept, config: Config, settings: Settings) -> Self {
        let wall = clock::wall();
        let floor = Moment(kept.time * 1000);
        if wall < floor {
            tracing::warn!(
                "the system's clock is {} s before the last publication: time begins there",
                (floor.0 - wall.0) / 1000
            );
        }
        let kept = Arc::new(kept);
        let board = Board {
            kept: kept.clone(),
            last: Outcome::default(),
            last_error: None,
            health: StateHealth::default(),
            retired: Vec::new(),
        };
        Publisher {
            path: path.to_owned(),
            clock: Arc::new(Clock::new(wall.max(floor))),
            served: Arc::new(ArcSwap::from_pointee(snapshot(&kept, &settings))),
            board: Arc::new(ArcSwap::from_pointee(board)),
            state,
            kept,
            config,
            settings,
            regions: None,
            visited: BTreeSet::new(),
            retired: Vec::new(),
            replaced: Vec::new(),
            health: StateHealth::default(),
            last: Outcome::default(),
            last_error: None,
        }
    }

    /// Returns the clock that everything goes by.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Returns where what is served is found.
    pub fn served(&self) -> &Arc<ArcSwap<Snapshot>> {
        &self.served
    }

    /// Returns where the state of all this is posted.
    pub fn board(&self) -> &Arc<ArcSwap<Board>> {
        &self.board
    }

    /// Returns the last good configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns every path that the last reading looked at, found or not.
    pub fn visited(&self) -> &BTreeSet<PathBuf> {
        &self.visited
    }

    /// Returns what became of the last time that files were taken in.
    pub fn last(&self) -> &Outcome {
        &self.last
    }

    /// Reads the files again and publishes what has changed.
    pub fn reload(&mut self, request: &Request) -> Outcome {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let loaded = load::load(&self.path, Some(&self.kept), &mut sources, &mut report);
        self.visited = sources.visited().clone();
        let findings = report.render(&sources, false);
        let mut outcome = self.outcome(&request.by, findings, !report.has_errors());
        match loaded {
            Some(loaded) => self.take_in(loaded, request, &mut outcome),
            None => outcome.hold("everything", "a shared file is refused, see the findings"),
        }
        self.conclude(outcome)
    }

    /// Does what is due: to be called once a second.
    ///
    /// Returns what became of tables that were scheduled, if there were any,
    /// or of another attempt to write.
    pub fn tick(&mut self) -> Option<Outcome> {
        let now = self.clock.now().second();
        self.forget_settled(now);
        if self.health.write_error.is_some() && now >= self.last.at + RETRY {
            return Some(
                self.reload(&Request { by: "another attempt".into(), ..Request::default() }),
            );
        }
        let due = |zone: &KeptZone| zone.scheduled.as_ref().is_some_and(|next| next.begin <= now);
        self.kept.zones.values().any(|zone| due(zone)).then(|| self.publish_scheduled(now))
    }

    /// Says whether some network may still change over.
    pub fn is_in_handover(&self) -> bool {
        let now = self.clock.now().second();
        self.kept.zones.values().any(|zone| zone.timeline.is_in_handover(now))
    }

    /// Posts that a request ended in a panic: a bug, not an input.
    pub fn note_panic(&mut self, by: &str) -> Outcome {
        let mut outcome = self.outcome(by, String::new(), true);
        outcome.hold("everything", "the server has a bug: it panicked, see the log");
        self.conclude(outcome)
    }

    fn outcome(&self, by: &str, findings: String, is_whole: bool) -> Outcome {
        let at = self.clock.now().second();
        Outcome { at, by: by.to_owned(), findings, is_whole, ..Outcome::default() }
    }

    /// Posts what became of a request.
    fn conclude(&mut self, mut outcome: Outcome) -> Outcome {
        outcome.generation = self.kept.generation;
        if !outcome.is_whole {
            self.last_error = Some(outcome.clone());
        }
        self.last = outcome.clone();
        self.post();
        outcome
    }

    fn post(&self) {
        self.board.store(Arc::new(Board {
            kept: self.kept.clone(),
            last: self.last.clone(),
            last_error: self.last_error.clone(),
            health: self.health.clone(),
            retired: self.retired.clone(),
        }));
    }

    //--- What is to be published

    fn take_in(&mut self, loaded: Loaded, request: &Request, outcome: &mut Outcome) {
        let most = loaded.config.handover.most_moved;
        let (old, new) = (&self.kept.shared.map, &loaded.shared.map);
        if !request.force
            && let Some(why) = guard::moved(old, new, most)
        {
            return outcome.hold("everything", why);
        }
        let mut edits = Vec::new();
        for zone in &loaded.zones {
            if request.concerns(zone.zone.origin()) {
                match self.edit(zone, &loaded, request) {
                    Ok(all) => edits.extend(all),
                    Err(why) => outcome.hold(zone.zone.origin(), why),
                }
            }
        }
        edits.extend(self.missing(&loaded, request, outcome));
        let settings = loaded.settings;
        let handover = &loaded.config.handover;
        if self.publish(&loaded.shared, &edits, (handover, settings), request.now, outcome) {
            self.note_restart(&loaded.config, outcome);
            self.config = loaded.config;
            self.regions = Some(loaded.regions);
        }
    }

    /// Returns what is to become of a zone, or why it is held back.
    fn edit(
        &self,
        loaded: &LoadedZone,
        all: &Loaded,
        request: &Request,
    ) -> Result<Vec<Edit>, String> {
        let origin = loaded.zone.origin();
        let candidate = Candidate {
            zone: loaded.zone.clone(),
            tables: loaded.tables.clone(),
            modified: loaded.modified,
            effective: loaded.effective,
            keeps_schedule: false,
        };
        let edit = |candidate| Edit { origin: origin.clone(), candidate: Some(candidate) };
        let Some(kept) = self.kept.zones.get(origin) else {
            let held = guard::takes_over(&self.kept, origin).filter(|_| !request.now);
            return held.map_or(Ok(vec![edit(candidate)]), Err);
        };
        let newest = &kept.timeline.newest().zone;
        let most = all.config.handover.most_moved;
        if !request.force
            && let Some(why) = guard::shrunk(newest, &loaded.zone, most)
        {
            return Err(why);
        }
        let now = self.clock.now().second();
        let Some(effective) = loaded.effective.filter(|time| *time > now && !request.now) else {
            return Ok(vec![edit(candidate)]);
        };
        let meanwhile = self.meanwhile(kept, loaded, &all.regions).map_err(|why| {
            format!(
                "the priority table that stays in force for {} s does not fit the other \
                 tables: {why}",
                effective - now
            )
        })?;
        Ok(vec![edit(meanwhile), edit(candidate)])
    }

    /// Returns what a zone is until a scheduled priority table takes effect:
    /// its other tables, with the priority table of now.
    fn meanwhile(
        &self,
        kept: &KeptZone,
        loaded: &LoadedZone,
        regions: &RegionTable,
    ) -> Result<Candidate, String> {
        let newest = &kept.timeline.newest().zone;
        let tables = with_priorities_of(&loaded.tables, &kept.tables);
        let is_unchanged = tables == *kept.tables && self.has_same_regions(regions);
        let zone = match is_unchanged {
            true => newest.clone(),
            false => compile_texts(&tables, regions, newest.serial())?,
        };
        Ok(Candidate {
            zone,
            tables: Arc::new(tables),
            modified: loaded.modified,
            effective: None,
            keeps_schedule: true,
        })
    }

    /// Says whether zones compiled with a region table are as they were.
    fn has_same_regions(&self, regions: &RegionTable) -> bool {
        let names = |table: &RegionTable| -> Vec<String> {
            table.regions.iter().map(|region| region.name.clone()).collect()
        };
        self.regions.as_ref().is_some_and(|known| names(known) == names(regions))
    }

    /// Returns the zones that are to be served no longer, and holds back what
    /// is not there to be read.
    fn missing(&self, loaded: &Loaded, request: &Request, outcome: &mut Outcome) -> Vec<Edit> {
        let read: BTreeSet<&Name> = loaded.zones.iter().map(|zone| zone.zone.origin()).collect();
        let mut edits = Vec::new();
        for (origin, zone) in &self.kept.zones {
            if read.contains(origin) || !request.concerns(origin) {
                continue;
            }
            let folder = &zone.tables.path;
            if loaded.folders.contains(folder) {
                outcome.hold(origin, "its tables are refused, see the findings");
            } else if request.force {
                edits.push(Edit { origin: origin.clone(), candidate: None });
            } else {
                let folder = folder.display();
                outcome.hold(
                    origin,
                    format!("{folder} is gone; `trunkdns reload --force` stops serving it"),
                );
            }
        }
        for name in &request.zones {
            if !read.contains(name) && !self.kept.zones.contains_key(name) {
                outcome.hold(name, "there is no such zone");
            }
        }
        edits
    }

    /// Publishes tables whose time has come, as they were read.
    fn publish_scheduled(&mut self, now: u64) -> Outcome {
        let mut outcome = self.outcome("`effective`", String::new(), true);
        let mut edits = Vec::new();
        let mut kept = (*self.kept).clone();
        for (origin, zone) in &mut kept.zones {
            let Some(scheduled) = zone.scheduled.clone().filter(|next| next.begin <= now) else {
                continue;
            };
            let serial = zone.timeline.newest().zone.serial();
            let compiled = match &self.regions {
                Some(regions) => compile_texts(&scheduled.tables, regions, serial),
                None => Err("this release cannot read the region table that was kept".to_owned()),
            };
            match compiled {
                Ok(zone) => {
                    let candidate = Candidate {
                        zone,
                        tables: scheduled.tables,
                        modified: now,
                        effective: Some(scheduled.effective),
                        keeps_schedule: false,
                    };
                    edits.push(Edit { origin: origin.clone(), candidate: Some(candidate) });
                }
                Err(why) => {
                    outcome.hold(origin, format!("its scheduled tables do not fit: {why}"));
                    let later = state::Scheduled { begin: now + RETRY, ..scheduled };
                    Arc::make_mut(zone).scheduled = Some(later);
                }
            }
        }
        self.kept = Arc::new(kept);
        let (shared, handover) = (self.kept.shared.clone(), self.config.handover.clone());
        let settings = self.settings.clone();
        self.publish(&shared, &edits, (&handover, settings), false, &mut outcome);
        self.conclude(outcome)
    }

    //--- Publishing

    /// Keeps edits on the disk and swaps them in; says whether that is done.
    fn publish(
        &mut self,
        shared: &Arc<Shared>,
        edits: &[Edit],
        (handover, settings): (&Handover, Settings),
        now: bool,
        outcome: &mut Outcome,
    ) -> bool {
        let changes = Changes::default();
        let has_new_settings = self.settings != settings;
        let mut ahead = 1;
        loop {
            let order = order(handover, self.clock.now().second(), ahead, now);
            let mut draft = Draft::new(&self.kept, shared, edits, order, &changes);
            let is_published = draft.is_published || has_new_settings;
            if is_published {
                draft.kept.generation += 1;
                draft.kept.time = draft.kept.time.max(order.published);
            }
            if (draft.is_new || is_published) && !self.save(&draft.kept, outcome) {
                return false;
            }
            // A version is published in a second that has not begun when it
            // is swapped in. Comparing and writing took longer than that:
            // once more, with more time ahead.
            if is_published && self.clock.now().second() >= order.published {
                ahead = ahead * 2 + 1;
                continue;
            }
            // Customers that stay keep their numbers.
            let policy = Arc::new(settings.policy.following(&self.settings.policy));
            self.settings = Settings { policy, ..settings };
            self.swap(draft.kept);
            outcome.lines = draft.lines;
            return true;
        }
    }

    /// Keeps something on the disk; says whether that is done.
    fn save(&mut self, kept: &Kept, outcome: &mut Outcome) -> bool {
        match self.state.save(kept) {
            Ok(()) => {
                self.health.write_error = None;
                true
            }
            Err(error) => {
                outcome.hold("everything", error.to_string());
                self.health.write_error = Some(error.to_string());
                self.health.write_errors += 1;
                false
            }
        }
    }

    /// Serves what is kept.
    fn swap(&mut self, kept: Kept) {
        let old = versions(&self.kept);
        self.kept = Arc::new(kept);
        let replaced = self.served.swap(Arc::new(snapshot(&self.kept, &self.settings)));
        self.replaced.push((self.clock.now().second(), replaced));
        let new: BTreeSet<_> = versions(&self.kept).iter().map(Arc::as_ptr).collect();
        self.retired.extend(old.into_iter().filter(|version| !new.contains(&Arc::as_ptr(version))));
    }

    /// Lets go of versions that nobody is answered from, once nobody can be
    /// again: afterwards the clock may be set.
    fn forget_settled(&mut self, now: u64) {
        self.replaced.retain(|(at, _)| now <= at + 1);
        let retired = self.retired.len();
        self.retired.retain(|version| version.last_expiry() > now);
        let has_settled = |zone: &KeptZone| {
            zone.timeline.entries().len() > zone.timeline.without_settled(now).entries().len()
        };
        if !self.kept.zones.values().any(|zone| has_settled(zone)) {
            if retired != self.retired.len() {
                self.post();
            }
            return;
        }
        let mut kept = (*self.kept).clone();
        for zone in kept.zones.values_mut().filter(|zone| has_settled(zone)) {
            let zone = Arc::make_mut(zone);
            zone.timeline = Arc::new(zone.timeline.without_settled(now));
        }
        kept.time = kept.time.max(now);
        // If it cannot be written, a restart comes to the same by itself.
        if let Err(error) = self.state.save(&kept) {
            tracing::warn!("{error}");
        }
        self.swap(kept);
        self.post();
    }

    /// Says which keys of the configuration wait for a restart.
    fn note_restart(&self, new: &Config, outcome: &mut Outcome) {
        let addresses = |config: &Config| -> Vec<_> {
            config.server.listen.iter().map(|address| address.value).collect()
        };
        let changed = [
            ("listen", addresses(&self.config) != addresses(new)),
            ("state", self.config.server.state != new.server.state),
            ("control", self.config.admin.control != new.admin.control),
        ];
        for (key, _) in changed.iter().filter(|(_, is_changed)| *is_changed) {
            outcome.lines.push(format!("`{key}` has changed: it takes effect at the next start"));
        }
    }
}

impl Request {
    /// Says whether a zone is to be taken in.
    fn concerns(&self, origin: &Name) -> bool {
        self.zones.is_empty() || self.zones.contains(origin)
    }
}

//----------- Parts ----------------------------------------------------------

/// Returns what is served of what is kept.
fn snapshot(kept: &Kept, settings: &Settings) -> Snapshot {
    let timelines = kept.zones.values().map(|zone| zone.timeline.clone());
    Snapshot::new(kept.generation, settings.clone(), timelines)
}

/// Returns every version that somebody may be answered from.
fn versions(kept: &Kept) -> Vec<Arc<Version>> {
    let entries = kept.zones.values().flat_map(|zone| zone.timeline.entries());
    entries.map(|entry| entry.version.clone()).collect()
}

/// Returns how versions are published some seconds ahead.
fn order(handover: &Handover, now: u64, ahead: u64, immediate: bool) -> Order {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    Order {
        now,
        published: now + ahead,
        spread: seconds(handover.spread),
        longest: seconds(handover.longest),
        immediate: immediate || handover.mode == HandoverMode::Immediate,
        effective: None,
    }
}

/// Returns tables with the priority table of others.
fn with_priorities_of(tables: &Tables, others: &Tables) -> Tables {
    let find = |tables: &Tables| {
        let path = tables.path.join("priorities.toml");
        tables.files.iter().position(|(file, _)| *file == path)
    };
    let text = find(others).map(|at| others.files[at].1.clone());
    let mut tables = tables.clone();
    match (find(&tables), text) {
        (Some(at), Some(text)) => tables.files[at].1 = text,
        (Some(at), None) => drop(tables.files.remove(at)),
        (None, _) => {}
    }
    tables
}

/// Reads a file that was kept.
fn read_kept<T>(
    tables: &Tables,
    read: impl Fn(&mut Sources, &Path, &mut Report) -> Option<T>,
) -> Option<T> {
    let mut sources = Sources::of_texts(tables.files.iter().cloned());
    read(&mut sources, &tables.path, &mut Report::default())
}

//============ Errors ========================================================

/// Why a server cannot begin.
#[derive(Debug)]
pub enum Error {
    /// There is nothing to go on with, and the files have errors.
    Refused {
        /// What was found, for people.
        findings: String,
    },

    /// There is nothing to go on with, and the files cannot be published.
    Unpublished {
        /// Why.
        why: String,
    },

    /// The configuration has errors, and this release cannot read the last
    /// good one.
    NoConfig,

    /// The state folder cannot be used.
    State(state::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused { findings } => {
                write!(f, "{findings}nothing is served: mend the errors above, then start again")
            }
            Error::Unpublished { why } => write!(f, "nothing is served: {why}"),
            Error::NoConfig => f.write_str(
                "the configuration has errors (see `trunkdns check`), and the last good one cannot \
                 be read",
            ),
            Error::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::State(error) => Some(error),
            _ => None,
        }
    }
}
