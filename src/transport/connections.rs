//! How many connections there may be, and whose.
//!
//! ```text
//!             a message begins
//!       Idle ──────────────────▶ Busy
//!        │   ◀──────────────────  │
//!        │     all is answered    │
//!        ▼                        ▼
//!      closed as the oldest     closed by its own deadlines
//! ```
//!
//! When there are as many as there may be, the connection that has been idle
//! for longest makes room for the next: resolvers keep connections open for
//! comfort, and open new ones at little cost (RFC 7766 section 6.2.3). One
//! that is busy is never closed for another.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::geo;

//----------- Connections ----------------------------------------------------

/// All connections there are.
///
/// The lock is held for a few look-ups, twice in the life of a connection and
/// once each time that octets come.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    most_of_network: usize,
    table: Mutex<Table>,
}

impl Connections {
    /// Returns none yet, of which there may be so many in all and from one
    /// network.
    pub(super) fn new(most: usize, most_of_network: usize) -> Self {
        Connections { most, most_of_network, table: Mutex::default() }
    }

    /// Admits a connection of a client, which is idle at first.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Refusal> {
        self.admit_from(Some(network(client)))
    }

    /// Admits a connection of a load balancer that has yet to say whose it is.
    pub(super) fn admit_balancer(self: &Arc<Self>) -> Result<Permit, Refusal> {
        self.admit_from(None)
    }

    fn admit_from(self: &Arc<Self>, network: Option<IpNet>) -> Result<Permit, Refusal> {
        let mut table = self.lock();
        let count = network.and_then(|network| table.networks.get(&network));
        if count.is_some_and(|count| *count >= self.most_of_network) {
            return Err(Refusal::Network);
        }
        if table.entries.len() >= self.most && !table.close_oldest() {
            return Err(Refusal::Full);
        }
        let close = Arc::new(Notify::new());
        let id = table.insert(network, close.clone());
        Ok(Permit { id, close, connections: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// There are too many, and none is idle.
    Full,

    /// There are too many from the client's network.
    Network,
}

/// Returns what counts as one client: its address cut to /24 or /48.
fn network(client: IpAddr) -> IpNet {
    let client = geo::canonical(client);
    IpNet::new(client, geo::network_len(client)).map_or(client.into(), |network| network.trunc())
}

//----------- Permit ---------------------------------------------------------

/// The right of one connection to be; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    id: u64,
    close: Arc<Notify>,
    connections: Arc<Connections>,
}

impl Permit {
    /// Says that the connection is idle from now on, or that it is busy.
    ///
    /// Returns false where it has been closed in favour of another.
    pub(super) fn note(&self, is_idle: bool) -> bool {
        self.connections.lock().note(self.id, is_idle)
    }

    /// Completes when the connection is closed in favour of another.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let close = self.close.clone();
        async move { close.notified().await }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Gone already, perhaps.
        self.connections.lock().remove(self.id);
    }
}

//----------- Table ----------------------------------------------------------

#[derive(Debug, Default)]
struct Table {
    /// The next number, of a connection or of a moment: they only grow.
    next: u64,

    entries: HashMap<u64, Entry>,

    /// Those that are idle, the oldest first.
    idle: BTreeMap<u64, u64>,

    /// How many there are of each network that has any.
    networks: HashMap<IpNet, usize>,
}

#[derive(Debug)]
struct Entry {
    /// Whose it is, once that is known.
    network: Option<IpNet>,

    /// Its key in `idle`.
    idle_since: Option<u64>,

    close: Arc<Notify>,
}

impl Table {
    fn insert(&mut self, network: Option<IpNet>, close: Arc<Notify>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, Entry { network, idle_since: None, close });
        if let Some(network) = network {
            *self.networks.entry(network).or_default() += 1;
        }
        self.note(id, true);
        id
    }

    fn note(&mut self, id: u64, is_idle: bool) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        if let Some(since) = entry.idle_since.take() {
            self.idle.remove(&since);
        }
        if is_idle {
            entry.idle_since = Some(self.next);
            self.idle.insert(self.next, id);
            self.next += 1;
        }
        true
    }

    /// Closes the connection that has been idle for longest; returns false
    /// where none is.
    fn close_oldest(&mut self) -> bool {
        let Some((_, id)) = self.idle.first_key_value() else { return false };
        if let Some(entry) = self.remove(*id) {
            entry.close.notify_one();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(since) = entry.idle_since {
            self.idle.remove(&since);
        }
        if let Some(network) = entry.network
            && let Some(count) = self.networks.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
        Some(entry)
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize, most_of_network: usize) -> Arc<Connections> {
        Arc::new(Connections::new(most, most_of_network))
    }

    fn admit(connections: &Arc<Connections>, client: &str) -> Result<Permit, Refusal> {
        connections.admit(client.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_share() {
        let all = connections(10, 2);
        let one = admit(&all, "192.0.2.1").unwrap();
        let _two = admit(&all, "192.0.2.200").unwrap();
        assert_eq!(admit(&all, "192.0.2.3").unwrap_err(), Refusal::Network);
        let _mapped = admit(&all, "::ffff:192.0.2.3").unwrap_err();
        let _other = admit(&all, "192.0.3.1").unwrap();
        let _v6 = [
            admit(&all, "2001:db8:1:1::1").unwrap(),
            admit(&all, "2001:db8:1:2::1").unwrap(),
            admit(&all, "2001:db8:2::1").unwrap(),
        ];
        assert_eq!(admit(&all, "2001:db8:1:3::1").unwrap_err(), Refusal::Network);
        drop(one);
        admit(&all, "192.0.2.3").unwrap();
    }

    #[test]
    fn the_connection_idle_for_longest_makes_room() {
        let all = connections(3, 10);
        let permits: Vec<_> =
            (0..3).map(|at| admit(&all, &format!("192.0.2.{at}")).unwrap()).collect();
        for permit in &permits {
            assert!(permit.note(false));
        }
        assert_eq!(admit(&all, "192.0.2.9").unwrap_err(), Refusal::Full, "none is idle");
        for at in [1, 0, 2] {
            assert!(permits[at].note(true));
        }
        // 0 became busy and idle again: 1 is the oldest, then 2.
        assert!(permits[0].note(false) && permits[0].note(true));
        let next = admit(&all, "192.0.2.9").unwrap();
        assert!(next.note(false));
        assert!(!permits[1].note(true), "it is closed");
        assert!(permits[2].note(false), "it is busy");
        let last = admit(&all, "192.0.2.9").unwrap();
        assert!(!permits[0].note(false) && last.note(false));
        assert_eq!(admit(&all, "192.0.2.9").unwrap_err(), Refusal::Full);
        assert!(next.note(true));
    }

    #[test]
    fn connections_of_a_balancer_count_for_nobody_until_it_has_said_whose_they_are() {
        let all = connections(3, 1);
        let waiting: Vec<_> = (0..3).map(|_| all.admit_balancer().unwrap()).collect();
        let _client = admit(&all, "192.0.2.1").unwrap();
        assert!(!waiting[0].note(true), "it made room");
        assert!(waiting[1].note(true) && waiting[2].note(true));
        drop(waiting);
        assert_eq!(all.lock().entries.len(), 1);
    }

    #[test]
    fn nothing_is_kept_of_connections_that_are_gone() {
        let all = connections(2, 10);
        for at in 0..100 {
            let permit = admit(&all, &format!("192.0.{at}.1")).unwrap();
            permit.note(at % 2 == 0);
            if at % 3 == 0 {
                let _second = admit(&all, "192.0.2.1").unwrap();
                let _third = admit(&all, "192.0.2.1");
            }
        }
        let table = all.lock();
        assert!(table.entries.is_empty() && table.idle.is_empty() && table.networks.is_empty());
    }
}
