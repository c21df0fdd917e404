//! The control plane's thread: one change after the other, and what is due
//! in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::board::Outcome;
use super::drain;
use super::publisher::{Publisher, Request, rollback};
use super::watch::Watch;
use crate::clock;
use crate::wire::Name;

/// How often the clock and the timelines are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Who asks for a reload when files have changed.
const BY_WATCH: &str = "the file watch";

/// What somebody asks for.
#[derive(Debug)]
pub(super) enum Job {
    /// A reload.
    Reload {
        /// How.
        request: Request,

        /// Who waits for the outcome.
        reply: Option<oneshot::Sender<Outcome>>,
    },

    /// Endpoints that are to come behind all others, or no longer.
    Drain {
        /// Which, and how.
        request: drain::Request,

        /// Whether it is no longer.
        ends: bool,

        /// Who waits for the outcome, and for the endpoints that were meant.
        reply: oneshot::Sender<Drained>,
    },

    /// What was published before is to be published again.
    Rollback {
        /// Which, and how.
        request: rollback::Request,

        /// Who waits for the outcome.
        reply: oneshot::Sender<Result<Outcome, String>>,
    },
}

/// What became of draining.
pub(super) type Drained = Result<(Outcome, Vec<Name>), String>;

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
        let watch = Watch::new(publisher.looks().clone(), publisher.since());
        let now = Instant::now();
        Plane { publisher, watch, next_look: now, next_tick: now, deviation: 0 }
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        step_back();
        loop {
            let wake = self.next_tick.min(self.next_look);
            match jobs.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(job) => {
                    // What has been asked for by now is done in one go where
                    // it is the same.
                    let jobs: Vec<_> = [job].into_iter().chain(jobs.try_iter()).collect();
                    self.work(jobs);
                }
                Err(RecvTimeoutError::Timeout) => self.do_what_is_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let mut reloads: Vec<(Request, Vec<oneshot::Sender<Outcome>>)> = Vec::new();
        for job in jobs {
            match job {
                Job::Reload { request, reply } => {
                    let same = reloads.iter_mut().find(|(one, _)| one.asks_the_same(&request));
                    match same {
                        Some((_, replies)) => replies.extend(reply),
                        None => reloads.push((request, Vec::from_iter(reply))),
                    }
                }
                // Whoever asked may have gone.
                Job::Drain { request, ends, reply } => drop(reply.send(self.drain(&request, ends))),
                Job::Rollback { request, reply } => drop(reply.send(self.roll_back(&request))),
            }
        }
        for (request, replies) in reloads {
            let outcome = self.reload(&request);
            for reply in replies {
                let _ = reply.send(outcome.clone());
            }
        }
    }

    fn drain(&mut self, request: &drain::Request, ends: bool) -> Drained {
        let mut meant = Vec::new();
        let outcome = self.carry_out(&request.by, |publisher| {
            let (outcome, endpoints) = match ends {
                true => publisher.undrain(request)?,
                false => publisher.drain(request)?,
            };
            meant = endpoints;
            Ok(outcome)
        })?;
        let verb = if ends { "undrain" } else { "drain" };
        let names: Vec<_> = meant.iter().map(Name::to_string).collect();
        log_as(&format!("{verb} {} by {}", names.join(" "), request.by), &outcome);
        Ok((outcome, meant))
    }

    fn roll_back(&mut self, request: &rollback::Request) -> Result<Outcome, String> {
        let outcome = self.carry_out(&request.by, |publisher| publisher.rollback(request))?;
        log_as(&format!("rollback by {}", request.by), &outcome);
        Ok(outcome)
    }

    /// Does something that may be refused, and leaves what is served as it is
    /// if it panics.
    fn carry_out(
        &mut self,
        by: &str,
        act: impl FnOnce(&mut Publisher) -> Result<Outcome, String>,
    ) -> Result<Outcome, String> {
        let mut refused = String::new();
        let done = self.guarded(by, |plane| {
            act(&mut plane.publisher).inspect_err(|why| refused.clone_from(why)).ok()
        });
        done.ok_or(refused)
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
            let pause = self.watch.pause(start.elapsed());
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
        let by = request.by.clone();
        let done = self.guarded(&by, |plane| Some(plane.publisher.reload(request)));
        // What is asked for by zone leaves other edits for the watch to see.
        if request.zones.is_empty() {
            self.watch = Watch::new(self.publisher.looks().clone(), self.publisher.since());
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

/// Has the system prefer the threads that answer to this one, and to those that
/// it starts: compiling ten thousand zones takes all processors for a second.
///
/// A step of 5 leaves it a quarter of a processor that is wanted by a worker as
/// well, so that an edit gets through whatever the load.
#[cfg(target_os = "linux")]
fn step_back() {
    use rustix::process::{getpriority_process, setpriority_process};
    // Of this thread, on Linux. Where it fails nothing is lost.
    if let Ok(priority) = getpriority_process(None) {
        let _ = setpriority_process(None, priority + 5);
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

/// Logs what became of taking in files.
pub(super) fn log(outcome: &Outcome) {
    if outcome.says_nothing() && outcome.by == BY_WATCH {
        return tracing::debug!("nothing is new");
    }
    log_as(&format!("reload by {}", outcome.by), outcome);
}

/// Logs what became of a request. People, and who they are, are told of
/// always.
fn log_as(what: &str, outcome: &Outcome) {
    for finding in outcome.findings.lines() {
        tracing::error!("{finding}");
    }
    for line in outcome.lines.iter().chain(&outcome.notes) {
        tracing::info!("{line}");
    }
    if let Some(line) = outcome.warned() {
        tracing::warn!("{line}");
    }
    for held in &outcome.held_back {
        tracing::error!("{} is held back: {}", held.what, held.why);
    }
    match outcome.is_whole {
        true if outcome.lines.is_empty() => tracing::info!("{what}: nothing is new"),
        true => tracing::info!("{what}: generation {} is served", outcome.generation),
        false => tracing::error!("{what}: not everything could be taken in, see above"),
    }
}
