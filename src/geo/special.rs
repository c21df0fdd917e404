//! Addresses that are not what they look like: special-purpose ones, and
//! IPv6 addresses that carry an IPv4 address.
//!
//! The blocks are those of the IANA special-purpose registries (RFC 6890,
//! as of 2025), with multicast (RFC 5771, RFC 4291 section 2.7) and what
//! RFCs have withdrawn but networks still emit: IPv4-compatible addresses
//! (`::/96`, RFC 4291 section 2.5.5.1; databases that hold both families keep
//! their IPv4 tree there), site-local ones (RFC 3879) and the 6to4 relay
//! prefix (RFC 7526). Nobody's resolver is in the blocks that the registries
//! call globally reachable (AS112, AMT), so they are not told apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

use super::prefix::{self, Family, Piece};

/// Special-purpose blocks (see the module's documentation).
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Blocks of IPv6 that carry IPv4 addresses.
const EMBEDDING: [Embedding; 4] = [
    // IPv4-mapped (RFC 4291 section 2.5.5.2).
    Embedding { block: "::ffff:0:0/96", bits: 0xffff_0000_0000, length: 96, shift: 0, flip: 0 },
    // NAT64, the well-known prefix (RFC 6052).
    Embedding { block: "64:ff9b::/96", bits: 0x64_ff9b << 96, length: 96, shift: 0, flip: 0 },
    // Teredo: the client's address, inverted (RFC 4380 section 4).
    Embedding { block: "2001::/32", bits: 0x2001_0000 << 96, length: 32, shift: 0, flip: u32::MAX },
    // 6to4 (RFC 3056 section 2).
    Embedding { block: "2002::/16", bits: 0x2002 << 112, length: 16, shift: 80, flip: 0 },
];

//----------- Embedding ------------------------------------------------------

/// A block of IPv6 that carries IPv4 addresses.
#[derive(Debug)]
pub(super) struct Embedding {
    block: &'static str,
    bits: u128,
    length: u32,
    shift: u32,
    flip: u32,
}

impl Embedding {
    /// Returns the block that holds an address, and the IPv4 address in it.
    pub(super) fn find(address: Ipv6Addr) -> Option<(&'static Self, Ipv4Addr)> {
        let number = u128::from(address);
        let found = EMBEDDING
            .iter()
            .find(|embedding| (number ^ embedding.bits) >> (u128::BITS - embedding.length) == 0)?;
        Some((found, Ipv4Addr::from((number >> found.shift) as u32 ^ found.flip)))
    }

    /// Returns how many bits stand before those of the IPv4 address.
    pub(super) fn bits_before(&self) -> u8 {
        // At most 96.
        (u128::BITS - u32::BITS - self.shift) as u8
    }

    /// Returns the block that holds all of a prefix.
    pub(super) fn holding(prefix: IpNet) -> Option<&'static str> {
        let IpAddr::V6(address) = prefix.addr() else { return None };
        let (embedding, _) = Self::find(address)?;
        (u32::from(prefix.prefix_len()) >= embedding.length).then_some(embedding.block)
    }
}

/// Returns how many bits of an address say which network it is in, where
/// networks are /24 of IPv4 and /48 of IPv6.
pub fn network_len(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(outer) => Embedding::find(outer).map_or(48, |(at, _)| at.bits_before() + 24),
    }
}

/// Returns the address that counts: the IPv4 address where one is embedded.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(inner) => Embedding::find(inner).map_or(address, |(_, inner)| inner.into()),
    }
}

/// Returns the special-purpose block that an address is in, such as a private
/// or a documentation one.
pub fn special_block(address: IpAddr) -> Option<&'static str> {
    let address = canonical(address);
    let holds = |text: &&&str| text.parse::<IpNet>().is_ok_and(|block| block.contains(&address));
    SPECIAL.iter().find(holds).copied().filter(|_| Kind::of(address) == Kind::Special)
}

//----------- Kind -----------------------------------------------------------

/// What is special about an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Nothing.
    Ordinary,

    /// It is in a special-purpose block: databases know nothing true of it.
    Special,

    /// It carries an IPv4 address, and that address counts.
    Embedding,
}

impl Kind {
    /// Returns what is special about an address.
    pub(super) fn of(address: IpAddr) -> Self {
        let pieces = pieces(Family::of(address));
        Self::from_id(prefix::find(pieces, prefix::number(address)).unwrap_or(0))
    }

    /// Returns the kind of a [`Piece`] of [`pieces`], or of 0: no piece.
    pub(super) fn from_id(id: u32) -> Self {
        match id {
            0 => Kind::Ordinary,
            1 => Kind::Special,
            _ => Kind::Embedding,
        }
    }
}

/// Returns the blocks of a family in ascending order.
pub(super) fn pieces(family: Family) -> &'static [Piece] {
    static PIECES: LazyLock<[Vec<Piece>; 2]> = LazyLock::new(|| {
        Family::ALL.map(|family| {
            let special = SPECIAL.iter().map(|text| (*text, 1));
            let embedding = EMBEDDING.iter().map(|embedding| (embedding.block, 2));
            let blocks = special.chain(embedding).map(|(text, id)| {
                // A typing error in the tables above fails every test.
                (text.parse().expect("the tables hold prefixes"), id)
            });
            prefix::flatten(family, blocks)
        })
    });
    &PIECES[usize::from(family == Family::V6)]
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Kind {
        Kind::of(address.parse().unwrap())
    }

    #[test]
    fn registered_blocks_are_special_to_their_last_address() {
        for inside in [
            "0.255.255.255",
            "10.1.2.3",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.19.255.255",
            "198.51.100.9",
            "203.0.113.9",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "::1",
            "64:ff9b:1::1",
            "100::1",
            "2001:2::1",
            "2001:1ff::1",
            "2001:db8::1",
            "3fff:fff::1",
            "5f00::1",
            "fdff::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert_eq!(kind(inside), Kind::Special, "{inside}");
        }
        for outside in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.1.0",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:db9::1",
            "3ffe:1::1",
            "4000::1",
            "2a00::1",
        ] {
            assert_eq!(kind(outside), Kind::Ordinary, "{outside}");
        }
    }

    #[test]
    fn embedded_ipv4_addresses_are_found() {
        for (outer, inner) in [
            ("::ffff:81.2.69.142", "81.2.69.142"),
            ("64:ff9b::81.2.69.142", "81.2.69.142"),
            ("2002:5102:458e:1::5", "81.2.69.142"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"),
        ] {
            let outer: IpAddr = outer.parse().unwrap();
            assert_eq!(canonical(outer), inner.parse::<IpAddr>().unwrap());
            assert_eq!(Kind::of(outer), Kind::Embedding);
        }
        let plain: IpAddr = "2003::1".parse().unwrap();
        assert_eq!(canonical(plain), plain);
    }

    #[test]
    fn the_tables_of_embedding_blocks_agree() {
        for embedding in &EMBEDDING {
            let block: IpNet = embedding.block.parse().unwrap();
            assert_eq!(u32::from(block.prefix_len()), embedding.length);
            assert_eq!(prefix::number(block.network()), embedding.bits);
            assert_eq!(Embedding::holding(block), Some(embedding.block));
        }
        assert_eq!(Embedding::holding("2000::/3".parse().unwrap()), None);
    }
}
