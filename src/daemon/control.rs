//! The control socket: how commands reach the running server.
//!
//! A Unix socket that only its owner may connect to (mode 0600). A command is
//! a line of JSON, the reply is another one, and then the connection ends. A
//! reply says what was done, not what will be: `reload` is answered when the
//! reload is over.
//!
//! # Limits
//!
//! A command has at most 1 MiB and ten seconds to arrive; 16 connections are
//! served at a time, and others wait.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::board::Outcome;
use super::status::Status;

/// The longest command, in octets.
const COMMAND_MAX: u64 = 1 << 20;

/// How long a command may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are served at a time.
const CONNECTIONS_MAX: usize = 16;

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

    /// Say how things are.
    Status,
}

/// What became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Of a reload.
    Reload(Outcome),

    /// Of a question for the status.
    Status(Box<Status>),

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
    listener: Option<UnixListener>,
}

impl Control {
    /// Binds the socket. The caller holds the state folder's lock, so that
    /// what is there is left over from a server that was killed.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if BlockingStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on it"));
        }
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if is_socket(&metadata) => std::fs::remove_file(path)?,
            _ => {}
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        // Nobody may connect before the mode is set: the socket appears under
        // its name with it.
        let hidden = path.with_extension("new");
        let _ = std::fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden)?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&hidden, path)?;
        Ok(Control { path: path.to_owned(), listener: Some(listener) })
    }

    /// Passes on commands as they come in.
    ///
    /// Must be called inside a tokio runtime.
    pub fn listen(&mut self) -> mpsc::Receiver<Order> {
        let (sender, receiver) = mpsc::channel(CONNECTIONS_MAX);
        if let Some(listener) = self.listener.take() {
            tokio::spawn(accept(listener, sender));
        }
        receiver
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = std::fs::remove_file(&self.path);
    }
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
    let peer = match stream.peer_cred() {
        Ok(peer) => match peer.pid() {
            Some(pid) => format!("uid {} (pid {pid})", peer.uid()),
            None => format!("uid {}", peer.uid()),
        },
        Err(_) => "somebody".to_owned(),
    };
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
