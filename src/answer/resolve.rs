//! From a question to records: the algorithm of RFC 1034 section 4.3.2.
//!
//! What comes out is whole: what of it fits into a message is not decided
//! here, so that two answers can be told apart without regard to limits.

use super::Cause;
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Found, Host, Node, Rrset, Status, Variant, Zone};
use crate::wire::{LowerName, Name, Question, Rcode, Rtype, Section, is_within};

/// The most aliases that are followed for a client.
///
/// Resolvers stop at 8 (Unbound) to 16 (BIND); behind the last one the client
/// asks again by itself.
const ALIASES_MAX: usize = 16;

/// The octets of the label `*`.
const WILDCARD_LEN: usize = 2;

/// Answers a question from a zone, for the clients of a region.
pub(super) fn resolve<'s>(
    zone: &'s Zone,
    region: RegionId,
    question: &Question<'_>,
) -> Resolution<'s> {
    let mut resolver =
        Resolver { zone, region, is_from_wildcard: false, resolution: Resolution::default() };
    let mut step = resolver.step(question.name, Owner::Question, question, true);
    for _ in 0..ALIASES_MAX {
        let Step::Follow(target) = step else {
            break;
        };
        let Some(name) = within(zone, &target) else {
            break;
        };
        // A chain that comes back to a name says nothing new there.
        if name == *question.name {
            resolver.resolution.is_for_all_below &= !resolver.is_from_wildcard;
            break;
        }
        if resolver.has_answered(&target) {
            break;
        }
        step = resolver.step(&name, Owner::Made(target), question, false);
    }
    resolver.resolution
}

//----------- Resolution -----------------------------------------------------

/// What a question comes to.
#[derive(Clone, Debug)]
pub(super) struct Resolution<'s> {
    /// The response code.
    pub(super) rcode: Rcode,

    /// Whether the zone answers for the name asked for (AA).
    pub(super) authoritative: bool,

    /// Why.
    pub(super) cause: Cause,

    /// How many octets at the end of the name asked for decide: every name with
    /// the same end that comes to the same node gets the same records.
    pub(super) known: usize,

    /// Whether that is so: what a DNAME makes of a name has all of it, and an
    /// alias at a wildcard may lead back to the name.
    pub(super) is_for_all_below: bool,

    /// The regions whose clients get the same.
    pub(super) same: RegionSet,

    /// The RRsets, in the order of the message.
    pub(super) records: Vec<Records<'s>>,
}

impl Resolution<'_> {
    /// Returns what a question comes to that is not answered.
    pub(super) fn refused(cause: Cause) -> Self {
        Resolution { rcode: Rcode::REFUSED, authoritative: false, cause, ..Self::default() }
    }

    /// Says whether clients of every region get this.
    pub(super) fn is_for_all(&self) -> bool {
        self.same == RegionSet::ALL
    }

    /// Returns the SRV records that answer, with their number; there is at
    /// most one RRset of them.
    pub(super) fn srv(&self) -> Option<(u32, &Records<'_>)> {
        let mut answers = self.records.iter().filter(|rrset| rrset.section == Section::Answer);
        answers.find_map(|rrset| Some((rrset.slot?, rrset)))
    }

    /// Says whether a client is told the same; the serial of the SOA record
    /// does not count.
    pub(super) fn agrees(&self, other: &Resolution<'_>) -> bool {
        let mut pairs = self.records.iter().zip(&other.records);
        self.rcode == other.rcode
            && self.authoritative == other.authoritative
            && self.records.len() == other.records.len()
            && pairs.all(|(own, other)| own.agrees(other))
    }
}

impl Default for Resolution<'_> {
    fn default() -> Self {
        Resolution {
            rcode: Rcode::NOERROR,
            authoritative: true,
            cause: Cause::Answered,
            known: 0,
            is_for_all_below: true,
            same: RegionSet::ALL,
            records: Vec::new(),
        }
    }
}

/// An RRset of an answer.
#[derive(Clone, Debug)]
pub(super) struct Records<'s> {
    /// Where it stands.
    pub(super) section: Section,

    /// The name it belongs to.
    pub(super) owner: Owner<'s>,

    /// The type.
    pub(super) rtype: Rtype,

    /// The TTL.
    pub(super) ttl: u32,

    /// The records' data.
    pub(super) data: Data<'s>,

    /// Of RRsets that the client can do without: the host whose addresses
    /// are left out together.
    pub(super) optional: Option<&'s [u8]>,

    /// Of SRV records, their number in the zone; see [`Rrset::srv_slot`].
    pub(super) slot: Option<u32>,
}

impl Records<'_> {
    /// Says whether both are the same; the serial of an SOA record does not
    /// count.
    pub(super) fn agrees(&self, other: &Records<'_>) -> bool {
        self.section == other.section
            && self.rtype == other.rtype
            && self.ttl == other.ttl
            && self.owner == other.owner
            && self.optional == other.optional
            && match (&self.data, &other.data) {
                (Data::Zone(own), Data::Zone(others)) if self.rtype == Rtype::SOA => {
                    own.first().map(without_serial) == others.first().map(without_serial)
                }
                (own, others) => own == others,
            }
    }
}

/// Returns what an SOA record says before and behind its serial, five numbers
/// of four octets standing at the end (RFC 1035 section 3.3.13).
fn without_serial(soa: &[u8]) -> (&[u8], &[u8]) {
    let (names, numbers) = soa.split_at(soa.len().saturating_sub(20));
    (names, numbers.get(4..).unwrap_or_default())
}

/// The name that records of an answer belong to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Owner<'s> {
    /// The name asked for, with the client's letter case.
    Question,

    /// A name of the zone.
    Zone(&'s [u8]),

    /// A name that an alias led to.
    Made(Box<[u8]>),
}

/// The data of records of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data<'s> {
    /// Those of the zone.
    Zone(Variant<'s>),

    /// One that follows from the question.
    Made(Box<[u8]>),
}

//----------- Resolver -------------------------------------------------------

struct Resolver<'s> {
    zone: &'s Zone,
    region: RegionId,

    /// Whether a wildcard stands in for the name asked for.
    is_from_wildcard: bool,

    resolution: Resolution<'s>,
}

/// Where the answer stands after one name.
enum Step {
    /// There is nothing more to add.
    Done,

    /// The name is an alias of this one, in wire format.
    Follow(Box<[u8]>),
}

impl<'s> Resolver<'s> {
    /// Says whether records of a name that an alias led to are in the answer.
    fn has_answered(&self, target: &[u8]) -> bool {
        self.resolution.records.iter().any(|rrset| match &rrset.owner {
            Owner::Made(name) => name.eq_ignore_ascii_case(target),
            _ => false,
        })
    }

    /// Answers for one name: the one asked for, or one that an alias led to.
    fn step(
        &mut self,
        name: &LowerName,
        owner: Owner<'s>,
        question: &Question<'_>,
        is_first: bool,
    ) -> Step {
        match self.zone.find(name) {
            Found::Exact(node) if is_referred(node, question.qtype) => self.refer(node, is_first),
            Found::Exact(node) | Found::Wildcard(node) => {
                if is_first {
                    self.is_from_wildcard = node.is_wildcard();
                } else if self.is_from_wildcard && node.is_wildcard() {
                    self.resolution.is_for_all_below = false;
                }
                self.at_node(node, owner, question.qtype)
            }
            Found::Referral(node) => self.refer(node, is_first),
            Found::Redirected(node) => self.redirect(node, owner, question),
            Found::Missing => {
                self.resolution.rcode = Rcode::NXDOMAIN;
                self.negative(Cause::NoName)
            }
        }
    }

    /// Answers from the records of a name, or of the wildcard that stands in
    /// for it.
    fn at_node(&mut self, node: Node<'s>, owner: Owner<'s>, qtype: Rtype) -> Step {
        let Some((rrset, variant)) = select(node, qtype, self.region) else {
            return self.no_data(node);
        };
        if qtype == Rtype::ANY {
            // Which RRset it is depends on what the client's region has.
            self.resolution.same = self.resolution.same.intersect(&node.same(self.region));
        }
        let first = variant.first().unwrap_or_default();
        self.know(node.owner().len() - if node.is_wildcard() { WILDCARD_LEN } else { 0 });
        self.see(rrset);
        self.add(Section::Answer, owner, rrset, variant);
        if rrset.rtype() == Rtype::CNAME && qtype != Rtype::CNAME && qtype != Rtype::ANY {
            return Step::Follow(first.into());
        }
        self.hosts(rrset.rtype(), variant);
        Step::Done
    }

    fn no_data(&mut self, node: Node<'_>) -> Step {
        // A type that is missing for one region may exist for another.
        self.resolution.same = self.resolution.same.intersect(&node.same(self.region));
        self.negative(Cause::NoData)
    }

    /// Adds the SOA record that tells how long the denial holds (RFC 2308
    /// section 3).
    fn negative(&mut self, cause: Cause) -> Step {
        self.resolution.cause = cause;
        let apex = self.zone.apex();
        self.know(apex.owner().len());
        if let Some(soa) = apex.rrset(Rtype::SOA) {
            self.resolution.records.push(Records {
                section: Section::Authority,
                owner: Owner::Zone(apex.owner()),
                rtype: Rtype::SOA,
                ttl: self.zone.negative_ttl(),
                data: Data::Zone(soa.first_variant()),
                optional: None,
                slot: None,
            });
        }
        Step::Done
    }

    /// Refers to the servers of a delegated name (RFC 1034 section 4.3.2,
    /// step 3b). Without a name server's glue the client could not go on, so
    /// glue below the cut is not optional (RFC 9471 section 3).
    fn refer(&mut self, cut: Node<'s>, is_first: bool) -> Step {
        if is_first {
            self.resolution.authoritative = false;
            self.resolution.cause = Cause::Referral;
        }
        let Some(servers) = cut.rrset(Rtype::NS) else {
            return Step::Done;
        };
        let variant = self.see(servers);
        self.know(cut.owner().len());
        self.add(Section::Authority, Owner::Zone(cut.owner()), servers, variant);
        let (needed, helpful): (Vec<_>, Vec<_>) =
            variant.hosts().partition(|host| is_within(host.name, cut.owner()));
        for host in needed {
            self.addresses(host, None);
        }
        for host in helpful {
            self.addresses(host, Some(host.name));
        }
        Step::Done
    }

    /// Replaces the end of a name as a DNAME says (RFC 6672 section 3.2).
    fn redirect(&mut self, node: Node<'s>, owner: Owner<'s>, question: &Question<'_>) -> Step {
        let Some(dname) = node.rrset(Rtype::DNAME) else {
            return Step::Done;
        };
        let variant = self.see(dname);
        let above = node.owner();
        self.know(above.len());
        if owner == Owner::Question {
            self.resolution.is_for_all_below = false;
        }
        // A chain may come below the same DNAME again; an RRset stands once.
        let is_known =
            |rrset: &Records<'_>| rrset.rtype == Rtype::DNAME && rrset.owner == Owner::Zone(above);
        if !self.resolution.records.iter().any(is_known) {
            self.add(Section::Answer, Owner::Zone(above), dname, variant);
        }
        let name = match &owner {
            Owner::Question => question.name_as_sent(),
            Owner::Zone(name) => name,
            Owner::Made(name) => name,
        };
        let target =
            [&name[..name.len() - above.len()], variant.first().unwrap_or_default()].concat();
        if target.len() > Name::MAX_LEN {
            self.resolution.rcode = Rcode::YXDOMAIN;
            self.resolution.cause = Cause::TooLong;
            return Step::Done;
        }
        self.resolution.records.push(Records {
            section: Section::Answer,
            owner,
            rtype: Rtype::CNAME,
            ttl: dname.ttl(),
            data: Data::Made(target.clone().into()),
            optional: None,
            slot: None,
        });
        match question.qtype {
            Rtype::CNAME | Rtype::ANY => Step::Done,
            _ => Step::Follow(target.into()),
        }
    }

    /// Adds the addresses of the hosts that records name, in the order of the
    /// records, which for SRV is that of failover.
    fn hosts(&mut self, rtype: Rtype, variant: Variant<'s>) {
        for host in variant.hosts() {
            // Addresses below a delegation are not this zone's to give.
            let status = host.node.status();
            if status == Status::Authoritative || rtype == Rtype::NS {
                self.addresses(host, Some(host.name));
            }
        }
    }

    fn addresses(&mut self, host: Host<'s>, optional: Option<&'s [u8]>) {
        for rtype in [Rtype::A, Rtype::AAAA] {
            let Some(rrset) = host.node.rrset(rtype) else { continue };
            let variant = self.see(rrset);
            self.add(Section::Additional, Owner::Zone(host.name), rrset, variant);
            if let Some(added) = self.resolution.records.last_mut() {
                added.optional = optional;
            }
        }
    }

    /// Notes how much of the name asked for decides, in octets, unless it was
    /// decided before.
    fn know(&mut self, len: usize) {
        if self.resolution.records.is_empty() {
            self.resolution.known = len;
        }
    }

    /// Returns what the client's region sees of an RRset, and notes who else
    /// sees the same.
    fn see(&mut self, rrset: Rrset<'s>) -> Variant<'s> {
        let variant = rrset.variant(self.region);
        self.resolution.same = self.resolution.same.intersect(variant.regions());
        variant
    }

    fn add(&mut self, section: Section, owner: Owner<'s>, rrset: Rrset<'s>, variant: Variant<'s>) {
        self.resolution.records.push(Records {
            section,
            owner,
            rtype: rrset.rtype(),
            ttl: rrset.ttl(),
            data: Data::Zone(variant),
            optional: None,
            slot: rrset.srv_slot(self.region),
        });
    }
}

/// Says whether a name that exists is answered for by the servers it is
/// delegated to: but for its DS records (RFC 4035 section 3.1.4.1).
pub(super) fn is_referred(node: Node<'_>, qtype: Rtype) -> bool {
    node.status() == Status::Cut && qtype != Rtype::DS
}

/// Returns the RRset of a name that answers who asks for a type, and what the
/// clients of a region see of it; none where that is nothing.
// As part of what prebuilt answers are found by, where it is half of the work.
#[inline(always)]
pub(super) fn select<'s>(
    node: Node<'s>,
    qtype: Rtype,
    region: RegionId,
) -> Option<(Rrset<'s>, Variant<'s>)> {
    let seen = |rrset: Rrset<'s>| Some((rrset, rrset.variant(region)));
    let has_records = |(_, variant): &(Rrset<'s>, Variant<'s>)| !variant.is_empty();
    match qtype {
        // One RRset will do (RFC 8482 section 4.1).
        Rtype::ANY => node.rrsets().filter_map(seen).find(has_records),
        _ => node
            .rrset(qtype)
            .or_else(|| node.rrset(Rtype::CNAME))
            .and_then(seen)
            .filter(has_records),
    }
}

/// Returns a name as a key if the zone has to do with it: answers use nothing
/// outside their zone.
fn within(zone: &Zone, target: &[u8]) -> Option<LowerName> {
    let name = LowerName::from_wire(target)?;
    let origin = zone.origin();
    let labels = name.label_count().checked_sub(origin.label_count())?;
    name.ancestor(labels).eq_ignore_ascii_case(origin.as_wire()).then_some(name)
}
