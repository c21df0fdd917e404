//! EDNS (RFC 6891) in both directions, with client subnet (RFC 7871), cookies
//! (RFC 7873), TCP keepalive (RFC 7828), padding (RFC 7830), extended errors
//! (RFC 8914) and the server's identity (RFC 5001).
//!
//! Unknown options are ignored, as RFC 6891 section 6.1.2 asks. Where an
//! option comes twice the first counts: RFC 7873 section 5.2 says so for
//! cookies, no RFC says anything for the others, and a response can echo only
//! one of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::CookieReply;
use super::reason::Reason;
use super::rtype::Rtype;

/// The numbers of the options that mean something here.
mod code {
    pub(super) const NSID: u16 = 3;
    pub(super) const CLIENT_SUBNET: u16 = 8;
    pub(super) const COOKIE: u16 = 10;
    pub(super) const TCP_KEEPALIVE: u16 = 11;
    pub(super) const PADDING: u16 = 12;
    pub(super) const EXTENDED_ERROR: u16 = 15;
}

/// The DNSSEC OK flag, in the lower half of the TTL field.
const DNSSEC_OK: u16 = 0x8000;

//----------- EdnsQuery ------------------------------------------------------

/// What the OPT record of a query says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EdnsQuery<'a> {
    /// The largest response that the client takes over UDP, in octets.
    ///
    /// At least 512: lower values count as that (RFC 6891 section 6.2.3).
    pub payload: u16,

    /// The EDNS version; in a query that is not refused always 0.
    pub version: u8,

    /// Whether the client wants DNSSEC records (DO, RFC 3225).
    pub dnssec_ok: bool,

    /// Whether the client wants the server's identity (RFC 5001).
    pub nsid: bool,

    /// The client subnet.
    pub client_subnet: Option<ClientSubnet<'a>>,

    /// The cookie as it came: 8 octets, or 16 to 40 (RFC 7873 section 4).
    pub cookie: Option<&'a [u8]>,

    /// The TCP keepalive option as it came, empty where it is well-formed
    /// (RFC 7828 section 3.2.1). Over UDP it means nothing, whatever it holds.
    pub tcp_keepalive: Option<&'a [u8]>,

    /// Whether there is padding, so that the response has some too (RFC 7830
    /// section 4).
    pub padding: bool,
}

impl<'a> EdnsQuery<'a> {
    /// The least payload size (RFC 6891 section 6.2.3).
    pub const PAYLOAD_MIN: u16 = 512;

    /// Reads the fixed part of an OPT record: its class and TTL fields.
    ///
    /// The upper eight bits of the response code have no meaning in a query.
    pub(super) fn new(class: u16, ttl: u32) -> Self {
        let [_, version, flags @ ..] = ttl.to_be_bytes();
        EdnsQuery {
            payload: class.max(Self::PAYLOAD_MIN),
            version,
            dnssec_ok: u16::from_be_bytes(flags) & DNSSEC_OK != 0,
            nsid: false,
            client_subnet: None,
            cookie: None,
            tcp_keepalive: None,
            padding: false,
        }
    }

    /// Reads the options, the RDATA of the record.
    ///
    /// Those before a malformed one are kept. Options of a version that we do
    /// not know may look like anything, and are left alone.
    pub(super) fn read_options(&mut self, mut rest: &'a [u8]) -> Result<(), Reason> {
        if self.version != 0 {
            return Ok(());
        }
        while !rest.is_empty() {
            let (&[code_0, code_1, len_0, len_1], after) =
                rest.split_first_chunk().ok_or(Reason::OptOptions)?;
            let len = usize::from(u16::from_be_bytes([len_0, len_1]));
            let (data, after) = after.split_at_checked(len).ok_or(Reason::OptOptions)?;
            self.read_option(u16::from_be_bytes([code_0, code_1]), data)?;
            rest = after;
        }
        Ok(())
    }

    fn read_option(&mut self, code: u16, data: &'a [u8]) -> Result<(), Reason> {
        match code {
            // In a query the option is empty; octets in it carry no meaning.
            code::NSID => self.nsid = true,
            code::CLIENT_SUBNET if self.client_subnet.is_none() => {
                self.client_subnet = Some(ClientSubnet::read(data).ok_or(Reason::ClientSubnet)?);
            }
            code::COOKIE if self.cookie.is_none() => match data.len() {
                8 | 16..=40 => self.cookie = Some(data),
                _ => return Err(Reason::Cookie),
            },
            code::TCP_KEEPALIVE if self.tcp_keepalive.is_none() => self.tcp_keepalive = Some(data),
            // Whatever the octets are: responders ignore them (RFC 7830 section 3).
            code::PADDING => self.padding = true,
            _ => {}
        }
        Ok(())
    }
}

//----------- ClientSubnet ---------------------------------------------------

/// The network on whose behalf a query was sent (RFC 7871 section 6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientSubnet<'a> {
    /// The option as it came: family, source, scope, address.
    wire: &'a [u8],

    /// The address with its host bits zero; none in family 0.
    address: Option<IpAddr>,
}

impl<'a> ClientSubnet<'a> {
    /// Reads the option.
    ///
    /// It must be of family 1 (IPv4) or 2 (IPv6), have a source prefix length
    /// that the family allows, exactly the octets which that takes, no bit
    /// behind the prefix, and scope 0. Family 0 is no family, but `dig
    /// +subnet=0` sends it with an empty prefix to opt out.
    fn read(wire: &'a [u8]) -> Option<Self> {
        let (&[family_0, family_1, source, scope], octets) = wire.split_first_chunk()?;
        let bits_max = match u16::from_be_bytes([family_0, family_1]) {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        let spare_bits = (8 - source % 8) % 8;
        let host_bits = octets.last().map_or(0, |last| last & ((1u16 << spare_bits) - 1) as u8);
        if source > bits_max
            || octets.len() != usize::from(source).div_ceil(8)
            || host_bits != 0
            || scope != 0
        {
            return None;
        }
        let address = match bits_max {
            32 => Some(Ipv4Addr::from(padded(octets)).into()),
            128 => Some(Ipv6Addr::from(padded(octets)).into()),
            _ => None,
        };
        Some(ClientSubnet { wire, address })
    }

    /// Returns the prefix to steer by, its length in bits.
    ///
    /// There is none where the client opted out with a length of 0 (RFC 7871
    /// section 7.1.2); then the address of the resolver counts.
    pub fn prefix(&self) -> Option<(IpAddr, u8)> {
        match self.source() {
            0 => None,
            source => self.address.map(|address| (address, source)),
        }
    }

    /// Returns the source prefix length, in bits.
    pub fn source(&self) -> u8 {
        self.wire[2]
    }
}

/// Fills an address up with zeros. It must be at least as long as its prefix.
fn padded<const N: usize>(prefix: &[u8]) -> [u8; N] {
    let mut octets = [0; N];
    octets[..prefix.len()].copy_from_slice(prefix);
    octets
}

//----------- EdnsReply ------------------------------------------------------

/// What the OPT record of a response says. The version is always 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EdnsReply<'a> {
    /// The largest query that the server takes over UDP, in octets.
    pub payload: u16,

    /// The flag of the query (RFC 3225 section 3).
    pub dnssec_ok: bool,

    /// The server's identity. One that is too long for the response makes it
    /// full from the start.
    pub nsid: Option<&'a [u8]>,

    /// The option of the query, echoed as it came, with the scope prefix
    /// length, in bits (RFC 7871 section 7.2.1).
    pub client_subnet: Option<(ClientSubnet<'a>, u8)>,

    /// The cookie of the client with that of the server (RFC 7873 section 4).
    pub cookie: Option<[u8; CookieReply::LEN]>,

    /// How long a connection may be idle, in units of 100 ms (RFC 7828
    /// section 3.1).
    pub tcp_keepalive: Option<u16>,

    /// What an error means (RFC 8914).
    pub extended_error: Option<ExtendedError>,

    /// Whether the response is padded to the next multiple of
    /// [`PADDED_TO`](Self::PADDED_TO) octets.
    pub padding: bool,
}

impl<'a> EdnsReply<'a> {
    /// What padded responses are a multiple of, in octets: the block of RFC
    /// 8467 section 4.1 for servers. An answer with three endpoints takes one.
    pub const PADDED_TO: usize = 468;

    /// Begins the reply to a query: it has the query's DO flag, and its client
    /// subnet with scope 0, which says that the subnet did not matter.
    pub fn new(query: &EdnsQuery<'a>, payload: u16) -> Self {
        EdnsReply {
            payload,
            dnssec_ok: query.dnssec_ok,
            client_subnet: query.client_subnet.map(|subnet| (subnet, 0)),
            ..EdnsReply::default()
        }
    }

    /// Leaves out what a client can do without until the record has at most
    /// `room` octets, or nothing more can go: first what an error means, then
    /// the identity.
    pub fn shrink(&mut self, room: usize) {
        if self.wire_len() <= room {
            return;
        }
        self.extended_error = None;
        if self.wire_len() > room {
            self.nsid = None;
        }
    }

    /// Returns the length of the record, in octets, with the empty option
    /// where it is to be padded.
    pub(super) fn wire_len(&self) -> usize {
        let option = |len: usize| OPTION_HEADER_LEN + len;
        OPT_HEADER_LEN
            + self.nsid.map_or(0, |nsid| option(nsid.len()))
            + self.client_subnet.map_or(0, |(subnet, _)| option(subnet.wire.len()))
            + self.cookie.map_or(0, |cookie| option(cookie.len()))
            + self.tcp_keepalive.map_or(0, |_| option(2))
            + self.extended_error.map_or(0, |_| option(2))
            + if self.padding { option(0) } else { 0 }
    }

    /// Returns the length that a response of `len` octets is to have, of which
    /// it may have `limit`; this record is among them.
    pub(super) fn padded(&self, len: usize, limit: usize) -> usize {
        if self.padding { len.next_multiple_of(Self::PADDED_TO).min(limit) } else { len }
    }

    /// Writes the record into exactly [`wire_len`](Self::wire_len) octets, or
    /// more where it is to be padded, with the upper eight bits of the response
    /// code.
    pub(super) fn write(&self, rcode_high: u8, out: &mut [u8]) {
        let rdata_len = (out.len() - OPT_HEADER_LEN) as u16;
        let flags = if self.dnssec_ok { DNSSEC_OK } else { 0 };
        let (header, mut rest) = out.split_at_mut(OPT_HEADER_LEN);
        header[0] = 0;
        header[1..3].copy_from_slice(&Rtype::OPT.0.to_be_bytes());
        header[3..5].copy_from_slice(&self.payload.to_be_bytes());
        header[5] = rcode_high;
        header[6] = 0;
        header[7..9].copy_from_slice(&flags.to_be_bytes());
        header[9..11].copy_from_slice(&rdata_len.to_be_bytes());
        if let Some(nsid) = self.nsid {
            (_, rest) = write_option(rest, code::NSID, nsid);
        }
        if let Some((subnet, scope)) = self.client_subnet {
            let data;
            (data, rest) = write_option(rest, code::CLIENT_SUBNET, subnet.wire);
            data[3] = scope;
        }
        if let Some(cookie) = self.cookie {
            (_, rest) = write_option(rest, code::COOKIE, &cookie);
        }
        if let Some(timeout) = self.tcp_keepalive {
            (_, rest) = write_option(rest, code::TCP_KEEPALIVE, &timeout.to_be_bytes());
        }
        if let Some(ExtendedError(info)) = self.extended_error {
            (_, rest) = write_option(rest, code::EXTENDED_ERROR, &info.to_be_bytes());
        }
        if self.padding {
            let (header, octets) = rest.split_at_mut(OPTION_HEADER_LEN);
            header[..2].copy_from_slice(&code::PADDING.to_be_bytes());
            header[2..].copy_from_slice(&(octets.len() as u16).to_be_bytes());
            // The buffer has been used before, and what was in it is nobody's.
            octets.fill(0);
        }
    }
}

//----------- ExtendedError --------------------------------------------------

/// What an error means, by its number (RFC 8914 section 4). It goes out
/// without a text: the names of the numbers are text enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtendedError(pub u16);

impl ExtendedError {
    /// The client may not do this (section 4.19).
    pub const PROHIBITED: ExtendedError = ExtendedError(18);

    /// The server is asked about a zone that it does not have (section 4.21).
    pub const NOT_AUTHORITATIVE: ExtendedError = ExtendedError(20);

    /// The server cannot do this at all (section 4.22).
    pub const NOT_SUPPORTED: ExtendedError = ExtendedError(21);
}

/// Root owner, type, class, TTL and RDATA length.
const OPT_HEADER_LEN: usize = 11;

/// Option code and length.
const OPTION_HEADER_LEN: usize = 4;

/// Writes an option; returns its data as written and the space behind it.
fn write_option<'o>(out: &'o mut [u8], code: u16, data: &[u8]) -> (&'o mut [u8], &'o mut [u8]) {
    let (option, rest) = out.split_at_mut(OPTION_HEADER_LEN + data.len());
    let (header, written) = option.split_at_mut(OPTION_HEADER_LEN);
    header[..2].copy_from_slice(&code.to_be_bytes());
    header[2..].copy_from_slice(&(data.len() as u16).to_be_bytes());
    written.copy_from_slice(data);
    (written, rest)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn options(wire: &[u8]) -> Result<EdnsQuery<'_>, Reason> {
        let mut edns = EdnsQuery::new(1232, 0);
        edns.read_options(wire).map(|()| edns)
    }

    #[test]
    fn the_fixed_part_gives_payload_version_and_flags() {
        let edns = EdnsQuery::new(4096, 0x0001_8000);
        assert_eq!((edns.payload, edns.version, edns.dnssec_ok), (4096, 1, true));
        // All flags but DO, and the upper bits of the response code, are ignored.
        let edns = EdnsQuery::new(4096, 0xff00_7fff);
        assert_eq!((edns.version, edns.dnssec_ok), (0, false));
    }

    #[test]
    fn payload_sizes_below_512_count_as_512() {
        for (sent, counts) in [(0, 512), (1, 512), (511, 512), (512, 512), (513, 513)] {
            assert_eq!(EdnsQuery::new(sent, 0).payload, counts);
        }
    }

    #[test]
    fn a_client_subnet_gives_its_prefix() {
        let cases = [
            (&b"\0\x01\x18\0\xc0\0\x02"[..], Some(("192.0.2.0", 24))),
            (b"\0\x01\x20\0\xc0\0\x02\x01", Some(("192.0.2.1", 32))),
            (b"\0\x01\x14\0\xc0\0\x10", Some(("192.0.16.0", 20))),
            (b"\0\x02\x30\0\x20\x01\x0d\xb8\0\x01", Some(("2001:db8:1::", 48))),
            (b"\0\x01\0\0", None),
            (b"\0\x02\0\0", None),
            (b"\0\0\0\0", None),
        ];
        for (wire, expected) in cases {
            let expected = expected.map(|(text, bits)| (text.parse().unwrap(), bits));
            let subnet = ClientSubnet::read(wire).unwrap_or_else(|| panic!("{wire:?} refused"));
            assert_eq!(subnet.prefix(), expected, "{wire:?}");
        }
    }

    #[test]
    fn a_client_subnet_that_breaks_a_rule_is_refused() {
        let cases: [(&str, &[u8]); 12] = [
            ("no data", b""),
            ("no scope", b"\0\x01\x18"),
            ("unknown family", b"\0\x03\x18\0\xc0\0\x02"),
            ("family 0 with a prefix", b"\0\0\x18\0\xc0\0\x02"),
            ("family 0 with an address", b"\0\0\0\0\xc0"),
            ("IPv4 length above 32", b"\0\x01\x21\0\xc0\0\x02\0\0"),
            ("IPv6 length above 128", b"\0\x02\x81\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            ("too few octets", b"\0\x01\x18\0\xc0\0"),
            ("too many octets", b"\0\x01\x18\0\xc0\0\x02\0"),
            ("host bits", b"\0\x01\x14\0\xc0\0\x11"),
            ("one host bit", b"\0\x01\x17\0\xc0\0\x03"),
            ("scope in a query", b"\0\x01\x18\x18\xc0\0\x02"),
        ];
        for (what, wire) in cases {
            assert_eq!(ClientSubnet::read(wire), None, "{what}");
        }
    }

    #[test]
    fn the_first_of_two_client_subnets_counts() {
        let edns = options(b"\0\x08\0\x05\0\x01\x08\0\x0a\0\x08\0\x05\0\x01\x08\0\x0b").unwrap();
        assert_eq!(edns.client_subnet.unwrap().prefix(), Some(([10, 0, 0, 0].into(), 8)));
    }

    #[test]
    fn cookies_are_8_or_16_to_40_octets() {
        for len in 0..=48u8 {
            let mut wire = vec![0, 10, 0, len];
            wire.resize(4 + usize::from(len), 7);
            let expected = len == 8 || (16..=40).contains(&len);
            let read = options(&wire);
            assert_eq!(read.is_ok(), expected, "{len}");
            match read {
                Ok(edns) => assert_eq!(edns.cookie, Some(&wire[4..])),
                Err(reason) => assert_eq!(reason, Reason::Cookie),
            }
        }
    }

    #[test]
    fn unknown_options_are_ignored_and_nsid_is_seen_behind_them() {
        let edns = options(b"\xff\xf0\0\x02ab\0\x03\0\0").unwrap();
        assert!(edns.nsid);
        assert_eq!(edns.client_subnet, None);
    }

    #[test]
    fn options_that_run_past_the_record_are_refused() {
        for wire in [&b"\0"[..], b"\0\x03\0", b"\0\x03\0\x01", b"\0\x03\0\0\0", b"\0\x08\xff\xff\0"]
        {
            assert_eq!(options(wire), Err(Reason::OptOptions), "{wire:?}");
        }
    }

    #[test]
    fn options_of_an_unknown_version_are_left_alone() {
        let mut edns = EdnsQuery::new(1232, 0x0001_0000);
        assert_eq!(edns.read_options(b"\0\x08\xff"), Ok(()));
    }

    #[test]
    fn a_reply_echoes_the_subnet_with_its_scope() {
        let query = options(b"\0\x08\0\x07\0\x01\x17\0\xc0\0\x02").unwrap();
        let mut reply = EdnsReply::new(&query, 1232);
        reply.client_subnet.as_mut().unwrap().1 = 20;
        reply.nsid = Some(b"ns1");
        reply.dnssec_ok = true;
        let mut out = vec![0xee; reply.wire_len()];
        reply.write(1, &mut out);
        assert_eq!(
            out,
            b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x12\0\x03\0\x03ns1\0\x08\0\x07\0\x01\x17\x14\xc0\0\x02"
        );
    }

    #[test]
    fn a_keepalive_is_kept_as_it_came_and_padding_is_seen() {
        let edns = options(b"\0\x0b\0\0\0\x0c\0\x02xy").unwrap();
        assert_eq!((edns.tcp_keepalive, edns.padding), (Some(&b""[..]), true));
        let edns = options(b"\0\x0b\0\x02\0\x64").unwrap();
        assert_eq!((edns.tcp_keepalive, edns.padding), (Some(&b"\0\x64"[..]), false));
    }

    #[test]
    fn options_of_a_reply_stand_in_a_fixed_order_with_padding_last() {
        let reply = EdnsReply {
            cookie: Some([7; 24]),
            tcp_keepalive: Some(100),
            extended_error: Some(ExtendedError::NOT_SUPPORTED),
            padding: true,
            ..EdnsReply::default()
        };
        let options = [
            b"\0\x0a\0\x18".as_slice(),
            &[7; 24],
            b"\0\x0b\0\x02\0\x64\0\x0f\0\x02\0\x15\0\x0c\0\x03\0\0\0",
        ];
        let mut out = vec![0xee; reply.wire_len() + 3];
        reply.write(0, &mut out);
        assert_eq!(out[OPT_HEADER_LEN..], options.concat());
        assert_eq!(usize::from(out[10]), out.len() - OPT_HEADER_LEN);
    }

    #[test]
    fn a_padded_message_is_a_multiple_of_its_block_or_as_long_as_may_be() {
        let reply = EdnsReply { padding: true, ..EdnsReply::default() };
        let cases = [(27, 468), (468, 468), (469, 936), (65_515, 65_520), (65_535, 65_535)];
        for (len, padded) in cases {
            assert_eq!(reply.padded(len, 65_535), padded, "{len}");
        }
        assert_eq!(EdnsReply::default().padded(100, 65_535), 100);
    }

    #[test]
    fn what_an_error_means_goes_before_the_identity_and_nothing_else_does() {
        let full = EdnsReply {
            nsid: Some(b"ns1"),
            cookie: Some([7; 24]),
            extended_error: Some(ExtendedError::PROHIBITED),
            ..EdnsReply::default()
        };
        let left = |room: usize| {
            let mut reply = full;
            reply.shrink(room);
            assert!(reply.cookie.is_some());
            (reply.nsid.is_some(), reply.extended_error.is_some())
        };
        let len = full.wire_len();
        assert_eq!(left(len), (true, true));
        assert_eq!(left(len - 1), (true, false));
        assert_eq!(left(len - 6), (true, false));
        assert_eq!(left(len - 7), (false, false));
        assert_eq!(left(0), (false, false));
    }
}
