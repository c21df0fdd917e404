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
//! files are then taken in like any edit. What operators say by command is in
//! `drains` and `rollback`.

mod drains;
mod meanwhile;
mod restart;
pub mod rollback;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustc_hash::FxHashSet;

use super::board::{Board, Outcome, StateHealth};
use super::handed_out::HandedOut;
use super::load::{self, Loaded, LoadedZone, compile_draining, read_kept};
use super::publish::{Candidate, Changes, Common, Draft, Edit};
use super::{drain, guard};
use crate::clock::{self, Clock};
use crate::config::model::{Config, Handover, HandoverMode, LogFile};
use crate::config::{self, Certificate};
use crate::diag::{Look, Report, Severity, Sources};
use crate::geo::RegionTable;
use crate::privileges::sandbox::Paths;
use crate::snapshot::{Moment, Order, Settings, Snapshot, Version, Zone};
use crate::state::{self, Found, Kept, KeptZone, Shared, State, Tables};
use crate::time::utc;
use crate::transport::Certificates;
use crate::wire::Name;

/// How long a failed write or a scheduled table that does not fit waits until
/// it is tried again, in seconds.
const RETRY: u64 = 10;

/// How long files that could not be taken in wait until they are read again
/// although nothing is seen of a change, in seconds.
const RETRY_BROKEN: u64 = 60;

//----------- Publisher ------------------------------------------------------

/// Changes what is served, one change after the other.
#[derive(Debug)]
pub struct Publisher {
    /// The configuration's file.
    path: PathBuf,

    clock: Arc<Clock>,
    served: Arc<ArcSwap<Snapshot>>,
    board: Arc<ArcSwap<Board>>,
    certificates: Arc<Certificates>,
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

    /// The configuration that the server started with: of some keys it goes on
    /// counting.
    started_with: Config,

    /// Every path that the last reading looked at, and what was there.
    looks: Arc<Vec<Look>>,

    /// When that reading began, by the system's clock, in seconds since the
    /// Unix epoch.
    since: u64,

    /// When to try again what could not be read or written, in seconds since
    /// the Unix epoch.
    retry_at: Option<u64>,

    /// When to try again to begin or end drains, in seconds since the Unix
    /// epoch.
    drain_again_at: Option<u64>,

    /// Versions that nobody is answered from any more, and of which copies
    /// may still be cached.
    retired: Vec<Arc<Version>>,

    /// What versions had handed out that are let go of.
    handed_out: Arc<HandedOut>,

    /// Snapshots that a worker may still be answering from, and when each was
    /// replaced, in seconds since the Unix epoch. Whoever lets go of one last
    /// frees it, which is not to be a worker.
    replaced: Vec<(u64, Arc<Snapshot>)>,

    /// When something was last said of the certificate's validity, in seconds
    /// since the Unix epoch.
    warned_at: u64,

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
        // Where the configuration is broken, what can be read of it may still
        // say where that is which was served last.
        let folder = config::read_places(path).state;
        if config.is_none() && !folder.exists() {
            return Err(Error::refused(report.render(&sources, false), None));
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
        let since = clock::wall().second();
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let loaded = load::load_and_lint(path, None, since, &mut sources, &mut report);
        let findings = report.render_errors(&sources);
        let looks = sources.take_looks();
        // The texts of all zones: they are not to be there beside the zones.
        drop(sources);
        let Some(loaded) = loaded.filter(|_| !report.has_errors()) else {
            return Err(Error::refused(findings, damaged));
        };
        let shared = loaded.shared.clone();
        let kept = Kept::new(shared);
        let health = StateHealth { damaged, ..StateHealth::default() };
        let (config, settings) = (loaded.config.clone(), loaded.settings.clone());
        let mut publisher = Self::new(path, state, kept, config, settings);
        publisher.health = health;
        publisher.since = since;
        publisher.looks = Arc::new(looks);
        let mut outcome = publisher.outcome("the start", findings, true);
        outcome.warnings = report.count(Severity::Warning);
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
        let certificate = load::read_certificate(&config, &mut sources, &mut report);
        let mut publisher = Self::new(path, state, kept, config, settings);
        publisher.certificates.serve(certificate);
        publisher.regions = read_kept(&publisher.kept.shared.regions, config::read_regions);
        let now = publisher.clock.now().second();
        if publisher.state.served() != Some(publisher.kept.generation) {
            publisher.publish_again(now);
        }
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
        let floor = floor(&kept);
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
            handed_out: Arc::default(),
        };
        Publisher {
            path: path.to_owned(),
            clock: Arc::new(Clock::new(wall.max(floor))),
            served: Arc::new(ArcSwap::from_pointee(kept.snapshot(&settings))),
            board: Arc::new(ArcSwap::from_pointee(board)),
            certificates: Arc::default(),
            state,
            kept,
            started_with: config.clone(),
            config,
            settings,
            regions: None,
            looks: Arc::default(),
            since: wall.second(),
            retry_at: None,
            drain_again_at: None,
            retired: Vec::new(),
            handed_out: Arc::default(),
            replaced: Vec::new(),
            warned_at: wall.second(),
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

    /// Returns where the certificate that is served is found.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Returns the last good configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns every path that the last reading looked at, found or not, and
    /// what was there right before.
    pub fn looks(&self) -> &Arc<Vec<Look>> {
        &self.looks
    }

    /// Returns the paths that later readings may look at, as far as they are
    /// known: those of the last good files, of which the first reading may have
    /// seen none.
    pub fn paths(&self) -> Paths {
        let Config { server, encrypted, geoip, zones, admin, log, .. } = &self.config;
        let secrets = server.cookie_secrets.iter().chain(&geoip.databases);
        let clouds = self.regions.iter().flat_map(|regions| &regions.clouds);
        let named = secrets.chain(clouds.map(|cloud| &cloud.path)).map(|path| &path.value);
        let named = named.chain([&self.path, &geoip.regions, &zones.directory]);
        let pair = encrypted.iter().flat_map(|pair| [&pair.certificate.value, &pair.key.value]);
        let named = named.chain(pair);
        // A zone's files are below a folder that is named, unless links lead
        // elsewhere, and so are those of ten thousand.
        let is_elsewhere = |look: &&Look| {
            let path = look.path.as_os_str().as_bytes();
            look.trace.is_link()
                || !look.path.starts_with(&zones.directory)
                || path.windows(4).any(|part| part == b"/../")
        };
        let looks = self.looks.iter().filter(is_elsewhere).map(|look| look.path.to_path_buf());
        let read = named.cloned().chain(looks).collect();
        let (state, control) = (server.state.clone(), admin.control.clone());
        let log = log.file.as_ref().and_then(LogFile::path).cloned();
        Paths { read, state, control, log, ..Paths::default() }
    }

    /// Returns when that reading began, by the system's clock, in seconds since
    /// the Unix epoch.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Returns what became of the last time that files were taken in.
    pub fn last(&self) -> &Outcome {
        &self.last
    }

    /// Reads the files again and publishes what has changed.
    pub fn reload(&mut self, request: &Request) -> Outcome {
        let since = clock::wall().second();
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let known = Some(&*self.kept);
        let loaded = load::load_and_lint(&self.path, known, since, &mut sources, &mut report);
        (self.looks, self.since) = (Arc::new(sources.take_looks()), since);
        // Whoever names zones is told of these, and of what all share.
        let is_whole = !report.has_errors() || !request.zones.is_empty();
        let mut outcome = self.outcome(&request.by, report.render_errors(&sources), is_whole);
        outcome.warnings = report.count(Severity::Warning);
        drop(sources);
        match loaded {
            Some(loaded) => self.take_in(loaded, request, &mut outcome),
            None => outcome.hold("everything", "a shared file is refused, see the findings"),
        }
        if request.zones.is_empty() {
            // A repaired file is noticed; what the system refused may come
            // back without a trace.
            let pause = if self.health.write_error.is_some() { RETRY } else { RETRY_BROKEN };
            self.retry_at = (!outcome.is_whole).then(|| outcome.at + pause);
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
        self.warn_of_certificate(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            let before = self.last.clone();
            let request = Request { by: "another attempt".into(), ..Request::default() };
            let outcome = self.reload(&request);
            return Some(outcome).filter(|outcome| !outcome.says_the_same(&before));
        }
        if self.clock.deviation(clock::wall()) <= -1000 {
            // The clock is ahead because of a handover, and will be set back.
            return None;
        }
        let may_drain = self.drain_again_at.is_none_or(|at| at <= now);
        if may_drain && self.kept.drains.values().any(|drain| drain.is_due(now)) {
            self.drain_again_at = None;
            return Some(self.publish_due_drains(now));
        }
        let due = |zone: &KeptZone| zone.scheduled.as_ref().is_some_and(|next| next.begin <= now);
        self.kept.zones.values().any(|zone| due(zone)).then(|| self.publish_scheduled(now))
    }

    /// Says in the log once a day what is the matter with the certificate: that
    /// time passes changes no file.
    fn warn_of_certificate(&mut self, now: u64) {
        /// In seconds.
        const PAUSE: u64 = 86_400;
        if now < self.warned_at + PAUSE {
            return;
        }
        self.warned_at = now;
        if let Some(note) = self.certificates.served().and_then(|served| served.note(now)) {
            tracing::warn!("{note}");
        }
    }

    /// Says whether some network may still change over.
    pub fn is_in_handover(&self) -> bool {
        // Timelines that have settled count until they are cut: by a clock
        // that is set back they would not have.
        self.kept.zones.values().any(|zone| zone.timeline.entries().len() > 1)
    }

    /// Takes note that the clock was set back.
    pub fn note_step_back(&self) {
        let now = self.clock.now().second();
        for version in versions(&self.kept).iter().chain(&self.retired) {
            version.limit_expiries(now);
        }
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
            handed_out: self.handed_out.clone(),
        }));
    }

    //--- What is to be published

    fn take_in(&mut self, mut loaded: Loaded, request: &Request, outcome: &mut Outcome) {
        self.take_certificate(&loaded, outcome);
        let stays = (!request.force)
            .then(|| guard::keep_map(&self.kept, &mut loaded, self.regions.as_ref()))
            .flatten();
        let is_map_skipped = stays.is_some();
        outcome.notes.extend(stays);
        let most = loaded.config.handover.most_moved;
        let (old, new) = (&self.kept.shared.map, &loaded.shared.map);
        if !request.force
            && let Some(why) = guard::moved(old, new, most)
        {
            return outcome.hold("everything", why);
        }
        let mut settings = loaded.settings.clone();
        if settings.client_subnet != self.settings.client_subnet && !request.now {
            settings.client_subnet = self.settings.client_subnet;
            outcome.hold(
                "`client-subnet`",
                "it changes answers without a handover; `trunkdns reload --now` does it",
            );
        }
        let mut edits = Vec::new();
        let concerned = |zone: &&LoadedZone| request.concerns(zone.zone.origin());
        for zone in loaded.zones.iter().filter(concerned) {
            let known = self.known(zone);
            if let Some(known) = known {
                if is_served(known, zone, &loaded.shared) {
                    continue;
                }
                let skipped = guard::rolled_back(known, zone).filter(|_| !request.force);
                if let Some(why) = skipped {
                    outcome.notes.push(why);
                    continue;
                }
                let leaving = drain::leaving(known, &zone.zone);
                outcome.notes.extend(leaving.map(|name| drain::leaves(&name, known)));
            }
            match self.edit(zone, known, &loaded, request) {
                Ok(all) => edits.extend(all),
                Err(why) => outcome.hold(zone.zone.origin(), why),
            }
        }
        edits.extend(self.missing(&loaded, request, outcome));
        let (shared, drains) = (loaded.shared.clone(), self.kept.drains.clone());
        let skipped = self.kept.skipped.filter(|_| is_map_skipped);
        let next = Next {
            what: "reload".into(),
            common: Common { shared, skipped, drains },
            handover: loaded.config.handover.clone(),
            settings,
        };
        if self.publish(&edits, next, outcome) {
            restart::note(&self.started_with, &loaded.config, outcome);
            self.config = loaded.config;
            self.regions = Some(loaded.regions);
        }
    }

    /// Returns what is to become of a zone, or why it is held back.
    fn edit(
        &self,
        loaded: &LoadedZone,
        known: Option<&Arc<KeptZone>>,
        all: &Loaded,
        request: &Request,
    ) -> Result<Vec<Edit>, String> {
        let origin = loaded.zone.origin();
        let now = self.clock.now().second();
        let always = all.config.handover.mode == HandoverMode::Immediate;
        let effective = loaded.effective.filter(|time| *time > now);
        let candidate = Candidate {
            zone: loaded.zone.clone(),
            tables: loaded.tables.clone(),
            drained: loaded.drained.clone(),
            skips: None,
            // A file that was written in the future is not to take the serial
            // there. Serials are numbers of 32 bits: in 2106 they begin anew.
            stamp: loaded.effective.unwrap_or(loaded.modified.min(now)),
            effective: None,
            immediate: always || request.now,
            keeps_schedule: false,
        };
        let edit = |candidate| Edit { origin: origin.clone(), candidate: Some(candidate) };
        let Some(kept) = known else {
            let held = guard::takes_over(&self.kept, origin).filter(|_| !request.now);
            return held.map_or(Ok(vec![edit(candidate)]), Err);
        };
        if !request.force
            && let Some(why) = guard::accident(kept, loaded, all, self.regions.as_ref())
        {
            return Err(why);
        }
        let Some(effective) = effective else { return Ok(vec![edit(candidate)]) };
        // What there is no priority table for now cannot wait for its time.
        if meanwhile::priorities_of(&kept.tables, &meanwhile::files(&kept.tables)?).is_none() {
            return Ok(vec![edit(candidate)]);
        }
        let meanwhile = self.meanwhile(kept, loaded, &all.regions).map_err(|why| {
            format!(
                "the priority table that stays in force for {} s does not fit the other \
                 tables: {why}",
                effective - now
            )
        })?;
        let meanwhile = Candidate { immediate: candidate.immediate, ..meanwhile };
        // What is to take effect at its time is not meant by "now".
        let candidate = Candidate { effective: Some(effective), immediate: always, ..candidate };
        Ok(vec![edit(meanwhile), edit(candidate)])
    }

    /// Returns what is kept of a zone, if it is known.
    fn known<'k>(&'k self, zone: &'k LoadedZone) -> Option<&'k Arc<KeptZone>> {
        // Comparing names to find ten thousand takes some milliseconds.
        zone.kept.as_ref().or_else(|| self.kept.zones.get(zone.zone.origin()))
    }

    /// Returns the zones that are to be served no longer, and holds back what
    /// is not there to be read.
    fn missing(&self, loaded: &Loaded, request: &Request, outcome: &mut Outcome) -> Vec<Edit> {
        let known = loaded.zones.iter().filter(|zone| self.known(zone).is_some());
        if known.count() == self.kept.zones.len() {
            // Nearly always none is missing.
            return Vec::new();
        }
        let zones = || loaded.zones.iter();
        let read: FxHashSet<&Name> = zones().map(|zone| zone.zone.origin()).collect();
        let taken: HashSet<&Path> = zones().map(|zone| &*zone.tables.path).collect();
        let are_all_gone = loaded.zones.is_empty() && loaded.folders.is_empty();
        let mut edits = Vec::new();
        for (origin, zone) in &self.kept.zones {
            if read.contains(origin) || !request.concerns(origin) {
                continue;
            }
            let folder = &zone.tables.path;
            let holds_another = taken.contains(&**folder);
            let is_refused = loaded.folders.contains(folder) && !holds_another;
            if are_all_gone && request.force && request.zones.is_empty() {
                outcome.hold(
                    origin,
                    "no zone folder is left; `trunkdns reload --force ZONE` stops serving one",
                );
            } else if request.force && !is_refused {
                edits.push(Edit { origin: origin.clone(), candidate: None });
            } else {
                outcome.hold(origin, guard::missing(zone, loaded));
            }
        }
        for name in &request.zones {
            if !read.contains(name) && !self.kept.zones.contains_key(name) {
                outcome.hold(name, "there is no such zone, or its tables are refused");
            }
        }
        edits
    }

    /// Puts the certificate into service that was read, or holds it back.
    fn take_certificate(&self, loaded: &Loaded, outcome: &mut Outcome) {
        if loaded.config.encrypted.is_none() {
            // Sockets that are open until the next start go on with what is
            // served.
            return;
        }
        let served = self.certificates.served();
        let is_same = |new: &Certificate| served.as_ref().is_some_and(|old| old.is_same(new));
        match &loaded.certificate {
            Some(new) if is_same(new) => {}
            Some(new) => {
                let until = utc(new.expires());
                outcome.lines.push(format!("the certificate is new: valid until {until}"));
                self.certificates.serve(Some(new.clone()));
            }
            None if served.is_some() => outcome.hold(
                "the certificate",
                "certificate or key are refused, see the findings; the ones before stay in service",
            ),
            None => outcome.hold(
                "the certificate",
                "certificate or key are refused, see the findings; encrypted connections fail",
            ),
        }
    }

    /// Publishes tables whose time has come, as they were read.
    fn publish_scheduled(&mut self, now: u64) -> Outcome {
        let mut outcome = self.outcome("`effective`", String::new(), true);
        let mut edits = Vec::new();
        let mut kept = (*self.kept).clone();
        let drained = kept.drained();
        for (origin, zone) in &mut kept.zones {
            let Some(scheduled) = zone.scheduled.clone().filter(|next| next.begin <= now) else {
                continue;
            };
            let serial = zone.timeline.newest().zone.serial();
            match self.compile(&scheduled.tables, serial, &drained) {
                Ok((zone, drained)) => {
                    let candidate = Candidate {
                        zone,
                        tables: scheduled.tables,
                        drained,
                        skips: None,
                        stamp: scheduled.effective,
                        effective: Some(scheduled.effective),
                        immediate: self.config.handover.mode == HandoverMode::Immediate,
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
        self.publish(&edits, self.as_before("schedule"), &mut outcome);
        self.conclude(outcome)
    }

    /// Compiles tables that were kept, with endpoints drained.
    fn compile(
        &self,
        tables: &Tables,
        serial: u32,
        drained: &BTreeSet<Name>,
    ) -> Result<(Arc<Zone>, Arc<BTreeSet<Name>>), String> {
        let regions = self.regions.as_ref();
        let regions =
            regions.ok_or("this release cannot read the region table that was kept".to_owned())?;
        compile_draining(tables, regions, serial, drained)
    }

    /// Returns what is served and not edited, as it is.
    fn as_before(&self, what: impl Into<String>) -> Next {
        let Kept { shared, skipped, drains, .. } = &*self.kept;
        let (shared, skipped, drains) = (shared.clone(), *skipped, drains.clone());
        Next {
            what: what.into(),
            common: Common { shared, skipped, drains },
            handover: self.config.handover.clone(),
            settings: self.settings.clone(),
        }
    }

    //--- Publishing

    /// Keeps edits on the disk and swaps them in; says whether that is done.
    fn publish(&mut self, edits: &[Edit], next: Next, outcome: &mut Outcome) -> bool {
        let Next { what, common, handover, settings } = next;
        let changes = Changes::default();
        changes.prepare(&self.kept, &common.shared, edits);
        let has_new_settings = self.settings != settings;
        let mut ahead = 1;
        loop {
            let order = order(&handover, self.clock.now().second(), ahead);
            let mut draft = Draft::new(&self.kept, &common, edits, order, &changes);
            let is_published = draft.is_published || has_new_settings;
            if is_published {
                draft.kept.generation += 1;
                draft.kept.time = order.published;
            }
            // A version is published in a second that has not begun when it
            // is swapped in. Where comparing or writing takes longer than
            // that: once more, with more time ahead. Before the first version
            // nobody was answered anything else, and it takes the longest.
            let is_first = self.kept.generation == 0;
            let is_late = |clock: &Clock| {
                is_published && !is_first && clock.now().second() >= order.published
            };
            if !is_late(&self.clock) {
                let publication = is_published.then(|| state::Publication {
                    by: outcome.by.clone(),
                    what: what.clone(),
                    lines: draft.lines.clone(),
                    zones: draft.zones.clone(),
                    keep_since: order.now.saturating_sub(self.config.server.keep.as_secs()),
                });
                let is_new = draft.is_new || is_published;
                if is_new && !self.save(&draft.kept, publication.as_ref(), outcome) {
                    return false;
                }
                if !is_late(&self.clock) {
                    // Customers that stay keep their numbers.
                    let policy = Arc::new(settings.policy.following(&self.settings.policy));
                    self.settings = Settings { policy, ..settings };
                    if is_published {
                        self.swap(draft.kept);
                        self.state.note_served(self.kept.generation);
                    } else {
                        self.kept = Arc::new(draft.kept);
                    }
                    outcome.lines = draft.lines;
                    return true;
                }
            }
            ahead = ahead * 2 + 1;
        }
    }

    /// Keeps something on the disk; says whether that is done.
    fn save(
        &mut self,
        kept: &Kept,
        publication: Option<&state::Publication>,
        outcome: &mut Outcome,
    ) -> bool {
        match self.state.save(kept, publication) {
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

    /// Moves on what was kept and perhaps never served: the server was killed
    /// before it could swap it in, or to note that it had. Until then clients
    /// were answered as before.
    fn publish_again(&mut self, now: u64) {
        let mut kept = (*self.kept).clone();
        for zone in kept.zones.values_mut() {
            if let Some(timeline) = zone.timeline.with_newest_published(kept.time, now + 1) {
                Arc::make_mut(zone).timeline = Arc::new(timeline);
            }
        }
        self.swap(kept);
    }

    /// Serves what is kept.
    fn swap(&mut self, kept: Kept) {
        let old = std::mem::replace(&mut self.kept, Arc::new(kept));
        let replaced = self.served.swap(Arc::new(self.kept.snapshot(&self.settings)));
        self.replaced.push((self.clock.now().second(), replaced));
        self.retired.extend(retired(&old, &self.kept));
    }

    /// Lets go of versions that nobody is answered from, once nobody can be
    /// again: afterwards the clock may be set.
    fn forget_settled(&mut self, now: u64) {
        self.replaced.retain(|(at, _)| now <= at + 1);
        let retired = self.retired.len();
        for version in self.retired.extract_if(.., |version| version.last_expiry() <= now) {
            Arc::make_mut(&mut self.handed_out).keep(&version);
        }
        let has_settled = |zone: &KeptZone| zone.timeline.has_settled(now);
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
        kept.time = now;
        // If it cannot be written, a restart comes to the same by itself.
        if let Err(error) = self.state.save(&kept, None) {
            tracing::warn!("{error}");
        }
        self.swap(kept);
        self.post();
    }
}

impl Request {
    /// Says whether another request is for the same, whoever makes it.
    pub fn asks_the_same(&self, other: &Request) -> bool {
        (self.now, self.force, &self.zones) == (other.now, other.force, &other.zones)
    }

    /// Says whether a zone is to be taken in.
    fn concerns(&self, origin: &Name) -> bool {
        self.zones.is_empty() || self.zones.contains(origin)
    }
}

//----------- Parts ----------------------------------------------------------

/// What is to be served beside zones.
struct Next {
    /// What it is called in the history.
    what: String,

    common: Common,
    handover: Handover,
    settings: Settings,
}

/// Returns every version that somebody may be answered from.
fn versions(kept: &Kept) -> Vec<Arc<Version>> {
    kept.zones.values().flat_map(|zone| versions_of(zone)).cloned().collect()
}

fn versions_of(zone: &KeptZone) -> impl Iterator<Item = &Arc<Version>> {
    zone.timeline.entries().iter().map(|entry| &entry.version)
}

/// Returns the versions that somebody was answered from and nobody will be
/// again.
fn retired(old: &Kept, new: &Kept) -> Vec<Arc<Version>> {
    // Of ten thousand zones most are the very same: both are walked in the
    // order of names, as looking each up would take as long as all the rest.
    let mut others = new.zones.iter().peekable();
    let changed = old.zones.iter().map(move |(name, zone)| {
        while others.next_if(|(other, _)| *other < name).is_some() {}
        (zone, others.next_if(|(other, _)| *other == name).map(|(_, zone)| zone))
    });
    let changed = changed
        .filter(|(zone, new)| new.is_none_or(|new| !Arc::ptr_eq(&new.timeline, &zone.timeline)));
    let retired = changed.flat_map(|(zone, new)| {
        let stays = move |version: &Arc<Version>| {
            new.is_some_and(|new| versions_of(new).any(|new| Arc::ptr_eq(new, version)))
        };
        versions_of(zone).filter(move |version| !stays(version))
    });
    retired.cloned().collect()
}

/// Returns how versions are published some seconds ahead.
fn order(handover: &Handover, now: u64, ahead: u64) -> Order {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    Order {
        now,
        published: now + ahead,
        spread: seconds(handover.spread),
        longest: seconds(handover.longest),
        immediate: handover.mode == HandoverMode::Immediate,
        effective: None,
    }
}

/// Returns the time before which a server that goes on with what was kept
/// does not begin.
///
/// Only a handover that is under way depends on time not going back.
fn floor(kept: &Kept) -> Moment {
    let is_in_handover = |zone: &Arc<KeptZone>| zone.timeline.entries().len() > 1;
    match kept.zones.values().any(is_in_handover) {
        true => Moment(kept.time * 1000),
        false => Moment(0),
    }
}

/// Says whether a zone that was not read again is in force for everybody:
/// then there is nothing to be published, to be hastened or to be noted.
fn is_served(kept: &KeptZone, loaded: &LoadedZone, shared: &Shared) -> bool {
    let newest = kept.timeline.newest();
    Arc::ptr_eq(&kept.tables, &loaded.tables)
        && Arc::ptr_eq(&newest.zone, &loaded.zone)
        && Arc::ptr_eq(&newest.map, &shared.map)
        && kept.timeline.entries().len() == 1
        && kept.scheduled.is_none()
}

//============ Errors ========================================================

/// Why a server cannot begin.
#[derive(Debug)]
pub enum Error {
    /// There is nothing to go on with, and the files have errors.
    Refused {
        /// What was found, for people.
        findings: String,
        /// What is the matter with the state folder, if anything is.
        damaged: Option<String>,
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

impl Error {
    fn refused(findings: String, damaged: Option<String>) -> Self {
        Error::Refused { findings, damaged }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused { findings, damaged } => {
                f.write_str(findings)?;
                if let Some(why) = damaged {
                    writeln!(f, "there is no last good state: it is damaged: {why}")?;
                }
                f.write_str("nothing is served: mend the errors above, then start again")
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
