//! The fuzz targets: what each does with any octets, and what must hold.
//!
//! `cargo fuzz` runs them by way of `fuzz/fuzz_targets`, and `tests/fuzz.rs` as
//! property tests on stable Rust; docs/testing.md says how. A target panics
//! where its property does not hold.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each user takes its part")]

mod decoders;
mod files;
mod kept;
mod messages;
mod sip;
mod world;

//----------- Target ---------------------------------------------------------

/// A function of any octets that must not panic.
pub struct Target {
    /// Its name, and that of its seeds' folder.
    pub name: &'static str,

    /// What is done.
    pub run: fn(&[u8]),
}

/// Every target.
pub const ALL: &[Target] = &[
    Target { name: "control", run: kept::control },
    Target { name: "core", run: messages::core },
    Target { name: "clouds", run: files::clouds },
    Target { name: "database", run: files::database },
    Target { name: "edns", run: messages::edns },
    Target { name: "geofeed", run: files::geofeed },
    Target { name: "master", run: files::master },
    Target { name: "proxy", run: messages::proxy },
    Target { name: "query", run: messages::query },
    Target { name: "sip", run: sip::sip },
    Target { name: "state", run: kept::state },
    Target { name: "tables", run: files::tables },
];

/// Runs a target by its name.
pub fn run(name: &str, data: &[u8]) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(data);
}
