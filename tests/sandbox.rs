//! The sandbox itself, entered by the test: one test alone, since there is no
//! way out.

#[path = "support/server.rs"]
mod server;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;

use server::skip;
use trunkdns::privileges::sandbox::{self, Paths};

#[test]
fn what_the_server_needs_is_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["etc", "state", "run", "log", "other"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), name).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    sandbox::enter(&Paths {
        read: [path("etc/file")].into(),
        state: path("state"),
        control: path("run/control.sock"),
        log: Some(path("log/decisions.jsonl")),
        ports: Vec::new(),
    });
    let in_force = sandbox::in_force().unwrap();
    let has = |what: &str| in_force.parts.iter().any(|part| part.starts_with(what));

    if has("files") {
        assert_eq!(fs::read_to_string(path("etc/file")).unwrap(), "etc");
        assert!(fs::read_dir(path("etc")).unwrap().next().is_some());
        fs::write(path("state/new"), "new").unwrap();
        fs::create_dir(path("state/damaged")).unwrap();
        fs::rename(path("state/new"), path("state/damaged/new")).unwrap();
        let socket = UnixListener::bind(path("run/control.sock")).unwrap();
        fs::remove_file(path("run/control.sock")).unwrap();
        drop(socket);
        let denied = |result: std::io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        };
        denied(File::open(path("other/file")).map(drop));
        denied(File::open(path("run/file")).map(drop));
        denied(File::create(path("etc/new")).map(drop));
        denied(File::create(path("run/new")).map(drop));
        let log = || OpenOptions::new().append(true).create(true).open(path("log/decisions.jsonl"));
        log().unwrap().write_all(b"{}\n").unwrap();
        denied(File::open(path("log/file")).map(drop));
        denied(fs::remove_file(path("log/file")));
        denied(fs::remove_file(path("etc/file")));
        denied(File::open("/etc/shadow").map(drop));
        assert!(sandbox::forbids(&path("other/file")) && sandbox::forbids(&path("gone/file")));
        assert!(!sandbox::forbids(&path("etc/file")) && !sandbox::forbids(&path("etc/gone")));
    } else {
        skip(&format!("no Landlock: {:?}", in_force.missing));
    }
    if has("files (Landlock 1)") || has("files (Landlock 2)") || has("files (Landlock 3)") {
        skip("this kernel's Landlock knows no TCP");
    } else if has("files") {
        let denied = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        denied(TcpStream::connect(address).unwrap_err());
        denied(TcpListener::bind("127.0.0.1:0").unwrap_err());
    }
    // Replies still leave.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"!", socket.local_addr().unwrap()).unwrap();
    assert!(has("system calls"), "{:?}", in_force.missing);
    assert!(Command::new("/bin/true").status().is_err());
}
