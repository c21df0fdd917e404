//! DNS over HTTPS (RFC 8484): requests over HTTP/2.
//!
//! ```text
//!  request ──▶ message (GET: in the address, POST: in the body) ──▶ answer ──▶ response
//!      └─ wrong path, method, type or size ──▶ a status of the 400s
//! ```
//!
//! # Limits
//!
//! Those of TCP connections, and for each of these: 100 requests at a time;
//! 64 KiB of bodies that are not answered yet; 8 responses that are being
//! written, since a client may ask for more than it reads.
//!
//! # What is absent
//!
//! HTTP/1.1 and HTTP/3, names of hosts (any will do) and compression, which
//! would show others what an answer holds.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, response};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::server::TlsStream;

use super::counters::{Counter, Tally};
use super::session::{Answerer, Session, grace_is_over};
use crate::wire;

/// The type of a message (RFC 8484 section 6).
const MESSAGE_TYPE: &str = "application/dns-message";

/// Requests of a connection at a time: RFC 9113 section 6.5.2 recommends no
/// fewer.
const REQUESTS: u32 = 100;

/// Responses of a connection that are being written at a time. The longest has
/// 64 KiB.
const RESPONSES: usize = 8;

/// Octets of all headers of a request. A query in an address has 700 at most
/// that are of use, browsers send 1,000 besides.
const HEADERS: u32 = 16 << 10;

/// Octets of a response that HTTP takes before they have left.
const SENDING: usize = 16 << 10;

/// Octets of bodies that are on their way or not answered yet: the longest
/// message.
const BODIES: u32 = u16::MAX as u32;

//----------- Serving --------------------------------------------------------

/// Serves a connection to its end.
pub(super) async fn serve(stream: TlsStream<TcpStream>, path: Arc<str>, mut session: Session) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(REQUESTS)
        .max_header_list_size(HEADERS)
        .max_send_buffer_size(SENDING)
        .initial_window_size(BODIES)
        .initial_connection_window_size(BODIES);
    let Some(http) = session.shake_hands(builder.handshake::<_, Bytes>(stream)).await else {
        return;
    };
    let requests = JoinSet::new();
    let room = Arc::new(Semaphore::new(RESPONSES));
    if let Some(ending) = (Serving { http, path, room, requests }).run(&session).await {
        session.lane.count(ending);
    }
}

/// A connection and the requests that are under way.
struct Serving {
    http: Connection<TlsStream<TcpStream>, Bytes>,
    path: Arc<str>,

    /// For responses that are being written.
    room: Arc<Semaphore>,

    requests: JoinSet<Result<(), Counter>>,
}

impl Serving {
    /// Answers requests until the connection ends; returns why the server ends
    /// it, if it does.
    async fn run(mut self, session: &Session) -> Option<Counter> {
        let limits = &session.service.limits;
        let ending = loop {
            let is_idle = self.requests.is_empty();
            // Where it is closed for another, `closed` says so below.
            session.permit.note(is_idle);
            tokio::select! {
                accepted = self.http.accept() => match accepted {
                    Some(Ok((request, response))) => self.begin(request, response, session),
                    // By a client that is gone, or that does not speak HTTP.
                    Some(Err(error)) if error.is_io() => return None,
                    Some(Err(_)) => return Some(Counter::ProtocolErrors),
                    None => return None,
                },
                Some(done) = self.requests.join_next() => {
                    if let Ok(Err(ending)) = done {
                        break Some(ending);
                    }
                }
                () = session.permit.closed() => break Some(Counter::ClosedOldest),
                () = grace_is_over(session.stop.clone()) => break None,
                () = time::sleep(limits.idle), if is_idle => break Some(Counter::ClosedIdle),
            }
        };
        // Whoever does not read is not waited for.
        let _ = time::timeout(limits.write, self.end(session)).await;
        ending
    }

    fn begin(
        &mut self,
        request: Request<RecvStream>,
        response: SendResponse<Bytes>,
        session: &Session,
    ) {
        let (path, room) = (self.path.clone(), self.room.clone());
        let exchange = Exchange { response, path, room, answerer: session.answerer() };
        self.requests.spawn(exchange.run(request));
    }

    /// Has what is under way come to its end, and takes nothing that is sent
    /// when the client knows.
    async fn end(mut self, session: &Session) {
        self.http.graceful_shutdown();
        while let Some(Ok((request, response))) = self.http.accept().await {
            self.begin(request, response, session);
        }
    }
}

//----------- Exchange -------------------------------------------------------

/// One request and its response.
struct Exchange {
    response: SendResponse<Bytes>,
    path: Arc<str>,
    room: Arc<Semaphore>,
    answerer: Answerer,
}

impl Exchange {
    /// Answers a request; fails with why the connection is to end.
    async fn run(mut self, request: Request<RecvStream>) -> Result<(), Counter> {
        let (head, mut body) = request.into_parts();
        let limits = self.answerer.service.limits.clone();
        // What was read of the body fills the connection's window until `body`
        // is gone, and that is after the answer.
        let message = message(&self.path, &head, &mut body);
        let message = match time::timeout(limits.read, message).await {
            Ok(Ok(message)) => message,
            Ok(Err(status)) => {
                // Some clients take it for a fault to be refused before they
                // have sent all.
                let _ = time::timeout(limits.read, read(&mut body)).await;
                self.refuse(status);
                return Ok(());
            }
            Err(_) => return Err(Counter::ClosedRead),
        };
        let room = self.room.clone();
        // It is never closed.
        let _room = room.acquire().await;
        let Some(response) = self.answerer.respond(&message) else {
            // Silence, as over UDP, would leave the client waiting.
            refuse(&mut self.response, StatusCode::BAD_REQUEST);
            return Ok(());
        };
        match time::timeout(limits.write, send(&mut self.response, response)).await {
            // The client has given up what it asked.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => Err(Counter::ClosedWrite),
        }
    }

    fn refuse(mut self, status: StatusCode) {
        self.answerer.count(Counter::ProtocolErrors);
        refuse(&mut self.response, status);
    }
}

/// Returns the message that a request carries, or the status to refuse it with.
async fn message(path: &str, head: &Parts, body: &mut RecvStream) -> Result<Bytes, StatusCode> {
    if head.uri.path() != path {
        return Err(StatusCode::NOT_FOUND);
    }
    match head.method {
        Method::GET => message_of(head.uri.query().unwrap_or("")).ok_or(StatusCode::BAD_REQUEST),
        Method::POST if !is_message(head.headers.get(CONTENT_TYPE)) => {
            Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
        Method::POST => read(body).await,
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// Decodes the message of an address (RFC 8484 section 4.1).
fn message_of(query: &str) -> Option<Bytes> {
    let text = query.split('&').find_map(|part| part.strip_prefix("dns="))?;
    // Some encode it with padding all the same.
    let octets = BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes());
    octets.ok().map(Bytes::from)
}

/// Says whether a type is that of messages.
fn is_message(value: Option<&HeaderValue>) -> bool {
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = text.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case(MESSAGE_TYPE)
}

/// Reads a body, which has no more octets than the window.
async fn read(body: &mut RecvStream) -> Result<Bytes, StatusCode> {
    let mut message = BytesMut::new();
    while let Some(part) = body.data().await {
        message.extend_from_slice(&part.map_err(|_| StatusCode::BAD_REQUEST)?);
    }
    Ok(message.freeze())
}

/// Sends a response as fast as the client takes it.
async fn send(response: &mut SendResponse<Bytes>, message: Vec<u8>) -> Result<(), h2::Error> {
    // An answer is for one client's network: no cache that others share may
    // keep it.
    let cache = format!("private, max-age={}", wire::lifetime(&message));
    let head = Response::builder()
        .header(CONTENT_TYPE, MESSAGE_TYPE)
        .header(CONTENT_LENGTH, message.len())
        .header(CACHE_CONTROL, cache);
    let mut stream = response.send_response(built(head), false)?;
    let mut rest = Bytes::from(message);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(room) = poll_fn(|context| stream.poll_capacity(context)).await else { break };
        let part = rest.split_to(room?.min(rest.len()));
        stream.send_data(part, rest.is_empty())?;
    }
    Ok(())
}

fn refuse(response: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut head = Response::builder().status(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        head = head.header(ALLOW, "GET, POST");
    }
    // The client may be gone.
    let _ = response.send_response(built(head), true);
}

/// Completes a head of which every part is well-formed.
fn built(head: response::Builder) -> Response<()> {
    head.body(()).unwrap_or_default()
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_an_address_is_found_and_decoded() {
        let found = |query| message_of(query).map(|octets| octets.to_vec());
        assert_eq!(found("dns=AAEC_-8"), Some(vec![0, 1, 2, 255, 239]));
        assert_eq!(found("ct=x&dns=AAEC_-8="), Some(vec![0, 1, 2, 255, 239]));
        for query in ["", "dns", "xdns=AAEC", "dns=AA+C", "dns=A"] {
            assert_eq!(found(query), None, "{query}");
        }
    }

    #[test]
    fn a_type_may_have_parameters_and_any_letter_case() {
        let is_one = |text| is_message(Some(&HeaderValue::from_static(text)));
        assert!(is_one("application/dns-message") && is_one("Application/DNS-Message; x=y"));
        assert!(!is_one("application/json") && !is_one("") && !is_message(None));
    }
}
