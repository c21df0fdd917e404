//! NAPTR records of SIP (RFC 3263 section 4.1), wherever they are written.

use super::subject::{Found, Subject};
use crate::config::model::NAPTR_SERVICES;
use crate::diag::{Code, Finding, Span};
use crate::wire::{LowerName, Name, Rtype};

/// NAPTR records that lead where no caller gets further.
pub(super) fn naptr(subject: &Subject<'_>, found: &mut Found<'_>) {
    let geo = subject.tables.geo.iter().filter(|geo| geo.rtype == Rtype::NAPTR);
    let geo = geo.flat_map(|geo| geo.variants.iter().flat_map(|variant| &variant.rdatas));
    let geo = geo.map(|rdata| (&rdata.value[..], rdata.span));
    let records = subject.tables.records.iter().filter(|one| one.rtype == Rtype::NAPTR);
    for (rdata, span) in geo.chain(records.map(|record| (&record.rdata[..], record.span))) {
        let Some(naptr) = Naptr::read(rdata).filter(Naptr::is_sip) else { continue };
        if let Some(finding) = mismatch(&naptr, span).or_else(|| dead_end(subject, &naptr, span)) {
            found.add(finding);
        }
    }
}

/// Finds what a record says that is not so.
fn mismatch(naptr: &Naptr, span: Span) -> Option<Finding> {
    let Naptr { flags, service, regexp, replacement } = naptr;
    let add = |message, help: &str| Some(Finding::new(Code::NaptrMismatch, span, message, help));
    let Some((prefix, _)) = NAPTR_SERVICES.iter().find(|(_, field)| field == service) else {
        let fields = NAPTR_SERVICES.map(|(_, field)| field).join(", ");
        let help = format!("write one of {fields}");
        return add(format!("no caller knows the service \"{service}\""), &help);
    };
    if flags != "S" || !regexp.is_empty() {
        let message = format!("\"{service}\" with the flag \"{flags}\" and \"{regexp}\"");
        return add(message, "write the flag \"s\" and an empty regular expression");
    }
    let labels: Vec<_> = replacement.labels().take(2).map(String::from_utf8_lossy).collect();
    if labels.join(".").eq_ignore_ascii_case(prefix) {
        return None;
    }
    add(
        format!("\"{service}\" leads to {replacement}"),
        &format!("lead to a name that begins with `{prefix}`, or name the service that is there"),
    )
}

/// Finds a replacement in the zone that has no SRV records.
fn dead_end(subject: &Subject<'_>, naptr: &Naptr, span: Span) -> Option<Finding> {
    let target = &naptr.replacement;
    let is_elsewhere = !target.is_within(&subject.tables.origin)
        || matches!(
            subject.zone.find(&LowerName::from(target)),
            crate::snapshot::Found::Referral(_)
        );
    let has_records = subject.host(target).is_some_and(|node| node.rrset(Rtype::SRV).is_some());
    (!is_elsewhere && !has_records).then(|| {
        Finding::new(
            Code::NaptrWithoutSrv,
            span,
            format!("{target} has no SRV records"),
            "remove the record, or declare the service: FreeSWITCH and baresip fail here although \
             another NAPTR record is good",
        )
    })
}

//----------- Naptr ----------------------------------------------------------

/// A NAPTR record (RFC 3403 section 4.1) without its numbers.
struct Naptr {
    flags: String,
    service: String,
    regexp: String,
    replacement: Name,
}

impl Naptr {
    /// Reads RDATA; flags and service in upper case.
    fn read(rdata: &[u8]) -> Option<Self> {
        let (_, mut rest) = rdata.split_at_checked(4)?;
        let mut text = || {
            let (len, behind) = rest.split_first()?;
            let (text, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        let (flags, service, regexp) = (text()?, text()?, text()?);
        Some(Naptr {
            flags: flags.to_ascii_uppercase(),
            service: service.to_ascii_uppercase(),
            regexp,
            replacement: Name::from_wire(rest).ok()?,
        })
    }

    /// Says whether it is one of SIP; ENUM's (RFC 6116) is "E2U+sip".
    fn is_sip(&self) -> bool {
        self.service.starts_with("SIP+") || self.service.starts_with("SIPS+")
    }
}
