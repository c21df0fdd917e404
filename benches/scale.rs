//! Ten thousand steered zones: starts, reloads, memory.
//!
//! A configuration is written to a scratch folder, the release binary serves
//! it on loopback, and is started, asked, reloaded and restarted. Printed is
//! what each step took by the clock and of the processors, what the server
//! then holds in memory, and the slowest answer while 5,000 queries a second
//! went on. The clock depends on what else the machine does: that is why the
//! processor time stands beside it, and a quiet second before the reloads.
//!
//! ```text
//! cargo bench --bench scale
//! TRUNKDNS_ZONES=1000 TRUNKDNS_SERVER=/tmp/old/trunkdns cargo bench --bench scale
//! ```

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The regions that zones have rows for: the first eight of the ten in the
/// shipped region table.
const REGIONS: [&str; 8] = [
    "us-east",
    "us-west",
    "sa-east",
    "eu-west",
    "eu-central",
    "me-central",
    "af-south",
    "ap-northeast",
];

/// How many records a zone publishes.
const RECORDS: usize = 133;

/// How many queries a second go on in the background.
const RATE: u64 = 5_000;

fn main() {
    let zones = std::env::var("TRUNKDNS_ZONES").map_or(10_000, |text| text.parse().unwrap());
    let world = World::new(zones);
    println!("{zones} zones of {RECORDS} records each");

    let (mut server, took) = world.start();
    server.report("first start", took);
    server.stop();
    let (mut server, took) = world.start();
    server.report("restart", took);
    let before = server.cpu();
    let took = timed(|| server.ask_all(zones));
    server.report("every zone was asked", (took, server.cpu() - before));

    server.during("nothing", zones, || thread::sleep(Duration::from_secs(3)));
    server.during("reload, nothing changed", zones, || server.reload(&[]));
    world.change(zones / 2, 1);
    server.during("reload, one zone changed", zones, || server.reload(&[]));
    world.change(zones / 2, 2);
    let noticed = timed(|| server.wait_for_publication());
    println!("one zone changed, by the file watch: noticed and published after {noticed:.2?}");
    for zone in 0..zones {
        world.change(zone, 3);
    }
    server.during("reload, all zones changed", zones, || server.reload(&[]));
    // Until all handovers are over, and old versions are gone.
    thread::sleep(Duration::from_secs(10));
    server.report("after all handovers", Default::default());
    server.watch();
    server.stop();
    println!("state folder: {} MiB", world.state_size() >> 20);
    let (mut server, took) = world.start();
    server.report("restart", took);
    server.stop();
}

/// Returns how long something took.
fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

//----------- World ----------------------------------------------------------

/// The operator's files.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(zones: usize) -> Self {
        let world = World { folder: tempfile::tempdir().unwrap() };
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[geoip]\n\
             databases = [\"{0}/geoip/country.mmdb\"]\nregions = \"{0}/geoip/regions.toml\"\n\
             [handover]\nspread = \"2s\"\nlongest = \"2s\"\n",
            env!("CARGO_MANIFEST_DIR")
        );
        fs::write(world.config(), text).unwrap();
        for zone in 0..zones {
            fs::create_dir_all(world.zone(zone)).unwrap();
            fs::write(world.zone(zone).join("zone.toml"), zone_table(zone)).unwrap();
            world.change(zone, 0);
        }
        // What was written just now is read twice: see `state::Stamp`.
        thread::sleep(Duration::from_secs(3));
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("trunkdns.toml")
    }

    fn zone(&self, number: usize) -> PathBuf {
        self.folder.path().join("zones").join(zone_name(number))
    }

    /// Writes the priority table of a zone, which is another one for each
    /// edition.
    fn change(&self, zone: usize, edition: usize) {
        let mut text = String::new();
        for (at, region) in REGIONS.iter().enumerate() {
            let (next, third) = (REGIONS[(at + 1) % 8], REGIONS[(at + 2) % 8]);
            writeln!(
                text,
                "[\"_sip._tcp\".{region}]\nprimary = [\"sbc1.{region}\"]\nsecondary = [{{ target = \
                 \"sbc2.{region}\", port = {} }}]\ntertiary = [\"sbc1.{}\"]",
                5060 + edition,
                [next, third][edition % 2],
            )
            .unwrap();
        }
        writeln!(text, "[\"_sip._tcp\".default]\nprimary = [\"sbc1.us-east\"]").unwrap();
        fs::write(self.zone(zone).join("priorities.toml"), text).unwrap();
    }

    /// Starts the server; returns what that took by the clock and of the
    /// processors.
    fn start(&self) -> (Server, (Duration, Duration)) {
        let path = std::env::var_os("TRUNKDNS_SERVER");
        let path: PathBuf = path.unwrap_or_else(|| env!("CARGO_BIN_EXE_trunkdns").into()).into();
        let start = Instant::now();
        let mut command = Command::new(&path);
        command.arg("--config").arg(self.config()).arg("serve").stdout(Stdio::piped());
        // A line a zone, each time: twenty thousand.
        command.stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let took = start.elapsed();
        let address = ready.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        let server = Server { child, address, path, config: self.config() };
        let cpu = server.cpu();
        (server, (took, cpu))
    }

    fn state_size(&self) -> u64 {
        let entries = fs::read_dir(self.folder.path().join("state")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }
}

fn zone_name(number: usize) -> String {
    format!("c{number:05}.carrier.example")
}

fn zone_table(number: usize) -> String {
    let (high, low) = (number / 250, number % 250);
    let mut text = String::from(
        "[soa]\nprimary = \"ns1\"\ncontact = \"hostmaster\"\n[ns]\nhosts = [\"ns1\", \"ns2\"]\n\
         [hosts]\nns1 = [\"192.0.2.53\"]\nns2 = [\"192.0.2.54\"]\n",
    );
    for (at, region) in REGIONS.iter().enumerate() {
        for sbc in [1, 2] {
            let network = 100 + 2 * at + sbc;
            writeln!(text, "\"sbc{sbc}.{region}\" = [\"{network}.{high}.{low}.11\"]").unwrap();
        }
    }
    text.push_str(
        "[services.\"_sip._tcp\"]\nport = 5060\nttl = 60\n[services.\"_sip._tcp\".tiers]\n\
         primary = { priority = 10, ttl = 60 }\nsecondary = { priority = 20, ttl = 45 }\n\
         tertiary = { priority = 30, ttl = 30 }\n",
    );
    text
}

//----------- Server ---------------------------------------------------------

/// The server; it is stopped when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    path: PathBuf,
    config: PathBuf,
}

impl Server {
    /// Prints what something took by the clock and of the processors, and what
    /// the server holds in memory now.
    fn report(&self, what: &str, (took, cpu): (Duration, Duration)) {
        let (now, most) = (self.status("VmRSS"), self.status("VmHWM"));
        println!("{what}: {took:.2?}, of processors {cpu:.2?}; {now} MiB, at most {most} MiB");
    }

    /// Does something while queries go on; prints what it took, and how long
    /// answers did.
    fn during(&self, what: &str, zones: usize, act: impl FnOnce()) {
        let (load, cpu) = (Load::new(self.address, zones), self.cpu());
        let (took, delays) = load.run(act);
        self.report(what, (took, self.cpu() - cpu));
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
        println!(
            "    {} answers meanwhile, {} lost: median {:.2?}, 99.9 % within {:.2?}, all within \
             {:.2?}",
            delays.len(),
            load.sent.load(Ordering::Relaxed) - delays.len(),
            at(0.5),
            at(0.999),
            at(1.0),
        );
    }

    /// Asks for the SRV records of every zone, from every region.
    fn ask_all(&self, zones: usize) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut out = [0; 4096];
        for zone in 0..zones {
            for region in 1..=REGIONS.len() {
                socket.send(&query(zone, region, 0)).unwrap();
            }
            for _ in REGIONS {
                socket.recv(&mut out).unwrap();
            }
        }
    }

    fn reload(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.path);
        command.arg("--config").arg(&self.config).arg("reload").args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits for the next publication.
    fn wait_for_publication(&self) {
        let served = self.config.with_file_name("state").join("served");
        let before = fs::read(&served).unwrap();
        let start = Instant::now();
        while fs::read(&served).unwrap() == before && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Prints what the server takes when nothing is to be done.
    fn watch(&self) {
        const SPAN: u64 = 15;
        let before = self.cpu();
        thread::sleep(Duration::from_secs(SPAN));
        let share = (self.cpu() - before).as_secs_f64() / SPAN as f64;
        println!("idle, files are watched: {:.1} ms of processor time a second", share * 1e3);
    }

    /// Returns the processor time that the server has used.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, in parentheses, fields are counted from the third;
        // times are in hundredths of a second.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Returns a size from the server's status, in MiB.
    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//----------- Load -----------------------------------------------------------

/// Queries at a steady rate, and how long each answer took.
struct Load {
    socket: UdpSocket,
    zones: usize,
    start: Instant,

    /// When the query of each ID was sent, in nanoseconds since the start.
    times: Vec<AtomicU64>,
    sent: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    fn new(address: SocketAddr, zones: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let times = (0..1 << 16).map(|_| AtomicU64::new(0)).collect();
        let (sent, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Load { socket, zones, start: Instant::now(), times, sent, is_over }
    }

    /// Sends until something is done; returns how long that took, and the
    /// delays of answers in their order.
    fn run(&self, act: impl FnOnce()) -> (Duration, Vec<Duration>) {
        thread::scope(|scope| {
            scope.spawn(|| self.send());
            let receiver = scope.spawn(|| self.receive());
            thread::sleep(Duration::from_millis(200));
            let took = timed(act);
            thread::sleep(Duration::from_millis(300));
            self.is_over.store(true, Ordering::Relaxed);
            let mut delays = receiver.join().unwrap();
            delays.sort();
            (took, delays)
        })
    }

    fn send(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let due = self.now() * RATE / 1_000_000_000;
            // Arrears are dropped: else a pause of this process would count
            // as one of the server.
            let number = self.sent.load(Ordering::Relaxed) as u64;
            for number in number..due.min(number + 10) {
                let zone = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                let query =
                    query(zone as usize % self.zones, 1 + number as usize % 8, number as u16);
                self.times[usize::from(number as u16)].store(self.now(), Ordering::Relaxed);
                self.socket.send(&query).unwrap();
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn receive(&self) -> Vec<Duration> {
        let mut delays = Vec::new();
        let mut out = [0; 4096];
        loop {
            match self.socket.recv(&mut out) {
                Ok(_) => {
                    let id = usize::from(u16::from_be_bytes([out[0], out[1]]));
                    let sent = self.times[id].load(Ordering::Relaxed);
                    delays.push(Duration::from_nanos(self.now() - sent));
                }
                Err(_) if self.is_over.load(Ordering::Relaxed) => return delays,
                Err(_) => {}
            }
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// Returns a query for the SRV records of a zone, from a test network of a
/// region.
fn query(zone: usize, region: usize, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut octets = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in format!("_sip._tcp.{}", zone_name(zone)).split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.bytes());
    }
    octets.extend([0, 0, 33, 0, 1]);
    // OPT, 1232 octets, with a subnet of 28 bits.
    octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 12, 0, 8, 0, 8, 0, 1, 28, 0]);
    octets.extend([203, 0, 113, 16 * region as u8]);
    octets
}
