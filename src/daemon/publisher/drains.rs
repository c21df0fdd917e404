//! Draining endpoints, and bringing them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Publisher, RETRY, order};
use crate::config::model::HandoverMode;
use crate::daemon::board::Outcome;
use crate::daemon::drain;
use crate::daemon::publish::{Candidate, Changes, Edit};
use crate::snapshot::{Order, Publication, Version};
use crate::state::{Drain, drained_by};
use crate::wire::Name;

impl Publisher {
    /// Drains endpoints; returns which.
    ///
    /// Fails with what is to be said of a request that cannot be carried out.
    /// What becomes of it is not [`Self::last`]: that is of files.
    pub fn drain(&mut self, request: &drain::Request) -> Result<(Outcome, Vec<Name>), String> {
        let endpoints = drain::find(&self.kept, self.regions.as_ref(), request)?;
        let now = self.clock.now().second();
        let effective = request.effective.filter(|time| *time > now);
        let mut drains = self.kept.drains.clone();
        for endpoint in &endpoints {
            let known = drains.get(endpoint).filter(|known| known.has_begun);
            let drain = Drain {
                by: request.by.clone(),
                reason: request.reason.clone(),
                since: known.map_or(now, |known| known.since),
                effective: known.map_or(effective, |known| known.effective),
                immediate: request.now,
                begin: now,
                has_begun: known.is_some() || effective.is_none(),
                until: request.lasts.map(|lasts| effective.unwrap_or(now) + lasts),
            };
            drains.insert(endpoint.clone(), drain);
        }
        // As it will be, whenever that is.
        let drained: BTreeSet<Name> = drained_by(&drains).chain(endpoints.clone()).collect();
        let changes = Changes::default();
        let edits = self.redrained(&drained, effective, request.now.then_some(&endpoints))?;
        if !request.force
            && let Some(why) = edits.iter().find_map(|edit| self.leaves_nobody(edit, &endpoints))
        {
            return Err(why);
        }
        let begin = edits.iter().filter_map(|edit| self.begin_of(edit, &changes)).min();
        let mut outcome = self.outcome(&request.by, String::new(), true);
        let is_later = begin.is_some_and(|begin| begin > now);
        for endpoint in &endpoints {
            let drain = drains.get_mut(endpoint).filter(|drain| !drain.has_begun);
            if let Some(drain) = drain {
                (drain.begin, drain.has_begun) = (begin.unwrap_or(now), !is_later);
            }
        }
        let edits = if effective.is_some() && is_later { Vec::new() } else { edits };
        self.publish_drains("drain", (&edits, drains), &mut outcome);
        Ok((outcome, endpoints.into_iter().collect()))
    }

    /// Ends what was drained; returns which endpoints.
    pub fn undrain(&mut self, request: &drain::Request) -> Result<(Outcome, Vec<Name>), String> {
        let endpoints = drain::find(&self.kept, self.regions.as_ref(), request)?;
        let mut drains = self.kept.drains.clone();
        drains.retain(|endpoint, _| !endpoints.contains(endpoint));
        let drained = drained_by(&drains).collect();
        let edits = self.redrained(&drained, None, request.now.then_some(&endpoints))?;
        let mut outcome = self.outcome(&request.by, String::new(), true);
        self.publish_drains("undrain", (&edits, drains), &mut outcome);
        Ok((outcome, endpoints.into_iter().collect()))
    }

    /// Publishes drains that begin or end by themselves.
    pub(super) fn publish_due_drains(&mut self, now: u64) -> Outcome {
        let mut drains = self.kept.drains.clone();
        drains.retain(|_, drain| drain.until.is_none_or(|until| until > now));
        let mut effective = None;
        let mut hasty = None;
        let by = match drains.len() < self.kept.drains.len() {
            true => "the end of `drain --for`",
            false => {
                // Those for another time are published a second later.
                let is_due = |drain: &Drain| !drain.has_begun && drain.begin <= now;
                let first = drains.values().find(|drain| is_due(drain));
                let times = first.map(|first| (first.effective, first.immediate));
                let mut begun = BTreeSet::new();
                for (endpoint, drain) in &mut drains {
                    if is_due(drain) && times == Some((drain.effective, drain.immediate)) {
                        drain.has_begun = true;
                        begun.insert(endpoint.clone());
                    }
                }
                effective = times.and_then(|(effective, _)| effective).filter(|time| *time > now);
                hasty = times.filter(|(_, immediate)| *immediate).map(|_| begun);
                "`drain --at`"
            }
        };
        let mut outcome = self.outcome(by, String::new(), true);
        match self.redrained(&drained_by(&drains).collect(), effective, hasty.as_ref()) {
            Ok(edits) => self.publish_drains("drain", (&edits, drains), &mut outcome),
            Err(why) => outcome.hold("everything", why),
        }
        if !outcome.is_whole {
            self.drain_again_at = Some(now + RETRY);
        }
        outcome
    }

    fn publish_drains(
        &mut self,
        what: &str,
        (edits, drains): (&[Edit], BTreeMap<Name, Drain>),
        outcome: &mut Outcome,
    ) {
        // Which endpoints they are is seen in what is new.
        let before: BTreeSet<_> = drained_by(&self.kept.drains).collect();
        let after: BTreeSet<_> = drained_by(&drains).collect();
        let names: Vec<_> = before.symmetric_difference(&after).map(Name::to_string).collect();
        let mut next = self.as_before(format!("{what} {}", names.join(" ")).trim_end());
        next.common.drains = drains;
        self.publish(edits, next, outcome);
        outcome.generation = self.kept.generation;
        self.post();
    }

    /// Returns what becomes of zones for which other endpoints are drained
    /// than before, and of those with endpoints that are to be so at once.
    fn redrained(
        &self,
        drained: &BTreeSet<Name>,
        effective: Option<u64>,
        hasty: Option<&BTreeSet<Name>>,
    ) -> Result<Vec<Edit>, String> {
        let now = self.clock.now().second();
        let always = self.config.handover.mode == HandoverMode::Immediate;
        let mut edits = Vec::new();
        for (origin, zone) in &self.kept.zones {
            let targets = drain::targets(&zone.timeline.newest().zone);
            let is_hasty = hasty.is_some_and(|hasty| !hasty.is_disjoint(&targets));
            let is_same = targets.intersection(drained).eq(zone.drained.iter());
            if is_same && !is_hasty {
                continue;
            }
            let serial = zone.timeline.newest().zone.serial();
            let (compiled, drained) = self
                .compile(&zone.tables, serial, drained)
                .map_err(|why| format!("the tables of {origin} do not fit: {why}"))?;
            let candidate = Candidate {
                zone: compiled,
                tables: zone.tables.clone(),
                drained,
                skips: zone.skipped.clone(),
                stamp: effective.unwrap_or(now),
                effective,
                immediate: always || is_hasty,
                keeps_schedule: true,
            };
            edits.push(Edit { origin: origin.clone(), candidate: Some(candidate) });
        }
        Ok(edits)
    }

    /// Returns when an edit is to be published, if not at once, in seconds
    /// since the Unix epoch.
    fn begin_of(&self, edit: &Edit, changes: &Changes) -> Option<u64> {
        let (kept, candidate) = self.kept.zones.get(&edit.origin).zip(edit.candidate.as_ref())?;
        let Candidate { effective, immediate, .. } = *candidate;
        let order = order(&self.config.handover, self.clock.now().second(), 1);
        let order = Order { effective, immediate, ..order };
        let map = self.kept.shared.map.clone();
        let version = Arc::new(Version::new(candidate.zone.clone(), map));
        let compare = |old: &Version, new: &Version| changes.compare(old, new);
        match kept.timeline.publish(version, order, compare).1 {
            Publication::Scheduled { begin } => Some(begin),
            _ => None,
        }
    }

    /// Says why draining is held back, if nobody would be left.
    fn leaves_nobody(&self, edit: &Edit, endpoints: &BTreeSet<Name>) -> Option<String> {
        let kept = self.kept.zones.get(&edit.origin)?;
        let candidate = edit.candidate.as_ref()?;
        let new = endpoints.iter().filter(|endpoint| !kept.drained.contains(endpoint));
        let names: BTreeSet<_> = new
            .flat_map(|new| drain::exhausted(&candidate.zone, &candidate.drained, new))
            .collect();
        let name = names.first()?;
        Some(format!(
            "every endpoint that some clients are given at {name} would be drained, and then it is \
             answered as if none was; --force does it"
        ))
    }
}
