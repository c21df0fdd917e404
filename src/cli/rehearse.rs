//! `trunkdns rehearse`

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::probe_sip::CheckOptions;
use super::{duration, fail, print};
use crate::diag::{Report, Sources};
use crate::geo::{CloudLists, Databases, RegionMap};
use crate::offline::Offline;
use crate::rehearse::{Failure, From, Plan, Request, Scene, rehearse, render, to_json, to_svg};

/// Options of `rehearse`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A service, such as `_sip._tcp`, or a name of one, such as that of a tier.
    #[arg(value_name = "SERVICE")]
    service: String,

    /// The zone, where several have the service.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,

    /// What fails: an endpoint, or all endpoints of a region [the first endpoint].
    #[arg(long, value_name = "ENDPOINT|REGION")]
    fail: Option<String>,

    /// Where callers ask from [the default region].
    #[arg(long, value_name = "ADDRESS|REGION")]
    from: Option<String>,

    /// How it fails.
    #[arg(long = "with", value_enum, default_value_t)]
    failure: Failure,

    /// How often the platform sends OPTIONS.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "10s")]
    interval: Duration,

    /// How long the platform waits for an answer.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "5s")]
    timeout: Duration,

    #[command(flatten)]
    check: CheckOptions,

    /// How long it takes until somebody changes the tables.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "0s")]
    reaction: Duration,

    /// For how long resolvers serve what has expired (serve-stale), at most.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "0s")]
    stale: Duration,

    /// How many resolvers there are.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = resolvers)]
    resolvers: u32,

    /// What chance comes from: the same seed gives the same rehearsal.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// Draw a timeline.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads a number of resolvers: each is played, so that there is a limit.
fn resolvers(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| "write a number from 1 to 100000".to_owned())
}

/// Plays a failure on the tables on disk, and exits 0 if callers have a way
/// out.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let scene = match scene(config, options) {
        Ok(scene) => scene,
        Err(why) => return fail(&why),
    };
    let Options { failure, timeout, reaction, stale, resolvers, seed, .. } = *options;
    let check = options.check.check(Some(options.interval));
    let plan = Plan { failure, check, timeout, reaction, stale, resolvers, seed };
    let rehearsal = rehearse(scene, plan);
    if let Some(path) = &options.svg
        && let Err(error) = std::fs::write(path, to_svg(&rehearsal))
    {
        return fail(&format!("cannot write {}: {error}", path.display()));
    }
    let text = match options.json {
        true => format!("{:#}\n", to_json(&rehearsal)),
        false => render(&rehearsal),
    };
    print(&text, rehearsal.has_way_out())
}

fn scene(config: &Path, options: &Options) -> Result<Scene, String> {
    let offline = Offline::read(config)?;
    super::warn_of_refused(&offline);
    let request = Request {
        service: &options.service,
        zone: options.zone.as_deref(),
        fail: options.fail.as_deref(),
        from: from(&offline, options.from.as_deref())?,
    };
    Scene::set(&offline, &request)
}

fn from(offline: &Offline, text: Option<&str>) -> Result<From, String> {
    let Some(text) = text else { return Ok(From::Region(offline.regions.default)) };
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(From::Address(address, Arc::new(map(offline)?))),
        Err(_) => super::region(&offline.regions, text).map(From::Region),
    }
}

/// Compiles the region map, to place an address.
fn map(offline: &Offline) -> Result<RegionMap, String> {
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let databases = Databases::load(&offline.config.geoip.databases, &mut sources, &mut report);
    let clouds = CloudLists::load(&offline.regions, &mut sources, &mut report);
    if report.has_errors() {
        return Err("the address cannot be placed, see `trunkdns check`".to_owned());
    }
    Ok(RegionMap::compile(&offline.regions, &clouds, &databases))
}
