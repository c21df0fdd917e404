//! The loop of a worker on any system: a datagram in, a datagram out.
//!
//! On a wildcard address the system chooses what address replies leave from,
//! which is not always the one that was asked: list the addresses. Datagrams
//! that did not fit into the receive buffer are not counted.

use std::io;
use std::net::UdpSocket;

use super::{Datagram, MESSAGE_ROOM, Next, Stopping, Worker};
use crate::answer::UDP_PAYLOAD;
use crate::transport::counters::{Counter, Tally};
use crate::transport::guard;

/// Answers what a socket receives until the worker is to stop, and what is
/// queued then.
pub(super) fn run(mut worker: Worker, socket: &UdpSocket) {
    let mut stopping = Stopping::new(worker.stop.clone());
    let mut message = [0; MESSAGE_ROOM];
    let mut out = [0; UDP_PAYLOAD as usize];
    while !stopping.is_over() {
        let stops = stopping.is_wanted();
        if stops && let Err(error) = socket.set_nonblocking(true) {
            tracing::warn!(%error, "a socket is closed without a look at what is queued");
            return;
        }
        let (len, source) = match socket.recv_from(&mut message) {
            Ok(received) => received,
            Err(error) => match worker.note_failure(&error) {
                Next::Nothing if stops => return,
                _ => continue,
            },
        };
        let message = &message[..len];
        let datagram = Datagram::new(source, None, message);
        let mut round = worker.round();
        let answered = guard::run(|| round.respond(&datagram, &mut out));
        let answered = answered.unwrap_or_else(|said| {
            round.panicked(message, &said);
            None
        });
        drop(round);
        let Some(len) = answered else { continue };
        while let Err(error) = socket.send_to(&out[..len], source) {
            if error.kind() != io::ErrorKind::Interrupted {
                worker.lane.count(Counter::SendErrors);
                break;
            }
        }
    }
}
