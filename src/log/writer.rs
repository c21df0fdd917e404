//! The thread that turns records into lines, and writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::format::Format;
use super::line::{Line, Lost, Opened, time};
use super::record::Record;
use super::ring::Outlet;
use super::tap::Tap;
use crate::clock;
use crate::config::model::LogFile;
use crate::transport::Occasionally;
use crate::transport::counters::{Counter, Protocol, SharedLane, Tally};

/// How long the thread sleeps where there is nothing to do: so late do lines
/// come at most. Workers wake it when much waits.
const IDLE: Duration = Duration::from_millis(50);

/// Records that are taken from a ring before the next one has its turn, so that
/// lines of all workers stand beside each other.
const TURN: usize = 1024;

/// Octets of lines that are written at once.
const BUFFER: usize = 256 << 10;

/// How long the thread goes on when the server stops.
const STOP_TIME: Duration = Duration::from_millis(500);

//----------- Orders ---------------------------------------------------------

/// What the thread is told.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) reopen: AtomicBool,
    pub(super) stop: AtomicBool,
}

//----------- Writer ---------------------------------------------------------

/// What the thread works on.
pub(super) struct Writer {
    pub(super) outlets: Vec<Outlet>,
    pub(super) sink: Option<Sink>,
    pub(super) tap: Option<Tap>,
    pub(super) lanes: [SharedLane; Protocol::ALL.len()],
    pub(super) node: Option<String>,
    pub(super) format: Format,
    pub(super) orders: Arc<Orders>,
}

impl Writer {
    /// Works until it is to stop, and then as long as records are there.
    pub(super) fn run(mut self) {
        let (mut octets, mut deadline) = (Vec::new(), None);
        let mut lines = Lines::default();
        if let Some(sink) = &self.sink {
            lines.open(sink);
        }
        loop {
            if self.orders.reopen.swap(false, Ordering::Relaxed)
                && let Some(sink) = &mut self.sink
            {
                sink.reopen();
                lines.open(sink);
            }
            let stops = self.orders.stop.load(Ordering::Relaxed);
            let is_idle = !self.work(&mut octets, &mut lines);
            match (stops, is_idle) {
                (true, true) => break,
                (true, false) => {
                    let until = *deadline.get_or_insert_with(|| Instant::now() + STOP_TIME);
                    if Instant::now() > until {
                        break;
                    }
                }
                (false, true) => thread::park_timeout(IDLE),
                (false, false) => {}
            }
        }
        if let Some(tap) = self.tap {
            let _ = tap.end().join();
        }
    }

    /// Gives every ring a turn; says whether there was anything.
    fn work(&mut self, octets: &mut Vec<u8>, lines: &mut Lines) -> bool {
        let Writer { outlets, sink, tap, lanes, node, format, .. } = self;
        let mut lost = 0;
        let mut is_busy = false;
        for outlet in outlets {
            for _ in 0..TURN {
                if !outlet.take(octets) {
                    break;
                }
                is_busy = true;
                // Whatever is in the ring was put there by this server.
                let Some(record) = Record::read(octets) else { continue };
                if let Some(tap) = tap {
                    tap.put(&record);
                }
                if let Some(sink) = sink {
                    lines.add(&record, format);
                    if lines.octets.len() >= BUFFER {
                        lines.write(sink, lanes);
                    }
                }
            }
            lost += outlet.take_lost();
        }
        if lost > 0 {
            lines.add_lost(lost, node.as_deref());
        }
        if let Some(sink) = sink {
            lines.write(sink, lanes);
            // Once there is room again.
            if sink.lost > 0 && !sink.fails {
                lines.add_lost(std::mem::take(&mut sink.lost), node.as_deref());
            }
        }
        lines.clear_unless(sink.is_some());
        if let Some(tap) = tap {
            tap.flush();
        }
        is_busy
    }
}

//----------- Lines ----------------------------------------------------------

/// Lines that are to be written.
#[derive(Debug, Default)]
struct Lines {
    octets: Vec<u8>,

    /// Where each ends, and how its message came; none for what is no answer.
    ends: Vec<(usize, Option<Protocol>)>,
}

impl Lines {
    fn add(&mut self, record: &Record<'_>, format: &mut Format) {
        format.answer(record, &mut self.octets);
        self.ends.push((self.octets.len(), Some(record.protocol)));
    }

    fn add_lost(&mut self, count: u64, node: Option<&str>) {
        let (time, node) = (time(clock::wall()), node.map(str::to_owned));
        self.push(&Line::Lost(Lost { time, node, count }));
    }

    /// Adds the line that a file begins with.
    fn open(&mut self, sink: &Sink) {
        let opened = Opened { time: time(clock::wall()), ..sink.opened.clone() };
        self.push(&Line::Opened(opened));
    }

    fn push(&mut self, line: &Line) {
        // Neither writing to memory nor texts and numbers can fail.
        if serde_json::to_writer(&mut self.octets, line).is_ok() {
            self.octets.push(b'\n');
            self.ends.push((self.octets.len(), None));
        }
    }

    /// Writes all, and counts which were written and which were not.
    fn write(&mut self, sink: &mut Sink, lanes: &mut [SharedLane]) {
        if self.octets.is_empty() {
            return;
        }
        let written = sink.write(&self.octets);
        let mut counts = [[0; 2]; Protocol::ALL.len()];
        for (end, protocol) in self.ends.drain(..) {
            let is_lost = end > written;
            if let Some(protocol) = protocol {
                counts[protocol as usize][usize::from(is_lost)] += 1;
                sink.lost += u64::from(is_lost);
            }
        }
        for (lane, [written, unwritten]) in lanes.iter_mut().zip(counts) {
            if written + unwritten > 0 {
                lane.add(Counter::LogWritten, written);
                lane.add(Counter::LogUnwritten, unwritten);
            }
        }
        self.octets.clear();
    }

    /// Forgets all where nobody reads them.
    fn clear_unless(&mut self, is_written: bool) {
        if !is_written {
            self.octets.clear();
            self.ends.clear();
        }
    }
}

//----------- Sink -----------------------------------------------------------

/// Where lines go.
#[derive(Debug)]
pub(super) struct Sink {
    target: LogFile,
    file: File,

    /// What the first line says.
    opened: Opened,

    /// Whether the last line that is in it is whole.
    is_torn: bool,

    /// Whether the system did not take something the last time.
    fails: bool,

    /// Lines that it did not take, and that no line tells of yet.
    lost: u64,
}

impl Sink {
    /// Opens the file.
    pub(super) fn open(target: LogFile, opened: Opened) -> io::Result<Self> {
        let file = open(&target)?;
        Ok(Sink { target, file, opened, is_torn: false, fails: false, lost: 0 })
    }

    /// Opens the file again, since it may have been moved away; goes on with the
    /// one that is open where that fails.
    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(file) => (self.file, self.is_torn) = (file, false),
            Err(error) => tracing::error!(
                "the decision log goes on in the file that is open: {} cannot be opened: {error}",
                self.target
            ),
        }
    }

    /// Writes octets; returns how many of them it took.
    fn write(&mut self, octets: &[u8]) -> usize {
        static LOG: Occasionally = Occasionally::new();
        // What follows half a line is to be read again.
        if self.is_torn && self.file.write_all(b"\n").is_ok() {
            self.is_torn = false;
        }
        let mut written = 0;
        self.fails = false;
        while written < octets.len() {
            match self.file.write(&octets[written..]) {
                Ok(len) if len > 0 => written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    self.fails = true;
                    let error = result.err().unwrap_or(io::ErrorKind::WriteZero.into());
                    if LOG.pass().is_some() {
                        let target = &self.target;
                        tracing::error!("lines of the decision log are lost: {target}: {error}");
                    }
                    break;
                }
            }
        }
        if let Some(last) = octets[..written].last() {
            self.is_torn = *last != b'\n';
        }
        written
    }
}

fn open(target: &LogFile) -> io::Result<File> {
    match target {
        LogFile::Stdout => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        // Clients' addresses are nobody's business but the operators'.
        LogFile::Path(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path),
    }
}
