//! A fault of the server costs one message, not the server.
//!
//! No input should ever make the answer core panic. If one does all the same,
//! whoever found it can send it again and again: the worker must live, and
//! neither the log nor the standard error output may be flooded. So panics
//! are caught here, for each message or for a batch that is taken up behind the
//! one that met it, and the panic hook is kept from printing those; what it
//! would have said goes into one log line a minute.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

#[cfg(panic = "abort")]
compile_error!("a panic must be caught: build with `panic = \"unwind\"`");

/// Runs something; returns what the panic said if there was one.
pub(crate) fn run<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    GUARDED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(false);
    result.map_err(|_| LAST.take())
}

thread_local! {
    /// Whether a panic of this thread is going to be caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };

    /// What the last panic caught on this thread said.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the panic hook from printing panics that are caught.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| match GUARDED.get() {
            true => LAST.set(info.to_string()),
            false => previous(info),
        }));
    });
}

//----------- Occasionally ---------------------------------------------------

/// Lets something through once a minute, and counts what it holds back.
#[derive(Debug)]
pub(crate) struct Occasionally {
    /// When the next may pass, in milliseconds since the first.
    next: AtomicU64,

    held_back: AtomicU64,
}

impl Occasionally {
    /// A minute: an operator sees that it goes on, and 1,440 lines a day fill
    /// no disk.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Returns one that lets the first through.
    pub(crate) const fn new() -> Self {
        Occasionally { next: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Lets this one through, with the number of those held back since the
    /// last that was, or holds it back.
    pub(crate) fn pass(&self) -> Option<u64> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.pass_at(START.elapsed())
    }

    fn pass_at(&self, now: Duration) -> Option<u64> {
        let millis = |time: Duration| time.as_millis() as u64;
        let next = self.next.load(Ordering::Relaxed);
        let later = millis(now + Self::PAUSE);
        // Of threads that come at the same time, one passes.
        let passes = millis(now) >= next
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !passes {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.held_back.swap(0, Ordering::Relaxed))
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_what_it_said() {
        assert_eq!(run(|| 7), Ok(7));
        let said = run(|| panic!("label {} of none", 3)).unwrap_err();
        assert!(said.contains("label 3 of none") && said.contains("guard.rs"), "{said}");
        assert_eq!(run(|| 8), Ok(8));
    }

    #[test]
    fn one_a_minute_passes_and_says_how_many_did_not() {
        let log = Occasionally::new();
        let at = |seconds| log.pass_at(Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(59), at(60), at(61), at(200)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
