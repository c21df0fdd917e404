//! Address lists that clouds publish.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

use super::region::{CloudList, CloudRegion, RegionId, RegionTable};
use super::special::Embedding;
use crate::diag::words;
use crate::diag::{Code, Finding, Located, Report, Sources, Span};

/// The networks of each region of a cloud.
type List = BTreeMap<String, BTreeSet<IpNet>>;

//----------- CloudLists -----------------------------------------------------

/// The networks of the cloud regions that the region table names.
#[derive(Clone, Debug, Default)]
pub struct CloudLists {
    pub(super) selections: Vec<Selection>,
    published: Vec<(Located<PathBuf>, u64)>,
}

/// The networks of one cloud region.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// The region that its addresses are clients of.
    pub(super) region: RegionId,

    /// What the region table says, and where.
    pub(super) selector: Located<CloudRegion>,

    /// The networks, without those that carry IPv4 addresses in IPv6.
    pub(super) networks: Vec<IpNet>,
}

impl CloudLists {
    /// Reads the lists of a region table, and what the table takes from them.
    ///
    /// AWS `ip-ranges.json`, Azure service tags and Google `cloud.json` are
    /// told apart by their shape.
    pub fn load(table: &RegionTable, sources: &mut Sources, report: &mut Report) -> CloudLists {
        let mut lists = BTreeMap::new();
        let mut published = Vec::new();
        for cloud in &table.clouds {
            let list = read(cloud, sources, report);
            published.extend(list.as_ref().map(|(_, time)| (cloud.path.clone(), *time)));
            lists.insert(cloud.name.as_str(), list.map(|(list, _)| list));
        }
        let mut taken: BTreeMap<&CloudRegion, Span> = BTreeMap::new();
        let mut selections = Vec::new();
        for (region, selector) in selectors(table) {
            if let Some(first) = taken.insert(&selector.value, selector.span) {
                report.add(taken_twice(selector, first));
                continue;
            }
            match select(&lists, selector) {
                Ok(networks) => {
                    selections.push(Selection { region, selector: selector.clone(), networks });
                }
                Err(Some(finding)) => report.add(finding),
                Err(None) => {}
            }
        }
        CloudLists { selections, published }
    }

    /// Returns each list's file, and when it was published, in seconds since
    /// the Unix epoch; of Azure's, which does not say, when it was written.
    pub fn published(&self) -> impl Iterator<Item = &(Located<PathBuf>, u64)> {
        self.published.iter()
    }
}

fn selectors(table: &RegionTable) -> impl Iterator<Item = (RegionId, &Located<CloudRegion>)> {
    table.ids().flat_map(|id| table.get(id).clouds.iter().map(move |selector| (id, selector)))
}

/// Takes the networks of one cloud region. A list that could not be read has
/// had its finding: nothing more is said of its regions.
fn select(
    lists: &BTreeMap<&str, Option<List>>,
    selector: &Located<CloudRegion>,
) -> Result<Vec<IpNet>, Option<Finding>> {
    let CloudRegion { list, region } = &selector.value;
    let known = lists.get(list.as_str()).ok_or_else(|| {
        Some(Finding::new(
            Code::UnknownCloudList,
            selector.span,
            format!("`{list}` is not a cloud list; expected one of: {}", names(lists.keys())),
            format!("declare it under [clouds]: {list} = \"FILE.json\""),
        ))
    })?;
    let known = known.as_ref().ok_or(None)?;
    let networks = known.get(region).ok_or_else(|| {
        Some(Finding::new(
            Code::UnknownCloudRegion,
            selector.span,
            format!("`{list}` has no region `{region}`"),
            match words::nearest(region, known.keys().map(String::as_str)) {
                Some(name) => format!("did you mean `{list}:{name}`?"),
                None => format!("name a region of the list `{list}`"),
            },
        ))
    })?;
    let counts = |network: &&IpNet| Embedding::holding(**network).is_none();
    Ok(networks.iter().filter(counts).copied().collect())
}

fn taken_twice(selector: &Located<CloudRegion>, first: Span) -> Finding {
    let CloudRegion { list, region } = &selector.value;
    let message = format!("`{list}:{region}` is listed twice; expected each cloud region once");
    Finding::new(Code::CloudInTwoRegions, selector.span, message, "remove it from one of them")
        .with_related(first, "listed first here")
}

fn names<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none is declared".into() } else { names.join(", ") }
}

//----------- Document -------------------------------------------------------

/// Any of the three formats; which one it is shows in what is there.
#[derive(Deserialize)]
struct Document {
    /// AWS and Google.
    #[serde(default)]
    prefixes: Vec<Prefix>,

    /// AWS.
    #[serde(default)]
    ipv6_prefixes: Vec<Prefix>,

    /// Azure.
    #[serde(default)]
    values: Vec<Tag>,

    /// AWS and Google: when it was published, in seconds or milliseconds.
    #[serde(default, rename = "syncToken")]
    sync_token: String,
}

impl Document {
    /// Returns when it was published, in seconds since the Unix epoch.
    fn published(&self) -> Option<u64> {
        let token: u64 = self.sync_token.parse().ok()?;
        // Seconds have ten digits until the year 2286.
        Some(if token < 10_000_000_000 { token } else { token / 1000 })
    }
}

/// A prefix of AWS (`ip_prefix`, `region`) or Google (`ipv4Prefix`, `scope`).
#[derive(Deserialize)]
struct Prefix {
    #[serde(alias = "ipv4Prefix")]
    ip_prefix: Option<Ipv4Net>,
    #[serde(alias = "ipv6Prefix")]
    ipv6_prefix: Option<Ipv6Net>,
    #[serde(alias = "scope")]
    region: String,
}

/// A service tag of Azure.
#[derive(Deserialize)]
struct Tag {
    properties: TagProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagProperties {
    /// Empty for tags of all regions.
    #[serde(default)]
    region: String,
    address_prefixes: Vec<IpNet>,
}

/// Reads a list; says also when it was published.
fn read(cloud: &CloudList, sources: &mut Sources, report: &mut Report) -> Option<(List, u64)> {
    let file = sources.read(&cloud.path.value).map_err(|error| error.to_string());
    let list = file.and_then(|file| {
        let (list, published) = parse(&sources.text(file))?;
        Ok((list, published.unwrap_or(sources.written(file))))
    });
    list.map_err(|error| {
        report.add(Finding::new(
            Code::BadCloudList,
            cloud.path.span,
            format!("`{}` is not a cloud's address list: {error}", cloud.path.value.display()),
            "fetch AWS ip-ranges.json, Azure's service tags or Google's cloud.json again",
        ));
    })
    .ok()
}

fn parse(text: &str) -> Result<(List, Option<u64>), String> {
    let text = text.trim_start_matches('\u{feff}');
    let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let published = document.published();
    let mut list = List::new();
    let mut add = |region: String, network: IpNet| {
        list.entry(region).or_default().insert(network.trunc());
    };
    for prefix in document.prefixes.into_iter().chain(document.ipv6_prefixes) {
        let v4 = prefix.ip_prefix.map(IpNet::from);
        if let Some(network) = v4.or(prefix.ipv6_prefix.map(IpNet::from)) {
            add(prefix.region, network);
        }
    }
    for TagProperties { region, address_prefixes } in
        document.values.into_iter().map(|tag| tag.properties)
    {
        for network in address_prefixes.into_iter().filter(|_| !region.is_empty()) {
            add(region.clone(), network);
        }
    }
    match list.is_empty() {
        true => Err("it lists no prefix of any region".into()),
        false => Ok((list, published)),
    }
}
