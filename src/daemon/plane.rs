//! The control plane's thread: one change after the other, and what is due
//! in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::board::Outcome;
use super::publisher::{Publisher, Request};
use super::watch::Watch;
use crate::clock;

/// How often the clock and the timelines are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Who asks for a reload when files have changed.
const BY_WATCH: &str = "the file watch";

/// A reload that somebody asks for.
#[derive(Debug)]
pub(super) struct Job {
    /// How.
    pub(super) request: Request,

    /// Who waits for the outcome.
    pub(super) reply: Option<oneshot::Sender<Outcome>>,
}

//----------- Plane ----------------------------------------------------------

/// What the thread works on.
pub(super) struct Plane {
    publisher: Publisher,
    watch: Watch,
    next_look: Instant,
    next_tick: Instant,

    /// How far the system's clock was ahead at the last look, in
    /// milliseconds.
    deviation: i64,
}

impl Plane {
    /// Returns a plane that goes on with what a publisher has begun.
    pub(super) fn new(publisher: Publisher) -> Self {
        let watch = Watch::new(publisher.visited(), publisher.since());
        let now = Instant::now();
        Plane { publisher, watch, next_look: now, next_tick: now, deviation: 0 }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wake = self.next_tick.min(self.next_look);
            match jobs.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(job) => {
                    // What has been asked for by now is done in one go where
                    // it is the same.
                    let jobs: Vec<_> = [job].into_iter().chain(jobs.try_iter()).collect();
                    self.reload_all(jobs);
                }
                Err(RecvTimeoutError::Timeout) => self.do_what_is_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload_all(&mut self, mut jobs: Vec<Job>) {
        while !jobs.is_empty() {
            let first = jobs[0].request.clone();
            let (same, others): (Vec<_>, Vec<_>) =
                jobs.into_iter().partition(|job| job.request.asks_the_same(&first));
            jobs = others;
            let outcome = self.reload(&first);
            for reply in same.into_iter().filter_map(|job| job.reply) {
                // Whoever asked may have gone.
                let _ = reply.send(outcome.clone());
            }
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            let done = self.guarded("the clock", |plane| {
                let done = plane.publisher.tick();
                plane.check_clock();
                done
            });
            if let Some(outcome) = done {
                log(&outcome);
            }
        }
        if now >= self.next_look {
            let start = Instant::now();
            let has_changed = self.watch.look();
            // Of the look alone: a reload that takes a second is no reason to
            // be blind for the hundred seconds behind it.
            let pause = Watch::pause(start.elapsed());
            if has_changed && self.publisher.config().server.watch {
                self.reload(&Request { by: BY_WATCH.into(), ..Request::default() });
            }
            self.next_look = Instant::now() + pause;
        }
    }

    fn check_clock(&mut self) {
        let may_follow = !self.publisher.is_in_handover();
        let before = self.publisher.clock().now();
        self.deviation = self.publisher.clock().check(clock::wall(), self.deviation, may_follow);
        if self.publisher.clock().now() < before {
            self.publisher.note_step_back();
        }
    }

    fn reload(&mut self, request: &Request) -> Outcome {
        // What is asked for by zone leaves other edits for the watch to see.
        if request.zones.is_empty() {
            self.watch.mark();
        }
        let by = request.by.clone();
        let done = self.guarded(&by, |plane| Some(plane.publisher.reload(request)));
        if request.zones.is_empty() {
            self.watch.follow(self.publisher.visited());
        }
        let outcome = done.unwrap_or_default();
        log(&outcome);
        outcome
    }

    /// Does something that leaves what is served as it is if it panics.
    fn guarded(
        &mut self,
        by: &str,
        act: impl FnOnce(&mut Self) -> Option<Outcome>,
    ) -> Option<Outcome> {
        // What is served is one value, and is swapped in last.
        let result = catch_unwind(AssertUnwindSafe(|| act(self)));
        result.unwrap_or_else(|_| Some(self.publisher.note_panic(by)))
    }
}

/// Logs what became of a request.
pub(super) fn log(outcome: &Outcome) {
    let by = &outcome.by;
    for finding in outcome.findings.lines() {
        tracing::error!("{finding}");
    }
    for line in &outcome.lines {
        tracing::info!("{line}");
    }
    if let Some(line) = outcome.warned() {
        tracing::warn!("{line}");
    }
    for held in &outcome.held_back {
        tracing::error!("{} is held back: {}", held.what, held.why);
    }
    match outcome.is_whole {
        true if outcome.lines.is_empty() && by == BY_WATCH => tracing::debug!("nothing is new"),
        // People, and who they are, are told of always.
        true if outcome.lines.is_empty() => tracing::info!("reload by {by}: nothing is new"),
        true => tracing::info!("reload by {by}: generation {} is served", outcome.generation),
        false => tracing::error!("reload by {by}: not everything could be taken in, see above"),
    }
}
