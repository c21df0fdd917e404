//! What query and response say to each other beside question and records.

use std::net::IpAddr;

use super::{Cause, Client, Transport, UDP_PAYLOAD};
use crate::snapshot::{Moment, Settings};
use crate::wire::{EdnsQuery, EdnsReply, HEADER_LEN, Parsed, Presented, Rcode};

/// Says whether a message has a TCP keepalive option with a timeout, which is
/// malformed in a query over TCP (RFC 7828 section 3.2.1).
///
/// Over UDP the option is ignored, whatever it holds (section 3.3.1).
pub(super) fn has_idle_timeout(parsed: &Parsed<'_>) -> bool {
    let option = parsed.edns().and_then(|edns| edns.tcp_keepalive);
    option.is_some_and(|timeout| !timeout.is_empty())
}

/// The lengths that bound a response, in octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lens {
    /// Of the message that is answered.
    pub(super) message: usize,

    /// Of the buffer that the response is written to.
    pub(super) buffer: usize,
}

//----------- Exchange -------------------------------------------------------

/// What the options of a query come to, and how long its response may be.
#[derive(Clone, Debug)]
pub(super) struct Exchange<'a> {
    /// The OPT record of the response, where the query has one.
    pub(super) edns: Option<EdnsReply<'a>>,

    /// What the client knew of the server's cookie.
    pub(super) presented: Option<Presented>,

    /// The most octets that the response may have.
    pub(super) room: usize,

    /// The most octets that an error may have with what the client can do
    /// without.
    error_room: usize,
}

impl<'a> Exchange<'a> {
    /// Begins the response to a message with an OPT record or without.
    pub(super) fn new(
        settings: &'a Settings,
        client: &Client,
        now: Moment,
        query: Option<&EdnsQuery<'a>>,
        lens: Lens,
    ) -> Self {
        let mut exchange = Self::plain(client, lens);
        if let Some(query) = query {
            exchange.take_options(settings, client, now, (query, lens));
        }
        exchange
    }

    /// Begins the response to a message without an OPT record.
    #[inline]
    pub(super) fn plain(client: &Client, lens: Lens) -> Self {
        let mut exchange = Exchange { edns: None, presented: None, room: 0, error_room: 0 };
        exchange.bound(client.transport, None, lens);
        exchange
    }

    /// Sets how long the response may be; `payload` is what the client offers.
    fn bound(&mut self, transport: Transport, payload: Option<u16>, lens: Lens) {
        self.room = transport.room(payload).min(lens.buffer);
        // Whoever sends from an address that is not its own must not make us
        // send more there than it sent.
        let is_proven = self.has_cookie() || transport != Transport::Udp;
        self.error_room = if is_proven { self.room } else { self.room.min(lens.message) };
    }

    /// Takes up the OPT record of the message, and begins that of the response.
    // A call, so that what a query without one has not is not moved.
    #[inline(never)]
    pub(super) fn take_options(
        &mut self,
        settings: &'a Settings,
        client: &Client,
        now: Moment,
        (query, lens): (&EdnsQuery<'a>, Lens),
    ) {
        let edns = self.edns.insert(reply_edns(settings, client.transport, query));
        if let Some(cookie) = query.cookie {
            let now = now.second() as u32;
            let cookie = settings.cookie_secrets.check(cookie, client.address, now);
            edns.cookie = cookie.map(|cookie| cookie.wire);
            self.presented = cookie.map(|cookie| cookie.presented);
        }
        self.bound(client.transport, Some(query.payload), lens);
    }

    /// Says whether the client presented a valid server cookie: it receives
    /// what is sent to its address.
    pub(super) fn has_cookie(&self) -> bool {
        self.presented == Some(Presented::Valid)
    }

    /// Returns the address to steer by where the query has one.
    ///
    /// A prefix of length 0 opts out of it: the resolver's address steers, and
    /// the scope is 0 (RFC 7871 section 7.1.2).
    pub(super) fn steering_prefix(&self) -> Option<IpAddr> {
        let (subnet, _) = self.edns.as_ref()?.client_subnet?;
        subnet.prefix().map(|(address, _)| address)
    }

    /// Sets the scope prefix length of the client subnet option, in bits.
    pub(super) fn set_scope(&mut self, scope: u8) {
        let subnet = self.edns.as_mut().and_then(|edns| edns.client_subnet.as_mut());
        if let Some((_, current)) = subnet {
            *current = scope;
        }
    }

    /// Completes the OPT record of a response with this code and, in octets, this
    /// question, and returns it.
    ///
    /// The identity is left out where it does not fit. In an error over UDP it
    /// is, and so is what the error means, where the error would be longer than
    /// the message it answers. A fresh server cookie, 16 octets, is not: whoever
    /// has none must be able to get one (RFC 7873 section 5.2.3).
    pub(super) fn ending(
        &mut self,
        rcode: Rcode,
        question_len: usize,
        cause: Cause,
    ) -> Option<&EdnsReply<'a>> {
        let edns = self.edns.as_mut()?;
        edns.extended_error = cause.extended_error();
        let room = match rcode {
            Rcode::NXDOMAIN | Rcode::YXDOMAIN => self.room,
            Rcode::NOERROR if question_len > 0 => self.room,
            _ => self.error_room,
        };
        edns.shrink(room.saturating_sub(HEADER_LEN + question_len));
        Some(edns)
    }

    /// Completes the OPT record of a response that says only what its header and
    /// its question say: all is left out that the client can do without where
    /// the response would be longer than the message it answers.
    pub(super) fn short_ending(&mut self, question_len: usize) -> Option<&EdnsReply<'a>> {
        let edns = self.edns.as_mut()?;
        edns.shrink(self.error_room.saturating_sub(HEADER_LEN + question_len));
        Some(edns)
    }
}

/// Begins the OPT record of a response with all but its cookie.
fn reply_edns<'a>(
    settings: &'a Settings,
    transport: Transport,
    query: &EdnsQuery<'a>,
) -> EdnsReply<'a> {
    let mut reply = EdnsReply::new(query, UDP_PAYLOAD);
    reply.nsid = settings.identity.as_ref().filter(|_| query.nsid).map(|id| id.as_bytes());
    reply.client_subnet = reply.client_subnet.filter(|_| settings.client_subnet);
    // RFC 7828 section 3.3.2: never over UDP. Of the encrypted transports QUIC
    // forbids it (RFC 9250 section 5.5.2), and HTTP has its own.
    let is_asked = query.tcp_keepalive.is_some() && transport.is_tcp();
    reply.tcp_keepalive = Some(settings.tcp_keepalive).filter(|&idle| is_asked && idle > 0);
    // RFC 7830 section 4: where it was asked for; and section 6: padding that
    // everybody can see to be padding hides nothing.
    reply.padding = query.padding && transport.is_private();
    reply
}
