//! What a resolver hands out, and whose answer that is.
//!
//! [`client`] asks the resolver, [`judge`] compares what it said with what is
//! [`known`] to be answered: by the tables on disk, and by the versions that
//! the server has published, if its state folder can be read. Everything known
//! comes out of the answer core, region by region.

pub mod client;
pub mod judge;
pub mod known;
