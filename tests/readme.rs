//! README.md is true: its commands are run, and print what it shows.
//!
//! In a block marked `console`, a line that begins with `$ ` is a command and
//! the lines behind it are its output. `BLESS=1` writes the output anew.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
            // Another test walks through these.
            "```console live" => is_console = false,
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

/// A walk through an edit: its times and numbers are others each time, and
/// everything else is as it is shown.
#[test]
fn the_walk_through_an_edit_prints_what_the_readme_shows() {
    if !installed("dig") || !has_address("127.0.12.1") {
        return;
    }
    let server = Server::example();
    let path = project().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("```console live\n").unwrap();
    let (shown, after) = rest.split_once("```\n").unwrap();
    let mut actual = String::new();
    for command in shown.lines().filter_map(|line| line.strip_prefix("$ ")) {
        actual += &format!("$ {command}\n{}", walk(command, &server));
    }
    let actual = actual.replace(&server.address.port().to_string(), "5300");
    let actual = actual.replace(&format!("{}/", server.folder().display()), "");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}```console live\n{actual}```\n{after}")).unwrap();
        return;
    }
    assert_eq!(without_numbers(shown), without_numbers(&actual), "{actual}");
}

fn walk(command: &str, server: &Server) -> String {
    match command {
        "$EDITOR zones/carrier.example.com/priorities.toml" => {
            let path = server.folder().join("zones/carrier.example.com/priorities.toml");
            let table = fs::read_to_string(&path).unwrap();
            let row = "primary = [\"sbc1.us-west\"]\nsecondary = [\"sbc2.us-west\"]";
            let turned = "primary = [\"sbc2.us-west\"]\nsecondary = [\"sbc1.us-west\"]";
            assert!(table.contains(row));
            // As editors do it: another file takes the place of the old one.
            fs::write(path.with_extension("new"), table.replacen(row, turned, 1)).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
            // Within two seconds it is taken in.
            std::thread::sleep(Duration::from_secs(2));
            String::new()
        }
        "trunkdns status" => {
            let (code, text) = server.command("status");
            assert_eq!(code, Some(0), "{text}");
            text
        }
        "sleep 20" => {
            std::thread::sleep(Duration::from_secs(20));
            String::new()
        }
        dig => run(dig, server),
    }
}

/// Replaces spans of time and other numbers, but not those that are part of a
/// name or an address.
fn without_numbers(text: &str) -> String {
    let mut lines = String::new();
    // Who runs the test, and on which kernel, is no matter of the README.
    for line in text.lines().filter(|line| !line.starts_with("process ")) {
        let mut words: Vec<_> = line.split_whitespace().collect();
        for word in &mut words {
            let number = word.trim_end_matches([':', ',', ')']);
            if number.parse::<u64>().is_ok() || ["d", "h", "min", "s"].contains(&number) {
                *word = "";
            }
        }
        words.retain(|word| !word.is_empty());
        lines += &(words.join(" ") + "\n");
    }
    lines
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
