//! The real binary on real sockets, and the real programs that ask it.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

//----------- Programs -------------------------------------------------------

/// Says whether a program is installed; if not, the test is to end.
pub fn installed(program: &str) -> bool {
    let found =
        ["", "/usr/sbin/", "/usr/local/sbin/", "/opt/homebrew/sbin/"].iter().any(|folder| {
            let mut command = Command::new(format!("{folder}{program}"));
            command.arg("-h").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok()
        });
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Waits for the end of a program that was told to end, and ends it where it
/// takes too long.
pub fn end(child: &mut Child, patience: Duration) {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Says whether tests can send from an address of the loopback. Linux has all
/// of 127.0.0.0/8, other systems 127.0.0.1 alone.
pub fn has_address(address: &str) -> bool {
    let found = UdpSocket::bind((address, 0)).is_ok();
    if !found {
        skip(&format!("{address} is no address of this host"));
    }
    found
}

/// Says whether a server can have the receive buffers that it asks for.
pub fn has_large_buffers() -> bool {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let limit = file("/proc/sys/net/core/rmem_max").trim().parse().unwrap_or(0);
    let capabilities = file("/proc/self/status")
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let found = limit >= 4 << 20 || capabilities.is_some_and(|set| set & CAP_NET_ADMIN != 0);
    if !found {
        skip("this host grants no receive buffer of 4 MiB (net.core.rmem_max)");
    }
    found
}

/// Says why a test, or part of it, is not run; with `TRUNKDNS_TESTS=all`, as
/// CI sets it, fails instead.
pub fn skip(reason: &str) {
    let all = std::env::var_os("TRUNKDNS_TESTS").is_some_and(|value| value == "all");
    assert!(!all, "{reason}, and TRUNKDNS_TESTS=all allows no skipping");
    let thread = std::thread::current();
    // Not through eprintln, which is shown for tests that fail only.
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {reason}", thread.name().unwrap_or("a test"));
}

/// The binary under test.
pub fn trunkdns() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trunkdns"))
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

//----------- Server ---------------------------------------------------------

/// A running server; it is stopped when this is dropped.
pub struct Server {
    child: Child,
    folder: Option<tempfile::TempDir>,
    config: PathBuf,
    pub address: SocketAddr,
    pub ready: String,
}

impl Server {
    /// Serves the shipped example on a free port of 127.0.0.1.
    pub fn example() -> Self {
        Self::example_with(|_| ())
    }

    /// Serves the shipped example as changed in its folder.
    pub fn example_with(change: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = example_in(folder.path(), "127.0.0.1:0");
        change(folder.path());
        let mut server = Self::start(&config);
        server.folder = Some(folder);
        server
    }

    /// Serves a configuration.
    pub fn start(config: &Path) -> Self {
        Self::start_logging(config, Stdio::inherit())
    }

    /// Serves a configuration, and sends its log somewhere.
    pub fn start_logging(config: &Path, log: Stdio) -> Self {
        Self::start_with(config, log, |_| ())
    }

    /// Serves a configuration in an environment of its own.
    pub fn start_with(config: &Path, log: Stdio, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = trunkdns();
        command.arg("--config").arg(config).arg("serve").stdout(Stdio::piped()).stderr(log);
        prepare(&mut command);
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready
            .split_whitespace()
            .find_map(|word| word.trim_end_matches(',').parse::<SocketAddr>().ok())
            .unwrap_or_else(|| panic!("no address in the ready line: {ready:?}"));
        Server { child, folder: None, config: config.to_owned(), address, ready }
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Gives a command such as `reload --now` to it; returns exit code and
    /// output.
    pub fn command(&self, arguments: &str) -> (Option<i32>, String) {
        command(&self.config, arguments)
    }

    /// What `trunkdns status --json` says.
    pub fn status(&self) -> serde_json::Value {
        let (code, text) = self.command("status --json");
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The server's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, without any chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the server to end, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not end");
    }

    /// Sends octets over UDP and returns the reply.
    pub fn udp(&self, message: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(message).unwrap();
        let mut octets = vec![0; 65535];
        let len = socket.recv(&mut octets).unwrap();
        octets.truncate(len);
        octets
    }

    /// Sends octets over a TCP connection of their own and returns the reply.
    pub fn tcp(&self, message: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&framed(message)).unwrap();
        read_framed(&mut stream).unwrap()
    }

    /// Asks with dig, `dig @SERVER -p PORT arguments`; returns its output.
    pub fn dig(&self, arguments: &str) -> String {
        self.ask("dig", arguments, &["+tries=1", "+time=10"])
    }

    /// Asks with kdig.
    pub fn kdig(&self, arguments: &str) -> String {
        self.ask("kdig", arguments, &["+retry=0", "+time=10"])
    }

    fn ask(&self, program: &str, arguments: &str, options: &[&str]) -> String {
        let output = Command::new(program)
            .arg(format!("@{}", self.address.ip()))
            .args(["-p", &self.address.port().to_string()])
            .args(arguments.split_whitespace())
            .args(options)
            .output()
            .unwrap();
        succeed(&output)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command on a configuration; returns exit code and output, what was
/// printed as an error last.
pub fn command(config: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut command = trunkdns();
    command.arg("--config").arg(config).args(arguments.split_whitespace());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Returns a message as it goes over TCP.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Reads a message from TCP.
pub fn read_framed(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut octets = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

/// Writes the shipped example to a folder with another `listen`; returns the
/// path of its configuration.
pub fn example_in(folder: &Path, listen: &str) -> PathBuf {
    let config = std::fs::read_to_string(project().join("trunkdns.toml")).unwrap();
    let lines = config.lines().map(|line| match line.split(" = ").next() {
        Some("listen") => format!("listen = [\"{listen}\"]"),
        // Servers of other tests run at the same time.
        Some("http") => "http = \"127.0.0.1:0\"".to_owned(),
        _ => line.to_owned(),
    });
    let path = folder.join("trunkdns.toml");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    for part in ["geoip", "zones"] {
        copy(&project().join(part), &folder.join(part));
    }
    path
}

/// Copies a folder with all below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Returns the output of a program that must have succeeded.
pub fn succeed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

//----------- Resolver -------------------------------------------------------

/// A running Unbound that asks the server from an address of its own.
pub struct Resolver {
    child: Child,
    _folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Resolver {
    /// Starts a resolver whose queries for `zone` go to a server.
    ///
    /// It minimises names strictly (RFC 9156), mixes their letter case, and is
    /// hardened in every way that it knows, as the strictest resolvers are.
    pub fn start(source: &str, zone: &str, server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::new([127, 0, 0, 1].into(), free_port());
        let path = folder.path().join("unbound.conf");
        let config = format!(
            "server:\n  interface: {ip}@{port}\n  port: {port}\n  outgoing-interface: {source}\n  \
             do-not-query-localhost: no\n  directory: \"{folder}\"\n  pidfile: \"\"\n  \
             username: \"\"\n  chroot: \"\"\n  use-syslog: no\n  verbosity: 0\n  \
             do-daemonize: no\n  num-threads: 1\n  module-config: \"iterator\"\n  \
             qname-minimisation: yes\n  \
             qname-minimisation-strict: yes\n  use-caps-for-id: yes\n  \
             harden-glue: yes\n  harden-large-queries: yes\n  harden-short-bufsize: yes\n  \
             harden-dnssec-stripped: yes\n  harden-below-nxdomain: yes\n  \
             harden-referral-path: yes\n  harden-algo-downgrade: yes\n  \
             access-control: 127.0.0.0/8 allow\n  local-zone: \"example.com.\" nodefault\n\
             remote-control:\n  control-enable: no\n\
             stub-zone:\n  name: \"{zone}\"\n  stub-addr: {server_ip}@{server_port}\n  \
             stub-prime: no\n",
            ip = address.ip(),
            port = address.port(),
            folder = folder.path().display(),
            server_ip = server.ip(),
            server_port = server.port(),
        );
        std::fs::write(&path, config).unwrap();
        let child = Command::new("unbound").arg("-c").arg(&path).spawn().unwrap_or_else(|_| {
            Command::new("/usr/sbin/unbound").arg("-c").arg(&path).spawn().unwrap()
        });
        let resolver = Resolver { child, _folder: folder, address };
        resolver.wait_until_it_answers();
        resolver
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "unbound does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the resolver with dig.
    pub fn dig(&self, arguments: &str) -> String {
        let output = Command::new("dig")
            .arg(format!("@{}", self.address.ip()))
            .args(["-p", &self.address.port().to_string()])
            .args(arguments.split_whitespace())
            .args(["+tries=1", "+time=10"])
            .output()
            .unwrap();
        succeed(&output)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that was free for UDP and TCP a moment ago.
pub fn free_port() -> u16 {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    drop(UdpSocket::bind(("127.0.0.1", port)));
    port
}
