//! The words and entries of a master file (RFC 1035 section 5.1).
//!
//! Only the outer shape is known here: quotes, escapes, comments and
//! parentheses. What is wrong with it is collected, and reading goes on, so
//! that one slip costs one entry and not the rest of the file.
//!
//! # Stricter than the RFC
//!
//! - Parentheses do not nest (as with NSD and Knot). So one that was left
//!   open is noticed at the next one, and not at the end of the file.
//! - A quoted string ends on its line. An open quote would otherwise swallow
//!   everything up to the next quote, and each string after it be read
//!   inside out. `\010` stands for a line feed in data.

use std::ops::Range;

//----------- Entries --------------------------------------------------------

/// Reads a text entry by entry.
pub(super) struct Entries<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Entries<'t> {
    /// Begins at the top of a text, behind its byte order mark if it has one.
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Entries { text, at }
    }

    /// Reads the next entry that is not blank; says `false` at the end.
    pub(super) fn next(&mut self, entry: &mut Entry) -> bool {
        while self.at < self.text.len() {
            self.read_entry(entry);
            if !entry.words.is_empty() || !entry.damages.is_empty() {
                return true;
            }
        }
        false
    }

    fn read_entry(&mut self, entry: &mut Entry) {
        entry.clear(matches!(self.peek(), Some(b' ' | b'\t')));
        let mut open = None;
        loop {
            match (self.peek(), open) {
                (Some(b'\n'), None) => {
                    self.at += 1;
                    return;
                }
                (None, None) => return,
                (None, Some(open)) => return self.give_up(open, None, entry),
                (Some(b'('), Some(open)) => return self.give_up(open, Some(self.at), entry),
                (Some(b'('), None) => {
                    open = Some(self.at);
                    self.at += 1;
                }
                (Some(b')'), _) => {
                    if open.take().is_none() {
                        entry.damages.push(Damage::StrayParenthesis(self.at..self.at + 1));
                    }
                    self.at += 1;
                }
                (Some(b'\n'), Some(_)) => {
                    entry.head_is_over = !entry.words.is_empty();
                    self.at += 1;
                }
                (Some(b' ' | b'\t' | b'\r'), _) => self.at += 1,
                (Some(b';'), _) => self.at = line_end(self.text, self.at),
                (Some(_), _) => {
                    let word = read_word(self.text, self.at, &mut entry.damages);
                    self.at = word.end;
                    entry.push(word);
                }
            }
        }
    }

    /// Leaves an entry whose parenthesis is not closed.
    ///
    /// Where the entry was meant to end is unknown. The next line that begins
    /// in the first column most likely begins another one. No text is read
    /// more than twice for it: between `open` and here is no parenthesis.
    fn give_up(&mut self, open: usize, next: Option<usize>, entry: &mut Entry) {
        entry.damages.push(Damage::OpenParenthesis { open: open..open + 1, next });
        self.at = line_end(self.text, open);
        while self.at < self.text.len() {
            self.at += 1;
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b')') | None => {
                    self.at = line_end(self.text, self.at);
                }
                Some(_) => return,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

//----------- Entry ----------------------------------------------------------

/// An entry: a line, or several where parentheses join them.
#[derive(Default)]
pub(super) struct Entry {
    /// Its words.
    pub(super) words: Vec<Word>,

    /// Whether it begins with a blank, and so with the owner of the one before.
    pub(super) inherits_owner: bool,

    /// What is wrong with its outer shape; then its words are not to be
    /// trusted.
    pub(super) damages: Vec<Damage>,

    head: Range<usize>,
    head_is_over: bool,
}

impl Entry {
    /// Returns where it is written: its words on its first line.
    pub(super) fn head(&self) -> Range<usize> {
        self.head.clone()
    }

    fn push(&mut self, word: Word) {
        if self.words.is_empty() {
            self.head = word.range();
        } else if !self.head_is_over {
            self.head.end = word.end;
        }
        self.words.push(word);
    }

    fn clear(&mut self, inherits_owner: bool) {
        self.words.clear();
        self.damages.clear();
        self.inherits_owner = inherits_owner;
        self.head_is_over = false;
    }
}

//----------- Word -----------------------------------------------------------

/// A word of an entry, with or without quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// The offset of the first octet, that of the quote where it has one.
    pub(super) start: usize,

    /// The offset behind the last octet.
    pub(super) end: usize,

    /// Whether it stands in quotes.
    pub(super) is_quoted: bool,
}

impl Word {
    /// Returns where it is written.
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Returns its text without the quotes, with the escapes.
    pub(super) fn text(self, text: &str) -> &str {
        let quote = usize::from(self.is_quoted);
        &text[self.start + quote..self.end - quote]
    }
}

/// Reads the words of a text that must be part of one entry.
pub(super) fn read_line(text: &str) -> Result<Vec<Word>, &'static str> {
    let mut words = Vec::new();
    let mut damages = Vec::new();
    let mut at = 0;
    while let Some(&octet) = text.as_bytes().get(at) {
        match octet {
            b' ' | b'\t' => at += 1,
            b'\r' | b'\n' => return Err("a line break"),
            b'(' | b')' => return Err("a parenthesis outside of quotes"),
            b';' => return Err("a semicolon outside of quotes, which begins a comment"),
            _ => {
                let word = read_word(text, at, &mut damages);
                at = word.end;
                words.push(word);
            }
        }
    }
    match damages.first() {
        Some(damage) => Err(damage.name()),
        None => Ok(words),
    }
}

/// Reads the word at `at`, where neither blank nor parenthesis is.
fn read_word(text: &str, at: usize, damages: &mut Vec<Damage>) -> Word {
    let octets = text.as_bytes();
    let opens = octets[at] == b'"';
    let mut end = at + usize::from(opens);
    while let Some(&octet) = octets.get(end) {
        match octet {
            b'"' if opens => return Word { start: at, end: end + 1, is_quoted: true },
            b'"' | b' ' | b'\t' | b';' | b'(' | b')' if !opens => break,
            b'\n' => break,
            b'\r' if !opens || octets.get(end + 1) == Some(&b'\n') => break,
            b'\\' if matches!(octets.get(end + 1), None | Some(b'\n' | b'\r')) => {
                damages.push(Damage::LooseBackslash(end..end + 1));
            }
            b'\\' if octets[end + 1] >= b' ' => end += 1,
            0..b' ' | 0x7f if octet != b'\t' => note_control(end, damages),
            _ => {}
        }
        end += 1;
    }
    if opens {
        damages.push(Damage::OpenQuote(at..end));
    }
    Word { start: at, end, is_quoted: false }
}

/// Notes a control character; the first speaks for all of its entry.
fn note_control(at: usize, damages: &mut Vec<Damage>) {
    if !damages.iter().any(|damage| matches!(damage, Damage::Control(_))) {
        damages.push(Damage::Control(at..at + 1));
    }
}

fn line_end(text: &str, at: usize) -> usize {
    text.as_bytes()[at..]
        .iter()
        .position(|&octet| octet == b'\n')
        .map_or(text.len(), |len| at + len)
}

/// Returns a text for a message: short, and safe to print.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut out: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    // Backslashes are the operator's own; what he wrote is to be found again.
    format!("`{}`", out.replace("\\\\", "\\").replace("\\\"", "\""))
}

//----------- Damage ---------------------------------------------------------

/// What is wrong with the outer shape of an entry, and where.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    /// A control character; data holds it as `\DDD`.
    Control(Range<usize>),

    /// A backslash at the end of a line.
    LooseBackslash(Range<usize>),

    /// A parenthesis that is not closed before the one at `next`, or at all.
    OpenParenthesis { open: Range<usize>, next: Option<usize> },

    /// A quote that is not closed on its line.
    OpenQuote(Range<usize>),

    /// A closing parenthesis without an opening one.
    StrayParenthesis(Range<usize>),
}

impl Damage {
    /// Returns where it is.
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Damage::Control(range)
            | Damage::LooseBackslash(range)
            | Damage::OpenParenthesis { open: range, .. }
            | Damage::OpenQuote(range)
            | Damage::StrayParenthesis(range) => range.clone(),
        }
    }

    /// Returns what was found.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Damage::Control(_) => "a control character",
            Damage::LooseBackslash(_) => "a backslash at the end of the line",
            Damage::OpenParenthesis { next: None, .. } => "a parenthesis that is never closed",
            Damage::OpenParenthesis { .. } => {
                "a parenthesis that is not closed before the next one opens"
            }
            Damage::OpenQuote(_) => "a quote that is not closed on its line",
            Damage::StrayParenthesis(_) => "a closing parenthesis without an opening one",
        }
    }

    /// Returns what to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Damage::Control(_) => "remove it; in data write it as `\\DDD`, its number in decimal",
            Damage::LooseBackslash(_) => "remove it; to continue a line use parentheses",
            Damage::OpenParenthesis { .. } => {
                "close it with `)` where the entry ends; parentheses do not nest"
            }
            Damage::OpenQuote(_) => "close it with `\"`; a line feed in data is written `\\010`",
            Damage::StrayParenthesis(_) => "remove it, or open it with `(` where the entry begins",
        }
    }
}
