//! By what numbers regions are counted.
//!
//! A [`RegionId`](super::RegionId) is a position in one region table: after an
//! edit another region may have it, while versions that were made before it
//! still answer. What is counted must stay with its name through all of that, so
//! each name has a number of its own, for as long as the process lives.

use std::sync::{Mutex, PoisonError};

/// The names that there have been, by their numbers.
static NAMES: Mutex<Vec<Box<str>>> = Mutex::new(Vec::new());

//----------- RegionNumber ---------------------------------------------------

/// A region, by the number of its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegionNumber(u16);

impl RegionNumber {
    /// How many numbers there are, the last of which is that of all names that
    /// came when the others were given away.
    ///
    /// A region table has 250 regions at most, so that one can be replaced
    /// entirely. Each number costs every worker eight octets.
    pub const COUNT: usize = 512;

    /// That of names that have none of their own.
    pub const OTHER: RegionNumber = RegionNumber(Self::COUNT as u16 - 1);

    /// Returns the numbers of some names.
    pub(super) fn of_all(names: &[Box<str>]) -> Box<[RegionNumber]> {
        let mut known = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| Self::find_or_add(&mut known, name)).collect()
    }

    /// Returns the names that have numbers of their own, in their order.
    pub fn names() -> Vec<Box<str>> {
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns it as an index below [`Self::COUNT`].
    pub fn index(self) -> usize {
        self.0.into()
    }

    fn find_or_add(known: &mut Vec<Box<str>>, name: &str) -> Self {
        let number = known.iter().position(|one| **one == *name).unwrap_or_else(|| {
            if known.len() < Self::OTHER.index() {
                known.push(name.into());
                known.len() - 1
            } else {
                Self::OTHER.index()
            }
        });
        // At most that of OTHER, as above.
        RegionNumber(number as u16)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_names_beyond_the_last_one_share_it() {
        let mut known = Vec::new();
        let mut number = |name: &str| RegionNumber::find_or_add(&mut known, name);
        assert_eq!([number("a"), number("b"), number("a")].map(RegionNumber::index), [0, 1, 0]);
        for more in 2..RegionNumber::OTHER.index() {
            assert_eq!(number(&more.to_string()).index(), more);
        }
        assert_eq!([number("late"), number("later")], [RegionNumber::OTHER; 2]);
        assert_eq!(number("b").index(), 1);
    }
}
