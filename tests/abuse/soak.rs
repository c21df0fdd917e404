//! Mutated packets, as many as one likes, against a real server.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each binary uses its part")]

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::mutate::Mutator;
use crate::process::Process;
use crate::server::{Server, framed, read_framed};

/// Messages that are under way at once: fewer than any receive buffer holds,
/// so that none is lost and all of them meet the server.
const WINDOW: u64 = 64;

/// Windows after which a connection is left in the middle of a message.
const WINDOWS_PER_CONNECTION: u64 = 50;

/// The longest datagram that is sent, in octets: longer ones are not looked at.
const DATAGRAM_MAX: usize = 4_096;

/// A query that is always answered.
const SENTINEL: &[u8] =
    b"\x5e\x5e\0\0\0\x01\0\0\0\0\0\0\x07carrier\x07example\x03com\0\0\x06\0\x01";

/// What came of it.
#[derive(Debug)]
pub struct Soak {
    pub sent: u64,
    pub replies: u64,

    /// Memory in KiB, after a tenth of it and at its end.
    pub resident: [u64; 2],
}

/// Sends mutated datagrams.
pub fn over_udp(server: &Server, count: u64) -> Soak {
    let mut mutator = Mutator::new("query", seeds());
    datagrams(server, count, || mutator.next())
}

/// Asks for names that do not exist, each but once.
pub fn missing_names(server: &Server, count: u64) -> Soak {
    let mut number = 0_u64;
    datagrams(server, count, || {
        number += 1;
        let label = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        [&SENTINEL[..2], b"\0\0\0\x01\0\0\0\0\0\0\x10", label.as_bytes(), &SENTINEL[12..]].concat()
    })
}

fn datagrams(server: &Server, count: u64, next: impl FnMut() -> Vec<u8>) -> Soak {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let expected = server.udp(SENTINEL);
    let mut octets = vec![0; 65_535];
    soak(server, count, next, |messages| {
        for message in messages {
            socket.send(&message[..message.len().min(DATAGRAM_MAX)]).unwrap();
        }
        socket.send(SENTINEL).unwrap();
        let mut replies = 0;
        loop {
            let len = socket.recv(&mut octets).expect("the server does not answer");
            assert!(octets[2] & 0x80 != 0, "a reply that is no response");
            if octets[..len] == expected[..] {
                return replies;
            }
            replies += 1;
        }
    })
}

/// Sends messages over connections, some of which end in the middle of one.
pub fn over_tcp(server: &Server, count: u64) -> Soak {
    let connect = || {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let expected = server.tcp(SENTINEL);
    let (mut stream, mut windows) = (connect(), 0);
    let mut mutator = Mutator::new("query", seeds());
    let next = || mutator.next();
    soak(server, count, next, |messages| {
        windows += 1;
        if windows % WINDOWS_PER_CONNECTION == 0 {
            let _ = stream.write_all(&[0xff, 0xff, 0]);
            stream = connect();
        }
        let mut batch: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        batch.extend(framed(SENTINEL));
        stream.write_all(&batch).unwrap();
        let mut replies = 0;
        loop {
            let reply = read_framed(&mut stream).expect("the server does not answer");
            assert!(reply[2] & 0x80 != 0, "a reply that is no response");
            if reply == expected {
                return replies;
            }
            replies += 1;
        }
    })
}

/// Sends `count` messages by windows.
fn soak(
    server: &Server,
    count: u64,
    mut next: impl FnMut() -> Vec<u8>,
    mut send: impl FnMut(&[Vec<u8>]) -> u64,
) -> Soak {
    let process = Process(server.id());
    let (mut sent, mut replies, mut early) = (0, 0, None);
    while sent < count {
        let window = WINDOW.min(count - sent);
        let messages: Vec<_> = (0..window).map(|_| next()).collect();
        replies += send(&messages);
        sent += window;
        if sent >= count / 10 {
            early.get_or_insert_with(|| process.resident());
        }
    }
    let end = process.resident();
    Soak { sent, replies, resident: [early.unwrap_or(end), end] }
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/query");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}
