//! `[check]` of `trunkdns.toml` and of `zone.toml`: what the operator allows.

use super::reader::{Fields, Item};
use crate::diag::words::suggest;
use crate::diag::{Code, Report, Severity};

/// Reads `[check]`: the warnings that are not shown.
pub(super) fn allow(mut fields: Fields<'_>, report: &mut Report) -> Vec<Code> {
    let codes = fields.or("allow", Vec::new(), report, |item, report| item.set(report, code));
    fields.finish(report);
    codes.into_iter().map(|code| code.value).collect()
}

/// Reads the name of a warning.
fn code(item: Item<'_>, report: &mut Report) -> Option<Code> {
    let text = item.string(report)?;
    let warnings = Code::ALL.iter().filter(|code| code.severity() == Severity::Warning);
    match Code::find(text) {
        Some(code) if code.severity() == Severity::Warning => return Some(code),
        Some(_) => item.add(
            Code::BadValue,
            format!("`{text}` is an error, and errors cannot be allowed"),
            "mend what it reports, and remove it from this list",
            report,
        ),
        None => item.add(
            Code::BadValue,
            format!("there is no finding called \"{text}\""),
            suggest(text, warnings.map(|code| code.name()), "write a name as check prints them"),
            report,
        ),
    }
    None
}
