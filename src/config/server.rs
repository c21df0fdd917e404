//! `trunkdns.toml`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::model::{Admin, Config, Geoip, Handover, HandoverMode, Server};
use super::reader::{Fields, Item};
use super::text::Text;
use crate::diag::{Located, Report, Sources};

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

fn config(mut root: Fields<'_>, folder: &Path, report: &mut Report) -> Config {
    let server = server(root.section("server", report), folder, report);
    let geoip = geoip(root.section("geoip", report), folder, report);
    let mut zones = root.section("zones", report);
    let directory = zones.or("directory", folder.join("zones"), report, Item::path);
    zones.finish(report);
    let handover = handover(root.section("handover", report), report);
    let admin = admin(root.section("admin", report), &server.state, report);
    root.finish(report);
    Config { server, geoip, zones: directory, handover, admin }
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
        identity: fields.optional("identity", report, Item::word),
        state: fields.or("state", folder.join("state"), report, Item::path),
        keep: fields.or("keep", days(30), report, |item, report| item.duration(keep, report)),
        production: fields.or("production", false, report, Item::boolean),
    };
    fields.finish(report);
    server
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

fn admin(mut fields: Fields<'_>, state: &Path, report: &mut Report) -> Admin {
    let admin = Admin {
        control: fields.or("control", state.join("control.sock"), report, Item::path),
        http: fields.optional("http", report, Item::socket),
    };
    fields.finish(report);
    admin
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}
