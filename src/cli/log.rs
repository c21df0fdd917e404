//! `trunkdns log join`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::{fail, ignore_broken_pipe};
use crate::config;
use crate::config::model::LogFile;
use crate::diag::{Report, Sources};
use crate::log::join::{Call, Calls, Holder, Join, Lines, Place, Target, Verdict};
use crate::time::utc;

/// What is done with the decision log.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Compare calls with it: was the endpoint in the answer that the caller's resolver held?
    Join(Options),
}

/// Options of `log join`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The calls, by time: comma-separated values under the header time,resolver,endpoint and, if
    /// known, name (that was asked) and id; `-` is standard input. A resolver is an address or a
    /// region, an endpoint an address or a name.
    #[arg(value_name = "CALLS")]
    calls: PathBuf,

    /// Files of the decision log, those of other servers and times too, in any order [that of the
    /// configuration].
    #[arg(long, value_name = "FILE", num_args = 1..)]
    log: Vec<PathBuf>,

    /// How far the times of calls may be off.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = super::duration)]
    tolerance: Duration,

    /// Show the calls that the log explains, too.
    #[arg(long)]
    all: bool,

    /// Print one JSON object a call and line.
    #[arg(long)]
    json: bool,
}

/// Exits 0 if every call went to an endpoint of an answer that was held.
pub(super) fn run(config: &Path, action: &Action) -> ExitCode {
    let Action::Join(options) = action;
    match join(config, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => fail(&why),
    }
}

fn join(config: &Path, options: &Options) -> Result<bool, String> {
    let name = options.calls.display().to_string();
    let reader: Box<dyn BufRead> = match &*name {
        "-" => Box::new(io::stdin().lock()),
        _ => {
            let file = File::open(&options.calls).map_err(|error| format!("{name}: {error}"))?;
            Box::new(BufReader::new(file))
        }
    };
    let mut calls = Calls::new(reader, &name)?;
    let lines = Lines::open(&logs(config, options)?)?;
    let mut join = Join::new(lines, options.tolerance);
    let mut summary = Summary::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut print = |text: &str| {
        let written = out.write_all(text.as_bytes()).or_else(ignore_broken_pipe);
        written.map_err(|error| format!("cannot print: {error}"))
    };
    while let Some(call) = calls.read_next()? {
        let verdict = join.judge(&call)?;
        summary.add(&verdict);
        match (&verdict, options.json) {
            (_, true) => print(&format!("{}\n", to_json(&call, &verdict)))?,
            (Verdict::Held(_), false) if !options.all => {}
            (_, false) => print(&render(&call, &verdict))?,
        }
    }
    if !options.json {
        print(&summary.render())?;
    }
    drop(out);
    for note in join.notes() {
        eprintln!("trunkdns: {note}");
    }
    Ok(summary.is_explained())
}

/// Returns the files of the log.
fn logs(config: &Path, options: &Options) -> Result<Vec<PathBuf>, String> {
    if !options.log.is_empty() {
        return Ok(options.log.clone());
    }
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let read = config::read_config(&mut sources, config, &mut report);
    let file = read.and_then(|config| config.log.file);
    match file.as_ref().and_then(LogFile::path) {
        Some(path) => Ok(vec![path.clone()]),
        None => {
            Err(format!("no file of a log: add --log FILE, for {} names none", config.display()))
        }
    }
}

//----------- Summary --------------------------------------------------------

/// How many calls there were of each kind.
#[derive(Debug, Default)]
struct Summary {
    total: u64,
    verdicts: BTreeMap<&'static str, u64>,
    priorities: BTreeMap<Option<u16>, u64>,
}

impl Summary {
    fn add(&mut self, verdict: &Verdict) {
        self.total += 1;
        *self.verdicts.entry(verdict.name()).or_default() += 1;
        if let Verdict::Held(place) = verdict {
            *self.priorities.entry(place.priority).or_default() += 1;
        }
    }

    fn is_explained(&self) -> bool {
        self.verdicts.keys().all(|name| *name == "held")
    }

    fn render(&self) -> String {
        let verdicts = self.verdicts.iter().map(|(name, count)| format!(", {count} {name}"));
        let verdicts: String = verdicts.collect();
        let priorities = self.priorities.iter().map(|(priority, count)| match priority {
            Some(priority) => format!("  {count} at priority {priority}\n"),
            None => format!("  {count} by an address that was asked for\n"),
        });
        format!("{} calls{verdicts}\n{}", self.total, priorities.collect::<String>())
    }
}

//----------- Output ---------------------------------------------------------

fn to_json(call: &Call, verdict: &Verdict) -> serde_json::Value {
    json!({
        "row": call.row,
        "id": call.id,
        "time": utc(call.time.second()),
        "resolver": holder(call),
        "endpoint": target(call),
        "says": verdict,
    })
}

fn render(call: &Call, verdict: &Verdict) -> String {
    let id = call.id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
    let place = |place: &Place| {
        let Place { name, answered, until, generation, .. } = place;
        let priority = place.priority.map_or_else(
            || "an address that was asked for".to_owned(),
            |priority| format!("priority {priority}"),
        );
        format!("{priority} of {name}, answered {answered}, until {until}, generation {generation}")
    };
    let why = match verdict {
        Verdict::Held(held) => place(held),
        Verdict::Expired(expired) => place(expired),
        Verdict::NotInIt { name, answered, targets } => {
            format!("{name} was answered {answered} with {}", targets.join(" "))
        }
        Verdict::NothingLogged => "no answer is logged that could have been held".to_owned(),
        Verdict::NotSampled { why } => why.clone(),
    };
    format!(
        "row {}{id}: {}, {} to {}: {}: {why}\n",
        call.row,
        utc(call.time.second()),
        holder(call),
        target(call),
        verdict.name()
    )
}

fn holder(call: &Call) -> String {
    match &call.holder {
        Holder::Resolver(address) => address.to_string(),
        Holder::Region(region) => region.clone(),
    }
}

fn target(call: &Call) -> String {
    match &call.target {
        Target::Address(address) => address.to_string(),
        Target::Name(name) => name.to_string(),
    }
}
