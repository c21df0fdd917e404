//! What databases know of an address.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::country::subdivision_by_name;
use super::region::{Continent, Coordinates, Country, Subdivision};

//----------- Facts ----------------------------------------------------------

/// What databases know of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The autonomous system that announces it.
    pub asn: Option<u32>,

    /// The first-level subdivision of the country.
    pub subdivision: Option<Subdivision>,

    /// The country.
    pub country: Option<Country>,

    /// The continent; that of the country where no database says.
    pub continent: Option<Continent>,

    /// The place itself, as good as it is known.
    pub coordinates: Option<Coordinates>,
}

impl Facts {
    /// Says whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns where the client is: its coordinates, else its country's.
    pub fn place(&self) -> Option<Coordinates> {
        self.coordinates.or_else(|| self.country?.centroid())
    }

    /// Fills each unknown field from a database that is asked later.
    pub(super) fn or(self, later: &Facts) -> Facts {
        Facts {
            asn: self.asn.or(later.asn),
            subdivision: self.subdivision.or(later.subdivision),
            country: self.country.or(later.country),
            continent: self.continent.or(later.continent),
            coordinates: self.coordinates.or(later.coordinates),
        }
    }

    /// Derives what no database said from what they did say.
    pub(super) fn complete(mut self) -> Facts {
        self.continent = self.continent.or_else(|| self.country?.continent());
        self
    }
}

//----------- Record ---------------------------------------------------------

/// The fields of an MMDB record that we know, in both layouts in use:
/// MaxMind's nested one and the flat one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    country: Field<'a>,
    registered_country: Field<'a>,
    subdivisions: Field<'a>,
    continent: Field<'a>,
    location: Field<'a>,
    country_code: Field<'a>,
    continent_code: Field<'a>,
    state1: Field<'a>,
    latitude: Field<'a>,
    longitude: Field<'a>,
    autonomous_system_number: Field<'a>,
    asn: Field<'a>,
}

impl Record<'_> {
    /// Returns what the record says.
    pub(super) fn facts(&self) -> Facts {
        let countries = [&self.country, &self.country_code, &self.registered_country];
        let country = countries.into_iter().find_map(|field| Country::parse(field.text?));
        let continents = [&self.continent, &self.continent_code];
        Facts {
            asn: self.autonomous_system_number.asn().or_else(|| self.asn.asn()),
            subdivision: country.and_then(|country| self.subdivision(country)),
            country,
            continent: continents.into_iter().find_map(|field| Continent::parse(field.text?)),
            coordinates: coordinates(self.location.latitude, self.location.longitude)
                .or_else(|| coordinates(self.latitude.number(), self.longitude.number())),
        }
    }

    fn subdivision(&self, country: Country) -> Option<Subdivision> {
        match self.subdivisions.text {
            Some(code) => Subdivision::parse(&format!("{country}-{code}")),
            None => subdivision_by_name(country, self.state1.text?),
        }
    }
}

/// Returns a place if its numbers are on the globe.
fn coordinates(latitude: Option<f64>, longitude: Option<f64>) -> Option<Coordinates> {
    let (latitude, longitude) = (latitude?, longitude?);
    let on_globe = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    on_globe.then_some(Coordinates { latitude, longitude })
}

//----------- Field ----------------------------------------------------------

/// A value of whatever type a database's maker chose.
///
/// Of a map, its ISO code and its position are taken; of a list, its first
/// item: MaxMind's `subdivisions` start with the widest.
#[derive(Clone, Copy, Debug, Default)]
struct Field<'a> {
    text: Option<&'a str>,
    number: Option<f64>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Field<'_> {
    /// Returns a number, also one that is written as text.
    fn number(&self) -> Option<f64> {
        self.number.or_else(|| self.text?.trim().parse().ok())
    }

    /// Returns an AS number, also one that is written as `AS64500`.
    fn asn(&self) -> Option<u32> {
        if let Some(number) = self.number {
            let whole = number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number);
            return whole.then_some(number as u32);
        }
        let text = self.text?.trim();
        let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
        digits.parse().ok().filter(|asn| *asn != 0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        let text = (!text.is_empty()).then_some(text);
        Ok(Field { text, ..Field::default() })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Field { number: Some(number), ..Field::default() })
    }

    fn visit_f32<E: de::Error>(self, number: f32) -> Result<Self::Value, E> {
        self.visit_f64(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut field = Field::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" | "code" => field.text = map.next_value::<Field<'_>>()?.text,
                "latitude" => field.latitude = map.next_value::<Field<'_>>()?.number(),
                "longitude" => field.longitude = map.next_value::<Field<'_>>()?.number(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(field)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let first = list.next_element()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Facts {
        serde_json::from_str::<Record<'_>>(json).unwrap().facts()
    }

    #[test]
    fn the_nested_layout_is_read() {
        let facts = facts(
            r#"{"continent": {"code": "NA", "names": {"en": "North America"}},
                "country": {"geoname_id": 1, "iso_code": "US"},
                "registered_country": {"iso_code": "DE"},
                "subdivisions": [{"iso_code": "VA"}, {"iso_code": "XX"}],
                "location": {"latitude": 39.04, "longitude": -77.49},
                "autonomous_system_number": 64500}"#,
        );
        assert_eq!(facts.country, Country::parse("US"));
        assert_eq!(facts.subdivision, Subdivision::parse("US-VA"));
        assert_eq!(facts.continent, Some(Continent::NorthAmerica));
        assert_eq!(facts.coordinates.unwrap().longitude, -77.49);
        assert_eq!(facts.asn, Some(64500));
    }

    #[test]
    fn the_flat_layout_is_read_with_numbers_of_any_type() {
        let facts = facts(
            r#"{"country_code": "CA", "state1": "Ontario", "continent_code": "NA",
                "latitude": "43.7", "longitude": -79, "asn": "AS64501", "timezone": ""}"#,
        );
        assert_eq!(facts.subdivision, Subdivision::parse("CA-ON"));
        assert_eq!(facts.continent, Some(Continent::NorthAmerica));
        assert_eq!(facts.coordinates, Some(Coordinates { latitude: 43.7, longitude: -79.0 }));
        assert_eq!(facts.asn, Some(64501));
    }

    #[test]
    fn the_registered_country_stands_in_for_a_missing_one() {
        let facts = facts(r#"{"registered_country": {"iso_code": "DE"}}"#);
        assert_eq!(facts.country, Country::parse("DE"));
    }

    #[test]
    fn a_state_counts_in_its_own_country_only() {
        assert_eq!(facts(r#"{"country_code": "DE", "state1": "California"}"#).subdivision, None);
    }

    #[test]
    fn what_is_no_place_code_or_number_is_unknown() {
        for json in [
            r#"{"country_code": "", "state1": ""}"#,
            r#"{"country": {"iso_code": "ZZ"}, "continent": true}"#,
            r#"{"latitude": 91, "longitude": 0}"#,
            r#"{"latitude": 1, "longitude": "east"}"#,
            r#"{"asn": 0}"#,
            r#"{"asn": 4294967296}"#,
            r#"{"subdivisions": []}"#,
        ] {
            assert!(facts(json).is_empty(), "{json}");
        }
    }

    #[test]
    fn the_continent_follows_from_the_country() {
        let facts = facts(r#"{"country_code": "JP"}"#);
        assert_eq!(facts.continent, None);
        assert_eq!(facts.complete().continent, Some(Continent::Asia));
    }
}
