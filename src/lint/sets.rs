//! Lists of SRV records, wherever they are written: weights, ports, counts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::subject::{Found, Subject, is_sip};
use crate::config::model::{Record, Row, RowKey, Service, ZoneTables};
use crate::diag::{Code, Finding, Span};
use crate::geo::RegionTable;
use crate::wire::{Name, Rtype, SrvData};

/// The most SRV records that every SIP stack in use takes: Asterisk keeps 8
/// addresses, and with 9 long names an answer is beyond 512 octets.
const TARGETS_MAX: usize = 8;

//----------- Set ------------------------------------------------------------

/// The SRV records of a name as some clients see them.
pub(super) struct Set<'a> {
    /// The owner's first two labels, in lower case: `_sip._tcp`.
    pub(super) service: Cow<'a, str>,

    /// Where it is written: a row, a `[[geo]]` variant, or the first record.
    pub(super) span: Span,

    /// Whose it is, for people.
    pub(super) of: String,

    /// The TTL that is written for it, where it is not of `[services]`.
    pub(super) ttl: Option<u32>,

    /// Whether it is directly below the zone's name.
    pub(super) is_at_apex: bool,

    /// The records.
    pub(super) records: Vec<Srv<'a>>,
}

/// An SRV record.
pub(super) struct Srv<'a> {
    /// The priority.
    pub(super) priority: u16,

    /// The weight.
    pub(super) weight: u16,

    /// The port, and where it is written.
    pub(super) port: (u16, Span),

    /// The target.
    pub(super) target: Cow<'a, Name>,

    /// Where the target is written.
    pub(super) span: Span,

    /// The largest TTL with which it goes out.
    pub(super) ttl: u32,
}

/// Returns every list of SRV records that the operator wrote.
pub(super) fn sets<'a>(tables: &'a ZoneTables, regions: &RegionTable) -> Vec<Set<'a>> {
    let mut sets = Vec::new();
    for service in &tables.services {
        let owner = &tables.services[service.table];
        sets.extend(owner.rows.iter().map(|row| of_row(service, owner, row, regions)));
    }
    for geo in tables.geo.iter().filter(|geo| geo.rtype == Rtype::SRV) {
        for variant in &geo.variants {
            let rdatas = variant.rdatas.iter().map(|rdata| (&rdata.value[..], rdata.span));
            let set = of_rdatas(&geo.owner.value, geo.ttl, rdatas, tables);
            sets.extend(set.map(|set| Set { span: variant.key.span, ..set }));
        }
    }
    let mut written: BTreeMap<&Name, Vec<&Record>> = BTreeMap::new();
    for record in tables.records.iter().filter(|record| record.rtype == Rtype::SRV) {
        written.entry(&record.owner).or_default().push(record);
    }
    for (owner, records) in written {
        let rdatas = records.iter().map(|record| (&record.rdata[..], record.span));
        sets.extend(of_rdatas(owner, records[0].ttl, rdatas, tables));
    }
    sets
}

fn of_row<'a>(
    service: &'a Service,
    owner: &'a Service,
    row: &'a Row,
    regions: &RegionTable,
) -> Set<'a> {
    let owns_table = owner.name.span == service.name.span;
    let mut records = Vec::new();
    for cell in &row.cells {
        let mut tiers = service.tiers.iter();
        let Some(tier) = tiers.find(|tier| tier.name.value == cell.tier.value) else { continue };
        for endpoint in &cell.endpoints {
            let target = &endpoint.target;
            let own = endpoint.port.filter(|_| owns_table).map(|port| (port, target.span));
            records.push(Srv {
                priority: tier.priority,
                weight: endpoint.weight,
                port: own.unwrap_or((service.port, service.name.span)),
                target: Cow::Borrowed(&target.value),
                span: target.span,
                ttl: service.ttl.max(tier.ttl),
            });
        }
    }
    Set {
        service: Cow::Borrowed(&service.name.value),
        span: row.key.span,
        of: format!("the row of `{}`", row_name(row.key.value, regions)),
        ttl: None,
        is_at_apex: true,
        records,
    }
}

/// Returns the name of a row in the operator's files.
pub(super) fn row_name(key: RowKey, regions: &RegionTable) -> &str {
    match key {
        RowKey::Region(id) => &regions.get(id).name,
        RowKey::Default => "default",
    }
}

fn of_rdatas<'a>(
    owner: &Name,
    ttl: u32,
    rdatas: impl Iterator<Item = (&'a [u8], Span)>,
    tables: &ZoneTables,
) -> Option<Set<'a>> {
    let records: Vec<_> = rdatas.filter_map(|(rdata, span)| of_rdata(rdata, span, ttl)).collect();
    let labels: Vec<_> = owner.labels().take(2).map(String::from_utf8_lossy).collect();
    Some(Set {
        service: Cow::Owned(labels.join(".").to_ascii_lowercase()),
        span: records.first()?.span,
        of: owner.to_string(),
        ttl: Some(ttl),
        is_at_apex: owner.label_count() == tables.origin.label_count() + 2,
        records,
    })
}

/// Reads the RDATA of an SRV record; one with the target "." says that there
/// is no such service (RFC 2782), and has nothing to look at.
fn of_rdata<'a>(rdata: &[u8], span: Span, ttl: u32) -> Option<Srv<'a>> {
    let SrvData { priority, weight, port, target } = SrvData::read(rdata)?;
    let is_meant = target.label_count() > 0;
    let (port, target) = ((port, span), Cow::Owned(target));
    is_meant.then_some(Srv { priority, weight, port, target, span, ttl })
}

//----------- Lints ----------------------------------------------------------

/// Weights of 0 among endpoints of one priority (RFC 2782, "Weight").
pub(super) fn weights(subject: &Subject<'_>, found: &mut Found<'_>) {
    for set in &subject.sets {
        let mut tiers: BTreeMap<u16, Vec<&Srv<'_>>> = BTreeMap::new();
        for record in &set.records {
            tiers.entry(record.priority).or_default().push(record);
        }
        for tier in tiers.values().filter(|tier| tier.len() > 1) {
            let is_all = tier.iter().all(|record| record.weight == 0);
            let mut idle = tier.iter().filter(|record| record.weight == 0);
            let (message, help) = if is_all {
                (
                    format!("all {} endpoints of this priority have weight 0", tier.len()),
                    "give equal weights above 0, such as 100: a Kamailio that balances by weight \
                     sends every call to one of them",
                )
            } else {
                (
                    "weight 0 beside endpoints with more".to_owned(),
                    "give it a weight, or move it to a later tier: what a weight of 0 gets is \
                     anything from nothing to a call now and then",
                )
            };
            if let Some(record) = idle.next() {
                found.add(Finding::new(Code::WeightZero, record.span, message, help));
            }
        }
    }
}

/// The port of another transport (RFC 3261 section 19.1.2).
pub(super) fn ports(subject: &Subject<'_>, found: &mut Found<'_>) {
    for set in &subject.sets {
        let (wrong, right, what) = match &*set.service {
            "_sips._tcp" | "_sip._tls" | "_sips._sctp" => (5060, 5061, "TLS"),
            "_sip._tcp" | "_sip._udp" | "_sip._sctp" => (5061, 5060, "no TLS"),
            _ => continue,
        };
        for record in set.records.iter().filter(|record| record.port.0 == wrong) {
            found.add(Finding::new(
                Code::PortAgainstService,
                record.port.1,
                format!("port {wrong} for `{}`, which speaks {what}", set.service),
                format!("write {right}, unless the endpoint really does so on {wrong}"),
            ));
        }
    }
}

/// More records than SIP stacks take.
pub(super) fn counts(subject: &Subject<'_>, found: &mut Found<'_>) {
    let is_long = |set: &&Set<'_>| set.records.len() > TARGETS_MAX && is_sip(&set.service);
    for set in subject.sets.iter().filter(is_long) {
        found.add(Finding::new(
            Code::ManyTargets,
            set.span,
            format!("{} has {} endpoints, more than {TARGETS_MAX}", set.of, set.records.len()),
            "keep the nearest: Asterisk looks at 8 addresses, Kamailio gives up after 12",
        ));
    }
}
