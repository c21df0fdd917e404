//! dnstap: the schema's messages, and the frames that carry them.
//!
//! Of the schema (<https://dnstap.info>, in Protocol Buffers) a few fields are
//! written, all of them numbers and octets, so that no library is needed for
//! it. Frames are those of Frame Streams: each is preceded by its length in
//! four octets, and one of length 0 begins a control frame.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use super::record::Record;
use crate::transport::counters::Protocol;

//----------- Messages -------------------------------------------------------

/// Numbers of the schema: fields of `Dnstap`.
mod outer {
    pub(super) const IDENTITY: u32 = 1;
    pub(super) const VERSION: u32 = 2;
    pub(super) const MESSAGE: u32 = 14;
    pub(super) const TYPE: u32 = 15;
}

/// Numbers of the schema: fields of `Message`.
mod field {
    pub(super) const TYPE: u32 = 1;
    pub(super) const SOCKET_FAMILY: u32 = 2;
    pub(super) const SOCKET_PROTOCOL: u32 = 3;
    pub(super) const QUERY_ADDRESS: u32 = 4;
    pub(super) const RESPONSE_ADDRESS: u32 = 5;
    pub(super) const QUERY_PORT: u32 = 6;
    pub(super) const RESPONSE_PORT: u32 = 7;
    pub(super) const QUERY_TIME_SEC: u32 = 8;
    pub(super) const QUERY_TIME_NSEC: u32 = 9;
    pub(super) const QUERY_MESSAGE: u32 = 10;
    pub(super) const QUERY_ZONE: u32 = 11;
    pub(super) const RESPONSE_TIME_SEC: u32 = 12;
    pub(super) const RESPONSE_TIME_NSEC: u32 = 13;
    pub(super) const RESPONSE_MESSAGE: u32 = 14;
    pub(super) const POLICY: u32 = 15;
}

/// Numbers of the schema: fields of `Policy`.
mod policy {
    pub(super) const TYPE: u32 = 1;
    pub(super) const VALUE: u32 = 5;
}

/// Writes the frame of a record: an `AUTH_RESPONSE` with the query in it, or
/// an `AUTH_QUERY` where there is no response.
///
/// The policy's type is `region`, and its value the client's.
pub(super) fn frame(record: &Record<'_>, identity: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; 4]);
    if !identity.is_empty() {
        octets(out, outer::IDENTITY, identity.as_bytes());
    }
    octets(out, outer::VERSION, concat!("trunkdns ", env!("CARGO_PKG_VERSION")).as_bytes());
    nested(out, outer::MESSAGE, |out| message(record, out));
    number(out, outer::TYPE, 1);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn message(record: &Record<'_>, out: &mut Vec<u8>) {
    let is_answered = !record.response.is_empty();
    number(out, field::TYPE, if is_answered { 2 } else { 1 });
    number(out, field::SOCKET_FAMILY, if record.client.is_ipv4() { 1 } else { 2 });
    number(out, field::SOCKET_PROTOCOL, protocol(record.protocol));
    address(out, field::QUERY_ADDRESS, record.client.ip());
    address(out, field::RESPONSE_ADDRESS, record.server.ip());
    number(out, field::QUERY_PORT, record.client.port().into());
    number(out, field::RESPONSE_PORT, record.server.port().into());
    let (second, nanos) = (record.now.second(), (record.now.0 % 1000) as u32 * 1_000_000);
    number(out, field::QUERY_TIME_SEC, second);
    fixed(out, field::QUERY_TIME_NSEC, nanos);
    octets(out, field::QUERY_MESSAGE, record.message);
    if !record.origin.is_empty() {
        octets(out, field::QUERY_ZONE, record.origin);
    }
    if is_answered {
        number(out, field::RESPONSE_TIME_SEC, second);
        fixed(out, field::RESPONSE_TIME_NSEC, nanos);
        octets(out, field::RESPONSE_MESSAGE, record.response);
    }
    if !record.region.is_empty() {
        nested(out, field::POLICY, |out| {
            octets(out, policy::TYPE, b"region");
            octets(out, policy::VALUE, record.region.as_bytes());
        });
    }
}

/// Returns the schema's number of a transport.
fn protocol(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
        Protocol::Tls => 3,
        Protocol::Https => 4,
        Protocol::Quic => 7,
    }
}

//----------- Protocol Buffers -----------------------------------------------

/// How values are laid out.
mod layout {
    pub(super) const VARINT: u32 = 0;
    pub(super) const OCTETS: u32 = 2;
    pub(super) const FIXED_32: u32 = 5;
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, (field << 3 | layout::VARINT).into());
    varint(out, value);
}

fn fixed(out: &mut Vec<u8>, field: u32, value: u32) {
    varint(out, (field << 3 | layout::FIXED_32).into());
    out.extend(value.to_le_bytes());
}

fn octets(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, (field << 3 | layout::OCTETS).into());
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn address(out: &mut Vec<u8>, field: u32, address: IpAddr) {
    match address {
        IpAddr::V4(address) => octets(out, field, &address.octets()),
        IpAddr::V6(address) => octets(out, field, &address.octets()),
    }
}

/// Writes a message within the message. Its length takes three octets always,
/// so that it can be filled in when it is known.
fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, (field << 3 | layout::OCTETS).into());
    let at = out.len();
    out.extend([0; 3]);
    write(out);
    // Two messages of 65,535 octets and less than 1 KiB: 18 bits.
    let len = out.len() - at - 3;
    let low = |shift: usize| (len >> shift) as u8 & 0x7f;
    out[at..at + 3].copy_from_slice(&[low(0) | 0x80, low(7) | 0x80, low(14)]);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

//----------- Frame Streams --------------------------------------------------

/// What the frames carry.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The longest control frame (Frame Streams, as its library bounds it).
const CONTROL_MAX: usize = 512;

/// Numbers of control frames.
mod control {
    pub(super) const ACCEPT: u32 = 1;
    pub(super) const START: u32 = 2;
    pub(super) const STOP: u32 = 3;
    pub(super) const READY: u32 = 4;
    pub(super) const FINISH: u32 = 5;
}

/// The field of a control frame that names what is carried.
const CONTROL_CONTENT_TYPE: u32 = 1;

/// Agrees with a reader on what is carried, and starts.
pub(super) fn greet(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control_frame(control::READY, true))?;
    let accept = read_control(stream)?;
    let accepts = accept.windows(CONTENT_TYPE.len()).any(|octets| octets == CONTENT_TYPE);
    if !accept.starts_with(&control::ACCEPT.to_be_bytes()) || !accepts {
        return Err(io::Error::other("the reader does not accept dnstap"));
    }
    stream.write_all(&control_frame(control::START, true))
}

/// Ends the stream, and waits until the reader has all of it.
pub(super) fn part(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control_frame(control::STOP, false))?;
    let finish = read_control(stream)?;
    match finish.starts_with(&control::FINISH.to_be_bytes()) {
        true => Ok(()),
        false => Err(io::Error::other("the reader does not finish")),
    }
}

fn control_frame(kind: u32, has_content_type: bool) -> Vec<u8> {
    let mut payload = kind.to_be_bytes().to_vec();
    if has_content_type {
        payload.extend(CONTROL_CONTENT_TYPE.to_be_bytes());
        payload.extend((CONTENT_TYPE.len() as u32).to_be_bytes());
        payload.extend(CONTENT_TYPE);
    }
    [&[0; 4], &(payload.len() as u32).to_be_bytes()[..], &payload].concat()
}

fn read_control(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [escape @ .., len_0, len_1, len_2, len_3] = head;
    let len = u32::from_be_bytes([len_0, len_1, len_2, len_3]) as usize;
    if escape != [0; 4] || len > CONTROL_MAX {
        return Err(io::Error::other("the reader does not speak Frame Streams"));
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}
