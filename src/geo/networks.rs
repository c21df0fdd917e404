//! Networks that somebody has named, and which of them an address is in.

use std::net::IpAddr;

use ipnet::IpNet;

use super::prefix::{Family, Piece, find, flatten, number};
use super::special::{Embedding, canonical};

//----------- NetworkMap -----------------------------------------------------

/// From an address to the number of the longest network that holds it.
///
/// A look-up is a binary search among the edges of the networks, 10 steps for
/// 500 of them; none is made where there are none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NetworkMap {
    v4: Vec<Piece>,
    v6: Vec<Piece>,
}

impl NetworkMap {
    /// Returns the map of some networks, each with a number.
    pub fn new(networks: impl IntoIterator<Item = (IpNet, u32)>) -> Self {
        let networks: Vec<_> = networks.into_iter().collect();
        let of = |family| flatten(family, networks.iter().copied());
        NetworkMap { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// Returns the number of the longest network that holds an address. IPv4
    /// carried in IPv6 is IPv4.
    pub fn find(&self, address: IpAddr) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let address = canonical(address);
        let pieces = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        find(pieces, number(address))
    }

    /// Says whether there is no network.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Returns the block that holds a network whose addresses count as the IPv4
/// addresses that they carry: no map ever finds it.
pub fn carrier_of_ipv4(network: IpNet) -> Option<&'static str> {
    Embedding::holding(network)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_counts_in_both_families() {
        let networks = [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("2001:db8::/32", 3)];
        let map = NetworkMap::new(networks.map(|(net, number)| (net.parse().unwrap(), number)));
        let find = |address: &str| map.find(address.parse().unwrap());
        assert_eq!(
            [find("10.2.0.1"), find("10.1.0.1"), find("11.0.0.1")],
            [Some(1), Some(2), None]
        );
        assert_eq!([find("2001:db8::1"), find("2001:db9::1")], [Some(3), None]);
        assert_eq!(find("::ffff:10.1.0.1"), Some(2));
        assert_eq!(NetworkMap::default().find("10.0.0.1".parse().unwrap()), None);
    }
}
