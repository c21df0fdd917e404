//! An answer on its way from a worker to the writer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::answer::Cause;
use crate::snapshot::Moment;
use crate::transport::counters::{Counter, Protocol};
use crate::wire::Reason;

//----------- Note -----------------------------------------------------------

/// What a worker knows of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    /// When it was given.
    pub(crate) now: Moment,

    /// Which publication it was given from.
    pub(crate) generation: u64,

    /// How the message came.
    pub(crate) protocol: Protocol,

    /// Who asked; the port is 0 where a load balancer stands between.
    pub(crate) client: SocketAddr,

    /// Where.
    pub(crate) server: SocketAddr,

    /// Why it is what it is.
    pub(crate) cause: Cause,

    /// Whether it is cut short (TC).
    pub(crate) truncated: bool,

    /// The zone that answered, if one did.
    pub(crate) zone: Option<ZoneNote<'a>>,

    /// The message.
    pub(crate) message: &'a [u8],

    /// The response; empty where there is none.
    pub(crate) response: &'a [u8],
}

/// What a worker knows of the zone that answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZoneNote<'a> {
    /// Its name, in wire format.
    pub(crate) origin: &'a [u8],

    /// The serial of the version that answered.
    pub(crate) serial: u32,

    /// The region that the client is in.
    pub(crate) region: &'a str,
}

/// What of a note does not differ in length.
pub(super) type Head = [u64; 8];

/// The bit beside the protocol's number that says that a response is cut short.
const TRUNCATED: u8 = 0x80;

/// The bit of a cause's number that says that a message is malformed.
const MALFORMED: u8 = 0x80;

impl Note<'_> {
    /// Returns it as words, and octets that follow them.
    pub(super) fn parts(&self) -> (Head, [&[u8]; 4]) {
        let (origin, serial, region) = match self.zone {
            Some(zone) => (zone.origin, zone.serial, zone.region.as_bytes()),
            None => (&[][..], 0, &[][..]),
        };
        let [message_0, message_1] = (self.message.len() as u16).to_le_bytes();
        let [response_0, response_1] = (self.response.len() as u16).to_le_bytes();
        let cause = match Counter::of(self.cause) {
            Ok(counter) => counter as u8,
            Err(reason) => MALFORMED | reason as u8,
        };
        let flag = if self.truncated { TRUNCATED } else { 0 };
        let (origin_len, region_len) = (origin.len() as u8, region.len() as u8);
        let how = self.protocol as u8 | flag;
        let lens = [message_0, message_1, response_0, response_1];
        let [lens_0, lens_1, lens_2, lens_3] = lens;
        let lens = [lens_0, lens_1, lens_2, lens_3, origin_len, region_len, cause, how];
        let ports = u64::from(self.client.port()) << 16 | u64::from(self.server.port());
        let [client_0, client_1] = address_words(self.client.ip());
        let [server_0, server_1] = address_words(self.server.ip());
        let head = [
            u64::from_le_bytes(lens),
            self.now.0,
            self.generation,
            u64::from(serial) << 32 | ports,
            client_0,
            client_1,
            server_0,
            server_1,
        ];
        (head, [origin, region, self.message, self.response])
    }
}

fn address_words(address: IpAddr) -> [u64; 2] {
    let number = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    [(number >> 64) as u64, number as u64]
}

//----------- Record ---------------------------------------------------------

/// A note as the writer reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'o> {
    pub(super) now: Moment,
    pub(super) generation: u64,
    pub(super) protocol: Protocol,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) cause: Result<Counter, Reason>,
    pub(super) truncated: bool,
    pub(super) serial: u32,

    /// In wire format; empty where no zone answered.
    pub(super) origin: &'o [u8],
    pub(super) region: &'o str,
    pub(super) message: &'o [u8],
    pub(super) response: &'o [u8],
}

impl<'o> Record<'o> {
    /// Reads a record of the ring; there is none in octets that are not of it.
    pub(super) fn read(octets: &'o [u8]) -> Option<Self> {
        let (head, mut rest) = octets.split_first_chunk::<{ size_of::<Head>() }>()?;
        let (words, _) = head.as_chunks::<8>();
        let word = |at: usize| words.get(at).map(|word| u64::from_le_bytes(*word));
        let &[message_0, message_1, response_0, response_1, origin, region, cause, how] =
            words.first()?;
        let mut part = |len: usize| {
            let (part, behind) = rest.split_at_checked(len.next_multiple_of(8))?;
            rest = behind;
            part.get(..len)
        };
        let (origin, region) = (part(origin.into())?, part(region.into())?);
        let message = part(u16::from_le_bytes([message_0, message_1]).into())?;
        let response = part(u16::from_le_bytes([response_0, response_1]).into())?;
        let numbers = word(3)?;
        let number = usize::from(cause & !MALFORMED);
        Some(Record {
            now: Moment(word(1)?),
            generation: word(2)?,
            protocol: *Protocol::ALL.get(usize::from(how & !TRUNCATED))?,
            client: SocketAddr::new(address(word(4)?, word(5)?), (numbers >> 16) as u16),
            server: SocketAddr::new(address(word(6)?, word(7)?), numbers as u16),
            cause: match cause & MALFORMED {
                0 => Ok(*Counter::ALL.get(number)?),
                _ => Err(*Reason::ALL.get(number)?),
            },
            truncated: how & TRUNCATED != 0,
            serial: (numbers >> 32) as u32,
            origin,
            region: std::str::from_utf8(region).ok()?,
            message,
            response,
        })
    }
}

fn address(upper: u64, lower: u64) -> IpAddr {
    let number = u128::from(upper) << 64 | u128::from(lower);
    IpAddr::V6(Ipv6Addr::from_bits(number)).to_canonical()
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::super::ring::ring;
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let zone = ZoneNote { origin: b"\x01a\0", serial: 2_026_112_701, region: "us-east" };
        let note = Note {
            now: Moment(1_796_090_400_123),
            generation: 12,
            protocol: Protocol::Https,
            client: "198.51.100.7:5353".parse().unwrap(),
            server: "[2001:db8::53]:443".parse().unwrap(),
            cause: Cause::NoName,
            truncated: true,
            zone: Some(zone),
            message: b"a message",
            response: &[7; 65_535],
        };
        let (mut inlet, mut outlet) = ring();
        let reasons = Reason::ALL.iter().map(|reason| Cause::Malformed(*reason));
        for cause in reasons.chain([Cause::Answered, Cause::NoName, Cause::TooLong]) {
            let note = Note { cause, ..note };
            let (head, parts) = note.parts();
            inlet.put(&head, &parts);
            let mut octets = Vec::new();
            assert!(outlet.take(&mut octets));
            let record = Record::read(&octets).unwrap();
            assert_eq!((record.now, record.generation), (note.now, 12));
            assert_eq!((record.client, record.server), (note.client, note.server));
            assert_eq!((record.protocol, record.truncated), (Protocol::Https, true));
            assert_eq!(record.cause, Counter::of(cause));
            assert_eq!((record.origin, record.serial), (zone.origin, zone.serial));
            assert_eq!(record.region, "us-east");
            assert_eq!((record.message, record.response), (note.message, note.response));
            for len in 0..octets.len().min(200) {
                assert!(Record::read(&octets[..len]).is_none(), "{len}");
            }
        }
    }
}
