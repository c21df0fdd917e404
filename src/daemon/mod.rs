//! The running server: loading, sockets, signals.
//!
//! The control plane. [`load`] makes a snapshot of the operator's files, and
//! [`serve`] hands it to the transports through one `ArcSwap`.

pub mod load;
mod reload;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};

use self::load::Loaded;
use self::reload::Reloaded;
use crate::clock::{self, Clock};
use crate::transport::{self, Listener};

/// Serves what was loaded until SIGTERM or SIGINT.
///
/// `ready` is called once, with a line for the operator, when every address
/// answers.
pub fn serve(loaded: Loaded, ready: impl FnOnce(String)) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(run(loaded, ready))
}

async fn run(loaded: Loaded, ready: impl FnOnce(String)) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Runtime)?;
    let listeners = bind(&loaded)?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    let tcp = loaded.config.tcp.clone();
    let (path, summary) = (loaded.path.clone(), loaded.summary());
    let snapshot = Arc::new(ArcSwap::from_pointee(loaded.into_snapshot()));
    let clock = Arc::new(Clock::new(clock::wall()));
    let transports = transport::start(listeners, snapshot.clone(), clock.clone(), &tcp)
        .map_err(Error::Runtime)?;
    ready(format!(
        "trunkdns {} ready: {summary}, UDP and TCP on {}",
        env!("CARGO_PKG_VERSION"),
        addresses.join(" and ")
    ));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                let (path, snapshot, clock) = (path.clone(), snapshot.clone(), clock.clone());
                // One at a time: the next signal is looked at when this one is done.
                let reloading = tokio::task::spawn_blocking(move || {
                    reload::reload(&path, &snapshot, || clock.now())
                });
                report_reload(reloading.await);
            }
        }
    }
    tracing::info!("stopping");
    transports.shutdown().await;
    Ok(())
}

/// Logs what became of a reload.
fn report_reload(result: Result<Reloaded, tokio::task::JoinError>) {
    match result {
        Ok(reloaded) => {
            for finding in reloaded.findings.lines() {
                tracing::warn!("{finding}");
            }
            for line in &reloaded.lines {
                tracing::info!("reload: {line}");
            }
            match reloaded.is_whole {
                true => tracing::info!("reload: done"),
                false => tracing::error!("reload: not all files could be used, see above"),
            }
        }
        Err(error) => tracing::error!(%error, "reload failed; what was served is served"),
    }
}

fn bind(loaded: &Loaded) -> Result<Vec<Listener>, Error> {
    let workers = match loaded.config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    };
    let mut listeners = Vec::new();
    for listen in &loaded.config.server.listen {
        match Listener::bind(listen.value, workers) {
            Ok(listener) => listeners.push(listener),
            // The shipped example listens on ::1 beside 127.0.0.1, and a
            // host without IPv6 has no ::1. Any other address is wanted.
            Err(error) if is_absent_ipv6_loopback(listen.value, &error) => {
                tracing::warn!("not listening on {}: this host has no IPv6", listen.value);
            }
            Err(source) => return Err(Error::Bind { address: listen.value, source }),
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
        /// The address of `[server] listen`.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },

    /// None of the addresses exists on this host.
    NoListener,

    /// The runtime or a signal handler failed.
    Runtime(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bind { address, source } => {
                write!(f, "cannot listen on {address} ([server] listen): {source}")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => f.write_str("; is another server running?"),
                    io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                        f.write_str("; ports below 1024 need CAP_NET_BIND_SERVICE, see README.md")
                    }
                    _ => Ok(()),
                }
            }
            Error::NoListener => f.write_str("no address of [server] listen exists on this host"),
            Error::Runtime(source) => write!(f, "cannot run: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind { source, .. } | Error::Runtime(source) => Some(source),
            Error::NoListener => None,
        }
    }
}
