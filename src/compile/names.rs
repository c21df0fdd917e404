//! The names of a zone on its way to be built.

use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use super::draft::Draft;
use crate::snapshot::NodeId;
use crate::wire::{Name, Rtype};

//----------- Names ----------------------------------------------------------

/// A zone's draft RRsets by owner, in canonical order.
///
/// The origin and every ancestor of a name down from it are there, with
/// records or without (RFC 4592 section 2.2.2), and a name's position is that
/// of its node. Names are found by their hash: comparing them in canonical
/// order, as a sorted map would, took five sixths of all the time that
/// compiling took.
pub(super) struct Names {
    sorted: Vec<(Name, Vec<Draft>)>,
    places: FxHashMap<Name, usize>,
}

impl Names {
    /// Joins drafts, all of whose owners are within the origin, by owner;
    /// passes on to `twice` a draft with the owner and type of another one,
    /// and that one.
    pub(super) fn new(
        origin: &Name,
        drafts: impl Iterator<Item = Draft>,
        mut twice: impl FnMut(&Draft, &Draft),
    ) -> Self {
        // Most drafts have an owner of their own.
        let count = drafts.size_hint().0;
        let places = FxHashMap::with_capacity_and_hasher(count, FxBuildHasher);
        let mut names = Names { sorted: Vec::with_capacity(count), places };
        names.place(origin.clone());
        for draft in drafts {
            let place = names.add(&draft.owner);
            let rrsets = &mut names.sorted[place].1;
            match rrsets.iter().find(|other| other.rtype == draft.rtype) {
                Some(other) => twice(&draft, other),
                None => rrsets.push(draft),
            }
        }
        names.sort(origin.label_count());
        names
    }

    /// Returns the place of a name, which is added with its ancestors if need
    /// be.
    fn add(&mut self, owner: &Name) -> usize {
        if let Some(place) = self.places.get(owner) {
            return *place;
        }
        // The origin is there, and the owner is below it.
        let above = owner.parent().map(|above| self.add(&above));
        debug_assert!(above.is_some(), "{owner} is not within the zone");
        self.place(owner.clone())
    }

    fn place(&mut self, owner: Name) -> usize {
        let place = self.sorted.len();
        self.places.insert(owner.clone(), place);
        self.sorted.push((owner, Vec::new()));
        place
    }

    /// Brings names into canonical order that have so many labels in common.
    fn sort(&mut self, common: usize) {
        self.sorted.sort_by_cached_key(|(owner, _)| sort_key(owner, common));
        for (place, (owner, _)) in self.sorted.iter().enumerate() {
            if let Some(known) = self.places.get_mut(owner) {
                *known = place;
            }
        }
    }

    /// Has the RRsets of each name stand in the order of types.
    pub(super) fn sort_rrsets(&mut self) {
        for (_, rrsets) in &mut self.sorted {
            rrsets.sort_by_key(|rrset| rrset.rtype);
        }
    }

    /// Returns the names with their RRsets, in canonical order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &[Draft])> {
        self.sorted.iter().map(|(owner, rrsets)| (owner, &rrsets[..]))
    }

    /// Counts the names.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns the node that a name will have; none where it does not exist.
    pub(super) fn id(&self, name: &Name) -> Option<NodeId> {
        self.places.get(name).map(|place| NodeId(*place as u32))
    }

    /// Returns the RRsets of a name.
    pub(super) fn rrsets(&self, owner: &Name) -> &[Draft] {
        self.places.get(owner).map_or(&[], |place| &self.sorted[*place].1)
    }

    /// Returns the RRset of a name and type.
    pub(super) fn rrset(&self, owner: &Name, rtype: Rtype) -> Option<&Draft> {
        self.rrsets(owner).iter().find(|rrset| rrset.rtype == rtype)
    }
}

/// Returns octets that are in order where names are (RFC 4034 section 6.1),
/// whose last labels, so many, are the same: comparing names themselves was a
/// seventh of all that compiling took.
fn sort_key(name: &Name, common: usize) -> Vec<u8> {
    let labels: SmallVec<[&[u8]; 8]> = name.labels().collect();
    let mut key = Vec::with_capacity(name.as_wire().len());
    for label in labels.iter().rev().skip(common) {
        // The end of a label comes before every octet that one has.
        if label.iter().all(|octet| *octet > 1) {
            key.extend_from_slice(label);
        } else {
            for octet in *label {
                match octet {
                    0 | 1 => key.extend([1, octet + 1]),
                    octet => key.push(*octet),
                }
            }
        }
        key.push(0);
    }
    key.make_ascii_lowercase();
    key
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_names() {
        let labels =
            ["a", "A", "ab", "b", "*", "\\000", "\\001", "\\002", "\\000\\001", "\\001a", "\\255"];
        let one = labels.iter().map(|label| label.to_string());
        let two = labels.iter().flat_map(|a| labels.iter().map(move |b| format!("{a}.{b}")));
        let names: Vec<_> = one.chain(two).chain([".".to_owned()]).collect();
        let names: Vec<_> =
            names.iter().map(|text| Name::parse(text, &Name::root()).unwrap()).collect();
        for a in &names {
            for b in &names {
                assert_eq!(sort_key(a, 0).cmp(&sort_key(b, 0)), a.cmp(b), "{a} {b}");
            }
        }
    }
}
