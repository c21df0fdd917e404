//! SIP endpoints to ask: sipp, Kamailio, and peers of a few lines.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

const PATIENCE: Duration = Duration::from_secs(20);

/// How every configuration of Kamailio begins: few processes, and nothing but
/// what is listed.
pub const KAMAILIO: &str = "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nchildren=1\ntcp_children=1\n\
                            enable_tls=yes\nenable_sctp=no\nauto_aliases=no\n";

//----------- Endpoint -------------------------------------------------------

/// A program that answers SIP; it is ended when this is dropped.
pub struct Endpoint {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Endpoint {
    /// Starts a sipp that answers OPTIONS with a status line, over `u1` (UDP)
    /// or `t1` (TCP), on a port of 127.0.0.1.
    pub fn sipp(status: &str, transport: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"answers OPTIONS\">\n\
             <recv request=\"OPTIONS\"/>\n<send><![CDATA[\nSIP/2.0 {status}\n[last_Via:]\n\
             [last_From:]\n[last_To:];tag=[pid]\n[last_Call-ID:]\n[last_CSeq:]\n\
             Content-Length: 0\n\n]]></send>\n</scenario>\n"
        );
        std::fs::write(folder.path().join("scenario.xml"), scenario).unwrap();
        let mut command = Command::new("sipp");
        command.args(["-sf", "scenario.xml", "-nostdin", "-i", "127.0.0.1", "-t", transport]);
        command.args(["-p", &port.to_string()]).current_dir(folder.path());
        let mut endpoint = Endpoint::start(command, folder);
        match transport {
            "t1" => endpoint.wait_for_tcp(port),
            _ => wait_for_udp(port),
        }
        endpoint
    }

    /// Starts a Kamailio that answers 200 over TLS at an address; `file` names
    /// the files of its certificate (`pem`) and key (`key`).
    pub fn kamailio_with_tls(address: &str, port: u16, file: impl Fn(&str) -> String) -> Self {
        let [pem, key] = ["pem", "key"].map(file);
        let tls = format!("[server:default]\ncertificate = {pem}\nprivate_key = {key}\n");
        let config = format!(
            "{KAMAILIO}listen=tls:{address}:{port}\nlisten=tcp:127.0.0.1:{port}\n\
             loadmodule \"tls.so\"\nloadmodule \"sl.so\"\n\
             modparam(\"tls\", \"config\", \"TLS_CFG\")\n\
             request_route {{\n  sl_send_reply(\"200\", \"OK\");\n}}\n"
        );
        Self::kamailio(&config, &tls, port)
    }

    /// Starts a Kamailio with a configuration; it is ready once it accepts
    /// connections on a port of 127.0.0.1.
    pub fn kamailio(config: &str, tls: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kamailio.cfg"), config).unwrap();
        std::fs::write(folder.path().join("tls.cfg"), tls).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = config.replace("TLS_CFG", &at("tls.cfg"));
        std::fs::write(folder.path().join("kamailio.cfg"), config).unwrap();
        let program = ["/usr/sbin/kamailio", "kamailio"];
        let program = program.into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap_or("kamailio"));
        // In the foreground, its log on standard error.
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f", &at("kamailio.cfg")]);
        command.args(["-w", &at(""), "-Y", &at("")]);
        let mut endpoint = Endpoint::start(command, folder);
        endpoint.wait_for_tcp(port);
        endpoint
    }

    fn start(mut command: Command, folder: tempfile::TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Endpoint { child: command.spawn().unwrap(), _folder: folder }
    }

    fn wait_for_tcp(&mut self, port: u16) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(self.child.try_wait().unwrap(), None, "it does not start");
            assert!(Instant::now() < deadline, "nobody accepts on port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits until somebody holds a port.
fn wait_for_udp(port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < deadline, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Kamailio takes its processes with it when it is asked to end.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//----------- Peer -----------------------------------------------------------

/// Starts a peer over UDP that sends, for each request, what a function makes
/// of it; it lives as long as the test.
pub fn peer(answer: impl Fn(&str) -> Vec<String> + Send + 'static) -> SocketAddr {
    peer_at("127.0.0.1:0".parse().unwrap(), answer).unwrap()
}

/// Starts such a peer at an address.
pub fn peer_at(
    address: SocketAddr,
    answer: impl Fn(&str) -> Vec<String> + Send + 'static,
) -> std::io::Result<SocketAddr> {
    let socket = UdpSocket::bind(address)?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
            for message in answer(&request) {
                let _ = socket.send_to(message.as_bytes(), from);
            }
        }
    });
    Ok(address)
}

/// Makes a response of a request: its Via, From, To, Call-ID and CSeq.
pub fn response(status: &str, request: &str) -> String {
    let names = ["Via", "From", "To", "Call-ID", "CSeq"];
    let is_copied = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}: ")));
    let lines: Vec<_> = request.split("\r\n").filter(is_copied).collect();
    format!("SIP/2.0 {status}\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}

//----------- Authority ------------------------------------------------------

/// An authority for certificates, with a folder of files in PEM.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    /// An authority by a name of its own.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder }
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Writes `NAME.pem` and `NAME.key` for a host, valid to the end of a
    /// year.
    pub fn certify(&self, name: &str, host: &str, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
