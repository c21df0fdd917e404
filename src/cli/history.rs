//! `trunkdns history` and `trunkdns rollback`

use std::path::Path;
use std::process::ExitCode;

use super::{ask, fail, print};
use crate::config::read_places;
use crate::daemon::control::{Command, Reply};
use crate::state::{self, Event};
use crate::time::utc;

/// Options of `history`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many publications to show, the last ones.
    #[arg(short = 'n', value_name = "N", default_value = "20")]
    count: usize,

    /// Print them as one JSON array.
    #[arg(long)]
    json: bool,
}

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    /// The generation whose tables are published again [the one before the last].
    #[arg(value_name = "GENERATION")]
    generation: Option<u64>,

    /// A zone, once or again [all, and the region map].
    #[arg(long, value_name = "ZONE")]
    zone: Vec<String>,

    /// Put it in force at once, whatever resolvers have cached.
    #[arg(long)]
    now: bool,

    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints what was published, the last first.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    // What a server that is stopped remembers is on the disk.
    let events = match ask(config, &Command::History) {
        Ok(Reply::History { events }) => events,
        Ok(other) => return fail(&format!("the server answered {other:?}")),
        Err(_) => state::events(&read_places(config).state),
    };
    let shown: Vec<&Event> = events.iter().rev().take(options.count).collect();
    let text = match options.json {
        true => format!("{:#}\n", serde_json::json!(shown)),
        false if shown.is_empty() => "nothing is remembered\n".to_owned(),
        false => shown.into_iter().map(render).collect(),
    };
    print(&text, true)
}

fn render(event: &Event) -> String {
    let Event { generation, time, by, what, lines } = event;
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("{generation:>6}  {}  {what}, by {by}\n{lines}", utc(*time))
}

/// Has the running server publish earlier tables again, and exits 0 if it has.
pub(super) fn roll_back(config: &Path, options: &Rollback) -> ExitCode {
    let Rollback { generation, zone, now, json } = options;
    let command = Command::Rollback { generation: *generation, zones: zone.clone(), now: *now };
    let outcome = match ask(config, &command) {
        Ok(Reply::Reload(outcome)) => outcome,
        Ok(Reply::Refused { why }) | Err(why) => return fail(&why),
        Ok(other) => return fail(&format!("the server answered {other:?}")),
    };
    let end = match (outcome.is_whole, outcome.lines.is_empty()) {
        (true, true) => "nothing is new: that is what is served\n".to_owned(),
        (true, false) => format!("generation {} is served\n", outcome.generation),
        (false, _) => "it could not be done, see above\n".to_owned(),
    };
    let text = match json {
        true => format!("{:#}\n", serde_json::json!(outcome)),
        false => outcome.render() + &end,
    };
    print(&text, outcome.is_whole)
}
