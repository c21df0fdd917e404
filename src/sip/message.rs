//! SIP messages: the OPTIONS request, and what of responses decides.
//!
//! The request is what a platform sends to see whether a trunk is alive (RFC
//! 3261 section 11). Of a response, the status line and the headers are read
//! that say which request it belongs to, and whether somebody on the way
//! changed addresses; the rest is passed over, the body unread.
//!
//! Responses come from strangers: lengths are bounded, anything may be
//! refused, and texts that are shown hold no control characters.

use std::net::{IpAddr, SocketAddr};

use super::Transport;

/// The most octets of a message's head.
///
/// An answer to OPTIONS has some 500 octets, with a generous Allow and Accept
/// 1 KiB.
pub const HEAD_MAX: usize = 16 << 10;

/// The most octets of a body that is passed over.
pub const BODY_MAX: usize = 64 << 10;

/// The most characters of a text that is shown.
const TEXT_MAX: usize = 80;

/// What every branch begins with (RFC 3261 section 8.1.1.7).
const BRANCH_COOKIE: &str = "z9hG4bK";

//----------- Transaction ----------------------------------------------------

/// One OPTIONS request, however often it is sent.
#[derive(Clone, Debug)]
pub struct Transaction {
    branch: String,
    tag: String,
    call_id: String,
    cseq: u32,
}

impl Transaction {
    /// Begins a transaction that random octets tell from all others.
    pub fn new(random: [u8; 24]) -> Self {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let (branch, rest): (String, _) = (hex(&random[..8]), &random[8..]);
        let (tag, call_id) = (hex(&rest[..4]), hex(&rest[4..]));
        // RFC 3261 section 8.1.1.5 wants it below 2^31; one request is sent.
        Transaction { branch: format!("{BRANCH_COOKIE}{branch}"), tag, call_id, cseq: 1 }
    }

    /// Returns the request.
    pub fn request(&self, uri: &str, transport: Transport, local: SocketAddr) -> Vec<u8> {
        let Transaction { branch, tag, call_id, cseq } = self;
        let (via, parameter) = (transport.via(), transport.parameter());
        let (host, release) = (bracketed(local.ip()), env!("CARGO_PKG_VERSION"));
        // `rport` has the answer come back to the port that the request came
        // from, through whatever translates addresses (RFC 3581 section 3).
        let head = [
            format!("OPTIONS {uri} SIP/2.0"),
            format!("Via: SIP/2.0/{via} {local};branch={branch};rport"),
            "Max-Forwards: 70".to_owned(),
            format!("From: <sip:trunkdns@{host}>;tag={tag}"),
            format!("To: <{uri}>"),
            format!("Call-ID: {call_id}@{host}"),
            format!("CSeq: {cseq} OPTIONS"),
            format!("Contact: <sip:trunkdns@{local}{parameter}>"),
            "Accept: application/sdp".to_owned(),
            format!("User-Agent: trunkdns/{release}"),
            "Content-Length: 0".to_owned(),
        ];
        (head.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    /// Says whether a response is one to this request (RFC 3261 section
    /// 17.1.3): the branch and the method decide, and the Call-ID beside.
    ///
    /// One with several Via values went astray (section 8.1.3.3).
    pub fn owns(&self, response: &Response) -> bool {
        let call_id = response.call_id.split('@').next();
        response.vias == 1
            && response.via.branch.as_deref() == Some(&self.branch)
            && call_id == Some(&self.call_id)
            && response.cseq == (self.cseq, "OPTIONS".to_owned())
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

//----------- Response -------------------------------------------------------

/// What is read of a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The status code, from 100 to 699.
    pub code: u16,

    /// The reason phrase, fit to be shown.
    pub reason: String,

    /// The first Via value.
    pub via: Via,

    /// How many Via values there are.
    pub vias: usize,

    /// The Call-ID.
    pub call_id: String,

    /// The number and the method of CSeq.
    pub cseq: (u32, String),

    /// The address of the first Contact, where it is one and no name.
    pub contact: Option<IpAddr>,
}

impl Response {
    /// Says whether another response follows it.
    pub fn is_provisional(&self) -> bool {
        self.code < 200
    }
}

/// A Via value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Via {
    /// `branch`
    pub branch: Option<String>,

    /// `received`: the address that the request came from, where it is not
    /// the one it says.
    pub received: Option<IpAddr>,

    /// `rport`: the port that it came from.
    pub rport: Option<u16>,
}

/// Reads a whole message; nothing if it is a request.
pub fn parse(message: &[u8]) -> Result<Option<Response>, Malformed> {
    let head = head(message)?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let Some(status) = strip_version(first) else {
        let is_request =
            first.rsplit(' ').next().is_some_and(|last| last.eq_ignore_ascii_case(VERSION));
        return if is_request { Ok(None) } else { Err(Malformed::StatusLine) };
    };
    let (code, reason) = status_line(status)?;
    let headers = Headers::read(lines)?;
    let vias: Vec<_> = headers.values("via", "v").flat_map(split_list).collect();
    let via = read_via(vias.first().ok_or(Malformed::Missing("Via"))?)?;
    let call_id = headers.first("call-id", "i").filter(|call_id| is_token(call_id));
    let call_id = call_id.ok_or(Malformed::Missing("Call-ID"))?.to_owned();
    let cseq = headers.first("cseq", "cseq").ok_or(Malformed::Missing("CSeq"))?;
    let cseq = read_cseq(cseq).ok_or(Malformed::CSeq)?;
    let contact = headers.first("contact", "m").and_then(host_address);
    Ok(Some(Response { code, reason, via, vias: vias.len(), call_id, cseq, contact }))
}

const VERSION: &str = "SIP/2.0";

fn strip_version(line: &str) -> Option<&str> {
    let (version, rest) = line.split_at_checked(VERSION.len())?;
    version.eq_ignore_ascii_case(VERSION).then_some(rest)
}

/// Reads what stands behind the version: a code of three digits and a phrase,
/// which may be empty.
fn status_line(text: &str) -> Result<(u16, String), Malformed> {
    let rest = text.strip_prefix(' ').ok_or(Malformed::StatusLine)?;
    let (digits, reason) = rest.split_at_checked(3).ok_or(Malformed::StatusLine)?;
    let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
    let code = digits.parse().ok().filter(|code| is_number && (100..700).contains(code));
    let is_apart = reason.is_empty() || reason.starts_with(' ');
    match code {
        Some(code) if is_apart => Ok((code, shown(reason.trim()))),
        _ => Err(Malformed::StatusLine),
    }
}

/// Returns a text of a stranger's that can be shown: on one line, and short.
fn shown(text: &str) -> String {
    let shown: String = text.chars().filter(|character| !character.is_control()).collect();
    let shown: String = shown.trim_start().chars().take(TEXT_MAX).collect();
    shown.trim_end().to_owned()
}

/// Reads a Via value (RFC 3261 section 20.42); white space may stand nearly
/// anywhere.
fn read_via(value: &str) -> Result<Via, Malformed> {
    let mut parts = value.split(';').map(str::trim);
    let protocol: String = parts.next().unwrap_or_default().split_whitespace().collect();
    if strip_version(&protocol).is_none_or(|rest| !rest.starts_with('/')) {
        return Err(Malformed::Via);
    }
    let mut via = Via::default();
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "branch" if is_token(value) => via.branch = Some(value.to_owned()),
            "branch" => return Err(Malformed::Via),
            "received" => via.received = address(value),
            "rport" => via.rport = value.parse().ok(),
            _ => {}
        }
    }
    Ok(via)
}

fn read_cseq(value: &str) -> Option<(u32, String)> {
    let (number, method) = value.split_once([' ', '\t'])?;
    let method = method.trim();
    Some((number.parse().ok()?, method.to_owned())).filter(|_| is_token(method))
}

/// Says whether a text is one word: a token (RFC 3261 section 25.1) or, in a
/// Call-ID, something that cannot be taken for two.
fn is_token(text: &str) -> bool {
    let parts = |character: char| character.is_whitespace() || ",;\"".contains(character);
    !text.is_empty() && !text.contains(|character: char| character.is_control() || parts(character))
}

/// Returns the address of a URI in a header such as `<sip:sbc1@192.0.2.1:5060>`.
fn host_address(value: &str) -> Option<IpAddr> {
    let (_, uri) = value.split_once("sip:").or_else(|| value.split_once("sips:"))?;
    let uri = uri.split(['>', ';', '?', ',']).next()?;
    let host = uri.rsplit('@').next()?;
    match host.starts_with('[') {
        true => address(&host[..=host.find(']')?]),
        false => address(host.split(':').next()?),
    }
}

/// Reads an address; one of IPv6 may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

//----------- Headers --------------------------------------------------------

/// The header fields of a message, names in lower case.
struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads the lines behind the first one. A line that begins with white
    /// space goes on with the one before (RFC 3261 section 7.3.1).
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, Malformed> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                let (_, value) = fields.last_mut().ok_or(Malformed::Header)?;
                *value += " ";
                *value += line.trim();
                continue;
            }
            let (name, value) = line.split_once(':').ok_or(Malformed::Header)?;
            let name = name.trim_end();
            if !is_token(name) {
                return Err(Malformed::Header);
            }
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Headers(fields))
    }

    /// Returns the values of a header by its name and its compact form (RFC
    /// 3261 section 7.3.3).
    fn values(&self, name: &str, compact: &str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(own, _)| own == name || own == compact);
        fields.map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str, compact: &str) -> Option<&str> {
        self.values(name, compact).next()
    }
}

/// Splits a list at its commas, those in quotes aside.
fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

//----------- Frame ----------------------------------------------------------

/// What a stream holds at its beginning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame {
    /// Not yet a whole message.
    Part,

    /// Line ends that keep the connection open (RFC 5626 section 3.5.1), so
    /// many octets.
    Idle(usize),

    /// A message of so many octets.
    Whole(usize),
}

/// Finds where the first message of a stream ends (RFC 3261 section 18.3).
pub fn frame(stream: &[u8]) -> Result<Frame, Malformed> {
    let idle = stream.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    if idle > 0 {
        return Ok(Frame::Idle(idle));
    }
    let Some(end) = end_of_head(stream) else {
        return if stream.len() > HEAD_MAX { Err(Malformed::TooLong) } else { Ok(Frame::Part) };
    };
    let head = head(stream)?;
    let headers = Headers::read(head.split("\r\n").skip(1))?;
    let len = headers.first("content-length", "l").ok_or(Malformed::Missing("Content-Length"))?;
    let len: usize = len.parse().map_err(|_| Malformed::Header)?;
    if len > BODY_MAX {
        return Err(Malformed::TooLong);
    }
    Ok(if stream.len() < end + len { Frame::Part } else { Frame::Whole(end + len) })
}

/// Returns the head of a message without its end.
fn head(message: &[u8]) -> Result<&str, Malformed> {
    let end = end_of_head(message).ok_or(Malformed::NoEnd)?;
    if end > HEAD_MAX {
        return Err(Malformed::TooLong);
    }
    // SIP is UTF-8 (RFC 3261 section 7).
    str::from_utf8(&message[..end - 4]).map_err(|_| Malformed::NotText)
}

fn end_of_head(message: &[u8]) -> Option<usize> {
    let at = message.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

//============ Errors ========================================================

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// CSeq is not a number and a method.
    CSeq,

    /// A header line has no colon, or a length that is no number.
    Header,

    /// A header is missing that every message needs.
    Missing(&'static str),

    /// There is no empty line behind the headers.
    NoEnd,

    /// The head is not UTF-8.
    NotText,

    /// The first line is neither that of a response nor of a request.
    StatusLine,

    /// It is longer than anybody needs.
    TooLong,

    /// Via does not begin with a protocol.
    Via,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::CSeq => f.write_str("its CSeq is not a number and a method"),
            Malformed::Header => f.write_str("a header line cannot be read"),
            Malformed::Missing(name) => write!(f, "it has no {name}"),
            Malformed::NoEnd => f.write_str("its head does not end"),
            Malformed::NotText => f.write_str("its head is not UTF-8"),
            Malformed::StatusLine => f.write_str("it does not begin with a status line"),
            Malformed::TooLong => f.write_str("it is too long"),
            Malformed::Via => f.write_str("its Via cannot be read"),
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "SIP/2.0 200 OK\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:49152;branch=z9hG4bK0001020304050607;rport=1024;\
        received=203.0.113.9\r\n\
        From: <sip:trunkdns@192.0.2.1>;tag=08090a0b\r\n\
        To: <sip:carrier.example.com>;tag=1\r\n\
        Call-ID: 0c0d0e0f1011121314151617@192.0.2.1\r\n\
        CSeq: 1 OPTIONS\r\n\
        Contact: \"a, b\" <sip:10.0.0.1:5060>\r\n\
        Content-Length: 0\r\n\r\n";

    fn transaction() -> Transaction {
        Transaction::new(std::array::from_fn(|at| at as u8))
    }

    fn read(text: &str) -> Response {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_request_has_what_rfc_3261_wants_of_it() {
        let local = "[2001:db8::1]:49152".parse().unwrap();
        let request = transaction().request("sip:carrier.example.com", Transport::Tls, local);
        let expected = "OPTIONS sip:carrier.example.com SIP/2.0\r\n\
            Via: SIP/2.0/TLS [2001:db8::1]:49152;branch=z9hG4bK0001020304050607;rport\r\n\
            Max-Forwards: 70\r\n\
            From: <sip:trunkdns@[2001:db8::1]>;tag=08090a0b\r\n\
            To: <sip:carrier.example.com>\r\n\
            Call-ID: 0c0d0e0f1011121314151617@[2001:db8::1]\r\n\
            CSeq: 1 OPTIONS\r\n\
            Contact: <sip:trunkdns@[2001:db8::1]:49152;transport=tls>\r\n\
            Accept: application/sdp\r\n\
            User-Agent: trunkdns/0.1.0\r\n\
            Content-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn a_response_is_read_and_belongs_to_its_request() {
        let response = read(ANSWER);
        assert_eq!((response.code, &*response.reason), (200, "OK"));
        assert_eq!(response.via.received, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(response.via.rport, Some(1024));
        assert_eq!(response.contact, Some("10.0.0.1".parse().unwrap()));
        assert!(transaction().owns(&response));
    }

    #[test]
    fn a_response_to_another_request_is_not_taken() {
        for (from, to) in [
            ("z9hG4bK0001", "z9hG4bKffff"),
            ("Call-ID: 0c", "Call-ID: ff"),
            ("CSeq: 1", "CSeq: 2"),
            ("1 OPTIONS", "1 INVITE"),
            ("From:", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKa\r\nFrom:"),
        ] {
            assert!(!transaction().owns(&read(&ANSWER.replace(from, to))), "{to}");
        }
    }

    #[test]
    fn compact_folded_and_oddly_spaced_headers_are_read() {
        let text = ANSWER
            .replace("Via: SIP/2.0/UDP 192.0.2.1:49152;", "v : SIP / 2.0 / UDP\r\n  192.0.2.1 ; ")
            .replace("Call-ID:", "i:")
            .replace("CSeq: 1 OPTIONS", "CSEQ:\t1  OPTIONS")
            .replace("Contact:", "m:");
        assert_eq!(read(&text), read(ANSWER));
    }

    #[test]
    fn what_is_shown_of_a_reason_cannot_steer_a_terminal() {
        let text = ANSWER.replace("OK", &format!("\x1b[2JNo{}", "o".repeat(500)));
        assert_eq!(read(&text).reason.chars().count(), TEXT_MAX);
        assert!(read(&text).reason.starts_with("[2JNooo"));
        assert_eq!(read(&ANSWER.replace(" OK", "")).reason, "");
    }

    #[test]
    fn what_is_no_response_is_refused_by_its_cause() {
        let refused = |from: &str, to: &str| parse(ANSWER.replacen(from, to, 1).as_bytes());
        for (from, to, cause) in [
            ("SIP/2.0 200", "SIP/2.0 20", Malformed::StatusLine),
            ("SIP/2.0 200", "SIP/2.0 999", Malformed::StatusLine),
            ("SIP/2.0 200", "SIP/2.0 +20", Malformed::StatusLine),
            ("SIP/2.0 200", "HTTP/1.1 200", Malformed::StatusLine),
            ("Via: SIP/2.0", "Via: HTTP/1.1", Malformed::Via),
            ("Via:", "Vie:", Malformed::Missing("Via")),
            ("Call-ID:", "Call:", Malformed::Missing("Call-ID")),
            ("CSeq: 1", "CSeq: one", Malformed::CSeq),
            ("From:", "From", Malformed::Header),
            ("\r\n\r\n", "\r\n", Malformed::NoEnd),
        ] {
            assert_eq!(refused(from, to), Err(cause), "{to}");
        }
        assert_eq!(parse(b"\xff\r\n\r\n"), Err(Malformed::NotText));
        assert_eq!(parse(b"OPTIONS sip:a SIP/2.0\r\n\r\n"), Ok(None));
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let with_body = ANSWER.replace("Content-Length: 0", "l: 4") + "v=0\n";
        let octets = with_body.as_bytes();
        assert_eq!(frame(octets), Ok(Frame::Whole(octets.len())));
        for len in 0..octets.len() {
            assert_eq!(frame(&octets[..len]), Ok(Frame::Part), "{len}");
        }
        assert_eq!(frame(b"\r\n\r\nSIP"), Ok(Frame::Idle(4)));
    }

    #[test]
    fn a_stream_that_never_ends_a_message_is_refused() {
        assert_eq!(frame(&vec![b'a'; HEAD_MAX + 1]), Err(Malformed::TooLong));
        let endless = ANSWER.replace("Length: 0", "Length: 99999999");
        assert_eq!(frame(endless.as_bytes()), Err(Malformed::TooLong));
        let unknown = ANSWER.replace("Content-Length: 0\r\n", "");
        assert_eq!(frame(unknown.as_bytes()), Err(Malformed::Missing("Content-Length")));
    }
}
