//! Who says whether the answers to a load are right.

use super::check::{Expected, Fault, check};
use super::generator::{Judge, Query};
use super::world::{Question, REGIONS, Steering};

/// What is right and does not change: one row a question, one column a region
/// of the client.
pub struct Table(Vec<[Expected; REGIONS.len()]>);

impl Table {
    /// Collects what a server must say in a version of the zone.
    pub fn new(questions: &[Question], steering: Steering, version: u16) -> Self {
        let row = |question| {
            std::array::from_fn(|region| steering.expected(question, region, version..=version))
        };
        Table(questions.iter().map(row).collect())
    }

    /// Returns one to which anything is right.
    pub fn of_anything() -> Self {
        Table(Vec::new())
    }
}

impl Judge for &Table {
    fn note(&mut self, _sent: u64, _now: u64) -> u16 {
        0
    }

    fn judge(&mut self, asked: Query<'_>, answer: &[u8]) -> Result<(), Fault> {
        match self.0.get(asked.question) {
            Some(row) => check(answer, asked.octets, &row[asked.region]).map(|_| ()),
            None => Ok(()),
        }
    }
}
