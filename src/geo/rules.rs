//! The rules of a region table, applied to one address.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::cloud::CloudLists;
use super::facts::Facts;
use super::prefix::{self, Family, Piece};
use super::region::{
    CloudRegion, Continent, Coordinates, Country, RegionId, RegionTable, Subdivision,
};
use super::special::{self, Embedding, Kind};
use crate::diag::{Code, Finding, Located, Report, Span};

/// The mean radius of Earth in km (IUGG).
const EARTH_RADIUS: f64 = 6371.0088;

//----------- Decision -------------------------------------------------------

/// Where a client belongs, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The region.
    pub region: RegionId,

    /// The rule that decided.
    pub rule: Rule,
}

/// A rule that places a client. Spans are places in the region table.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// A prefix under `networks`.
    Network {
        /// The prefix.
        prefix: IpNet,
        /// Where it is written.
        span: Span,
    },

    /// A prefix in a cloud's list.
    Cloud {
        /// The list and the cloud's own region.
        cloud: CloudRegion,
        /// The prefix.
        prefix: IpNet,
        /// Where the cloud's region is named.
        span: Span,
    },

    /// The autonomous system.
    Asn {
        /// Its number.
        asn: u32,
        /// Where it is written.
        span: Span,
    },

    /// The subdivision of a country.
    Subdivision {
        /// Its code.
        subdivision: Subdivision,
        /// Where it is written.
        span: Span,
    },

    /// The country.
    Country {
        /// Its code.
        country: Country,
        /// Where it is written.
        span: Span,
    },

    /// The continent.
    Continent {
        /// Which one.
        continent: Continent,
        /// Where it is written.
        span: Span,
    },

    /// No other rule, but a known place: the nearest region.
    Nearest {
        /// How far the region's location is, along a great circle.
        km: f64,
    },

    /// No network or cloud, and a special-purpose address: the default.
    SpecialPurpose,

    /// Nothing: the default.
    Default,
}

impl Rule {
    /// Returns where the rule is written, if it is.
    pub fn span(&self) -> Option<Span> {
        match self {
            Rule::Network { span, .. }
            | Rule::Cloud { span, .. }
            | Rule::Asn { span, .. }
            | Rule::Subdivision { span, .. }
            | Rule::Country { span, .. }
            | Rule::Continent { span, .. } => Some(*span),
            Rule::Nearest { .. } | Rule::SpecialPurpose | Rule::Default => None,
        }
    }
}

//----------- Rules ----------------------------------------------------------

/// The rules of a region table, arranged by what they match.
#[derive(Clone, Debug)]
pub struct Rules {
    default: RegionId,
    locations: Vec<Option<Point>>,
    prefixes: Vec<PrefixRule>,
    v4: Vec<Piece>,
    v6: Vec<Piece>,
    asns: Matches<u32>,
    subdivisions: Matches<Subdivision>,
    countries: Matches<Country>,
    continents: Matches<Continent>,
}

/// Who claims a value: regions, each with where it does.
type Matches<T> = FxHashMap<T, Vec<(RegionId, Span)>>;

/// What claims a prefix.
#[derive(Clone, Debug)]
pub(super) struct PrefixRule {
    prefix: IpNet,
    network: Option<(RegionId, Span)>,
    clouds: Vec<(RegionId, Located<CloudRegion>)>,
}

impl Rules {
    /// Arranges the rules of a table.
    pub fn new(table: &RegionTable, clouds: &CloudLists) -> Self {
        let prefixes = collect_prefixes(table, clouds);
        let numbered = prefixes.iter().map(|rule| rule.prefix).zip(0..);
        let [v4, v6] = Family::ALL.map(|family| prefix::flatten(family, numbered.clone()));
        Rules {
            default: table.default,
            locations: table.regions.iter().map(|region| region.location.map(Point::new)).collect(),
            asns: matches(table, |id| &table.get(id).asns),
            subdivisions: matches(table, |id| &table.get(id).subdivisions),
            countries: matches(table, |id| &table.get(id).countries),
            continents: matches(table, |id| &table.get(id).continents),
            prefixes,
            v4,
            v6,
        }
    }

    /// Finds what is wrong with the networks of a table: the same one twice,
    /// or one that no address is ever looked up in.
    pub fn check(table: &RegionTable, report: &mut Report) {
        let mut seen: BTreeMap<IpNet, Span> = BTreeMap::new();
        for network in table.regions.iter().flat_map(|region| &region.networks) {
            let prefix = network.value.trunc();
            if let Some(block) = Embedding::holding(prefix) {
                report.add(never_matches(prefix, block, network.span));
            }
            if let Some(first) = seen.insert(prefix, network.span) {
                report.add(listed_twice(prefix, network.span, first));
            }
        }
    }

    /// Decides where a client belongs.
    ///
    /// `facts` is what the databases know of the address; see
    /// [`Databases::facts`](super::Databases::facts).
    pub fn decide(&self, address: IpAddr, facts: &Facts) -> Decision {
        let address = special::canonical(address);
        let pieces = self.pieces(Family::of(address));
        let prefix = prefix::find(pieces, prefix::number(address));
        self.place(prefix, Kind::of(address) == Kind::Special, facts)
    }

    /// Decides for the clients of a country of which nothing else is known.
    pub fn decide_country(&self, country: Country) -> Decision {
        let facts = Facts { country: Some(country), ..Facts::default() };
        self.place(None, false, &facts)
    }

    /// Decides for an address whose longest prefix is known.
    pub(super) fn place(&self, prefix: Option<u32>, special: bool, facts: &Facts) -> Decision {
        let known = if special { Facts::default() } else { facts.complete() };
        let client = known.place().map(Point::new);
        let by_prefix = prefix.and_then(|id| self.by_prefix(&self.prefixes[id as usize], client));
        let decided = by_prefix.or_else(|| self.by_facts(&known, client));
        let last = if special { Rule::SpecialPurpose } else { Rule::Default };
        decided.unwrap_or(Decision { region: self.default, rule: last })
    }

    /// Returns the prefixes of a family, cut into disjoint pieces.
    pub(super) fn pieces(&self, family: Family) -> &[Piece] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Leaves out kinds of facts that no rule looks at, so that more
    /// neighbours are equal. Whole kinds only: an AS number without a rule
    /// still hides the one that a later database knows.
    pub(super) fn relevant(&self, facts: Facts) -> Facts {
        let located = self.locations.iter().any(Option::is_some);
        Facts {
            asn: facts.asn.filter(|_| !self.asns.is_empty()),
            subdivision: facts.subdivision.filter(|_| !self.subdivisions.is_empty()),
            coordinates: facts.coordinates.filter(|_| located),
            ..facts
        }
    }

    fn by_prefix(&self, rule: &PrefixRule, client: Option<Point>) -> Option<Decision> {
        let prefix = rule.prefix;
        if let Some((region, span)) = rule.network {
            return Some(Decision { region, rule: Rule::Network { prefix, span } });
        }
        let claims = rule.clouds.iter().map(|(region, cloud)| (*region, cloud));
        let (region, cloud) = self.settle(claims, client)?;
        let rule = Rule::Cloud { cloud: cloud.value.clone(), prefix, span: cloud.span };
        Some(Decision { region, rule })
    }

    fn by_facts(&self, facts: &Facts, client: Option<Point>) -> Option<Decision> {
        if let Some((asn, (region, span))) = self.claimed(&self.asns, facts.asn, client) {
            return Some(Decision { region, rule: Rule::Asn { asn, span } });
        }
        let subdivision = self.claimed(&self.subdivisions, facts.subdivision, client);
        if let Some((subdivision, (region, span))) = subdivision {
            return Some(Decision { region, rule: Rule::Subdivision { subdivision, span } });
        }
        if let Some((country, (region, span))) =
            self.claimed(&self.countries, facts.country, client)
        {
            return Some(Decision { region, rule: Rule::Country { country, span } });
        }
        let continent = self.claimed(&self.continents, facts.continent, client);
        if let Some((continent, (region, span))) = continent {
            return Some(Decision { region, rule: Rule::Continent { continent, span } });
        }
        self.nearest(client?)
    }

    fn nearest(&self, client: Point) -> Option<Decision> {
        let located = (0..).map(RegionId).zip(&self.locations);
        let distances = located.filter_map(|(id, at)| Some((client.chord((*at)?), id)));
        // Ids are in the order of names.
        let (chord, region) = distances.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        Some(Decision { region, rule: Rule::Nearest { km: kilometres(chord) } })
    }

    fn claimed<T: Copy + Eq + Hash>(
        &self,
        matches: &Matches<T>,
        value: Option<T>,
        client: Option<Point>,
    ) -> Option<(T, (RegionId, Span))> {
        let claims = matches.get(&value?)?;
        Some((value?, self.settle(claims.iter().copied(), client)?))
    }

    /// Settles a tie: the region nearest to the client, one without a location
    /// being behind all others, then the first by name.
    fn settle<T>(
        &self,
        claims: impl Iterator<Item = (RegionId, T)>,
        client: Option<Point>,
    ) -> Option<(RegionId, T)> {
        let distance = |id: RegionId| match (client, self.locations[usize::from(id.0)]) {
            (Some(client), Some(at)) => client.chord(at),
            _ => f64::INFINITY,
        };
        claims.min_by(|(a, _), (b, _)| distance(*a).total_cmp(&distance(*b)).then(a.cmp(b)))
    }
}

fn matches<'a, T: Copy + Eq + Hash + 'a>(
    table: &RegionTable,
    rules: impl Fn(RegionId) -> &'a Vec<Located<T>>,
) -> Matches<T> {
    let mut matches = Matches::default();
    for id in table.ids() {
        for rule in rules(id) {
            matches.entry(rule.value).or_default().push((id, rule.span));
        }
    }
    matches
}

fn collect_prefixes(table: &RegionTable, clouds: &CloudLists) -> Vec<PrefixRule> {
    let mut rules: BTreeMap<IpNet, PrefixRule> = BTreeMap::new();
    let empty = |prefix| PrefixRule { prefix, network: None, clouds: Vec::new() };
    for id in table.ids() {
        for network in &table.get(id).networks {
            let prefix = network.value.trunc();
            let rule = rules.entry(prefix).or_insert_with(|| empty(prefix));
            rule.network.get_or_insert((id, network.span));
        }
    }
    for selection in &clouds.selections {
        for prefix in &selection.networks {
            let rule = rules.entry(*prefix).or_insert_with(|| empty(*prefix));
            rule.clouds.push((selection.region, selection.selector.clone()));
        }
    }
    rules.into_values().collect()
}

fn never_matches(prefix: IpNet, block: &str, span: Span) -> Finding {
    Finding::new(
        Code::BadNetwork,
        span,
        format!(
            "`{prefix}` is in `{block}`, whose addresses count as the IPv4 addresses they carry"
        ),
        "list the IPv4 network instead",
    )
}

fn listed_twice(prefix: IpNet, span: Span, first: Span) -> Finding {
    let message = format!("`{prefix}` is listed twice; expected each network once");
    Finding::new(Code::NetworkInTwoRegions, span, message, "remove it from one of the lists")
        .with_related(first, "listed first here")
}

//----------- Point ----------------------------------------------------------

/// A place as a vector from the centre of a sphere of radius 1.
///
/// Comparing chords orders places as great circles do, at a few operations
/// a region, and without the loss of digits that cosines of small angles
/// have.
#[derive(Clone, Copy, Debug)]
struct Point([f64; 3]);

impl Point {
    fn new(at: Coordinates) -> Self {
        let (latitude, longitude) = (at.latitude.to_radians(), at.longitude.to_radians());
        Point([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])
    }

    /// Returns the square of the straight distance.
    fn chord(self, other: Point) -> f64 {
        self.0.iter().zip(other.0).map(|(own, other)| (own - other).powi(2)).sum()
    }
}

/// Returns the length of the great circle over a squared chord.
fn kilometres(chord: f64) -> f64 {
    2.0 * EARTH_RADIUS * (chord.sqrt() / 2.0).min(1.0).asin()
}
