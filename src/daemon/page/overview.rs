//! The status, cut to what a page can show: `status.json` and `history.json`.

use std::time::Duration;

use serde::Serialize;

use crate::daemon::board::{Held, Outcome, StateHealth};
use crate::daemon::encryption::Encryption;
use crate::daemon::process::Process;
use crate::daemon::status::{DrainStatus, Handover, RegionCount, Scheduled, Status};
use crate::geo::DatabaseSummary;
use crate::state::Event;

/// The most handovers, scheduled tables, drains, and lines of a reload, that
/// are shown: somebody has to read them. How many there are is said beside.
const ROWS_MAX: usize = 50;

/// The most publications that are shown.
const EVENTS_MAX: usize = 30;

/// The most zones of a publication that are shown.
const EVENT_LINES_MAX: usize = 10;

/// The most octets of findings that are shown.
const FINDINGS_MAX: usize = 16 * 1024;

/// From how many milliseconds on the system's clock is wrong.
const DEVIATION_MAX: i64 = 1_000;

//----------- Overview -------------------------------------------------------

/// How a running server is. Times are in seconds since the Unix epoch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Overview {
    version: String,
    now: u64,
    started: u64,

    /// When the counters were read, in milliseconds since the page was first
    /// there, by a clock that never steps: differences are divided by it.
    running_for: u64,

    generation: u64,
    zones: usize,

    /// What is not well, the worst first; nothing if all is.
    troubles: Vec<Trouble>,

    /// How many messages came.
    messages: u64,

    /// Queries that zones answered, by region.
    regions: Vec<RegionCount>,

    handovers: Cut<Handover>,
    scheduled: Cut<Scheduled>,
    drains: Cut<DrainStatus>,
    last: Reload,

    /// Where it is another one than the last.
    last_error: Option<Reload>,

    databases: Vec<DatabaseSummary>,
    listeners: Vec<String>,
    encrypted: Encryption,
    process: Process,
    state: StateHealth,
    clock_steps: u64,
    clock_deviation: i64,
}

impl Overview {
    /// Cuts a status.
    pub(super) fn new(status: Status, running_for: Duration) -> Self {
        let troubles = Trouble::all(&status);
        let messages = status.counters.iter().filter(|count| count.is_outcome);
        let messages = messages.map(|count| count.value).sum();
        let is_other = |error: &Outcome| error.at != status.last.at;
        Overview {
            version: status.version,
            now: status.now,
            started: status.started,
            running_for: u64::try_from(running_for.as_millis()).unwrap_or(u64::MAX),
            generation: status.generation,
            zones: status.zones,
            troubles,
            messages,
            regions: status.regions,
            handovers: Cut::to(ROWS_MAX, status.handovers),
            scheduled: Cut::to(ROWS_MAX, status.scheduled),
            drains: Cut::to(ROWS_MAX, status.drains),
            last_error: status.last_error.filter(is_other).map(Reload::new),
            last: Reload::new(status.last),
            databases: status.databases,
            listeners: status.listeners,
            encrypted: status.encrypted,
            process: status.process,
            state: status.state,
            clock_steps: status.clock_steps,
            clock_deviation: status.clock_deviation,
        }
    }
}

//----------- Trouble --------------------------------------------------------

/// Something that is not well.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(super) struct Trouble {
    /// What, in a few words.
    what: &'static str,

    /// What there is to know of it.
    why: String,
}

impl Trouble {
    /// Finds all there are.
    fn all(status: &Status) -> Vec<Self> {
        let state = &status.state;
        let deviation = status.clock_deviation;
        let held = status.last.held_back.len();
        let of_clock = format!("the system's clock is {deviation} ms ahead of the server's");
        let found = [
            ("The state folder cannot be written", state.write_error.clone()),
            ("The state folder was damaged at the start", state.damaged.clone()),
            (
                "Files are held back",
                (!status.last.is_whole).then(|| match held {
                    0 => "what is served is what was good last; see the last reload".to_owned(),
                    _ => format!("{held} of them; see the last reload"),
                }),
            ),
            ("The certificate is in trouble", status.encrypted.trouble.clone()),
            ("The clock is wrong", (deviation.abs() >= DEVIATION_MAX).then_some(of_clock)),
        ];
        found.into_iter().filter_map(|(what, why)| Some(Trouble { what, why: why? })).collect()
    }
}

//----------- Reload ---------------------------------------------------------

/// What became of taking in files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Reload {
    at: u64,
    by: String,
    is_whole: bool,
    generation: u64,
    lines: Cut<String>,
    notes: Cut<String>,
    held_back: Cut<Held>,
    warnings: usize,

    /// The errors, for people; the first of them, where there are very many.
    findings: String,

    /// Whether findings are left out.
    findings_are_cut: bool,
}

impl Reload {
    fn new(outcome: Outcome) -> Self {
        let mut findings = outcome.findings;
        let findings_are_cut = findings.len() > FINDINGS_MAX;
        findings.truncate(findings.floor_char_boundary(FINDINGS_MAX));
        Reload {
            at: outcome.at,
            by: outcome.by,
            is_whole: outcome.is_whole,
            generation: outcome.generation,
            lines: Cut::to(ROWS_MAX, outcome.lines),
            notes: Cut::to(ROWS_MAX, outcome.notes),
            held_back: Cut::to(ROWS_MAX, outcome.held_back),
            warnings: outcome.warnings,
            findings,
            findings_are_cut,
        }
    }
}

//----------- Publications ---------------------------------------------------

/// Publications, the last one first.
#[derive(Debug, Serialize)]
pub(super) struct Publications {
    events: Cut<Published>,
}

/// A publication.
#[derive(Debug, Serialize)]
struct Published {
    generation: u64,
    time: u64,
    by: String,
    what: String,
    lines: Cut<String>,
}

impl Publications {
    /// Cuts the history, which has the oldest first.
    pub(super) fn new(events: Vec<Event>) -> Self {
        let count = events.len();
        let published = |event: Event| Published {
            generation: event.generation,
            time: event.time,
            by: event.by,
            what: event.what,
            lines: Cut::to(EVENT_LINES_MAX, event.lines),
        };
        let shown = events.into_iter().rev().take(EVENTS_MAX).map(published).collect();
        Publications { events: Cut { shown, count } }
    }
}

//----------- Cut ------------------------------------------------------------

/// The first of several things.
#[derive(Debug, Serialize)]
pub(super) struct Cut<T> {
    /// Those that are shown.
    pub(super) shown: Vec<T>,

    /// How many there are.
    pub(super) count: usize,
}

impl<T> Cut<T> {
    /// Cuts a list.
    pub(super) fn to(most: usize, mut list: Vec<T>) -> Self {
        let count = list.len();
        list.truncate(most);
        Cut { shown: list, count }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::daemon::limits::Limits;

    /// A status of which all is well, but for what a test changes in it.
    fn status(change: impl FnOnce(&mut Value)) -> Status {
        let outcome = json!({
            "at": 90, "by": "the file watch", "is-whole": true, "generation": 3, "lines": [],
            "held-back": [], "findings": "",
        });
        let mut status = json!({
            "version": "1.2.3", "now": 100, "started": 10, "generation": 3,
            "listeners": ["127.0.0.1:53"], "zones": 1, "handovers": [], "scheduled": [],
            "drains": [], "databases": [], "endpoints": [], "regions": [], "queries": [],
            "counters": [
                {"transport": "udp", "name": "answered", "value": 7, "is-outcome": true},
                {"transport": "udp", "name": "cut", "value": 5, "is-outcome": false},
                {"transport": "tcp", "name": "answered", "value": 2, "is-outcome": true},
            ],
            "published": 0, "encrypted": {"tls": [], "quic": [], "https": []}, "last": outcome,
            "state": {"write-errors": 0}, "clock-steps": 0, "clock-deviation": -3,
            "limits": Limits::default(), "latency": {"buckets": [], "sum": 0},
            "process": Process::new(),
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    fn overview(change: impl FnOnce(&mut Value)) -> Value {
        json!(Overview::new(status(change), Duration::ZERO))
    }

    #[test]
    fn a_message_counts_once_and_what_happened_beside_does_not() {
        assert_eq!(overview(|_| ())["messages"], 9);
    }

    #[test]
    fn a_server_that_is_well_has_no_troubles() {
        let overview = overview(|_| ());
        assert_eq!(overview["troubles"], json!([]));
        assert_eq!(overview["last-error"], Value::Null);
    }

    #[test]
    fn every_trouble_is_named_with_its_reason() {
        let overview = overview(|status| {
            status["state"] = json!({"write-error": "no room", "damaged": "a", "write-errors": 1});
            status["clock-deviation"] = json!(-1000);
            status["last"]["is-whole"] = json!(false);
            status["last"]["held-back"] = json!([{"what": "a.example.", "why": "it is gone"}]);
            status["encrypted"]["trouble"] = json!("expired");
        });
        let troubles = overview["troubles"].as_array().unwrap();
        let whats: Vec<_> = troubles.iter().map(|one| one["what"].as_str().unwrap()).collect();
        let expected = [
            "The state folder cannot be written",
            "The state folder was damaged at the start",
            "Files are held back",
            "The certificate is in trouble",
            "The clock is wrong",
        ];
        assert_eq!(whats, expected);
        assert_eq!(troubles[0]["why"], "no room");
        assert_eq!(troubles[4]["why"], "the system's clock is -1000 ms ahead of the server's");
    }

    #[test]
    fn ten_thousand_handovers_are_cut_and_counted() {
        let overview = overview(|status| {
            let handover = |number| {
                json!({"zone": format!("z{number}."), "serial": 1, "phase": "waiting",
                    "published": 1, "effective": 2, "settled": 3})
            };
            status["handovers"] = (0..10_000).map(handover).collect();
        });
        assert_eq!(overview["handovers"]["count"], 10_000);
        assert_eq!(overview["handovers"]["shown"].as_array().unwrap().len(), ROWS_MAX);
        assert!(overview.to_string().len() < 20_000);
    }

    #[test]
    fn findings_are_cut_between_characters() {
        let text = format!("x{}", "é".repeat(FINDINGS_MAX));
        let overview = overview(|status| status["last"]["findings"] = json!(text));
        let shown = overview["last"]["findings"].as_str().unwrap();
        assert_eq!((shown.len(), &overview["last"]["findings-are-cut"]), (16_383, &json!(true)));
    }

    #[test]
    fn the_last_publication_comes_first() {
        let event = |generation| Event {
            generation,
            time: generation,
            by: "root".into(),
            what: "reload".into(),
            lines: vec!["a".into(); 100],
        };
        let publications = json!(Publications::new((1..=100).map(event).collect()));
        let shown = publications["events"]["shown"].as_array().unwrap();
        assert_eq!((shown.len(), &shown[0]["generation"]), (EVENTS_MAX, &json!(100)));
        assert_eq!(shown[0]["lines"]["count"], 100);
        assert_eq!(shown[0]["lines"]["shown"].as_array().unwrap().len(), EVENT_LINES_MAX);
        assert_eq!(publications["events"]["count"], 100);
    }
}
