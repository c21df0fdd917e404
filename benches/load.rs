//! The server under load: what a query costs it.
//!
//! The release binary serves the shipped example with one worker, and is asked
//! over loopback; printed is the processor time of the server, user and
//! system, for each query that it answered. It depends on the machine and on
//! what else it does: compare builds on one machine in turn, never figures of
//! two machines. Another build is measured with its path:
//!
//! ```text
//! cargo bench --bench load
//! TRUNKDNS_SERVER=/tmp/old/trunkdns cargo bench --bench load
//! ```
//!
//! With `TRUNKDNS_PIN=1` the server runs on the first processor and this on
//! the second.
//!
//! `cargo bench --bench load -- --log` measures what the decision log costs
//! instead: servers without it, with lines of all queries, with dnstap too, and
//! with metrics that are read each second, asked in turn; printed is what the
//! worker takes for a query, and beside it the threads that write.
//!
//! `cargo bench --bench load -- --pinning` asks servers with a worker for each
//! processor, with and without `pin-workers`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "load/log.rs"]
mod log;
#[cfg(target_os = "linux")]
#[path = "load/pinning.rs"]
mod pinning;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Queries that are under way at once: enough for the server to be busy.
const WINDOW: usize = 128;

/// How many queries are sent for a figure.
const UDP_QUERIES: usize = 400_000;
const PIPELINED_QUERIES: usize = 400_000;
const CONNECTIONS: usize = 20_000;

fn main() {
    if std::env::args().any(|argument| argument == "--log") {
        return log::compare();
    }
    #[cfg(target_os = "linux")]
    if std::env::args().any(|argument| argument == "--pinning") {
        return pinning::compare();
    }
    let server = Server::start("workers = 1", "");
    let queries = queries();
    // Code and tables become warm.
    udp(&server, &queries, UDP_QUERIES / 20);
    for _ in 0..3 {
        report(&server, "UDP", UDP_QUERIES, |count| udp(&server, &queries, count));
    }
    for _ in 0..3 {
        report(&server, "TCP, 20 connections, 10 pipelined", PIPELINED_QUERIES, |count| {
            pipelined(&server, &queries, count)
        });
    }
    for _ in 0..3 {
        report(&server, "TCP, one query a connection", CONNECTIONS, |count| {
            one_a_connection(&server, &queries, count)
        });
    }
}

/// Prints what the queries of a run have cost; the run returns how many were
/// answered.
fn report(server: &Server, name: &str, count: usize, run: impl FnOnce(usize) -> usize) {
    let (start, before) = (Instant::now(), server.cpu_time());
    let answered = run(count);
    let (passed, after) = (start.elapsed(), server.cpu_time());
    let micros = |ticks: u64| ticks as f64 * 1e4 / answered as f64;
    println!(
        "{name}: {:.2} us/query (user {:.2}, system {:.2}); {answered} of {count} answered, \
         {:.0} a second",
        micros(after.0 + after.1 - before.0 - before.1),
        micros(after.0 - before.0),
        micros(after.1 - before.1),
        answered as f64 / passed.as_secs_f64()
    );
}

//----------- The loads ------------------------------------------------------

fn udp(server: &Server, queries: &[Vec<u8>], count: usize) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut out = [0; 4096];
    let mut answered = 0;
    let mut window = 0;
    let mut next = queries.iter().cycle();
    for _ in 0..count {
        socket.send(next.next().unwrap()).unwrap();
        window += 1;
        // Half of the window at a time, so that the server is never idle.
        if window == WINDOW {
            for _ in 0..WINDOW / 2 {
                answered += usize::from(socket.recv(&mut out).is_ok());
            }
            window -= WINDOW / 2;
        }
    }
    for _ in 0..window {
        answered += usize::from(socket.recv(&mut out).is_ok());
    }
    answered
}

fn pipelined(server: &Server, queries: &[Vec<u8>], count: usize) -> usize {
    const DEPTH: usize = 10;
    let mut streams: Vec<_> =
        (0..20).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let mut next = queries.iter().cycle();
    let mut out = vec![0; 65535];
    let mut answered = 0;
    while answered < count {
        for stream in &mut streams {
            let batch: Vec<u8> = (0..DEPTH).flat_map(|_| framed(next.next().unwrap())).collect();
            stream.write_all(&batch).unwrap();
        }
        for stream in &mut streams {
            let mut filled = 0;
            let mut complete = 0;
            let mut at = 0;
            while complete < DEPTH {
                filled += stream.read(&mut out[filled..]).unwrap();
                while filled >= at + 2 {
                    let end = at + 2 + usize::from(u16::from_be_bytes([out[at], out[at + 1]]));
                    if filled < end {
                        break;
                    }
                    (at, complete) = (end, complete + 1);
                }
            }
            answered += complete;
        }
    }
    answered
}

fn one_a_connection(server: &Server, queries: &[Vec<u8>], count: usize) -> usize {
    let mut len = [0; 2];
    let mut out = vec![0; 65535];
    for query in queries.iter().cycle().take(count) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&framed(query)).unwrap();
        stream.read_exact(&mut len).unwrap();
        stream.read_exact(&mut out[..u16::from_be_bytes(len).into()]).unwrap();
    }
    count
}

fn framed(query: &[u8]) -> Vec<u8> {
    [&(query.len() as u16).to_be_bytes()[..], query].concat()
}

/// Returns a hundred queries: 70 for steered SRV records, half of them with a
/// client subnet, 15 for addresses of targets, 10 for others, 5 for names that
/// do not exist.
fn queries() -> Vec<Vec<u8>> {
    (0..100u8)
        .map(|number| {
            let subnet = [3 + number % 90, 5, number];
            match number * 7 % 100 {
                0..35 => query("_sip._tcp.carrier.example.com", 33, None),
                35..70 => query("_sip._tcp.carrier.example.com", 33, Some(subnet)),
                70..85 => query("sbc1.us-east.carrier.example.com", 1, None),
                85..95 => query("carrier.example.com", 35, None),
                _ => query(&format!("x{number}.carrier.example.com"), 1, None),
            }
        })
        .collect()
}

fn query(name: &str, rtype: u16, subnet: Option<[u8; 3]>) -> Vec<u8> {
    let mut octets = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.bytes());
    }
    octets.push(0);
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    // OPT, 1232 octets; the subnet is a /24.
    octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, if subnet.is_some() { 11 } else { 0 }]);
    if let Some(subnet) = subnet {
        octets.extend([0, 8, 0, 7, 0, 1, 24, 0]);
        octets.extend(subnet);
    }
    octets
}

//----------- Server ---------------------------------------------------------

/// The server under load; it is stopped when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts it with keys of `[server]`, and with more tables.
    fn start(keys: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = folder.path().join("trunkdns.toml");
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{keys}\n[geoip]\n\
             databases = [\"{0}/geoip/country.mmdb\"]\nregions = \"{0}/geoip/regions.toml\"\n\
             [zones]\ndirectory = \"{0}/zones\"\n{tables}",
            project.display()
        );
        std::fs::write(&config, text).unwrap();
        let path = std::env::var_os("TRUNKDNS_SERVER");
        let path = path.unwrap_or_else(|| env!("CARGO_BIN_EXE_trunkdns").into());
        let mut command = Command::new(&path);
        if std::env::var_os("TRUNKDNS_PIN").is_some() {
            let own = std::process::id().to_string();
            let pinned = Command::new("taskset").args(["-a", "-p", "-c", "1", &own]).output();
            assert!(pinned.unwrap().status.success(), "taskset");
            command = Command::new("taskset");
            command.args(["-c", "0"]).arg(&path);
        }
        command.arg("--config").arg(&config).arg("serve").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        Server { child, address, folder }
    }

    /// Returns the processor time that the threads have used whose names begin
    /// so, in nanoseconds.
    fn time_of(&self, name: &str) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let threads = threads.map(|thread| thread.unwrap().path());
        let read = |path: &Path, file: &str| std::fs::read_to_string(path.join(file)).unwrap();
        let named = threads.filter(|path| read(path, "comm").starts_with(name));
        let time = |path: std::path::PathBuf| -> u64 {
            read(&path, "schedstat").split_whitespace().next().unwrap().parse().unwrap()
        };
        named.map(time).sum()
    }

    /// Returns the sum of a counter over all transports.
    fn counted(&self, name: &str) -> u64 {
        let config = self.folder.path().join("trunkdns.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkdns"));
        let output = command.arg("-c").arg(config).args(["status", "--json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let counters = status["counters"].as_array().unwrap().iter();
        let named = counters.filter(|count| count["name"] == name);
        named.map(|count| count["value"].as_u64().unwrap()).sum()
    }

    /// Returns the processor time that the server has used, user and system,
    /// in hundredths of a second.
    fn cpu_time(&self) -> (u64, u64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, in parentheses, fields are counted from the third.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse().unwrap(), fields[12].parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
