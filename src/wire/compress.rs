//! Name compression (RFC 1035 section 4.1.4) at a bounded cost.

use super::name::Name;

//----------- Compressor -----------------------------------------------------

/// The labels of a message's names that later names can point to.
///
/// They form a tree: a label together with its parent, the label to its right,
/// stands for one name. A name is looked up from the root downwards, so that no
/// pointer is followed and no name is compared twice: at most 64 steps for each
/// of its labels, and over all of them at most 64 comparisons of labels,
/// however the names are chosen. Quadratic cost over the names of a message
/// has stopped servers (RUSTSEC-2026-0119).
pub(super) struct Compressor {
    entries: [Entry; Compressor::ENTRIES_MAX],
    len: usize,
}

/// A label that was written into the message.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Where in the message it begins, at most `POINTER_MAX`.
    at: u16,

    /// The entry of the label to its right, or `ROOT`.
    parent: u8,
}

/// What stands for the root as a parent.
const ROOT: u8 = u8::MAX;

/// The last octet that a pointer can point to: it has 14 bits.
const POINTER_MAX: usize = 0x3fff;

impl Compressor {
    /// The most labels remembered.
    ///
    /// A referral or an SRV answer with a dozen targets has half as many.
    /// Names beyond them are compressed against those remembered.
    const ENTRIES_MAX: usize = 64;

    /// Knows of no name.
    pub(super) fn new() -> Self {
        Compressor { entries: [Entry::default(); Self::ENTRIES_MAX], len: 0 }
    }

    /// Returns the number of labels remembered, for [`forget`](Self::forget).
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Forgets what was remembered later than the first `len` labels.
    pub(super) fn forget(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Finds the longest ancestor of a name, or the name itself, among the
    /// names remembered in `message`.
    ///
    /// The name must be uncompressed and valid, as
    /// [`name_len`](super::rdata::name_len) checks.
    pub(super) fn find(&self, message: &[u8], name: &[u8]) -> Found {
        let mut found = Found { labels: [0; LABELS_MAX], new: 0, known: ROOT };
        let mut at = 0;
        while name[at] != 0 {
            found.labels[found.new] = at as u8;
            found.new += 1;
            at += 1 + usize::from(name[at]);
        }
        found.labels[found.new] = at as u8;
        while found.new > 0 {
            let start = usize::from(found.labels[found.new - 1]);
            let label = &name[start..=start + usize::from(name[start])];
            let Some(entry) = self.child(message, found.known, label) else { break };
            found.known = entry;
            found.new -= 1;
        }
        found
    }

    /// Returns where the known part of a name is.
    pub(super) fn target(&self, found: &Found) -> Option<u16> {
        (found.known != ROOT).then(|| self.entries[usize::from(found.known)].at)
    }

    /// Remembers the labels of a name that are new, which begins at `start` in
    /// the message, as far as there is room and pointers reach.
    pub(super) fn remember(&mut self, found: &Found, start: usize) {
        let mut parent = found.known;
        for &label in found.labels[..found.new].iter().rev() {
            let at = start + usize::from(label);
            if self.len == Self::ENTRIES_MAX || at > POINTER_MAX {
                return;
            }
            self.entries[self.len] = Entry { at: at as u16, parent };
            parent = self.len as u8;
            self.len += 1;
        }
    }

    /// Finds a label, given with its length octet, below another.
    fn child(&self, message: &[u8], parent: u8, label: &[u8]) -> Option<u8> {
        let matches = |entry: &Entry| {
            entry.parent == parent
                && message[usize::from(entry.at)..]
                    .get(..label.len())
                    .is_some_and(|written| written.eq_ignore_ascii_case(label))
        };
        self.entries[..self.len].iter().position(matches).map(|at| at as u8)
    }
}

//----------- Found ----------------------------------------------------------

/// Which part of a name is known, and where its labels begin.
pub(super) struct Found {
    /// Where in the name each label begins, the root's last.
    labels: [u8; LABELS_MAX],

    /// The number of labels, from the left, that have to be written.
    new: usize,

    /// The entry of the label right of them, or `ROOT`.
    known: u8,
}

impl Found {
    /// Returns the length of the part that has to be written, in octets.
    pub(super) fn new_len(&self) -> usize {
        usize::from(self.labels[self.new])
    }
}

/// The most labels of a name, the root's among them.
const LABELS_MAX: usize = Name::MAX_LEN.div_ceil(2);
