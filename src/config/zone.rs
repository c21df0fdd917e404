//! Zone folders: `zone.toml` and what stands beside it.

use std::path::{Path, PathBuf};

use super::model::{Host, NameServers, Record, Service, Soa, ZoneTables};
use super::priorities::read_priorities;
use super::reader::{Entry, Fields, Item, parse_name, quoted};
use super::services::{Draft, check_regions, check_sharing, draft_services, suggest_service};
use super::steered::steered;
use super::text::{Parsed, Text, unreadable};
use crate::diag::{Code, Finding, Located, Place, Report, Sources, Span};
use crate::geo::RegionTable;
use crate::wire::Name;

/// The TTL of `[hosts]` and NAPTR records without one of their own.
const DEFAULT_TTL: u32 = 300;

/// The services that a NAPTR record can name (RFC 3263 section 4.1, RFC 4168
/// section 6, RFC 7118 section 5). There is none for `_sip._tls`.
const NAPTR_SERVICES: [&str; 7] =
    ["_sips._tcp", "_sip._tcp", "_sip._udp", "_sips._sctp", "_sip._sctp", "_sips._ws", "_sip._ws"];

//----------- ZoneFolder -----------------------------------------------------

/// What was read of one folder, with its own report: the mistakes of one zone
/// hold back that zone alone.
#[derive(Clone, Debug)]
pub struct ZoneFolder {
    /// The folder.
    pub folder: PathBuf,

    /// Its tables, as far as they could be read.
    pub tables: Option<ZoneTables>,

    /// What was found in its files.
    pub report: Report,
}

/// Reads every zone folder below a directory, sorted by name.
///
/// Names that begin with a dot and what is no folder are passed over; links
/// to folders are followed. Only a directory that cannot be listed is
/// reported to `report`, and gives nothing: that is not the same as an empty
/// one, which is no finding.
pub fn read_zones_directory(
    sources: &mut Sources,
    directory: &Path,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<Vec<ZoneFolder>> {
    let folders = match list_folders(directory) {
        Ok(folders) => folders,
        Err(err) => {
            report.add(unreadable(directory, &err));
            return None;
        }
    };
    let read = |folder: PathBuf| {
        let mut report = Report::default();
        let tables = read_zone(sources, &folder, regions, &mut report);
        ZoneFolder { folder, tables, report }
    };
    let mut zones: Vec<_> = folders.into_iter().map(read).collect();
    add_duplicate_zones(&mut zones);
    Some(zones)
}

fn list_folders(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Reports folders that hold the same zone, to each of them: which one is
/// meant cannot be told, so that both are held back.
fn add_duplicate_zones(zones: &mut [ZoneFolder]) {
    let folders: Vec<(PathBuf, Option<Name>)> = zones
        .iter()
        .map(|zone| (zone.folder.clone(), zone.tables.as_ref().map(|t| t.origin.clone())))
        .collect();
    for (at, zone) in zones.iter_mut().enumerate() {
        let Some(origin) = zone.tables.as_ref().map(|tables| &tables.origin) else { continue };
        let mut others = folders.iter().enumerate();
        let twin = others.find(|(other, (_, name))| *other != at && name.as_ref() == Some(origin));
        if let Some((_, (folder, _))) = twin {
            zone.report.add(Finding::new(
                Code::DuplicateZone,
                zone.folder.clone(),
                format!("the zone {origin} is also in {}", folder.display()),
                "remove one of the folders, or correct the `origin` in its zone.toml",
            ));
        }
    }
}

//------------ One folder ----------------------------------------------------

/// Reads a zone folder.
///
/// Where there are findings, the result is what could be read; there is none
/// where the zone's name is unknown or a file is missing or not TOML.
pub fn read_zone(
    sources: &mut Sources,
    folder: &Path,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<ZoneTables> {
    let text = Text::try_read(sources, &folder.join("zone.toml"), report)?;
    let master = folder.join("records.zone");
    let has_master = master.exists();
    let zone = match &text {
        Some(text) => text.parse(report, |root, report| zone(root, folder, regions, report)),
        None if has_master => {
            Parsed { value: Zone::of(folder_origin(folder, report)), is_whole: true }
        }
        None => {
            report.add(Finding::new(
                Code::EmptyZone,
                folder.to_owned(),
                "the folder holds neither zone.toml nor records.zone",
                "add one of them, or give the folder a name that begins with a dot to keep it out",
            ));
            return None;
        }
    };
    let Parsed { value: mut zone, mut is_whole } = zone;
    let mut effective = None;
    if let Some(text) = read_priorities_text(sources, folder, &zone, report) {
        let trusted = is_whole && zone.has_all_services;
        let read = |root: Fields<'_>, report: &mut Report| {
            read_priorities(root, &mut zone, regions, trusted, report)
        };
        let priorities = text.parse(report, read);
        is_whole &= priorities.is_whole;
        effective = priorities.value;
    }
    let records = match (&zone.origin, has_master) {
        (Some(origin), true) => read_records(sources, &master, origin, report),
        _ => Vec::new(),
    };
    if !is_whole {
        return None;
    }
    Some(ZoneTables { effective, records, ..zone.into_tables(folder)? })
}

/// Reads the master file beside the tables.
///
/// To be replaced by `master::read_master(sources, path, origin, report)`.
fn read_records(
    _sources: &mut Sources,
    _path: &Path,
    _origin: &Name,
    _report: &mut Report,
) -> Vec<Record> {
    Vec::new()
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
    has_all_services: bool,

    soa: Option<Soa>,
    ns: Option<NameServers>,
    hosts: Vec<Host>,
    naptr: Vec<Located<usize>>,
    naptr_ttl: u32,
    srv_owner_as_host: bool,
    geo: Vec<super::model::GeoRrset>,
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
    let mut inner = Report::default();
    check_sharing(&mut zone.services, &mut inner);
    check_regions(&zone.services, &base, regions, &mut inner);
    if let Some(fields) = root.try_section("naptr", report) {
        (zone.naptr, zone.naptr_ttl) = naptr(fields, &zone.services, &mut inner);
    }
    inner.retain(|finding| zone.has_all_services || finding.code != Code::UnknownService);
    report.extend(inner);
    let mut compat = root.section("compat", report);
    zone.srv_owner_as_host = compat.or("srv-owner-as-host", false, report, Item::boolean);
    compat.finish(report);
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
    for entry in fields.take_rest() {
        let (key, _) = entry;
        let Some(host) = host(entry, origin, report) else { continue };
        match hosts.iter().find(|other| other.name.value == host.name.value) {
            Some(first) => report.add(
                Finding::new(
                    Code::DuplicateValue,
                    key.span,
                    format!("the host {} is declared twice", host.name.value),
                    "write all its addresses in one list",
                )
                .with_related(first.name.span, "here first"),
            ),
            None => hosts.push(host),
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
    if !NAPTR_SERVICES.contains(&name.as_str()) {
        item.add(
            Code::BadValue,
            format!("NAPTR records cannot name `{name}` (RFC 3263 section 4.1)"),
            format!("remove it; they can name {}", quoted(NAPTR_SERVICES)),
            report,
        );
        return None;
    }
    Some(at)
}
