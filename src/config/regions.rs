//! `geoip/regions.toml`.

use std::hash::Hash;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::reader::{Entry, Fields, Item, declared_twice};
use super::text::Text;
use super::values::parse_label;
use crate::diag::words::suggest_declared;
use crate::diag::{Code, Finding, Located, Report, Sources};
use crate::geo::{
    CloudList, CloudRegion, Continent, Coordinates, Country, Region, RegionId, RegionTable,
    Subdivision,
};

/// Reads the region table.
///
/// Where there are findings, the result is what could be read; there is none
/// where the file is missing, not TOML, or declares no region. What needs
/// other files (clouds) or all rules together is left to the geo module.
pub fn read_regions(
    sources: &mut Sources,
    path: &Path,
    report: &mut Report,
) -> Option<RegionTable> {
    let text = Text::read(sources, path, report)?;
    text.parse(report, table).whole()?
}

pub(super) fn table(mut root: Fields<'_>, report: &mut Report) -> Option<RegionTable> {
    let default = root.required("default", "default = \"us-east\"", report, |item, report| {
        Some(Located::new(item.string(report)?, item.span()))
    });
    let clouds = clouds(root.section("clouds", report), report);
    let regions = match root.try_section("regions", report) {
        Some(fields) => regions(fields, report),
        None => {
            root.add_missing("regions", "[regions.us-east]", report);
            Vec::new()
        }
    };
    root.finish(report);
    let mut table = RegionTable { regions, default: RegionId(0), clouds };
    if table.regions.is_empty() {
        return None;
    }
    if let Some(default) = default {
        table.default = find_default(default, &table, report);
    }
    Some(table)
}

fn find_default(default: Located<&str>, table: &RegionTable, report: &mut Report) -> RegionId {
    table.find(&default.value.to_ascii_lowercase()).unwrap_or_else(|| {
        let names = table.regions.iter().map(|region| region.name.as_str());
        report.add(Finding::new(
            Code::UnknownRegion,
            default.span,
            format!("the default region `{}` is not declared", default.value),
            suggest_declared(default.value, names, "name one of the regions below"),
        ));
        RegionId(0)
    })
}

fn clouds(mut fields: Fields<'_>, report: &mut Report) -> Vec<CloudList> {
    let entries = fields.take_rest();
    let list = |(key, item): Entry<'_>, report: &mut Report| {
        let name = parse_label(key, "cloud list", report)?;
        Some(CloudList { name, path: Located::new(item.path(report)?, item.span()) })
    };
    entries.into_iter().filter_map(|entry| list(entry, report)).collect()
}

//------------ Regions -------------------------------------------------------

/// Reads all regions, sorted by name.
fn regions(mut fields: Fields<'_>, report: &mut Report) -> Vec<Region> {
    let here = fields.span();
    let mut regions: Vec<Region> = Vec::new();
    for (key, item) in fields.take_rest() {
        let Some(region) = region(key, item, report) else { continue };
        match regions.iter().find(|other| other.name == region.name) {
            Some(first) => {
                let what = format!("the region `{}`", region.name);
                report.add(declared_twice(what, key.span, first.span));
            }
            None => regions.push(region),
        }
    }
    if regions.len() > RegionId::MAX_COUNT {
        report.add(Finding::new(
            Code::TooManyRegions,
            here,
            format!("{} regions, of {} at most", regions.len(), RegionId::MAX_COUNT),
            "join regions that have the same endpoints",
        ));
        // Ids in one octet would no longer tell regions apart.
        regions.truncate(RegionId::MAX_COUNT);
    }
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    regions
}

fn region(key: Located<&str>, item: Item<'_>, report: &mut Report) -> Option<Region> {
    if item.is_implied_by(key) && add_nested_regions(key, item, report) {
        return None;
    }
    let mut fields = item.table(format!("[regions.{}]", key.value), report)?;
    let name = region_name(key, report)?;
    let region = Region {
        name,
        span: item.span(),
        location: fields.optional("location", report, location),
        networks: set(&mut fields, "networks", report, network),
        clouds: set(&mut fields, "clouds", report, cloud),
        asns: set(&mut fields, "asns", report, |item, report| {
            item.integer(1..=i64::from(u32::MAX), report)
        }),
        subdivisions: set(&mut fields, "subdivisions", report, |item, report| {
            let form = "ISO 3166-2 subdivision such as \"US-VA\"";
            item.parsed(Code::BadValue, form, report, Subdivision::parse)
        }),
        countries: set(&mut fields, "countries", report, |item, report| {
            let form = "ISO 3166-1 country code such as \"CA\"";
            item.parsed(Code::BadValue, form, report, Country::parse)
        }),
        continents: set(&mut fields, "continents", report, |item, report| {
            let form = "continent such as \"NA\": one of AF, AN, AS, EU, NA, OC, SA";
            item.parsed(Code::BadValue, form, report, Continent::parse)
        }),
    };
    fields.finish(report);
    Some(region)
}

/// Reports regions whose names dots have taken apart, and says if there are.
fn add_nested_regions(key: Located<&str>, item: Item<'_>, report: &mut Report) -> bool {
    let headers = item.headers(&[key.value]);
    for (path, span) in &headers {
        report.add(Finding::new(
            Code::UnquotedName,
            *span,
            format!("`{}` is no region but a table in a table", path.join(".")),
            format!("name it by one DNS label: `[regions.{}]`", path.join("-")),
        ));
    }
    !headers.is_empty()
}

fn region_name(key: Located<&str>, report: &mut Report) -> Option<String> {
    let name = parse_label(key, "region", report)?;
    if name == "default" {
        report.add(Finding::new(
            Code::BadName,
            key.span,
            "a region cannot be called `default`",
            "rename it: priority tables use the word for regions without a row of their own",
        ));
        return None;
    }
    Some(name)
}

fn set<'d, T: Eq + Hash>(
    fields: &mut Fields<'d>,
    key: &'static str,
    report: &mut Report,
    read: impl FnMut(Item<'d>, &mut Report) -> Option<T>,
) -> Vec<Located<T>> {
    fields.or(key, Vec::new(), report, |item, report| item.set(report, read))
}

//------------ Rules ---------------------------------------------------------

fn location(item: Item<'_>, report: &mut Report) -> Option<Coordinates> {
    let items = item.items(report)?;
    let &[latitude, longitude] = items.as_slice() else {
        let message = format!("a location of {} numbers", items.len());
        let help = "write latitude and longitude, such as `[39.04, -77.49]`";
        item.add(Code::BadValue, message, help, report);
        return None;
    };
    let (latitude, longitude) = (latitude.number(report)?, longitude.number(report)?);
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        let is_swapped = (-90.0..=90.0).contains(&longitude);
        item.add(
            Code::OutOfRange,
            format!("there is no latitude {latitude} with longitude {longitude}"),
            if is_swapped && (-180.0..=180.0).contains(&latitude) {
                format!("latitude comes first: `[{longitude}, {latitude}]`")
            } else {
                "write a latitude from -90 to 90, then a longitude from -180 to 180".to_owned()
            },
            report,
        );
        return None;
    }
    Some(Coordinates { latitude, longitude })
}

/// Reads a network in CIDR notation.
pub(super) fn network(item: Item<'_>, report: &mut Report) -> Option<IpNet> {
    let text = item.string(report)?;
    let (message, help) = match text.parse::<IpNet>() {
        Ok(net) if net == net.trunc() => return Some(net),
        Ok(net) => (
            format!("\"{text}\" has bits set behind the prefix length"),
            format!(
                "write \"{}\" for the network, or \"{}\" for the host",
                net.trunc(),
                IpNet::from(net.addr())
            ),
        ),
        Err(_) => (
            format!("\"{text}\" is not a network"),
            match text.parse::<IpAddr>() {
                Ok(address) => format!("add the length: \"{}\"", IpNet::from(address)),
                Err(_) => {
                    "write a prefix such as \"198.51.100.0/24\" or \"2001:db8:1::/48\"".to_owned()
                }
            },
        ),
    };
    item.add(Code::BadNetwork, message, help, report);
    None
}

fn cloud(item: Item<'_>, report: &mut Report) -> Option<CloudRegion> {
    let form = "region of a cloud such as \"aws:us-east-1\"";
    item.parsed(Code::BadValue, form, report, |text| {
        let (list, region) = text.split_once(':')?;
        if list.is_empty() || region.is_empty() {
            return None;
        }
        Some(CloudRegion { list: list.to_ascii_lowercase(), region: region.to_owned() })
    })
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<RegionTable>, Report) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("/etc/regions.toml"), text);
        let mut report = Report::default();
        let table = Text::of(&sources, file).parse(&mut report, table).whole().flatten();
        (table, report)
    }

    #[test]
    fn every_rule_is_read_and_regions_are_sorted() {
        let (table, report) = read(
            r#"
            default = "US-West"
            [clouds]
            aws = "aws-ip-ranges.json"
            [regions.us-west]
            [regions.US-East]
            location = [39.04, -77]
            networks = ["198.51.100.0/24", "2001:db8:1::/48"]
            clouds = ["aws:us-east-1"]
            asns = [64500, 4294967295]
            subdivisions = ["US-VA"]
            countries = ["CA"]
            continents = ["NA"]
            "#,
        );
        assert!(!report.has_errors());
        let table = table.unwrap();
        assert_eq!(table.default, table.find("us-west").unwrap());
        assert_eq!(table.clouds[0].path.value, Path::new("/etc/aws-ip-ranges.json"));
        let region = &table.regions[0];
        assert_eq!(region.name, "us-east");
        assert_eq!(region.location, Some(Coordinates { latitude: 39.04, longitude: -77.0 }));
        assert_eq!(region.networks[1].value.to_string(), "2001:db8:1::/48");
        assert_eq!(region.clouds[0].value.region, "us-east-1");
        assert_eq!(region.asns[1].value, u32::MAX);
        assert_eq!(region.subdivisions[0].value.to_string(), "US-VA");
        assert_eq!(region.countries[0].value.to_string(), "CA");
        assert_eq!(region.continents[0].value, Continent::NorthAmerica);
    }

    #[test]
    fn a_wrong_rule_does_not_take_its_region_away() {
        let (table, report) =
            read("default = 'a'\n[regions.a]\ncountries = ['Canada', 'CA']\nasns = [0]");
        assert_eq!(report.findings().len(), 2);
        let table = table.unwrap();
        assert_eq!((table.regions[0].countries.len(), table.regions[0].asns.len()), (1, 0));
    }

    #[test]
    fn regions_can_be_written_with_dotted_keys() {
        let (table, report) = read("default = 'a'\nregions.a.countries = ['CA']");
        assert!(!report.has_errors());
        assert_eq!(table.unwrap().regions[0].countries.len(), 1);
    }
}
