//! Strict resolvers find everything: Unbound with every hardening that it has,
//! and BIND.
//!
//! They are asked for every name and type of the zones, and have to come to
//! what the server says when it is asked directly.

#[path = "fuzz/decoders.rs"]
mod decoders;
#[path = "support/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use decoders::Seen;
use server::{Resolver, Server, framed, has_address, installed, project, read_framed};
use socket2::{Domain, Socket, Type};
use trunkdns::config::read_regions;
use trunkdns::daemon::load::compile_texts;
use trunkdns::diag::{Report, Sources};
use trunkdns::snapshot::{Status, Zone};
use trunkdns::state::Tables;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where resolvers ask from, which is an address of us-west in the example.
const SOURCE: &str = "127.0.12.1";

const RICH: &str = include_str!("data/rich.zone");

#[test]
fn unbound_with_strict_names_and_hardening_resolves_the_shipped_example() {
    if !installed("unbound") || !has_address(SOURCE) {
        return;
    }
    let server = Server::example();
    let resolver = Resolver::start(SOURCE, "carrier.example.com.", server.address);
    compare(&server, resolver.address, &example(), 100);
}

#[test]
fn unbound_with_strict_names_and_hardening_resolves_one_of_everything() {
    if !installed("unbound") || !has_address(SOURCE) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = serve_rich(folder.path(), "127.0.0.1");
    let resolver = Resolver::start(SOURCE, "rich.example.", server.address);
    compare(&server, resolver.address, &rich(), 300);
}

#[test]
fn bind_with_strict_names_resolves_one_of_everything() {
    if !installed("named") || !has_address(SOURCE) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // BIND asks the port that it listens on, and listens on addresses alone that
    // an interface has.
    let server = serve_rich(folder.path(), "127.0.0.2");
    let resolver = Bind::start(folder.path(), "rich.example", server.address);
    compare(&server, resolver.address, &rich(), 300);
}

//----------- Zones ----------------------------------------------------------

fn serve_rich(folder: &Path, address: &str) -> Server {
    let zone = folder.join("zones/rich.example");
    std::fs::create_dir_all(&zone).unwrap();
    std::fs::write(zone.join("records.zone"), RICH).unwrap();
    std::fs::write(folder.join("regions.toml"), "default = 'a'\n[regions.a]\n").unwrap();
    let config = format!(
        "[server]\nlisten = ['{address}:0']\nwatch = false\n[geoip]\ndatabases = []\n\
         regions = 'regions.toml'\n"
    );
    let path = folder.join("trunkdns.toml");
    std::fs::write(&path, config).unwrap();
    Server::start(&path)
}

fn rich() -> Arc<Zone> {
    compile("rich.example", vec![("records.zone", RICH.to_owned())], "default = 'a'\n[regions.a]\n")
}

fn example() -> Arc<Zone> {
    let read = |path: &str| std::fs::read_to_string(project().join(path)).unwrap();
    let files = ["zone.toml", "priorities.toml", "records.zone"];
    let text = |name: &'static str| (name, read(&format!("zones/carrier.example.com/{name}")));
    compile("carrier.example.com", files.map(text).into(), &read("geoip/regions.toml"))
}

fn compile(origin: &str, files: Vec<(&str, String)>, regions: &str) -> Arc<Zone> {
    let path = Path::new("regions.toml");
    let mut sources = Sources::of_texts([(path.to_owned(), Arc::from(regions))]);
    let regions = read_regions(&mut sources, path, &mut Report::default()).unwrap();
    let folder = Path::new(origin);
    let files = files.into_iter().map(|(name, text)| (folder.join(name), Arc::from(text)));
    let tables = Tables::new(folder.to_owned(), files);
    compile_texts(&tables, &regions, 1).unwrap()
}

//----------- Comparing ------------------------------------------------------

/// Asks a resolver for everything that a server answers for by itself.
fn compare(server: &Server, resolver: SocketAddr, zone: &Zone, least: usize) {
    let (mut direct, mut indirect) = (connect(server.address), connect(resolver));
    let mut count = 0;
    let mut complaints = String::new();
    for (name, qtype) in questions(zone) {
        let question = [&name[..], &qtype.to_be_bytes(), &[0, 1]].concat();
        let own = ask(&mut direct, &question);
        if !is_whole(&own, qtype) {
            continue;
        }
        count += 1;
        let found = ask(&mut indirect, &question);
        if (own.rcode, records(&own)) != (found.rcode, records(&found)) {
            complaints += &format!(
                "{} {qtype}: rcode {} and {} records, through the resolver {} and {}\n",
                decoders::name(&name),
                own.rcode,
                own.sections[0].len(),
                found.rcode,
                found.sections[0].len()
            );
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert!(count >= least, "{count} questions");
}

/// Returns every name of a zone and one below each, with each type that the
/// zone has there and two that it perhaps does not.
fn questions(zone: &Zone) -> Vec<(Vec<u8>, u16)> {
    let mut questions = Vec::new();
    for node in zone.nodes().filter(|node| node.status() == Status::Authoritative) {
        let types = node.rrsets().map(|rrset| rrset.rtype().0);
        let types: BTreeSet<_> = types.chain([1, 33]).filter(|rtype| is_resolved(*rtype)).collect();
        let owner = node.owner();
        let below = [b"\x05below", owner].concat();
        for rtype in types {
            questions.push((owner.to_vec(), rtype));
            if below.len() <= 255 {
                questions.push((below.clone(), rtype));
            }
        }
    }
    questions
}

/// Says whether resolvers take questions for a type: not for signatures, which
/// belong to what they sign.
fn is_resolved(rtype: u16) -> bool {
    ![46, 47].contains(&rtype)
}

/// Says whether an answer is the zone's own and all that there is: not a
/// referral, nor an alias that leads out of the zone, nor a chain without end.
fn is_whole(seen: &Seen, qtype: u16) -> bool {
    let [answer, authority, _] = &seen.sections;
    let ends_with = |records: &[decoders::Record], rtype| {
        records.last().is_some_and(|record| record.rtype == rtype)
    };
    seen.flags.authoritative
        && [0, 3].contains(&seen.rcode)
        && answer.iter().filter(|record| record.rtype == 5).count() <= ALIASES_MAX
        && (ends_with(answer, qtype) || ends_with(authority, 6))
}

/// The aliases in a row that every resolver follows; Unbound gives up behind 11.
const ALIASES_MAX: usize = 8;

/// Returns the answer without TTLs, which fall in a cache.
fn records(seen: &Seen) -> BTreeSet<(&[u8], u16, &[u8])> {
    seen.sections[0]
        .iter()
        .map(|record| (&record.owner[..], record.rtype, &record.rdata[..]))
        .collect()
}

fn connect(address: SocketAddr) -> TcpStream {
    // From where resolvers ask too, so that the answer is theirs.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{SOURCE}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, question: &[u8]) -> Seen {
    let query = [b"\0\x07\x01\0\0\x01\0\0\0\0\0\0", question].concat();
    stream.write_all(&framed(&query)).unwrap();
    let reply = read_framed(stream).unwrap_or_else(|error| panic!("{question:02x?}: {error}"));
    decoders::by_domain(&reply).unwrap()
}

//----------- Bind -----------------------------------------------------------

/// A running `named`.
struct Bind {
    child: Child,
    address: SocketAddr,
}

impl Bind {
    /// Starts a resolver that takes a server to be a zone's.
    fn start(folder: &Path, zone: &str, server: SocketAddr) -> Self {
        let address = SocketAddr::new([127, 0, 0, 1].into(), server.port());
        let config = format!(
            "options {{ directory \"{folder}\"; pid-file none; session-keyfile none; \
             port {port}; listen-on {{ {ip}; }}; listen-on-v6 {{ none; }}; \
             query-source address {SOURCE}; recursion yes; \
             allow-query {{ any; }}; qname-minimization strict; dnssec-validation no; \
             empty-zones-enable no; }};\ncontrols {{ }};\n\
             zone \"{zone}\" {{ type static-stub; server-addresses {{ {server}; }}; }};\n",
            folder = folder.display(),
            ip = address.ip(),
            port = address.port(),
            server = server.ip(),
        );
        let path = folder.join("named.conf");
        std::fs::write(&path, config).unwrap();
        let spawn = |program: &str| {
            let mut command = Command::new(program);
            command.args(["-4", "-g", "-n", "1", "-c"]).arg(&path);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        let child = spawn("named").or_else(|_| spawn("/usr/sbin/named")).unwrap();
        let bind = Bind { child, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(bind.address).is_err() {
            assert!(Instant::now() < deadline, "named does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        bind
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
