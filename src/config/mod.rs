//! The operator's files, read into a checked model.
//!
//! A reader a file: [`read_config`] (`trunkdns.toml`), [`read_regions`]
//! (`geoip/regions.toml`), [`read_zone`] and [`read_zones_directory`] (zone
//! folders). Each reports everything it finds wrong and goes on, so that it
//! can return a model although there are errors: what is served is decided
//! by [`Report::has_errors`](crate::diag::Report::has_errors) alone.
//!
//! Below them are two layers: `text` reads and parses a TOML file and words
//! its syntax errors; `reader` takes its tables apart key by key, and `values`
//! reads what is a text of some form.
//!
//! Master files stand beside: [`read_master`] reads them entry by entry, and
//! `rdata` reads record data, there and in `[[geo]]`. [`read_cookie_secrets`]
//! and [`read_certificate`] read files whose texts are shown nowhere.

mod allow;
mod certificate;
mod directory;
mod encrypted;
mod limit;
mod log;
mod master;
mod priorities;
mod rdata;
mod reader;
mod regions;
mod secrets;
mod server;
mod services;
mod steered;
mod text;
mod tokens;
mod values;
mod zone;

pub mod model;

pub use self::certificate::{Certificate, read_certificate};
pub use self::directory::{ZoneFolder, duplicate_zones, list_zone_folders, read_zones_directory};
pub use self::master::read_master;
pub use self::regions::read_regions;
pub use self::secrets::read_cookie_secrets;
pub use self::server::{Places, read_config, read_places};
pub(crate) use self::values::{parse_duration, show_duration};
pub use self::zone::read_zone;
