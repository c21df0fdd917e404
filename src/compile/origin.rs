//! Where the records of an answer were written.

use std::collections::BTreeMap;

use super::draft::{Draft, Records};
use super::publish;
use crate::config::model::{RowKey, ZoneTables};
use crate::diag::{Report, Span};
use crate::geo::{RegionId, RegionTable};
use crate::wire::{Name, Rtype};

//----------- Origins --------------------------------------------------------

/// Where every record of a zone was written.
///
/// It asks the drafts that the zone is compiled from, so that it names what
/// was compiled.
#[derive(Debug)]
pub struct Origins<'t> {
    tables: &'t ZoneTables,
    regions: &'t RegionTable,
    drafts: BTreeMap<(Name, Rtype), Draft>,
}

/// Where a record was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The place.
    pub span: Span,

    /// What it is there: an endpoint of a tier in a row, or an entry of a
    /// table.
    pub what: String,
}

impl<'t> Origins<'t> {
    /// Collects the origins of a zone's records.
    pub fn new(tables: &'t ZoneTables, regions: &'t RegionTable) -> Self {
        let drafts = publish::publish(tables, regions, 0, &mut Report::default());
        let drafts = drafts.into_iter().map(|draft| ((draft.owner.clone(), draft.rtype), draft));
        Origins { tables, regions, drafts: drafts.collect() }
    }

    /// Returns where a record was written that the clients of a region get;
    /// nothing where no table has it.
    ///
    /// `rdata` is in wire format. An owner without records of its own has
    /// those of the wildcard that stands in for it.
    pub fn find(
        &self,
        owner: &Name,
        rtype: Rtype,
        region: RegionId,
        rdata: &[u8],
    ) -> Option<Origin> {
        let draft = self.draft(owner, rtype)?;
        let list = match &draft.records {
            Records::Fixed(list) => list,
            Records::Steered(lists) => lists.get(usize::from(region.0))?,
        };
        // The serial of an SOA record is the server's.
        let is_it = |octets: &[u8]| octets == rdata || rtype == Rtype::SOA;
        let record = list.iter().find(|record| is_it(&record.octets))?;
        let what = self.endpoint(record.span).unwrap_or_else(|| draft.table.name().to_owned());
        Some(Origin { span: record.span, what })
    }

    fn draft(&self, owner: &Name, rtype: Rtype) -> Option<&Draft> {
        if let Some(draft) = self.drafts.get(&(owner.clone(), rtype)) {
            return Some(draft);
        }
        let above = std::iter::successors(owner.parent(), Name::parent);
        let wildcards = above.filter_map(|name| name.child(b"*").ok());
        wildcards.filter_map(|name| self.drafts.get(&(name, rtype))).next()
    }

    /// Returns which tier of which row an endpoint that is written at a place
    /// belongs to.
    fn endpoint(&self, span: Span) -> Option<String> {
        for service in &self.tables.services {
            for row in &service.rows {
                for cell in &row.cells {
                    let mut endpoints = cell.endpoints.iter();
                    if let Some(endpoint) = endpoints.find(|one| one.target.span == span) {
                        let tier = &cell.tier.value;
                        let row = self.row_name(row.key.value);
                        let is_drained = self.tables.drained.contains(&endpoint.target.value);
                        let drained = if is_drained { ", drained" } else { "" };
                        return Some(format!("{tier} of {row}{drained}"));
                    }
                }
            }
        }
        None
    }

    fn row_name(&self, key: RowKey) -> &str {
        match key {
            RowKey::Region(id) => &self.regions.get(id).name,
            RowKey::Default => "default",
        }
    }
}
