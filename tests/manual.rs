//! Manual pages and completions, as `trunkdns manual` writes them for packages.

#[path = "support/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use server::trunkdns;

/// The commands that `trunkdns help` lists, `help` itself aside.
fn commands() -> Vec<String> {
    let help = String::from_utf8(trunkdns().arg("help").output().unwrap().stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_command_has_a_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("share");
    assert!(trunkdns().arg("manual").arg(&target).status().unwrap().success());
    let pages = names(&target.join("man"));
    let completions = names(&target.join("completions"));
    assert_eq!(Vec::from_iter(&completions), ["_trunkdns", "trunkdns.bash", "trunkdns.fish"]);
    let commands = commands();
    assert!(commands.len() > 5 && pages.contains("trunkdns.1"), "{commands:?} {pages:?}");
    for command in &commands {
        let page = format!("trunkdns-{command}.1");
        assert!(pages.contains(&page), "{page} in {pages:?}");
        let text = fs::read_to_string(target.join("man").join(&page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{text}");
        for file in &completions {
            let text = fs::read_to_string(target.join("completions").join(file)).unwrap();
            assert!(text.contains(command), "{command} in {file}");
        }
    }
    assert!(pages.contains("trunkdns-probe-sip.1"), "{pages:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let output = trunkdns().args(["manual", "/dev/null/share"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("trunkdns: cannot write to /dev/null/share: "), "{text}");
}
