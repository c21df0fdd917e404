//! Rates and customers, on real sockets: who is answered in full, whatever
//! the rate, and what is counted.

#[path = "support/server.rs"]
mod server;
mod support;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use server::{Server, framed, has_large_buffers, read_framed};
use support::{Question, World, question};
use trunkdns::answer::{Client, Transport, Verdict, answer, truncate};
use trunkdns::clock::{self, Clock};
use trunkdns::config::model::Tcp;
use trunkdns::snapshot::{Moment, Snapshot};
use trunkdns::transport::counters::{Counter, Counts};
use trunkdns::transport::{self, Listener, Transports};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sockets of one network that ask at the same time, and how much each.
const SOCKETS: usize = 250;
const EACH: usize = 16;
const BURST: usize = SOCKETS * EACH;

/// The option of cookies (RFC 7873).
const COOKIE: u16 = 10;

/// Lets through 50 denials and 5 errors at once, and then 10 and 1 a second.
const RATES: &str = "errors = 1\nmissing = 10\nburst = \"5s\"\n";

fn world(more: &str) -> World {
    let records = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n\
                   _sip._tcp SRV 10 100 5060 ns\n_sip._tcp SRV 20 100 5060 ns\n";
    let mut world = World::with_zone("example", &[("records.zone", records)]);
    let config = world.text("trunkdns.toml");
    world.file("trunkdns.toml", format!("{config}{more}"));
    world
}

fn srv() -> Question {
    question("_sip._tcp.example.", "SRV")
}

fn missing() -> Question {
    question("none.example.", "A")
}

//----------- Site -----------------------------------------------------------

/// The transports in this process, with two workers.
struct Site {
    runtime: tokio::runtime::Runtime,
    transports: Transports,
    address: SocketAddr,
}

impl Site {
    fn new(config: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let context = runtime.enter();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 2).unwrap();
        let address = listener.address;
        let snapshot = Arc::new(ArcSwap::from_pointee(world(config).load()));
        let clock = Arc::new(Clock::new(clock::wall()));
        let tcp = Tcp {
            connections: 100,
            connections_per_network: 100,
            idle: PATIENCE,
            read: PATIENCE,
            write: PATIENCE,
        };
        let transports =
            transport::start(vec![listener], None, snapshot, clock, &tcp, None).unwrap();
        drop(context);
        Site { runtime, transports, address }
    }

    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Asks the same from many sockets in one instant; returns the replies,
    /// one to each query, and how long it took.
    fn burst(&self, question: &Question) -> (Vec<Message>, Duration) {
        let query = question.octets();
        let sockets: Vec<_> = (0..SOCKETS).map(|_| self.socket()).collect();
        let start = Instant::now();
        for _ in 0..EACH {
            for socket in &sockets {
                socket.send(&query).unwrap();
            }
        }
        let mut replies = Vec::new();
        let mut octets = [0; 1232];
        for socket in &sockets {
            for _ in 0..EACH {
                let len = socket.recv(&mut octets).expect("a query was not answered");
                let reply = Message::from_vec(&octets[..len]).unwrap();
                assert!(!reply.metadata.truncation || len <= query.len(), "{len} octets");
                replies.push(reply);
            }
        }
        (replies, start.elapsed())
    }

    fn tcp(&self, question: &Question) -> Message {
        use std::io::Write;
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&framed(&question.octets())).unwrap();
        Message::from_vec(&read_framed(&mut stream).unwrap()).unwrap()
    }

    /// Stops; returns what was counted of datagrams.
    fn end(self) -> Counts {
        let counters = self.transports.counters().clone();
        self.runtime.block_on(self.transports.shutdown());
        let udp = counters.total().udp;
        assert_eq!(udp.of(Counter::ReceiveDrops), 0, "the test itself was too much");
        udp
    }
}

/// Says whether a reply to [`missing`] says all that there is to say.
fn is_whole(reply: &Message) -> bool {
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(reply.queries.len(), 1);
    assert_eq!(reply.metadata.truncation, reply.authorities.is_empty());
    !reply.metadata.truncation
}

fn count_whole(replies: &[Message]) -> usize {
    replies.iter().filter(|reply| is_whole(reply)).count()
}

//----------- Who is limited -------------------------------------------------

#[test]
fn answers_of_own_zones_come_in_full_whatever_the_rate() {
    if !has_large_buffers() {
        return;
    }
    let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}"));
    let (replies, _) = site.burst(&srv());
    for reply in &replies {
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(!reply.metadata.truncation);
        assert_eq!((reply.answers.len(), reply.additionals.len()), (2, 1));
    }
    // No data is NOERROR as well.
    let (replies, _) = site.burst(&question("ns.example.", "AAAA"));
    assert!(replies.iter().all(|reply| !reply.metadata.truncation && reply.authorities.len() == 1));
    let counts = site.end();
    let limited = [Counter::LimitedAnswers, Counter::LimitedMissing, Counter::Truncated];
    assert_eq!(limited.map(|counter| counts.of(counter)), [0; 3]);
    assert_eq!(counts.of(Counter::Answered), BURST as u64);
}

#[test]
fn denials_over_the_rate_are_truncated_and_none_is_left_out() {
    if !has_large_buffers() {
        return;
    }
    let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}"));
    let (replies, time) = site.burst(&missing());
    let whole = count_whole(&replies);
    let most = 50 + 10 * (time.as_secs() as usize + 1);
    assert!((50..=most).contains(&whole), "{whole} in full, of {most} at most");
    let counts = site.end();
    assert_eq!(counts.of(Counter::LimitedMissing), (BURST - whole) as u64);
    assert_eq!(counts.of(Counter::Truncated), (BURST - whole) as u64);
    assert_eq!(counts.of(Counter::NoName), BURST as u64);
    assert_eq!(counts.of(Counter::Dropped), 0);
}

#[test]
fn errors_over_the_rate_are_truncated_and_what_is_no_query_is_not_answered() {
    let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}"));
    let socket = site.socket();
    let refused = question("example.com.", "A").octets();
    let mut truncated = 0;
    let mut octets = [0; 1232];
    for _ in 0..100 {
        socket.send(&refused).unwrap();
        let len = socket.recv(&mut octets).unwrap();
        let reply = Message::from_vec(&octets[..len]).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
        assert_eq!(len, refused.len());
        truncated += u64::from(reply.metadata.truncation);
    }
    let garbage = [&refused[..], b"!"].concat();
    for _ in 0..100 {
        socket.send(&garbage).unwrap();
    }
    let counts = site.end();
    assert!(truncated > 0);
    assert_eq!(counts.of(Counter::LimitedErrors), truncated);
    assert_eq!(counts.of(Counter::NotServed), 100);
    assert!(counts.of(Counter::SilencedErrors) > 0);
    assert_eq!(counts.of(Counter::Dropped), counts.of(Counter::SilencedErrors));
}

#[test]
fn a_valid_cookie_lets_everything_through() {
    if !has_large_buffers() {
        return;
    }
    let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}"));
    let fresh = missing().option(COOKIE, b"mycookie");
    let query = fresh.octets();
    let socket = site.socket();
    let mut octets = [0; 1232];
    // Whoever has none is given one even by what is cut short.
    let reply = loop {
        socket.send(&query).unwrap();
        let len = socket.recv(&mut octets).unwrap();
        let reply = Message::from_vec(&octets[..len]).unwrap();
        if reply.metadata.truncation {
            assert_eq!(len, query.len() + 16);
            break reply;
        }
    };
    let option = reply.edns.as_ref().unwrap().option(EdnsCode::Cookie).unwrap();
    let EdnsOption::Unknown(_, cookie) = option else { panic!("{option:?}") };
    let (replies, _) = site.burst(&missing().option(COOKIE, cookie));
    assert_eq!(count_whole(&replies), BURST);
    site.end();
}

#[test]
fn a_network_that_was_seen_over_tcp_is_answered_in_full() {
    if !has_large_buffers() {
        return;
    }
    let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}"));
    assert!(is_whole(&site.tcp(&missing())));
    let (replies, _) = site.burst(&missing());
    assert_eq!(count_whole(&replies), BURST);
    assert_eq!(site.end().of(Counter::LimitedMissing), 0);
}

#[test]
fn listed_networks_and_customers_are_answered_in_full() {
    if !has_large_buffers() {
        return;
    }
    for exempt in ["exempt = [\"127.0.0.0/25\"]\n", "[customers]\ngenesys = [\"127.0.0.1/32\"]\n"] {
        let site = Site::new(&format!("[limit]\nmode = \"on\"\n{RATES}{exempt}"));
        let (replies, _) = site.burst(&missing());
        assert_eq!(count_whole(&replies), BURST, "{exempt}");
        site.end();
    }
}

#[test]
fn a_dry_run_limits_nothing_and_counts() {
    if !has_large_buffers() {
        return;
    }
    let site = Site::new(&format!("[limit]\nmode = \"count\"\n{RATES}"));
    let (replies, time) = site.burst(&missing());
    assert_eq!(count_whole(&replies), BURST);
    let counts = site.end();
    let over = counts.of(Counter::WouldLimitMissing) as usize;
    let most = 50 + 10 * (time.as_secs() as usize + 1);
    assert!((BURST - most..=BURST - 50).contains(&over), "{over}");
    assert_eq!(counts.of(Counter::LimitedMissing), 0);
}

//----------- What is truncated ----------------------------------------------

/// Cuts the response to a question short; returns query and response.
fn cut(snapshot: &Snapshot, question: &Question) -> (Vec<u8>, Vec<u8>) {
    let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
    let (query, now) = (question.octets(), Moment(0));
    let mut out = vec![0xee; 1232];
    let outcome = answer(snapshot, &client, now, &query, &mut out);
    let outcome = truncate(snapshot, &client, now, &query, outcome.cause, &mut out);
    assert!(outcome.truncated && outcome.handed_out.is_none());
    let Verdict::Send(len) = outcome.verdict else { panic!("{outcome:?}") };
    out.truncate(len);
    (query, out)
}

#[test]
fn what_is_cut_short_says_the_same_and_is_no_longer_than_the_query() {
    let long = "a-name-server-with-a-name-that-is-longer-than-any-query-there-is-in-here";
    let mut world = world("");
    let config = world.text("trunkdns.toml");
    world.file("trunkdns.toml", format!("[server]\nidentity = \"{long}\"\n{config}"));
    let snapshot = world.load();
    let refused = || question("www.Example.COM.", "A");
    for (question, code) in [(srv(), 0), (missing(), 3), (refused(), 5)] {
        for question in [
            question.clone(),
            question.clone().edns(4096),
            question.clone().option(3, b""),
            question.clone().subnet("192.0.2.0/24").option(3, b""),
            question.clone().subnet("0.0.0.0/0"),
            question.clone().option(COOKIE, b"mycookie").option(3, b""),
            question.clone().option(COOKIE, &[7; 24]),
        ] {
            let (query, octets) = cut(&snapshot, &question);
            let reply = Message::from_vec(&octets).unwrap();
            let has_half_a_cookie = query.windows(8).any(|octets| octets == b"mycookie");
            let room = query.len() + if has_half_a_cookie { 16 } else { 0 };
            assert!(octets.len() <= room, "{} of {room}", octets.len());
            assert_eq!(u16::from(reply.metadata.response_code), code);
            assert_eq!(reply.metadata.authoritative, code != 5);
            assert_eq!(octets[12..][..10], query[12..][..10], "the question's letter case");
            let sections = [&reply.answers, &reply.authorities, &reply.additionals];
            assert!(reply.metadata.truncation && sections.iter().all(|one| one.is_empty()));
            assert_eq!(reply.edns.is_some(), query.len() > question_len(&query));
            let subnet = reply.edns.and_then(|edns| edns.option(EdnsCode::Subnet).cloned());
            if let Some(EdnsOption::Subnet(subnet)) = subnet {
                assert_eq!(subnet.scope_prefix(), subnet.source_prefix());
            }
        }
    }
}

/// Returns how long a query is up to the end of its question.
fn question_len(query: &[u8]) -> usize {
    12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5
}

//----------- Status ---------------------------------------------------------

#[test]
fn status_shows_what_was_limited_and_customers_across_a_reload() {
    let config = |mode: &str, customer: &str| {
        format!("[limit]\nmode = \"{mode}\"\nerrors = 1\nmissing = 1\n[customers]\n{customer}\n")
    };
    let world = |config: &str| {
        let world = world(config);
        world.listen_anywhere();
        world
    };
    let world = world(&config("count", "other = [\"10.0.0.0/8\"]"));
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let ask = |count: usize| (0..count).for_each(|_| drop(server.udp(&missing().octets())));
    let edit = |from: &str, to: &str| {
        let path = world.path().join("trunkdns.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert_eq!(server.command("reload").0, Some(0));
    };
    ask(100);
    let limits = server.status()["limits"].clone();
    assert_eq!(
        (limits["mode"].as_str(), limits["limited"]["missing"].as_u64()),
        (Some("count"), Some(0))
    );
    assert!(limits["would-limit"]["missing"].as_u64() > Some(0), "{limits}");
    edit("\"count\"", "\"on\"");
    ask(10);
    let limits = server.status()["limits"].clone();
    assert!(limits["limited"]["missing"].as_u64() > Some(0), "{limits}");
    edit("other = [\"10.0.0.0/8\"]", "genesys = [\"127.0.0.0/24\"]");
    drop(server.udp(&srv().octets()));
    drop(server.tcp(&missing().octets()));
    edit("127.0.0.0/24", "127.0.0.0/16");
    drop(server.udp(&question("example.com.", "A").octets()));
    let (_, text) = server.command("status");
    let line =
        "customer  genesys: 3 queries, 1 answered with records, 1 denied, 1 errors, 0 truncated";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("limits    on: truncated 0 errors, "), "{text}");
}
