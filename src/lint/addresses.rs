//! Addresses: of targets, of the zone itself, and those that nobody can reach.

use super::subject::{Found, Subject, address};
use crate::diag::{Code, Finding, Span};
use crate::geo::special_block;
use crate::wire::Rtype;

/// Private and documentation addresses of a server in production.
pub(super) fn special(subject: &Subject<'_>, found: &mut Found<'_>) {
    if !subject.context.production {
        return;
    }
    let mut add = |address, span: Span| {
        if let Some(block) = special_block(address) {
            found.add(Finding::new(
                Code::SpecialAddress,
                span,
                format!("{address} is in {block}, a private or documentation network"),
                "write the address that callers can reach, or `production = false` under [server]",
            ));
        }
    };
    for located in subject.tables.hosts.iter().flat_map(|host| &host.addresses) {
        add(located.value, located.span);
    }
    let is_address = |rtype| [Rtype::A, Rtype::AAAA].contains(&rtype);
    for geo in subject.tables.geo.iter().filter(|geo| is_address(geo.rtype)) {
        for rdata in geo.variants.iter().flat_map(|variant| &variant.rdatas) {
            address(&rdata.value).into_iter().for_each(|address| add(address, rdata.span));
        }
    }
    for record in subject.tables.records.iter().filter(|record| is_address(record.rtype)) {
        address(&record.rdata).into_iter().for_each(|address| add(address, record.span));
    }
}

/// Targets whose addresses expire before the records that name them, or that
/// half of the callers cannot reach.
pub(super) fn targets(subject: &Subject<'_>, found: &mut Found<'_>) {
    for record in subject.sets.iter().flat_map(|set| &set.records) {
        let Some(node) = subject.host(&record.target) else { continue };
        let (v4, v6) = (node.rrset(Rtype::A), node.rrset(Rtype::AAAA));
        let span = |rtype| subject.place(&record.target, &[rtype]).unwrap_or(record.span);
        let short = v4.into_iter().chain(v6).find(|rrset| rrset.ttl() < record.ttl);
        if let Some(rrset) = short {
            let message = format!(
                "the addresses of {} have TTL {}, the SRV records that name it {}",
                record.target,
                rrset.ttl(),
                record.ttl
            );
            let help = "give the host that TTL or more: some SIP stacks keep an answer for as long \
                        as the shortest TTL in it";
            let finding = Finding::new(Code::HostTtlShort, span(rrset.rtype()), message, help);
            found.add(finding.with_related(record.span, "named here"));
        }
        if v4.is_none() && v6.is_some() {
            found.add(Finding::new(
                Code::TargetWithoutIpv4,
                span(Rtype::AAAA),
                format!("{} has no IPv4 address", record.target),
                "add one: a Kamailio without IPv6 and sipsak do not get any further",
            ));
        }
    }
}

/// Callers that look for no SRV records ask for the zone's own address.
pub(super) fn apex(subject: &Subject<'_>, found: &mut Found<'_>) {
    let Some(service) = subject.first_service() else { return };
    if subject.zone.apex().rrset(Rtype::A).is_none() {
        let origin = &subject.tables.origin;
        found.add(Finding::new(
            Code::NoApexAddress,
            service,
            format!("{origin} itself has no A record"),
            "add a [[geo]] entry with name = \"@\" and type = \"A\": sipp, SIP.js and others look \
             for no SRV records",
        ));
    }
}
