//! What it saves to have workers where their datagrams arrive.
//!
//! On loopback a datagram arrives on the processor that its sender runs on, so
//! that senders that are bound to all of them stand for a network card that
//! spreads packets over all.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Server, queries};

/// How long a server is asked in a round, and how many rounds there are.
const TIME: Duration = Duration::from_millis(200);
const ROUNDS: usize = 25;

/// Sockets of each sender: without the option their ports are what spreads
/// queries over workers.
const SOCKETS: usize = 16;

/// How many queries each sender has under way.
const DEPTHS: [usize; 2] = [1, 32];

/// Compares servers with a worker a processor.
pub(super) fn compare() {
    let allowed = sched_getaffinity(None).unwrap();
    let processors: Vec<_> = (0..CpuSet::MAX_CPU).filter(|at| allowed.is_set(*at)).collect();
    let workers = format!("workers = {}", processors.len());
    let servers = [
        ("without", Server::start(&workers, "")),
        ("the same again", Server::start(&workers, "")),
        ("pin-workers", Server::start(&format!("{workers}\npin-workers = true"), "")),
    ];
    for depth in DEPTHS {
        let mut figures = [const { Vec::new() }; 3];
        for round in 0..ROUNDS {
            for place in 0..servers.len() {
                let at = (place + round) % servers.len();
                figures[at].push(measure(&servers[at].1, &processors, depth));
            }
        }
        for (at, (name, _)) in servers.iter().enumerate() {
            println!("{depth:2} under way, {name:14}: {}", summary(&figures[at], &figures[0]));
        }
    }
}

/// What a query took of the workers, and until its answer, in nanoseconds; and
/// how many were answered a second.
type Figures = [f64; 3];

fn measure(server: &Server, processors: &[usize], depth: usize) -> Figures {
    let before = server.time_of("udp");
    let senders: Vec<_> =
        processors.iter().map(|processor| send(server, *processor, depth)).collect();
    let mut latencies: Vec<u32> =
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let took = (server.time_of("udp") - before) as f64 / latencies.len() as f64;
    latencies.sort_unstable();
    let middle = f64::from(latencies[latencies.len() / 2]);
    [took, middle, latencies.len() as f64 / TIME.as_secs_f64()]
}

/// Starts a sender on a processor, which returns how long each answer took.
fn send(server: &Server, processor: usize, depth: usize) -> thread::JoinHandle<Vec<u32>> {
    let address = server.address;
    thread::spawn(move || {
        let mut set = CpuSet::new();
        set.set(processor);
        sched_setaffinity(None, &set).unwrap();
        let sockets: Vec<_> =
            (0..SOCKETS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for socket in &sockets {
            socket.connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        }
        let (queries, start) = (queries(), Instant::now());
        let mut queries = queries.iter().cycle();
        let mut latencies = Vec::new();
        for socket in sockets.iter().cycle() {
            if start.elapsed() > TIME {
                break;
            }
            let sent = Instant::now();
            queries.by_ref().take(depth).for_each(|query| assert!(socket.send(query).is_ok()));
            for _ in 0..depth {
                if socket.recv(&mut [0; 4096]).is_ok() {
                    latencies.push(sent.elapsed().as_nanos() as u32);
                }
            }
        }
        latencies
    })
}

/// Says what figures are, and, by their quartiles, what share of others that
/// were taken beside them.
fn summary(figures: &[Figures], others: &[Figures]) -> String {
    let quartiles = |of: &dyn Fn(usize) -> f64| {
        let mut values: Vec<_> = (0..figures.len()).map(of).collect();
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
    };
    let names = [(0, "ns/query"), (1, "ns to the answer"), (2, "q/s")];
    let parts = names.map(|(kind, unit)| {
        let [_, middle, _] = quartiles(&|at| figures[at][kind]);
        let [low, ratio, high] = quartiles(&|at| figures[at][kind] / others[at][kind]);
        format!("{middle:.0} {unit} ({ratio:.2}, {low:.2} to {high:.2})")
    });
    parts.join(", ")
}
