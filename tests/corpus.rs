//! Packets that others fuzzed servers with, sent to the real server over UDP
//! and TCP: each is answered or dropped as the RFCs say.
//!
//! The packets are others' and stay out of this repository.

#[path = "fuzz/decoders.rs"]
mod decoders;
#[path = "support/server.rs"]
mod server;
#[path = "support/shared.rs"]
mod shared;

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use decoders::Seen;
use server::{Server, read_framed};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest datagram that is answered, in octets.
const DATAGRAM_MAX: usize = 4_096;

/// A query that is always answered, behind its ID.
const SENTINEL: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\x07carrier\x07example\x03com\0\0\x06\0\x01";

#[test]
fn packets_of_other_fuzzers_are_answered_or_dropped_rightly_over_udp_and_tcp() {
    let Some(packets) = packets() else { return };
    let server = Server::example();
    let (mut udp, mut tcp) = (Udp::new(&server), Tcp::new(&server));
    for packet in &packets {
        let over_tcp = tcp.ask(packet);
        judge(packet, over_tcp.as_deref());
        let over_udp = udp.ask(packet);
        if packet.len() > DATAGRAM_MAX {
            assert_eq!(over_udp, None, "longer than any query");
            continue;
        }
        judge(packet, over_udp.as_deref());
        let codes = [over_udp, over_tcp].map(|reply| reply.map(|octets| octets[3] & 0x0f));
        assert_eq!(codes[0], codes[1], "{}", shown(packet));
    }
    // The same process, which has counted each of them once, and sentinels.
    let status = server.status();
    let counters = status["counters"].as_array().unwrap();
    for transport in ["udp", "tcp"] {
        let own = counters.iter().filter(|count| count["transport"] == transport);
        let outcomes = own.filter(|count| count["is-outcome"] == true);
        let sum: u64 = outcomes.map(|count| count["value"].as_u64().unwrap()).sum();
        assert_eq!(sum, 2 * packets.len() as u64, "{transport}");
    }
}

/// Returns all packets, and each that is no query as one.
fn packets() -> Option<Vec<Vec<u8>>> {
    let octets = shared::octets("corpus/dns-packets.bin.gz")?;
    let mut rest = &octets[..];
    let mut packets = Vec::new();
    while let Some((len, behind)) = rest.split_first_chunk() {
        let (packet, behind) = behind.split_at(usize::from(u16::from_be_bytes(*len)));
        packets.push(packet.to_vec());
        if let [id_0, id_1, flags, tail @ ..] = packet {
            packets.push([&[*id_0, *id_1, flags & 0x07], tail].concat());
        }
        rest = behind;
    }
    assert!(rest.is_empty() && packets.len() > 600, "{} packets", packets.len());
    Some(packets)
}

/// Checks that a packet got what it should.
fn judge(packet: &[u8], reply: Option<&[u8]>) {
    let is_response = packet.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let Some(reply) = reply else {
        // There is nobody to answer to, or it could go on for ever.
        assert!(packet.len() < 12 || is_response, "dropped: {}", shown(packet));
        return;
    };
    assert!(packet.len() >= 12 && !is_response, "answered: {}", shown(packet));
    let seen = decoders::read(reply);
    let opcode = packet[2] >> 3 & 0x0f;
    assert_eq!(reply[..2], packet[..2], "the ID");
    assert_eq!((seen.flags.response, seen.opcode), (true, opcode), "{}", shown(packet));
    assert!(!seen.flags.recursion_available && !seen.flags.authentic_data);
    assert!(expected(packet, opcode).contains(&seen.rcode), "{}: {}", seen.rcode, shown(packet));
}

/// Returns the first octets of a packet in hexadecimal.
fn shown(packet: &[u8]) -> String {
    packet.iter().take(200).map(|octet| format!("{octet:02x}")).collect()
}

/// Returns the response codes that a message may get, as two decoders read it.
fn expected(packet: &[u8], opcode: u8) -> &'static [u16] {
    const NOTIMP: &[u16] = &[4];
    const FORMERR: &[u16] = &[1, 16];
    // Never SERVFAIL. Whether options and TSIG are well-formed is not told apart.
    const ANY_OTHER: &[u16] = &[0, 1, 3, 5, 9, 16];
    if opcode != 0 {
        return NOTIMP;
    }
    let is_query = |seen: &Seen| {
        let [answer, ..] = &seen.sections;
        seen.questions.len() == 1 && answer.is_empty()
    };
    match decoders::by_domain(packet) {
        Ok(seen) if is_query(&seen) => ANY_OTHER,
        // A cookie can be asked for alone.
        Ok(seen) if seen.questions.is_empty() && seen.opt.is_some() => ANY_OTHER,
        _ => FORMERR,
    }
}

//----------- Asking ---------------------------------------------------------

struct Udp(UdpSocket);

impl Udp {
    fn new(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Udp(socket)
    }

    /// Asks; one socket's datagrams are answered in order.
    fn ask(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let sentinel = sentinel(packet);
        self.0.send(packet).unwrap();
        self.0.send(&sentinel).unwrap();
        collect(&sentinel, || {
            let mut octets = vec![0; 65_535];
            let len = self.0.recv(&mut octets).expect("an answer");
            octets.truncate(len);
            octets
        })
    }
}

struct Tcp(TcpStream);

impl Tcp {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Tcp(stream)
    }

    fn ask(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        use std::io::Write;
        let sentinel = sentinel(packet);
        self.0.write_all(&[server::framed(packet), server::framed(&sentinel)].concat()).unwrap();
        collect(&sentinel, || read_framed(&mut self.0).expect("an answer"))
    }
}

/// Returns a query whose ID is not the packet's.
fn sentinel(packet: &[u8]) -> Vec<u8> {
    let first = packet.first().map_or(0, |octet| !octet);
    [&[first, 0x5e], SENTINEL].concat()
}

/// Receives until the answer to a sentinel; returns what came before it.
fn collect(sentinel: &[u8], mut receive: impl FnMut() -> Vec<u8>) -> Option<Vec<u8>> {
    let mut reply = None;
    loop {
        let octets = receive();
        if octets[..2] == sentinel[..2] {
            return reply;
        }
        assert!(reply.is_none(), "two answers");
        reply = Some(octets);
    }
}
