//! `[[geo]]` of `zone.toml`: RRsets of any type with a variant a region.

use super::model::{GeoRrset, GeoVariant, RowKey};
use super::priorities::{missing_regions, nearest_row_key, read_row_key, without_row};
use super::rdata;
use super::reader::{Fields, Item, add_duplicates};
use super::zone::add_outside;
use crate::diag::{Code, Finding, Located, Report};
use crate::geo::RegionTable;
use crate::wire::{Name, Rtype};

/// Reads all `[[geo]]` entries.
pub(super) fn steered(
    item: Item<'_>,
    origin: &Name,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<Vec<GeoRrset>> {
    if item.is_table() {
        item.add(
            Code::WrongType,
            "expected a list of entries, found one table [geo]",
            "double the brackets: `[[geo]]` begins each entry",
            report,
        );
        return None;
    }
    let mut rrsets = Vec::new();
    for item in item.items(report)? {
        rrsets.extend(rrset(item, origin, regions, report));
    }
    Some(rrsets)
}

fn rrset(
    item: Item<'_>,
    origin: &Name,
    regions: &RegionTable,
    report: &mut Report,
) -> Option<GeoRrset> {
    let mut fields = item.table("[[geo]]", report)?;
    let owner = fields.required("name", "name = \"proxy\"", report, |item, report| {
        let name = item.name(origin, report)?;
        if !name.is_within(origin) {
            add_outside(item.span(), &name, origin, report);
        }
        Some(Located::new(name, item.span()))
    });
    let rtype = fields.required("type", "type = \"A\"", report, read_type);
    let ttl = fields.required("ttl", "ttl = 60", report, Item::ttl);
    let example = "records.default = [\"198.51.100.21\"]";
    let records = fields.required("records", example, report, |item, report| {
        let fields = item.table("the records of [[geo]]", report)?;
        Some(variants(fields, rtype, origin, regions, report))
    });
    fields.finish(report);
    Some(GeoRrset { owner: owner?, rtype: rtype?, ttl: ttl?, variants: records? })
}

/// Reads a type that can be steered.
///
/// SOA and NS are the same for everybody: they make the zone.
fn read_type(item: Item<'_>, report: &mut Report) -> Option<Rtype> {
    let form = "record type such as \"A\", \"AAAA\" or \"TXT\"";
    let rtype = item.parsed(Code::BadValue, form, report, |text| text.parse::<Rtype>().ok())?;
    if !rtype.is_data() || matches!(rtype, Rtype::SOA | Rtype::NS) {
        item.add(
            Code::BadValue,
            format!("records of type {rtype} cannot differ by region"),
            "write another type; SOA and NS have tables of their own",
            report,
        );
        return None;
    }
    Some(rtype)
}

fn variants(
    mut fields: Fields<'_>,
    rtype: Option<Rtype>,
    origin: &Name,
    regions: &RegionTable,
    report: &mut Report,
) -> Vec<GeoVariant> {
    let span = fields.span();
    let mut variants = Vec::new();
    let mut keys: Vec<RowKey> = Vec::new();
    for (key, item) in fields.take_rest() {
        let row_key = read_row_key(key, regions, report);
        keys.extend(row_key.or_else(|| nearest_row_key(key.value, regions)));
        let rdatas = read_rdatas(item, rtype, origin, report);
        if let (Some(row_key), Some(rdatas)) = (row_key, rdatas) {
            variants.push(GeoVariant { key: Located::new(row_key, key.span), rdatas });
        }
    }
    add_repeated(&variants, report);
    let missing = missing_regions(keys, regions);
    if !missing.is_empty() {
        let what = "this [[geo]] entry has no records";
        report.add(without_row(span, what, &missing, "records.default = […]"));
    }
    variants
}

fn add_repeated(variants: &[GeoVariant], report: &mut Report) {
    let keys: Vec<_> = variants.iter().map(|variant| variant.key).collect();
    add_duplicates(&keys, report);
}

/// Reads the records of a variant; of which type is unknown after an error.
fn read_rdatas(
    item: Item<'_>,
    rtype: Option<Rtype>,
    origin: &Name,
    report: &mut Report,
) -> Option<Vec<Located<Box<[u8]>>>> {
    let rdatas = item.filled_set("records", report, |item, report| {
        let text = item.string(report)?;
        let read = rdata::from_text(rtype?, text, origin);
        read.map_err(|err| add_bad_rdata(item, rtype, &err, report)).ok()
    })?;
    if rtype == Some(Rtype::CNAME) && rdatas.len() > 1 {
        report.add(Finding::new(
            Code::CnameAndOther,
            item.span(),
            "a CNAME stands alone, and here are several",
            "keep one of them (RFC 1034 section 3.6.2)",
        ));
    }
    Some(rdatas)
}

fn add_bad_rdata(item: Item<'_>, rtype: Option<Rtype>, err: &str, report: &mut Report) {
    let rtype = rtype.map(|rtype| rtype.to_string()).unwrap_or_default();
    item.add(
        Code::BadRdata,
        format!("the data of a record of type {rtype} cannot be read: {err}"),
        "write it as in a master file, without name, TTL and type",
        report,
    );
}
