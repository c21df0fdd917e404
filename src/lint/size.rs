//! Answers that are too long for those who ask.

use std::collections::BTreeMap;

use super::sets::row_name;
use super::subject::{Found, Subject};
use crate::answer::{Size, UDP_PAYLOAD, size};
use crate::config::model::RowKey;
use crate::diag::{Code, Finding, Span};
use crate::geo::RegionId;
use crate::snapshot::{Node, Rrset, Status, Variant};
use crate::wire::{Name, Rtype};

/// What a response over UDP may have without EDNS, in octets (RFC 1035 section
/// 2.3.4).
const PLAIN: usize = 512;

/// The longest answer of a place in the tables.
struct Longest {
    owner: Name,
    region: RegionId,
    size: Size,
}

/// The longest answer of each service, over all regions and names.
pub(super) fn sizes(subject: &Subject<'_>, found: &mut Found<'_>) {
    let mut longest: BTreeMap<(Span, Rtype), Longest> = BTreeMap::new();
    let nodes = subject.zone.nodes().filter(|node| node.status() == Status::Authoritative);
    for (node, rrset) in nodes.flat_map(|node| node.rrsets().map(move |rrset| (node, rrset))) {
        if ![Rtype::SRV, Rtype::NAPTR].contains(&rrset.rtype()) {
            continue;
        }
        for variant in rrset.variants().filter(|variant| rough(node, *variant) > PLAIN) {
            let Some(answer) = measure(subject, node, rrset, variant) else { continue };
            let Some(span) = written(subject, &answer.owner, rrset.rtype()) else { continue };
            let key = |one: &Longest| (one.size.needed, one.size.whole);
            match longest.get(&(span, rrset.rtype())) {
                Some(other) if key(other) >= key(&answer) => {}
                _ => drop(longest.insert((span, rrset.rtype()), answer)),
            }
        }
    }
    for ((span, rtype), answer) in &longest {
        add(subject, *span, *rtype, answer, found);
    }
}

/// Returns a length that an answer does not exceed, without compression.
///
/// 10,000 zones have a million lists of SRV records, of which few are near the
/// limits: the others need not be written to know that.
fn rough(node: Node<'_>, variant: Variant<'_>) -> usize {
    // Header, type and class of the question, OPT record; then owner pointer,
    // type, class, TTL and length of each record.
    let (frame, fixed) = (12 + 4 + 11, 12);
    let records: usize = variant.rdatas().map(|rdata| fixed + rdata.len()).sum();
    let glue: usize = variant
        .hosts()
        .flat_map(|host| {
            let rrsets = [Rtype::A, Rtype::AAAA].map(|rtype| host.node.rrset(rtype));
            let len = host.name.len();
            let rrsets = rrsets.into_iter().flatten().flat_map(|rrset| rrset.variants());
            rrsets.flat_map(|variant| variant.rdatas()).map(move |rdata| 10 + len + rdata.len())
        })
        .sum();
    frame + node.owner().len() + records + glue
}

fn measure(
    subject: &Subject<'_>,
    node: Node<'_>,
    rrset: Rrset<'_>,
    variant: Variant<'_>,
) -> Option<Longest> {
    let region = variant.regions().iter().next()?;
    let size = size(subject.zone, region, node.owner(), rrset.rtype())?;
    Some(Longest { owner: Name::from_wire(node.owner()).ok()?, region, size })
}

/// Returns where the records of a name are written.
fn written(subject: &Subject<'_>, owner: &Name, rtype: Rtype) -> Option<Span> {
    let labels: Vec<_> = owner.labels().take(2).map(String::from_utf8_lossy).collect();
    let service = labels.join(".").to_ascii_lowercase();
    let own = || {
        let mut services = subject.tables.services.iter();
        let found = services.find(|one| one.name.value == service);
        found.map(|service| service.name.span)
    };
    let naptr = || subject.tables.naptr.first().map(|first| first.span);
    let by_table = || if rtype == Rtype::SRV { own() } else { naptr() };
    subject.place(owner, &[rtype]).or_else(by_table)
}

fn add(subject: &Subject<'_>, span: Span, rtype: Rtype, answer: &Longest, found: &mut Found<'_>) {
    let Longest { owner, region, size: Size { needed, whole } } = answer;
    let limit = usize::from(UDP_PAYLOAD);
    let region = row_name(RowKey::Region(*region), subject.context.regions);
    let what = format!(
        "the {rtype} answer at {owner} for `{region}` has {needed} octets with question and OPT, \
         {whole} with all addresses"
    );
    let (code, help) = if *needed > limit {
        (
            Code::AnswerOver1232,
            "publish fewer endpoints, or shorter names: it is cut short (TC) for everybody, and \
             many SIP stacks have no TCP",
        )
    } else if *needed > PLAIN {
        (
            Code::AnswerOver512,
            "publish fewer endpoints, or shorter names: baresip and FreeSWITCH fail on an answer \
             above 512 octets",
        )
    } else if *whole > limit {
        (
            Code::GlueLeftOut,
            "publish fewer endpoints or addresses: the last hosts' addresses are left out, and \
             cost one more query each",
        )
    } else {
        return;
    };
    found.add(Finding::new(code, span, what, help));
}
