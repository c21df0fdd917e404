//! DNS over QUIC (RFC 9250): a stream for each question.
//!
//! ```text
//!  first packet ──┬─ many handshakes are under way ──▶ prove your address (Retry)
//!                 ├─ too many ──▶ refused
//!                 └─▶ handshake ──▶ admit ──▶ streams: message ──▶ answer
//! ```
//!
//! # Limits
//!
//! Those of TCP connections, with which these are counted. A connection is
//! admitted after its handshake, which only somebody completes who receives at
//! its address. Each has 100 streams at a time, and 8 responses that are being
//! written. Whoever breaks the protocol ends the connection.
//!
//! # What is absent
//!
//! Early data: whoever recorded it can send it again.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connecting, Connection, Endpoint, EndpointConfig, Incoming, ReadToEndError, RecvStream,
    SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time;

use super::connections::{Connections, Refusal};
use super::counters::{Counter, Counters, Protocol, SharedLane, Tally};
use super::session::{Answerer, Ends, Service, Session, Stop, grace_is_over};
use super::tls::{self, Certificates};
use crate::answer::{Client, Transport};
use crate::wire;

/// Handshakes that are under way at a time. Each costs a signature, of 30 µs,
/// and some 20 KiB until its deadline.
const HANDSHAKES: usize = 1000;

/// Of these, how many may be of addresses that nothing proves. Beyond them a
/// client has to come back with a token, which costs it a round trip
/// (RFC 9250 section 5.4 asks that of a busy server).
const HANDSHAKES_UNPROVEN: usize = 200;

/// Streams of a connection at a time.
const STREAMS: u32 = 100;

/// Responses of a connection that are being written at a time. The longest has
/// 64 KiB.
const RESPONSES: usize = 8;

/// The longest message with its length, in octets.
const FRAME_MAX: usize = 2 + u16::MAX as usize;

/// Octets of queries that are on their way in a connection.
const QUERIES: u32 = 2 * FRAME_MAX as u32;

/// Octets of responses that are sent and not acknowledged in a connection.
const SENDING: u64 = 256 << 10;

/// Error codes (RFC 9250 section 8.4).
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

//----------- Server ---------------------------------------------------------

/// Starts to answer at an address.
///
/// Must be called inside a tokio runtime.
pub(super) fn start(
    socket: UdpSocket,
    certificates: Arc<Certificates>,
    connections: Arc<Connections>,
    service: Arc<Service>,
    stop: Stop,
    counters: &mut Counters,
) -> io::Result<()> {
    let tls = tls::config(certificates, tls::QUIC_VERSIONS, b"doq").map_err(io::Error::other)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport(service.limits.idle)))
        .max_incoming(HANDSHAKES)
        .incoming_buffer_size(16 << 10)
        .incoming_buffer_size_total(4 << 20);
    let endpoint =
        Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?;
    let (lane, local) = (counters.add_shared(Protocol::Quic), endpoint.local_addr()?);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let acceptor = Acceptor { endpoint, local, connections, service, lane, stop, handshakes };
    tokio::spawn(acceptor.run());
    Ok(())
}

/// Returns the limits of a connection.
fn transport(idle: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(FRAME_MAX as u32))
        .receive_window(VarInt::from_u32(QUERIES))
        .send_window(SENDING)
        .datagram_receive_buffer_size(None)
        // Of an hour at most, which it can say.
        .max_idle_timeout(idle.try_into().ok());
    config
}

//----------- Acceptor -------------------------------------------------------

/// Accepts the connections to one address.
struct Acceptor {
    endpoint: Endpoint,
    local: SocketAddr,
    connections: Arc<Connections>,
    service: Arc<Service>,
    lane: SharedLane,
    stop: Stop,
    handshakes: Arc<Semaphore>,
}

impl Acceptor {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => break,
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => return,
                },
            }
        }
        self.endpoint.set_server_config(None);
        // Until the last connection has said that it ends.
        self.endpoint.wait_idle().await;
    }

    fn take(&mut self, incoming: Incoming) {
        let Ok(slot) = self.handshakes.clone().try_acquire_owned() else {
            self.lane.count(Counter::RefusedFull);
            return incoming.refuse();
        };
        let is_busy = self.handshakes.available_permits() < HANDSHAKES - HANDSHAKES_UNPROVEN;
        if is_busy && incoming.may_retry() {
            // It may, as was asked.
            let _ = incoming.retry();
            return;
        }
        match incoming.accept() {
            Ok(connecting) => {
                let (connections, service) = (self.connections.clone(), self.service.clone());
                let (lane, stop) = (self.lane.clone(), self.stop.clone());
                let local = self.local;
                tokio::spawn(serve(connecting, slot, connections, service, lane, stop, local));
            }
            Err(_) => self.lane.count(Counter::HandshakeErrors),
        }
    }
}

/// Serves a connection to its end.
async fn serve(
    connecting: Connecting,
    slot: OwnedSemaphorePermit,
    connections: Arc<Connections>,
    service: Arc<Service>,
    mut lane: SharedLane,
    stop: Stop,
    local: SocketAddr,
) {
    let connection = tokio::select! {
        result = connecting => match result {
            Ok(connection) => connection,
            Err(_) => return lane.count(Counter::HandshakeErrors),
        },
        () = grace_is_over(stop.clone()) => return,
        () = time::sleep(service.handshake) => return lane.count(Counter::HandshakeTimeouts),
    };
    drop(slot);
    let address = connection.remote_address().ip().to_canonical();
    let permit = match connections.admit(address) {
        Ok(permit) => permit,
        Err(refusal) => {
            lane.count(match refusal {
                Refusal::Full => Counter::RefusedFull,
                Refusal::Network => Counter::RefusedNetwork,
            });
            return connection.close(EXCESSIVE_LOAD, b"too many connections");
        }
    };
    lane.count(Counter::Opened);
    let client = Client { address, transport: Transport::Encrypted };
    let ends = Ends {
        protocol: Protocol::Quic,
        client: SocketAddr::new(address, connection.remote_address().port()),
        server: SocketAddr::new(connection.local_ip().unwrap_or(local.ip()), local.port()),
    };
    let mut session = Session { client, ends, permit, service, lane, stop };
    let room = Arc::new(Semaphore::new(RESPONSES));
    let serving = Serving { connection, room, streams: JoinSet::new() };
    if let Some(ending) = serving.run(&mut session).await {
        session.lane.count(ending);
    }
    session.lane.count(Counter::Closed);
}

//----------- Serving --------------------------------------------------------

/// A connection and the streams that are open.
struct Serving {
    connection: Connection,

    /// For responses that are being written.
    room: Arc<Semaphore>,

    streams: JoinSet<Result<(), Counter>>,
}

impl Serving {
    /// Answers until the connection ends; returns why the server ends it, if
    /// it does.
    async fn run(mut self, session: &mut Session) -> Option<Counter> {
        let limits = session.service.limits.clone();
        let ending = loop {
            let is_idle = self.streams.is_empty();
            // Where it is closed for another, `closed` says so below.
            session.permit.note(is_idle);
            tokio::select! {
                accepted = self.connection.accept_bi() => match accepted {
                    Ok((send, receive)) => self.begin(send, receive, session),
                    Err(_) => return None,
                },
                Some(done) = self.streams.join_next() => {
                    if let Ok(Err(ending)) = done {
                        break Some(ending);
                    }
                }
                () = session.permit.closed() => break Some(Counter::ClosedOldest),
                () = grace_is_over(session.stop.clone()) => break None,
                () = time::sleep(limits.idle), if is_idle => break Some(Counter::ClosedIdle),
            }
        };
        let code = match ending {
            Some(Counter::ProtocolErrors) => PROTOCOL_ERROR,
            Some(Counter::ClosedRead | Counter::ClosedWrite) => EXCESSIVE_LOAD,
            _ => {
                // Each has a deadline of its own.
                while self.streams.join_next().await.is_some() {}
                NO_ERROR
            }
        };
        self.connection.close(code, b"");
        ending
    }

    fn begin(&mut self, send: SendStream, receive: RecvStream, session: &mut Session) {
        // It may have moved to another address.
        session.client.address = self.connection.remote_address().ip().to_canonical();
        let port = self.connection.remote_address().port();
        session.ends.client = SocketAddr::new(session.client.address, port);
        let (answerer, room) = (session.answerer(), self.room.clone());
        self.streams.spawn(async move {
            let mut send = send;
            let done = exchange(&mut send, receive, answerer, room).await;
            if done.is_err() {
                // To drop it would say that this was all. Closed already, perhaps.
                let _ = send.reset(PROTOCOL_ERROR);
            }
            done
        });
    }
}

//----------- Exchange -------------------------------------------------------

/// Answers the message of a stream; fails with why the connection is to end.
async fn exchange(
    send: &mut SendStream,
    mut receive: RecvStream,
    answerer: Answerer,
    room: Arc<Semaphore>,
) -> Result<(), Counter> {
    let limits = answerer.service.limits.clone();
    let octets = match time::timeout(limits.read, receive.read_to_end(FRAME_MAX)).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(ReadToEndError::TooLong)) => return Err(Counter::ProtocolErrors),
        Ok(Err(ReadToEndError::Read(_))) => {
            // The client has given up what it asked, or all of it.
            let _ = send.reset(REQUEST_CANCELLED);
            return Ok(());
        }
        Err(_) => return Err(Counter::ClosedRead),
    };
    let message = message(&octets).ok_or(Counter::ProtocolErrors)?;
    // It is never closed.
    let _room = room.acquire().await;
    let Some(response) = answerer.respond(message) else {
        // Closed already, perhaps.
        let _ = send.reset(INTERNAL_ERROR);
        return Ok(());
    };
    // No response has more octets than its length can say.
    let frame = [&(response.len() as u16).to_be_bytes(), &response[..]].concat();
    let sent = async {
        send.write_all(&frame).await.ok()?;
        send.finish().ok()?;
        // Until the client has all of it, or has given up.
        send.stopped().await.ok()
    };
    time::timeout(limits.write, sent).await.map(|_| ()).map_err(|_| Counter::ClosedWrite)
}

/// Returns the one message of a stream, if it holds one as RFC 9250 section
/// 4.2 has it: of the ID 0, and without the option of keeping TCP alive
/// (section 5.5.2).
fn message(octets: &[u8]) -> Option<&[u8]> {
    let (len, message) = octets.split_first_chunk()?;
    let is_whole = message.len() == usize::from(u16::from_be_bytes(*len));
    let has_keepalive = || {
        let mut name = wire::LowerName::default();
        let parsed = wire::parse(message, &mut name);
        parsed.edns().is_some_and(|edns| edns.tcp_keepalive.is_some())
    };
    (is_whole && message.starts_with(&[0, 0]) && !has_keepalive()).then_some(message)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9250_4_3_3_a_stream_holds_one_message_with_the_id_0_and_no_keepalive() {
        let header = |id: u8, additional: u8| {
            vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, additional, 0, 0, 1, 0, 1]
        };
        let framed = |message: &[u8]| [&[0, message.len() as u8], message].concat();
        let query = header(0, 0);
        assert_eq!(message(&framed(&query)), Some(&query[..]));
        assert_eq!(message(&framed(&header(1, 0))), None, "another ID");
        assert_eq!(message(&[framed(&query), framed(&query)].concat()), None, "two");
        assert_eq!(message(&framed(&query)[..9]), None, "cut short");
        assert_eq!(message(b"\0"), None);
        let opt = |option: &[u8]| {
            let tail = [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, option.len() as u8], option].concat();
            framed(&[header(0, 1), tail].concat())
        };
        assert!(message(&opt(&[0, 12, 0, 0])).is_some(), "padding");
        assert_eq!(message(&opt(&[0, 11, 0, 0])), None, "keepalive");
    }
}
