//! 24 million queries at full load, and 500 changes of the zone in between.
//!
//! Each change gives every SRV record another port, and takes effect at once
//! (`mode = "immediate"`), which is at the next full second. An answer must be
//! of one version throughout, and of one that may be in force: none that was
//! not written yet, none before one that must be in force, and none before one
//! that an answer had when the query was sent.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::check::{Fault, check};
use super::generator::{Generator, Judge, Load, Outcome, Pace, Query};
use super::measure::{Counters, Way};
use super::servers::{Server, port_drops};
use super::world::{self, Kind, Question, Steering, World};

/// How many queries, and changes meanwhile.
const QUERIES: u64 = 24_000_000;
const CHANGES: u16 = 500;

/// When to give up. An idle machine needs three minutes.
const TIME_MAX: Duration = Duration::from_secs(900);

/// Half of the queries are sent as fast as they are answered, half faster, so
/// that the server's buffer fills up.
const PACES: [Pace; 2] = [Pace::Window, Pace::Rate(300_000)];

/// Runs one part in `share` of it on a server that was started; returns a
/// table of what came of it.
pub fn run(
    server: &mut Server,
    world: &World,
    database: &Path,
    share: u64,
) -> Result<String, String> {
    let questions = Kind::Subnet.questions(world);
    let mut generator = Generator::new();
    let mut lines = format!(
        "| {} | changes | lost | by the server's buffer | by the generator's | wrong | p99.9 ms | \
         worst ms |\n|---|---|---|---|---|---|---|---|\n",
        "queries"
    );
    for (half, pace) in PACES.into_iter().enumerate() {
        let changes = (CHANGES / share as u16 / 2).max(2);
        let first = half as u16 * changes;
        let progress = Progress::new(first);
        let port = server.address.port();
        let before = Counters::read(server).ok_or("the server has no counters")?;
        let drops = [port, generator.port()].map(port_drops);
        let load = Load {
            server: server.address,
            clients: &world.clients,
            questions: &questions,
            pace,
            count: QUERIES / share / 2,
            time: TIME_MAX,
            judge: Versions { questions: &questions, progress: &progress, oldest: first },
        };
        let count = load.count;
        let (outcome, changed) = thread::scope(|scope| {
            let changer =
                scope.spawn(|| change(server, world, database, &progress, count, changes));
            let outcome = generator.run(load);
            progress.is_over.store(true, Ordering::Relaxed);
            (outcome, changer.join().expect("the thread has ended"))
        });
        changed?;
        progress.wait(first + changes);
        let dropped = [port, generator.port()].map(port_drops);
        let dropped = [dropped[0] - drops[0], dropped[1] - drops[1]];
        judge(&outcome, count, dropped)?;
        if dropped[1] == 0 {
            let after = Counters::read(server).ok_or("the server has no counters")?;
            after.check(&before, &outcome, dropped[0], Way::Udp(pace))?;
        }
        lines += &format!(
            "| {} | {changes} | {} | {} | {} | {} | {:.1} | {:.1} |\n",
            outcome.sent,
            outcome.lost(),
            dropped[0],
            dropped[1],
            outcome.wrong(),
            outcome.latency(0.999) / 1e3,
            outcome.latency(1.0) / 1e3,
        );
    }
    Ok(lines)
}

/// Says what went wrong.
fn judge(outcome: &Outcome, count: u64, dropped: [u64; 2]) -> Result<(), String> {
    if outcome.sent != count {
        return Err(format!("{} queries sent in {TIME_MAX:?}, not {count}", outcome.sent));
    }
    if outcome.wrong() > 0 {
        return Err(format!("wrong answers: {:?}", outcome.wrong));
    }
    if outcome.lost() != dropped[0] + dropped[1] {
        return Err(format!("{} lost, buffers dropped {dropped:?}", outcome.lost()));
    }
    Ok(())
}

//----------- Progress -------------------------------------------------------

/// How far the generator and the changes are.
struct Progress {
    start: Instant,
    sent: AtomicU64,
    is_over: AtomicBool,

    /// The last version that was written.
    written: AtomicU16,

    /// When each version must be in force, in nanoseconds since the start.
    in_force: Vec<AtomicU64>,
}

impl Progress {
    fn new(first: u16) -> Self {
        let never = |_| AtomicU64::new(u64::MAX);
        Progress {
            start: Instant::now(),
            sent: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            written: AtomicU16::new(first),
            in_force: (0..=CHANGES + 4).map(never).collect(),
        }
    }

    /// Waits until a version must be in force.
    fn wait(&self, version: u16) {
        let time = self.in_force[usize::from(version)].load(Ordering::SeqCst);
        thread::sleep(Duration::from_nanos(time).saturating_sub(self.start.elapsed()));
    }
}

/// Changes the zone again and again, evenly spread over the queries.
fn change(
    server: &mut Server,
    world: &World,
    database: &Path,
    progress: &Progress,
    count: u64,
    changes: u16,
) -> Result<(), String> {
    for number in 1..=changes {
        let due = count * u64::from(number) / u64::from(changes + 1);
        while progress.sent.load(Ordering::Relaxed) < due {
            if progress.is_over.load(Ordering::Relaxed) {
                return Err(format!("{} of {changes} changes were made", number - 1));
            }
            thread::sleep(Duration::from_millis(1));
        }
        let version = progress.written.fetch_add(1, Ordering::SeqCst) + 1;
        let begun = Instant::now();
        server.change(world, database)?;
        // In force from the next full second on; where a publication takes
        // longer than until then, it is moved on by no more than it took twice.
        let grace = Duration::from_secs(1) + 2 * begun.elapsed();
        let time = (progress.start.elapsed() + grace).as_nanos() as u64;
        progress.in_force[usize::from(version)].store(time, Ordering::SeqCst);
    }
    Ok(())
}

//----------- Versions -------------------------------------------------------

/// Knows which versions may be in force.
struct Versions<'v> {
    questions: &'v [Question],
    progress: &'v Progress,

    /// The oldest version that a query may be answered by that is sent now.
    oldest: u16,
}

impl Judge for Versions<'_> {
    fn note(&mut self, sent: u64, now: u64) -> u16 {
        self.progress.sent.store(sent, Ordering::Relaxed);
        let in_force = |version: u16| &self.progress.in_force[usize::from(version)];
        while in_force(self.oldest + 1).load(Ordering::SeqCst) <= now {
            self.oldest += 1;
        }
        self.oldest
    }

    fn judge(&mut self, asked: Query<'_>, answer: &[u8]) -> Result<(), Fault> {
        let versions = asked.note..=self.progress.written.load(Ordering::SeqCst);
        let question = &self.questions[asked.question];
        let expected = Steering::Services.expected(question, asked.region, versions);
        let port = check(answer, asked.octets, &expected)?;
        self.oldest = port.map_or(self.oldest, |port| self.oldest.max(world::version(port)));
        Ok(())
    }
}
