//! trunkdns: an authoritative GeoDNS server for SIP trunks.
//!
//! Read this first. Data flows from the left to the right, and time only in
//! the control plane:
//!
//! ```text
//!  zones/ geoip/               commands, signals, file watch
//!        |                                   |
//!     config  ->  compile (pure)  ->  state  ->  Snapshot (ArcSwap)      control plane
//!        \          geo /           timelines       |
//!         diag                                      |
//!                                            .------'
//!  transport:  octets  ->  answer(snapshot, client, octets) -> octets
//!                limit       wire                             data plane
//! ```
//!
//! # Modules, in layers
//!
//! - [`privileges`]: what the process may do, and giving up the rest.
//! - [`diag`]: findings about the operator's input, with their places.
//! - [`wire`]: the DNS message format.
//! - [`geo`]: from an address to a region, compiled to a range table.
//! - [`config`]: from files to a checked model.
//! - [`compile`]: from the model to zones.
//! - [`snapshot`]: the immutable value that answers queries.
//! - [`state`]: what is published, kept on the disk.
//! - [`answer`]: the answer core.
//! - [`lint`]: what can be served and will not do what was meant.
//! - [`limit`]: who is answered how often.
//! - [`transport`]: sockets around the answer core.
//! - [`log`]: which client was given what, and whether a call fits that.
//! - [`explain`]: why a client gets its answer.
//! - [`daemon`]: loading, publishing, wiring, signals, commands.
//! - [`clock`]: the server's clock, for the two above.
//! - [`time`]: times as people write them.
//! - [`parallel`]: the same work on many items.
//! - [`offline`]: what the tables on disk answer, for commands.
//! - [`resolver`]: what a resolver hands out, against that.
//! - [`sip`]: whether endpoints answer SIP.
//! - [`rehearse`]: a failure before it happens.
//! - [`plan`]: what taking in the files would change.
//! - [`genesys`]: what the platform is told of trunks.
//! - [`cli`]: one file a command.
//!
//! # What is deliberately absent
//!
//! - Nothing on the way of a query does I/O other than its socket's, reads a
//!   GeoIP database, allocates state for a name or client, or is random.
//! - Nothing edits a [`snapshot::Snapshot`]: a change is a new one.
//! - `compile` and `answer` read no clock and no file, and know no type of
//!   hickory's.

pub mod answer;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod diag;
pub mod explain;
pub mod genesys;
pub mod geo;
pub mod limit;
pub mod lint;
pub mod log;
pub mod offline;
pub mod parallel;
pub mod plan;
pub mod privileges;
pub mod rehearse;
pub mod resolver;
pub mod sip;
pub mod snapshot;
pub mod state;
pub mod time;
pub mod transport;
pub mod wire;
