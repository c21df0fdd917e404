//! Services: TTLs, tiers, and which transports there are.

use super::subject::{Found, Subject, is_sip};
use crate::config::model::Service;
use crate::diag::{Code, Finding, Span};
use crate::wire::Rtype;

/// The least TTL of a service, in seconds.
///
/// Resolvers hand out what is left of it, rounded down to 0 in the last
/// second, and a Kamailio with default settings fails on TTL 0: it loses some
/// 0.75 s of calls each time that a copy expires, 2.5 % of 30 s.
const TTL_MIN: u32 = 30;

/// The largest TTL of a service, in seconds: for as long callers may go on
/// calling an endpoint that was taken out.
const TTL_MAX: u32 = 300;

/// The least negative TTL, in seconds: sofia-sip (FreeSWITCH, drachtio) takes
/// a minimum of 10 or less for none, and then remembers a denial for 600 s.
const NEGATIVE_TTL_MIN: u32 = 11;

//----------- TTLs -----------------------------------------------------------

/// TTLs of services, tiers and NAPTR records.
pub(super) fn ttls(subject: &Subject<'_>, found: &mut Found<'_>) {
    for service in &subject.tables.services {
        let name = &service.name;
        add_ttl(service.ttl, &format!("of `{}`", name.value), name.span, found);
        for tier in service.tiers.iter().filter(|tier| tier.ttl != service.ttl) {
            let of = format!("of the tier `{}` of `{}`", tier.name.value, name.value);
            add_ttl(tier.ttl, &of, tier.name.span, found);
        }
    }
    for set in subject.sets.iter().filter(|set| is_sip(&set.service)) {
        if let Some(ttl) = set.ttl {
            add_ttl(ttl, &format!("of {}", set.of), set.span, found);
        }
    }
    let listed = subject.tables.naptr.first().map(|first| (subject.tables.naptr_ttl, first.span));
    let records = subject.tables.records.iter().filter(|one| one.rtype == Rtype::NAPTR);
    let written = records.map(|record| (record.ttl, record.span));
    for (ttl, span) in listed.into_iter().chain(written.filter(|_| has_service(subject))) {
        if ttl > TTL_MAX {
            found.add(Finding::new(
                Code::TtlLong,
                span,
                format!("TTL {ttl} of NAPTR records is above {TTL_MAX}"),
                "lower it: after one failed call a Kamailio skips such a record for its whole TTL",
            ));
        }
    }
}

fn has_service(subject: &Subject<'_>) -> bool {
    subject.first_service().is_some()
}

fn add_ttl(ttl: u32, of: &str, span: Span, found: &mut Found<'_>) {
    if ttl < TTL_MIN {
        found.add(Finding::new(
            Code::TtlShort,
            span,
            format!("TTL {ttl} {of} is below {TTL_MIN}"),
            "write 30 to 300: callers that ask this often meet an expired copy in too many calls",
        ));
    } else if ttl > TTL_MAX {
        found.add(Finding::new(
            Code::TtlLong,
            span,
            format!("TTL {ttl} {of} is above {TTL_MAX}"),
            "write 30 to 300: for so long callers go on calling an endpoint that you took out",
        ));
    }
}

/// The negative TTL (RFC 2308 section 5) of zones with services.
pub(super) fn negative_ttl(subject: &Subject<'_>, found: &mut Found<'_>) {
    let ttl = subject.zone.negative_ttl();
    if !has_service(subject) || (NEGATIVE_TTL_MIN..=TTL_MAX).contains(&ttl) {
        return;
    }
    let written = || subject.place(&subject.tables.origin, &[Rtype::SOA]);
    let Some(span) = subject.tables.soa.as_ref().map(|soa| soa.span).or_else(written) else {
        return;
    };
    let help = if ttl < NEGATIVE_TTL_MIN {
        "write a `minimum` of 30: FreeSWITCH takes 10 and less for none, and then remembers for \
         600 s that a name does not exist"
    } else {
        "write a `minimum` of 30: for so long resolvers remember that a name did not exist"
    };
    let message = format!("the negative TTL, the lower of the SOA's TTL and minimum, is {ttl}");
    found.add(Finding::new(Code::NegativeTtl, span, message, help));
}

//----------- Tiers ----------------------------------------------------------

/// Tiers whose copies expire together.
pub(super) fn tiers(subject: &Subject<'_>, found: &mut Found<'_>) {
    // Where every network and name has a TTL of its own, equal ones drift apart.
    let may_equal = subject.context.spread_ttl > 0;
    for service in &subject.tables.services {
        let falls = |before: u32, ttl: u32| ttl < before || (may_equal && ttl == before);
        let mut pairs = service.tiers.windows(2);
        let Some([before, tier]) = pairs.find(|pair| !falls(pair[0].ttl, pair[1].ttl)) else {
            continue;
        };
        let message = format!(
            "the TTL of tier `{}`, {}, is not below that of tier `{}`, {}",
            tier.name.value, tier.ttl, before.name.value, before.ttl
        );
        let help = "let TTLs fall from tier to tier, such as 60, 45 and 30, so that their copies \
                    do not expire together; or set `spread-ttl` under [handover]";
        let related = format!("TTL {}", before.ttl);
        found.add(
            Finding::new(Code::TierTtlNotFalling, tier.name.span, message, help)
                .with_related(before.name.span, related),
        );
    }
}

//----------- Transports -----------------------------------------------------

/// Transports that callers look for instead of those that there are.
///
/// Callers that follow RFC 3263 look for TLS at `_sips._tcp`, others (sipsak,
/// DIDWW, Microsoft) at `_sip._tls`. Callers without NAPTR records to go by
/// begin with UDP (RFC 3263 section 4.1, 4.2).
pub(super) fn transports(subject: &Subject<'_>, found: &mut Found<'_>) {
    let services = &subject.tables.services;
    let find = |name: &str| services.iter().find(|service| service.name.value == name);
    let (tcp, udp) = (find("_sip._tcp"), find("_sip._udp"));
    let (tls, old_tls) = (find("_sips._tcp"), find("_sip._tls"));
    let mut add = |service: &Service, missing: &str, why: &str| {
        let message = format!("`{}` without `{missing}`, {why}", service.name.value);
        let help =
            format!("declare it, with `priorities = \"{}\"`", services[service.table].name.value);
        found.add(Finding::new(Code::MissingTransport, service.name.span, message, help));
    };
    match (tls, old_tls) {
        (Some(service), None) => add(service, "_sip._tls", "where some callers look for TLS"),
        (None, Some(service)) => {
            add(service, "_sips._tcp", "where callers look for TLS by RFC 3263");
        }
        _ => {}
    }
    let says_tcp = subject.zone.apex().rrset(Rtype::NAPTR).is_some();
    if let (Some(service), None, false) = (tcp, udp, says_tcp) {
        let why = "which callers begin with where no NAPTR records say otherwise";
        add(service, "_sip._udp", why);
    }
}
