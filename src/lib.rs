//! trunkdns: an authoritative GeoDNS server for SIP trunks.

pub mod config;
pub mod diag;
pub mod geo;
pub mod wire;
