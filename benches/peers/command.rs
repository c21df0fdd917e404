//! The command line, and the order of what is measured.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;

use super::echo;
use super::generator::Generator;
use super::instructions;
use super::measure::{DRIVES, Loads, Sample, unsteadiness};
use super::report::{Report, Row, machine, replace};
use super::servers::{Kind, Server};
use super::soak;
use super::world::World;

/// Where servers answer: the first port. Nothing outside of the namespace can
/// be reached, so any will do.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 53), 5300);

/// trunkdns beside its peers: what a query costs each.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench peers --", disable_version_flag = true)]
struct Options {
    /// Measure for 25 minutes rather than 8.
    #[arg(long)]
    full: bool,

    /// How often everything is measured; the median counts.
    #[arg(long)]
    rounds: Option<usize>,

    /// For how long each load lasts, in milliseconds.
    #[arg(long)]
    time: Option<u64>,

    /// Only servers whose name begins so, ignoring case; separated by commas.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,

    /// Only loads whose name begins so.
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,

    /// Another build of trunkdns, beside this one.
    #[arg(long, value_name = "NAME=PATH")]
    build: Vec<String>,

    /// Install the Debian packages of the peers before.
    #[arg(long)]
    install: bool,

    /// Instead: 24 million queries to trunkdns alone while its zone changes 500
    /// times.
    #[arg(long)]
    soak: bool,

    /// Instead: count the instructions of each server with callgrind, which
    /// takes 10 minutes; of three loads unless others are named.
    #[arg(long)]
    instructions: bool,

    /// With `--soak`: one part in so many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=50))]
    part: u64,

    /// Write the tables into a Markdown file, between the lines
    /// `<!-- peers: begin -->` and `<!-- peers: end -->`, or `soak`, or
    /// `instructions`.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// This is the process inside of the namespace.
    #[arg(long, hide = true)]
    inside: bool,

    /// Be the echo.
    #[arg(long, hide = true)]
    echo: Option<SocketAddrV4>,

    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs it.
pub fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(address) = options.echo {
        echo::run(address);
    }
    let done = match options.inside {
        true => measure(&options),
        false => enter(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("peers: {why}");
            ExitCode::FAILURE
        }
    }
}

//----------- Namespace ------------------------------------------------------

/// Has this program run again, in namespaces of its own: of networks, in which
/// every address is local, and of processes, so that no server outlives it.
fn enter(options: &Options) -> Result<(), String> {
    if options.install {
        install()?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err("it needs two processors: one for the server, one for the generator".into());
    }
    // BIND listens on addresses of interfaces only.
    const SCRIPT: &str = "ip link set lo up && ip address add 192.0.2.53/32 dev lo || exit 1
        ip route add local 0.0.0.0/0 dev lo || exit 1
        taskset -c 1 \"$0\" --inside \"$@\"
        exit $?";
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT]);
    command.arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            Err("the run failed, or no namespaces are to be had (unshare, ip, taskset)".into())
        }
        Err(error) => Err(format!("cannot run unshare: {error}")),
    }
}

/// Installs the packages of all peers. On a host with an init system that
/// starts their services, stop those: they are not used.
fn install() -> Result<(), String> {
    let mut packages = vec!["iproute2", "util-linux"];
    packages.extend(Kind::peers().iter().flat_map(|(_, kind)| kind.packages()));
    let mut command = Command::new("apt-get");
    command.args(["install", "-q", "-y", "--no-install-recommends"]).args(packages);
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").status();
    match status.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err("apt-get could not install the packages".into()),
    }
}

//----------- Run ------------------------------------------------------------

fn measure(options: &Options) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let world = World::new();
    let database = folder.path().join("country.mmdb");
    world.write_database(&database);
    let mut servers = servers(options, folder.path())?;
    if options.soak {
        let server = servers.iter_mut().find(|server| matches!(server.kind, Kind::Trunkdns(_)));
        let server = server.ok_or("it soaks trunkdns, which --servers does not name")?;
        server.write(&world, &database);
        server.start(&world, Some(0))?;
        return show(options, "soak", &soak::run(server, &world, &database, options.part)?);
    }
    let drives: Vec<_> =
        (0..DRIVES.len()).filter(|at| is_named(&options.loads, DRIVES[*at].name)).collect();
    if options.instructions {
        let drives = instructions::drives(&drives, !options.loads.is_empty());
        let table = instructions::run(&mut servers, &world, &database, &drives)?;
        return show(options, "instructions", &table);
    }
    let mut run = Run {
        loads: Loads::new(&world),
        generator: Generator::new(),
        report: Report::new(servers.iter().map(Row::new).collect()),
        world: &world,
        database: &database,
        servers,
        time: Duration::from_millis(options.time.unwrap_or(if options.full { 1500 } else { 1000 })),
        drives,
    };
    let rounds = options.rounds.unwrap_or(if options.full { 7 } else { 3 });
    let start = Instant::now();
    for round in 0..rounds {
        run.round()?;
        eprintln!("round {} of {rounds}, {:.0} s", round + 1, start.elapsed().as_secs_f64());
    }
    show(options, "peers", &run.report.render(rounds, run.time))
}

/// Prints tables, and writes them where that is wanted.
fn show(options: &Options, mark: &str, text: &str) -> Result<(), String> {
    let text = format!("{}\n\n{text}", machine());
    println!("{text}");
    match &options.write {
        Some(path) => replace(path, mark, &text),
        None => Ok(()),
    }
}

/// Returns the servers that are asked for and installed; names the others.
fn servers(options: &Options, folder: &Path) -> Result<Vec<Server>, String> {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_trunkdns"));
    let mut kinds =
        vec![("echo".to_owned(), Kind::Echo), ("trunkdns".to_owned(), Kind::Trunkdns(own))];
    for build in &options.build {
        let (name, path) = build.split_once('=').ok_or("--build wants NAME=PATH")?;
        kinds.push((format!("trunkdns {name}"), Kind::Trunkdns(path.into())));
    }
    kinds.extend(Kind::peers().map(|(name, kind)| (name.to_owned(), kind)));
    let mut servers = Vec::new();
    for (at, (name, kind)) in kinds.into_iter().enumerate() {
        let address = SocketAddrV4::new(ADDRESS.0, ADDRESS.1 + at as u16);
        let server = Server::new(&name, kind, folder.join(at.to_string()), address);
        if !is_named(&options.servers, &name) {
            continue;
        }
        match server.is_installed() {
            true => servers.push(server),
            false => eprintln!(
                "{name} is left out: it is not installed (Debian: {})",
                server.kind.packages().join(", ")
            ),
        }
    }
    Ok(servers)
}

fn is_named(names: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    names.is_empty() || names.iter().any(|begin| name.starts_with(&begin.to_lowercase()))
}

struct Run<'w> {
    world: &'w World,
    database: &'w Path,
    loads: Loads<'w>,
    servers: Vec<Server>,
    drives: Vec<usize>,
    generator: Generator,
    time: Duration,
    report: Report,
}

impl Run<'_> {
    /// Starts every server, puts every load on each in turn, has it take in a
    /// change, and stops it.
    fn round(&mut self) -> Result<(), String> {
        for (at, server) in self.servers.iter_mut().enumerate() {
            server.write(self.world, self.database);
            let time = server.start(self.world, Some(0));
            let time = time.map_err(|why| format!("{}: {why}", server.name))?;
            self.report.rows[at].start.push(time);
            server.pause(true);
        }
        for drive in self.drives.clone() {
            for at in 0..self.servers.len() {
                let sample = self.sample(at, drive)?;
                self.report.rows[at].samples[drive].extend(sample);
            }
        }
        for (at, server) in self.servers.iter_mut().enumerate() {
            server.pause(false);
            if server.kind != Kind::Echo {
                let row = &mut self.report.rows[at];
                row.memory.push(server.memory());
                let share = unsteadiness(server, self.world);
                row.unsteadiness = share.map_err(|why| format!("{}: {why}", server.name))?;
                let time = server.reload(self.world, self.database);
                row.reload.push(time.map_err(|why| format!("{}: {why}", server.name))?);
            }
            server.stop();
        }
        Ok(())
    }

    fn sample(&mut self, at: usize, drive: usize) -> Result<Option<Sample>, String> {
        let server = &mut self.servers[at];
        if server.kind == Kind::Echo && !DRIVES[drive].is_udp() {
            return Ok(None);
        }
        server.pause(false);
        let sample = self.loads.measure(&mut self.generator, server, drive, self.time);
        let ending = server.ending();
        let has_ended = ending.is_some();
        let about = |why| format!("{}, {}: {why}", server.name, DRIVES[drive].name);
        match ending.map_or(sample, Err).map_err(about) {
            Ok(sample) => {
                server.pause(true);
                return Ok(Some(sample));
            }
            Err(why) if matches!(server.kind, Kind::Trunkdns(_)) => return Err(why),
            // What a peer does not stand is missing from the tables.
            Err(why) => eprintln!("peers: {why}"),
        }
        if has_ended {
            server.start(self.world, Some(0))?;
        }
        server.pause(true);
        Ok(None)
    }
}
