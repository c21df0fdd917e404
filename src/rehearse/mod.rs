//! Failover before it happens: what callers will see, and when.
//!
//! ```text
//!  tables ── scene ──▶ who is asked for, who is dead, what DNS says without him
//!                        │
//!                        ├── failover ──▶ when callers are led away: by the health check, by DNS
//!                        └── herd ──────▶ how many queries a second that costs
//!                                                 │
//!                                    report: text, JSON        svg: a picture
//! ```
//!
//! Everything is played, not calculated: the answers and TTLs are those of the
//! answer core at simulated moments, a change is published to a real timeline
//! with a real wait, networks change over at their real offsets, and the
//! health check is the state machine of `probe sip`. Chance comes from a seed,
//! so that a rehearsal can be repeated.
//!
//! # What is absent
//!
//! What clients do after a failed call is theirs: their SIP timers are told of
//! and not played. Nor is there a loss of packets, or a slow resolver.

mod draw;
mod failover;
mod herd;
mod report;
mod scene;
mod svg;

use std::time::Duration;

use serde::Serialize;

use crate::sip::health::HealthCheck;

pub use self::failover::{Times, Way};
pub use self::herd::{Herd, Variant};
pub use self::report::{render, to_json};
pub use self::scene::{From, Request, Scene, Target};
pub use self::svg::draw as to_svg;

//----------- Plan -----------------------------------------------------------

/// What is assumed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the dead endpoints fail.
    pub failure: Failure,

    /// How the platform checks its trunks.
    pub check: HealthCheck,

    /// How long the platform waits for an answer to OPTIONS.
    pub timeout: Duration,

    /// How long it takes until somebody changes the tables.
    pub reaction: Duration,

    /// How long a resolver serves what has expired (RFC 8767), at most.
    pub stale: Duration,

    /// How many resolvers there are.
    pub resolvers: u32,

    /// What chance comes from.
    pub seed: u64,
}

/// How an endpoint fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Nothing comes back.
    #[default]
    Silence,

    /// It answers, and takes no calls.
    #[value(name = "503")]
    #[serde(rename = "503")]
    Rejection,
}

//----------- Rehearsal ------------------------------------------------------

/// What callers will see.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Who was asked for, and who is dead.
    pub scene: Scene,

    /// What was assumed.
    pub plan: Plan,

    /// The ways on which callers are led away.
    pub ways: Vec<Way>,

    /// When calls come back after a repair, by the health check.
    pub back: Option<Times>,

    /// What the resolvers cost.
    pub herd: Herd,
}

/// Plays a failure.
pub fn rehearse(scene: Scene, plan: Plan) -> Rehearsal {
    let ways = failover::ways(&scene, &plan);
    let back = failover::back(&plan);
    let herd = herd::play(&scene, &plan);
    Rehearsal { scene, plan, ways, back, herd }
}

impl Rehearsal {
    /// Says whether callers who meet a dead endpoint first have a way out.
    pub fn has_way_out(&self) -> bool {
        self.scene.share == 0.0
            || self.scene.next().is_some()
            || self.ways.iter().any(|way| way.times.is_some())
    }
}
