//! From answers to OPTIONS to a verdict, and from verdicts to whether a trunk
//! is in service, as the platform decides it.
//!
//! ```text
//!                 failures in a row        a pass           successes in a row, and then
//!                                                           a window without a failure
//!    InService ───────────────────▶ Down ────────▶ Recovering ─────────────────▶ InService
//!                                    ◀──────────────┘ any failure
//! ```
//!
//! What counts as a failure, and how many of them it takes, is the failover
//! [`Mode`].
//!
//! # What is absent
//!
//! No socket and no clock: a verdict comes once an interval. `exchange` sends
//! OPTIONS and `rehearse` plays outages; both feed [`Health::note`].

use std::num::NonZeroU32;
use std::time::Duration;

//----------- Verdict --------------------------------------------------------

/// What one check says about an endpoint.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It answered 200.
    Healthy,

    /// It answered something else: its SIP stack lives and does not want
    /// calls.
    Degraded,

    /// It did not answer, or could not be reached as the platform reaches it.
    Unavailable,
}

impl Verdict {
    /// Returns the verdict on a final response.
    ///
    /// `accepted` are codes that count as 200: many peers answer 401, 405 or
    /// 483 to OPTIONS and take calls.
    pub fn of(code: u16, accepted: &[u16]) -> Self {
        match code == 200 || accepted.contains(&code) {
            true => Verdict::Healthy,
            false => Verdict::Degraded,
        }
    }

    /// Returns it as a word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Degraded => "degraded",
            Verdict::Unavailable => "unavailable",
        }
    }
}

//----------- HealthCheck ----------------------------------------------------

/// How the platform checks a trunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HealthCheck {
    /// How often OPTIONS is sent.
    pub interval: Duration,

    /// How many failures in a row take a trunk out of service.
    pub failures: NonZeroU32,

    /// How many successes in a row it takes to come back.
    pub successes: NonZeroU32,

    /// What counts as a failure.
    pub mode: Mode,

    /// How long a trunk that has come back must be stable before calls are
    /// given to it: the evaluation window of routing policies.
    pub window: Duration,
}

/// The values of the platform's own guide.
impl Default for HealthCheck {
    fn default() -> Self {
        let (failures, successes) =
            (NonZeroU32::MIN.saturating_add(2), NonZeroU32::MIN.saturating_add(1));
        HealthCheck {
            interval: Duration::from_secs(10),
            failures,
            successes,
            mode: Mode::Degraded,
            window: Duration::from_secs(30),
        }
    }
}

impl HealthCheck {
    /// Returns how many failures in a row take a trunk out of service.
    fn fall(&self) -> u32 {
        match self.mode {
            Mode::Immediate => 1,
            Mode::Degraded | Mode::Outage => self.failures.get(),
        }
    }

    /// Returns how many passes in a row bring it back: the window begins with
    /// the last one that is asked for.
    fn rise(&self) -> u32 {
        let interval = self.interval.as_millis().max(1);
        let window = self.window.as_millis().div_ceil(interval);
        self.successes.get().saturating_add(u32::try_from(window).unwrap_or(u32::MAX))
    }
}

/// The failover mode of a trunk group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The first failure moves calls away: a lost packet is an outage.
    Immediate,

    /// So many failures in a row do, an answer other than 200 among them.
    #[default]
    Degraded,

    /// Silence alone does: a trunk that refuses calls keeps them.
    Outage,
}

impl Mode {
    fn is_failure(self, verdict: Verdict) -> bool {
        match self {
            Mode::Immediate | Mode::Degraded => verdict != Verdict::Healthy,
            Mode::Outage => verdict == Verdict::Unavailable,
        }
    }
}

//----------- Health ---------------------------------------------------------

/// Whether a trunk gets calls, as far as its checks tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// It gets calls; `failures` in a row are not yet enough.
    InService {
        /// Failures in a row.
        failures: u32,
    },

    /// It gets none; not one pass since.
    Down,

    /// It gets none, but `passes` checks in a row went well.
    Recovering {
        /// Passes in a row.
        passes: u32,
    },
}

impl Default for Health {
    fn default() -> Self {
        Health::InService { failures: 0 }
    }
}

impl Health {
    /// Returns the health after one more check.
    pub fn note(self, verdict: Verdict, check: &HealthCheck) -> Self {
        match (self, check.mode.is_failure(verdict)) {
            (Health::InService { .. }, false) => Health::InService { failures: 0 },
            (Health::InService { failures }, true) if failures + 1 < check.fall() => {
                Health::InService { failures: failures + 1 }
            }
            (_, true) => Health::Down,
            (Health::Down, false) => Self::climb(1, check),
            (Health::Recovering { passes }, false) => Self::climb(passes + 1, check),
        }
    }

    /// Says whether the trunk gets calls.
    pub fn is_in_service(self) -> bool {
        matches!(self, Health::InService { .. })
    }

    fn climb(passes: u32, check: &HealthCheck) -> Self {
        match passes < check.rise() {
            true => Health::Recovering { passes },
            false => Health::default(),
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    /// Folds checks into a history of service: `+` answers 200, `!` another
    /// code, `-` is silent; `o` is in service, `.` is not.
    fn service(checks: &str, check: HealthCheck) -> String {
        let mut health = Health::default();
        let mut note = |sign| {
            let verdict = match sign {
                '+' => Verdict::Healthy,
                '!' => Verdict::Degraded,
                '-' => Verdict::Unavailable,
                other => panic!("no check is written {other}"),
            };
            health = health.note(verdict, &check);
            if health.is_in_service() { 'o' } else { '.' }
        };
        checks.chars().map(&mut note).collect()
    }

    fn mode(mode: Mode) -> HealthCheck {
        HealthCheck { mode, ..HealthCheck::default() }
    }

    /// Without a window: two passes bring a trunk back.
    fn at_once() -> HealthCheck {
        HealthCheck { window: Duration::ZERO, ..HealthCheck::default() }
    }

    #[test]
    fn one_loss_does_not_take_a_trunk_out() {
        assert_eq!(service("+-+--+!-+", at_once()), "ooooooooo");
    }

    #[test]
    fn failures_in_a_row_do_and_an_error_counts_as_one() {
        assert_eq!(service("---", at_once()), "oo.");
        assert_eq!(service("-!-", at_once()), "oo.");
    }

    #[test]
    fn it_takes_successes_in_a_row_to_come_back() {
        assert_eq!(service("---+-++", at_once()), "oo....o");
    }

    #[test]
    fn a_trunk_that_is_back_has_its_failures_forgotten() {
        assert_eq!(service("---++--+", at_once()), "oo..oooo");
    }

    #[test]
    fn calls_come_back_when_the_window_has_passed_without_a_failure() {
        // 10 s apart: the second success, and 30 s behind it.
        assert_eq!(service("---+++++", mode(Mode::Degraded)), "oo.....o");
        assert_eq!(service("---++++-+++++", mode(Mode::Degraded)), "oo..........o");
    }

    #[test]
    fn a_window_that_is_no_multiple_of_the_interval_is_rounded_up() {
        let window = Duration::from_secs(11);
        let check = HealthCheck { window, ..HealthCheck::default() };
        assert_eq!(service("---++++", check), "oo....o");
    }

    #[test]
    fn immediate_flaps_on_every_loss() {
        let check = HealthCheck { window: Duration::ZERO, ..mode(Mode::Immediate) };
        assert_eq!(service("+-++-++!", check), "o..o..o.");
    }

    #[test]
    fn outage_keeps_a_trunk_that_refuses_calls() {
        assert_eq!(service("!!!!!!", mode(Mode::Outage)), "oooooo");
        assert_eq!(service("--!--!---", mode(Mode::Outage)), "oooooooo.");
    }

    #[test]
    fn outage_takes_a_trunk_back_that_answers_anything() {
        let check = HealthCheck { window: Duration::ZERO, ..mode(Mode::Outage) };
        assert_eq!(service("---!!", check), "oo..o");
    }

    #[test]
    fn a_200_is_healthy_and_so_is_what_the_operator_accepts() {
        assert_eq!(Verdict::of(200, &[]), Verdict::Healthy);
        assert_eq!(Verdict::of(405, &[401, 405]), Verdict::Healthy);
        for code in [202, 302, 404, 503, 600] {
            assert_eq!(Verdict::of(code, &[401]), Verdict::Degraded, "{code}");
        }
    }
}
