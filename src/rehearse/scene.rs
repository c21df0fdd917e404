//! Who is asked for, from where, who is dead, and what DNS says without him.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use serde::Serialize;

use super::draw::Draw;
use crate::config::model::{Handover, Service, ZoneTables};
use crate::geo::{RegionId, RegionMap, RegionTable};
use crate::offline::{Offline, OfflineZone, ask, client_of, map_of_regions};
use crate::snapshot::{Moment, Settings, Snapshot, Timeline, Version};
use crate::wire::{LowerName, Name, Rtype, SrvData};

//----------- Scene ----------------------------------------------------------

/// A question from a place, and who of the answer is dead.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The name that callers ask for.
    pub name: Name,

    /// The region that they are in.
    pub region: String,

    /// The answer, in failover order.
    pub targets: Vec<Target>,

    /// Its TTL.
    pub ttl: u32,

    /// The share of calls that meet a dead endpoint first.
    pub share: f64,

    /// `[handover]`
    pub handover: Handover,

    /// The trunk that a group moves calls to: the name of the next tier
    /// whose first endpoints are alive.
    pub next_trunk: Option<Name>,

    /// The names that trunks of the service are on, one a tier.
    pub(super) trunks: Vec<Name>,

    /// The tables with the dead endpoints taken out; none if there is nobody
    /// else.
    pub(super) without: Option<OfflineZone>,

    pub(super) zone: OfflineZone,
    pub(super) regions: RegionTable,
    place: Place,
    dead: BTreeSet<String>,
}

/// An SRV record of the answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// The priority.
    pub priority: u16,

    /// The weight.
    pub weight: u16,

    /// The port.
    pub port: u16,

    /// The target.
    pub target: String,

    /// Whether it is dead.
    pub is_dead: bool,
}

/// Where callers ask from.
#[derive(Clone, Debug)]
struct Place {
    map: Arc<RegionMap>,
    region: RegionId,

    /// The one address that they ask from, if it is known.
    address: Option<IpAddr>,
}

/// What is to be rehearsed, as the operator says it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// A service such as `_sip._tcp`, or a name with SRV records.
    pub service: &'a str,

    /// The zone, where several have the service.
    pub zone: Option<&'a str>,

    /// The endpoint or region that fails; the first endpoint without one.
    pub fail: Option<&'a str>,

    /// The region that callers are in, or an address and the map that says
    /// in which.
    pub from: From,
}

/// Where callers ask from, as the operator says it.
#[derive(Clone, Debug)]
pub enum From {
    /// Any network of a region.
    Region(RegionId),

    /// One address.
    Address(IpAddr, Arc<RegionMap>),
}

impl Scene {
    /// Sets a scene; fails with what the tables do not have.
    pub fn set(offline: &Offline, request: &Request<'_>) -> Result<Self, String> {
        let (zone, name) = find(offline, request)?;
        let regions = offline.regions.clone();
        let place = match &request.from {
            From::Region(region) => {
                let names = regions.regions.iter().map(|region| &*region.name);
                let map = Arc::new(map_of_regions(names));
                Place { map, region: *region, address: None }
            }
            From::Address(address, map) => {
                let region = map.locate(*address);
                Place { map: map.clone(), region, address: Some(*address) }
            }
        };
        let region = regions.get(place.region).name.clone();
        let mut scene = Scene {
            name,
            region,
            targets: Vec::new(),
            ttl: 0,
            share: 0.0,
            handover: offline.config.handover.clone(),
            next_trunk: None,
            trunks: Vec::new(),
            without: None,
            zone: zone.clone(),
            regions,
            place,
            dead: BTreeSet::new(),
        };
        scene.trunks = scene.trunk_names();
        scene.kill(request.fail)?;
        Ok(scene)
    }

    /// Decides who is dead, and what follows.
    fn kill(&mut self, fail: Option<&str>) -> Result<(), String> {
        let snapshot = self.snapshot(&self.zone);
        let (targets, ttl) = self.answer(&snapshot, self.name.clone());
        let first = targets.first().ok_or_else(|| format!("{} has no SRV records", self.name))?;
        self.dead = match fail {
            None => BTreeSet::from([first.target.clone()]),
            Some(text) => self.named(text)?,
        };
        self.ttl = ttl;
        self.targets = self.marked(targets);
        self.share = share(&self.targets);
        let tables = without(&self.zone.tables, &self.dead);
        let compiled = tables.and_then(|tables| self.zone.with(tables, &self.regions).ok());
        self.without = compiled;
        self.next_trunk = self.trunks.iter().filter(|name| **name != self.name).find_map(|name| {
            let (targets, _) = self.answer(&snapshot, name.clone());
            (!targets.is_empty() && share(&self.marked(targets)) == 0.0).then(|| name.clone())
        });
        Ok(())
    }

    fn marked(&self, mut targets: Vec<Target>) -> Vec<Target> {
        for target in &mut targets {
            target.is_dead = self.dead.contains(&target.target);
        }
        targets
    }

    /// Returns the endpoints that a text names: a region's, or one.
    fn named(&self, text: &str) -> Result<BTreeSet<String>, String> {
        if let Some(region) = self.regions.find(text) {
            let own = self.endpoints_of(region);
            let none = || format!("no endpoint of {} is closest to {text}", self.name);
            return (!own.is_empty()).then_some(own).ok_or_else(none);
        }
        let name = Name::parse(text, &self.zone.tables.origin);
        let absolute = Name::parse(text, &Name::root());
        let known = self.endpoints();
        let mut names = [name, absolute].into_iter().flatten().map(|name| lowered(&name));
        let found = names.find(|name| known.contains(name));
        found.map(|name| BTreeSet::from([name])).ok_or_else(|| {
            let list: Vec<_> = known.into_iter().collect();
            format!("`{text}` is neither a region nor an endpoint; there are {}", list.join(", "))
        })
    }

    /// Returns every endpoint that somebody is given.
    fn endpoints(&self) -> BTreeSet<String> {
        self.by_region().into_iter().flatten().map(|target| target.target).collect()
    }

    /// Returns the endpoints that no region's clients are given at a better
    /// priority than those of a region.
    fn endpoints_of(&self, region: RegionId) -> BTreeSet<String> {
        let by_region = self.by_region();
        let mut best: BTreeMap<String, u16> = BTreeMap::new();
        for target in by_region.iter().flatten() {
            let own = best.entry(target.target.clone()).or_insert(target.priority);
            *own = target.priority.min(*own);
        }
        let own = by_region.into_iter().nth(usize::from(region.0)).unwrap_or_default();
        let own =
            own.into_iter().filter(|target| best.get(&target.target) == Some(&target.priority));
        own.map(|target| target.target).collect()
    }

    /// Returns what the clients of each region are given at the service's
    /// own name, or at the name asked for where it has none.
    fn by_region(&self) -> Vec<Vec<Target>> {
        let service = self.service();
        let own = service
            .and_then(|service| Name::parse(&service.name.value, &self.zone.tables.origin).ok());
        let name = own.unwrap_or_else(|| self.name.clone());
        let names = self.regions.regions.iter().map(|region| &*region.name);
        let snapshot = snapshot_of(&self.zone, &Arc::new(map_of_regions(names)), 0);
        let answer = |id| ask(&snapshot, client_of(id, 0), Moment(0), &name, Rtype::SRV);
        let targets = |id| answer(id).map(|message| read(&message).0).unwrap_or_default();
        self.regions.ids().map(targets).collect()
    }

    /// Returns the service that the name belongs to.
    fn service(&self) -> Option<&Service> {
        let services = &self.zone.tables.services;
        let text = lowered(&self.name);
        let own = |service: &&Service| text.starts_with(&format!("{}.", service.name.value));
        services.iter().find(own)
    }

    /// Returns the names of the tiers in the callers' region, in failover
    /// order; the name asked for where the service is not in the tables.
    fn trunk_names(&self) -> Vec<Name> {
        let Some(service) = self.service() else { return vec![self.name.clone()] };
        let name = |tier: &str| {
            Name::parse(&format!("{}.{tier}", service.name.value), &self.zone.tables.origin).ok()
        };
        let names: Vec<_> =
            service.tiers.iter().filter_map(|tier| name(&tier.name.value)).collect();
        if names.is_empty() { vec![self.name.clone()] } else { names }
    }

    //------------ For the plays ---------------------------------------------

    /// Returns a snapshot in which a zone is in force for everybody.
    pub(super) fn snapshot(&self, zone: &OfflineZone) -> Snapshot {
        snapshot_of(zone, &self.place.map, self.handover.spread_ttl)
    }

    /// Returns a snapshot of a timeline.
    pub(super) fn snapshot_of(&self, timeline: Timeline) -> Snapshot {
        let spread_ttl = self.handover.spread_ttl;
        let settings = Settings { spread_ttl, ..Settings::default() };
        Snapshot::new(1, settings, [Arc::new(timeline)])
    }

    /// Returns a version of a zone for the callers' map.
    pub(super) fn version(&self, zone: &OfflineZone) -> Arc<Version> {
        Arc::new(Version::new(zone.zone.clone(), self.place.map.clone()))
    }

    /// Returns the address of a resolver, each in a network of its own unless
    /// it is known where callers ask from.
    pub(super) fn client(&self, draw: Draw, number: u32) -> IpAddr {
        let network = draw.below("network", number.into(), u64::from(u32::MAX) + 1);
        // Below the bound.
        self.place.address.unwrap_or_else(|| client_of(self.place.region, network as u32))
    }

    /// Says whether an answer's first endpoints are all alive, and its TTL.
    pub(super) fn look(&self, snapshot: &Snapshot, client: IpAddr, now: u64, name: &Name) -> Look {
        let message = ask(snapshot, client, Moment(now), name, Rtype::SRV);
        let (targets, ttl) = message.map(|message| read(&message)).unwrap_or_default();
        let is_alive = !targets.is_empty() && share(&self.marked(targets)) == 0.0;
        Look { is_alive, ttl: ttl.max(1) }
    }

    /// Returns the answer to callers when nothing is under way.
    fn answer(&self, snapshot: &Snapshot, name: Name) -> (Vec<Target>, u32) {
        let client = self.client(Draw { seed: 0 }, 0);
        let message = ask(snapshot, client, Moment(0), &name, Rtype::SRV);
        message.map(|message| read(&message)).unwrap_or_default()
    }

    /// Returns the first endpoint of the answer that is alive.
    pub fn next(&self) -> Option<&Target> {
        self.targets.iter().find(|target| !target.is_dead)
    }

    /// Returns what DNS names first once the dead are taken out.
    pub fn first_without(&self) -> Option<String> {
        let snapshot = self.snapshot(self.without.as_ref()?);
        let (targets, _) = self.answer(&snapshot, self.name.clone());
        targets.into_iter().next().map(|target| target.target)
    }
}

/// What a resolver sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether all first endpoints are alive.
    pub(super) is_alive: bool,

    /// For how many seconds it keeps the answer.
    pub(super) ttl: u32,
}

fn snapshot_of(zone: &OfflineZone, map: &Arc<RegionMap>, spread_ttl: u8) -> Snapshot {
    let version = Arc::new(Version::new(zone.zone.clone(), map.clone()));
    let settings = Settings { spread_ttl, ..Settings::default() };
    Snapshot::new(1, settings, [Arc::new(Timeline::new(version, 0))])
}

/// Reads the SRV records of an answer, and their TTL.
fn read(message: &Message) -> (Vec<Target>, u32) {
    let targets = message.answers.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(Target {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_string().to_ascii_lowercase(),
            is_dead: false,
        }),
        _ => None,
    });
    (targets.collect(), message.answers.iter().map(|record| record.ttl).min().unwrap_or(0))
}

/// Returns the share of calls that meet a dead endpoint first: by weight among
/// those of the lowest priority (RFC 2782).
fn share(targets: &[Target]) -> f64 {
    let Some(lowest) = targets.iter().map(|target| target.priority).min() else { return 0.0 };
    let first = targets.iter().filter(|target| target.priority == lowest);
    // Weight 0 gets a small share, and all of it where there is no other.
    let weight = |target: &Target| f64::from(target.weight.max(1));
    let dead: f64 = first.clone().filter(|target| target.is_dead).map(weight).sum();
    dead / first.map(weight).sum::<f64>()
}

fn lowered(name: &Name) -> String {
    name.to_string().to_ascii_lowercase()
}

/// Finds the zone and the name that a request means.
fn find<'o>(
    offline: &'o Offline,
    request: &Request<'_>,
) -> Result<(&'o OfflineZone, Name), String> {
    let text = request.service;
    let is_srv = |zone: &OfflineZone, name: &Name| {
        let node = zone.zone.get(&LowerName::from(name));
        node.is_some_and(|node| node.rrset(Rtype::SRV).is_some())
    };
    let name = Name::parse(text, &Name::root()).map_err(|error| format!("`{text}` has {error}"))?;
    if let Some(zone) = offline.zone_of(&name).filter(|zone| is_srv(zone, &name)) {
        return Ok((zone, name));
    }
    let wanted = request.zone.map(|zone| Name::parse(zone, &Name::root())).transpose();
    let wanted = wanted.map_err(|error| format!("the zone has {error}"))?;
    let mut found = offline.zones.iter().filter_map(|zone| {
        let origin = &zone.tables.origin;
        let is_wanted = wanted.as_ref().is_none_or(|name| lowered(name) == lowered(origin));
        let name = Name::parse(text, origin).ok().filter(|name| is_wanted && is_srv(zone, name))?;
        Some((zone, name))
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(format!("several zones have `{text}`: name one with --zone")),
        (None, _) => Err(format!("no zone has SRV records at `{text}`")),
    }
}

/// Returns the tables without some endpoints; none if nobody is left.
///
/// A row that has nobody else stays as it is: something is answered always.
fn without(tables: &ZoneTables, dead: &BTreeSet<String>) -> Option<ZoneTables> {
    let mut tables = tables.clone();
    let mut is_changed = false;
    let is_dead = |target: &Name| dead.contains(&lowered(target));
    for row in tables.services.iter_mut().flat_map(|service| &mut service.rows) {
        let mut cells = row.cells.clone();
        for cell in &mut cells {
            cell.endpoints.retain(|endpoint| !is_dead(&endpoint.target.value));
        }
        cells.retain(|cell| !cell.endpoints.is_empty());
        if !cells.is_empty() {
            is_changed |= cells.iter().map(|cell| cell.endpoints.len()).sum::<usize>()
                < row.cells.iter().map(|cell| cell.endpoints.len()).sum();
            row.cells = cells;
        }
    }
    let is_alive = |record: &crate::config::model::Record| {
        record.rtype != Rtype::SRV
            || SrvData::read(&record.rdata).is_none_or(|srv| !is_dead(&srv.target))
    };
    let alive: BTreeSet<_> = tables
        .records
        .iter()
        .filter(|record| record.rtype == Rtype::SRV && is_alive(record))
        .map(|record| record.owner.to_key())
        .collect();
    let count = tables.records.len();
    tables.records.retain(|record| is_alive(record) || !alive.contains(&record.owner.to_key()));
    (is_changed || tables.records.len() < count).then_some(tables)
}
