//! `[log]` of `trunkdns.toml`.

use ipnet::IpNet;

use super::limit::network;
use super::model::{Log, LogFile};
use super::reader::{Fields, Item};
use crate::diag::{Code, Finding, Located, Report};

/// The most networks: each is looked at for every answer.
const NETWORKS_MAX: usize = 64;

/// Reads `[log]`.
pub(super) fn log(mut fields: Fields<'_>, report: &mut Report) -> Log {
    let here = fields.span();
    let log = Log {
        file: fields.optional("file", report, file),
        dnstap: fields.optional("dnstap", report, Item::path),
        // Of a million questions one would be logged.
        sample: fields.or("sample", 1, report, |item, report| item.integer(1..=1_000_000, report)),
        networks: fields.or("networks", Vec::new(), report, networks),
        regions: fields.or("regions", Vec::new(), report, |item, report| {
            item.set(report, |item, report| item.string(report).map(str::to_owned))
        }),
    };
    let is_narrowed = log.sample > 1 || !log.networks.is_empty() || !log.regions.is_empty();
    if is_narrowed && log.file.is_none() && log.dnstap.is_none() && !report.has_errors() {
        let help = "add one, such as `file = \"log/decisions.jsonl\"`, or remove `[log]`";
        let message = "neither `file` nor `dnstap` in [log]: nothing is logged";
        report.add(Finding::new(Code::MissingKey, here, message, help));
    }
    fields.finish(report);
    log
}

fn file(item: Item<'_>, report: &mut Report) -> Option<LogFile> {
    match item.string(report)? {
        "stdout" => Some(LogFile::Stdout),
        _ => item.path(report).map(LogFile::Path),
    }
}

fn networks(item: Item<'_>, report: &mut Report) -> Option<Vec<Located<IpNet>>> {
    let networks = item.set(report, network)?;
    if networks.len() > NETWORKS_MAX {
        let message = format!("{} networks, of {NETWORKS_MAX} at most", networks.len());
        item.add(Code::TooMany, message, "list the networks that they are in", report);
        return None;
    }
    Some(networks)
}
