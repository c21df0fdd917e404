//! For how long a response may be kept.

use super::header::HEADER_LEN;

/// The number of SOA records (RFC 1035 section 3.2.2).
const SOA: [u8; 2] = [0, 6];

/// Returns for how many seconds a response may be kept as a whole: the smallest
/// TTL of its answers, or where there are none, that of its SOA record, which
/// in a denial is not above its MINIMUM (RFC 8484 section 5.1, RFC 2308
/// section 3).
///
/// That is 0 where it has neither, or is no response.
pub fn lifetime(response: &[u8]) -> u32 {
    find(response).unwrap_or(0)
}

fn find(response: &[u8]) -> Option<u32> {
    let count = |at| Some(u16::from_be_bytes(*response.get(at..)?.first_chunk()?));
    let (questions, answers, authorities) = (count(4)?, count(6)?, count(8)?);
    let mut rest = response.get(HEADER_LEN..)?;
    for _ in 0..questions {
        rest = behind_name(rest)?.get(4..)?;
    }
    let is_denial = answers == 0;
    let mut least = None;
    for _ in 0..if is_denial { authorities } else { answers } {
        let &[type_0, type_1, _, _, ttl_0, ttl_1, ttl_2, ttl_3, len_0, len_1] =
            behind_name(rest)?.first_chunk()?;
        let ttl = u32::from_be_bytes([ttl_0, ttl_1, ttl_2, ttl_3]);
        if !is_denial || [type_0, type_1] == SOA {
            least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
        }
        rest = behind_name(rest)?.get(10 + usize::from(u16::from_be_bytes([len_0, len_1]))..)?;
    }
    least
}

/// Returns what follows a name, which may end in a pointer.
fn behind_name(mut octets: &[u8]) -> Option<&[u8]> {
    loop {
        match *octets.first()? {
            0 => return octets.get(1..),
            0xc0.. => return octets.get(2..),
            len => octets = octets.get(1 + usize::from(len)..)?,
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    /// A response to `a.` with records of type and TTL in a section.
    fn response(section: usize, records: &[(u8, u32)]) -> Vec<u8> {
        let mut octets = vec![0; 12];
        octets[5] = 1;
        octets[section] = records.len() as u8;
        octets.extend(b"\x01a\0\0\x01\0\x01");
        for (rtype, ttl) in records {
            octets.extend([0xc0, 12, 0, *rtype, 0, 1]);
            octets.extend(ttl.to_be_bytes());
            octets.extend([0, 2, 1, 2]);
        }
        octets
    }

    #[test]
    fn rfc_8484_5_1_a_response_is_kept_no_longer_than_its_shortest_record() {
        assert_eq!(lifetime(&response(7, &[(1, 60), (1, 45), (33, 300)])), 45);
        assert_eq!(lifetime(&response(9, &[(2, 5), (6, 30)])), 30);
        assert_eq!(lifetime(&response(9, &[(2, 5)])), 0, "a referral");
        assert_eq!(lifetime(&response(7, &[])), 0);
    }

    #[test]
    fn what_is_cut_short_is_not_kept() {
        let whole = response(7, &[(1, 60)]);
        assert_eq!(lifetime(&whole), 60);
        for len in 0..whole.len() {
            assert_eq!(lifetime(&whole[..len]), 0, "{len}");
        }
    }
}
