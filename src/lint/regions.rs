//! The region table: what of it never counts.

use std::fmt::Display;

use ipnet::IpNet;

use crate::diag::words::quoted;
use crate::diag::{Code, Finding, Located, Report, Span};
use crate::geo::{Region, RegionMap, RegionTable, Usage};

/// Finds regions and rules that place nobody.
pub fn region_table(table: &RegionTable, map: &RegionMap, usage: &Usage, report: &mut Report) {
    let reached = map.regions();
    for id in table.ids() {
        let region = table.get(id);
        if reached.contains(id) {
            let mut lint = Lint { table, usage, region, report };
            lint.networks();
            lint.clouds();
            lint.facts();
        } else {
            report.add(Finding::new(
                Code::RegionUnreachable,
                region.span,
                format!("no client is placed in `{}`", region.name),
                "give it networks, or countries that no other region has; or remove it",
            ));
        }
    }
}

/// The region that is looked at.
struct Lint<'a> {
    table: &'a RegionTable,
    usage: &'a Usage,
    region: &'a Region,
    report: &'a mut Report,
}

impl Lint<'_> {
    fn networks(&mut self) {
        for network in &self.region.networks {
            if self.usage.decides(network.span) {
                continue;
            }
            let inner = |other: &&Located<IpNet>| {
                network.value != other.value && network.value.contains(&other.value)
            };
            let mut all = self.table.regions.iter().flat_map(|region| &region.networks);
            let first = all.find(inner).map(|inner| inner.span);
            self.shadowed(&network.value, network.span, "longer networks hold all of it", first);
        }
    }

    fn clouds(&mut self) {
        for cloud in &self.region.clouds {
            if !self.usage.decides(cloud.span) {
                let name = format!("{}:{}", cloud.value.list, cloud.value.region);
                let why = "networks that are listed, and longer ones, hold all of it";
                self.shadowed(&name, cloud.span, why, None);
            }
        }
    }

    /// Rules that ask databases.
    fn facts(&mut self) {
        let usage = self.usage;
        self.rules("AS numbers", |region| &region.asns, |asn| usage.asns().contains(asn));
        self.rules(
            "subdivisions",
            |region| &region.subdivisions,
            |one| usage.subdivisions().contains(one),
        );
        self.rules("countries", |region| &region.countries, |one| usage.countries().contains(one));
        self.rules(
            "continents",
            |region| &region.continents,
            |one| usage.continents().contains(one),
        );
    }

    fn rules<T: Display + Eq>(
        &mut self,
        kind: &str,
        rules: impl Fn(&Region) -> &Vec<Located<T>>,
        is_known: impl Fn(&T) -> bool,
    ) {
        let region = self.region;
        let unused = rules(region).iter().filter(|rule| !self.usage.decides(rule.span));
        let (known, unknown): (Vec<_>, Vec<_>) = unused.partition(|rule| is_known(&rule.value));
        if let Some(first) = unknown.first() {
            self.report.add(Finding::new(
                Code::RuleWithoutData,
                first.span,
                format!(
                    "no database knows these {kind}: {}",
                    quoted(unknown.iter().map(|rule| &rule.value))
                ),
                "add a database that does to `databases`, or remove them: they place nobody",
            ));
        }
        for rule in known {
            let others = self.table.regions.iter().filter(|other| other.name != region.name);
            let twin = others.flat_map(&rules).find(|other| other.value == rule.value);
            match twin {
                Some(twin) if kind == "countries" => {
                    self.in_two_regions(&rule.value, rule.span, twin.span)
                }
                Some(twin) => {
                    let why = "the same of a region that is nearer always counts";
                    self.shadowed(&rule.value, rule.span, why, Some(twin.span));
                }
                None => {
                    let why = "rules that are tried before hold all of it";
                    self.shadowed(&rule.value, rule.span, why, None);
                }
            }
        }
    }

    fn in_two_regions(&mut self, country: &impl Display, span: Span, twin: Span) {
        self.report.add(
            Finding::new(
                Code::CountryInTwoRegions,
                span,
                format!("`{country}` is listed for another region too, which gets all of it"),
                "list it once; or add a database with places, by which the nearer of the two \
                 regions is found",
            )
            .with_related(twin, "this one counts"),
        );
    }

    fn shadowed(&mut self, rule: &impl Display, span: Span, why: &str, by: Option<Span>) {
        let mut finding = Finding::new(
            Code::RuleShadowed,
            span,
            format!("`{rule}` places nobody: {why}"),
            "remove it, or those that come before it",
        );
        if let Some(by) = by {
            finding = finding.with_related(by, "comes before it");
        }
        self.report.add(finding);
    }
}
