//! Name servers: of the zone, of what it delegates, and of zones that wait for
//! each other.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::subject::{Found, Subject};
use crate::config::model::ZoneTables;
use crate::diag::{Code, Finding, Report, Span};
use crate::wire::{LowerName, Name, Rtype};

//----------- Lints of one zone ----------------------------------------------

/// Name servers that resolvers cannot find, or that are alone.
pub(super) fn name_servers(subject: &Subject<'_>, found: &mut Found<'_>) {
    let tables = subject.tables;
    for (owner, servers) in by_owner(tables) {
        if owner.is_wildcard() {
            found.add(Finding::new(
                Code::WildcardNs,
                servers[0].1,
                format!("NS records at the wildcard {owner}"),
                "delegate each name: what these mean is not defined, and resolvers differ",
            ));
        }
        if *owner == tables.origin {
            one_server(owner, &servers, found);
        } else {
            without_glue(subject, owner, &servers, found);
        }
    }
}

fn one_server(origin: &Name, servers: &[(Name, Span)], found: &mut Found<'_>) {
    if let [(server, span)] = servers {
        found.add(Finding::new(
            Code::OneNameServer,
            *span,
            format!("{server} is the only name server of {origin}"),
            "run a second one with the same files: when the only one is silent for 12 s, a \
             Kamailio is down for a minute",
        ));
    }
}

fn without_glue(
    subject: &Subject<'_>,
    owner: &Name,
    servers: &[(Name, Span)],
    found: &mut Found<'_>,
) {
    for (server, span) in servers {
        let is_here = server.is_within(&subject.tables.origin);
        let has_address = || {
            let node = subject.zone.get(&LowerName::from(server)).or_else(|| subject.host(server));
            let node = node.into_iter();
            let mut rrsets = node.flat_map(|node| node.rrsets());
            rrsets.any(|rrset| [Rtype::A, Rtype::AAAA].contains(&rrset.rtype()))
        };
        // Below another delegation its addresses are found there.
        let is_elsewhere = || {
            let cut = |name: &Name| *name != subject.tables.origin && *name != *owner;
            let mut above = Some(server.clone());
            while let Some(name) = above.take_if(|name| name.is_within(&subject.tables.origin)) {
                let node = subject.zone.get(&LowerName::from(&name));
                if cut(&name) && node.is_some_and(|node| node.rrset(Rtype::NS).is_some()) {
                    return true;
                }
                above = name.parent();
            }
            false
        };
        if is_here && !has_address() && !is_elsewhere() {
            found.add(Finding::new(
                Code::DelegationWithoutGlue,
                *span,
                format!("{server}, a name server of {owner}, has no address here"),
                "add its A and AAAA records: nobody else can tell where it is",
            ));
        }
    }
}

/// Returns the name servers of the zone and of what it delegates.
fn by_owner(tables: &ZoneTables) -> BTreeMap<&Name, Vec<(Name, Span)>> {
    let mut servers: BTreeMap<&Name, Vec<(Name, Span)>> = BTreeMap::new();
    for host in tables.ns.iter().flat_map(|ns| &ns.hosts) {
        servers.entry(&tables.origin).or_default().push((host.value.clone(), host.span));
    }
    for record in tables.records.iter().filter(|record| record.rtype == Rtype::NS) {
        if let Ok(server) = Name::from_wire(&record.rdata) {
            servers.entry(&record.owner).or_default().push((server, record.span));
        }
    }
    servers
}

//----------- Servers --------------------------------------------------------

/// Who serves a zone, or a name that a zone delegates.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The zone or the delegated name.
    name: Name,

    /// Its name servers.
    hosts: Vec<Name>,

    /// Where the first is written.
    span: Span,
}

impl Servers {
    /// Returns the name servers of a zone and of what it delegates.
    pub fn of(tables: &ZoneTables) -> Vec<Servers> {
        let all = by_owner(tables).into_iter();
        all.map(|(name, servers)| Servers {
            name: name.clone(),
            span: servers[0].1,
            hosts: servers.into_iter().map(|(host, _)| host).collect(),
        })
        .collect()
    }

    /// Has it be written in a file that was taken in behind so many others; see
    /// [`Sources::absorb`](crate::diag::Sources::absorb).
    #[must_use]
    pub fn behind(self, count: u32, first: usize) -> Self {
        Servers { span: self.span.behind(count, first), ..self }
    }
}

/// Finds zones whose name servers are all in zones that wait for each other,
/// as far as that shows in the zones that are served here (TsuNAME, 2021).
///
/// A resolver finds a zone if one of its name servers is in the zone itself,
/// where the zone above has its address, or in another one that it finds. Of
/// zones that are not served here the best is assumed.
pub fn cycles<'a>(all: impl IntoIterator<Item = &'a Servers>, report: &mut Report) {
    let all: Vec<_> = all.into_iter().collect();
    // Of ten thousand zones, by one processor.
    let mut names: FxHashMap<&Name, Vec<&Servers>> = FxHashMap::default();
    for &servers in &all {
        names.entry(&servers.name).or_default().push(servers);
    }
    let zone_of = |host: &Name| {
        let mut name = Some(host.clone());
        while let Some(at) = name {
            if let Some((known, _)) = names.get_key_value(&at) {
                return Some(*known);
            }
            name = at.parent();
        }
        None
    };
    let mut lost: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for servers in &all {
        let zones: Option<BTreeSet<&Name>> = servers.hosts.iter().map(zone_of).collect();
        let zones = zones.filter(|zones| !zones.contains(&servers.name));
        lost.extend(zones.map(|zones| (&servers.name, zones)));
    }
    loop {
        let before = lost.len();
        let known: BTreeSet<&Name> = lost.keys().copied().collect();
        lost.retain(|_, zones| zones.iter().all(|zone| known.contains(zone)));
        if lost.len() == before {
            break;
        }
    }
    for (name, zones) in &lost {
        for servers in &names[name] {
            report.add(cycle(servers, zones, &names));
        }
    }
}

fn cycle(
    servers: &Servers,
    zones: &BTreeSet<&Name>,
    names: &FxHashMap<&Name, Vec<&Servers>>,
) -> Finding {
    let Servers { name, span, .. } = servers;
    let list: Vec<_> = zones.iter().map(ToString::to_string).collect();
    let message = format!(
        "the name servers of {name} are all in {}, which cannot be found without it",
        list.join(", ")
    );
    let help = "give it a name server in the zone itself, with its addresses in the zone above";
    let mut finding = Finding::new(Code::NsCycle, *span, message, help);
    for other in zones.iter().flat_map(|zone| &names[*zone]) {
        finding = finding.with_related(other.span, "part of the cycle");
    }
    finding
}
