//! What `cargo bench --bench abuse` does for long, in short: mutated packets,
//! and connections that are in the way.

#[path = "abuse/crowd.rs"]
mod crowd;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "abuse/process.rs"]
mod process;
#[path = "support/server.rs"]
mod server;
#[path = "abuse/soak.rs"]
mod soak;

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crowd::Plan;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use server::{Server, example_in, framed, has_address, read_framed};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// `_sip._tcp.carrier.example.com SRV`
const QUERY: &[u8] =
    b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x04_sip\x04_tcp\x07carrier\x07example\x03com\0\0\x21\0\x01";

#[test]
fn mutated_packets_leave_the_server_as_it_was() {
    let mut server = Server::example();
    let before = server.udp(QUERY);
    for (soak, sent) in
        [(soak::over_udp(&server, 50_000), 50_000), (soak::over_tcp(&server, 20_000), 20_000)]
    {
        assert_eq!(soak.sent, sent);
        assert!(soak.replies > sent / 10, "{soak:?}");
        let [early, late] = soak.resident;
        assert!(late < early + 8 * 1024, "memory grows: {soak:?}");
    }
    assert_eq!((server.udp(QUERY), server.tcp(QUERY)), (before.clone(), before));
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn names_that_do_not_exist_leave_nothing_behind() {
    let server = Server::example();
    let soak = soak::missing_names(&server, 100_000);
    let [early, late] = soak.resident;
    assert_eq!(soak.replies, 100_000);
    assert!(late < early + 2 * 1024, "memory grows: {soak:?}");
}

#[test]
fn without_descriptors_accepting_pauses_and_all_else_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let config = example_in(folder.path(), "127.0.0.1:0");
    let server = Server::start_logging(&config, File::create(&log).unwrap().into());
    let process = Pid::from_raw(server.id().try_into().unwrap());
    let limit = |descriptors: u64| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(process, Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).unwrap()
    };
    let before = limit(0);
    let start = Instant::now();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&framed(QUERY)).unwrap();
    while !std::fs::read_to_string(&log).unwrap().contains("none can be accepted") {
        assert!(start.elapsed() < PATIENCE, "it is not told");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Long enough for a loop that spins to come round thousands of times.
    while start.elapsed() < Duration::from_millis(500) {
        assert_eq!(server.udp(QUERY)[..2], QUERY[..2]);
    }
    let pauses_max = start.elapsed().as_millis() as u64 / 100 + 2;
    limit(before.current.unwrap());
    assert_eq!(read_framed(&mut stream).unwrap()[..2], QUERY[..2]);
    let status = server.status();
    let mut counters = status["counters"].as_array().unwrap().iter();
    let is_wanted = |count: &&serde_json::Value| {
        count["transport"] == "tcp" && count["name"] == "accept-pauses"
    };
    let pauses = counters.find(is_wanted).unwrap();
    let pauses = pauses["value"].as_u64().unwrap();
    assert!((1..=pauses_max).contains(&pauses), "{pauses} pauses, at most {pauses_max}");
}

#[test]
fn a_crowd_on_tcp_hinders_neither_udp_nor_honest_tcp_clients() {
    if !has_address("127.1.0.1") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = example_in(folder.path(), "127.0.0.1:0");
    let text = std::fs::read_to_string(&config).unwrap();
    let few = text.replace("\nconnections = 10000\n", "\nconnections = 300\n");
    assert_ne!(few, text);
    std::fs::write(&config, few).unwrap();
    let server = Server::start(&config);
    let plan = Plan { idle: 300, slow: 60, large: 5, honest: [200, 40] };
    for stage in crowd::play(&server, plan) {
        assert_eq!((stage.udp.lost, stage.tcp.lost), (0, 0), "{stage}");
        assert!(stage.descriptors < 300 + 128, "{stage}");
    }
}
