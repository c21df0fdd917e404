//! `trunkdns export genesys`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{fail, print};
use crate::genesys::{Provisioning, Request, compare};
use crate::geo::{RegionId, RegionTable};
use crate::offline::{Offline, OfflineZone};

/// For whom.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Platform {
    /// Trunks, trunk groups and routing policies of Genesys Cloud.
    Genesys(Options),
}

/// Options of `export genesys`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The zone, where several have services.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,

    /// The service [the first over TLS].
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// A region, once or again [all of them].
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,

    /// Put trunks on names that answer by the resolver's region.
    #[arg(long)]
    steered: bool,

    /// Numbers that the trunks of a region take, once or again.
    #[arg(long, value_name = "REGION=REGEX", value_parser = outbound)]
    outbound: Vec<(String, String)>,

    /// In which form.
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Compare with a file that was exported or downloaded; exit 1 if it differs.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// The bodies of the platform's interface.
    #[default]
    Json,

    /// Variables: a `*.tfvars.json`.
    Terraform,
}

/// Reads a region and the numbers that its trunks take.
fn outbound(text: &str) -> Result<(String, String), String> {
    let (region, pattern) = text.split_once('=').ok_or("write REGION=REGEX")?;
    Ok((region.to_owned(), pattern.to_owned()))
}

/// Prints what fits the tables on disk, or how a file differs from it.
pub(super) fn run(config: &Path, Platform::Genesys(options): &Platform) -> ExitCode {
    let (made, is_whole) = match make(config, options) {
        Ok(made) => made,
        Err(why) => return fail(&why),
    };
    let Some(path) = &options.check else {
        for note in &made.notes {
            eprintln!("trunkdns: {note}");
        }
        let text = match options.format {
            Format::Json => made.to_json(),
            Format::Terraform => made.to_terraform(),
        };
        return print(&text, is_whole);
    };
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(&format!("cannot read {shown}: {error}")),
    };
    match compare(&made, &text) {
        Ok(lines) if lines.is_empty() => print(&format!("{shown} fits the tables\n"), true),
        Ok(lines) => {
            let lines: String = lines.iter().map(|line| format!("{shown}: {line}\n")).collect();
            print(&lines, false)
        }
        Err(why) => fail(&format!("{shown}: {why}")),
    }
}

/// Makes it; says, too, whether all tables could be read.
fn make(config: &Path, options: &Options) -> Result<(Provisioning, bool), String> {
    let offline = Offline::read(config)?;
    super::warn_of_refused(&offline);
    let regions = &offline.regions;
    let named = |name: &str| super::region(regions, name);
    let request = Request {
        regions: options.region.iter().map(|name| named(name)).collect::<Result<_, _>>()?,
        service: options.service.as_deref(),
        steered: options.steered,
        patterns: patterns(regions, &options.outbound)?,
    };
    let zone = zone(&offline, options.zone.as_deref())?;
    Ok((Provisioning::new(&zone.tables, regions, &request)?, offline.refused.is_empty()))
}

fn patterns(
    regions: &RegionTable,
    list: &[(String, String)],
) -> Result<Vec<(RegionId, String)>, String> {
    let one =
        |(name, pattern): &(String, String)| Ok((super::region(regions, name)?, pattern.clone()));
    list.iter().map(one).collect()
}

/// Finds the zone that is named, or the only one with services.
fn zone<'o>(offline: &'o Offline, named: Option<&str>) -> Result<&'o OfflineZone, String> {
    let zones = || offline.zones.iter().filter(|zone| !zone.tables.services.is_empty());
    let name = |zone: &OfflineZone| zone.tables.origin.to_string();
    let list = || zones().map(name).collect::<Vec<_>>().join(" ");
    if let Some(named) = named {
        let wanted = named.trim_end_matches('.').to_ascii_lowercase();
        return zones()
            .find(|zone| name(zone).trim_end_matches('.').to_ascii_lowercase() == wanted)
            .ok_or_else(|| format!("no zone {named} has services; there are {}", list()));
    }
    let mut some = zones();
    match (some.next(), some.next()) {
        (Some(zone), None) => Ok(zone),
        (Some(_), Some(_)) => Err(format!("name a zone by --zone: {}", list())),
        (None, _) => Err("no zone has services".to_owned()),
    }
}
