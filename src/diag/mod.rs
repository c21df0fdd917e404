//! Findings: what is wrong with the operator's input, where, and what to do.
//!
//! Reading never stops at the first error. Every reader takes a [`Report`],
//! adds what it finds, and returns what it could make of the rest, so that
//! one run of `check` names everything that has to be mended.
//!
//! [`Sources`] holds every file that was read: findings point into it by
//! [`Span`], and it is the only place of the control plane that opens an
//! operator's text file. It also holds what the system said of each path right
//! before it was read: a [`Look`], by which later changes are noticed.

mod code;
mod finding;
mod source;
mod trace;
pub(crate) mod words;

pub use self::code::{Code, Severity};
pub use self::finding::{Finding, Place, Report};
pub use self::source::{Located, Position, SourceId, Sources, Span};
pub use self::trace::{Look, Trace};
