//! The command line: one file a command.
//!
//! Exit codes tell the truth: 0 done, 1 refused or findings, 2 usage.

#![expect(clippy::print_stderr, reason = "this is where people are talked to")]

mod check;
mod drain;
mod events;
mod explain;
mod export;
mod history;
mod log;
mod manual;
mod plan;
mod probe;
mod probe_dns;
mod probe_sip;
mod rehearse;
mod reload;
mod serve;
mod status;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::parse_duration;
use crate::daemon::control;
use crate::geo::{RegionId, RegionTable};
use crate::offline::Offline;

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve(options) => serve::run(&arguments.config, &options),
        Command::Check(options) => check::run(&arguments.config, &options),
        Command::Plan(options) => plan::run(&arguments.config, &options),
        Command::Reload(options) => reload::run(&arguments.config, &options),
        Command::Drain(options) => drain::run(&arguments.config, &options),
        Command::Undrain(options) => drain::end(&arguments.config, &options),
        Command::History(options) => history::run(&arguments.config, &options),
        Command::Rollback(options) => history::roll_back(&arguments.config, &options),
        Command::Status(options) => status::run(&arguments.config, &options),
        Command::Explain(options) => explain::run(&arguments.config, &options),
        Command::Probe(subject) => probe::run(&arguments.config, &subject),
        Command::Manual(options) => manual::run(&options),
        Command::Log(action) => log::run(&arguments.config, &action),
        Command::Rehearse(options) => rehearse::run(&arguments.config, &options),
        Command::Export(platform) => export::run(&arguments.config, &platform),
    }
}

//----------- Arguments ------------------------------------------------------

/// Authoritative GeoDNS server for SIP trunks.
#[derive(Debug, Parser)]
#[command(name = "trunkdns", version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, short, global = true, value_name = "FILE", default_value = "trunkdns.toml")]
    config: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer queries, in the foreground.
    Serve(serve::Options),

    /// Read and compile everything; print all that is found.
    Check(check::Options),

    /// Show what taking in the files would change, and who would move.
    Plan(plan::Options),

    /// Have the running server take in the files, and wait until it has.
    Reload(reload::Options),

    /// Take an endpoint to the end of its failover order, through a handover.
    Drain(drain::Options),

    /// Bring a drained endpoint back to its place.
    Undrain(drain::Ending),

    /// List what was published, when and by whom.
    History(history::Options),

    /// Publish earlier tables again, through a handover.
    Rollback(history::Rollback),

    /// Show how the running server is.
    Status(status::Options),

    /// Show the answer that a client gets, and why; or where an address or endpoint is used.
    Explain(explain::Options),

    /// See what endpoints and resolvers say, and compare it with the tables.
    #[command(subcommand)]
    Probe(Box<probe::Subject>),

    /// Compare the decision log with what happened.
    #[command(subcommand)]
    Log(log::Action),

    /// Play a failure: what callers will see, when, and what resolvers will cost.
    Rehearse(Box<rehearse::Options>),

    /// Print what platforms must be told to fit the tables, or compare it with what they have.
    #[command(subcommand)]
    Export(export::Platform),

    /// Write manual pages and completions of shells, for packages.
    #[command(hide = true)]
    Manual(manual::Options),
}

/// Reads a duration of the command line.
fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and a unit, such as 15s, 5m or 12h".into())
}

//----------- Talking to the server ------------------------------------------

/// Gives a command to the running server.
fn ask(config: &Path, command: &control::Command) -> Result<control::Reply, String> {
    let socket = crate::config::read_places(config).control;
    control::call(&socket, command).map_err(|error| {
        format!("no server answers on {} ([admin] control): {error}", socket.display())
    })
}

/// Says whether a server that starts has something to serve although its
/// tables have errors.
fn has_last_good(config: &Path) -> bool {
    crate::state::has_last_good(&crate::config::read_places(config).state)
}

//----------- Reading the tables ---------------------------------------------

/// Finds a region that is named on the command line.
fn region(regions: &RegionTable, name: &str) -> Result<RegionId, String> {
    regions.find(name).ok_or_else(|| {
        let names: Vec<_> = regions.regions.iter().map(|region| &*region.name).collect();
        format!("there is no region `{name}`; there are {}", names.join(", "))
    })
}

/// Tells of zones that are left out.
fn warn_of_refused(offline: &Offline) {
    for folder in &offline.refused {
        eprintln!("trunkdns: {folder} has errors and is left out, see `trunkdns check`");
    }
}

//----------- Output ---------------------------------------------------------

/// Prints a result; the exit code says whether all is well, output included.
fn print(text: &str, is_well: bool) -> ExitCode {
    // Whoever closes the pipe early, as `head` does, has read enough.
    if let Err(error) = write(text).or_else(ignore_broken_pipe) {
        return fail(&format!("cannot print: {error}"));
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

fn ignore_broken_pipe(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("trunkdns: {why}");
    ExitCode::FAILURE
}

/// Says what is wrong with the arguments, where clap cannot.
fn usage(why: &str) -> ExitCode {
    eprintln!("trunkdns: {why}; see `trunkdns help`");
    ExitCode::from(2)
}

/// Says whether a stream shows colours, by the NO_COLOR convention.
fn wants_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
