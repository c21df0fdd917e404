//! Telling systemd that the server is ready, or stopping (sd_notify(3)).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

//----------- Notifier -------------------------------------------------------

/// A way to the service manager, if one started the server and wants to know.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// Connects to the socket that the environment names; a sandbox may forbid
    /// that later.
    ///
    /// Serving does not depend on it: a failure is logged.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match connect(name.as_bytes()) {
            Ok(socket) => Notifier { socket: Some(socket) },
            Err(error) => {
                tracing::warn!("cannot tell the service manager anything: {error}");
                Self::default()
            }
        }
    }

    /// Says that the server answers, with a line for people.
    pub fn ready(&self, line: &str) {
        self.send(&format!("READY=1\nSTATUS={line}"));
    }

    /// Says that the server stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    fn send(&self, state: &str) {
        let sent = self.socket.as_ref().map_or(Ok(0), |socket| socket.send(state.as_bytes()));
        if let Err(error) = sent {
            tracing::warn!("cannot tell the service manager anything: {error}");
        }
    }
}

/// Connects to a socket by its name: a path, or behind `@` an abstract one.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(name)?)?;
    Ok(socket)
}

fn address(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut octets = [0; 256];
        let len = manager.recv(&mut octets).unwrap();
        String::from_utf8(octets[..len].to_vec()).unwrap()
    }

    #[test]
    fn the_service_manager_is_told_over_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier { socket: Some(connect(path.as_os_str().as_bytes()).unwrap()) };
        notifier.ready("1 zone");
        assert_eq!(received(&manager), "READY=1\nSTATUS=1 zone");
        notifier.stopping();
        assert_eq!(received(&manager), "STOPPING=1\nSTATUS=stopping");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_service_manager_is_told_over_an_abstract_name() {
        let name = format!("@trunkdns-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&address(name.as_bytes()).unwrap()).unwrap();
        let notifier = Notifier { socket: Some(connect(name.as_bytes()).unwrap()) };
        notifier.ready("here");
        assert_eq!(received(&manager), "READY=1\nSTATUS=here");
    }

    #[test]
    fn nobody_is_told_where_nobody_asks() {
        Notifier::default().ready("nobody");
    }
}
