//! A plan, for people.

use std::fmt::{self, Write as _};

use super::{EndpointShare, Fate, Move, Plan, RecordLine, ZonePlan};

/// The most lines that are shown of each kind, unless all are wanted.
const SHOWN_MAX: usize = 12;

/// Returns a plan for people; all of it, or the head of what is long.
pub fn render(plan: &Plan, all: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(plan, if all { usize::MAX } else { SHOWN_MAX }, &mut out);
    out
}

fn write(plan: &Plan, most: usize, out: &mut String) -> fmt::Result {
    for zone in plan.zones.iter().take(most) {
        write_zone(zone, most, out)?;
    }
    write_rest(plan.zones.len(), most, "zones", out)?;
    write_moves(plan, most, out)?;
    if !plan.endpoints.is_empty() {
        writeln!(out, "first choice of, in % of the addresses of IPv4 / IPv6")?;
    }
    for share in plan.endpoints.iter().take(most) {
        let EndpointShare { zone, endpoint, before, after } = share;
        let [old, new] = [before, after].map(|(v4, v6)| {
            let [v4, v6] = [v4, v6].map(|share| share * 100.0);
            format!("{v4:.2} / {v6:.2}")
        });
        writeln!(out, "  {endpoint} {old} -> {new}, in {zone}")?;
    }
    write_rest(plan.endpoints.len(), most, "endpoints", out)?;
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    for held in &plan.held_back {
        writeln!(out, "held back: {held}")?;
    }
    if plan.is_empty() {
        let generation = plan.generation;
        writeln!(out, "nothing would change: the files are what generation {generation} serves")?;
    }
    Ok(())
}

fn write_zone(zone: &ZonePlan, most: usize, out: &mut String) -> fmt::Result {
    let ZonePlan { zone: name, wait, settled, records, .. } = zone;
    let [added, removed] = [&records.added, &records.removed].map(Vec::len);
    let when = match (zone.fate, zone.effective) {
        (Fate::Added, _) => "new, in force at once".to_owned(),
        (Fate::Gone, _) => "its folder is gone".to_owned(),
        (Fate::Changed, Some(time)) => format!("in force at {}", crate::time::utc(time)),
        (Fate::Changed, None) => {
            format!("in force after {wait} s, for everybody after {settled} s")
        }
    };
    writeln!(out, "{name} {added} records come, {removed} go; {when}")?;
    for (sign, lines) in [("-", &records.removed), ("+", &records.added)] {
        for RecordLine { name, record, regions } in lines.iter().take(most) {
            let for_whom = match regions.is_empty() {
                true => String::new(),
                false => format!("  ; {}", regions.join(" ")),
            };
            writeln!(out, "  {sign} {name} {record}{for_whom}")?;
        }
        write_rest(lines.len(), most, "records", out)?;
    }
    Ok(())
}

fn write_moves(plan: &Plan, most: usize, out: &mut String) -> fmt::Result {
    let moves = &plan.moves;
    if moves.is_empty() {
        return Ok(());
    }
    let [v4, v6] = [moves.ipv4, moves.ipv6].map(|share| share * 100.0);
    writeln!(out, "{v4:.3} % of IPv4 and {v6:.3} % of IPv6 would be in another region")?;
    for one in moves.moves.iter().take(most) {
        let Move { from, to, countries, asns, .. } = one;
        let [v4, v6] = [one.ipv4, one.ipv6].map(|share| share * 100.0);
        write!(out, "  {from} -> {to}: {v4:.3} % / {v6:.3} %")?;
        if !countries.is_empty() {
            write!(out, ", in {}", countries.join(" "))?;
        }
        if !asns.is_empty() {
            let asns: Vec<_> = asns.iter().map(|asn| format!("AS{asn}")).collect();
            write!(out, ", of {}", asns.join(" "))?;
        }
        writeln!(out)?;
    }
    write_rest(moves.moves.len(), most, "moves", out)?;
    for one in moves.networks.iter().take(most) {
        writeln!(out, "  {} of {}: {} -> {}", one.network, one.of, one.from, one.to)?;
    }
    write_rest(moves.networks.len(), most, "networks", out)?;
    if moves.is_partial {
        writeln!(out, "  whose they are is said of a part: there are too many networks")?;
    }
    writeln!(out, "  by address space, not by queries")
}

fn write_rest(count: usize, most: usize, what: &str, out: &mut String) -> fmt::Result {
    match count.saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more {what}: --all shows them"),
    }
}
