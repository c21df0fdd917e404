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

/// What is freed at once may be the page with which a thread hands memory back
/// to the system, and that of a reload is much.
#[test]
fn an_answer_that_is_given_for_the_first_time_takes_no_room_for_a_whole_message() {
    let limiter = Limiter::new([7; 16]);
    let mut out = vec![0; usize::from(u16::MAX)];
    // The thread's own room is there from its first answer on.
    scenarios::all()[0].ask(&limiter, &mut out);
    for scenario in scenarios::all() {
        let allocated = allocation_counter::measure(|| _ = scenario.ask(&limiter, &mut out));
        let most = u64::from(u16::MAX);
        assert!(allocated.bytes_total < most, "{}: {allocated:?}", scenario.name);
    }
}
