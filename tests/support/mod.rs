//! What tests of answers share: a world of tables, and questions to it.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

pub mod scenarios;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use trunkdns::answer::{Client, Outcome, Transport, Verdict, answer};
use trunkdns::daemon::load;
use trunkdns::diag::{Report, Sources};
use trunkdns::snapshot::{Moment, Snapshot};

/// Three regions that networks alone place: eu, us (the default) and ap.
pub const REGIONS: &str = r#"
default = "us"
[regions.us]
location = [39.04, -77.49]
networks = ["10.1.0.0/16", "2001:db8:1::/48"]
[regions.eu]
location = [50.11, 8.68]
networks = ["10.2.0.0/16", "2001:db8:2::/48"]
[regions.ap]
location = [35.68, 139.77]
networks = ["10.3.0.0/16", "2001:db8:3::/48"]
"#;

/// An address of each region.
pub const US: &str = "10.1.0.1";
pub const EU: &str = "10.2.0.1";
pub const AP: &str = "10.3.0.1";

//----------- World ----------------------------------------------------------

/// Tables on their way to a snapshot, in a folder of their own.
pub struct World {
    folder: tempfile::TempDir,
    files: BTreeMap<String, String>,
}

impl World {
    /// A world with [`REGIONS`] and no zone.
    pub fn new() -> Self {
        let mut world = World { folder: tempfile::tempdir().unwrap(), files: BTreeMap::new() };
        world.file("trunkdns.toml", "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n");
        world.file("regions.toml", REGIONS);
        world
    }

    /// A world with a zone of files: `zone.toml`, `priorities.toml`, …
    pub fn with_zone(zone: &str, files: &[(&str, &str)]) -> Self {
        let mut world = Self::new();
        world.zone(zone, files);
        world
    }

    /// Adds a zone.
    pub fn zone(&mut self, zone: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.file(format!("zones/{zone}/{name}"), *text);
        }
    }

    /// Writes or replaces a file.
    pub fn file(&mut self, path: impl Into<String>, text: impl Into<String>) {
        let (path, text) = (path.into(), text.into());
        let full = self.folder.path().join(&path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, &text).unwrap();
        self.files.insert(path, text);
    }

    /// The text that was written to a file last.
    pub fn text(&self, path: &str) -> String {
        self.files[path].clone()
    }

    /// Takes the permission to read a file from all but its owner.
    pub fn private(&self, path: &str) {
        let only_owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.folder.path().join(path), only_owner).unwrap();
    }

    /// Listens on a port of the loopback that is free.
    pub fn listen_anywhere(&self) {
        let path = self.folder.path().join("trunkdns.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let config = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{config}");
        std::fs::write(path, config).unwrap();
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Loads the tables; fails the test with the findings if there are any.
    pub fn load(&self) -> Snapshot {
        let (snapshot, findings) = self.try_load();
        assert!(findings.is_empty(), "{findings}");
        snapshot.unwrap()
    }

    /// Loads the tables; returns the findings in text form, paths relative to
    /// the world's folder.
    pub fn try_load(&self) -> (Option<Snapshot>, String) {
        let mut sources = Sources::default();
        let mut report = Report::default();
        let path = self.folder.path().join("trunkdns.toml");
        let loaded = load::load(&path, None, &mut sources, &mut report);
        let loaded = loaded.filter(|_| !report.has_errors());
        let findings = report.render(&sources, false);
        let root = format!("{}/", self.folder.path().display());
        (loaded.map(load::Loaded::into_snapshot), findings.replace(&root, ""))
    }
}

//----------- Question -------------------------------------------------------

/// A question to the answer core.
#[derive(Clone, Debug)]
pub struct Question {
    message: Message,
    client: Client,
    now: Moment,
    room: usize,
}

/// Begins a question over UDP, without EDNS, from the address of `us`.
pub fn question(name: &str, rtype: &str) -> Question {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    let rtype = match rtype {
        "IXFR" => RecordType::IXFR,
        rtype => rtype.parse().unwrap(),
    };
    message.add_query(Query::query(name, rtype));
    let client = Client { address: US.parse().unwrap(), transport: Transport::Udp };
    Question { message, client, now: Moment(0), room: usize::from(u16::MAX) }
}

impl Question {
    /// Asks from another address.
    pub fn from(mut self, address: &str) -> Self {
        self.client.address = address.parse().unwrap();
        self
    }

    /// Asks at a time, in milliseconds since the Unix epoch.
    pub fn at(mut self, milliseconds: u64) -> Self {
        self.now = Moment(milliseconds);
        self
    }

    /// Asks over TCP.
    pub fn tcp(mut self) -> Self {
        self.client.transport = Transport::Tcp;
        self
    }

    /// Asks over TLS, QUIC or HTTPS.
    pub fn encrypted(mut self) -> Self {
        self.client.transport = Transport::Encrypted;
        self
    }

    /// Offers a payload size.
    pub fn edns(mut self, payload: u16) -> Self {
        self.edns_mut().set_max_payload(payload);
        self
    }

    /// Sends a client subnet such as `10.2.0.0/16`.
    pub fn subnet(mut self, prefix: &str) -> Self {
        let (address, length) = prefix.split_once('/').unwrap();
        let address: IpAddr = address.parse().unwrap();
        let subnet = ClientSubnet::new(address, length.parse().unwrap(), 0);
        self.edns_mut().options_mut().insert(EdnsOption::Subnet(subnet));
        self
    }

    /// Adds an option as it is.
    pub fn option(mut self, code: u16, data: &[u8]) -> Self {
        let option = EdnsOption::Unknown(code, data.to_vec());
        self.edns_mut().options_mut().insert(option);
        self
    }

    fn edns_mut(&mut self) -> &mut Edns {
        self.message.edns.get_or_insert_with(|| {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            edns
        })
    }

    /// Changes the message before it is sent.
    pub fn with(mut self, change: impl FnOnce(&mut Message)) -> Self {
        change(&mut self.message);
        self
    }

    /// The octets of the query.
    pub fn octets(&self) -> Vec<u8> {
        self.message.to_vec().unwrap()
    }

    /// Asks, and returns the octets of the response.
    pub fn ask_octets<'s>(&self, snapshot: &'s Snapshot) -> (Vec<u8>, Outcome<'s>) {
        let mut out = vec![0; self.room];
        let outcome = answer(snapshot, &self.client, self.now, &self.octets(), &mut out);
        let Verdict::Send(len) = outcome.verdict else {
            panic!("no response: {outcome:?}");
        };
        out.truncate(len);
        (out, outcome)
    }

    /// Asks, and returns the response as hickory-proto reads it.
    pub fn ask(&self, snapshot: &Snapshot) -> Answer {
        let (octets, outcome) = self.ask_octets(snapshot);
        let message = Message::from_vec(&octets).unwrap();
        let Outcome { verdict, cause, truncated, has_cookie, .. } = outcome;
        let outcome = Outcome { truncated, has_cookie, ..Outcome::short(verdict, cause) };
        Answer { message, outcome, len: octets.len() }
    }
}

//----------- Answer ---------------------------------------------------------

/// A response as hickory-proto reads it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub message: Message,
    pub outcome: Outcome<'static>,
    pub len: usize,
}

impl Answer {
    /// The response code as dig writes it.
    pub fn rcode(&self) -> &'static str {
        match u16::from(self.message.metadata.response_code) {
            0 => "NOERROR",
            1 => "FORMERR",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            code => panic!("unexpected response code {code}"),
        }
    }

    /// The answer section, a line a record: `owner TTL type data`.
    pub fn answers(&self) -> Vec<String> {
        self.message.answers.iter().map(line).collect()
    }

    /// The data of the answer section.
    pub fn data(&self) -> Vec<String> {
        self.message.answers.iter().map(|record| data(&record.data)).collect()
    }

    /// The authority section, a line a record.
    pub fn authorities(&self) -> Vec<String> {
        self.message.authorities.iter().map(line).collect()
    }

    /// The additional section, a line a record, without OPT.
    pub fn additionals(&self) -> Vec<String> {
        self.message.additionals.iter().map(line).collect()
    }

    /// The scope of the client subnet option, if there is one.
    pub fn scope(&self) -> Option<u8> {
        match self.message.edns.as_ref()?.option(EdnsCode::Subnet)? {
            EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
            _ => None,
        }
    }

    /// The flags AA and TC.
    pub fn flags(&self) -> String {
        let metadata = &self.message.metadata;
        let flags = [("aa", metadata.authoritative), ("tc", metadata.truncation)];
        let set: Vec<_> = flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        set.join(" ")
    }
}

fn line(record: &Record) -> String {
    format!("{} {} {} {}", record.name, record.ttl, record.record_type(), data(&record.data))
}

fn data(data: &RData) -> String {
    data.to_string()
}
