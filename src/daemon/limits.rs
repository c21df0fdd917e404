//! What `trunkdns status` shows of rates and customers.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::config::model::LimitMode;
use crate::snapshot::{Customer, Policy, Told};
use crate::transport::counters::{Counter, Totals};

//----------- Limits ---------------------------------------------------------

/// What was limited since the start, and what customers were told.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// `off`, `count` or `on`, as the configuration says.
    pub mode: String,

    /// Responses over a rate that were sent empty (TC).
    pub limited: Classes,

    /// Errors over the rate that were not sent.
    pub silenced: u64,

    /// Responses over a rate that were sent all the same.
    pub would_limit: Classes,

    /// The customers, in the order of their names.
    pub customers: Vec<CustomerTotals>,
}

/// Numbers by class.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Classes {
    /// Errors.
    pub errors: u64,

    /// Denials of names.
    pub missing: u64,

    /// All other answers.
    pub answers: u64,
}

/// What a customer was told since its name is in the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CustomerTotals {
    /// The name.
    pub name: String,

    /// Messages, whatever became of them.
    pub queries: u64,

    /// Messages answered with records.
    pub answered: u64,

    /// Messages for what there is not.
    pub denied: u64,

    /// Messages answered with an error.
    pub errors: u64,

    /// Responses that were cut short (TC).
    pub truncated: u64,
}

impl Limits {
    /// Collects it.
    pub fn new(policy: &Policy, totals: &Totals) -> Self {
        let [limited, would_limit] = [
            [Counter::LimitedErrors, Counter::LimitedMissing, Counter::LimitedAnswers],
            [Counter::WouldLimitErrors, Counter::WouldLimitMissing, Counter::WouldLimitAnswers],
        ]
        .map(|classes| {
            let [errors, missing, answers] = classes.map(|counter| totals.udp.of(counter));
            Classes { errors, missing, answers }
        });
        let mode = match policy.mode {
            LimitMode::Off => "off",
            LimitMode::Count => "count",
            LimitMode::On => "on",
        };
        Limits {
            mode: mode.to_owned(),
            limited,
            silenced: totals.udp.of(Counter::SilencedErrors),
            would_limit,
            customers: policy.customers.all().iter().map(|one| CustomerTotals::new(one)).collect(),
        }
    }

    /// Writes it for people: nothing where nothing is configured.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let list = |Classes { errors, missing, answers }| {
            format!("{errors} errors, {missing} denials of names, {answers} answers")
        };
        match &self.mode[..] {
            "on" => {
                let (limited, silenced) = (list(self.limited), self.silenced);
                writeln!(out, "limits    on: truncated {limited}; not sent {silenced} errors")?;
            }
            "count" => {
                writeln!(out, "limits    none, over a rate were {}", list(self.would_limit))?;
            }
            _ => {}
        }
        for CustomerTotals { name, queries, answered, denied, errors, truncated } in &self.customers
        {
            writeln!(
                out,
                "customer  {name}: {queries} queries, {answered} answered with records, {denied} \
                 denied, {errors} errors, {truncated} truncated"
            )?;
        }
        Ok(())
    }
}

impl CustomerTotals {
    fn new(customer: &Customer) -> Self {
        CustomerTotals {
            name: customer.name().to_owned(),
            queries: customer.total(Told::Queries),
            answered: customer.total(Told::Answered),
            denied: customer.total(Told::Denied),
            errors: customer.total(Told::Errors),
            truncated: customer.total(Told::Truncated),
        }
    }
}
