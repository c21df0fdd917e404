//! Metrics and health of the real binary, read by real clients.

#[path = "support/server.rs"]
mod server;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use server::{Server, installed};
use support::{World, question};

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n\
                    _sip._tcp SRV 10 100 5060 ns1\n";

/// Debian's, for which it packages the parser.
const PYTHON: &str = "/usr/bin/python3";

/// A world that serves metrics on a port that was free a moment ago.
fn world() -> (World, SocketAddr) {
    let world = World::with_zone("carrier.example.com", &[("records.zone", ZONE)]);
    world.listen_anywhere();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = world.path().join("trunkdns.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = format!(
        "{config}[admin]\nhttp = \"{free}\"\nhttp-names = [\"dns1.example.net\"]\n[customers]\n\
         genesys = [\"127.0.0.0/8\"]\n"
    );
    std::fs::write(path, config).unwrap();
    (world, free)
}

/// Sends a request as it is; returns status code, header and body.
fn request(address: SocketAddr, text: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// Returns the value of a series.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{series} ")))?;
    line[series.len()..].trim().parse().ok()
}

#[test]
fn every_message_is_in_the_metrics_once_and_they_agree_with_status() {
    let (world, http) = world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let srv = question("_sip._tcp.carrier.example.com.", "SRV").octets();
    let missing = question("missing.carrier.example.com.", "A").octets();
    for _ in 0..3 {
        server.udp(&srv);
    }
    server.tcp(&srv);
    server.udp(&missing);
    server.udp(&srv[..20]);
    let (code, head, metrics) = get(http, "/metrics");
    assert_eq!(code, 200, "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let messages = |labels: &str| value(&metrics, &format!("trunkdns_messages_total{{{labels}}}"));
    assert_eq!(messages(r#"transport="udp",outcome="answered""#), Some(3.0), "{metrics}");
    assert_eq!(messages(r#"transport="tcp",outcome="answered""#), Some(1.0));
    assert_eq!(messages(r#"transport="udp",outcome="no-name""#), Some(1.0));
    let lines = metrics.lines().filter(|line| line.starts_with("trunkdns_messages_total{"));
    let all: f64 = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(all, 6.0);
    let queries = |labels: &str| value(&metrics, &format!("trunkdns_queries_total{{{labels}}}"));
    assert_eq!(queries(r#"transport="udp",type="srv""#), Some(3.0));
    assert_eq!(queries(r#"transport="tcp",type="srv""#), Some(1.0));
    assert_eq!(queries(r#"transport="udp",type="address""#), Some(1.0));
    // The loopback is in no country: it is in the default region.
    let region = r#"trunkdns_region_queries_total{region="us"}"#;
    assert_eq!(value(&metrics, region), Some(5.0), "{metrics}");
    // The first message of each worker and of each transport is measured.
    let measured = value(&metrics, "trunkdns_answer_seconds_count").unwrap();
    assert!(measured >= 2.0, "{metrics}");
    assert_eq!(value(&metrics, r#"trunkdns_answer_seconds_bucket{le="+Inf"}"#), Some(measured));
    assert_eq!(value(&metrics, "trunkdns_generation"), Some(1.0));
    assert_eq!(value(&metrics, "trunkdns_last_reload_complete"), Some(1.0));
    let customer = r#"trunkdns_customer_responses_total{customer="genesys",told="answered"}"#;
    assert_eq!(value(&metrics, customer), Some(4.0));
    let status = server.status();
    let until = status["endpoints"][0]["prefers"].as_f64().unwrap();
    let series = r#"trunkdns_endpoint_preferred_until_seconds{zone="carrier.example.com.","#;
    assert!(until > 0.0 && metrics.contains(&format!("{series}endpoint=\"ns1.")), "{metrics}");
    let answers = |first: &str| {
        let labels = format!("port=\"5060\",first=\"{first}\"");
        let line = metrics.lines().find(|line| line.contains(&labels)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!([answers("yes"), answers("no")], ["4", "0"]);
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn the_metrics_are_read_by_the_parser_of_prometheus() {
    if !installed(PYTHON) {
        return;
    }
    let module = ["-c", "import prometheus_client.openmetrics.parser"];
    let found = Command::new(PYTHON).args(module).stderr(Stdio::null()).status().unwrap();
    if !found.success() {
        return server::skip("python3-prometheus-client is not installed");
    }
    let (mut world, http) = world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    server.udp(&question("_sip._tcp.carrier.example.com.", "SRV").octets());
    world.file(
        "zones/carrier.example.com/records.zone",
        ZONE.replace("SRV 10 100 5060", "SRV 10 100 5070"),
    );
    assert_eq!(server.command("reload").0, Some(0));
    let (_, _, metrics) = get(http, "/metrics");
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import \
                  text_string_to_metric_families as read\nfor family in read(sys.stdin.read()):\n \
                  print(family.name, family.type, len(family.samples))\n";
    let mut child = Command::new(PYTHON)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{metrics}");
    let families = String::from_utf8(output.stdout).unwrap();
    for family in [
        "trunkdns_messages counter",
        "trunkdns_handovers_pending gauge 1",
        "trunkdns_handover_settled_in_seconds gauge 1",
        "trunkdns_customer_messages counter 1",
        "trunkdns_answer_seconds histogram 15",
    ] {
        assert!(families.contains(family), "no {family} in\n{families}");
    }
    // What the documentation lists is what there is, but for what needs a
    // database or a certificate.
    let documented = std::fs::read_to_string(server::project().join("docs/metrics.md")).unwrap();
    for family in families.lines().filter_map(|line| line.split(' ').next()) {
        assert!(documented.contains(&format!("`{family}")), "{family} is not in docs/metrics.md");
    }
    for name in documented.split('`').filter(|word| word.starts_with("trunkdns_")) {
        let is_there = families.contains(&format!("{} ", name.trim_end_matches("_total")));
        let is_of_more = name.contains("database") || name.contains("certificate");
        assert!(is_there || is_of_more, "{name} is documented, and not there");
    }
}

#[test]
fn a_server_is_ready_when_every_address_answers() {
    let (world, http) = world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    assert_eq!((get(http, "/livez").0, &*get(http, "/livez").2), (200, "alive\n"));
    assert_eq!((get(http, "/readyz").0, &*get(http, "/readyz").2), (200, "ready\n"));
    let (_, _, metrics) = get(http, "/metrics");
    let asked = r#"trunkdns_messages_total{transport="tcp",outcome="not-served"}"#;
    assert_eq!(value(&metrics, asked), Some(2.0), "{metrics}");
    drop(server);
}

#[test]
fn only_get_is_answered_and_only_under_a_name_of_its_own() {
    let (world, http) = world();
    let _server = Server::start(&world.path().join("trunkdns.toml"));
    let ask = |method: &str, path: &str, host: &str| {
        let line = format!("{method} {path} HTTP/1.1\r\n");
        request(http, &format!("{line}Host: {host}\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(ask("GET", "/livez", "dns1.example.net:8053").0, 200);
    assert_eq!(ask("GET", "/livez", "localhost").0, 200);
    let (code, _, body) = ask("GET", "/metrics", "evil.example");
    assert_eq!((code, body.contains("`http-names` under [admin]")), (421, true));
    assert!(!body.contains("trunkdns_"));
    assert_eq!(ask("POST", "/metrics", "127.0.0.1").0, 405);
    assert_eq!(ask("GET", "/nothing", "127.0.0.1").0, 404);
    let (code, head, body) = ask("HEAD", "/metrics", "127.0.0.1");
    assert_eq!((code, body.is_empty()), (200, true), "{head}");
    // What is no HTTP ends, and nobody else is disturbed.
    let mut stream = TcpStream::connect(http).unwrap();
    stream.write_all(b"\x16\x03\x01\x00garbage\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(get(http, "/livez").0, 200);
}

#[test]
fn no_other_page_may_read_frame_or_script_what_is_shown() {
    let (world, http) = world();
    let _server = Server::start(&world.path().join("trunkdns.toml"));
    for path in ["/", "/page.js", "/status.json", "/metrics", "/nothing", "/tables.json"] {
        let (_, head, _) = get(http, path);
        let head = head.to_ascii_lowercase();
        let policy = head.lines().find(|line| line.starts_with("content-security-policy: "));
        let policy = policy.unwrap_or_else(|| panic!("{path}: {head}"));
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("referrer-policy: no-referrer"), "{head}");
        assert!(head.contains("cross-origin-resource-policy: same-origin"), "{head}");
        assert!(!head.contains("access-control-"), "{head}");
    }
}

#[test]
fn what_the_status_page_asks_for_is_json_and_a_refusal_says_why() {
    let (world, http) = world();
    let _server = Server::start(&world.path().join("trunkdns.toml"));
    let ask = |path: &str| {
        let (code, head, body) = get(http, path);
        assert!(head.contains("application/json"), "{path}: {head}");
        (code, serde_json::from_str::<serde_json::Value>(&body).unwrap())
    };
    let (code, tables) = ask("/tables.json?zone=Carrier.EXAMPLE.com");
    assert_eq!((code, &tables["other-srv"]), (200, &1.into()));
    assert_eq!(ask("/zones.json?find=carrier").1["zones"]["count"], 1);
    assert_eq!(ask("/regions.json").1["regions"][0]["name"], "ap");
    assert_eq!(ask("/history.json").1["events"]["count"], 1);
    assert_eq!(ask("/status.json").1["troubles"], serde_json::json!([]));
    let srv = "/explain.json?name=_sip._tcp.carrier.example.com";
    let (code, explained) = ask(&format!("{srv}&from=10.2.0.1"));
    assert_eq!((code, &explained["explanation"]["zone"]["region"]), (200, &"eu".into()));
    assert!(explained["text"].as_str().unwrap().contains("network 10.2.0.0/16"), "{explained}");
    for (path, why) in [
        ("/tables.json", "which zone? `zone=` is missing"),
        ("/tables.json?zone=b.example", "there is no zone b.example."),
        ("/explain.json?from=10.2.0.1", "which name? `name=` is missing"),
        (&format!("{srv}&from=10.2.0"), "`10.2.0` is neither an address nor a prefix"),
        (&format!("{srv}&from=10.2.0.1&type=NOPE"), "`NOPE` is not a record type"),
        (&format!("{srv}&country=DE"), "no database has an address in Germany"),
    ] {
        let (code, said) = ask(path);
        assert!(code == 400 && said["error"].as_str().unwrap().starts_with(why), "{path}: {said}");
    }
}

#[test]
fn whoever_asks_for_many_explanations_at_once_gets_them_one_after_the_other() {
    let (world, http) = world();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let path = "/explain.json?name=_sip._tcp.carrier.example.com&from=10.2.0.1";
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| get(http, path).0)).collect();
        // Neither commands nor queries wait for them.
        assert_eq!(server.status()["generation"], 1);
        server.udp(&question("_sip._tcp.carrier.example.com.", "SRV").octets());
        for one in asking {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
}

#[test]
fn an_address_that_is_taken_is_named_at_the_start() {
    let (world, http) = world();
    let _taken = TcpListener::bind(http).unwrap();
    let mut command = server::trunkdns();
    command.arg("--config").arg(world.path().join("trunkdns.toml")).arg("serve");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("cannot listen on {http} ([admin] http): ")), "{text}");
}
