//! Names that are not what they look like.

use super::subject::{Found, Subject};
use crate::diag::{Code, Finding, Located};
use crate::wire::Name;

/// Names in which the zone's name stands twice: their final dot is missing, as
/// it was in all of `.se` in 2009.
///
/// In master files that is found where they are read.
pub(super) fn doubled(subject: &Subject<'_>, found: &mut Found<'_>) {
    let tables = subject.tables;
    let Some(twice) = twice(&tables.origin) else { return };
    let hosts = tables.hosts.iter().map(|host| &host.name);
    let servers = tables.ns.iter().flat_map(|ns| &ns.hosts);
    let owners = tables.geo.iter().map(|geo| &geo.owner);
    let cells = tables.services.iter().flat_map(|service| &service.rows).flat_map(|row| &row.cells);
    let targets = cells.flat_map(|cell| &cell.endpoints).map(|endpoint| &endpoint.target);
    for Located { value: name, span } in hosts.chain(servers).chain(owners).chain(targets) {
        if name.is_within(&twice) {
            found.add(Finding::new(
                Code::MissingDot,
                *span,
                format!("it stands for {name}"),
                "write a dot at its end, or leave the zone's name out",
            ));
        }
    }
}

/// Returns a zone's name below itself. Zones of one label are left alone: in
/// `lab.` there may well be a host `lab`.
pub(super) fn twice(origin: &Name) -> Option<Name> {
    let (labels, wire) = (origin.label_count(), origin.as_wire());
    let name = Name::from_wire(&[&wire[..wire.len() - 1], wire].concat());
    name.ok().filter(|_| labels > 1)
}
