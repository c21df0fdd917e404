//! The `trunkdns` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkdns::cli::run()
}
