//! The priority tables that are served: `zones.json` and `tables.json`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::overview::Cut;
use crate::config;
use crate::config::model::{self, Endpoint, Row, RowKey, Service, ZoneTables};
use crate::daemon::load;
use crate::diag::Report;
use crate::geo::RegionTable;
use crate::state::{Kept, KeptZone};
use crate::wire::{Name, Rtype};

/// The most zones that are listed.
const ZONES_MAX: usize = 50;

//----------- Zones ----------------------------------------------------------

/// Zones whose names have a text in them.
#[derive(Debug, Serialize)]
pub(super) struct Zones {
    zones: Cut<String>,
}

impl Zones {
    /// Looks for a text in either letter case; all zones have none in them.
    pub(super) fn find(kept: &Kept, text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let names = kept.zones.keys().map(Name::to_string);
        let found = names.filter(|name| name.to_ascii_lowercase().contains(&text)).collect();
        Zones { zones: Cut::to(ZONES_MAX, found) }
    }
}

//----------- Tables ---------------------------------------------------------

/// The priority tables of a zone, as they were published last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Tables {
    zone: String,
    generation: u64,
    serial: u32,
    services: Vec<Table>,

    /// SRV records of master files and `[[geo]]`, which are in no priority
    /// table.
    other_srv: usize,
}

/// The priority table of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    /// Such as `_sip._tcp`.
    service: String,

    /// The port of endpoints that name none.
    port: u16,

    ttl: u32,

    /// The service whose rows it uses, where they are not its own.
    shares: Option<String>,

    tiers: Vec<Tier>,
    rows: Vec<TableRow>,

    /// The regions that `default` is for.
    by_default: Vec<String>,
}

/// A tier, with its name's own TTL.
#[derive(Debug, Serialize)]
struct Tier {
    name: String,
    priority: u16,
    ttl: u32,
}

/// A row: a region's endpoints, tier by tier.
#[derive(Debug, Serialize)]
struct TableRow {
    region: String,

    /// As many as there are tiers; an empty one is not in the row.
    cells: Vec<Vec<Target>>,
}

/// An endpoint in a row.
#[derive(Debug, Serialize)]
struct Target {
    target: String,
    port: u16,
    weight: u16,
    drain: Drain,
}

/// Whether an endpoint is drained.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Drain {
    No,

    /// It will be.
    Scheduled,

    /// The tables are compiled with it behind all others.
    Drained,
}

impl Tables {
    /// Reads the tables of a zone again that are kept; fails where there are
    /// none.
    pub(super) fn read(kept: &Kept, name: &str) -> Result<Self, String> {
        let name =
            Name::parse(name, &Name::root()).map_err(|error| format!("`{name}` has {error}"))?;
        let zone = kept.zones.get(&name).ok_or_else(|| format!("there is no zone {name}"))?;
        let regions = load::read_kept(&kept.shared.regions, config::read_regions);
        let regions = regions.ok_or("the region table cannot be read by this release")?;
        let (tables, _) = load::read_texts(&zone.tables, &regions, &mut Report::default());
        let tables = tables.ok_or("its tables cannot be read by this release")?;
        let scheduled = kept.drains.iter().filter(|(_, drain)| !drain.has_begun);
        let scheduled = scheduled.map(|(endpoint, _)| endpoint.clone()).collect();
        let reader = Reader { tables: &tables, regions: &regions, zone, scheduled };
        Ok(Tables {
            zone: name.to_string(),
            generation: kept.generation,
            serial: zone.timeline.newest().zone.serial(),
            services: tables.services.iter().map(|service| reader.table(service)).collect(),
            other_srv: reader.other_srv(),
        })
    }
}

/// What reading a zone's tables needs.
struct Reader<'a> {
    tables: &'a ZoneTables,
    regions: &'a RegionTable,
    zone: &'a KeptZone,

    /// Endpoints that will be drained.
    scheduled: BTreeSet<Name>,
}

impl Reader<'_> {
    fn table(&self, service: &Service) -> Table {
        let owner = &self.tables.services[service.table];
        let is_own = owner.name.value == service.name.value;
        let has_row = |id| owner.rows.iter().any(|row| row.key.value == RowKey::Region(id));
        let without = self.regions.ids().filter(|id| !has_row(*id));
        let tier = |tier: &model::Tier| Tier {
            name: tier.name.value.clone(),
            priority: tier.priority,
            ttl: tier.ttl,
        };
        Table {
            service: service.name.value.clone(),
            port: service.port,
            ttl: service.ttl,
            shares: (!is_own).then(|| owner.name.value.clone()),
            tiers: service.tiers.iter().map(tier).collect(),
            rows: owner.rows.iter().map(|row| self.row(service, is_own, row)).collect(),
            by_default: without.map(|id| self.regions.get(id).name.clone()).collect(),
        }
    }

    fn row(&self, service: &Service, is_own: bool, row: &Row) -> TableRow {
        let region = match row.key.value {
            RowKey::Region(id) => self.regions.get(id).name.clone(),
            RowKey::Default => "default".to_owned(),
        };
        let cells = service.tiers.iter().map(|tier| {
            let own = row.cells.iter().filter(|cell| cell.tier.value == tier.name.value);
            let endpoints = own.flat_map(|cell| &cell.endpoints);
            endpoints.map(|endpoint| self.target(service, is_own, endpoint)).collect()
        });
        TableRow { region, cells: cells.collect() }
    }

    /// Returns an endpoint; its own port counts for the service alone that
    /// owns the table.
    fn target(&self, service: &Service, is_own: bool, endpoint: &Endpoint) -> Target {
        let name = &endpoint.target.value;
        let drain = match () {
            () if self.zone.drained.contains(name) => Drain::Drained,
            () if self.scheduled.contains(name) => Drain::Scheduled,
            () => Drain::No,
        };
        Target {
            target: name.to_string(),
            port: endpoint.port.filter(|_| is_own).unwrap_or(service.port),
            weight: endpoint.weight,
            drain,
        }
    }

    fn other_srv(&self) -> usize {
        let listed = self.tables.records.iter().filter(|record| record.rtype == Rtype::SRV);
        let steered = self.tables.geo.iter().filter(|geo| geo.rtype == Rtype::SRV);
        listed.count() + steered.count()
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::daemon::load::load;
    use crate::diag::Sources;
    use crate::state;

    const ZONE: &str = r#"
        [soa]
        primary = "ns1"
        contact = "hostmaster"
        [ns]
        hosts = ["ns1"]
        [hosts]
        ns1 = ["192.0.2.1"]
        sbc1 = ["192.0.2.11"]
        sbc2 = ["192.0.2.12"]
        [services."_sip._tcp"]
        port = 5060
        ttl = 60
        [services."_sip._tcp".tiers]
        primary = { priority = 10, ttl = 60 }
        secondary = { priority = 20, ttl = 45 }
        [services."_sips._tcp"]
        port = 5061
        ttl = 60
        priorities = "_sip._tcp"
    "#;

    const ROWS: &str = r#"
        ["_sip._tcp".us]
        primary = [{ target = "sbc1", weight = 60 }, { target = "sbc2", weight = 40, port = 5070 }]
        secondary = ["sbc2"]
        ["_sip._tcp".default]
        primary = ["sbc1"]
    "#;

    /// What is kept of a folder with some zones.
    fn kept(zones: &[(&str, &[(&str, &str)])]) -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("trunkdns.toml", "[geoip]\ndatabases = []\nregions = \"regions.toml\"\n");
        let regions = ["ap", "eu", "us"].map(|name| format!("[regions.{name}]\n")).concat();
        write("regions.toml", &format!("default = \"us\"\n{regions}"));
        for (zone, files) in zones {
            for (name, text) in *files {
                write(&format!("zones/{zone}/{name}"), text);
            }
        }
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let loaded = load(&folder.path().join("trunkdns.toml"), None, &mut sources, &mut report);
        assert!(!report.has_errors(), "{}", report.render(&sources, false));
        loaded.unwrap().into_kept(1)
    }

    fn example() -> Kept {
        kept(&[("a.example", &[("zone.toml", ZONE), ("priorities.toml", ROWS)])])
    }

    fn tables(kept: &Kept) -> Value {
        json!(Tables::read(kept, "a.example").unwrap())
    }

    #[test]
    fn a_table_has_a_row_a_region_and_a_cell_a_tier() {
        let tables = tables(&example());
        let table = &tables["services"][0];
        assert_eq!(table["service"], "_sip._tcp");
        assert_eq!(table["tiers"][1], json!({"name": "secondary", "priority": 20, "ttl": 45}));
        let (us, default) = (&table["rows"][0], &table["rows"][1]);
        assert_eq!((&us["region"], &default["region"]), (&json!("us"), &json!("default")));
        assert_eq!(us["cells"][0].as_array().unwrap().len(), 2);
        assert_eq!(us["cells"][0][1]["target"], "sbc2.a.example.");
        assert_eq!(
            (&us["cells"][0][1]["port"], &us["cells"][0][1]["weight"]),
            (&json!(5070), &json!(40))
        );
        assert_eq!(default["cells"], json!([[us_first(us)], []]));
        assert_eq!(table["by-default"], json!(["ap", "eu"]));
    }

    /// The first endpoint of a row, with the weight that it has alone.
    fn us_first(row: &Value) -> Value {
        let mut first = row["cells"][0][0].clone();
        first["weight"] = json!(100);
        first
    }

    #[test]
    fn a_service_that_shares_rows_has_its_own_port() {
        let tables = tables(&example());
        let table = &tables["services"][1];
        assert_eq!(
            (&table["service"], &table["shares"]),
            (&json!("_sips._tcp"), &json!("_sip._tcp"))
        );
        let ports: Vec<_> = table["rows"][0]["cells"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["port"])
            .collect();
        assert_eq!(ports, [&json!(5061), &json!(5061)]);
    }

    #[test]
    fn endpoints_that_are_drained_or_will_be_are_marked() {
        let mut kept = example();
        let name = |text| Name::parse(text, &Name::root()).unwrap();
        let (origin, zone) = kept.zones.pop_first().unwrap();
        let drained = BTreeSet::from([name("sbc1.a.example.")]).into();
        kept.zones.insert(origin, KeptZone { drained, ..(*zone).clone() }.into());
        let drain = state::Drain {
            by: "root".into(),
            reason: None,
            since: 1,
            effective: Some(9),
            immediate: false,
            begin: 9,
            has_begun: false,
            until: None,
        };
        kept.drains.insert(name("sbc2.a.example."), drain);
        let tables = tables(&kept);
        let cell = &tables["services"][0]["rows"][0]["cells"][0];
        assert_eq!(
            (&cell[0]["drain"], &cell[1]["drain"]),
            (&json!("drained"), &json!("scheduled"))
        );
    }

    #[test]
    fn a_zone_that_is_not_there_is_refused_by_name() {
        let kept = example();
        assert_eq!(Tables::read(&kept, "b.example").unwrap_err(), "there is no zone b.example.");
        let long = "a".repeat(64);
        assert!(Tables::read(&kept, &long).unwrap_err().starts_with(&format!("`{long}` has ")));
    }

    #[test]
    fn a_zone_without_priority_tables_says_what_else_it_has() {
        let text = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n\
                    _sip._tcp SRV 10 100 5060 ns1\n";
        let kept = kept(&[("a.example", &[("records.zone", text)])]);
        let tables = tables(&kept);
        assert_eq!((&tables["services"], &tables["other-srv"]), (&json!([]), &json!(1)));
    }

    #[test]
    fn zones_are_found_by_a_part_of_their_names_and_cut() {
        let text = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";
        let names: Vec<_> = (0..70).map(|number| format!("z{number}.example")).collect();
        let files = [("records.zone", text)];
        let zones: Vec<_> = names.iter().map(|name| (&**name, &files[..])).collect();
        let kept = kept(&zones);
        let all = json!(Zones::find(&kept, ""));
        assert_eq!(all["zones"]["count"], 70);
        assert_eq!(all["zones"]["shown"].as_array().unwrap().len(), ZONES_MAX);
        let found = json!(Zones::find(&kept, "Z42."));
        assert_eq!(found["zones"], json!({"shown": ["z42.example."], "count": 1}));
    }
}
