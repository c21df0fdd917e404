//! The data of SRV records (RFC 2782).

use super::Name;

/// The data of an SRV record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SrvData {
    /// Lower ones come first.
    pub priority: u16,

    /// Its share among those of one priority.
    pub weight: u16,

    /// The port.
    pub port: u16,

    /// The host; the root says that there is no such service.
    pub target: Name,
}

impl SrvData {
    /// Reads RDATA in uncompressed wire format; none where it is not that of an
    /// SRV record.
    pub fn read(rdata: &[u8]) -> Option<Self> {
        let (numbers, target) = rdata.split_first_chunk::<6>()?;
        let number = |at: usize| u16::from_be_bytes([numbers[at], numbers[at + 1]]);
        let target = Name::from_wire(target).ok()?;
        Some(SrvData { priority: number(0), weight: number(2), port: number(4), target })
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_target_are_read_and_what_is_short_is_none() {
        let rdata = b"\x00\x0a\x00\x64\x13\xc4\x01a\x00";
        let SrvData { priority, weight, port, target } = SrvData::read(rdata).unwrap();
        assert_eq!((priority, weight, port, &*target.to_string()), (10, 100, 5060, "a."));
        for len in 0..rdata.len() {
            assert_eq!(SrvData::read(&rdata[..len]), None, "{len}");
        }
    }
}
