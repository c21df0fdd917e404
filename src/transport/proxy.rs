//! Who asks behind a load balancer: the PROXY protocol, version 2.
//!
//! ```text
//!  signature 12 | version, command 1 | family, protocol 1 | length 2 | addresses | TLVs | …
//! ```
//!
//! A balancer that the configuration lists puts a header before the message in
//! each datagram, and before the first octet of each connection, that of a
//! TLS handshake among them. The client that it names is who is answered, in
//! all that depends on the client; the reply goes back to the balancer. From
//! such a balancer everything has to have a header, so that nobody can ask in
//! its name; from anybody else a header is a message that is no query.
//!
//! # What is absent
//!
//! Version 1, which is text and knows no datagrams; what TLVs say; and
//! whatever the balancer vouches for by its address alone: where others can
//! send from that address, they can name any client.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ppp::v2::{Addresses, Command, Header};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header that is read, in octets.
///
/// Addresses take 52 at most; certificate names and marks of clouds behind
/// them a few hundred.
pub const HEADER_MAX: usize = 2048;

/// The octets up to the length of the rest, and with it.
const HEAD_LEN: usize = 16;

/// Says whether a peer is one of the load balancers, of which there may be
/// none.
pub(super) fn is_balancer(balancers: &[IpNet], peer: IpAddr) -> bool {
    !balancers.is_empty() && is_listed(balancers, peer)
}

/// Out of the way of those who have no balancer.
#[cold]
fn is_listed(balancers: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    balancers.iter().any(|network| network.contains(&peer))
}

/// Splits a header off the octets that it comes before.
///
/// The client is nobody else where the balancer speaks for itself, as it does
/// to see whether a server is alive, or for somebody without an IP address.
/// There is nothing where the header is missing, broken or too long.
pub fn split(octets: &[u8]) -> Option<(Option<SocketAddr>, &[u8])> {
    let header = Header::try_from(octets).ok()?;
    let (header_octets, behind) = octets.split_at_checked(header.len())?;
    if header_octets.len() > HEADER_MAX {
        return None;
    }
    let client = match (header.command, header.addresses) {
        (Command::Local, _) | (_, Addresses::Unspecified | Addresses::Unix(_)) => None,
        (Command::Proxy, Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (Command::Proxy, Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
    };
    Some((client, behind))
}

/// Reads a header from a connection, and not one octet more.
pub(super) async fn receive(
    connection: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut octets = [0; HEADER_MAX];
    connection.read_exact(&mut octets[..HEAD_LEN]).await?;
    let len = HEAD_LEN + usize::from(u16::from_be_bytes([octets[14], octets[15]]));
    let header = octets.get_mut(..len).ok_or(io::ErrorKind::InvalidData)?;
    connection.read_exact(&mut header[HEAD_LEN..]).await?;
    let (client, _) = split(header).ok_or(io::ErrorKind::InvalidData)?;
    Ok(client)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    /// A header of a command, a family with protocol, and what is behind.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &len, rest].concat()
    }

    /// The addresses and ports of both ends.
    fn v4() -> Vec<u8> {
        [&[192, 0, 2, 1][..], &[198, 51, 100, 1], &[0x12, 0x34], &[0, 53]].concat()
    }

    fn v6() -> Vec<u8> {
        let source: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0, 80], &[0, 53]].concat()
    }

    fn client(octets: &[u8]) -> Option<Option<String>> {
        split(octets).map(|(client, _)| client.map(|client| client.to_string()))
    }

    #[test]
    fn clients_of_both_families_are_read_over_any_protocol() {
        for protocol in 0..=2 {
            let octets = [header(1, 0x10 | protocol, &v4()), b"query".to_vec()].concat();
            assert_eq!(client(&octets), Some(Some("192.0.2.1:4660".into())));
            assert_eq!(split(&octets).unwrap().1, b"query");
            let octets = header(1, 0x20 | protocol, &[&v6()[..], b"\x04\0\x01x"].concat());
            assert_eq!(client(&octets), Some(Some("[2001:db8::1]:80".into())));
            assert!(split(&octets).unwrap().1.is_empty());
        }
    }

    #[test]
    fn a_balancer_speaks_for_itself_and_for_those_without_an_ip_address() {
        assert_eq!(client(&header(0, 0, &[])), Some(None));
        assert_eq!(client(&header(0, 0x11, &v4())), Some(None));
        assert_eq!(client(&header(1, 0, &v4())), Some(None));
        assert_eq!(client(&header(1, 0x31, &[0; 216])), Some(None));
    }

    #[test]
    fn headers_that_are_missing_cut_or_of_another_make_are_none() {
        let whole = header(1, 0x12, &v4());
        for len in 0..whole.len() {
            assert_eq!(split(&whole[..len]), None, "{len} octets");
        }
        for (at, octet) in [(0, 0), (11, b'\r'), (12, 0x11), (12, 0x22), (13, 0x42), (13, 0x13)] {
            let mut broken = whole.clone();
            broken[at] = octet;
            assert_eq!(split(&broken), None, "octet {at} is {octet}");
        }
        assert_eq!(split(&header(1, 0x12, &v4()[..11])), None);
        assert_eq!(split(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 53\r\n"), None);
        assert!(split(&header(0, 0, &[0; HEADER_MAX - HEAD_LEN])).is_some());
        assert_eq!(split(&header(0, 0, &[0; HEADER_MAX - HEAD_LEN + 1])), None);
    }

    #[test]
    fn a_connection_is_read_up_to_the_end_of_its_header() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let octets = [header(1, 0x11, &v4()), b"\x16\x03".to_vec()].concat();
        let mut connection = &octets[..];
        let client = runtime.block_on(receive(&mut connection)).unwrap();
        assert_eq!(client, Some("192.0.2.1:4660".parse().unwrap()));
        assert_eq!(connection, b"\x16\x03");
        for broken in [&octets[..20], b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02ns\0\0\x01\0\x01"]
        {
            assert!(runtime.block_on(receive(&mut &broken[..])).is_err());
        }
    }

    #[test]
    fn balancers_are_known_by_their_addresses() {
        let networks = ["192.0.2.10/32", "2001:db8:1::/64"].map(|net| net.parse().unwrap());
        let knows = |peer: &str| is_balancer(&networks, peer.parse().unwrap());
        assert!(knows("192.0.2.10") && knows("::ffff:192.0.2.10") && knows("2001:db8:1::9"));
        assert!(!knows("192.0.2.11") && !knows("2001:db8:2::9"));
        // Whoever owns a prefix of 6to4 or NAT64 is not whom it carries.
        assert!(!knows("2002:c000:020a::1") && !knows("64:ff9b::192.0.2.10"));
        assert!(!is_balancer(&[], "192.0.2.10".parse().unwrap()));
    }
}
