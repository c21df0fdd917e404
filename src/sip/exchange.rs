//! One OPTIONS request to one address, and what came of it.
//!
//! Over UDP the request is sent again as RFC 3261 section 17.1.2.2 says, until
//! a final response comes or the time is up; over TCP and TLS it is sent once,
//! on a connection of its own. Only an answer to the request counts: anything
//! else is passed over, and told of where no answer comes.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::Transport;
use super::health::Verdict;
use super::message::{self, BODY_MAX, Frame, HEAD_MAX, Malformed, Response, Transaction};
use super::targets::Target;
use super::tls::{Certificate, Tls, Witness};
use crate::config::show_duration;

/// How soon a request is sent again the first time (RFC 3261 section 17.1.1.1).
const T1: Duration = Duration::from_millis(500);

/// How far apart it is sent at most, and once somebody said that it is being
/// worked on.
const T2: Duration = Duration::from_secs(4);

//----------- Settings -------------------------------------------------------

/// How endpoints are asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an answer may take, connecting included.
    pub timeout: Duration,

    /// The URI that is asked for; `sip:` and the zone without one.
    pub uri: Option<String>,

    /// Status codes that count as 200.
    pub accepted: Vec<u16>,

    /// What certificates are measured by; none where TLS is not asked for.
    pub tls: Option<Arc<Tls>>,

    /// The name that a certificate must be for; the zone or the endpoint
    /// without one.
    pub tls_name: Option<String>,
}

//----------- Observation ----------------------------------------------------

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What follows by the platform's rules.
    pub verdict: Verdict,

    /// The status code, if there was an answer.
    pub code: Option<u16>,

    /// The answer or what there was instead, in a few words.
    pub what: String,

    /// How long the answer took, connecting not included.
    pub took: Option<Duration>,

    /// How often the request was sent.
    pub sent: u32,

    /// What the endpoint's certificate says.
    pub certificate: Option<Certificate>,

    /// What an operator should know beside.
    pub notes: Vec<String>,
}

/// Asks a target once.
pub async fn probe(target: &Target, settings: &Settings, random: [u8; 24]) -> Observation {
    let transaction = Transaction::new(random);
    let uri = settings.uri.clone().unwrap_or_else(|| format!("sip:{}", target.zone));
    let progress = Progress::default();
    let exchange = Exchange { target, uri, transaction, progress: &progress };
    let (outcome, certificate) = match target.transport {
        Transport::Udp => (exchange.limited(settings.timeout, exchange.udp()).await, None),
        Transport::Tcp => (exchange.limited(settings.timeout, exchange.tcp()).await, None),
        Transport::Tls => match exchange.tls_client(settings) {
            Ok(client) => {
                let witness = client.witness.clone();
                let outcome = exchange.limited(settings.timeout, exchange.tls(client)).await;
                (outcome, witness.seen())
            }
            Err(why) => (Err(why), None),
        },
    };
    observation(outcome, certificate, target, settings, &progress)
}

fn observation(
    outcome: Result<Answer, String>,
    certificate: Option<Certificate>,
    target: &Target,
    settings: &Settings,
    progress: &Progress,
) -> Observation {
    let sent = progress.sent.get();
    let problem = certificate.as_ref().and_then(|certificate| certificate.problem.clone());
    match outcome {
        Ok(Answer { response, local, took }) => Observation {
            verdict: Verdict::of(response.code, &settings.accepted),
            code: Some(response.code),
            what: format!("{} {}", response.code, response.reason).trim().to_owned(),
            took: Some(took),
            sent,
            certificate,
            notes: notes(&response, local, target.address),
        },
        Err(why) => Observation {
            verdict: Verdict::Unavailable,
            code: None,
            what: problem.unwrap_or(why),
            took: None,
            sent,
            certificate,
            notes: progress.ignored.take().into_iter().collect(),
        },
    }
}

/// Returns what a response gives away about the way to the endpoint.
fn notes(response: &Response, local: SocketAddr, remote: SocketAddr) -> Vec<String> {
    let mut notes = Vec::new();
    let seen = SocketAddr::new(
        response.via.received.unwrap_or(local.ip()),
        response.via.rport.unwrap_or(local.port()),
    );
    if seen != local {
        notes.push(format!("the request went out from {local} and came from {seen}"));
    }
    let private = response.contact.filter(|contact| is_private(*contact));
    if let Some(contact) = private.filter(|_| !is_private(remote.ip())) {
        notes.push(format!("the endpoint calls itself {contact}, which is a private address"));
    }
    notes
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

//----------- Exchange -------------------------------------------------------

/// A request under way.
struct Exchange<'a> {
    target: &'a Target,
    uri: String,
    transaction: Transaction,
    progress: &'a Progress,
}

/// How far a request has come.
#[derive(Default)]
struct Progress {
    /// How often it was sent.
    sent: Cell<u32>,

    /// What is waited for.
    stage: Cell<Stage>,

    /// What came that was no answer to it.
    ignored: Cell<Option<String>>,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Connecting,
    Handshake,
    Waiting,
    Proceeding,
}

/// A final response.
struct Answer {
    response: Response,
    local: SocketAddr,
    took: Duration,
}

impl Exchange<'_> {
    /// Waits for an exchange no longer than its time.
    async fn limited(
        &self,
        limit: Duration,
        exchange: impl Future<Output = io::Result<Answer>>,
    ) -> Result<Answer, String> {
        match timeout(limit, exchange).await {
            Ok(result) => result.map_err(|error| failure(&error)),
            Err(_) => {
                let what = match self.progress.stage.get() {
                    Stage::Connecting => "no connection",
                    Stage::Handshake => "no TLS handshake",
                    Stage::Waiting => "no answer",
                    Stage::Proceeding => "no final answer",
                };
                Err(format!("{what} within {}", show_duration(limit)))
            }
        }
    }

    fn request(&self, local: SocketAddr) -> Vec<u8> {
        self.transaction.request(&self.uri, self.target.transport, local)
    }

    fn note_sent(&self) {
        self.progress.sent.set(self.progress.sent.get() + 1);
    }

    /// Returns a message if it is the final response to the request.
    fn take(&self, message: &[u8]) -> Option<Response> {
        let ignored = match message::parse(message) {
            Ok(Some(response)) if !self.transaction.owns(&response) => {
                format!("a response came that is to another request: {}", response.code)
            }
            Ok(Some(response)) if response.is_provisional() => {
                self.progress.stage.set(Stage::Proceeding);
                return None;
            }
            Ok(Some(response)) => return Some(response),
            Ok(None) => "a request came instead of a response".to_owned(),
            Err(malformed) => format!("a message came that is no response: {malformed}"),
        };
        self.progress.ignored.set(Some(ignored));
        None
    }

    //------------ UDP -------------------------------------------------------

    async fn udp(&self) -> io::Result<Answer> {
        let any: IpAddr = match self.target.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(self.target.address).await?;
        let local = socket.local_addr()?;
        let request = self.request(local);
        self.progress.stage.set(Stage::Waiting);
        let begin = Instant::now();
        let mut buffer = vec![0; HEAD_MAX + BODY_MAX];
        // Timer E: it doubles up to T2.
        let mut wait = T1;
        loop {
            socket.send(&request).await?;
            self.note_sent();
            let again = Instant::now() + wait;
            while let Ok(received) = timeout_at(again, socket.recv(&mut buffer)).await {
                if let Some(response) = self.take(&buffer[..received?]) {
                    return Ok(Answer { response, local, took: begin.elapsed() });
                }
            }
            wait = match self.progress.stage.get() {
                Stage::Proceeding => T2,
                _ => (wait * 2).min(T2),
            };
        }
    }

    //------------ TCP and TLS -----------------------------------------------

    async fn tcp(&self) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.target.address).await?;
        let local = stream.local_addr()?;
        self.stream(stream, local).await
    }

    async fn tls(&self, client: TlsClient) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.target.address).await?;
        let local = stream.local_addr()?;
        self.progress.stage.set(Stage::Handshake);
        let stream = client.connector.connect(client.name, stream).await?;
        self.stream(stream, local).await
    }

    async fn stream(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        local: SocketAddr,
    ) -> io::Result<Answer> {
        self.progress.stage.set(Stage::Waiting);
        let begin = Instant::now();
        stream.write_all(&self.request(local)).await?;
        stream.flush().await?;
        self.note_sent();
        let mut received = Vec::new();
        loop {
            let used = match message::frame(&received).map_err(unreadable)? {
                Frame::Whole(len) => match self.take(&received[..len]) {
                    Some(response) => {
                        return Ok(Answer { response, local, took: begin.elapsed() });
                    }
                    None => len,
                },
                Frame::Idle(len) => len,
                Frame::Part => {
                    // `frame` bounds what is gathered here.
                    if stream.read_buf(&mut received).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    0
                }
            };
            received.drain(..used);
        }
    }

    fn tls_client(&self, settings: &Settings) -> Result<TlsClient, String> {
        let tls = settings.tls.as_ref().ok_or("TLS is not set up")?;
        let wanted = match &settings.tls_name {
            Some(name) => vec![name.clone()],
            None => vec![self.target.zone.clone(), self.target.endpoint.clone()],
        };
        let name = |text: &String| ServerName::try_from(text.clone()).ok();
        let names: Vec<_> = wanted.iter().filter_map(name).collect();
        let name = names.first().cloned();
        let name = name.ok_or_else(|| format!("{} is no name for TLS", wanted.join(" or ")))?;
        let (config, witness) = tls.client(names);
        Ok(TlsClient { connector: Arc::new(config).into(), name, witness })
    }
}

/// What it takes to connect over TLS.
struct TlsClient {
    connector: TlsConnector,

    /// What the client says whom it means (SNI).
    name: ServerName<'static>,

    witness: Arc<Witness>,
}

fn unreadable(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no SIP message: {malformed}"))
}

/// Says what went wrong, for people.
fn failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused: nothing listens on this port".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed without an answer".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no route to it from here".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this host has no address to ask it from".to_owned(),
        _ => error.to_string(),
    }
}
