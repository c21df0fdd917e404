//! Sockets: what networks and clients do to a server, and what it counts.

#[path = "support/server.rs"]
mod server;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_proto::op::Message;
use server::{Server, framed, has_address, has_large_buffers, read_framed};
use support::{World, question};
use trunkdns::clock::{self, Clock};
use trunkdns::config::model::Tcp;
use trunkdns::transport::counters::{Counter, Totals};
use trunkdns::transport::{self, Listener, Transports};
use trunkdns::wire::Reason;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A zone with something of everything.
fn world() -> World {
    let large: String = (0..200).map(|at| format!("large TXT \"{at:0>140}\"\n")).collect();
    let records = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n".to_owned();
    World::with_zone("example", &[("records.zone", &(records + &large))])
}

/// The real server, with more of a configuration.
fn serve(listen: &str, more: &str) -> Server {
    let mut world = world();
    let config = world.path().join("trunkdns.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    world.file("trunkdns.toml", format!("[server]\nlisten = [\"{listen}\"]\n{text}{more}"));
    Server::start(&config)
}

/// A query with an ID.
fn query(id: u16, name: &str, rtype: &str) -> Vec<u8> {
    question(name, rtype).with(|message| message.metadata.id = id).octets()
}

fn id_of(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[0], reply[1]])
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks over a connection; returns nothing where it is closed.
fn ask(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let _ = stream.write_all(&framed(&query(7, "ns.example.", "A")));
    match read_framed(stream) {
        Ok(reply) => Some(reply),
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "neither answered nor closed");
            None
        }
    }
}

/// Waits for the end of a connection on which nothing more comes.
fn assert_closed(stream: &mut TcpStream) {
    let mut octet = [0];
    match stream.read(&mut octet) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("not closed: {other:?}"),
    }
}

//----------- UDP ------------------------------------------------------------

#[test]
fn two_thousand_queries_of_one_instant_are_all_answered() {
    if !has_large_buffers() {
        return;
    }
    const SOCKETS: usize = 250;
    const EACH: u16 = 8;
    let server = serve("127.0.0.1:0", "");
    let sockets: Vec<_> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server.address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
        .collect();
    for id in 0..EACH {
        let query = query(id, "ns.example.", "A");
        for socket in &sockets {
            socket.send(&query).unwrap();
        }
    }
    let mut octets = [0; 512];
    for socket in &sockets {
        for _ in 0..EACH {
            socket.recv(&mut octets).expect("a query was not answered");
        }
    }
}

#[test]
fn replies_leave_from_the_address_that_was_asked() {
    let asked = |server: &Server, address: IpAddr| {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let asked = SocketAddr::new(address, server.address.port());
        socket.send_to(&query(1, "ns.example.", "A"), asked).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 512]).unwrap().1, asked);
    };
    let server = serve("0.0.0.0:0", "");
    for address in ["127.0.0.1", "127.0.0.2"] {
        if has_address(address) {
            asked(&server, address.parse().unwrap());
        }
    }
    if UdpSocket::bind("[::1]:0").is_ok() {
        asked(&serve("[::]:0", ""), Ipv6Addr::LOCALHOST.into());
    }
}

#[test]
fn datagrams_that_came_before_the_end_are_answered() {
    let mut server = serve("127.0.0.1:0", "");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for id in 0..200 {
        socket.send_to(&query(id, "ns.example.", "A"), server.address).unwrap();
    }
    server.signal("TERM");
    for _ in 0..200 {
        socket.recv(&mut [0; 512]).expect("a query was not answered");
    }
    assert_eq!(server.wait(), Some(0));
}

//----------- TCP ------------------------------------------------------------

#[test]
fn queries_of_one_write_are_answered_in_order() {
    let server = serve("127.0.0.1:0", "");
    let mut stream = connect(server.address);
    let batch: Vec<u8> = (0..100).flat_map(|id| framed(&query(id, "ns.example.", "A"))).collect();
    stream.write_all(&batch).unwrap();
    for id in 0..100 {
        assert_eq!(id_of(&read_framed(&mut stream).unwrap()), id);
    }
}

#[test]
fn a_query_may_come_octet_by_octet() {
    let server = serve("127.0.0.1:0", "");
    let mut stream = connect(server.address);
    stream.set_nodelay(true).unwrap();
    let two = [framed(&query(1, "ns.example.", "A")), framed(&query(2, "ns.example.", "A"))];
    for octet in two.concat() {
        stream.write_all(&[octet]).unwrap();
        sleep(Duration::from_millis(1));
    }
    assert_eq!(id_of(&read_framed(&mut stream).unwrap()), 1);
    assert_eq!(id_of(&read_framed(&mut stream).unwrap()), 2);
}

#[test]
fn answers_longer_than_a_datagram_come_whole_however_many() {
    let server = serve("127.0.0.1:0", "");
    let mut stream = connect(server.address);
    let batch: Vec<u8> =
        (0..200).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    stream.write_all(&batch).unwrap();
    for id in 0..200 {
        let reply = Message::from_vec(&read_framed(&mut stream).unwrap()).unwrap();
        assert_eq!((reply.metadata.id, reply.metadata.truncation), (id, false));
        assert_eq!(reply.answers.len(), 200);
    }
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answers() {
    let server = serve("127.0.0.1:0", "");
    let mut stream = connect(server.address);
    let batch: Vec<u8> =
        (0..400).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    stream.write_all(&batch).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for id in 0..400 {
        assert_eq!(id_of(&read_framed(&mut stream).unwrap()), id);
    }
    assert_closed(&mut stream);
}

#[test]
fn a_connection_without_a_query_is_closed() {
    let server = serve("127.0.0.1:0", "[tcp]\nidle = \"1s\"\nread = \"1h\"\n");
    let mut used = connect(server.address);
    assert!(ask(&mut used).is_some());
    assert_closed(&mut connect(server.address));
    assert_closed(&mut used);
}

#[test]
fn a_query_that_is_not_completed_closes_its_connection() {
    let server = serve("127.0.0.1:0", "[tcp]\nidle = \"1h\"\nread = \"1s\"\n");
    let mut stream = connect(server.address);
    assert!(ask(&mut stream).is_some());
    stream.write_all(&framed(&query(1, "ns.example.", "A"))[..20]).unwrap();
    assert_closed(&mut stream);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = serve("127.0.0.1:0", "[tcp]\nidle = \"1h\"\nread = \"1h\"\nwrite = \"1s\"\n");
    let mut stream = connect(server.address);
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let batch: Vec<u8> =
        (0..1000).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    let start = Instant::now();
    loop {
        match stream.write_all(&batch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
            Ok(()) => sleep(Duration::from_millis(50)),
        }
        assert!(start.elapsed() < PATIENCE, "it is never cut off");
    }
    assert!(ask(&mut connect(server.address)).is_some(), "others are served");
}

#[test]
fn a_network_may_have_so_many_connections() {
    let server = serve("127.0.0.1:0", "[tcp]\nconnections-per-network = 3\n");
    let mut streams: Vec<_> = (0..3).map(|_| connect(server.address)).collect();
    for stream in &mut streams {
        assert!(ask(stream).is_some());
    }
    assert!(ask(&mut connect(server.address)).is_none());
    for stream in &mut streams {
        assert!(ask(stream).is_some());
    }
    streams.pop();
    let start = Instant::now();
    while ask(&mut connect(server.address)).is_none() {
        assert!(start.elapsed() < PATIENCE, "the place is never free again");
    }
}

#[test]
fn when_there_are_too_many_the_longest_idle_connection_is_closed() {
    let server = serve("127.0.0.1:0", "[tcp]\nconnections = 3\nidle = \"1h\"\n");
    let mut streams: Vec<_> = (0..3).map(|_| connect(server.address)).collect();
    for at in [1, 0, 2] {
        assert!(ask(&mut streams[at]).is_some());
    }
    assert!(ask(&mut connect(server.address)).is_some());
    assert_closed(&mut streams[1]);
    assert!(ask(&mut streams[0]).is_some() && ask(&mut streams[2]).is_some());
}

#[test]
fn queries_that_came_before_the_end_are_answered() {
    let mut server = serve("127.0.0.1:0", "");
    let mut idle = connect(server.address);
    assert!(ask(&mut idle).is_some());
    let mut stream = connect(server.address);
    let batch: Vec<u8> =
        (0..50).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    stream.write_all(&batch).unwrap();
    server.signal("TERM");
    for id in 0..50 {
        assert_eq!(id_of(&read_framed(&mut stream).unwrap()), id);
    }
    assert_closed(&mut stream);
    assert_closed(&mut idle);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn what_nobody_has_looked_at_before_the_end_is_answered_too() {
    // Its tasks run while something is waited for, and not before.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let (address, transports) = start(limits());
    let mut streams = [connect(address), connect(address)];
    for stream in &mut streams {
        stream.write_all(&framed(&query(1, "ns.example.", "A")).repeat(50)).unwrap();
    }
    runtime.block_on(transports.shutdown());
    for stream in &mut streams {
        for _ in 0..50 {
            assert_eq!(id_of(&read_framed(stream).unwrap()), 1);
        }
        assert_closed(stream);
    }
}

#[test]
fn clients_that_do_not_end_do_not_hold_up_the_end() {
    let mut server = serve("127.0.0.1:0", "[tcp]\nwrite = \"1h\"\n");
    let mut stream = connect(server.address);
    assert!(ask(&mut stream).is_some());
    // 30 MB of answers, which nobody reads, and half a query.
    let batch: Vec<u8> =
        (0..1000).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    stream.write_all(&batch).unwrap();
    let mut half = connect(server.address);
    half.write_all(b"\0").unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

//----------- Workers --------------------------------------------------------

/// Reads a list such as `0-2,5`, which a file says behind a key.
#[cfg(target_os = "linux")]
fn allowed(status: &std::path::Path) -> Vec<usize> {
    let text = std::fs::read_to_string(status).unwrap();
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| text.parse::<usize>().unwrap();
    let ranges =
        list.trim().split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
    ranges.flat_map(|(first, last)| number(first)..=number(last)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_workers_have_a_processor_each_and_answer_everybody() {
    let mut world = world();
    let config = world.path().join("trunkdns.toml");
    let processors = allowed("/proc/self/status".as_ref());
    let text = world.text("trunkdns.toml");
    let server = "[server]\nlisten = [\"127.0.0.1:0\"]\npin-workers = true\nworkers";
    world.file("trunkdns.toml", format!("{server} = {}\n{text}", processors.len()));
    let server = Server::start(&config);
    let pinned = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
        let paths = tasks.map(|task| task.unwrap().path());
        // Other threads may end meanwhile.
        let is_worker = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("udp-"))
        };
        let workers = paths.filter(is_worker);
        let mut pinned: Vec<_> = workers.map(|path| allowed(&path.join("status"))).collect();
        pinned.sort();
        pinned
    };
    let expected: Vec<_> = processors.iter().map(|processor| vec![*processor]).collect();
    let start = Instant::now();
    while pinned() != expected {
        assert!(start.elapsed() < PATIENCE, "{:?}", pinned());
        sleep(Duration::from_millis(5));
    }
    for id in 0..32 {
        assert_eq!(id_of(&server.udp(&query(id, "ns.example.", "A"))), id);
    }
}

//----------- Counters -------------------------------------------------------

/// The transports in this process.
fn start(tcp: Tcp) -> (SocketAddr, Transports) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 2).unwrap();
    let address = listener.address;
    let snapshot = Arc::new(ArcSwap::from_pointee(world().load()));
    let clock = Arc::new(Clock::new(clock::wall()));
    (address, transport::start(vec![listener], None, snapshot, clock, &tcp, None).unwrap())
}

fn limits() -> Tcp {
    Tcp {
        connections: 100,
        connections_per_network: 100,
        idle: Duration::from_secs(3600),
        read: Duration::from_secs(3600),
        write: Duration::from_secs(3600),
    }
}

/// Runs what needs a runtime; sockets of tests are used beside it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Waits until counters are as they should be.
fn wait_for(transports: &Transports, what: impl Fn(&Totals) -> bool) {
    let start = Instant::now();
    while !what(&transports.counters().total()) {
        assert!(start.elapsed() < PATIENCE, "{:#?}", transports.counters().total());
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_message_is_counted_once_by_what_became_of_it() {
    let runtime = runtime();
    let _context = runtime.enter();
    let (address, transports) = start(limits());
    let with = |position: usize, octet: u8| {
        let mut message = query(1, "ns.example.", "A");
        message[position] |= octet;
        message
    };
    // How often each is sent, and whether it is answered.
    let messages = [
        (5, query(1, "ns.example.", "A"), true),
        (4, query(2, "ns.example.", "MX"), true),
        (3, query(3, "none.example.", "A"), true),
        (2, query(4, "example.com.", "A"), true),
        (2, query(5, "example.", "AXFR"), true),
        (3, with(2, 0x80), false),
        (2, with(2, 0x20), true),
        (1, b"garbage".to_vec(), false),
        (2, [&query(6, "ns.example.", "A")[..], b"!"].concat(), true),
        (1, query(7, "large.example.", "TXT"), true),
    ];
    let sent: u64 = messages.iter().map(|(count, ..)| *count as u64).sum();
    let answered = messages.iter().filter(|(.., answered)| *answered);
    let answered: usize = answered.map(|(count, ..)| *count).sum();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = connect(address);
    for (count, message, _) in &messages {
        for _ in 0..*count {
            socket.send_to(message, address).unwrap();
            stream.write_all(&framed(message)).unwrap();
        }
    }
    for _ in 0..answered {
        socket.recv(&mut [0; 2000]).unwrap();
        read_framed(&mut stream).unwrap();
    }
    drop(stream);
    let counters = transports.counters().clone();
    runtime.block_on(transports.shutdown());
    let total = counters.total();
    for (name, counts) in [("UDP", &total.udp), ("TCP", &total.tcp)] {
        let truncated = if name == "UDP" { 1 } else { 0 };
        for (counter, count) in [
            (Counter::Answered, 6),
            (Counter::NoData, 4),
            (Counter::NoName, 3),
            (Counter::NotServed, 2),
            (Counter::Transfer, 2),
            (Counter::Truncated, truncated),
            (Counter::Dropped, 4),
            (Counter::Panicked, 0),
            (Counter::SendErrors, 0),
            (Counter::ReceiveDrops, 0),
        ] {
            assert_eq!(counts.of(counter), count, "{name} {counter:?}");
        }
        for (reason, count) in
            [(Reason::Response, 3), (Reason::Opcode, 2), (Reason::Short, 1), (Reason::Trailing, 2)]
        {
            assert_eq!(counts.malformed(reason), count, "{name} {reason:?}");
        }
        assert_eq!(counts.messages(), sent, "{name}");
    }
    let connections = [Counter::Opened, Counter::Closed].map(|counter| total.tcp.of(counter));
    assert_eq!(connections, [1, 1]);
}

#[test]
fn connections_are_counted_by_why_they_end() {
    let runtime = runtime();
    let _context = runtime.enter();
    let second = Duration::from_secs(1);
    let count = |limits: Tcp, ending: Counter, act: &dyn Fn(SocketAddr) -> Vec<TcpStream>| {
        let (address, transports) = start(limits);
        let streams = act(address);
        wait_for(&transports, |total| total.tcp.of(ending) == 1);
        let counters = transports.counters().clone();
        drop(streams);
        runtime.block_on(transports.shutdown());
        let total = counters.total().tcp;
        assert_eq!(total.of(ending), 1);
        assert_eq!(total.of(Counter::Opened), total.of(Counter::Closed));
        total.of(Counter::Opened)
    };
    let asked = |address, count: usize| -> Vec<TcpStream> {
        (0..count)
            .map(|_| {
                let mut stream = connect(address);
                ask(&mut stream);
                stream
            })
            .collect()
    };
    let idle = Tcp { idle: second, ..limits() };
    assert_eq!(count(idle, Counter::ClosedIdle, &|address| asked(address, 1)), 1);
    let read = Tcp { read: second, ..limits() };
    let half = |address| {
        let mut streams = asked(address, 1);
        streams[0].write_all(b"\0").unwrap();
        streams
    };
    assert_eq!(count(read, Counter::ClosedRead, &half), 1);
    let write = Tcp { write: second, ..limits() };
    let unread = |address| {
        let mut streams = asked(address, 1);
        let large = framed(&query(1, "large.example.", "TXT"));
        streams[0].write_all(&large.repeat(1000)).unwrap();
        streams
    };
    assert_eq!(count(write, Counter::ClosedWrite, &unread), 1);
    let few = Tcp { connections: 2, ..limits() };
    assert_eq!(count(few, Counter::ClosedOldest, &|address| asked(address, 3)), 3);
    let few = Tcp { connections_per_network: 2, ..limits() };
    assert_eq!(count(few, Counter::RefusedNetwork, &|address| asked(address, 3)), 2);
    let busy = |address| {
        let mut streams = half(address);
        // Not before the server has seen that the first is busy.
        sleep(Duration::from_millis(100));
        streams.extend(asked(address, 1));
        streams
    };
    let one = Tcp { connections: 1, ..limits() };
    assert_eq!(count(one, Counter::RefusedFull, &busy), 1);
}

//----------- Hickory --------------------------------------------------------

#[test]
fn behind_hickory_the_core_gives_the_same_records() {
    let world = world();
    let snapshot = Arc::new(ArcSwap::from_pointee(world.load()));
    let clock = Arc::new(Clock::new(clock::wall()));
    let runtime = runtime();
    let _context = runtime.enter();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    udp.set_nonblocking(true).unwrap();
    let mut server = transport::hickory::server(snapshot.clone(), clock);
    server.register_socket(tokio::net::UdpSocket::from_std(udp).unwrap());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut octets = [0; 4096];
    for (name, rtype) in [
        ("ns.example.", "A"),
        ("example.", "SOA"),
        ("example.", "ANY"),
        ("none.example.", "A"),
        ("large.example.", "TXT"),
        ("example.com.", "A"),
    ] {
        for question in [question(name, rtype), question(name, rtype).edns(1232)] {
            client.send_to(&question.octets(), address).unwrap();
            let len = client.recv(&mut octets).unwrap();
            let reply = Message::from_vec(&octets[..len]).unwrap();
            assert_eq!(reply, question.ask(&snapshot.load()).message, "{name} {rtype}");
        }
    }
    runtime.block_on(server.shutdown_gracefully()).unwrap();
}
