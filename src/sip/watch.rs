//! Asking many targets, once or again and again, and what is shown of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::exchange::{Observation, Settings, probe};
use super::health::{Health, HealthCheck, Verdict};
use super::targets::{Target, Unasked};

/// How many targets are asked at once.
///
/// Each waits for its answer most of the time; more of them at once look like
/// a scan to whoever watches the network.
const AT_ONCE_MAX: usize = 64;

//----------- Watch ----------------------------------------------------------

/// Targets with what is known of them.
#[derive(Debug)]
pub struct Watch {
    /// The targets, in the order in which they are shown.
    pub targets: Vec<Watched>,

    /// What cannot be asked.
    pub unasked: Vec<Unasked>,

    /// By which rules the platform decides.
    pub check: HealthCheck,

    settings: Arc<Settings>,
}

/// A target with what is known of it.
#[derive(Debug)]
pub struct Watched {
    /// The target.
    pub target: Target,

    /// Whether it gets calls.
    pub health: Health,

    /// What came of the last request.
    pub last: Option<Observation>,

    /// How often each verdict came.
    verdicts: BTreeMap<Verdict, u32>,

    /// What the last round changed: the verdict before, and whether it got
    /// calls before.
    before: Option<(Verdict, bool)>,
}

impl Watch {
    /// Begins to watch targets that nobody has asked yet: they count as in
    /// service.
    pub fn new(
        (targets, unasked): (Vec<Target>, Vec<Unasked>),
        check: HealthCheck,
        settings: Settings,
    ) -> Self {
        let watched = |target| Watched {
            target,
            health: Health::default(),
            last: None,
            verdicts: BTreeMap::new(),
            before: None,
        };
        let targets = targets.into_iter().map(watched).collect();
        Watch { targets, unasked, check, settings: Arc::new(settings) }
    }

    /// Asks every target once. It runs on a `LocalSet` of tokio's.
    pub async fn round(&mut self) -> Result<(), String> {
        let permits = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let mut tasks = JoinSet::new();
        for (at, watched) in self.targets.iter().enumerate() {
            let mut random = [0; 24];
            getrandom::fill(&mut random).map_err(|error| format!("no random octets: {error}"))?;
            let (target, permits) = (watched.target.clone(), permits.clone());
            let settings = self.settings.clone();
            tasks.spawn_local(async move {
                let _permit = permits.acquire().await;
                (at, probe(&target, &settings, random).await)
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (at, observation) = done.map_err(|error| format!("a task failed: {error}"))?;
            self.targets[at].note(observation, &self.check);
        }
        Ok(())
    }

    /// Says whether every target was healthy the last time, and gets calls.
    pub fn is_well(&self) -> bool {
        let is_well = |watched: &Watched| {
            watched.verdict() == Some(Verdict::Healthy) && watched.health.is_in_service()
        };
        !self.targets.is_empty() && self.targets.iter().all(is_well)
    }

    /// Says whether every certificate seen is valid for so many more days.
    pub fn has_days_left(&self, days: i64) -> bool {
        let mut certificates = self
            .targets
            .iter()
            .filter_map(|watched| watched.last.as_ref().and_then(|last| last.certificate.as_ref()));
        certificates.all(|certificate| certificate.days_left >= days)
    }
}

impl Watched {
    fn note(&mut self, observation: Observation, check: &HealthCheck) {
        self.before = self.verdict().map(|verdict| (verdict, self.health.is_in_service()));
        self.health = self.health.note(observation.verdict, check);
        *self.verdicts.entry(observation.verdict).or_default() += 1;
        self.last = Some(observation);
    }

    fn verdict(&self) -> Option<Verdict> {
        self.last.as_ref().map(|last| last.verdict)
    }

    /// Returns the endpoint as the zone's tables write it.
    fn endpoint(&self) -> &str {
        let (endpoint, zone) = (&self.target.endpoint, &self.target.zone);
        let relative = endpoint.strip_suffix(zone).and_then(|name| name.strip_suffix('.'));
        relative.unwrap_or(endpoint)
    }
}

//----------- Text -----------------------------------------------------------

impl Watch {
    /// Returns a table of all targets, by zone.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let column =
            |of: &dyn Fn(&Watched) -> usize| self.targets.iter().map(of).max().unwrap_or(0);
        let widths = Widths {
            endpoint: column(&|watched| watched.endpoint().len()),
            service: column(&|watched| watched.target.service.len()),
            address: column(&|watched| watched.target.address.to_string().len()),
        };
        for zone in self.targets.chunk_by(|a, b| a.target.zone == b.target.zone) {
            let _ = writeln!(out, "{}", zone[0].target.zone);
            for watched in zone {
                let _ = watched.row(&widths, &mut out);
            }
        }
        for unasked in &self.unasked {
            let Unasked { endpoint, service, why } = unasked;
            let _ = writeln!(out, "not asked: {endpoint} ({service}): {why}");
        }
        out
    }

    /// Returns a line for each target whose verdict or service the last round
    /// changed; `elapsed` is since the first.
    pub fn changes(&self, elapsed: Duration) -> String {
        let mut out = String::new();
        let seconds = elapsed.as_secs();
        for watched in &self.targets {
            let (Some(last), Some((verdict, was))) = (&watched.last, watched.before) else {
                continue;
            };
            let is = watched.health.is_in_service();
            if last.verdict == verdict && is == was {
                continue;
            }
            let Target { service, address, .. } = &watched.target;
            let (endpoint, what) = (watched.endpoint(), last.short());
            let moved = match (was, is) {
                (true, false) => "; out of service",
                (false, true) => "; back in service",
                _ => "",
            };
            let name = last.verdict.name();
            let _ = writeln!(
                out,
                "{seconds:>4} s  {endpoint} {service} {address}: {name}: {what}{moved}"
            );
        }
        out
    }

    /// Returns how many targets there are of each verdict, in a line.
    pub fn summary(&self) -> String {
        let count = |verdict| {
            self.targets.iter().filter(|watched| watched.verdict() == Some(verdict)).count()
        };
        let out = self.targets.iter().filter(|watched| !watched.health.is_in_service()).count();
        let out = if out == 0 { String::new() } else { format!("; {out} out of service") };
        format!(
            "{} healthy, {} degraded, {} unavailable{out}\n",
            count(Verdict::Healthy),
            count(Verdict::Degraded),
            count(Verdict::Unavailable)
        )
    }
}

struct Widths {
    endpoint: usize,
    service: usize,
    address: usize,
}

impl Watched {
    fn row(&self, widths: &Widths, out: &mut String) -> fmt::Result {
        let Widths { endpoint, service, address } = *widths;
        let Target { service: name, address: at, .. } = &self.target;
        let Some(last) = &self.last else { return Ok(()) };
        let (own, verdict) = (self.endpoint(), last.verdict.name());
        write!(out, "  {own:endpoint$}  {name:service$}  {:address$}  ", at.to_string())?;
        writeln!(out, "{verdict:11}  {}{}", last.short(), self.history())?;
        last.notes.iter().try_for_each(|note| writeln!(out, "    note: {note}"))
    }

    /// Returns what became of several requests.
    fn history(&self) -> String {
        let asked: u32 = self.verdicts.values().sum();
        if asked < 2 {
            return String::new();
        }
        let healthy = self.verdicts.get(&Verdict::Healthy).copied().unwrap_or(0);
        let service = if self.health.is_in_service() { "in service" } else { "out of service" };
        format!("; {healthy} of {asked} healthy, {service}")
    }
}

impl Observation {
    /// Returns what came of a request, in a few words.
    fn short(&self) -> String {
        let mut text = self.what.clone();
        if let Some(took) = self.took {
            let _ = write!(text, ", {:.1} ms", took.as_secs_f64() * 1000.0);
        }
        if self.sent > 1 {
            let _ = write!(text, ", sent {} times", self.sent);
        }
        if let Some(certificate) = &self.certificate {
            let _ = match certificate.days_left {
                days if days < 0 => write!(text, ", certificate over for {} d", -days),
                days => write!(text, ", certificate for {days} d"),
            };
        }
        text
    }
}

//----------- JSON -----------------------------------------------------------

impl Watch {
    /// Returns the state of all targets; `time` is in seconds since the Unix
    /// epoch.
    pub fn to_json(&self, time: u64) -> Value {
        let check = &self.check;
        json!({
            "time": time,
            "check": {
                "interval": check.interval.as_secs(),
                "failures": check.failures,
                "successes": check.successes,
                "mode": check.mode,
                "window": check.window.as_secs(),
            },
            "targets": self.targets.iter().map(Record::of).collect::<Vec<_>>(),
            "not-asked": self.unasked,
            "is-well": self.is_well(),
        })
    }
}

/// A target in JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Record<'a> {
    zone: &'a str,
    endpoint: &'a str,
    service: &'a str,
    transport: super::Transport,
    address: String,
    verdict: Option<Verdict>,
    in_service: bool,
    code: Option<u16>,
    what: &'a str,
    milliseconds: Option<f64>,
    sent: u32,
    certificate: Option<&'a super::tls::Certificate>,
    notes: &'a [String],
    verdicts: BTreeMap<&'static str, u32>,
}

impl<'a> Record<'a> {
    fn of(watched: &'a Watched) -> Self {
        let Watched { target, last, .. } = watched;
        let last = last.as_ref();
        let milliseconds = |took: Duration| (took.as_secs_f64() * 10_000.0).round() / 10.0;
        Record {
            zone: &target.zone,
            endpoint: &target.endpoint,
            service: &target.service,
            transport: target.transport,
            address: target.address.to_string(),
            verdict: watched.verdict(),
            in_service: watched.health.is_in_service(),
            code: last.and_then(|last| last.code),
            what: last.map_or("", |last| &last.what),
            milliseconds: last.and_then(|last| last.took).map(milliseconds),
            sent: last.map_or(0, |last| last.sent),
            certificate: last.and_then(|last| last.certificate.as_ref()),
            notes: last.map_or(&[], |last| &last.notes),
            verdicts: watched.verdicts.iter().map(|(verdict, n)| (verdict.name(), *n)).collect(),
        }
    }
}
