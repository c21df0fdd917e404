//! `trunkdns reload`

use std::path::Path;
use std::process::ExitCode;

use super::{ask, print};
use crate::daemon::control::{Command, Reply};

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Put it in force at once, whatever resolvers have cached.
    #[arg(long)]
    now: bool,

    /// Do what looks like an accident: most records gone, a zone gone, most addresses moved.
    #[arg(long)]
    force: bool,

    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,

    /// The zones to take in; all without one.
    #[arg(value_name = "ZONE")]
    zones: Vec<String>,
}

/// Has the running server read its files, and exits 0 only if everything in
/// them is published.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let command =
        Command::Reload { now: options.now, force: options.force, zones: options.zones.clone() };
    let outcome = match ask(config, &command) {
        Ok(Reply::Reload(outcome)) => outcome,
        Ok(Reply::Refused { why }) => return super::fail(&why),
        Ok(other) => return super::fail(&format!("the server answered {other:?}")),
        Err(why) => return super::fail(&why),
    };
    let text = match options.json {
        true => format!("{:#}\n", serde_json::json!(outcome)),
        false => {
            let end = match outcome.is_whole {
                true => format!("generation {} is served\n", outcome.generation),
                false => "not everything could be taken in, see above\n".to_owned(),
            };
            outcome.render() + &end
        }
    };
    print(&text, outcome.is_whole)
}
