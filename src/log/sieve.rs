//! Which answers are logged.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::snapshot::Network;
use crate::wire::Rtype;

/// Which answers are logged: those that pass all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve {
    /// One in so many; 0 and 1 are all.
    pub(super) sample: u32,

    /// Those to clients in these; none are all.
    pub(super) networks: Vec<IpNet>,

    /// Those to clients of these; none are all.
    pub(super) regions: Vec<String>,
}

impl Sieve {
    /// Says whether the answer to a message is logged.
    pub(super) fn passes(&self, client: IpAddr, message: &[u8], region: &str) -> bool {
        let in_network = |network: &IpNet| network.contains(&client);
        (self.networks.is_empty() || self.networks.iter().any(in_network))
            && (self.regions.is_empty() || self.regions.iter().any(|one| one == region))
            && (self.sample <= 1 || {
                let (name, rtype) = question(message).unwrap_or((&[], Rtype(0)));
                is_sampled(self.sample, client, name, rtype)
            })
    }
}

/// Says whether the answers to a question from a client are among the sample of
/// one in `sample`: all of them are, or none is.
///
/// `name` is in wire format; its letter case does not count. Who is in the
/// sample is the same on every server and in every release, so that whoever
/// looks for an answer knows whether there can be a line.
pub(super) fn is_sampled(sample: u32, client: IpAddr, name: &[u8], rtype: Rtype) -> bool {
    Network::of(client).hash_question(name, rtype).is_multiple_of(sample.max(1).into())
}

/// Returns the name and the type that a message asks for, if it has a question.
pub(super) fn question(message: &[u8]) -> Option<(&[u8], Rtype)> {
    let octets = message.get(12..)?;
    let mut len = 0;
    loop {
        match *octets.get(len)? {
            0 => break,
            label @ 1..=63 => len += 1 + usize::from(label),
            _ => return None,
        }
        if len >= 255 {
            return None;
        }
    }
    let (name, rest) = octets.split_at(len + 1);
    Some((name, Rtype(u16::from_be_bytes(*rest.first_chunk()?))))
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x04_sip\x04_tcp\x07carrier\x07example\x03com\0";

    fn message(name: &[u8]) -> Vec<u8> {
        [&[0; 12], name, &[0, 33, 0, 1]].concat()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn about_one_network_in_n_is_sampled_and_all_of_a_network_is_or_nothing() {
        let mut sampled = 0;
        for network in 0..10_000_u32 {
            let client = |host: u32| IpAddr::V4((0x0b00_0000 + (network << 8) + host).into());
            let is = is_sampled(10, client(1), NAME, Rtype::SRV);
            assert_eq!(is_sampled(10, client(77), NAME, Rtype::SRV), is);
            sampled += u32::from(is);
        }
        // Three standard deviations of 30.
        assert!((910..=1090).contains(&sampled), "{sampled}");
    }

    #[test]
    fn the_sample_is_the_same_for_ever() {
        // By another implementation of SipHash-2-4.
        let hash = |client, rtype| Network::of(address(client)).hash_question(NAME, rtype);
        assert_eq!(hash("198.51.100.7", Rtype::SRV), 15_131_677_846_395_066_431);
        assert_eq!(hash("198.51.100.7", Rtype::A), 7_129_126_472_277_128_826);
    }

    #[test]
    fn letter_case_does_not_decide() {
        let sieve = Sieve { sample: 2, ..Sieve::default() };
        let (lower, upper) = (message(NAME), message(&NAME.to_ascii_uppercase()));
        for network in 0..50_u32 {
            let client = IpAddr::V4((0x0b00_0000 + (network << 8)).into());
            assert_eq!(sieve.passes(client, &lower, ""), sieve.passes(client, &upper, ""));
        }
    }

    #[test]
    fn networks_and_regions_are_let_through_and_nothing_else() {
        let sieve = Sieve {
            networks: vec!["198.51.100.0/24".parse().unwrap()],
            regions: vec!["us-east".to_owned()],
            ..Sieve::default()
        };
        let passes = |client: &str, region| sieve.passes(address(client), &message(NAME), region);
        assert!(passes("198.51.100.7", "us-east"));
        assert!(!passes("198.51.101.7", "us-east"));
        assert!(!passes("198.51.100.7", "us-west"));
        assert!(Sieve::default().passes(address("::1"), b"", ""));
    }

    #[test]
    fn a_message_without_a_question_is_sampled_too() {
        let sieve = Sieve { sample: 2, ..Sieve::default() };
        let cut_short = &message(NAME)[..20];
        for octets in [b"", &[0; 12][..], &[0xff; 300], &[0x3f; 600], cut_short] {
            assert_eq!(question(octets), None);
            let client = |network: u32| IpAddr::V4((0x0b00_0000 + (network << 8)).into());
            let passed = (0..64).filter(|at| sieve.passes(client(*at), octets, "")).count();
            assert!((10..54).contains(&passed), "{passed}");
        }
    }
}
