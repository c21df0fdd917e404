//! The running server: loading, publishing, sockets, signals, commands.
//!
//! ```text
//!  signals, control socket ──▶ Plane ── files ──▶ Publisher ──▶ state, Snapshot
//!                                └─ Watch, Clock      └──────▶ Board ──▶ status
//! ```
//!
//! A thread of its own, the control plane, makes one change after the other;
//! transports read the snapshot that it swaps in, and `status` what it posts
//! to the [`Board`](board::Board). Neither waits for it.

pub mod board;
pub mod control;
pub mod drain;
pub mod encryption;
pub mod explain;
pub mod guard;
pub mod handed_out;
mod http;
pub mod limits;
pub mod load;
mod metrics;
pub mod process;
pub mod publish;
pub mod status;

mod page;
mod plane;
mod publisher;
mod ready;
mod secret;
mod watch;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::board::Outcome;
use self::control::{Command, Control, Order, Reply};
use self::encryption::Encryption;
use self::limits::Limits;
use self::plane::{Drained, Job, Plane};
use self::process::Process;
use self::status::{Status, Surroundings};
use crate::clock;
use crate::config;
use crate::config::model::{Config, LogFile};
use crate::log::Journal;
use crate::privileges::notify::Notifier;
use crate::privileges::{self, Binder, sandbox};
use crate::snapshot::{Moment, Snapshot};
use crate::state::{self, Event, Kept};
use crate::transport::counters::Counters;
use crate::transport::{self, Certificates, Encrypted, Listener, Transports};
use crate::wire::Name;

pub use self::publisher::{Error as StartError, Publisher, Request, rollback};

/// Serves what a configuration file names until SIGTERM or SIGINT.
///
/// `ready` is called once, with a line for the operator, when every address
/// answers. No other thread may be there yet: privileges are given up first,
/// and what comes later is never had by threads that are started then.
pub fn serve(path: &Path, ready: impl FnOnce(String)) -> Result<(), Error> {
    let notifier = Notifier::from_environment();
    let binder = privileges::step_down(&config::read_places(path)).map_err(Error::Privileges)?;
    // Signals, commands and the wiring stay on this thread; the transports get
    // a runtime of their own once the sandbox is entered.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(run(path.to_owned(), binder, |line: String| {
        notifier.ready(&line);
        ready(line);
    }));
    notifier.stopping();
    // What is still being read when the server is stopped leads nowhere.
    runtime.shutdown_background();
    result
}

async fn run(path: PathBuf, binder: Binder, ready: impl FnOnce(String)) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    // From now on SIGHUP does not end the server, which may read for long.
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Runtime)?;
    let publisher = tokio::select! {
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        started = start(path) => started?,
    };
    plane::log(publisher.last());
    let config = publisher.config().clone();
    let certificates = publisher.certificates().clone();
    let bound = binder.run(move || bind_all(&config, certificates)).map_err(Error::Runtime)??;
    let Bound { sockets, mut control, http } = bound;
    let journal = open_log(publisher.config())?;
    let threads = prepare_threads(&publisher, &sockets.listeners).map_err(Error::Runtime)?;
    let mut server = Server::new(&publisher, &sockets);
    let transports = start_transports(sockets, &publisher, &threads, journal);
    let transports = transports.map_err(Error::Runtime)?;
    server.counters = transports.counters().clone();
    let server = Arc::new(server);
    let names = publisher.config().admin.http_names.clone();
    let (jobs, inbox) = mpsc::channel();
    let plane = Plane::new(publisher);
    std::thread::Builder::new()
        .name("control-plane".into())
        .spawn(move || plane.run(&inbox))
        .map_err(Error::Runtime)?;
    let mut orders = control.listen().map_err(Error::Runtime)?;
    if let Some(listener) = http {
        http::serve(listener, names, server.clone()).map_err(Error::Runtime)?;
    }
    ready(server.ready_line());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                // Whatever becomes of the files: it may have been moved away.
                transports.reopen_log();
                let request = Request { by: "SIGHUP".into(), ..Request::default() };
                // The plane lives as long as `jobs`.
                let _ = jobs.send(Job::Reload { request, reply: None });
            }
            Some(order) = orders.recv() => server.obey(order, &jobs),
        }
    }
    tracing::info!("stopping");
    transports.shutdown().await;
    Ok(())
}

/// Reads what is to be served, on a thread that ends with it.
///
/// A thread of the runtime would be left over, outside of the sandbox.
async fn start(path: PathBuf) -> Result<Publisher, Error> {
    let (sender, started) = oneshot::channel();
    // Whoever waits may have been told to stop.
    let read = move || drop(sender.send(Publisher::start(&path)));
    std::thread::Builder::new().name("start".into()).spawn(read).map_err(Error::Runtime)?;
    let panicked = |_| Error::Runtime(io::Error::other("reading the files has panicked"));
    started.await.map_err(panicked)?.map_err(Error::Start)
}

/// Opens the decision log, if there is to be one, while whoever starts the
/// server is told why not.
fn open_log(config: &Config) -> Result<Option<Journal>, Error> {
    Journal::open(&config.log, config.server.identity.as_deref()).map_err(|source| {
        let path = config.log.file.as_ref().and_then(LogFile::path).cloned();
        Error::Log { path: path.unwrap_or_default(), source }
    })
}

/// Enters the sandbox, and returns the threads that connections are served by,
/// which are in it from their start.
fn prepare_threads(publisher: &Publisher, listeners: &[Listener]) -> io::Result<Threads> {
    // In a container the number stands in files that the sandbox forbids.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if publisher.config().server.sandbox {
        let ports = listeners.iter().map(|listener| listener.address.port()).collect();
        sandbox::enter(&sandbox::Paths { ports, ..publisher.paths() });
    }
    let runtime = Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    Ok(Threads(Some(runtime)))
}

/// A runtime that may be dropped inside of another: it waits for nothing.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn start_transports(
    sockets: Sockets,
    publisher: &Publisher,
    threads: &Threads,
    journal: Option<Journal>,
) -> io::Result<Transports> {
    let (served, clock) = (publisher.served().clone(), publisher.clock().clone());
    let _inside = threads.0.as_ref().map(Runtime::enter);
    let Sockets { listeners, encrypted } = sockets;
    let limits = &publisher.config().tcp;
    transport::start(listeners, encrypted, served, clock, limits, journal)
}

//----------- Server ---------------------------------------------------------

/// What answers commands.
struct Server {
    board: Arc<arc_swap::ArcSwap<board::Board>>,
    clock: Arc<clock::Clock>,
    served: Arc<arc_swap::ArcSwap<Snapshot>>,
    certificates: Arc<Certificates>,
    counters: Arc<Counters>,
    listeners: Vec<SocketAddr>,
    encrypted: Encryption,
    started: u64,

    /// The state folder.
    state: PathBuf,
}

impl http::View for Server {
    fn status(&self) -> Status {
        self.status()
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.clone()
    }

    fn served(&self) -> Served {
        Server::served(self)
    }

    fn events(&self) -> Vec<Event> {
        state::events(&self.state)
    }
}

/// What is served at a moment.
struct Served {
    kept: Arc<Kept>,
    snapshot: Arc<Snapshot>,
    now: Moment,
}

impl Server {
    /// Returns one for sockets whose messages are not counted yet.
    fn new(publisher: &Publisher, sockets: &Sockets) -> Self {
        let listeners = sockets.listeners.iter();
        Server {
            board: publisher.board().clone(),
            clock: publisher.clock().clone(),
            served: publisher.served().clone(),
            certificates: publisher.certificates().clone(),
            counters: Arc::default(),
            listeners: listeners.map(|listener| listener.address).collect(),
            encrypted: Encryption::new(sockets.encrypted.as_ref()),
            started: publisher.last().at,
            state: publisher.config().server.state.clone(),
        }
    }

    fn ready_line(&self) -> String {
        let board = self.board.load();
        let kept = &board.kept;
        let last_good = if board.last.is_whole { "" } else { "SERVING LAST GOOD TABLES, " };
        format!(
            "trunkdns {} ready: {last_good}{}, {}, UDP and TCP on {}{}",
            env!("CARGO_PKG_VERSION"),
            load::count(kept.zones.len(), "zone"),
            load::count(kept.shared.map.names().len(), "region"),
            self.addresses().join(" and "),
            self.encrypted.ready()
        )
    }

    fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(SocketAddr::to_string).collect()
    }

    /// Carries out a command, or has it carried out.
    fn obey(&self, order: Order, jobs: &mpsc::Sender<Job>) {
        let Order { command, peer, reply } = order;
        match command {
            // Whoever asked may have gone.
            Command::Status => drop(reply.send(Reply::Status(Box::new(self.status())))),
            Command::Reload { .. } | Command::Drain(_) | Command::Rollback { .. } => {
                match job(command, peer) {
                    // The plane lives as long as `jobs`.
                    Ok((job, answer)) => drop(jobs.send(job).map(|()| answer.pass_on(reply))),
                    Err(why) => drop(reply.send(Reply::Refused { why })),
                }
            }
            // Files are read for the others: the main loop does not wait.
            Command::History => {
                let folder = self.state.clone();
                let history = move || Reply::History { events: state::events(&folder) };
                tokio::task::spawn_blocking(move || drop(reply.send(history())));
            }
            Command::Explain(request) => {
                let Served { kept, snapshot: served, now } = self.served();
                let folder = self.state.clone();
                let explain = move || {
                    let past = explain::past(&folder, &served.settings, now, &request);
                    let (snapshot, kept) = match &past {
                        Some((snapshot, kept)) => (snapshot, kept),
                        None => (&*served, &*kept),
                    };
                    match explain::explain(snapshot, kept, now, &request) {
                        Ok(explanations) => Reply::Explain { explanations },
                        Err(why) => Reply::Refused { why },
                    }
                };
                tokio::task::spawn_blocking(move || drop(reply.send(explain())));
            }
            Command::Usages { what } => {
                let kept = self.board.load().kept.clone();
                let usages = move || Reply::Usages { usages: explain::usages(&kept, &what) };
                tokio::task::spawn_blocking(move || drop(reply.send(usages())));
            }
        }
    }

    fn served(&self) -> Served {
        let kept = self.board.load().kept.clone();
        Served { kept, snapshot: self.served.load_full(), now: self.clock.now() }
    }

    fn status(&self) -> Status {
        let now = self.clock.now().second();
        let certificate = self.certificates.served();
        let around = Surroundings {
            totals: self.counters.total(),
            regions: self.counters.regions(),
            latency: self.counters.latency(),
            listeners: self.addresses(),
            encrypted: self.encrypted.clone().with_certificate(certificate.as_deref(), now),
            started: self.started,
            now,
            clock_steps: self.clock.steps(),
            clock_deviation: self.clock.deviation(clock::wall()),
            process: Process::new(),
            limits: Limits::new(&self.served.load().settings.policy, &self.counters.total()),
        };
        Status::new(&self.board.load(), around)
    }
}

/// Returns what the control plane is to do for a command, and where its answer
/// will be.
fn job(command: Command, by: String) -> Result<(Job, Answer), String> {
    match command {
        Command::Reload { now, force, zones } => {
            let request = Request { by, now, force, zones: names(&zones)? };
            let (reply, answer) = oneshot::channel();
            Ok((Job::Reload { request, reply: Some(reply) }, Answer::Reload(answer)))
        }
        Command::Rollback { generation, zones, now } => {
            let request = rollback::Request { by, generation, zones: names(&zones)?, now };
            let (reply, answer) = oneshot::channel();
            Ok((Job::Rollback { request, reply }, Answer::Rollback(answer)))
        }
        Command::Drain(drain) => {
            let request = drain_request(&drain, by)?;
            let (reply, answer) = oneshot::channel();
            Ok((Job::Drain { request, ends: drain.ends, reply }, Answer::Drain(answer)))
        }
        _ => Err("this is not for the control plane".to_owned()),
    }
}

/// Where the control plane's answer will be.
enum Answer {
    Reload(oneshot::Receiver<Outcome>),
    Rollback(oneshot::Receiver<Result<Outcome, String>>),
    Drain(oneshot::Receiver<Drained>),
}

impl Answer {
    /// Passes the answer on when it is there.
    fn pass_on(self, reply: oneshot::Sender<Reply>) {
        tokio::spawn(async move {
            // Whoever asked may have gone; without an answer the server ends.
            if let Some(answer) = self.wait().await {
                let _ = reply.send(answer);
            }
        });
    }

    async fn wait(self) -> Option<Reply> {
        let reply = match self {
            Answer::Reload(answer) => Ok(Reply::Reload(answer.await.ok()?)),
            Answer::Rollback(answer) => answer.await.ok()?.map(Reply::Reload),
            Answer::Drain(answer) => answer.await.ok()?.map(|(outcome, endpoints)| {
                let endpoints = endpoints.iter().map(Name::to_string).collect();
                Reply::Drain { outcome, endpoints }
            }),
        };
        Some(reply.unwrap_or_else(|why| Reply::Refused { why }))
    }
}

fn drain_request(command: &control::Drain, by: String) -> Result<drain::Request, String> {
    let zone = command.zone.as_ref().map(|zone| names(std::slice::from_ref(zone)));
    Ok(drain::Request {
        by,
        what: command.what.clone(),
        reason: command.reason.clone(),
        zone: zone.transpose()?.and_then(|names| names.into_iter().next()),
        effective: command.at,
        lasts: command.lasts,
        now: command.now,
        force: command.force,
    })
}

/// Reads the names of zones, with or without the last dot.
fn names(texts: &[String]) -> Result<Vec<Name>, String> {
    let name = |text: &String| {
        Name::parse(text, &Name::root()).map_err(|error| format!("`{text}` has {error}"))
    };
    texts.iter().map(name).collect()
}

//----------- Listeners ------------------------------------------------------

/// What the server is reached by.
struct Bound {
    sockets: Sockets,
    control: Control,
    http: Option<TcpListener>,
}

/// The sockets that queries come in by.
struct Sockets {
    listeners: Vec<Listener>,
    encrypted: Option<Encrypted>,
}

fn bind_all(config: &Config, certificates: Arc<Certificates>) -> Result<Bound, Error> {
    let listeners = bind(config)?;
    let encrypted = config.encrypted.as_ref().map(|named| Encrypted::bind(named, certificates));
    let encrypted = encrypted.transpose().map_err(|(address, key, source)| {
        let key = format!("[encrypted] {key}");
        Error::Bind { address, key, source }
    })?;
    let path = &config.admin.control;
    let group = config.server.account.control_group.as_deref();
    let control = Control::bind(path, group)
        .map_err(|source| Error::Control { path: path.clone(), source })?;
    let http = config.admin.http.map(bind_http).transpose()?;
    Ok(Bound { sockets: Sockets { listeners, encrypted }, control, http })
}

fn bind_http(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| Error::Http { address, source })
}

fn bind(config: &Config) -> Result<Vec<Listener>, Error> {
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    };
    let mut listeners = Vec::new();
    for listen in &config.server.listen {
        match Listener::bind(listen.value, workers) {
            Ok(mut listener) => {
                if config.server.pin_workers
                    && let Err(error) = listener.pin()
                {
                    // Any worker answers anywhere, at a higher cost.
                    tracing::warn!("`pin-workers` has no effect on {}: {error}", listen.value);
                }
                listeners.push(listener);
            }
            // The shipped example listens on ::1 beside 127.0.0.1, and a
            // host without IPv6 has no ::1. Any other address is wanted.
            Err(error) if is_absent_ipv6_loopback(listen.value, &error) => {
                tracing::warn!("not listening on {}: this host has no IPv6", listen.value);
            }
            Err(source) => {
                let (address, key) = (listen.value, "[server] listen".to_owned());
                return Err(Error::Bind { address, key, source });
            }
        }
    }
    if listeners.is_empty() { Err(Error::NoListener) } else { Ok(listeners) }
}

fn is_absent_ipv6_loopback(address: SocketAddr, error: &io::Error) -> bool {
    // EAFNOSUPPORT: the kernel has no IPv6. It is 97 on Linux, 47 on macOS.
    address.is_ipv6()
        && address.ip().is_loopback()
        && (error.kind() == io::ErrorKind::AddrNotAvailable
            || matches!(error.raw_os_error(), Some(97 | 47)))
}

//============ Errors ========================================================

/// Why the server does not run.
#[derive(Debug)]
pub enum Error {
    /// An address cannot be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What names it in the configuration.
        key: String,
        /// What the system says.
        source: io::Error,
    },

    /// The control socket cannot be bound.
    Control {
        /// The path of `[admin] control`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// The address of metrics and health cannot be bound.
    Http {
        /// The address of `[admin] http`.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },

    /// The decision log cannot be written.
    Log {
        /// The path of `[log] file`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// None of the addresses exists on this host.
    NoListener,

    /// The server does not become who it is to be.
    Privileges(privileges::Error),

    /// There is nothing to serve.
    Start(StartError),

    /// The runtime or a signal handler failed.
    Runtime(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bind { address, key, source } => {
                write!(f, "cannot listen on {address} ({key}): {source}")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => f.write_str("; is another server running?"),
                    io::ErrorKind::PermissionDenied if address.port() < 1024 => f.write_str(
                        "; ports below 1024 need root with [server] user, or CAP_NET_BIND_SERVICE, \
                         see docs/security.md",
                    ),
                    _ => Ok(()),
                }
            }
            Error::Control { path, source } => {
                let why = privileges::explain_write(path.parent().unwrap_or(path), source);
                write!(f, "cannot listen on {} ([admin] control): {why}", path.display())
            }
            Error::Http { address, source } => {
                write!(f, "cannot listen on {address} ([admin] http): {source}")
            }
            Error::Log { path, source } => {
                let folder = path.parent().unwrap_or(path);
                let why = privileges::explain_write(folder, source);
                write!(f, "cannot write {} ([log] file): {why}", path.display())?;
                match source.kind() {
                    io::ErrorKind::NotFound => write!(f, "; make the folder {}", folder.display()),
                    _ => Ok(()),
                }
            }
            Error::Privileges(error) => error.fmt(f),
            Error::Start(error) => error.fmt(f),
            Error::NoListener => f.write_str("no address of [server] listen exists on this host"),
            Error::Runtime(source) => write!(f, "cannot run: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind { source, .. }
            | Error::Control { source, .. }
            | Error::Http { source, .. }
            | Error::Log { source, .. }
            | Error::Runtime(source) => Some(source),
            Error::Start(error) => Some(error),
            Error::Privileges(error) => Some(error),
            Error::NoListener => None,
        }
    }
}
