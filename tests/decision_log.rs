//! The decision log of the real server: lines, rotation, a full disk, dnstap,
//! the join with calls, and `explain --at`.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use server::{Server, command, installed};

const NAME: &str = "_sip._tcp.carrier.example.com";

/// How long something may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

//----------- Lines ----------------------------------------------------------

#[test]
fn a_line_says_who_was_given_which_endpoints_when_and_why() {
    let server = logging("file = \"log/decisions.jsonl\"");
    server.dig(&format!("{NAME} SRV +subnet=203.0.113.0/24 +tcp"));
    server.dig("sbc1.us-east.carrier.example.com A +noedns");
    server.dig("nowhere.carrier.example.com A");
    server.dig("elsewhere.example A");
    server.udp(b"no query at all");
    let mut lines = wait_for(&log(&server), 6);
    // Those of other workers may be some milliseconds out of their order.
    lines.sort_by_key(|line| line["time"].as_str().unwrap().to_owned());
    assert_eq!(lines[0]["event"], "opened");
    assert_eq!((&lines[0]["node"], &lines[0]["sample"]), (&json!("ns1"), &json!(1)));
    let first = &lines[1];
    let stable = ["event", "transport", "client", "subnet", "name", "type", "zone", "region"];
    let said: Vec<_> = stable.iter().map(|key| first[key].as_str().unwrap()).collect();
    let expected =
        ["answer", "tcp", "127.0.0.1", "203.0.113.0/24", "_sip._tcp.carrier.example.com."];
    assert_eq!(said[..5], expected);
    assert_eq!(said[5..], ["SRV", "carrier.example.com.", "us-east"]);
    assert_eq!((&first["outcome"], &first["rcode"]), (&json!("answered"), &json!("NOERROR")));
    assert_eq!((&first["ttl"], &first["generation"]), (&json!(60), &json!(1)));
    assert_eq!((&first["truncated"], &first["records"]), (&json!(false), &json!(4)));
    let serial = server.dig("carrier.example.com SOA +short");
    assert!(serial.contains(&first["serial"].to_string()), "{serial}");
    let endpoint = json!({
        "target": "sbc1.us-east.carrier.example.com.", "port": 5060, "priority": 10, "weight": 100,
        "addresses": ["198.51.100.11", "2001:db8:1:5060::1"],
    });
    assert_eq!(first["endpoints"][0], endpoint);
    assert_eq!(lines[2]["addresses"], json!(["198.51.100.11"]));
    assert!(lines[2]["subnet"].is_null() && lines[2]["endpoints"].is_null());
    let outcomes: Vec<_> = lines[1..].iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes[..5], ["answered", "answered", "no-name", "not-served", "malformed"]);
    assert_eq!(lines[3]["rcode"], "NXDOMAIN");
    assert!(lines[4]["zone"].is_null(), "{}", lines[4]);
}

#[test]
fn what_networks_regions_and_sample_leave_out_is_not_logged() {
    for (keys, is_logged) in [
        ("networks = [\"127.0.0.0/8\"]\nregions = [\"us-east\"]", true),
        ("networks = [\"192.0.2.0/24\"]", false),
        ("regions = [\"eu-west\"]", false),
        // Of a million networks this is not the one.
        ("sample = 1000000", false),
    ] {
        let mut server = logging(&format!("file = \"log/decisions.jsonl\"\n{keys}"));
        server.dig(&format!("{NAME} SRV"));
        // What has been answered is written before it ends.
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        let answers = read(&log(&server)).iter().filter(|line| line["event"] == "answer").count();
        assert_eq!(answers, usize::from(is_logged), "{keys}");
    }
}

#[test]
fn a_region_that_there_is_not_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let config = server::example_in(folder.path(), "127.0.0.1:0");
    configure(folder.path(), "file = \"log/decisions.jsonl\"\nregions = [\"us-eats\"]");
    let (code, text) = command(&config, "check");
    assert_eq!(code, Some(1));
    assert!(text.contains("unknown-region") && text.contains("did you mean `us-east`?"), "{text}");
}

#[test]
fn a_log_whose_folder_is_missing_keeps_the_server_from_starting_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = server::example_in(folder.path(), "127.0.0.1:0");
    configure(folder.path(), "file = \"gone/decisions.jsonl\"");
    let (code, text) = command(&config, "serve");
    assert_eq!(code, Some(1));
    assert!(text.contains("[log] file") && text.contains("make the folder"), "{text}");
}

#[test]
fn on_standard_output_lines_follow_the_ready_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = server::example_in(folder.path(), "127.0.0.1:0");
    configure(folder.path(), "file = \"stdout\"");
    let mut child = server::trunkdns()
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    let (first, second) = (next(), next());
    child.kill().unwrap();
    child.wait().unwrap();
    let is_ready = |line: &str| line.starts_with("trunkdns");
    assert!(is_ready(&first) != is_ready(&second), "{first}\n{second}");
    assert!(first.contains("\"opened\"") != second.contains("\"opened\""), "{first}\n{second}");
}

//----------- Rotation -------------------------------------------------------

#[test]
fn sighup_goes_on_in_a_new_file_even_where_the_tables_are_broken_and_loses_no_line() {
    let server = logging("file = \"log/decisions.jsonl\"");
    let (path, moved) = (log(&server), log(&server).with_extension("1"));
    server.dig(&format!("{NAME} SRV"));
    wait_for(&path, 2);
    fs::rename(&path, &moved).unwrap();
    server.dig(&format!("{NAME} SRV"));
    // Until it is told, it goes on in the file that it has open.
    wait_for(&moved, 3);
    fs::write(server.folder().join("geoip/regions.toml"), "broken = ").unwrap();
    server.signal("HUP");
    wait_for(&path, 1);
    server.dig(&format!("{NAME} SRV"));
    let lines = wait_for(&path, 2);
    assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&json!("opened"), &json!("answer")));
    assert_eq!(read(&moved).len(), 3);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640, "clients' addresses are not for everybody");
}

#[test]
fn lines_of_a_burst_are_all_there_and_those_of_a_client_in_order() {
    let server = logging("file = \"log/decisions.jsonl\"");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..2000_u32 {
        let name = format!("\u{5}{number:05}\u{7}carrier\u{7}example\u{3}com\0");
        let message =
            [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], name.as_bytes(), &[0, 1, 0, 1]].concat();
        socket.send(&message).unwrap();
        socket.recv(&mut [0; 512]).unwrap();
    }
    let lines = wait_for(&log(&server), 2001);
    for (number, line) in lines[1..].iter().enumerate() {
        assert_eq!(line["name"], format!("{number:05}.carrier.example.com."));
    }
    assert_eq!(counted(&server, "log-written"), 2000);
    assert_eq!(counted(&server, "log-lost"), 0);
}

//----------- A full disk ----------------------------------------------------

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_no_answers() {
    let server = logging("file = \"/dev/full\"");
    for _ in 0..20 {
        assert!(server.dig(&format!("{NAME} SRV +short")).starts_with("10 "));
    }
    eventually("lines are counted", || counted(&server, "log-unwritten") == 20);
    assert_eq!(counted(&server, "log-written"), 0);
    assert!(server.dig(&format!("{NAME} SRV +short")).starts_with("10 "));
}

//----------- dnstap ---------------------------------------------------------

#[test]
fn dnstap_is_read_by_its_readers_and_one_that_comes_back_is_reached_again() {
    if !["fstrm_capture", "dnstap-read"].into_iter().all(installed) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dnstap.sock");
    let server = logging(&format!("dnstap = {socket:?}"));
    server.dig(&format!("{NAME} SRV"));
    // Nobody reads yet.
    eventually("it is counted", || counted(&server, "dnstap-lost") == 1);
    for round in ["first", "second"] {
        let captured = folder.path().join(round);
        let mut reader = Reader::start(&socket, &captured);
        let before = counted(&server, "dnstap-sent");
        eventually("the reader is reached", || {
            server.dig(&format!("{NAME} SRV +tcp"));
            server.dig("carrier.example.com SOA");
            counted(&server, "dnstap-sent") >= before + 2
        });
        reader.end();
        let lines = dnstap_read(&[], &captured);
        let tcp = lines.lines().find(|line| line.contains(" TCP ")).unwrap();
        assert!(tcp.contains(" AR 127.0.0.1:") && tcp.contains(&format!("{NAME}/IN/SRV")), "{tcp}");
        assert!(tcp.contains(&format!("<- {}", server.address)), "{tcp}");
        let whole = dnstap_read(&["-y"], &captured);
        for part in
            ["identity: ns1", "version: trunkdns ", "type: AUTH_RESPONSE", "socket_protocol: TCP"]
        {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        assert!(whole.contains("query_zone: carrier.example.com."), "{whole}");
        assert!(whole.contains("SRV 10 100 5060 sbc1.us-east.carrier.example.com."), "{whole}");
    }
}

fn dnstap_read(options: &[&str], captured: &Path) -> String {
    server::succeed(&Command::new("dnstap-read").args(options).arg(captured).output().unwrap())
}

/// A reader of dnstap.
struct Reader(Child);

impl Reader {
    fn start(socket: &Path, captured: &Path) -> Self {
        let child = Command::new("fstrm_capture")
            .args(["-t", "protobuf:dnstap.Dnstap", "-u"])
            .arg(socket)
            .arg("-w")
            .arg(captured)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the reader listens", || socket.exists());
        Reader(child)
    }

    /// Ends it so that it writes all that it has.
    fn end(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//----------- Joining --------------------------------------------------------

#[test]
fn calls_are_joined_with_what_was_answered() {
    let server = logging("file = \"log/decisions.jsonl\"");
    server.dig(&format!("{NAME} SRV"));
    let lines = wait_for(&log(&server), 2);
    let at = lines[1]["time"].as_str().unwrap();
    let calls = server.folder().join("calls.csv");
    let write =
        |rows: &str| fs::write(&calls, format!("id,time,resolver,endpoint\n{rows}")).unwrap();
    write(&format!(
        "a,{at},127.0.0.9,198.51.100.12\nb,{at},us-east,sbc1.us-east.carrier.example.com\n"
    ));
    let join = |options: &str| server.command(&format!("log join {} {options}", calls.display()));
    let (code, text) = join("");
    assert_eq!((code, &text[..16]), (Some(0), "2 calls, 2 held\n"), "{text}");
    assert!(text.contains("  1 at priority 10\n  1 at priority 20\n"), "{text}");
    write(&format!("a,{at},127.0.0.9,198.51.100.99\nb,{at},192.0.2.1,198.51.100.11\n"));
    let (code, text) = join("--json");
    assert_eq!(code, Some(1));
    let says: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(says[0]["says"]["verdict"], "not-in-it");
    assert_eq!(says[0]["says"]["targets"][0], "sbc1.us-east.carrier.example.com.");
    assert_eq!(
        (&says[1]["says"]["verdict"], &says[1]["id"]),
        (&json!("nothing-logged"), &json!("b"))
    );
    write("a,yesterday,127.0.0.9,198.51.100.99\n");
    let (code, text) = join("");
    assert_eq!(code, Some(1));
    assert!(text.contains("calls.csv:2: `yesterday` is no time"), "{text}");
}

//----------- Explaining -----------------------------------------------------

#[test]
fn explain_at_gives_what_a_line_says_in_a_handover_too() {
    let server = Server::example_with(|folder| {
        configure(folder, "file = \"log/decisions.jsonl\"");
        let path = folder.join("trunkdns.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(path, config.replace("\nspread = \"15s\"\n", "\nspread = \"0s\"\n")).unwrap();
    });
    let ask = || drop(server.dig(&format!("{NAME} SRV +subnet=198.51.100.0/24")));
    // What is published begins at a full second, and is remembered from then on.
    let wait_for_its_second = || {
        eventually("it has begun", || {
            let (_, text) = server.command("history --json");
            let events: Value = serde_json::from_str(&text).unwrap();
            events[0]["time"].as_u64().is_some_and(|time| time <= now())
        });
    };
    wait_for_its_second();
    ask();
    let table = server.folder().join("zones/carrier.example.com/priorities.toml");
    let text = fs::read_to_string(&table).unwrap();
    let edited = text.replacen("primary = [\"sbc1.us-east\"]", "primary = [\"sbc2.us-east\"]", 1);
    assert_ne!(text, edited);
    fs::write(&table, edited).unwrap();
    let (code, said) = server.command("reload");
    assert_eq!(code, Some(0), "{said}");
    wait_for_its_second();
    // The changeover is 60 s away: TTLs count down to it.
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1100));
        ask();
    }
    // And then at once.
    fs::write(&table, text.replacen("[\"sbc1.us-east\"]", "[\"sbc3.us-east\"]", 1)).unwrap();
    let (code, said) = server.command("reload --now");
    assert_eq!(code, Some(0), "{said}");
    wait_for_its_second();
    ask();
    // Now lies behind all of them.
    thread::sleep(Duration::from_millis(1100));
    let lines = read(&log(&server));
    let below = |line: &&Value| line["ttl"].as_u64().unwrap() < 60;
    assert!(lines[1..].iter().filter(below).count() >= 2, "a handover: {lines:?}");
    let document = document();
    let explain = document.lines().find(|line| line.starts_with("trunkdns explain ")).unwrap();
    for line in &lines[1..] {
        let (at, subnet) = (line["time"].as_str().unwrap(), line["subnet"].as_str().unwrap());
        let explain = explain.strip_prefix("trunkdns ").unwrap();
        let explain =
            explain.replace("203.0.113.0/24", subnet).replace("2026-11-27T22:26:23.210Z", at);
        let (code, text) = server.command(&format!("{explain} --json"));
        assert_eq!(code, Some(0), "{text}");
        let explained: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(records(&explained), handed_out(line), "{line}\n{explained:#}");
    }
}

/// The records that answer by what `explain` says, with their TTL.
fn records(explained: &Value) -> Vec<String> {
    let records = explained["answer"]["records"].as_array().unwrap().iter();
    let answers = records.filter(|record| record["section"] == "answer");
    let data = answers.map(|record| {
        let (_, data) = record["text"].as_str().unwrap().split_once(" SRV ").unwrap();
        format!("{} {data}", record["ttl"])
    });
    data.collect()
}

/// Those that a line of the log has.
fn handed_out(line: &Value) -> Vec<String> {
    let endpoints = line["endpoints"].as_array().unwrap().iter();
    let endpoints = endpoints.map(|one| {
        let text = |key: &str| one[key].to_string();
        format!(
            "{} {} {} {} {}",
            line["ttl"],
            text("priority"),
            text("weight"),
            text("port"),
            one["target"].as_str().unwrap()
        )
    });
    endpoints.collect()
}

//----------- The document ---------------------------------------------------

#[test]
fn the_commands_of_the_document_print_what_it_shows_of_its_own_example() {
    let folder = tempfile::tempdir().unwrap();
    let document = document();
    fs::write(folder.path().join("decisions.jsonl"), block(&document, "json")).unwrap();
    fs::write(folder.path().join("calls.csv"), block(&document, "csv")).unwrap();
    let (command, shown) = block(&document, "console").split_once('\n').unwrap();
    let arguments = command.strip_prefix("$ trunkdns ").unwrap().split_whitespace();
    let output = server::trunkdns().args(arguments).current_dir(&folder).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!((output.status.code(), &printed[..]), (Some(1), shown));
}

#[test]
fn every_key_of_a_line_and_every_counter_is_in_the_document() {
    let document = document();
    let server = logging("file = \"log/decisions.jsonl\"");
    server.dig(&format!("{NAME} SRV +subnet=203.0.113.0/24"));
    server.dig("sbc1.us-east.carrier.example.com A");
    server.udp(b"no query at all");
    let lines = wait_for(&log(&server), 4);
    let keys = lines[1..].iter().flat_map(|line| line.as_object().unwrap().keys());
    for key in keys.map(|key| format!("`{key}`")) {
        assert!(document.contains(&key), "{key}");
    }
    let status = server.status();
    for count in status["counters"].as_array().unwrap() {
        let name = count["name"].as_str().unwrap();
        if name.starts_with("log-") || name.starts_with("dnstap-") {
            assert!(document.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}

fn document() -> String {
    fs::read_to_string(server::project().join("docs/decision-log.md")).unwrap()
}

/// The first block of a language.
fn block<'d>(document: &'d str, language: &str) -> &'d str {
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0
}

//----------- Support --------------------------------------------------------

/// Serves the shipped example with keys of `[log]`.
fn logging(keys: &str) -> Server {
    Server::example_with(|folder| configure(folder, keys))
}

fn configure(folder: &Path, keys: &str) {
    fs::create_dir(folder.join("log")).unwrap();
    let path = folder.join("trunkdns.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("\nwatch = true\n", "\nwatch = false\n");
    // The keys of the example are in the way of those.
    let defaults = ["\nsample = 1\n", "\nnetworks = []\n", "\nregions = []\n"];
    let config = defaults.into_iter().fold(config, |config, key| config.replace(key, "\n"));
    fs::write(&path, config.replace("\n[log]\n", &format!("\n[log]\n{keys}\n"))).unwrap();
}

fn log(server: &Server) -> PathBuf {
    server.folder().join("log/decisions.jsonl")
}

fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until a log has so many lines.
fn wait_for(path: &Path, count: usize) -> Vec<Value> {
    eventually(&format!("{count} lines in {}", path.display()), || read(path).len() >= count);
    read(path)
}

/// The time, in seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it is waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The sum of a counter over all transports.
fn counted(server: &Server, name: &str) -> u64 {
    let status = server.status();
    let counts = status["counters"].as_array().unwrap().iter();
    counts.filter(|count| count["name"] == name).map(|count| count["value"].as_u64().unwrap()).sum()
}
