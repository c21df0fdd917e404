//! A rehearsal for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::failover::By;
use super::{Failure, Rehearsal, Target, Times};
use crate::config::show_duration;
use crate::sip::health::Mode;

/// Returns a rehearsal as text.
pub fn render(rehearsal: &Rehearsal) -> String {
    let Rehearsal { scene, plan, ways, back, herd } = rehearsal;
    let mut out = String::new();
    let _ = writeln!(out, "{} for callers in {}, TTL {} s", scene.name, scene.region, scene.ttl);
    for target in &scene.targets {
        let _ = writeln!(out, "  {}", line(target));
    }
    let how = match plan.failure {
        Failure::Silence => "is silent",
        Failure::Rejection => "answers 503",
    };
    let dead = scene.targets.iter().filter(|target| target.is_dead).count();
    let _ = match (dead, scene.share) {
        (0, _) => writeln!(out, "nobody of it is dead: these callers notice nothing"),
        (_, 0.0) => {
            writeln!(out, "what is dead {how} and is no first choice: callers notice nothing")
        }
        (_, share) => writeln!(
            out,
            "what is dead {how}, for {:.0} % of calls the first choice",
            share * 100.0
        ),
    };
    if let Some(next) = scene.next().filter(|_| scene.share > 0.0) {
        let _ = writeln!(
            out,
            "clients that follow SRV call {} instead:\n  each call after its own SIP timer (RFC \
             3263 section 4.3), over UDP 32 s unless set lower",
            next.target
        );
    }
    if scene.share > 0.0 {
        let _ =
            writeln!(out, "\n{:<33} {:>9} {:>9} {:>9}", "led away", "earliest", "typical", "worst");
        for way in ways {
            let _ = writeln!(
                out,
                "{:<33} {}  {}",
                rehearsal.name(way.by),
                columns(way.times),
                way.then
            );
        }
        if let Some(times) = back {
            let _ = writeln!(
                out,
                "{:<33} {}",
                "back after a repair, by the check",
                columns(Some(*times))
            );
        }
    }
    let names = herd.names.len();
    let _ = writeln!(
        out,
        "\n{} resolvers that start together and keep {names} {} alive: queries a second",
        herd.resolvers,
        if names == 1 { "name" } else { "names" }
    );
    let _ = writeln!(out, "{:<33} {:>9} {:>9}", "", "mean", "peak");
    for variant in &herd.variants {
        let mark = if variant.is_configured { "  as configured" } else { "" };
        let _ =
            writeln!(out, "{:<33} {:>9.1} {:>9}{mark}", variant.what, variant.mean, variant.peak);
    }
    out
}

fn line(target: &Target) -> String {
    let Target { priority, weight, port, target, is_dead } = target;
    let dead = if *is_dead { "  dead" } else { "" };
    format!("{priority:>3} {weight:>3} {port} {target}{dead}")
}

fn columns(times: Option<Times>) -> String {
    let column = |time: Option<u64>| match time {
        // In tenths, up: who has been told 30.0 s should not wait for 30.04.
        Some(time) => format!("{:>7.1} s", time.div_ceil(100) as f64 / 10.0),
        None => format!("{:>9}", "-"),
    };
    let times = [
        times.map(|times| times.earliest_ms),
        times.map(|times| times.typical_ms),
        times.map(|times| times.worst_ms),
    ];
    times.map(column).join(" ")
}

impl Rehearsal {
    /// Returns what leads callers away, in a few words.
    pub(super) fn name(&self, by: By) -> String {
        let mode = match self.plan.check.mode {
            Mode::Immediate => "immediate",
            Mode::Degraded => "degraded",
            Mode::Outage => "outage",
        };
        match by {
            By::HealthCheck => format!("health check, mode {mode}"),
            By::Handover => "edit or drain, by handover".to_owned(),
            By::Now => "edit or drain, with --now".to_owned(),
        }
    }
}

/// Returns a rehearsal as JSON.
pub fn to_json(rehearsal: &Rehearsal) -> Value {
    let Rehearsal { scene, plan, ways, back, herd } = rehearsal;
    let check = &plan.check;
    json!({
        "name": scene.name.to_string(),
        "region": scene.region,
        "ttl": scene.ttl,
        "targets": scene.targets,
        "share-of-calls": scene.share,
        "next-target": scene.next().map(|target| &target.target),
        "assumed": {
            "failure": plan.failure,
            "interval": check.interval.as_secs(),
            "failures": check.failures,
            "successes": check.successes,
            "mode": check.mode,
            "window": check.window.as_secs(),
            "timeout": plan.timeout.as_secs(),
            "reaction": plan.reaction.as_secs(),
            "stale": plan.stale.as_secs(),
            "spread": scene.handover.spread.as_secs(),
            "longest": scene.handover.longest.as_secs(),
            "spread-ttl": scene.handover.spread_ttl,
            "seed": plan.seed,
        },
        "ways": ways,
        "back": back,
        "herd": herd,
        "has-way-out": rehearsal.has_way_out(),
    })
}

/// Says in a line what was assumed.
pub(super) fn assumed(rehearsal: &Rehearsal) -> String {
    let (plan, handover) = (&rehearsal.plan, &rehearsal.scene.handover);
    let check = &plan.check;
    format!(
        "OPTIONS every {}, {} failures, {} successes, window {}, spread {}, reaction {}",
        show_duration(check.interval),
        check.failures,
        check.successes,
        show_duration(check.window),
        show_duration(handover.spread),
        show_duration(plan.reaction),
    )
}
