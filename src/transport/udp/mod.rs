//! Datagrams, answered by threads of their own.
//!
//! ```text
//!  address ─┬─ socket ── worker (thread) ─┐
//!           └─ socket ── worker (thread) ─┤   one snapshot and one reading of
//!  address ─┬─ socket ── worker (thread) ─┤   the clock a batch
//!           └─ …                          ┘
//! ```
//!
//! A worker has one socket, one batch of buffers and one lane of counters, and
//! shares nothing that anybody writes: a query costs no allocation, no lock
//! and no atomic operation beyond what reading a snapshot takes once a batch.
//! (Where the operator limits rates or names customers, the tables for that
//! are shared; their atomic operations wait for nobody.)
//! A thread for each socket rather than one that polls several: it needs one
//! system call less a batch, and a thread that sleeps costs nothing.
//!
//! Linux receives and sends in batches (`batched`, over `sys`); `portable`
//! does the same with what every system has, one datagram at a time, and is
//! what the tests hold `batched` against. `pinning` puts workers where their
//! datagrams arrive.

#[cfg(target_os = "linux")]
mod batched;
#[cfg(target_os = "linux")]
pub(super) mod pinning;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;
#[cfg(target_os = "linux")]
pub(super) mod sys;
#[cfg(test)]
pub(super) mod tests;

#[cfg(target_os = "linux")]
use self::batched::run;
#[cfg(not(target_os = "linux"))]
use self::portable::run;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::counters::{Counter, OwnLane, Protocol, Tally};
use super::{Noting, Pens, Responder, proxy};
use crate::answer::{Client, Transport};
use crate::clock::Clock;
use crate::limit::Limiter;
use crate::log::Pen;
use crate::snapshot::{Moment, Snapshot};

/// The longest datagram that is looked at, in octets.
///
/// A query with every option that there is has under 1,000. Longer ones are
/// dropped: they cost more than they could be worth.
const MESSAGE_MAX: usize = 4096;

/// Room for a datagram, and for more than the longest, so that one that was
/// cut off is known from its length.
///
/// Not a multiple of 4,096, or the beginnings of all messages of a batch would
/// compete for the same few lines of the processor's cache.
const MESSAGE_ROOM: usize = MESSAGE_MAX + 64;

/// The longest that a worker answers what is queued once it is to stop. A
/// full receive buffer takes 50 ms.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// How long a worker pauses when receiving fails for no known reason, so that
/// it does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

//----------- Worker ---------------------------------------------------------

/// What a thread answers by.
pub(super) struct Worker {
    /// What is published.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,

    /// What is known of clients, by all transports.
    pub(super) limiter: Arc<Limiter>,

    /// The time.
    pub(super) clock: Arc<Clock>,

    /// Where it counts.
    pub(super) lane: OwnLane,

    /// What it notes answers with, if they are logged.
    pub(super) pen: Option<Pen>,

    /// The address of its socket.
    pub(super) local: SocketAddr,

    /// The addresses that are listened on.
    pub(super) listen: Arc<[SocketAddr]>,

    /// Whether it is to stop.
    pub(super) stop: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread that answers what a socket receives, until `stop`, on a
    /// processor of its own where one is named.
    pub(super) fn start(
        self,
        socket: UdpSocket,
        name: String,
        processor: Option<usize>,
    ) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(name).spawn(move || {
            #[cfg(target_os = "linux")]
            if let Some(processor) = processor
                && let Err(error) = pinning::bind(processor)
            {
                // It answers all the same.
                tracing::warn!(%error, "a UDP worker cannot be bound to processor {processor}");
            }
            #[cfg(not(target_os = "linux"))]
            let _ = processor;
            run(self, &socket);
        })
    }

    /// Begins to answer the datagrams of a batch.
    fn round(&mut self) -> Round<'_> {
        let now = self.clock.now();
        Round {
            snapshot: self.snapshot.load(),
            limiter: &self.limiter,
            now,
            second: now.next_second(),
            lane: &mut self.lane,
            pen: self.pen.as_mut(),
            local: self.local,
            listen: &self.listen,
        }
    }

    /// Says what to do about a failure to receive.
    fn note_failure(&mut self, error: &io::Error) -> Next {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Next::Nothing,
            io::ErrorKind::Interrupted => Next::Again,
            _ => {
                self.lane.count(Counter::ReceiveErrors);
                thread::sleep(ERROR_PAUSE);
                Next::Again
            }
        }
    }
}

/// What to do when no datagram was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// Try again.
    Again,

    /// There is none: stop, if that is wanted.
    Nothing,
}

//----------- Round ----------------------------------------------------------

/// One snapshot and one moment, which all datagrams of a batch are answered
/// by.
struct Round<'w> {
    snapshot: Guard<Arc<Snapshot>>,
    limiter: &'w Limiter,
    now: Moment,

    /// The full second that comes next.
    second: u64,

    lane: &'w mut OwnLane,
    pen: Option<&'w mut Pen>,
    local: SocketAddr,
    listen: &'w [SocketAddr],
}

impl Round<'_> {
    /// Notes that the answering of a message came to a panic, with what it said.
    fn panicked(&mut self, message: &[u8], said: &str) {
        super::count_panic(self.lane, message, said);
    }

    /// Writes the response to a datagram; returns its length in octets, or
    /// nothing where none is to be sent.
    #[inline]
    fn respond(&mut self, datagram: &Datagram<'_>, out: &mut [u8]) -> Option<usize> {
        if self.is_unanswerable(datagram) {
            self.lane.dropped(Counter::BadSource);
            return None;
        }
        if datagram.message.len() > MESSAGE_MAX {
            self.lane.dropped(Counter::Oversize);
            return None;
        }
        let balancers = &self.snapshot.settings.balancers;
        match proxy::is_balancer(balancers, datagram.client.address) {
            false => self.respond_to(datagram, out),
            true => self.respond_behind(datagram, out),
        }
    }

    /// Answers whoever a load balancer says has sent a datagram.
    #[cold]
    fn respond_behind(&mut self, datagram: &Datagram<'_>, out: &mut [u8]) -> Option<usize> {
        let Some((client, message)) = proxy::split(datagram.message) else {
            self.lane.dropped(Counter::BadProxy);
            return None;
        };
        let source = client.unwrap_or(datagram.source());
        let behind = Datagram::new(source, datagram.destination, message);
        if self.is_unanswerable(&behind) {
            self.lane.dropped(Counter::BadSource);
            return None;
        }
        self.respond_to(&behind, out)
    }

    fn respond_to(&mut self, datagram: &Datagram<'_>, out: &mut [u8]) -> Option<usize> {
        let Datagram { client, message, .. } = datagram;
        let responder = Responder {
            snapshot: &self.snapshot,
            limiter: self.limiter,
            second: self.second,
            now: self.now,
        };
        let (pen, local) = (self.pen.as_deref_mut(), &self.local);
        let noting = move || {
            let pens = Pens::Own(pen?);
            let address = datagram.destination.copied().unwrap_or(local.ip());
            let server = SocketAddr::new(address, local.port());
            Some(Noting { pens, protocol: Protocol::Udp, client: datagram.source(), server })
        };
        responder.respond(self.lane, client, noting, message, out)
    }

    /// Says whether a reply could reach nobody, or the server itself.
    ///
    /// Responses are never answered, so that a server that hears itself falls
    /// silent by itself; this is the second lock on that door.
    fn is_unanswerable(&self, datagram: &Datagram<'_>) -> bool {
        let port = datagram.port;
        let mut listen = self.listen.iter();
        port == 0 || listen.any(|own| own.port() == port && datagram.is_from(own.ip()))
    }
}

/// A datagram that arrived.
#[derive(Clone, Copy, Debug)]
struct Datagram<'d> {
    /// Who sent it: IPv4 in IPv6 is IPv4.
    client: Client,

    /// The port that it was sent from.
    port: u16,

    /// The address that it was sent to, where the socket has more than one:
    /// IPv4 in IPv6 is IPv4.
    destination: Option<&'d IpAddr>,

    /// What is in it; longer than [`MESSAGE_MAX`] where it was cut off.
    message: &'d [u8],
}

impl<'d> Datagram<'d> {
    fn new(source: SocketAddr, destination: Option<&'d IpAddr>, message: &'d [u8]) -> Self {
        let client = Client { address: source.ip().to_canonical(), transport: Transport::Udp };
        Datagram { client, port: source.port(), destination, message }
    }

    /// Returns who sent it.
    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.client.address, self.port)
    }

    /// Says whether it is from an address that is listened on.
    #[cold]
    fn is_from(&self, own: IpAddr) -> bool {
        match own.is_unspecified() {
            true => self.destination == Some(&self.client.address),
            false => own.to_canonical() == self.client.address,
        }
    }
}

//----------- Stopping -------------------------------------------------------

/// Whether a worker is to stop, and until when.
struct Stopping {
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stopping {
    fn new(stop: Arc<AtomicBool>) -> Self {
        Stopping { stop, deadline: None }
    }

    /// Says whether to stop: from then on a worker takes what is queued, and
    /// waits for nothing.
    fn is_wanted(&mut self) -> bool {
        if self.deadline.is_none() && self.stop.load(Ordering::Relaxed) {
            self.deadline = Some(Instant::now() + DRAIN_TIME);
        }
        self.deadline.is_some()
    }

    /// Says whether there was enough time to take what was queued.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
