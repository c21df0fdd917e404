//! The real binary, asked by real programs: dig, kdig, Unbound.

#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::process::Stdio;

use hickory_proto::op::Message;
use server::{Resolver, Server, example_in, has_address, installed, project, trunkdns};
use support::{World, question};

const SRV: &str = "_sip._tcp.carrier.example.com";

/// The records of a section as dig prints them, blanks made single.
fn section(output: &str, name: &str) -> Vec<String> {
    let header = format!(";; {name} SECTION:");
    output
        .lines()
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The data of the SRV records that a region's clients are to get.
fn row(region: &str) -> Vec<String> {
    let table = fs::read_to_string(project().join("zones/carrier.example.com/priorities.toml"));
    let table: toml::Table = table.unwrap().parse().unwrap();
    let row = table["_sip._tcp"][region].as_table().unwrap();
    let mut records = Vec::new();
    for (tier, priority) in [("primary", 10), ("secondary", 20), ("tertiary", 30)] {
        let mut endpoints: Vec<(i64, String)> = row[tier]
            .as_array()
            .unwrap()
            .iter()
            .map(|endpoint| match endpoint {
                toml::Value::String(target) => (100, target.clone()),
                other => (
                    other["weight"].as_integer().unwrap(),
                    other["target"].as_str().unwrap().to_owned(),
                ),
            })
            .collect();
        endpoints.sort_by_key(|(weight, target)| (-weight, target.clone()));
        for (weight, target) in endpoints {
            records.push(format!("{priority} {weight} 5060 {target}.carrier.example.com."));
        }
    }
    records
}

/// The data of the answer section.
fn data(output: &str) -> Vec<String> {
    let records = section(output, "ANSWER");
    records.iter().map(|line| line.splitn(5, ' ').nth(4).unwrap().to_owned()).collect()
}

//----------- The main job ---------------------------------------------------

#[test]
fn korea_and_germany_get_their_regions_rows_with_addresses_and_scope() {
    if !installed("dig") {
        return;
    }
    let server = Server::example();
    for (subnet, region) in [("3.5.140.0/24", "ap-northeast"), ("18.196.0.0/24", "eu-central")] {
        let output = server.dig(&format!("{SRV} SRV +subnet={subnet}"));
        assert_eq!(data(&output), row(region), "{output}");
        let scope: u8 = output
            .lines()
            .find_map(|line| line.strip_prefix("; CLIENT-SUBNET: "))
            .and_then(|text| text.rsplit('/').next())
            .unwrap_or_else(|| panic!("no scope: {output}"))
            .parse()
            .unwrap();
        assert!((1..=24).contains(&scope), "{output}");
        let additional = section(&output, "ADDITIONAL");
        for target in row(region).iter().map(|data| data.rsplit(' ').next().unwrap()) {
            for rtype in ["A", "AAAA"] {
                let is_there = additional
                    .iter()
                    .any(|line| line.starts_with(target) && line.split(' ').nth(3) == Some(rtype));
                // sbc3.us-east has no IPv6 address.
                assert!(is_there || target.starts_with("sbc3"), "{target} {rtype}: {output}");
            }
        }
    }
}

#[test]
fn without_a_client_subnet_the_resolvers_own_address_decides() {
    if !installed("dig") {
        return;
    }
    let server = Server::example();
    for (source, region) in [("127.0.12.1", "us-west"), ("127.0.15.9", "eu-central")] {
        if !has_address(source) {
            continue;
        }
        let output = server.dig(&format!("-b {source} {SRV} SRV"));
        assert_eq!(data(&output), row(region), "{output}");
    }
    let output = server.dig(&format!("{SRV} SRV"));
    assert_eq!(data(&output), row("us-east"), "{output}");
}

#[test]
fn a_thousand_repeats_give_the_same_octets_and_so_does_tcp() {
    let server = Server::example();
    // _sip._tcp.carrier.example.com SRV, EDNS 1232, subnet 3.5.140.0/24.
    let query =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x04_sip\x04_tcp\x07carrier\x07example\x03com\0\
                  \0\x21\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\x03\x05\x8c";
    let first = server.udp(query);
    for id in 0..1000u16 {
        let mut again = query.to_vec();
        again[..2].copy_from_slice(&id.to_be_bytes());
        let reply = server.udp(&again);
        assert_eq!(reply[..2], id.to_be_bytes());
        assert_eq!(reply[2..], first[2..]);
    }
    assert_eq!(server.tcp(query), first);
    assert_eq!(Message::from_vec(&first).unwrap().answers.len(), 3);
}

#[test]
fn resolvers_are_steered_by_the_address_they_ask_from() {
    if !installed("dig") || !installed("unbound") || !has_address("127.0.12.1") {
        return;
    }
    let server = Server::example();
    for (source, region) in
        [("127.0.12.1", "us-west"), ("127.0.15.1", "eu-central"), ("127.0.18.1", "ap-northeast")]
    {
        let resolver = Resolver::start(source, "carrier.example.com.", server.address);
        let mut records = data(&resolver.dig(&format!("{SRV} SRV")));
        // A resolver may rotate what it hands on; the set is ours.
        records.sort();
        assert_eq!(records, row(region), "through a resolver at {source}");
        let naptr = resolver.dig("carrier.example.com NAPTR");
        assert!(naptr.contains("status: NOERROR") && data(&naptr).len() == 3, "{naptr}");
        let missing = resolver.dig("missing.carrier.example.com A");
        assert!(missing.contains("status: NXDOMAIN"), "{missing}");
        let host = resolver.dig(&format!("sbc1.{region}.carrier.example.com AAAA"));
        assert_eq!(data(&host).len(), 1, "{host}");
    }
}

//----------- Every client reads every answer --------------------------------

/// Questions with what dig is to say of the status and the answer's records.
const QUESTIONS: &[(&str, &str, usize)] = &[
    ("_sip._tcp.carrier.example.com SRV", "NOERROR", 3),
    ("_sip._tcp.carrier.example.com SRV +tcp", "NOERROR", 3),
    ("_sip._tcp.carrier.example.com SRV +noedns", "NOERROR", 3),
    ("_sip._tcp.carrier.example.com SRV +bufsize=512", "NOERROR", 3),
    ("_sip._tcp.carrier.example.com SRV +dnssec", "NOERROR", 3),
    ("_SIP._tCp.CARRIER.eXample.com SRV", "NOERROR", 3),
    ("_sips._tcp.carrier.example.com SRV", "NOERROR", 3),
    ("_sip._udp.carrier.example.com SRV", "NOERROR", 3),
    ("_sip._tcp.primary.carrier.example.com SRV", "NOERROR", 1),
    ("_sip._tcp.us-east.carrier.example.com SRV", "NOERROR", 4),
    ("_sip._tcp.secondary.us-east.carrier.example.com SRV", "NOERROR", 2),
    ("carrier.example.com NAPTR", "NOERROR", 3),
    ("carrier.example.com SOA", "NOERROR", 1),
    ("carrier.example.com NS", "NOERROR", 2),
    ("carrier.example.com MX", "NOERROR", 1),
    ("carrier.example.com ANY", "NOERROR", 1),
    ("carrier.example.com TYPE65280", "NOERROR", 0),
    ("carrier.example.com DS", "NOERROR", 0),
    ("_tcp.carrier.example.com SRV", "NOERROR", 0),
    ("x._sip._tcp.carrier.example.com SRV", "NXDOMAIN", 0),
    ("missing.carrier.example.com A", "NXDOMAIN", 0),
    ("example.com SOA", "REFUSED", 0),
    ("host.lab.carrier.example.com A", "NOERROR", 0),
    ("proxy.carrier.example.com A", "NOERROR", 2),
];

#[test]
fn dig_and_kdig_read_every_answer_alike() {
    if !installed("dig") || !installed("kdig") {
        return;
    }
    let server = Server::example();
    for (question, status, answers) in QUESTIONS {
        // The shipped example gives us-west three records everywhere.
        let from = if question.contains("us-east") { "" } else { " +subnet=203.0.113.32/28" };
        let from = if question.contains("noedns") { " -b 127.0.12.1" } else { from };
        if from.starts_with(" -b") && !has_address("127.0.12.1") {
            continue;
        }
        let dig = server.dig(&format!("{question}{from}"));
        assert!(dig.contains(&format!("status: {status},")), "{question}: {dig}");
        assert_eq!(section(&dig, "ANSWER").len(), *answers, "{question}: {dig}");
        for complaint in ["malformed", "extra bytes", "Warning", "WARNING: EDNS"] {
            assert!(!dig.contains(complaint), "{question}: {dig}");
        }
        let kdig = server.kdig(&format!("{question}{from}"));
        assert!(kdig.contains(&format!("status: {status};")), "{question}: {kdig}");
        let count = kdig.lines().find_map(|line| {
            let (_, rest) = line.split_once("ANSWER: ")?;
            rest.split(';').next()?.trim().parse::<usize>().ok()
        });
        assert_eq!(count, Some(*answers), "{question}: {kdig}");
    }
}

#[test]
fn edns_is_answered_with_our_payload_size_and_only_when_asked() {
    if !installed("dig") {
        return;
    }
    let server = Server::example();
    let output = server.dig(&format!("{SRV} SRV +bufsize=65000"));
    assert!(output.contains("; EDNS: version: 0, flags:; udp: 1232"), "{output}");
    let output = server.dig(&format!("{SRV} SRV +dnssec"));
    assert!(output.contains("; EDNS: version: 0, flags: do; udp: 1232"), "{output}");
    let output = server.dig(&format!("{SRV} SRV +noedns"));
    assert!(!output.contains("EDNS"), "{output}");
    let output = server.dig(&format!("{SRV} SRV +nsid"));
    assert!(output.contains("NSID: 6e 73 31 (\"ns1\")"), "{output}");
    let output = server.dig(&format!("{SRV} SRV +edns=1 +noednsnegotiation"));
    assert!(output.contains("status: BADVERS"), "{output}");
}

#[test]
fn replies_keep_to_the_clients_limit_and_are_truncated_only_when_the_answer_does_not_fit() {
    // The limit must hold for what is sent, and glue must go before TC is set.
    let mut zone = "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\n[ns]\nhosts = [\"ns1\"]\n\
                    [services.\"_sip._tcp\"]\nport = 5060\nttl = 60\n\
                    [services.\"_sip._tcp\".tiers]\nprimary = { priority = 10 }\n\
                    [hosts]\nns1 = [\"192.0.2.53\"]\n"
        .to_owned();
    let mut row = Vec::new();
    for at in 0..9 {
        zone += &format!("sbc{at} = [\"198.51.100.{at}\", \"2001:db8::{at}\"]\n");
        row.push(format!("\"sbc{at}\""));
    }
    let world = World::with_zone(
        "carrier.example.com",
        &[
            ("zone.toml", &zone),
            (
                "priorities.toml",
                &format!("[\"_sip._tcp\".default]\nprimary = [{}]\n", row.join(", ")),
            ),
        ],
    );
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let full = question(&format!("{SRV}."), "SRV").edns(1232);
    let full = Message::from_vec(&server.udp(&full.octets())).unwrap();
    assert_eq!((full.answers.len(), full.additionals.len()), (9, 18));
    for payload in (512..=1232).step_by(16) {
        let reply = server.udp(&question(&format!("{SRV}."), "SRV").edns(payload).octets());
        assert!(reply.len() <= payload.into(), "{} octets for {payload}", reply.len());
        let message = Message::from_vec(&reply).unwrap();
        match message.metadata.truncation {
            true => assert!(message.answers.is_empty() && payload < 560, "{payload}"),
            false => assert_eq!(message.answers, full.answers, "{payload}"),
        }
        assert_eq!(message.additionals.len() % 2, 0);
    }
}

#[test]
fn records_that_hickory_cannot_read_are_answered_all_the_same() {
    let records = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n\
                   a NAPTR 1 1 \"!\" \"x\" \"\" .\nb TYPE65280 \\# 0\nc TXT \\# 0\n\
                   d TYPE257 \\# 2 0000\ne TYPE64 \\# 7 00010000000000\nf TYPE65280 \\# 2 0102\n";
    let world = World::with_zone("example", &[("records.zone", records)]);
    world.listen_anywhere();
    let server = Server::start(&world.path().join("trunkdns.toml"));
    let types = [("a", 35), ("b", 65280), ("c", 16), ("d", 257), ("e", 64), ("f", 65280)];
    for (name, rtype) in types {
        let query = question(&format!("{name}.example."), "A").edns(1232).with(|message| {
            message.queries[0].set_query_type(rtype.into());
        });
        for reply in [server.udp(&query.octets()), server.tcp(&query.octets())] {
            // Header: the answer count and the response code.
            assert_eq!((&reply[6..8], reply[3] & 0x0f), (&[0, 1][..], 0), "{name}: {reply:?}");
        }
    }
}

//----------- Options and operations -----------------------------------------

/// Returns what dig prints behind a word at the beginning of a line.
fn line<'o>(output: &'o str, word: &str) -> Option<&'o str> {
    output.lines().find_map(|line| line.strip_prefix(word))
}

#[test]
fn dig_gets_a_cookie_that_the_server_knows_again_at_that_address_also_after_a_reload() {
    if !installed("dig") {
        return;
    }
    let server = Server::example();
    let cookie = |arguments: &str| {
        let output = server.dig(&format!("{SRV} SRV {arguments}"));
        let cookie = line(&output, "; COOKIE: ").unwrap_or_else(|| panic!("none: {output}"));
        let cookie = cookie.strip_suffix(" (good)");
        cookie.unwrap_or_else(|| panic!("not the cookie that dig sent: {output}")).to_owned()
    };
    let learned = cookie("+cookie=0123456789abcdef");
    assert_eq!((learned.len(), &learned[..18]), (48, "0123456789abcdef01"));
    let again = format!("+cookie={learned}");
    assert_eq!(cookie(&again), learned);
    assert_eq!(cookie(&format!("{again} +tcp")), learned);
    if has_address("127.0.12.1") {
        assert_ne!(cookie(&format!("{again} -b 127.0.12.1")), learned);
    }
    assert_eq!(server.command("reload").0, Some(0));
    assert_eq!(cookie(&again), learned);
    // Valid or not, an answer comes.
    let forged = server.dig(&format!("{SRV} SRV +cookie={}", "0123456789abcdef".repeat(3)));
    assert_eq!(data(&forged), row("us-east"), "{forged}");
    let short = server.dig(&format!("{SRV} SRV +nocookie +ednsopt=10:0102"));
    assert!(short.contains("status: FORMERR"), "{short}");
}

#[test]
fn dig_asks_for_a_cookie_alone() {
    if !installed("dig") {
        return;
    }
    let server = Server::example();
    let output = server.dig("+header-only +cookie");
    assert!(output.contains("status: NOERROR") && output.contains("QUERY: 0,"), "{output}");
    assert!(line(&output, "; COOKIE: ").is_some_and(|cookie| cookie.ends_with("(good)")));
    // Left alone, dig would ask again with the cookie that it is given.
    let forged = format!("+header-only +nobadcookie +cookie={}", "0123456789abcdef".repeat(3));
    let output = server.dig(&forged);
    assert!(output.contains("status: BADCOOKIE"), "{output}");
    let output = server.dig("+header-only +nocookie");
    assert!(output.contains("status: FORMERR"), "{output}");
}

#[test]
fn dig_and_kdig_learn_the_idle_timeout_over_tcp_and_not_over_udp() {
    if !installed("dig") || !installed("kdig") {
        return;
    }
    let server = Server::example();
    let output = server.dig(&format!("{SRV} SRV +keepalive +tcp"));
    assert_eq!(line(&output, "; TCP KEEPALIVE: "), Some("10.0 secs"), "{output}");
    let output = server.dig(&format!("{SRV} SRV +keepalive"));
    assert_eq!(line(&output, "; TCP KEEPALIVE"), None, "{output}");
    let output = server.kdig(&format!("{SRV} SRV +tcp +ednsopt=11"));
    assert!(output.contains("status: NOERROR"), "{output}");
    let output = server.kdig(&format!("{SRV} SRV +tcp +ednsopt=11:0064"));
    assert!(output.contains("status: FORMERR"), "{output}");
}

#[test]
fn other_operations_are_not_implemented_and_errors_say_what_they_mean() {
    if !installed("dig") || !installed("kdig") {
        return;
    }
    let server = Server::example();
    for opcode in ["iquery", "status", "notify", "update", "6", "15"] {
        let output = server.dig(&format!("carrier.example.com SOA +opcode={opcode} +tcp"));
        assert!(output.contains("status: NOTIMP") && output.contains("QUERY: 1,"), "{output}");
        assert_eq!(line(&output, "; EDE: "), Some("21 (Not Supported)"), "{output}");
    }
    // Over UDP an error is no longer than its query.
    for (arguments, expected) in [
        ("example.com A +tcp", Some("20 (Not Authoritative)")),
        ("example.com A +nocookie +padding=128", Some("20 (Not Authoritative)")),
        ("example.com A +nocookie", None),
        ("version.bind TXT CH +tcp", Some("20 (Not Authoritative)")),
    ] {
        let output = server.dig(arguments);
        assert!(output.contains("status: REFUSED"), "{output}");
        assert_eq!(line(&output, "; EDE: "), expected, "{output}");
    }
    let output = server.kdig("example.com A +edns +tcp");
    assert_eq!(line(&output, ";; EDE: "), Some("20 (Not Authoritative)"), "{output}");
}

#[test]
fn options_that_nobody_knows_change_nothing() {
    if !installed("dig") || !installed("kdig") {
        return;
    }
    let server = Server::example();
    for option in ["+ednsopt=100:abcd", "+ednsopt=65001:", "+padding=128", "+ednsflags=0x7fff"] {
        let output = server.dig(&format!("{SRV} SRV {option}"));
        assert!(output.contains("; EDNS: version: 0, flags:; udp: 1232"), "{output}");
        assert!(!output.contains("PAD") && !output.contains("OPT="), "{output}");
        assert_eq!(data(&output), row("us-east"), "{output}");
    }
    let output = server.kdig(&format!("{SRV} SRV +padding=128 +cookie"));
    assert!(output.contains("status: NOERROR;") && output.contains("COOKIE"), "{output}");
}

//----------- Commands -------------------------------------------------------

#[test]
fn the_shipped_example_passes_check_without_a_finding() {
    let output = trunkdns().current_dir(project()).arg("check").output().unwrap();
    let text = server::succeed(&output);
    assert_eq!(text, "trunkdns.toml: 1 zone, 10 regions, 0 warnings, 3 allowed\n");
    let output = trunkdns().current_dir(project()).args(["check", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({"errors": 0, "warnings": 0, "allowed": 3, "findings": []});
    assert_eq!(json, expected);
}

#[test]
fn broken_tables_at_start_print_their_findings_and_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let config = example_in(folder.path(), "127.0.0.1:0");
    let path = folder.path().join("zones/carrier.example.com/priorities.toml");
    let table = fs::read_to_string(&path).unwrap();
    let broken = table
        .replacen("primary = [\"sbc1.us-west\"]", "primary = [\"sbc9.us-west\"]", 1)
        .replacen("primary = [\"sbc1.sa-east\"]", "primry = [\"sbc1.sa-east\"]", 1);
    assert_ne!(broken, table);
    fs::write(&path, broken).unwrap();
    for command in ["serve", "check"] {
        let output =
            trunkdns().arg("--config").arg(&config).arg(command).stdin(Stdio::null()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("priorities.toml:"), "{command}: {text}");
        assert!(text.contains("primry"), "{command}: {text}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure_and_output_that_is_lost_is_one() {
    let check = |to: &str| {
        let binary = env!("CARGO_BIN_EXE_trunkdns");
        let command = format!("{binary} check {to}; test ${{PIPESTATUS[0]:-$?}} -eq 0");
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &command]).current_dir(project()).stderr(Stdio::null());
        shell.status().unwrap().success()
    };
    assert!(check("| head -c 0"));
    if std::path::Path::new("/dev/full").exists() {
        assert!(!check("> /dev/full"));
    }
}

#[test]
fn a_wrong_command_line_exits_2() {
    for arguments in [&["serv"][..], &["check", "--jsn"], &[]] {
        let output = trunkdns().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_address_in_use_is_named_and_exits_1() {
    let server = Server::example();
    let folder = tempfile::tempdir().unwrap();
    let config = example_in(folder.path(), &server.address.to_string());
    let output = trunkdns().arg("--config").arg(&config).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("cannot listen on {}", server.address)), "{text}");
    assert!(text.contains("is another server running?"), "{text}");
}

#[test]
fn sigterm_and_sigint_end_the_server_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::example();
        assert!(server.ready.contains("ready: 1 zone, 10 regions"), "{}", server.ready);
        server.signal("HUP");
        server.signal(signal);
        assert_eq!(server.wait(), Some(0));
    }
}
