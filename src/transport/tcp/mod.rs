//! Connections, answered on tokio's threads.
//!
//! A message is preceded by its length in two octets (RFC 1035 section 4.2.2).
//! A client may send several before it reads (RFC 7766 section 6.2.1.1); they
//! are answered in order, and one write carries the answers to all that one
//! read has brought.
//!
//! Everything about a connection has a limit: [`Tcp`] has those that an
//! operator can set. How long it lasts and how much it asks has none.
//!
//! # What is absent
//!
//! Fairness between connections of one network, beyond their number; and a
//! limit on the whole time of a connection.

mod connection;
mod connections;

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use self::connection::Connection;
use self::connections::{Connections, Refusal};
use super::counters::{Counter, Counters, SharedLane, Tally};
use super::guard::Occasionally;
use super::proxy;
use crate::clock::Clock;
use crate::config::model::Tcp;
use crate::limit::Limiter;
use crate::snapshot::Snapshot;

/// Lanes of counters. Connections take turns, so that few meet in one.
const LANES: usize = 4;

/// Descriptors that are left for all else: UDP sockets, files, the runtime.
const OTHER_DESCRIPTORS: usize = 128;

/// How long accepting pauses when no descriptor is left. Connections end
/// meanwhile; without it the loop would spin on the error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long clients are listened to once the server stops: what they sent
/// before is on its way.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// How long connections may take to end after that, slow readers included.
const STOP_TIME: Duration = Duration::from_secs(2);

//----------- Server ---------------------------------------------------------

/// All that accepts and answers connections.
#[derive(Debug)]
pub(in crate::transport) struct Server {
    stop: watch::Sender<Option<Instant>>,
}

impl Server {
    /// Starts to accept connections.
    ///
    /// Must be called inside a tokio runtime.
    pub(in crate::transport) fn start(
        listeners: Vec<TcpListener>,
        (snapshot, limiter): (Arc<ArcSwap<Snapshot>>, Arc<Limiter>),
        clock: Arc<Clock>,
        limits: &Tcp,
        counters: &mut Counters,
    ) -> io::Result<Self> {
        let most = bound_by_descriptors(limits.connections);
        let connections = Arc::new(Connections::new(most, limits.connections_per_network));
        let service = Arc::new(Service { snapshot, limiter, clock, limits: limits.clone() });
        let lanes: Vec<_> = (0..LANES).map(|_| counters.add_tcp()).collect();
        let (stop, stopped) = watch::channel(None);
        for listener in listeners {
            let acceptor = Acceptor {
                listener: tokio::net::TcpListener::from_std(listener)?,
                connections: connections.clone(),
                service: service.clone(),
                lanes: lanes.clone(),
                stop: stopped.clone(),
            };
            tokio::spawn(acceptor.run());
        }
        Ok(Server { stop })
    }

    /// Stops: answers what was received, then closes every connection.
    pub(in crate::transport) async fn shutdown(self) {
        self.stop.send_replace(Some(Instant::now() + STOP_GRACE));
        // Everybody who is at work has a receiver.
        if time::timeout(STOP_TIME, self.stop.closed()).await.is_err() {
            tracing::info!("TCP connections were cut off: their clients do not read");
        }
    }
}

/// Returns how many connections there may be, so that descriptors suffice.
fn bound_by_descriptors(most: usize) -> usize {
    let wanted = (most + OTHER_DESCRIPTORS) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Nothing here waits by `select`, for whose sake the usual limit is 1,024.
    let raised = Some(maximum.unwrap_or(wanted).min(wanted));
    let is_raised = current.is_some_and(|current| Some(current) < raised)
        && setrlimit(Resource::Nofile, Rlimit { current: raised, maximum }).is_ok();
    let descriptors = if is_raised { raised } else { current };
    let bound = descriptors
        .map_or(most, |limit| most.min((limit as usize).saturating_sub(OTHER_DESCRIPTORS).max(1)));
    if bound < most {
        tracing::warn!(
            "TCP serves {bound} connections, not {most} ([tcp] connections): the limit on open \
             files is {}",
            descriptors.unwrap_or_default()
        );
    }
    bound
}

/// What every connection needs to answer.
#[derive(Debug)]
struct Service {
    snapshot: Arc<ArcSwap<Snapshot>>,
    limiter: Arc<Limiter>,
    clock: Arc<Clock>,
    limits: Tcp,
}

//----------- Acceptor -------------------------------------------------------

/// Accepts the connections to one address.
struct Acceptor {
    listener: tokio::net::TcpListener,
    connections: Arc<Connections>,
    service: Arc<Service>,
    lanes: Vec<SharedLane>,
    stop: watch::Receiver<Option<Instant>>,
}

impl Acceptor {
    async fn run(mut self) {
        let mut turn = 0;
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(Option::is_some) => break,
                accepted = self.listener.accept() => accepted,
            };
            turn = (turn + 1) % LANES;
            self.take(accepted, turn).await;
        }
        // Those that connected before, but were not accepted yet.
        let until = self.stop.borrow().unwrap_or_else(Instant::now);
        while let Ok(accepted) = time::timeout_at(until, self.listener.accept()).await {
            self.take(accepted, 0).await;
        }
    }

    /// Serves an accepted connection, or notes why there is none.
    async fn take(&mut self, accepted: io::Result<(TcpStream, std::net::SocketAddr)>, turn: usize) {
        match accepted {
            Ok((stream, client)) => self.admit(stream, client.ip().to_canonical(), turn),
            Err(error) if is_of_client(&error) => self.lanes[turn].count(Counter::AcceptErrors),
            Err(error) => {
                static LOG: Occasionally = Occasionally::new();
                self.lanes[turn].count(Counter::AcceptPauses);
                if LOG.pass().is_some() {
                    tracing::error!(%error, "TCP connections wait: none can be accepted");
                }
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: IpAddr, turn: usize) {
        let entrance = Entrance {
            connections: self.connections.clone(),
            service: self.service.clone(),
            lane: self.lanes[turn].clone(),
            stop: self.stop.clone(),
        };
        if proxy::is_balancer(&self.service.snapshot.load().settings.balancers, peer) {
            tokio::spawn(entrance.ask_and_admit(stream, peer));
        } else {
            entrance.admit(stream, peer);
        }
    }
}

//----------- Entrance -------------------------------------------------------

/// The way of one connection to being served.
struct Entrance {
    connections: Arc<Connections>,
    service: Arc<Service>,
    lane: SharedLane,
    stop: watch::Receiver<Option<Instant>>,
}

impl Entrance {
    /// Serves the connection of a client, if there is room for it.
    fn admit(mut self, stream: TcpStream, client: IpAddr) {
        let permit = match self.connections.admit(client) {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(refusal),
        };
        self.lane.count(Counter::Opened);
        let Entrance { service, lane, stop, .. } = self;
        tokio::spawn(Connection::new(stream, client, permit, service, lane, stop).run());
    }

    /// Serves the connection of whoever a load balancer says that it is, if
    /// it does so in time.
    async fn ask_and_admit(mut self, mut stream: TcpStream, balancer: IpAddr) {
        let permit = match self.connections.admit_balancer() {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(refusal),
        };
        let client = tokio::select! {
            // What has come is read first, whatever else has happened.
            biased;
            client = proxy::receive(&mut stream) => client.ok(),
            () = permit.closed() => None,
            () = time::sleep(self.service.limits.read) => None,
            () = stopped(self.stop.clone()) => None,
        };
        // From now on it counts as the client's.
        drop(permit);
        // Nobody connects from port 0.
        match client.filter(|client| client.is_none_or(|client| client.port() != 0)) {
            Some(client) => {
                let client = client.map_or(balancer, |client| client.ip().to_canonical());
                self.admit(stream, client);
            }
            None => self.lane.count(Counter::RefusedProxy),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.lane.count(match refusal {
            Refusal::Full => Counter::RefusedFull,
            Refusal::Network => Counter::RefusedNetwork,
        });
    }
}

/// Completes when clients that have connected are no longer listened to.
async fn stopped(mut stop: watch::Receiver<Option<Instant>>) {
    let until = stop.wait_for(Option::is_some).await.map_or(None, |until| *until);
    time::sleep_until(until.unwrap_or_else(Instant::now)).await;
}

/// Says whether a failure to accept is that of one connection, which its
/// client gave up or a filter refused (accept(2)); the next may be well.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}
