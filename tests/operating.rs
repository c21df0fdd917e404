//! docs/operating.md is true: its commands are run, and print what it shows.
//!
//! The endpoints of the shipped example are at addresses of the loopback here,
//! and on ports that are free; in the output they are as the document has them.

#[path = "support/server.rs"]
mod server;
#[path = "support/sip.rs"]
mod sip;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use server::{Resolver, Server, has_address, installed, project, skip};
use sip::{Authority, Endpoint, peer_at, response};

#[test]
fn commands_of_the_document_print_what_it_shows() {
    let programs = ["kamailio", "unbound"].into_iter().all(installed);
    if !programs || !has_address("127.51.100.11") || !has_address("127.0.12.1") {
        return;
    }
    let Some(place) = Place::prepare() else {
        skip("the ports of SIP are in use on 127.51.100.0/24");
        return;
    };
    let text = fs::read_to_string(project().join("docs/operating.md")).unwrap();
    let mut examples = 0;
    for block in text.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```\n").unwrap();
        for example in block.split("$ ").skip(1) {
            let (command, shown) = example.split_once('\n').unwrap();
            let printed = place.run(command);
            assert_eq!(comparable(&printed), comparable(shown), "$ {command}\n{printed}");
            examples += 1;
        }
    }
    assert!(examples > 4, "{examples} examples");
}

//----------- Place ----------------------------------------------------------

/// The shipped example with endpoints that answer, a server, and a resolver
/// in us-west.
struct Place {
    server: Server,
    resolver: Resolver,
    authority: Authority,
    plain: u16,
    encrypted: u16,
    _silent: UdpSocket,
    _kamailio: Endpoint,
}

impl Place {
    fn prepare() -> Option<Self> {
        let (plain, silent) = free_ports()?;
        let encrypted = server::free_port();
        for (address, status) in [("11", "200 OK"), ("12", "503 Service Unavailable")] {
            let address = SocketAddr::new(format!("127.51.100.{address}").parse().unwrap(), plain);
            peer_at(address, move |request| vec![response(status, request)]).ok()?;
        }
        let authority = Authority::new("carrier");
        authority.certify("expired", "carrier.example.com", 2021);
        let kamailio = Endpoint::kamailio_with_tls("127.51.100.21", encrypted, |name| {
            authority.path(&format!("expired.{name}"))
        });
        let server = Server::example_with(|folder| {
            let path = folder.join("zones/carrier.example.com/zone.toml");
            let zone = fs::read_to_string(&path).unwrap();
            let zone = zone
                .replace("198.51.100.", "127.51.100.")
                .replace("port = 5060", &format!("port = {plain}"))
                .replace("port = 5061", &format!("port = {encrypted}"));
            fs::write(path, zone).unwrap();
            // Each edit is taken in by the command that follows it.
            let path = folder.join("trunkdns.toml");
            let config = fs::read_to_string(&path).unwrap();
            fs::write(path, config.replace("\nwatch = true\n", "\nwatch = false\n")).unwrap();
        });
        let resolver = Resolver::start("127.0.12.1", "carrier.example.com", server.address);
        let (_silent, _kamailio) = (silent, kamailio);
        Some(Place { server, resolver, authority, plain, encrypted, _silent, _kamailio })
    }

    /// Runs a command; returns what it prints, as the document has it.
    fn run(&self, command: &str) -> String {
        let command = command
            .replace("192.0.2.1", &self.resolver.address.to_string())
            .replace("carrier-ca.pem", &self.authority.path("ca.pem"))
            .replace("trunkdns ", &format!("{} ", env!("CARGO_BIN_EXE_trunkdns")));
        let folder: &Path = self.server.folder();
        let output =
            Command::new("sh").args(["-c", &command]).current_dir(folder).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        text.replace(&format!("{}/", folder.display()), "")
            .replace("127.51.100.", "198.51.100.")
            .replace(&self.resolver.address.to_string(), "192.0.2.1:53")
            .replace(&format!(":{}", self.plain), ":5060")
            .replace(&format!(":{}", self.encrypted), ":5061")
            .replace(&format!(" {}", self.plain), " 5060")
    }
}

/// Returns a port that is free at the endpoints' addresses, and holds it at
/// the one that is to be silent.
fn free_ports() -> Option<(u16, UdpSocket)> {
    let silent = UdpSocket::bind("127.51.100.13:0").ok()?;
    Some((silent.local_addr().ok()?.port(), silent))
}

/// Returns a text without what is another each time: how long things took, how
/// many seconds and days there are, and how columns are filled up.
fn comparable(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let mut words: Vec<_> = line.split_whitespace().collect();
        for at in 0..words.len() {
            let unit = words.get(at + 1).map_or("", |unit| unit.trim_end_matches([',', ';', ')']));
            let is_measured = ["ms", "d", "s"].contains(&unit);
            // `60 of 60 s left`
            let is_left = words[at + 1..].first() == Some(&"of") && words.get(at + 3) == Some(&"s");
            let is_number = words[at].parse::<f64>().is_ok();
            let is_key = at > 0
                && ["\"milliseconds\":", "\"time\":", "\"ttl-left\":"].contains(&words[at - 1]);
            if is_number && (is_measured || is_left) || is_key {
                words[at] = "N";
            }
        }
        lines += &(words.join(" ") + "\n");
    }
    lines
}
