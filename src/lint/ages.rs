//! Data that is out of date.

use std::path::Path;

use crate::diag::{Code, Finding, Report, Span};
use crate::geo::{CloudLists, Databases};

/// How old a database or a cloud's list may be, in days: databases are
/// published once a month at least, lists whenever a cloud grows.
const DAYS_MAX: u64 = 45;

/// Finds databases and clouds' lists that are too old at a time, in seconds
/// since the Unix epoch. Geofeeds do not say how old they are.
pub fn ages(databases: &Databases, clouds: &CloudLists, now: u64, report: &mut Report) {
    for database in databases.iter() {
        let built = database.built().and_then(|built| age(built, now));
        report_old(Code::DatabaseOld, database.path(), database.span(), built, report);
    }
    for (path, published) in clouds.published() {
        let age = age(*published, now);
        report_old(Code::CloudListOld, &path.value, path.span, age, report);
    }
}

/// Returns the age of what was made at a time in days, if it is too much.
fn age(time: u64, now: u64) -> Option<u64> {
    Some(now.saturating_sub(time) / 86_400).filter(|days| *days > DAYS_MAX)
}

fn report_old(code: Code, path: &Path, span: Span, days: Option<u64>, report: &mut Report) {
    let Some(days) = days else { return };
    report.add(Finding::new(
        code,
        span,
        format!("`{}` is {days} days old, more than {DAYS_MAX}", path.display()),
        "fetch it anew, by a job that does so every week: networks move, and clients with them",
    ));
}
