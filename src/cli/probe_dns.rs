//! `trunkdns probe dns`

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::rr::{RData, Record};
use serde_json::{Value, json};

use super::{duration, fail, print, region};
use crate::offline::Offline;
use crate::resolver::client::{Reply, Resolver};
use crate::resolver::judge::{Finding, Judgement, judge};
use crate::resolver::known::{Origin, Said, known};
use crate::state::{self, Kept};
use crate::wire::{Name, Rtype};

/// The most names that are asked for when none is named.
const NAMES_MAX: usize = 32;

/// The most targets whose addresses are asked for.
const TARGETS_MAX: usize = 32;

/// Options of `probe dns`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The resolver: an address, with a port or without.
    #[arg(long, value_name = "RESOLVER", value_parser = resolver)]
    via: SocketAddr,

    /// The name; the services of all zones without one.
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// The type [SRV for names that begin with an underscore, else A].
    #[arg(value_name = "TYPE")]
    rtype: Option<String>,

    /// Exit 1 unless the answers are those of this region.
    #[arg(long, value_name = "REGION")]
    expect_region: Option<String>,

    /// Exit 1 if an answer takes longer.
    #[arg(long, value_name = "N")]
    max_ms: Option<u64>,

    /// How long an answer may take at all.
    #[arg(long, value_parser = duration, default_value = "5s")]
    timeout: Duration,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads the address of a resolver.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_matches(['[', ']']).parse::<IpAddr>();
    let address = text.parse().or_else(|_| bare.map(|address| SocketAddr::new(address, 53)));
    address.map_err(|_| "write an address such as 192.0.2.53, 192.0.2.53:5353 or [::1]:53".into())
}

/// Asks a resolver, and exits 0 if it hands out what the server does.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let questions = match Prober::new(config, options) {
        Ok((prober, names)) => prober.ask_all(names),
        Err(why) => return fail(&why),
    };
    let is_well = questions.iter().all(|question| question.is_well(options));
    let text = match options.json {
        true => {
            let list: Vec<_> = questions.iter().map(|one| one.to_json(options)).collect();
            let via = options.via.to_string();
            format!("{:#}\n", json!({ "via": via, "questions": list, "is-well": is_well }))
        }
        false => {
            let bad = questions.iter().filter(|question| !question.is_well(options)).count();
            let end = match bad {
                0 => "all of it is as it should be\n".to_owned(),
                bad => format!("{bad} of {} answers are not as they should be\n", questions.len()),
            };
            questions.iter().map(|question| question.render(options)).collect::<String>() + &end
        }
    };
    print(&text, is_well)
}

//----------- Prober ---------------------------------------------------------

/// A resolver, and what is to be compared with.
struct Prober {
    resolver: Resolver,
    offline: Offline,
    kept: Option<Kept>,
    now: u64,
}

impl Prober {
    fn new(config: &Path, options: &Options) -> Result<(Self, Vec<(Name, Rtype)>), String> {
        let offline = Offline::read(config)?;
        super::warn_of_refused(&offline);
        if let Some(expected) = &options.expect_region {
            region(&offline.regions, expected)?;
        }
        let names = questions(&offline, options)?;
        let kept = state::peek(&offline.config.server.state);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let resolver = Resolver { address: options.via, timeout: options.timeout };
        Ok((Prober { resolver, offline, kept, now }, names))
    }

    /// Asks for names, and for the addresses of their targets.
    fn ask_all(&self, names: Vec<(Name, Rtype)>) -> Vec<Question> {
        let mut questions: Vec<_> =
            names.into_iter().map(|(name, rtype)| self.ask(name, rtype)).collect();
        let targets: BTreeSet<Name> = questions.iter().flat_map(Question::targets).collect();
        for target in targets.into_iter().take(TARGETS_MAX) {
            let has_zone = self.offline.zone_of(&target).is_some();
            for rtype in [Rtype::A, Rtype::AAAA].into_iter().filter(|_| has_zone) {
                questions.push(self.ask(target.clone(), rtype));
            }
        }
        questions
    }

    fn ask(&self, name: Name, rtype: Rtype) -> Question {
        let reply = self.resolver.ask(&name, rtype);
        let finding = match &reply {
            Ok(reply) => {
                let known = known(&self.offline, self.kept.as_ref(), &name, rtype, self.now);
                judge(&Said::of(&reply.message), &known)
            }
            Err(failure) => Finding {
                judgement: Judgement::Failed,
                origin: None,
                regions: Vec::new(),
                ttl: None,
                details: vec![failure.to_string()],
            },
        };
        Question { name, rtype, reply: reply.ok(), finding }
    }
}

/// Returns what to ask for.
fn questions(offline: &Offline, options: &Options) -> Result<Vec<(Name, Rtype)>, String> {
    let Some(text) = &options.name else {
        let names = services(offline);
        return match names.len() {
            0 => Err("no zone has a service: name what to ask for".to_owned()),
            1..=NAMES_MAX => Ok(names),
            count => Err(format!("there are {count} services: name what to ask for")),
        };
    };
    let name = Name::parse(text, &Name::root());
    let name = name.map_err(|error| format!("`{text}` has {error}"))?;
    if offline.zone_of(&name).is_none() {
        return Err(format!("`{name}` is in no zone of the tables"));
    }
    let rtype = match &options.rtype {
        Some(text) => text.parse().map_err(|_| format!("`{text}` is no type"))?,
        None if text.starts_with('_') => Rtype::SRV,
        None => Rtype::A,
    };
    Ok(vec![(name, rtype)])
}

/// Returns the names of services, by clients' regions, of all zones.
fn services(offline: &Offline) -> Vec<(Name, Rtype)> {
    let mut names = Vec::new();
    for zone in &offline.zones {
        for node in zone.zone.nodes().filter(|node| node.rrset(Rtype::SRV).is_some()) {
            let Ok(name) = Name::from_wire(node.owner()) else { continue };
            let base = name.parent().and_then(|parent| parent.parent());
            if base.as_ref() == Some(&zone.tables.origin) {
                names.push((name, Rtype::SRV));
            }
        }
    }
    names
}

//----------- Question -------------------------------------------------------

/// A question to a resolver, and what came of it.
struct Question {
    name: Name,
    rtype: Rtype,
    reply: Option<Reply>,
    finding: Finding,
}

impl Question {
    /// Returns the targets of SRV records.
    fn targets(&self) -> Vec<Name> {
        let answers = self.reply.iter().flat_map(|reply| &reply.message.answers);
        let srv = answers.filter_map(|record| match &record.data {
            RData::SRV(srv) => Name::parse(&srv.target.to_string(), &Name::root()).ok(),
            _ => None,
        });
        srv.filter(|target| *target != Name::root()).collect()
    }

    /// Returns the records in the order in which clients try them: resolvers
    /// turn them round.
    fn records(&self) -> Vec<&Record> {
        let answers = self.reply.iter().flat_map(|reply| &reply.message.answers);
        let mut records: Vec<_> = answers.collect();
        records.sort_by_cached_key(|record| match &record.data {
            RData::SRV(srv) => (srv.priority, Reverse(srv.weight), srv.target.to_string()),
            data => (0, Reverse(0), data.to_string()),
        });
        records
    }

    fn is_well(&self, options: &Options) -> bool {
        self.finding.judgement.is_good() && self.has_region(options) && self.is_fast(options)
    }

    /// Says whether it is the answer of the region that is expected.
    fn has_region(&self, options: &Options) -> bool {
        let regions = &self.finding.regions;
        options.expect_region.as_ref().is_none_or(|region| {
            regions.is_empty() || regions.iter().any(|own| own.eq_ignore_ascii_case(region))
        })
    }

    fn is_fast(&self, options: &Options) -> bool {
        let limit = options.max_ms.map(Duration::from_millis);
        let took = self.reply.as_ref().map(|reply| reply.took);
        limit.zip(took).is_none_or(|(limit, took)| took <= limit)
    }

    /// Returns what an operator should know beside.
    fn notes(&self, options: &Options) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(reply) = &self.reply else { return notes };
        let left = Said::of(&reply.message).ttl;
        if left == Some(0) {
            notes.push("TTL 0 is left: a default Kamailio fails calls on it".to_owned());
        }
        if let Some((left, ttl)) = left.zip(self.finding.ttl).filter(|(left, ttl)| left > ttl) {
            notes.push(format!("the resolver makes the TTL longer: {left} s instead of {ttl} s"));
        }
        if reply.over_tcp {
            notes
                .push("the answer was cut short over UDP, many SIP stacks fail on that".to_owned());
        }
        if self.finding.judgement.is_good() && !self.has_region(options) {
            notes
                .extend(options.expect_region.iter().map(|region| format!("not that of {region}")));
        }
        if !self.is_fast(options) {
            notes.extend(options.max_ms.map(|limit| format!("slower than {limit} ms")));
        }
        notes
    }

    fn render(&self, options: &Options) -> String {
        let mut out = format!("{} {}: {}", self.name, self.rtype, self.finding.sentence());
        if let Some(reply) = &self.reply {
            let left = Said::of(&reply.message).ttl;
            let _ = match (left, self.finding.ttl) {
                (Some(left), Some(ttl)) => write!(out, "; {left} of {ttl} s left"),
                (Some(left), None) => write!(out, "; {left} s left"),
                (None, _) => Ok(()),
            };
            let _ = write!(out, "; {:.1} ms", reply.took.as_secs_f64() * 1000.0);
        }
        out.push('\n');
        for record in self.records() {
            let _ = writeln!(out, "  {} {}", record.record_type(), record.data);
        }
        for detail in &self.finding.details {
            let _ = writeln!(out, "  {}: {detail}", self.finding.detail_is());
        }
        for note in self.notes(options) {
            let _ = writeln!(out, "  note: {note}");
        }
        out
    }

    fn to_json(&self, options: &Options) -> Value {
        let reply = self.reply.as_ref();
        let said = reply.map(|reply| Said::of(&reply.message));
        let milliseconds = |reply: &Reply| (reply.took.as_secs_f64() * 10_000.0).round() / 10.0;
        let finding = &self.finding;
        json!({
            "name": self.name.to_string(),
            "type": self.rtype.to_string(),
            "judgement": finding.judgement,
            "origin": finding.origin,
            "regions": finding.regions,
            "rcode": said.as_ref().map(Said::code),
            "records": said.as_ref().map(|said| &said.records),
            "ttl-left": said.as_ref().and_then(|said| said.ttl),
            "ttl": finding.ttl,
            "milliseconds": reply.map(milliseconds),
            "over-tcp": reply.is_some_and(|reply| reply.over_tcp),
            "details": finding.details,
            "notes": self.notes(options),
            "is-well": self.is_well(options),
        })
    }
}

impl Finding {
    /// Says whose answer it is.
    fn sentence(&self) -> String {
        let whose = match &self.regions[..] {
            [] => "for every region".to_owned(),
            regions => format!("the answer of {}", regions.join(", ")),
        };
        let version = match self.origin {
            Some(Origin::Published { serial }) => {
                format!(" in serial {serial}, which is published")
            }
            Some(Origin::Over { serial, .. }) => format!(" in serial {serial}, which is over"),
            _ => String::new(),
        };
        match self.judgement {
            Judgement::Current => format!("current, {whose}"),
            Judgement::Published => {
                format!("published, {whose}{version}; the tables on disk differ")
            }
            Judgement::Stale if self.origin.is_none() => {
                "stale: the service's endpoints, as no version that is kept gives them".to_owned()
            }
            Judgement::Stale => format!("stale, {whose}{version}"),
            Judgement::Mix => "a mix that nobody is given".to_owned(),
            Judgement::Foreign => "foreign: not what any region is given".to_owned(),
            Judgement::Failed => "failed".to_owned(),
        }
    }

    /// Says what the details are.
    fn detail_is(&self) -> &'static str {
        match self.judgement {
            Judgement::Mix => "of",
            Judgement::Foreign | Judgement::Stale => "unknown",
            _ => "why",
        }
    }
}
