//! What only shows when the tables of a zone are joined.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::draft::{self, Draft, Rdata, Table};
use super::names::Names;
use crate::config::model::ZoneTables;
use crate::diag::{Code, Finding, Place, Report, Span};
use crate::wire::{Name, Rtype};

/// The most octets that the records of a name and type may take.
///
/// A TCP message has 65,535 (RFC 1035 section 4.2.2), and up to 17 aliases of
/// 500 octets may come before the records. Half of it leaves room for all of
/// that, and is still twenty times what a resolver likes to see.
const RRSET_LEN_MAX: usize = 32_768;

/// The most aliases in a row that are looked through for a loop. Resolvers
/// follow 16 at most, and long chains must not cost the square of their length.
const REACHED_MAX: usize = 64;

/// Joins drafts by owner and reports what does not fit together.
pub(super) fn check(tables: &ZoneTables, drafts: Vec<Draft>, report: &mut Report) -> Names {
    let origin = &tables.origin;
    let (within, outside): (Vec<_>, Vec<_>) =
        drafts.into_iter().partition(|draft| draft.owner.is_within(origin));
    report.extend_with(outside.iter().map(|draft| outside_zone(draft, tables)));
    let sorted = within.into_iter().map(|mut draft| {
        draft.records.sort(draft.rtype);
        draft
    });
    let mut names = Names::new(origin, sorted, |draft, other| report.add(two_owners(draft, other)));
    let mut checker = Checker {
        tables,
        names: &names,
        has_hidden: names.iter().any(|(owner, rrsets)| {
            rrsets.iter().any(|rrset| {
                rrset.rtype == Rtype::DNAME || rrset.rtype == Rtype::NS && owner != origin
            })
        }),
        sound: FxHashSet::default(),
        reported: BTreeSet::new(),
    };
    checker.apex(report);
    for (owner, rrsets) in names.iter() {
        checker.alias(owner, rrsets, report);
        checker.hidden(owner, rrsets, report);
        for rrset in rrsets {
            checker.single(rrset, report);
            checker.targets(rrset, report);
            checker.size(rrset, report);
        }
    }
    names.sort_rrsets();
    names
}

//----------- Checker --------------------------------------------------------

struct Checker<'a> {
    tables: &'a ZoneTables,
    names: &'a Names,

    /// Whether anything is delegated away or redirected.
    has_hidden: bool,

    /// Targets of SRV records that nothing was found about, in wire format:
    /// an endpoint shows up under every name of its service, and is looked
    /// into once.
    sound: FxHashSet<&'a [u8]>,

    /// What was reported, once for the same reason.
    reported: BTreeSet<Span>,
}

impl<'a> Checker<'a> {
    /// A zone has one SOA record and name servers (RFC 1035 section 5.2).
    fn apex(&self, report: &mut Report) {
        let origin = &self.tables.origin;
        let folder = || Place::from(self.tables.folder.clone());
        match self.rrset(origin, Rtype::SOA) {
            None => report.add(Finding::new(
                Code::NoSoa,
                folder(),
                format!("the zone {origin} has no SOA record"),
                "add [soa] to zone.toml, or an SOA record to records.zone",
            )),
            Some(soa) => {
                if let Some(second) = soa.records.iter().nth(1) {
                    report.add(two_soas(soa, second));
                }
            }
        }
        if self.rrset(origin, Rtype::NS).is_none() {
            report.add(Finding::new(
                Code::NoNs,
                folder(),
                format!("the zone {origin} has no NS records"),
                "add [ns] to zone.toml, or NS records to records.zone",
            ));
        }
        for (owner, rrsets) in self.names.iter().filter(|(owner, _)| *owner != origin) {
            for soa in rrsets.iter().filter(|rrset| rrset.rtype == Rtype::SOA) {
                report.add(Finding::new(
                    Code::OutsideZone,
                    soa.span,
                    format!("an SOA record at {owner}, which is not the zone's name {origin}"),
                    "remove it, or make a zone folder of its own for it",
                ));
            }
        }
    }

    /// A CNAME stands alone, and leads somewhere (RFC 1034 section 3.6.2).
    fn alias(&self, owner: &Name, rrsets: &[Draft], report: &mut Report) {
        let Some(alias) = rrsets.iter().find(|rrset| rrset.rtype == Rtype::CNAME) else {
            return;
        };
        for other in rrsets.iter().filter(|rrset| !stands_beside_alias(rrset.rtype)) {
            report.add(cname_and_other(alias, other));
        }
        self.alias_loop(owner, alias, report);
    }

    /// A name has one CNAME and one DNAME at most (RFC 1034 section 3.6.2, RFC
    /// 6672 section 2.4).
    fn single(&self, rrset: &Draft, report: &mut Report) {
        if ![Rtype::CNAME, Rtype::DNAME].contains(&rrset.rtype) {
            return;
        }
        let variants = rrset.records.variants();
        if let Some((list, _)) = variants.iter().find(|(list, _)| list.len() > 1) {
            report.add(Finding::new(
                Code::CnameAndOther,
                list[1].span,
                format!("a second {} at {}", rrset.rtype, rrset.owner),
                "leave one: a name can lead to one name only (RFC 1034 section 3.6.2, RFC 6672 \
                 section 2.4)",
            ));
        }
    }

    /// Reports a loop of aliases, at the first of its names.
    fn alias_loop(&self, owner: &Name, alias: &Draft, report: &mut Report) {
        let reached = self.reached(owner);
        let is_in_loop = reached.contains(owner);
        let is_first = |other: &&Name| self.reached(other).contains(owner) && *other < owner;
        if !is_in_loop || reached.iter().any(|other| is_first(&other)) {
            return;
        }
        let mut finding = Finding::new(
            Code::CnameLoop,
            alias.span,
            format!("the CNAME at {owner} leads back to itself"),
            "point one of the names in the loop at a host",
        );
        for other in reached.iter().filter(|other| *other != owner) {
            if let Some(next) = self.rrset(other, Rtype::CNAME) {
                finding = finding.with_related(next.span, "part of the loop");
            }
        }
        report.add(excusable(finding, alias.table));
    }

    /// Returns the names that clients can come to by following aliases, as
    /// far as a resolver would go and further.
    fn reached(&self, owner: &Name) -> BTreeSet<Name> {
        let mut reached = BTreeSet::new();
        let mut open = vec![owner.clone()];
        while let Some(name) = open.pop().filter(|_| reached.len() < REACHED_MAX) {
            open.extend(
                self.alias_targets(&name)
                    .into_iter()
                    .filter(|target| reached.insert(target.clone())),
            );
        }
        reached
    }

    fn alias_targets(&self, owner: &Name) -> Vec<Name> {
        self.rrset(owner, Rtype::CNAME).map_or_else(Vec::new, |alias| {
            alias.records.iter().filter_map(|rdata| Name::from_wire(&rdata.octets).ok()).collect()
        })
    }

    /// Records below a delegation or DNAME are never served.
    fn hidden(&self, owner: &Name, rrsets: &[Draft], report: &mut Report) {
        let Some(above) = self.hidden_by(owner) else {
            return;
        };
        let kind = if above.rtype == Rtype::NS { "delegation" } else { "DNAME" };
        // Addresses below a delegation are glue.
        let is_glue = |rrset: &Draft| above.rtype == Rtype::NS && is_address(rrset.rtype);
        for rrset in rrsets.iter().filter(|rrset| !is_glue(rrset)) {
            report.add(
                Finding::new(
                    Code::BelowCut,
                    rrset.span,
                    format!(
                        "the {} records of {owner} are below the {kind} at {}",
                        rrset.rtype, above.owner
                    ),
                    "move them to the zone that is delegated to, or remove the delegation",
                )
                .with_related(above.span, "everything below this is elsewhere"),
            );
        }
    }

    /// Returns the delegation or DNAME that a name is below.
    fn hidden_by(&self, owner: &Name) -> Option<&Draft> {
        let mut above = owner.parent().filter(|_| self.has_hidden)?;
        while above.is_within(&self.tables.origin) {
            if let Some(dname) = self.rrset(&above, Rtype::DNAME) {
                return Some(dname);
            }
            if above != self.tables.origin
                && let Some(cut) = self.rrset(&above, Rtype::NS)
            {
                return Some(cut);
            }
            above = above.parent()?;
        }
        None
    }

    /// The target of an SRV record, and a name server of the zone, is a host
    /// with addresses (RFC 2782, RFC 2181 section 10.3).
    fn targets(&mut self, rrset: &'a Draft, report: &mut Report) {
        let is_srv = rrset.rtype == Rtype::SRV;
        let serves_zone = rrset.rtype == Rtype::NS && rrset.owner == self.tables.origin;
        if !is_srv && !serves_zone {
            return;
        }
        for rdata in rrset.records.iter() {
            let wire = rdata.octets.get(6..).filter(|_| is_srv).unwrap_or_default();
            if self.sound.contains(wire) {
                continue;
            }
            let target = draft::target(rrset.rtype, &rdata.octets);
            match target.and_then(|target| self.target(rrset, rdata, &target)) {
                None if is_srv => drop(self.sound.insert(wire)),
                Some(finding) if self.reported.insert(rdata.span) => {
                    report.add(excusable(finding, rrset.table));
                }
                _ => {}
            }
        }
    }

    fn target(&self, rrset: &Draft, rdata: &Rdata, target: &Name) -> Option<Finding> {
        // "." says that there is no such service (RFC 2782).
        if target.as_wire() == [0] || !target.is_within(&self.tables.origin) {
            return None;
        }
        let dname = self.hidden_by(target).filter(|above| above.rtype == Rtype::DNAME);
        if let Some(alias) = self.visible(target, Rtype::CNAME).or(dname) {
            return Some(
                Finding::new(
                    Code::TargetIsAlias,
                    rdata.span,
                    format!("the {} target {target} is an alias", rrset.rtype),
                    "name the host that has the address: callers need not follow a CNAME here \
                     (RFC 2782)",
                )
                .with_related(alias.span, "the alias"),
            );
        }
        let has_address =
            [Rtype::A, Rtype::AAAA].into_iter().any(|rtype| self.visible(target, rtype).is_some());
        let cut = self.hidden_by(target).or_else(|| self.cut(target));
        let has_own =
            [Rtype::A, Rtype::AAAA].iter().any(|rtype| self.rrset(target, *rtype).is_some());
        if let Some(cut) = cut.filter(|_| has_own && rrset.rtype == Rtype::SRV) {
            return Some(
                Finding::new(
                    Code::BelowCut,
                    rdata.span,
                    format!("the SRV target {target} is delegated away"),
                    "its addresses here do not come along with the answer: remove the delegation, \
                     or name a host that is not below it",
                )
                .with_related(cut.span, "the delegation"),
            );
        }
        if has_address || cut.is_some() {
            return None;
        }
        Some(Finding::new(
            Code::TargetWithoutAddress,
            rdata.span,
            format!("the {} target {target} has no address in the zone", rrset.rtype),
            "add it under [hosts] with its addresses, or mend its spelling",
        ))
    }

    /// Returns the delegation at a name.
    fn cut(&self, name: &Name) -> Option<&Draft> {
        self.rrset(name, Rtype::NS).filter(|_| *name != self.tables.origin)
    }

    /// Returns the RRset that answers for a name, a wildcard's included.
    fn visible(&self, name: &Name, rtype: Rtype) -> Option<&Draft> {
        if self.exists(name) {
            return self.rrset(name, rtype);
        }
        let mut encloser = name.parent()?;
        while !self.exists(&encloser) {
            encloser = encloser.parent()?;
        }
        self.rrset(&encloser.child(b"*").ok()?, rtype)
    }

    /// Says whether a name has records or names below it.
    fn exists(&self, name: &Name) -> bool {
        self.names.id(name).is_some()
    }

    fn size(&self, rrset: &Draft, report: &mut Report) {
        for (list, _) in rrset.records.variants() {
            // Owner pointer, type, class, TTL and length take 12 octets.
            let len: usize = list.iter().map(|rdata| rdata.octets.len() + 12).sum();
            if len > RRSET_LEN_MAX {
                report.add(Finding::new(
                    Code::SetTooLarge,
                    rrset.span,
                    format!(
                        "the {} records of {} take {len} octets; {RRSET_LEN_MAX} are allowed",
                        rrset.rtype, rrset.owner
                    ),
                    "split them over several names",
                ));
            }
        }
    }

    fn rrset(&self, owner: &Name, rtype: Rtype) -> Option<&'a Draft> {
        self.names.rrset(owner, rtype)
    }
}

fn is_address(rtype: Rtype) -> bool {
    rtype == Rtype::A || rtype == Rtype::AAAA
}

/// Says whether a type may stand beside a CNAME (RFC 4034 section 2.5, 3).
fn stands_beside_alias(rtype: Rtype) -> bool {
    [Rtype::CNAME, Rtype::RRSIG, Rtype::NSEC].contains(&rtype)
}

//----------- Findings -------------------------------------------------------

/// Makes a finding about a master file one that can be lived with: what a carrier brings is
/// served elsewhere as it is. What the other tables say was written for this
/// server, and is to be right.
fn excusable(finding: Finding, table: Table) -> Finding {
    match table {
        Table::MasterFile => finding.excusable(),
        _ => finding,
    }
}

fn outside_zone(draft: &Draft, tables: &ZoneTables) -> Finding {
    Finding::new(
        Code::OutsideZone,
        draft.span,
        format!("{} is not in the zone {}", draft.owner, tables.origin),
        "write a name below the zone's, or without final dot to have the zone's name added",
    )
}

fn two_owners(draft: &Draft, other: &Draft) -> Finding {
    Finding::new(
        Code::TwoOwners,
        draft.span,
        format!(
            "{} gives the {} records of {}, which {} gives too",
            draft.table.name(),
            draft.rtype,
            draft.owner,
            other.table.name()
        ),
        "leave the records in one of the two places",
    )
    .with_related(other.span, "already given here")
}

fn two_soas(soa: &Draft, second: &Rdata) -> Finding {
    Finding::new(
        Code::TwoOwners,
        second.span,
        format!("a second SOA record at {}", soa.owner),
        "leave one: a zone has one SOA record (RFC 1035 section 5.2)",
    )
    .with_related(soa.span, "the first")
}

fn cname_and_other(alias: &Draft, other: &Draft) -> Finding {
    Finding::new(
        Code::CnameAndOther,
        other.span,
        format!("{} records at {}, which is an alias", other.rtype, other.owner),
        "remove the CNAME or the other records: an alias has no data of its own \
         (RFC 1034 section 3.6.2)",
    )
    .with_related(alias.span, "the CNAME")
}
