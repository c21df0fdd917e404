//! The answer core behind `hickory_server::Server`.
//!
//! For programs that have a `Server` already, and as another way to the same
//! answers that a test holds ours against. The transports of this server are
//! its own: hickory's bound neither connections nor tasks, its QUIC shakes one
//! hand at a time, and its HTTPS has no GET.
//!
//! The core's octets cannot be handed to hickory, which encodes responses
//! itself: they are decoded and given to it record by record. What arrives
//! is the same message, except that hickory does not compress names against
//! the question and repeats the first owner in full.
//!
//! # What is absent
//!
//! Hickory reads messages before the core sees them, and answers what it
//! cannot read by itself: FORMERR without question and OPT. It bounds
//! neither connections nor tasks.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::ProtoError;
use hickory_proto::op::{
    Edns, Header, HeaderCounts, Message, MessageType, Metadata, OpCode, Query,
};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncoder};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use crate::answer::{self, Client, Transport, Verdict};
use crate::clock::Clock;
use crate::snapshot::{Moment, Snapshot};

/// Returns hickory's server, to which sockets are still to be given.
///
/// Whoever gives it sockets must do so inside a tokio runtime.
pub fn server(snapshot: Arc<ArcSwap<Snapshot>>, clock: Arc<Clock>) -> Server<impl RequestHandler> {
    Server::new(Handler { snapshot, clock })
}

//----------- Handler --------------------------------------------------------

struct Handler {
    snapshot: Arc<ArcSwap<Snapshot>>,
    clock: Arc<Clock>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        let response = {
            let snapshot = self.snapshot.load();
            respond(&snapshot, self.clock.now(), request)
        };
        let message = match response {
            Ok(Some(message)) => message,
            Ok(None) => return silent(),
            Err(error) => {
                // The core's own octets do not decode: a bug, not an input.
                tracing::error!(%error, "a response could not be handed over");
                return silent();
            }
        };
        let response = MessageResponseBuilder::new(&request.queries, message.edns.as_ref()).build(
            message.metadata,
            &message.answers,
            &message.authorities,
            [],
            &message.additionals,
        );
        match responder.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a response was not sent");
                silent()
            }
        }
    }
}

/// Answers a request; no message means that nothing is to be sent.
fn respond(
    snapshot: &Snapshot,
    now: Moment,
    request: &Request,
) -> Result<Option<Message>, ProtoError> {
    let client = client(request);
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut room = client.transport.room(request.edns.as_ref().map(|edns| edns.max_payload()));
    let limit = room;
    loop {
        let outcome = answer::answer(snapshot, &client, now, request.as_slice(), &mut out[..room]);
        let Verdict::Send(len) = outcome.verdict else {
            return Ok(None);
        };
        let message = decode(&out[..len])?;
        let excess = encoded_len(&message, request)?.saturating_sub(limit);
        if excess == 0 || message.metadata.truncation {
            if let Some(handed_out) = outcome.handed_out {
                handed_out.note(now.next_second(), 0);
            }
            return Ok(Some(message));
        }
        // Hickory's encoding is longer than the core's; less room makes the
        // core leave out what does not fit, by its own rules.
        room = len.saturating_sub(excess);
    }
}

/// Reads the core's octets back, whatever their records hold.
///
/// Zones may hold data that hickory does not take for data of its type, such
/// as none at all in the form of RFC 3597. Such a record is handed over as
/// one of an unknown type, whose data nobody looks into.
fn decode(octets: &[u8]) -> Result<Message, ProtoError> {
    if let Ok(message) = Message::from_vec(octets) {
        return Ok(message);
    }
    let mut decoder = BinDecoder::new(octets);
    let header = Header::read(&mut decoder)?;
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata = header.metadata;
    for _ in 0..header.counts.queries {
        message.add_query(Query::read(&mut decoder)?);
    }
    for _ in 0..header.counts.answers {
        message.answers.push(record(&mut decoder, octets)?);
    }
    for _ in 0..header.counts.authorities {
        message.authorities.push(record(&mut decoder, octets)?);
    }
    for _ in 0..header.counts.additionals {
        let record = record(&mut decoder, octets)?;
        match record.record_type() {
            RecordType::OPT => message.edns = Some(Edns::from(&record)),
            _ => message.additionals.push(record),
        }
    }
    Ok(message)
}

fn record<'o>(decoder: &mut BinDecoder<'o>, octets: &'o [u8]) -> Result<Record, ProtoError> {
    let start = decoder.index();
    if let Ok(record) = Record::read(decoder) {
        return Ok(record);
    }
    *decoder = BinDecoder::new(octets).clone(start as u16);
    let name = Name::read(decoder)?;
    let code = RecordType::read(decoder)?;
    let class = DNSClass::read(decoder)?;
    let ttl = decoder.read_u32()?.unverified();
    let length = decoder.read_u16()?.unverified();
    let data = decoder.read_slice(length.into())?.unverified();
    let rdata = RData::Unknown { code, rdata: NULL::with(data.to_vec()) };
    let mut record = Record::from_rdata(name, ttl, rdata);
    record.dns_class = class;
    Ok(record)
}

/// Returns the length that hickory's encoding of a message has, in octets.
fn encoded_len(message: &Message, request: &Request) -> Result<usize, ProtoError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_max_size(u16::MAX);
    MessageResponseBuilder::new(&request.queries, message.edns.as_ref())
        .build(message.metadata, &message.answers, &message.authorities, [], &message.additionals)
        .destructive_emit(&mut encoder)?;
    Ok(octets.len())
}

fn client(request: &Request) -> Client {
    let address: IpAddr = request.src().ip().to_canonical();
    let transport = match request.protocol() {
        Protocol::Udp => Transport::Udp,
        _ => Transport::Tcp,
    };
    Client { address, transport }
}

/// What hickory wants to hear of a request that gets no response.
fn silent() -> ResponseInfo {
    let metadata = Metadata::new(0, MessageType::Response, OpCode::Query);
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}
