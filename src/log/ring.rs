//! A queue of octets from one thread to one other.
//!
//! ```text
//!  pen ── words ──▶ [ . . record record record . . ] ──▶ writer
//!                       ^ tail               ^ head
//! ```
//!
//! A record is a word with its length and then its words. What is in the ring
//! are atomic words, so that neither side needs a lock or unsafe code: the pen
//! stores a record and then moves the head behind it, the writer loads it and
//! then moves the tail. Neither waits for the other; what does not fit is lost,
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Words of a ring: 1 MiB, some 3,000 records of a query with its answer.
///
/// At 250,000 queries a second that is 12 ms, and the writer is woken when a
/// quarter of it is full. More would bridge longer pauses of the disk, at the
/// price of memory for each worker.
const WORDS: usize = 1 << 17;

/// The queue, as both sides share it.
#[derive(Debug)]
struct Ring {
    words: Box<[AtomicU64]>,

    /// Words that were ever put in.
    head: Apart<AtomicUsize>,

    /// Words that were ever taken out.
    tail: Apart<AtomicUsize>,

    /// Records that did not fit.
    lost: Apart<AtomicU64>,
}

/// A value with a pair of cache lines of its own: the two sides must not take
/// each other's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// Returns both sides of a new ring.
pub(super) fn ring() -> (Inlet, Outlet) {
    ring_of(WORDS)
}

/// Returns both sides of a ring of so many words, a power of two.
fn ring_of(words: usize) -> (Inlet, Outlet) {
    debug_assert!(words.is_power_of_two());
    let words = (0..words).map(|_| AtomicU64::new(0)).collect();
    let (head, tail, lost) = (Apart::default(), Apart::default(), Apart::default());
    let ring = Arc::new(Ring { words, head, tail, lost });
    (Inlet { ring: ring.clone(), head: 0, tail: 0 }, Outlet { ring, tail: 0, lost: 0 })
}

impl Ring {
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at & (self.words.len() - 1)]
    }
}

//----------- Inlet ----------------------------------------------------------

/// The side that records are put in by. It is not `Clone`: there is one.
#[derive(Debug)]
pub(super) struct Inlet {
    ring: Arc<Ring>,

    /// As in the ring, which nobody else writes.
    head: usize,

    /// As it was when the ring last seemed full.
    tail: usize,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Put {
    /// It is in.
    In,

    /// It is in, and it is time to wake whoever takes them out.
    Wake,

    /// It did not fit.
    Lost,
}

impl Inlet {
    /// Puts in a record: words, and then octets, each part filled up to whole
    /// words with zeros.
    pub(super) fn put(&mut self, words: &[u64], parts: &[&[u8]]) -> Put {
        let len = words.len() + parts.iter().map(|part| part.len().div_ceil(8)).sum::<usize>();
        if !self.has_room(1 + len) {
            let lost = &self.ring.lost.0;
            lost.store(lost.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return Put::Lost;
        }
        let before = self.head;
        self.push(len as u64);
        words.iter().for_each(|word| self.push(*word));
        parts.iter().for_each(|part| self.push_octets(part));
        self.ring.head.0.store(self.head, Ordering::Release);
        let quarter = self.ring.words.len() / 4;
        if before / quarter == self.head / quarter { Put::In } else { Put::Wake }
    }

    fn has_room(&mut self, len: usize) -> bool {
        let room = |tail| self.ring.words.len() - self.head.wrapping_sub(tail);
        if room(self.tail) >= len {
            return true;
        }
        self.tail = self.ring.tail.0.load(Ordering::Acquire);
        let room = self.ring.words.len() - self.head.wrapping_sub(self.tail);
        room >= len
    }

    fn push(&mut self, word: u64) {
        self.ring.word(self.head).store(word, Ordering::Relaxed);
        self.head = self.head.wrapping_add(1);
    }

    fn push_octets(&mut self, octets: &[u8]) {
        let (whole, rest) = octets.as_chunks::<8>();
        whole.iter().for_each(|octets| self.push(u64::from_le_bytes(*octets)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.push(u64::from_le_bytes(last));
        }
    }
}

//----------- Outlet ---------------------------------------------------------

/// The side that records are taken out by.
#[derive(Debug)]
pub(super) struct Outlet {
    ring: Arc<Ring>,

    /// As in the ring, which nobody else writes.
    tail: usize,

    /// Records that were lost until the last look.
    lost: u64,
}

impl Outlet {
    /// Takes out the oldest record, in the place of what `octets` holds; says
    /// whether there was one.
    pub(super) fn take(&mut self, octets: &mut Vec<u8>) -> bool {
        octets.clear();
        if self.ring.head.0.load(Ordering::Acquire) == self.tail {
            return false;
        }
        let word = |at| self.ring.word(at).load(Ordering::Relaxed);
        let len = word(self.tail) as usize;
        let first = self.tail.wrapping_add(1);
        octets.reserve(len * 8);
        for at in 0..len {
            octets.extend_from_slice(&word(first.wrapping_add(at)).to_le_bytes());
        }
        self.tail = first.wrapping_add(len);
        self.ring.tail.0.store(self.tail, Ordering::Release);
        true
    }

    /// Returns how many records were lost since the last look.
    pub(super) fn take_lost(&mut self) -> u64 {
        let lost = self.ring.lost.0.load(Ordering::Relaxed);
        lost - std::mem::replace(&mut self.lost, lost)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Numbers that look random and are the same each time (xorshift).
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    fn record(number: u64, len: usize) -> Vec<u8> {
        (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
    }

    #[test]
    fn records_come_out_in_order_and_those_that_do_not_fit_are_lost_and_counted() {
        for seed in 1..200 {
            let mut seeded = Seeded(seed);
            let (mut inlet, mut outlet) = ring_of(256);
            let (mut waiting, mut lost, mut seen) = (std::collections::VecDeque::new(), 0, 0);
            for number in 0..400 {
                let octets = record(number, seeded.below(200) as usize);
                let words: usize = waiting.iter().map(|(_, len)| len).sum();
                let len = 2 + octets.len().div_ceil(8);
                match inlet.put(&[number], &[&octets]) {
                    Put::Lost => {
                        assert!(words + len > 256, "{words} of 256 words, and {len} do not fit");
                        lost += 1;
                    }
                    Put::In | Put::Wake => waiting.push_back(((number, octets), len)),
                }
                assert!(words <= 256, "{words} words in a ring of 256");
                let mut taken = Vec::new();
                while seeded.below(3) > 0 && outlet.take(&mut taken) {
                    let ((number, octets), _) = waiting.pop_front().unwrap();
                    assert_eq!(taken[..8], number.to_le_bytes());
                    assert_eq!(taken[8..][..octets.len()], octets);
                    seen += 1;
                }
            }
            assert_eq!((outlet.take_lost(), outlet.take_lost()), (lost, 0));
            assert_eq!(seen + waiting.len() as u64 + lost, 400);
        }
    }

    #[test]
    fn a_thread_that_writes_and_one_that_reads_lose_nothing_but_what_is_counted() {
        let (mut inlet, mut outlet) = ring_of(1024);
        const COUNT: u64 = 200_000;
        let pen = thread::spawn(move || {
            let mut lost = 0;
            for number in 0..COUNT {
                let octets = record(number, (number % 90) as usize);
                lost += u64::from(inlet.put(&[number], &[&octets, b"end"]) == Put::Lost);
            }
            lost
        });
        let (mut octets, mut last, mut seen) = (Vec::new(), None, 0);
        loop {
            let is_over = pen.is_finished();
            while outlet.take(&mut octets) {
                let number = u64::from_le_bytes(*octets.first_chunk().unwrap());
                assert!(last < Some(number), "{number} behind {last:?}");
                let expected = record(number, (number % 90) as usize);
                assert_eq!(octets[8..][..expected.len()], expected);
                assert!(octets.ends_with(b"end\0\0\0\0\0"));
                (last, seen) = (Some(number), seen + 1);
            }
            if is_over {
                break;
            }
        }
        assert_eq!(seen + pen.join().unwrap(), COUNT);
    }

    #[test]
    fn whoever_takes_records_out_is_woken_once_a_quarter() {
        let (mut inlet, mut outlet) = ring_of(64);
        let mut woken = 0;
        for _ in 0..64 {
            woken += u32::from(inlet.put(&[1, 2, 3], &[]) == Put::Wake);
            assert!(outlet.take(&mut Vec::new()));
        }
        // 64 times 4 words, in quarters of 16.
        assert_eq!(woken, 16);
    }
}
