//! DNS cookies (RFC 7873) that every server of a fleet can check (RFC 9018).
//!
//! ```text
//!  cookie = client cookie (8) | version (1) | reserved (3) | timestamp (4) | hash (8)
//!                               `----------------- server cookie ------------------'
//! ```
//!
//! The hash is SipHash-2-4 over all that precedes it and the client's address,
//! keyed with a secret. So nothing is remembered of any client: whoever can
//! send a valid cookie has received one at that address.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

//----------- CookieSecrets --------------------------------------------------

/// What server cookies are made and checked with.
///
/// The first secret signs; the others are accepted still, or already. A fleet
/// replaces a secret in three steps, each on all servers before the next (RFC
/// 9018 section 5): `old, new`, then `new, old`, then `new`. Without secrets
/// there are no cookies: the option is ignored.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct CookieSecrets {
    secrets: Vec<[u8; 16]>,
}

impl CookieSecrets {
    /// The most secrets: one more than a rollover needs, and few enough that
    /// a made-up cookie costs three hashes, some 50 ns, and no more.
    pub const MAX: usize = 3;

    /// How far in the past a valid cookie was made, in seconds (RFC 9018
    /// section 4.3).
    const AGE_MAX: i32 = 3600;

    /// How far in the future, because clocks in a fleet differ.
    const AHEAD_MAX: i32 = 300;

    /// From which age a cookie is made anew.
    const AGE_FRESH: i32 = 1800;

    /// Returns secrets of 128 bits, of which those beyond the first
    /// [`MAX`](Self::MAX) are ignored.
    pub fn new(secrets: &[[u8; 16]]) -> Self {
        CookieSecrets { secrets: secrets.iter().take(Self::MAX).copied().collect() }
    }

    /// Checks the cookie of a query, and makes the one of its response.
    ///
    /// `cookie` is of 8 octets, or of 16 to 40; `client` is the address that
    /// the query came from, whatever its client subnet says; `now` are the
    /// seconds since the Unix epoch, as a serial number (RFC 1982). There is
    /// nothing where there is no secret.
    pub fn check(&self, cookie: &[u8], client: IpAddr, now: u32) -> Option<CookieReply> {
        let signer = &SipHasher24::new_with_key(self.secrets.first()?);
        let (client_cookie, server_cookie) = cookie.split_first_chunk()?;
        let mut input = HashInput::new(client_cookie, client);
        if let Ok(sent) = server_cookie.try_into()
            && let Some(is_fresh) = self.verify(&mut input, sent, now)
        {
            let reply = match is_fresh {
                true => input.cookie(&sent[8..]),
                false => input.sign(signer, now),
            };
            return Some(CookieReply { wire: reply, presented: Presented::Valid });
        }
        let presented = match server_cookie {
            [] => Presented::ClientOnly,
            _ => Presented::Invalid,
        };
        Some(CookieReply { wire: input.sign(signer, now), presented })
    }

    /// Checks a server cookie; says whether it can be used on, or nothing
    /// where it is not valid.
    ///
    /// One that another secret than the first has signed is valid, but is
    /// replaced. Whatever the reserved octets hold is hashed along.
    fn verify(&self, input: &mut HashInput, sent: &[u8; 16], now: u32) -> Option<bool> {
        let [version, _, _, _, timestamp @ .., _, _, _, _, _, _, _, _] = *sent;
        // The difference of serial numbers (RFC 1982): it holds beyond 2106.
        let age = now.wrapping_sub(u32::from_be_bytes(timestamp)) as i32;
        if version != HashInput::VERSION || !(-Self::AHEAD_MAX..=Self::AGE_MAX).contains(&age) {
            return None;
        }
        input.set_head(sent[..8].try_into().ok()?);
        let hash = &sent[8..];
        let signed = |secret| input.hash(&SipHasher24::new_with_key(secret)) == *hash;
        let signer = self.secrets.iter().position(signed)?;
        Some(signer == 0 && age <= Self::AGE_FRESH)
    }
}

/// Secrets are in no log: only their number is shown.
impl fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieSecrets({})", self.secrets.len())
    }
}

//----------- CookieReply ----------------------------------------------------

/// What became of the cookie of a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CookieReply {
    /// The cookie of the response: the client's and the server's half.
    pub wire: [u8; CookieReply::LEN],

    /// What the client had.
    pub presented: Presented,
}

impl CookieReply {
    /// The length of a whole cookie, in octets.
    pub const LEN: usize = 24;
}

/// What a client knows of the server's cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presented {
    /// Nothing: it sent its own cookie alone.
    ClientOnly,

    /// One that is not ours, is too old, or was made for another address.
    Invalid,

    /// A valid one: the client can receive at the address it sends from.
    Valid,
}

//----------- HashInput ------------------------------------------------------

/// What is hashed: a cookie without its hash, and an address.
struct HashInput {
    octets: [u8; Self::ADDRESS_AT + 16],
    len: usize,
}

impl HashInput {
    /// The version of server cookies (RFC 9018 section 4.1).
    const VERSION: u8 = 1;

    const HEAD_AT: usize = 8;
    const ADDRESS_AT: usize = 16;

    fn new(client_cookie: &[u8; 8], client: IpAddr) -> Self {
        let mut octets = [0; Self::ADDRESS_AT + 16];
        octets[..Self::HEAD_AT].copy_from_slice(client_cookie);
        let len = match client.to_canonical() {
            IpAddr::V4(address) => {
                octets[Self::ADDRESS_AT..][..4].copy_from_slice(&address.octets());
                Self::ADDRESS_AT + 4
            }
            IpAddr::V6(address) => {
                octets[Self::ADDRESS_AT..].copy_from_slice(&address.octets());
                Self::ADDRESS_AT + 16
            }
        };
        HashInput { octets, len }
    }

    /// Sets version, reserved octets and timestamp.
    fn set_head(&mut self, head: [u8; 8]) {
        self.octets[Self::HEAD_AT..Self::ADDRESS_AT].copy_from_slice(&head);
    }

    /// Returns the hash as the reference of SipHash writes it, which is what
    /// all implementations of RFC 9018 agree on.
    fn hash(&self, hasher: &SipHasher24) -> [u8; 8] {
        hasher.hash(&self.octets[..self.len]).to_le_bytes()
    }

    /// Returns a cookie that is made now.
    fn sign(&mut self, signer: &SipHasher24, now: u32) -> [u8; CookieReply::LEN] {
        let [a, b, c, d] = now.to_be_bytes();
        self.set_head([Self::VERSION, 0, 0, 0, a, b, c, d]);
        self.cookie(&self.hash(signer))
    }

    /// Returns the cookie with a hash of 8 octets.
    fn cookie(&self, hash: &[u8]) -> [u8; CookieReply::LEN] {
        let mut cookie = [0; CookieReply::LEN];
        let (head, tail) = cookie.split_at_mut(Self::ADDRESS_AT);
        head.copy_from_slice(&self.octets[..Self::ADDRESS_AT]);
        tail.copy_from_slice(hash);
        cookie
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn octets<const N: usize>(hex: &str) -> [u8; N] {
        let digits = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(digits)
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const CLIENT: &str = "198.51.100.100";
    const COOKIE: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";

    /// When the cookie above was made.
    const MADE: u32 = 0x5cf7_9f11;

    fn check(secrets: &[&str], cookie: &[u8], client: &str, now: u32) -> CookieReply {
        let secrets: Vec<_> = secrets.iter().map(|secret| octets(secret)).collect();
        CookieSecrets::new(&secrets).check(cookie, client.parse().unwrap(), now).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_9018_appendix_a_come_out() {
        // A.1: a client learns a server cookie.
        let reply = check(&[SECRET], &octets::<8>(&COOKIE[..16]), CLIENT, MADE);
        assert_eq!(reply, CookieReply { wire: octets(COOKIE), presented: Presented::ClientOnly });
        // A.2: 40 minutes later it gets another one.
        let reply = check(&[SECRET], &octets::<24>(COOKIE), CLIENT, 0x5cf7_a871);
        let renewed = octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77");
        assert_eq!(reply, CookieReply { wire: renewed, presented: Presented::Valid });
        // A.3: reserved octets are hashed along, and not kept. The cookie is of
        // 9:46:25, and would be too old at 11:38:20, when the example asks.
        let client = "203.0.113.203";
        let sent: [u8; 24] = octets("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let reply = check(&[SECRET], &sent, client, 0x5cf7_9a91);
        assert_eq!(reply.wire[..16], octets::<16>("fc93fc62807ddb86010000005cf79a91"));
        assert_eq!(reply.presented, Presented::Valid);
        let reply = check(&[SECRET], &sent, client, 0x5cf7_a9ac);
        let renewed = octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        assert_eq!(reply, CookieReply { wire: renewed, presented: Presented::Invalid });
        // A.4: IPv6, and a secret that has been replaced.
        let (new, old) = ("445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715");
        let sent: [u8; 24] = octets("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let reply = check(&[new, old], &sent, client, 0x5cf7_c609);
        let renewed = octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        assert_eq!(reply, CookieReply { wire: renewed, presented: Presented::Valid });
    }

    #[test]
    fn a_cookie_is_used_on_for_half_an_hour_and_valid_for_an_hour() {
        let at = |age: i32| {
            let reply =
                check(&[SECRET], &octets::<24>(COOKIE), CLIENT, MADE.wrapping_add_signed(age));
            let is_same = reply.wire == octets(COOKIE);
            (reply.presented == Presented::Valid, is_same)
        };
        assert_eq!(at(-301), (false, false));
        for age in [-300, 0, 1, 1800] {
            assert_eq!(at(age), (true, true), "{age}");
        }
        for age in [1801, 3600] {
            assert_eq!(at(age), (true, false), "{age}");
        }
        assert_eq!(at(3601), (false, false));
        assert_eq!(at(i32::MAX), (false, false));
    }

    #[test]
    fn a_cookie_that_was_made_before_the_count_of_seconds_wraps_is_valid_behind_it() {
        let made = check(&[SECRET], &[7; 8], CLIENT, u32::MAX - 10);
        let reply = check(&[SECRET], &made.wire, CLIENT, 20);
        assert_eq!((reply.presented, reply.wire), (Presented::Valid, made.wire));
    }

    #[test]
    fn a_cookie_of_another_client_is_not_accepted() {
        for client in ["198.51.100.101", "2001:db8::1"] {
            let reply = check(&[SECRET], &octets::<24>(COOKIE), client, MADE);
            assert_eq!(reply.presented, Presented::Invalid);
            assert_eq!(check(&[SECRET], &reply.wire, client, MADE).presented, Presented::Valid);
        }
        let mapped = check(&[SECRET], &octets::<24>(COOKIE), "::ffff:198.51.100.100", MADE);
        assert_eq!(mapped.presented, Presented::Valid);
    }

    #[test]
    fn any_changed_octet_makes_a_cookie_invalid() {
        for at in 0..24 {
            let mut changed = octets::<24>(COOKIE);
            changed[at] ^= 1;
            let reply = check(&[SECRET], &changed, CLIENT, MADE);
            assert_eq!(reply.presented, Presented::Invalid, "{at}");
            assert_eq!(reply.wire[..8], changed[..8]);
        }
    }

    #[test]
    fn server_cookies_of_other_lengths_are_not_ours() {
        let mut long = octets::<24>(COOKIE).to_vec();
        for len in [16, 23, 25, 40] {
            long.resize(len, 0);
            assert_eq!(check(&[SECRET], &long, CLIENT, MADE).presented, Presented::Invalid);
        }
    }

    #[test]
    fn in_every_stage_of_a_rollover_servers_accept_each_others_cookies() {
        let (old, new) = (SECRET, "445536bcd2513298075a5d379663c962");
        let stages: [&[&str]; 4] = [&[old], &[old, new], &[new, old], &[new]];
        for pair in stages.windows(2) {
            for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let made = check(from, &[7; 8], CLIENT, MADE);
                let reply = check(to, &made.wire, CLIENT, MADE);
                assert_eq!(reply.presented, Presented::Valid);
            }
        }
        let made = check(&[old], &[7; 8], CLIENT, MADE);
        assert_eq!(check(&[new], &made.wire, CLIENT, MADE).presented, Presented::Invalid);
    }

    #[test]
    fn without_secrets_there_are_no_cookies_and_no_secret_is_printed() {
        let client = CLIENT.parse().unwrap();
        assert_eq!(CookieSecrets::default().check(&[7; 8], client, MADE), None);
        let secrets = CookieSecrets::new(&[octets(SECRET); 4]);
        assert_eq!(format!("{secrets:?}"), "CookieSecrets(3)");
    }
}
