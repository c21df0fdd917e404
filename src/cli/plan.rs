//! `trunkdns plan`

use std::fs;
use std::io::{ErrorKind, stderr};
use std::path::Path;
use std::process::ExitCode;

use super::{fail, print, wants_color};
use crate::clock;
use crate::config::read_places;
use crate::daemon::load::{Loaded, load_and_lint};
use crate::diag::{Report, Sources};
use crate::geo::Databases;
use crate::plan::{Plan, render};
use crate::state::{self, Kept};

/// Options of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Show all of what is long.
    #[arg(long)]
    all: bool,

    /// Exit 1 if anything would change at all, for scripts.
    #[arg(long)]
    exit_code: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Compares the files with what is served, and exits 0 if a reload would take
/// in all of them.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let folder = read_places(config).state;
    let Some(kept) = state::peek(&folder) else {
        return fail(&unread(&folder));
    };
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let now = clock::wall().second();
    let loaded = load_and_lint(config, Some(&kept), now, &mut sources, &mut report);
    // What is wrong is said by what reads them, as `check` says it.
    let errors = report.has_errors();
    if errors {
        eprint!("{}", report.render(&sources, wants_color(&stderr())));
    }
    let Some(loaded) = loaded else {
        return fail("a shared file is refused, see above: a reload would change nothing");
    };
    let whose = databases(&kept, &loaded);
    let plan = Plan::new(&kept, loaded, &whose, now);
    let text = match options.json {
        true => format!("{:#}\n", serde_json::json!(plan)),
        false => render(&plan, options.all),
    };
    let is_well = !errors && plan.held_back.is_empty();
    let may_change = !options.exit_code || plan.is_empty();
    print(&text, is_well && may_change)
}

/// Says why there is nothing to compare with.
fn unread(folder: &Path) -> String {
    let shown = folder.display();
    match fs::File::open(folder.join("manifest")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("nothing is served from {shown}: start the server, or see `trunkdns check`")
        }
        Err(error) => format!("what is served cannot be read: {shown}: {error}"),
        Ok(_) => {
            format!("what is served cannot be read: {shown} is damaged, or of another release")
        }
    }
}

/// Reads the databases of the files where the region map would be another one.
fn databases(kept: &Kept, loaded: &Loaded) -> Databases {
    if kept.shared.map == loaded.shared.map {
        return Databases::default();
    }
    let (mut sources, mut report) = (Sources::default(), Report::default());
    Databases::load(&loaded.config.geoip.databases, &mut sources, &mut report)
}
