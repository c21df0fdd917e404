//! The lines of log files, by their times.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::read_time;
use crate::log::Line;

/// The longest line that is read, in octets. An answer of 65,535 octets makes
/// less.
const LINE_MAX: u64 = 4 << 20;

/// The lines of several files: those that follow each other, and those of
/// several servers.
#[derive(Debug)]
pub struct Lines {
    files: Vec<Input>,
}

impl Lines {
    /// Opens files, whose order does not matter.
    pub fn open(paths: &[PathBuf]) -> Result<Self, String> {
        let files = paths.iter().map(|path| {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Input::new(path, Box::new(BufReader::new(file))))
        });
        Ok(Lines { files: files.collect::<Result<_, String>>()? })
    }

    /// Reads lines from memory.
    #[cfg(test)]
    pub(super) fn of_texts(texts: &[&str]) -> Self {
        let file = |text: &&str| {
            let octets = io::Cursor::new(text.as_bytes().to_vec());
            Input::new(Path::new("a log"), Box::new(octets))
        };
        Lines { files: texts.iter().map(file).collect() }
    }

    /// Returns the line that comes next, with its time in milliseconds since
    /// the Unix epoch.
    pub(super) fn read_next(&mut self) -> Result<Option<(u64, Line)>, String> {
        for file in &mut self.files {
            file.fill()?;
        }
        let ready = self.files.iter_mut().filter(|file| file.ahead.is_some());
        let first = ready.min_by_key(|file| file.ahead.as_ref().map(|(at, _)| *at));
        Ok(first.and_then(|file| file.ahead.take()))
    }

    /// Returns what is to be said of the files, for people.
    pub(super) fn notes(&self) -> Vec<String> {
        let broken = self.files.iter().filter_map(|file| {
            let (first, count) = (file.first_broken?, file.broken);
            let path = file.path.display();
            Some(format!("{path}:{first}: a line that cannot be read; {count} in all"))
        });
        broken.collect()
    }
}

/// A file that is being read.
struct Input {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: String,
    number: u64,

    /// The line that comes next, with its time.
    ahead: Option<(u64, Line)>,
    is_over: bool,

    /// Lines of the log that cannot be read: a full disk cuts them off.
    broken: u64,
    first_broken: Option<u64>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}

impl Input {
    fn new(path: &Path, reader: Box<dyn BufRead>) -> Self {
        Input {
            path: path.to_owned(),
            reader,
            line: String::new(),
            number: 0,
            ahead: None,
            is_over: false,
            broken: 0,
            first_broken: None,
        }
    }

    /// Reads on to the next line of the log.
    fn fill(&mut self) -> Result<(), String> {
        while self.ahead.is_none() && !self.is_over {
            self.is_over = !self.read().map_err(|error| format!("{self:?}: {error}"))?;
            // What else a server prints stands beside it on standard output.
            if !self.is_over && self.line.starts_with('{') {
                self.ahead = self.parse();
                if self.ahead.is_none() {
                    self.broken += 1;
                    self.first_broken.get_or_insert(self.number);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<bool> {
        use io::Read;
        self.line.clear();
        self.number += 1;
        let len = self.reader.by_ref().take(LINE_MAX).read_line(&mut self.line)?;
        Ok(len > 0)
    }

    fn parse(&self) -> Option<(u64, Line)> {
        let line: Line = serde_json::from_str(&self.line).ok()?;
        let time = match &line {
            Line::Opened(opened) => &opened.time,
            Line::Answer(answer) => &answer.time,
            Line::Lost(lost) => &lost.time,
        };
        Some((read_time(time)?, line))
    }
}
