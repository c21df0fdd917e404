//! Connections, answered on tokio's threads.
//!
//! A message is preceded by its length in two octets (RFC 1035 section 4.2.2).
//! A client may send several before it reads (RFC 7766 section 6.2.1.1); they
//! are answered in order, and one write carries the answers to all that one
//! read has brought.
//!
//! Everything about a connection has a limit: `[tcp]` has those that an
//! operator can set. How long it lasts and how much it asks has none.
//!
//! ```text
//!  accept ── admit ──┬──────────────────────────▶ Connection
//!                    └─ TLS handshake ─┬────────▶ Connection (RFC 7858)
//!                                      └─ HTTP/2 ▶ https (RFC 8484)
//! ```
//!
//! Over TLS the same loop answers, within the same limits.
//!
//! # What is absent
//!
//! Fairness between connections of one network, beyond their number; and a
//! limit on the whole time of a connection.

mod connection;
mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::time;
use tokio_rustls::TlsAcceptor;

use self::connection::Connection;
use self::stream::Stream;
use super::connections::{Connections, Refusal};
use super::counters::{Counter, Counters, Protocol, SharedLane, Tally};
use super::guard::Occasionally;
use super::https;
use super::proxy;
use super::session::{Ends, Service, Session, Stop, grace_is_over};
use crate::answer::{Client, Transport};

/// Lanes of counters. Connections take turns, so that few meet in one.
const LANES: usize = 4;

/// Descriptors that are left for all else: UDP sockets, files, the runtime.
const OTHER_DESCRIPTORS: usize = 128;

/// How long accepting pauses when no descriptor is left. Connections end
/// meanwhile; without it the loop would spin on the error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

//----------- Server ---------------------------------------------------------

/// What is spoken over the connections to an address.
#[derive(Clone)]
pub(in crate::transport) enum Dialect {
    /// Messages with their lengths.
    Plain,

    /// The same in TLS.
    Tls(TlsAcceptor),

    /// Messages in HTTP requests for a path, in TLS.
    Https(TlsAcceptor, Arc<str>),
}

impl Dialect {
    fn protocol(&self) -> Protocol {
        match self {
            Dialect::Plain => Protocol::Tcp,
            Dialect::Tls(_) => Protocol::Tls,
            Dialect::Https(..) => Protocol::Https,
        }
    }

    /// Serves a connection to its end.
    async fn serve(self, stream: TcpStream, session: Session) {
        let mut lane = session.lane.clone();
        match self {
            Dialect::Plain => Connection::new(Stream::Plain(stream), session).run().await,
            // In a place of its own: it is larger by KiB than plain ones are.
            encrypted => Box::pin(encrypted.serve_encrypted(stream, session)).await,
        }
        lane.count(Counter::Closed);
    }

    async fn serve_encrypted(self, stream: TcpStream, mut session: Session) {
        let (Dialect::Tls(tls) | Dialect::Https(tls, _)) = &self else { return };
        let handshake = Box::pin(tls.accept(stream));
        let Some(stream) = session.shake_hands(handshake).await else { return };
        match self {
            Dialect::Https(_, path) => Box::pin(https::serve(stream, path, session)).await,
            _ => Connection::new(Stream::Tls(stream.into()), session).run().await,
        }
    }
}

/// Starts to accept the connections to an address.
///
/// Must be called inside a tokio runtime.
pub(in crate::transport) fn start(
    listener: TcpListener,
    dialect: Dialect,
    connections: Arc<Connections>,
    service: Arc<Service>,
    stop: Stop,
    counters: &mut Counters,
) -> io::Result<()> {
    let protocol = dialect.protocol();
    let acceptor = Acceptor {
        address: canonical(listener.local_addr()?),
        listener: tokio::net::TcpListener::from_std(listener)?,
        dialect,
        connections,
        service,
        lanes: (0..LANES).map(|_| counters.add_shared(protocol)).collect(),
        stop,
    };
    tokio::spawn(acceptor.run());
    Ok(())
}

/// Returns how many connections there may be, so that descriptors suffice.
pub(in crate::transport) fn bound_by_descriptors(most: usize) -> usize {
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

//----------- Acceptor -------------------------------------------------------

/// Accepts the connections to one address.
struct Acceptor {
    address: SocketAddr,
    listener: tokio::net::TcpListener,
    dialect: Dialect,
    connections: Arc<Connections>,
    service: Arc<Service>,
    lanes: Vec<SharedLane>,
    stop: Stop,
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
        let until = self.stop.borrow().unwrap_or_else(time::Instant::now);
        while let Ok(accepted) = time::timeout_at(until, self.listener.accept()).await {
            self.take(accepted, 0).await;
        }
    }

    /// Serves an accepted connection, or notes why there is none.
    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>, turn: usize) {
        match accepted {
            Ok((stream, peer)) => self.admit(stream, canonical(peer), turn),
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

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, turn: usize) {
        let server = own_end(self.address, &stream);
        let entrance = Entrance {
            ends: Ends { protocol: self.dialect.protocol(), client: peer, server },
            dialect: self.dialect.clone(),
            connections: self.connections.clone(),
            service: self.service.clone(),
            lane: self.lanes[turn].clone(),
            stop: self.stop.clone(),
        };
        if proxy::is_balancer(&self.service.snapshot.load().settings.balancers, peer.ip()) {
            tokio::spawn(entrance.ask_and_admit(stream));
        } else {
            entrance.admit(stream);
        }
    }
}

//----------- Entrance -------------------------------------------------------

/// The way of one connection to being served.
struct Entrance {
    ends: Ends,
    dialect: Dialect,
    connections: Arc<Connections>,
    service: Arc<Service>,
    lane: SharedLane,
    stop: Stop,
}

impl Entrance {
    /// Serves the connection of the client, if there is room for it.
    fn admit(mut self, stream: TcpStream) {
        let address = self.ends.client.ip();
        let permit = match self.connections.admit(address) {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(refusal),
        };
        self.lane.count(Counter::Opened);
        let Entrance { ends, dialect, service, lane, stop, .. } = self;
        let transport = match dialect {
            Dialect::Plain => Transport::Tcp,
            Dialect::Tls(_) => Transport::Tls,
            Dialect::Https(..) => Transport::Encrypted,
        };
        let client = Client { address, transport };
        let session = Session { client, ends, permit, service, lane, stop };
        tokio::spawn(dialect.serve(stream, session));
    }

    /// Serves the connection of whoever a load balancer says that it is, if
    /// it does so in time.
    async fn ask_and_admit(mut self, mut stream: TcpStream) {
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
            () = grace_is_over(self.stop.clone()) => None,
        };
        // From now on it counts as the client's.
        drop(permit);
        // Nobody connects from port 0.
        match client.filter(|client| client.is_none_or(|client| client.port() != 0)) {
            Some(client) => {
                if let Some(client) = client {
                    // The balancer's port is none of the client's.
                    self.ends.client = SocketAddr::new(client.ip().to_canonical(), 0);
                }
                self.admit(stream);
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

/// Returns the server's end of a connection that a listener has accepted; the
/// system is asked only where the listener has all addresses.
fn own_end(listener: SocketAddr, stream: &TcpStream) -> SocketAddr {
    match listener.ip().is_unspecified() {
        // A stream whose peer has gone away has no address any more.
        true => stream.local_addr().map_or(listener, canonical),
        false => listener,
    }
}

/// Returns an address in its own family, where IPv6 carries one of IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_own_end_is_the_address_that_was_asked() {
        let any = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = any.local_addr().unwrap();
        let asked = SocketAddr::new("127.0.0.1".parse().unwrap(), address.port());
        let _client = TcpStream::connect(asked).await.unwrap();
        let (stream, _) = any.accept().await.unwrap();
        assert_eq!(own_end(address, &stream), asked);
        // Of a listener with one address it is that.
        assert_eq!(own_end(asked, &stream), asked);
    }
}
