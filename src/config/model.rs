//! What the operator's files say, once they have been checked.
//!
//! Positions are kept where a later stage may still have to complain: the
//! compiler joins the tables of a zone, and what does not fit together is
//! reported where it was written.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::diag::{Code, Located, Span};
use crate::geo::RegionId;
use crate::wire::{Name, Rtype, SrvData};

//----------- Config ---------------------------------------------------------

/// `trunkdns.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,

    /// `[tcp]`
    pub tcp: Tcp,

    /// `[encrypted]`, where it names addresses.
    pub encrypted: Option<Encrypted>,

    /// `[limit]`
    pub limit: Limit,

    /// `[customers]`, in the order of their names.
    pub customers: Vec<Customer>,

    /// `[geoip]`
    pub geoip: Geoip,

    /// `[zones]`
    pub zones: Zones,

    /// `[handover]`
    pub handover: Handover,

    /// `[admin]`
    pub admin: Admin,

    /// `[log]`
    pub log: Log,

    /// `[check] allow`: warnings that are not shown.
    pub allow: Vec<Code>,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Addresses on which UDP and TCP queries are answered.
    pub listen: Vec<Located<SocketAddr>>,

    /// UDP worker threads; 0 is one per core.
    pub workers: usize,

    /// Whether each of them runs on a processor of its own, and gets what
    /// arrives there.
    pub pin_workers: bool,

    /// What NSID and `id.server` say; nothing without it.
    pub identity: Option<String>,

    /// What `version.bind` says; nothing without it.
    pub version: Option<String>,

    /// The file with the secrets of DNS cookies; without it they are random.
    pub cookie_secrets: Option<Located<PathBuf>>,

    /// The folder that the server writes to.
    pub state: PathBuf,

    /// How long old versions are kept.
    pub keep: Duration,

    /// Whether files are taken in when they change.
    pub watch: bool,

    /// Whether documentation and private addresses in answers are warned of.
    pub production: bool,

    /// Who the server is.
    pub account: Account,

    /// Load balancers that say by the PROXY protocol who asks.
    pub proxy_from: Vec<Located<IpNet>>,

    /// Whether the server gives up what it does not need.
    pub sandbox: bool,
}

/// Who the server is, once it has what needs privileges.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// `[server] user`: the user it becomes; without it, it stays who it is.
    pub user: Option<String>,

    /// `[server] group`: its group; without it, the user's.
    pub group: Option<String>,

    /// `[admin] control-group`: the group that may give commands.
    pub control_group: Option<String>,
}

/// `[tcp]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tcp {
    /// Connections that there may be.
    pub connections: usize,

    /// Connections that there may be from one network.
    pub connections_per_network: usize,

    /// How long a connection may be without a query.
    pub idle: Duration,

    /// How long a query may take to come once it has begun.
    pub read: Duration,

    /// How long a client may take to read its answers.
    pub write: Duration,
}

/// `[encrypted]`
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// The file with the certificate and those that vouch for it.
    pub certificate: Located<PathBuf>,

    /// The file with its private key.
    pub key: Located<PathBuf>,

    /// Addresses that answer over TLS.
    pub tls: Vec<Located<SocketAddr>>,

    /// Addresses that answer over QUIC.
    pub quic: Vec<Located<SocketAddr>>,

    /// Addresses that answer over HTTPS.
    pub https: Vec<Located<SocketAddr>>,

    /// The path of the URI that is asked over HTTPS.
    pub path: String,

    /// How long a handshake may take.
    pub handshake: Duration,
}

/// `[limit]`
#[derive(Clone, Debug)]
pub struct Limit {
    /// What is done about responses over a rate.
    pub mode: LimitMode,

    /// Errors a second for a network; 0 is any number.
    pub errors: u32,

    /// Denials of names (NXDOMAIN) a second for a network; 0 is any number.
    pub missing: u32,

    /// All other answers a second for a network; 0 is any number.
    pub answers: u32,

    /// For how long a network may save up what it does not use.
    pub burst: Duration,

    /// Networks for which there is no limit.
    pub exempt: Vec<Located<IpNet>>,
}

/// `[limit] mode`
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LimitMode {
    /// Rates are not looked at.
    #[default]
    Off,

    /// What would be limited is counted, and answered.
    Count,

    /// What is over a rate is limited.
    On,
}

/// An entry of `[customers]`.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The name.
    pub name: Located<String>,

    /// The networks that it asks from.
    pub networks: Vec<Located<IpNet>>,
}

/// `[geoip]`
#[derive(Clone, Debug)]
pub struct Geoip {
    /// Databases in the order in which they are asked: MMDB, or geofeeds
    /// (RFC 8805) where the name ends in `.csv`.
    pub databases: Vec<Located<PathBuf>>,

    /// The region table's file.
    pub regions: PathBuf,

    /// Whether the client subnet option (RFC 7871) steers answers.
    pub client_subnet: bool,
}

/// `[zones]`
#[derive(Clone, Debug)]
pub struct Zones {
    /// The folder that holds a folder a zone.
    pub directory: PathBuf,

    /// `lenient`: how strict zones are checked.
    pub checks: Checks,
}

/// How strict zones are checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Checks {
    /// Errors refuse a zone.
    #[default]
    Strict,

    /// Errors of master files that other servers serve are warnings.
    Lenient,
}

/// `[handover]`
#[derive(Clone, Debug)]
pub struct Handover {
    /// When changes take effect.
    pub mode: HandoverMode,

    /// The span over which client networks change over.
    pub spread: Duration,

    /// The longest TTL that a handover waits out.
    pub longest: Duration,

    /// Percent of the address space or of a zone's records that a change may
    /// move or remove without `--force`.
    pub most_moved: u8,

    /// Percent by which steady-state TTLs are lowered at most.
    pub spread_ttl: u8,
}

/// `[handover] mode`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandoverMode {
    /// A change waits until no cached copy can contradict it.
    Window,

    /// A change takes effect at once.
    Immediate,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// The path of the control socket.
    pub control: PathBuf,

    /// Where metrics and health are served.
    pub http: Option<SocketAddr>,

    /// Names of hosts by which these may be asked for, beside addresses.
    pub http_names: Vec<String>,

    /// Networks that are answered about the server's health by DNS.
    pub health_from: Vec<Located<IpNet>>,
}

/// `[log]`
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Where lines go; without it there are none.
    pub file: Option<LogFile>,

    /// The socket of a dnstap reader; without it nobody is sent frames.
    pub dnstap: Option<PathBuf>,

    /// One question of a network in so many is logged.
    pub sample: u32,

    /// Networks of the clients that are logged; none are all.
    pub networks: Vec<Located<IpNet>>,

    /// Regions of the clients that are logged; none are all.
    pub regions: Vec<Located<String>>,
}

/// `[log] file`
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogFile {
    /// Standard output.
    Stdout,

    /// A file, which is added to.
    Path(PathBuf),
}

impl LogFile {
    /// Returns the path, where there is one.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            LogFile::Stdout => None,
            LogFile::Path(path) => Some(path),
        }
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogFile::Stdout => f.write_str("standard output"),
            LogFile::Path(path) => path.display().fmt(f),
        }
    }
}

//----------- ZoneTables -----------------------------------------------------

/// The tables of one zone folder.
#[derive(Clone, Debug)]
pub struct ZoneTables {
    /// The zone's name.
    pub origin: Name,

    /// The folder.
    pub folder: PathBuf,

    /// `[soa]`; a master file may hold the record instead.
    pub soa: Option<Soa>,

    /// `[ns]`; a master file may hold the records instead.
    pub ns: Option<NameServers>,

    /// `[hosts]`
    pub hosts: Vec<Host>,

    /// `[services]` with the rows of their priority tables.
    pub services: Vec<Service>,

    /// `[naptr] order`: positions in `services`, in order of preference.
    pub naptr: Vec<Located<usize>>,

    /// `[naptr] ttl`
    pub naptr_ttl: u32,

    /// `[compat] srv-owner-as-host`
    pub srv_owner_as_host: bool,

    /// `[[geo]]`
    pub geo: Vec<GeoRrset>,

    /// `effective` of `priorities.toml`, in seconds since the Unix epoch.
    pub effective: Option<Located<u64>>,

    /// The records of `records.zone` and the files it includes.
    pub records: Vec<Record>,

    /// `[check] allow`: warnings of this zone that are not shown.
    pub allow: Vec<Code>,

    /// Endpoints that are to come behind all others: no file's, but the
    /// operator's by command.
    pub drained: BTreeSet<Name>,
}

impl ZoneTables {
    /// Returns the tables with endpoints drained, as far as they have them.
    #[must_use]
    pub fn draining(mut self, drained: &BTreeSet<Name>) -> Self {
        if !drained.is_empty() {
            self.drained = self.targets().filter(|target| drained.contains(target)).collect();
        }
        self
    }

    /// Returns the targets of all SRV records, some of them again.
    pub fn targets(&self) -> impl Iterator<Item = Name> {
        let rows = self.services.iter().flat_map(|service| &service.rows);
        let endpoints = rows.flat_map(|row| &row.cells).flat_map(|cell| &cell.endpoints);
        let listed = self.records.iter().map(|record| (record.rtype, &record.rdata));
        let steered = self.geo.iter().flat_map(|geo| {
            let rdatas = geo.variants.iter().flat_map(|variant| &variant.rdatas);
            rdatas.map(|rdata| (geo.rtype, &rdata.value))
        });
        let srv = listed.chain(steered).filter(|(rtype, _)| *rtype == Rtype::SRV);
        let others = srv.filter_map(|(_, rdata)| Some(SrvData::read(rdata)?.target));
        endpoints.map(|endpoint| endpoint.target.value.clone()).chain(others)
    }
}

/// `[soa]` (RFC 1035 section 3.3.13; times in seconds)
#[derive(Clone, Debug)]
pub struct Soa {
    /// Where the table's header is written.
    pub span: Span,
    /// MNAME.
    pub primary: Name,
    /// RNAME.
    pub contact: Name,
    /// The record's TTL.
    pub ttl: u32,
    /// REFRESH.
    pub refresh: u32,
    /// RETRY.
    pub retry: u32,
    /// EXPIRE.
    pub expire: u32,
    /// MINIMUM: the negative TTL.
    pub minimum: u32,
    /// SERIAL, where the operator fixes it.
    pub serial: Option<u32>,
}

/// `[ns]`
#[derive(Clone, Debug)]
pub struct NameServers {
    /// The servers.
    pub hosts: Vec<Located<Name>>,

    /// The TTL of the NS records.
    pub ttl: u32,
}

/// An entry of `[hosts]`.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name.
    pub name: Located<Name>,

    /// Its addresses, at least one.
    pub addresses: Vec<Located<IpAddr>>,

    /// The TTL of its A and AAAA records.
    pub ttl: u32,
}

/// An entry of `[services]`.
#[derive(Clone, Debug)]
pub struct Service {
    /// The owner prefix, such as `_sip._tcp`.
    pub name: Located<String>,

    /// The port of endpoints that do not name one.
    pub port: u16,

    /// The TTL of the names that hold all tiers.
    pub ttl: u32,

    /// The tiers, by priority ascending.
    pub tiers: Vec<Tier>,

    /// Whose priority table it uses: a position in `services`, its own or
    /// that of the service named by `priorities`.
    pub table: usize,

    /// The rows of its own priority table; empty where it shares one.
    pub rows: Vec<Row>,
}

/// A tier of a service.
#[derive(Clone, Debug)]
pub struct Tier {
    /// The name: a DNS label in lower case.
    pub name: Located<String>,

    /// The SRV priority.
    pub priority: u16,

    /// The TTL of the tier's own names.
    pub ttl: u32,
}

/// A row of a priority table: the endpoints of a region.
#[derive(Clone, Debug)]
pub struct Row {
    /// The clients it is for.
    pub key: Located<RowKey>,

    /// The tiers it has, in the order they are written.
    pub cells: Vec<Cell>,
}

/// For which clients a row or a `[[geo]]` variant is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RowKey {
    /// The clients of a region.
    Region(RegionId),

    /// The clients of regions without a row of their own.
    Default,
}

/// A tier in a row.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The tier's name. It is one of the tiers of the service that owns the
    /// table.
    pub tier: Located<String>,

    /// Its endpoints, at least one.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint in a row.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The SRV target.
    pub target: Located<Name>,

    /// The SRV weight.
    pub weight: u16,

    /// The SRV port, where it is not the service's; it counts for the service
    /// that owns the table only.
    pub port: Option<u16>,
}

/// A `[[geo]]` entry: an RRset with a variant a region.
#[derive(Clone, Debug)]
pub struct GeoRrset {
    /// The owner.
    pub owner: Located<Name>,

    /// The type.
    pub rtype: Rtype,

    /// The TTL of every variant.
    pub ttl: u32,

    /// The variants, as RDATA in uncompressed wire format.
    pub variants: Vec<GeoVariant>,
}

/// The records of a `[[geo]]` entry for some clients.
#[derive(Clone, Debug)]
pub struct GeoVariant {
    /// The clients it is for.
    pub key: Located<RowKey>,

    /// RDATA in uncompressed wire format, at least one.
    pub rdatas: Vec<Located<Box<[u8]>>>,
}

/// A record of a master file, of class IN.
#[derive(Clone, Debug)]
pub struct Record {
    /// The owner.
    pub owner: Name,

    /// The type.
    pub rtype: Rtype,

    /// The TTL.
    pub ttl: u32,

    /// RDATA in uncompressed wire format.
    pub rdata: Box<[u8]>,

    /// Where the entry is written.
    pub span: Span,
}

impl Record {
    /// Returns the address of an A or AAAA record.
    pub fn address(&self) -> Option<IpAddr> {
        match self.rtype {
            Rtype::A => Some(IpAddr::from(<[u8; 4]>::try_from(&*self.rdata).ok()?)),
            Rtype::AAAA => Some(IpAddr::from(<[u8; 16]>::try_from(&*self.rdata).ok()?)),
            _ => None,
        }
    }
}

//----------- NAPTR ----------------------------------------------------------

/// The services that a NAPTR record can name, with its service field (RFC
/// 3263 section 4.1, RFC 4168 section 6, RFC 7118 section 5). There is none
/// for `_sip._tls`.
pub const NAPTR_SERVICES: [(&str, &str); 7] = [
    ("_sips._tcp", "SIPS+D2T"),
    ("_sip._tcp", "SIP+D2T"),
    ("_sip._udp", "SIP+D2U"),
    ("_sips._sctp", "SIPS+D2S"),
    ("_sip._sctp", "SIP+D2S"),
    ("_sips._ws", "SIPS+D2W"),
    ("_sip._ws", "SIP+D2W"),
];
