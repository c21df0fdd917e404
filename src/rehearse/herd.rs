//! What resolvers cost that started together: queries a second.
//!
//! Every resolver keeps the names of all trunks alive: it asks again as soon
//! as a copy expires, as those of a busy platform do. Answers are those of the
//! answer core, so that their TTLs are the tiers', lowered by `spread-ttl` for
//! each network and name, and capped in a handover.

use std::sync::Arc;

use serde::Serialize;

use super::Plan;
use super::draw::Draw;
use super::failover::{DEATH, LAG_MAX, seconds};
use super::scene::Scene;
use crate::answer::change;
use crate::offline::OfflineZone;
use crate::snapshot::{Order, Settings, Snapshot, Timeline};

/// Within how many milliseconds resolvers that start together do.
const START_SPAN: u64 = 200;

/// The seconds that are looked at: the start itself is nobody's fault.
const FROM: usize = 60;
const TO: usize = 300;

/// What is shown of `spread-ttl` where none is configured, in percent.
const SPREAD_TTL_SHOWN: u8 = 10;

//----------- Herd -----------------------------------------------------------

/// What resolvers cost that started together.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Herd {
    /// How many resolvers there are.
    pub resolvers: u32,

    /// The names that each of them keeps alive.
    pub names: Vec<String>,

    /// Without and with what is configured.
    pub variants: Vec<Variant>,
}

/// What they cost under some settings.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Variant {
    /// The settings.
    pub what: String,

    /// Whether they are the configured ones.
    pub is_configured: bool,

    /// Queries a second on average.
    pub mean: f64,

    /// Queries in the worst second.
    pub peak: u32,

    /// Queries in every second; the picture shows them.
    #[serde(skip)]
    pub seconds: Vec<u32>,
}

/// Plays resolvers in the steady state, and in a handover.
pub(super) fn play(scene: &Scene, plan: &Plan) -> Herd {
    let herd = Players { scene, plan };
    let own = scene.handover.spread_ttl;
    let spread = seconds(scene.handover.spread);
    let shown = if own > 0 { own } else { SPREAD_TTL_SHOWN };
    let mut variants = Vec::new();
    let ttls = herd.ttls();
    if let Some((ttl, zone)) = herd.with_one_ttl() {
        let what = format!("one TTL of {ttl} s");
        variants.push(herd.steady(what, ttls.len() == 1 && own == 0, &zone, 0));
    }
    if ttls.len() > 1 {
        let list: Vec<_> = ttls.iter().map(u32::to_string).collect();
        let what = format!("TTLs of {} s", list.join(", "));
        variants.push(herd.steady(what, own == 0, &scene.zone, 0));
    }
    let what = format!("and spread-ttl = {shown}");
    variants.push(herd.steady(what, own > 0, &scene.zone, shown));
    if let Some(without) = &scene.without {
        for spread in [0, spread].iter().take(if spread > 0 { 2 } else { 1 }) {
            let what = match spread {
                0 => "changeover without spread".to_owned(),
                spread => format!("changeover with spread = {spread} s"),
            };
            variants.push(herd.changeover(
                what,
                without,
                *spread,
                *spread == seconds(scene.handover.spread),
            ));
        }
    }
    let names = scene.trunks.iter().map(ToString::to_string).collect();
    Herd { resolvers: plan.resolvers, names, variants }
}

//----------- Players --------------------------------------------------------

struct Players<'a> {
    scene: &'a Scene,
    plan: &'a Plan,
}

impl Players<'_> {
    /// Returns the TTLs of the trunks' names, without repetitions.
    fn ttls(&self) -> Vec<u32> {
        let snapshot = self.snapshot(Timeline::new(self.scene.version(&self.scene.zone), 0), 0);
        let client = self.scene.client(Draw { seed: 0 }, 0);
        let look = |name| self.scene.look(&snapshot, client, DEATH, name).ttl;
        let mut ttls: Vec<_> = self.scene.trunks.iter().map(look).collect();
        ttls.dedup();
        ttls
    }

    /// Returns the zone with the largest TTL on every tier.
    fn with_one_ttl(&self) -> Option<(u32, OfflineZone)> {
        let ttl = self.ttls().into_iter().max()?;
        let mut tables = self.scene.zone.tables.clone();
        for tier in tables.services.iter_mut().flat_map(|service| &mut service.tiers) {
            tier.ttl = ttl;
        }
        Some((ttl, self.scene.zone.with(tables, &self.scene.regions).ok()?))
    }

    fn snapshot(&self, timeline: Timeline, spread_ttl: u8) -> Snapshot {
        let settings = Settings { spread_ttl, ..Settings::default() };
        Snapshot::new(1, settings, [Arc::new(timeline)])
    }

    fn steady(
        &self,
        what: String,
        is_configured: bool,
        zone: &OfflineZone,
        spread_ttl: u8,
    ) -> Variant {
        let snapshot = self.snapshot(Timeline::new(self.scene.version(zone), 0), spread_ttl);
        self.count(what, is_configured, |_| &snapshot)
    }

    /// A change is published in the third minute; copies of all names expire
    /// when networks change over.
    fn changeover(
        &self,
        what: String,
        without: &OfflineZone,
        spread: u32,
        is_configured: bool,
    ) -> Variant {
        let [old, new] = [&self.scene.zone, without].map(|zone| self.scene.version(zone));
        let own = self.scene.handover.spread_ttl;
        let before = self.snapshot(Timeline::new(old.clone(), 0), own);
        let now = DEATH / 1000 + 125;
        let longest = seconds(self.scene.handover.longest);
        let order =
            Order { now, published: now, spread, longest, immediate: false, effective: None };
        let (timeline, _) = Timeline::new(old, 0).publish(new, order, change);
        let (first, last) =
            timeline.entries().last().map_or((0, 0), |last| (last.effective(), last.settled()));
        let after = self.snapshot(timeline, own);
        let mut variant = self
            .count(what, is_configured, |time| if time < now * 1000 { &before } else { &after });
        // The changeover alone counts here, and the second behind it.
        let second = |time: u64| (time.saturating_sub(DEATH / 1000) as usize).min(TO - 1);
        let seconds = &variant.seconds[second(first)..=second(last + 1)];
        variant.peak = seconds.iter().copied().max().unwrap_or(0);
        variant.mean = mean(seconds);
        variant
    }

    /// Has every resolver keep every name alive, and counts.
    fn count<'s>(
        &self,
        what: String,
        is_configured: bool,
        snapshot: impl Fn(u64) -> &'s Snapshot,
    ) -> Variant {
        let draw = Draw { seed: self.plan.seed };
        let mut seconds = vec![0; TO];
        for number in 0..self.plan.resolvers {
            let client = self.scene.client(draw, number);
            let start = DEATH + draw.below("start", number.into(), START_SPAN);
            for (at, name) in self.scene.trunks.iter().enumerate() {
                let (mut now, mut asked) = (start, 0_u64);
                while let Some(second) = seconds.get_mut(((now - DEATH) / 1000) as usize) {
                    *second += 1;
                    let seen = self.scene.look(snapshot(now), client, now, name);
                    asked += 1;
                    let which = (u64::from(number) << 32) + ((at as u64) << 16) + asked;
                    let lag = draw.below("herd", which, LAG_MAX);
                    now += u64::from(seen.ttl) * 1000 + lag;
                }
            }
        }
        let looked_at = &seconds[FROM..];
        let (mean, peak) = (mean(looked_at), looked_at.iter().copied().max().unwrap_or(0));
        Variant { what, is_configured, mean, peak, seconds }
    }
}

fn mean(seconds: &[u32]) -> f64 {
    let sum: f64 = seconds.iter().copied().map(f64::from).sum();
    (sum / seconds.len() as f64 * 10.0).round() / 10.0
}
