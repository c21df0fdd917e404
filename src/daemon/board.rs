//! What the control plane shows of itself: posted after every change, read by
//! whoever wants to know, without waiting for either.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::handed_out::HandedOut;
use super::load::count;
use crate::snapshot::Version;
use crate::state::Kept;

//----------- Board ----------------------------------------------------------

/// The state of the control plane.
#[derive(Clone, Debug)]
pub struct Board {
    /// What is published.
    pub kept: Arc<Kept>,

    /// What became of the last time that files were taken in.
    pub last: Outcome,

    /// The last time that not everything could be taken in.
    pub last_error: Option<Outcome>,

    /// How the state folder is.
    pub health: StateHealth,

    /// Versions of which only cached copies are left.
    pub retired: Vec<Arc<Version>>,

    /// What versions had handed out that are let go of.
    pub handed_out: Arc<HandedOut>,
}

//----------- Outcome --------------------------------------------------------

/// What became of taking in files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// When, in seconds since the Unix epoch.
    pub at: u64,

    /// Who asked for it.
    pub by: String,

    /// Whether everything is published that is in the files.
    pub is_whole: bool,

    /// The generation that is served now.
    pub generation: u64,

    /// What is new, a line a zone.
    pub lines: Vec<String>,

    /// What else there is to know.
    #[serde(default)]
    pub notes: Vec<String>,

    /// What is served as it was.
    pub held_back: Vec<Held>,

    /// The errors that were found in the files, for people.
    pub findings: String,

    /// How many warnings there are about what was read or compiled anew.
    #[serde(default)]
    pub warnings: usize,
}

/// Something that is served as it was although its files are not.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Held {
    /// A zone, or everything.
    pub what: String,

    /// Why, and what to do.
    pub why: String,
}

impl Outcome {
    /// Says whether another outcome says nothing else.
    pub fn says_the_same(&self, other: &Outcome) -> bool {
        let held = |outcome: &Outcome| -> Vec<(String, String)> {
            let held = outcome.held_back.iter();
            held.map(|held| (held.what.clone(), held.why.clone())).collect()
        };
        self.is_whole == other.is_whole
            && self.lines.is_empty()
            && (&self.findings, &self.notes) == (&other.findings, &other.notes)
            && self.warnings == other.warnings
            && held(self) == held(other)
    }

    /// Says whether all is well and nothing is new.
    pub fn says_nothing(&self) -> bool {
        self.is_whole && self.lines.is_empty() && self.findings.is_empty() && self.warnings == 0
    }

    /// Says how many warnings there are, if there are any.
    pub fn warned(&self) -> Option<String> {
        let warnings = count(self.warnings, "warning");
        (self.warnings > 0).then(|| format!("{warnings}: `trunkdns check` shows what there is"))
    }

    /// Notes that something is held back.
    pub fn hold(&mut self, what: impl ToString, why: impl Into<String>) {
        self.is_whole = false;
        self.held_back.push(Held { what: what.to_string(), why: why.into() });
    }
}

//----------- StateHealth ----------------------------------------------------

/// How the state folder is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateHealth {
    /// At the start it could not be read: why, and where it was put.
    pub damaged: Option<String>,

    /// It could not be written the last time.
    pub write_error: Option<String>,

    /// How often it could not be written.
    pub write_errors: u64,
}
