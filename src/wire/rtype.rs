//! Record types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A record type or question type by its number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Rtype(pub u16);

#[allow(missing_docs)]
impl Rtype {
    pub const A: Rtype = Rtype(1);
    pub const NS: Rtype = Rtype(2);
    pub const CNAME: Rtype = Rtype(5);
    pub const SOA: Rtype = Rtype(6);
    pub const PTR: Rtype = Rtype(12);
    pub const HINFO: Rtype = Rtype(13);
    pub const MX: Rtype = Rtype(15);
    pub const TXT: Rtype = Rtype(16);
    pub const AAAA: Rtype = Rtype(28);
    pub const SRV: Rtype = Rtype(33);
    pub const NAPTR: Rtype = Rtype(35);
    pub const DNAME: Rtype = Rtype(39);
    pub const OPT: Rtype = Rtype(41);
    pub const DS: Rtype = Rtype(43);
    pub const RRSIG: Rtype = Rtype(46);
    pub const NSEC: Rtype = Rtype(47);
    pub const DNSKEY: Rtype = Rtype(48);
    pub const TSIG: Rtype = Rtype(250);
    pub const IXFR: Rtype = Rtype(251);
    pub const AXFR: Rtype = Rtype(252);
    pub const ANY: Rtype = Rtype(255);
}

impl Rtype {
    /// Says whether this can be the type of a record in a zone.
    ///
    /// OPT and the range of question and meta types (RFC 6895 section 3.1)
    /// cannot.
    pub fn is_data(self) -> bool {
        self.0 != 0 && self != Self::OPT && !(128..=255).contains(&self.0)
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        domain::base::Rtype::from_int(self.0).fmt(f)
    }
}

impl FromStr for Rtype {
    type Err = UnknownRtype;

    /// Reads a mnemonic or the form `TYPE123` of RFC 3597 section 5.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rtype = domain::base::Rtype::from_str(text).map_err(|_| UnknownRtype)?;
        Ok(Rtype(rtype.to_int()))
    }
}

/// A text that names no record type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownRtype;

impl fmt::Display for UnknownRtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a record type")
    }
}

impl std::error::Error for UnknownRtype {}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_and_numbers_are_read_and_written() {
        assert_eq!("srv".parse(), Ok(Rtype::SRV));
        assert_eq!("TYPE65280".parse(), Ok(Rtype(65280)));
        assert_eq!("NOPE".parse::<Rtype>(), Err(UnknownRtype));
        assert_eq!(Rtype::NAPTR.to_string(), "NAPTR");
        assert_eq!(Rtype(65280).to_string(), "TYPE65280");
    }
}
