//! What is known of countries, continents and subdivisions by their codes.
//!
//! The tables are compiled in: a database that names nothing but a country
//! still yields a continent and a place on Earth. A code that a database
//! makes up (`EU`, `AP`) is not in them, and says nothing.

use std::sync::LazyLock;

use super::region::{Continent, Coordinates, Country, Subdivision};

//----------- Country --------------------------------------------------------

impl Country {
    /// Reads an alpha-2 code in force, in either letter case.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        let country = Country(code.map(|octet| octet.to_ascii_uppercase()));
        country.facts().map(|_| country)
    }

    /// Returns the continent that databases place it on.
    pub fn continent(self) -> Option<Continent> {
        self.facts().map(|facts| facts.continent)
    }

    /// Returns the middle of its largest contiguous part.
    pub fn centroid(self) -> Option<Coordinates> {
        self.facts().map(|facts| facts.centroid)
    }

    /// Returns its English name.
    pub fn name(self) -> Option<&'static str> {
        self.facts().map(|facts| facts.name)
    }

    /// Returns every country in the table, in the order of codes.
    pub fn all() -> impl Iterator<Item = Country> {
        (0..CODES_COUNT).filter(|at| TABLE[*at].is_some()).map(|at| {
            // Both are below 26, as `at` is below 26 * 26.
            Country([b'A' + (at / 26) as u8, b'A' + (at % 26) as u8])
        })
    }

    /// Returns what the table holds on it.
    fn facts(self) -> Option<&'static Facts> {
        TABLE[self.slot()?].as_ref()
    }

    /// Returns where its facts are in the table; nothing for what is not two
    /// upper-case letters.
    fn slot(self) -> Option<usize> {
        let [first, second] = self.0;
        let letters = first.is_ascii_uppercase() && second.is_ascii_uppercase();
        letters.then(|| usize::from(first - b'A') * 26 + usize::from(second - b'A'))
    }
}

/// What the table holds on one country.
#[derive(Clone, Copy)]
struct Facts {
    /// The English name.
    name: &'static str,

    /// The continent that databases place it on.
    continent: Continent,

    /// The middle of its largest contiguous part.
    centroid: Coordinates,
}

/// How many codes two letters can make.
const CODES_COUNT: usize = 26 * 26;

/// The countries by their letters: compiling a database asks a hundred
/// thousand times, so that a lookup is one index. It takes 27 KiB.
static TABLE: LazyLock<Box<[Option<Facts>]>> = LazyLock::new(|| {
    let mut table = vec![None; CODES_COUNT].into_boxed_slice();
    for line in include_str!("countries.csv").lines().filter(|line| !line.starts_with('#')) {
        // The file is part of the program; a test reads all of it.
        let (slot, facts) = read_row(line).expect("countries.csv is well-formed");
        table[slot] = Some(facts);
    }
    table
});

/// Reads a row: code, name, continent, latitude, longitude.
fn read_row(line: &'static str) -> Option<(usize, Facts)> {
    let mut fields = line.split(',');
    let country = Country(fields.next()?.as_bytes().try_into().ok()?);
    let name = fields.next()?;
    let continent = Continent::parse(fields.next()?)?;
    let latitude = fields.next()?.parse().ok()?;
    let longitude = fields.next()?.parse().ok()?;
    let facts = Facts { name, continent, centroid: Coordinates { latitude, longitude } };
    fields.next().is_none().then_some((country.slot()?, facts))
}

//----------- Continent ------------------------------------------------------

impl Continent {
    /// Reads a two-letter code such as `EU`, in either letter case.
    pub fn parse(text: &str) -> Option<Self> {
        let same = |(_, code): &&(Continent, &str)| code.eq_ignore_ascii_case(text);
        Self::ALL.iter().find(same).map(|(continent, _)| *continent)
    }
}

//----------- Subdivision ----------------------------------------------------

impl Subdivision {
    /// Reads an ISO 3166-2 code such as `US-VA`, in either letter case.
    ///
    /// For the United States and Canada the code must be one in force. For
    /// other countries one to three letters and digits will do: there are
    /// some five thousand of them, and they change every year.
    pub fn parse(text: &str) -> Option<Self> {
        let (country, code) = text.split_once('-')?;
        let subdivision = Subdivision { country: Country::parse(country)?, code: pad_code(code)? };
        let is_known = names_of(subdivision.country)
            .is_none_or(|names| names.iter().any(|(known, _)| known.eq_ignore_ascii_case(code)));
        is_known.then_some(subdivision)
    }
}

/// Returns the subdivision that a database calls by an English name.
///
/// Only the United States and Canada are known: elsewhere the flat databases
/// in use do not agree on names.
pub fn subdivision_by_name(country: Country, name: &str) -> Option<Subdivision> {
    let (code, _) =
        names_of(country)?.iter().find(|(_, known)| known.eq_ignore_ascii_case(name))?;
    Some(Subdivision { country, code: pad_code(code)? })
}

/// Returns a code in upper case, padded to three octets with zeros.
fn pad_code(code: &str) -> Option<[u8; 3]> {
    let well_formed =
        (1..=3).contains(&code.len()) && code.bytes().all(|octet| octet.is_ascii_alphanumeric());
    if !well_formed {
        return None;
    }
    let mut padded = [0; 3];
    for (to, from) in padded.iter_mut().zip(code.bytes()) {
        *to = from.to_ascii_uppercase();
    }
    Some(padded)
}

/// Returns the names of a country's subdivisions, where we have them.
fn names_of(country: Country) -> Option<&'static [(&'static str, &'static str)]> {
    match &country.0 {
        b"US" => Some(US_STATES),
        b"CA" => Some(CA_PROVINCES),
        _ => None,
    }
}

/// The subdivisions of the United States by code and name: states, the
/// district, the outlying areas. A second name of a code follows the first.
const US_STATES: &[(&str, &str)] = &[
    ("AK", "Alaska"),
    ("AL", "Alabama"),
    ("AR", "Arkansas"),
    ("AS", "American Samoa"),
    ("AZ", "Arizona"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DC", "District of Columbia"),
    ("DC", "Washington, D.C."),
    ("DE", "Delaware"),
    ("FL", "Florida"),
    ("GA", "Georgia"),
    ("GU", "Guam"),
    ("HI", "Hawaii"),
    ("IA", "Iowa"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("MA", "Massachusetts"),
    ("MD", "Maryland"),
    ("ME", "Maine"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MO", "Missouri"),
    ("MP", "Northern Mariana Islands"),
    ("MS", "Mississippi"),
    ("MT", "Montana"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("NE", "Nebraska"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NV", "Nevada"),
    ("NY", "New York"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("PR", "Puerto Rico"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UM", "United States Minor Outlying Islands"),
    ("UM", "US Minor Outlying Islands"),
    ("UT", "Utah"),
    ("VA", "Virginia"),
    ("VI", "Virgin Islands"),
    ("VI", "US Virgin Islands"),
    ("VI", "U.S. Virgin Islands"),
    ("VT", "Vermont"),
    ("WA", "Washington"),
    ("WI", "Wisconsin"),
    ("WV", "West Virginia"),
    ("WY", "Wyoming"),
];

/// The provinces and territories of Canada. Databases write Québec with the
/// accent, without it, and with it as a combining character.
const CA_PROVINCES: &[(&str, &str)] = &[
    ("AB", "Alberta"),
    ("BC", "British Columbia"),
    ("MB", "Manitoba"),
    ("NB", "New Brunswick"),
    ("NL", "Newfoundland and Labrador"),
    ("NS", "Nova Scotia"),
    ("NT", "Northwest Territories"),
    ("NU", "Nunavut"),
    ("ON", "Ontario"),
    ("PE", "Prince Edward Island"),
    ("QC", "Quebec"),
    ("QC", "Qu\u{e9}bec"),
    ("QC", "Que\u{301}bec"),
    ("SK", "Saskatchewan"),
    ("YT", "Yukon"),
    ("YT", "Yukon Territory"),
];

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn country(code: &str) -> Country {
        Country::parse(code).unwrap_or_else(|| panic!("{code} is a country"))
    }

    #[test]
    fn every_row_of_the_file_is_well_formed_and_sorted() {
        let rows: Vec<_> =
            include_str!("countries.csv").lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(rows.len(), 250);
        assert!(rows.is_sorted_by(|one, next| one[..2] < next[..2]), "codes are sorted, unique");
        for row in rows {
            let (_, facts) = read_row(row).unwrap_or_else(|| panic!("{row}"));
            assert!(!facts.name.is_empty(), "{row}");
            assert!(facts.centroid.latitude.abs() <= 90.0, "{row}");
            assert!(facts.centroid.longitude.abs() <= 180.0, "{row}");
        }
    }

    #[test]
    fn all_lists_every_country_once_in_order() {
        let all: Vec<_> = Country::all().collect();
        assert_eq!(all.len(), 250);
        assert!(all.is_sorted_by(|one, next| one < next));
        assert!(all.iter().all(|one| Country::parse(&one.to_string()) == Some(*one)));
    }

    #[test]
    fn a_country_is_read_in_either_letter_case() {
        assert_eq!(Country::parse("de"), Some(Country(*b"DE")));
        assert_eq!(Country::parse("xK"), Some(Country(*b"XK")));
        assert_eq!(country("DE").name(), Some("Germany"));
    }

    #[test]
    fn what_is_not_a_country_is_refused() {
        for text in ["", "D", "DEU", "EU", "AP", "ZZ", "UK", "1A", "A1", "d\u{e9}", "\u{e9}"] {
            assert_eq!(Country::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_code_that_a_database_made_up_has_no_facts() {
        for code in [*b"EU", *b"de", *b"\0\0", *b"\xff\xff"] {
            let country = Country(code);
            assert_eq!(country.continent(), None);
            assert_eq!(country.centroid(), None);
            assert_eq!(country.name(), None);
        }
    }

    #[test]
    fn centroids_are_where_the_countries_are() {
        // From an atlas; the largest part counts, as for FR, US, PT and CL.
        let known = [
            ("AR", -34.0, -64.0),
            ("AU", -25.0, 134.0),
            ("BR", -10.0, -55.0),
            ("CA", 60.0, -100.0),
            ("CL", -33.0, -71.0),
            ("CN", 35.0, 104.0),
            ("DE", 51.0, 10.0),
            ("DK", 56.0, 10.0),
            ("EG", 27.0, 30.0),
            ("ES", 40.0, -4.0),
            ("FJ", -18.0, 178.0),
            ("FR", 46.5, 2.5),
            ("GB", 54.0, -2.0),
            ("GF", 4.0, -53.0),
            ("GL", 72.0, -40.0),
            ("IN", 22.0, 79.0),
            ("IS", 65.0, -18.0),
            ("JP", 36.0, 138.0),
            ("KE", 0.0, 38.0),
            ("KR", 37.0, 128.0),
            ("MX", 23.0, -102.0),
            ("NG", 10.0, 8.0),
            ("NO", 62.0, 10.0),
            ("NZ", -43.0, 171.0),
            ("PT", 39.5, -8.0),
            ("RE", -21.0, 55.5),
            ("RU", 62.0, 95.0),
            ("SG", 1.4, 103.8),
            ("US", 39.8, -98.6),
            ("ZA", -29.0, 25.0),
        ];
        for (code, latitude, longitude) in known {
            let found = country(code).centroid().unwrap();
            assert!((found.latitude - latitude).abs() < 5.0, "{code}: {found:?}");
            assert!((found.longitude - longitude).abs() < 5.0, "{code}: {found:?}");
        }
    }

    #[test]
    fn every_continent_has_countries_and_a_code() {
        let seen: BTreeSet<_> = Country::all().map(|one| one.continent().unwrap()).collect();
        assert_eq!(seen.len(), Continent::ALL.len());
        for (continent, code) in Continent::ALL {
            assert_eq!(Continent::parse(code), Some(continent));
            assert_eq!(Continent::parse(&code.to_lowercase()), Some(continent));
        }
        assert_eq!(Continent::parse("XX"), None);
    }

    #[test]
    fn countries_on_two_continents_are_where_databases_put_them() {
        for code in ["RU", "CY", "XK"] {
            assert_eq!(country(code).continent(), Some(Continent::Europe), "{code}");
        }
        for code in ["TR", "KZ", "GE", "AM", "AZ"] {
            assert_eq!(country(code).continent(), Some(Continent::Asia), "{code}");
        }
        assert_eq!(country("EG").continent(), Some(Continent::Africa));
        assert_eq!(country("PA").continent(), Some(Continent::NorthAmerica));
    }

    #[test]
    fn a_subdivision_is_read_in_either_letter_case() {
        let virginia = Subdivision::parse("us-va").unwrap();
        assert_eq!(virginia, Subdivision { country: country("US"), code: *b"VA\0" });
        assert_eq!(virginia.to_string(), "US-VA");
        assert_eq!(Subdivision::parse("GB-ENG").unwrap().to_string(), "GB-ENG");
        assert_eq!(Subdivision::parse("AT-9").unwrap().to_string(), "AT-9");
    }

    #[test]
    fn what_is_not_a_subdivision_is_refused() {
        for text in
            ["US", "US-", "US-ZZ", "US-V", "CA-QU", "GB-ENGL", "ZZ-A", "DE-B-E", "DE-\u{e9}"]
        {
            assert_eq!(Subdivision::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_name_of_a_state_or_province_leads_to_its_code() {
        for code in ["US", "CA"] {
            for (part, name) in names_of(country(code)).unwrap() {
                let by_name = subdivision_by_name(country(code), name);
                assert_eq!(by_name, Subdivision::parse(&format!("{code}-{part}")), "{name}");
                assert!(by_name.is_some(), "{name}");
                assert_eq!(subdivision_by_name(country(code), &name.to_lowercase()), by_name);
            }
        }
    }

    #[test]
    fn the_tables_of_states_and_provinces_are_complete() {
        let count = |names: &[(&str, &str)]| {
            names.iter().map(|(code, _)| code.to_string()).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(count(US_STATES), 50 + 1 + 6);
        assert_eq!(count(CA_PROVINCES), 10 + 3);
    }

    #[test]
    fn quebec_is_found_with_and_without_its_accent() {
        let quebec = Subdivision::parse("CA-QC");
        for name in ["Quebec", "Qu\u{e9}bec", "Que\u{301}bec"] {
            assert_eq!(subdivision_by_name(country("CA"), name), quebec, "{name}");
        }
    }

    #[test]
    fn names_count_in_their_own_country_only() {
        assert_eq!(subdivision_by_name(country("CA"), "Virginia"), None);
        assert_eq!(subdivision_by_name(country("DE"), "Hesse"), None);
        assert_eq!(subdivision_by_name(country("US"), ""), None);
    }
}
