//! The name a query asks for, as a key.

use std::fmt;

use super::name::Name;
use super::reason::Reason;

//----------- LowerName ------------------------------------------------------

/// A domain name in wire format and lower case, held without allocation.
///
/// It knows where its labels begin, so that looking up the ancestors of a
/// name costs no walk over its octets. What it gives out are keys in the
/// sense of [`Name::to_key`].
#[derive(Clone)]
pub struct LowerName {
    /// The name, and behind it anything.
    octets: [u8; LowerName::ROOM],

    /// Where each label begins, the root's last.
    labels: [u8; LowerName::LABELS_MAX],

    /// The number of labels, the root's among them.
    label_count: u8,

    /// The length of the name, in octets.
    len: u8,
}

impl LowerName {
    /// The most labels: 127 of one octet and the root's.
    const LABELS_MAX: usize = 128;

    /// Room for the longest name and one word, so that words can be taken from
    /// wherever a label begins, in whole steps of lowering.
    const ROOM: usize = (Name::MAX_LEN + size_of::<u64>()).next_multiple_of(Self::STEP);

    /// How many octets are lowered at once.
    const STEP: usize = 16;

    /// The root.
    pub const ROOT: LowerName = LowerName {
        octets: [0; Self::ROOM],
        labels: [0; Self::LABELS_MAX],
        label_count: 1,
        len: 1,
    };

    /// Reads the uncompressed name that the octets begin with.
    ///
    /// Compression pointers are refused like reserved label types: there is
    /// nothing before a question that one could point to.
    pub(super) fn read(octets: &[u8]) -> Result<Self, Reason> {
        let mut name = LowerName::default();
        name.fill(octets)?;
        Ok(name)
    }

    /// Becomes the uncompressed name that the octets begin with, as
    /// [`read`](Self::read) reads it; the root where they begin with none.
    #[inline]
    pub(super) fn fill(&mut self, octets: &[u8]) -> Result<(), Reason> {
        (self.octets[0], self.labels[0], self.label_count, self.len) = (0, 0, 1, 1);
        let within = &octets[..octets.len().min(Name::MAX_LEN)];
        let mut count = 0;
        let mut at = 0;
        loop {
            let Some(len) = within.get(at).copied().map(usize::from) else {
                let is_long = octets.len().max(at) > Name::MAX_LEN;
                return Err(if is_long { Reason::QuestionName } else { Reason::Truncated });
            };
            if len > Name::MAX_LABEL || count == Self::LABELS_MAX {
                return Err(Reason::QuestionName);
            }
            self.labels[count] = at as u8;
            count += 1;
            at += 1 + len;
            if len == 0 {
                break;
            }
        }
        self.lower(&octets[..at]);
        (self.label_count, self.len) = (count as u8, at as u8);
        Ok(())
    }

    /// Takes over the octets of a name, in lower case.
    fn lower(&mut self, name: &[u8]) {
        // Length octets are below 64 and so are no letters. Steps of one length
        // are what a compiler makes vectors of.
        let lower = |step: &[u8; Self::STEP]| step.map(|octet| octet.to_ascii_lowercase());
        let (steps, rest) = name.as_chunks();
        let (room, _) = self.octets.as_chunks_mut();
        room.iter_mut().zip(steps).for_each(|(room, step)| *room = lower(step));
        // What is left is lowered as the end of a whole step, if there is one.
        match name.last_chunk() {
            Some(last) => {
                self.octets[name.len() - Self::STEP..][..Self::STEP].copy_from_slice(&lower(last))
            }
            None => rest
                .iter()
                .zip(&mut self.octets)
                .for_each(|(octet, room)| *room = octet.to_ascii_lowercase()),
        }
    }

    /// Reads an uncompressed name in wire format, which must fill the octets.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        Self::read(wire).ok().filter(|name| name.as_wire().len() == wire.len())
    }

    /// Returns the wire format.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// Counts the labels, the root's not among them.
    pub fn label_count(&self) -> usize {
        usize::from(self.label_count) - 1
    }

    /// Returns the hash of the name; two that differ in letter case alone have
    /// the same.
    ///
    /// Clients cannot put names into tables, so that it need not withstand them.
    pub fn hash(&self) -> u64 {
        self.hash_below(0)
    }

    /// Returns the hash of what stands before the last `count` labels of the
    /// name: the same below whatever origin.
    #[inline]
    pub fn hash_below(&self, count: usize) -> u64 {
        let labels = self.labels_before(count).iter().rev();
        labels.fold(0, |hash, start| self.with_label(hash, *start))
    }

    /// Returns the suffixes of the name but the root, the shortest first, with
    /// their hashes: all of them cost what one does.
    #[inline]
    pub fn suffixes(&self) -> impl Iterator<Item = Suffix<'_>> {
        self.suffixes_below(0)
    }

    /// Returns the suffixes that have more than the last `count` labels, with
    /// the hashes of what stands before these: the same below whatever origin.
    #[inline]
    pub fn suffixes_below(&self, count: usize) -> impl Iterator<Item = Suffix<'_>> {
        let mut hash = 0;
        self.labels_before(count).iter().rev().map(move |start| {
            hash = self.with_label(hash, *start);
            Suffix { hash, wire: &self.as_wire()[usize::from(*start)..] }
        })
    }

    /// Returns where the labels begin that stand before the last `count`.
    #[inline]
    fn labels_before(&self, count: usize) -> &[u8] {
        self.labels.get(..self.label_count().saturating_sub(count)).unwrap_or_default()
    }

    /// Returns a hash with that of the label added that begins at `start`.
    #[inline]
    fn with_label(&self, mut hash: u64, start: u8) -> u64 {
        let mut at = usize::from(start);
        let end = at + 1 + usize::from(self.octets[at]);
        while end - at > size_of::<u64>() {
            hash = mix(hash, self.word(at));
            at += size_of::<u64>();
        }
        // What is behind the label has no part in it.
        let spare = size_of::<u64>() - (end - at);
        mix(hash, self.word(at) << (8 * spare))
    }

    /// Returns the eight octets from a place in the name on; there is room for
    /// a word behind the longest name.
    fn word(&self, at: usize) -> u64 {
        self.octets[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// Returns the name without its first `count` labels, the root where there
    /// are no more.
    pub fn ancestor(&self, count: usize) -> &[u8] {
        let start = self.labels[count.min(self.label_count())];
        &self.as_wire()[usize::from(start)..]
    }
}

//----------- Suffix ---------------------------------------------------------

/// A suffix of a name.
#[derive(Clone, Copy, Debug)]
pub struct Suffix<'n> {
    /// The hash of its labels, or of those before an origin's.
    pub hash: u64,

    /// All of it in wire format, lower case.
    pub wire: &'n [u8],
}

/// Adds a word to a hash: every bit of both has a part in every bit of what
/// comes out.
fn mix(hash: u64, word: u64) -> u64 {
    // The fraction of the golden ratio, which has no pattern in its bits.
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

impl Default for LowerName {
    /// Returns the root.
    fn default() -> Self {
        Self::ROOT
    }
}

impl From<&Name> for LowerName {
    fn from(name: &Name) -> Self {
        Self::read(name.as_wire()).expect("a name is within the limits of one")
    }
}

impl fmt::Debug for LowerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowerName({})", self.as_wire().escape_ascii())
    }
}

impl PartialEq for LowerName {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for LowerName {}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lowered_and_gives_its_ancestors() {
        let name = LowerName::read(b"\x04_SIP\x07Example\x03cOm\0rest").unwrap();
        assert_eq!(name.as_wire(), b"\x04_sip\x07example\x03com\0");
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.ancestor(1), b"\x07example\x03com\0");
        assert_eq!(name.ancestor(2), b"\x03com\0");
        assert_eq!(name.ancestor(3), b"\0");
        assert_eq!(name.ancestor(4), b"\0");
        assert_eq!(name.ancestor(0), name.as_wire());
    }

    #[test]
    fn suffixes_have_the_hashes_that_they_have_as_names() {
        let name = LowerName::read(b"\x04_SIP\x07Example\x03cOm\0").unwrap();
        let suffixes: Vec<_> = name.suffixes().collect();
        assert_eq!(suffixes.len(), 3);
        for (count, Suffix { hash, wire }) in (1..).zip(&suffixes) {
            assert_eq!(*wire, name.ancestor(3 - count));
            assert_eq!(LowerName::from_wire(wire).unwrap().hash(), *hash);
        }
        let hashes: std::collections::BTreeSet<_> = suffixes.iter().map(|one| one.hash).collect();
        assert_eq!(hashes.len(), 3);
    }

    #[test]
    fn every_octet_of_a_label_has_a_part_in_the_hash_and_none_behind_it() {
        for len in 1..=Name::MAX_LABEL {
            let label = [&[len as u8][..], &vec![b'a'; len]].concat();
            let name = |label: &[u8]| LowerName::from_wire(&[label, b"\0"].concat()).unwrap();
            let mut hashes = std::collections::BTreeSet::from([name(&label).hash()]);
            for at in 1..=len {
                let mut other = label.clone();
                other[at] = b'b';
                hashes.insert(name(&other).hash());
            }
            assert_eq!(hashes.len(), len + 1, "{len}");
            let below = [&label[..], b"\x03xyz\0"].concat();
            assert_eq!(LowerName::from_wire(&below).unwrap().hash_below(1), name(&label).hash());
        }
    }

    #[test]
    fn the_root_has_no_labels() {
        let root = LowerName::read(b"\0").unwrap();
        assert_eq!((root.as_wire(), root.label_count()), (&b"\0"[..], 0));
    }

    #[test]
    fn the_longest_name_and_the_most_labels_fit() {
        let mut long = [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(3);
        long.extend([b"\x3d".as_slice(), &[b'x'; 61], b"\0"].concat());
        assert_eq!(long.len(), 255);
        assert_eq!(LowerName::read(&long).unwrap().as_wire(), long);
        let many = [b"\x01a".repeat(127).as_slice(), b"\0"].concat();
        assert_eq!(LowerName::read(&many).unwrap().label_count(), 127);
    }

    #[test]
    fn names_that_break_a_limit_are_refused() {
        let long = [b"\x01a".repeat(126).as_slice(), b"\x02aa\0"].concat();
        assert_eq!(long.len(), 256);
        let many = [b"\x01a".repeat(128).as_slice(), b"\0"].concat();
        let label = [b"\x40".as_slice(), &[b'x'; 64], b"\0"].concat();
        for bad in [&long[..], &many, &label, b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x80", b"\x41"] {
            assert_eq!(LowerName::read(bad), Err(Reason::QuestionName), "{bad:?}");
        }
    }

    #[test]
    fn names_cut_short_are_truncated() {
        for cut in [&b""[..], b"\x01", b"\x01a", b"\x03ab", b"\x3f"] {
            assert_eq!(LowerName::read(cut), Err(Reason::Truncated), "{cut:?}");
        }
    }

    #[test]
    fn the_hash_below_an_origin_is_the_same_below_another_one() {
        let name = |text: &str| LowerName::from(&Name::parse(text, &Name::root()).unwrap());
        let (one, other) = (name("_sip._tcp.a.example"), name("_sip._tcp.b.test"));
        assert_eq!(one.hash_below(2), other.hash_below(2));
        assert_eq!(one.hash_below(2), name("_sip._tcp").hash());
        assert_ne!(one.hash_below(1), other.hash_below(1));
        let hashes: Vec<_> = one.suffixes_below(2).map(|suffix| suffix.hash).collect();
        assert_eq!((hashes.len(), hashes.last()), (2, Some(&one.hash_below(2))));
        // An origin that is longer has nothing below it here.
        assert_eq!(one.hash_below(9), name(".").hash());
    }
}
