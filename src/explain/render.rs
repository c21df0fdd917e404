//! Explanations and usages as text.

use std::fmt::{self, Write as _};

use super::{ExplainedRecord, ExplainedVersion, ExplainedZone, Explanation, Placement, Usage};
use crate::time::{span, utc};

/// Returns an explanation for people.
pub fn render(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_all(explanation, &mut out);
    out
}

/// Returns an explanation in one line: address, region, rule, and the
/// endpoint or record that comes first.
pub fn render_line(explanation: &Explanation) -> String {
    let client = &explanation.client;
    let asker = client.subnet.map_or(client.from.to_string(), |subnet| subnet.to_string());
    let zone = explanation.zone.as_ref();
    let region = zone.map_or("-", |zone| &zone.region);
    let rule = explanation.placement.as_ref().map_or("-", |placement| &placement.rule);
    let first = explanation.answer.records.iter().find(|record| record.section == "answer");
    let code = explanation.answer.code.as_deref().unwrap_or("no answer");
    let first = first.map_or(code, |record| data_of(&record.text));
    format!("{asker}\t{region}\t{rule}\t{first}\n")
}

/// Returns what stands behind owner, TTL, class and type.
fn data_of(record: &str) -> &str {
    let mut rest = record;
    for _ in 0..4 {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace).unwrap_or(rest.len())..];
    }
    rest.trim_start()
}

fn write_all(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let (name, rtype) = (&explanation.name, &explanation.rtype);
    let (at, generation) = (utc(explanation.at / 1000), explanation.generation);
    writeln!(out, "{name} {rtype} at {at}, generation {generation}")?;
    write_client(explanation, out)?;
    if let Some(placement) = &explanation.placement {
        write_placement(placement, explanation.at / 1000, out)?;
    }
    match &explanation.zone {
        Some(zone) => write_zone(zone, explanation, out)?,
        None => line(out, "zone", "none of those that are served has this name")?,
    }
    write_answer(explanation, out)
}

/// Writes a line with a title in the first column.
fn line(out: &mut String, title: &str, text: &str) -> fmt::Result {
    writeln!(out, "{title:9} {text}")
}

fn write_client(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let client = &explanation.client;
    let how = match client.subnet {
        Some(subnet) if subnet.prefix_len() == 0 => {
            "by its own address: it opted out of client subnets".to_owned()
        }
        Some(subnet) if !client.is_by_subnet => {
            format!("by its own address: the client subnet {subnet} is not honoured")
        }
        Some(subnet) => format!("by the client subnet {subnet}"),
        None => "by its own address".to_owned(),
    };
    line(out, "client", &format!("{}, {how}; network {}", client.from, client.network))?;
    match client.counts_as {
        Some(inner) => line(out, "", &format!("carries {inner}, which counts")),
        None => Ok(()),
    }
}

fn write_placement(placement: &Placement, now: u64, out: &mut String) -> fmt::Result {
    for record in &placement.records {
        let built = record.built.map_or("no date".to_owned(), |built| {
            format!("built {} ago", span(now.saturating_sub(built)))
        });
        let facts = match record.facts.is_empty() {
            true => "nothing".to_owned(),
            false => record.facts.join(", "),
        };
        let network = record.network.as_deref().unwrap_or("no network");
        line(out, "database", &format!("{} ({built}): {network}: {facts}", record.path))?;
    }
    for passed_over in &placement.passed_over {
        line(out, "not by", passed_over)?;
    }
    let written = placement.written.as_ref().map_or(String::new(), |at| format!(", {at}"));
    line(out, "rule", &format!("{}{written}: {}", placement.rule, placement.region))?;
    if placement.rivals.is_empty() {
        return Ok(());
    }
    let rivals = placement.rivals.join(", ");
    line(out, "", &format!("listed by {rivals} too, farther away or later by name"))
}

fn write_zone(zone: &ExplainedZone, explanation: &Explanation, out: &mut String) -> fmt::Result {
    let now = explanation.at / 1000;
    let (first, last) = zone.range;
    line(out, "region", &format!("{}, as {first} to {last}", zone.region))?;
    let placed = explanation.placement.as_ref().map(|placement| &placement.region);
    if placed.is_some_and(|placed| *placed != zone.region) {
        line(out, "", "THE FILES PLACE IT ELSEWHERE: they are not in force for it (yet)")?;
    }
    line(out, "zone", &zone.name)?;
    for version in &zone.versions {
        line(out, "version", &describe(version, now))?;
    }
    match (zone.next_change, zone.cap) {
        (Some(next), Some(cap)) => line(
            out,
            "next",
            &format!(
                "this answer changes at {}, in {}; until then its TTLs are at most {cap} s",
                utc(next),
                span(next.saturating_sub(now))
            ),
        )?,
        (Some(next), None) => line(out, "next", &format!("this answer changes at {}", utc(next)))?,
        (None, _) => line(out, "next", "no change of this answer is pending")?,
    }
    match &zone.scope {
        Some(scope) => line(out, "scope", &format!("/{}: {}", scope.length, scope.because)),
        None => Ok(()),
    }
}

fn describe(version: &ExplainedVersion, now: u64) -> String {
    let serial = version.serial;
    let published = utc(version.published);
    let times = match version.immediate {
        true => format!("published {published}"),
        false => format!(
            "published {published}, waits {} s, spread over {} s",
            version.wait, version.spread
        ),
    };
    let state = match version.is_in_force {
        true => "IN FORCE for this network".to_owned(),
        false if version.changes_over <= now => "was in force for this network".to_owned(),
        false => format!(
            "for this network from {}, in {}",
            utc(version.changes_over),
            span(version.changes_over - now)
        ),
    };
    let same = match (version.is_in_force, version.answers_the_same) {
        (true, _) => "",
        (_, true) => ", with the same answer",
        (_, false) => ", with another answer",
    };
    format!("serial {serial}, {times}: {state}{same}")
}

fn write_answer(explanation: &Explanation, out: &mut String) -> fmt::Result {
    let answer = &explanation.answer;
    let octets = answer.octets.len() / 2;
    let code = match &answer.code {
        Some(code) => format!("{code} ({}), {octets} octets", answer.cause),
        None => format!("none is sent ({})", answer.cause),
    };
    let authoritative = if answer.authoritative { ", authoritative" } else { "" };
    let truncated = if answer.truncated { ", cut short (TC)" } else { "" };
    line(out, "answer", &format!("{code}{authoritative}{truncated}"))?;
    for record in &answer.records {
        write_record(record, out)?;
    }
    if answer.left_out > 0 {
        line(out, "", &format!("{} records more had no room", answer.left_out))?;
    }
    if answer.has_origins || explanation.zone.is_none() {
        return Ok(());
    }
    line(out, "", "where this was written is not at hand: newer tables have been published since")
}

fn write_record(record: &ExplainedRecord, out: &mut String) -> fmt::Result {
    writeln!(out, "  {}", record.text)?;
    let mut notes = Vec::new();
    if let Some(origin) = &record.origin {
        let written = record.written.as_deref().unwrap_or_default();
        notes.push(format!("{origin}, {written}"));
    }
    if record.ttl != record.table_ttl {
        let mut ttl = format!("TTL {} s in the tables", record.table_ttl);
        if record.lowered_ttl != record.table_ttl {
            let _ = write!(ttl, ", {} s by spread-ttl", record.lowered_ttl);
        }
        if record.ttl != record.lowered_ttl {
            let _ = write!(ttl, ", {} s because of what is pending", record.ttl);
        }
        notes.push(ttl);
    }
    match notes.is_empty() {
        true => Ok(()),
        false => writeln!(out, "      {}", notes.join("; ")),
    }
}

//----------- Usages ---------------------------------------------------------

/// Returns where an endpoint is used, for people.
pub fn render_usages(what: &str, usages: &[Usage]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_usages(what, usages, &mut out);
    out
}

fn write_usages(what: &str, usages: &[Usage], out: &mut String) -> fmt::Result {
    if usages.is_empty() {
        return writeln!(out, "{what} is no endpoint, and no endpoint's address");
    }
    let mut target = None;
    for usage in usages {
        if target != Some(&usage.target) {
            target = Some(&usage.target);
            let addresses: Vec<_> = usage.addresses.iter().map(|ip| ip.to_string()).collect();
            writeln!(out, "{}  {}", usage.target, addresses.join(" "))?;
        }
        writeln!(
            out,
            "  {} of {} for {}: priority {}, weight {}, {}",
            usage.tier,
            usage.row,
            usage.services.join(" "),
            usage.priority,
            usage.weight,
            usage.written
        )?;
    }
    Ok(())
}
