//! Lines as they are written: [`Answer`](super::Answer) without its texts being
//! made first.
//!
//! A line costs some 20 names, addresses and numbers. Put together as a value,
//! and by the formatting machinery, they cost more than the answer itself; here
//! they go straight to the buffer. Tests hold what is written against what
//! serde reads from it and writes again.

use std::io::Write;
use std::net::IpAddr;

use super::record::Record;
use super::reply::Reply;
use super::sieve::question;
use crate::snapshot::Moment;
use crate::wire::{Rcode, Rtype, lifetime};

/// Writes lines.
#[derive(Debug, Default)]
pub(super) struct Format {
    /// `,"node":"ns1"`, or nothing.
    node: Vec<u8>,

    /// The last second that was written, and how.
    second: (u64, Vec<u8>),
    reply: Reply,
}

impl Format {
    /// Returns one for a server by its identity.
    pub(super) fn new(node: Option<&str>) -> Self {
        // Texts are always written.
        let node = node.and_then(|node| serde_json::to_string(node).ok());
        let node = node.map_or_else(String::new, |node| format!(",\"node\":{node}"));
        Format { node: node.into_bytes(), ..Format::default() }
    }

    /// Adds the line of a record.
    pub(super) fn answer(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.reply.read(record.response);
        out.extend_from_slice(b"{\"event\":\"answer\",\"time\":\"");
        self.time(record.now, out);
        out.push(b'"');
        out.extend_from_slice(&self.node);
        text(out, ",\"transport\":\"", record.protocol.name());
        out.extend_from_slice(b"\",\"client\":\"");
        address(out, record.client.ip());
        out.push(b'"');
        if let Some((network, scope)) = self.reply.subnet {
            out.extend_from_slice(b",\"subnet\":\"");
            address(out, network.addr());
            out.push(b'/');
            digits(out, network.prefix_len().into());
            number(out, "\",\"scope\":", scope.into());
        }
        asked(record, out);
        if !record.origin.is_empty() {
            out.extend_from_slice(b",\"zone\":\"");
            name(out, record.origin);
            // It is a label of letters, digits and hyphens.
            text(out, "\",\"region\":\"", record.region);
            out.push(b'"');
        }
        number(out, ",\"generation\":", record.generation);
        if !record.origin.is_empty() {
            number(out, ",\"serial\":", record.serial.into());
        }
        text(out, ",\"outcome\":\"", record.cause.map_or("malformed", |counter| counter.name()));
        if let Err(reason) = record.cause {
            text(out, "\",\"reason\":\"", reason.name());
        }
        out.push(b'"');
        self.response(record, out);
        out.extend_from_slice(b"}\n");
    }

    /// Writes what is in the response.
    fn response(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        if !record.response.is_empty() {
            out.extend_from_slice(b",\"rcode\":\"");
            // Writing to memory does not fail.
            let _ = match Rcode(self.reply.rcode) {
                Rcode::NOERROR => out.write_all(b"NOERROR"),
                other => write!(out, "{other}"),
            };
            out.push(b'"');
        }
        text(out, ",\"truncated\":", if record.truncated { "true" } else { "false" });
        number(out, ",\"size\":", record.response.len() as u64);
        number(out, ",\"ttl\":", lifetime(record.response).into());
        if !self.reply.endpoints.is_empty() {
            out.extend_from_slice(b",\"endpoints\":");
            self.endpoints(out);
        }
        addresses(out, self.reply.addresses.iter().copied());
        number(out, ",\"records\":", self.reply.answers.into());
    }

    fn endpoints(&self, out: &mut Vec<u8>) {
        let mut before = b'[';
        for endpoint in &self.reply.endpoints {
            out.push(std::mem::replace(&mut before, b','));
            out.extend_from_slice(b"{\"target\":\"");
            name(out, self.reply.name(endpoint));
            number(out, "\",\"port\":", endpoint.port.into());
            number(out, ",\"priority\":", endpoint.priority.into());
            number(out, ",\"weight\":", endpoint.weight.into());
            addresses(out, self.reply.addresses_of(endpoint));
            out.push(b'}');
        }
        out.push(b']');
    }

    /// Writes a moment; the full second is mostly that of the line before.
    fn time(&mut self, moment: Moment, out: &mut Vec<u8>) {
        let (second, text) = &mut self.second;
        if *second != moment.second() || text.is_empty() {
            *second = moment.second();
            *text = super::line::time(Moment(*second * 1000)).into_bytes();
            // What follows are milliseconds.
            text.truncate(text.len().saturating_sub("000Z".len()));
        }
        out.extend_from_slice(text);
        let millis = (moment.0 % 1000) as u16;
        let digit = |value: u16| b'0' + (value % 10) as u8;
        out.extend([digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

/// Writes what a message asks for, where it can be read.
fn asked(record: &Record<'_>, out: &mut Vec<u8>) {
    // The response to what cannot be read repeats no question.
    let source = if record.cause.is_ok() { record.message } else { record.response };
    let has_question = source.get(4..6) == Some(&[0, 1]);
    let Some((asked, rtype)) = question(source).filter(|_| has_question) else { return };
    out.extend_from_slice(b",\"name\":\"");
    name(out, asked);
    out.extend_from_slice(b"\",\"type\":\"");
    // Writing to memory does not fail.
    let _ = match rtype {
        Rtype::SRV => out.write_all(b"SRV"),
        Rtype::A => out.write_all(b"A"),
        Rtype::AAAA => out.write_all(b"AAAA"),
        other => write!(out, "{other}"),
    };
    out.push(b'"');
}

//----------- Values ---------------------------------------------------------

fn text(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn number(out: &mut Vec<u8>, before: &str, value: u64) {
    out.extend_from_slice(before.as_bytes());
    digits(out, value);
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut octets = [0; 20];
    let mut first = octets.len();
    loop {
        first -= 1;
        octets[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&octets[first..]);
}

fn addresses(out: &mut Vec<u8>, addresses: impl Iterator<Item = IpAddr>) {
    let mut before: &[u8] = b",\"addresses\":[\"";
    let empty = before;
    for one in addresses {
        out.extend_from_slice(std::mem::replace(&mut before, b"\",\""));
        address(out, one);
    }
    if before != empty {
        out.extend_from_slice(b"\"]");
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            digits(out, first.into());
            for octet in rest {
                out.push(b'.');
                digits(out, octet.into());
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Writes a name in presentation format, as a text of JSON: its backslashes are
/// escaped in turn.
fn name(out: &mut Vec<u8>, wire: &[u8]) {
    let mut rest = wire;
    if wire == [0] {
        out.push(b'.');
    }
    while let Some((&len @ 1.., behind)) = rest.split_first() {
        let (label, behind) = behind.split_at_checked(len.into()).unwrap_or((behind, &[]));
        rest = behind;
        // Nearly all are, in answers: they are copied.
        let is_plain = |octet: &u8| matches!(octet, b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z');
        if label.iter().all(is_plain) {
            out.extend_from_slice(label);
            out.push(b'.');
            continue;
        }
        for octet in label {
            match octet.to_ascii_lowercase() {
                octet @ (b'\\' | b'"') => out.extend([b'\\', b'\\', b'\\', octet]),
                octet @ (b'.' | b';' | b'(' | b')' | b'@' | b'$') => {
                    out.extend([b'\\', b'\\', octet]);
                }
                octet @ 0x21..=0x7e => out.push(octet),
                octet => {
                    let digit = |value: u8| b'0' + value % 10;
                    out.extend([b'\\', b'\\', digit(octet / 100), digit(octet / 10), digit(octet)]);
                }
            }
        }
        out.push(b'.');
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::super::reply::tests::response;
    use super::super::{Answer, Line};
    use super::*;
    use crate::transport::counters::{Counter, Protocol};
    use crate::wire::{Name, Reason};

    const QUERY: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x02_A\x01b\0\0\x21\0\x01";

    fn record<'o>(message: &'o [u8], response: &'o [u8]) -> Record<'o> {
        Record {
            now: Moment(1_796_090_400_007),
            generation: 12,
            protocol: Protocol::Tls,
            client: "198.51.100.7:5353".parse().unwrap(),
            server: "192.0.2.53:853".parse().unwrap(),
            cause: Ok(Counter::Answered),
            truncated: false,
            serial: 2_026_112_701,
            origin: b"\x01b\0",
            region: "us-east",
            message,
            response,
        }
    }

    /// A line, which must be what serde makes of what it reads from it.
    fn line(record: &Record<'_>) -> Answer {
        let mut format = Format::new(Some("ns \"1\""));
        let mut out = Vec::new();
        format.answer(record, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line: Line = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
        assert_eq!(serde_json::to_string(&line).unwrap() + "\n", text);
        match line {
            Line::Answer(answer) => *answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_has_all_that_was_handed_out() {
        let response = response();
        let answer = line(&record(QUERY, &response));
        assert_eq!(answer.time, "2026-12-01T02:00:00.007Z");
        assert_eq!((answer.node.as_deref(), &answer.transport[..]), (Some("ns \"1\""), "tls"));
        assert_eq!((&answer.client[..], answer.scope), ("198.51.100.7", Some(22)));
        assert_eq!(answer.subnet.as_deref(), Some("203.0.113.0/24"));
        assert_eq!((answer.name.as_deref(), answer.rtype.as_deref()), (Some("_a.b."), Some("SRV")));
        assert_eq!((answer.zone.as_deref(), answer.serial), (Some("b."), Some(2_026_112_701)));
        assert_eq!((answer.region.as_deref(), answer.generation), (Some("us-east"), 12));
        assert_eq!((&answer.outcome[..], answer.rcode.as_deref()), ("answered", Some("BADVERS")));
        assert_eq!((answer.size, answer.ttl, answer.records), (response.len(), 60, 2));
        let [first, second] = &answer.endpoints[..] else { panic!("{answer:?}") };
        assert_eq!((&first.target[..], first.priority, first.port), ("x.b.", 10, 5060));
        assert_eq!(first.addresses.len(), 2);
        assert_eq!((&second.target[..], second.priority), ("y.b.", 20));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let dropped = Record { origin: b"", cause: Err(Reason::Short), ..record(b"?", b"") };
        let answer = line(&dropped);
        assert_eq!((answer.name, answer.zone, answer.rcode), (None, None, None));
        assert_eq!((&answer.outcome[..], answer.reason.as_deref()), ("malformed", Some("short")));
        assert_eq!((answer.size, answer.ttl), (0, 0));
    }

    #[test]
    fn names_of_any_octets_are_written_as_names_are() {
        for first in (0..=255_u8).step_by(5) {
            let label: Vec<u8> = (first..=first.saturating_add(4)).collect();
            let wire = [&[label.len() as u8], &label[..], &[0]].concat();
            let message = [&QUERY[..12], &wire, &[0, 1, 0, 1]].concat();
            let answer = line(&record(&message, b""));
            let expected = Name::from_wire(&wire.to_ascii_lowercase()).unwrap().to_string();
            assert_eq!(answer.name, Some(expected));
        }
        let root = [&QUERY[..12], &[0, 0, 1, 0, 1]].concat();
        assert_eq!(line(&record(&root, b"")).name.as_deref(), Some("."));
    }

    #[test]
    fn times_and_numbers_are_written_in_full() {
        let mut format = Format::default();
        for moment in [0, 999, 1_796_090_400_000, 1_796_090_400_999, 1_796_090_399_010] {
            let mut out = Vec::new();
            format.time(Moment(moment), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), super::super::line::time(Moment(moment)));
        }
        for value in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            digits(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
