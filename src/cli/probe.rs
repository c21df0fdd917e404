//! `trunkdns probe sip` and `trunkdns probe dns`

use std::path::Path;
use std::process::ExitCode;

use super::{probe_dns, probe_sip};

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subject {
    /// Ask endpoints by SIP OPTIONS, as the platform does.
    Sip(probe_sip::Options),

    /// Compare what a resolver hands out with the tables on disk.
    Dns(probe_dns::Options),
}

/// Looks at it.
pub(super) fn run(config: &Path, subject: &Subject) -> ExitCode {
    match subject {
        Subject::Sip(options) => probe_sip::run(config, options),
        Subject::Dns(options) => probe_dns::run(config, options),
    }
}
