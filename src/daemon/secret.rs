//! The secret of DNS cookies where the operator gives none.

use std::sync::OnceLock;

use crate::wire::CookieSecrets;

/// Returns secrets that are random, and the same for as long as the process
/// runs: a reload must not void the cookies of every client.
///
/// Where the system has no random octets there are no cookies.
pub(super) fn of_this_process() -> CookieSecrets {
    static SECRETS: OnceLock<CookieSecrets> = OnceLock::new();
    SECRETS.get_or_init(random).clone()
}

fn random() -> CookieSecrets {
    let mut secret = [0; 16];
    match getrandom::fill(&mut secret) {
        Ok(()) => CookieSecrets::new(&[secret]),
        Err(error) => {
            tracing::warn!(%error, "no DNS cookies: the system gives no random octets");
            CookieSecrets::default()
        }
    }
}
