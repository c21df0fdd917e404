//! A rehearsal as a picture: who reaches whom, and queries a second.
//!
//! One file without scripts or fonts of its own; colours follow the reader's
//! light or dark scheme.

use std::fmt::Write as _;

use super::failover::Way;
use super::report::assumed;
use super::{Rehearsal, Times, Variant};

/// The width of the picture, and what stands left and right of the plots.
const WIDTH: f64 = 920.0;
const LEFT: f64 = 236.0;
const RIGHT: f64 = 40.0;

/// The height of a row of the timeline, and of the plot of queries.
const ROW: f64 = 46.0;
const PLOT: f64 = 60.0;

/// Where the first row begins.
const TOP: f64 = 92.0;

const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }\n\
    .title { font-size: 17px; font-weight: 600; } .small { font-size: 11.5px; fill: #59636e; }\n\
    .page { fill: #ffffff; } .grid { stroke: #d1d9e0; } .axis { stroke: #59636e; }\n\
    .dead { fill: #cf222e; } .mixed { fill: #d4a72c; } .alive { fill: #1a7f37; }\n\
    .none { fill: #afb8c1; } .tick { stroke: #1f2328; stroke-width: 2; }\n\
    .bar { fill: #0969da; } .on { fill: #ffffff; font-size: 11.5px; }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #e6edf3; } .small { fill: #9198a1; } .page { fill: #0d1117; }\n\
    .grid { stroke: #30363d; } .axis { stroke: #9198a1; } .dead { fill: #da3633; }\n\
    .mixed { fill: #9e6a03; } .alive { fill: #238636; } .none { fill: #484f58; }\n\
    .tick { stroke: #e6edf3; } .bar { fill: #4493f8; } .on { fill: #ffffff; } }\n";

/// Draws a rehearsal.
pub fn draw(rehearsal: &Rehearsal) -> String {
    let (ways, herd) = (&rehearsal.ways, &rehearsal.herd);
    let scale = Scale::of(ways);
    let middle = TOP + ROW * ways.len() as f64 + 66.0;
    let height = middle + 40.0 + (PLOT + 34.0) * herd.variants.len() as f64 + 16.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>Failover of {}</title>\n\
         <style>\n{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escaped(&rehearsal.scene.name.to_string())
    );
    heading(rehearsal, &mut out);
    scale.draw_grid(TOP - 6.0, TOP + ROW * ways.len() as f64, &mut out);
    for (way, row) in ways.iter().zip(0..) {
        draw_way(rehearsal, way, &scale, TOP + ROW * f64::from(row), &mut out);
    }
    let title = format!(
        "Queries a second of {} resolvers that start together, {} names each",
        herd.resolvers,
        herd.names.len()
    );
    text(&mut out, "title", 24.0, middle, &title);
    let most = herd.variants.iter().flat_map(|variant| &variant.seconds).max().copied();
    for (variant, row) in herd.variants.iter().zip(0..) {
        let top = middle + 26.0 + (PLOT + 34.0) * f64::from(row);
        draw_variant(variant, most.unwrap_or(1), top, &mut out);
    }
    out + "</svg>\n"
}

fn heading(rehearsal: &Rehearsal, out: &mut String) {
    let scene = &rehearsal.scene;
    let dead: Vec<_> = scene.targets.iter().filter(|target| target.is_dead).collect();
    let dead: Vec<_> = dead.iter().map(|target| target.target.trim_end_matches('.')).collect();
    let dead = if dead.is_empty() { "nobody of it".to_owned() } else { dead.join(", ") };
    text(out, "title", 24.0, 32.0, &format!("{} in {}", scene.name, scene.region));
    text(out, "", 24.0, 52.0, &format!("dead from 0 s on: {dead}"));
    text(out, "small", 24.0, 70.0, &assumed(rehearsal));
}

fn text(out: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn rect(out: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64) {
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\"/>"
    );
}

fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        out,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//----------- The timeline ---------------------------------------------------

/// How seconds become places.
struct Scale {
    /// The last second that is shown.
    end: f64,

    /// How far apart lines are, in seconds.
    step: f64,
}

impl Scale {
    fn of(ways: &[Way]) -> Self {
        let worst = ways.iter().filter_map(|way| Some(way.times?.worst_ms)).max().unwrap_or(60_000);
        let end = worst as f64 / 1000.0 * 1.15;
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        let step = steps.into_iter().find(|step| end / step <= 12.0).unwrap_or(3600.0);
        Scale { end: end.max(1.0), step }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.end).min(1.0)
    }

    fn draw_grid(&self, top: f64, bottom: f64, out: &mut String) {
        let mut second = 0.0;
        while second <= self.end {
            let x = self.x(second);
            line(out, "grid", (x, top), (x, bottom));
            text(out, "small", x - 6.0, bottom + 16.0, &format!("{second:.0} s"));
            second += self.step;
        }
    }
}

/// Draws one way: when callers reach a dead endpoint, some do, and none does.
fn draw_way(rehearsal: &Rehearsal, way: &Way, scale: &Scale, top: f64, out: &mut String) {
    const BAR: f64 = 22.0;
    let end = scale.x(scale.end);
    text(out, "", 24.0, top + 15.0, &rehearsal.name(way.by));
    text(out, "small", LEFT + 4.0, top + BAR + 13.0, &described(way));
    let Some(times) = way.times else {
        return rect(out, "none", LEFT, top, end - LEFT, BAR);
    };
    let [earliest, typical, worst] = [times.earliest_ms, times.typical_ms, times.worst_ms]
        .map(|time| scale.x(time as f64 / 1000.0));
    rect(out, "dead", LEFT, top, earliest - LEFT, BAR);
    rect(out, "mixed", earliest, top, worst - earliest, BAR);
    rect(out, "alive", worst, top, end - worst, BAR);
    line(out, "tick", (typical, top - 3.0), (typical, top + BAR + 3.0));
    if earliest - LEFT > 110.0 {
        text(out, "on", LEFT + 6.0, top + 15.0, "calls meet the dead");
    }
}

fn described(way: &Way) -> String {
    match way.times {
        Some(Times { earliest_ms, typical_ms, worst_ms }) => {
            let [earliest, typical, worst] =
                [earliest_ms, typical_ms, worst_ms].map(|time| time.div_ceil(1000));
            format!("{earliest} s to {worst} s, typically {typical} s; {}", way.then)
        }
        None => way.then.clone(),
    }
}

//----------- Queries --------------------------------------------------------

fn draw_variant(variant: &Variant, most: u32, top: f64, out: &mut String) {
    let bottom = top + PLOT;
    let load = format!("peak {}, mean {:.0}", variant.peak, variant.mean);
    text(out, "", 24.0, top + 20.0, &variant.what);
    text(out, "small", 24.0, top + 36.0, &load);
    if variant.is_configured {
        text(out, "small", 24.0, top + 51.0, "as configured");
    }
    line(out, "axis", (LEFT, bottom), (WIDTH - RIGHT, bottom));
    let step = (WIDTH - LEFT - RIGHT) / variant.seconds.len().max(1) as f64;
    for (count, second) in variant.seconds.iter().zip(0..) {
        let height = PLOT * f64::from(*count) / f64::from(most.max(1));
        if *count > 0 {
            let x = LEFT + step * f64::from(second);
            rect(out, "bar", x, bottom - height.max(0.6), step.max(1.0), height.max(0.6));
        }
    }
    for minute in 0..=variant.seconds.len() / 60 {
        let x = LEFT + step * 60.0 * minute as f64;
        text(out, "small", x - 4.0, bottom + 14.0, &format!("{} s", minute * 60));
    }
}
