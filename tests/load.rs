//! The generator and the checks of `benches/peers`, in small.
//!
//! Loads last a moment here and nothing is timed: this holds that answers are
//! checked, that nothing is lost unseen, and that the server's counters agree
//! with what was sent and received.

#![cfg(target_os = "linux")]
#![allow(dead_code, unreachable_pub, reason = "the command line of the bench is not here")]

#[path = "../benches/peers/check.rs"]
mod check;
#[path = "../benches/peers/generator.rs"]
mod generator;
#[path = "../benches/peers/judge.rs"]
mod judge;
#[path = "../benches/peers/measure.rs"]
mod measure;
#[path = "../benches/peers/mmdb.rs"]
mod mmdb;
#[path = "../benches/peers/servers.rs"]
mod servers;
#[path = "../benches/peers/soak.rs"]
mod soak;
#[path = "../benches/peers/tcp.rs"]
mod tcp;
#[path = "../benches/peers/world.rs"]
mod world;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::time::Duration;

use check::{Data, Expected, Fault, check};
use generator::{Generator, Load, Outcome, Pace};
use judge::Table;
use maxminddb::{PathElement, Reader};
use measure::{DRIVES, Loads, unsteadiness};
use servers::{Kind, Server};
use world::{Steering, World};

/// How long a load lasts.
const MOMENT: Duration = Duration::from_millis(50);

/// trunkdns and its zone, on a free port.
fn start(folder: &Path, world: &World) -> Server {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let kind = Kind::Trunkdns(env!("CARGO_BIN_EXE_trunkdns").into());
    let mut server = Server::new("trunkdns", kind, folder.to_owned(), address);
    server.write(world, Path::new(""));
    server.start(world, None).unwrap();
    server
}

/// Asks the mix once over, with a client in each region, in turn.
fn ask_all(server: &Server, world: &World, table: &Table) -> Outcome {
    let questions = world::Kind::Mix.questions(world);
    Generator::new().run(Load {
        server: server.address,
        clients: &world.clients,
        questions: &questions,
        pace: Pace::Window,
        count: questions.len() as u64,
        time: Duration::from_secs(60),
        judge: table,
    })
}

#[test]
fn under_every_load_answers_are_right_and_everything_is_counted() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::on_loopback());
    let server = start(folder.path(), &world);
    let (loads, mut generator) = (Loads::new(&world), Generator::new());
    for (at, drive) in DRIVES.iter().enumerate() {
        let sample = loads.measure(&mut generator, &server, at, MOMENT).unwrap();
        assert!(sample.outcome.received > 0, "{}", drive.name);
        assert_eq!(sample.outcome.wrong, [].into(), "{}", drive.name);
        assert_eq!(sample.outcome.lost(), sample.dropped, "{}", drive.name);
    }
    assert_eq!(unsteadiness(&server, &world), Ok(0.0));
    assert!(server.memory() > 1024, "it has some memory");
}

#[test]
fn answers_of_another_version_or_region_are_wrong() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::on_loopback());
    let mut server = start(folder.path(), &world);
    let questions = world::Kind::Mix.questions(&world);
    let table = |steering, version| Table::new(&questions, steering, version);
    server.reload(&world, Path::new("")).unwrap();
    let right = ask_all(&server, &world, &table(Steering::Services, 1));
    assert_eq!((right.received, right.wrong()), (400, 0));
    // 70 % of the mix ask for what is steered.
    let old = ask_all(&server, &world, &table(Steering::Services, 0));
    assert_eq!(old.wrong, [(Fault::Content, 280)].into());
    // All but an eighth of them from other regions than the first.
    let unsteered = ask_all(&server, &world, &table(Steering::None, 1));
    assert!((230..280).contains(&unsteered.wrong()), "{:?}", unsteered.wrong);
}

#[test]
fn changes_under_load_lose_nothing_and_answers_are_of_versions_in_force() {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::on_loopback());
    let mut server = start(folder.path(), &world);
    soak::run(&mut server, &world, Path::new(""), 4000).unwrap();
}

#[test]
fn each_fault_is_seen() {
    let query = world::query("a.example", 33, false, None);
    let srv = b"\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x09\0\x0a\0\x64\x13\xc4\x01b\0";
    let mut answer = query.clone();
    answer[2..8].copy_from_slice(b"\x85\0\0\x01\0\x02");
    answer.extend([&srv[..], srv].concat());
    let expected = Expected { rcode: 0, count: 2, rtype: 33, data: Data::Port(5060..=5061) };
    assert_eq!(check(&answer, &query, &expected), Ok(Some(5060)));
    let (question, second) = (query.len(), query.len() + srv.len());
    for (at, octet, fault) in [
        (2, 0x81, Fault::Flags),
        (2, 0x87, Fault::Flags),
        (3, 3, Fault::Rcode),
        (13, b'A', Fault::Question),
        (question - 3, 1, Fault::Question),
        (7, 1, Fault::Count),
        (question + 3, 1, Fault::Type),
        (second + 17, 0xc3, Fault::Content),
        (second + 17, 0xc5, Fault::Content),
    ] {
        let mut wrong = answer.clone();
        wrong[at] = octet;
        assert_eq!(check(&wrong, &query, &expected), Err(fault), "octet {at}");
    }
    for len in 0..answer.len() {
        assert!(check(&answer[..len], &query, &expected).is_err(), "{len} octets");
    }
}

#[test]
fn the_database_for_peers_is_read_as_it_was_written() {
    let place = |country: &[u8; 2], continent: &[u8; 2]| (*country, *continent);
    let networks = [
        (Ipv4Addr::new(1, 0, 0, 0), 24, place(b"AU", b"OC")),
        (Ipv4Addr::new(1, 0, 1, 0), 32, place(b"CN", b"AS")),
        (Ipv4Addr::new(128, 0, 0, 0), 1, place(b"AU", b"OC")),
    ];
    let reader = Reader::from_source(mmdb::write(networks.into_iter())).unwrap();
    for (address, expected) in [
        ("1.0.0.255", Some(("AU", "OC"))),
        ("1.0.1.0", Some(("CN", "AS"))),
        ("1.0.1.1", None),
        ("::1.0.1.0", Some(("CN", "AS"))),
        ("255.0.0.0", Some(("AU", "OC"))),
        ("127.255.255.255", None),
    ] {
        let found = reader.lookup(address.parse().unwrap()).unwrap();
        let at = |outer, inner| {
            let path = [PathElement::Key(outer), PathElement::Key(inner)];
            found.decode_path::<&str>(&path).unwrap()
        };
        let country = at("country", "iso_code").zip(at("continent", "code"));
        assert_eq!(country, expected, "{address}");
    }
}
