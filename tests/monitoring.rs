//! The alert rules and the dashboard, asked of a real Prometheus that scrapes
//! the real binary.

#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use server::{Server, installed, project};
use support::question;

const PATIENCE: Duration = Duration::from_secs(60);

/// There is no certificate without encrypted transports.
const OF_ENCRYPTION: &str = "trunkdns_certificate_expires_time_seconds";

//----------- Prometheus -----------------------------------------------------

/// A Prometheus that scrapes one server each second; it ends when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: SocketAddr) -> Self {
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nrule_files: ['{}']\nscrape_configs:\n  - job_name: \
             trunkdns\n    static_configs: [{{ targets: ['{target}'] }}]\n",
            project().join("pkg/prometheus/alerts.yml").display()
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = free();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus { child, address }
    }

    /// Evaluates an expression; nothing while it does not listen.
    fn ask(&self, expression: &str) -> Option<Value> {
        let query: String = expression.bytes().map(|octet| format!("%{octet:02x}")).collect();
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }

    /// Returns the number of series that an expression has.
    fn count(&self, expression: &str) -> usize {
        let Some(answer) = self.ask(expression) else { return 0 };
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }

    fn wait_for(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(expression) == 0 {
            assert!(Instant::now() < deadline, "{expression} has no series");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

//----------- Expressions ----------------------------------------------------

fn alerts() -> String {
    fs::read_to_string(project().join("pkg/prometheus/alerts.yml")).unwrap()
}

/// Returns what follows a key in the lines of a YAML file.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(str::trim).collect()
}

fn of_dashboard() -> Vec<String> {
    let text = fs::read_to_string(project().join("pkg/grafana/trunkdns.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m"))
        .collect()
}

fn names(expression: &str) -> BTreeSet<&str> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = expression.split(|letter| !is_of_name(letter));
    words.filter(|word| word.starts_with("trunkdns_")).collect()
}

//============ Tests =========================================================

#[test]
fn each_alert_fires_when_it_is_to() {
    if !installed("promtool") {
        return;
    }
    let folder = project().join("pkg/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output =
            Command::new("promtool").args(arguments).current_dir(&folder).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    }
    let tests = fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let tested: BTreeSet<_> = values(&tests, "- alertname:").into_iter().collect();
    let documented = fs::read_to_string(project().join("docs/metrics.md")).unwrap();
    let alerts = alerts();
    let alerts = values(&alerts, "- alert:");
    assert!(!alerts.is_empty());
    for alert in alerts {
        assert!(tested.contains(alert), "{alert} is not in alerts_test.yml");
        assert!(documented.contains(&format!("`{alert}`")), "{alert} is not in docs/metrics.md");
    }
}

#[test]
fn every_expression_names_what_a_server_has() {
    if !installed("prometheus") {
        return;
    }
    let http = free();
    let server = Server::example_with(|folder| {
        let path = folder.join("trunkdns.toml");
        let config = fs::read_to_string(&path).unwrap();
        let customers = "[customers]\ngenesys = [\"127.0.0.0/8\"]";
        let config = config.replace("\n[customers]", &format!("\n{customers}"));
        let shown = config.replace("127.0.0.1:0\"\n", &format!("{http}\"\n"));
        fs::write(path, shown).unwrap();
    });
    let srv = question("_sip._tcp.carrier.example.com.", "SRV").octets();
    server.udp(&srv);
    // A handover, for its series are there only while one is pending.
    let (code, text) = server.command("drain sbc1.us-east.carrier.example.com");
    assert_eq!(code, Some(0), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), http);
    prometheus.wait_for("trunkdns_handover_settled_in_seconds");
    prometheus.wait_for("rate(trunkdns_messages_total[1m])");
    let alerts = alerts();
    let of_alerts = values(&alerts, "expr:").into_iter().map(str::to_owned);
    for expression in of_alerts.chain(of_dashboard()) {
        let answer = prometheus.ask(&expression).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        for name in names(&expression) {
            let found = prometheus.count(name) > 0 || name == OF_ENCRYPTION;
            assert!(found, "{expression}: there is no {name}");
        }
    }
    for expression in of_dashboard() {
        assert!(prometheus.count(&expression) > 0, "{expression} shows nothing");
    }
}
