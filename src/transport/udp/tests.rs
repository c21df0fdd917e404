//! Both loops on real sockets, side by side.

use std::path::Path;

use super::*;
use crate::clock;
use crate::config::model::Log;
use crate::daemon::load;
use crate::diag::{Report, Sources};
use crate::log::Journal;
use crate::snapshot::Settings;
use crate::transport::Listener;
use crate::transport::counters::{Counters, Totals};
use crate::wire::{CookieSecrets, Rcode};

/// The loop of a worker.
type Run = fn(Worker, &UdpSocket);

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n\
                    _sip SRV 1 2 3 ns\nalias CNAME ns\n\
                    *.wild TXT \"any\"\nsub NS ns.sub\nns.sub A 192.0.2.2\n";

/// Names that it has and does not have.
const NAMES: [&[u8]; 10] = [
    b"\x07example\0",
    b"\x02nS\x07EXample\0",
    b"\x04_sip\x07example\0",
    b"\x05alias\x07example\0",
    b"\x05large\x07example\0",
    b"\x01x\x04wild\x07example\0",
    b"\x01y\x01x\x07example\0",
    b"\x01x\x03sub\x07example\0",
    b"\x03sub\x07example\0",
    b"\x03com\0",
];

pub(in crate::transport) fn snapshot() -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let large: String = (0..40).map(|at| format!("large TXT \"{at:0>100}\"\n")).collect();
    write("zones/example/records.zone", ZONE.to_owned() + &large);
    write("regions.toml", "default = \"all\"\n[regions.all]\nlocation = [0, 0]\n".into());
    write(
        "trunkdns.toml",
        "server.identity = \"ns1\"\n[geoip]\ndatabases = []\nregions = \"regions.toml\"\n".into(),
    );
    load(&folder.path().join("trunkdns.toml"))
}

fn load(config: &Path) -> Snapshot {
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let loaded = load::load(config, None, &mut sources, &mut report);
    assert!(!report.has_errors(), "{}", report.render(&sources, false));
    loaded.unwrap().into_snapshot()
}

/// Returns a query with EDNS.
pub(in crate::transport) fn query(id: u16, name: &[u8], rtype: u8) -> Vec<u8> {
    query_with(id, (name, rtype), (1232, 0), b"")
}

/// Returns a query with payload size, flags and options of EDNS.
fn query_with(
    id: u16,
    (name, rtype): (&[u8], u8),
    (payload, flags): (u16, u16),
    options: &[u8],
) -> Vec<u8> {
    let header = [1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    let edns = [payload, 0, flags, options.len() as u16].map(u16::to_be_bytes).concat();
    let question = [&id.to_be_bytes()[..], &header, name, &[0, rtype, 0, 1]].concat();
    [&question[..], b"\0\0\x29", &edns, options].concat()
}

/// Returns queries for everything that the zone has and does not have, in every
/// way in which a client can ask for it.
fn queries() -> Vec<Vec<u8>> {
    let subnet = b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02";
    let all = b"\0\x03\0\0\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08\0\x0c\0\0";
    let edns: [(u16, u16, &[u8]); 4] =
        [(512, 0, b""), (700, 0x8000, b""), (1232, 0, subnet), (4096, 0, all)];
    let mut queries = Vec::new();
    for name in NAMES {
        for rtype in [1, 2, 6, 16, 33, 255] {
            for (payload, flags, options) in edns {
                let id = queries.len() as u16;
                queries.push(query_with(id, (name, rtype), (payload, flags), options));
            }
            let mut plain = query(queries.len() as u16, name, rtype);
            plain.truncate(plain.len() - 11);
            plain[11] = 0;
            queries.push(plain);
        }
    }
    queries
}

/// Messages of every kind, and each cut off anywhere.
fn messages() -> Vec<Vec<u8>> {
    let mut messages = queries();
    for name in NAMES.into_iter().chain([&b"\xc0\x0c\0"[..]]) {
        for rtype in [1, 2, 6, 16, 252, 255] {
            let whole = query(messages.len() as u16, name, rtype);
            let mut response = whole.clone();
            response[2] |= 0x80;
            let mut notify = whole.clone();
            notify[2] |= 0x20;
            messages.extend([response, notify, [&whole[..], b"!"].concat()]);
            messages.extend((0..=whole.len()).step_by(7).map(|len| whole[..len].to_vec()));
            messages.push(whole);
        }
    }
    messages.push(vec![0; MESSAGE_MAX]);
    messages.push(vec![0; MESSAGE_MAX + 1]);
    messages.push(vec![0; 60_000]);
    messages
}

/// Starts one worker; returns what it is asked at, and what ends it and
/// returns what was counted, and how often it allocated.
fn start(run: Run, snapshot: Snapshot) -> (SocketAddr, impl FnOnce() -> (Totals, u64)) {
    let Listener { address, mut udp, .. } = Listener::bind(([127, 0, 0, 1], 0).into(), 1).unwrap();
    let socket = udp.remove(0);
    let mut counters = Counters::default();
    let config = Log { dnstap: Some("nowhere".into()), ..Log::default() };
    let mut journal = Journal::open(&config, None).unwrap().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let worker = Worker {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        limiter: Arc::new(Limiter::new([7; 16])),
        clock: Arc::new(Clock::new(clock::wall())),
        lane: counters.add_udp(),
        // Nobody takes anything out: some records fit, and then none do.
        pen: Some(journal.pen()),
        local: address,
        listen: [address].into(),
        stop: stop.clone(),
    };
    let measured = move || allocation_counter::measure(|| run(worker, &socket)).count_total;
    let thread = thread::spawn(measured);
    let end = move || {
        stop.store(true, Ordering::Relaxed);
        let allocated = thread.join().unwrap();
        (counters.total(), allocated)
    };
    (address, end)
}

/// Sends messages, all of them before any reply is read; returns the replies
/// in the order in which they came, and what was counted.
fn exchange(run: Run, messages: &[Vec<u8>]) -> (Vec<Vec<u8>>, Totals) {
    // Cookies say when they were made.
    let snapshot = snapshot();
    let settings =
        Settings { cookie_secrets: CookieSecrets::default(), ..snapshot.settings.clone() };
    let snapshot = Snapshot::new(1, settings, snapshot.timelines().to_vec());
    let (address, end) = start(run, snapshot);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&client).set_recv_buffer_size(4 << 20).unwrap();
    for message in messages {
        client.send_to(message, address).unwrap();
    }
    // What was sent is in the server's buffer: all of it is answered first.
    let (totals, _) = end();
    client.set_nonblocking(true).unwrap();
    let mut octets = [0; 65_535];
    let mut replies = Vec::new();
    while let Ok((len, source)) = client.recv_from(&mut octets) {
        assert_eq!(source, address);
        replies.push(octets[..len].to_vec());
    }
    (replies, totals)
}

#[test]
fn both_loops_give_the_same_replies_and_counts() {
    let messages = messages();
    let (replies, totals) = exchange(portable::run, &messages);
    let udp = &totals.udp;
    assert_eq!(udp.messages(), messages.len() as u64);
    assert_eq!(udp.messages(), replies.len() as u64 + udp.of(Counter::Dropped));
    assert_eq!(udp.of(Counter::Oversize), 2);
    for counter in [Counter::Answered, Counter::Referral, Counter::NotServed, Counter::Truncated] {
        assert!(udp.of(counter) > 0, "{counter:?}");
    }
    #[cfg(target_os = "linux")]
    {
        let (batched_replies, batched_totals) = exchange(batched::run, &messages);
        assert!(batched_replies == replies);
        assert_eq!(batched_totals, totals);
    }
}

#[test]
fn a_query_that_was_answered_before_allocates_nothing() {
    let allocated = |run: Run, times: usize| {
        let (address, end) = start(run, snapshot());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let queries = queries();
        for query in queries.iter().cycle().take(queries.len() * times) {
            client.send_to(query, address).unwrap();
            // One after the other, for receive buffers that are small.
            client.recv(&mut [0; 4096]).unwrap();
        }
        let (totals, allocated) = end();
        assert_eq!(totals.udp.messages(), (queries.len() * times) as u64);
        allocated
    };
    for run in [portable::run, run] {
        let once = allocated(run, 1);
        assert!(once > 0, "bodies are built");
        // A thread's first look at an `ArcSwap` allocates, unless one that has
        // ended left it what it needs; each query has been asked ten times more.
        let again = allocated(run, 11);
        assert!(again < once + 10, "{again} {once}");
    }
}

#[test]
fn udp_and_tcp_give_the_same_response_where_it_fits() {
    let snapshot = snapshot();
    let (mut udp, mut tcp) = ([0; 65_535], [0; 65_535]);
    let mut same = 0;
    for query in queries() {
        let ask = |transport, out: &mut [u8]| {
            let client = Client { address: ([127, 0, 0, 1]).into(), transport };
            let outcome = crate::answer::answer(&snapshot, &client, Moment(0), &query, out);
            let crate::answer::Verdict::Send(len) = outcome.verdict else { panic!() };
            (len, outcome.truncated)
        };
        let (len, truncated) = ask(Transport::Udp, &mut udp);
        let (tcp_len, _) = ask(Transport::Tcp, &mut tcp);
        if Rcode(u16::from(udp[3] & 0x0f)) == Rcode::REFUSED {
            // Over TCP an error may say more than what it answers.
            continue;
        }
        assert_eq!(truncated, tcp_len > len, "nothing else here can be left out");
        if !truncated {
            assert_eq!(udp[..len], tcp[..tcp_len]);
            same += 1;
        }
    }
    assert!(same > 200, "{same}");
}

#[test]
fn a_worker_that_has_nothing_to_do_ends() {
    for run in [portable::run, run] {
        let (_, end) = start(run, snapshot());
        assert_eq!(end().0.udp.messages(), 0);
    }
}

//----------- Sources --------------------------------------------------------

/// Says whether a datagram is answered by a server that listens on addresses.
fn is_answered(listen: &[&str], source: &str, destination: Option<&str>) -> bool {
    let listen: Vec<_> = listen.iter().map(|address| address.parse().unwrap()).collect();
    let mut counters = Counters::default();
    let mut lane = counters.add_udp();
    let snapshot = Arc::new(Snapshot::new(1, crate::snapshot::Settings::default(), []));
    let mut round = Round {
        snapshot: ArcSwap::new(snapshot).load(),
        limiter: &Limiter::new([7; 16]),
        now: Moment(0),
        second: 0,
        lane: &mut lane,
        pen: None,
        local: ([127, 0, 0, 1], 53).into(),
        listen: &listen,
    };
    let destination: Option<IpAddr> = destination.map(|address| address.parse().unwrap());
    let message = query(1, b"\x03com\0", 1);
    let datagram = Datagram::new(source.parse().unwrap(), destination.as_ref(), &message);
    let is_answered = round.respond(&datagram, &mut [0; 1232]).is_some();
    let total = counters.total().udp;
    assert_eq!(total.of(Counter::BadSource), u64::from(!is_answered));
    assert_eq!(total.messages(), 1);
    is_answered
}

//----------- Balancers ------------------------------------------------------

/// What a datagram from 192.0.2.10 counts as, where that is a load balancer.
fn counted(message: &[u8]) -> Counter {
    let mut counters = Counters::default();
    let mut lane = counters.add_udp();
    let balancers = ["192.0.2.10/32".parse().unwrap()].into();
    let settings = crate::snapshot::Settings { balancers, ..Default::default() };
    let mut round = Round {
        snapshot: ArcSwap::from_pointee(Snapshot::new(1, settings, [])).load(),
        limiter: &Limiter::new([7; 16]),
        now: Moment(0),
        second: 0,
        lane: &mut lane,
        pen: None,
        local: ([127, 0, 0, 1], 53).into(),
        listen: &["192.0.2.53:53".parse().unwrap()],
    };
    let source = "192.0.2.10:40000".parse().unwrap();
    let datagram = Datagram::new(source, None, message);
    let is_answered = round.respond(&datagram, &mut [0; 1232]).is_some();
    let total = counters.total().udp;
    assert_eq!((total.messages(), total.of(Counter::Dropped)), (1, u64::from(!is_answered)));
    let outcomes = [Counter::NotServed, Counter::BadProxy, Counter::BadSource, Counter::Oversize];
    outcomes.into_iter().find(|counter| total.of(*counter) == 1).unwrap()
}

/// A header of the PROXY protocol for a client of IPv4.
fn header(address: [u8; 4], port: u16) -> Vec<u8> {
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c";
    [&head[..], &address, &[192, 0, 2, 53], &port.to_be_bytes(), &[0, 53]].concat()
}

#[test]
fn the_client_behind_a_balancer_is_checked_as_any_other() {
    let query = query(1, b"\x03com\0", 1);
    let behind = |address, port| counted(&[header(address, port), query.clone()].concat());
    assert_eq!(behind([198, 51, 100, 1], 53), Counter::NotServed);
    assert_eq!(behind([198, 51, 100, 1], 0), Counter::BadSource);
    assert_eq!(behind([192, 0, 2, 53], 53), Counter::BadSource);
    assert_eq!(counted(&query), Counter::BadProxy);
    assert_eq!(counted(&header([198, 51, 100, 1], 53)[..27]), Counter::BadProxy);
    let long = [header([198, 51, 100, 1], 53), vec![0; MESSAGE_MAX]].concat();
    assert_eq!(counted(&long), Counter::Oversize);
}

#[test]
fn port_0_and_the_server_itself_are_not_answered() {
    let listen = ["192.0.2.53:53", "[2001:db8::53]:5300"];
    assert!(is_answered(&listen, "192.0.2.1:53", None));
    assert!(is_answered(&listen, "192.0.2.53:5300", None));
    assert!(!is_answered(&listen, "192.0.2.1:0", None));
    assert!(!is_answered(&listen, "192.0.2.53:53", None));
    assert!(!is_answered(&listen, "[2001:db8::53]:5300", None));
}

#[test]
fn a_server_on_all_addresses_does_not_answer_the_address_that_was_asked() {
    let listen = ["0.0.0.0:53"];
    assert!(is_answered(&listen, "192.0.2.1:53", Some("192.0.2.53")));
    assert!(is_answered(&listen, "192.0.2.53:1053", Some("192.0.2.53")));
    assert!(!is_answered(&listen, "192.0.2.53:53", Some("192.0.2.53")));
}
