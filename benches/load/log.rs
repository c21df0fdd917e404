//! What the decision log costs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Server, queries, udp};

/// How many queries a server is asked in a round, and how many rounds there
/// are; of their figures the median is printed.
const QUERIES: usize = 200_000;
const ROUNDS: usize = 9;

/// Compares servers that log more and more.
pub(super) fn compare() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str| format!("[log]\nfile = {:?}\n", path(name));
    let tap = |name: &str| format!("{}dnstap = {:?}\n", file(name), path(&format!("{name}.sock")));
    let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let readers = ["both", "all"].map(|name| Reader::start(&path(&format!("{name}.sock"))));
    let scraped = format!("[admin]\nhttp = \"{http}\"\n{}", tap("all"));
    let mut cases = [
        ("without", String::new()),
        ("the same again", String::new()),
        ("lines", file("lines")),
        ("lines and dnstap", tap("both")),
        ("both, and metrics are read", scraped),
    ]
    .map(|(name, tables)| Case {
        name,
        server: Server::start("workers = 1", &tables),
        figures: Vec::new(),
    });
    let scraper = Scraper::start(http);
    let queries = queries();
    for case in &cases {
        udp(&case.server, &queries, QUERIES / 10);
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.measure(&queries);
        }
    }
    drop((scraper, readers));
    let base = cases[0].median(0);
    for case in &cases {
        let [worker, log, dnstap] = [0, 1, 2].map(|thread| case.median(thread));
        println!(
            "{:27} worker {worker:5.0} ns/query ({:+5.1} %), log {log:5.0}, dnstap {dnstap:4.0}; \
             lines {}, lost {} in the queue, {} on the disk, {} by the reader",
            case.name,
            (worker / base - 1.0) * 100.0,
            case.server.counted("log-written"),
            case.server.counted("log-lost"),
            case.server.counted("log-unwritten"),
            case.server.counted("dnstap-lost"),
        );
    }
}

//----------- Case -----------------------------------------------------------

/// A server and what it has cost.
struct Case {
    name: &'static str,
    server: Server,

    /// Nanoseconds for a query, of each round and of each kind of thread.
    figures: Vec<[f64; 3]>,
}

/// What the names of the threads begin with.
const THREADS: [&str; 3] = ["udp", "log", "dnstap"];

impl Case {
    fn measure(&mut self, queries: &[Vec<u8>]) {
        let before = THREADS.map(|name| self.server.time_of(name));
        let answered = udp(&self.server, queries, QUERIES);
        // What waits to be written belongs to it.
        thread::sleep(Duration::from_millis(300));
        let after = THREADS.map(|name| self.server.time_of(name));
        let figure = |at: usize| (after[at] - before[at]) as f64 / answered as f64;
        self.figures.push([figure(0), figure(1), figure(2)]);
    }

    fn median(&self, thread: usize) -> f64 {
        let mut figures: Vec<_> = self.figures.iter().map(|round| round[thread]).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}

//----------- Readers --------------------------------------------------------

/// A reader of dnstap.
struct Reader(Child);

impl Reader {
    fn start(socket: &Path) -> Self {
        let child = Command::new("fstrm_capture")
            .args(["-t", "protobuf:dnstap.Dnstap", "-u"])
            .arg(socket)
            .args(["-w", "/dev/null"])
            .stderr(Stdio::null())
            .spawn()
            .expect("fstrm_capture is installed, by Debian's fstrm-bin");
        while !socket.exists() {
            thread::sleep(Duration::from_millis(10));
        }
        Reader(child)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads metrics each second.
struct Scraper(Arc<AtomicBool>);

impl Scraper {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(address).unwrap();
                let request =
                    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                stream.write_all(request.as_bytes()).unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
                thread::sleep(Duration::from_secs(1));
            }
        });
        Scraper(stop)
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
