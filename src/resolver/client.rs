//! A client of a resolver: over UDP, and over TCP where the answer is cut
//! short.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr;

use crate::answer::UDP_PAYLOAD;
use crate::wire::{Name, Rtype};

/// How often a query is sent over UDP within the time.
const TRIES: u32 = 3;

//----------- Resolver -------------------------------------------------------

/// A resolver.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    /// Where it is.
    pub address: SocketAddr,

    /// How long an answer may take.
    pub timeout: Duration,
}

/// What a resolver said.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message.
    pub message: Message,

    /// How long it took, from the first query on.
    pub took: Duration,

    /// Whether it came over TCP.
    pub over_tcp: bool,
}

impl Resolver {
    /// Asks a question.
    pub fn ask(&self, name: &Name, rtype: Rtype) -> Result<Reply, Failure> {
        let query = query(name, rtype)?;
        let octets = query.to_vec().map_err(|_| Failure::Name)?;
        let begin = Instant::now();
        let mut message = self.over_udp(&query, &octets, begin)?;
        let over_tcp = message.metadata.truncation;
        if over_tcp {
            message = self.over_tcp(&query, &octets, begin)?;
        }
        Ok(Reply { message, took: begin.elapsed(), over_tcp })
    }

    fn over_udp(&self, query: &Message, octets: &[u8], begin: Instant) -> Result<Message, Failure> {
        let any: IpAddr = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.address)?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        for attempt in 1..=TRIES {
            socket.send(octets)?;
            let until = self.timeout * attempt / TRIES;
            while let Some(left) = until.checked_sub(begin.elapsed()).filter(|left| !left.is_zero())
            {
                socket.set_read_timeout(Some(left))?;
                match socket.recv(&mut buffer) {
                    Ok(len) => match Message::from_vec(&buffer[..len]) {
                        Ok(message) if answers(&message, query) => return Ok(message),
                        // A forgery, a late answer, or nonsense.
                        _ => {}
                    },
                    Err(error) if is_timeout(&error) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(Failure::Silent(self.timeout))
    }

    fn over_tcp(&self, query: &Message, octets: &[u8], begin: Instant) -> Result<Message, Failure> {
        let left = self.timeout.checked_sub(begin.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or(Failure::Silent(self.timeout))?;
        let mut stream = TcpStream::connect_timeout(&self.address, left)?;
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        // A query is shorter than 65,536 octets.
        stream.write_all(&[&(octets.len() as u16).to_be_bytes(), octets].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut buffer = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut buffer)?;
        let message = Message::from_vec(&buffer).ok();
        message.filter(|message| answers(message, query)).ok_or(Failure::Nonsense)
    }
}

/// Returns a query with an unpredictable id.
fn query(name: &Name, rtype: Rtype) -> Result<Message, Failure> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|_| Failure::Random)?;
    let mut message = Message::new(u16::from_ne_bytes(id), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = rr::Name::from_ascii(name.to_string()).map_err(|_| Failure::Name)?;
    message.add_query(Query::query(name, rtype.0.into()));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    message.edns = Some(edns);
    Ok(message)
}

/// Says whether a message is the response to a query (RFC 5452 section 9.1).
fn answers(message: &Message, query: &Message) -> bool {
    message.metadata.id == query.metadata.id
        && message.metadata.message_type == MessageType::Response
        && message.queries == query.queries
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

//============ Errors ========================================================

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The name cannot be asked for.
    Name,

    /// What came over TCP is no answer.
    Nonsense,

    /// The system has no random numbers.
    Random,

    /// Nothing came in time.
    Silent(Duration),

    /// The system cannot reach it.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::System(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Name => f.write_str("this name cannot be asked for"),
            Failure::Nonsense => f.write_str("what it sent over TCP is no answer"),
            Failure::Random => f.write_str("the system has no random numbers"),
            Failure::Silent(time) => write!(f, "no answer within {} s", time.as_secs_f64()),
            Failure::System(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("refused: nothing listens on this port")
            }
            Failure::System(error) if is_timeout(error) => f.write_str("no answer in time"),
            Failure::System(error) => error.fmt(f),
        }
    }
}
