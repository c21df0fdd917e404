//! Which endpoints were handed out: how often, and until when callers may know
//! them.

use std::collections::BTreeMap;

use super::board::Board;
use super::status::Endpoint;
use crate::snapshot::Version;
use crate::wire::SrvData;

/// What was handed out of endpoints.
#[derive(Clone, Debug, Default)]
pub struct HandedOut {
    known: BTreeMap<(String, String, u16), Tally>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    prefers: u64,
    names: u64,
    first: u64,
    behind: u64,
}

impl HandedOut {
    /// Returns what there is of every endpoint that an SRV answer names, or may
    /// still.
    pub(super) fn of_board(board: &Board) -> Self {
        let mut all = HandedOut::default();
        let entries = board.kept.zones.values().flat_map(|zone| zone.timeline.entries());
        for version in entries.map(|entry| &entry.version).chain(&board.retired) {
            all.add(version);
        }
        for (key, tally) in &board.handed_out.known {
            if let Some(known) = all.known.get_mut(key) {
                known.first += tally.first;
                known.behind += tally.behind;
            }
        }
        all
    }

    /// Adds what was handed out by a version.
    pub(super) fn add(&mut self, version: &Version) {
        let zone = &version.zone;
        for rrset in zone.rrsets() {
            let Some(first) = rrset.slot() else { continue };
            for (slot, variant) in (first..).zip(rrset.variants()) {
                let expiry = version.expiries.last(slot, rrset.ttl());
                let sent = version.expiries.sent(slot);
                let records: Vec<_> = variant.rdatas().filter_map(SrvData::read).collect();
                let lowest = records.iter().map(|srv| srv.priority).min();
                for SrvData { priority, port, target, .. } in records {
                    let key = (zone.origin().to_string(), target.to_string(), port);
                    let known = self.known.entry(key).or_default();
                    known.names = expiry.max(known.names);
                    if Some(priority) == lowest {
                        known.prefers = expiry.max(known.prefers);
                        known.first += sent;
                    } else {
                        known.behind += sent;
                    }
                }
            }
        }
    }

    /// Adds what was handed out by a version that is let go of.
    pub(super) fn keep(&mut self, version: &Version) {
        let is_counted = version.zone.srv_ttls().any(|(slot, _)| version.expiries.sent(slot) > 0);
        if is_counted {
            self.add(version);
        }
    }

    /// Returns it by endpoint.
    pub(super) fn endpoints(self) -> Vec<Endpoint> {
        let endpoint = |((zone, target, port), tally)| {
            let Tally { prefers, names, first, behind } = tally;
            Endpoint { zone, target, port, prefers, names, first, behind }
        };
        self.known.into_iter().map(endpoint).collect()
    }
}
