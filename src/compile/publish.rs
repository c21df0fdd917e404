//! From tables to draft RRsets: which names a zone publishes.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::draft::{self, Draft, Rdata, Records, Table};
use super::drain;
use crate::config::model::{
    Cell, Host, NAPTR_SERVICES, Record, Row, RowKey, Service, Soa, ZoneTables,
};
use crate::diag::{Code, Finding, Report, Span};
use crate::geo::{RegionId, RegionTable};
use crate::wire::{Name, NameError, Rtype};

/// Returns the RRsets of all tables of a zone, not yet checked against each
/// other.
pub(super) fn publish(
    tables: &ZoneTables,
    regions: &RegionTable,
    serial: u32,
    report: &mut Report,
) -> Vec<Draft> {
    let hosts = tables.hosts.iter().map(|host| (&host.name.value, host)).collect();
    let mut publisher = Publisher { tables, regions, hosts, report, drafts: Vec::new() };
    if let Some(soa) = &tables.soa {
        publisher.soa(soa, serial);
    }
    publisher.name_servers();
    publisher.hosts();
    for service in &tables.services {
        publisher.service(service);
    }
    publisher.naptr();
    publisher.geo();
    publisher.master_file();
    publisher.drafts
}

//----------- Publisher ------------------------------------------------------

struct Publisher<'a> {
    tables: &'a ZoneTables,
    regions: &'a RegionTable,
    hosts: FxHashMap<&'a Name, &'a Host>,
    report: &'a mut Report,
    drafts: Vec<Draft>,
}

impl<'a> Publisher<'a> {
    fn soa(&mut self, soa: &Soa, serial: u32) {
        let mut rdata = soa.primary.as_wire().to_vec();
        rdata.extend(soa.contact.as_wire());
        let serial = soa.serial.unwrap_or(serial);
        for field in [serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
            rdata.extend(field.to_be_bytes());
        }
        let rdata = Rdata { octets: rdata.into(), span: soa.span };
        let records = Records::Fixed(vec![rdata]);
        let owner = self.tables.origin.clone();
        self.add(Table::Soa, owner, Rtype::SOA, soa.ttl, records, soa.span);
    }

    fn name_servers(&mut self) {
        let Some(servers) = &self.tables.ns else {
            return;
        };
        let Some(span) = servers.hosts.first().map(|host| host.span) else {
            return;
        };
        let rdatas = servers
            .hosts
            .iter()
            .map(|host| Rdata { octets: host.value.as_wire().into(), span: host.span })
            .collect();
        let owner = self.tables.origin.clone();
        let records = Records::Fixed(rdatas);
        self.add(Table::NameServers, owner, Rtype::NS, servers.ttl, records, span);
    }

    fn hosts(&mut self) {
        for host in &self.tables.hosts {
            let mut by_type: BTreeMap<Rtype, Vec<Rdata>> = BTreeMap::new();
            for address in &host.addresses {
                let (rtype, octets) = draft::address(address.value);
                by_type.entry(rtype).or_default().push(Rdata { octets, span: address.span });
            }
            for (rtype, rdatas) in by_type {
                let owner = host.name.value.clone();
                let records = Records::Fixed(rdatas);
                self.add(Table::Hosts, owner, rtype, host.ttl, records, host.name.span);
            }
        }
    }

    /// Publishes the four kinds of names of a service: by region, of one
    /// region, of one tier by region, of one tier of one region.
    fn service(&mut self, service: &Service) {
        let span = service.name.span;
        let origin = self.tables.origin.clone();
        let all: Vec<_> = self.regions.ids().map(|id| self.full_set(service, id)).collect();
        self.srv(service, Some(origin.clone()), service.ttl, Records::Steered(all.clone()));
        for (id, records) in self.regions.ids().zip(all) {
            let base = self.child(&origin, &self.regions.get(id).name, span);
            self.srv(service, base, service.ttl, Records::Fixed(records));
        }
        for at in 0..service.tiers.len() {
            let tier = &service.tiers[at];
            let Some(base) = self.child(&origin, &tier.name.value, tier.name.span) else {
                continue;
            };
            let by_region: Vec<_> =
                self.regions.ids().map(|id| self.tier_set(service, id, at)).collect();
            let records = Records::Steered(by_region.clone());
            self.srv(service, Some(base), tier.ttl, records);
            for (id, records) in self.regions.ids().zip(by_region) {
                let region = self.child(&origin, &self.regions.get(id).name, span);
                let base = region.and_then(|region| self.child(&region, &tier.name.value, span));
                self.srv(service, base, tier.ttl, Records::Fixed(records));
            }
        }
    }

    /// Publishes SRV records at a service below a base.
    fn srv(&mut self, service: &Service, base: Option<Name>, ttl: u32, records: Records) {
        let span = service.name.span;
        let Some(owner) = base.and_then(|base| self.below(&service.name.value, &base, span)) else {
            return;
        };
        if self.tables.srv_owner_as_host {
            self.srv_owner_as_host(service, &owner, ttl, &records);
        }
        self.add(Table::Services, owner, Rtype::SRV, ttl, records, span);
    }

    /// Publishes what a client needs that takes an SRV owner for a host: the
    /// SRV records below the owner again, and the addresses of the endpoints
    /// that come first in failover order.
    fn srv_owner_as_host(&mut self, service: &Service, owner: &Name, ttl: u32, records: &Records) {
        let span = service.name.span;
        if let Some(doubled) = self.below(&service.name.value, owner, span) {
            self.add(Table::Compat, doubled, Rtype::SRV, ttl, records.clone(), span);
        }
        for rtype in [Rtype::A, Rtype::AAAA] {
            let mut least = ttl;
            let mut addresses = |list: &[Rdata]| self.first_addresses(rtype, list, &mut least);
            let records = match records {
                Records::Fixed(list) => Records::Fixed(addresses(list)),
                Records::Steered(lists) => {
                    Records::Steered(lists.iter().map(|list| addresses(list)).collect())
                }
            };
            if records.iter().next().is_some() {
                self.add(Table::Compat, owner.clone(), rtype, least, records, span);
            }
        }
    }

    /// Returns the addresses that `[hosts]` has for the targets of the lowest
    /// priority in a list of SRV records, and lowers `ttl` to theirs.
    fn first_addresses(&self, rtype: Rtype, list: &[Rdata], ttl: &mut u32) -> Vec<Rdata> {
        let first = list.iter().map(|rdata| &rdata.octets[..2]).min();
        let mut addresses = Vec::new();
        for rdata in list.iter().filter(|rdata| Some(&rdata.octets[..2]) == first) {
            let target = draft::target(Rtype::SRV, &rdata.octets);
            let Some(host) = target.and_then(|target| self.hosts.get(&target)) else {
                continue;
            };
            for address in &host.addresses {
                let (of, octets) = draft::address(address.value);
                if of == rtype {
                    *ttl = host.ttl.min(*ttl);
                    addresses.push(Rdata { octets, span: address.span });
                }
            }
        }
        addresses
    }

    /// Returns the SRV records of all tiers for the clients of a region.
    fn full_set(&self, service: &Service, region: RegionId) -> Vec<Rdata> {
        let Some(row) = self.row(service, region) else {
            return Vec::new();
        };
        let records = (0..service.tiers.len())
            .filter_map(|at| Some((at, cell(row, &service.tiers[at].name.value)?)))
            .flat_map(|(at, cell)| self.cell_set(service, at, cell))
            .collect();
        drain::behind(records, &self.tables.drained)
    }

    /// Returns the SRV records of one tier for the clients of a region.
    ///
    /// Where the row lacks the tier, the nearest earlier tier that it has
    /// answers, else the nearest later: the name has records for everybody.
    /// Where all endpoints of the tier are drained, those of the next tier
    /// that are not come before them, else of the one before.
    fn tier_set(&self, service: &Service, region: RegionId, tier: usize) -> Vec<Rdata> {
        let Some(row) = self.row(service, region) else {
            return Vec::new();
        };
        let count = service.tiers.len();
        let set_of = |at: usize| {
            let cell = cell(row, &service.tiers[at].name.value)?;
            Some(self.cell_set(service, at, cell))
        };
        let mut nearest = (0..=tier).rev().chain(tier + 1..count);
        let found = nearest.find_map(|at| Some((at, set_of(at)?)));
        let Some((at, mut records)) = found else { return Vec::new() };
        let drained = &self.tables.drained;
        let is_drained = |record: &Rdata| drain::is_drained(record, drained);
        if records.iter().all(is_drained) {
            let instead = (at + 1..count).chain((0..at).rev()).filter_map(set_of);
            let mut instead = instead.map(|mut records| {
                records.retain(|record| !is_drained(record));
                records
            });
            records.extend(instead.find(|records| !records.is_empty()).unwrap_or_default());
        }
        drain::behind(records, drained)
    }

    /// Returns the row that the clients of a region get, in the priority
    /// table that a service uses.
    fn row(&self, service: &Service, region: RegionId) -> Option<&'a Row> {
        let rows = &self.tables.services[service.table].rows;
        let find = |key| rows.iter().find(|row| row.key.value == key);
        find(RowKey::Region(region)).or_else(|| find(RowKey::Default))
    }

    fn cell_set(&self, service: &Service, tier: usize, cell: &Cell) -> Vec<Rdata> {
        let owner = &self.tables.services[service.table];
        let owns_table = owner.name.value == service.name.value;
        cell.endpoints
            .iter()
            .map(|endpoint| {
                let port = endpoint.port.filter(|_| owns_table).unwrap_or(service.port);
                let priority = service.tiers[tier].priority;
                let target = &endpoint.target;
                Rdata {
                    octets: draft::srv(priority, endpoint.weight, port, &target.value),
                    span: target.span,
                }
            })
            .collect()
    }

    /// Publishes the NAPTR records of the apex (RFC 3263 section 4.1).
    fn naptr(&mut self) {
        let mut rdatas = Vec::new();
        for (at, entry) in self.tables.naptr.iter().enumerate() {
            let service = &self.tables.services[entry.value];
            let mut services = NAPTR_SERVICES.iter();
            let Some((_, field)) = services.find(|(name, _)| *name == service.name.value) else {
                continue;
            };
            let origin = &self.tables.origin;
            let Some(replacement) = self.below(&service.name.value, origin, entry.span) else {
                continue;
            };
            // The order field decides; clients that take the first record of
            // the lowest order must not have to weigh preferences.
            let order = 10 * (at as u16 + 1);
            let octets = draft::naptr(order, 10, field, &replacement);
            rdatas.push(Rdata { octets, span: entry.span });
        }
        if let Some(span) = rdatas.first().map(|rdata| rdata.span) {
            let owner = self.tables.origin.clone();
            let ttl = self.tables.naptr_ttl;
            self.add(Table::Naptr, owner, Rtype::NAPTR, ttl, Records::Fixed(rdatas), span);
        }
    }

    fn geo(&mut self) {
        for geo in &self.tables.geo {
            let find = |key| geo.variants.iter().find(|variant| variant.key.value == key);
            let lists = self.regions.ids().map(|id| {
                let variant = find(RowKey::Region(id)).or_else(|| find(RowKey::Default));
                let rdatas = variant.map_or(&[][..], |variant| &variant.rdatas);
                rdatas
                    .iter()
                    .map(|rdata| Rdata { octets: rdata.value.clone(), span: rdata.span })
                    .collect()
            });
            let records = Records::Steered(lists.collect());
            let owner = geo.owner.value.clone();
            self.add(Table::Geo, owner, geo.rtype, geo.ttl, records, geo.owner.span);
            if let Some(draft) = self.drafts.last_mut() {
                draft.drain(&self.tables.drained);
            }
        }
    }

    /// Publishes the records of the master file, joined to RRsets.
    fn master_file(&mut self) {
        let first = self.drafts.len();
        let mut seen: BTreeMap<(&Name, Rtype), (usize, u32)> = BTreeMap::new();
        for record in &self.tables.records {
            let rdata = Rdata { octets: record.rdata.clone(), span: record.span };
            let place = seen.get(&(&record.owner, record.rtype)).copied();
            let Some((place, first_ttl)) = place else {
                let place = (self.drafts.len(), record.ttl);
                seen.insert((&record.owner, record.rtype), place);
                let records = Records::Fixed(vec![rdata]);
                let owner = record.owner.clone();
                let (rtype, ttl) = (record.rtype, record.ttl);
                self.add(Table::MasterFile, owner, rtype, ttl, records, record.span);
                continue;
            };
            let draft = &mut self.drafts[place];
            if record.ttl != first_ttl {
                self.report.add(mixed_ttl(draft, first_ttl, record));
                draft.ttl = draft.ttl.min(record.ttl);
            }
            if let Records::Fixed(list) = &mut draft.records {
                list.push(rdata);
            }
        }
        for draft in &mut self.drafts[first..] {
            draft.drain(&self.tables.drained);
        }
    }

    fn add(
        &mut self,
        table: Table,
        owner: Name,
        rtype: Rtype,
        ttl: u32,
        records: Records,
        span: Span,
    ) {
        self.drafts.push(Draft { owner, rtype, ttl, records, span, table });
    }

    fn child(&mut self, base: &Name, label: &str, span: Span) -> Option<Name> {
        self.named(base.child(label.as_bytes()), label, base, span)
    }

    fn below(&mut self, prefix: &str, base: &Name, span: Span) -> Option<Name> {
        self.named(Name::parse(prefix, base), prefix, base, span)
    }

    fn named(
        &mut self,
        name: Result<Name, NameError>,
        prefix: &str,
        base: &Name,
        span: Span,
    ) -> Option<Name> {
        match name {
            Ok(name) => Some(name),
            Err(error) => {
                let code = match error {
                    NameError::LabelTooLong => Code::LabelTooLong,
                    NameError::NameTooLong => Code::NameTooLong,
                    _ => Code::BadName,
                };
                self.report.add(Finding::new(
                    code,
                    span,
                    format!("`{prefix}.{base}` would be published here and has {error}"),
                    "shorten the zone's, region's, tier's or service's name",
                ));
                None
            }
        }
    }
}

/// Returns the tier of a row by its name.
fn cell<'r>(row: &'r Row, tier: &str) -> Option<&'r Cell> {
    row.cells.iter().find(|cell| cell.tier.value == tier)
}

fn mixed_ttl(draft: &Draft, first_ttl: u32, record: &Record) -> Finding {
    let Record { owner, rtype, ttl, .. } = record;
    Finding::new(
        Code::MixedTtl,
        record.span,
        format!("TTL {ttl} in the {rtype} records of {owner}, which began with TTL {first_ttl}"),
        "give all records of one owner and type the same TTL (RFC 2181 section 5.2)",
    )
    .with_related(draft.span, format!("TTL {first_ttl} here"))
    .excusable()
}
