//! A server under abuse, for long: mutated packets, then connections that are
//! in the way. Prints tables; fails where the server does not stand it.
//!
//! `cargo bench --bench abuse` sends 10 million packets over UDP and a million
//! over TCP to the release binary, and sends a crowd of 10,000 connections.
//! `TRUNKDNS_ABUSE=100` does a hundredth of it.

#[path = "../tests/abuse/crowd.rs"]
mod crowd;
#[path = "../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../tests/abuse/process.rs"]
mod process;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/abuse/soak.rs"]
mod soak;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crowd::Plan;
use server::{Server, example_in};

/// `_sip._tcp.carrier.example.com SRV`
const QUERY: &[u8] =
    b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x04_sip\x04_tcp\x07carrier\x07example\x03com\0\0\x21\0\x01";

/// How much memory may differ after millions of packets, in KiB.
const RESIDENT_GROWTH_MAX: u64 = 4 * 1024;

#[expect(clippy::print_stdout, reason = "a bench prints what it measures")]
fn main() {
    let part = std::env::var("TRUNKDNS_ABUSE").map_or(1, |text| text.parse().unwrap());
    let mut server = Server::example();
    let before = server.udp(QUERY);
    println!("| transport | sent | answered | MiB early | MiB late |\n|---|---|---|---|---|");
    let (udp, tcp) = (10_000_000 / part, 1_000_000 / part as u64);
    for (name, soak) in
        [("UDP", soak::over_udp(&server, udp as u64)), ("TCP", soak::over_tcp(&server, tcp))]
    {
        let [early, late] = soak.resident;
        let [early_mib, late_mib] = soak.resident.map(|kib| kib as f64 / 1024.0);
        println!("| {name} | {} | {} | {early_mib:.1} | {late_mib:.1} |", soak.sent, soak.replies);
        assert!(late <= early + RESIDENT_GROWTH_MAX, "memory grows");
    }
    assert_eq!([server.udp(QUERY), server.tcp(QUERY)], [before.clone(), before]);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "it ends well");
    println!("the same answers after it, from the same process\n");
    play_crowd(part);
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measures")]
fn play_crowd(part: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&example_in(folder.path(), "127.0.0.1:0"));
    let plan =
        Plan { idle: 10_000 / part, slow: 1_000 / part, large: 100, honest: [10_000, 1_000] };
    println!("{}", crowd::head());
    for stage in crowd::play(&server, plan) {
        println!("{stage}");
        assert!(stage.descriptors < 10_000 + 128, "descriptors are not bounded");
        assert_eq!([stage.udp.lost, stage.tcp.lost], [0, 0], "honest clients are not answered");
    }
}
