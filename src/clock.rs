//! The wall clock: the one place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::snapshot::Moment;

/// Returns the time of the wall clock; before 1970 it is 1970.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(since.as_millis() as u64)
}
