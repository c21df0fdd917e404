//! What of an edited configuration waits for a restart.

use std::net::SocketAddr;

use crate::config::model::{Config, Encrypted, Log};
use crate::daemon::board::Outcome;
use crate::diag::Located;

/// Says which keys of the configuration wait for a restart.
pub(super) fn note(started_with: &Config, new: &Config, outcome: &mut Outcome) {
    let values = |list: &[Located<SocketAddr>]| -> Vec<_> {
        list.iter().map(|address| address.value).collect()
    };
    let addresses = |config: &Config| values(&config.server.listen);
    // The files are read again.
    let encrypted = |config: &Config| {
        let encrypted = config.encrypted.clone();
        encrypted.map(|Encrypted { tls, quic, https, path, handshake, .. }| {
            ([tls, quic, https].map(|list| values(&list)), path, handshake)
        })
    };
    let log = |config: &Config| {
        let Log { file, dnstap, sample, networks, regions } = config.log.clone();
        let networks: Vec<_> = networks.iter().map(|network| network.value).collect();
        let regions: Vec<_> = regions.into_iter().map(|region| region.value).collect();
        (file, dnstap, sample, networks, regions)
    };
    let changed = [
        ("listen", addresses(started_with) != addresses(new)),
        ("workers", started_with.server.workers != new.server.workers),
        ("pin-workers", started_with.server.pin_workers != new.server.pin_workers),
        ("state", started_with.server.state != new.server.state),
        ("control", started_with.admin.control != new.admin.control),
        ("user`, `group` or `control-group", started_with.server.account != new.server.account),
        ("sandbox", started_with.server.sandbox != new.server.sandbox),
        ("[tcp]", started_with.tcp != new.tcp),
        ("[encrypted]", encrypted(started_with) != encrypted(new)),
        ("[log]", log(started_with) != log(new)),
    ];
    for (key, _) in changed.iter().filter(|(_, is_changed)| *is_changed) {
        outcome.lines.push(format!("`{key}` has changed: it takes effect at the next start"));
    }
}
