//! The way of dnstap's frames to their reader, on a thread of its own: a reader
//! that is slow or gone holds up nothing else.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use super::dnstap;
use super::record::Record;
use crate::transport::Occasionally;
use crate::transport::counters::{Counter, Protocol, SharedLane, Tally};

/// Octets that are sent to the reader at once, and batches of them that wait
/// for it: 4 MiB in all, some 12,000 answers.
const BATCH: usize = 64 << 10;
const BATCHES_MAX: usize = 64;

/// How long the reader may take to read, or to greet.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it is between attempts to reach the reader.
const RETRY: Duration = Duration::from_secs(1);

/// Frames that go to the reader together.
#[derive(Debug, Default)]
struct Batch {
    octets: Vec<u8>,

    /// How many there are, by how the messages came.
    counts: [u64; Protocol::ALL.len()],
}

//----------- Tap ------------------------------------------------------------

/// Where frames are put in.
#[derive(Debug)]
pub(super) struct Tap {
    identity: String,
    batch: Batch,
    batches: SyncSender<Batch>,
    lanes: [SharedLane; Protocol::ALL.len()],
    thread: JoinHandle<()>,
}

impl Tap {
    /// Starts the thread that sends frames to a socket.
    pub(super) fn start(
        socket: PathBuf,
        identity: String,
        lanes: [SharedLane; Protocol::ALL.len()],
    ) -> io::Result<Self> {
        let (batches, inbox) = sync_channel(BATCHES_MAX);
        let sender =
            Sender { socket, stream: None, next_try: Instant::now(), lanes: lanes.clone() };
        let thread =
            thread::Builder::new().name("dnstap".into()).spawn(move || sender.run(&inbox))?;
        Ok(Tap { identity, batch: Batch::default(), batches, lanes, thread })
    }

    /// Puts in the frame of a record.
    pub(super) fn put(&mut self, record: &Record<'_>) {
        dnstap::frame(record, &self.identity, &mut self.batch.octets);
        self.batch.counts[record.protocol as usize] += 1;
        if self.batch.octets.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands on what was put in. Where too much waits already, it is lost.
    pub(super) fn flush(&mut self) {
        if self.batch.octets.is_empty() {
            return;
        }
        let batch = mem::take(&mut self.batch);
        match self.batches.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                count(&mut self.lanes, Counter::DnstapLost, &batch);
            }
        }
    }

    /// Ends the stream; returns the thread that does so.
    pub(super) fn end(mut self) -> JoinHandle<()> {
        self.flush();
        self.thread
    }
}

fn count(lanes: &mut [SharedLane], counter: Counter, batch: &Batch) {
    for (lane, count) in lanes.iter_mut().zip(batch.counts) {
        if count > 0 {
            lane.add(counter, count);
        }
    }
}

//----------- Sender ---------------------------------------------------------

/// What the thread works on.
struct Sender {
    socket: PathBuf,

    /// The connection, once the reader has greeted.
    stream: Option<UnixStream>,
    next_try: Instant,
    lanes: [SharedLane; Protocol::ALL.len()],
}

impl Sender {
    fn run(mut self, inbox: &Receiver<Batch>) {
        loop {
            self.connect();
            match inbox.recv_timeout(RETRY) {
                Ok(batch) => self.send(&batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(mut stream) = self.stream {
            // A reader that does not say that it has everything may have it.
            let _ = dnstap::part(&mut stream);
        }
    }

    /// Reaches the reader, if that is due.
    fn connect(&mut self) {
        static LOG: Occasionally = Occasionally::new();
        if self.stream.is_some() || Instant::now() < self.next_try {
            return;
        }
        match self.greet() {
            Ok(stream) => {
                tracing::info!("dnstap goes to {}", self.socket.display());
                self.stream = Some(stream);
            }
            Err(error) => {
                self.next_try = Instant::now() + RETRY;
                if LOG.pass().is_some() {
                    let socket = self.socket.display();
                    tracing::warn!("dnstap is lost until a reader listens on {socket}: {error}");
                }
            }
        }
    }

    fn greet(&self) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        dnstap::greet(&mut stream)?;
        Ok(stream)
    }

    fn send(&mut self, batch: &Batch) {
        use io::Write;
        // The reader may have come back since.
        self.connect();
        let sent = match &mut self.stream {
            Some(stream) => stream.write_all(&batch.octets),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match sent {
            Ok(()) => count(&mut self.lanes, Counter::DnstapSent, batch),
            Err(error) => {
                count(&mut self.lanes, Counter::DnstapLost, batch);
                if self.stream.take().is_some() {
                    // What was sent in part cannot be gone on with.
                    tracing::warn!("the reader of dnstap is gone or too slow: {error}");
                    self.next_try = Instant::now();
                }
            }
        }
    }
}
