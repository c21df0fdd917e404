//! Load balancers in front of the server: the PROXY protocol, by hand and by
//! the programs that speak it.

#[path = "support/server.rs"]
mod server;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use server::{Server, framed, free_port, has_address, installed, read_framed, succeed};
use support::{World, question};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The load balancer of these tests.
const BALANCER: &str = "127.0.40.1";

/// A name that says which region its client is in.
const ZONE: &str = "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\n[ns]\nhosts = [\"ns1\"]\n\
                    [hosts]\nns1 = [\"192.0.2.53\"]\n\
                    [[geo]]\nname = \"where\"\ntype = \"TXT\"\nttl = 60\n\
                    records.us = [\"us\"]\nrecords.eu = [\"eu\"]\nrecords.ap = [\"ap\"]\n";

/// A server that believes a load balancer.
fn serve(more: &str) -> (Server, World) {
    let mut world = World::with_zone("example", &[("zone.toml", ZONE)]);
    let config = world.path().join("trunkdns.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let listen = "listen = [\"127.0.0.1:0\"]";
    let balancers = format!("proxy-from = [\"{BALANCER}/32\"]");
    world.file("trunkdns.toml", format!("[server]\n{listen}\n{balancers}\n{text}{more}"));
    let regions = support::REGIONS.replace("[\"10.3.0.0/16\"", "[\"10.3.0.0/16\", \"127.0.0.0/8\"");
    world.file("regions.toml", regions);
    (Server::start(&config), world)
}

/// A header for a client, or for the balancer itself.
fn header(client: Option<&str>) -> Vec<u8> {
    let client: Option<SocketAddr> = client.map(|client| client.parse().unwrap());
    let (command, family, addresses) = match client {
        None => (0x20, 0, vec![]),
        Some(SocketAddr::V4(client)) => {
            (0x21, 0x12, [client.ip().octets(), [127, 0, 0, 1]].concat())
        }
        Some(SocketAddr::V6(client)) => (0x21, 0x22, [client.ip().octets(), [0; 16]].concat()),
    };
    let ports =
        client.map_or(vec![], |client| [client.port().to_be_bytes(), 53u16.to_be_bytes()].concat());
    let len = (addresses.len() + ports.len()) as u16;
    let head = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &len.to_be_bytes()];
    [&head.concat()[..], &addresses, &ports].concat()
}

fn query() -> Vec<u8> {
    question("where.example.", "TXT").octets()
}

/// Returns what a response says: the text of its record, or its code.
fn said(response: &[u8]) -> String {
    let message = Message::from_vec(response).unwrap();
    match message.answers.first().map(|record| &record.data) {
        Some(RData::TXT(text)) => text.to_string(),
        _ => message.metadata.response_code.to_string(),
    }
}

/// Sends a datagram from an address; returns the reply, if there is one.
fn udp(server: &Server, from: &str, message: &[u8]) -> Option<String> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(message).unwrap();
    // Replies are in order: this one comes even where the first has none.
    let second = [header(None), query()].concat();
    socket.send(&second).unwrap();
    let mut octets = [0; 1232];
    let mut receive = || socket.recv(&mut octets).map(|len| said(&octets[..len])).unwrap();
    let first = receive();
    match first == "ap" && message != second {
        true => None,
        false => Some(first),
    }
}

/// Opens a connection from an address.
fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits until a counter has a value.
fn await_count(server: &Server, transport: &str, name: &str, value: u64) {
    let deadline = Instant::now() + PATIENCE;
    while count(server, transport, name) != value {
        assert!(Instant::now() < deadline, "{transport} {name} is not {value}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn count(server: &Server, transport: &str, name: &str) -> u64 {
    let status = server.status();
    let mut counters = status["counters"].as_array().unwrap().iter();
    let counter = counters.find(|one| one["transport"] == transport && one["name"] == name);
    counter.unwrap()["value"].as_u64().unwrap()
}

//----------- By hand --------------------------------------------------------

#[test]
fn datagrams_are_answered_by_the_client_that_the_balancer_names() {
    if !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve("");
    let asked = |client| udp(&server, BALANCER, &[header(client), query()].concat()).unwrap();
    assert_eq!(asked(Some("10.1.0.1:1000")), "us");
    assert_eq!(asked(Some("10.2.0.1:1000")), "eu");
    assert_eq!(asked(Some("[2001:db8:2::1]:1000")), "eu");
    assert_eq!(asked(Some("[::ffff:10.2.0.1]:1000")), "eu");
    // By its own address.
    assert_eq!(asked(None), "ap");
}

#[test]
fn datagrams_of_a_balancer_without_a_sound_header_are_dropped() {
    if !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve("");
    let cut = &[header(Some("10.1.0.1:1000")), query()].concat()[..20];
    for message in [&query()[..], cut, b""] {
        assert_eq!(udp(&server, BALANCER, message), None);
    }
    let nobody = [header(Some("10.1.0.1:0")), query()].concat();
    assert_eq!(udp(&server, BALANCER, &nobody), None);
    assert_eq!(count(&server, "udp", "bad-proxy"), 3);
    assert_eq!(count(&server, "udp", "bad-source"), 1);
    assert_eq!(count(&server, "udp", "answered"), 4);
}

#[test]
fn a_header_of_anybody_else_is_no_query() {
    let (server, _world) = serve("");
    let message = [header(Some("10.1.0.1:1000")), query()].concat();
    let reply = server.udp(&message);
    assert_eq!(reply[3] & 15, 4, "NOTIMP");
    assert_eq!(said(&server.udp(&query())), "ap");
    assert_eq!(count(&server, "udp", "bad-proxy"), 0);
}

#[test]
fn a_connection_is_that_of_the_client_that_the_balancer_names() {
    if !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve("");
    for (client, region) in [(Some("10.2.0.1:1000"), "eu"), (None, "ap")] {
        let mut stream = connect(server.address, BALANCER);
        // However it is cut up.
        for octet in header(client) {
            stream.write_all(&[octet]).unwrap();
        }
        for _ in 0..2 {
            stream.write_all(&framed(&query())).unwrap();
            assert_eq!(said(&read_framed(&mut stream).unwrap()), region);
        }
    }
    let mut stream = connect(server.address, BALANCER);
    let whole = [header(Some("10.1.0.1:1")), framed(&query()), framed(&query())].concat();
    stream.write_all(&whole).unwrap();
    for _ in 0..2 {
        assert_eq!(said(&read_framed(&mut stream).unwrap()), "us");
    }
    assert_eq!(count(&server, "tcp", "answered"), 6);
}

#[test]
fn a_connection_of_a_balancer_without_a_sound_header_is_closed() {
    if !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve("[tcp]\nread = \"1s\"\n");
    let long = [&header(None)[..14], &[0xff, 0xff]].concat();
    let late = &header(Some("10.1.0.1:1000"))[..10];
    let nobody = &header(Some("10.1.0.1:0"))[..];
    for (at, octets) in (1..).zip([&framed(&query())[..], &long, late, nobody, b""]) {
        let mut stream = connect(server.address, BALANCER);
        stream.write_all(octets).unwrap();
        match stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("not closed: {other:?}"),
        }
        await_count(&server, "tcp", "refused-proxy", at);
    }
    assert_eq!(count(&server, "tcp", "opened"), 0);
}

#[test]
fn connections_behind_a_balancer_count_for_their_clients() {
    if !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve("[tcp]\nconnections-per-network = 2\n");
    let open = |client: &str| {
        let mut stream = connect(server.address, BALANCER);
        stream.write_all(&[header(Some(client)), framed(&query())].concat()).unwrap();
        read_framed(&mut stream).is_ok().then_some(stream)
    };
    let held: Vec<_> = ["10.1.0.1:1", "10.1.0.2:1", "10.2.0.1:1", "10.2.0.1:2"].map(open).into();
    assert!(held.iter().all(Option::is_some));
    assert!(open("10.1.0.3:1").is_none());
    assert!(open("10.3.0.1:1").is_some());
}

#[test]
fn balancers_can_be_named_while_the_server_runs() {
    if !has_address(BALANCER) {
        return;
    }
    let mut world = World::with_zone("example", &[("zone.toml", ZONE)]);
    let config = world.path().join("trunkdns.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let listen = "[server]\nlisten = [\"127.0.0.1:0\"]\nwatch = false\n";
    world.file("trunkdns.toml", format!("{listen}{text}"));
    let server = Server::start(&config);
    let proxied = [header(Some("10.2.0.1:1")), query()].concat();
    assert_ne!(udp(&server, BALANCER, &proxied).unwrap(), "eu");
    world.file("trunkdns.toml", format!("{listen}proxy-from = [\"{BALANCER}/32\"]\n{text}"));
    assert_eq!(server.command("reload").0, Some(0));
    assert_eq!(udp(&server, BALANCER, &proxied).unwrap(), "eu");
}

//----------- Programs -------------------------------------------------------

/// A load balancer; it is ended when this is dropped.
struct Balancer {
    child: Child,
    _folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Balancer {
    /// Starts a program with a configuration, which `{port}` stands for its
    /// port in.
    fn start(program: &str, arguments: &[&str], config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::new([127, 0, 0, 1].into(), free_port());
        let path = folder.path().join("config");
        std::fs::write(&path, config.replace("{port}", &address.port().to_string())).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let balancer = Balancer { child, _folder: folder, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{program} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        balancer
    }

    fn dig(&self, from: &str, arguments: &str) -> String {
        let output = Command::new("dig")
            .arg("@127.0.0.1")
            .args(["-p", &self.address.port().to_string(), "-b", from])
            .args(["where.example", "TXT", "+short", "+tries=3", "+time=5"])
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        succeed(&output).trim().replace('"', "")
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that steers by networks of the loopback.
fn serve_loopback() -> (Server, World) {
    let mut world = World::with_zone("example", &[("zone.toml", ZONE)]);
    let regions = "default = \"ap\"\n[regions.us]\nnetworks = [\"127.0.41.0/24\"]\n\
                   [regions.eu]\nnetworks = [\"127.0.42.0/24\"]\n[regions.ap]\n";
    world.file("regions.toml", regions);
    let config = world.path().join("trunkdns.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let server = format!("listen = [\"127.0.0.1:0\"]\nproxy-from = [\"{BALANCER}/32\"]");
    world.file("trunkdns.toml", format!("[server]\n{server}\n{text}"));
    (Server::start(&config), world)
}

#[test]
fn dnsdist_passes_on_who_asks_over_udp_and_tcp() {
    if !installed("dnsdist") || !installed("dig") || !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve_loopback();
    let config = format!(
        "setLocal('127.0.0.1:{{port}}')\nsetACL('127.0.0.0/8')\nsetSecurityPollSuffix('')\n\
         newServer({{address='{}', useProxyProtocol=true, source='{BALANCER}', \
         checkName='where.example.', checkType='TXT', mustResolve=true}})\n",
        server.address
    );
    let balancer = Balancer::start("dnsdist", &["--supervised", "--disable-syslog", "-C"], &config);
    // Its own checks pass before it sends anybody there.
    await_positive(&server, "udp", "answered");
    for arguments in ["", "+tcp"] {
        assert_eq!(balancer.dig("127.0.41.1", arguments), "us");
        assert_eq!(balancer.dig("127.0.42.1", arguments), "eu");
    }
    assert_eq!(count(&server, "udp", "bad-proxy"), 0);
    assert_eq!(count(&server, "tcp", "refused-proxy"), 0);
    assert!(count(&server, "tcp", "answered") >= 2);
}

#[test]
fn haproxy_passes_on_who_connects() {
    if !installed("haproxy") || !installed("dig") || !has_address(BALANCER) {
        return;
    }
    let (server, _world) = serve_loopback();
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
         listen dns\n  bind 127.0.0.1:{{port}}\n  source {BALANCER}\n  \
         server one {} send-proxy-v2 check check-send-proxy\n",
        server.address
    );
    let program =
        if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
    let balancer = Balancer::start(program, &["-q", "-db", "-f"], &config);
    assert_eq!(balancer.dig("127.0.41.1", "+tcp"), "us");
    assert_eq!(balancer.dig("127.0.42.1", "+tcp"), "eu");
}

fn await_positive(server: &Server, transport: &str, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while count(server, transport, name) == 0 {
        assert!(Instant::now() < deadline, "{transport} {name} stays 0");
        std::thread::sleep(Duration::from_millis(20));
    }
}
