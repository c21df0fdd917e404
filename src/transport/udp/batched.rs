//! The loop of a worker on Linux: a batch in, a batch out.

use std::net::UdpSocket;

use super::sys::Batch;
use super::{Next, Stopping, Worker};
use crate::transport::counters::{Counter, Tally};

/// Answers what a socket receives until the worker is to stop, and what is
/// queued then.
pub(super) fn run(mut worker: Worker, socket: &UdpSocket) {
    let mut stopping = Stopping::new(worker.stop.clone());
    let mut batch = Batch::new();
    while !stopping.is_over() {
        let stops = stopping.is_wanted();
        if let Err(error) = batch.receive(socket, !stops) {
            match worker.note_failure(&error) {
                Next::Nothing if stops => return,
                _ => continue,
            }
        }
        let overflow = batch.overflow();
        let mut round = worker.round();
        batch.answer(|datagram, out| round.respond(datagram, out));
        // A snapshot must not outlive its batch: the next may be long in coming.
        drop(round);
        let failed = batch.send(socket);
        worker.lane.add(Counter::SendErrors, failed as u64);
        let dropped = batch.overflow().wrapping_sub(overflow);
        worker.lane.add(Counter::ReceiveDrops, dropped.into());
    }
}
