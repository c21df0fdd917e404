//! `[services]` of `zone.toml`: services, their tiers, who shares what.

use super::model::{Row, Service, Tier};
use super::reader::{Entry, Fields, Item, add_duplicates, declared_twice};
use super::values::parse_label;
use super::zone::Zone;
use crate::diag::words::{quoted, suggest_declared};
use crate::diag::{Code, Finding, Located, Report, Span};
use crate::geo::RegionTable;
use crate::wire::Name;

/// The most services of a zone. SIP has seven with NAPTR and a few without.
const SERVICES_MAX: usize = 64;

/// The most tiers of a service. Each has a name in every region, so that a
/// service of this many in 250 regions publishes 16,000 names; clients give
/// up after 12 targets at most.
const TIERS_MAX: usize = 64;

//----------- Draft ----------------------------------------------------------

/// A service as it is declared.
///
/// It keeps its place among the services whatever is wrong with it, so that
/// what refers to it is not reported as well.
#[derive(Debug)]
pub(super) struct Draft {
    /// The owner prefix in lower case.
    pub(super) name: Located<String>,

    /// Where it is declared.
    pub(super) span: Span,

    /// The port of endpoints that do not name one.
    pub(super) port: u16,

    /// The tiers it uses, by priority ascending; its own or, where it shares
    /// a table and declares none, those of the table's owner.
    pub(super) tiers: Vec<TierDraft>,

    /// `priorities`: the service whose table it shares.
    pub(super) shares: Option<Located<String>>,

    /// The rows of its own table.
    pub(super) rows: Vec<Row>,

    ttl: u32,
    table: usize,

    /// Whether it has a `tiers` table, and where.
    own_tiers: Option<Span>,
}

/// A tier as it is declared.
#[derive(Clone, Debug)]
pub(super) struct TierDraft {
    /// The name: a label in lower case.
    pub(super) name: Located<String>,

    priority: Option<u16>,
    ttl: Option<u32>,
}

impl From<Draft> for Service {
    fn from(draft: Draft) -> Self {
        let tier = |tier: TierDraft| Tier {
            name: tier.name,
            // A tier without priority has been reported.
            priority: tier.priority.unwrap_or(0),
            ttl: tier.ttl.unwrap_or(draft.ttl),
        };
        Service {
            name: draft.name,
            port: draft.port,
            ttl: draft.ttl,
            tiers: draft.tiers.into_iter().map(tier).collect(),
            table: draft.table,
            rows: draft.rows,
        }
    }
}

/// Reads `[services]`; says also whether it could read every one of them.
pub(super) fn draft_services(mut fields: Fields<'_>, report: &mut Report) -> (Vec<Draft>, bool) {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut has_all = true;
    for (key, item) in fields.take_rest() {
        if is_nested_service(key, item) {
            add_nested_service("services.", key, item, report);
            has_all = false;
            continue;
        }
        let Some(mut draft) = draft(key, item, report) else {
            has_all = false;
            continue;
        };
        match drafts.iter().find(|other| other.name.value == draft.name.value) {
            Some(first) => {
                let what = format!("the service `{}`", key.value);
                report.add(declared_twice(what, key.span, first.name.span));
            }
            None => {
                draft.table = drafts.len();
                drafts.push(draft);
            }
        }
    }
    has_all &= limit(&mut drafts, SERVICES_MAX, "services", fields.span(), report);
    (drafts, has_all)
}

/// Reports a list that is too long, and cuts it; says whether it was not.
fn limit<T>(list: &mut Vec<T>, max: usize, what: &str, span: Span, report: &mut Report) -> bool {
    let is_within = list.len() <= max;
    if !is_within {
        report.add(Finding::new(
            Code::TooMany,
            span,
            format!("{} {what}, of {max} at most", list.len()),
            format!("join {what}, or spread them over several zones"),
        ));
        list.truncate(max);
    }
    is_within
}

/// Says whether this is the first half of a service name without quotes.
pub(super) fn is_nested_service(key: Located<&str>, item: Item<'_>) -> bool {
    let is_half = |text: &str| text.starts_with('_') && !text.contains('.');
    is_half(key.value) && item.entries().iter().any(|(key, _)| is_half(key.value))
}

/// Reports each header below a service name without quotes; `prefix` is what
/// stands before the name in it.
pub(super) fn add_nested_service(
    prefix: &str,
    key: Located<&str>,
    item: Item<'_>,
    report: &mut Report,
) {
    let mut headers = item.headers(&[key.value]);
    if headers.is_empty() {
        let second = item.entries().first().map(|(second, _)| second.value);
        headers.push((std::iter::once(key.value).chain(second).collect(), key.span));
    }
    for (path, span) in headers {
        let (service, rest) = path.split_at(path.len().min(2));
        let service = service.join(".");
        let rest: String = rest.iter().map(|part| format!(".{part}")).collect();
        report.add(Finding::new(
            Code::UnquotedName,
            span,
            format!("without quotes, `{service}` is no service but a table in a table"),
            format!("write `[{prefix}\"{service}\"{rest}]`, with the quotes"),
        ));
    }
}

fn draft(key: Located<&str>, item: Item<'_>, report: &mut Report) -> Option<Draft> {
    let title = format!("[services.\"{}\"]", key.value);
    let mut fields = item.table(title, report)?;
    let name = service_name(key, report);
    let tiers = fields.take("tiers").map(|(_, item)| item);
    // A key that went astray below `tiers` is reported there.
    let strays: Vec<_> = tiers.iter().flat_map(|item| item.entries()).filter(is_stray).collect();
    let is_astray = |name: &str| strays.iter().any(|(key, _)| key.value == name);
    let port = match is_astray("port") {
        true => None,
        false => fields.required("port", "port = 5060", report, read_port),
    };
    let ttl = match is_astray("ttl") {
        true => None,
        false => fields.required("ttl", "ttl = 60", report, Item::ttl),
    };
    let shares = fields.optional("priorities", report, |item, report| {
        Some(Located::new(item.string(report)?.to_ascii_lowercase(), item.span()))
    });
    let own_tiers = tiers.map(Item::span);
    let tiers = tiers.map(|item| read_tiers(key.value, item, report)).unwrap_or_default();
    fields.finish(report);
    Some(Draft {
        name: Located::new(name?, key.span),
        span: item.span(),
        port: port.unwrap_or(5060),
        ttl: ttl.unwrap_or(60),
        tiers,
        shares,
        rows: Vec::new(),
        table: 0,
        own_tiers,
    })
}

/// Reads a port.
pub(super) fn read_port(item: Item<'_>, report: &mut Report) -> Option<u16> {
    item.integer(1..=65535, report)
}

/// Reads an owner prefix: two labels that begin with underscores.
fn service_name(key: Located<&str>, report: &mut Report) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_part = |part: &str| {
        let name = part.strip_prefix('_').unwrap_or_default();
        !name.is_empty() && name.chars().all(is_plain)
    };
    let parts: Vec<_> = key.value.split('.').collect();
    if parts.len() != 2 || !parts.iter().all(|part| is_part(part)) {
        report.add(Finding::new(
            Code::BadName,
            key.span,
            format!("\"{}\" is not a service", key.value),
            "write two labels with underscores, such as \"_sip._tcp\" (RFC 2782)",
        ));
        return None;
    }
    for part in parts {
        parse_label(Located::new(part, key.span), "service", report)?;
    }
    Some(key.value.to_ascii_lowercase())
}

//------------ Tiers ---------------------------------------------------------

fn read_tiers(service: &str, item: Item<'_>, report: &mut Report) -> Vec<TierDraft> {
    let title = format!("[services.\"{service}\".tiers]");
    let Some(mut fields) = item.table(&title, report) else { return Vec::new() };
    let entries = fields.take_rest();
    if entries.is_empty() {
        report.add(Finding::new(
            Code::EmptySet,
            fields.span(),
            format!("the service `{service}` has no tiers"),
            "add at least one, such as `primary = { priority = 10 }`",
        ));
    }
    let mut tiers = Vec::new();
    for entry in entries {
        tiers.extend(read_tier(&title, entry, report));
    }
    let names: Vec<_> = tiers.iter().map(|tier: &TierDraft| tier.name.clone()).collect();
    add_duplicates(&names, report);
    tiers.sort_by_key(|tier| tier.priority);
    add_equal_tiers(&tiers, report);
    limit(&mut tiers, TIERS_MAX, "tiers", fields.span(), report);
    tiers
}

/// Says whether an entry of `tiers` is a key of the service itself.
fn is_stray((key, item): &Entry<'_>) -> bool {
    matches!(key.value, "port" | "priorities" | "ttl") && !item.is_table()
}

fn read_tier(title: &str, entry: Entry<'_>, report: &mut Report) -> Option<TierDraft> {
    let (key, item) = entry;
    if is_stray(&entry) {
        report.add(Finding::new(
            Code::MisplacedKey,
            key.span,
            format!("`{}` below {title} is read as a tier", key.value),
            "move it above that header, to the service's own keys",
        ));
        return None;
    }
    let name = parse_label(key, "tier", report)?;
    let mut tier = TierDraft { name: Located::new(name, key.span), priority: None, ttl: None };
    if item.value().is_integer() {
        item.add(
            Code::WrongType,
            format!("expected a table, found {}", item.describe()),
            format!("write `{} = {{ priority = {} }}`", key.value, item.source()),
            report,
        );
    } else if let Some(mut fields) = item.table(format!("tier `{}`", key.value), report) {
        tier.priority = fields.required("priority", "priority = 10", report, |item, report| {
            item.integer(0..=65535, report)
        });
        tier.ttl = fields.optional("ttl", report, Item::ttl);
        fields.finish(report);
    }
    Some(tier)
}

/// Reports tiers with the priority of another one; they are sorted by it.
fn add_equal_tiers(tiers: &[TierDraft], report: &mut Report) {
    for pair in tiers.windows(2) {
        let [before, tier] = pair else { continue };
        if tier.priority.is_some() && tier.priority == before.priority {
            let (name, other) = (&tier.name.value, &before.name.value);
            report.add(
                Finding::new(
                    Code::EqualPriority,
                    tier.name.span,
                    format!("tier `{name}` has the priority of tier `{other}`"),
                    "give each tier its own priority; the lowest is called first",
                )
                .with_related(before.name.span, "the same priority"),
            );
        }
    }
}

//------------ Sharing -------------------------------------------------------

/// Resolves who shares whose table, and whose tiers.
pub(super) fn check_sharing(drafts: &mut [Draft], report: &mut Report) {
    for at in 0..drafts.len() {
        if drafts[at].shares.is_none() {
            add_missing_tiers(&drafts[at], report);
            continue;
        }
        let Some(owner) = find_owner(at, drafts, report) else { continue };
        drafts[at].table = owner;
        if drafts[at].own_tiers.is_some() {
            add_different_tiers(&drafts[at], &drafts[owner], report);
        } else {
            drafts[at].tiers = drafts[owner].tiers.clone();
        }
    }
}

fn add_missing_tiers(draft: &Draft, report: &mut Report) {
    let name = &draft.name.value;
    if draft.own_tiers.is_none() {
        report.add(Finding::new(
            Code::MissingKey,
            draft.span,
            format!("the service `{name}` has no tiers"),
            format!("add `[services.\"{name}\".tiers]` with `primary = {{ priority = 10 }}`"),
        ));
    }
}

/// Finds the service whose table another one shares: one that shares none.
fn find_owner(at: usize, drafts: &[Draft], report: &mut Report) -> Option<usize> {
    let shares = drafts[at].shares.as_ref()?;
    let owner = drafts.iter().position(|other| other.name.value == shares.value);
    let finding = match owner.map(|owner| (owner, &drafts[owner])) {
        Some((owner, _)) if owner == at => Finding::new(
            Code::SharedTable,
            shares.span,
            format!("`{}` shares its own table", shares.value),
            "remove `priorities`, or name the service that owns the table",
        ),
        Some((owner, draft)) => match &draft.shares {
            None => return Some(owner),
            Some(other) => Finding::new(
                Code::SharedTable,
                shares.span,
                format!("`{}` has no table of its own: it shares one itself", shares.value),
                "name the service that owns the table",
            )
            .with_related(other.span, format!("`{}` shares this one", shares.value)),
        },
        None => {
            let help = "name a service that owns a table";
            Finding::new(
                Code::UnknownService,
                shares.span,
                format!("the service `{}` is not declared", shares.value),
                suggest_service(&shares.value, drafts, help),
            )
        }
    };
    report.add(finding);
    None
}

/// Reports tiers that a service and the owner of its table do not both have.
fn add_different_tiers(draft: &Draft, owner: &Draft, report: &mut Report) {
    let lacks = |draft: &Draft, name: &str| draft.tiers.iter().all(|own| own.name.value != name);
    let missing: Vec<_> =
        owner.tiers.iter().filter(|tier| lacks(draft, &tier.name.value)).collect();
    if let (Some(first), Some(span)) = (missing.first(), draft.own_tiers) {
        let names = quoted(missing.iter().map(|tier| &tier.name.value));
        let message = format!("the table of `{}` also has {names}", owner.name.value);
        let help = "declare all its tiers here, or remove this table to use them as they are";
        report.add(
            Finding::new(Code::UnknownTier, span, message, help)
                .with_related(first.name.span, "declared here"),
        );
    }
    for tier in draft.tiers.iter().filter(|tier| lacks(owner, &tier.name.value)) {
        let names = owner.tiers.iter().map(|tier| tier.name.value.as_str());
        report.add(Finding::new(
            Code::UnknownTier,
            tier.name.span,
            format!("the table of `{}` has no tier `{}`", owner.name.value, tier.name.value),
            suggest_declared(&tier.name.value, names, "remove it, or declare it there as well"),
        ));
    }
}

//------------ Names ---------------------------------------------------------

/// Services that SIP knows: who writes one of them means it.
const SIP_SERVICES: [&str; 8] = [
    "_sip._sctp",
    "_sip._tcp",
    "_sip._tls",
    "_sip._udp",
    "_sip._ws",
    "_sips._sctp",
    "_sips._tcp",
    "_sips._ws",
];

/// Returns the help for a service that is not declared.
pub(super) fn suggest_service(name: &str, drafts: &[Draft], declare: &str) -> String {
    let names = drafts.iter().map(|draft| draft.name.value.as_str());
    if SIP_SERVICES.contains(&name) && !drafts.is_empty() {
        return format!("{declare}; declared are {}", quoted(names));
    }
    suggest_declared(name, names, declare)
}

/// Checks the names that services publish against the regions' names.
pub(super) fn check_regions(zone: &Zone, regions: &RegionTable, report: &mut Report) {
    for draft in &zone.services {
        if draft.own_tiers.is_some() {
            add_tiers_called_like_regions(draft, regions, report);
        }
        add_too_long(draft, zone, regions, report);
    }
}

/// Reports a service whose longest name does not fit, once for all of them.
fn add_too_long(draft: &Draft, zone: &Zone, regions: &RegionTable, report: &mut Report) {
    let label = |name: &str| name.len() + 1;
    let tier = draft.tiers.iter().map(|tier| label(&tier.name.value)).max().unwrap_or(0);
    let region = regions.regions.iter().map(|region| label(&region.name)).max().unwrap_or(0);
    let name = match zone.srv_owner_as_host {
        true => format!("{0}.{0}", draft.name.value),
        false => draft.name.value.clone(),
    };
    let octets = label(&name) + tier + region + zone.base().as_wire().len();
    if octets > Name::MAX_LEN {
        report.add(Finding::new(
            Code::NameTooLong,
            draft.name.span,
            format!("the longest name `{name}.TIER.REGION` has {octets} octets with the zone's"),
            "shorten a tier or region: 255 octets fit",
        ));
    }
}

fn add_tiers_called_like_regions(draft: &Draft, regions: &RegionTable, report: &mut Report) {
    for tier in &draft.tiers {
        let Some(id) = regions.find(&tier.name.value) else { continue };
        let (name, service) = (&tier.name.value, &draft.name.value);
        report.add(
            Finding::new(
                Code::RegionIsTier,
                tier.name.span,
                format!("`{name}` is a region too: `{service}.{name}` would mean both"),
                "rename the tier",
            )
            .with_related(regions.get(id).span, "the region"),
        );
    }
}
