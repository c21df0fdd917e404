//! Nothing is allocated for an answer that was given before.
//!
//! A test binary of its own, whose allocator counts. The loop of a UDP worker
//! is held to the same by `src/transport/udp/tests.rs`.

mod support;

use support::scenarios;
use trunkdns::answer::{Transport, Verdict};
use trunkdns::limit::Limiter;

/// What an answer is worked out for each time: a DNAME makes names.
const WORKED_OUT: [&str; 1] = ["redirected"];

#[test]
fn an_answer_that_was_given_before_allocates_nothing() {
    let limiter = Limiter::new([7; 16]);
    let mut out = vec![0; usize::from(u16::MAX)];
    for scenario in scenarios::all() {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Encrypted] {
            let scenario = scenario.over(transport);
            scenario.ask(&limiter, &mut out);
            let allocated = allocation_counter::measure(|| {
                let outcome = scenario.ask(&limiter, &mut out);
                assert!(matches!(outcome.verdict, Verdict::Send(_)), "{}", scenario.name);
            });
            let is_expected = allocated.count_total == 0 || WORKED_OUT.contains(&scenario.name);
            assert!(is_expected, "{} {transport:?}: {allocated:?}", scenario.name);
        }
    }
}
