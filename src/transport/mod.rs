//! Sockets: messages in, messages out.
//!
//! Every transport is a thin shell around [`answer`](crate::answer::answer):
//! it owns sockets and deadlines and knows nothing of zones.
//!
//! - [`Listener`]: the sockets of an address.
//! - `udp`: datagrams, on threads of their own.
//! - `tcp`: connections, on tokio's threads, with or without TLS.
//! - `connections`, `session`: how many there may be, and what each is.
//! - `tls`: the certificate, for all that is encrypted.
//! - `https`, `quic`: two more ways to carry messages in.
//! - [`counters`]: what became of every message; [`latency`]: how long it took.
//! - [`proxy`]: who asks behind a load balancer.
//! - `guard`: panics that must not end a worker.
//! - [`hickory`]: the same behind a server of hickory's.

mod connections;
pub mod counters;
mod guard;
pub mod hickory;
mod https;
pub mod latency;
mod listener;
pub mod proxy;
mod quic;
mod session;
mod tcp;
mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time;
use tokio_rustls::TlsAcceptor;

pub use self::listener::{Encrypted, Listener};
pub use self::tls::Certificates;

pub(crate) use self::guard::Occasionally;

use self::connections::Connections;
use self::counters::{Counter, Counters, Protocol, Tally};
use self::session::Service;
use self::tcp::{Dialect, bound_by_descriptors};
use crate::answer::{self, Client, Outcome, Verdict};
use crate::clock::Clock;
use crate::config::model::Tcp;
use crate::limit::{self, Decision, Limiter};
use crate::log::{Journal, Note, Pen, Running, SharedPens, ZoneNote};
use crate::snapshot::{Moment, Snapshot};

/// How long clients are listened to once the server stops: what they sent
/// before is on its way.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// How long connections may take to end after that, slow readers included.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Answers on the sockets of listeners from whatever snapshot is published.
///
/// Must be called inside a tokio runtime, which serves the connections.
pub fn start(
    listeners: Vec<Listener>,
    encrypted: Option<Encrypted>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    clock: Arc<Clock>,
    limits: &Tcp,
    mut journal: Option<Journal>,
) -> io::Result<Transports> {
    let listen: Arc<[SocketAddr]> = listeners.iter().map(|listener| listener.address).collect();
    let limiter = limiter()?;
    let mut counters = Counters::default();
    let mut udp = Workers::default();
    let mut streams = Vec::new();
    for Listener { address, udp: sockets, tcp, processors } in listeners {
        streams.push((tcp, Dialect::Plain));
        for (number, socket) in sockets.into_iter().enumerate() {
            let worker = udp::Worker {
                snapshot: snapshot.clone(),
                limiter: limiter.clone(),
                clock: clock.clone(),
                lane: counters.add_udp(),
                pen: journal.as_mut().map(Journal::pen),
                local: address,
                listen: listen.clone(),
                stop: udp.stop.clone(),
            };
            let name = format!("udp-{number} {address}");
            udp.threads.push(worker.start(socket, name, processors.get(number).copied())?);
        }
    }
    let most = bound_by_descriptors(limits.connections);
    let connections = Arc::new(Connections::new(most, limits.connections_per_network));
    let handshake = encrypted.as_ref().map_or(Duration::ZERO, |encrypted| encrypted.handshake);
    // As many as threads serve connections.
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let pens = journal.as_mut().map(|journal| journal.shared_pens(threads));
    let service = Service { snapshot, limiter, clock, limits: limits.clone(), handshake, pens };
    let service = Arc::new(service);
    let (stop, stopped) = watch::channel(None);
    if let Some(Encrypted { tls, quic, https, path, certificates, .. }) = encrypted {
        let acceptor = |name| {
            let config = tls::config(certificates.clone(), tls::STREAM_VERSIONS, name);
            config.map(TlsAcceptor::from).map_err(io::Error::other)
        };
        let dialect = Dialect::Tls(acceptor(b"dot")?);
        streams.extend(tls.into_iter().map(|(_, listener)| (listener, dialect.clone())));
        for (_, socket) in quic {
            let (connections, service) = (connections.clone(), service.clone());
            let (certificates, stop) = (certificates.clone(), stopped.clone());
            quic::start(socket, certificates, connections, service, stop, &mut counters)?;
        }
        let dialect = Dialect::Https(acceptor(b"h2")?, path.into());
        streams.extend(https.into_iter().map(|(_, listener)| (listener, dialect.clone())));
    }
    for (listener, dialect) in streams {
        let (connections, service) = (connections.clone(), service.clone());
        tcp::start(listener, dialect, connections, service, stopped.clone(), &mut counters)?;
    }
    let log = journal.map(|journal| {
        let lanes = Protocol::ALL.map(|protocol| counters.add_shared(protocol));
        journal.start(lanes)
    });
    Ok(Transports { log: log.transpose()?, counters: Arc::new(counters), udp, stop })
}

/// Returns a limiter for all transports, with a key that nobody knows.
fn limiter() -> io::Result<Arc<Limiter>> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(Arc::new(Limiter::new(key)))
}

//----------- Responder ------------------------------------------------------

/// What messages are answered by, at one moment.
struct Responder<'a> {
    snapshot: &'a Snapshot,
    limiter: &'a Limiter,
    now: Moment,

    /// The full second that comes next, since the Unix epoch.
    second: u64,
}

/// Where an exchange is noted, and between whom it is.
struct Noting<'a> {
    pens: Pens<'a>,
    protocol: Protocol,

    /// The port is 0 where a load balancer stands between.
    client: SocketAddr,
    server: SocketAddr,
}

/// What a note is written with.
enum Pens<'a> {
    Own(&'a mut Pen),
    Shared(&'a SharedPens),
}

impl Noting<'_> {
    /// Notes what became of a message, and counts where there is no room.
    #[inline(never)]
    fn note(
        self,
        tally: &mut impl Tally,
        (snapshot, now): (&Snapshot, Moment),
        outcome: &Outcome<'_>,
        (message, response): (&[u8], &[u8]),
    ) {
        let note = Note {
            now,
            generation: snapshot.generation,
            protocol: self.protocol,
            client: self.client,
            server: self.server,
            cause: outcome.cause,
            truncated: outcome.truncated,
            zone: outcome.source.map(|source| ZoneNote {
                origin: source.version.zone.origin().as_wire(),
                serial: source.version.zone.serial(),
                region: source.version.map.name(source.region),
            }),
            message,
            response,
        };
        let has_room = match self.pens {
            Pens::Own(pen) => pen.write(&note),
            Pens::Shared(pens) => pens.write(&note),
        };
        if !has_room {
            tally.count(Counter::LogLost);
        }
    }
}

impl Responder<'_> {
    /// Answers a message as [`respond`](Self::respond) does; a panic costs the
    /// message and nothing else.
    fn respond_guarded(
        &self,
        tally: &mut impl Tally,
        client: &Client,
        noting: Option<Noting<'_>>,
        message: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let guarded = guard::run(|| self.respond(tally, client, || noting, message, out));
        guarded.unwrap_or_else(|said| {
            count_panic(tally, message, &said);
            None
        })
    }

    /// Answers a message, whatever it is, and counts what became of it.
    ///
    /// Returns the length of the response in `out`, in octets, or nothing where
    /// none is to be sent.
    fn respond<'n>(
        &self,
        tally: &mut impl Tally,
        client: &Client,
        noting: impl FnOnce() -> Option<Noting<'n>>,
        message: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let begun = tally.is_sampled().then(Instant::now);
        #[cfg(test)]
        tests::strike(message);
        let mut outcome = answer::answer(self.snapshot, client, self.now, message, out);
        if !self.snapshot.settings.policy.is_idle() {
            outcome = self.apply_policy(tally, client, message, outcome, out);
        }
        if let Some(begun) = begun {
            tally.took(begun.elapsed());
        }
        conclude(tally, self.second, &outcome);
        let len = match outcome.verdict {
            Verdict::Send(len) => Some(len),
            Verdict::Drop => None,
        };
        if let Some(noting) = noting() {
            let response = &out[..len.unwrap_or(0)];
            noting.note(tally, (self.snapshot, self.now), &outcome, (message, response));
        }
        len
    }

    /// Limits a response that is over a rate, and counts those of customers.
    #[inline(never)]
    fn apply_policy<'s>(
        &'s self,
        tally: &mut impl Tally,
        client: &Client,
        message: &[u8],
        outcome: Outcome<'s>,
        out: &mut [u8],
    ) -> Outcome<'s> {
        let (policy, cause) = (&self.snapshot.settings.policy, outcome.cause);
        let decision = self.limiter.decide(policy, client, self.now, &outcome);
        tally.decision(decision);
        let outcome = match decision {
            Decision::Pass | Decision::WouldLimit(_) => outcome,
            Decision::Drop(_) => outcome.cut(Outcome::short(Verdict::Drop, cause)),
            Decision::Truncate(_) => {
                let now = self.now;
                outcome.cut(answer::truncate(self.snapshot, client, now, message, cause, out))
            }
        };
        if let Some(customer) = policy.customers.find(client.address) {
            limit::count(customer, tally.writer(), &outcome);
        }
        outcome
    }
}

/// Counts what became of a message.
fn conclude(tally: &mut impl Tally, second: u64, outcome: &Outcome<'_>) {
    tally.outcome(outcome);
    // Before it is sent, so that nobody who looks meanwhile finds less.
    if let Some(handed_out) = outcome.handed_out {
        handed_out.note(second, tally.writer());
    }
}

/// Counts a message that met a fault, and reports it.
#[cold]
fn count_panic(tally: &mut impl Tally, message: &[u8], said: &str) {
    tally.dropped(Counter::Panicked);
    report_panic(message, said);
}

/// Logs a message that met a fault, once a minute at most.
fn report_panic(message: &[u8], said: &str) {
    /// Octets that are shown; no query that does harm has needed more.
    const SHOWN: usize = 1024;
    static LOG: guard::Occasionally = guard::Occasionally::new();
    let Some(more) = LOG.pass() else { return };
    let hex: String = message.iter().take(SHOWN).map(|octet| format!("{octet:02x}")).collect();
    tracing::error!(
        "a message met a fault in the server and was dropped, please report it ({more} more since \
         the last that was logged): {said}; {} octets: {hex}",
        message.len()
    );
}

//----------- Transports -----------------------------------------------------

/// All that answers. Dropping it stops the UDP workers without waiting.
#[derive(Debug)]
pub struct Transports {
    counters: Arc<Counters>,
    log: Option<Running>,
    udp: Workers,

    /// Tells connections to end.
    stop: watch::Sender<Option<time::Instant>>,
}

impl Transports {
    /// Returns what is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Has the decision log's file be opened again, if there is one.
    pub fn reopen_log(&self) {
        self.log.iter().for_each(Running::reopen);
    }

    /// Stops: answers what was received until now, then closes all sockets,
    /// within two seconds and a bit.
    pub async fn shutdown(self) {
        let Transports { udp, stop, log, .. } = self;
        let udp = tokio::task::spawn_blocking(move || udp.join());
        stop.send_replace(Some(time::Instant::now() + STOP_GRACE));
        // Everybody who is at work has a receiver.
        if time::timeout(STOP_TIME, stop.closed()).await.is_err() {
            tracing::info!("connections were cut off: their clients do not read");
        }
        if let Err(error) = udp.await {
            tracing::error!(%error, "a UDP worker ended badly");
        }
        if let Some(log) = log {
            // The last answers are in it.
            let _ = tokio::task::spawn_blocking(move || log.stop()).await;
        }
    }
}

/// The threads that answer datagrams.
#[derive(Debug, Default)]
struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Stops all and waits for them.
    fn join(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a UDP worker ended by a panic");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{TcpStream, UdpSocket};
    use std::sync::Mutex;
    use std::time::Duration;

    use super::udp::tests::{query, snapshot};
    use super::*;
    use crate::answer::Cause;
    use crate::clock;
    use crate::snapshot::{Expiries, HandedOut};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A name whose messages the answer core panics on.
    const DEATH: &[u8] = b"\x05death\x07example\0";

    /// Stands for a fault that nobody has found yet.
    pub(super) fn strike(message: &[u8]) {
        assert!(!message.windows(DEATH.len()).any(|octets| octets == DEATH), "a query of death");
    }

    /// What is logged, by every thread.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Sends queries of death before one that is not; returns the reply to it.
    fn ask_behind_death(address: SocketAddr, socket: &UdpSocket, stream: &mut TcpStream) {
        let death = query(0xdead, DEATH, 1);
        let sound = query(7, b"\x07example\0", 6);
        let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
        for message in [&death, &death, &sound] {
            socket.send_to(message, address).unwrap();
            stream.write_all(&framed(message)).unwrap();
        }
        let mut octets = [0; 512];
        socket.recv(&mut octets).unwrap();
        assert_eq!(octets[..2], [0, 7]);
        stream.read_exact(&mut octets[..4]).unwrap();
        assert_eq!(octets[2..4], [0, 7]);
        let rest = usize::from(octets[1]) - 2;
        stream.read_exact(&mut octets[..rest]).unwrap();
    }

    #[test]
    fn a_query_of_death_costs_itself_is_counted_and_logged_once_in_hex_and_workers_live() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _context = runtime.enter();
        // One worker, so that the one that met the fault answers again.
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 1).unwrap();
        let address = listener.address;
        let limits = Tcp {
            connections: 10,
            connections_per_network: 10,
            idle: PATIENCE,
            read: PATIENCE,
            write: PATIENCE,
        };
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot()));
        let clock = Arc::new(Clock::new(clock::wall()));
        let transports = start(vec![listener], None, snapshot, clock, &limits, None).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..3 {
            ask_behind_death(address, &socket, &mut stream);
        }
        let counters = transports.counters().clone();
        runtime.block_on(transports.shutdown());
        let total = counters.total();
        for counts in [&total.udp, &total.tcp] {
            let numbers = [Counter::Panicked, Counter::Dropped, Counter::Answered]
                .map(|counter| counts.of(counter));
            assert_eq!((numbers, counts.messages()), ([6, 6, 3], 9));
        }
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let death = query(0xdead, DEATH, 1);
        let hex: String = death.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(log.matches(&hex).count(), 1, "{log}");
        assert!(log.contains("a query of death") && log.contains("please report it"), "{log}");
    }

    #[test]
    fn what_is_handed_out_is_noted() {
        let expiries = Expiries::new(1);
        let handed_out = Some(HandedOut { expiries: &expiries, slot: 0, ttl: 60 });
        let verdict = Verdict::Send(40);
        let outcome = Outcome { handed_out, ..Outcome::short(verdict, Cause::Answered) };
        let mut lane = Counters::default().add_udp();
        conclude(&mut lane, 1000, &outcome);
        assert_eq!(expiries.last(0, 60), 1060);
    }
}
