//! Findings, and the report that collects them.

use std::fmt::Write as _;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::code::{Code, Severity};
use super::source::{SourceId, Sources, Span};

//----------- Report ---------------------------------------------------------

/// All that was found in the operator's input.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,

    /// How many warnings the operator allows.
    allowed: usize,
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds all findings of another report.
    pub fn extend(&mut self, other: Report) {
        self.findings.extend(other.findings);
        self.allowed += other.allowed;
    }

    /// Takes out warnings of these codes, which the operator allows.
    pub fn allow(&mut self, codes: &[Code]) {
        let count = self.findings.len();
        let is_allowed = |finding: &Finding| {
            finding.severity() == Severity::Warning && codes.contains(&finding.code)
        };
        self.findings.retain(|finding| !is_allowed(finding));
        self.allowed += count - self.findings.len();
    }

    /// Counts the warnings that were allowed.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// Adds findings.
    pub fn extend_with(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Adds all findings about files that were taken in behind so many
    /// others, but for the first; see [`Sources::absorb`].
    pub fn absorb(&mut self, other: Report, behind: u32, first: usize) {
        self.allowed += other.allowed;
        self.findings.extend(other.findings.into_iter().map(|mut finding| {
            if let Place::Span(place) = &mut finding.place {
                *place = place.behind(behind, first);
            }
            for (related, _) in &mut finding.related {
                *related = related.behind(behind, first);
            }
            finding
        }));
    }

    /// Keeps the findings for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&Finding) -> bool) {
        self.findings.retain(keep);
    }

    /// Returns the findings in the order of files and positions.
    pub fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by(|a, b| (&a.place, a.code).cmp(&(&b.place, b.code)));
        findings
    }

    /// Makes warnings of the errors that have an excuse, and has them say it.
    pub fn excuse(&mut self) {
        let excusable = |finding: &&mut Finding| finding.excuse == Excuse::Possible;
        for finding in self.findings.iter_mut().filter(excusable) {
            finding.message = format!("{}; {}", finding.message, finding.code.excuse());
            finding.excuse = Excuse::Made;
        }
    }

    /// Says whether anything found refuses the input.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity() == Severity::Error)
    }

    /// Counts the findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// Renders everything for a terminal or a log.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let mut out = String::new();
        for finding in self.findings() {
            out.push_str(&finding.render(sources, color));
            out.push('\n');
        }
        out
    }

    /// Renders the errors alone.
    pub fn render_errors(&self, sources: &Sources) -> String {
        let errors = self.findings().into_iter().filter(|one| one.severity() == Severity::Error);
        errors.map(|error| error.render(sources, false) + "\n").collect()
    }

    /// Returns the findings in the form that `--json` prints.
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        let findings: Vec<_> =
            self.findings().into_iter().map(|finding| finding.to_record(sources)).collect();
        serde_json::json!({
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "allowed": self.allowed,
            "findings": findings,
        })
    }
}

//----------- Finding --------------------------------------------------------

/// One thing that is wrong, or looks wrong, with the operator's input.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is wrong; stable across releases.
    pub code: Code,

    /// Where it is written.
    pub place: Place,

    /// What was found and what was expected, as a lower-case fragment.
    pub message: String,

    /// What to do, as a lower-case fragment in the imperative.
    pub help: String,

    /// Other places that have a part in it, each with what it is.
    pub related: Vec<(Span, String)>,

    /// Whether it can be lived with.
    excuse: Excuse,
}

/// Whether an error can be lived with; see [`Report::excuse`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Excuse {
    /// It cannot.
    None,

    /// It can, where the operator allows it.
    Possible,

    /// It is: it weighs no more than a warning.
    Made,
}

/// Where a finding is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// At some octets of a file that was read.
    Span(Span),

    /// At a file that could not be read, or a folder.
    Path(PathBuf),
}

impl Finding {
    /// Returns a finding without related places.
    pub fn new(
        code: Code,
        place: impl Into<Place>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Finding {
            code,
            place: place.into(),
            message: message.into(),
            help: help.into(),
            related: Vec::new(),
            excuse: Excuse::None,
        }
    }

    /// Says that the error can be lived with, where the operator allows it.
    pub fn excusable(mut self) -> Self {
        self.excuse = Excuse::Possible;
        self
    }

    /// Adds a place that has a part in it.
    pub fn with_related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Returns how much it weighs.
    pub fn severity(&self) -> Severity {
        if self.excuse == Excuse::Made { Severity::Warning } else { self.code.severity() }
    }

    /// Says whether it refuses the input whatever the operator allows.
    pub fn is_inexcusable(&self) -> bool {
        self.severity() == Severity::Error && self.excuse == Excuse::None
    }

    /// Renders the finding: a line to jump to, the source and what to do.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let mut out = format!(
            "{}: {}[{}]: {}\n",
            self.locator(sources),
            self.severity(),
            self.code,
            self.message
        );
        match self.place {
            Place::Span(span) => out.push_str(&self.render_source(span, sources, color)),
            Place::Path(_) => {
                let _ = writeln!(out, "  = help: {}", self.help);
            }
        }
        out
    }

    /// Returns `file:line:column`, or the path alone.
    pub fn locator(&self, sources: &Sources) -> String {
        match &self.place {
            Place::Span(span) => sources.locator(*span),
            Place::Path(path) => path.display().to_string(),
        }
    }

    fn render_source(&self, span: Span, sources: &Sources, color: bool) -> String {
        let mut files: Vec<SourceId> = vec![span.file];
        for (related, _) in &self.related {
            if !files.contains(&related.file) {
                files.push(related.file);
            }
        }
        let texts: Vec<_> = files.iter().map(|id| sources.text(*id)).collect();
        let paths: Vec<_> =
            files.iter().map(|id| sources.path(*id).display().to_string()).collect();
        let snippets = files.iter().zip(&texts).zip(&paths).map(|((id, text), path)| {
            let mut snippet = Snippet::source(text.as_ref());
            if *id == span.file {
                // Its path is in the line above already.
                snippet = snippet.annotation(AnnotationKind::Primary.span(clamp(span, text)));
            } else {
                snippet = snippet.path(path.as_str());
            }
            for (related, label) in self.related.iter().filter(|(span, _)| span.file == *id) {
                snippet = snippet.annotation(
                    AnnotationKind::Context.span(clamp(*related, text)).label(label.as_str()),
                );
            }
            snippet
        });
        // The title is the line above; the renderer is given an empty group
        // title only because it wants one.
        let group = Level::ERROR
            .no_name()
            .primary_title("")
            .elements(snippets)
            .element(Level::HELP.message(self.help.as_str()));
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let text = renderer.render(&[group]);
        let body: Vec<_> = text.lines().skip(1).collect();
        body.join("\n") + "\n"
    }

    fn to_record<'a>(&'a self, sources: &'a Sources) -> Record<'a> {
        let (file, position) = match &self.place {
            Place::Span(span) => {
                (sources.path(span.file).display().to_string(), Some(sources.position(*span)))
            }
            Place::Path(path) => (path.display().to_string(), None),
        };
        Record {
            code: self.code.name(),
            severity: self.severity().name(),
            file,
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            source: position.map(|position| position.text),
            message: &self.message,
            help: &self.help,
            related: self
                .related
                .iter()
                .map(|(span, label)| RelatedRecord { place: sources.locator(*span), label })
                .collect(),
        }
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Place::Span(span)
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Place::Path(path)
    }
}

/// A finding as `--json` prints it.
#[derive(Serialize)]
struct Record<'a> {
    code: &'a str,
    severity: &'a str,
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    source: Option<&'a str>,
    message: &'a str,
    help: &'a str,
    related: Vec<RelatedRecord<'a>>,
}

/// A related place as `--json` prints it.
#[derive(Serialize)]
struct RelatedRecord<'a> {
    place: String,
    label: &'a str,
}

/// Cuts a span to its first line: a whole table in red helps nobody.
fn clamp(span: Span, text: &str) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(span.start as usize);
    let end = text.ceil_char_boundary(span.end as usize).max(start);
    let line_end = text[start..].find(['\r', '\n']).map_or(text.len(), |at| start + at);
    start..end.min(line_end).max(start)
}
