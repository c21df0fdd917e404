//! `trunkdns drain` and `trunkdns undrain`

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::{ask, duration, fail, print};
use crate::clock;
use crate::daemon::board::Outcome;
use crate::daemon::control::{Command, Drain, Reply};
use crate::daemon::status::{DrainPhase, DrainStatus, Status};
use crate::time;

/// Options of `drain`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,

    /// When it takes effect: a time with its zone, or a span such as +2h [as soon as caches allow].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,

    /// For how long; then it comes back by itself [until `undrain`].
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Duration>,

    /// Why, for `status`, such as the number of a change.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Return when the last answer that was handed out and prefers it has expired.
    #[arg(long)]
    wait: bool,

    /// Do it where nobody else is left.
    #[arg(long)]
    force: bool,
}

/// Options of `undrain`.
#[derive(Debug, clap::Args)]
pub(super) struct Ending {
    #[command(flatten)]
    which: Which,
}

/// What both take.
#[derive(Debug, clap::Args)]
struct Which {
    /// An endpoint's name, with `*` for any characters; or a region: all closest to it.
    #[arg(value_name = "ENDPOINT")]
    what: String,

    /// The zone whose endpoints are meant; all without one.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,

    /// Put it in force at once, whatever resolvers have cached.
    #[arg(long)]
    now: bool,

    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Has endpoints come behind all others, and exits 0 when that is published or
/// scheduled; with `--wait`, when no cached answer prefers them any more.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let at = options.at.as_deref().map(|at| time::read_moment(at, clock::wall().0)).transpose();
    let at = match at {
        Ok(at) => at.map(|at| at.div_ceil(1000)),
        Err(why) => return super::usage(&why),
    };
    let lasts = options.lasts.map(|lasts| lasts.as_secs());
    if lasts == Some(0) {
        return super::usage("`--for` is at least 1s");
    }
    let (force, reason) = (options.force, options.reason.clone());
    let command = Drain { at, lasts, force, reason, ..command(&options.which) };
    let (outcome, endpoints) = match give(config, command) {
        Ok(done) => done,
        Err(why) => return fail(&why),
    };
    if !options.wait || !outcome.is_whole {
        let state = if at.is_some() { "will be drained" } else { "is drained" };
        return report(&outcome, &endpoints, &options.which, state);
    }
    if !options.which.json {
        // What became of it is said before it is waited for.
        eprint!("{}", outcome.render());
    }
    match wait(config, &endpoints, options.which.json) {
        Ok(()) => {
            let outcome = Outcome { lines: Vec::new(), ..outcome };
            report(&outcome, &endpoints, &options.which, "is preferred by no cached answer")
        }
        Err(why) => fail(&why),
    }
}

/// Has endpoints come back to their places.
pub(super) fn end(config: &Path, options: &Ending) -> ExitCode {
    match give(config, Drain { ends: true, ..command(&options.which) }) {
        Ok((outcome, endpoints)) => report(&outcome, &endpoints, &options.which, "is not drained"),
        Err(why) => fail(&why),
    }
}

fn command(which: &Which) -> Drain {
    let (what, zone) = (which.what.clone(), which.zone.clone());
    Drain { what, zone, now: which.now, ..Drain::default() }
}

fn give(config: &Path, command: Drain) -> Result<(Outcome, Vec<String>), String> {
    match ask(config, &Command::Drain(command))? {
        Reply::Drain { outcome, endpoints } => Ok((outcome, endpoints)),
        Reply::Refused { why } => Err(why),
        other => Err(format!("the server answered {other:?}")),
    }
}

fn report(outcome: &Outcome, endpoints: &[String], which: &Which, state: &str) -> ExitCode {
    if which.json {
        let done = serde_json::json!({ "endpoints": endpoints, "outcome": outcome });
        return print(&format!("{done:#}\n"), outcome.is_whole);
    }
    let end = match outcome.is_whole {
        true => endpoints.iter().map(|endpoint| format!("{endpoint} {state}\n")).collect(),
        false => "it could not be done, see above\n".to_owned(),
    };
    print(&(outcome.render() + &end), outcome.is_whole)
}

/// Waits until no cached answer prefers endpoints.
fn wait(config: &Path, endpoints: &[String], is_quiet: bool) -> Result<(), String> {
    let mut said = None;
    loop {
        let Reply::Status(status) = ask(config, &Command::Status)? else {
            return Err("the server does not say how it is".to_owned());
        };
        let own: Vec<_> = endpoints.iter().map(|name| find(&status, name)).collect();
        let Some(own) = own.into_iter().collect::<Option<Vec<&DrainStatus>>>() else {
            return Err("it is no longer drained: somebody has ended it".to_owned());
        };
        if let Some(stuck) = own.iter().find(|drain| drain.only_choice_of.is_some()) {
            return Err(format!("{} is {}", stuck.endpoint, stuck.progress(status.now)));
        }
        let Some(open) = own.iter().find(|drain| drain.phase != DrainPhase::Drained) else {
            return Ok(());
        };
        let stage = Some((open.endpoint.clone(), open.phase, open.settled > status.now));
        if !is_quiet && said != stage {
            eprintln!("trunkdns: waiting for {}: {}", open.endpoint, open.progress(status.now));
            said = stage;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn find<'s>(status: &'s Status, endpoint: &str) -> Option<&'s DrainStatus> {
    status.drains.iter().find(|drain| drain.endpoint == endpoint)
}
