//! What of a region table places anybody, and what databases know.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::region::{Continent, Country, Subdivision};
use super::rules::Rule;
use crate::diag::Span;

//----------- Usage ----------------------------------------------------------

/// Which rules place anybody at all, and which facts databases have.
///
/// It falls out of compiling a region map, where every distinct combination
/// of records is decided once.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    rules: BTreeSet<Span>,
    asns: BTreeSet<u32>,
    subdivisions: BTreeSet<Subdivision>,
    countries: BTreeSet<Country>,
    continents: BTreeSet<Continent>,
}

impl Usage {
    /// Says whether the rule that is written here decides for some address.
    pub fn decides(&self, rule: Span) -> bool {
        self.rules.contains(&rule)
    }

    /// Returns the AS numbers that databases know.
    pub fn asns(&self) -> &BTreeSet<u32> {
        &self.asns
    }

    /// Returns the subdivisions that databases know.
    pub fn subdivisions(&self) -> &BTreeSet<Subdivision> {
        &self.subdivisions
    }

    /// Returns the countries that databases know.
    pub fn countries(&self) -> &BTreeSet<Country> {
        &self.countries
    }

    /// Returns the continents that databases know.
    pub fn continents(&self) -> &BTreeSet<Continent> {
        &self.continents
    }

    /// Notes what decided, and by what it could have been decided.
    pub(super) fn note(&mut self, rule: &Rule, facts: &Facts) {
        self.asns.extend(facts.asn);
        self.subdivisions.extend(facts.subdivision);
        self.countries.extend(facts.country);
        self.continents.extend(facts.complete().continent);
        self.rules.extend(rule.span());
    }
}
