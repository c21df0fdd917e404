//! The tables.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::measure::{DRIVES, MIX, OVERLOAD, STEADY, Sample};
use super::servers::{Kind, Server};

//----------- Report ---------------------------------------------------------

/// All that was measured.
pub struct Report {
    /// A row a server.
    pub rows: Vec<Row>,
}

/// All that was measured of a server.
pub struct Row {
    name: String,
    kind: Kind,

    /// By load, then by round.
    pub samples: [Vec<Sample>; DRIVES.len()],

    /// From the start of the program to the first right answer.
    pub start: Vec<Duration>,

    /// From the command to the first new answer.
    pub reload: Vec<Duration>,

    /// In KiB, after the loads.
    pub memory: Vec<u64>,

    /// Which share of answers differs from the one before, in percent.
    pub unsteadiness: f64,
}

impl Row {
    /// Begins one.
    pub fn new(server: &Server) -> Self {
        Row {
            name: server.name.clone(),
            kind: server.kind.clone(),
            samples: Default::default(),
            start: Vec::new(),
            reload: Vec::new(),
            memory: Vec::new(),
            unsteadiness: 0.0,
        }
    }

    /// Returns the median of something over all rounds of a load.
    fn median(&self, load: &str, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let at = DRIVES.iter().position(|drive| drive.name == load)?;
        median(self.samples[at].iter().map(of))
    }

    /// Returns the processor time of a query, in microseconds.
    fn cost(&self, load: &str) -> Option<f64> {
        self.median(load, |sample| sample.user + sample.system)
    }

    /// Sums something up over all rounds of all loads.
    fn sum(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().flatten().map(of).sum()
    }
}

impl Report {
    /// Begins one.
    pub fn new(rows: Vec<Row>) -> Self {
        Report { rows }
    }

    /// Returns the tables, in Markdown.
    pub fn render(&self, rounds: usize, time: Duration) -> String {
        let mut text = String::new();
        writeln!(
            text,
            "{rounds} rounds of {:.1} s for each load and server, medians.\n",
            time.as_secs_f64()
        )
        .unwrap();
        self.render_mix(&mut text);
        self.render_loads(&mut text);
        self.render_rates(&mut text);
        self.render_rest(&mut text);
        text
    }

    fn echo(&self, load: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.kind == Kind::Echo)?.cost(load)
    }

    fn render_mix(&self, text: &mut String) {
        text.push_str(
            "| the mix, saturated | µs/query | user | system | to echo | best | thousand q/s \
             | octets |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let Some(cost) = row.cost(MIX) else { continue };
            let of = |of: fn(&Sample) -> f64| row.median(MIX, of).unwrap_or(0.0);
            let samples = row.samples[0].iter();
            let best = samples.map(|sample| sample.user + sample.system).fold(f64::MAX, f64::min);
            writeln!(
                text,
                "| {} | {cost:.2} | {:.2} | {:.2} | {} | {best:.2} | {:.0} | {:.0} |",
                row.name,
                of(|sample| sample.user),
                of(|sample| sample.system),
                ratio(Some(cost), self.echo(MIX)),
                of(|sample| sample.outcome.rate() / 1e3),
                of(|sample| sample.outcome.octets as f64 / sample.outcome.received.max(1) as f64)
            )
            .unwrap();
        }
    }

    fn render_loads(&self, text: &mut String) {
        text.push('\n');
        head(text, "µs/query (to echo)", self.rows.iter().map(|row| &*row.name));
        for (at, drive) in DRIVES.iter().enumerate() {
            if self.rows.iter().all(|row| row.samples[at].is_empty()) {
                continue;
            }
            write!(text, "\n| {} |", drive.name).unwrap();
            for row in &self.rows {
                match (row.cost(drive.name), self.echo(drive.name)) {
                    (None, _) => text.push_str(" |"),
                    (Some(cost), None) => write!(text, " {cost:.1} |").unwrap(),
                    (cost, echo) => {
                        write!(text, " {:.2} ({}) |", cost.unwrap(), ratio(cost, echo)).unwrap();
                    }
                }
            }
        }
        text.push('\n');
    }

    fn render_rates(&self, text: &mut String) {
        text.push_str(
            "\n| open loop | p50 µs | p99 µs | p99.9 µs | lost | at 150,000 q/s: answered | lost | \
             by its buffer |\n|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let median = |load, of: &dyn Fn(&Sample) -> f64| {
                row.median(load, of).map_or("".to_owned(), |found| format!("{found:.0}"))
            };
            let share = |of: fn(&Sample) -> u64| {
                let of = |sample: &Sample| of(sample) as f64 * 100.0 / sample.outcome.sent as f64;
                row.median(OVERLOAD, of).map_or("".to_owned(), |found| format!("{found:.2} %"))
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                row.name,
                median(STEADY, &|sample| sample.outcome.latency(0.5)),
                median(STEADY, &|sample| sample.outcome.latency(0.99)),
                median(STEADY, &|sample| sample.outcome.latency(0.999)),
                median(STEADY, &|sample| sample.outcome.lost() as f64),
                median(OVERLOAD, &|sample| sample.outcome.rate()),
                share(|sample| sample.outcome.lost()),
                share(|sample| sample.dropped),
            )
            .unwrap();
        }
    }

    fn render_rest(&self, text: &mut String) {
        text.push_str(
            "\n| | start ms | reload ms | memory MiB | asked in all | lost elsewhere | wrong | \
             differ |\n|---|---|---|---|---|---|---|---|\n",
        );
        for row in self.rows.iter().filter(|row| row.kind != Kind::Echo) {
            let millis = |times: &[Duration]| {
                median(times.iter().map(|time| time.as_secs_f64() * 1e3)).unwrap_or(0.0)
            };
            let memory = median(row.memory.iter().map(|kib| *kib as f64 / 1024.0));
            let faults: std::collections::BTreeSet<_> = row
                .samples
                .iter()
                .flatten()
                .flat_map(|sample| sample.outcome.wrong.keys())
                .collect();
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            writeln!(
                text,
                "| {} | {:.0} | {:.0} | {:.1} | {} | {} | {}{} | {:.0} % |",
                row.name,
                millis(&row.start),
                millis(&row.reload),
                memory.unwrap_or(0.0),
                row.sum(|sample| sample.outcome.sent),
                row.sum(|sample| sample.outcome.lost().saturating_sub(sample.dropped)),
                row.sum(|sample| sample.outcome.wrong()),
                if faults.is_empty() { String::new() } else { format!(" ({})", faults.join(", ")) },
                row.unsteadiness
            )
            .unwrap();
        }
    }
}

/// Writes the head of a table with a column a server.
pub fn head<'n>(text: &mut String, what: &str, names: impl Iterator<Item = &'n str>) {
    write!(text, "| {what} |").unwrap();
    let mut line = String::from("\n|---|");
    for name in names {
        write!(text, " {name} |").unwrap();
        line.push_str("---|");
    }
    text.push_str(&line);
}

fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("{:.2}", one / other),
        _ => String::new(),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    match values.len() % 2 {
        0 => Some((upper + values[values.len() / 2 - 1]) / 2.0),
        _ => Some(upper),
    }
}

/// Says what it was measured on.
pub fn machine() -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = file("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    let kernel = file("/proc/sys/kernel/osrelease");
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date =
        date.map_or(String::new(), |date| String::from_utf8_lossy(&date.stdout).into_owned());
    format!("{}, {model}, Linux {}.", date.trim(), kernel.trim())
}

//----------- replace --------------------------------------------------------

/// Puts text between the marks of a file: the lines `<!-- MARK: begin -->` and
/// `<!-- MARK: end -->`.
pub fn replace(path: &Path, mark: &str, text: &str) -> Result<(), String> {
    let about = |why: String| format!("{}: {why}", path.display());
    let file = std::fs::read_to_string(path).map_err(|error| about(error.to_string()))?;
    let [begin, end] = ["begin", "end"].map(|word| format!("<!-- {mark}: {word} -->\n"));
    let parts = file.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| about(format!("no lines {begin:?} and {end:?}")))?;
    let whole = format!("{before}{begin}\n{}\n\n{end}{after}", text.trim_end());
    std::fs::write(path, whole).map_err(|error| about(error.to_string()))
}
