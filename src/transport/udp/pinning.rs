//! Workers on processors of their own.
//!
//! A datagram is taken in by the processor that its network card interrupts. A
//! worker on the same one finds it in that processor's caches, and nobody has
//! to wake another processor for it. So each worker is bound to a processor,
//! and of the sockets of an address the one gets a datagram whose worker is
//! where it arrived: a program of classic BPF says which that is.
//!
//! `SO_INCOMING_CPU` would need no program, but kernels before 6.2 do not look
//! at it where sockets share a port.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use libc::sock_filter;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::sys;

/// Returns the processors that this process may use, by their numbers.
pub(in crate::transport) fn processors() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect())
}

/// Binds this thread to a processor.
pub(super) fn bind(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(None, &set)?)
}

/// Has the sockets that share the port of this one get what arrives on a
/// processor each, in the order in which they were bound. What arrives on any
/// other processor is spread over them by its number.
pub(in crate::transport) fn attach(socket: &UdpSocket, processors: &[usize]) -> io::Result<()> {
    sys::choose_socket(socket.as_raw_fd(), &program(processors))
}

/// Returns the program that says which socket gets a datagram.
fn program(processors: &[usize]) -> Vec<sock_filter> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const MODULO: u16 = 0x94;
    const RETURN_LOADED: u16 = 0x16;
    let step = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let processor = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;
    let mut program = vec![step(LOAD, processor)];
    for (socket, processor) in (0..).zip(processors) {
        // Any other skips the step behind it.
        program.push(sock_filter { jf: 1, ..step(JUMP_IF_EQUAL, *processor as u32) });
        program.push(step(RETURN, socket));
    }
    program.extend([step(MODULO, processors.len() as u32), step(RETURN_LOADED, 0)]);
    program
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::transport::Listener;

    /// Sends datagrams on a processor, from many ports, to sockets that are
    /// those of processors; returns which sockets got some.
    fn receivers(on: usize, processors: &[usize]) -> Vec<usize> {
        const COUNT: usize = 32;
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), processors.len()).unwrap();
        attach(&listener.udp[0], processors).unwrap();
        let address = listener.address;
        std::thread::spawn(move || send(on, address, COUNT)).join().unwrap();
        let count = |socket: &UdpSocket| {
            socket.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count()
        };
        let counts: Vec<_> = listener.udp.iter().map(count).collect();
        assert_eq!(counts.iter().sum::<usize>(), COUNT, "loopback delivers at once");
        (0..counts.len()).filter(|at| counts[*at] > 0).collect()
    }

    fn send(on: usize, address: SocketAddr, count: usize) {
        bind(on).unwrap();
        for _ in 0..count {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"!", address).unwrap();
        }
    }

    #[test]
    fn what_arrives_on_a_processor_is_for_the_socket_of_its_worker() {
        for on in processors().unwrap().into_iter().take(4) {
            for at in 0..3 {
                // Of processors that no host has, but for one.
                let mut processors = [1021, 1022, 1023];
                processors[at] = on;
                assert_eq!(receivers(on, &processors), [at], "processor {on}");
            }
        }
    }

    #[test]
    fn what_arrives_where_no_worker_is_goes_by_the_number_of_the_processor() {
        for on in processors().unwrap().into_iter().take(4) {
            assert_eq!(receivers(on, &[1021, 1022, 1023]), [on % 3], "processor {on}");
        }
    }

    #[test]
    fn the_longest_program_is_one_that_the_kernel_takes() {
        let processors: Vec<_> = (0..CpuSet::MAX_CPU).collect();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 1).unwrap();
        attach(&listener.udp[0], &processors).unwrap();
    }
}
