//! Calls by the server's answers: baresip asks Unbound, Unbound asks trunkdns,
//! and sipp answers the calls. An endpoint is killed, drained, brought back, and
//! calls go on.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use server::{Resolver, Server, free_port, has_address, installed, skip};
use support::World;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const SBC1: &str = "127.53.0.1";
const SBC2: &str = "127.53.0.2";

/// Where Debian and others put baresip's modules.
const MODULES: [&str; 3] =
    ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules", "/opt/homebrew/lib/baresip"];

/// The zone; TTLs are ones that a test can wait for.
fn zone(port: u16) -> String {
    format!(
        "[soa]\nprimary = \"ns1\"\ncontact = \"hostmaster\"\n[ns]\nhosts = [\"ns1\"]\n[hosts]\n\
         ns1 = [\"127.0.0.1\"]\nsbc1 = [\"{SBC1}\"]\nsbc2 = [\"{SBC2}\"]\n\
         [services.\"_sip._tcp\"]\nport = {port}\nttl = 2\n[services.\"_sip._tcp\".tiers]\n\
         primary = {{ priority = 10, ttl = 2 }}\nsecondary = {{ priority = 20, ttl = 2 }}\n\
         [naptr]\norder = [\"_sip._tcp\"]\n"
    )
}

const TABLE: &str = "[\"_sip._tcp\".default]\nprimary = [\"sbc1\"]\nsecondary = [\"sbc2\"]\n";

#[test]
fn calls_go_on_when_an_endpoint_dies_is_drained_and_comes_back() {
    let programs = ["baresip", "sipp", "unbound"].into_iter().all(installed);
    if !programs || ![SBC1, SBC2].into_iter().all(has_address) {
        return;
    }
    let Some(modules) = MODULES.into_iter().find(|path| fs::exists(path).unwrap_or(false)) else {
        return skip("baresip has no modules");
    };
    let port = free_port();
    let mut world = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", &zone(port)), ("priorities.toml", TABLE)],
    );
    let handover = "[handover]\nspread = \"1s\"\n";
    world.file(
        "trunkdns.toml",
        format!("{handover}[geoip]\ndatabases = []\nregions = \"regions.toml\"\n"),
    );
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let resolver = Resolver::start("127.0.0.1", "carrier.example.com", server.address);
    let caller = Caller { resolver: resolver.address, modules };
    let (sbc1, sbc2) = (Sbc::start(SBC1, port), Sbc::start(SBC2, port));

    caller.call([&sbc1, &sbc2]);
    assert_eq!([sbc1.calls(), sbc2.calls()], [1, 0], "the first tier takes calls");

    drop(sbc1);
    caller.call([&sbc2]);
    assert_eq!(sbc2.calls(), 1, "a dead endpoint is passed over");

    // Somebody calls all the time while the endpoint is drained.
    let is_drained = AtomicBool::new(false);
    let during = thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut calls = 0;
            while !is_drained.load(Ordering::Relaxed) {
                caller.call([&sbc2]);
                calls += 1;
            }
            calls
        });
        let (code, text) = server.command("drain sbc1 --wait");
        is_drained.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(0), "{text}");
        calls.join().unwrap()
    });
    assert!(during > 0);
    assert_eq!(sbc2.calls(), 1 + during, "each of them was answered");

    // It is there again, and nobody calls it until it is wanted.
    let sbc1 = Sbc::start(SBC1, port);
    caller.call([&sbc1, &sbc2]);
    assert_eq!([sbc1.calls(), sbc2.calls()], [0, 2 + during], "a drained endpoint has no calls");

    assert_eq!(server.command("undrain sbc1").0, Some(0));
    let deadline = Instant::now() + PATIENCE;
    while sbc1.calls() == 0 {
        assert!(Instant::now() < deadline, "it does not come back");
        caller.call([&sbc1, &sbc2]);
    }
}

//----------- Sbc ------------------------------------------------------------

/// A sipp that answers calls over TCP.
struct Sbc {
    child: Child,
    messages: PathBuf,
    _folder: tempfile::TempDir,
}

impl Sbc {
    fn start(address: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let messages = folder.path().join("messages");
        let mut command = Command::new("sipp");
        command.args(["-sn", "uas", "-t", "t1", "-nostdin", "-trace_msg", "-i", address]);
        command.args(["-p", &port.to_string(), "-message_file"]).arg(&messages);
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let sbc = Sbc { child: command.spawn().unwrap(), messages, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        let address = SocketAddr::new(address.parse().unwrap(), port);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "sipp does not start");
            thread::sleep(Duration::from_millis(20));
        }
        sbc
    }

    /// How many calls were set up: an INVITE, a 200 and the ACK to it.
    fn calls(&self) -> usize {
        let text = fs::read_to_string(&self.messages).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("ACK sip:")).count()
    }
}

impl Drop for Sbc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//----------- Caller ---------------------------------------------------------

/// Who calls carrier.example.com, a baresip for each call.
struct Caller {
    resolver: SocketAddr,
    modules: &'static str,
}

impl Caller {
    /// Places a call, which one of the endpoints must answer.
    fn call<const COUNT: usize>(&self, sbcs: [&Sbc; COUNT]) {
        let calls = || sbcs.iter().map(|sbc| sbc.calls()).sum::<usize>();
        let before = calls();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "poll_method select\nsip_listen 127.0.0.1:0\ndns_server {}\nmodule_path {}\n\
             module g711.so\nmodule ausine.so\naudio_source ausine,440\nausrc_srate 48000\n\
             ausrc_channels 2\nmodule_app account.so\nmodule_app menu.so\n",
            self.resolver, self.modules
        );
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("config", &config);
        write("accounts", "<sip:caller@carrier.example.com;transport=tcp>;regint=0\n");
        write("contacts", "");
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder.path()).args(["-t", "20"]);
        command.args(["-e", "/dial sip:100@carrier.example.com;transport=tcp"]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while calls() == before {
            let is_late = Instant::now() > deadline;
            if is_late || child.try_wait().unwrap().is_some() {
                let _ = child.kill();
                let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("nobody answered the call: {log}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
