//! Users and groups of the host.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{self, Gid, Group, Uid, User};

use super::Error;
use crate::config::Places;

//----------- Identity -------------------------------------------------------

/// Who the server is to be.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Identity {
    /// Returns who the configuration names; nobody where it names nobody.
    ///
    /// Where a mistake hides the name, it is the owner of the state folder:
    /// who the server was when it last ran.
    pub(super) fn wanted(places: &Places, is_root: bool) -> Result<Option<Self>, Error> {
        let account = &places.account;
        let user = match &account.user {
            Some(name) => find_user(name)?,
            None if is_root && !places.is_whole => match owner(places) {
                Some(user) => user,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        if user.uid.is_root() {
            return Err(Error::Root(user.name));
        }
        let gid = match &account.group {
            Some(name) => find_group(name)?,
            None => user.gid,
        };
        Ok(Some(Identity { name: user.name, uid: user.uid, gid }))
    }

    /// Becomes this user in all threads, with the groups that the host gives
    /// it and no other; there is no way back.
    #[cfg(target_os = "linux")]
    pub(super) fn assume(&self) -> Result<(), Error> {
        let failed =
            |source: nix::Error| Error::System { what: "become the user", source: source.into() };
        // No name of a user has an octet 0.
        let name = CString::new(self.name.as_str()).unwrap_or_default();
        unistd::initgroups(&name, self.gid).map_err(failed)?;
        unistd::setresgid(self.gid, self.gid, self.gid).map_err(failed)?;
        unistd::setresuid(self.uid, self.uid, self.uid).map_err(failed)
    }

    /// Refuses to go on unless this is who the server is.
    pub(super) fn check_own(&self) -> Result<(), Error> {
        let own = (unistd::geteuid(), unistd::getegid());
        if own == (self.uid, self.gid) {
            return Ok(());
        }
        let show = |uid: Uid, gid: Gid| format!("the user `{}`, gid {gid}", name_of(uid.as_raw()));
        Err(Error::NotRoot { wanted: show(self.uid, self.gid), own: show(own.0, own.1) })
    }
}

fn find_user(name: &str) -> Result<User, Error> {
    let found = User::from_name(name).map_err(|error| unknown("look up the user", error))?;
    found.ok_or_else(|| Error::NoUser(name.to_owned()))
}

fn find_group(name: &str) -> Result<Gid, Error> {
    let found = Group::from_name(name).map_err(|error| unknown("look up the group", error))?;
    found.map(|group| group.gid).ok_or_else(|| Error::NoGroup(name.to_owned()))
}

fn unknown(what: &'static str, error: nix::Error) -> Error {
    Error::System { what, source: error.into() }
}

/// Returns the owner of the state folder, unless that is root.
fn owner(places: &Places) -> Option<User> {
    let uid = std::fs::metadata(&places.state).ok()?.uid();
    User::from_uid(Uid::from_raw(uid)).ok()?.filter(|user| !user.uid.is_root())
}

//----------- Names ----------------------------------------------------------

/// Returns the name of a user, or the number where it has none.
pub fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Returns the number of a group.
pub fn group_id(name: &str) -> io::Result<u32> {
    find_group(name).map(Gid::as_raw).map_err(io::Error::other)
}
