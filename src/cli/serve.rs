//! `trunkdns serve`

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::events::{self, EventFormat};
use crate::daemon;

/// What `serve` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How events are written to standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = EventFormat::Text)]
    log_format: EventFormat,
}

/// Serves until told to stop.
///
/// Exits 1 if the tables have errors and nothing was served before, the state
/// folder is in use, or an address cannot be bound; 0 after SIGTERM or SIGINT.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    events::start(options.log_format);
    match daemon::serve(config, |ready| {
        // Serving does not depend on somebody reading this.
        let _ = writeln!(std::io::stdout(), "{ready}");
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkdns: {error}");
            ExitCode::FAILURE
        }
    }
}
