//! The loop of a worker on Linux: a batch in, a batch out.

use std::net::UdpSocket;

use super::sys::Batch;
use super::{Next, Stopping, Worker};
use crate::transport::counters::{Counter, Tally};
use crate::transport::guard;

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
        // One guard for all: a panic costs the datagram that met it, and those
        // behind it are taken up again.
        while let Err(said) =
            guard::run(|| batch.answer(|datagram, out| round.respond(datagram, out)))
        {
            round.panicked(batch.last_message(), &said);
        }
        // A snapshot must not outlive its batch: the next may be long in coming.
        drop(round);
        let failed = batch.send(socket);
        worker.lane.add(Counter::SendErrors, failed as u64);
        let dropped = batch.overflow().wrapping_sub(overflow);
        worker.lane.add(Counter::ReceiveDrops, dropped.into());
    }
}
