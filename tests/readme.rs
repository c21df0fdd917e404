//! README.md is true: its commands are run, and print what it shows.
//!
//! In a block marked `console`, a line that begins with `$ ` is a command and
//! the lines behind it are its output. `BLESS=1` writes the output anew.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use server::{Server, has_address, installed, project, succeed};

#[test]
fn commands_of_the_readme_print_what_it_shows() {
    if !installed("dig") || !has_address("127.0.12.1") {
        return;
    }
    let server = Server::example();
    let path = project().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    let mut is_console = false;
    let mut commands = 0;
    for line in readme.lines() {
        match line {
            "```console" => is_console = true,
            "```" => is_console = false,
            _ => {}
        }
        match line.strip_prefix("$ ").filter(|_| is_console) {
            Some(command) => {
                commands += 1;
                actual += &format!("{line}\n{}", run(command, &server));
            }
            None if is_console && line != "```console" => {}
            None => actual += &format!("{line}\n"),
        }
    }
    assert!(commands > 5, "{commands} commands");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    let readme = fs::read_to_string(&path).unwrap();
    for (number, (shown, printed)) in (1..).zip(readme.lines().zip(actual.lines())) {
        assert_eq!(shown, printed, "README.md:{number}");
    }
    assert_eq!(readme.lines().count(), actual.lines().count());
}

#[test]
fn the_two_commands_of_the_readme_are_the_gates() {
    let readme = fs::read_to_string(project().join("README.md")).unwrap();
    assert!(readme.contains("```sh\ncargo run --release -- serve\n```"));
    assert!(readme.contains("```sh\ncargo test\n```"));
    let gate = fs::read_to_string(project().join(".ci/gate")).unwrap();
    assert!(gate.lines().any(|line| line.ends_with("cargo test")), "{gate}");
    assert!(gate.lines().any(|line| line.ends_with("cargo run --locked --release -- check")));
}

#[test]
fn the_ready_line_is_as_the_readme_shows_it() {
    let server = Server::example();
    let readme = fs::read_to_string(project().join("README.md")).unwrap();
    let shown = readme.lines().find(|line| line.starts_with("trunkdns 0")).unwrap();
    let shown = shown.replace("127.0.0.1:5300 and [::1]:5300", &server.address.to_string());
    assert_eq!(server.ready, format!("{shown}\n"));
}

#[test]
fn the_finding_of_the_readme_is_what_check_prints() {
    let folder = tempfile::tempdir().unwrap();
    server::example_in(folder.path(), "127.0.0.1:0");
    let path = folder.path().join("zones/carrier.example.com/priorities.toml");
    let table = fs::read_to_string(&path).unwrap();
    let misspelt =
        table.replacen("primary = [\"sbc1.us-west\"]", "primary = [\"scb1.us-west\"]", 1);
    fs::write(&path, misspelt).unwrap();
    let output = check_in(folder.path());
    assert_eq!(output.status.code(), Some(1));
    let found = String::from_utf8(output.stdout).unwrap();
    let finding = found.split("\n\n").next().unwrap();
    let readme = fs::read_to_string(project().join("README.md")).unwrap();
    assert!(readme.contains(finding), "{finding}");
}

#[test]
fn a_reload_logs_what_the_readme_shows() {
    let folder = tempfile::tempdir().unwrap();
    let config = server::example_in(folder.path(), "127.0.0.1:0");
    let log = folder.path().join("log");
    let server = Server::start_logging(&config, fs::File::create(&log).unwrap().into());
    let path = folder.path().join("zones/carrier.example.com/priorities.toml");
    let table = fs::read_to_string(&path).unwrap();
    let moved = table.replacen("primary = [\"sbc1.us-west\"]", "primary = [\"sbc2.us-west\"]", 1);
    assert_ne!(moved, table);
    fs::write(&path, moved).unwrap();
    server.signal("HUP");
    let readme = fs::read_to_string(project().join("README.md")).unwrap();
    let start = Instant::now();
    for shown in readme.lines().filter(|line| line.starts_with("INFO trunkdns::daemon: ")) {
        while !fs::read_to_string(&log).unwrap().lines().any(|line| line.ends_with(shown)) {
            assert!(start.elapsed() < Duration::from_secs(20), "the log never says {shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs a command of the README against a server; returns what it prints.
fn run(command: &str, server: &Server) -> String {
    if command == "trunkdns check" {
        return succeed(&check_in(server.folder()));
    }
    assert!(command.starts_with("dig @127.0.0.1 -p 5300 "), "{command}");
    let port = format!("-p {}", server.address.port());
    let command = command.replace("-p 5300", &port);
    succeed(&Command::new("sh").args(["-c", &command]).output().unwrap())
}

fn check_in(folder: &Path) -> std::process::Output {
    server::trunkdns().current_dir(folder).arg("check").output().unwrap()
}
