//! Drained endpoints: behind all others, and never gone.

use std::collections::BTreeSet;

use super::draft::{self, Rdata};
use crate::wire::{Name, Rtype};

/// Moves drained endpoints among SRV records behind all others in failover
/// order (RFC 2782).
///
/// Among themselves they stay in order. Where all are drained the records stay
/// as they are: somebody is answered with, always.
pub(super) fn behind(mut records: Vec<Rdata>, drained: &BTreeSet<Name>) -> Vec<Rdata> {
    let is_last = |record: &Rdata| is_drained(record, drained);
    let last = records.iter().filter(|record| !is_last(record)).map(priority).max();
    let behind: BTreeSet<u16> =
        records.iter().filter(|record| is_last(record)).map(priority).collect();
    let Some(last) = last.filter(|_| !behind.is_empty()) else { return records };
    let rank = |of: &BTreeSet<u16>, priority| of.range(..priority).count();
    let count = behind.len();
    if usize::from(last) + count <= usize::from(u16::MAX) {
        // In steps of ten, as people write them, if there is room.
        let step = if usize::from(last) + 10 * count <= usize::from(u16::MAX) { 10 } else { 1 };
        for record in records.iter_mut().filter(|record| is_last(record)) {
            let place = rank(&behind, priority(record)) + 1;
            set_priority(record, usize::from(last) + step * place);
        }
        return records;
    }
    // No number is left behind the last: all get new ones.
    let others: BTreeSet<u16> =
        records.iter().filter(|record| !is_last(record)).map(priority).collect();
    for record in &mut records {
        let own = priority(record);
        let place = match is_drained(record, drained) {
            true => others.len() + rank(&behind, own),
            false => rank(&others, own),
        };
        set_priority(record, place);
    }
    records
}

/// Says whether an SRV record names a drained endpoint.
pub(super) fn is_drained(record: &Rdata, drained: &BTreeSet<Name>) -> bool {
    // Nearly always nothing is drained.
    !drained.is_empty()
        && draft::target(Rtype::SRV, &record.octets).is_some_and(|name| drained.contains(&name))
}

/// Returns the priority, the first field of SRV data.
fn priority(record: &Rdata) -> u16 {
    match *record.octets {
        [high, low, ..] => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

fn set_priority(record: &mut Rdata, priority: usize) {
    let priority = u16::try_from(priority).unwrap_or(u16::MAX);
    if let Some(field) = record.octets.first_chunk_mut::<2>() {
        *field = priority.to_be_bytes();
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Sources;
    use std::path::Path;

    fn name(text: &str) -> Name {
        Name::parse(text, &Name::root()).unwrap()
    }

    /// Returns what priorities become, of records `a`, `b`, … of which some
    /// are drained.
    fn drained(priorities: &[u16], names: &str) -> Vec<u16> {
        let span = Sources::default().add(Path::new("x"), "").span(0..0);
        let record = |(letter, priority): (char, &u16)| {
            let octets = draft::srv(*priority, 100, 5060, &name(&format!("{letter}.test")));
            Rdata { octets, span }
        };
        let records = ('a'..='z').zip(priorities).map(record).collect();
        let drained = names.chars().map(|letter| name(&format!("{letter}.test"))).collect();
        behind(records, &drained).iter().map(priority).collect()
    }

    #[test]
    fn drained_endpoints_come_behind_all_others_in_their_order() {
        assert_eq!(drained(&[10, 20, 30], "a"), [40, 20, 30]);
        assert_eq!(drained(&[10, 20, 30], "ab"), [40, 50, 30]);
        assert_eq!(drained(&[10, 10, 30], "b"), [10, 40, 30]);
        assert_eq!(drained(&[10, 20, 20, 30], "bc"), [10, 40, 40, 30]);
        // The last stays the last.
        assert_eq!(drained(&[10, 20, 30], "c"), [10, 20, 30]);
    }

    #[test]
    fn where_all_or_none_are_drained_nothing_changes() {
        assert_eq!(drained(&[10, 20, 30], ""), [10, 20, 30]);
        assert_eq!(drained(&[10, 20, 30], "xyz"), [10, 20, 30]);
        assert_eq!(drained(&[10, 20, 30], "abc"), [10, 20, 30]);
    }

    #[test]
    fn priorities_have_room_at_their_end_or_are_numbered_anew() {
        assert_eq!(drained(&[1, 65_520], "a"), [65_530, 65_520]);
        assert_eq!(drained(&[1, 65_530], "a"), [65_531, 65_530]);
        assert_eq!(drained(&[1, 2, 65_535], "a"), [2, 0, 1]);
        assert_eq!(drained(&[0, 65_535, 65_535], "ab"), [1, 2, 0]);
    }
}
