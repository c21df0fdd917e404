//! The operator's files as they were read, and positions in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trace::{Entries, Look, Trace};
use crate::privileges;

//----------- Sources --------------------------------------------------------

/// Every text file that was read, in the order of reading.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,

    /// Texts that stand for files; `None` for a file that is to be missing.
    substitutes: BTreeMap<PathBuf, Option<Arc<str>>>,

    /// Whether the disk is not looked at.
    is_closed: bool,

    /// Every path that was looked at, found or not, and what was there right
    /// before.
    looks: Vec<Look>,
}

/// One file as it was read.
#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: Arc<str>,

    /// When it was last written, in seconds since the Unix epoch.
    modified: u64,
}

impl Sources {
    /// Returns sources in which only these files exist.
    pub fn of_texts(texts: impl IntoIterator<Item = (PathBuf, Arc<str>)>) -> Self {
        let mut sources = Sources { is_closed: true, ..Self::default() };
        for (path, text) in texts {
            sources.substitute(path, Some(text));
        }
        sources
    }

    /// Has a text stand for a file, or none where it is to be missing.
    pub fn substitute(&mut self, path: PathBuf, text: Option<Arc<str>>) {
        self.substitutes.insert(path, text);
    }

    /// Reads a file.
    ///
    /// A file that is not UTF-8 is an error of kind
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    pub fn read(&mut self, path: &Path) -> io::Result<SourceId> {
        self.visit(path);
        if let Some(substitute) = self.substitutes.get(path) {
            let text = substitute.clone().ok_or(io::ErrorKind::NotFound)?;
            return Ok(self.add(path, text));
        }
        if self.is_closed {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut file = File::open(path).map_err(|error| privileges::explain(path, error))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let modified = file.metadata()?.mtime();
        let id = self.add(path, text);
        self.files[id.0 as usize].modified = modified.try_into().unwrap_or(0);
        Ok(id)
    }

    /// Reads a file that is not a text.
    pub fn read_octets(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.visit(path);
        std::fs::read(path).map_err(|error| privileges::explain(path, error))
    }

    /// Says whether there is a file.
    pub fn has(&mut self, path: &Path) -> bool {
        self.visit(path);
        match self.substitutes.get(path) {
            Some(substitute) => substitute.is_some(),
            None => !self.is_closed && path.exists(),
        }
    }

    /// Returns what a folder holds, sorted by name.
    ///
    /// Notes that what was read depends on it, in one reading of the folder:
    /// one of ten thousand takes some milliseconds.
    pub fn list(&mut self, folder: &Path) -> io::Result<Entries> {
        let (trace, entries) = Trace::of_folder(folder);
        if !self.is_closed {
            self.looks.push(Look { path: folder.into(), trace });
        }
        entries
    }

    /// Notes that what was read depends on a path.
    pub fn visit(&mut self, path: &Path) {
        // Those of a zone, or those that all zones share, are few.
        if !self.is_closed && self.looks.iter().all(|look| *look.path != *path) {
            self.looks.push(Look::at(path));
        }
    }

    /// Returns every path that was looked at, found or not, and what was there
    /// right before.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Takes the looks out.
    pub fn take_looks(&mut self) -> Vec<Look> {
        std::mem::take(&mut self.looks)
    }

    /// Notes looks that were taken apart.
    pub fn add_looks(&mut self, looks: impl IntoIterator<Item = Look>) {
        self.looks.extend(looks);
    }

    /// Returns sources to read on with apart from these, which other files can
    /// refer to.
    pub fn apart(&self) -> Self {
        Sources { looks: Vec::new(), ..self.clone() }
    }

    /// Takes in what was read apart behind the first files of these; returns
    /// by how much the ids of that are higher here.
    pub fn absorb(&mut self, others: Sources, first: usize) -> u32 {
        let behind = self.files.len() - first;
        self.files.extend(others.files.into_iter().skip(first));
        behind as u32
    }

    /// Takes in a text that stands for the file at `path`.
    pub fn add(&mut self, path: &Path, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(self.files.len() as u32);
        self.files.push(Source { path: path.to_owned(), text: text.into(), modified: 0 });
        id
    }

    /// Counts the files that were read.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Returns path and text of files by their position in the order of
    /// reading.
    pub fn texts(&self, range: Range<usize>) -> impl Iterator<Item = (PathBuf, Arc<str>)> + '_ {
        self.files[range].iter().map(|file| (file.path.clone(), file.text.clone()))
    }

    /// Returns when the last of some files was written, in seconds since the
    /// Unix epoch.
    pub fn modified(&self, range: Range<usize>) -> u64 {
        self.files[range].iter().map(|file| file.modified).max().unwrap_or(0)
    }

    /// Returns when a file was written, in seconds since the Unix epoch.
    pub fn written(&self, id: SourceId) -> u64 {
        self.files[id.0 as usize].modified
    }

    /// Returns the path under which a file was read.
    pub fn path(&self, id: SourceId) -> &Path {
        &self.files[id.0 as usize].path
    }

    /// Returns the text of a file.
    pub fn text(&self, id: SourceId) -> Arc<str> {
        self.files[id.0 as usize].text.clone()
    }

    /// Returns where a span begins as `file:line:column`.
    pub fn locator(&self, span: Span) -> String {
        let position = self.position(span);
        format!("{}:{}:{}", self.path(span.file).display(), position.line, position.column)
    }

    /// Returns line, column and the line itself of the start of a span.
    pub fn position(&self, span: Span) -> Position<'_> {
        let text = &self.files[span.file.0 as usize].text;
        let mut start = (span.start as usize).min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        Position {
            line: text[..start].matches('\n').count() as u32 + 1,
            column: text[line_start..start].chars().count() as u32 + 1,
            text: text[line_start..line_end].trim_end_matches('\r'),
        }
    }
}

//----------- SourceId -------------------------------------------------------

/// One of the files in [`Sources`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(u32);

impl SourceId {
    /// Returns the id that the file has behind so many others, if it is not
    /// one of the first.
    fn behind(self, count: u32, first: usize) -> Self {
        if (self.0 as usize) < first { self } else { SourceId(self.0 + count) }
    }

    /// Returns the span of some octets of this file.
    pub fn span(self, range: Range<usize>) -> Span {
        Span { file: self, start: range.start as u32, end: range.end as u32 }
    }
}

//----------- Span -----------------------------------------------------------

/// Some octets of a file: from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// The file.
    pub file: SourceId,

    /// The offset of the first octet.
    pub start: u32,

    /// The offset behind the last octet.
    pub end: u32,
}

impl Span {
    /// Returns the span in a file that was taken in behind so many others, if
    /// it is not one of the first; see [`Sources::absorb`].
    pub fn behind(self, count: u32, first: usize) -> Self {
        Span { file: self.file.behind(count, first), ..self }
    }
}

//----------- Position -------------------------------------------------------

/// Where a span begins, for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position<'a> {
    /// The line, from 1.
    pub line: u32,

    /// The column in characters, from 1.
    pub column: u32,

    /// The line's text without its end.
    pub text: &'a str,
}

//----------- Located --------------------------------------------------------

/// A value and where it was written.
#[derive(Clone, Copy, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,

    /// Where it was written.
    pub span: Span,
}

impl<T> Located<T> {
    /// Returns a value found at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Located { value, span }
    }

    /// Applies a function to the value.
    pub fn map<U>(self, op: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: op(self.value), span: self.span }
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let id = sources.add(Path::new("a.toml"), "eins\r\nzwölf = 3\n");
        let position = sources.position(id.span(13..14));
        assert_eq!((position.line, position.column), (2, 7));
        assert_eq!(position.text, "zwölf = 3");
        assert_eq!(sources.position(id.span(0..1)).text, "eins");
    }

    #[test]
    fn a_position_behind_the_end_is_the_end() {
        let mut sources = Sources::default();
        let id = sources.add(Path::new("a.toml"), "x");
        assert_eq!(sources.position(id.span(9..10)).column, 2);
    }
}
