//! Calls beside the decision log: was the endpoint that a call went to in the
//! answer that the caller's resolver held then?
//!
//! ```text
//!  log files ── Lines (by time) ──▶ Answers: what each network and region holds
//!  calls (by time) ─────────────────▶ Verdict
//! ```
//!
//! Both are read once, in the order of time, and only what may still be held is
//! remembered: the memory that it takes depends on how many resolvers ask, and
//! not on how long the log is.
//!
//! An answer that was logged at a time with a TTL is held from then on until
//! that TTL has run out. Who holds it is the network (/24, /48) that steered it:
//! that of the client subnet where the resolver sent one, its own otherwise.

mod answers;
mod calls;
mod lines;

use std::time::Duration;

use serde::Serialize;

use self::answers::Answers;
use super::Line;
use super::line::time;
use crate::snapshot::Moment;

pub use self::calls::{Call, Calls, Holder, Target};
pub use self::lines::Lines;

/// By how much lines of several workers may stand in another order than that
/// of their times, and how much is read ahead of a call.
const DISORDER: Duration = Duration::from_secs(10);

//----------- Verdict --------------------------------------------------------

/// What the log says of a call.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The endpoint was in an answer that was held.
    Held(Place),

    /// It was in an answer, but that had run out: the caller holds answers for
    /// longer than their TTL.
    Expired(Place),

    /// An answer was held, and the endpoint was not in it.
    NotInIt {
        /// The name that was asked.
        name: String,

        /// When it was answered.
        answered: String,

        /// The targets that were in it, in their order.
        targets: Vec<String>,
    },

    /// No answer is logged that could have been held.
    NothingLogged,

    /// The log does not hold such answers.
    NotSampled {
        /// What keeps them out.
        why: String,
    },
}

impl Verdict {
    /// Returns the stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Held(_) => "held",
            Verdict::Expired(_) => "expired",
            Verdict::NotInIt { .. } => "not-in-it",
            Verdict::NothingLogged => "nothing-logged",
            Verdict::NotSampled { .. } => "not-sampled",
        }
    }
}

/// Where an endpoint was.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Its priority; there is none where its address alone was asked for.
    pub priority: Option<u16>,

    /// The name that was asked.
    pub name: String,

    /// When it was answered, the last time.
    pub answered: String,

    /// Until when the answer was held.
    pub until: String,

    /// The publication that it was from.
    pub generation: u64,
}

//----------- Join -----------------------------------------------------------

/// Goes through calls and lines.
#[derive(Debug)]
pub struct Join {
    lines: Lines,
    answers: Answers,
    tolerance: u64,

    /// A line that is still to come, with its time.
    ahead: Option<(u64, Line)>,
}

impl Join {
    /// Begins with the first line. A call fits an answer that was given at most
    /// `tolerance` after it, or ran out at most so long before it: the times of
    /// calls are often full seconds, and those of their beginning or their end.
    pub fn new(lines: Lines, tolerance: Duration) -> Self {
        let tolerance = tolerance.as_millis() as u64;
        Join { lines, answers: Answers::default(), tolerance, ahead: None }
    }

    /// Returns what the log says of a call, which must not be earlier than the
    /// one before.
    ///
    /// Fails where a file cannot be read, or where too much is held.
    pub fn judge(&mut self, call: &Call) -> Result<Verdict, String> {
        let horizon = call.time.0 + DISORDER.as_millis() as u64;
        while let Some((at, line)) = self.next_until(horizon)? {
            self.answers.take(at, line)?;
        }
        Ok(self.answers.judge(call, self.tolerance))
    }

    /// Returns the next line up to a time.
    fn next_until(&mut self, horizon: u64) -> Result<Option<(u64, Line)>, String> {
        if self.ahead.is_none() {
            self.ahead = self.lines.read_next()?;
        }
        Ok(self.ahead.take_if(|(at, _)| *at <= horizon))
    }

    /// Returns what is to be said of the log, for people: what it lacks.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.lines.notes();
        if self.answers.lost > 0 {
            notes.push(format!(
                "the log says that {} lines are missing in it (\"event\":\"lost\")",
                self.answers.lost
            ));
        }
        notes
    }
}

/// Returns a time of the log, in milliseconds since the Unix epoch.
fn read_time(text: &str) -> Option<u64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok()
}

fn show(at: u64) -> String {
    time(Moment(at))
}

//============ Tests =========================================================

#[cfg(test)]
mod tests;
