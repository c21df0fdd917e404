//! `trunkdns check`

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::wants_color;
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
    let loaded = load::load(config, &mut sources, &mut report, |_| 1);
    let loaded = loaded.filter(|_| !report.has_errors());
    let text = match options.json {
        true => format!("{:#}\n", report.to_json(&sources)),
        false => {
            let findings = report.render(&sources, wants_color(&std::io::stdout()));
            let errors = count(report.count(Severity::Error), "error");
            let warnings = count(report.count(Severity::Warning), "warning");
            let what = loaded.as_ref().map_or(errors, Loaded::summary);
            format!("{findings}{}: {what}, {warnings}\n", config.display())
        }
    };
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    // Whoever closes the pipe early, as `head` does, has read enough.
    if let Err(error) = written.or_else(ignore_broken_pipe) {
        eprintln!("trunkdns: cannot print the findings: {error}");
        return ExitCode::FAILURE;
    }
    if loaded.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ignore_broken_pipe(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
