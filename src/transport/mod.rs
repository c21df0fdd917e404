//! Sockets: messages in, messages out.
//!
//! Every transport is a thin shell around [`answer`](crate::answer::answer):
//! it owns sockets and deadlines and knows nothing of zones.
//!
//! - [`Listener`]: the sockets of an address.
//! - `udp`: datagrams, on threads of their own.
//! - `tcp`: connections, on tokio's threads.
//! - [`counters`]: what became of every message.
//! - [`proxy`]: who asks behind a load balancer.
//! - `guard`: panics that must not end a worker.
//! - [`hickory`]: for the encrypted transports to come.

pub mod counters;
mod guard;
pub mod hickory;
mod listener;
pub mod proxy;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;

pub use self::listener::Listener;

use self::counters::{Counter, Counters, Tally};
use crate::answer::{self, Client, Outcome, Verdict};
use crate::clock::Clock;
use crate::config::model::Tcp;
use crate::limit::{self, Decision, Limiter};
use crate::snapshot::{Moment, Snapshot};

/// Answers on the sockets of listeners from whatever snapshot is published.
///
/// Must be called inside a tokio runtime, which serves the connections.
pub fn start(
    listeners: Vec<Listener>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    clock: Arc<Clock>,
    limits: &Tcp,
) -> io::Result<Transports> {
    let listen: Arc<[SocketAddr]> = listeners.iter().map(|listener| listener.address).collect();
    let limiter = limiter()?;
    let mut counters = Counters::default();
    let mut udp = Workers::default();
    let mut tcp = Vec::new();
    for Listener { address, udp: sockets, tcp: listener } in listeners {
        tcp.push(listener);
        for (number, socket) in sockets.into_iter().enumerate() {
            let worker = udp::Worker {
                snapshot: snapshot.clone(),
                limiter: limiter.clone(),
                clock: clock.clone(),
                lane: counters.add_udp(),
                listen: listen.clone(),
                stop: udp.stop.clone(),
            };
            udp.threads.push(worker.start(socket, format!("udp-{number} {address}"))?);
        }
    }
    let tcp = tcp::Server::start(tcp, (snapshot, limiter), clock, limits, &mut counters)?;
    Ok(Transports { counters: Arc::new(counters), udp, tcp })
}

/// Returns a limiter for all transports, with a key that nobody knows.
fn limiter() -> io::Result<Arc<Limiter>> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(Arc::new(Limiter::new(key)))
}

//----------- Responder ------------------------------------------------------

/// What messages are answered by, at one moment.
struct Responder<'a> {
    snapshot: &'a Snapshot,
    limiter: &'a Limiter,
    now: Moment,
}

impl Responder<'_> {
    /// Answers a message, whatever it is, and counts what became of it.
    ///
    /// Returns the length of the response in `out`, in octets, or nothing where
    /// none is to be sent. A panic costs the message and nothing else.
    fn respond(
        &self,
        tally: &mut impl Tally,
        client: &Client,
        message: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let guarded = guard::run(|| {
            let outcome = answer::answer(self.snapshot, client, self.now, message, out);
            if self.snapshot.settings.policy.is_idle() {
                return outcome;
            }
            self.apply_policy(tally, client, message, outcome, out)
        });
        conclude(tally, self.now, message, guarded)
    }

    /// Limits a response that is over a rate, and counts those of customers.
    fn apply_policy<'s>(
        &'s self,
        tally: &mut impl Tally,
        client: &Client,
        message: &[u8],
        outcome: Outcome<'s>,
        out: &mut [u8],
    ) -> Outcome<'s> {
        let (policy, cause) = (&self.snapshot.settings.policy, outcome.cause);
        let decision = self.limiter.decide(policy, client, self.now, &outcome);
        tally.decision(decision);
        let outcome = match decision {
            Decision::Pass | Decision::WouldLimit(_) => outcome,
            Decision::Drop(_) => Outcome::short(Verdict::Drop, cause),
            Decision::Truncate(_) => {
                answer::truncate(self.snapshot, client, self.now, message, cause, out)
            }
        };
        if let Some(customer) = policy.customers.find(client.address) {
            limit::count(customer, tally.writer(), &outcome);
        }
        outcome
    }
}

fn conclude(
    tally: &mut impl Tally,
    now: Moment,
    message: &[u8],
    guarded: Result<Outcome<'_>, String>,
) -> Option<usize> {
    let outcome = match guarded {
        Ok(outcome) => outcome,
        Err(said) => {
            tally.dropped(Counter::Panicked);
            report_panic(message, &said);
            return None;
        }
    };
    tally.outcome(&outcome);
    // Before it is sent, so that nobody who looks meanwhile finds less.
    if let Some(handed_out) = outcome.handed_out {
        handed_out.note(now);
    }
    match outcome.verdict {
        Verdict::Send(len) => Some(len),
        Verdict::Drop => None,
    }
}

/// Logs a message that met a fault, once a minute at most.
#[cold]
fn report_panic(message: &[u8], said: &str) {
    /// Octets that are shown; no query that does harm has needed more.
    const SHOWN: usize = 1024;
    static LOG: guard::Occasionally = guard::Occasionally::new();
    let Some(more) = LOG.pass() else { return };
    let hex: String = message.iter().take(SHOWN).map(|octet| format!("{octet:02x}")).collect();
    tracing::error!(
        "a message met a fault in the server and was dropped, please report it ({more} more since \
         the last that was logged): {said}; {} octets: {hex}",
        message.len()
    );
}

//----------- Transports -----------------------------------------------------

/// All that answers. Dropping it stops the UDP workers without waiting.
#[derive(Debug)]
pub struct Transports {
    counters: Arc<Counters>,
    udp: Workers,
    tcp: tcp::Server,
}

impl Transports {
    /// Returns what is counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Stops: answers what was received until now, then closes all sockets,
    /// within two seconds and a bit.
    pub async fn shutdown(self) {
        let Transports { udp, tcp, .. } = self;
        let udp = tokio::task::spawn_blocking(move || udp.join());
        tcp.shutdown().await;
        if let Err(error) = udp.await {
            tracing::error!(%error, "a UDP worker ended badly");
        }
    }
}

/// The threads that answer datagrams.
#[derive(Debug, Default)]
struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Stops all and waits for them.
    fn join(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a UDP worker ended by a panic");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Cause;
    use crate::snapshot::{Expiries, HandedOut};

    #[test]
    fn a_panic_costs_one_message_and_is_counted() {
        let mut counters = Counters::default();
        let mut lane = counters.add_udp();
        let fault = guard::run(|| panic!("not this one"));
        assert_eq!(conclude(&mut lane, Moment(0), b"\x12\x34", fault), None);
        let verdict = Verdict::Send(40);
        let cause = Cause::NoName;
        let next = Outcome::short(verdict, cause);
        assert_eq!(conclude(&mut lane, Moment(0), b"\x12\x35", Ok(next)), Some(40));
        let total = counters.total().udp;
        assert_eq!((total.of(Counter::Panicked), total.of(Counter::NoName)), (1, 1));
        assert_eq!((total.of(Counter::Dropped), total.messages()), (1, 2));
    }

    #[test]
    fn what_is_handed_out_is_noted() {
        let expiries = Expiries::new(1);
        let handed_out = Some(HandedOut { expiries: &expiries, slot: 0, ttl: 60 });
        let verdict = Verdict::Send(40);
        let outcome = Outcome { handed_out, ..Outcome::short(verdict, Cause::Answered) };
        let mut lane = Counters::default().add_udp();
        conclude(&mut lane, Moment(1_000_000), b"", Ok(outcome));
        assert_eq!(expiries.last(0), 1060);
    }
}
