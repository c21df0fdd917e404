//! What the platform is told: trunks that fit the tables.
//!
//! For each region a trunk a tier, on the tier's name, a group that fails over
//! from one to the next, and a policy that routes calls to the group: the
//! bodies of Genesys Cloud's provisioning interface, for infrastructure as
//! code. The same tables give the same octets.
//!
//! Nothing here speaks to the platform, and nothing is secret: where a secret
//! belongs stands the name of a variable, as `envsubst` fills them in.
//!
//! - [`Provisioning`] is what is exported.
//! - [`compare()`] says how a file differs from it.

mod compare;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::model::{Row, RowKey, Service, Tier, ZoneTables};
use crate::geo::{RegionId, RegionTable};
use crate::wire::Name;

pub use self::compare::compare;

/// Services over TLS, the one that is taken first where the operator names
/// none: the platform encrypts signalling, and the others' ports do not.
const ENCRYPTED: [&str; 2] = ["_sips._tcp", "_sip._tls"];

//----------- Request --------------------------------------------------------

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The regions; all if there is none.
    pub regions: Vec<RegionId>,

    /// The service; without it the first over TLS, else the first.
    pub service: Option<&'a str>,

    /// Whether trunks are on names that answer by the resolver's region,
    /// rather than on those of one region.
    pub steered: bool,

    /// Numbers that a region's trunks take, as regular expressions.
    pub patterns: Vec<(RegionId, String)>,
}

//----------- Provisioning ---------------------------------------------------

/// Everything that the platform is told of a zone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// A trunk for each region and tier.
    pub trunks: Vec<Trunk>,

    /// A group for each region.
    pub trunk_groups: Vec<TrunkGroup>,

    /// A policy for each region.
    pub routing_policies: Vec<RoutingPolicy>,

    /// What whoever uses this should know.
    #[serde(skip)]
    pub notes: Vec<String>,

    /// Whether it is of some regions only.
    #[serde(skip)]
    pub is_partial: bool,
}

/// The body of a trunk.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trunk {
    /// Unique among trunks.
    pub name: String,
    /// For people.
    pub description: String,
    /// The kind of trunk.
    pub r#type: &'static str,
    /// The name whose SRV records lead to the endpoints.
    pub sip_uri: String,
    /// The names of variables.
    pub authentication: Authentication,
    /// Encryption of signalling.
    pub tls: Tls,
    /// Encryption of media.
    pub srtp: Enabled,
    /// RTP ports.
    pub media_ports: MediaPorts,
    /// RTP over what.
    pub media_transport_protocol: &'static str,
    /// Whether RTCP shares the port of RTP (RFC 5761).
    pub rtcp_multiplexing: bool,
    /// Which calls it takes.
    pub outbound_routing_rules: Vec<OutboundRule>,
    /// SIP OPTIONS.
    pub health_check: HealthCheck,
}

/// Where the carrier's credentials belong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// A variable.
    pub username: String,
    /// A variable.
    pub password: String,
}

/// Encryption of signalling.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Whether there is any.
    pub enabled: bool,
    /// How certificates are looked at.
    pub certificate_verification: &'static str,
}

/// A switch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enabled {
    /// Whether it is on.
    pub enabled: bool,
}

/// A range of ports.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaPorts {
    /// The first.
    pub start_port: u16,
    /// The last.
    pub end_port: u16,
}

/// Calls that a trunk takes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundRule {
    /// For people.
    pub name: String,
    /// A regular expression over the number.
    pub pattern: String,
    /// Whether it counts.
    pub enabled: bool,
}

/// How the platform finds out whether a trunk works.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Whether it does.
    pub enabled: bool,
    /// Seconds from one OPTIONS to the next.
    pub interval_seconds: u32,
    /// How many in a row must fail.
    pub failure_threshold: u32,
    /// How many in a row must do well.
    pub success_threshold: u32,
}

/// The body of a trunk group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrunkGroup {
    /// Unique among groups.
    pub name: String,
    /// When calls move on.
    pub failover_mode: &'static str,
    /// Trunks in failover order.
    pub trunks: Vec<String>,
}

/// The body of a routing policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingPolicy {
    /// Unique among policies.
    pub name: String,
    /// The group it sends calls to.
    pub trunk_group: String,
    /// For how long a trunk must have done well.
    pub evaluation_window_seconds: u32,
    /// Whether it is logged which trunk took a call.
    pub log_trunk_selection: bool,
    /// Where media goes: with the signalling.
    pub media_region: &'static str,
}

impl Provisioning {
    /// Makes it from the tables of a zone.
    pub fn new(
        tables: &ZoneTables,
        regions: &RegionTable,
        request: &Request<'_>,
    ) -> Result<Self, String> {
        let service = service(tables, request.service)?;
        let mut made = Provisioning {
            trunks: Vec::new(),
            trunk_groups: Vec::new(),
            routing_policies: Vec::new(),
            notes: Vec::new(),
            is_partial: !request.regions.is_empty(),
        };
        if !ENCRYPTED.contains(&&*service.name.value) {
            made.notes.push(format!(
                "{} leads to port {}: name the service over TLS by --service if that port does not \
                 speak it",
                service.name.value, service.port
            ));
        }
        for id in regions.ids() {
            if request.regions.is_empty() || request.regions.contains(&id) {
                made.add_region(tables, service, (id, &regions.get(id).name), request)?;
            }
        }
        Ok(made)
    }

    fn add_region(
        &mut self,
        tables: &ZoneTables,
        service: &Service,
        (id, region): (RegionId, &str),
        request: &Request<'_>,
    ) -> Result<(), String> {
        let title = titled(region);
        let row = row(&tables.services[service.table].rows, id);
        let mut group = Vec::new();
        for tier in &service.tiers {
            let has_tier = row
                .is_some_and(|row| row.cells.iter().any(|cell| cell.tier.value == tier.name.value));
            if !has_tier {
                self.notes.push(format!(
                    "{region} has no {} of its own: its trunk leads to the nearest that it has",
                    tier.name.value
                ));
            }
            let of = if request.steered { None } else { Some(region) };
            let name = format!("{title}-{}-Trunk", titled(&tier.name.value));
            let variable = name.trim_end_matches("-Trunk").to_uppercase().replace('-', "_");
            self.trunks.push(Trunk {
                description: format!(
                    "{region}, {}, TTL {} s: by DNS, from the priority table of {}",
                    tier.name.value,
                    tier.ttl,
                    without_dot(&tables.origin)
                ),
                r#type: "SIP",
                sip_uri: sip_uri(tables, service, tier, of)?,
                authentication: Authentication {
                    username: format!("${{{variable}_USERNAME}}"),
                    password: format!("${{{variable}_PASSWORD}}"),
                },
                tls: Tls { enabled: true, certificate_verification: "strict" },
                srtp: Enabled { enabled: true },
                media_ports: MediaPorts { start_port: 10_000, end_port: 20_000 },
                media_transport_protocol: "udp",
                rtcp_multiplexing: true,
                outbound_routing_rules: rules(&title, id, request),
                health_check: HealthCheck {
                    enabled: true,
                    interval_seconds: 10,
                    failure_threshold: 3,
                    success_threshold: 2,
                },
                name: name.clone(),
            });
            group.push(name);
        }
        self.trunk_groups.push(TrunkGroup {
            name: title.clone(),
            failover_mode: "Degraded",
            trunks: group,
        });
        self.routing_policies.push(RoutingPolicy {
            name: title.clone(),
            trunk_group: title,
            evaluation_window_seconds: 30,
            log_trunk_selection: true,
            media_region: "auto",
        });
        Ok(())
    }

    /// Returns the bodies as JSON text.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them always fit.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Returns variables for Terraform (`*.tfvars.json`): maps from names to
    /// what they name, for `for_each`.
    pub fn to_terraform(&self) -> String {
        let parts = self.value().as_object().cloned().unwrap_or_default();
        let maps = parts.into_iter().map(|(part, list)| (snake(&part), by_name(list)));
        format!("{:#}\n", Value::Object(maps.collect()))
    }

    fn value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Returns a list of things with names as a map from the names.
fn by_name(list: Value) -> Value {
    let Value::Array(list) = list else { return list };
    let named = list.into_iter().map(|mut one| {
        let name = one.as_object_mut().and_then(|fields| fields.remove("name"));
        (name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(), snaked(one))
    });
    Value::Object(named.collect())
}

/// Returns a value with keys as Terraform writes them.
fn snaked(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (snake(&key), snaked(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(snaked).collect()),
        other => other,
    }
}

fn snake(key: &str) -> String {
    let parts = key.chars().map(|letter| match letter.is_ascii_uppercase() {
        true => format!("_{}", letter.to_ascii_lowercase()),
        false => letter.to_string(),
    });
    parts.collect()
}

//----------- Parts ----------------------------------------------------------

/// Finds the service whose trunks are made.
fn service<'t>(tables: &'t ZoneTables, named: Option<&str>) -> Result<&'t Service, String> {
    let find = |name: &str| tables.services.iter().find(|service| service.name.value == name);
    if let Some(name) = named {
        return find(name).ok_or_else(|| {
            let names: Vec<_> = tables.services.iter().map(|one| &*one.name.value).collect();
            format!("{} has no service `{name}`; it has {}", tables.origin, names.join(", "))
        });
    }
    let encrypted = ENCRYPTED.into_iter().find_map(find);
    encrypted
        .or_else(|| tables.services.first())
        .ok_or_else(|| format!("{} has no services", tables.origin))
}

/// Returns the row that clients of a region get.
fn row(rows: &[Row], region: RegionId) -> Option<&Row> {
    let find = |key| rows.iter().find(|row| row.key.value == key);
    find(RowKey::Region(region)).or_else(|| find(RowKey::Default))
}

fn sip_uri(
    tables: &ZoneTables,
    service: &Service,
    tier: &Tier,
    region: Option<&str>,
) -> Result<String, String> {
    let region = region.map(|region| format!("{region}.")).unwrap_or_default();
    let prefix = format!("{}.{}.{}", service.name.value, tier.name.value, region);
    let name = Name::parse(prefix.trim_end_matches('.'), &tables.origin);
    let name = name.map_err(|error| format!("`{prefix}{}` has {error}", tables.origin))?;
    Ok(without_dot(&name))
}

fn rules(title: &str, region: RegionId, request: &Request<'_>) -> Vec<OutboundRule> {
    let own = request.patterns.iter().filter(|(of, _)| *of == region);
    let rule = |(number, (_, pattern)): (usize, &(RegionId, String))| OutboundRule {
        name: format!("{title}-{number}"),
        pattern: pattern.clone(),
        enabled: true,
    };
    (1..).zip(own).map(rule).collect()
}

/// Returns a name without the dot at its end, as the platform's forms want it.
fn without_dot(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}

/// Returns a region or tier as a title: `us-east` is `US-East`.
fn titled(label: &str) -> String {
    let word = |word: &str| match word {
        // Countries and continents are of two letters.
        short if short.len() <= 2 => short.to_uppercase(),
        long => long[..1].to_uppercase() + &long[1..],
    };
    label.split('-').map(word).collect::<Vec<_>>().join("-")
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_tiers_become_titles() {
        let titles = ["us-east", "eu-central-1", "primary", "ap", "a--b"].map(titled);
        assert_eq!(titles, ["US-East", "EU-Central-1", "Primary", "AP", "A--B"]);
    }

    #[test]
    fn keys_become_those_of_terraform() {
        assert_eq!(
            ["sipUri", "name", "evaluationWindowSeconds"].map(snake),
            ["sip_uri", "name", "evaluation_window_seconds"]
        );
    }
}
