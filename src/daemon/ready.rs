//! Asking oneself: whether every address answers, over UDP and TCP.
//!
//! The questions take the way of any other, through the sockets and the
//! answer core, and are counted like any other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// `id.server CH TXT` (RFC 4892): every server has an answer to it, if only
/// that it is refused.
const QUERY: &[u8] = b"\x52\x44\0\0\0\x01\0\0\0\0\0\0\x02id\x06server\0\0\x10\0\x03";

/// Asks every address; returns a line for each that does not answer.
pub(super) async fn failures(listeners: &[SocketAddr]) -> Vec<String> {
    let mut failures = Vec::new();
    for address in listeners {
        let reachable = reachable(*address);
        let (udp, tcp) = tokio::join!(patiently(udp(reachable)), patiently(tcp(reachable)));
        for (transport, result) in [("UDP", udp), ("TCP", tcp)] {
            if let Err(error) = result {
                failures.push(format!("{transport} on {address} does not answer: {error}\n"));
            }
        }
    }
    failures
}

/// Returns an address at which a socket can be asked.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

async fn patiently(ask: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn udp(address: SocketAddr) -> io::Result<()> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    socket.send(QUERY).await?;
    let mut octets = [0; 512];
    let len = socket.recv(&mut octets).await?;
    check(&octets[..len])
}

async fn tcp(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[&(QUERY.len() as u16).to_be_bytes(), QUERY].concat()).await?;
    let len = stream.read_u16().await?;
    let mut octets = vec![0; len.into()];
    stream.read_exact(&mut octets).await?;
    check(&octets)
}

/// Refuses what is no response to the query.
fn check(octets: &[u8]) -> io::Result<()> {
    match octets {
        [0x52, 0x44, flags, ..] if flags & 0x80 != 0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "this is no response")),
    }
}
