//! One connection.
//!
//! ```text
//!                 ┌─ octets ──▶ answer what is complete ──▶ write ─┐
//!   wait ─────────┤                                                │
//!    ▲            ├─ nothing in time, or closed ──▶ end            │
//!    └────────────┴────────────────────────────────────────────────┘
//! ```
//!
//! Octets are read into, and responses written from, buffers of the thread,
//! which no connection keeps across a wait: one that is idle has none at all.
//! Only a message that has come in part, and responses that a slow reader has
//! not taken, are kept with the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::time::{self, Instant};

use super::stream::Stream;
use crate::transport::Responder;
use crate::transport::counters::{Counter, Tally};
use crate::transport::session::Session;

/// Octets that are read at once: some 250 queries.
const READ_ROOM: usize = 16 << 10;

/// The longest message with its length, in octets.
const FRAME_MAX: usize = 2 + u16::MAX as usize;

/// Octets that are written at once: the longest message, and beside it as
/// many usual responses as one read brings queries.
const WRITE_ROOM: usize = 2 * FRAME_MAX;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; READ_ROOM].into(),
        output: vec![0; WRITE_ROOM].into(),
    });
}

/// The buffers of a thread.
struct Scratch {
    input: Box<[u8]>,
    output: Box<[u8]>,
}

//----------- Connection -----------------------------------------------------

/// A connection with what has come and not been answered yet, and what has
/// been answered and not been sent.
pub(super) struct Connection {
    stream: Stream,
    session: Session,

    /// The beginning of a message; or whole messages, while `unsent` is not
    /// empty.
    pending: Vec<u8>,

    /// When that message began.
    begun: Instant,

    /// Responses that the client has not taken.
    unsent: Vec<u8>,

    /// Whether the client has sent all that it will.
    is_at_end: bool,

    /// Whether it is known to be idle.
    is_idle: bool,

    /// Whether it is to end in favour of another.
    is_given_up: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream, session: Session) -> Self {
        Connection {
            stream,
            session,
            pending: Vec::new(),
            begun: Instant::now(),
            unsent: Vec::new(),
            is_at_end: false,
            is_idle: true,
            is_given_up: false,
        }
    }

    /// Answers until the connection ends.
    pub(super) async fn run(mut self) {
        let ending = match self.serve().await {
            Ok(ending) => ending,
            Err(_) => Ending::Client,
        };
        let lane = &mut self.session.lane;
        match ending {
            Ending::Client | Ending::Stopped => {}
            Ending::Idle => lane.count(Counter::ClosedIdle),
            Ending::Oldest => lane.count(Counter::ClosedOldest),
            Ending::Read => lane.count(Counter::ClosedRead),
            Ending::Write => {
                lane.count(Counter::ClosedWrite);
                return self.stream.forget_unread();
            }
        }
        self.stream.say_end();
    }

    async fn serve(&mut self) -> io::Result<Ending> {
        loop {
            if !self.unsent.is_empty() || self.stream.holds_octets() {
                self.note(false);
                let write = self.session.service.limits.write;
                match time::timeout(write, self.write_unsent()).await {
                    Ok(result) => result?,
                    Err(_) => return Ok(Ending::Write),
                }
            } else if split_message(&self.pending).is_some() {
                self.answer_pending()?;
            } else if self.is_at_end {
                return Ok(Ending::Client);
            } else {
                if self.is_idle != self.pending.is_empty() {
                    self.note(self.pending.is_empty());
                }
                if self.is_given_up {
                    return Ok(Ending::Oldest);
                }
                if let Some(ending) = self.wait().await? {
                    return Ok(ending);
                }
            }
        }
    }

    /// Says that the connection is idle from now on, or that it is busy.
    fn note(&mut self, is_idle: bool) {
        self.is_idle = is_idle;
        self.is_given_up |= !self.session.permit.note(is_idle);
    }

    /// Waits until octets have come and answers what is complete, or returns
    /// why it waits no longer.
    async fn wait(&mut self) -> io::Result<Option<Ending>> {
        let limits = &self.session.service.limits;
        let (mut deadline, mut ending) = match self.pending.is_empty() {
            true => (Instant::now() + limits.idle, Ending::Idle),
            false => (self.begun + limits.read, Ending::Read),
        };
        let mut stop = self.session.stop.clone();
        let grace = *stop.borrow_and_update();
        if let Some(grace) = grace.filter(|grace| *grace < deadline) {
            (deadline, ending) = (grace, Ending::Stopped);
        }
        let closed = self.session.permit.closed();
        tokio::select! {
            // What has come is answered first, whatever else has happened.
            biased;
            result = poll_fn(|context| self.poll_answer(context)) => result.map(|()| None),
            () = closed => Ok(Some(Ending::Oldest)),
            Ok(()) = stop.changed(), if grace.is_none() => Ok(None),
            () = time::sleep_until(deadline) => Ok(Some(ending)),
        }
    }

    /// Reads what has come, and answers what is complete.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|Scratch { input, output }| {
            let mut read = ReadBuf::new(input);
            ready!(self.stream.poll_read(context, &mut read))?;
            self.is_at_end = read.filled().is_empty();
            if self.is_idle {
                // It counts when a query came, not when it was answered: a
                // client that goes by its answers knows in which order.
                self.note(true);
            }
            Poll::Ready(self.answer(read.filled(), output))
        })
    }

    /// Answers what is pending, after `unsent` was in the way.
    fn answer_pending(&mut self) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|Scratch { output, .. }| self.answer(&[], output))
    }

    /// Answers what is complete of what is pending and what has come behind
    /// it, and keeps the rest.
    fn answer(&mut self, come: &[u8], output: &mut [u8]) -> io::Result<()> {
        if self.pending.is_empty() {
            let used = self.answer_messages(come, output)?;
            self.pending.extend_from_slice(&come[used..]);
            self.begun = Instant::now();
            return Ok(());
        }
        let mut pending = mem::take(&mut self.pending);
        pending.extend_from_slice(come);
        let used = self.answer_messages(&pending, output)?;
        if used > 0 {
            pending.drain(..used);
            self.begun = Instant::now();
        }
        if !pending.is_empty() {
            self.pending = pending;
        }
        Ok(())
    }

    /// Answers the messages that octets begin with; returns how many octets
    /// these are. It stops early where the client does not read.
    fn answer_messages(&mut self, octets: &[u8], output: &mut [u8]) -> io::Result<usize> {
        let Session { client, ends, service, lane, .. } = &mut self.session;
        let snapshot = service.snapshot.load();
        let (limiter, now) = (&service.limiter, service.clock.now());
        let responder = Responder { snapshot: &snapshot, limiter, now, second: now.next_second() };
        let mut rest = octets;
        let mut filled = 0;
        while let Some((message, behind)) = split_message(rest) {
            if output.len() - filled < FRAME_MAX {
                self.unsent = write(&mut self.stream, &output[..filled])?;
                filled = 0;
                if !self.unsent.is_empty() {
                    break;
                }
            }
            let (len_octets, out) = output[filled..filled + FRAME_MAX].split_at_mut(2);
            let noting = service.noting(*ends);
            if let Some(len) = responder.respond_guarded(lane, client, noting, message, out) {
                // No response is longer than its buffer, of 65,535 octets.
                len_octets.copy_from_slice(&(len as u16).to_be_bytes());
                filled += 2 + len;
            }
            rest = behind;
        }
        if filled > 0 {
            self.unsent = write(&mut self.stream, &output[..filled])?;
        }
        Ok(octets.len() - rest.len())
    }

    async fn write_unsent(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.unsent).await?;
        self.unsent = Vec::new();
        Ok(())
    }
}

/// Splits off the first message, if it is complete.
fn split_message(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*len).into())
}

/// Writes what is taken at once; returns the rest.
fn write(stream: &mut Stream, octets: &[u8]) -> io::Result<Vec<u8>> {
    let count = stream.write_at_once(octets)?;
    Ok(octets[count..].to_vec())
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// The client has ended it, one way or another.
    Client,

    /// No query came in time.
    Idle,

    /// Another one came, and this was idle for longest.
    Oldest,

    /// A query that had begun was not completed in time.
    Read,

    /// The server stops.
    Stopped,

    /// The client did not read its answers in time.
    Write,
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_by_their_lengths() {
        let octets = b"\0\x03abc\0\0\0\x02d";
        let (first, rest) = split_message(octets).unwrap();
        assert_eq!(first, b"abc");
        let (second, rest) = split_message(rest).unwrap();
        assert_eq!((second, rest), (&b""[..], &b"\0\x02d"[..]));
        assert_eq!(split_message(rest), None);
        assert_eq!((split_message(b"\0"), split_message(b"")), (None, None));
    }
}
