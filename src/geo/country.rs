//! Codes of countries, subdivisions and continents, read from text.

use super::region::{Continent, Country, Subdivision};

impl Country {
    /// Reads an ISO 3166-1 alpha-2 code.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Country(code))
    }
}

impl Subdivision {
    /// Reads an ISO 3166-2 code.
    pub fn parse(text: &str) -> Option<Self> {
        let (country, part) = text.split_once('-')?;
        let country = Country::parse(country)?;
        let mut code = [0; 3];
        if part.is_empty() || part.len() > code.len() {
            return None;
        }
        code[..part.len()].copy_from_slice(part.as_bytes());
        Some(Subdivision { country, code })
    }
}

impl Continent {
    /// Reads one of the seven codes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(continent, _)| *continent)
    }
}
