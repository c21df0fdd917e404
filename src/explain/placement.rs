//! Why an address is in a region: what databases know of it, and which rule
//! decided.

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::diag::{Report, Sources, Span};
use crate::geo::{self, CloudLists, Country, Databases, Facts, RegionId, RegionTable, Rule, Rules};

/// How many networks of a country are looked at for one that is like most: in
/// a country whose first thousand are all exceptions, the rule is one.
const EXAMPLES_MAX: usize = 1_000;

//----------- Placer ---------------------------------------------------------

/// Places addresses by the operator's files, and says why.
///
/// It decides by the same [`Rules`] that the region map is compiled from.
#[derive(Debug)]
pub struct Placer {
    sources: Sources,
    table: RegionTable,
    rules: Rules,
    databases: Databases,
}

impl Placer {
    /// Reads what the region map is compiled from.
    ///
    /// Fails with the findings, for people.
    pub fn load(path: &Path) -> Result<Self, String> {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let placer = config::read_config(&mut sources, path, &mut report).and_then(|config| {
            let table = config::read_regions(&mut sources, &config.geoip.regions, &mut report)?;
            let databases = Databases::load(&config.geoip.databases, &mut sources, &mut report);
            let clouds = CloudLists::load(&table, &mut sources, &mut report);
            Some((Rules::new(&table, &clouds), table, databases))
        });
        match placer.filter(|_| !report.has_errors()) {
            Some((rules, table, databases)) => Ok(Placer { sources, table, rules, databases }),
            None => Err(report.render(&sources, false)),
        }
    }

    /// Places an address.
    pub fn place(&self, address: IpAddr) -> Placement {
        let facts = self.databases.facts(address);
        let decision = self.rules.decide(address, &facts);
        let (rule, span) = describe(&decision.rule);
        Placement {
            region: self.table.get(decision.region).name.clone(),
            written: span.map(|span| self.sources.locator(span)),
            rivals: self.rivals(&decision.rule, decision.region),
            passed_over: passed_over(&decision.rule, &facts),
            rule,
            facts: known(&facts),
            records: self.records(address),
        }
    }

    /// Returns an address of a country, if a database has one: of those that
    /// are placed as the country is, where no rule for networks, clouds, AS
    /// numbers or subdivisions comes before, if there is one.
    pub fn example_of(&self, country: Country) -> Option<IpAddr> {
        let region = self.rules.decide_country(country).region;
        let is_there = |address: &IpAddr| self.databases.facts(*address).country == Some(country);
        let mut found = self.databases.addresses_in(country).filter(is_there).take(EXAMPLES_MAX);
        let first = found.next()?;
        let is_typical = |address: &IpAddr| {
            self.rules.decide(*address, &self.databases.facts(*address)).region == region
        };
        std::iter::once(first).chain(found).find(is_typical).or(Some(first))
    }

    /// Returns what each database has for an address.
    fn records(&self, address: IpAddr) -> Vec<DatabaseRecord> {
        let address = geo::canonical(address);
        let record = |database: &geo::Database| DatabaseRecord {
            path: database.path().display().to_string(),
            built: database.built(),
            network: database.network(address).map(|network| network.to_string()),
            facts: known(&database.facts(address)),
        };
        self.databases.iter().map(record).collect()
    }

    /// Returns the other regions that list what a rule matched, and lost
    /// because they are farther away or later by name.
    fn rivals(&self, rule: &Rule, region: RegionId) -> Vec<String> {
        let lists = |id: RegionId| {
            let listed = self.table.get(id);
            match rule {
                Rule::Asn { asn, .. } => listed.asns.iter().any(|other| other.value == *asn),
                Rule::Subdivision { subdivision, .. } => {
                    listed.subdivisions.iter().any(|other| other.value == *subdivision)
                }
                Rule::Country { country, .. } => {
                    listed.countries.iter().any(|other| other.value == *country)
                }
                Rule::Continent { continent, .. } => {
                    listed.continents.iter().any(|other| other.value == *continent)
                }
                _ => false,
            }
        };
        let others = self.table.ids().filter(|id| *id != region && lists(*id));
        others.map(|id| self.table.get(id).name.clone()).collect()
    }
}

/// Returns a rule for people, and where it is written.
fn describe(rule: &Rule) -> (String, Option<Span>) {
    match rule {
        Rule::Network { prefix, span } => (format!("network {prefix}"), Some(*span)),
        Rule::Cloud { cloud, prefix, span } => {
            let (list, region) = (&cloud.list, &cloud.region);
            (format!("cloud {list}:{region} by its network {prefix}"), Some(*span))
        }
        Rule::Asn { asn, span } => (format!("AS number {asn}"), Some(*span)),
        Rule::Subdivision { subdivision, span } => {
            (format!("subdivision {subdivision}"), Some(*span))
        }
        Rule::Country { country, span } => (format!("country {country}"), Some(*span)),
        Rule::Continent { continent, span } => (format!("continent {continent}"), Some(*span)),
        Rule::Nearest { km } => (format!("nearest location, {km:.0} km away"), None),
        Rule::SpecialPurpose => {
            ("the default: a special-purpose address in no network (RFC 6890)".to_owned(), None)
        }
        Rule::Default => ("the default: no rule matched".to_owned(), None),
    }
}

/// Returns the kinds of rules that were tried in vain, with what was looked
/// for; the order is that of [`Rules::decide`].
fn passed_over(rule: &Rule, facts: &Facts) -> Vec<String> {
    let looked_for = |value: Option<String>, kind: &str| match value {
        Some(value) => format!("{kind}: no region lists {value}"),
        None => format!("{kind}: no database knows it"),
    };
    let tried = [
        "networks, clouds: none holds the address".to_owned(),
        looked_for(facts.asn.map(|asn| asn.to_string()), "asns"),
        looked_for(facts.subdivision.map(|code| code.to_string()), "subdivisions"),
        looked_for(facts.country.map(|code| code.to_string()), "countries"),
        looked_for(facts.continent.map(|code| code.to_string()), "continents"),
        match facts.place() {
            Some(_) => "location: no region has one".to_owned(),
            None => "location: no database knows it".to_owned(),
        },
    ];
    let count = match rule {
        Rule::Network { .. } | Rule::Cloud { .. } => 0,
        Rule::Asn { .. } | Rule::SpecialPurpose => 1,
        Rule::Subdivision { .. } => 2,
        Rule::Country { .. } => 3,
        Rule::Continent { .. } => 4,
        Rule::Nearest { .. } => 5,
        Rule::Default => 6,
    };
    tried.into_iter().take(count).collect()
}

/// Returns facts for people.
fn known(facts: &Facts) -> Vec<String> {
    let place = facts.coordinates.map(|at| format!("{:.2}, {:.2}", at.latitude, at.longitude));
    let known = [
        facts.asn.map(|asn| format!("AS{asn}")),
        facts.subdivision.map(|code| code.to_string()),
        facts.country.map(|code| format!("country {code}")),
        facts.continent.map(|code| format!("continent {code}")),
        place.map(|place| format!("location {place}")),
    ];
    known.into_iter().flatten().collect()
}

//----------- Placement ------------------------------------------------------

/// Where the operator's files place an address, and why.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Placement {
    /// The region.
    pub region: String,

    /// The rule that decided.
    pub rule: String,

    /// Where that rule is written, as `file:line:column`; nowhere if it is the
    /// default or a distance.
    pub written: Option<String>,

    /// Other regions that list the same, and are farther away.
    pub rivals: Vec<String>,

    /// The rules that were tried before, and did not match.
    pub passed_over: Vec<String>,

    /// What is known of the address, all databases taken together.
    pub facts: Vec<String>,

    /// What each database has.
    pub records: Vec<DatabaseRecord>,
}

/// What a database has for an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseRecord {
    /// The file.
    pub path: String,

    /// When it was built, in seconds since the Unix epoch.
    pub built: Option<u64>,

    /// The network that the record is for.
    pub network: Option<String>,

    /// What the record says.
    pub facts: Vec<String>,
}
