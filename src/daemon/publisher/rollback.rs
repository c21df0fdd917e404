//! Publishing again what was published before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Next, Publisher};
use crate::config;
use crate::config::model::HandoverMode;
use crate::daemon::board::Outcome;
use crate::daemon::load::read_kept;
use crate::daemon::publish::{Candidate, Common, Edit};
use crate::state::{Kept, KeptZone, Shared};
use crate::wire::Name;

/// What is to be published again.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Who asks, for people.
    pub by: String,

    /// The generation; that before the last publication without one.
    pub generation: Option<u64>,

    /// The zones; all, and the region map, if there is none.
    pub zones: Vec<Name>,

    /// Whether it is to be in force for everybody at once.
    pub now: bool,
}

impl Publisher {
    /// Publishes the tables of an earlier generation again, as new versions.
    ///
    /// The files on the disk are not touched: what they hold is not taken in
    /// until it is something else. What is drained stays drained. Fails with
    /// what is to be said of a request that cannot be carried out.
    pub fn rollback(&mut self, request: &Request) -> Result<Outcome, String> {
        let past = self.state.published(request.generation).ok_or_else(|| self.unknown(request))?;
        let (then, number) = (past.kept, past.event.generation);
        if let Some(name) = request.zones.iter().find(|name| !then.zones.contains_key(name)) {
            return Err(format!("generation {number} has no zone {name}"));
        }
        let mut next = self.as_before(format!("rollback to {number}"));
        if request.zones.is_empty() {
            next.common = self.common_of(&then)?;
        }
        let edits = self.edits_of(&then, &next, request)?;
        let mut outcome = self.outcome(&request.by, String::new(), true);
        let map = next.common.shared.clone();
        if self.publish(&edits, next, &mut outcome) {
            self.regions = read_kept(&map.regions, config::read_regions);
            let news = self.kept.zones.keys().filter(|name| !then.zones.contains_key(name));
            let stay = news.filter(|_| request.zones.is_empty());
            outcome.lines.extend(stay.map(|name| format!("{name} did not exist then, and stays")));
        }
        Ok(self.conclude(outcome))
    }

    fn unknown(&self, request: &Request) -> String {
        let mut events = self.state.events().map(|event| event.generation);
        let first = events.next();
        match (request.generation, first, events.next_back().or(first)) {
            (Some(number), Some(first), Some(last)) => format!(
                "generation {number} is not remembered: by [server] keep there are {first} to \
                 {last}"
            ),
            _ => "nothing was published before what is served".to_owned(),
        }
    }

    /// Returns what all zones are to share again: the region map of then.
    fn common_of(&self, then: &Kept) -> Result<Common, String> {
        let Kept { shared: now, skipped, drains, .. } = &*self.kept;
        let drains = drains.clone();
        let old = &then.shared;
        if (&now.regions, now.fingerprint) == (&old.regions, old.fingerprint) {
            return Ok(Common { shared: now.clone(), skipped: *skipped, drains });
        }
        if now.map.names() != old.map.names() {
            return Err(format!(
                "generation {} has other regions: bring back {} by hand, or name the zones",
                then.generation,
                old.regions.path.display()
            ));
        }
        // What is on the disk is what is served, or what was skipped before.
        let skipped = skipped.or(now.fingerprint);
        let shared = Shared { config: now.config.clone(), ..(**old).clone() };
        Ok(Common { shared: Arc::new(shared), skipped, drains })
    }

    fn edits_of(&self, then: &Kept, next: &Next, request: &Request) -> Result<Vec<Edit>, String> {
        let drained: BTreeSet<Name> = self.kept.drained();
        let is_same_map = self.kept.shared.is_same(&next.common.shared);
        let is_wanted = |name: &Name| request.zones.is_empty() || request.zones.contains(name);
        let mut edits = Vec::new();
        for (origin, old) in then.zones.iter().filter(|(name, _)| is_wanted(name)) {
            let known = self.kept.zones.get(origin);
            if known.is_some_and(|known| known.tables == old.tables) && is_same_map {
                continue;
            }
            edits.push(self.edit_of(origin, (old, known), (&drained, request.now))?);
        }
        if !is_same_map {
            // The others get the map of then.
            for (origin, known) in &self.kept.zones {
                if !then.zones.contains_key(origin) {
                    let both = (known, Some(known));
                    edits.push(self.edit_of(origin, both, (&drained, request.now))?);
                }
            }
        }
        Ok(edits)
    }

    /// Returns what is to become of a zone that has the tables of then again.
    fn edit_of(
        &self,
        origin: &Name,
        (old, known): (&Arc<KeptZone>, Option<&Arc<KeptZone>>),
        (drained, now): (&BTreeSet<Name>, bool),
    ) -> Result<Edit, String> {
        let newest = known.map(|known| known.timeline.newest().zone.clone());
        let is_same = known.is_some_and(|known| known.tables == old.tables);
        let compiled = match newest.clone().filter(|_| is_same).zip(known) {
            Some((zone, known)) => Ok((zone, known.drained.clone())),
            None => {
                let serial = newest.map_or(1, |zone| zone.serial());
                self.compile(&old.tables, serial, drained)
            }
        };
        let (zone, drained) =
            compiled.map_err(|why| format!("the tables of {origin} do not fit any more: {why}"))?;
        // What is on the disk is what waits for its time, else what is served,
        // unless that was skipped before.
        let on_disk = known.map(|known| {
            let scheduled = known.scheduled.as_ref().map(|scheduled| scheduled.tables.clone());
            known.skipped.clone().or(scheduled).unwrap_or(known.tables.clone())
        });
        let always = self.config.handover.mode == HandoverMode::Immediate;
        let candidate = Candidate {
            zone,
            tables: old.tables.clone(),
            drained,
            skips: on_disk.filter(|on_disk| *on_disk != old.tables),
            stamp: self.clock.now().second(),
            effective: None,
            immediate: always || now,
            keeps_schedule: false,
        };
        Ok(Edit { origin: origin.clone(), candidate: Some(candidate) })
    }
}
