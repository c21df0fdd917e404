//! The queries of the page's addresses.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::explain::Asker;
use crate::geo::Country;

/// The most parameters of a query.
const PARAMETERS_MAX: usize = 16;

//----------- Query ----------------------------------------------------------

/// What stands behind the question mark of an address.
#[derive(Debug, Default)]
pub(super) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Reads it; anything can be read.
    pub(super) fn read(text: Option<&'q str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Query(pairs.take(PARAMETERS_MAX).collect())
    }

    /// Returns a value without the spaces around it; nothing for an empty one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the question that is to be explained.
    pub(super) fn question(&self) -> Result<Question, String> {
        let name = self.get("name").ok_or("which name? `name=` is missing")?.to_owned();
        let rtype = self.get("type").unwrap_or("SRV").to_owned();
        Ok(Question { name, rtype, asker: self.asker()? })
    }

    fn asker(&self) -> Result<From, String> {
        match (self.get("from"), self.get("country")) {
            (Some(text), _) => read_client(text).map(From::Client),
            (None, Some(code)) => match Country::parse(code) {
                Some(country) => Ok(From::Country(country)),
                None => {
                    Err(format!("`{code}` is not a country; expected two letters (ISO 3166-1)"))
                }
            },
            (None, None) => Err("who asks? `from=` or `country=` is missing".into()),
        }
    }
}

/// Reads an address, or a prefix that a client subnet carries.
fn read_client(text: &str) -> Result<Asker, String> {
    if let Ok(from) = text.parse::<IpAddr>() {
        return Ok(Asker { from, subnet: None });
    }
    let subnet: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is neither an address nor a prefix, such as 192.0.2.1 or 192.0.2.0/24")
    })?;
    Ok(Asker { from: subnet.addr(), subnet: Some(subnet.trunc()) })
}

//----------- Question -------------------------------------------------------

/// A question that is to be explained.
#[derive(Debug)]
pub(super) struct Question {
    /// The name.
    pub(super) name: String,

    /// The type.
    pub(super) rtype: String,

    /// Who asks.
    pub(super) asker: From,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum From {
    /// An address or a client subnet.
    Client(Asker),

    /// Somebody in a country.
    Country(Country),
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_and_an_empty_one_is_none() {
        let query = Query::read(Some("name=_sip._tcp.a%2eexample&from=+192.0.2.1+&type="));
        assert_eq!(query.get("name"), Some("_sip._tcp.a.example"));
        assert_eq!(query.get("from"), Some("192.0.2.1"));
        assert_eq!((query.get("type"), query.get("at")), (None, None));
        assert_eq!(Query::read(None).get("name"), None);
    }

    #[test]
    fn a_query_without_end_is_read_in_part() {
        let text = "a=1&".repeat(100_000);
        assert_eq!(Query::read(Some(&text)).0.len(), PARAMETERS_MAX);
    }

    #[test]
    fn a_question_says_what_is_missing_and_what_cannot_be_read() {
        let refusal = |text| Query::read(Some(text)).question().unwrap_err();
        assert!(refusal("from=192.0.2.1").contains("`name=` is missing"));
        assert!(refusal("name=a").contains("`from=` or `country=` is missing"));
        assert!(refusal("name=a&from=192.0.2").contains("`192.0.2` is neither an address"));
        assert!(refusal("name=a&country=XX").contains("`XX` is not a country"));
    }

    #[test]
    fn a_client_is_an_address_or_a_subnet() {
        let asker = |text| match Query::read(Some(text)).question().unwrap().asker {
            From::Client(Asker { from, subnet }) => {
                (from.to_string(), subnet.map(|s| s.to_string()))
            }
            From::Country(country) => (country.to_string(), None),
        };
        assert_eq!(asker("name=a&from=2001:db8::1"), ("2001:db8::1".into(), None));
        let subnet = ("192.0.2.9".into(), Some("192.0.2.0/24".into()));
        assert_eq!(asker("name=a&from=192.0.2.9/24"), subnet);
        assert_eq!(asker("name=a&country=de"), ("DE".into(), None));
    }
}
