//! The command line: one file a command.
//!
//! Exit codes tell the truth: 0 done, 1 refused or findings, 2 usage.

#![expect(clippy::print_stderr, reason = "this is where people are talked to")]

mod check;
mod serve;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve => serve::run(&arguments.config),
        Command::Check(options) => check::run(&arguments.config, &options),
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
    Serve,

    /// Read and compile everything; print all that is found.
    Check(check::Options),
}

/// Says whether a stream shows colours, by the NO_COLOR convention.
fn wants_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
