//! `trunkdns probe sip` against real sipp and Kamailio endpoints, and against
//! peers that answer as they should not.

#[path = "support/server.rs"]
mod server;
#[path = "support/sip.rs"]
mod sip;
#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use server::{command, free_port, installed};
use sip::{Authority, Endpoint, KAMAILIO, peer, response};
use support::World;

/// A world with endpoints on 127.0.0.1: service, name and port of each.
fn world(endpoints: &[(&str, &str, u16)]) -> World {
    let mut zone = String::from(
        "[soa]\nprimary = \"ns1\"\ncontact = \"hostmaster\"\n[ns]\nhosts = [\"ns1\"]\n\
         [hosts]\nns1 = [\"127.0.0.1\"]\n",
    );
    let mut table = String::new();
    let mut names: Vec<_> = endpoints.iter().map(|(_, name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        zone += &format!("{name} = [\"127.0.0.1\"]\n");
    }
    for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
        let own: Vec<_> = endpoints.iter().filter(|(of, ..)| *of == service).collect();
        if own.is_empty() {
            continue;
        }
        zone += &format!(
            "[services.\"{service}\"]\nport = 5060\nttl = 60\n[services.\"{service}\".tiers]\n\
             primary = {{ priority = 10, ttl = 60 }}\n"
        );
        let entry = |(_, name, port): &&(&str, &str, u16)| {
            format!("{{ target = \"{name}\", port = {port} }}")
        };
        let entries: Vec<_> = own.iter().map(entry).collect();
        table += &format!("[\"{service}\".default]\nprimary = [{}]\n", entries.join(", "));
    }
    World::with_zone("carrier.test", &[("zone.toml", &zone), ("priorities.toml", &table)])
}

/// Runs `probe sip` on a world; returns exit code and output.
fn probe(world: &World, arguments: &str) -> (Option<i32>, String) {
    let timeout = if arguments.contains("--timeout") { "" } else { "--timeout 2s" };
    let arguments = format!("probe sip {timeout} {arguments}");
    command(&world.path().join("trunkdns.toml"), &arguments)
}

/// Runs `probe sip --json`; returns the exit code, and the target of each
/// endpoint.
fn targets(world: &World, arguments: &str) -> (Option<i32>, Vec<Value>) {
    let (code, text) = probe(world, &format!("--json {arguments}"));
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (code, json["targets"].as_array().unwrap().clone())
}

/// Returns the one target of an endpoint.
fn target<'t>(targets: &'t [Value], endpoint: &str) -> &'t Value {
    let name = format!("{endpoint}.carrier.test");
    let mut own = targets.iter().filter(|target| target["endpoint"] == name.as_str());
    own.next().unwrap_or_else(|| panic!("{endpoint} is not in {targets:?}"))
}

//----------- sipp -----------------------------------------------------------

#[test]
fn endpoints_are_told_apart_that_are_up_that_refuse_and_that_are_silent() {
    if !installed("sipp") {
        return;
    }
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let [up, up_tcp, full, closed] = [(); 4].map(|()| free_port());
    let _endpoints = [
        Endpoint::sipp("200 OK", "u1", up),
        Endpoint::sipp("200 OK", "t1", up_tcp),
        Endpoint::sipp("503 Service Unavailable", "u1", full),
    ];
    let world = world(&[
        ("_sip._udp", "up", up),
        ("_sip._tcp", "up-tcp", up_tcp),
        ("_sip._udp", "full", full),
        ("_sip._udp", "silent", silent_port),
        ("_sip._tcp", "closed", closed),
    ]);
    let (code, targets) = targets(&world, "");
    assert_eq!(code, Some(1));
    for (endpoint, verdict, what) in [
        ("up", "healthy", "200 OK"),
        ("up-tcp", "healthy", "200 OK"),
        ("full", "degraded", "503 Service Unavailable"),
        ("silent", "unavailable", "no answer within 2s"),
        ("closed", "unavailable", "refused: nothing listens on this port"),
    ] {
        let target = target(&targets, endpoint);
        assert_eq!((&target["verdict"], &target["what"]), (&verdict.into(), &what.into()));
        // One check alone takes nobody out of service.
        assert_eq!(target["in-service"], true);
    }
    // At 0, 0.5 and 1.5 s, as RFC 3261 section 17.1.2.2 has it.
    assert_eq!(target(&targets, "silent")["sent"], 3);
    assert_eq!(probe(&world, "up*").0, Some(0));
    assert_eq!(probe(&world, "full --accept 503").0, Some(0));
}

#[test]
fn an_endpoint_that_dies_goes_out_of_service_after_so_many_failures() {
    if !installed("sipp") {
        return;
    }
    let port = free_port();
    let endpoint = Endpoint::sipp("200 OK", "u1", port);
    let world = world(&[("_sip._udp", "sbc1", port)]);
    let mut child = server::trunkdns()
        .arg("--config")
        .arg(world.path().join("trunkdns.toml"))
        .args(["probe", "sip", "--json", "--interval", "1s", "--count", "5", "--timeout", "1s"])
        .args(["--failures", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || {
        let round: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let target = &round["targets"][0];
        (target["verdict"].as_str().unwrap().to_owned(), target["in-service"].as_bool().unwrap())
    };
    assert_eq!(next(), ("healthy".into(), true));
    drop(endpoint);
    // The second round may have found it alive still.
    let rounds: Vec<_> = (0..4).map(|_| next()).collect();
    let failed = rounds.iter().position(|(verdict, _)| verdict == "unavailable").unwrap();
    assert!(failed < 2, "{rounds:?}");
    for (at, round) in rounds[failed..].iter().enumerate() {
        assert_eq!(*round, ("unavailable".to_owned(), at < 2), "{rounds:?}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn an_interrupted_probe_sums_up() {
    // The first round takes two seconds, and would be followed by others.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let world = world(&[("_sip._udp", "sbc1", silent.local_addr().unwrap().port())]);
    let mut child = server::trunkdns()
        .arg("--config")
        .arg(world.path().join("trunkdns.toml"))
        .args(["probe", "sip", "--interval", "2s", "--timeout", "2s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "carrier.test");
    // In the second round: its request is there.
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (0..4).for_each(|_| assert!(silent.recv(&mut [0; 1500]).is_ok()));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(rest.last().unwrap(), "0 healthy, 0 degraded, 1 unavailable");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_repeated_probe_shows_changes_and_a_summary() {
    let world = world(&[("_sip._udp", "sbc1", free_port())]);
    let (code, text) = probe(&world, "--interval 2s --count 2 --mode outage --failures 2");
    assert_eq!(code, Some(1));
    assert!(text.contains("0 of 2 healthy, out of service\n"), "{text}");
    assert!(text.contains("out of service\ncarrier.test\n"), "{text}");
    assert!(text.ends_with("0 healthy, 0 degraded, 1 unavailable; 1 out of service\n"), "{text}");
}

//----------- Kamailio -------------------------------------------------------

#[test]
fn certificates_are_checked_as_the_platform_checks_them() {
    if !installed("kamailio") {
        return;
    }
    let ports @ [plain, good, own, expired, other, stranger] = [(); 6].map(|()| free_port());
    let (authority, unknown) = (Authority::new("known"), Authority::new("unknown"));
    // For the domain (RFC 5922), and for the endpoint's own name.
    authority.certify("good", "carrier.test", 2090);
    authority.certify("own", "own.carrier.test", 2090);
    authority.certify("expired", "carrier.test", 2021);
    authority.certify("other", "elsewhere.test", 2090);
    unknown.certify("stranger", "carrier.test", 2090);
    let by = |authority: &Authority, name: &str, socket: &str| {
        let [certificate, key] = ["pem", "key"].map(|end| authority.path(&format!("{name}.{end}")));
        format!(
            "[server:{socket}]\nmethod = TLSv1.2+\ncertificate = {certificate}\n\
             private_key = {key}\n"
        )
    };
    let at = |port: u16| format!("127.0.0.1:{port}");
    let tls = by(&authority, "good", "default")
        + &by(&authority, "good", &at(good))
        + &by(&authority, "own", &at(own))
        + &by(&authority, "expired", &at(expired))
        + &by(&authority, "other", &at(other))
        + &by(&unknown, "stranger", &at(stranger));
    let _kamailio = Endpoint::kamailio(&kamailio(&ports), &tls, good);
    let world = world(&[
        ("_sip._udp", "udp", plain),
        ("_sip._tcp", "tcp", plain),
        ("_sips._tcp", "good", good),
        ("_sips._tcp", "own", own),
        ("_sips._tcp", "expired", expired),
        ("_sips._tcp", "other", other),
        ("_sips._tcp", "stranger", stranger),
    ]);
    let ca = format!("--ca {}", authority.path("ca.pem"));
    let (code, targets) = targets(&world, &ca);
    assert_eq!(code, Some(1));
    for (endpoint, verdict, what) in [
        ("udp", "healthy", "200 plain"),
        ("tcp", "healthy", "200 plain"),
        // The domain is what the client says that it wants (SNI).
        ("good", "healthy", "200 carrier.test"),
        ("own", "healthy", "200 carrier.test"),
        ("expired", "unavailable", "the certificate has expired"),
        (
            "other",
            "unavailable",
            "the certificate is for elsewhere.test, not for carrier.test or other.carrier.test",
        ),
        ("stranger", "unavailable", "the certificate is by no authority that is trusted here"),
    ] {
        let target = target(&targets, endpoint);
        assert_eq!((&target["verdict"], &target["what"]), (&verdict.into(), &what.into()));
    }
    let certificate = |endpoint| &target(&targets, endpoint)["certificate"];
    assert_eq!(certificate("good")["accepted-for"], "carrier.test");
    assert_eq!(certificate("own")["accepted-for"], "own.carrier.test");
    assert!(certificate("good")["days-left"].as_i64().unwrap() > 10_000);
    assert!(certificate("expired")["days-left"].as_i64().unwrap() < -1000);
    // 2090-12-31, in seconds.
    assert_eq!(certificate("good")["expires"], 3_818_361_600_u64);
    assert_eq!(certificate("udp"), &Value::Null);

    assert_eq!(probe(&world, &format!("good {ca}")).0, Some(0));
    assert_eq!(probe(&world, &format!("good {ca} --min-days 100000")).0, Some(1));
    assert_eq!(probe(&world, &format!("good {ca} --tls-name other.test")).0, Some(1));
    assert_eq!(probe(&world, &format!("other {ca} --tls-name elsewhere.test")).0, Some(0));
}

/// A Kamailio that answers OPTIONS with what the client called it by, on one
/// plain port and several with TLS.
fn kamailio(ports: &[u16; 6]) -> String {
    let mut config = KAMAILIO.to_owned();
    let [plain, encrypted @ ..] = ports;
    config += &format!("listen=udp:127.0.0.1:{plain}\nlisten=tcp:127.0.0.1:{plain}\n");
    for port in encrypted {
        config += &format!("listen=tls:127.0.0.1:{port}\n");
    }
    for module in ["tls", "sl", "pv"] {
        config += &format!("loadmodule \"{module}.so\"\n");
    }
    config
        + "modparam(\"tls\", \"config\", \"TLS_CFG\")\nrequest_route {\n\
           if ($pr == \"tls\") { sl_send_reply(\"200\", \"$tls_peer_server_name\"); }\n\
           else { sl_send_reply(\"200\", \"plain\"); }\n}\n"
}

//----------- Peers that answer as they should not ---------------------------

#[test]
fn only_a_final_answer_to_the_request_counts() {
    let address = peer(|request| {
        let other =
            request.replace("Call-ID: ", "Call-ID: f").replace("branch=z9hG4bK", "branch=z9hG4bKf");
        vec![
            "nonsense".to_owned(),
            response("503 Not you", &other),
            request.to_owned(),
            response("100 Trying", request),
            response("200 Yes", request),
        ]
    });
    let world = world(&[("_sip._udp", "sbc1", address.port())]);
    let (code, targets) = targets(&world, "");
    assert_eq!((code, &targets[0]["what"]), (Some(0), &"200 Yes".into()));
}

#[test]
fn what_came_instead_of_an_answer_is_told() {
    for (answer, what, note) in [
        (
            "nonsense",
            "no answer within 1s",
            "a message came that is no response: its head does not end",
        ),
        ("100 Trying", "no final answer within 1s", ""),
    ] {
        let address = peer(move |request| match answer {
            "nonsense" => vec![answer.to_owned()],
            status => vec![response(status, request)],
        });
        let world = world(&[("_sip._udp", "sbc1", address.port())]);
        let (code, targets) = targets(&world, "--timeout 1s");
        assert_eq!((code, &targets[0]["what"]), (Some(1), &what.into()));
        assert_eq!(targets[0]["notes"][0].as_str().unwrap_or_default(), note);
    }
}

#[test]
fn somebody_who_changes_addresses_on_the_way_is_noticed() {
    let address = peer(|request| {
        let answer =
            response("200 OK", request).replace("rport", "rport=1024;received=203.0.113.9");
        vec![answer]
    });
    let world = world(&[("_sip._udp", "sbc1", address.port())]);
    let (code, text) = probe(&world, "");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("and came from 203.0.113.9:1024\n"), "{text}");
}

#[test]
fn a_selection_that_means_nobody_is_refused() {
    let world = world(&[("_sip._udp", "sbc1", 9)]);
    for arguments in ["sbc9", "--service _sips._tcp", "sbc1 --region mars"] {
        let (code, text) = probe(&world, arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.starts_with("trunkdns: "), "{text}");
    }
    assert_eq!(probe(&world, "--interval 1s").0, Some(2));
}
