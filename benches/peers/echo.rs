//! The floor: what a datagram in and a datagram out cost without a server.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

/// Octets of a response, whatever the query: as many as an answer of three
/// endpoints and their addresses has.
pub const RESPONSE: usize = 260;

/// As many as trunkdns takes at once.
const BATCH: usize = 32;

/// Sends every datagram back, as a response of [`RESPONSE`] octets; ends with
/// the process.
pub fn run(address: SocketAddrV4) -> ! {
    let socket = UdpSocket::bind(address).expect("the address is free");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    let mut receive_headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut send_headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut buffers = Box::new([[0; 512]; BATCH]);
    let mut sources = [None; BATCH];
    loop {
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let (fd, wait) = (socket.as_raw_fd(), MsgFlags::MSG_WAITFORONE);
        let received = recvmmsg(fd, &mut receive_headers, slices.iter_mut(), wait, None);
        let mut count = 0;
        for message in received.into_iter().flatten() {
            sources[count] = message.address;
            count += 1;
        }
        buffers[..count].iter_mut().for_each(|buffer| buffer[2] |= 0x80);
        let slices = buffers.each_ref().map(|buffer| [IoSlice::new(&buffer[..RESPONSE])]);
        let (slices, sources, none) = (&slices[..count], &sources[..count], MsgFlags::empty());
        // Who does not take a response does without.
        let _ = sendmmsg(fd, &mut send_headers, slices, sources, [], none);
    }
}
