//! Sockets: messages in, messages out.
//!
//! Every transport is a thin shell around [`answer`](crate::answer::answer):
//! it owns sockets and deadlines and knows nothing of zones.

pub mod hickory;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

//----------- Listener -------------------------------------------------------

/// The sockets of one address.
#[derive(Debug)]
pub struct Listener {
    /// The address, with the port that the system chose where 0 was asked.
    pub address: SocketAddr,

    /// For datagrams.
    pub udp: UdpSocket,

    /// For connections.
    pub tcp: TcpListener,
}

impl Listener {
    /// The receive buffer asked for, in octets.
    ///
    /// The system's 208 KiB hold about 280 small queries, 14 ms at 20,000 a
    /// second; a region's resolvers that ask in the same moment are more.
    /// 4 MiB hold over 5,000, which are answered within 50 ms.
    const RECEIVE_BUFFER: usize = 4 << 20;

    /// Connections that wait to be accepted.
    const BACKLOG: i32 = 1024;

    /// Binds UDP and TCP sockets to an address, and the same port.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = Self::bind_tcp(address)?;
        let address = tcp.local_addr()?;
        let udp = Self::bind_udp(address)?;
        Ok(Listener { address, udp, tcp })
    }

    fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Self::socket(address, Type::STREAM, Protocol::TCP)?;
        // Connections of a server that has just stopped must not keep the
        // next one from starting.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(Self::BACKLOG)?;
        Ok(socket.into())
    }

    fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Self::socket(address, Type::DGRAM, Protocol::UDP)?;
        // The system may grant less.
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
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}
