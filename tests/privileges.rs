//! What the running server may do, and what it has given up.
//!
//! Most of it needs root, who alone can become somebody else.

#[path = "support/server.rs"]
mod server;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use server::{Server, installed, skip, trunkdns};

/// An unprivileged user and its group, which every Linux has.
const USER: &str = "nobody";

/// Another one, with a group of the same name.
const OTHER: &str = "daemon";

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";

const REGIONS: &str = "default = \"all\"\n[regions.all]\nlocation = [0, 0]\n";

//----------- Place ----------------------------------------------------------

/// A folder with a configuration that every user may read.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A configuration with something more in `[server]` and `[admin]`.
    fn new(listen: &str, server: &str, admin: &str) -> Self {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        place.write("etc/regions.toml", REGIONS);
        place.write("etc/zones/example/records.zone", ZONE);
        place.configure(&format!(
            "[server]\nlisten = [\"{listen}\"]\nstate = \"../state\"\n{server}\n[admin]\n{admin}\n"
        ));
        place
    }

    /// Writes the configuration.
    fn configure(&self, text: &str) {
        let geoip = "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n";
        self.write("etc/trunkdns.toml", &format!("{text}{geoip}"));
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("etc/trunkdns.toml")
    }

    /// Writes a file as editors do: another one takes its place.
    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Starts the server, with its log in a file.
    fn start(&self) -> Server {
        let log = File::create(self.path().join("log")).unwrap();
        Server::start_logging(&self.config(), log.into())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    /// Tries to start a server that must not start; returns what it says.
    fn refused(&self, mut command: Command) -> String {
        let output = command.arg("--config").arg(self.config()).arg("serve").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Returns the binary as another user starts it.
    fn as_user(&self, user: &str) -> Command {
        let binary = self.path().join("trunkdns");
        if !binary.exists() {
            fs::copy(env!("CARGO_BIN_EXE_trunkdns"), &binary).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", user, "--init-groups"]).arg(binary);
        command
    }

    /// Runs a command of the binary as another user.
    fn run_as(&self, user: &str, arguments: &str) -> Output {
        let mut command = self.as_user(user);
        command.arg("--config").arg(self.config()).args(arguments.split_whitespace());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

/// Says whether tests run as root, with the users that they need.
fn is_root() -> bool {
    // Linux alone has it, and shows who we are.
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        skip("only root can become another user");
        return false;
    }
    installed("setpriv")
}

/// Says whether the kernel has Landlock, by what a server says of itself.
fn has_landlock(server: &Server) -> bool {
    let status = server.status();
    let restricted = status["process"]["restricted"].to_string();
    if !restricted.contains("Landlock") {
        skip(&format!("no Landlock: {}", status["process"]["unrestricted"]));
        return false;
    }
    true
}

/// Returns a port that only root may bind.
fn privileged_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1024).find(is_free).expect("a port below 1024 is free")
}

/// Returns the uid of a user, or the gid of a group, of the host.
fn number(database: &str, name: &str) -> u32 {
    let text = fs::read_to_string(database).unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}

/// Reads the fields of every thread's status.
fn threads(process: u32) -> Vec<Vec<(String, String)>> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        text.lines().filter_map(field).collect()
    };
    tasks.map(|task| status(task.unwrap())).collect()
}

fn assert_field(thread: &[(String, String)], name: &str, expected: &str) {
    let value = thread.iter().find(|(field, _)| field == name).map(|(_, value)| &value[..]);
    assert_eq!(value, Some(expected), "{name} of {thread:?}");
}

//----------- The user -------------------------------------------------------

#[test]
fn no_thread_of_a_server_that_root_started_has_anything_left_of_root() {
    if !is_root() {
        return;
    }
    let port = privileged_port();
    let listen = format!("127.0.0.1:{port}");
    let place = Place::new(&listen, &format!("user = \"{USER}\""), "");
    let server = place.start();
    assert_eq!(server.address.port(), port);
    let uid = number("/etc/passwd", USER);
    let gid = number("/etc/group", "nogroup");
    let threads = threads(server.id());
    assert!(threads.len() > 3, "{} threads", threads.len());
    for thread in &threads {
        assert_field(thread, "Uid", &[uid; 4].map(|id| id.to_string()).join(" "));
        assert_field(thread, "Gid", &[gid; 4].map(|id| id.to_string()).join(" "));
        assert_field(thread, "Groups", &gid.to_string());
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_field(thread, set, "0000000000000000");
        }
        assert_field(thread, "NoNewPrivs", "1");
        assert_field(thread, "Seccomp", "2");
    }
    // Its memory is root's to look at, and in no core dump.
    assert_eq!(fs::metadata(format!("/proc/{}/mem", server.id())).unwrap().uid(), 0);
    assert_eq!(fs::metadata(place.path().join("state/manifest")).unwrap().uid(), uid);
    let process = &server.status()["process"];
    assert_eq!((&process["user"], &process["uid"]), (&USER.into(), &uid.into()));
    assert!(!place.log().contains("root"), "{}", place.log());
}

#[test]
fn a_server_that_became_another_user_reloads_and_starts_again() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\"\nwatch = false"), "");
    let mut server = place.start();
    place.write("etc/zones/example/records.zone", &format!("{ZONE}new A 192.0.2.2\n"));
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
    place.write("etc/zones/second/records.zone", ZONE);
    let (code, text) = server.command("reload");
    assert!(code == Some(0) && text.contains("second. is added"), "{text}");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let server = place.start();
    assert!(server.ready.contains("2 zones"), "{}", server.ready);
}

#[test]
fn a_file_that_the_user_may_not_read_is_told_with_the_user() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\"\nwatch = false"), "");
    let server = place.start();
    let secret = place.path().join("etc/zones/second/records.zone");
    place.write("etc/zones/second/records.zone", ZONE);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(1), "{text}");
    let denied = format!("permission denied for the user `{USER}`");
    assert!(text.contains(&denied) && text.contains("second/records.zone"), "{text}");
}

#[test]
fn a_server_that_cannot_become_its_user_says_why_and_ends() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", "user = \"no-such-user\"", "");
    assert!(place.refused(trunkdns()).contains("there is no user `no-such-user`"));
    let place = Place::new("127.0.0.1:0", "user = \"root\"", "");
    assert!(place.refused(trunkdns()).contains("is root"));
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\"\ngroup = \"no-such\""), "");
    assert!(place.refused(trunkdns()).contains("there is no group `no-such`"));
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\""), "");
    let said = place.refused(place.as_user(OTHER));
    assert!(said.contains("cannot become") && said.contains(OTHER), "{said}");
    // A state folder of an earlier life as root.
    fs::create_dir(place.path().join("state")).unwrap();
    let said = place.refused(trunkdns());
    assert!(said.contains("cannot write to") && said.contains("chown -R nobody"), "{said}");
}

#[test]
fn a_server_that_is_its_user_already_needs_one_capability_and_gives_it_up() {
    if !is_root() {
        return;
    }
    let listen = format!("127.0.0.1:{}", privileged_port());
    let place = Place::new(&listen, &format!("user = \"{OTHER}\""), "");
    fs::create_dir(place.path().join("state")).unwrap();
    let uid = number("/etc/passwd", OTHER);
    std::os::unix::fs::chown(place.path().join("state"), Some(uid), None).unwrap();
    // As systemd does it by AmbientCapabilities.
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]);
    let plain = place.as_user(OTHER);
    command.args(plain.get_args()).arg("--config").arg(place.config()).arg("serve");
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !place.run_as(OTHER, "status").status.success() {
        assert!(Instant::now() < deadline, "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    for thread in threads(child.id()) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_field(&thread, set, "0000000000000000");
        }
        assert_field(&thread, "NoNewPrivs", "1");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_server_that_stays_root_says_so() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", "", "");
    let server = place.start();
    assert!(place.log().contains("runs as root"), "{}", place.log());
    let (_, status) = server.command("status");
    assert!(status.contains("user root, AS ROOT"), "{status}");
    // Reading the files of others is all that is left.
    for thread in threads(server.id()) {
        assert_field(&thread, "CapEff", "0000000000000006");
    }
}

#[test]
fn a_mistake_that_hides_the_user_does_not_make_the_server_root() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\""), "");
    let mut server = place.start();
    server.signal("TERM");
    server.wait();
    place.configure("[server]\nstate = \"../state\"\nuser = nobody\n");
    let server = place.start();
    assert!(server.ready.contains("LAST GOOD"), "{}", server.ready);
    assert_eq!(server.status()["process"]["user"], USER);
}

//----------- The sandbox ----------------------------------------------------

#[test]
fn files_beside_those_of_the_start_are_read_and_others_need_a_restart() {
    let place = Place::new("127.0.0.1:0", "watch = false", "");
    place.write("srv/geo/one.csv", "192.0.2.0/24,US,,,\n");
    place.write("elsewhere/two.csv", "192.0.2.0/24,US,,,\n");
    let config = |database: &str, more: &str| {
        let server = "listen = [\"127.0.0.1:0\"]\nstate = \"../state\"\nwatch = false";
        place.write(
            "etc/trunkdns.toml",
            &format!(
                "[server]\n{server}\n{more}[geoip]\ndatabases = [\"{database}\"]\n\
                 regions = \"regions.toml\"\n"
            ),
        );
    };
    config("../srv/geo/one.csv", "");
    let mut server = place.start();
    if !has_landlock(&server) {
        return;
    }
    place.write("srv/geo/newer.csv", "192.0.2.0/24,CA,,,\n");
    config("../srv/geo/newer.csv", "");
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
    config("../elsewhere/two.csv", "");
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(1), "{text}");
    for part in ["elsewhere/two.csv", "the sandbox of the running server forbids it", "restart"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    server.signal("TERM");
    server.wait();
    let mut server = place.start();
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
    server.signal("TERM");
    server.wait();
    config("../elsewhere/two.csv", "sandbox = false\n");
    let server = place.start();
    assert!(server.command("status").1.contains("NO SANDBOX: see [server] sandbox"));
    config("../srv/geo/one.csv", "sandbox = false\n");
    let (code, text) = server.command("reload");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn whoever_deploys_by_turning_a_link_may_go_on() {
    let place = Place::new("127.0.0.1:0", "watch = false", "");
    for release in ["releases/1", "releases/2"] {
        place.write(&format!("{release}/zones/example/records.zone"), ZONE);
    }
    symlink("releases/1", place.path().join("current")).unwrap();
    place.configure(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nstate = \"../state\"\nwatch = false\n\
         [zones]\ndirectory = \"../current/zones\"\n",
    );
    let server = place.start();
    if !has_landlock(&server) {
        return;
    }
    place.write("releases/2/zones/second/records.zone", ZONE);
    symlink("releases/2", place.path().join("next")).unwrap();
    fs::rename(place.path().join("next"), place.path().join("current")).unwrap();
    let (code, text) = server.command("reload");
    assert!(code == Some(0) && text.contains("second. is added"), "{text}");
}

#[test]
fn a_folder_that_takes_the_place_of_another_is_told_to_be_outside() {
    let place = Place::new("127.0.0.1:0", "watch = false", "");
    place.write("srv/zones/example/records.zone", ZONE);
    place.configure(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nstate = \"../state\"\nwatch = false\n\
         [zones]\ndirectory = \"../srv/zones\"\n",
    );
    let server = place.start();
    if !has_landlock(&server) {
        return;
    }
    place.write("srv/new/example/records.zone", ZONE);
    fs::rename(place.path().join("srv/zones"), place.path().join("srv/old")).unwrap();
    fs::rename(place.path().join("srv/new"), place.path().join("srv/zones")).unwrap();
    let (code, text) = server.command("reload");
    assert!(code == Some(1) && text.contains("the sandbox of the running server"), "{text}");
}

//----------- The control socket ---------------------------------------------

#[test]
fn the_control_group_may_give_commands_and_is_named_in_the_log() {
    if !is_root() {
        return;
    }
    let admin = format!("control = \"../run/control.sock\"\ncontrol-group = \"{OTHER}\"");
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\""), &admin);
    let _server = place.start();
    let socket = fs::metadata(place.path().join("run/control.sock")).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o660);
    assert_eq!(socket.gid(), number("/etc/group", OTHER));
    let output = place.run_as(OTHER, "reload");
    assert!(output.status.success(), "{output:?}");
    let uid = number("/etc/passwd", OTHER);
    let by = format!("reload by {OTHER} (uid {uid}, pid ");
    assert!(place.log().contains(&by), "{}", place.log());
    let output = place.run_as("games", "reload");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn without_a_control_group_nobody_else_may_give_commands() {
    if !is_root() {
        return;
    }
    let place = Place::new("127.0.0.1:0", &format!("user = \"{USER}\""), "");
    let _server = place.start();
    let socket = fs::metadata(place.path().join("state/control.sock")).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
    assert_eq!(place.run_as(OTHER, "status").status.code(), Some(1));
}

//----------- The service manager --------------------------------------------

#[test]
fn the_service_manager_is_told_when_the_server_is_ready_and_when_it_stops() {
    let place = Place::new("127.0.0.1:0", "", "");
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let received = || {
        let mut octets = [0; 1024];
        let len = manager.recv(&mut octets).unwrap();
        String::from_utf8(octets[..len].to_vec()).unwrap()
    };
    let mut server = Server::start_with(&place.config(), Stdio::inherit(), |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let ready = received();
    assert!(ready.starts_with("READY=1\nSTATUS=trunkdns") && ready.contains("1 zone"), "{ready}");
    server.signal("TERM");
    assert!(received().starts_with("STOPPING=1"));
    assert_eq!(server.wait(), Some(0));
}
