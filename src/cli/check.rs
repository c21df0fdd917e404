//! `trunkdns check`

use std::path::Path;
use std::process::ExitCode;

use super::{print, wants_color};
use crate::daemon::load::{self, Loaded, count};
use crate::diag::{Report, Severity, Sources};

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads and compiles everything, prints all findings, and exits 1 if any of
/// them is an error.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let loaded = load::load(config, None, &mut sources, &mut report);
    let loaded = loaded.filter(|_| !report.has_errors());
    let text = match options.json {
        true => format!("{:#}\n", report.to_json(&sources)),
        false => {
            let findings = report.render(&sources, wants_color(&std::io::stdout()));
            let errors = count(report.count(Severity::Error), "error");
            let warnings = count(report.count(Severity::Warning), "warning");
            let what = loaded.as_ref().map_or(errors, Loaded::summary);
            let instead = match loaded.is_none() && super::has_last_good(config) {
                true => "a server that starts now serves the last good tables instead\n",
                false => "",
            };
            format!("{findings}{}: {what}, {warnings}\n{instead}", config.display())
        }
    };
    print(&text, loaded.is_some())
}
