//! What the process may do, and giving up what it does not need.
//!
//! ```text
//!  step_down ───────────▶ load ──▶ Binder::run ──▶ sandbox::enter ──▶ answer
//!   becomes the user,               binds, by what it       reads and writes
//!   no new privileges,              alone was left          by folder, no TCP of
//!   no core dumps                                           its own, no programs
//! ```
//!
//! A process that answers strangers is to find little if one of them ever
//! takes it over. It reads the operator's tables, too, as the user that it has
//! become, so that a reload finds what the start found. The one thing that
//! has to wait until they have been read, binding addresses, is left to a
//! thread that does nothing else and ends with it: from then on no thread has
//! a capability.
//!
//! # What is absent
//!
//! A list of system calls that are allowed: what libraries call changes with
//! their releases, and a DNS server that dies of an unforeseen call is worse
//! than none. [`sandbox`] denies those that only an intruder would make.
//! chroot: Landlock does more, and leaves paths as they are written.

#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(not(target_os = "linux"))]
#[path = "portable.rs"]
mod capabilities;
pub mod notify;
pub mod sandbox;
mod user;

use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::unistd::Uid;

use self::user::Identity;
use crate::config::Places;

pub use self::user::{group_id, name_of};

/// Becomes the user that the configuration names, and gives up all else that
/// starting does not need.
///
/// Must be called before there is a second thread: some of this counts for
/// those alone that are started afterwards.
pub fn step_down(places: &Places) -> Result<Binder, Error> {
    capabilities::forbid_new_privileges().map_err(|source| failed("forbid privileges", source))?;
    capabilities::forbid_core_dumps().map_err(|source| failed("forbid core dumps", source))?;
    let is_root = Uid::effective().is_root();
    match Identity::wanted(places, is_root)? {
        Some(identity) if is_root => become_user(&identity, places)?,
        Some(identity) => identity.check_own()?,
        None if is_root => tracing::warn!(
            "the server runs as root: name an unprivileged user by `user` under [server], or start \
             it as one"
        ),
        None => {}
    }
    Binder::start().map_err(|source| failed("give up capabilities", source))
}

fn become_user(identity: &Identity, places: &Places) -> Result<(), Error> {
    let control = places.control.parent().unwrap_or(Path::new(""));
    for folder in [&*places.state, control] {
        identity.give_folder(folder).map_err(|source| Error::Folder {
            folder: folder.to_owned(),
            user: identity.name.clone(),
            source,
        })?;
    }
    capabilities::keep_across_users().map_err(|source| failed("keep a capability", source))?;
    identity.assume()?;
    identity.check_folder(&places.state)
}

fn failed(what: &'static str, source: io::Error) -> Error {
    Error::System { what, source }
}

//----------- Binder ---------------------------------------------------------

/// The thread that alone has the capabilities to bind addresses.
#[derive(Debug)]
pub struct Binder {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Binder {
    /// Leaves the capabilities to a new thread, and takes them from this one.
    fn start() -> io::Result<Self> {
        capabilities::keep(capabilities::Purpose::Bind)?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        let run = move || inbox.into_iter().for_each(|job| job());
        let thread = std::thread::Builder::new().name("binder".into()).spawn(run)?;
        capabilities::keep(capabilities::Purpose::Serve)?;
        Ok(Binder { jobs, thread })
    }

    /// Does something by what the thread may do, which is then gone.
    pub fn run<T: Send + 'static>(self, act: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (sender, result) = mpsc::channel();
        // The thread lives as long as it can be sent anything; where it fails,
        // there is no result.
        let _ = self.jobs.send(Box::new(move || drop(sender.send(act()))));
        drop(self.jobs);
        let panicked = || io::Error::other("the thread that binds addresses has panicked");
        self.thread.join().map_err(|_| panicked())?;
        result.recv().map_err(|_| panicked())
    }
}

//----------- Messages -------------------------------------------------------

/// Returns what is to be said of a file that may not be read: why, and what to
/// do.
pub fn explain_denial(path: &Path) -> (String, String) {
    let user = name_of(Uid::effective().as_raw());
    match sandbox::forbids(path) {
        true => (
            "the sandbox of the running server forbids it: the configuration named no file of \
             this folder when the server started"
                .to_owned(),
            "restart the server, which may read it then; `sandbox = false` under [server] does \
             without"
                .to_owned(),
        ),
        false => (
            format!("permission denied for the user `{user}`"),
            format!("let the user `{user}` read it and enter its folders"),
        ),
    }
}

/// Adds to a failure to read what is to be said of it.
pub fn explain(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let (why, help) = explain_denial(path);
    io::Error::new(error.kind(), format!("{why}; {help}"))
}

/// Returns what is to be said of a failure to write below a folder of the
/// server's own.
pub fn explain_write(folder: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.to_string();
    }
    let user = name_of(Uid::effective().as_raw());
    format!("{error}; the user `{user}` must be able to write to {}", folder.display())
}

//----------- Folders --------------------------------------------------------

impl Identity {
    /// Makes a folder that belongs to the user, if there is none.
    fn give_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.exists() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::create_dir(folder)?;
        // Of what was opened, whatever has taken its place meanwhile.
        let made = std::fs::File::open(folder)?;
        if !made.metadata()?.is_dir() || made.metadata()?.uid() != 0 {
            return Err(io::Error::other("something else took the place of the new folder"));
        }
        fchown(made, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }

    /// Refuses a folder that the user, who is who asks, may not write to.
    fn check_folder(&self, folder: &Path) -> Result<(), Error> {
        use rustix::fs::Access;
        match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            // A disk that is write-protected as a whole is told of later: what
            // it holds can be served.
            Err(error) if error == rustix::io::Errno::ACCESS => Err(Error::Folder {
                folder: folder.to_owned(),
                user: self.name.clone(),
                source: error.into(),
            }),
            _ => Ok(()),
        }
    }
}

//============ Errors ========================================================

/// Why the server does not run with the privileges that it was given.
#[derive(Debug)]
pub enum Error {
    /// A folder cannot be made, or cannot be written by the user.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The user.
        user: String,
        /// What the system says.
        source: io::Error,
    },

    /// There is no such group.
    NoGroup(String),

    /// There is no such user.
    NoUser(String),

    /// The user is root.
    Root(String),

    /// Somebody other than root cannot become somebody else.
    NotRoot {
        /// Who the server is to be.
        wanted: String,
        /// Who it is.
        own: String,
    },

    /// The system refuses something.
    System {
        /// What, as a fragment that fits after "cannot".
        what: &'static str,
        /// What it says.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Folder { folder, user, source } => write!(
                f,
                "the user `{user}` ([server] user) cannot write to {folder}: {source}; give it to \
                 that user: `chown -R {user} {folder}`",
                folder = folder.display()
            ),
            Error::NoGroup(name) => write!(f, "there is no group `{name}` on this host: add it"),
            Error::NoUser(name) => write!(
                f,
                "there is no user `{name}` ([server] user) on this host: `useradd --system {name}` \
                 adds one"
            ),
            Error::Root(name) => write!(
                f,
                "`{name}` ([server] user) is root, who answers no strangers: name another user"
            ),
            Error::NotRoot { wanted, own } => write!(
                f,
                "cannot become {wanted} ([server] user, group): the server was started as {own}; \
                 start it as root, or as who it is to be"
            ),
            Error::System { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Folder { source, .. } | Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
