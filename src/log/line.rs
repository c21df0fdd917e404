//! The lines of the decision log.
//!
//! A line is a JSON object, and `event` says which one. What is written here is
//! what `log join` reads: both sides are one type, which [`format`](super::format)
//! writes without making one.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::snapshot::Moment;

/// A line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Line {
    /// The file was opened: what is logged in it from here on.
    Opened(Opened),

    /// A message was answered, or not.
    Answer(Box<Answer>),

    /// Lines are missing here.
    Lost(Lost),
}

/// What is logged.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Opened {
    /// When.
    pub time: String,

    /// `[server] identity`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// Which release writes.
    pub version: String,

    /// One in how many questions of a network.
    pub sample: u32,

    /// Clients in which networks; none are all.
    pub networks: Vec<String>,

    /// Clients of which regions; none are all.
    pub regions: Vec<String>,
}

/// Lines that are missing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lost {
    /// When that was noticed.
    pub time: String,

    /// `[server] identity`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// How many.
    pub count: u64,
}

/// An answer, and why.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// When it was given, to the millisecond, in UTC.
    pub time: String,

    /// `[server] identity`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// How the message came.
    pub transport: String,

    /// Who asked.
    pub client: String,

    /// The client subnet that steered the answer, where the resolver sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,

    /// For which prefix the resolver was told that it is good, in bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,

    /// The name asked for, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// The type asked for.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,

    /// The zone that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,

    /// The region that the client is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// The publication it was given from.
    pub generation: u64,

    /// The serial of the zone's version that was in force for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,

    /// What became of the message, by the names of the counters.
    pub outcome: String,

    /// In which way it is malformed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// The response code; there is none where there is no response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<String>,

    /// Whether the response is cut short (TC).
    pub truncated: bool,

    /// The octets of the response.
    pub size: usize,

    /// For how many seconds the resolver may hold it.
    pub ttl: u32,

    /// The targets that were handed out, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,

    /// The addresses that were, where addresses were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,

    /// How many records answer.
    pub records: u16,
}

/// A target that was handed out.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    /// Its name, in lower case.
    pub target: String,

    /// Its port.
    pub port: u16,

    /// Its priority.
    pub priority: u16,

    /// Its weight.
    pub weight: u16,

    /// The addresses of it that went along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// Returns a moment to the millisecond, in UTC (RFC 3339).
pub(super) fn time(moment: Moment) -> String {
    let timestamp = i64::try_from(moment.0).ok();
    let timestamp = timestamp.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    timestamp.map_or_else(String::new, |timestamp| format!("{timestamp:.3}"))
}
