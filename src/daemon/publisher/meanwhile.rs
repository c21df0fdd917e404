//! What a zone is until its scheduled priority table takes effect.

use std::path::PathBuf;
use std::sync::Arc;

use super::Publisher;
use crate::daemon::load::{LoadedZone, compile_draining};
use crate::daemon::publish::Candidate;
use crate::geo::RegionTable;
use crate::state::{KeptZone, Tables};

impl Publisher {
    /// Returns what a zone is until a scheduled priority table takes effect:
    /// its other tables, with the priority table of now.
    pub(super) fn meanwhile(
        &self,
        kept: &KeptZone,
        loaded: &LoadedZone,
        regions: &RegionTable,
    ) -> Result<Candidate, String> {
        let newest = &kept.timeline.newest().zone;
        let tables = with_priorities_of(&loaded.tables, &kept.tables)?.sharing(&kept.tables);
        let (zone, drained) = match kept.is_made_of(&tables, regions) {
            true => (newest.clone(), kept.drained.clone()),
            false => compile_draining(&tables, regions, newest.serial(), &self.kept.drained())?,
        };
        Ok(Candidate {
            zone,
            tables: Arc::new(tables),
            drained,
            skips: None,
            stamp: loaded.modified,
            effective: None,
            immediate: false,
            keeps_schedule: true,
        })
    }
}

/// Paths and texts.
pub(super) type Files = Vec<(PathBuf, Arc<str>)>;

/// Returns the files of tables, or why that is not possible.
pub(super) fn files(tables: &Tables) -> Result<Files, String> {
    tables.files().map_err(|error| format!("what was kept of it cannot be read: {error}"))
}

/// Returns the priority table among the files of a zone.
pub(super) fn priorities_of(tables: &Tables, files: &Files) -> Option<usize> {
    let path = tables.path.join("priorities.toml");
    files.iter().position(|(file, _)| *file == path)
}

/// Returns tables with the priority table of others.
fn with_priorities_of(tables: &Tables, others: &Tables) -> Result<Tables, String> {
    let (mut own, other) = (files(tables)?, files(others)?);
    let text = priorities_of(others, &other).map(|at| other[at].1.clone());
    match (priorities_of(tables, &own), text) {
        (Some(at), Some(text)) => own[at].1 = text,
        (Some(at), None) => drop(own.remove(at)),
        (None, _) => {}
    }
    Ok(Tables::new(tables.path.clone(), own))
}
