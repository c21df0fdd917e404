//! `trunkdns.toml`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::allow::allow;
use super::encrypted::{encrypted, located_path};
use super::limit::{customers, limit, network};
use super::log::log;
use super::model::{
    Account, Admin, Checks, Config, Geoip, Handover, HandoverMode, Server, Tcp, Zones,
};
use super::reader::{Fields, Item};
use super::text::Text;
use crate::diag::{Code, Finding, Located, Report, Sources};

/// Reads `trunkdns.toml`.
///
/// Every key has a default, so that an empty file is a configuration. Where
/// there are findings, the result is what could be read, with defaults for
/// the rest; there is none where the file is missing or not TOML.
pub fn read_config(sources: &mut Sources, path: &Path, report: &mut Report) -> Option<Config> {
    let text = Text::read(sources, path, report)?;
    let folder = text.folder();
    text.parse(report, |root, report| config(root, folder, report)).whole()
}

/// Returns where a configuration has the server keep and hear things, as far
/// as it can be read at all: a server that serves the last good one must be
/// found although the file is broken.
pub fn read_places(path: &Path) -> Places {
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let text = Text::read(&mut sources, path, &mut report);
    let config = text.map(|text| {
        let folder = text.folder().to_owned();
        text.parse(&mut report, |root, report| config(root, &folder, report)).value
    });
    let state = path.parent().unwrap_or(Path::new("")).join("state");
    let is_whole = !report.has_errors();
    match config {
        Some(config) => Places {
            state: config.server.state,
            control: config.admin.control,
            account: config.server.account,
            is_whole,
        },
        None => Places {
            control: state.join("control.sock"),
            state,
            account: Account::default(),
            is_whole,
        },
    }
}

/// Where a server keeps and hears things.
#[derive(Clone, Debug)]
pub struct Places {
    /// `[server] state`
    pub state: PathBuf,

    /// `[admin] control`
    pub control: PathBuf,

    /// Who it is.
    pub account: Account,

    /// Whether the configuration could be read as a whole.
    pub is_whole: bool,
}

fn config(mut root: Fields<'_>, folder: &Path, report: &mut Report) -> Config {
    let mut server = server(root.section("server", report), folder, report);
    let tcp = tcp(root.section("tcp", report), report);
    let encrypted = encrypted(root.section("encrypted", report), &server, report);
    let limit = limit(root.section("limit", report), report);
    let customers = customers(root.section("customers", report), report);
    let geoip = geoip(root.section("geoip", report), folder, report);
    let zones = zones(root.section("zones", report), folder, report);
    let handover = handover(root.section("handover", report), report);
    let admin = admin(root.section("admin", report), &mut server, report);
    let log = log(root.section("log", report), report);
    let allow = allow(root.section("check", report), report);
    root.finish(report);
    Config { server, tcp, encrypted, limit, customers, geoip, zones, handover, admin, log, allow }
}

fn server(mut fields: Fields<'_>, folder: &Path, report: &mut Report) -> Server {
    let here = fields.span();
    let default_listen = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 5300)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 5300)),
    ];
    let listen = fields.or(
        "listen",
        default_listen.map(|address| Located::new(address, here)).to_vec(),
        report,
        |item, report| item.filled_set("addresses to listen on", report, Item::socket),
    );
    let keep = Duration::from_secs(60)..=days(3650);
    let server = Server {
        listen,
        workers: fields.or("workers", 0, report, |item, report| item.integer(0..=1024, report)),
        pin_workers: fields.or("pin-workers", false, report, Item::boolean),
        identity: fields.optional("identity", report, Item::word),
        version: fields.optional("version", report, Item::word),
        cookie_secrets: fields.optional("cookie-secrets", report, located_path),
        state: fields.or("state", folder.join("state"), report, Item::path),
        keep: fields.or("keep", days(30), report, |item, report| item.duration(keep, report)),
        watch: fields.or("watch", true, report, Item::boolean),
        production: fields.or("production", false, report, Item::boolean),
        proxy_from: fields.or("proxy-from", Vec::new(), report, |item, report| {
            few_networks(item, "load balancers", report)
        }),
        account: account(&mut fields, report),
        sandbox: fields.or("sandbox", true, report, Item::boolean),
    };
    fields.finish(report);
    server
}

/// Reads networks, few enough to look at each of them; `of` says whose they are.
fn few_networks(item: Item<'_>, of: &str, report: &mut Report) -> Option<Vec<Located<IpNet>>> {
    const NETWORKS_MAX: usize = 64;
    let span = item.span();
    let networks = item.set(report, network)?;
    if networks.len() > NETWORKS_MAX {
        report.add(Finding::new(
            Code::TooMany,
            span,
            format!("{} networks of {of}, of {NETWORKS_MAX} at most", networks.len()),
            "list the networks that they are in",
        ));
        return None;
    }
    Some(networks)
}

fn account(fields: &mut Fields<'_>, report: &mut Report) -> Account {
    let user = fields.optional("user", report, |item, report| item.account("user", report));
    let group = fields.take("group");
    if let (None, Some((key, _))) = (&user, &group) {
        report.add(Finding::new(
            Code::MissingKey,
            key.span,
            "`group` without `user`",
            "name the user that the server is to become, or remove `group`",
        ));
    }
    let group = group.and_then(|(_, item)| item.account("group", report));
    Account { user, group, control_group: None }
}

fn tcp(mut fields: Fields<'_>, report: &mut Report) -> Tcp {
    // A million descriptors are what Linux lets a process have.
    let count = 1..=1_000_000;
    let deadline = Duration::from_secs(1)..=Duration::from_secs(3600);
    let seconds = Duration::from_secs;
    let tcp = Tcp {
        connections: fields
            .or("connections", 10_000, report, |item, report| item.integer(count.clone(), report)),
        connections_per_network: fields.or(
            "connections-per-network",
            100,
            report,
            |item, report| item.integer(count.clone(), report),
        ),
        idle: fields.or("idle", seconds(10), report, |item, report| {
            item.duration(deadline.clone(), report)
        }),
        read: fields
            .or("read", seconds(5), report, |item, report| item.duration(deadline.clone(), report)),
        write: fields.or("write", seconds(5), report, |item, report| {
            item.duration(deadline.clone(), report)
        }),
    };
    fields.finish(report);
    tcp
}

fn geoip(mut fields: Fields<'_>, folder: &Path, report: &mut Report) -> Geoip {
    let default_regions = folder.join("geoip/regions.toml");
    let geoip = Geoip {
        databases: fields
            .or("databases", Vec::new(), report, |item, report| item.set(report, Item::path)),
        regions: fields.or("regions", default_regions, report, Item::path),
        client_subnet: fields.or("client-subnet", true, report, Item::boolean),
    };
    fields.finish(report);
    geoip
}

fn zones(mut fields: Fields<'_>, folder: &Path, report: &mut Report) -> Zones {
    let directory = fields.or("directory", folder.join("zones"), report, Item::path);
    let checks = match fields.or("lenient", false, report, Item::boolean) {
        true => Checks::Lenient,
        false => Checks::Strict,
    };
    fields.finish(report);
    Zones { directory, checks }
}

fn handover(mut fields: Fields<'_>, report: &mut Report) -> Handover {
    let modes = [("window", HandoverMode::Window), ("immediate", HandoverMode::Immediate)];
    let spread = Duration::ZERO..=Duration::from_secs(3600);
    let longest = Duration::from_secs(1)..=days(7);
    let handover = Handover {
        mode: fields
            .or("mode", HandoverMode::Window, report, |item, report| item.choice(&modes, report)),
        spread: fields.or("spread", Duration::from_secs(15), report, |item, report| {
            item.duration(spread, report)
        }),
        longest: fields.or("longest", Duration::from_secs(300), report, |item, report| {
            item.duration(longest, report)
        }),
        most_moved: fields
            .or("most-moved", 50, report, |item, report| item.integer(0..=100, report)),
        // Beyond half, a TTL of 60 would go out as less than 30.
        spread_ttl: fields.or("spread-ttl", 0, report, |item, report| item.integer(0..=50, report)),
    };
    fields.finish(report);
    handover
}

fn admin(mut fields: Fields<'_>, server: &mut Server, report: &mut Report) -> Admin {
    server.account.control_group =
        fields.optional("control-group", report, |item, report| item.account("group", report));
    let admin = Admin {
        control: fields.or("control", server.state.join("control.sock"), report, Item::path),
        http: fields.optional("http", report, Item::socket),
        http_names: fields
            .optional("http-names", report, |item, report| {
                item.set(report, |item, report| item.string(report).map(str::to_owned))
            })
            .map_or_else(Vec::new, |names| names.into_iter().map(|name| name.value).collect()),
        health_from: fields.or("health-from", Vec::new(), report, |item, report| {
            few_networks(item, "health checks", report)
        }),
    };
    fields.finish(report);
    admin
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{LimitMode, LogFile};
    use crate::diag::Code;

    fn read(text: &str) -> (Config, usize) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("/etc/trunkdns/trunkdns.toml"), text);
        let text = Text::of(&sources, file);
        let mut report = Report::default();
        let folder = text.folder();
        let parsed = text.parse(&mut report, |root, report| config(root, folder, report));
        (parsed.value, report.findings().len())
    }

    #[test]
    fn an_empty_file_is_a_configuration_of_defaults() {
        let (config, findings) = read("");
        assert_eq!(findings, 0);
        let listen: Vec<_> = config.server.listen.iter().map(|at| at.value.to_string()).collect();
        assert_eq!(listen, ["127.0.0.1:5300", "[::1]:5300"]);
        assert_eq!(config.server.keep, days(30));
        assert_eq!((config.server.identity, config.server.version), (None, None));
        assert_eq!(config.server.account, Account::default());
        assert!(config.server.sandbox && config.server.proxy_from.is_empty());
        assert!(!config.server.pin_workers);
        assert!(config.server.cookie_secrets.is_none());
        assert_eq!((config.tcp.connections, config.tcp.connections_per_network), (10_000, 100));
        assert_eq!(config.tcp.idle, Duration::from_secs(10));
        assert_eq!([config.tcp.read, config.tcp.write], [Duration::from_secs(5); 2]);
        assert!(config.encrypted.is_none());
        assert_eq!(config.limit.mode, LimitMode::Off);
        assert_eq!((config.limit.errors, config.limit.missing, config.limit.answers), (50, 100, 0));
        assert_eq!(config.limit.burst, Duration::from_secs(5));
        assert!(config.limit.exempt.is_empty() && config.customers.is_empty());
        assert_eq!(config.geoip.regions, Path::new("/etc/trunkdns/geoip/regions.toml"));
        assert!(config.geoip.databases.is_empty() && config.geoip.client_subnet);
        assert_eq!(config.zones.directory, Path::new("/etc/trunkdns/zones"));
        assert_eq!(config.zones.checks, Checks::Strict);
        assert_eq!(config.handover.mode, HandoverMode::Window);
        assert_eq!(config.handover.spread, Duration::from_secs(15));
        assert_eq!(config.handover.longest, Duration::from_secs(300));
        assert_eq!((config.handover.most_moved, config.handover.spread_ttl), (50, 0));
        assert_eq!(config.admin.http, None);
        assert!(config.allow.is_empty());
        assert!(config.log.file.is_none() && config.log.dnstap.is_none());
        assert_eq!(config.log.sample, 1);
        assert!(config.log.networks.is_empty() && config.log.regions.is_empty());
    }

    #[test]
    fn every_key_is_read() {
        let (config, findings) = read(
            r#"
            [server]
            listen = ["192.0.2.53:53"]
            workers = 4
            pin-workers = true
            identity = "ns1"
            version = "1.2"
            cookie-secrets = "cookies"
            state = "/var/lib/trunkdns"
            keep = "12h"
            production = true
            user = "trunkdns"
            group = "dns"
            sandbox = false
            proxy-from = ["192.0.2.10/32"]
            [tcp]
            connections = 50
            connections-per-network = 5
            idle = "30s"
            read = "2s"
            write = "1m"
            [encrypted]
            certificate = "cert.pem"
            key = "/etc/ssl/key.pem"
            tls = ["192.0.2.53:853"]
            quic = ["192.0.2.53:853", "[2001:db8::53]:853"]
            https = ["192.0.2.53:443"]
            https-path = "/"
            handshake = "3s"
            [limit]
            mode = "count"
            errors = 10
            missing = 20
            answers = 20000
            burst = "10s"
            exempt = ["198.51.100.0/24"]
            [customers]
            twilio = ["2001:db8::/32"]
            Genesys = ["203.0.113.0/24", "203.0.112.0/24"]
            [geoip]
            databases = ["country.mmdb", "/srv/feed.csv"]
            regions = "regions.toml"
            client-subnet = false
            [zones]
            directory = "customers"
            lenient = true
            [handover]
            mode = "immediate"
            spread = "0s"
            longest = "10m"
            most-moved = 100
            spread-ttl = 10
            [admin]
            control-group = "dnsops"
            http = "[::1]:8053"
            health-from = ["198.51.100.0/24"]
            [log]
            file = "log/decisions.jsonl"
            dnstap = "/run/dnstap.sock"
            sample = 100
            networks = ["192.0.2.0/24"]
            regions = ["us-east"]
            [check]
            allow = ["database-old", "ttl-short"]
            "#,
        );
        assert_eq!(findings, 0);
        assert_eq!(config.server.listen[0].value.port(), 53);
        assert_eq!((config.server.workers, config.server.production), (4, true));
        assert!(config.server.pin_workers);
        assert_eq!(config.server.identity.as_deref(), Some("ns1"));
        let Account { user, group, control_group } = config.server.account;
        let names = [user, group, control_group].map(Option::unwrap);
        assert_eq!(names, ["trunkdns", "dns", "dnsops"]);
        assert!(!config.server.sandbox);
        assert_eq!(config.server.proxy_from[0].value.to_string(), "192.0.2.10/32");
        assert_eq!(config.server.version.as_deref(), Some("1.2"));
        let secrets = config.server.cookie_secrets.map(|path| path.value);
        assert_eq!(secrets.as_deref(), Some(Path::new("/etc/trunkdns/cookies")));
        assert_eq!(config.server.keep, Duration::from_secs(12 * 3600));
        assert_eq!((config.tcp.connections, config.tcp.connections_per_network), (50, 5));
        assert_eq!(config.tcp.idle, Duration::from_secs(30));
        assert_eq!(config.tcp.read, Duration::from_secs(2));
        assert_eq!(config.tcp.write, Duration::from_secs(60));
        let encrypted = config.encrypted.unwrap();
        assert_eq!(encrypted.certificate.value, Path::new("/etc/trunkdns/cert.pem"));
        assert_eq!(encrypted.key.value, Path::new("/etc/ssl/key.pem"));
        assert_eq!((encrypted.tls.len(), encrypted.quic.len(), encrypted.https.len()), (1, 2, 1));
        assert_eq!((&encrypted.path[..], encrypted.handshake), ("/", Duration::from_secs(3)));
        let limit = config.limit;
        assert_eq!((limit.mode, limit.errors, limit.missing), (LimitMode::Count, 10, 20));
        assert_eq!((limit.answers, limit.burst), (20_000, Duration::from_secs(10)));
        assert_eq!(limit.exempt[0].value.to_string(), "198.51.100.0/24");
        let names: Vec<_> = config.customers.iter().map(|one| &one.name.value[..]).collect();
        assert_eq!(names, ["genesys", "twilio"]);
        assert_eq!(config.customers[0].networks[1].value.to_string(), "203.0.112.0/24");
        assert_eq!(config.geoip.databases[0].value, Path::new("/etc/trunkdns/country.mmdb"));
        assert_eq!(config.geoip.databases[1].value, Path::new("/srv/feed.csv"));
        assert_eq!(config.geoip.regions, Path::new("/etc/trunkdns/regions.toml"));
        assert!(!config.geoip.client_subnet);
        assert_eq!(config.zones.directory, Path::new("/etc/trunkdns/customers"));
        assert_eq!(config.zones.checks, Checks::Lenient);
        assert_eq!(config.handover.mode, HandoverMode::Immediate);
        assert_eq!(config.handover.spread, Duration::ZERO);
        assert_eq!(config.handover.longest, Duration::from_secs(600));
        assert_eq!((config.handover.most_moved, config.handover.spread_ttl), (100, 10));
        assert_eq!(config.admin.http.map(|at| at.port()), Some(8053));
        assert_eq!(config.admin.health_from[0].value.to_string(), "198.51.100.0/24");
        assert_eq!(config.allow, [Code::DatabaseOld, Code::TtlShort]);
        let log = config.log;
        let path = Path::new("/etc/trunkdns/log/decisions.jsonl");
        assert_eq!(log.file, Some(LogFile::Path(path.into())));
        assert_eq!(log.dnstap.as_deref(), Some(Path::new("/run/dnstap.sock")));
        assert_eq!((log.sample, &log.regions[0].value[..]), (100, "us-east"));
        assert_eq!(log.networks[0].value.to_string(), "192.0.2.0/24");
    }

    #[test]
    fn a_log_that_goes_nowhere_is_found() {
        assert_eq!(read("[log]\nsample = 10").1, 1);
        assert_eq!(read("[log]\nsample = 0").1, 1);
        let (config, findings) = read("[log]\nfile = 'stdout'\nsample = 10");
        assert_eq!((config.log.file, findings), (Some(LogFile::Stdout), 0));
    }

    #[test]
    fn the_control_socket_is_in_the_state_folder_unless_said_otherwise() {
        let (config, _) = read("server.state = '/var/lib/trunkdns'");
        assert_eq!(config.admin.control, Path::new("/var/lib/trunkdns/control.sock"));
        let (config, _) = read("admin.control = 'run.sock'");
        assert_eq!(config.admin.control, Path::new("/etc/trunkdns/run.sock"));
    }

    #[test]
    fn a_group_without_a_user_and_names_that_are_none_are_found() {
        assert_eq!(read("[server]\ngroup = 'dns'").1, 1);
        for name in ["", "a b", "a:b", "../a"] {
            assert_eq!(read(&format!("[server]\nuser = '{name}'")).1, 1, "{name}");
            assert_eq!(read(&format!("[admin]\ncontrol-group = '{name}'")).1, 1, "{name}");
        }
    }

    #[test]
    fn there_are_only_so_many_balancers() {
        let list = |count: u32| -> String {
            let networks: Vec<_> = (0..count).map(|at| format!("'192.0.2.{at}/32'")).collect();
            format!("server.proxy-from = [{}]", networks.join(", "))
        };
        assert_eq!((read(&list(64)).1, read(&list(65)).1), (0, 1));
    }

    #[test]
    fn there_are_only_so_many_customers() {
        let entries = |count: u32| -> String {
            let network = |at: u32| std::net::Ipv4Addr::from(at << 8);
            (0..count).map(|at| format!("c{at} = [\"{}/24\"]\n", network(at))).collect()
        };
        let read = |count| read(&format!("[customers]\n{}", entries(count)));
        assert_eq!(read(1000).1, 0);
        let (config, findings) = read(1001);
        assert_eq!((config.customers.len(), findings), (1000, 1));
    }

    #[test]
    fn a_value_that_cannot_be_read_leaves_the_default() {
        let (config, findings) = read("[server]\nworkers = -1\nkeep = 3\nstate = 'here'");
        assert_eq!(findings, 2);
        assert_eq!((config.server.workers, config.server.keep), (0, days(30)));
        assert_eq!(config.server.state, Path::new("/etc/trunkdns/here"));
    }
}
