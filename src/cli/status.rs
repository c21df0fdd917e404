//! `trunkdns status`

use std::path::Path;
use std::process::ExitCode;

use super::{ask, print};
use crate::daemon::control::{Command, Reply};

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints how the running server is, and exits 0 if it answers.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let status = match ask(config, &Command::Status) {
        Ok(Reply::Status(status)) => status,
        Ok(other) => return super::fail(&format!("the server answered {other:?}")),
        Err(why) => return super::fail(&why),
    };
    let text = match options.json {
        true => format!("{:#}\n", serde_json::json!(status)),
        false => status.render(),
    };
    print(&text, true)
}
