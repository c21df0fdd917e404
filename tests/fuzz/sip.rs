//! What SIP endpoints send, over datagrams and streams.

use trunkdns::sip::message::{Frame, Malformed, Response, frame, parse};

/// Cuts octets into messages as a stream, and reads each, and all of them as
/// a datagram. What is read is read alike when it is written again.
pub fn sip(data: &[u8]) {
    let mut rest = data;
    while let Ok(Frame::Idle(len) | Frame::Whole(len)) = frame(rest) {
        assert!((1..=rest.len()).contains(&len), "{len} of {}", rest.len());
        check(&rest[..len]);
        rest = &rest[len..];
    }
    check(data);
}

fn check(message: &[u8]) {
    let Ok(Some(response)) = parse(message) else { return };
    assert!((100..700).contains(&response.code), "{response:?}");
    assert!(!response.reason.contains(char::is_control), "{response:?}");
    let again = parse(written(&response).as_bytes());
    assert_eq!(again, Ok::<_, Malformed>(Some(response)));
}

/// Writes what was read of a response.
fn written(response: &Response) -> String {
    let Response { code, reason, via, vias, call_id, cseq: (number, method), contact } = response;
    let mut text = format!("SIP/2.0 {code} {reason}\r\nVia: SIP/2.0/UDP a");
    text.extend(via.branch.iter().map(|branch| format!(";branch={branch}")));
    text.extend(via.received.iter().map(|received| format!(";received={received}")));
    text.extend(via.rport.iter().map(|rport| format!(";rport={rport}")));
    text.extend((1..*vias).map(|_| "\r\nVia: SIP/2.0/UDP b"));
    text += &format!("\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n");
    text.extend(contact.iter().map(|address| format!("Contact: <sip:[{address}]>\r\n")));
    text + "\r\n"
}
