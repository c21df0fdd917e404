//! The control socket: how commands reach the running server.
//!
//! A Unix socket that its owner alone may connect to (mode 0600), or a group
//! that the configuration names, too (0660). Who gives a command is told by
//! the system, and stands in what is said of it. A command is a line of JSON,
//! the reply is another one, and then the connection ends. A reply says what
//! was done, not what will be: `reload` is answered when the reload is over.
//!
//! # Limits
//!
//! A command has at most 1 MiB and ten seconds to arrive; 64 connections are
//! served at a time, and others wait.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::board::Outcome;
use super::status::Status;
use crate::explain::{self, Explanation, Usage};
use crate::privileges;
use crate::state::Event;

/// The longest command, in octets.
const COMMAND_MAX: u64 = 1 << 20;

/// How long a command may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are served at a time.
const CONNECTIONS_MAX: usize = 64;

//----------- Command, Reply -------------------------------------------------

/// What a client asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Read the files again and publish what has changed.
    Reload {
        /// Whether it is to be in force at once.
        now: bool,
        /// Whether what looks like an accident is meant.
        force: bool,
        /// The zones to take in; all if there is none.
        zones: Vec<String>,
    },

    /// Have endpoints come behind all others, or no longer.
    Drain(Drain),

    /// Publish again what was published before.
    Rollback {
        /// The generation; that before the last publication without one.
        generation: Option<u64>,
        /// The zones; all, and the region map, if there is none.
        zones: Vec<String>,
        /// Whether it is to be in force at once.
        now: bool,
    },

    /// Say what was published so far.
    History,

    /// Say how things are.
    Status,

    /// Say why clients get the answers they get.
    Explain(explain::Request),

    /// Say where an endpoint or an address is used.
    Usages {
        /// The endpoint's name, or an address.
        what: String,
    },
}

/// Endpoints that are to come behind all others, or no longer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drain {
    /// An endpoint's name, perhaps with `*` for any characters, or a region.
    pub what: String,

    /// Why, in the operator's words.
    pub reason: Option<String>,

    /// The zone whose endpoints are meant; all without one.
    pub zone: Option<String>,

    /// Whether it is to end.
    pub ends: bool,

    /// When it is to take effect, in seconds since the Unix epoch.
    pub at: Option<u64>,

    /// For how long, in seconds.
    pub lasts: Option<u64>,

    /// Whether it is to be in force at once.
    pub now: bool,

    /// Whether it is meant where nobody else is left.
    pub force: bool,
}

/// What became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Of a reload or a rollback.
    Reload(Outcome),

    /// Of draining.
    Drain {
        /// What became of it.
        outcome: Outcome,
        /// The endpoints that were meant.
        endpoints: Vec<String>,
    },

    /// Of a question for the history.
    History {
        /// The publications that are remembered, oldest first.
        events: Vec<Event>,
    },

    /// Of a question for the status.
    Status(Box<Status>),

    /// Of a question why.
    Explain {
        /// An explanation for each client.
        explanations: Vec<Explanation>,
    },

    /// Of a question where.
    Usages {
        /// Every place.
        usages: Vec<Usage>,
    },

    /// It could not be done at all.
    Refused {
        /// Why.
        why: String,
    },
}

/// A command on its way to the server's main loop.
#[derive(Debug)]
pub struct Order {
    /// The command.
    pub command: Command,

    /// Who gave it.
    pub peer: String,

    /// Where the reply goes.
    pub reply: oneshot::Sender<Reply>,
}

//----------- Control --------------------------------------------------------

/// The socket of a running server; removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listener: Option<BlockingListener>,
}

impl Control {
    /// Binds the socket, for its owner and perhaps for a group. The caller
    /// holds the state folder's lock, so that what is there is left over from a
    /// server that was killed.
    pub fn bind(path: &Path, group: Option<&str>) -> io::Result<Self> {
        if BlockingStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on it"));
        }
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if is_socket(&metadata) => std::fs::remove_file(path)?,
            Ok(_) => {
                let why = "there is a file of that name that is no socket";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            Err(_) => {}
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        // From the first moment on nobody else may connect.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = BlockingListener::bind(path);
        rustix::process::umask(mask);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        let control = Control { path: path.to_owned(), listener: Some(listener) };
        if let Some(group) = group {
            open_to(path, group).map_err(|error| not_open_to(group, &error))?;
        }
        Ok(control)
    }

    /// Passes on commands as they come in.
    ///
    /// Must be called inside a tokio runtime.
    pub fn listen(&mut self) -> io::Result<mpsc::Receiver<Order>> {
        let (sender, receiver) = mpsc::channel(CONNECTIONS_MAX);
        if let Some(listener) = self.listener.take() {
            tokio::spawn(accept(UnixListener::from_std(listener)?, sender));
        }
        Ok(receiver)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Lets a group connect to a socket.
fn open_to(path: &Path, group: &str) -> io::Result<()> {
    lchown(path, None, Some(privileges::group_id(group)?))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

fn not_open_to(group: &str, error: &io::Error) -> io::Error {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; the server's user must be in that group (systemd: SupplementaryGroups), or the \
             server be started as root"
        }
        _ => "",
    };
    let why =
        format!("cannot open it to the group `{group}` ([admin] control-group): {error}{help}");
    // Of another kind, so that nobody takes it for a matter of the folder.
    io::Error::other(why)
}

fn is_socket(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type())
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Order>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, sender).await {
                        tracing::debug!(%error, "control");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Descriptors have run out, perhaps: others need them more.
                tracing::warn!("cannot accept on the control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, sender: mpsc::Sender<Order>) -> io::Result<()> {
    let peer = stream.peer_cred().map_or_else(|_| "somebody".to_owned(), |peer| describe(&peer));
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(COMMAND_MAX));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let reply = match serde_json::from_str(&line) {
        Ok(command) => {
            let (reply, answer) = oneshot::channel();
            let is_sent = sender.send(Order { command, peer, reply }).await.is_ok();
            let stopping = || Reply::Refused { why: "the server is stopping".into() };
            if is_sent { answer.await.unwrap_or_else(|_| stopping()) } else { stopping() }
        }
        Err(error) => Reply::Refused { why: format!("this is no command: {error}") },
    };
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    tokio::time::timeout(PATIENCE, writer.write_all(text.as_bytes())).await?
}

/// Returns who is at the other end, by name and by numbers: names change.
fn describe(peer: &UCred) -> String {
    let pid = peer.pid().map(|pid| format!(", pid {pid}")).unwrap_or_default();
    format!("{} (uid {}{pid})", privileges::name_of(peer.uid()), peer.uid())
}

//----------- Client ---------------------------------------------------------

/// Gives a command to the server that listens on a socket, and waits for the
/// reply.
pub fn call(path: &Path, command: &Command) -> io::Result<Reply> {
    let mut stream = BlockingStream::connect(path)?;
    let mut text = serde_json::to_string(command)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server ended before it answered",
        ));
    }
    Ok(serde_json::from_str(&line)?)
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious.toml");
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(Control::bind(&path, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_by_one_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let control = Control::bind(&path, None).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(control);
        assert!(!path.exists());
    }
}
