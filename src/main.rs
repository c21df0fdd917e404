//! The `trunkdns` command: everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// See Cargo.toml for what it gains.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    trunkdns::cli::run()
}
