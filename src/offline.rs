//! The tables on disk, and what they answer, without a server.
//!
//! Commands that compare something with the tables read them here. Records
//! come out of the answer core, as they do for clients; only where clients are
//! is made up: each region has a network of its own, so that no GeoIP database
//! need be read to ask as any region does.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_proto::op::Message;

use crate::answer::{CLASS_IN, Client, Transport, Verdict, answer};
use crate::compile;
use crate::config::model::{Checks, Config, ZoneTables};
use crate::config::{read_config, read_regions, read_zones_directory};
use crate::diag::{Report, Sources};
use crate::geo::{CloudLists, Databases, RegionId, RegionMap, RegionTable};
use crate::snapshot::{Moment, Settings, Snapshot, Timeline, Version, Zone};
use crate::wire::{Name, Rtype};

//----------- Offline --------------------------------------------------------

/// The tables on disk.
#[derive(Debug)]
pub struct Offline {
    /// The configuration.
    pub config: Config,

    /// The region table.
    pub regions: RegionTable,

    /// The zones without errors.
    pub zones: Vec<OfflineZone>,

    /// The folders of zones with errors.
    pub refused: Vec<String>,
}

/// A zone as it is written, and as it is compiled.
#[derive(Clone, Debug)]
pub struct OfflineZone {
    /// Its tables.
    pub tables: ZoneTables,

    /// What they give.
    pub zone: Arc<Zone>,

    /// By which checks.
    checks: Checks,
}

impl Offline {
    /// Reads the tables that a configuration names.
    ///
    /// Zones with errors are left out; an error in a file that all zones
    /// share fails.
    pub fn read(config: &Path) -> Result<Self, String> {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let read = read_config(&mut sources, config, &mut report).and_then(|config| {
            let regions = read_regions(&mut sources, &config.geoip.regions, &mut report)?;
            let folders = read_zones_directory(&mut sources, &config.zones, &regions, &mut report)?;
            Some((config, regions, folders))
        });
        let Some((config, regions, folders)) = read.filter(|_| !report.has_errors()) else {
            return Err(format!(
                "{}the tables cannot be used, see above",
                report.render(&sources, false)
            ));
        };
        let (mut zones, mut refused) = (Vec::new(), Vec::new());
        for folder in folders {
            let tables = folder.tables.filter(|_| !folder.report.has_errors());
            let zone = tables
                .and_then(|tables| OfflineZone::compile(tables, &regions, folder.checks).ok());
            match zone {
                Some(zone) => zones.push(zone),
                None => refused.push(folder.folder.display().to_string()),
            }
        }
        Ok(Offline { config, regions, zones, refused })
    }

    /// Returns the zone that a name is in, if it is here.
    pub fn zone_of(&self, name: &Name) -> Option<&OfflineZone> {
        let around = self.zones.iter().filter(|zone| name.is_within(&zone.tables.origin));
        around.max_by_key(|zone| zone.tables.origin.label_count())
    }

    /// Returns a snapshot of the zones in which every region has a network of
    /// its own, see [`client_of`].
    pub fn snapshot(&self) -> Snapshot {
        let names = self.regions.regions.iter().map(|region| &*region.name);
        let map = Arc::new(map_of_regions(names));
        let timeline = |zone: &OfflineZone| settled(zone.zone.clone(), &map);
        Snapshot::new(1, Settings::default(), self.zones.iter().map(timeline))
    }
}

impl OfflineZone {
    /// Compiles tables; what is wrong with them is told by `check`.
    pub fn compile(
        tables: ZoneTables,
        regions: &RegionTable,
        checks: Checks,
    ) -> Result<Self, Report> {
        let mut report = Report::default();
        match compile::compile(&tables, regions, 1, checks, &mut report) {
            Some(zone) => Ok(OfflineZone { tables, zone: Arc::new(zone), checks }),
            None => Err(report),
        }
    }

    /// Compiles other tables of the same zone.
    pub fn with(&self, tables: ZoneTables, regions: &RegionTable) -> Result<Self, Report> {
        Self::compile(tables, regions, self.checks)
    }
}

/// Returns a timeline whose only version is in force for everybody.
pub fn settled(zone: Arc<Zone>, map: &Arc<RegionMap>) -> Arc<Timeline> {
    Arc::new(Timeline::new(Arc::new(Version::new(zone, map.clone())), 0))
}

//----------- Regions without databases --------------------------------------

/// Returns a map of regions, by their names in order, in which [`client_of`]
/// is where it says.
pub fn map_of_regions<'a>(names: impl Iterator<Item = &'a str>) -> RegionMap {
    let mut text = String::new();
    let mut default = "";
    for (name, id) in names.zip(0..=u8::MAX) {
        default = name;
        let network = network_of(RegionId(id), 0);
        text += &format!("[regions.{name:?}]\nnetworks = [\"{network}/16\"]\n");
    }
    let path = PathBuf::from("regions.toml");
    let text = format!("default = {default:?}\n{text}");
    let mut sources = Sources::of_texts([(path.clone(), text.into())]);
    let table = read_regions(&mut sources, &path, &mut Report::default());
    let table = table.expect("names of regions that were read before are read again");
    RegionMap::compile(&table, &CloudLists::default(), &Databases::default())
}

/// Returns the address of a client in a region; each number is another
/// network (/48).
pub fn client_of(region: RegionId, number: u32) -> IpAddr {
    network_of(region, number).into()
}

/// A /16 a region, in which nothing is special (RFC 6890).
fn network_of(region: RegionId, number: u32) -> Ipv6Addr {
    let first = 0x2a00 + u16::from(region.0);
    Ipv6Addr::new(first, (number >> 16) as u16, number as u16, 0, 0, 0, 0, 0)
}

//----------- Asking ---------------------------------------------------------

/// Has the answer core answer a question, over a transport without limits.
pub fn ask(
    snapshot: &Snapshot,
    client: IpAddr,
    now: Moment,
    name: &Name,
    rtype: Rtype,
) -> Option<Message> {
    let client = Client { address: client, transport: Transport::Tcp };
    let mut out = vec![0; usize::from(u16::MAX)];
    let outcome = answer(snapshot, &client, now, &query(0, name, rtype), &mut out);
    match outcome.verdict {
        Verdict::Send(len) => Message::from_vec(&out[..len]).ok(),
        Verdict::Drop => None,
    }
}

/// Returns a query as a client of a resolver sends it (RFC 1035 section 4.1).
pub fn query(id: u16, name: &Name, rtype: Rtype) -> Vec<u8> {
    // Recursion desired, one question.
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    octets.extend(name.as_wire());
    octets.extend(rtype.0.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    octets
}
