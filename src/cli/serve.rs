//! `trunkdns serve`

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::wants_color;
use crate::daemon;

/// Serves until told to stop.
///
/// Exits 1 if the tables have errors and nothing was served before, the state
/// folder is in use, or an address cannot be bound; 0 after SIGTERM or SIGINT.
pub(super) fn run(config: &Path) -> ExitCode {
    start_logging();
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

/// Sends events to standard error: `TRUNKDNS_LOG=debug` shows more.
///
/// Hickory's transports log a line or two a query at level `info`; a server
/// that logs queries can be stopped by whoever asks enough of them.
fn start_logging() {
    let filter = EnvFilter::try_from_env("TRUNKDNS_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,hickory_server=off,hickory_proto=off,hickory_net=off")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(wants_color(&std::io::stderr()))
        .init();
}
