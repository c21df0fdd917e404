//! Rates of responses, so that the server is no good for flooding others, and
//! that cannot hurt a trunk.
//!
//! ```text
//!  response ─▶ is its class limited? ─▶ has the client a cookie, is it exempt,
//!                                       a customer, or seen over TCP? ─▶ Buckets
//!                                                                          │
//!           Pass ◀──── there is a token, or any of these ──────────────────┤
//!           Truncate, Drop (or WouldLimit, in a dry run) ◀── there is none ┘
//! ```
//!
//! A client is a network, /24 of IPv4 or /48 of IPv6; a bucket is that of a
//! network and a [`Class`].
//!
//! # What is over a rate
//!
//! Gets an empty response with TC, of the same code, that is no longer than
//! the query: a client that is there repeats its query over TCP, is answered,
//! and its network is not limited for a while. Silence would cost it seconds,
//! and tell it nothing. Errors get TC as well, which makes them no smaller: it
//! lets whoever is there prove it. Only what is no query with a question
//! (FORMERR, NOTIMP, BADVERS) gets silence, since TC says nothing there, and
//! nobody waits for the fiftieth of them in a second.
//!
//! # What is never limited
//!
//! Answers that are NOERROR, unless the operator sets a rate for them: the
//! resolvers of a region that ask in the same second are what a trunk looks
//! like. What comes over TCP. A query for a cookie alone, because its answer
//! is what ends the limit.
//!
//! # Limits
//!
//! Two tables of fixed size, of which nothing is allocated later, shared by
//! all workers: rates hold for the whole server, whatever ports a client sends
//! from. Where a table is full, those are forgotten that it costs least: a
//! client that is forgotten is not limited.

mod buckets;
mod proven;

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use self::buckets::Buckets;
use self::proven::Proven;
use crate::answer::{Cause, Client, Outcome, Transport, Verdict};
use crate::config::model::LimitMode;
use crate::geo;
use crate::snapshot::{Class, Customer, Moment, Policy, Told};

//----------- Limiter --------------------------------------------------------

/// What is known of clients: how much they were sent lately, and who of them
/// is there.
#[derive(Debug)]
pub struct Limiter {
    /// Nobody knows what the hashes of networks are, so that nobody can choose
    /// networks which are in each other's way.
    key: [u8; 16],

    buckets: Buckets,
    proven: Proven,
}

impl Limiter {
    /// Returns a limiter that has seen nobody. The key is to be random.
    pub fn new(key: [u8; 16]) -> Self {
        Limiter { key, buckets: Buckets::new(), proven: Proven::new() }
    }

    /// Decides about the response to a message.
    ///
    /// Notes what it learns about the client.
    pub fn decide(
        &self,
        policy: &Policy,
        client: &Client,
        now: Moment,
        outcome: &Outcome<'_>,
    ) -> Decision {
        let is_sent = matches!(outcome.verdict, Verdict::Send(_));
        if policy.mode == LimitMode::Off || !is_sent {
            return Decision::Pass;
        }
        if client.transport != Transport::Udp {
            self.proven.note(self.hash(client.address, None), now);
            return Decision::Pass;
        }
        let Some((class, rate)) = class(outcome.cause)
            .and_then(|class| Some((class, policy.rate(class)?)))
            .filter(|_| !outcome.has_cookie && !is_exempt(policy, client.address))
        else {
            return Decision::Pass;
        };
        if self.proven.contains(self.hash(client.address, None), now)
            || self.buckets.take(self.hash(client.address, Some(class)), rate, now)
        {
            return Decision::Pass;
        }
        match (policy.mode, outcome.cause) {
            (LimitMode::Count, _) => Decision::WouldLimit(class),
            (_, Cause::Malformed(_)) => Decision::Drop(class),
            _ => Decision::Truncate(class),
        }
    }

    /// Returns the hash of a client's network, for a class or for itself.
    fn hash(&self, client: IpAddr, class: Option<Class>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match geo::canonical(client) {
            IpAddr::V4(address) => hasher.write(&address.octets()[..3]),
            IpAddr::V6(address) => hasher.write(&address.octets()[..6]),
        }
        hasher.write_u8(class.map_or(0, |class| 1 + class as u8));
        hasher.finish()
    }
}

/// Returns the class of a response; there is none where nothing is limited.
fn class(cause: Cause) -> Option<Class> {
    match cause {
        Cause::Answered | Cause::NoData | Cause::Referral => Some(Class::Answers),
        Cause::NoName | Cause::TooLong => Some(Class::Missing),
        Cause::Identity | Cause::NotServed | Cause::Transfer | Cause::Malformed(_) => {
            Some(Class::Errors)
        }
        Cause::Cookie | Cause::NoRoom => None,
    }
}

fn is_exempt(policy: &Policy, client: IpAddr) -> bool {
    policy.customers.find(client).is_some() || policy.is_exempt(client)
}

//----------- Decision -------------------------------------------------------

/// What to do with a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Send it.
    Pass,

    /// Send it; it is over a rate, which is only counted.
    WouldLimit(Class),

    /// Send an empty response that is cut short (TC).
    Truncate(Class),

    /// Send nothing.
    Drop(Class),
}

//----------- Customers ------------------------------------------------------

/// Counts what became of a customer's message. `writer` is the number of who
/// counts.
pub fn count(customer: &Customer, writer: usize, outcome: &Outcome<'_>) {
    customer.count(writer, Told::Queries);
    let told = match outcome.cause {
        Cause::Answered => Some(Told::Answered),
        Cause::NoData | Cause::NoName | Cause::Referral | Cause::TooLong => Some(Told::Denied),
        Cause::NotServed | Cause::Transfer | Cause::Malformed(_) => Some(Told::Errors),
        Cause::Identity | Cause::Cookie | Cause::NoRoom => None,
    };
    let is_sent = matches!(outcome.verdict, Verdict::Send(_));
    if let Some(told) = told.filter(|_| is_sent) {
        customer.count(writer, told);
    }
    if outcome.truncated {
        customer.count(writer, Told::Truncated);
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests;
