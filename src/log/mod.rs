//! The decision log: which client was given which endpoints, when and why.
//!
//! ```text
//!  worker ── Pen ── ring ──┐
//!  worker ── Pen ── ring ──┼─▶ writer (thread) ─┬─▶ lines, JSON: a file, or standard output
//!  connections ─ SharedPens ┘                   └─▶ frames, dnstap (thread) ─▶ a Unix socket
//! ```
//!
//! A worker copies the message, the response and a few numbers to a ring of its
//! own and goes on: it takes no lock, allocates nothing and waits for nobody.
//! All else is done by the writer. What finds a ring full, or a disk, or nobody
//! who reads, is lost and counted; no answer ever waits for it.
//!
//! # What is absent
//!
//! The rule that placed a client, and the lines of the tables: `explain --at`
//! knows both for any moment that is remembered. And two ways to the disk: a
//! pipe as the log file that nobody reads holds up dnstap, too.

mod dnstap;
mod format;
pub mod join;
mod line;
mod record;
mod reply;
mod ring;
mod sieve;
mod tap;
mod writer;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

pub use self::line::{Answer, Endpoint, Line, Lost, Opened};
pub(crate) use self::record::{Note, ZoneNote};

use self::format::Format;
use self::ring::{Inlet, Outlet, Put};
use self::sieve::Sieve;
use self::tap::Tap;
use self::writer::{Orders, Sink, Writer};
use crate::config::model::Log;
use crate::transport::counters::{Protocol, SharedLane};

/// How long a server that stops waits for the last lines.
const STOP_TIME: Duration = Duration::from_secs(2);

//----------- Journal --------------------------------------------------------

/// A log that is to be: its files are open, and pens are handed out.
#[derive(Debug)]
pub struct Journal {
    config: Log,
    identity: Option<String>,
    sink: Option<Sink>,
    sieve: Arc<Sieve>,
    waker: Arc<OnceLock<Thread>>,
    outlets: Vec<Outlet>,
}

impl Journal {
    /// Opens what a configuration names; there is nothing where it names none.
    ///
    /// Fails where the file cannot be opened.
    pub fn open(config: &Log, identity: Option<&str>) -> io::Result<Option<Self>> {
        if config.file.is_none() && config.dnstap.is_none() {
            return Ok(None);
        }
        let opened = Opened {
            time: String::new(),
            node: identity.map(str::to_owned),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sample: config.sample,
            networks: config.networks.iter().map(|network| network.value.to_string()).collect(),
            regions: config.regions.iter().map(|region| region.value.clone()).collect(),
        };
        let sieve = Sieve {
            sample: config.sample,
            networks: config.networks.iter().map(|network| network.value).collect(),
            regions: opened.regions.clone(),
        };
        let sink = config.file.clone().map(|file| Sink::open(file, opened)).transpose()?;
        Ok(Some(Journal {
            config: config.clone(),
            identity: identity.map(str::to_owned),
            sink,
            sieve: Arc::new(sieve),
            waker: Arc::default(),
            outlets: Vec::new(),
        }))
    }

    /// Returns a pen for one worker.
    pub(crate) fn pen(&mut self) -> Pen {
        let (inlet, outlet) = ring::ring();
        self.outlets.push(outlet);
        Pen { inlet, sieve: self.sieve.clone(), waker: self.waker.clone() }
    }

    /// Returns pens that so many threads share.
    pub(crate) fn shared_pens(&mut self, threads: usize) -> SharedPens {
        SharedPens((0..threads.max(1)).map(|_| Mutex::new(self.pen())).collect())
    }

    /// Starts to write. `lanes` count, one for each protocol.
    pub(crate) fn start(self, lanes: [SharedLane; Protocol::ALL.len()]) -> io::Result<Running> {
        let Journal { config, identity, sink, waker, outlets, .. } = self;
        let tap = config
            .dnstap
            .map(|socket| Tap::start(socket, identity.clone().unwrap_or_default(), lanes.clone()));
        let orders = Arc::<Orders>::default();
        let writer = Writer {
            outlets,
            sink,
            tap: tap.transpose()?,
            lanes,
            format: Format::new(identity.as_deref()),
            node: identity,
            orders: orders.clone(),
        };
        let thread = thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        // Nobody else sets it.
        let _ = waker.set(thread.thread().clone());
        Ok(Running { orders, thread })
    }
}

//----------- Running --------------------------------------------------------

/// A log that is being written.
#[derive(Debug)]
pub struct Running {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Has the file be opened again, since it may have been moved away.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    /// Writes what there is, if whoever reads it does, and ends.
    pub(crate) fn stop(self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let until = Instant::now() + STOP_TIME;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

//----------- Pen ------------------------------------------------------------

/// What a worker writes with.
#[derive(Debug)]
pub(crate) struct Pen {
    inlet: Inlet,
    sieve: Arc<Sieve>,
    waker: Arc<OnceLock<Thread>>,
}

impl Pen {
    /// Notes an answer, if it is to be logged; says whether there was room.
    pub(crate) fn write(&mut self, note: &Note<'_>) -> bool {
        let region = note.zone.map_or("", |zone| zone.region);
        if !self.sieve.passes(note.client.ip(), note.message, region) {
            return true;
        }
        let (head, parts) = note.parts();
        match self.inlet.put(&head, &parts) {
            Put::In => true,
            Put::Lost => false,
            Put::Wake => {
                if let Some(thread) = self.waker.get() {
                    thread.unpark();
                }
                true
            }
        }
    }
}

/// What the threads of connections write with: one pen for each of them, so
/// that one is always free.
#[derive(Debug)]
pub(crate) struct SharedPens(Box<[Mutex<Pen>]>);

impl SharedPens {
    /// Notes an answer, if it is to be logged; says whether there was room.
    pub(crate) fn write(&self, note: &Note<'_>) -> bool {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        // Each thread begins with the pen that it had before.
        let first = NUMBER.with(|number| number % self.0.len());
        let (behind, from) = self.0.split_at(first);
        for pen in from.iter().chain(behind) {
            match pen.try_lock() {
                Ok(mut pen) => return pen.write(note),
                Err(TryLockError::Poisoned(pen)) => return pen.into_inner().write(note),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        false
    }
}
