//! Work on many items by as many threads as there are processors, and two
//! works at once.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

/// The most threads: beyond, the disk and the memory are the limit.
const THREADS_MAX: usize = 8;

/// How many items a thread takes at once.
const SHARE: usize = 16;

/// Does something with every item; returns the results in the order of items.
///
/// The threads end before it returns. A panic of one of them is passed on.
pub fn map<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(THREADS_MAX).min(items.len() / SHARE);
    if threads <= 1 {
        return items.iter().map(act).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(rest) = items.get(start..) else { return done };
            if rest.is_empty() {
                return done;
            }
            let share = &rest[..SHARE.min(rest.len())];
            done.push((start, share.iter().map(&act).collect::<Vec<R>>()));
        }
    };
    let mut shares = thread::scope(|scope| {
        // Where the system gives no more threads, those that there are do all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut shares = work();
        for other in others {
            match other.join() {
                Ok(done) => shares.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        shares
    });
    shares.sort_unstable_by_key(|(start, _)| *start);
    shares.into_iter().flat_map(|(_, share)| share).collect()
}

/// Does two things at once; returns both results.
///
/// A panic of one of them is passed on when both have ended.
pub fn both<A, B: Send>(act: impl FnOnce() -> A, meanwhile: impl FnOnce() -> B + Send) -> (A, B) {
    let meanwhile = Mutex::new(Some(meanwhile));
    let work = || {
        let act = meanwhile.lock().unwrap_or_else(PoisonError::into_inner).take();
        act.map(|act| act())
    };
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, work).ok();
        let done = act();
        // Where the system gives no thread, this one does it.
        let other = other.map_or_else(|| Ok(work()), ScopedJoinHandle::join);
        match other {
            Ok(other) => (done, other.expect("it is done once")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_items_however_many_there_are() {
        for count in [0, 1, 15, 16, 33, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(&items, |item| item * 2), doubled);
        }
    }

    #[test]
    fn both_results_are_returned() {
        let mut count = 0;
        assert_eq!(both(|| count += 1, || 2), ((), 2));
        assert_eq!(count, 1);
    }

    #[test]
    #[should_panic(expected = "the other")]
    fn a_panic_of_the_other_is_passed_on() {
        both(|| 1, || panic!("the other"));
    }

    #[test]
    #[should_panic(expected = "item 77")]
    fn a_panic_is_passed_on() {
        let items: Vec<usize> = (0..200).collect();
        map(&items, |item| assert_ne!(*item, 77, "item {item}"));
    }
}
