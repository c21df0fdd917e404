//! A connection from its admission to its end, whatever is spoken over it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::connections::Permit;
use super::counters::{Counter, Protocol, SharedLane, Tally};
use super::{Noting, Pens, Responder};
use crate::answer::Client;
use crate::clock::Clock;
use crate::config::model::Tcp;
use crate::limit::Limiter;
use crate::log::SharedPens;
use crate::snapshot::Snapshot;

//----------- Service --------------------------------------------------------

/// What every connection needs to answer.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) clock: Arc<Clock>,
    pub(super) limits: Tcp,

    /// How long a handshake may take.
    pub(super) handshake: Duration,

    /// What answers are noted with, if they are logged.
    pub(super) pens: Option<SharedPens>,
}

impl Service {
    /// Returns where an exchange between two ends is noted, if it is.
    pub(super) fn noting(&self, ends: Ends) -> Option<Noting<'_>> {
        let Ends { protocol, client, server } = ends;
        let pens = Pens::Shared(self.pens.as_ref()?);
        Some(Noting { pens, protocol, client, server })
    }
}

/// Between whom a connection is, and what is spoken over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) protocol: Protocol,

    /// The port is 0 where a load balancer stands between.
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

//----------- Stop -----------------------------------------------------------

/// When everything is to have ended, once that is known.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// Completes when the server stops and what was sent before has come.
pub(super) async fn grace_is_over(mut stop: Stop) {
    // Where the sender is gone, all is over.
    let grace = stop.wait_for(Option::is_some).await.ok().and_then(|grace| *grace);
    if let Some(grace) = grace {
        time::sleep_until(grace).await;
    }
}

//----------- Session --------------------------------------------------------

/// A connection that was admitted.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) ends: Ends,
    pub(super) permit: Permit,
    pub(super) service: Arc<Service>,
    pub(super) lane: SharedLane,
    pub(super) stop: Stop,
}

impl Session {
    /// Waits for a handshake, and counts why there is no end to it.
    pub(super) async fn shake_hands<T, E>(
        &mut self,
        handshake: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        let failure = tokio::select! {
            result = handshake => match result {
                Ok(done) => return Some(done),
                Err(_) => Counter::HandshakeErrors,
            },
            () = self.permit.closed() => Counter::ClosedOldest,
            () = grace_is_over(self.stop.clone()) => return None,
            () = time::sleep(self.service.handshake) => Counter::HandshakeTimeouts,
        };
        self.lane.count(failure);
        None
    }

    /// Returns what answers messages that come beside each other.
    pub(super) fn answerer(&self) -> Answerer {
        let (client, service, lane) = (self.client, self.service.clone(), self.lane.clone());
        Answerer { client, ends: self.ends, service, lane }
    }
}

//----------- Answerer -------------------------------------------------------

/// Answers one message of a connection.
pub(super) struct Answerer {
    pub(super) client: Client,
    ends: Ends,
    pub(super) service: Arc<Service>,
    lane: SharedLane,
}

impl Answerer {
    /// Counts something about the message.
    pub(super) fn count(&mut self, counter: Counter) {
        self.lane.count(counter);
    }

    /// Answers a message; returns the response, if there is to be one.
    pub(super) fn respond(mut self, message: &[u8]) -> Option<Vec<u8>> {
        thread_local! {
            static OUT: RefCell<Box<[u8]>> = RefCell::new(vec![0; u16::MAX.into()].into());
        }
        let Service { snapshot, limiter, clock, .. } = &*self.service;
        let snapshot = snapshot.load();
        let now = clock.now();
        let responder = Responder { snapshot: &snapshot, limiter, now, second: now.next_second() };
        OUT.with_borrow_mut(|out| {
            let noting = self.service.noting(self.ends);
            let (lane, client) = (&mut self.lane, &self.client);
            let len = responder.respond_guarded(lane, client, noting, message, out)?;
            Some(out[..len].to_vec())
        })
    }
}
