//! How the server is, for health checks that speak nothing but DNS.
//!
//! `_trunkdns` in every zone has a TXT record for the networks that the operator
//! lists, unless the zone has something there itself; to all others it is a name
//! like any that does not exist.

use super::resolve::{Data, Owner, Records, Resolution};
use super::{Cause, Client};
use crate::geo;
use crate::snapshot::{Moment, Snapshot, Timeline};
use crate::wire::{Question, Rtype, Section};

/// The label in front of a zone's name.
const LABEL: &[u8] = b"\x09_trunkdns";

/// Answers whoever may know with the generation that is served, how many
/// seconds ago a zone was published last, and which server says so.
///
/// The TTL is 0: the answer is this server's and of this second.
pub(super) fn resolve(
    snapshot: &Snapshot,
    timeline: &Timeline,
    client: &Client,
    now: Moment,
    question: &Question<'_>,
) -> Option<Resolution<'static>> {
    let networks = &snapshot.settings.health_from;
    if networks.is_empty() || question.qtype != Rtype::TXT {
        return None;
    }
    let zone = &timeline.newest().zone;
    let origin = question.name.as_wire().strip_prefix(LABEL)?;
    let is_meant = origin.eq_ignore_ascii_case(zone.origin().as_wire());
    let address = geo::canonical(client.address);
    let may_know = is_meant && networks.iter().any(|network| network.contains(&address));
    if !may_know || zone.get(question.name).is_some() {
        return None;
    }
    let age = now.second().saturating_sub(snapshot.published);
    let mut text = format!("generation={} age={age}", snapshot.generation);
    if let Some(identity) = &snapshot.settings.identity {
        text.push_str(&format!(" node={identity}"));
    }
    // One character string: a length octet and at most 255 others.
    let text = &text.as_bytes()[..text.len().min(255)];
    let records = vec![Records {
        section: Section::Answer,
        owner: Owner::Question,
        rtype: Rtype::TXT,
        ttl: 0,
        data: Data::Made([&[text.len() as u8], text].concat().into()),
        optional: None,
        slot: None,
    }];
    Some(Resolution { cause: Cause::Identity, records, ..Resolution::default() })
}
