//! Addresses that would be in another region.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::daemon::load::Loaded;
use crate::geo::{Databases, RegionId, RegionMap};
use crate::snapshot::{Variant, Zone};
use crate::wire::{Name, Rtype};

/// The most networks of databases that are looked at, to say whose they are:
/// some seconds.
const NETWORKS_MAX: usize = 1_000_000;

/// The most countries and AS numbers that are told of a move.
const TOLD_MAX: usize = 8;

//----------- Moves ----------------------------------------------------------

/// Who would be in another region.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moves {
    /// The share of IPv4, from 0 to 1.
    pub ipv4: f64,

    /// The share of the IPv6 that is in use (2000::/3).
    pub ipv6: f64,

    /// From where to where, the most first.
    pub moves: Vec<Move>,

    /// Networks that tables name, of regions and of customers.
    pub networks: Vec<MovedNetwork>,

    /// Whether there was too much to say whose all of it is.
    pub is_partial: bool,
}

/// Addresses that go from one region to another.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Move {
    /// The region now.
    pub from: String,

    /// The region then.
    pub to: String,

    /// The share of IPv4, from 0 to 1.
    pub ipv4: f64,

    /// The share of the IPv6 that is in use.
    pub ipv6: f64,

    /// Countries that the addresses are in, by the databases on disk, the most
    /// IPv4 addresses first.
    pub countries: Vec<String>,

    /// Autonomous systems that announce them, in the same order.
    pub asns: Vec<u32>,
}

/// A network that a table names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MovedNetwork {
    /// The network.
    pub network: String,

    /// Who names it: a region, or a customer.
    pub of: String,

    /// The region of its first address now.
    pub from: String,

    /// The region of its first address then.
    pub to: String,
}

/// Which share of the addresses prefers an endpoint: of IPv4 and of IPv6.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EndpointShare {
    /// The zone.
    pub zone: String,

    /// The endpoint.
    pub endpoint: String,

    /// Now.
    pub before: (f64, f64),

    /// Then.
    pub after: (f64, f64),
}

/// What is counted of a move.
#[derive(Default)]
struct Count {
    addresses: [u128; 2],
    countries: BTreeMap<String, u128>,
    asns: BTreeMap<u32, u128>,
}

impl Moves {
    /// Compares two maps.
    pub(super) fn new(
        old: &RegionMap,
        new: &RegionMap,
        loaded: &Loaded,
        databases: &Databases,
    ) -> Self {
        let (ipv4, ipv6) = old.moved(new);
        let mut counts: BTreeMap<(String, String), Count> = BTreeMap::new();
        let mut left = NETWORKS_MAX;
        for (first, last, from, to) in old.moves(new) {
            let key = (old.name(from).to_owned(), new.name(to).to_owned());
            let count = counts.entry(key).or_default();
            count.addresses[usize::from(first.is_ipv6())] += number(last) - number(first) + 1;
            count.attribute((first, last), databases, &mut left);
        }
        let mut moves: Vec<_> = counts.into_iter().map(|(key, count)| count.told(key)).collect();
        moves.sort_by(|a, b| (b.ipv4 + b.ipv6).total_cmp(&(a.ipv4 + a.ipv6)));
        Moves { ipv4, ipv6, moves, networks: networks(old, new, loaded), is_partial: left == 0 }
    }

    /// Says whether nobody moves.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl Count {
    /// Finds whose the addresses of a stretch are: network by network, as the
    /// databases have them.
    fn attribute(
        &mut self,
        (first, last): (IpAddr, IpAddr),
        databases: &Databases,
        left: &mut usize,
    ) {
        let mut at = first;
        while *left > 0 {
            *left -= 1;
            let networks = databases.iter().filter_map(|database| database.network(at));
            let ends = networks.map(|network| network.broadcast());
            // What no database knows is taken a /24 or a /48 at a time.
            let end = ends.min().unwrap_or_else(|| coarse_end(at)).min(last);
            let facts = databases.facts(at);
            let count = number(end) - number(at) + 1;
            if let Some(country) = facts.country {
                *self.countries.entry(country.to_string()).or_default() += count;
            }
            if let Some(asn) = facts.asn {
                *self.asns.entry(asn).or_default() += count;
            }
            match following(end) {
                Some(next) if end < last => at = next,
                _ => return,
            }
        }
    }

    fn told(self, (from, to): (String, String)) -> Move {
        let [v4, v6] = self.addresses.map(|count| count as f64);
        let (ipv4, ipv6) = (v4 / 2f64.powi(32), v6 / 2f64.powi(125));
        let (countries, asns) = (most(self.countries), most(self.asns));
        Move { from, to, ipv4, ipv6, countries, asns }
    }
}

/// Returns what has most addresses.
fn most<T>(counts: BTreeMap<T, u128>) -> Vec<T> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(TOLD_MAX).map(|(one, _)| one).collect()
}

/// Returns the networks of tables whose first address moves.
fn networks(old: &RegionMap, new: &RegionMap, loaded: &Loaded) -> Vec<MovedNetwork> {
    let regions = loaded.regions.regions.iter();
    let of_regions = regions.flat_map(|region| {
        region.networks.iter().map(|network| (network.value, format!("region {}", region.name)))
    });
    let of_customers = loaded.config.customers.iter().flat_map(|customer| {
        let name = format!("customer {}", customer.name.value);
        customer.networks.iter().map(move |network| (network.value, name.clone()))
    });
    let moved = of_regions.chain(of_customers).filter_map(|(network, of)| {
        let [from, to] = [old, new].map(|map| map.name(map.locate(network.addr())));
        (from != to).then(|| MovedNetwork {
            network: network.to_string(),
            of,
            from: from.to_owned(),
            to: to.to_owned(),
        })
    });
    moved.collect()
}

//----------- Addresses ------------------------------------------------------

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn following(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into()))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into()))
        }
    }
}

/// Returns the end of the /24 (IPv4) or /32 (IPv6) that an address is in.
fn coarse_end(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) | 0xff).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) | (u128::MAX >> 32)).into()),
    }
}

//----------- Endpoints ------------------------------------------------------

/// Tells for each endpoint which share of IPv4 and of the IPv6 in use has it as
/// its first choice of a service, with all tiers; the largest share, where there
/// are several services.
pub(super) fn add_shares(zone: &Zone, map: &RegionMap, tell: &mut dyn FnMut(&str, (f64, f64))) {
    let shares = region_shares(map);
    let mut largest: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for node in zone.nodes().filter(|node| is_service(node.owner(), zone.origin())) {
        let Some(rrset) = node.rrset(Rtype::SRV) else { continue };
        let mut own: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for variant in rrset.variants() {
            let ids = (0..shares.len()).map(|at| RegionId(at as u8));
            let regions: Vec<_> = ids.filter(|id| variant.regions().contains(*id)).collect();
            let of = |family: usize| -> f64 {
                let known = regions.iter().filter_map(|region| shares.get(usize::from(region.0)));
                known.map(|share| share[family]).sum()
            };
            let (v4, v6) = (of(0), of(1));
            for (target, weight) in first_choices(variant) {
                let share = own.entry(target).or_default();
                *share = (share.0 + v4 * weight, share.1 + v6 * weight);
            }
        }
        for (target, share) in own {
            let known = largest.entry(target).or_default();
            *known = (known.0.max(share.0), known.1.max(share.1));
        }
    }
    for (target, share) in &largest {
        tell(target, *share);
    }
}

/// Says whether a name is that of a service for everybody: two labels in front
/// of the zone's.
fn is_service(owner: &[u8], origin: &Name) -> bool {
    let count = origin.label_count() + 2;
    let owner = Name::from_wire(owner).ok().filter(|owner| owner.label_count() == count);
    owner.is_some_and(|owner| owner.labels().take(2).all(|label| label.starts_with(b"_")))
}

/// Returns the targets of the lowest priority, each with its share of calls
/// (RFC 2782).
fn first_choices(variant: Variant<'_>) -> Vec<(String, f64)> {
    let read = |rdata: &[u8]| {
        let &[p0, p1, w0, w1, _, _, ref target @ ..] = rdata else { return None };
        let name = Name::from_wire(target).ok()?;
        Some((u16::from_be_bytes([p0, p1]), u16::from_be_bytes([w0, w1]), name.to_string()))
    };
    let records: Vec<_> = variant.rdatas().filter_map(read).collect();
    let lowest = records.iter().map(|(priority, ..)| *priority).min();
    let first: Vec<_> = records.iter().filter(|(own, ..)| Some(*own) == lowest).collect();
    let total: f64 = first.iter().map(|(_, weight, _)| f64::from((*weight).max(1))).sum();
    let share = |(_, weight, name): &&(u16, u16, String)| {
        (name.to_ascii_lowercase(), f64::from((*weight).max(1)) / total)
    };
    first.iter().map(share).collect()
}

/// Returns the shares of IPv4 and of the IPv6 in use that each region has.
fn region_shares(map: &RegionMap) -> Vec<[f64; 2]> {
    let mut shares = vec![[0.0; 2]; map.names().len()];
    let (first, last) = (1u128 << 125, (1u128 << 126) - 1);
    for (start, end, region) in map.ranges() {
        let Some(share) = shares.get_mut(usize::from(region.0)) else { continue };
        match start {
            IpAddr::V4(_) => share[0] += (number(end) - number(start) + 1) as f64 / 2f64.powi(32),
            IpAddr::V6(_) => {
                let (start, end) = (number(start).max(first), number(end).min(last));
                if start <= end {
                    share[1] += (end - start + 1) as f64 / 2f64.powi(125);
                }
            }
        }
    }
    shares
}
