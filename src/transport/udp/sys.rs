//! The system calls of Linux that take several datagrams at once.
//!
//! All unsafe code of trunkdns is here. It is five calls; what they are given
//! is made, and what they return is read, by safe code.
//!
//! # Why it is sound
//!
//! `recvmmsg` and `sendmmsg` follow pointers: from a header to a name, a
//! control buffer and an I/O vector, and from the vector to the octets.
//!
//! - Every pointer is taken from a field of the [`Batch`] within the method
//!   that makes the call, and each comes with the length of that field. The
//!   method borrows the batch mutably, so that nothing moves, frees or reads
//!   the fields before the call has returned. No pointer is used after that.
//! - The kernel writes octets into arrays of octets, for which any value is
//!   valid. Lengths that it returns are bounded before they are used.
//! - Headers and vectors are plain C structures of integers and pointers, for
//!   which zeroes are valid.
//!
//! The layout of names and control messages is the kernel's, which is the
//! same whatever C library is used.

#![expect(unsafe_code, reason = "system calls; the module says why they are sound")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use libc::c_int;

use super::{Datagram, MESSAGE_ROOM};
use crate::answer::{Client, Transport, UDP_PAYLOAD};

//----------- Socket options -------------------------------------------------

/// Sets what [`Batch`] counts on.
///
/// Where the address is a wildcard, each datagram comes with the address that
/// it was sent to; otherwise that is known. Path MTU discovery is off: no
/// reply exceeds 1232 octets, and what forged ICMP messages say of smaller
/// paths is not believed.
pub(in crate::transport) fn prepare(socket: &impl AsRawFd, address: SocketAddr) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    let is_wildcard = address.ip().is_unspecified();
    match address {
        SocketAddr::V4(_) => {
            set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)?;
            if is_wildcard {
                set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            }
        }
        SocketAddr::V6(_) => {
            let omit = libc::IPV6_PMTUDISC_OMIT;
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, omit)?;
            if is_wildcard {
                set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            }
        }
    }
    Ok(())
}

/// Sets the receive buffer beyond the system's limit, which needs
/// CAP_NET_ADMIN.
pub(in crate::transport) fn force_receive_buffer(
    socket: &impl AsRawFd,
    octets: usize,
) -> io::Result<()> {
    let octets = c_int::try_from(octets).unwrap_or(c_int::MAX);
    set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
}

/// Has a program of classic BPF say which of the sockets that share a port gets
/// a datagram, by their order; where it names none, the kernel does.
pub(super) fn choose_socket(fd: RawFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let steps = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let value = libc::sock_fprog { len: steps, filter: program.as_ptr().cast_mut() };
    let len = mem::size_of_val(&value) as libc::socklen_t;
    let name = libc::SO_ATTACH_REUSEPORT_CBPF;
    // SAFETY: the kernel reads `len` octets at the pointer, which are those of
    // `value`, and through it the steps of `program`, as many as there are. It
    // copies both, and writes to neither.
    let result =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_option(fd: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let len = mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` octets at the pointer, which are those of
    // `value`; it lives until the call returns.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//----------- Batch ----------------------------------------------------------

/// Datagrams received in one system call, and the replies to them, which are
/// sent in another. Its buffers are used again and again.
pub(super) struct Batch {
    buffers: Box<Buffers>,

    /// How many datagrams were received, and of how many of them the answering
    /// was begun.
    received: usize,
    begun: usize,

    /// What came with each.
    arrivals: [Arrival; Self::WIDTH],

    /// Those that have a reply.
    replies: Vec<Reply>,
}

impl Batch {
    /// The most datagrams in a batch.
    ///
    /// Under load a query costs 5.9 µs of processor time with one at a time,
    /// and 4.4 µs with 16, 32 or 64 (`cargo bench --bench load`). The buffers
    /// of 32, 175 KiB, fit into a second-level cache.
    pub(super) const WIDTH: usize = 32;

    /// Returns a batch without datagrams.
    pub(super) fn new() -> Self {
        Batch {
            buffers: Box::new(Buffers::new()),
            received: 0,
            begun: 0,
            arrivals: [const { Arrival::NONE }; Self::WIDTH],
            replies: Vec::with_capacity(Self::WIDTH),
        }
    }

    /// Receives what is there. Where nothing is, it waits for one datagram, as
    /// long as the socket's timeout says, or fails at once.
    ///
    /// What was in the batch is gone.
    pub(super) fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<()> {
        (self.received, self.begun) = (0, 0);
        self.replies.clear();
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        self.received = self.buffers.receive(socket.as_raw_fd(), flags as c_int)?;
        Ok(())
    }

    /// Has every datagram answered: `respond` writes a response into the octets
    /// that it is given and returns its length, or nothing where there is none.
    ///
    /// Where it panics, the datagrams behind are left for another call.
    pub(super) fn answer(
        &mut self,
        mut respond: impl FnMut(&Datagram<'_>, &mut [u8]) -> Option<usize>,
    ) {
        let buffers = &mut *self.buffers;
        while self.begun < self.received {
            let at = self.begun;
            self.begun += 1;
            let received = &buffers.headers[at];
            let name = &buffers.names[at].0[..limited(received.msg_hdr.msg_namelen, Name::LEN)];
            // None has another family than its socket.
            let Some((address, port)) = read_name(name) else { continue };
            let control = &buffers.controls[at].0;
            // Of another type in other C libraries.
            let len: usize = received.msg_hdr.msg_controllen as _;
            let arrival = &mut self.arrivals[at];
            *arrival = Arrival::NONE;
            if len > 0 {
                arrival.read(&control[..len.min(Control::LEN)]);
                buffers.overflow = arrival.overflow.unwrap_or(buffers.overflow);
            }
            let datagram = Datagram {
                client: Client { address, transport: Transport::Udp },
                port,
                destination: arrival.address.as_ref(),
                message: &buffers.messages[at][..limited(received.msg_len, MESSAGE_ROOM)],
            };
            if let Some(len) = respond(&datagram, &mut buffers.responses[at]) {
                self.replies.push(Reply { at, len, name_len: name.len() });
            }
        }
    }

    /// Returns the message of which the answering was begun last.
    pub(super) fn last_message(&self) -> &[u8] {
        let at = self.begun.saturating_sub(1);
        &self.buffers.messages[at][..limited(self.buffers.headers[at].msg_len, MESSAGE_ROOM)]
    }

    /// Sends the replies; returns how many the system did not take.
    ///
    /// One that fails does not hold up the others.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let count = self.replies.len();
        let mut done = 0;
        let mut failed = 0;
        while done < count {
            let replies = &self.replies[done..];
            match self.buffers.send(socket.as_raw_fd(), replies, &self.arrivals) {
                Ok(sent) => done += sent,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // There was no room for as long as the socket's timeout
                    // says: nor will there be for the rest.
                    io::ErrorKind::WouldBlock => return failed + (count - done),
                    _ => {
                        done += 1;
                        failed += 1;
                    }
                },
            }
        }
        failed
    }

    /// Returns how many datagrams did not fit into the socket's buffer since it
    /// was opened, modulo 2^32, as far as datagrams behind them have told.
    pub(super) fn overflow(&self) -> u32 {
        self.buffers.overflow
    }
}

/// A reply that is to be sent.
struct Reply {
    /// Where the datagram stands in the batch.
    at: usize,

    /// The length of the response, in octets.
    len: usize,

    /// The length of the address that it goes to, in octets.
    name_len: usize,
}

//----------- Buffers --------------------------------------------------------

/// All that pointers are ever taken of.
struct Buffers {
    messages: [[u8; MESSAGE_ROOM]; Batch::WIDTH],
    responses: [[u8; UDP_PAYLOAD as usize]; Batch::WIDTH],
    names: [Name; Batch::WIDTH],
    controls: [Control; Batch::WIDTH],
    vectors: [libc::iovec; Batch::WIDTH],
    headers: [libc::mmsghdr; Batch::WIDTH],

    /// What the last control message said of datagrams that did not fit.
    overflow: u32,
}

impl Buffers {
    fn new() -> Self {
        Buffers {
            messages: [[0; MESSAGE_ROOM]; Batch::WIDTH],
            responses: [[0; UDP_PAYLOAD as usize]; Batch::WIDTH],
            names: [const { Name([0; Name::LEN]) }; Batch::WIDTH],
            controls: [const { Control([0; Control::LEN]) }; Batch::WIDTH],
            vectors: [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; Batch::WIDTH],
            // SAFETY: `mmsghdr` consists of integers and raw pointers, and some
            // C libraries' of padding; zeroes are a value of each.
            headers: unsafe { mem::zeroed() },
            overflow: 0,
        }
    }

    /// Calls `recvmmsg`; returns how many datagrams there are.
    fn receive(&mut self, fd: RawFd, flags: c_int) -> io::Result<usize> {
        for at in 0..Batch::WIDTH {
            let message = &mut self.messages[at];
            self.vectors[at] =
                libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = self.names[at].0.as_mut_ptr().cast();
            header.msg_namelen = Name::LEN as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[at].0.as_mut_ptr().cast();
            header.msg_controllen = Control::LEN as _;
            header.msg_flags = 0;
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: there are `WIDTH` headers, and each was just pointed at
        // fields of `self`, with their lengths. There is no time limit.
        let count = unsafe {
            libc::recvmmsg(fd, headers, Batch::WIDTH as u32, flags as _, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(count.min(Batch::WIDTH))
    }

    /// Calls `sendmmsg`; returns how many replies the system took, at least
    /// one. It fails only where the first one does.
    fn send(
        &mut self,
        fd: RawFd,
        replies: &[Reply],
        arrivals: &[Arrival; Batch::WIDTH],
    ) -> io::Result<usize> {
        let replies = &replies[..replies.len().min(Batch::WIDTH)];
        for (slot, reply) in replies.iter().enumerate() {
            let response = &mut self.responses[reply.at];
            let iov_len = reply.len.min(response.len());
            self.vectors[slot] = libc::iovec { iov_base: response.as_mut_ptr().cast(), iov_len };
            let control = &mut self.controls[reply.at].0;
            let source = arrivals[reply.at].destination;
            let control_len = source.map_or(0, |source| source.write(control));
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = self.names[reply.at].0.as_mut_ptr().cast();
            header.msg_namelen = reply.name_len.min(Name::LEN) as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[slot];
            header.msg_iovlen = 1;
            header.msg_control =
                if control_len == 0 { ptr::null_mut() } else { control.as_mut_ptr().cast() };
            header.msg_controllen = control_len as _;
            header.msg_flags = 0;
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: there are `WIDTH` headers, of which the first `replies.len()`
        // were just pointed at fields of `self`, with lengths within theirs.
        let count = unsafe { libc::sendmmsg(fd, headers, replies.len() as u32, 0) };
        match usize::try_from(count) {
            // None sent and no error would be sent for ever.
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(count),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

/// Bounds a length that the kernel returned.
fn limited(len: u32, most: usize) -> usize {
    (len as usize).min(most)
}

//----------- Name -----------------------------------------------------------

/// A socket address as the kernel writes it: `sockaddr_in` or `sockaddr_in6`.
#[repr(align(8))]
struct Name([u8; Name::LEN]);

impl Name {
    /// That of `sockaddr_in6`, the longer one, in octets.
    const LEN: usize = 28;
}

/// Reads a socket address; IPv4 in IPv6 is IPv4.
///
/// ```text
/// sockaddr_in:  family 2 | port 2 | address 4 | zero 8
/// sockaddr_in6: family 2 | port 2 | flow 4    | address 16 | scope 4
/// ```
#[inline(never)]
fn read_name(octets: &[u8]) -> Option<(IpAddr, u16)> {
    let (family, rest) = octets.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let address: &[u8; 4] = rest.first_chunk()?;
            Some((Ipv4Addr::from(*address).into(), port))
        }
        libc::AF_INET6 => {
            let (_, rest) = rest.split_first_chunk::<4>()?;
            let address: &[u8; 16] = rest.first_chunk()?;
            Some((Ipv6Addr::from(*address).to_canonical(), port))
        }
        _ => None,
    }
}

//----------- Control --------------------------------------------------------

/// Control messages as the kernel writes and reads them, one behind the other:
///
/// ```text
/// length, of size_t | level 4 | type 4 | data, padded to the size of size_t
/// ```
#[repr(align(8))]
struct Control([u8; Control::LEN]);

impl Control {
    /// Room for the longest destination, 40 octets, and the overflow, 24.
    const LEN: usize = 64;

    /// The octets before the data.
    const HEAD: usize = mem::size_of::<usize>() + 8;
}

/// What the control messages of a datagram say.
#[derive(Debug)]
struct Arrival {
    destination: Option<Destination>,

    /// The address of the destination: IPv4 in IPv6 is IPv4.
    address: Option<IpAddr>,

    overflow: Option<u32>,
}

impl Arrival {
    /// Nothing is known: the socket has one address, and nothing was dropped.
    const NONE: Arrival = Arrival { destination: None, address: None, overflow: None };

    /// Reads control messages; leaves out those that nobody asked for.
    #[inline(never)]
    fn read(&mut self, mut octets: &[u8]) {
        while let Some((len, rest)) = octets.split_first_chunk() {
            let len = usize::from_ne_bytes(*len);
            let Some((level, rest)) = rest.split_first_chunk() else { break };
            let Some((kind, data)) = rest.split_first_chunk() else { break };
            let Some(data) = len.checked_sub(Control::HEAD).and_then(|len| data.get(..len)) else {
                break;
            };
            self.note(c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind), data);
            octets = octets.get(len.next_multiple_of(mem::size_of::<usize>())..).unwrap_or(&[]);
        }
        self.address = self.destination.map(Destination::address);
    }

    fn note(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.overflow = data.first_chunk().map(|count| u32::from_ne_bytes(*count));
            }
            // struct in_pktinfo: interface 4, local address 4, destination 4.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let local = data.get(4..8).and_then(|local| local.first_chunk::<4>());
                self.destination = local.map(|local| Destination::V4((*local).into()));
            }
            // struct in6_pktinfo: destination 16, interface 4.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.destination = data.split_first_chunk::<16>().and_then(|(address, rest)| {
                    let interface = u32::from_ne_bytes(*rest.first_chunk()?);
                    Some(Destination::V6((*address).into(), interface))
                });
            }
            _ => {}
        }
    }
}

/// The address that a datagram was sent to, which the reply is to come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Destination {
    V4(Ipv4Addr),

    /// With the interface that it came in at.
    V6(Ipv6Addr, u32),
}

impl Destination {
    /// Returns the address; IPv4 in IPv6 is IPv4.
    fn address(self) -> IpAddr {
        match self {
            Destination::V4(address) => address.into(),
            Destination::V6(address, _) => address.to_canonical(),
        }
    }

    /// Writes the control message that makes a reply come from here; returns
    /// its length with padding, in octets.
    ///
    /// The interface is named for link-local addresses only. For all others
    /// the routing table knows the way back, which need not be the way that
    /// the query took.
    fn write(self, octets: &mut [u8; Control::LEN]) -> usize {
        let mut data = [0; 20];
        let (level, kind, data_len) = match self {
            Destination::V4(address) => {
                data[4..8].copy_from_slice(&address.octets());
                (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
            }
            Destination::V6(address, interface) => {
                data[..16].copy_from_slice(&address.octets());
                if address.is_unicast_link_local() {
                    data[16..20].copy_from_slice(&interface.to_ne_bytes());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
            }
        };
        let len = Control::HEAD + data_len;
        let (size, rest) = octets.split_at_mut(mem::size_of::<usize>());
        size.copy_from_slice(&len.to_ne_bytes());
        rest[..4].copy_from_slice(&level.to_ne_bytes());
        rest[4..8].copy_from_slice(&kind.to_ne_bytes());
        rest[8..8 + data_len].copy_from_slice(&data[..data_len]);
        len.next_multiple_of(mem::size_of::<usize>())
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::panic::{self, AssertUnwindSafe};
    use std::time::Duration;

    use super::*;

    fn bind() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    /// Sends messages of one octet, 0 and up, and receives them as a batch.
    fn batch_of(count: u8, client: &UdpSocket, server: &UdpSocket) -> Batch {
        for number in 0..count {
            client.send_to(&[number], server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        batch.receive(server, true).unwrap();
        assert_eq!(batch.received, usize::from(count), "loopback delivers at once");
        batch
    }

    fn echo(batch: &mut Batch) {
        batch.answer(|datagram, out| {
            out[..datagram.message.len()].copy_from_slice(datagram.message);
            Some(datagram.message.len())
        });
    }

    fn receive(client: &UdpSocket) -> u8 {
        let mut octets = [0; 8];
        assert_eq!(client.recv(&mut octets).unwrap(), 1);
        octets[0]
    }

    #[test]
    fn every_reply_goes_to_who_asked() {
        let (server, one, two) = (bind(), bind(), bind());
        for (client, message) in [(&one, b"1"), (&two, b"2"), (&one, b"3")] {
            client.send_to(message, server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        batch.receive(&server, true).unwrap();
        let mut sources = Vec::new();
        batch.answer(|datagram, out| {
            sources.push(datagram.source());
            assert_eq!(datagram.destination, None, "not asked for");
            out[0] = datagram.message[0] + 16;
            Some(1)
        });
        let addresses = [&one, &two, &one].map(|client| client.local_addr().unwrap());
        assert_eq!(sources, addresses);
        assert_eq!(batch.send(&server), 0);
        assert_eq!([receive(&one), receive(&one), receive(&two)], *b"ACB");
    }

    #[test]
    fn one_that_cannot_be_sent_does_not_hold_up_the_others() {
        let (server, client) = (bind(), bind());
        for bad in [vec![0], vec![2], vec![4], vec![0, 1, 3], vec![0, 1, 2, 3, 4]] {
            let mut batch = batch_of(5, &client, &server);
            echo(&mut batch);
            for at in &bad {
                // Nothing can be sent to port 0.
                batch.buffers.names[*at].0[2..4].fill(0);
            }
            assert_eq!(batch.send(&server), bad.len());
            for number in (0..5).filter(|number| !bad.contains(number)) {
                assert_eq!(receive(&client), number as u8);
            }
        }
    }

    #[test]
    fn messages_without_a_response_are_passed_over() {
        let (server, client) = (bind(), bind());
        let mut batch = batch_of(32, &client, &server);
        batch.answer(|datagram, out| {
            out[0] = datagram.message[0];
            (datagram.message[0] % 3 == 0).then_some(1)
        });
        assert_eq!(batch.send(&server), 0);
        for number in (0..32).step_by(3) {
            assert_eq!(receive(&client), number);
        }
    }

    #[test]
    fn more_than_a_batch_is_left_for_the_next() {
        let (server, client) = (bind(), bind());
        for number in 0..40 {
            client.send_to(&[number], server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        let mut numbers = Vec::new();
        for _ in 0..2 {
            batch.receive(&server, true).unwrap();
            batch.answer(|datagram, _| {
                numbers.push(datagram.message[0]);
                None
            });
        }
        assert!(numbers.iter().copied().eq(0..40), "{numbers:?}");
        let error = batch.receive(&server, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        batch.answer(|_, _| panic!("the last batch is gone"));
    }

    #[test]
    fn what_does_not_fit_into_the_receive_buffer_is_told() {
        let (server, client) = (bind(), bind());
        socket2::SockRef::from(&server).set_recv_buffer_size(4096).unwrap();
        prepare(&server, server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new();
        let mut sent = 0;
        let mut received = 0;
        for _ in 0..2 {
            for _ in 0..100 {
                client.send_to(&[0; 100], server.local_addr().unwrap()).unwrap();
                sent += 1;
            }
            while batch.receive(&server, false).is_ok() {
                batch.answer(|_, _| None);
                received += batch.received;
            }
        }
        // A datagram behind those that were dropped tells of all of them.
        client.send_to(b"!", server.local_addr().unwrap()).unwrap();
        batch.receive(&server, true).unwrap();
        batch.answer(|_, _| None);
        assert!(received < sent);
        assert_eq!(batch.overflow() as usize, sent - received);
    }

    #[test]
    fn datagrams_behind_one_that_meets_a_panic_are_answered_by_another_call() {
        let (server, client) = (bind(), bind());
        let mut batch = batch_of(3, &client, &server);
        let mut answer = || {
            batch.answer(|datagram, out| {
                assert_ne!(datagram.message, [1], "a fault");
                out[0] = datagram.message[0];
                Some(1)
            })
        };
        assert!(panic::catch_unwind(AssertUnwindSafe(&mut answer)).is_err());
        answer();
        assert_eq!(batch.send(&server), 0);
        assert_eq!([receive(&client), receive(&client)], [0, 2]);
        let mut batch = batch_of(2, &client, &server);
        let answer = || batch.answer(|datagram, _| panic!("{:?}", datagram.message));
        assert!(panic::catch_unwind(AssertUnwindSafe(answer)).is_err());
        assert_eq!(batch.last_message(), [0]);
    }

    /// Returns the destination that control messages tell of.
    fn destination_in(octets: &[u8]) -> Option<Destination> {
        let mut arrival = Arrival::NONE;
        arrival.read(octets);
        assert_eq!(arrival.address, arrival.destination.map(Destination::address));
        arrival.destination
    }

    #[test]
    fn a_destination_is_read_as_it_was_written() {
        let global: Ipv6Addr = "2001:db8::53".parse().unwrap();
        let local: Ipv6Addr = "fe80::53".parse().unwrap();
        for (destination, expected) in [
            (Destination::V4([192, 0, 2, 53].into()), Destination::V4([192, 0, 2, 53].into())),
            (Destination::V6(global, 7), Destination::V6(global, 0)),
            (Destination::V6(local, 7), Destination::V6(local, 7)),
        ] {
            let mut octets = [0xff; Control::LEN];
            let len = destination.write(&mut octets);
            assert_eq!(destination_in(&octets[..len]), Some(expected));
        }
    }

    #[test]
    fn control_messages_that_are_cut_or_unknown_are_left_out() {
        let mut octets = [0; Control::LEN];
        let len = Destination::V6(Ipv6Addr::LOCALHOST, 0).write(&mut octets);
        for cut in 0..Control::HEAD + 20 {
            assert_eq!(destination_in(&octets[..cut]), None, "{cut} of {len} octets");
        }
        octets[mem::size_of::<usize>()] = 99;
        assert_eq!(destination_in(&octets[..len]), None);
        octets[..mem::size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(destination_in(&octets), None);
        octets[..mem::size_of::<usize>()].fill(0);
        assert_eq!(destination_in(&octets), None);
    }

    fn read_name(octets: &[u8]) -> Option<SocketAddr> {
        super::read_name(octets).map(SocketAddr::from)
    }

    #[test]
    fn socket_addresses_of_both_families_are_read() {
        let v4 = [&(libc::AF_INET as u16).to_ne_bytes()[..], &[0, 53, 192, 0, 2, 1]].concat();
        assert_eq!(read_name(&v4), Some("192.0.2.1:53".parse().unwrap()));
        let family = (libc::AF_INET6 as u16).to_ne_bytes();
        let v6 = |address: &str| {
            let address: Ipv6Addr = address.parse().unwrap();
            [&family[..], &[1, 0], &[9; 4], &address.octets(), &3u32.to_ne_bytes()].concat()
        };
        let link_local = v6("fe80::1");
        assert_eq!(read_name(&link_local), Some("[fe80::1]:256".parse().unwrap()));
        assert_eq!(read_name(&v6("::ffff:192.0.2.1")), Some("192.0.2.1:256".parse().unwrap()));
        let cut = [&link_local[..23], &[], &[0; 28]].map(super::read_name);
        assert_eq!(cut, [None, None, None]);
    }
}
