//! `trunkdns check`

use std::path::Path;
use std::process::ExitCode;

use super::wants_color;
use crate::daemon::load;
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
    let loaded = load::load(config, &mut sources, &mut report, |_| 1);
    let loaded = loaded.filter(|_| !report.has_errors());
    if options.json {
        println!("{:#}", report.to_json(&sources));
    } else {
        print!("{}", report.render(&sources, wants_color(&std::io::stdout())));
        let errors = report.count(Severity::Error);
        let warnings = report.count(Severity::Warning);
        match &loaded {
            Some(loaded) => {
                println!("{}: {}, {warnings} warnings", config.display(), loaded.summary())
            }
            None => println!("{}: {errors} errors, {warnings} warnings", config.display()),
        }
    }
    if loaded.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
