//! Zone folders: `zone.toml` and what stands beside it.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::path::Path;

use super::allow::allow;
use super::master::read_master;
use super::model::{GeoRrset, Host, NAPTR_SERVICES, NameServers, Service, Soa, ZoneTables};
use super::priorities::read_priorities;
use super::reader::{Entry, Fields, Item, declared_twice};
use super::services::{Draft, check_regions, check_sharing, draft_services, suggest_service};
use super::steered::steered;
use super::text::{Parsed, Text};
use super::values::parse_name;
use crate::diag::words::quoted;
use crate::diag::{Code, Finding, Located, Place, Report, Sources, Span};
use crate::geo::RegionTable;
use crate::wire::Name;

/// The TTL of `[hosts]` and NAPTR records without one of their own.
const DEFAULT_TTL: u32 = 300;

/// Reads a zone folder.
///
/// Where there are findings, the result is what could be read; there is none
/// where the zone's name is unknown, `zone.toml` cannot be read, or a file is
/// not TOML.
pub fn read_zone(
    sources: &mut Sources,
    folder: &Path,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<ZoneTables> {
    let master = folder.join("records.zone");
    let has_master = sources.has(&master);
    let text = Text::try_read(sources, &folder.join("zone.toml"), report)?;
    let zone = match &text {
        Some(text) => text.parse(report, |root, report| zone(root, folder, regions, report)),
        None if has_master => Parsed::without_file(Zone::of(folder_origin(folder, report))),
        None => {
            report.add(empty_folder(folder));
            return None;
        }
    };
    let (mut zone, zone_is_whole) = (zone.value, zone.is_whole);
    let rows = match read_priorities_text(sources, folder, &zone, report) {
        Some(text) => text.parse(report, |root, report| {
            read_priorities(root, &mut zone, regions, zone_is_whole, report)
        }),
        None => Parsed::without_file(None),
    };
    let records = match &zone.origin {
        Some(origin) if has_master => read_master(sources, &master, origin, report),
        _ => Vec::new(),
    };
    let effective = rows.whole().filter(|_| zone_is_whole)?;
    Some(ZoneTables { effective, records, ..zone.into_tables(folder)? })
}

fn empty_folder(folder: &Path) -> Finding {
    Finding::new(
        Code::EmptyZone,
        folder.to_owned(),
        "the folder holds neither zone.toml nor records.zone",
        "add one of them, or give the folder a name that begins with a dot to keep it out",
    )
}

fn read_priorities_text(
    sources: &mut Sources,
    folder: &Path,
    zone: &Zone,
    report: &mut Report,
) -> Option<Text> {
    let path = folder.join("priorities.toml");
    let text = Text::try_read(sources, &path, report)?;
    if text.is_none() && !zone.services.is_empty() {
        let names = quoted(zone.services.iter().map(|service| &service.name.value));
        report.add(Finding::new(
            Code::FileUnreadable,
            path,
            format!("it does not exist, but zone.toml declares {names}"),
            "create it, with a row such as `[\"_sip._tcp\".default]`",
        ));
    }
    text
}

//----------- Zone -----------------------------------------------------------

/// What `zone.toml` says.
#[derive(Debug)]
pub(super) struct Zone {
    /// The zone's name, where there is one.
    pub(super) origin: Option<Name>,

    /// The services, whose rows `priorities.toml` holds.
    pub(super) services: Vec<Draft>,

    /// Whether there is no service whose declaration could not be read.
    pub(super) has_all_services: bool,

    /// `[compat] srv-owner-as-host`
    pub(super) srv_owner_as_host: bool,

    soa: Option<Soa>,
    ns: Option<NameServers>,
    hosts: Vec<Host>,
    naptr: Vec<Located<usize>>,
    naptr_ttl: u32,
    geo: Vec<GeoRrset>,
    allow: Vec<Code>,
}

impl Zone {
    /// Returns a zone without any tables.
    fn of(origin: Option<Name>) -> Self {
        Zone {
            origin,
            services: Vec::new(),
            has_all_services: true,
            soa: None,
            ns: None,
            hosts: Vec::new(),
            naptr: Vec::new(),
            naptr_ttl: DEFAULT_TTL,
            srv_owner_as_host: false,
            geo: Vec::new(),
            allow: Vec::new(),
        }
    }

    /// Returns the name that relative names are relative to.
    ///
    /// Where the zone's own is unknown, the root serves to read on.
    pub(super) fn base(&self) -> Name {
        self.origin.clone().unwrap_or_else(Name::root)
    }

    fn into_tables(self, folder: &Path) -> Option<ZoneTables> {
        Some(ZoneTables {
            origin: self.origin?,
            folder: folder.to_owned(),
            soa: self.soa,
            ns: self.ns,
            hosts: self.hosts,
            services: self.services.into_iter().map(Service::from).collect(),
            naptr: self.naptr,
            naptr_ttl: self.naptr_ttl,
            srv_owner_as_host: self.srv_owner_as_host,
            geo: self.geo,
            effective: None,
            records: Vec::new(),
            allow: self.allow,
            drained: BTreeSet::new(),
        })
    }
}

fn zone(mut root: Fields<'_>, folder: &Path, regions: &RegionTable, report: &mut Report) -> Zone {
    let origin = match root.take("origin") {
        Some((_, item)) => item.name(&Name::root(), report),
        None => folder_origin(folder, report),
    };
    let mut zone = Zone::of(origin);
    let base = zone.base();
    zone.soa = root.try_section("soa", report).map(|fields| soa(fields, &base, report));
    zone.ns = root.try_section("ns", report).and_then(|fields| name_servers(fields, &base, report));
    zone.hosts = hosts(root.section("hosts", report), &base, report);
    (zone.services, zone.has_all_services) =
        draft_services(root.section("services", report), report);
    let mut compat = root.section("compat", report);
    zone.srv_owner_as_host = compat.or("srv-owner-as-host", false, report, Item::boolean);
    compat.finish(report);
    let mut inner = Report::default();
    check_sharing(&mut zone.services, &mut inner);
    check_regions(&zone, regions, &mut inner);
    if let Some(fields) = root.try_section("naptr", report) {
        (zone.naptr, zone.naptr_ttl) = naptr(fields, &zone.services, &mut inner);
    }
    inner.retain(|finding| zone.has_all_services || finding.code != Code::UnknownService);
    report.extend(inner);
    zone.allow = allow(root.section("check", report), report);
    zone.geo = root
        .optional("geo", report, |item, report| steered(item, &base, regions, report))
        .unwrap_or_default();
    root.finish(report);
    zone
}

fn folder_origin(folder: &Path, report: &mut Report) -> Option<Name> {
    // The name as it is written: what a link points to may be called anything.
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match Name::parse(name, &Name::root()) {
        Ok(origin) => Some(origin),
        Err(err) => {
            report.add(Finding::new(
                Code::BadName,
                Place::Path(folder.to_owned()),
                format!("the folder's name is no zone's name: it has {err}"),
                "rename the folder, or write `origin = \"carrier.example.com\"` in its zone.toml",
            ));
            None
        }
    }
}

//------------ [soa], [ns] ---------------------------------------------------

fn soa(mut fields: Fields<'_>, origin: &Name, report: &mut Report) -> Soa {
    let span = fields.span();
    let primary = fields.required("primary", "primary = \"ns1\"", report, |item, report| {
        item.host(origin, "ns1", report)
    });
    let contact = fields.required("contact", "contact = \"hostmaster\"", report, |item, report| {
        contact(item, origin, report)
    });
    let mut seconds = |key, default, report: &mut Report| {
        fields
            .or(key, default, report, |item, report| item.integer(1..=i64::from(i32::MAX), report))
    };
    let refresh = seconds("refresh", 3600, report);
    let retry = seconds("retry", 600, report);
    let expire = seconds("expire", 1_209_600, report);
    let minimum = seconds("minimum", 30, report);
    let soa = Soa {
        span,
        primary: primary.unwrap_or_else(|| origin.clone()),
        contact: contact.unwrap_or_else(|| origin.clone()),
        ttl: fields.or("ttl", 3600, report, Item::ttl),
        refresh,
        retry,
        expire,
        minimum,
        serial: fields.optional("serial", report, |item, report| {
            item.integer(0..=i64::from(u32::MAX), report)
        }),
    };
    fields.finish(report);
    soa
}

/// Reads RNAME, where an address with an at sign is a frequent mistake.
fn contact(item: Item<'_>, origin: &Name, report: &mut Report) -> Option<Name> {
    let text = item.string(report)?;
    let Some((user, domain)) = text.split_once('@') else { return item.name(origin, report) };
    item.add(
        Code::BadValue,
        format!("\"{text}\" is a mail address, not a name (RFC 1035 section 3.3.13)"),
        format!("write a dot for the at sign: '{}.{domain}.'", user.replace('.', "\\.")),
        report,
    );
    None
}

fn name_servers(mut fields: Fields<'_>, origin: &Name, report: &mut Report) -> Option<NameServers> {
    let hosts = fields.required("hosts", "hosts = [\"ns1\", \"ns2\"]", report, |item, report| {
        item.filled_set("name servers", report, |item, report| item.host(origin, "ns1", report))
    });
    let ttl = fields.or("ttl", 3600, report, Item::ttl);
    fields.finish(report);
    Some(NameServers { hosts: hosts?, ttl })
}

//------------ [hosts] -------------------------------------------------------

fn hosts(mut fields: Fields<'_>, origin: &Name, report: &mut Report) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    // Carriers have thousands.
    let mut seen: HashMap<Name, Span> = HashMap::new();
    for entry in fields.take_rest() {
        let Some(host) = host(entry, origin, report) else { continue };
        let Located { value: name, span } = host.name.clone();
        match seen.entry(name) {
            hash_map::Entry::Occupied(first) => {
                let what = format!("the host {}", host.name.value);
                report.add(declared_twice(what, span, *first.get()));
            }
            hash_map::Entry::Vacant(first) => {
                first.insert(span);
                hosts.push(host);
            }
        }
    }
    hosts
}

fn host((key, item): Entry<'_>, origin: &Name, report: &mut Report) -> Option<Host> {
    if key.value == "ttl" && item.value().is_integer() {
        report.add(Finding::new(
            Code::MisplacedKey,
            key.span,
            "`ttl` below [hosts] is read as a host called \"ttl\"",
            "give each host its own: `sbc1 = { addresses = [\"…\"], ttl = 300 }`",
        ));
        return None;
    }
    if item.is_implied_by(key) && !has_host_keys(item) {
        add_nested_hosts(&[key.value], item, report);
        return None;
    }
    let name = parse_name(key, origin, report);
    if let Some(name) = name.as_ref().filter(|name| !name.is_within(origin)) {
        add_outside(key.span, name, origin, report);
    }
    let (addresses, ttl) = addresses(item, report)?;
    Some(Host { name: Located::new(name?, key.span), addresses, ttl })
}

fn has_host_keys(item: Item<'_>) -> bool {
    item.entries().iter().any(|(key, _)| matches!(key.value, "addresses" | "ttl"))
}

fn addresses(item: Item<'_>, report: &mut Report) -> Option<(Vec<Located<std::net::IpAddr>>, u32)> {
    let read =
        |item: Item<'_>, report: &mut Report| item.filled_set("addresses", report, Item::address);
    if !item.is_table() {
        return Some((read(item, report)?, DEFAULT_TTL));
    }
    let mut fields = item.table("a host of [hosts]", report)?;
    let addresses = fields.required("addresses", "addresses = [\"192.0.2.11\"]", report, read);
    let ttl = fields.or("ttl", DEFAULT_TTL, report, Item::ttl);
    fields.finish(report);
    Some((addresses?, ttl))
}

/// Reports each name that dots without quotes have taken apart.
fn add_nested_hosts(path: &[&str], item: Item<'_>, report: &mut Report) {
    for (key, item) in item.entries() {
        let path = [path, &[key.value]].concat();
        if item.is_table() && !has_host_keys(item) {
            add_nested_hosts(&path, item, report);
            continue;
        }
        let name = path.join(".");
        report.add(Finding::new(
            Code::UnquotedName,
            item.text().line_up_to(key.span),
            format!("without quotes, `{name}` is no host but a table in a table"),
            format!("write \"{name}\", with the quotes"),
        ));
    }
}

/// Reports an owner that is not in the zone.
pub(super) fn add_outside(span: Span, name: &Name, origin: &Name, report: &mut Report) {
    report.add(Finding::new(
        Code::OutsideZone,
        span,
        format!("{name} is not in the zone {origin}"),
        "write a name relative to the zone, without final dot",
    ));
}

//------------ [naptr] -------------------------------------------------------

fn naptr(
    mut fields: Fields<'_>,
    services: &[Draft],
    report: &mut Report,
) -> (Vec<Located<usize>>, u32) {
    let order = fields.required("order", "order = [\"_sip._tcp\"]", report, |item, report| {
        item.filled_set("services", report, |item, report| naptr_service(item, services, report))
    });
    let ttl = fields.or("ttl", DEFAULT_TTL, report, Item::ttl);
    fields.finish(report);
    (order.unwrap_or_default(), ttl)
}

fn naptr_service(item: Item<'_>, services: &[Draft], report: &mut Report) -> Option<usize> {
    let name = item.string(report)?.to_ascii_lowercase();
    let at = services.iter().position(|service| service.name.value == name);
    let Some(at) = at else {
        let help = suggest_service(&name, services, "declare it below [services]");
        let message = format!("the service `{name}` is not declared");
        item.add(Code::UnknownService, message, help, report);
        return None;
    };
    let known = NAPTR_SERVICES.map(|(service, _)| service);
    if !known.contains(&name.as_str()) {
        item.add(
            Code::BadValue,
            format!("NAPTR records cannot name `{name}` (RFC 3263 section 4.1)"),
            format!("remove it; they can name {}", quoted(known)),
            report,
        );
        return None;
    }
    Some(at)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::RowKey;
    use crate::config::read_regions;
    use crate::wire::Rtype;

    const ZONE: &str = r#"
        [soa]
        primary = "ns1"
        contact = "hostmaster.example.net."
        minimum = 20
        serial = 7
        [ns]
        hosts = ["ns1", "ns2.example.net."]
        [hosts]
        ns1 = ["192.0.2.53", "2001:db8::53"]
        "sbc1.us-east" = { addresses = ["198.51.100.11"], ttl = 60 }
        sbc2.addresses = ["198.51.100.12"]
        [services."_sip._tcp"]
        port = 5060
        ttl = 60
        [services."_sip._tcp".tiers]
        secondary = { priority = 20, ttl = 45 }
        Primary = { priority = 10 }
        [services."_sips._tcp"]
        port = 5061
        ttl = 50
        priorities = "_sip._tcp"
        [naptr]
        order = ["_sips._tcp", "_SIP._tcp"]
        ttl = 120
        [compat]
        srv-owner-as-host = true
        [[geo]]
        name = "@"
        type = "AAAA"
        ttl = 90
        records.b = ["2001:db8::1", "2001:db8::2"]
        records.default = ["2001:db8::3"]
    "#;

    const ROWS: &str = r#"
        effective = 2026-12-01T02:00:00Z
        ["_sip._tcp".B]
        primary = ["sbc1.us-east"]
        secondary = [{ target = "sbc2", weight = 60 }, { target = "sbc2", port = 5070 }]
        ["_sip._tcp".default]
        primary = ["sbc2"]
    "#;

    /// Reads a zone folder that holds these files.
    fn read(files: &[(&str, &str)]) -> (Option<ZoneTables>, Report, Sources) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("Example.com");
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let table = root.path().join("regions.toml");
        std::fs::write(&table, "default = 'a'\n[regions.a]\n[regions.b]\n").unwrap();
        let mut sources = Sources::default();
        let mut report = Report::default();
        let regions = read_regions(&mut sources, &table, &mut report).unwrap();
        let tables = read_zone(&mut sources, &folder, &regions, &mut report);
        (tables, report, sources)
    }

    fn read_whole(files: &[(&str, &str)]) -> ZoneTables {
        let (tables, report, sources) = read(files);
        assert!(report.findings().is_empty(), "{}", report.render(&sources, false));
        tables.unwrap()
    }

    #[test]
    fn the_tables_of_a_zone_are_read() {
        let zone = read_whole(&[("zone.toml", ZONE), ("priorities.toml", ROWS)]);
        assert_eq!(zone.origin.to_string(), "Example.com.");
        let soa = zone.soa.unwrap();
        assert_eq!(soa.primary.to_string(), "ns1.Example.com.");
        assert_eq!(soa.contact.to_string(), "hostmaster.example.net.");
        assert_eq!((soa.ttl, soa.refresh, soa.retry), (3600, 3600, 600));
        assert_eq!((soa.expire, soa.minimum, soa.serial), (1_209_600, 20, Some(7)));
        let ns = zone.ns.unwrap();
        assert_eq!(ns.hosts[1].value.to_string(), "ns2.example.net.");
        assert_eq!(ns.ttl, 3600);
        let hosts: Vec<_> = zone
            .hosts
            .iter()
            .map(|h| (h.name.value.to_string(), h.addresses.len(), h.ttl))
            .collect();
        let expected = [("ns1", 2, 300), ("sbc1.us-east", 1, 60), ("sbc2", 1, 300)];
        let expected =
            expected.map(|(name, count, ttl)| (format!("{name}.Example.com."), count, ttl));
        assert_eq!(hosts, expected);
        let order: Vec<_> = zone.naptr.iter().map(|at| at.value).collect();
        assert_eq!((order, zone.naptr_ttl), (vec![1, 0], 120));
        assert!(zone.srv_owner_as_host);
        assert_eq!(zone.effective.map(|at| at.value), Some(1_796_090_400));
    }

    #[test]
    fn a_service_has_its_tiers_by_priority_and_its_rows_as_written() {
        let zone = read_whole(&[("zone.toml", ZONE), ("priorities.toml", ROWS)]);
        let sip = &zone.services[0];
        let tiers = |service: &Service| -> Vec<_> {
            let tiers = service.tiers.iter();
            tiers.map(|t| (t.name.value.clone(), t.priority, t.ttl)).collect()
        };
        let tier = |name: &str, priority, ttl| (name.to_owned(), priority, ttl);
        assert_eq!(tiers(sip), [tier("primary", 10, 60), tier("secondary", 20, 45)]);
        let keys: Vec<_> = sip.rows.iter().map(|row| row.key.value).collect();
        assert_eq!(keys, [RowKey::Region(crate::geo::RegionId(1)), RowKey::Default]);
        let ends: Vec<_> =
            sip.rows[0].cells[1].endpoints.iter().map(|e| (e.weight, e.port)).collect();
        assert_eq!(ends, [(60, None), (100, Some(5070))]);
        assert_eq!((sip.table, zone.services[1].table), (0, 0));
        assert!(zone.services[1].rows.is_empty());
        let shared = [tier("primary", 10, 50), tier("secondary", 20, 45)];
        assert_eq!(tiers(&zone.services[1]), shared);
    }

    #[test]
    fn steered_records_are_read_into_wire_format() {
        let zone = read_whole(&[("zone.toml", ZONE), ("priorities.toml", ROWS)]);
        let geo = &zone.geo[0];
        assert_eq!((&geo.owner.value, geo.rtype, geo.ttl), (&zone.origin, Rtype::AAAA, 90));
        assert_eq!(geo.variants[0].rdatas.len(), 2);
        assert_eq!(geo.variants[1].key.value, RowKey::Default);
        assert_eq!(geo.variants[1].rdatas[0].value.len(), 16);
    }

    #[test]
    fn a_folder_with_a_master_file_alone_is_a_zone() {
        let zone = read_whole(&[("records.zone", "")]);
        assert_eq!(zone.origin.to_string(), "Example.com.");
        assert!(zone.soa.is_none() && zone.services.is_empty());
    }

    #[test]
    fn an_origin_in_the_file_counts_more_than_the_folder() {
        let zone = read_whole(&[("zone.toml", "origin = 'carrier.example'")]);
        assert_eq!(zone.origin.to_string(), "carrier.example.");
    }

    #[test]
    fn a_broken_zone_file_does_not_hide_what_is_wrong_with_the_rows() {
        let rows = "['_sip._tcp'.default]\nprimary = ['192.0.2.1']";
        let (tables, report, _) = read(&[("zone.toml", "[soa\n"), ("priorities.toml", rows)]);
        assert!(tables.is_none());
        let codes: Vec<_> = report.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::TomlSyntax]);
        let zone = ZONE.replace("ttl = 120", "ttl = 120s");
        let (_, report, _) = read(&[("zone.toml", &zone), ("priorities.toml", rows)]);
        let codes: Vec<_> = report.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::TomlSyntax, Code::TargetIsAddress]);
    }

    #[test]
    fn no_file_with_an_octet_lost_or_cut_short_makes_the_readers_panic() {
        let table = "default = 'a'\n[regions.a]\nlocation = [1, 2]\nnetworks = ['192.0.2.0/24']\n";
        for (text, rows) in [(ZONE, ROWS), (ROWS, ZONE), (table, table)] {
            for at in 0..text.len() {
                mangle(&format!("{}{}", &text[..at], &text[at + 1..]), rows);
                mangle(&text[..at], &format!("{}ü'{}", &text[..at], &text[at..]));
            }
        }
    }

    /// Reads texts as every kind of file, and renders what is found.
    fn mangle(zone_text: &str, rows: &str) {
        let mut sources = Sources::default();
        let mut report = Report::default();
        let regions = "default = 'a'\n[regions.a]\n[regions.b]\n";
        let regions = sources.add(Path::new("regions.toml"), regions);
        let read =
            |root: Fields<'_>, report: &mut Report| crate::config::regions::table(root, report);
        let regions = Text::of(&sources, regions).parse(&mut report, read).value.unwrap();
        let file = sources.add(Path::new("zone.toml"), zone_text);
        Text::of(&sources, file).parse(&mut report, read);
        let mut read = Text::of(&sources, file)
            .parse(&mut report, |root, report| zone(root, Path::new("x"), &regions, report))
            .value;
        let file = sources.add(Path::new("priorities.toml"), rows);
        Text::of(&sources, file).parse(&mut report, |root, report| {
            read_priorities(root, &mut read, &regions, true, report)
        });
        report.render(&sources, false);
    }
}
