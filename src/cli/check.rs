//! `trunkdns check`

use std::path::Path;
use std::process::ExitCode;

use super::{print, wants_color};
use crate::clock;
use crate::daemon::load::{self, Loaded, count};
use crate::diag::words::suggest;
use crate::diag::{Code, Report, Severity, Sources};

/// Why each finding is one, and what to do about it.
const PAGES: &str = include_str!("../../docs/findings.md");

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,

    /// Exit 1 for warnings too: for all of them, or for those of a code.
    #[arg(long, value_name = "warnings|CODE", value_parser = read_deny)]
    deny: Vec<Deny>,

    /// Say why a finding is one, and what to do about it.
    #[arg(long, value_name = "CODE", value_parser = read_code)]
    #[arg(conflicts_with_all = ["json", "deny"])]
    explain: Option<Code>,
}

/// What is not to be there.
#[derive(Clone, Copy, Debug)]
enum Deny {
    /// Any warning.
    Warnings,

    /// Findings of a code.
    Code(Code),
}

/// Reads, compiles and lints everything, prints all findings, and exits 1 if
/// any of them is an error or denied.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    if let Some(code) = options.explain {
        return print(&page(code), true);
    }
    let mut sources = Sources::default();
    let mut report = Report::default();
    let now = clock::wall().second();
    let loaded = load::load_and_lint(config, None, now, &mut sources, &mut report);
    let loaded = loaded.filter(|_| !report.has_errors());
    let denied = denied(&report, &options.deny);
    let text = match options.json {
        true => format!("{:#}\n", report.to_json(&sources)),
        false => {
            let findings = report.render(&sources, wants_color(&std::io::stdout()));
            let instead = match loaded.is_none() && super::has_last_good(config) {
                true => "a server that starts now serves the last good tables instead\n",
                false => "",
            };
            let end = summary(loaded.as_ref(), &report, denied);
            format!("{findings}{}: {end}\n{instead}", config.display())
        }
    };
    print(&text, loaded.is_some() && denied == 0)
}

fn summary(loaded: Option<&Loaded>, report: &Report, denied: usize) -> String {
    let errors = count(report.count(Severity::Error), "error");
    let mut text = loaded.map_or(errors, Loaded::summary);
    text += &format!(", {}", count(report.count(Severity::Warning), "warning"));
    for (number, what) in [(report.allowed(), "allowed"), (denied, "denied")] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    if !report.findings().is_empty() {
        text += "\n`trunkdns check --explain CODE` says more about a finding";
    }
    text
}

/// Counts the warnings that are not to be there.
fn denied(report: &Report, deny: &[Deny]) -> usize {
    let is_denied = |code: Code| {
        deny.iter().any(|deny| match deny {
            Deny::Warnings => true,
            Deny::Code(denied) => *denied == code,
        })
    };
    let warnings = report.findings().into_iter().filter(|one| one.severity() == Severity::Warning);
    warnings.filter(|warning| is_denied(warning.code)).count()
}

/// Returns the section of a code: from its heading to the next.
fn page(code: Code) -> String {
    let heading = format!("### {code}\n");
    let section = PAGES.split_once(&heading).map_or("", |(_, behind)| behind);
    let end = section.find("\n#").unwrap_or(section.len());
    format!("{code}\n\n{}\n", section[..end].trim())
}

//----------- Arguments ------------------------------------------------------

fn read_deny(text: &str) -> Result<Deny, String> {
    if text == "warnings" { Ok(Deny::Warnings) } else { read_code(text).map(Deny::Code) }
}

fn read_code(text: &str) -> Result<Code, String> {
    let names = Code::ALL.iter().map(|code| code.name());
    let help = "write a name as `trunkdns check` prints them";
    Code::find(text)
        .ok_or_else(|| format!("no finding has this name: {}", suggest(text, names, help)))
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page() {
        for code in Code::ALL {
            let page = page(*code);
            assert!(page.contains(code.meaning()), "{code}: {page}");
            assert!(!page.contains("\n#"), "{code}: {page}");
        }
    }
}
