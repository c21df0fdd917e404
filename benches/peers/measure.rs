//! The loads, and what is measured under each.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use super::generator::{Generator, Load, Outcome, Pace};
use super::judge::Table;
use super::servers::{Kind as ServerKind, Server, port_drops};
use super::tcp;
use super::world::{Kind, Question, SERVICE, World, query};

//----------- Drive ----------------------------------------------------------

/// A load by its name.
pub struct Drive {
    /// The name in tables.
    pub name: &'static str,

    /// What is asked.
    pub kind: Kind,

    /// How.
    pub way: Way,
}

impl Drive {
    /// Says whether it is of datagrams.
    pub fn is_udp(&self) -> bool {
        matches!(self.way, Way::Udp(_))
    }
}

/// How queries are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// In datagrams.
    Udp(Pace),

    /// Over connections that stay open.
    Pipelined,

    /// Over a connection each.
    Single,
}

/// As fast as they are answered.
pub const SATURATED: Way = Way::Udp(Pace::Window);

/// The load that is meant where none is named.
pub const MIX: &str = "mix";

/// The load of the latencies.
pub const STEADY: &str = "20,000 q/s";

/// The load that is too much for most.
pub const OVERLOAD: &str = "150,000 q/s";

/// All loads.
pub const DRIVES: [Drive; 10] = [
    Drive { name: MIX, kind: Kind::Mix, way: SATURATED },
    Drive { name: "EDNS", kind: Kind::Edns, way: SATURATED },
    Drive { name: "client subnet", kind: Kind::Subnet, way: SATURATED },
    Drive { name: "static SRV", kind: Kind::Static, way: SATURATED },
    Drive { name: "NXDOMAIN", kind: Kind::Missing, way: SATURATED },
    Drive { name: "94 labels", kind: Kind::Deep, way: SATURATED },
    Drive { name: STEADY, kind: Kind::Mix, way: Way::Udp(Pace::Rate(20_000)) },
    Drive { name: OVERLOAD, kind: Kind::Mix, way: Way::Udp(Pace::Rate(150_000)) },
    Drive { name: "TCP, pipelined", kind: Kind::Mix, way: Way::Pipelined },
    Drive { name: "TCP, a query each", kind: Kind::Mix, way: Way::Single },
];

//----------- Sample ---------------------------------------------------------

/// What a load cost a server once.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Processor time, user and system, in microseconds for each query that was
    /// answered.
    pub user: f64,
    pub system: f64,

    /// Queries that did not fit into the server's receive buffer.
    pub dropped: u64,

    /// All else.
    pub outcome: Outcome,
}

/// The questions of each kind, made once.
pub struct Loads<'w> {
    world: &'w World,
    questions: Vec<Vec<Question>>,
}

impl<'w> Loads<'w> {
    /// Makes them.
    pub fn new(world: &'w World) -> Self {
        let questions = DRIVES.iter().map(|drive| drive.kind.questions(world)).collect();
        Loads { world, questions }
    }

    /// Puts a load, by its number, on a server, which runs.
    pub fn measure(
        &self,
        generator: &mut Generator,
        server: &Server,
        drive: usize,
        time: Duration,
    ) -> Result<Sample, String> {
        let questions = &self.questions[drive];
        let table = match server.kind {
            ServerKind::Echo => Table::of_anything(),
            _ => Table::new(questions, server.kind.steering(), server.version()),
        };
        let way = DRIVES[drive].way;
        let mut run = |time| {
            let load = Load {
                server: server.address,
                clients: &self.world.clients,
                questions,
                pace: if let Way::Udp(pace) = way { pace } else { Pace::Window },
                count: u64::MAX,
                time,
                judge: &table,
            };
            let outcome = match way {
                Way::Udp(_) => Ok(generator.run(load)),
                Way::Pipelined => tcp::pipelined(load),
                Way::Single => tcp::one_a_connection(load),
            };
            outcome.map_err(|error| error.to_string())
        };
        // Code and tables become warm.
        run(time / 10)?;
        let port = server.address.port();
        let counters = Counters::read(server);
        let (drops, before) = (port_drops(port), server.cpu_time());
        let outcome = run(time)?;
        let (dropped, after) = (port_drops(port) - drops, server.cpu_time());
        if let (Some(before), Some(after)) = (counters, Counters::read(server)) {
            after.check(&before, &outcome, dropped, way)?;
        }
        let (user, system) = after.since(before);
        let each = |micros: f64| micros / outcome.received.max(1) as f64;
        let (user, system) = (each(user), each(system));
        Ok(Sample { user, system, dropped, outcome })
    }
}

//----------- Counters -------------------------------------------------------

/// What trunkdns has counted, by transport and name.
pub struct Counters(BTreeMap<(String, String), u64>);

impl Counters {
    /// Returns those of a server, if it is trunkdns. It is asked a question
    /// before, so that it learns what its buffer has dropped.
    pub fn read(server: &Server) -> Option<Self> {
        if !matches!(server.kind, ServerKind::Trunkdns(_)) {
            return None;
        }
        ask(server.address, Ipv4Addr::LOCALHOST, &query(SERVICE, 33, false, None)).ok()?;
        let mut counters = BTreeMap::new();
        for row in server.status()?["counters"].as_array()? {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let value = row["value"].as_u64()?;
            counters.insert((text("transport"), text("name")), value);
            if row["is-outcome"].as_bool()? {
                *counters.entry((text("transport"), "messages".into())).or_default() += value;
            }
        }
        Some(Counters(counters))
    }

    /// Says what does not fit with what a load sent and received since.
    pub fn check(
        &self,
        before: &Self,
        outcome: &Outcome,
        dropped: u64,
        way: Way,
    ) -> Result<(), String> {
        let (transport, dropped) = match way {
            Way::Udp(_) => ("udp", dropped),
            _ => ("tcp", 0),
        };
        // The question of `read` itself, which has records.
        let own = u64::from(transport == "udp");
        let since = |name: &str| {
            let key = (transport.to_owned(), name.to_owned());
            let of = |counters: &Self| counters.0.get(&key).copied().unwrap_or(0);
            of(self) - of(before)
        };
        let found = [outcome.received - outcome.missing, outcome.missing];
        for (name, expected) in [
            ("messages", outcome.sent - dropped + own),
            ("messages", outcome.received + own),
            ("answered", found[0] + own),
            ("no-name", found[1]),
            ("receive-drops", dropped),
            ("send-errors", 0),
            ("dropped", 0),
            ("panicked", 0),
        ] {
            if since(name) != expected {
                return Err(format!(
                    "{transport} {name}: {} counted, {expected} seen",
                    since(name)
                ));
            }
        }
        Ok(())
    }
}

//----------- Steadiness -----------------------------------------------------

/// How many questions are repeated, and how often.
const REPEATED: usize = 400;
const REPETITIONS: usize = 5;

/// Asks questions several times in a row; returns which share of the answers
/// differs from the one before to the very same question, in percent.
pub fn unsteadiness(server: &Server, world: &World) -> Result<f64, String> {
    let questions = Kind::Subnet.questions(world);
    let mut differ = 0;
    for (question, (client, _)) in questions.iter().zip(&world.clients).take(REPEATED) {
        let mut last = None;
        for _ in 0..REPETITIONS {
            let answer = ask(server.address, *client, &question.octets);
            let answer = answer.map_err(|error| error.to_string())?;
            differ += usize::from(last.is_some_and(|last| last != answer));
            last = Some(answer);
        }
    }
    Ok(differ as f64 * 100.0 / (REPEATED * (REPETITIONS - 1)) as f64)
}

fn ask(server: SocketAddrV4, client: Ipv4Addr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((client, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(query)?;
    let mut answer = vec![0; 1400];
    let len = socket.recv(&mut answer)?;
    answer.truncate(len);
    Ok(answer)
}
