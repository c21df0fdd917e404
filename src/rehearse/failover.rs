//! When callers are led away from a dead endpoint.

use std::time::Duration;

use serde::Serialize;

use super::draw::Draw;
use super::scene::Scene;
use super::{Failure, Plan};
use crate::answer::change;
use crate::sip::health::{Health, HealthCheck, Mode, Verdict};
use crate::snapshot::{Order, Timeline};

/// When the endpoint dies, in milliseconds since the Unix epoch: any moment
/// will do that leaves room before it.
pub(super) const DEATH: u64 = 1_000_000_000;

/// How much later than at the expiry a busy resolver asks again, at most, in
/// milliseconds.
pub(super) const LAG_MAX: u64 = 100;

/// How many times a resolver asks at most until it knows.
const ASKS_MAX: usize = 1000;

/// How many checks in a row are played at most.
const CHECKS_MAX: u32 = 10_000;

//----------- Way ------------------------------------------------------------

/// A way on which callers are led away.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Way {
    /// Which.
    pub by: By,

    /// How long after the death; none if this way leads nowhere.
    pub times: Option<Times>,

    /// Where callers go, or why this way leads nowhere.
    pub then: String,
}

/// What leads callers away.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The platform's health check.
    HealthCheck,

    /// A change of the tables, handed over.
    Handover,

    /// A change of the tables, at once.
    Now,
}

/// A span of times, in milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Times {
    /// The first.
    pub earliest_ms: u64,

    /// The median.
    pub typical_ms: u64,

    /// The last.
    pub worst_ms: u64,
}

impl Times {
    /// Returns the span of some times; none of none.
    fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let (earliest_ms, worst_ms) = (*times.first()?, *times.last()?);
        Some(Times { earliest_ms, typical_ms: times[times.len() / 2], worst_ms })
    }
}

/// Plays every way.
pub(super) fn ways(scene: &Scene, plan: &Plan) -> Vec<Way> {
    vec![by_check(scene, plan), by_dns(scene, plan, By::Handover), by_dns(scene, plan, By::Now)]
}

//----------- Health check ---------------------------------------------------

fn by_check(scene: &Scene, plan: &Plan) -> Way {
    let by = By::HealthCheck;
    if plan.check.mode == Mode::Outage {
        let why = match plan.failure {
            Failure::Rejection => "never: mode outage keeps a trunk that refuses calls",
            _ if scene.next().is_some() => {
                "never: mode outage keeps a trunk of which any endpoint answers"
            }
            Failure::Silence => "",
        };
        if !why.is_empty() {
            return Way { by, times: None, then: why.to_owned() };
        }
    }
    let Some(next) = &scene.next_trunk else {
        let then = "nowhere: no other tier's name begins with an endpoint that is alive".to_owned();
        return Way { by, times: None, then };
    };
    let verdict = match plan.failure {
        Failure::Silence => Verdict::Unavailable,
        Failure::Rejection => Verdict::Degraded,
    };
    // An error is known when it comes, silence when the time is up.
    let delay = match plan.failure {
        Failure::Silence => plan.timeout,
        Failure::Rejection => Duration::ZERO,
    };
    let times = checks(plan, Health::default(), verdict, delay, |health| !health.is_in_service());
    Way { by, times, then: format!("to the next trunk, {next}") }
}

/// Plays the repair of an endpoint that is out of service.
pub(super) fn back(plan: &Plan) -> Option<Times> {
    checks(plan, Health::Down, Verdict::Healthy, Duration::ZERO, Health::is_in_service)
}

/// Checks with the same verdict from a moment on, until the health is as it is
/// waited for; the moment falls anywhere between two checks.
fn checks(
    plan: &Plan,
    from: Health,
    verdict: Verdict,
    delay: Duration,
    is_reached: impl Fn(Health) -> bool,
) -> Option<Times> {
    let draw = Draw { seed: plan.seed };
    let interval = millis(plan.check.interval).max(1);
    let play = |number: u32| {
        let first = draw.below("check", number.into(), interval);
        let rounds = until(from, verdict, &plan.check, &is_reached)?;
        Some(first + u64::from(rounds) * interval + millis(delay))
    };
    Times::of((0..plan.resolvers).filter_map(play).collect())
}

/// Counts the checks behind the first one until the health is reached.
fn until(
    mut health: Health,
    verdict: Verdict,
    check: &HealthCheck,
    is_reached: &impl Fn(Health) -> bool,
) -> Option<u32> {
    (0..CHECKS_MAX).find(|_| {
        health = health.note(verdict, check);
        is_reached(health)
    })
}

//----------- DNS ------------------------------------------------------------

fn by_dns(scene: &Scene, plan: &Plan, by: By) -> Way {
    let then = scene.first_without().map(|first| format!("to {first}"));
    let Some((timeline, published)) = edited(scene, plan, by) else {
        let then = "nowhere: the tables have nobody else for them".to_owned();
        return Way { by, times: None, then };
    };
    let before = scene.snapshot(&scene.zone);
    let after = scene.snapshot_of(timeline);
    let draw = Draw { seed: plan.seed };
    let play = |number: u32| {
        let client = scene.client(draw, number);
        let lag = draw.below("lag", number.into(), LAG_MAX);
        let look = |now: u64| {
            let snapshot = if now < published { &before } else { &after };
            scene.look(snapshot, client, now, &scene.name)
        };
        // Its copy is of any age.
        let age = draw.below("age", number.into(), u64::from(scene.ttl) * 1000);
        let mut now = DEATH - age;
        for _ in 0..ASKS_MAX {
            let seen = look(now);
            if seen.is_alive {
                let stale = draw.below("stale", number.into(), millis(plan.stale) + 1);
                return Some((now + stale).saturating_sub(DEATH));
            }
            now += u64::from(seen.ttl) * 1000 + lag;
        }
        None
    };
    let times: Option<Vec<_>> = (0..plan.resolvers).map(play).collect();
    let nowhere = || "nowhere: the name has nobody else for them".to_owned();
    let times = times.and_then(Times::of);
    Way { by, then: then.filter(|_| times.is_some()).unwrap_or_else(nowhere), times }
}

/// Publishes the tables without the dead; returns when, in milliseconds since
/// the Unix epoch.
fn edited(scene: &Scene, plan: &Plan, by: By) -> Option<(Timeline, u64)> {
    let [old, new] = [&scene.zone, scene.without.as_ref()?].map(|zone| scene.version(zone));
    // What is edited is taken in within a second, and published in the next.
    let now = (DEATH + millis(plan.reaction)).div_ceil(1000);
    let order = Order {
        now,
        published: now + 1,
        spread: seconds(scene.handover.spread),
        longest: seconds(scene.handover.longest),
        immediate: by == By::Now,
        effective: None,
    };
    let (timeline, _) = Timeline::new(old, 0).publish(new, order, change);
    Some((timeline, order.published * 1000))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
