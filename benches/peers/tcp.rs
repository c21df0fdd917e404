//! The load over TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::check::Fault;
use super::generator::{Judge, Load, Outcome, Query, write_query};

/// Connections that are open at once.
const CONNECTIONS: usize = 20;

/// Queries under way in a connection that stays open.
const DEPTH: usize = 10;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks over connections that stay open, some queries at once in each.
pub fn pipelined<J: Judge>(mut load: Load<'_, J>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let start = Instant::now();
    let mut connections = Vec::new();
    for at in 0..CONNECTIONS {
        connections.push(Connection::open(load.clients[at], load.server)?);
    }
    while start.elapsed() < load.time && outcome.sent < load.count {
        for connection in &mut connections {
            connection.send(&mut load, &mut outcome, DEPTH)?;
        }
        for connection in &mut connections {
            connection.receive(&mut load, &mut outcome)?;
        }
    }
    finish(outcome, start)
}

/// Asks over a connection a query.
pub fn one_a_connection<J: Judge>(mut load: Load<'_, J>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let start = Instant::now();
    let mut clients = load.clients.iter().cycle();
    while start.elapsed() < load.time && outcome.sent < load.count {
        let mut connections = Vec::new();
        for client in clients.by_ref().take(CONNECTIONS) {
            let mut connection = Connection::open(*client, load.server)?;
            connection.send(&mut load, &mut outcome, 1)?;
            connections.push(connection);
        }
        for connection in &mut connections {
            connection.receive(&mut load, &mut outcome)?;
        }
    }
    finish(outcome, start)
}

fn finish(mut outcome: Outcome, start: Instant) -> io::Result<Outcome> {
    outcome.time = start.elapsed();
    outcome.latencies.sort_unstable();
    Ok(outcome)
}

//----------- Connection -----------------------------------------------------

struct Connection {
    stream: TcpStream,
    region: usize,

    /// The numbers of the queries that are under way.
    under_way: Vec<u64>,
    sent: Instant,
    received: Vec<u8>,
}

impl Connection {
    fn open((client, region): (Ipv4Addr, usize), server: SocketAddrV4) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddrV4::new(client, 0).into())?;
        socket.connect(&server.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (under_way, received) = (Vec::new(), Vec::new());
        Ok(Connection { stream, region, under_way, sent: Instant::now(), received })
    }

    fn send<J: Judge>(
        &mut self,
        load: &mut Load<'_, J>,
        outcome: &mut Outcome,
        count: usize,
    ) -> io::Result<()> {
        let mut octets = Vec::with_capacity(count * 100);
        let mut query = [0; 300];
        for _ in 0..count {
            let number = outcome.sent;
            let question = &load.questions[number as usize % load.questions.len()];
            let len = write_query(&mut query, question, number as u32);
            octets.extend((len as u16).to_be_bytes());
            octets.extend(&query[..len]);
            self.under_way.push(number);
            outcome.sent += 1;
        }
        self.sent = Instant::now();
        self.stream.write_all(&octets)
    }

    /// Receives the answers to all that is under way, in whatever order.
    fn receive<J: Judge>(
        &mut self,
        load: &mut Load<'_, J>,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let mut buffer = [0; 8192];
        while !self.under_way.is_empty() {
            let len = self.stream.read(&mut buffer)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend(&buffer[..len]);
            while let Some((head, rest)) = self.received.split_first_chunk() {
                let len = usize::from(u16::from_be_bytes(*head));
                let Some(answer) = rest.get(..len) else { break };
                let id = answer.first_chunk().map(|id| u16::from_be_bytes(*id));
                let at = self.under_way.iter().position(|number| Some(*number as u16) == id);
                match at.map(|at| self.under_way.swap_remove(at)) {
                    Some(number) => {
                        let question = number as usize % load.questions.len();
                        let mut query = [0; 300];
                        let len = write_query(&mut query, &load.questions[question], number as u32);
                        let (region, octets) = (self.region, &query[..len]);
                        let asked = Query { question, region, note: 0, octets };
                        let verdict = load.judge.judge(asked, answer);
                        outcome.note(answer, verdict, self.sent.elapsed().as_nanos() as u64);
                    }
                    None => *outcome.wrong.entry(Fault::Unasked).or_default() += 1,
                }
                self.received.drain(..2 + len);
            }
        }
        Ok(())
    }
}
