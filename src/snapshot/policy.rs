//! Whom to answer how often, and whom to count.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::model::{self, Limit, LimitMode};
use crate::geo::NetworkMap;

//----------- Policy ---------------------------------------------------------

/// Rates of responses, and the networks that somebody has named.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// What is done about responses over a rate.
    pub mode: LimitMode,

    /// The customers.
    pub customers: Customers,

    rates: [Option<Rate>; Class::ALL.len()],
    exempt: NetworkMap,
}

impl Policy {
    /// Returns the policy of a configuration, in which no customer has asked
    /// anything yet.
    pub fn new(limit: &Limit, customers: &[model::Customer]) -> Self {
        let exempt = limit.exempt.iter().map(|network| (network.value, 0));
        let rates =
            [limit.errors, limit.missing, limit.answers].map(|rate| Rate::new(rate, limit.burst));
        Policy {
            mode: limit.mode,
            customers: Customers::new(customers),
            rates,
            exempt: NetworkMap::new(exempt),
        }
    }

    /// Says whether there is nothing to limit and nobody to count: then a
    /// query costs nothing beyond this look.
    pub fn is_idle(&self) -> bool {
        self.mode == LimitMode::Off && self.customers.is_empty()
    }

    /// Returns the rate of a class; there is none where it is not limited.
    pub fn rate(&self, class: Class) -> Option<Rate> {
        self.rates[class as usize]
    }

    /// Says whether an address is in a network without limits.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.find(address).is_some()
    }

    /// Returns the policy with the numbers of those customers that the one
    /// before it has too.
    #[must_use]
    pub fn following(&self, before: &Policy) -> Self {
        Policy { customers: self.customers.following(&before.customers), ..self.clone() }
    }
}

//----------- Class ----------------------------------------------------------

/// Responses that share a rate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Errors (REFUSED, FORMERR, NOTIMP and the like), and what the server
    /// says of itself: nothing that a trunk asks for.
    Errors,

    /// Denials of names: NXDOMAIN, and YXDOMAIN.
    Missing,

    /// All else that a zone says, with records or without: NOERROR.
    Answers,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 3] = [Class::Errors, Class::Missing, Class::Answers];
}

//----------- Rate -----------------------------------------------------------

/// How often something may happen, as two spans of time.
///
/// A bucket of tokens that is filled at a rate is full again after a time;
/// each token taken puts that off by an interval, and the bucket is empty
/// where it would be put off beyond the burst. So one number, a time, is all
/// that a bucket holds, and nothing has to fill it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// In how much time one token comes, in nanoseconds.
    pub interval: u64,

    /// In how much time an empty bucket is full again, in nanoseconds.
    pub burst: u64,
}

impl Rate {
    /// Returns a rate in tokens a second, with buckets that hold those of a
    /// span of time, and one at least. There is none of 0 a second.
    pub fn new(per_second: u32, burst: Duration) -> Option<Self> {
        let interval = 1_000_000_000u64.checked_div(per_second.into())?;
        let burst = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX / 4);
        Some(Rate { interval, burst: burst.max(interval) })
    }
}

//----------- Customers ------------------------------------------------------

/// The customers, by their networks.
///
/// Two are equal that have the same names and networks, whatever they have
/// counted.
#[derive(Clone, Debug, Default)]
pub struct Customers {
    all: Vec<Arc<Customer>>,
    networks: NetworkMap,
}

impl Customers {
    fn new(customers: &[model::Customer]) -> Self {
        let all = customers
            .iter()
            .map(|customer| Arc::new(Customer::new(&customer.name.value)))
            .collect();
        let networks = (0..).zip(customers).flat_map(|(number, customer)| {
            customer.networks.iter().map(move |network| (network.value, number))
        });
        Customers { all, networks: NetworkMap::new(networks) }
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns all of them, in the order of their names.
    pub fn all(&self) -> &[Arc<Customer>] {
        &self.all
    }

    /// Returns the customer that has an address: the one with the longest
    /// network that holds it.
    pub fn find(&self, address: IpAddr) -> Option<&Customer> {
        let number = self.networks.find(address)?;
        self.all.get(number as usize).map(|customer| &**customer)
    }

    fn following(&self, before: &Customers) -> Self {
        let known = |new: &Arc<Customer>| {
            let at = before.all.binary_search_by(|old| old.name.cmp(&new.name)).ok()?;
            Some(before.all[at].clone())
        };
        let all = self.all.iter().map(|new| known(new).unwrap_or_else(|| new.clone())).collect();
        Customers { all, networks: self.networks.clone() }
    }
}

impl PartialEq for Customers {
    fn eq(&self, other: &Self) -> bool {
        let names = |customers: &Self| customers.all.iter().map(|one| one.name.clone()).collect();
        let (own, others): (Vec<_>, Vec<_>) = (names(self), names(other));
        own == others && self.networks == other.networks
    }
}

impl Eq for Customers {}

//----------- Customer -------------------------------------------------------

/// A customer, and what it was told.
///
/// The numbers grow for as long as the name stays in the configuration,
/// whatever else changes there. They are all that changes in here, and no
/// answer depends on them.
#[derive(Debug)]
pub struct Customer {
    name: Box<str>,
    lanes: [Lane; Self::LANES],
}

impl Customer {
    /// Writers take turns in so many lanes, so that few meet in one. Eight
    /// make a customer's numbers a KiB.
    const LANES: usize = 8;

    fn new(name: &str) -> Self {
        Customer { name: name.into(), lanes: Default::default() }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts something. `writer` is the number of who counts.
    pub fn count(&self, writer: usize, what: Told) {
        let lane = &self.lanes[writer % Self::LANES];
        lane.cells[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something was counted.
    pub fn total(&self, what: Told) -> u64 {
        let cells = self.lanes.iter().map(|lane| &lane.cells[what as usize]);
        cells.fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

/// What a customer was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// Messages that came from it, whatever became of them.
    Queries,

    /// Messages answered with records.
    Answered,

    /// Messages for names or types that there are not, or that are delegated
    /// away.
    Denied,

    /// Messages answered with an error.
    Errors,

    /// Responses that were cut short (TC), of any of these.
    Truncated,
}

impl Told {
    const COUNT: usize = 5;
}

/// The numbers of a few writers.
///
/// Aligned to two cache lines, which processors fetch in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    cells: [AtomicU64; Told::COUNT],
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Located, Sources};

    fn customers(all: &[(&str, &str)]) -> Customers {
        let file = Sources::default().add("a.toml".as_ref(), "");
        let span = crate::diag::Span { file, start: 0, end: 0 };
        let customer = |(name, network): &(&str, &str)| model::Customer {
            name: Located::new((*name).to_owned(), span),
            networks: vec![Located::new(network.parse().unwrap(), span)],
        };
        Customers::new(&all.iter().map(customer).collect::<Vec<_>>())
    }

    fn find<'c>(customers: &'c Customers, address: &str) -> Option<&'c Customer> {
        customers.find(address.parse().unwrap())
    }

    #[test]
    fn the_customer_with_the_longest_network_is_counted() {
        let customers = customers(&[("all", "10.0.0.0/8"), ("part", "10.1.0.0/16")]);
        assert_eq!(find(&customers, "10.1.2.3").unwrap().name(), "part");
        assert_eq!(find(&customers, "10.2.2.3").unwrap().name(), "all");
        assert!(find(&customers, "11.0.0.1").is_none());
    }

    #[test]
    fn numbers_of_all_writers_are_summed() {
        let customers = customers(&[("a", "10.0.0.0/8")]);
        for writer in 0..20 {
            find(&customers, "10.0.0.1").unwrap().count(writer, Told::Queries);
        }
        let customer = &customers.all()[0];
        assert_eq!([Told::Queries, Told::Answered].map(|what| customer.total(what)), [20, 0]);
    }

    #[test]
    fn a_customer_that_stays_keeps_its_numbers_whatever_else_changes() {
        let before = customers(&[("a", "10.0.0.0/8"), ("b", "11.0.0.0/8")]);
        let queries = |customers: &Customers| {
            customers.all().iter().map(|one| one.total(Told::Queries)).collect::<Vec<_>>()
        };
        find(&before, "11.0.0.1").unwrap().count(0, Told::Queries);
        let after = customers(&[("b", "12.0.0.0/8"), ("c", "11.0.0.0/8")]).following(&before);
        assert_eq!(queries(&after), [1, 0]);
        find(&after, "12.0.0.1").unwrap().count(0, Told::Queries);
        // Somebody still answers by the policy before.
        find(&before, "11.0.0.1").unwrap().count(1, Told::Queries);
        assert_eq!(queries(&after), [3, 0]);
    }

    #[test]
    fn policies_differ_by_what_is_configured_alone() {
        let (one, other) = (customers(&[("a", "10.0.0.0/8")]), customers(&[("a", "10.0.0.0/8")]));
        find(&one, "10.0.0.1").unwrap().count(0, Told::Queries);
        assert_eq!(one, other);
        assert_ne!(one, customers(&[("a", "10.0.0.0/9")]));
        assert_ne!(one, customers(&[("b", "10.0.0.0/8")]));
    }

    #[test]
    fn a_bucket_holds_the_tokens_of_its_burst_and_one_at_least() {
        let rate = |rate, seconds| Rate::new(rate, Duration::from_secs(seconds));
        assert_eq!(rate(0, 5), None);
        let rates = [rate(50, 5), rate(1, 0)].map(Option::unwrap);
        assert_eq!(rates.map(|rate| rate.burst / rate.interval), [250, 1]);
    }
}
