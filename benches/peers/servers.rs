//! The servers: what each is told, and how it is started, changed and stopped.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::check::check;
use super::world::{self, Asked, Question, REGIONS, SERVICE, Steering, World, ZONE};

/// How long a server may take to start or to change, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

//----------- Kind -----------------------------------------------------------

/// What a server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// No server: sends back so many octets for anything.
    Echo,

    /// trunkdns: the program.
    Trunkdns(PathBuf),

    /// gdnsd, whose plugin geoip steers by aliases.
    Gdnsd,

    /// Knot with a static zone.
    Knot,

    /// Knot with its module geoip.
    KnotGeoip,

    /// NSD, which steers nothing.
    Nsd,

    /// BIND with a view a region.
    Bind,

    /// PowerDNS with its geoip backend.
    Pdns,
}

impl Kind {
    /// Returns every server but the echo and trunkdns, by name.
    pub fn peers() -> [(&'static str, Kind); 6] {
        [
            ("gdnsd", Kind::Gdnsd),
            ("Knot static", Kind::Knot),
            ("NSD static", Kind::Nsd),
            ("Knot geoip", Kind::KnotGeoip),
            ("BIND views", Kind::Bind),
            ("PowerDNS geoip", Kind::Pdns),
        ]
    }

    /// Returns the Debian packages that it needs.
    pub fn packages(&self) -> &'static [&'static str] {
        match self {
            Kind::Echo | Kind::Trunkdns(_) => &[],
            Kind::Gdnsd => &["gdnsd"],
            Kind::Knot => &["knot"],
            Kind::KnotGeoip => &["knot", "knot-module-geoip"],
            Kind::Nsd => &["nsd"],
            Kind::Bind => &["bind9"],
            Kind::Pdns => &["pdns-server", "pdns-backend-geoip"],
        }
    }

    /// Returns what it makes of the steered name.
    pub fn steering(&self) -> Steering {
        match self {
            Kind::Trunkdns(_) | Kind::KnotGeoip | Kind::Pdns => Steering::Services,
            Kind::Bind => Steering::AddressOnly,
            Kind::Gdnsd => Steering::Alias,
            Kind::Knot | Kind::Nsd | Kind::Echo => Steering::None,
        }
    }

    /// Returns the command that runs it in the foreground.
    fn start(&self, folder: &Path, address: SocketAddrV4) -> (PathBuf, String) {
        let at = folder.display();
        let (program, arguments) = match self {
            Kind::Echo => (std::env::current_exe().unwrap(), format!("--echo {address}")),
            Kind::Trunkdns(program) => {
                (program.clone(), format!("--config {at}/trunkdns.toml serve"))
            }
            Kind::Gdnsd => ("gdnsd".into(), format!("-c {at} start")),
            Kind::Knot | Kind::KnotGeoip => ("knotd".into(), format!("-c {at}/knot.conf")),
            Kind::Nsd => ("nsd".into(), format!("-d -c {at}/nsd.conf")),
            Kind::Bind => ("named".into(), format!("-g -n 1 -c {at}/named.conf")),
            Kind::Pdns => ("pdns_server".into(), format!("--config-dir={at} --daemon=no")),
        };
        (program, arguments)
    }

    /// Returns the command that has it take in its files.
    fn reload(&self, folder: &Path) -> Option<(PathBuf, String)> {
        let at = folder.display();
        let (program, arguments) = match self {
            Kind::Echo => return None,
            Kind::Trunkdns(program) => {
                (program.clone(), format!("--config {at}/trunkdns.toml reload"))
            }
            Kind::Gdnsd => ("gdnsdctl".into(), format!("-c {at} reload-zones")),
            Kind::Knot => ("knotc".into(), format!("-s {at}/knot.sock zone-reload {ZONE}")),
            Kind::KnotGeoip => ("knotc".into(), format!("-s {at}/knot.sock reload")),
            Kind::Nsd => ("nsd-control".into(), format!("-c {at}/nsd.conf reload {ZONE}")),
            Kind::Bind => ("rndc".into(), format!("-c {at}/rndc.conf reload")),
            Kind::Pdns => {
                ("pdns_control".into(), format!("--config-dir={at} --socket-dir={at} rediscover"))
            }
        };
        Some((program, arguments))
    }
}

//----------- Server ---------------------------------------------------------

/// A server with its files.
pub struct Server {
    /// The name in tables.
    pub name: String,

    /// What it is.
    pub kind: Kind,

    /// Where it answers.
    pub address: SocketAddrV4,

    folder: PathBuf,

    /// The program, with arguments, that it is run by, if any.
    runner: Vec<String>,
    child: Option<Child>,
    version: u16,
}

impl Server {
    /// Writes the files of a server that is to answer at an address.
    pub fn new(name: &str, kind: Kind, folder: PathBuf, address: SocketAddrV4) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let name = name.to_owned();
        Server { name, kind, address, folder, runner: Vec::new(), child: None, version: 0 }
    }

    /// Says whether its program is installed.
    pub fn is_installed(&self) -> bool {
        let (program, _) = self.kind.start(&self.folder, self.address);
        let module = match self.kind {
            Kind::KnotGeoip => Some("geoip.so"),
            Kind::Pdns => Some("libgeoipbackend.so"),
            _ => None,
        };
        found(&program).is_some() && module.is_none_or(has_module)
    }

    /// Writes its files, in the version that is served next.
    pub fn write(&self, world: &World, database: &Path) {
        let (at, address, version) = (&self.folder, self.address, self.version);
        match &self.kind {
            Kind::Echo => {}
            Kind::Trunkdns(_) => write_trunkdns(at, address, world, version),
            Kind::Gdnsd => write_gdnsd(at, address, database, world, version),
            Kind::Knot => write_knot(at, address, version, None),
            Kind::KnotGeoip => write_knot(at, address, version, Some((world, database))),
            Kind::Nsd => write_nsd(at, address, version),
            Kind::Bind => write_bind(at, address, database, world, version),
            Kind::Pdns => write_pdns(at, address, database, world, version),
        }
    }

    /// Starts it, on one core where `core` names one; returns how long it takes
    /// until the first right answer.
    pub fn start(&mut self, world: &World, core: Option<usize>) -> Result<Duration, String> {
        let (program, arguments) = self.kind.start(&self.folder, self.address);
        let program = found(&program).ok_or("it is not installed")?;
        let core = core.map(|core| ["taskset", "-c", &core.to_string()].map(str::to_owned));
        let runner = core.into_iter().flatten().chain(self.runner.iter().cloned());
        let mut line: Vec<_> = runner.map(OsString::from).collect();
        line.push(program.into());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        let log = fs::File::create(self.folder.join("log")).unwrap();
        command.args(arguments.split(' ')).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let start = Instant::now();
        self.child = Some(command.spawn().map_err(|error| error.to_string())?);
        self.wait(world, start)
    }

    /// Has it run by callgrind from now on, which counts its instructions into
    /// files of that name.
    pub fn run_by_callgrind(&mut self, out: &Path) {
        let out = format!("--callgrind-out-file={}", out.display());
        self.runner = ["valgrind", "--tool=callgrind", &out].map(str::to_owned).into();
    }

    /// Has it take in the next version of the zone; returns how long it takes
    /// until the first new answer.
    pub fn reload(&mut self, world: &World, database: &Path) -> Result<Duration, String> {
        let mut command = self.next(world, database)?;
        let start = Instant::now();
        let child = command.spawn().map_err(|error| error.to_string())?;
        let time = self.wait(world, start);
        finish(child)?;
        time
    }

    /// Has it take in the next version of the zone.
    pub fn change(&mut self, world: &World, database: &Path) -> Result<(), String> {
        let child = self.next(world, database)?.spawn();
        finish(child.map_err(|error| error.to_string())?)
    }

    /// Writes the next version of the zone; returns the command that has it
    /// taken in.
    fn next(&mut self, world: &World, database: &Path) -> Result<Command, String> {
        self.version += 1;
        self.write(world, database);
        let (program, arguments) = self.kind.reload(&self.folder).ok_or("it has no zone")?;
        let program = found(&program).ok_or("its control program is not installed")?;
        let mut command = Command::new(program);
        command.args(arguments.split(' ')).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Returns the version of the zone that it serves.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Waits for an answer of the current version to a client of the first
    /// region.
    fn wait(&self, world: &World, start: Instant) -> Result<Duration, String> {
        // Of a region's own name where the steered one does not tell.
        let steered = (world::query(SERVICE, 33, false, None), Asked::Steered);
        let name = format!("_sip._tcp.{}.{ZONE}", REGIONS[0].0);
        let own = (world::query(&name, 33, false, None), Asked::Region(0));
        let asked = if self.kind == Kind::Gdnsd { own } else { steered };
        let question = Question { octets: asked.0, asked: asked.1, placed: None, number_at: None };
        let versions = self.version..=self.version;
        let expected = self.kind.steering().expected(&question, 0, versions);
        let client = world.clients.iter().find(|(_, region)| *region == 0);
        let (client, _) = client.expect("every region has clients");
        let socket = UdpSocket::bind((*client, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut answer = [0; 1400];
        while start.elapsed() < PATIENCE {
            let _ = socket.send_to(&question.octets, self.address);
            let Ok((len, _)) = socket.recv_from(&mut answer) else { continue };
            let answer = &answer[..len];
            if self.kind == Kind::Echo || check(answer, &question.octets, &expected).is_ok() {
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("no right answer within {PATIENCE:?}; its log:\n{log}"))
    }

    /// Says how it has ended, if it has, with the end of its log.
    pub fn ending(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        Some(format!("it has ended ({status}); the end of its log:\n{last}"))
    }

    /// Stops it from running, or lets it run on.
    pub fn pause(&self, is_paused: bool) {
        self.signal(if is_paused { Signal::STOP } else { Signal::CONT });
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let Some(mut child) = self.child.take() else { return };
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill_process_group(Pid::from_child(child), signal);
        }
    }

    /// Returns what `trunkdns status --json` says.
    pub fn status(&self) -> Option<serde_json::Value> {
        let Kind::Trunkdns(program) = &self.kind else { return None };
        let mut command = Command::new(program);
        command.arg("--config").arg(self.folder.join("trunkdns.toml")).args(["status", "--json"]);
        let output = command.output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Returns what its threads have used of the processor.
    pub fn cpu_time(&self) -> CpuTime {
        let mut sum = CpuTime::default();
        for id in self.processes() {
            let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let time = text.split(' ').next().and_then(|time| time.parse::<u64>().ok());
                sum.nanoseconds += time.unwrap_or(0);
            }
            let Some(fields) = stat(id) else { continue };
            // Fields 14 and 15 of proc_pid_stat(5); these begin with the third.
            let number = |at: usize| fields[at].parse::<u64>().unwrap_or(0);
            sum.ticks = (sum.ticks.0 + number(11), sum.ticks.1 + number(12));
        }
        sum
    }

    /// Returns the memory of its processes that they have, shared ones by
    /// share, in KiB.
    pub fn memory(&self) -> u64 {
        let of = |id: u32| {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes().filter_map(of).sum()
    }

    /// Returns the IDs of its processes.
    fn processes(&self) -> impl Iterator<Item = u32> {
        let own = self.child.as_ref().map_or(0, Child::id).to_string();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(move |id| stat(*id).is_some_and(|fields| fields[2] == own))
    }
}

/// What threads have used of the processor. The sum is exact; the parts are
/// sampled by the clock's ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    nanoseconds: u64,
    ticks: (u64, u64),
}

impl CpuTime {
    /// Returns user and system time since another, in microseconds.
    pub fn since(self, before: Self) -> (f64, f64) {
        let micros = (self.nanoseconds - before.nanoseconds) as f64 / 1e3;
        let user = (self.ticks.0 - before.ticks.0) as f64;
        let system = (self.ticks.1 - before.ticks.1) as f64;
        let share = user / (user + system).max(1.0);
        (micros * share, micros * (1.0 - share))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for a command to end well.
fn finish(child: Child) -> Result<(), String> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("its control program: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, in parentheses, which may hold anything.
    let fields: Vec<_> = text.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect();
    (fields.len() > 12).then_some(fields)
}

/// Returns how many datagrams did not fit into the buffers of a port.
pub fn port_drops(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/self/net/udp").unwrap_or_default();
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        (local == port).then(|| fields.last()?.parse::<u64>().ok())?
    };
    table.lines().filter_map(of).sum()
}

fn found(program: &Path) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn has_module(name: &str) -> bool {
    let folders = ["knot/modules-3.2", "pdns"].map(|folder| {
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
            .map(|root| Path::new(root).join(folder).join(name))
    });
    folders.iter().flatten().any(|path| path.is_file())
}

//----------- Files ----------------------------------------------------------

fn write_trunkdns(at: &Path, address: SocketAddrV4, world: &World, version: u16) {
    let file = |path: String, text: String| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let database = concat!("\"", env!("CARGO_MANIFEST_DIR"), "/geoip/country.mmdb\"");
    let databases = if world.has_database { database } else { "" };
    file(
        "trunkdns.toml".into(),
        format!(
            "[server]\nlisten = [\"{address}\"]\nworkers = 1\nwatch = false\n[geoip]\n\
             databases = [{databases}]\nregions = \"regions.toml\"\n\
             [handover]\nmode = \"immediate\"\nmost-moved = 100\n"
        ),
    );
    let mut regions = format!("default = \"{}\"\n", REGIONS[0].0);
    for (region, (name, ..)) in REGIONS.iter().enumerate() {
        let codes = world.countries.iter().filter(|(_, (_, found))| *found == region);
        let codes: Vec<_> = codes.map(|(code, _)| String::from_utf8_lossy(code)).collect();
        let network = 11 + region;
        writeln!(
            regions,
            "[regions.{name}]\nnetworks = [\"127.0.{network}.0/24\"]\ncountries = {codes:?}"
        )
        .unwrap();
    }
    file("regions.toml".into(), regions);
    let mut hosts = String::new();
    let mut priorities = String::new();
    for (region, (name, ..)) in REGIONS.iter().enumerate() {
        writeln!(priorities, "[\"_sip._tcp\".{name}]").unwrap();
        let port = world::port(region, version);
        for (tier, label) in [(1, "primary"), (2, "secondary"), (3, "tertiary")] {
            let address = world::address(region, tier);
            writeln!(hosts, "\"sbc{tier}.{name}\" = [\"{address}\"]").unwrap();
            writeln!(priorities, "{label} = [{{ target = \"sbc{tier}.{name}\", port = {port} }}]")
                .unwrap();
        }
    }
    file(
        format!("zones/{ZONE}/zone.toml"),
        format!(
            "[soa]\nprimary = \"ns1\"\ncontact = \"hostmaster\"\n[ns]\nhosts = [\"ns1\"]\n\
             [hosts]\nns1 = [\"192.0.2.53\"]\n{hosts}\
             [services.\"_sip._tcp\"]\nport = 5060\nttl = 60\n\
             [services.\"_sip._tcp\".tiers]\nprimary = {{ priority = 10, ttl = 60 }}\n\
             secondary = {{ priority = 20, ttl = 45 }}\ntertiary = {{ priority = 30, ttl = 30 }}\n\
             [naptr]\norder = [\"_sip._tcp\"]\n"
        ),
    );
    file(format!("zones/{ZONE}/priorities.toml"), priorities);
    file(
        format!("zones/{ZONE}/records.zone"),
        "$TTL 3600\n@ TXT \"v=spf1 mx -all\"\n@ MX 10 ns1\n".into(),
    );
}

fn write_gdnsd(at: &Path, address: SocketAddrV4, database: &Path, world: &World, version: u16) {
    let names = REGIONS.map(|(name, ..)| name);
    let aliases = names.map(|name| format!("{name} => _sip._tcp.{name}.example.net."));
    let mut continents = std::collections::BTreeMap::<_, String>::new();
    for (code, (continent, region)) in &world.countries {
        let code = String::from_utf8_lossy(code);
        let text = continents.entry(String::from_utf8_lossy(continent)).or_default();
        write!(text, " {code} => [{}],", names[*region]).unwrap();
    }
    let map: String =
        continents.iter().map(|(name, text)| format!("{name} => {{{text} }}\n")).collect();
    let config = format!(
        "options => {{ listen => [{address}], udp_threads => 1, tcp_threads => 1, \
         lock_mem => false,\n\
         run_dir => {0}/run, state_dir => {0}/state }}\n\
         plugins => {{ geoip => {{\n\
         maps => {{ world => {{ geoip2_db => {1}, datacenters => [{2}], map => {{\n{map}}} }} }}\n\
         resources => {{ sip => {{ map => world, dcmap => {{ {3} }} }} }} }} }}\n",
        at.display(),
        database.display(),
        names.join(", "),
        aliases.join(", ")
    );
    for folder in ["run", "state", "zones"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    fs::write(at.join("config"), config).unwrap();
    let zone = world::master(version, Err("DYNC geoip!sip"));
    fs::write(at.join("zones").join(ZONE), zone).unwrap();
}

fn write_knot(at: &Path, address: SocketAddrV4, version: u16, geoip: Option<(&World, &Path)>) {
    let folder = at.display();
    let listen = format!("{}@{}", address.ip(), address.port());
    let mut config = format!(
        "server:\n  rundir: \"{folder}\"\n  listen: {listen}\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  edns-client-subnet: on\n\
         database:\n  storage: \"{folder}/db\"\n\
         log:\n  - target: stderr\n    any: warning\n\
         template:\n  - id: default\n    journal-content: none\n    zonefile-sync: -1\n"
    );
    if let Some((world, database)) = geoip {
        write!(
            config,
            "mod-geoip:\n  - id: geo\n    config-file: \"{folder}/geo.conf\"\n    ttl: 60\n    \
             mode: geodb\n    geodb-file: \"{}\"\n    geodb-key: [ country/iso_code ]\n",
            database.display()
        )
        .unwrap();
        let mut rules = format!("{SERVICE}:\n");
        for (code, (_, region)) in &world.countries {
            writeln!(rules, "  - geo: \"{}\"", String::from_utf8_lossy(code)).unwrap();
            for data in world::services(*region, version) {
                writeln!(rules, "    SRV: \"{data}\"").unwrap();
            }
        }
        fs::write(at.join("geo.conf"), rules).unwrap();
    }
    write!(config, "zone:\n  - domain: {ZONE}\n    file: \"{folder}/zone\"\n").unwrap();
    if geoip.is_some() {
        config += "    module: mod-geoip/geo\n";
    }
    fs::write(at.join("knot.conf"), config).unwrap();
    fs::write(at.join("zone"), world::master(version, Ok(0))).unwrap();
}

fn write_nsd(at: &Path, address: SocketAddrV4, version: u16) {
    let (folder, port) = (at.display(), address.port());
    let config = format!(
        "server:\n  ip-address: {}@{port}\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{folder}\"\n  pidfile: \"\"\n  database: \"\"\n  \
         zonelistfile: \"{folder}/nsd.list\"\n  xfrdfile: \"{folder}/nsd.xfrd\"\n  \
         xfrdir: \"{folder}\"\n  server-count: 1\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{folder}/nsd.sock\"\n\
         zone:\n  name: {ZONE}\n  zonefile: zone\n",
        address.ip()
    );
    fs::write(at.join("nsd.conf"), config).unwrap();
    fs::write(at.join("zone"), world::master(version, Ok(0))).unwrap();
}

fn write_bind(at: &Path, address: SocketAddrV4, database: &Path, world: &World, version: u16) {
    let (folder, port) = (at.display(), address.port());
    let key = "key rndc { algorithm hmac-sha256; secret \"dHJ1bmtkbnMgYmVuY2htYXJr\"; };\n";
    let control = port + 1000;
    let ip = address.ip();
    // BIND finds its databases by name.
    let link = at.join("GeoLite2-Country.mmdb");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(database, link).unwrap();
    let mut config = format!(
        "{key}controls {{ inet {ip} port {control} allow {{ any; }} keys {{ rndc; }}; }};\n\
         options {{ directory \"{folder}\"; geoip-directory \"{folder}\"; pid-file none;\n\
         session-keyfile none; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }};\n\
         recursion no; dnssec-validation no; notify no; allow-query {{ any; }}; }};\n"
    );
    for (region, (name, ..)) in REGIONS.iter().enumerate().rev() {
        let codes = world.countries.iter().filter(|(_, (_, found))| *found == region);
        let mut clients: String = codes
            .map(|(code, _)| format!("geoip country {}; ", String::from_utf8_lossy(code)))
            .collect();
        if region == 0 {
            clients = "any;".into();
        }
        write!(
            config,
            "view \"{name}\" {{ match-clients {{ {clients} }};\n\
             zone \"{ZONE}\" {{ type primary; file \"zone.{name}\"; }}; }};\n"
        )
        .unwrap();
        fs::write(at.join(format!("zone.{name}")), world::master(version, Ok(region))).unwrap();
    }
    fs::write(at.join("named.conf"), config).unwrap();
    let rndc = format!(
        "{key}options {{ default-key rndc; default-server {ip}; default-port {control}; }};\n"
    );
    fs::write(at.join("rndc.conf"), rndc).unwrap();
}

fn write_pdns(at: &Path, address: SocketAddrV4, database: &Path, world: &World, version: u16) {
    let folder = at.display();
    // With several distributors it ends itself where more than
    // `max-queue-length` queries wait for one, as they do under overload. With
    // one, the thread that receives answers too. It takes 20 connections at
    // most, unless it is told otherwise.
    let config = format!(
        "launch=geoip\ngeoip-zones-file={folder}/zones.yaml\ngeoip-database-files=mmdb:{}\n\
         local-address={}\nlocal-port={}\nsocket-dir={folder}\n\
         module-dir=/usr/lib/x86_64-linux-gnu/pdns\n\
         edns-subnet-processing=yes\nreceiver-threads=1\ndistributor-threads=1\n\
         max-tcp-connections=100\nsecurity-poll-suffix=\nloglevel=3\n",
        database.display(),
        address.ip(),
        address.port()
    );
    fs::write(at.join("pdns.conf"), config).unwrap();
    let mut owners = std::collections::BTreeMap::<String, String>::new();
    for (owner, ttl, rtype, data) in world::records(version) {
        let data = data.replace('\\', "\\\\").replace('"', "\\\"");
        let rtype = rtype.to_lowercase();
        // Names in data have no dot at the end in PowerDNS's backends.
        writeln!(
            owners.entry(owner.trim_end_matches('.').to_owned()).or_default(),
            "      - {rtype}: {{ content: \"{data}\", ttl: {ttl} }}"
        )
        .unwrap();
    }
    let mut zones = format!("domains:\n- domain: {ZONE}\n  ttl: 60\n  records:\n");
    for (owner, records) in owners {
        write!(zones, "    {owner}:\n{records}").unwrap();
    }
    write!(
        zones,
        "  services:\n    {SERVICE}: [ '_sip._tcp.%mp.{ZONE}' ]\n\
         mapping_lookup_formats: ['%cc']\ncustom_mapping:\n"
    )
    .unwrap();
    for (code, (_, region)) in &world.countries {
        let code = String::from_utf8_lossy(code).to_lowercase();
        writeln!(zones, "  \"{code}\": {}", REGIONS[*region].0).unwrap();
    }
    fs::write(at.join("zones.yaml"), zones).unwrap();
}
