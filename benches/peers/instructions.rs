//! Instructions of the servers, counted rather than timed.
//!
//! How processor time splits into user and system is sampled by the clock's
//! ticks, and what a program alone does is short beside what the system does.
//! valgrind's callgrind counts the instructions of all of a server's threads
//! outside of the system. What a query takes is the difference of two runs
//! that differ in the number of queries alone, so that starting and stopping
//! drop out.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::generator::{Generator, Load, Pace};
use super::judge::Table;
use super::measure::{DRIVES, SATURATED};
use super::report;
use super::servers::{Kind, Server};
use super::world::World;

/// How many queries the two runs have. Threads that wait take some instructions
/// a second, and valgrind answers some 10,000 queries in one.
const QUERIES: [u64; 2] = [5_000, 45_000];

/// How long a load may last.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns which of some loads are counted: those that saturate, and of all of
/// them three.
pub fn drives(drives: &[usize], are_named: bool) -> Vec<usize> {
    let counted = drives.iter().copied().filter(|at| DRIVES[*at].way == SATURATED);
    let few =
        |at: &usize| are_named || ["mix", "client subnet", "NXDOMAIN"].contains(&DRIVES[*at].name);
    counted.filter(few).collect()
}

/// Counts the instructions of loads, by their numbers, for all servers; returns
/// a table.
pub fn run(
    servers: &mut [Server],
    world: &World,
    database: &Path,
    drives: &[usize],
) -> Result<String, String> {
    let mut text = String::new();
    let names = servers.iter().map(|server| &*server.name);
    report::head(&mut text, "instructions/query, user", names);
    let mut generator = Generator::new();
    for server in &mut *servers {
        // What is compiled once is left behind for the starts that count.
        server.write(world, database);
        server.start(world, Some(0)).map_err(|why| format!("{}: {why}", server.name))?;
        server.stop();
    }
    for drive in drives {
        write!(text, "\n| {} |", DRIVES[*drive].name).unwrap();
        for server in &mut *servers {
            let place = format!("{}, {}", server.name, DRIVES[*drive].name);
            let mut runs = [(0.0, 0.0); 2];
            for (run, queries) in runs.iter_mut().zip(QUERIES) {
                let counted = count_run(server, &mut generator, (world, database), *drive, queries);
                *run = counted.map_err(|why| format!("{place}: {why}"))?;
            }
            let each = (runs[1].0 - runs[0].0) / (runs[1].1 - runs[0].1);
            if each < 0.0 {
                return Err(format!("{place}: less for more queries: {runs:?}"));
            }
            write!(text, " {each:.0} |").unwrap();
            eprintln!("{place}: {each:.0}");
        }
    }
    text.push('\n');
    Ok(text)
}

/// Runs a server for so many queries; returns its instructions in all, and how
/// many queries it answered: those that its buffer drops cost it nothing.
fn count_run(
    server: &mut Server,
    generator: &mut Generator,
    (world, database): (&World, &Path),
    drive: usize,
    queries: u64,
) -> Result<(f64, f64), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = folder.path().join("out.%p");
    server.write(world, database);
    server.run_by_callgrind(&out);
    server.start(world, Some(0))?;
    let questions = DRIVES[drive].kind.questions(world);
    let judge = match server.kind {
        Kind::Echo => Table::of_anything(),
        _ => Table::new(&questions, server.kind.steering(), server.version()),
    };
    let outcome = generator.run(Load {
        server: server.address,
        clients: &world.clients,
        questions: &questions,
        pace: Pace::Window,
        count: queries,
        time: PATIENCE,
        judge: &judge,
    });
    server.stop();
    if outcome.received * 2 < queries {
        return Err(format!("{} of {queries} queries were answered", outcome.received));
    }
    Ok((total(folder.path())?, outcome.received as f64))
}

/// Returns the sum of what the processes of a server took.
fn total(folder: &Path) -> Result<f64, String> {
    let mut sum = 0.0;
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("totals: "));
        sum += lines.filter_map(|count| count.trim().parse::<f64>().ok()).sum::<f64>();
    }
    if sum == 0.0 { Err("callgrind has written nothing".into()) } else { Ok(sum) }
}
