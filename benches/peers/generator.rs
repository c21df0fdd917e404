//! The load over UDP: who sends what when, and what comes back.
//!
//! One socket sends from many addresses and receives for all of them; the ID
//! says which query a response is for. It spins instead of sleeping: a core is
//! its own, and a sleep would be in every latency.

use std::array;
use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

use super::check::Fault;
use super::world::Question;

/// How many queries are under way at most while the server is saturated.
///
/// Few enough for any socket buffer, many enough for a server never to wait.
const WINDOW: usize = 128;

/// How many queries a client sends at once where the load is high: one system
/// call can have one source.
const GROUP: usize = 8;

/// How many responses are received at once.
const BATCH: usize = 64;

/// When a query counts as lost, in nanoseconds.
const PATIENCE: u64 = 1_000_000_000;

/// IDs, and so queries under way, at most.
const IDS: usize = 1 << 16;

/// For how long an ID is not used again while its query is not answered, in
/// nanoseconds: an answer that was long in a server's buffer would be taken for
/// that to another query.
const ID_REST: u64 = 500_000_000;

/// Octets of the longest query, and of the longest response.
const QUERY_MAX: usize = 300;
const RESPONSE_MAX: usize = 1400;

/// How far behind its rate the generator may be, in queries. What is beyond is
/// not sent: to make up for it would be another load.
const ARREARS_MAX: u64 = 512;

//----------- Load -----------------------------------------------------------

/// A load.
pub struct Load<'l, J> {
    /// Where it goes.
    pub server: SocketAddrV4,

    /// Who asks, in turn.
    pub clients: &'l [(Ipv4Addr, usize)],

    /// What is asked, in turn.
    pub questions: &'l [Question],

    /// How fast.
    pub pace: Pace,

    /// How many queries, at most.
    pub count: u64,

    /// For how long, at most.
    pub time: Duration,

    /// Says whether an answer is right.
    pub judge: J,
}

/// How fast queries are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as they are answered.
    Window,

    /// So many a second, answered or not.
    Rate(u64),
}

impl Pace {
    fn group(self) -> usize {
        match self {
            Pace::Rate(..50_000) => 1,
            _ => GROUP,
        }
    }
}

/// Says whether answers are right.
pub trait Judge {
    /// Returns a note that is kept of a query while it is under way; is told
    /// how many were sent before, and nanoseconds since the start.
    fn note(&mut self, sent: u64, now: u64) -> u16;

    /// Says whether an answer is right.
    fn judge(&mut self, asked: Query<'_>, answer: &[u8]) -> Result<(), Fault>;
}

/// A query that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The number of the question.
    pub question: usize,

    /// The region of the client.
    pub region: usize,

    /// The note that was kept.
    pub note: u16,

    /// The query.
    pub octets: &'q [u8],
}

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Queries sent.
    pub sent: u64,

    /// Answers received, right or wrong.
    pub received: u64,

    /// Answers with response code NXDOMAIN.
    pub missing: u64,

    /// Octets of all answers.
    pub octets: u64,

    /// Answers that were wrong, by what.
    pub wrong: BTreeMap<Fault, u64>,

    /// Nanoseconds from query to answer, in order.
    pub latencies: Vec<u32>,

    /// From the first query to the last.
    pub time: Duration,
}

impl Outcome {
    /// Returns how many queries were not answered.
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Returns how many answers were wrong.
    pub fn wrong(&self) -> u64 {
        self.wrong.values().sum()
    }

    /// Returns how many queries were answered a second.
    pub fn rate(&self) -> f64 {
        self.received as f64 / self.time.as_secs_f64()
    }

    /// Returns a quantile of the latencies, in microseconds.
    pub fn latency(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        let found = self.latencies.get(at).or(self.latencies.last());
        found.map_or(0.0, |nanoseconds| f64::from(*nanoseconds) / 1e3)
    }

    /// Takes an answer into account.
    pub fn note(&mut self, answer: &[u8], verdict: Result<(), Fault>, latency: u64) {
        self.received += 1;
        self.missing += u64::from(answer.len() > 3 && answer[3] & 15 == 3);
        self.octets += answer.len() as u64;
        self.latencies.push(latency.try_into().unwrap_or(u32::MAX));
        if let Err(fault) = verdict {
            *self.wrong.entry(fault).or_default() += 1;
        }
    }
}

//----------- Generator ------------------------------------------------------

/// A socket with its buffers.
pub struct Generator {
    socket: UdpSocket,
    send_headers: MultiHeaders<SockaddrIn>,
    receive_headers: MultiHeaders<()>,
    queries: Box<[[u8; QUERY_MAX]; GROUP]>,
    responses: Box<[[u8; RESPONSE_MAX]; BATCH]>,
    flights: Box<[Flight; IDS]>,
}

/// A query under way.
#[derive(Clone, Copy, Default)]
struct Flight {
    sent: u64,
    number: u32,
    question: u16,
    note: u16,
    region: u8,
    is_under_way: bool,
}

impl Generator {
    /// Makes one. It sends from any address of the host.
    pub fn new() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let space = cmsg_space!(nix::libc::in_pktinfo);
        // What the system does not grant, `port_drops` shows.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20);
        Generator {
            socket,
            send_headers: MultiHeaders::preallocate(GROUP, Some(space)),
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            queries: Box::new([[0; QUERY_MAX]; GROUP]),
            responses: Box::new([[0; RESPONSE_MAX]; BATCH]),
            flights: vec![Flight::default(); IDS].try_into().ok().unwrap(),
        }
    }

    /// The port that it sends from.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Puts a load on a server.
    pub fn run<J: Judge>(&mut self, load: Load<'_, J>) -> Outcome {
        self.flights.fill(Flight::default());
        let mut run = Run {
            generator: self,
            start: Instant::now(),
            now: 0,
            next: 0,
            oldest: 0,
            under_way: 0,
            skipped: 0,
            outcome: Outcome::default(),
            load,
        };
        run.send_and_receive();
        run.outcome.latencies.sort_unstable();
        run.outcome
    }

    /// Sends the first `count` of the queries, of these lengths; returns how
    /// many the system took.
    fn send(&mut self, from: Ipv4Addr, to: SocketAddrV4, lens: &[usize]) -> usize {
        let slices: [_; GROUP] = array::from_fn(|at| {
            let len = lens.get(at).copied().unwrap_or(0);
            [IoSlice::new(&self.queries[at][..len])]
        });
        let addresses = [Some(SockaddrIn::from(to)); GROUP];
        let info = nix::libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(from).to_be() },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        };
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.send_headers,
            &slices[..lens.len()],
            &addresses[..lens.len()],
            [ControlMessage::Ipv4PacketInfo(&info)],
            MsgFlags::empty(),
        );
        sent.expect("the loopback takes datagrams").count()
    }

    /// Receives what there is; returns the lengths.
    fn receive(&mut self) -> ([usize; BATCH], usize) {
        let mut slices = self.responses.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let (mut lens, mut count) = ([0; BATCH], 0);
        let received = recvmmsg(
            self.socket.as_raw_fd(),
            &mut self.receive_headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        for message in received.into_iter().flatten() {
            lens[count] = message.bytes;
            count += 1;
        }
        (lens, count)
    }
}

//----------- Run ------------------------------------------------------------

/// A load under way. Queries are numbered; the last 16 bits are the ID.
struct Run<'g, 'l, J> {
    generator: &'g mut Generator,
    load: Load<'l, J>,
    start: Instant,

    /// Nanoseconds since the start.
    now: u64,

    /// The next query, and the oldest that may be under way.
    next: u64,
    oldest: u64,
    under_way: usize,

    /// Queries that were due and not sent.
    skipped: u64,
    outcome: Outcome,
}

impl<J: Judge> Run<'_, '_, J> {
    fn send_and_receive(&mut self) {
        let end = self.load.time.as_nanos() as u64;
        while self.now < end && self.next < self.load.count {
            if self.is_due() && self.has_ids() {
                self.send_group();
            }
            self.receive();
            self.give_up();
        }
        self.outcome.time = Duration::from_nanos(self.now);
        while self.under_way > 0 {
            self.receive();
            self.give_up();
        }
    }

    fn is_due(&mut self) -> bool {
        let group = self.load.pace.group();
        match self.load.pace {
            Pace::Window => self.under_way + group <= WINDOW,
            Pace::Rate(rate) => {
                let due = (u128::from(self.now) * u128::from(rate) / 1_000_000_000) as u64;
                let arrears = due.saturating_sub(self.next + self.skipped);
                if arrears > ARREARS_MAX {
                    self.skipped += arrears - group as u64;
                }
                arrears >= group as u64
            }
        }
    }

    /// Says whether the IDs of the next queries may be used again.
    fn has_ids(&self) -> bool {
        let next = (0..GROUP).map(|at| &self.generator.flights[(self.next as usize + at) % IDS]);
        let mut waiting = next.filter(|flight| flight.is_under_way);
        waiting.all(|flight| self.now.saturating_sub(flight.sent) >= ID_REST)
    }

    /// Sends the next queries, all from one client.
    fn send_group(&mut self) {
        let group = self.load.pace.group().min((self.load.count - self.next) as usize);
        // A client asks for another part of the questions each time.
        let turn = (self.next / GROUP as u64) as usize;
        let (client, region) = self.load.clients[turn % self.load.clients.len()];
        let mut lens = [0; GROUP];
        for (at, len) in lens.iter_mut().enumerate().take(group) {
            let number = self.next + at as u64;
            let question = (number % self.load.questions.len() as u64) as usize;
            let asked = &self.load.questions[question];
            *len = write_query(&mut self.generator.queries[at], asked, number as u32);
            let note = self.load.judge.note(number, self.now);
            let flight = &mut self.generator.flights[number as usize % IDS];
            // An ID that is needed again: its query is lost.
            self.under_way -= usize::from(flight.is_under_way);
            *flight = Flight {
                sent: self.now,
                number: number as u32,
                question: question as u16,
                note,
                region: region as u8,
                is_under_way: true,
            };
        }
        let sent = self.generator.send(client, self.load.server, &lens[..group]);
        for at in sent..group {
            self.generator.flights[(self.next as usize + at) % IDS].is_under_way = false;
        }
        self.next += sent as u64;
        self.under_way += sent;
        self.outcome.sent = self.next;
    }

    fn receive(&mut self) {
        let (lens, count) = self.generator.receive();
        self.now = self.start.elapsed().as_nanos() as u64;
        let mut query = [0; QUERY_MAX];
        for (at, len) in lens[..count].iter().enumerate() {
            let answer = &self.generator.responses[at][..*len];
            let id = answer.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
            let flight = mem::take(&mut self.generator.flights[usize::from(id)]);
            if !flight.is_under_way {
                *self.outcome.wrong.entry(Fault::Unasked).or_default() += 1;
                continue;
            }
            self.under_way -= 1;
            let question = usize::from(flight.question);
            let len = write_query(&mut query, &self.load.questions[question], flight.number);
            let (region, note) = (flight.region.into(), flight.note);
            let asked = Query { question, region, note, octets: &query[..len] };
            let verdict = self.load.judge.judge(asked, answer);
            self.outcome.note(answer, verdict, self.now - flight.sent);
        }
    }

    /// Gives up on queries that are too old.
    fn give_up(&mut self) {
        while self.oldest < self.next {
            let flight = &mut self.generator.flights[self.oldest as usize % IDS];
            if flight.is_under_way && flight.number == self.oldest as u32 {
                if self.now.saturating_sub(flight.sent) < PATIENCE {
                    return;
                }
                flight.is_under_way = false;
                self.under_way -= 1;
            }
            self.oldest += 1;
        }
    }
}

/// Writes the query with a number; returns its length.
pub fn write_query(out: &mut [u8; QUERY_MAX], question: &Question, number: u32) -> usize {
    let len = question.octets.len();
    out[..len].copy_from_slice(&question.octets);
    out[..2].copy_from_slice(&(number as u16).to_be_bytes());
    if let Some(at) = question.number_at {
        for digit in 0..8 {
            out[at + digit] = b'a' + (number >> (28 - 4 * digit) & 15) as u8;
        }
    }
    len
}
