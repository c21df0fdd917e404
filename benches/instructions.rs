//! How many instructions an answer takes, by kind of question.
//!
//! `cargo bench --bench instructions` counts them with valgrind's callgrind,
//! which does not depend on what else the machine does, and compares them with
//! `instructions.txt`: more than 1 % more fails, and so does a kind that only
//! one of the two has. What is meant to change them writes the file anew with
//! `-- --bless`. Another compiler, C library or processor gives other counts:
//! then they are printed, and not compared.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::scenarios::{self, Scenario};
use trunkdns::answer::Verdict;
use trunkdns::limit::Limiter;

/// How many percent more than the baseline are too many: rounding of layouts
/// is less.
const BOUND: u64 = 1;

/// What writes the baseline anew.
const RENEW: &str = "cargo bench --locked --bench instructions -- --bless";

/// How often it is counted again where something takes more.
const RECOUNTS: usize = 3;

/// What valgrind runs this with.
const CHILD: &str = "--count";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == CHILD) {
        let is_wanted = |scenario: &Scenario| {
            !arguments.iter().any(|name| name != CHILD && name != scenario.name)
        };
        scenarios::all().iter().filter(|scenario| is_wanted(scenario)).for_each(run);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: skipped, `valgrind` is not installed");
        return match std::env::var_os("TRUNKDNS_TESTS") {
            Some(all) if all == "all" => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    let conditions = conditions();
    let baseline = Baseline::read();
    let mut counts = count();
    // Tables with random seeds take a few instructions more or less each time:
    // what is more every time is more.
    for _ in 0..RECOUNTS {
        if baseline.conditions != conditions || !baseline.is_exceeded(&counts) {
            break;
        }
        for (name, count) in count() {
            let least = counts.entry(name).or_insert(count);
            *least = count.min(*least);
        }
    }
    if arguments.iter().any(|argument| argument == "--bless") {
        std::fs::write(baseline_path(), Baseline { conditions, counts }.to_text()).unwrap();
        return ExitCode::SUCCESS;
    }
    compare(&baseline, &conditions, &counts)
}

//----------- Counting -------------------------------------------------------

/// Asks until everything is built and every table known, then once more.
fn run(scenario: &Scenario) {
    let limiter = Limiter::new([7; 16]);
    let mut out = vec![0; usize::from(u16::MAX)];
    for _ in 0..3 {
        measured(scenario, &limiter, &mut out);
    }
    black_box(&out);
}

/// What is counted: one question.
#[inline(never)]
fn measured(scenario: &Scenario, limiter: &Limiter, out: &mut [u8]) {
    let outcome = black_box(scenario).ask(limiter, out);
    assert!(matches!(black_box(outcome).verdict, Verdict::Send(_)), "{}", scenario.name);
}

/// Returns the instructions of each scenario.
fn count() -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let function = "instructions::measured";
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--dump-after={function}"))
        .arg(format!("--callgrind-out-file={}", folder.path().join("out").display()))
        .arg(std::env::current_exe().unwrap())
        .arg(CHILD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Each call leaves a part, of which the third of a scenario counts.
    let parts = (1..).map(|part| folder.path().join(format!("out.{part}")));
    let counts: Vec<_> = parts.map_while(|part| total(&part)).collect();
    let names: Vec<_> = scenarios::all().iter().map(|scenario| scenario.name.to_owned()).collect();
    assert!(counts.len() >= 3 * names.len(), "{} parts", counts.len());
    names.into_iter().zip(counts.chunks(3)).map(|(name, counts)| (name, counts[2])).collect()
}

fn total(part: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(part).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

//----------- Baseline -------------------------------------------------------

/// Counts, and what they hold for.
struct Baseline {
    conditions: String,
    counts: BTreeMap<String, u64>,
}

impl Baseline {
    fn read() -> Self {
        let text = std::fs::read_to_string(baseline_path()).unwrap_or_default();
        let mut lines = text.lines();
        let conditions = lines.next().unwrap_or_default().to_owned();
        let count = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        Baseline { conditions, counts: lines.filter_map(count).collect() }
    }

    /// Says whether something takes more than it did, or was not known.
    fn is_exceeded(&self, counts: &BTreeMap<String, u64>) -> bool {
        counts.iter().any(|(name, count)| self.is_more(name, *count))
    }

    fn is_more(&self, name: &str, count: u64) -> bool {
        self.counts.get(name).is_none_or(|known| count * 100 > known * (100 + BOUND))
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.conditions);
        for (name, count) in &self.counts {
            writeln!(text, "{name} {count}").unwrap();
        }
        text
    }
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// Returns what the counts depend on beside the code.
fn conditions() -> String {
    let first = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    // The C library copies by what the processor can do.
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |feature: &str| information.split_whitespace().any(|word| word == feature);
    let features: Vec<_> = ["avx2", "erms", "fsrm"].into_iter().filter(|word| has(word)).collect();
    [
        first("rustc", "--version"),
        first("getconf", "GNU_LIBC_VERSION"),
        first("valgrind", "--version"),
        std::env::consts::ARCH.to_owned(),
        features.join(" "),
    ]
    .join(", ")
}

fn compare(baseline: &Baseline, conditions: &str, counts: &BTreeMap<String, u64>) -> ExitCode {
    let is_comparable = baseline.conditions == conditions;
    let mut failed = false;
    for (name, count) in counts {
        let known = baseline.counts.get(name);
        let is_more = baseline.is_more(name, *count);
        let known = known.map_or("none".to_owned(), |known| known.to_string());
        let mark = if is_comparable && is_more { "  <-- more" } else { "" };
        println!("{name:<32} {count:>6} (baseline {known}){mark}");
        failed |= is_comparable && is_more;
    }
    for (name, known) in baseline.counts.iter().filter(|(name, _)| !counts.contains_key(*name)) {
        let mark = if is_comparable { "  <-- not counted" } else { "" };
        println!("{name:<32} {:>6} (baseline {known}){mark}", "none");
        failed |= is_comparable;
    }
    if !is_comparable {
        println!(
            "instructions: not compared, because counts hold for one compiler, C library, \
             valgrind and processor:\n  the baseline is of: {}\n  and this is:       {conditions}\n\
             Where the project has moved to the latter, take an unchanged main and write the \
             baseline anew:\n  {RENEW}",
            baseline.conditions
        );
    }
    if failed {
        println!(
            "instructions: what is marked takes more than {BOUND} % more than {} says, or is \
             in one of the two alone. Make it cheaper; where it is meant, write the baseline \
             anew, and say in the commit why:\n  {RENEW}",
            baseline_path().display()
        );
    }
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
