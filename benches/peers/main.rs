//! trunkdns beside its peers: what a query costs each.
//!
//! gdnsd, Knot, NSD, BIND and PowerDNS, as far as their Debian packages are
//! installed, get the same zone, the same regions and the same country data as
//! trunkdns, and the same generator asks them. An echo shows what the system
//! itself costs. Every answer is checked.
//!
//! ```text
//! cargo bench --bench peers                      the quick form, under 8 minutes
//! cargo bench --bench peers -- --full --write docs/performance.md
//! cargo bench --bench peers -- --servers trunkdns,echo --build old=/tmp/old/trunkdns
//! cargo bench --bench peers -- --soak            24 million queries during 500 reloads
//! ```
//!
//! Servers run on the first processor, one at a time; the generator has the
//! second for itself. All of it happens in a network namespace of its own, in
//! which every IPv4 address is local, so that clients have the addresses of
//! real ones; nothing leaves it.
//!
//! Figures depend on the machine and on what else it does: compare those of
//! one run.

#![allow(dead_code, unreachable_pub, reason = "tests/load.rs has some of the modules too")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

#[cfg(target_os = "linux")]
mod check;
#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod echo;
#[cfg(target_os = "linux")]
mod generator;
#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod mmdb;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod soak;
#[cfg(target_os = "linux")]
mod tcp;
#[cfg(target_os = "linux")]
mod world;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("it needs the network namespaces of Linux");
}
