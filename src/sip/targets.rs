//! Whom to ask: every address of every endpoint that the zones name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::Transport;
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Found, Node, Zone};
use crate::wire::{LowerName, Name, Rtype, SrvData};

//----------- Target ---------------------------------------------------------

/// An address of an endpoint, for one service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// The zone that names the endpoint: the SIP domain.
    pub zone: String,

    /// The SRV target.
    pub endpoint: String,

    /// The service, such as `_sip._tcp`.
    pub service: String,

    /// How SIP is carried.
    pub transport: Transport,

    /// Where it is.
    pub address: SocketAddr,
}

/// An endpoint that cannot be asked.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Unasked {
    /// The SRV target.
    pub endpoint: String,

    /// The service.
    pub service: String,

    /// Why.
    pub why: &'static str,
}

/// Returns the targets of zones that a selection holds, by zone, endpoint and
/// service, and what else it holds.
pub fn targets(zones: &[Arc<Zone>], selection: &Selection) -> (Vec<Target>, Vec<Unasked>) {
    let (mut targets, mut unasked) = (Vec::new(), Vec::new());
    for zone in zones {
        for (endpoint, regions) in endpoints(zone) {
            if selection.holds(zone, &endpoint, &regions) {
                add(zones, zone, &endpoint, selection, &mut targets, &mut unasked);
            }
        }
    }
    (targets, unasked)
}

fn add(
    zones: &[Arc<Zone>],
    zone: &Zone,
    endpoint: &Endpoint,
    selection: &Selection,
    targets: &mut Vec<Target>,
    unasked: &mut Vec<Unasked>,
) {
    let (name, service) = (host(&endpoint.target), endpoint.service.clone());
    let addresses = addresses(zones, &endpoint.target);
    let Some(transport) = Transport::of_service(&service) else {
        let why = "only SIP over UDP, TCP and TLS can be asked";
        unasked.push(Unasked { endpoint: name, service, why });
        return;
    };
    if addresses.is_empty() {
        let why = "its addresses are not in these tables";
        unasked.push(Unasked { endpoint: name, service, why });
        return;
    }
    for address in addresses.into_iter().filter(|address| selection.has_family(*address)) {
        targets.push(Target {
            zone: host(zone.origin()),
            endpoint: name.clone(),
            service: service.clone(),
            transport,
            address: SocketAddr::new(address, endpoint.port),
        });
    }
}

/// Returns a name as SIP writes it: without the final dot.
pub fn host(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

//----------- Endpoint -------------------------------------------------------

/// An SRV target and port, for one service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Endpoint {
    target: Name,
    service: String,
    port: u16,
}

/// Returns the endpoints of a zone, each with the regions whose clients are
/// given it.
fn endpoints(zone: &Zone) -> BTreeMap<Endpoint, RegionSet> {
    let mut endpoints: BTreeMap<Endpoint, RegionSet> = BTreeMap::new();
    for node in zone.nodes() {
        let Some((rrset, service)) = node.rrset(Rtype::SRV).zip(service(node)) else { continue };
        for variant in rrset.variants() {
            for rdata in variant.rdatas() {
                let Some((port, target)) = read_srv(rdata) else { continue };
                let endpoint = Endpoint { target, service: service.clone(), port };
                let regions = endpoints.entry(endpoint).or_default();
                // A name of one region's says nothing about who asks for it.
                let is_steered = *variant.regions() != RegionSet::ALL;
                let named = if is_steered { *variant.regions() } else { RegionSet::default() };
                *regions = regions.union(&named);
            }
        }
    }
    endpoints
}

/// Returns the service that an owner of SRV records is of: its first labels
/// that begin with an underscore. That of [`srv-owner-as-host`] repeats it,
/// and is none.
///
/// [`srv-owner-as-host`]: crate::config::model::ZoneTables::srv_owner_as_host
fn service(node: Node<'_>) -> Option<String> {
    let owner = Name::from_wire(node.owner()).ok()?;
    let labels: Vec<_> = owner.labels().take_while(|label| label.starts_with(b"_")).collect();
    let [service, transport] = labels[..] else { return None };
    let text = |label: &[u8]| String::from_utf8_lossy(label).to_ascii_lowercase();
    Some(format!("{}.{}", text(service), text(transport)))
}

/// Reads port and target of SRV data (RFC 2782); a target `.` says that there
/// is no service.
fn read_srv(rdata: &[u8]) -> Option<(u16, Name)> {
    let SrvData { port, target, .. } = SrvData::read(rdata)?;
    (target != Name::root()).then_some((port, target))
}

/// Returns the addresses that the zones have for a host.
fn addresses(zones: &[Arc<Zone>], host: &Name) -> BTreeSet<IpAddr> {
    let around = zones.iter().filter(|zone| host.is_within(zone.origin()));
    let zone = around.max_by_key(|zone| zone.origin().label_count());
    let node = match zone.map(|zone| zone.find(&LowerName::from(host))) {
        Some(Found::Exact(node) | Found::Wildcard(node)) => node,
        _ => return BTreeSet::new(),
    };
    let rrsets = node.rrsets().filter(|rrset| [Rtype::A, Rtype::AAAA].contains(&rrset.rtype()));
    let rdatas = rrsets.flat_map(|rrset| rrset.variants().flat_map(|variant| variant.rdatas()));
    rdatas.filter_map(read_address).collect()
}

fn read_address(rdata: &[u8]) -> Option<IpAddr> {
    let v4 = rdata.try_into().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into());
    let v6 = || rdata.try_into().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into());
    v4.or_else(|_| v6()).ok()
}

//----------- Selection ------------------------------------------------------

/// Which endpoints are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// A name, relative to the zone or not, perhaps with `*` for any
    /// characters; all without one.
    pub endpoint: Option<String>,

    /// A service; all without one.
    pub service: Option<String>,

    /// The region whose clients are given the endpoints; all without one.
    pub region: Option<RegionId>,

    /// Whether addresses of IPv4 (`false`) or IPv6 (`true`) alone are meant.
    pub is_ipv6: Option<bool>,
}

impl Selection {
    fn holds(&self, zone: &Zone, endpoint: &Endpoint, regions: &RegionSet) -> bool {
        let name = host(&endpoint.target);
        let has_name = self.endpoint.as_ref().is_none_or(|pattern| {
            let pattern = pattern.trim_end_matches('.').to_ascii_lowercase();
            matches(&pattern, &name)
                || matches(&format!("{pattern}.{}", host(zone.origin())), &name)
        });
        has_name
            && self.service.as_ref().is_none_or(|service| *service == endpoint.service)
            && self.region.is_none_or(|region| regions.contains(region))
    }

    fn has_family(&self, address: IpAddr) -> bool {
        self.is_ipv6.is_none_or(|is_ipv6| address.is_ipv6() == is_ipv6)
    }
}

/// Says whether a text is what a pattern says, in which `*` stands for any
/// characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let cuts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    cuts.into_iter().any(|at| matches(rest, &text[at..]))
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in
            [("sbc1", "sbc1"), ("sbc*", "sbc1"), ("*.us-*", "sbc1.us-east"), ("*", "")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("sbc1", "sbc11"), ("sbc*x", "sbc1"), ("*.eu", "sbc1.us")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn srv_data_without_a_service_is_no_endpoint() {
        assert_eq!(read_srv(&[0, 10, 0, 0, 0x13, 0xc4, 0]), None);
        assert_eq!(read_srv(&[0, 10]), None);
        let (port, target) = read_srv(b"\0\x0a\0\0\x13\xc4\x01a\0").unwrap();
        assert_eq!((port, host(&target).as_str()), (5060, "a"));
    }
}
