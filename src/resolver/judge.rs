//! Whose answer a resolver hands out.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::known::{Known, Origin, Said};

//----------- Judgement ------------------------------------------------------

/// Whose answer something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// What the tables on disk say.
    Current,

    /// What a published version says that is in force for somebody, and not
    /// what the tables on disk say: a handover is under way, or they are not
    /// published.
    Published,

    /// What a version said that is in force for nobody any more, whether it
    /// is still known or must have been.
    Stale,

    /// Records that are all known, and never given together.
    Mix,

    /// Records that nobody knows, or a denial of what there is.
    Foreign,

    /// No answer, or one that says that the resolver failed.
    Failed,
}

impl Judgement {
    /// Says whether a client of the resolver is where it should be.
    pub fn is_good(self) -> bool {
        matches!(self, Judgement::Current | Judgement::Published)
    }
}

/// A judgement with its reasons.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Whose answer it is.
    pub judgement: Judgement,

    /// The version that it is of.
    pub origin: Option<Origin>,

    /// The regions whose answer it is; none where it is that of all.
    pub regions: Vec<String>,

    /// The TTL that it has there.
    pub ttl: Option<u32>,

    /// What is known of each record of a mix, or the records that nobody
    /// knows.
    pub details: Vec<String>,
}

/// Judges what a resolver said by what is known, best first.
pub fn judge(said: &Said, known: &[Known]) -> Finding {
    let finding = |judgement| Finding {
        judgement,
        origin: None,
        regions: Vec::new(),
        ttl: None,
        details: Vec::new(),
    };
    // Neither NOERROR nor NXDOMAIN: the resolver has nothing to say.
    if ![0, 3].contains(&said.rcode) {
        return Finding { details: vec![said.code()], ..finding(Judgement::Failed) };
    }
    if let Some(same) = known.iter().find(|known| known.said == *said) {
        let judgement = match same.origin {
            Origin::Tables => Judgement::Current,
            Origin::Published { .. } => Judgement::Published,
            Origin::Over { .. } => Judgement::Stale,
        };
        let (origin, regions) = (Some(same.origin), same.regions.clone());
        return Finding { origin, regions, ttl: same.said.ttl, ..finding(judgement) };
    }
    let strangers: Vec<_> =
        said.records.iter().filter(|record| sources(record, known).is_empty()).cloned().collect();
    if said.records.is_empty() {
        let details = vec![format!("{} without records", said.code())];
        return Finding { details, ..finding(Judgement::Foreign) };
    }
    if !strangers.is_empty() && said.records.iter().all(|record| is_of_service(record, known)) {
        return Finding { details: strangers, ..finding(Judgement::Stale) };
    }
    if !strangers.is_empty() {
        return Finding { details: strangers, ..finding(Judgement::Foreign) };
    }
    let details = said.records.iter().map(|record| {
        let sources: Vec<_> = sources(record, known).into_iter().collect();
        format!("{record}: {}", sources.join(", "))
    });
    Finding { details: details.collect(), ..finding(Judgement::Mix) }
}

/// Says whether an SRV record names an endpoint that somebody is given: with
/// another priority, weight or port it is of a version that nobody knows any
/// more.
fn is_of_service(record: &str, known: &[Known]) -> bool {
    let Some(target) = srv_target(record) else { return false };
    let mut records = known.iter().flat_map(|known| &known.said.records);
    records.any(|record| srv_target(record) == Some(target))
}

/// Returns the target of an SRV record in presentation format.
fn srv_target(record: &str) -> Option<&str> {
    let mut words = record.split(' ').skip(1);
    words.next().filter(|rtype| *rtype == "srv").and_then(|_| words.last())
}

/// Returns whose answers hold a record.
fn sources(record: &str, known: &[Known]) -> BTreeSet<String> {
    let holders = known.iter().filter(|known| known.said.records.contains(record));
    holders.map(Known::to_string).collect()
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.regions[..] {
            [] => f.write_str("every region")?,
            regions => f.write_str(&regions.join(", "))?,
        }
        match self.origin {
            Origin::Tables => Ok(()),
            Origin::Published { serial } => write!(f, " (serial {serial})"),
            Origin::Over { serial, .. } => write!(f, " (serial {serial}, over)"),
        }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rcode: u16, records: &[&str]) -> Said {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        Said { rcode, records, ttl: Some(60) }
    }

    fn known(origin: Origin, region: &str, records: &[&str]) -> Known {
        Known { origin, regions: vec![region.to_owned()], said: said(0, records) }
    }

    /// Two regions, as the tables have them and as they were before.
    fn world() -> Vec<Known> {
        let over = Origin::Over { serial: 7, since: 100 };
        let published = Origin::Published { serial: 8 };
        vec![
            known(Origin::Tables, "eu", &["sbc1.eu", "sbc1.us"]),
            known(Origin::Tables, "us", &["sbc1.us", "sbc2.us"]),
            known(published, "eu", &["sbc1.eu", "sbc1.us"]),
            known(published, "us", &["sbc2.us", "sbc3.us"]),
            known(over, "us", &["sbc0.us"]),
        ]
    }

    fn judged(rcode: u16, records: &[&str]) -> (Judgement, Vec<String>) {
        let finding = judge(&said(rcode, records), &world());
        let texts = if finding.details.is_empty() { finding.regions } else { finding.details };
        (finding.judgement, texts)
    }

    #[test]
    fn an_answer_of_the_tables_is_current_and_has_its_region() {
        assert_eq!(judged(0, &["sbc1.us", "sbc1.eu"]), (Judgement::Current, vec!["eu".into()]));
    }

    #[test]
    fn an_answer_of_a_version_in_force_is_published() {
        assert_eq!(judged(0, &["sbc2.us", "sbc3.us"]), (Judgement::Published, vec!["us".into()]));
    }

    #[test]
    fn an_answer_of_a_version_that_is_over_is_stale() {
        assert_eq!(judged(0, &["sbc0.us"]), (Judgement::Stale, vec!["us".into()]));
    }

    #[test]
    fn endpoints_of_the_service_in_an_order_that_nobody_knows_are_stale() {
        let known = [known(Origin::Tables, "eu", &["s srv 10 1 5060 a", "s srv 20 1 5060 b"])];
        let turned = said(0, &["s srv 10 1 5060 b", "s srv 20 1 5060 a"]);
        assert_eq!(judge(&turned, &known).judgement, Judgement::Stale);
        let stranger = said(0, &["s srv 10 1 5060 b", "s srv 20 1 5060 c"]);
        assert_eq!(judge(&stranger, &known).judgement, Judgement::Foreign);
    }

    #[test]
    fn known_records_that_are_never_given_together_are_a_mix() {
        let (judgement, details) = judged(0, &["sbc1.eu", "sbc0.us"]);
        assert_eq!(judgement, Judgement::Mix);
        assert_eq!(details, ["sbc0.us: us (serial 7, over)", "sbc1.eu: eu, eu (serial 8)"]);
    }

    #[test]
    fn a_record_that_nobody_knows_is_foreign_and_named() {
        assert_eq!(judged(0, &["sbc1.us", "evil"]), (Judgement::Foreign, vec!["evil".into()]));
    }

    #[test]
    fn a_denial_of_what_there_is_is_foreign() {
        let details = vec!["NXDOMAIN without records".into()];
        assert_eq!(judged(3, &[]), (Judgement::Foreign, details));
        assert_eq!(judged(0, &[]).0, Judgement::Foreign);
    }

    #[test]
    fn a_resolver_that_fails_is_no_answer() {
        assert_eq!(judged(2, &[]), (Judgement::Failed, vec!["SERVFAIL".into()]));
    }

    #[test]
    fn a_denial_that_the_tables_give_is_current() {
        let denial = Known { said: said(3, &[]), ..known(Origin::Tables, "eu", &[]) };
        assert_eq!(judge(&said(3, &[]), &[denial]).judgement, Judgement::Current);
    }
}
