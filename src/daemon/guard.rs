//! What looks like an accident, and is held back until it is forced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::load::{Loaded, LoadedZone, read_texts};
use crate::config::model::RowKey;
use crate::diag::Report;
use crate::geo::{RegionMap, RegionTable};
use crate::snapshot::{Status, Zone};
use crate::state::{Kept, KeptZone, Shared, Tables};
use crate::wire::{Name, Rtype, is_within};

/// Says why a new region map is held back, if it moves more than a share of
/// the address space, in percent.
pub fn moved(old: &RegionMap, new: &RegionMap, most: u8) -> Option<String> {
    let (v4, v6) = old.moved(new);
    let (share, family) = if v4 >= v6 { (v4, "IPv4") } else { (v6, "IPv6") };
    (share * 100.0 > f64::from(most)).then(|| {
        format!(
            "the region map moves {:.1} % of the {family} address space to other regions, more \
             than the {most} % of [handover] most-moved; `trunkdns reload --force` does it",
            share * 100.0
        )
    })
}

/// Says why a zone is held back, if it lost more than a share of its records,
/// in percent.
///
/// Records that are changed are not lost.
fn shrunk(old: &Zone, new: &Zone, most: u8) -> Option<String> {
    let (before, after) = (counts(old), counts(new));
    let total: usize = before.values().sum();
    let left = |key, count: usize| after.get(key).map_or(0, |left| count.min(*left));
    let kept: usize = before.iter().map(|(key, count)| left(key, *count)).sum();
    let lost = total - kept;
    // Without an NS record there is no zone, so that `total` is not 0.
    (lost * 100 > total * usize::from(most)).then(|| {
        format!(
            "{lost} of its {total} records are gone, more than the {most} % of [handover] \
             most-moved; `trunkdns reload --force` does it"
        )
    })
}

/// Counts the records of each name and type, over all regions.
fn counts(zone: &Zone) -> BTreeMap<(Vec<u8>, Rtype), usize> {
    let rrsets = zone.nodes().flat_map(|node| node.rrsets().map(move |rrset| (node, rrset)));
    rrsets
        .map(|(node, rrset)| {
            let count = rrset.variants().map(|variant| variant.rdatas().len()).sum();
            ((node.owner().to_ascii_lowercase(), rrset.rtype()), count)
        })
        .collect()
}

/// Says why the tables of a zone that is served are held back, if they look
/// like an accident: most records are gone, or a region's first tier is.
///
/// What was forced or published before is none. `regions` is the region table
/// that the zone was read with.
pub fn accident(
    known: &KeptZone,
    zone: &LoadedZone,
    all: &Loaded,
    regions: Option<&RegionTable>,
) -> Option<String> {
    let newest = &known.timeline.newest().zone;
    // Dear comparisons come last: most zones are as they were.
    if Arc::ptr_eq(newest, &zone.zone) {
        return None;
    }
    let why = shrunk(newest, &zone.zone, all.config.handover.most_moved)
        .or_else(|| emptied(known, zone, all, regions?));
    why.filter(|_| !is_known(known, zone))
}

/// Says why tables are held back that leave a region without a first tier of
/// its own everywhere.
fn emptied(
    known: &KeptZone,
    zone: &LoadedZone,
    all: &Loaded,
    regions: &RegionTable,
) -> Option<String> {
    let before = firsts(&known.tables, regions);
    if before.is_empty() {
        return None;
    }
    let after = firsts(&zone.tables, &all.regions);
    let is_region = |name: &&String| all.regions.find(name).is_some();
    let mut lost = before.difference(&after).filter(is_region);
    let is_elsewhere = |name: &String| {
        let others = all.zones.iter().filter(|other| !Arc::ptr_eq(&other.tables, &zone.tables));
        others.into_iter().any(|other| firsts(&other.tables, &all.regions).contains(name))
    };
    let name = lost.find(|name| !is_elsewhere(name))?;
    Some(format!(
        "{name} had endpoints of its own in a first tier, and has none in any zone any more; \
         `trunkdns reload --force` does it"
    ))
}

/// Returns the regions, by name, that have a row of their own with the first
/// tier of a service.
fn firsts(tables: &Tables, regions: &RegionTable) -> BTreeSet<String> {
    let Some(tables) = read_texts(tables, regions, &mut Report::default()).0 else {
        return BTreeSet::new();
    };
    let mut names = BTreeSet::new();
    for service in &tables.services {
        let Some(first) = service.tiers.first() else { continue };
        for row in &service.rows {
            let has_first = row.cells.iter().any(|cell| cell.tier.value == first.name.value);
            if let RowKey::Region(id) = row.key.value
                && has_first
            {
                names.insert(regions.get(id).name.clone());
            }
        }
    }
    names
}

/// Says whether a zone is one that was forced or published before.
fn is_known(kept: &KeptZone, loaded: &LoadedZone) -> bool {
    let mut versions = kept.timeline.entries().iter().map(|entry| &entry.version.zone);
    let plain = |zone: &Zone| zone.clone().with_serial(0);
    kept.scheduled.as_ref().is_some_and(|scheduled| scheduled.tables == loaded.tables)
        || versions.any(|zone| plain(zone) == plain(&loaded.zone))
}

/// Says why a zone that has no files any more, or whose files are refused, is
/// served as it was.
pub fn missing(known: &KeptZone, all: &Loaded) -> String {
    let folder = &known.tables.path;
    let holds_another = all.zones.iter().any(|other| other.tables.path == *folder);
    let shown = folder.display();
    match (all.folders.contains(folder), holds_another) {
        (true, false) => "its tables are refused, see the findings".to_owned(),
        (_, true) => format!(
            "{shown} holds another zone now; `trunkdns reload --force` stops serving this one"
        ),
        (false, false) => format!("{shown} is gone; `trunkdns reload --force` stops serving it"),
    }
}

/// Says that a zone's files hold what was rolled back, and nothing else since,
/// if that is so.
pub fn rolled_back(known: &KeptZone, zone: &LoadedZone) -> Option<String> {
    let is_skipped = known.skipped.as_ref().is_some_and(|skipped| *skipped == zone.tables);
    is_skipped.then(|| {
        format!(
            "{} was rolled back: its files are not taken in until they change, or by `trunkdns \
             reload --force`",
            zone.zone.origin()
        )
    })
}

/// Has the served region map stay where the files hold one that was rolled
/// back, and nothing else since; says so if they do. `regions` is the region
/// table that is served.
pub fn keep_map(kept: &Kept, loaded: &mut Loaded, regions: Option<&RegionTable>) -> Option<String> {
    let is_skipped = kept.skipped.is_some()
        && kept.skipped == loaded.shared.fingerprint
        && kept.shared.map.names() == loaded.shared.map.names();
    loaded.regions = regions.filter(|_| is_skipped)?.clone();
    let shared = Shared { config: loaded.shared.config.clone(), ..(*kept.shared).clone() };
    loaded.shared = Arc::new(shared);
    Some(format!(
        "the region map was rolled back: {} and the databases are not taken in until they change, \
         or by `trunkdns reload --force`",
        kept.shared.regions.path.display()
    ))
}

/// Says why a new zone is held back, if another zone has answered for its
/// names: its answers would change without a handover.
pub fn takes_over(kept: &Kept, origin: &Name) -> Option<String> {
    let mut above = std::iter::successors(origin.parent(), Name::parent);
    let above = above.find(|name| {
        // Versions on their way out count: their answers are cached.
        let zone = kept.zones.get(name);
        let mut versions = zone.iter().flat_map(|zone| zone.timeline.entries());
        versions.any(|entry| answers_below(&entry.version.zone, origin))
    });
    above.map(|name| {
        format!(
            "{name} has records at or below its name, or had until now, which cached copies would \
             contradict; `trunkdns reload --now` serves it at once"
        )
    })
}

/// Says whether a zone has records at or below a name that it does not
/// delegate.
fn answers_below(zone: &Zone, name: &Name) -> bool {
    let mut nodes = zone.nodes().filter(|node| node.status() == Status::Authoritative);
    nodes.any(|node| is_within(node.owner(), name.as_wire()) && node.rrsets().next().is_some())
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::load::compile_texts;
    use crate::diag::Sources;
    use crate::geo::{CloudLists, Databases};
    use std::path::{Path, PathBuf};

    fn regions(text: &str) -> RegionTable {
        let path = PathBuf::from("regions.toml");
        let mut sources = Sources::of_texts([(path.clone(), Arc::from(text))]);
        crate::config::read_regions(&mut sources, &path, &mut Report::default()).unwrap()
    }

    fn map(text: &str) -> RegionMap {
        RegionMap::compile(&regions(text), &CloudLists::default(), &Databases::default())
    }

    fn zone(records: &str) -> Arc<Zone> {
        let head = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";
        let path = Path::new("example");
        let files = vec![(path.join("records.zone"), Arc::from(format!("{head}{records}")))];
        let tables = Tables::new(path.to_owned(), files);
        compile_texts(&tables, &regions("default = 'a'\n[regions.a]\n"), 1).unwrap()
    }

    #[test]
    fn a_map_that_moves_more_than_the_share_is_held_back() {
        let half = map("default = 'a'\n[regions.a]\n[regions.b]\nnetworks = ['0.0.0.0/1']\n");
        let none = map("default = 'a'\n[regions.a]\n[regions.b]\n");
        assert_eq!(moved(&none, &half, 50), None);
        assert!(moved(&none, &half, 49).unwrap().starts_with("the region map moves 50.0 %"));
        assert_eq!(moved(&half, &half, 0), None);
        // Another region in front changes every number and nobody's region.
        let more = map(
            "default = 'a'\n[regions.a]\n[regions.A0]\n[regions.b]\nnetworks = ['0.0.0.0/1']\n",
        );
        assert_eq!(moved(&half, &more, 0), None);
        let v6 = map("default = 'a'\n[regions.a]\n[regions.b]\nnetworks = ['2000::/4']\n");
        assert!(moved(&none, &v6, 49).unwrap().contains("IPv6"));
    }

    #[test]
    fn records_are_lost_when_they_are_gone_and_not_when_they_change() {
        let old = zone("a A 192.0.2.2\nb A 192.0.2.3\nb A 192.0.2.4\n");
        let changed = zone("a A 192.0.2.7\nb A 192.0.2.8\nb A 192.0.2.9\nc A 192.0.2.9\n");
        assert_eq!(shrunk(&old, &changed, 0), None);
        // 3 of 6, the SOA and NS records counted.
        assert_eq!(shrunk(&old, &zone(""), 50), None);
        assert!(shrunk(&old, &zone(""), 49).unwrap().starts_with("3 of its 6 records are gone"));
        assert!(shrunk(&old, &zone("b A 192.0.2.3\na A 192.0.2.2\n"), 16).is_some());
    }

    #[test]
    fn names_that_a_zone_has_are_below_it_and_not_delegated() {
        let zone = zone("a A 192.0.2.2\nb.c A 192.0.2.2\nd NS ns.d\nns.d A 192.0.2.2\n");
        let name = |text: &str| Name::parse(text, &Name::root()).unwrap();
        for (below, expected) in
            [("a.example", true), ("c.example", true), ("d.example", false), ("e.example", false)]
        {
            assert_eq!(answers_below(&zone, &name(below)), expected, "{below}");
        }
    }
}
