//! What the process may still reach while it answers, by Landlock and seccomp.
//!
//! - Files: it reads the folders of the files that the configuration named at
//!   the start, and the list of users; it writes the state folder, the control
//!   socket and the folder of the decision log.
//! - TCP: it takes connections that come in, opens none but to the ports of its
//!   own, and binds no port.
//! - Processes: it runs no program, traces none and sends no signals.
//! - The system: it touches no mounts, namespaces, kernel modules, keys or
//!   clocks.
//!
//! It counts for the thread that enters it and for all that are started
//! afterwards. How much of it a kernel knows depends on its age: what it does
//! not know is done without, and [`InForce`] tells.
//!
//! # Folders
//!
//! Rules are about folders and what is below them, so that operators can go on
//! as they do: a new zone folder, a database beside the old one, a file that
//! an editor puts in the place of another. Where a path leads through a link,
//! the folder that holds the link's target counts too: whoever deploys by
//! turning a link turns it to a neighbour. A file elsewhere needs a restart,
//! and [`forbids`] knows it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What is in force; once it is, it stays.
static IN_FORCE: OnceLock<InForce> = OnceLock::new();

/// What names of users are looked up in.
const NAMES: [&str; 2] = ["/etc/passwd", "/etc/nsswitch.conf"];

//----------- Entering -------------------------------------------------------

/// The paths that the server goes on to use.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// What it reads: files, folders, and what may come to be there.
    pub read: BTreeSet<PathBuf>,

    /// The folder that it writes.
    pub state: PathBuf,

    /// The control socket.
    pub control: PathBuf,

    /// The file of the decision log, if there is one: it is written, and made
    /// anew when it was moved away.
    pub log: Option<PathBuf>,

    /// The ports that it answers on, and asks itself on whether it does.
    pub ports: Vec<u16>,
}

/// Enters the sandbox, as far as the system has one.
pub fn enter(paths: &Paths) {
    // What looks names up is loaded while it can be.
    super::name_of(nix::unistd::geteuid().as_raw());
    let folders = folders(&paths.read);
    let mut parts = Vec::new();
    let mut missing = Vec::new();
    for (what, result) in [restrict_files(&folders, paths), restrict_calls()] {
        match result {
            Ok(how) => parts.push(format!("{what} ({how})")),
            Err(why) => {
                tracing::warn!("the sandbox does not restrict {what}: {why}");
                missing.push(format!("{what}: {why}"));
            }
        }
    }
    let known = folders.iter().map(PathBuf::as_path).chain([&*paths.state]);
    let folders = known.filter_map(inode).collect();
    // There is one server in a process.
    let _ = IN_FORCE.set(InForce { parts, missing, folders });
}

/// A part of the sandbox, and how or why not it is in force.
type Part = (&'static str, Result<String, String>);

/// Returns what is in force of the sandbox, if it was entered.
pub fn in_force() -> Option<&'static InForce> {
    IN_FORCE.get()
}

/// Says whether the sandbox is why a path cannot be read.
pub fn forbids(path: &Path) -> bool {
    let Some(sandbox) = in_force().filter(|sandbox| !sandbox.parts.is_empty()) else {
        return false;
    };
    let real = path.ancestors().find_map(|part| part.canonicalize().ok());
    // By its inode, as the kernel knows it: another folder may have its name.
    !real.is_some_and(|real| {
        real.ancestors().filter_map(inode).any(|folder| sandbox.folders.contains(&folder))
    })
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What is in force of the sandbox.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// What is restricted, for people.
    pub parts: Vec<String>,

    /// What is not, and why.
    pub missing: Vec<String>,

    /// The folders that may be read, by device and inode.
    folders: BTreeSet<(u64, u64)>,
}

//----------- Folders --------------------------------------------------------

/// Returns the folders that hold paths, without those that are below others.
fn folders(paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut walk = Walk::default();
    for path in paths {
        walk.add(path);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    // A folder comes right before all that is below it.
    for folder in walk.folders {
        if !folders.last().is_some_and(|above| folder.starts_with(above)) {
            folders.push(folder);
        }
    }
    folders
}

/// Collects folders on a walk along paths and links.
#[derive(Default)]
struct Walk {
    folders: BTreeSet<PathBuf>,

    /// Paths of which every part was looked at.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn add(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.insert(&path),
            Ok(_) => self.insert_parents(&path),
            Err(_) => path.parent().into_iter().for_each(|folder| self.insert(folder)),
        }
        self.follow(&path);
    }

    /// Takes the folder where a file is named, and the one where it is.
    fn insert_parents(&mut self, file: &Path) {
        let real = file.canonicalize().ok();
        let parents = [Some(file), real.as_deref()].map(|file| file.and_then(Path::parent));
        parents.into_iter().flatten().for_each(|folder| self.insert(folder));
    }

    fn insert(&mut self, folder: &Path) {
        self.folders.extend(folder.canonicalize().ok().filter(|real| real.is_dir()));
    }

    /// Takes the folders that hold what the links on a path lead to, but for
    /// the root: everything is below that.
    fn follow(&mut self, path: &Path) {
        for part in path.ancestors() {
            if !self.seen.insert(part.to_owned()) {
                return;
            }
            let Ok(link) = fs::read_link(part) else { continue };
            let target = part.parent().unwrap_or(part).join(link);
            if let Some(folder) = target.parent().filter(|folder| folder.parent().is_some()) {
                self.insert(folder);
            }
            self.follow(&target);
        }
    }
}

//----------- Landlock -------------------------------------------------------

#[cfg(target_os = "linux")]
fn restrict_files(folders: &[PathBuf], paths: &Paths) -> Part {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
    };
    /// The newest whose restrictions were tried.
    const ABI_KNOWN: ABI = ABI::V6;
    let control = paths.control.parent().unwrap_or(Path::new("."));
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let log = paths.log.as_deref().map(written);
    let program_or_device = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
    let ports = || {
        paths.ports.iter().map(|port| {
            let port = NetPort::new(*port, AccessNet::ConnectTcp);
            Ok::<_, RulesetError>(port)
        })
    };
    let restrict = || -> Result<_, RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(ABI_KNOWN))?
            .handle_access(AccessNet::from_all(ABI_KNOWN))?
            .scope(Scope::from_all(ABI_KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(folders, read))?
            .add_rules(path_beneath_rules(NAMES, AccessFs::ReadFile))?
            .add_rules(path_beneath_rules(
                [&paths.state],
                AccessFs::from_all(ABI_KNOWN) & !program_or_device,
            ))?
            .add_rules(path_beneath_rules([control], AccessFs::MakeSock | AccessFs::RemoveFile))?
            .add_rules(path_beneath_rules(
                log.as_ref().filter(|path| path.is_dir()),
                AccessFs::WriteFile | AccessFs::MakeReg,
            ))?
            .add_rules(path_beneath_rules(
                log.as_ref().filter(|path| !path.is_dir()),
                AccessFs::WriteFile,
            ))?
            .add_rules(ports())?
            .restrict_self()
    };
    let result = match restrict().map(|status| status.landlock) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => {
            Ok(format!("Landlock {}", effective_abi as i32))
        }
        Ok(LandlockStatus::NotEnabled) => Err("Landlock is switched off in this kernel".to_owned()),
        Ok(LandlockStatus::NotImplemented) => Err("this kernel has no Landlock".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    ("files", result)
}

/// Returns what is to be written for a log: its folder, since the file may be
/// moved away, or what is no regular file and stays.
#[cfg(target_os = "linux")]
fn written(log: &Path) -> PathBuf {
    let is_special = fs::metadata(log).is_ok_and(|metadata| !metadata.is_file());
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty());
    if is_special { log.to_owned() } else { folder.unwrap_or(Path::new(".")).to_owned() }
}

#[cfg(not(target_os = "linux"))]
fn restrict_files(_: &[PathBuf], _: &Paths) -> Part {
    ("files", Err("this system has no Landlock".to_owned()))
}

//----------- seccomp --------------------------------------------------------

/// Denies system calls that the server never makes, in all threads: they fail,
/// and nothing ends.
#[cfg(target_os = "linux")]
fn restrict_calls() -> Part {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
    let deny = || -> Result<(), Box<dyn std::error::Error>> {
        let rules = DENIED_CALLS.iter().map(|call| (*call, Vec::new())).collect();
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        let target = std::env::consts::ARCH.try_into()?;
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, target)?;
        Ok(apply_filter_all_threads(&BpfProgram::try_from(filter)?)?)
    };
    ("system calls", deny().map(|()| "seccomp".to_owned()).map_err(|error| error.to_string()))
}

#[cfg(not(target_os = "linux"))]
fn restrict_calls() -> Part {
    ("system calls", Err("this system has no seccomp".to_owned()))
}

/// Programs, other processes, mounts, namespaces, the kernel, its keys and its
/// clock. No library has a reason to touch any of them on the way of an
/// answer, a reload or a stop.
#[cfg(target_os = "linux")]
const DENIED_CALLS: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_personality,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Makes files below a folder.
    fn tree(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        (folder, root)
    }

    /// Returns the folders of paths below a root, relative to it.
    fn folders_of(root: &Path, paths: &[&str]) -> Vec<String> {
        let paths = paths.iter().map(|path| root.join(path)).collect();
        let relative = |folder: PathBuf| folder.strip_prefix(root).unwrap().display().to_string();
        folders(&paths).into_iter().map(relative).collect()
    }

    #[test]
    fn files_count_with_their_folders_and_folders_as_they_are() {
        let (_folder, root) = tree(&["etc/a.toml", "geo/b.mmdb", "srv/zones/z/records.zone"]);
        let paths = ["etc/a.toml", "geo/b.mmdb", "srv/zones", "srv/zones/z/records.zone"];
        assert_eq!(folders_of(&root, &paths), ["etc", "geo", "srv/zones"]);
    }

    #[test]
    fn what_is_not_there_yet_counts_with_the_folder_that_is() {
        let (_folder, root) = tree(&["zones/z/zone.toml"]);
        assert_eq!(folders_of(&root, &["zones/z/priorities.toml"]), ["zones/z"]);
        assert!(folders_of(&root, &["gone/far/a.mmdb"]).is_empty());
    }

    #[test]
    fn a_link_counts_with_what_it_could_be_turned_to() {
        let (_folder, root) = tree(&["releases/1/zones/z/zone.toml", "etc/a.toml"]);
        symlink("releases/1", root.join("current")).unwrap();
        let paths = ["current/zones", "etc/a.toml"];
        assert_eq!(folders_of(&root, &paths), ["etc", "releases"]);
        // As certbot has them.
        let (_folder, root) = tree(&["archive/x/cert1.pem"]);
        fs::create_dir_all(root.join("live/x")).unwrap();
        symlink("../../archive/x/cert1.pem", root.join("live/x/cert.pem")).unwrap();
        assert_eq!(folders_of(&root, &["live/x/cert.pem"]), ["archive/x", "live/x"]);
    }

    #[test]
    fn a_link_to_the_top_does_not_open_everything() {
        let (_folder, root) = tree(&["a"]);
        symlink("/etc", root.join("etc")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let paths = ["etc/passwd", "loop/x"].map(|path| root.join(path)).into();
        assert_eq!(folders(&paths), [Path::new("/etc"), &root]);
    }

    #[test]
    fn nothing_is_forbidden_outside_of_a_sandbox() {
        assert!(!forbids(Path::new("/etc/passwd")));
    }
}
