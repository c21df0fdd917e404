//! Rows of priority tables: what the endpoints of a region have in common.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::sets::row_name;
use super::subject::{Found, Subject};
use crate::config::model::{Endpoint, Row, RowKey, Service};
use crate::diag::{Code, Finding};
use crate::geo::{RegionSet, network_len, special_block};
use crate::wire::Name;

/// One endpoint, network or AS that carries all tiers of a region.
pub(super) fn shared_fate(subject: &Subject<'_>, found: &mut Found<'_>) {
    for row in subject.tables.services.iter().flat_map(|service| &service.rows) {
        let region = row_name(row.key.value, subject.context.regions);
        let targets: BTreeSet<_> = endpoints(row).map(|one| &one.target.value).collect();
        if let (Some(only), 1) = (targets.first(), targets.len()) {
            found.add(Finding::new(
                Code::RegionOnOneEndpoint,
                row.key.span,
                format!("all tiers of `{region}` are {only}"),
                "add a tier with another endpoint: when this one is down, so is the region",
            ));
            continue;
        }
        let addresses: Vec<_> =
            targets.iter().map(|target| (*target, subject.addresses(target))).collect();
        one_network(region, row, &addresses, found);
        one_asn(subject, region, row, &addresses, found);
    }
}

fn endpoints(row: &Row) -> impl Iterator<Item = &Endpoint> {
    row.cells.iter().flat_map(|cell| &cell.endpoints)
}

/// Reports a family of addresses of which all are in one network.
fn one_network(region: &str, row: &Row, hosts: &[(&Name, Vec<IpAddr>)], found: &mut Found<'_>) {
    for is_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let mut networks = BTreeSet::new();
        let mut count = 0;
        for (_, addresses) in hosts {
            let own: Vec<_> = addresses.iter().filter(|address| is_family(address)).collect();
            count += usize::from(!own.is_empty());
            networks.extend(own.into_iter().map(|address| network(*address)));
        }
        // Of private and documentation addresses nobody knows what they share.
        let only = networks.first().filter(|_| networks.len() == 1 && count > 1);
        if let Some(only) = only.filter(|only| special_block(only.addr()).is_none()) {
            found.add(Finding::new(
                Code::RegionOnOneNetwork,
                row.key.span,
                format!("all {count} endpoints of `{region}` are in {only}"),
                "add an endpoint elsewhere: what cuts this network off cuts the region off",
            ));
        }
    }
}

fn network(address: IpAddr) -> IpNet {
    // A family's own length is never too long for it.
    IpNet::new(address, network_len(address)).unwrap_or(IpNet::from(address)).trunc()
}

fn one_asn(
    subject: &Subject<'_>,
    region: &str,
    row: &Row,
    hosts: &[(&Name, Vec<IpAddr>)],
    found: &mut Found<'_>,
) {
    let Some(databases) = subject.context.databases else { return };
    let addresses = hosts.iter().flat_map(|(_, addresses)| addresses);
    let mut asns = addresses.map(|address| databases.facts(*address).asn);
    // Most databases know of none.
    let Some(Some(asn)) = asns.next() else { return };
    if asns.all(|other| other == Some(asn)) {
        found.add(Finding::new(
            Code::RegionOnOneAsn,
            row.key.span,
            format!("all {} endpoints of `{region}` are in AS {asn}", hosts.len()),
            "add an endpoint behind another AS: a routing mistake there takes all of them away",
        ));
    }
}

//----------- Last resort ----------------------------------------------------

/// A region without an endpoint of another region.
pub(super) fn last_resort(subject: &Subject<'_>, found: &mut Found<'_>) {
    let regions = subject.context.regions;
    let all: RegionSet = regions.ids().collect();
    for service in subject.tables.services.iter().filter(|service| !service.rows.is_empty()) {
        let rows: Vec<_> =
            service.rows.iter().map(|row| (row, clients(service, row, &all))).collect();
        let homes = homes(service, &rows);
        for (row, own) in &rows {
            let is_abroad = |one: &Endpoint| !homes[&one.target.value].1.is_subset(own);
            let is_for_some = !own.is_empty() && own.len() < all.len();
            if !is_for_some || is_one_host(row) || endpoints(row).any(is_abroad) {
                continue;
            }
            let region = row_name(row.key.value, regions);
            found.add(Finding::new(
                Code::NoLastResort,
                row.key.span,
                format!("`{region}` has no endpoint of another region"),
                "add one as its last tier: it takes the calls when the whole region is down",
            ));
        }
    }
}

/// Says whether a row has one endpoint, which is a finding of its own.
fn is_one_host(row: &Row) -> bool {
    let mut targets = endpoints(row).map(|endpoint| &endpoint.target.value);
    let first = targets.next();
    targets.all(|target| Some(target) == first)
}

/// Returns the regions whose clients get a row.
fn clients(service: &Service, row: &Row, all: &RegionSet) -> RegionSet {
    match row.key.value {
        RowKey::Region(id) => RegionSet::one(id),
        RowKey::Default => {
            let has_row = |id| service.rows.iter().any(|row| row.key.value == RowKey::Region(id));
            all.iter().filter(|id| !has_row(*id)).collect()
        }
    }
}

/// Returns where each endpoint is at home: in the regions that have it in the
/// earliest tier, whose position is beside them.
fn homes<'r>(
    service: &Service,
    rows: &[(&'r Row, RegionSet)],
) -> FxHashMap<&'r Name, (usize, RegionSet)> {
    let mut homes: FxHashMap<&Name, (usize, RegionSet)> = FxHashMap::default();
    for (row, own) in rows {
        for cell in &row.cells {
            let name = &cell.tier.value;
            let tier = service.tiers.iter().position(|tier| tier.name.value == *name);
            let tier = tier.unwrap_or(usize::MAX);
            for endpoint in &cell.endpoints {
                let home = homes.entry(&endpoint.target.value).or_insert((tier, *own));
                match tier.cmp(&home.0) {
                    Ordering::Less => *home = (tier, *own),
                    Ordering::Equal => home.1 = home.1.union(own),
                    Ordering::Greater => {}
                }
            }
        }
    }
    homes
}

//----------- Equal endpoints ------------------------------------------------

/// Endpoints that differ by port alone, where a service shares their table:
/// its own port counts for all of them.
pub(super) fn equal_endpoints(subject: &Subject<'_>, found: &mut Found<'_>) {
    let services = &subject.tables.services;
    for (at, sharing) in services.iter().enumerate().filter(|(at, one)| one.table != *at) {
        debug_assert_ne!(at, sharing.table);
        for row in &services[sharing.table].rows {
            let mut seen: BTreeMap<&Name, &Endpoint> = BTreeMap::new();
            for endpoint in endpoints(row) {
                let Some(first) = seen.insert(&endpoint.target.value, endpoint) else { continue };
                if first.port == endpoint.port {
                    continue;
                }
                found.add(
                    Finding::new(
                        Code::EqualEndpoints,
                        endpoint.target.span,
                        format!(
                            "for `{}`, which shares this table, it is the endpoint before: all \
                             have port {} there",
                            sharing.name.value, sharing.port
                        ),
                        "give that service a table of its own, or each endpoint a host name",
                    )
                    .with_related(first.target.span, "the same host"),
                );
            }
        }
    }
}
