//! From a question to records: the algorithm of RFC 1034 section 4.3.2.

use super::{CLASS_IN, Cause};
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{Found, Node, Rrset, Status, Variant, Version, Zone};
use crate::wire::{
    Full, LowerName, Name, Question, Rcode, ResponseWriter, RrsetHead, Rtype, Section,
};

/// The most aliases that are followed for a client.
///
/// Resolvers stop at 8 (Unbound) to 16 (BIND); behind the last one the client
/// asks again by itself.
const ALIASES_MAX: usize = 16;

//----------- Resolution -----------------------------------------------------

/// What a question came to, beside the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolution {
    /// The response code.
    pub(super) rcode: Rcode,

    /// Whether the zone answers for the name asked for (AA).
    pub(super) authoritative: bool,

    /// Why.
    pub(super) cause: Cause,

    /// The regions whose clients get the same answer.
    pub(super) same: RegionSet,
}

impl Resolution {
    /// Returns what a question comes to that is not answered.
    pub(super) fn refused(cause: Cause) -> Self {
        let (rcode, same) = (Rcode::REFUSED, RegionSet::ALL);
        Resolution { rcode, authoritative: false, cause, same }
    }

    /// Returns what a question for the server's identity comes to.
    pub(super) fn identity() -> Self {
        Resolution { cause: Cause::Identity, ..Self::records() }
    }

    /// Returns what a question comes to that records answer.
    fn records() -> Self {
        let (rcode, same) = (Rcode::NOERROR, RegionSet::ALL);
        Resolution { rcode, authoritative: true, cause: Cause::Answered, same }
    }
}

//----------- Resolver -------------------------------------------------------

/// Answers a question from one version of a zone, for one region.
pub(super) struct Resolver<'s, 'w, 'b> {
    zone: &'s Zone,
    region: RegionId,
    writer: &'w mut ResponseWriter<'b>,

    /// What is known so far; complete when the resolver has run.
    pub(super) resolution: Resolution,
}

/// Where the answer stands after one name.
enum Step {
    /// There is nothing more to add.
    Done,

    /// The name is an alias of this one, in wire format.
    Follow(Box<[u8]>),
}

impl<'s, 'w, 'b> Resolver<'s, 'w, 'b> {
    /// Begins an answer; the writer has the question already.
    pub(super) fn new(
        version: &'s Version,
        region: RegionId,
        writer: &'w mut ResponseWriter<'b>,
    ) -> Self {
        Resolver { zone: &version.zone, region, writer, resolution: Resolution::records() }
    }

    /// Writes the records; stops where they do not fit.
    pub(super) fn run(&mut self, question: &Question<'_>) -> Result<(), Full> {
        let mut step = self.step(&question.name, question.name_as_sent(), question.qtype, true)?;
        for _ in 0..ALIASES_MAX {
            let Step::Follow(target) = step else {
                return Ok(());
            };
            let Some(name) = self.within(&target) else {
                return Ok(());
            };
            step = self.step(&name, &target, question.qtype, false)?;
        }
        Ok(())
    }

    /// Answers for one name: the one asked for, or one that an alias led to.
    fn step(
        &mut self,
        name: &LowerName,
        owner: &[u8],
        qtype: Rtype,
        is_first: bool,
    ) -> Result<Step, Full> {
        match self.zone.find(name.as_wire()) {
            Found::Exact(node) if node.status == Status::Cut && qtype != Rtype::DS => {
                self.refer(node, is_first)
            }
            Found::Exact(node) | Found::Wildcard(node) => self.at_node(node, owner, qtype),
            Found::Referral(node) => self.refer(node, is_first),
            Found::Redirected(node) => self.redirect(node, owner),
            Found::Missing => {
                self.resolution.rcode = Rcode::NXDOMAIN;
                self.negative(Cause::NoName)
            }
        }
    }

    /// Answers from the records of a name, or of the wildcard that stands in
    /// for it.
    fn at_node(&mut self, node: &'s Node, owner: &[u8], qtype: Rtype) -> Result<Step, Full> {
        let rrset = match qtype {
            // One RRset will do (RFC 8482 section 4.1).
            Rtype::ANY => node.rrsets.first(),
            _ => node.rrset(qtype).or_else(|| node.rrset(Rtype::CNAME)),
        };
        let Some(rrset) = rrset else {
            return self.no_data(node);
        };
        let variant = self.see(rrset);
        if variant.rdatas.is_empty() {
            return self.no_data(node);
        }
        self.write(Section::Answer, owner, rrset, variant)?;
        if rrset.rtype == Rtype::CNAME && qtype != Rtype::CNAME && qtype != Rtype::ANY {
            return Ok(Step::Follow(variant.rdatas[0].clone()));
        }
        self.hosts(rrset.rtype, variant);
        Ok(Step::Done)
    }

    fn no_data(&mut self, node: &Node) -> Result<Step, Full> {
        // A type that is missing for one region may exist for another.
        self.resolution.same = self.resolution.same.intersect(&node.same(self.region));
        self.negative(Cause::NoData)
    }

    /// Adds the SOA record that tells how long the denial holds (RFC 2308
    /// section 3).
    fn negative(&mut self, cause: Cause) -> Result<Step, Full> {
        self.resolution.cause = cause;
        let apex = self.zone.apex();
        let ttl = self.zone.negative_ttl();
        if let Some(soa) = apex.rrset(Rtype::SOA) {
            let rdatas = soa.variants[0].rdatas.iter().map(|rdata| &rdata[..]);
            let owner = apex.owner.as_wire();
            let head = RrsetHead { owner, rtype: Rtype::SOA, class: CLASS_IN, ttl };
            self.writer.rrset(Section::Authority, head, rdatas)?;
        }
        Ok(Step::Done)
    }

    /// Refers to the servers of a delegated name (RFC 1034 section 4.3.2,
    /// step 3b). Without a name server's glue the client could not go on, so
    /// glue below the cut is not optional (RFC 9471 section 3).
    fn refer(&mut self, cut: &'s Node, is_first: bool) -> Result<Step, Full> {
        if is_first {
            self.resolution.authoritative = false;
            self.resolution.cause = Cause::Referral;
        }
        let Some(servers) = cut.rrset(Rtype::NS) else {
            return Ok(Step::Done);
        };
        let variant = self.see(servers);
        self.write(Section::Authority, cut.owner.as_wire(), servers, variant)?;
        let nodes = variant.hosts.iter().map(|id| self.zone.node(*id));
        let (needed, helpful): (Vec<_>, Vec<_>) =
            nodes.partition(|host| host.owner.is_within(&cut.owner));
        for host in needed {
            self.addresses(host)?;
        }
        for host in helpful {
            if self.optional_addresses(host).is_err() {
                break;
            }
        }
        Ok(Step::Done)
    }

    /// Replaces the end of a name as a DNAME says (RFC 6672 section 3.2).
    fn redirect(&mut self, node: &'s Node, owner: &[u8]) -> Result<Step, Full> {
        let Some(dname) = node.rrset(Rtype::DNAME) else {
            return Ok(Step::Done);
        };
        let variant = self.see(dname);
        let above = node.owner.as_wire();
        self.write(Section::Answer, above, dname, variant)?;
        let prefix = &owner[..owner.len() - above.len()];
        let target = [prefix, &variant.rdatas[0]].concat();
        if target.len() > Name::MAX_LEN {
            self.resolution.rcode = Rcode::YXDOMAIN;
            self.resolution.cause = Cause::TooLong;
            return Ok(Step::Done);
        }
        let head = RrsetHead { owner, rtype: Rtype::CNAME, class: CLASS_IN, ttl: dname.ttl };
        self.writer.rrset(Section::Answer, head, [&target[..]])?;
        Ok(Step::Follow(target.into()))
    }

    /// Adds the addresses of the hosts that records name, as far as they fit.
    ///
    /// A host's addresses are left out whole, and the last host's first: hosts
    /// stand in the order of the records, which for SRV is that of failover.
    fn hosts(&mut self, rtype: Rtype, variant: &Variant) {
        let hosts: Vec<_> = variant
            .hosts
            .iter()
            .map(|id| self.zone.node(*id))
            // Addresses below a delegation are not this zone's to give.
            .filter(|host| host.status == Status::Authoritative || rtype == Rtype::NS)
            .collect();
        // Whether they fit or not, they belong to what clients may see.
        for host in &hosts {
            for rrset in addresses(host) {
                self.see(rrset);
            }
        }
        for host in hosts {
            if self.optional_addresses(host).is_err() {
                break;
            }
        }
    }

    fn optional_addresses(&mut self, host: &'s Node) -> Result<(), Full> {
        let mark = self.writer.mark();
        self.addresses(host).inspect_err(|Full| self.writer.rollback(mark))
    }

    fn addresses(&mut self, host: &'s Node) -> Result<(), Full> {
        for rrset in addresses(host) {
            let variant = self.see(rrset);
            self.write(Section::Additional, host.owner.as_wire(), rrset, variant)?;
        }
        Ok(())
    }

    /// Returns what the client's region sees of an RRset, and notes who else
    /// sees the same.
    fn see(&mut self, rrset: &'s Rrset) -> &'s Variant {
        let variant = rrset.variant(self.region);
        self.resolution.same = self.resolution.same.intersect(&variant.regions);
        variant
    }

    fn write(
        &mut self,
        section: Section,
        owner: &[u8],
        rrset: &Rrset,
        variant: &Variant,
    ) -> Result<(), Full> {
        if variant.rdatas.is_empty() {
            return Ok(());
        }
        let rdatas = variant.rdatas.iter().map(|rdata| &rdata[..]);
        let head = RrsetHead { owner, rtype: rrset.rtype, class: CLASS_IN, ttl: rrset.ttl };
        self.writer.rrset(section, head, rdatas)
    }

    /// Returns a name as a key if the zone has to do with it: answers use
    /// nothing outside their zone.
    fn within(&self, target: &[u8]) -> Option<LowerName> {
        let name = LowerName::from_wire(target)?;
        let origin = self.zone.origin();
        let labels = name.label_count().checked_sub(origin.label_count())?;
        name.ancestor(labels).eq_ignore_ascii_case(origin.as_wire()).then_some(name)
    }
}

/// Returns the address RRsets of a host.
fn addresses(host: &Node) -> impl Iterator<Item = &Rrset> {
    [Rtype::A, Rtype::AAAA].into_iter().filter_map(|rtype| host.rrset(rtype))
}
