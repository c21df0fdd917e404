//! Where an endpoint or an address is used.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::{Endpoint, RowKey, Service, ZoneTables};
use crate::diag::Sources;
use crate::geo::RegionTable;
use crate::wire::Name;

//----------- Usage ----------------------------------------------------------

/// A place in a priority table that names an endpoint.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// The zone.
    pub zone: String,

    /// The endpoint's host.
    pub target: String,

    /// Its addresses.
    pub addresses: Vec<IpAddr>,

    /// The service and those that share its table, each with its port, such
    /// as `_sips._tcp:5061`.
    pub services: Vec<String>,

    /// The row: a region, or `default`.
    pub row: String,

    /// The tier.
    pub tier: String,

    /// The SRV priority.
    pub priority: u16,

    /// The SRV weight.
    pub weight: u16,

    /// Where it is written, as `file:line:column`.
    pub written: String,
}

/// Returns every place of a zone's priority tables that names an endpoint
/// that `is_meant`, given its name and addresses.
pub fn usages(
    tables: &ZoneTables,
    regions: &RegionTable,
    sources: &Sources,
    is_meant: impl Fn(&Name, &[IpAddr]) -> bool,
) -> Vec<Usage> {
    let mut usages = Vec::new();
    for (at, service) in tables.services.iter().enumerate() {
        for row in &service.rows {
            let key = match row.key.value {
                RowKey::Region(id) => regions.get(id).name.clone(),
                RowKey::Default => "default".to_owned(),
            };
            for cell in &row.cells {
                let tier = service.tiers.iter().find(|tier| tier.name.value == cell.tier.value);
                for endpoint in &cell.endpoints {
                    let addresses = addresses(tables, &endpoint.target.value);
                    if !is_meant(&endpoint.target.value, &addresses) {
                        continue;
                    }
                    usages.push(Usage {
                        zone: tables.origin.to_string(),
                        target: endpoint.target.value.to_string(),
                        addresses,
                        services: services(tables, at, endpoint),
                        row: key.clone(),
                        tier: cell.tier.value.clone(),
                        priority: tier.map_or(0, |tier| tier.priority),
                        weight: endpoint.weight,
                        written: sources.locator(endpoint.target.span),
                    });
                }
            }
        }
    }
    usages
}

/// Returns the services that use a table, each with the port that an endpoint
/// has there; its own counts for the owner of the table alone.
fn services(tables: &ZoneTables, owner: usize, endpoint: &Endpoint) -> Vec<String> {
    let services = tables.services.iter().enumerate();
    let using = services.filter(|(_, service)| service.table == owner);
    let with_port = |(at, service): (usize, &Service)| {
        let port = endpoint.port.filter(|_| at == owner).unwrap_or(service.port);
        format!("{}:{port}", service.name.value)
    };
    using.map(with_port).collect()
}

/// Returns the addresses that a zone's tables give a host.
fn addresses(tables: &ZoneTables, host: &Name) -> Vec<IpAddr> {
    let own = tables.hosts.iter().filter(|own| own.name.value == *host);
    let own = own.flat_map(|host| host.addresses.iter().map(|address| address.value));
    let listed = tables.records.iter().filter(|record| record.owner == *host);
    own.chain(listed.filter_map(|record| record.address())).collect()
}
