//! Which region each country resolves to: `regions.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::geo::{CloudLists, Country, Region, RegionTable, Rule, Rules};

/// The most names of clouds' regions that are listed for a region.
const CLOUDS_MAX: usize = 20;

//----------- Atlas ----------------------------------------------------------

/// The regions, and the countries in them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Atlas {
    generation: u64,

    /// Whose clients nothing else places: a position in `regions`.
    default: u8,

    regions: Vec<Place>,
    countries: Vec<Placed>,
}

/// A region with how many rules it has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Place {
    name: String,

    /// Latitude and longitude, in degrees.
    location: Option<(f64, f64)>,

    networks: usize,
    asns: usize,
    clouds: Vec<String>,
    clouds_left_out: usize,
    subdivisions: usize,
    countries: usize,
    continents: Vec<String>,
}

/// A country with its region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Placed {
    code: String,
    name: &'static str,

    /// A position in `regions`.
    region: u8,

    /// By which rule: `country`, `continent`, `nearest` or `default`.
    rule: &'static str,

    /// How far the region is, in kilometres, where that is the rule.
    km: Option<u32>,

    /// Subdivisions that rules place elsewhere, by the regions' positions.
    elsewhere: BTreeMap<u8, Vec<String>>,
}

impl Atlas {
    /// Asks the rules for every country.
    ///
    /// Networks and clouds need an address, and AS numbers and subdivisions a
    /// database that knows them: they place some clients of a country
    /// elsewhere, and are counted beside.
    pub(super) fn new(generation: u64, table: &RegionTable) -> Self {
        let rules = Rules::new(table, &CloudLists::default());
        Atlas {
            generation,
            default: table.default.0,
            regions: table.regions.iter().map(Place::new).collect(),
            countries: Country::all().map(|country| Placed::new(country, &rules, table)).collect(),
        }
    }
}

impl Place {
    fn new(region: &Region) -> Self {
        let clouds = region.clouds.iter().map(|cloud| &cloud.value).take(CLOUDS_MAX);
        Place {
            name: region.name.clone(),
            location: region.location.map(|at| (at.latitude, at.longitude)),
            networks: region.networks.len(),
            asns: region.asns.len(),
            clouds: clouds.map(|cloud| format!("{}:{}", cloud.list, cloud.region)).collect(),
            clouds_left_out: region.clouds.len().saturating_sub(CLOUDS_MAX),
            subdivisions: region.subdivisions.len(),
            countries: region.countries.len(),
            continents: region.continents.iter().map(|one| one.value.to_string()).collect(),
        }
    }
}

impl Placed {
    fn new(country: Country, rules: &Rules, table: &RegionTable) -> Self {
        let decision = rules.decide_country(country);
        let (rule, km) = match decision.rule {
            Rule::Country { .. } => ("country", None),
            Rule::Continent { .. } => ("continent", None),
            Rule::Nearest { km } => ("nearest", Some(km as u32)),
            _ => ("default", None),
        };
        let mut elsewhere: BTreeMap<u8, Vec<String>> = BTreeMap::new();
        for id in table.ids().filter(|id| *id != decision.region) {
            let listed = table.get(id).subdivisions.iter().map(|listed| listed.value);
            for subdivision in listed.filter(|subdivision| subdivision.country == country) {
                elsewhere.entry(id.0).or_default().push(subdivision.to_string());
            }
        }
        Placed {
            code: country.to_string(),
            name: country.name().unwrap_or_default(),
            region: decision.region.0,
            rule,
            km,
            elsewhere,
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::read_regions;
    use crate::diag::{Report, Sources};

    fn atlas(text: &str) -> Value {
        let path = PathBuf::from("regions.toml");
        let mut sources = Sources::of_texts([(path.clone(), text.into())]);
        let table = read_regions(&mut sources, &path, &mut Report::default()).unwrap();
        json!(Atlas::new(7, &table))
    }

    fn country<'v>(atlas: &'v Value, code: &str) -> &'v Value {
        let countries = atlas["countries"].as_array().unwrap();
        countries.iter().find(|one| one["code"] == code).unwrap()
    }

    const TABLE: &str = r#"
        default = "us"
        [regions.eu]
        location = [50.11, 8.68]
        continents = ["EU"]
        [regions.gulf]
        location = [25.2, 55.27]
        countries = ["AE"]
        [regions.us]
        location = [39.04, -77.49]
        networks = ["198.51.100.0/24"]
        asns = [64500]
        countries = ["US"]
        [regions.west]
        subdivisions = ["US-CA", "CA-BC"]
    "#;

    #[test]
    fn a_country_is_where_the_rules_place_it_and_says_by_which() {
        let atlas = atlas(TABLE);
        assert_eq!(atlas["countries"].as_array().unwrap().len(), 250);
        assert_eq!(country(&atlas, "US")["region"], 2);
        assert_eq!(country(&atlas, "US")["rule"], "country");
        assert_eq!(country(&atlas, "DE")["rule"], "continent");
        let (qatar, rule) = (country(&atlas, "QA"), json!("nearest"));
        assert_eq!((&qatar["region"], &qatar["rule"]), (&json!(1), &rule));
        assert!((300..500).contains(&qatar["km"].as_u64().unwrap()), "{qatar}");
    }

    #[test]
    fn subdivisions_that_go_elsewhere_are_listed_with_their_country() {
        let atlas = atlas(TABLE);
        assert_eq!(country(&atlas, "US")["elsewhere"], json!({"3": ["US-CA"]}));
        assert_eq!(country(&atlas, "CA")["elsewhere"], json!({"3": ["CA-BC"]}));
        assert_eq!(country(&atlas, "DE")["elsewhere"], json!({}));
    }

    #[test]
    fn regions_say_which_rules_they_have_beside_countries() {
        let atlas = atlas(TABLE);
        let us = &atlas["regions"][2];
        assert_eq!(
            (&us["name"], &us["networks"], &us["asns"]),
            (&json!("us"), &json!(1), &json!(1))
        );
        assert_eq!(us["location"], json!([39.04, -77.49]));
        assert_eq!((&atlas["default"], &atlas["generation"]), (&json!(2), &json!(7)));
    }

    #[test]
    fn a_place_without_any_rule_is_the_default() {
        let atlas = atlas("default = \"all\"\n[regions.all]\n");
        assert_eq!(country(&atlas, "BR")["rule"], "default");
    }

    /// What is on the map can be asked for.
    #[test]
    fn every_shape_of_the_map_is_a_country() {
        let map = include_str!("world.json");
        let map: Value = serde_json::from_str(map).unwrap();
        let paths = map["paths"].as_object().unwrap();
        assert!(paths.len() > 170, "{}", paths.len());
        for (code, path) in paths {
            assert!(Country::parse(code).is_some(), "{code}");
            let is_path = |byte: u8| b"Mlz -0123456789".contains(&byte);
            assert!(path.as_str().unwrap().bytes().all(is_path), "{code}");
        }
    }
}
