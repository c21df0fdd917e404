//! `priorities.toml`: the rows of the services' priority tables.

use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::model::{Cell, Endpoint, Row, RowKey};
use super::reader::{Entry, Fields, Item, add_duplicates, declared_twice};
use super::services::{Draft, add_nested_service, is_nested_service, read_port, suggest_service};
use super::zone::Zone;
use crate::diag::words::{nearest, quoted, suggest_declared};
use crate::diag::{Code, Finding, Located, Report, Span};
use crate::geo::RegionTable;
use crate::wire::Name;

/// The weight of endpoints without one of their own.
///
/// Zero would be no neutral choice: with weights of zero only, a Kamailio
/// sends every call to one endpoint.
const DEFAULT_WEIGHT: u16 = 100;

/// Reads the file into the services' rows and returns `effective`.
///
/// `zone_is_whole` is whether all of `zone.toml` could be read: where it could
/// not, a service, tier or table that seems to be missing is not reported.
pub(super) fn read_priorities(
    mut root: Fields<'_>,
    zone: &mut Zone,
    regions: &RegionTable,
    zone_is_whole: bool,
    report: &mut Report,
) -> Option<Located<u64>> {
    let mut inner = Report::default();
    let effective = root.optional("effective", &mut inner, |item, report| {
        Some(Located::new(read_time(item, report)?, item.span()))
    });
    let origin = zone.base();
    let mut seen: Vec<Located<String>> = Vec::new();
    for (key, item) in root.take_rest() {
        if is_nested_service(key, item) {
            add_nested_service("", key, item, &mut inner);
            // Its tables are there, only under another name.
            let halves = item.entries().into_iter();
            let name = |half: &str| format!("{}.{half}", key.value).to_ascii_lowercase();
            seen.extend(halves.map(|(half, _)| Located::new(name(half.value), key.span)));
            continue;
        }
        seen.push(Located::new(key.value.to_ascii_lowercase(), key.span));
        read_table(key, item, &mut zone.services, &origin, regions, &mut inner);
    }
    add_duplicates(&seen, &mut inner);
    add_services_without_table(&zone.services, &seen, &mut inner);
    if !(zone_is_whole && zone.has_all_services) {
        let refers = [Code::UnknownService, Code::UnknownTier, Code::ServiceWithoutTable];
        inner.retain(|finding| !refers.contains(&finding.code));
    }
    report.extend(inner);
    effective
}

fn add_services_without_table(services: &[Draft], seen: &[Located<String>], report: &mut Report) {
    for service in services.iter().filter(|service| service.shares.is_none()) {
        let name = &service.name.value;
        if seen.iter().all(|table| table.value != *name) {
            report.add(Finding::new(
                Code::ServiceWithoutTable,
                service.name.span,
                format!("`{name}` has no rows in priorities.toml"),
                format!(
                    "add `[\"{name}\".default]` there, or share a table here: \
                     `priorities = \"_sip._tcp\"`"
                ),
            ));
        }
    }
}

//------------ Tables --------------------------------------------------------

fn read_table(
    key: Located<&str>,
    item: Item<'_>,
    services: &mut [Draft],
    origin: &Name,
    regions: &RegionTable,
    report: &mut Report,
) {
    let name = key.value.to_ascii_lowercase();
    let Some(at) = services.iter().position(|service| service.name.value == name) else {
        add_unknown_table(key, item, services, report);
        return;
    };
    let service = &services[at];
    if let Some(shared) = &service.shares {
        report.add(
            Finding::new(
                Code::SharedTable,
                key.span,
                format!("`{name}` has rows, but shares the table of `{}`", shared.value),
                "remove these rows, or the `priorities` of the service",
            )
            .with_related(shared.span, "shared here"),
        );
        return;
    }
    let Some(mut fields) = item.table(format!("[\"{}\"]", key.value), report) else { return };
    let mut table =
        Table { key, service, origin, regions, report, rows: Vec::new(), meant: vec![] };
    for entry in fields.take_rest() {
        table.read_row(entry);
    }
    table.add_missing_rows();
    let rows = table.rows;
    services[at].rows.extend(rows);
}

fn add_unknown_table(key: Located<&str>, item: Item<'_>, services: &[Draft], report: &mut Report) {
    report.add(if item.is_table() {
        Finding::new(
            Code::UnknownService,
            key.span,
            format!("the service `{}` is not declared", key.value),
            suggest_service(key.value, services, "declare it below [services] in zone.toml"),
        )
    } else {
        Finding::new(
            Code::UnknownKey,
            key.span,
            format!("unknown key `{}` at the top of the file", key.value),
            match nearest(key.value, ["effective"]) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "only `effective` can stand above the first header".to_owned(),
            },
        )
    });
}

/// A priority table that is being read.
struct Table<'a> {
    /// The service's name as the table has it.
    key: Located<&'a str>,
    service: &'a Draft,
    origin: &'a Name,
    regions: &'a RegionTable,
    report: &'a mut Report,

    /// The rows that were read.
    rows: Vec<Row>,

    /// Regions that were probably meant by rows of unknown ones.
    meant: Vec<RowKey>,
}

impl Table<'_> {
    fn read_row(&mut self, (key, item): Entry<'_>) {
        let place = format!("[\"{}\"]", self.key.value);
        if self.refuse_effective(key, item, &place) || self.refuse_tier(key, item) {
            return;
        }
        let row_key = self.row_key(key);
        let title = format!("[\"{}\".{}]", self.key.value, key.value);
        let Some(mut fields) = item.table(&title, self.report) else { return };
        let entries = fields.take_rest();
        if entries.is_empty() {
            self.report.add(Finding::new(
                Code::EmptySet,
                item.span(),
                format!("the row {title} has no tiers"),
                "add one, or remove the row so that `default` counts",
            ));
        }
        let mut cells = Vec::new();
        for (key, item) in entries {
            if !self.refuse_effective(key, item, &title) {
                cells.extend(self.read_cell(key, item));
            }
        }
        let tiers: Vec<_> = cells.iter().map(|cell| cell.tier.clone()).collect();
        add_duplicates(&tiers, self.report);
        if let Some(row_key) = row_key {
            self.rows.push(Row { key: Located::new(row_key, key.span), cells });
        }
    }

    /// Reports `effective` below a header, where TOML makes it part of a row.
    fn refuse_effective(&mut self, key: Located<&str>, item: Item<'_>, place: &str) -> bool {
        let is_it = key.value == "effective" || matches!(item.value(), DeValue::Datetime(_));
        if is_it {
            self.report.add(Finding::new(
                Code::MisplacedKey,
                key.span,
                format!("`{}` stands below {place}, and so belongs to it", key.value),
                "move `effective` to the top of the file, above the first header",
            ));
        }
        is_it
    }

    /// Reports a tier where a region belongs.
    fn refuse_tier(&mut self, key: Located<&str>, item: Item<'_>) -> bool {
        let mut tiers = self.service.tiers.iter();
        let is_tier = tiers.any(|tier| tier.name.value.eq_ignore_ascii_case(key.value));
        let is_it = is_tier && !item.is_table();
        if is_it {
            self.report.add(Finding::new(
                Code::MisplacedKey,
                key.span,
                format!("the tier `{}` stands where a region belongs", key.value),
                format!(
                    "write it below a row's header, such as `[\"{}\".default]`",
                    self.key.value
                ),
            ));
        }
        is_it
    }

    /// Reads for whom a row is, once for each.
    fn row_key(&mut self, key: Located<&str>) -> Option<RowKey> {
        let row_key = read_row_key(key, self.regions, self.report);
        let Some(row_key) = row_key else {
            self.meant.extend(nearest_row_key(key.value, self.regions));
            return None;
        };
        if let Some(first) = self.rows.iter().find(|row| row.key.value == row_key) {
            let what = format!("the row of `{}`", key.value);
            self.report.add(declared_twice(what, key.span, first.key.span));
            return None;
        }
        Some(row_key)
    }

    fn read_cell(&mut self, key: Located<&str>, item: Item<'_>) -> Option<Cell> {
        let name = key.value.to_ascii_lowercase();
        let tiers = &self.service.tiers;
        // Without any tier, that is what has been reported.
        if !tiers.is_empty() && tiers.iter().all(|tier| tier.name.value != name) {
            let names = tiers.iter().map(|tier| tier.name.value.as_str());
            self.report.add(Finding::new(
                Code::UnknownTier,
                key.span,
                format!("`{}` has no tier `{}`", self.service.name.value, key.value),
                suggest_declared(&name, names, "declare it in zone.toml"),
            ));
        }
        item.refuse_empty("endpoints", self.report)?;
        let origin = self.origin;
        let endpoints =
            item.list(self.report, |item, report| read_endpoint(item, origin, report))?;
        let ends: Vec<_> = endpoints
            .iter()
            .map(|endpoint| {
                let Located { value: Endpoint { target, port, .. }, span } = endpoint;
                Located::new((target.value.clone(), port.unwrap_or(self.service.port)), *span)
            })
            .collect();
        add_duplicates(&ends, self.report);
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.value).collect();
        Some(Cell { tier: Located::new(name, key.span), endpoints })
    }

    fn add_missing_rows(&mut self) {
        let keys = self.rows.iter().map(|row| row.key.value).chain(self.meant.iter().copied());
        let missing = missing_regions(keys.collect(), self.regions);
        if !missing.is_empty() {
            let what = format!("the table of `{}` has no row", self.key.value);
            let example = format!("[\"{}\".default]", self.key.value);
            self.report.add(without_row(self.key.span, &what, &missing, &example));
        }
    }
}

//------------ Rows ----------------------------------------------------------

/// Reads for whom a row or variant is: a region, or `default`.
pub(super) fn read_row_key(
    key: Located<&str>,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<RowKey> {
    let row_key = find_row_key(key.value, regions);
    if row_key.is_none() {
        report.add(Finding::new(
            Code::UnknownRegion,
            key.span,
            format!("the region `{}` is not declared", key.value),
            match nearest(key.value, row_names(regions)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "declare it in the region table, or write one of its regions".to_owned(),
            },
        ));
    }
    row_key
}

/// Returns what a row of an unknown region was probably meant for.
pub(super) fn nearest_row_key(text: &str, regions: &RegionTable) -> Option<RowKey> {
    find_row_key(nearest(text, row_names(regions))?, regions)
}

fn find_row_key(text: &str, regions: &RegionTable) -> Option<RowKey> {
    match &text.to_ascii_lowercase()[..] {
        "default" => Some(RowKey::Default),
        name => regions.find(name).map(RowKey::Region),
    }
}

fn row_names(regions: &RegionTable) -> impl Iterator<Item = &str> {
    regions.regions.iter().map(|region| region.name.as_str()).chain(["default"])
}

/// Returns the names of the regions that neither have a row nor a default.
pub(super) fn missing_regions(keys: Vec<RowKey>, regions: &RegionTable) -> Vec<&str> {
    if keys.contains(&RowKey::Default) {
        return Vec::new();
    }
    let has_no_row = |id: &_| !keys.contains(&RowKey::Region(*id));
    regions.ids().filter(has_no_row).map(|id| regions.get(id).name.as_str()).collect()
}

/// Returns the finding for regions without row; `what` says what has none.
pub(super) fn without_row(span: Span, what: &str, missing: &[&str], example: &str) -> Finding {
    Finding::new(
        Code::RegionWithoutRow,
        span,
        format!("{what} for {}, and no default", quoted(missing)),
        format!("add them, or `{example}` for all regions without one"),
    )
}

/// Reads an endpoint: a host name, or a table with weight and port.
fn read_endpoint(item: Item<'_>, origin: &Name, report: &mut Report) -> Option<Endpoint> {
    if !item.is_table() {
        if !item.value().is_str() {
            return item.not_an_endpoint(report);
        }
        let target = Located::new(read_target(item, origin, report)?, item.span());
        return Some(Endpoint { target, weight: DEFAULT_WEIGHT, port: None });
    }
    let mut fields = item.table("the endpoint", report)?;
    let target = fields.required("target", "target = \"sbc1.us-east\"", report, |item, report| {
        Some(Located::new(read_target(item, origin, report)?, item.span()))
    });
    let weight =
        fields.or("weight", DEFAULT_WEIGHT, report, |item, report| item.integer(0..=65535, report));
    let port = fields.optional("port", report, read_port);
    fields.finish(report);
    Some(Endpoint { target: target?, weight, port })
}

fn read_target(item: Item<'_>, origin: &Name, report: &mut Report) -> Option<Name> {
    let target = item.host(origin, "sbc1", report)?;
    if target.label_count() == 0 {
        item.add(
            Code::BadValue,
            "a target of \".\" says that there is no such service (RFC 2782)",
            "name a host; to take endpoints out of use, drain them or remove them",
            report,
        );
        return None;
    }
    Some(target)
}

//------------ Time ----------------------------------------------------------

/// Reads a date and time with offset, as seconds since the Unix epoch.
fn read_time(item: Item<'_>, report: &mut Report) -> Option<u64> {
    let DeValue::Datetime(time) = item.value() else {
        item.add(
            Code::WrongType,
            "expected a date and time, without quotes",
            "write it as in `effective = 2026-12-01T02:00:00Z`",
            report,
        );
        return None;
    };
    let (message, help) = match unix_seconds(time) {
        Ok(seconds) => return Some(seconds),
        Err(NoMoment::Local) => (
            "the time has no zone offset, so that servers would disagree about it",
            format!("add the offset: `{time}Z` for UTC, or as in `{time}-05:00`"),
        ),
        Err(NoMoment::Partial) => (
            "a date or a time alone is no moment",
            "write both, as in `2026-12-01T02:00:00Z`".to_owned(),
        ),
        Err(NoMoment::Fraction) => {
            ("changes happen at full seconds", "remove the fraction of the second".to_owned())
        }
        Err(NoMoment::TooEarly) => (
            "the time is before 1970",
            "correct the year, or remove `effective` to have the change at once".to_owned(),
        ),
    };
    item.add(Code::BadValue, message, help, report);
    None
}

/// Why a TOML date is no moment that a change can be set for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NoMoment {
    /// It has a fraction of a second.
    Fraction,

    /// It has no offset.
    Local,

    /// The date or the time is missing.
    Partial,

    /// It is before the Unix epoch.
    TooEarly,
}

fn unix_seconds(moment: &Datetime) -> Result<u64, NoMoment> {
    let (Some(date), Some(time)) = (moment.date, moment.time) else {
        return Err(NoMoment::Partial);
    };
    let minutes_east = match moment.offset {
        None => return Err(NoMoment::Local),
        Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes),
    };
    if time.nanosecond.is_some_and(|part| part != 0) {
        return Err(NoMoment::Fraction);
    }
    let days = days_since_epoch(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - minutes_east;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or(0));
    u64::try_from(seconds).map_err(|_| NoMoment::TooEarly)
}

/// Counts the days from 1970-01-01 in the Gregorian calendar.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year;
    // the months from March on then have 153 days in every five.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<u64, NoMoment> {
        unix_seconds(&text.parse().unwrap())
    }

    #[test]
    fn moments_become_unix_seconds() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Ok(951_825_600));
        assert_eq!(seconds("2026-12-01T02:00:00Z"), Ok(1_796_090_400));
        assert_eq!(seconds("2026-12-01T02:00:00-05:00"), Ok(1_796_108_400));
        assert_eq!(seconds("2100-03-01T00:00:00Z"), Ok(4_107_542_400));
    }

    #[test]
    fn what_is_no_full_second_of_every_clock_is_refused() {
        assert_eq!(seconds("2026-12-01T02:00:00"), Err(NoMoment::Local));
        assert_eq!(seconds("2026-12-01"), Err(NoMoment::Partial));
        assert_eq!(seconds("2026-12-01T02:00:00.5Z"), Err(NoMoment::Fraction));
        assert_eq!(seconds("1969-12-31T23:59:59Z"), Err(NoMoment::TooEarly));
    }
}
