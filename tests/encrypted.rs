//! DNS over TLS, QUIC and HTTPS: the real server, and the programs that ask it.

#[path = "support/server.rs"]
mod server;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use server::{Server, framed, installed, succeed};
use support::{World, question};
use tls::{Authority, Pair, TlsClient};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

//----------- Site -----------------------------------------------------------

/// A server with an authority that its clients trust.
struct Site {
    authority: Authority,
    world: World,
    server: Server,
}

impl Site {
    /// Serves with more of `[encrypted]`, and more behind it.
    fn new(encrypted: &str) -> Self {
        let authority = Authority::new();
        let mut world = world();
        write(&mut world, &authority.issue());
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{}[encrypted]\ncertificate = \
             \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n{encrypted}",
            world.text("trunkdns.toml")
        );
        world.file("trunkdns.toml", config);
        let server = Server::start(&world.path().join("trunkdns.toml"));
        Site { authority, world, server }
    }

    fn tls(more: &str) -> Self {
        Self::new(&format!("tls = [\"127.0.0.1:0\"]\n{more}"))
    }

    /// The first address of a transport, as the ready line names it.
    fn address(&self, transport: &str) -> SocketAddr {
        let (_, behind) = self.server.ready.split_once(&format!(", {transport} on ")).unwrap();
        behind.split([' ', ',']).next().unwrap().trim().parse().unwrap()
    }

    fn connect(&self) -> TlsClient {
        TlsClient::connect(self.address("TLS"), &self.authority.client(b"dot")).unwrap()
    }

    /// Replaces the certificate and its key.
    fn replace(&mut self, pair: &Pair) {
        write(&mut self.world, pair);
    }

    /// How often something happened.
    fn count(&self, transport: &str, name: &str) -> u64 {
        let status = self.server.status();
        let counters = status["counters"].as_array().unwrap();
        let is_it =
            |count: &&serde_json::Value| count["transport"] == transport && count["name"] == name;
        counters.iter().find(is_it).unwrap()["value"].as_u64().unwrap()
    }

    /// Waits until something has happened so often.
    fn wait_for(&self, transport: &str, name: &str, count: u64) {
        wait_until(|| self.count(transport, name) >= count, name);
    }
}

/// A zone with something of everything.
fn world() -> World {
    let large: String = (0..200).map(|at| format!("large TXT \"{at:0>140}\"\n")).collect();
    let records = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n".to_owned();
    World::with_zone("example", &[("records.zone", &(records + &large))])
}

fn write(world: &mut World, pair: &Pair) {
    world.file("tls/key.pem", &pair.key[..]);
    world.private("tls/key.pem");
    world.file("tls/cert.pem", &pair.certificate[..]);
}

fn wait_until(mut done: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A query with an ID.
fn query(id: u16, name: &str, rtype: &str) -> Vec<u8> {
    question(name, rtype).with(|message| message.metadata.id = id).octets()
}

fn id_of(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[0], reply[1]])
}

/// Waits for the end of a connection on which nothing more is to come but
/// what TLS says of it.
fn assert_closed(stream: &mut impl Read) {
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) => {}
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
        other => panic!("not closed: {other:?}"),
    }
}

/// Questions that between them have every kind of answer.
const QUESTIONS: [(&str, &str); 7] = [
    ("ns.example.", "A"),
    ("example.", "SOA"),
    ("example.", "ANY"),
    ("ns.example.", "MX"),
    ("none.example.", "A"),
    ("large.example.", "TXT"),
    ("example.com.", "A"),
];

//----------- TLS ------------------------------------------------------------

#[test]
fn over_tls_the_octets_are_those_of_tcp() {
    let site = Site::tls("");
    let mut client = site.connect();
    for (name, rtype) in QUESTIONS {
        let with_keepalive = question(name, rtype).edns(1232).option(11, &[]);
        for question in [question(name, rtype), question(name, rtype).edns(1232), with_keepalive] {
            let message = question.octets();
            assert_eq!(client.ask(&message).unwrap(), site.server.tcp(&message), "{name} {rtype}");
        }
    }
    let malformed = [&query(1, "ns.example.", "A")[..], b"!"].concat();
    assert_eq!(client.ask(&malformed).unwrap(), site.server.tcp(&malformed));
    assert_eq!(site.count("tls", "answered"), site.count("tcp", "answered"));
    assert_eq!(site.count("tls", "malformed:trailing"), 1);
}

#[test]
fn what_is_sent_at_once_is_answered_in_order_however_much_it_is() {
    let site = Site::tls("");
    let mut client = site.connect();
    // 6 MB of answers: more than TLS and the system keep for who does not read.
    let batch: Vec<u8> =
        (0..200).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    client.stream.write_all(&batch).unwrap();
    for id in 0..200 {
        let reply = Message::from_vec(&client.read().unwrap()).unwrap();
        assert_eq!((reply.metadata.id, reply.answers.len()), (id, 200));
    }
    client.stream.conn.send_close_notify();
    client.stream.flush().unwrap();
    assert_closed(&mut client.stream);
    site.wait_for("tls", "closed", 1);
}

#[test]
fn kdig_asks_over_tls_and_checks_the_certificate() {
    if !installed("kdig") {
        return;
    }
    let site = Site::tls("");
    let text = kdig(&site, "TLS", &["+tls", "+tls-hostname=ns1.example", "+padding"]);
    assert!(text.contains("192.0.2.1") && text.contains("status: NOERROR"), "{text}");
    // RFC 8467: to a multiple of 468 octets.
    assert!(text.contains("Received 468 B"), "{text}");
}

#[test]
fn openssl_agrees_on_the_protocol_in_both_versions_of_tls() {
    if !installed("openssl") {
        return;
    }
    let site = Site::tls("");
    let ask = |options: &[&str]| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &site.address("TLS").to_string()])
            .args(["-servername", tls::NAME, "-verify_return_error", "-CAfile", &site.ca()])
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let (succeeded, text) = ask(&[version, "-alpn", "dot"]);
        assert!(succeeded && text.contains("ALPN protocol: dot"), "{text}");
        assert!(text.contains("Verify return code: 0"), "{text}");
        let (succeeded, text) = ask(&[version]);
        assert!(succeeded, "a client that names no protocol: {text}");
    }
    let (succeeded, text) = ask(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!succeeded, "{text}");
    let before = site.count("tls", "handshake-errors");
    let (succeeded, text) = ask(&["-alpn", "h2"]);
    assert!(!succeeded && text.contains("no application protocol"), "{text}");
    site.wait_for("tls", "handshake-errors", before + 1);
}

#[test]
fn a_session_is_resumed() {
    let site = Site::tls("");
    let mut config = (*site.authority.client(b"dot")).clone();
    // Nothing may be sent before the handshake is done: it could be repeated.
    config.enable_early_data = true;
    let config = config.into();
    let connect = || TlsClient::connect(site.address("TLS"), &config).unwrap();
    let mut first = connect();
    assert!(first.ask(&query(1, "ns.example.", "A")).is_ok());
    let mut second = connect();
    assert_eq!(second.stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    assert!(!second.stream.conn.is_early_data_accepted());
    assert!(second.ask(&query(1, "ns.example.", "A")).is_ok());
}

#[test]
fn what_is_no_handshake_is_cut_off() {
    let site = Site::tls("handshake = \"1s\"\n[tcp]\nidle = \"1h\"\nread = \"1h\"\n");
    let connect = || {
        let stream = TcpStream::connect(site.address("TLS")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut plain = connect();
    plain.write_all(&framed(&query(1, "ns.example.", "A"))).unwrap();
    assert_closed(&mut plain);
    site.wait_for("tls", "handshake-errors", 1);
    let mut silent = connect();
    // A record that announces 512 octets, and an octet a moment.
    let mut slow = connect();
    slow.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(10));
        if slow.write_all(&[0]).is_err() {
            break;
        }
    }
    assert_closed(&mut slow);
    assert_closed(&mut silent);
    site.wait_for("tls", "handshake-timeouts", 2);
    site.wait_for("tls", "closed", 3);
    assert_eq!(site.count("tls", "opened"), 3);
}

#[test]
fn the_limits_of_connections_count_with_and_without_tls_together() {
    let site = Site::tls("[tcp]\nconnections-per-network = 2\n");
    let ask = query(1, "ns.example.", "A");
    let mut client = site.connect();
    client.ask(&ask).unwrap();
    let plain = TcpStream::connect(site.server.address).unwrap();
    site.wait_for("tcp", "opened", 1);
    let refused = TlsClient::connect(site.address("TLS"), &site.authority.client(b"dot"));
    assert!(refused.is_err());
    assert_eq!(site.count("tls", "refused-network"), 1);
    drop(plain);
    client.ask(&ask).unwrap();
    wait_until(
        || TlsClient::connect(site.address("TLS"), &site.authority.client(b"dot")).is_ok(),
        "a place",
    );
}

#[test]
fn deadlines_hold_over_tls() {
    let site = Site::tls("[tcp]\nidle = \"1s\"\nread = \"1s\"\nwrite = \"1s\"\n");
    let mut idle = site.connect();
    assert!(idle.ask(&query(1, "ns.example.", "A")).is_ok());
    let mut half = site.connect();
    half.stream.write_all(&framed(&query(1, "ns.example.", "A"))[..20]).unwrap();
    assert_closed(&mut idle.stream);
    assert_closed(&mut half.stream);
    let mut deaf = site.connect();
    deaf.stream.sock.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let batch: Vec<u8> =
        (0..1000).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    // As far as it is taken.
    let _ = deaf.stream.write_all(&batch);
    site.wait_for("tls", "closed-write", 1);
    assert_eq!((site.count("tls", "closed-idle"), site.count("tls", "closed-read")), (1, 1));
}

#[test]
fn queries_over_tls_that_came_before_the_end_are_answered() {
    let mut site = Site::tls("");
    let (mut idle, mut client) = (site.connect(), site.connect());
    let batch: Vec<u8> =
        (0..50).flat_map(|id| framed(&query(id, "large.example.", "TXT"))).collect();
    client.stream.write_all(&batch).unwrap();
    site.server.signal("TERM");
    for id in 0..50 {
        assert_eq!(id_of(&client.read().unwrap()), id);
    }
    assert_closed(&mut client.stream);
    assert_closed(&mut idle.stream);
    assert_eq!(site.server.wait(), Some(0));
}

//----------- HTTPS ----------------------------------------------------------

/// A response that curl got.
struct Fetched {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Site {
    fn https(more: &str) -> Self {
        Self::new(&format!("https = [\"127.0.0.1:0\"]\n{more}"))
    }

    /// Writes the authority's certificate to a file, for programs.
    fn ca(&self) -> String {
        let path = self.world.path().join("ca.pem");
        std::fs::write(&path, self.authority.pem()).unwrap();
        path.display().to_string()
    }

    /// Fetches a path with curl.
    fn fetch(&self, path: &str, options: &[&str]) -> Fetched {
        let port = self.address("HTTPS").port();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--http2", "--include"])
            .args(["--resolve", &format!("ns1.example:{port}:127.0.0.1"), "--cacert", &self.ca()])
            .args(options)
            .arg(format!("https://ns1.example:{port}{path}"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        let end = output.stdout.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
        let headers = String::from_utf8(output.stdout[..end].to_vec()).unwrap().to_lowercase();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(headers.starts_with("http/2 "), "{headers}");
        Fetched { status, headers, body: output.stdout[end + 4..].to_vec() }
    }

    /// Sends a message by POST.
    fn post(&self, message: &[u8]) -> Fetched {
        let path = self.world.path().join("message");
        std::fs::write(&path, message).unwrap();
        let data = format!("@{}", path.display());
        let kind = "content-type: application/dns-message";
        self.fetch("/dns-query", &["--data-binary", &data, "-H", kind])
    }
}

#[test]
fn curl_gets_the_octets_of_tcp_by_get_and_by_post() {
    if !installed("curl") {
        return;
    }
    let site = Site::https("");
    for (name, rtype) in QUESTIONS {
        let message = question(name, rtype).edns(1232).octets();
        let expected = site.server.tcp(&message);
        let encoded = data_encoding::BASE64URL_NOPAD.encode(&message);
        let got = site.fetch(&format!("/dns-query?dns={encoded}"), &[]);
        for fetched in [got, site.post(&message)] {
            assert_eq!((fetched.status, &fetched.body), (200, &expected), "{name} {rtype}");
            let headers = &fetched.headers;
            assert!(headers.contains("content-type: application/dns-message"), "{headers}");
            assert!(headers.contains(&format!("content-length: {}", expected.len())), "{headers}");
            // The zone has one TTL; a denial is good for its SOA's MINIMUM.
            let lifetime = match name {
                "none.example." => 5,
                "ns.example." if rtype == "MX" => 5,
                "example.com." => 0,
                _ => 60,
            };
            let cache = format!("cache-control: private, max-age={lifetime}\r");
            assert!((headers.clone() + "\r").contains(&cache), "{headers}");
        }
    }
    assert_eq!(site.count("https", "answered"), 2 * site.count("tcp", "answered"));
}

#[test]
fn a_request_without_a_message_gets_a_status_and_is_counted() {
    if !installed("curl") {
        return;
    }
    let site = Site::https("https-path = \"/ask\"\n");
    let encoded = data_encoding::BASE64URL_NOPAD.encode(&query(0, "ns.example.", "A"));
    assert_eq!(site.fetch(&format!("/ask?ct&dns={encoded}"), &[]).status, 200);
    let refused: [(&str, &[&str], u16); 7] = [
        ("/dns-query", &[], 404),
        ("/ask", &[], 400),
        ("/ask?dns=!", &[], 400),
        ("/ask", &["--data-binary", "x", "-H", "content-type: text/plain"], 415),
        ("/ask", &["-X", "DELETE"], 405),
        ("/ask", &["-I"], 405),
        ("/", &["-X", "PUT", "--data-binary", "x"], 404),
    ];
    for (path, options, status) in refused {
        assert_eq!(site.fetch(path, options).status, status, "{path} {options:?}");
    }
    assert_eq!(site.count("https", "protocol-errors"), 7);
    // A message that is none is one of the messages.
    assert_eq!(site.fetch("/ask?dns=AAEC", &[]).status, 400);
    assert_eq!(site.count("https", "malformed:short"), 1);
}

#[test]
fn kdig_asks_over_https_by_get_and_by_post() {
    if !installed("kdig") {
        return;
    }
    let site = Site::https("");
    for method in ["+https", "+https-get"] {
        let options = ["+https", method, "+padding", "+tls-hostname=ns1.example"];
        let text = kdig(&site, "HTTPS", &options);
        assert!(text.contains("192.0.2.1") && text.contains("status: NOERROR"), "{text}");
        assert!(text.contains("HTTP") && text.contains("468 B"), "{text}");
    }
}

/// Asks with kdig for the address of ns.example, the certificate checked.
fn kdig(site: &Site, transport: &str, options: &[&str]) -> String {
    let output = Command::new("kdig")
        .args(["@127.0.0.1", "-p", &site.address(transport).port().to_string()])
        .args(options)
        .arg(format!("+tls-ca={}", site.ca()))
        .args(["+retry=0", "+time=10", "ns.example", "A"])
        .output()
        .unwrap();
    succeed(&output)
}

#[test]
fn requests_that_do_not_end_and_responses_that_are_not_read_end_the_connection() {
    let site = Site::https("[tcp]\nidle = \"1s\"\nread = \"1s\"\nwrite = \"1s\"\n");
    let config = site.authority.client(b"h2");
    let connect = || TlsClient::connect(site.address("HTTPS"), &config).unwrap();
    // Magic and settings of HTTP/2, here with the largest window for each stream.
    let hello = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0],
    ]
    .concat();
    let mut idle = connect();
    idle.stream.write_all(&hello).unwrap();
    assert_closed(&mut idle.stream);
    site.wait_for("https", "closed-idle", 1);
    let mut silent = connect();
    assert_closed(&mut silent.stream);
    // POST / of no path, whose body is announced and never comes.
    let mut half = connect();
    let headers = [
        // :method POST, :scheme https, :path, content-type.
        &[0x83, 0x87, 0x04, 10][..],
        b"/dns-query",
        &[0x0f, 0x10, 23],
        b"application/dns-message",
    ]
    .concat();
    let frame = [&[0, 0, headers.len() as u8, 1, 4, 0, 0, 0, 1][..], &headers].concat();
    half.stream.write_all(&[hello, frame].concat()).unwrap();
    assert_closed(&mut half.stream);
    site.wait_for("https", "closed-read", 1);
    site.wait_for("https", "closed", 3);
}

//----------- QUIC -----------------------------------------------------------

/// A client of DNS over QUIC.
struct QuicClient {
    runtime: tokio::runtime::Runtime,
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Site {
    fn quic(more: &str) -> Self {
        Self::new(&format!("quic = [\"127.0.0.1:0\"]\n{more}"))
    }

    fn connect_quic(&self, alpn: &[u8]) -> Result<QuicClient, quinn::ConnectionError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let tls = self.authority.client(alpn);
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
        let address = self.address("QUIC");
        let (endpoint, connection) = runtime.block_on(async {
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let connecting = endpoint.connect_with(config, address, tls::NAME).unwrap();
            Ok::<_, quinn::ConnectionError>((endpoint, connecting.await?))
        })?;
        Ok(QuicClient { runtime, _endpoint: endpoint, connection })
    }
}

impl QuicClient {
    /// Sends octets over a stream, with its end or without; returns what comes
    /// back.
    fn send(&self, octets: &[u8], is_finished: bool) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.connection.open_bi().await.map_err(text)?;
            send.write_all(octets).await.map_err(text)?;
            if is_finished {
                send.finish().map_err(text)?;
            }
            receive.read_to_end(70_000).await.map_err(text)
        })
    }

    fn ask(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let reply = self.send(&framed(message), true)?;
        assert_eq!(reply[..2], (reply.len() as u16 - 2).to_be_bytes());
        Ok(reply[2..].to_vec())
    }

    /// Waits until the server closes the connection; returns why.
    fn closed(&self) -> String {
        let closed = async { tokio::time::timeout(PATIENCE, self.connection.closed()).await };
        self.runtime.block_on(closed).expect("it is never closed").to_string()
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A query as RFC 9250 asks for it: of the ID 0.
fn query_0(name: &str, rtype: &str) -> Vec<u8> {
    question(name, rtype).edns(1232).with(|message| message.metadata.id = 0).octets()
}

#[test]
fn over_quic_the_octets_are_those_of_tcp_a_stream_for_each_question() {
    let site = Site::quic("");
    let client = site.connect_quic(b"doq").unwrap();
    // More than a hundred streams, one after the other.
    for round in 0..20 {
        for (name, rtype) in QUESTIONS {
            let message = query_0(name, rtype);
            assert_eq!(client.ask(&message).unwrap(), site.server.tcp(&message), "{round} {name}");
        }
    }
    assert_eq!(site.count("quic", "answered"), site.count("tcp", "answered"));
    assert_eq!(site.count("quic", "opened"), 1);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let site = Site::quic("");
    let client = site.connect_quic(b"doq").unwrap();
    let _half = client.runtime.block_on(async {
        let (mut send, receive) = client.connection.open_bi().await.unwrap();
        send.write_all(b"\0").await.unwrap();
        (send, receive)
    });
    assert!(client.ask(&query_0("ns.example.", "A")).is_ok());
}

#[test]
fn handshakes_over_quic_do_not_wait_for_each_other() {
    let site = Site::quic("");
    // The server hears no more of a client whose first packet begins one.
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = site.address("QUIC");
    let (relay_address, tls) = (relay.local_addr().unwrap(), site.authority.client(b"doq"));
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _connecting = runtime.block_on(async {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, relay_address, tls::NAME).unwrap();
        (connecting, endpoint)
    });
    let mut octets = [0; 2000];
    let len = relay.recv(&mut octets).unwrap();
    mute.send_to(&octets[..len], address).unwrap();
    mute.set_read_timeout(Some(PATIENCE)).unwrap();
    mute.recv(&mut octets).expect("the server goes on with the handshake");
    let client = site.connect_quic(b"doq").unwrap();
    assert!(client.ask(&query_0("ns.example.", "A")).is_ok());
}

#[test]
fn whoever_breaks_the_protocol_of_quic_ends_the_connection() {
    let site = Site::quic("");
    let good = query_0("ns.example.", "A");
    let with_id = query(7, "ns.example.", "A");
    let two = framed(&good).repeat(2);
    for octets in [framed(&with_id), two, framed(&good)[..20].to_vec(), vec![0; 66_000]] {
        let client = site.connect_quic(b"doq").unwrap();
        assert!(client.send(&octets, true).is_err());
        // DOQ_PROTOCOL_ERROR
        assert_eq!(client.closed(), "closed by peer: 2");
    }
    site.wait_for("quic", "protocol-errors", 4);
    let before = site.count("quic", "handshake-errors");
    let error = site.connect_quic(b"h3").err().unwrap().to_string();
    assert!(error.contains("peer doesn't support any known protocol"), "{error}");
    site.wait_for("quic", "handshake-errors", before + 1);
    let client = site.connect_quic(b"doq").unwrap();
    assert_eq!(id_of(&client.ask(&good).unwrap()), 0);
    // A message that gets no answer resets its stream alone.
    let response = [&good[..2], &[0x80], &good[3..]].concat();
    assert!(client.ask(&response).unwrap_err().contains("reset"), "a response");
    assert!(client.ask(&good).is_ok());
}

#[test]
fn deadlines_and_limits_hold_over_quic() {
    let site = Site::quic("[tcp]\nidle = \"2s\"\nread = \"1s\"\nconnections-per-network = 2\n");
    let idle = site.connect_quic(b"doq").unwrap();
    let half = site.connect_quic(b"doq").unwrap();
    assert!(idle.ask(&query_0("ns.example.", "A")).is_ok());
    let third = site.connect_quic(b"doq").unwrap();
    // DOQ_EXCESSIVE_LOAD
    assert_eq!(third.closed(), "closed by peer: too many connections (code 4)");
    assert!(half.send(b"\0", false).is_err());
    assert_eq!(half.closed(), "closed by peer: 4");
    idle.closed();
    site.wait_for("quic", "refused-network", 1);
    site.wait_for("quic", "closed-read", 1);
    site.wait_for("quic", "closed", 2);
}

#[test]
fn queries_over_quic_and_https_that_came_before_the_end_are_answered() {
    let mut site = Site::quic("https = [\"127.0.0.1:0\"]\n");
    let client = site.connect_quic(b"doq").unwrap();
    let large = query_0("large.example.", "TXT");
    assert!(client.ask(&large).is_ok());
    site.server.signal("TERM");
    // DOQ_NO_ERROR
    let sent: Vec<_> = (0..5).map(|_| client.ask(&large)).collect();
    assert!(sent[0].is_ok(), "{sent:?}");
    assert_eq!(client.closed(), "closed by peer: 0");
    assert_eq!(site.server.wait(), Some(0));
}

#[test]
fn dnspython_asks_over_quic_and_checks_the_certificate() {
    // kdig has QUIC where it was built with it, which Debian's is not.
    const SCRIPT: &str = "
import sys, dns.edns, dns.message, dns.query
query = dns.message.make_query('ns.example', 'A', use_edns=0, pad=128)
reply = dns.query.quic(query, '127.0.0.1', port=int(sys.argv[1]), timeout=20,
    verify=sys.argv[2], server_hostname='ns1.example')
print(len(reply.to_wire()), reply.id, reply)
";
    let Some(python) = python() else { return };
    let site = Site::quic("");
    let port = site.address("QUIC").port().to_string();
    let output = Command::new(python).args(["-c", SCRIPT, &port, &site.ca()]).output().unwrap();
    let text = succeed(&output);
    assert!(
        text.starts_with("468 0 id 0") && text.contains("ns.example. 60 IN A 192.0.2.1"),
        "{text}"
    );
}

/// Returns a Python that has aioquic and dnspython, if there is one.
fn python() -> Option<std::path::PathBuf> {
    let own = server::project().join("target/python/bin/python");
    let found = [own, "python3".into()].into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-c", "import aioquic, dns.query"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    if found.is_none() {
        server::skip("there is no Python with aioquic and dnspython");
    }
    found
}

#[test]
fn customers_are_counted_whatever_they_ask_over() {
    if !installed("curl") {
        return;
    }
    let more = "tls = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n[customers]\nloop = \
                [\"127.0.0.0/8\"]\n";
    let site = Site::quic(more);
    let message = query_0("ns.example.", "A");
    let replies = [
        site.server.tcp(&message),
        site.connect().ask(&message).unwrap(),
        site.connect_quic(b"doq").unwrap().ask(&message).unwrap(),
        site.post(&message).body,
    ];
    assert!(replies.iter().all(|reply| *reply == replies[0]));
    let customer = &site.server.status()["limits"]["customers"][0];
    assert_eq!((&customer["queries"], &customer["answered"]), (&4.into(), &4.into()));
}

//----------- The certificate ------------------------------------------------

#[test]
fn a_certificate_is_exchanged_under_load_without_a_lost_query() {
    let mut site = Site::tls("");
    let (address, config) = (site.address("TLS"), site.authority.client(b"dot"));
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = query(1, "ns.example.", "A");
    std::thread::scope(|scope| {
        for is_kept in [true, false] {
            let (stop, asked, config, ask) = (&stop, &asked, &config, &ask);
            scope.spawn(move || {
                let mut client = TlsClient::connect(address, config).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    if !is_kept {
                        client = TlsClient::connect(address, config).unwrap();
                    }
                    client.ask(ask).expect("a query was lost");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..5 {
            let pair = site.authority.issue();
            site.replace(&pair);
            let (code, text) = site.server.command("reload");
            // The file watch may have been faster.
            assert_eq!(code, Some(0), "{text}");
            assert_eq!(site.connect().certificate(), pair.der);
            let before = asked.load(Ordering::Relaxed);
            wait_until(|| asked.load(Ordering::Relaxed) > before + 20, "queries");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_broken_pair_keeps_the_one_before_in_service_and_holds_up_nothing_else() {
    let mut site = Site::tls("");
    let first = site.connect().certificate();
    let next = site.authority.issue();
    site.world.file("tls/cert.pem", &next.certificate[..]);
    let zone = site.world.text("zones/example/records.zone") + "more A 192.0.2.7\n";
    site.world.file("zones/example/records.zone", zone);
    let (code, text) = site.server.command("reload");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("trunkdns.toml:") && text.contains("error[bad-key]"), "{text}");
    assert!(text.contains("the certificate is held back"), "{text}");
    assert_eq!(site.connect().certificate(), first);
    let more = query(1, "more.example.", "A");
    let answers = || Message::from_vec(&site.connect().ask(&more).unwrap()).unwrap().answers;
    // From the next second on.
    wait_until(|| answers().len() == 1, "the zone's new record");
    site.replace(&next);
    // Taken in by itself.
    wait_until(|| site.connect().certificate() == next.der, "the new certificate");
    assert_eq!(site.server.command("reload").0, Some(0));
}

#[test]
fn without_a_certificate_all_else_is_served_until_there_is_one() {
    let mut site = Site::tls("");
    let pair = site.authority.issue();
    site.server.signal("TERM");
    assert_eq!(site.server.wait(), Some(0));
    site.world.file("tls/cert.pem", "gone");
    site.server = Server::start(&site.world.path().join("trunkdns.toml"));
    let (config, ask) = (site.authority.client(b"dot"), query(1, "ns.example.", "A"));
    assert!(TlsClient::connect(site.address("TLS"), &config).is_err());
    assert_eq!(site.server.tcp(&ask), site.server.udp(&ask));
    let (_, text) = site.server.command("status");
    assert!(text.contains("TROUBLE: there is no certificate"), "{text}");
    site.replace(&pair);
    assert_eq!(site.server.command("reload").0, Some(0));
    assert_eq!(site.connect().certificate(), pair.der);
    let (_, text) = site.server.command("status");
    assert!(
        text.contains("certificate valid until 4096-01-01") && !text.contains("TROUBLE"),
        "{text}"
    );
}
