//! `[limit]` and `[customers]` of `trunkdns.toml`.

use std::collections::HashMap;
use std::time::Duration;

use ipnet::IpNet;

use super::model::{Customer, Limit, LimitMode};
use super::reader::{Entry, Fields, Item, declared_twice};
use super::regions;
use super::values::parse_label;
use crate::diag::{Code, Finding, Located, Report};
use crate::geo::carrier_of_ipv4;

/// The most customers. Each has a KiB of counters.
const CUSTOMERS_MAX: usize = 1000;

/// Reads `[limit]`.
pub(super) fn limit(mut fields: Fields<'_>, report: &mut Report) -> Limit {
    let modes = [("off", LimitMode::Off), ("count", LimitMode::Count), ("on", LimitMode::On)];
    // A million is more than any network asks; a burst of less than a second
    // would be less than one response of the lowest rate.
    let rate = 0..=1_000_000;
    let burst = Duration::from_secs(1)..=Duration::from_secs(60);
    let limit = Limit {
        mode: fields.or("mode", LimitMode::Off, report, |item, report| item.choice(&modes, report)),
        errors: fields.or("errors", 50, report, |item, report| item.integer(rate.clone(), report)),
        missing: fields
            .or("missing", 100, report, |item, report| item.integer(rate.clone(), report)),
        answers: fields.or("answers", 0, report, |item, report| item.integer(rate.clone(), report)),
        burst: fields.or("burst", Duration::from_secs(5), report, |item, report| {
            item.duration(burst, report)
        }),
        exempt: fields.or("exempt", Vec::new(), report, |item, report| item.set(report, network)),
    };
    fields.finish(report);
    limit
}

/// Reads `[customers]`; returns them in the order of their names.
pub(super) fn customers(mut fields: Fields<'_>, report: &mut Report) -> Vec<Customer> {
    let here = fields.span();
    let mut customers: Vec<Customer> = Vec::new();
    for entry in fields.take_rest() {
        let Some(customer) = customer(entry, report) else { continue };
        let name = &customer.name;
        match customers.iter().find(|other| other.name.value == name.value) {
            Some(first) => {
                let what = format!("the customer `{}`", name.value);
                report.add(declared_twice(what, name.span, first.name.span));
            }
            None => customers.push(customer),
        }
    }
    if customers.len() > CUSTOMERS_MAX {
        report.add(Finding::new(
            Code::TooMany,
            here,
            format!("{} customers, of {CUSTOMERS_MAX} at most", customers.len()),
            "join customers: those that are named are counted one by one",
        ));
        customers.truncate(CUSTOMERS_MAX);
    }
    add_shared_networks(&customers, report);
    customers.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    customers
}

fn customer((key, item): Entry<'_>, report: &mut Report) -> Option<Customer> {
    let name = Located::new(parse_label(key, "customer", report)?, key.span);
    let networks = item.filled_set("networks", report, network)?;
    Some(Customer { name, networks })
}

/// Reads a network that an address can be in.
pub(super) fn network(item: Item<'_>, report: &mut Report) -> Option<IpNet> {
    let network = regions::network(item, report)?;
    let Some(block) = carrier_of_ipv4(network) else { return Some(network) };
    item.add(
        Code::BadNetwork,
        format!(
            "`{network}` is in `{block}`, whose addresses count as the IPv4 addresses they carry"
        ),
        "list the IPv4 network instead",
        report,
    );
    None
}

/// Reports networks that two customers have. One within another is fine: the
/// longer counts.
fn add_shared_networks(customers: &[Customer], report: &mut Report) {
    let mut seen = HashMap::new();
    for customer in customers {
        for network in &customer.networks {
            let (other, first) =
                *seen.entry(network.value).or_insert((&customer.name.value, network.span));
            if *other != customer.name.value {
                let message = format!("`{}` is a network of `{other}` already", network.value);
                let help = "remove it from one of the two: a query is counted for one customer";
                report.add(
                    Finding::new(Code::NetworkOfTwoCustomers, network.span, message, help)
                        .with_related(first, "listed first here"),
                );
            }
        }
    }
}
