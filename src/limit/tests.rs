//! Who is limited, and who is not.

use std::time::Duration;

use super::*;
use crate::config::model::{self, Limit};
use crate::diag::{Located, Sources, Span};
use crate::wire::Reason;

const NOW: Moment = Moment(1_800_000_000_000);

/// A policy of 2 errors, 3 denials and `answers` a second, which can be saved
/// up for 5 s.
fn policy(mode: LimitMode, answers: u32) -> Policy {
    let file = Sources::default().add("a.toml".as_ref(), "");
    let span = Span { file, start: 0, end: 0 };
    let network = |text: &str| Located::new(text.parse().unwrap(), span);
    let exempt = vec![network("198.51.100.0/24")];
    let burst = Duration::from_secs(5);
    let limit = Limit { mode, errors: 2, missing: 3, answers, burst, exempt };
    let networks = vec![network("203.0.113.0/25")];
    let name = Located::new("genesys".to_owned(), span);
    Policy::new(&limit, &[model::Customer { name, networks }])
}

/// Who asks, and what for.
struct Crowd {
    limiter: Limiter,
    policy: Policy,
    transport: Transport,
    has_cookie: bool,
}

impl Crowd {
    fn new(policy: Policy) -> Self {
        let limiter = Limiter::new([7; 16]);
        Crowd { limiter, policy, transport: Transport::Udp, has_cookie: false }
    }

    fn ask(&self, client: &str, cause: Cause) -> Decision {
        let client = Client { address: client.parse().unwrap(), transport: self.transport };
        let outcome = Outcome::short(Verdict::Send(40), cause);
        let outcome = Outcome { has_cookie: self.has_cookie, ..outcome };
        self.limiter.decide(&self.policy, &client, NOW, &outcome)
    }

    /// Counts how often somebody who asks a hundred times in an instant
    /// passes; all others must be decided the same.
    fn passes(&self, client: &str, cause: Cause, otherwise: Option<Decision>) -> usize {
        let all: Vec<_> = (0..100).map(|_| self.ask(client, cause)).collect();
        let (passed, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| *one == Decision::Pass);
        assert!(rest.iter().all(|one| Some(*one) == otherwise), "{cause:?}: {rest:?}");
        passed.len()
    }
}

#[test]
fn what_is_over_a_rate_is_truncated_and_what_is_no_query_dropped() {
    let crowd = Crowd::new(policy(LimitMode::On, 0));
    let missing = Some(Decision::Truncate(Class::Missing));
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoName, missing), 15);
    assert_eq!(crowd.passes("192.0.2.2", Cause::TooLong, missing), 0, "it is the same network");
    let errors = Some(Decision::Truncate(Class::Errors));
    assert_eq!(crowd.passes("192.0.2.1", Cause::NotServed, errors), 10);
    assert_eq!(crowd.passes("192.0.2.1", Cause::Identity, errors), 0);
    let dropped = Some(Decision::Drop(Class::Errors));
    assert_eq!(crowd.passes("192.0.2.1", Cause::Malformed(Reason::Opcode), dropped), 0);
    assert_eq!(crowd.passes("192.0.3.1", Cause::NoName, missing), 15, "it is another network");
}

#[test]
fn a_network_of_ipv6_is_a_48_and_ipv4_within_it_is_ipv4() {
    let crowd = Crowd::new(policy(LimitMode::On, 0));
    let missing = Some(Decision::Truncate(Class::Missing));
    assert_eq!(crowd.passes("2001:db8:1::1", Cause::NoName, missing), 15);
    assert_eq!(crowd.passes("2001:db8:1:ffff::1", Cause::NoName, missing), 0);
    assert_eq!(crowd.passes("2001:db8:2::1", Cause::NoName, missing), 15);
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoName, missing), 15);
    assert_eq!(crowd.passes("::ffff:192.0.2.9", Cause::NoName, missing), 0);
}

#[test]
fn answers_are_limited_only_where_the_operator_says_so() {
    let crowd = Crowd::new(policy(LimitMode::On, 0));
    for cause in [Cause::Answered, Cause::NoData, Cause::Referral, Cause::Cookie] {
        assert_eq!(crowd.passes("192.0.2.1", cause, None), 100, "{cause:?}");
    }
    let crowd = Crowd::new(policy(LimitMode::On, 4));
    let answers = Some(Decision::Truncate(Class::Answers));
    assert_eq!(crowd.passes("192.0.2.1", Cause::Answered, answers), 20);
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoData, answers), 0);
    assert_eq!(crowd.passes("192.0.2.1", Cause::Cookie, None), 100);
}

#[test]
fn a_cookie_a_list_a_customer_and_a_connection_exempt() {
    let mut crowd = Crowd::new(policy(LimitMode::On, 1));
    let limited = |class| Some(Decision::Truncate(class));
    assert_eq!(crowd.passes("198.51.100.1", Cause::NotServed, None), 100);
    assert_eq!(crowd.passes("203.0.113.1", Cause::NoName, None), 100);
    assert_eq!(crowd.passes("203.0.113.128", Cause::NoName, limited(Class::Missing)), 15);
    crowd.has_cookie = true;
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoName, None), 100);
    crowd.has_cookie = false;
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoName, limited(Class::Missing)), 15);
    crowd.transport = Transport::Tcp;
    assert_eq!(crowd.passes("192.0.2.200", Cause::NoName, None), 100);
    crowd.transport = Transport::Udp;
    assert_eq!(crowd.passes("192.0.2.1", Cause::NoName, None), 100, "its network is proven");
    assert_eq!(crowd.passes("192.0.3.1", Cause::Answered, limited(Class::Answers)), 5);
}

#[test]
fn a_dry_run_says_what_would_be_and_off_says_nothing() {
    let crowd = Crowd::new(policy(LimitMode::Count, 0));
    let would = Some(Decision::WouldLimit(Class::Errors));
    assert_eq!(crowd.passes("192.0.2.1", Cause::Malformed(Reason::Opcode), would), 10);
    let crowd = Crowd::new(policy(LimitMode::Off, 1));
    assert_eq!(crowd.passes("192.0.2.1", Cause::NotServed, None), 100);
}

#[test]
fn what_is_not_sent_takes_no_token() {
    let crowd = Crowd::new(policy(LimitMode::On, 0));
    let address = "192.0.2.1".parse().unwrap();
    let client = Client { address, transport: Transport::Udp };
    let outcome = Outcome::short(Verdict::Drop, Cause::Malformed(Reason::Response));
    for _ in 0..100 {
        let decision = crowd.limiter.decide(&crowd.policy, &client, NOW, &outcome);
        assert_eq!(decision, Decision::Pass);
    }
    assert_eq!(crowd.ask("192.0.2.1", Cause::NotServed), Decision::Pass);
}

#[test]
fn a_customer_is_counted_by_what_it_was_told() {
    let policy = policy(LimitMode::Off, 0);
    let customer = policy.customers.find("203.0.113.1".parse().unwrap()).unwrap();
    let sent = |cause| Outcome::short(Verdict::Send(40), cause);
    count(customer, 0, &sent(Cause::Answered));
    count(customer, 1, &Outcome { truncated: true, ..sent(Cause::Answered) });
    count(customer, 2, &sent(Cause::NoName));
    count(customer, 3, &sent(Cause::NotServed));
    count(customer, 4, &Outcome::short(Verdict::Drop, Cause::Malformed(Reason::Short)));
    count(customer, 5, &sent(Cause::Identity));
    let told = [Told::Queries, Told::Answered, Told::Denied, Told::Errors, Told::Truncated];
    assert_eq!(told.map(|what| customer.total(what)), [6, 2, 1, 1, 1]);
}
