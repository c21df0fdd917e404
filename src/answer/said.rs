//! What a version says to a question: copied where it can be, else worked out.

use std::net::IpAddr;
use std::sync::Arc;

use super::body::{self, Prebuilt};
use super::exchange::Exchange;
use super::resolve::{Resolution, resolve};
use super::{Outcome, Source, Ttls, write};
use crate::geo::{RegionId, RegionSet};
use crate::snapshot::{HandedOut, Version, Zone};
use crate::wire::{Query, Question};

//----------- Said -----------------------------------------------------------

/// What a version says to a question of clients in a region.
#[derive(Clone, Debug)]
pub(super) struct Said<'s> {
    version: &'s Version,
    region: RegionId,
    form: Form<'s>,
}

/// In which form it is there.
#[derive(Clone, Debug)]
enum Form<'s> {
    Prebuilt(Prebuilt<'s>),

    /// Elsewhere, so that the other form is moved at its own size.
    Resolved(Box<Resolution<'s>>),
}

impl<'s> Said<'s> {
    /// Returns what a version says to who asks from an address.
    pub(super) fn of(version: &'s Version, address: &IpAddr, question: &Question<'_>) -> Self {
        let region = version.map.locate(*address);
        let form = match body::find(&version.zone, region, question) {
            Some(prebuilt) => Form::Prebuilt(prebuilt),
            None => Form::resolved(&version.zone, region, question),
        };
        Said { version, region, form }
    }

    /// Returns what the general path says, whether it is prebuilt or not.
    #[cfg(test)]
    pub(super) fn resolved(version: &'s Version, address: IpAddr, question: &Question<'_>) -> Self {
        let region = version.map.locate(address);
        Said { version, region, form: Form::resolved(&version.zone, region, question) }
    }

    /// Says whether it is copied.
    #[cfg(test)]
    pub(super) fn is_prebuilt(&self) -> bool {
        matches!(self.form, Form::Prebuilt(_))
    }

    /// Returns what it is from.
    pub(super) fn source(&self, by_subnet: bool) -> Source<'s> {
        Source { version: self.version, region: self.region, by_subnet }
    }

    /// Returns the regions whose clients get the same.
    pub(super) fn same(&self) -> RegionSet {
        match &self.form {
            Form::Prebuilt(prebuilt) => prebuilt.same(self.region),
            Form::Resolved(resolution) => resolution.same,
        }
    }

    /// Says whether a client is told the same by another version; the serial
    /// of the SOA record does not count.
    pub(super) fn agrees(&self, other: &Said<'_>, question: &Question<'_>) -> bool {
        if Arc::ptr_eq(&self.version.zone, &other.version.zone) && self.region == other.region {
            return true;
        }
        let known = match (&self.form, &other.form) {
            (Form::Prebuilt(own), Form::Prebuilt(other)) => own.agrees(other),
            (Form::Resolved(own), Form::Resolved(other)) => Some(own.agrees(other)),
            _ => None,
        };
        known.unwrap_or_else(|| self.resolution(question).agrees(&other.resolution(question)))
    }

    /// Returns its records.
    pub(super) fn resolution(&self, question: &Question<'_>) -> Resolution<'s> {
        resolve(&self.version.zone, self.region, question)
    }

    /// Writes as much of it as there is room for.
    pub(super) fn write(
        &self,
        query: &Query<'_>,
        exchange: &mut Exchange<'_>,
        ttls: &Ttls,
        out: &mut [u8],
    ) -> Outcome<'s> {
        let resolution = match &self.form {
            Form::Prebuilt(prebuilt) => {
                return body::write(query, exchange, (self.version, prebuilt), ttls, out);
            }
            Form::Resolved(resolution) => resolution,
        };
        let mut outcome = write(query, exchange, resolution, ttls, out);
        let srv = resolution.srv().filter(|_| outcome.is_whole());
        outcome.handed_out = srv.map(|(slot, records)| HandedOut {
            expiries: &self.version.expiries,
            slot,
            ttl: ttls.of(query, records),
        });
        outcome
    }
}

impl<'s> Form<'s> {
    #[inline(never)]
    fn resolved(zone: &'s Zone, region: RegionId, question: &Question<'_>) -> Self {
        Form::Resolved(Box::new(resolve(zone, region, question)))
    }
}
