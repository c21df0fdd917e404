//! What resolvers hold, as far as it is logged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use super::calls::{Call, Holder, Target};
use super::{Place, Verdict, show};
use crate::log::line::{Answer, Endpoint, Line, Opened};
use crate::log::sieve::is_sampled;
use crate::wire::{Name, Rtype};

/// How long it is remembered that an answer has run out, in milliseconds: for
/// so long are callers caught that hold it all the same.
const REMEMBERED: u64 = 3_600_000;

/// The most answers that are remembered, some 300 octets each. It is as many as
/// resolvers times names that they ask.
const HELD_MAX: usize = 2_000_000;

/// The most names that are remembered to tell what is not sampled.
const NAMES_MAX: usize = 10_000;

/// Who holds what.
#[derive(Debug, Default)]
pub(super) struct Answers {
    held: BTreeMap<Key, Vec<Held>>,
    count: usize,

    /// The names that were asked, for those of which none is logged.
    names: BTreeSet<Name>,

    /// What is logged.
    opened: Opened,

    /// Lines that the log says it lacks.
    pub(super) lost: u64,
}

/// Who holds an answer: a network by its first address, or a region.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Network(IpAddr),
    Region(String),
}

/// An answer that is or was held.
#[derive(Clone, Debug)]
struct Held {
    name: Name,
    content: Rc<Content>,

    /// When it was given first, and last, without a gap in between.
    since: u64,
    answered: u64,

    /// When it has run out.
    until: u64,
    generation: u64,
}

/// What an answer hands out.
#[derive(Debug, Eq, PartialEq)]
struct Content {
    endpoints: Vec<(Name, Endpoint)>,
    addresses: Vec<IpAddr>,
}

impl Answers {
    //--- Lines

    /// Takes in a line.
    pub(super) fn take(&mut self, at: u64, line: Line) -> Result<(), String> {
        match line {
            Line::Opened(opened) => self.opened = opened,
            Line::Lost(lost) => self.lost += lost.count,
            Line::Answer(answer) => self.note(at, &answer),
        }
        if self.count > HELD_MAX {
            self.forget(at);
            if self.count > HELD_MAX {
                return Err(format!(
                    "more than {HELD_MAX} answers are held at once: split the calls and the log \
                     by region"
                ));
            }
        }
        Ok(())
    }

    fn note(&mut self, at: u64, answer: &Answer) {
        let parse = |text: &str| Name::parse(text, &Name::root()).ok();
        let Some(name) = answer.name.as_deref().and_then(parse) else { return };
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.clone());
        }
        // Whoever is told to come back over TCP holds nothing.
        let hands_out = !answer.endpoints.is_empty() || !answer.addresses.is_empty();
        if answer.truncated || !hands_out {
            return;
        }
        let endpoint = |one: &Endpoint| Some((parse(&one.target)?, one.clone()));
        let content = Rc::new(Content {
            endpoints: answer.endpoints.iter().filter_map(endpoint).collect(),
            addresses: answer.addresses.clone(),
        });
        let held = Held {
            name,
            content,
            since: at,
            answered: at,
            until: at + u64::from(answer.ttl) * 1000,
            generation: answer.generation,
        };
        let steering = match &answer.subnet {
            Some(subnet) => subnet.parse().ok().map(|subnet: IpNet| subnet.addr()),
            None => answer.client.parse().ok(),
        };
        let region = answer.region.clone().map(Key::Region);
        for key in steering.map(|address| Key::Network(network(address))).into_iter().chain(region)
        {
            self.add(key, held.clone());
        }
    }

    fn add(&mut self, key: Key, new: Held) {
        let held = self.held.entry(key).or_default();
        let before = held.len();
        // A little disorder of the lines is no reason to forget what is asked of.
        held.retain(|one| one.until + REMEMBERED > new.since);
        let same = held.iter_mut().find(|one| {
            one.name == new.name && one.content == new.content && one.until + 1000 >= new.since
        });
        match same {
            Some(same) => {
                same.since = same.since.min(new.since);
                same.answered = same.answered.max(new.answered);
                same.until = same.until.max(new.until);
                same.generation = same.generation.max(new.generation);
            }
            None => held.push(new),
        }
        self.count = self.count + held.len() - before;
    }

    /// Forgets what has run out.
    fn forget(&mut self, now: u64) {
        self.held.retain(|_, held| {
            held.retain(|one| one.until >= now);
            !held.is_empty()
        });
        self.count = self.held.values().map(Vec::len).sum();
    }

    /// Returns how many answers are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    //--- Calls

    /// Returns what is known of a call.
    pub(super) fn judge(&self, call: &Call, tolerance: u64) -> Verdict {
        let now = call.time.0;
        let key = match &call.holder {
            Holder::Resolver(address) => Key::Network(network(*address)),
            Holder::Region(region) => Key::Region(region.clone()),
        };
        let all = self.held.get(&key).map_or(&[][..], Vec::as_slice);
        let known =
            all.iter().filter(|one| one.since <= now + tolerance && now < one.until + REMEMBERED);
        let known: Vec<_> = known.filter(|one| is_asked(call, one)).collect();
        let is_held = |one: &&&Held| now <= one.until + tolerance;
        let hosts = hosts(&call.target, &known);
        let place = |one: &&Held| find(&call.target, &hosts, one);
        let best = |places: &mut dyn Iterator<Item = Place>| {
            places.min_by_key(|place| place.priority.map_or(u32::MAX, u32::from))
        };
        // Whoever holds SRV records goes by them; that somebody has asked for an
        // address excuses nothing then.
        let has_endpoints = |one: &&&Held| !one.content.endpoints.is_empty();
        let newest = known.iter().filter(is_held).filter(has_endpoints);
        let newest = newest.max_by_key(|one| one.answered);
        let counts = |one: &&&Held| newest.is_none() || has_endpoints(one);
        let places = || known.iter().filter(counts);
        if let Some(place) = best(&mut places().filter(is_held).filter_map(place)) {
            return Verdict::Held(place);
        }
        if let Some(place) = best(&mut places().filter_map(place)) {
            return Verdict::Expired(place);
        }
        match newest {
            Some(newest) => Verdict::NotInIt {
                name: newest.name.to_string(),
                answered: show(newest.answered),
                targets: newest
                    .content
                    .endpoints
                    .iter()
                    .map(|(_, one)| one.target.clone())
                    .collect(),
            },
            None => self.explain_absence(call),
        }
    }

    /// Says why nothing is logged that could have been held.
    fn explain_absence(&self, call: &Call) -> Verdict {
        let Opened { sample, networks, regions, .. } = &self.opened;
        let not_sampled = |why: String| Verdict::NotSampled { why };
        let address = match &call.holder {
            Holder::Region(region) if !regions.is_empty() && !regions.contains(region) => {
                return not_sampled(format!("[log] regions has no `{region}`"));
            }
            Holder::Region(_) => return Verdict::NothingLogged,
            Holder::Resolver(address) => *address,
        };
        let mut logged = networks.iter().filter_map(|network| network.parse::<IpNet>().ok());
        if !networks.is_empty() && !logged.any(|network| network.contains(&address)) {
            return not_sampled(format!("[log] networks has none with {address}"));
        }
        let types = [Rtype::SRV, Rtype::A, Rtype::AAAA];
        let can_be = |name: &Name| {
            types.iter().any(|rtype| is_sampled(*sample, address, name.as_wire(), *rtype))
        };
        let is_sampled = match &call.name {
            Some(name) => can_be(name),
            None => self.names.iter().any(can_be),
        };
        match *sample > 1 && !is_sampled {
            true => not_sampled(format!("one question in {sample} is logged, and not this one")),
            // Only the server knows in which region the resolver is.
            false if !regions.is_empty() => {
                not_sampled("[log] regions may not have that of the resolver".to_owned())
            }
            false => Verdict::NothingLogged,
        }
    }
}

/// Says whether an answer is one to what a call asked, as far as that is known.
fn is_asked(call: &Call, held: &Held) -> bool {
    let has_endpoints = !held.content.endpoints.is_empty();
    !has_endpoints || call.name.as_ref().is_none_or(|name| *name == held.name)
}

/// Returns the names that answers give to the address that a call went to.
fn hosts<'h>(target: &Target, held: &[&'h Held]) -> Vec<&'h Name> {
    let Target::Address(address) = target else { return Vec::new() };
    let has = |one: &&&Held| one.content.addresses.contains(address);
    held.iter().filter(has).map(|one| &one.name).collect()
}

/// Returns where an endpoint is in an answer.
fn find(target: &Target, hosts: &[&Name], held: &Held) -> Option<Place> {
    let Content { endpoints, addresses } = &*held.content;
    let is_it = |(name, endpoint): &&(Name, Endpoint)| match target {
        Target::Name(target) => target == name,
        Target::Address(address) => endpoint.addresses.contains(address) || hosts.contains(&name),
    };
    let is_host = match target {
        Target::Name(target) => *target == held.name && !addresses.is_empty(),
        Target::Address(address) => addresses.contains(address),
    };
    let priority = match endpoints.iter().find(is_it) {
        Some((_, endpoint)) => Some(endpoint.priority),
        None if is_host => None,
        None => return None,
    };
    Some(Place {
        priority,
        name: held.name.to_string(),
        answered: show(held.answered),
        until: show(held.until),
        generation: held.generation,
    })
}

/// Returns the first address of the network that counts as one resolver.
fn network(address: IpAddr) -> IpAddr {
    let address = crate::geo::canonical(address);
    let len = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, len).map_or(address, |network| network.network())
}
