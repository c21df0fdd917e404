//! Prefixes as numbers, and nested prefixes cut into disjoint pieces.
//!
//! Addresses of both families are handled as `u128` here: IPv4 in the low 32
//! bits. Only the finished range table has a narrow form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

//----------- Family ---------------------------------------------------------

/// An address family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Both of them.
    pub(super) const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// Returns the family of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Returns the number of the last address.
    pub(super) fn last(self) -> u128 {
        match self {
            Family::V4 => u32::MAX.into(),
            Family::V6 => u128::MAX,
        }
    }

    /// Returns the address of a number.
    pub(super) fn address(self, number: u128) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::from(number as u32).into(),
            Family::V6 => Ipv6Addr::from(number).into(),
        }
    }
}

/// Returns the number of an address within its family.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Returns the first and the last number of a prefix.
pub(super) fn bounds(prefix: IpNet) -> (u128, u128) {
    (number(prefix.network()), number(prefix.broadcast()))
}

//----------- Piece ----------------------------------------------------------

/// Consecutive addresses with something in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    /// The first address.
    pub(super) start: u128,

    /// The last address.
    pub(super) end: u128,

    /// What they have in common; the holder of the pieces knows its meaning.
    pub(super) id: u32,
}

/// Cuts the prefixes of a family into disjoint pieces in ascending order: an
/// address belongs to the longest prefix that holds it.
pub(super) fn flatten(
    family: Family,
    prefixes: impl IntoIterator<Item = (IpNet, u32)>,
) -> Vec<Piece> {
    let mut nested: Vec<Piece> = prefixes
        .into_iter()
        .filter(|(prefix, _)| Family::of(prefix.addr()) == family)
        .map(|(prefix, id)| {
            let (start, end) = bounds(prefix);
            Piece { start, end, id }
        })
        .collect();
    // Outer prefixes come before the inner ones that begin with them.
    nested.sort_by_key(|piece| (piece.start, std::cmp::Reverse(piece.end)));

    let mut cut = Cut::default();
    for piece in nested {
        cut.close_before(piece.start);
        cut.open.push(piece);
    }
    cut.close_all();
    cut.pieces
}

/// Returns what the piece around an address holds.
pub(super) fn find(pieces: &[Piece], at: u128) -> Option<u32> {
    let next = pieces.partition_point(|piece| piece.start <= at);
    let piece = pieces.get(next.checked_sub(1)?)?;
    (at <= piece.end).then_some(piece.id)
}

/// The state of [`flatten`]: prefixes that hold the current address, the
/// outermost first, and how far the pieces reach already.
#[derive(Default)]
struct Cut {
    pieces: Vec<Piece>,
    open: Vec<Piece>,
    done: Option<u128>,
}

impl Cut {
    /// Emits what lies before `start`.
    fn close_before(&mut self, start: u128) {
        while let Some(top) = self.open.last().copied() {
            if top.end >= start {
                // A start of 0 has nothing before it.
                if let Some(before) = start.checked_sub(1) {
                    self.emit(top, before);
                }
                break;
            }
            self.emit(top, top.end);
            self.open.pop();
        }
    }

    fn close_all(&mut self) {
        while let Some(top) = self.open.pop() {
            self.emit(top, top.end);
        }
    }

    /// Emits the part of `piece` up to `end` that has not been emitted.
    fn emit(&mut self, piece: Piece, end: u128) {
        let start = match self.done {
            Some(u128::MAX) => return,
            Some(done) => piece.start.max(done + 1),
            None => piece.start,
        };
        if start <= end {
            self.pieces.push(Piece { start, end, id: piece.id });
            self.done = Some(end);
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_inner_prefix_cuts_the_outer_one_in_two() {
        let nets = [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.0.0/24", 3)];
        let pieces = flatten(Family::V4, nets.map(|(net, id)| (net.parse().unwrap(), id)));
        let ids: Vec<_> = pieces.iter().map(|piece| piece.id).collect();
        assert_eq!(ids, [1, 3, 2, 1]);
        assert_eq!(find(&pieces, 0x0a01_00ff), Some(3));
        assert_eq!(find(&pieces, 0x0a01_0100), Some(2));
        assert_eq!(find(&pieces, 0x0b00_0000), None);
    }

    #[test]
    fn prefixes_that_reach_the_last_address_end_there() {
        let nets = [("::/0", 0), ("ffff::/16", 1), ("ffff:ffff::/32", 2)];
        let pieces = flatten(Family::V6, nets.map(|(net, id)| (net.parse().unwrap(), id)));
        assert_eq!(pieces.last().unwrap().end, u128::MAX);
        assert_eq!(pieces.iter().map(|piece| piece.id).collect::<Vec<_>>(), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_piece_holds_what_the_longest_prefix_says(
            nets in prop::collection::btree_set((0u32..256, 20u8..=32), 0..40),
            probes in prop::collection::vec(0u32..4096, 50),
        ) {
            let nets: std::collections::BTreeSet<IpNet> = nets
                .into_iter()
                .map(|(bits, len)| IpNet::new(Ipv4Addr::from(bits << 4).into(), len).unwrap())
                .map(|prefix| prefix.trunc())
                .collect();
            let nets: Vec<_> = nets.into_iter().zip(0..).collect();
            let pieces = flatten(Family::V4, nets.iter().copied());
            prop_assert!(pieces.windows(2).all(|pair| pair[0].end < pair[1].start));
            for probe in probes {
                let address: IpAddr = Ipv4Addr::from(probe).into();
                let want = nets
                    .iter()
                    .filter(|(net, _)| net.contains(&address))
                    .max_by_key(|(net, _)| net.prefix_len())
                    .map(|(_, id)| *id);
                prop_assert_eq!(find(&pieces, probe.into()), want);
            }
        }
    }
}
