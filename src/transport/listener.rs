//! Binding addresses.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::Certificates;
#[cfg(target_os = "linux")]
use super::udp::{pinning, sys};
use crate::config::model;
use crate::diag::Located;

//----------- Listener -------------------------------------------------------

/// The sockets of one address.
#[derive(Debug)]
pub struct Listener {
    /// The address, with the port that the system chose where 0 was asked.
    pub address: SocketAddr,

    /// For datagrams, one a worker.
    pub udp: Vec<UdpSocket>,

    /// For connections.
    pub tcp: TcpListener,

    /// The processors that the workers are bound to, in their order; empty where
    /// they run on any.
    pub processors: Vec<usize>,
}

impl Listener {
    /// The receive buffer asked for, in octets.
    ///
    /// The system's 208 KiB hold about 280 small queries, 14 ms at 20,000 a
    /// second; a region's resolvers that ask in the same moment are more.
    /// 4 MiB hold over 5,000, which are answered within 50 ms.
    const RECEIVE_BUFFER: usize = 4 << 20;

    /// How long a worker waits for a datagram before it looks whether it is
    /// to stop. Ten wake-ups a second cost 0.02 % of a core.
    const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);

    /// How long a worker waits for room in the send buffer. Whole batches fit
    /// into the system's default of 208 KiB: the wait is for a network
    /// interface that does not send, and queries queue up meanwhile.
    const SEND_TIMEOUT: Duration = Duration::from_millis(100);

    /// Connections that wait to be accepted.
    const BACKLOG: i32 = 1024;

    /// Ports that are tried where any will do. One that is free for TCP is
    /// nearly always free for UDP.
    const PORT_ATTEMPTS: usize = 16;

    /// Binds an address for TCP, and for UDP once for each worker.
    pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Self> {
        let mut attempts = if address.port() == 0 { Self::PORT_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::bind_once(address, workers.max(1)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                result => return result,
            }
        }
    }

    /// Has each worker run on a processor of its own, and get what arrives there;
    /// fails where there are fewer processors than workers.
    #[cfg(target_os = "linux")]
    pub fn pin(&mut self) -> io::Result<()> {
        let mut processors = pinning::processors()?;
        let (count, workers) = (processors.len(), self.udp.len());
        if count < workers {
            let why = format!("{count} processors for {workers} workers: set `workers` to {count}");
            return Err(io::Error::other(why));
        }
        processors.truncate(workers);
        pinning::attach(&self.udp[0], &processors)?;
        self.processors = processors;
        Ok(())
    }

    /// Fails: it takes Linux.
    #[cfg(not(target_os = "linux"))]
    pub fn pin(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn bind_once(address: SocketAddr, workers: usize) -> io::Result<Self> {
        // TCP comes first. UDP sockets of the same user may share a port, two
        // listeners may not: a second server on an address fails here.
        let tcp = Self::bind_tcp(address)?;
        let address = tcp.local_addr()?;
        let udp = Self::bind_udp(address, workers)?;
        Ok(Listener { address, udp, tcp, processors: Vec::new() })
    }

    fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Self::socket(address, Type::STREAM, Protocol::TCP)?;
        // Connections of a server that has just stopped must not keep the
        // next one from starting.
        socket.set_reuse_address(true)?;
        // Answers to queries that come one by one must not wait for each
        // other. Connections inherit it, which saves each a system call.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(Self::BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Binds sockets among which Linux spreads clients by their address and
    /// port. Elsewhere the last one bound would get everything: workers share
    /// one.
    fn bind_udp(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
        let first = Self::bind_one_udp(address)?;
        let mut sockets = vec![first];
        while sockets.len() < workers {
            sockets.push(match cfg!(target_os = "linux") {
                true => Self::bind_one_udp(address)?,
                false => sockets[0].try_clone()?,
            });
        }
        Ok(sockets)
    }

    fn bind_one_udp(address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Self::socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.set_read_timeout(Some(Self::RECEIVE_TIMEOUT))?;
        socket.set_write_timeout(Some(Self::SEND_TIMEOUT))?;
        #[cfg(target_os = "linux")]
        {
            socket.set_reuse_port(true)?;
            sys::prepare(&socket, address)?;
            if sys::force_receive_buffer(&socket, Self::RECEIVE_BUFFER).is_err() {
                // Without the privilege the system may grant less.
                socket.set_recv_buffer_size(Self::RECEIVE_BUFFER)?;
            }
        }
        #[cfg(not(target_os = "linux"))]
        socket.set_recv_buffer_size(Self::RECEIVE_BUFFER)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            // So that 0.0.0.0 and :: can both be listened on.
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    }
}

//----------- Encrypted ------------------------------------------------------

/// The sockets of the encrypted transports, and what is done with them.
#[derive(Debug)]
pub struct Encrypted {
    /// For connections with TLS, each with its address.
    pub tls: Vec<(SocketAddr, TcpListener)>,

    /// For datagrams with QUIC, each with its address.
    pub quic: Vec<(SocketAddr, UdpSocket)>,

    /// For connections with HTTPS, each with its address.
    pub https: Vec<(SocketAddr, TcpListener)>,

    /// The path that is asked over HTTPS.
    pub path: String,

    /// The certificate.
    pub certificates: Arc<Certificates>,

    /// How long a handshake may take.
    pub handshake: Duration,
}

impl Encrypted {
    /// Binds what the configuration names; fails with the address that cannot
    /// be bound, and the key that names it.
    pub fn bind(
        config: &model::Encrypted,
        certificates: Arc<Certificates>,
    ) -> Result<Self, (SocketAddr, &'static str, io::Error)> {
        let tcp = |address| {
            let listener = Listener::bind_tcp(address)?;
            Ok((listener.local_addr()?, listener))
        };
        let udp = |address| {
            let socket = Listener::socket(address, Type::DGRAM, Protocol::UDP)?;
            socket.bind(&address.into())?;
            let socket = UdpSocket::from(socket);
            Ok((socket.local_addr()?, socket))
        };
        Ok(Encrypted {
            tls: bind_each("tls", &config.tls, tcp)?,
            quic: bind_each("quic", &config.quic, udp)?,
            https: bind_each("https", &config.https, tcp)?,
            path: config.path.clone(),
            certificates,
            handshake: config.handshake,
        })
    }
}

/// Binds the addresses of a key.
fn bind_each<T>(
    key: &'static str,
    addresses: &[Located<SocketAddr>],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<Vec<T>, (SocketAddr, &'static str, io::Error)> {
    let bind = |address: &Located<SocketAddr>| {
        bind(address.value).map_err(|error| (address.value, key, error))
    };
    addresses.iter().map(bind).collect()
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sockets_of_an_address_have_one_port() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 4).unwrap();
        assert_ne!(listener.address.port(), 0);
        assert_eq!(listener.udp.len(), 4);
        for socket in &listener.udp {
            assert_eq!(socket.local_addr().unwrap(), listener.address);
        }
        assert_eq!(listener.tcp.local_addr().unwrap(), listener.address);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn workers_that_are_more_than_processors_are_not_pinned() {
        let processors = pinning::processors().unwrap();
        let pin = |workers| {
            let mut listener = Listener::bind(([127, 0, 0, 1], 0).into(), workers).unwrap();
            let result = listener.pin();
            (listener.processors, result.map_err(|error| error.to_string()))
        };
        assert_eq!(pin(processors.len()), (processors.clone(), Ok(())));
        assert_eq!(pin(1), (vec![processors[0]], Ok(())));
        let (pinned, result) = pin(processors.len() + 1);
        assert!(pinned.is_empty());
        let count = processors.len();
        assert!(result.unwrap_err().ends_with(&format!("set `workers` to {count}")));
    }

    #[test]
    fn an_address_is_not_bound_twice() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 2).unwrap();
        let error = Listener::bind(listener.address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
