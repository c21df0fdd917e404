//! Where there are no capabilities: systems other than Linux.

use std::io;

use super::Error;
use super::user::Identity;

/// What capabilities are kept for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Binding addresses and the control socket.
    Bind,

    /// Answering.
    Serve,
}

pub(super) fn keep(_: Purpose) -> io::Result<()> {
    Ok(())
}

pub(super) fn keep_across_users() -> io::Result<()> {
    Ok(())
}

pub(super) fn forbid_new_privileges() -> io::Result<()> {
    Ok(())
}

pub(super) fn forbid_core_dumps() -> io::Result<()> {
    Ok(())
}

impl Identity {
    /// Nothing would be left that may bind a port below 1024.
    pub(super) fn assume(&self) -> Result<(), Error> {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        Err(Error::System { what: "become another user on this system", source })
    }
}
