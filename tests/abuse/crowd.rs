//! Connections that are there to be in the way, and what honest clients
//! notice of them.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each binary uses its part")]

use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::process::Process;
use crate::server::{Server, framed, read_framed};

/// Connections from a network, as many as one may have by default.
const PER_NETWORK: usize = 100;

/// How long a client that was turned away waits before it comes again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an honest client waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// `_sip._tcp.carrier.example.com SRV`
const QUERY: &[u8] =
    b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x04_sip\x04_tcp\x07carrier\x07example\x03com\0\0\x21\0\x01";

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections without a query.
    pub idle: usize,

    /// Of these, connections that send a message octet by octet.
    pub slow: usize,

    /// Further connections that send the longest messages all the time.
    pub large: usize,

    /// Queries that honest clients ask in each stage, over UDP and, each over
    /// a connection of its own, over TCP.
    pub honest: [usize; 2],
}

/// What honest clients noticed in a stage.
#[derive(Debug)]
pub struct Stage {
    pub name: String,
    pub udp: Latency,
    pub tcp: Latency,
    pub descriptors: usize,

    /// Memory in KiB.
    pub resident: u64,
}

/// How long answers took, and how many did not come.
#[derive(Debug, Default)]
pub struct Latency {
    pub lost: usize,
    sorted: Vec<Duration>,
}

/// Plays all stages against a server; the first is without anybody else, and
/// the last after everybody has gone.
pub fn play(server: &Server, plan: Plan) -> Vec<Stage> {
    let Plan { idle, slow, large, .. } = plan;
    let process = Process(server.id());
    let alone = process.descriptors();
    let mut stages = vec![Stage::measure("nobody else", server, plan)];
    let mut crowd = Crowd::new(server.address);
    crowd.send(idle, Habit::Idle);
    await_until("the crowd has come", || process.descriptors() >= alone + idle * 9 / 10);
    stages.push(Stage::measure(&format!("{idle} idle connections"), server, plan));
    crowd.dismiss(slow);
    crowd.send(slow, Habit::Slow);
    stages.push(Stage::measure(&format!("{slow} of them octet by octet"), server, plan));
    crowd.send(large, Habit::Large);
    let name = format!("and {large} with messages of 65,535 octets");
    stages.push(Stage::measure(&name, server, plan));
    drop(crowd);
    await_until("the crowd has gone", || process.descriptors() <= alone + PER_NETWORK);
    stages.push(Stage::measure("nobody else again", server, plan));
    stages
}

fn await_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//----------- Crowd ----------------------------------------------------------

/// Clients that come again whenever they are turned away.
struct Crowd {
    runtime: Option<Runtime>,
    address: SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What a client does with its connection.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Nothing.
    Idle,

    /// It sends a message of 65,535 octets, two octets a second.
    Slow,

    /// It sends messages of 65,535 octets, and reads what is answered.
    Large,
}

impl Crowd {
    fn new(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Crowd { runtime: Some(runtime.unwrap()), address, tasks: Vec::new() }
    }

    fn send(&mut self, count: usize, habit: Habit) {
        let Some(runtime) = &self.runtime else { return };
        for _ in 0..count {
            let client = run_client(self.tasks.len(), self.address, habit);
            self.tasks.push(runtime.spawn(client));
        }
    }

    /// Has the last ones go.
    fn dismiss(&mut self, count: usize) {
        let rest = self.tasks.len() - count;
        self.tasks.drain(rest..).for_each(|task| task.abort());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn run_client(number: usize, address: SocketAddr, habit: Habit) {
    // 127.1.0.1 and the like: another network for every hundred.
    let network = (number / PER_NETWORK) as u16;
    let [high, low] = network.to_be_bytes();
    let source = SocketAddr::from((Ipv4Addr::new(127, 1 + high, low, 1), 0));
    loop {
        // Whatever ends it: it comes again.
        let _ = use_connection(source, address, habit).await;
        sleep(PAUSE).await;
    }
}

async fn use_connection(
    source: SocketAddr,
    address: SocketAddr,
    habit: Habit,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(source)?;
    let mut stream = socket.connect(address).await?;
    let longest = [&[0xff, 0xff][..], QUERY, &[0; 65_535][QUERY.len()..]].concat();
    let mut octets = [0; 512];
    match habit {
        Habit::Idle => drop(stream.read(&mut octets).await?),
        Habit::Slow => {
            for octet in longest {
                stream.write_all(&[octet]).await?;
                sleep(Duration::from_millis(500)).await;
            }
        }
        Habit::Large => loop {
            stream.write_all(&longest).await?;
            if stream.read(&mut octets).await? == 0 {
                break;
            }
        },
    }
    Ok(())
}

//----------- Stage ----------------------------------------------------------

impl Stage {
    fn measure(name: &str, server: &Server, plan: Plan) -> Self {
        let process = Process(server.id());
        let [udp, tcp] = plan.honest;
        let (udp, tcp) = (Latency::over_udp(server, udp), Latency::over_tcp(server, tcp));
        let (descriptors, resident) = (process.descriptors(), process.resident());
        Stage { name: name.to_owned(), udp, tcp, descriptors, resident }
    }
}

impl Latency {
    fn over_udp(server: &Server, count: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::of(count, || {
            socket.send(QUERY)?;
            socket.recv(&mut [0; 1232]).map(drop)
        })
    }

    fn over_tcp(server: &Server, count: usize) -> Self {
        Self::of(count, || {
            let mut stream = TcpStream::connect_timeout(&server.address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&framed(QUERY))?;
            read_framed(&mut stream).map(drop)
        })
    }

    fn of(count: usize, mut ask: impl FnMut() -> std::io::Result<()>) -> Self {
        let mut latency = Latency::default();
        for _ in 0..count {
            let start = Instant::now();
            match ask() {
                Ok(()) => latency.sorted.push(start.elapsed()),
                Err(_) => latency.lost += 1,
            }
        }
        latency.sorted.sort_unstable();
        latency
    }

    fn share(&self, thousandths: usize) -> Duration {
        let at = self.sorted.len() * thousandths / 1000;
        self.sorted.get(at.min(self.sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, worst] = [500, 990, 1000].map(|share| self.share(share).as_micros());
        write!(f, "{median} / {most} / {worst} | {}", self.lost)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage { name, udp, tcp, descriptors, resident } = self;
        write!(f, "| {name} | {udp} | {tcp} | {descriptors} | {} |", resident / 1024)
    }
}

/// Returns the head of a table of stages, latencies in microseconds.
pub fn head() -> String {
    let columns = [
        "beside honest clients",
        "UDP median / 99 % / worst, µs",
        "lost",
        "TCP median / 99 % / worst, µs",
        "lost",
        "descriptors",
        "MiB",
    ];
    format!("| {} |\n{}|", columns.join(" | "), "|---".repeat(columns.len()))
}
