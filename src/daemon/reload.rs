//! Taking in changed files while queries are answered.
//!
//! Everything is read, compiled and compared first; then one pointer is
//! swapped. A zone that is refused, or whose folder is gone, stays as it is
//! served, and so does everything where a shared file is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::load;
use crate::answer;
use crate::config::model::{Handover, HandoverMode};
use crate::diag::{Report, Sources};
use crate::snapshot::{Moment, Order, Publication, Settings, Snapshot, Timeline, Version};
use crate::wire::Name;

/// Reads the files again and publishes what has changed.
///
/// `clock` tells the time of the wall clock.
pub(super) fn reload(
    path: &Path,
    shared: &ArcSwap<Snapshot>,
    clock: impl Fn() -> Moment,
) -> Reloaded {
    let served = shared.load_full();
    let mut sources = Sources::default();
    let mut report = Report::default();
    let loaded = load::load(path, &mut sources, &mut report, |origin| next_serial(&served, origin));
    let mut reloaded = Reloaded {
        findings: report.render(&sources, false),
        is_whole: !report.has_errors(),
        lines: Vec::new(),
    };
    let Some(loaded) = loaded else {
        reloaded.lines.push("nothing is changed: a shared file is refused".into());
        return reloaded;
    };
    let (settings, handover) = (loaded.settings(), loaded.config.handover);
    let version = |zone| Arc::new(Version::new(Arc::new(zone), loaded.map.clone()));
    let versions: Vec<_> = loaded.zones.into_iter().map(version).collect();
    let mut ahead = 1;
    loop {
        let order = order(&handover, clock().second(), ahead);
        let (next, lines, is_whole) = extend_all(&served, &versions, settings.clone(), order);
        // A version is published in a second that has not begun when it is
        // swapped in. Comparing took longer than that: once more, with more
        // time ahead.
        if clock().second() >= order.published {
            ahead = ahead * 2 + 1;
            continue;
        }
        shared.store(Arc::new(next));
        reloaded.lines = lines;
        reloaded.is_whole &= is_whole;
        return reloaded;
    }
}

//----------- Reloaded -------------------------------------------------------

/// What became of a reload.
#[derive(Debug)]
pub(super) struct Reloaded {
    /// What was found in the files, for people.
    pub findings: String,

    /// Whether nothing was refused.
    pub is_whole: bool,

    /// What was done, a line a zone that is not as it was.
    pub lines: Vec<String>,
}

//----------- Publishing -----------------------------------------------------

/// Makes the next snapshot, and says what is new in it and whether all that
/// is served was there to be read.
fn extend_all(
    served: &Snapshot,
    versions: &[Arc<Version>],
    settings: Settings,
    order: Order,
) -> (Snapshot, Vec<String>, bool) {
    let mut lines = Vec::new();
    let served_timelines = served.timelines().into_iter();
    let mut timelines: BTreeMap<Name, Arc<Timeline>> = served_timelines
        .map(|timeline| (timeline.newest().zone.origin().clone(), timeline.clone()))
        .collect();
    let mut held_back: BTreeSet<Name> = timelines.keys().cloned().collect();
    for version in versions {
        let origin = version.zone.origin().clone();
        held_back.remove(&origin);
        let (timeline, line) = match timelines.get(&origin) {
            Some(timeline) => extend(timeline, version.clone(), order),
            None => (Timeline::new(version.clone(), order.published), Some("is added".to_owned())),
        };
        if let Some(line) = line {
            lines.push(format!("{origin} {line}"));
            timelines.insert(origin, Arc::new(timeline));
        }
    }
    for origin in &held_back {
        lines.push(format!("{origin} is held back: it is served as it was"));
    }
    // The settings may have changed although no zone has.
    let next = Snapshot::new(served.generation + 1, settings, timelines.into_values());
    (next, lines, held_back.is_empty())
}

/// Adds a version to a timeline; says what that means if it means anything.
fn extend(timeline: &Timeline, version: Arc<Version>, order: Order) -> (Timeline, Option<String>) {
    let (next, publication) = timeline.publish(version, order, answer::change);
    let line = match publication {
        Publication::Unchanged => None,
        Publication::Withdrawn => Some("is withdrawn: what is in force stays".to_owned()),
        Publication::Published => next.entries().last().map(|entry| {
            let settled = entry.settled().saturating_sub(entry.published);
            format!(
                "is published: in force after {} s, for everybody after {settled} s",
                entry.wait
            )
        }),
    };
    (next, line)
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
    }
}

/// Returns the serial that a changed zone gets at least: it never goes back.
fn next_serial(served: &Snapshot, origin: &Name) -> u32 {
    let timeline = served.find(&origin.to_key());
    let timeline = timeline.filter(|timeline| timeline.newest().zone.origin() == origin);
    timeline.map_or(1, |timeline| timeline.newest().zone.serial().wrapping_add(1))
}
