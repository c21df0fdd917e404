//! Record data in presentation format.
//!
//! The formats themselves are those of the `domain` crate, whose scanner
//! trait `Words` implements: so each word has its place in the operator's
//! file, and a finding names the field that could not be read. Where
//! `domain` knows no format but carriers' zones have the type, it is here:
//! AFSDB, KX, LOC, RT, URI, SMIMEA, SPF, DLV and the times of an SOA with units.
//! Any other type is written in the generic format of RFC 3597.

use std::fmt;
use std::ops::Range;

use domain::base::charstr::CharStr;
use domain::base::iana::Rtype as DomainRtype;
use domain::base::name::{Name as DomainName, ParsedName};
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::base::scan::{ConvertSymbols, EntrySymbol, Scan, Scanner, ScannerError, Symbol};
use domain::dep::octseq::{Parser, str::Str};
use domain::rdata::{Ds, Tlsa, Txt, ZoneRecordData};
use domain::utils::base16;

use super::tokens::{Word, read_line, shown};
use crate::diag::Code;
use crate::wire::{Name, NameError, Rtype};

/// Reads one record's data, such as `10 100 5060 sbc1` of type SRV.
///
/// Returns uncompressed wire format. Relative names take the origin. The
/// text is data and nothing else: line breaks, and parentheses and comments
/// outside of quotes, are refused. The error is a lower-case fragment for
/// the operator.
pub(super) fn from_text(rtype: Rtype, text: &str, origin: &Name) -> Result<Box<[u8]>, String> {
    let words = read_line(text)
        .map_err(|found| format!("expected the data of one {rtype} record, found {found}"))?;
    let data = Data { rtype, text, words: &words, end: text.len(), origin, apex: origin };
    match data.read() {
        Ok(read) => Ok(read.rdata),
        Err(problem) => Err(format!("{}; {}", problem.message, problem.help)),
    }
}

//----------- Data -----------------------------------------------------------

/// The words of an entry that hold its data.
pub(super) struct Data<'a> {
    /// The record's type.
    pub(super) rtype: Rtype,

    /// The text that the words are in.
    pub(super) text: &'a str,

    /// The words.
    pub(super) words: &'a [Word],

    /// Where a word that is missing was expected.
    pub(super) end: usize,

    /// What relative names take.
    pub(super) origin: &'a Name,

    /// The zone's name, to notice a missing final dot.
    pub(super) apex: &'a Name,
}

/// Data that was read.
pub(super) struct ReadData {
    /// Uncompressed wire format.
    pub(super) rdata: Box<[u8]>,

    /// Words that look as if they lack their final dot.
    pub(super) dotless: Vec<(Word, Name)>,
}

impl Data<'_> {
    /// Reads the data.
    pub(super) fn read(&self) -> Result<ReadData, Problem> {
        let mut words = Words { data: self, at: 0, dotless: Vec::new() };
        let read = words.read();
        let at = words.at;
        let rdata = read.map_err(|error| self.problem(&error, at))?;
        if rdata.len() > RDATA_MAX {
            let message = format!(
                "expected at most {RDATA_MAX} octets of {} data, found {}",
                self.rtype,
                rdata.len()
            );
            return Err(Problem::bad_rdata(self.place(0), message, "shorten the data"));
        }
        Ok(ReadData { rdata: rdata.into(), dotless: words.dotless })
    }

    /// Tells what an error of the scanner means to the operator.
    ///
    /// `taken` counts the words that were taken, the bad one among them.
    fn problem(&self, error: &ScanError, taken: usize) -> Problem {
        let index = match error {
            ScanError::End | ScanError::NoFormat | ScanError::Trailing => taken,
            _ => taken.saturating_sub(1),
        };
        let found = match self.words.get(index) {
            Some(word) => shown(word.text(self.text)),
            None => "the end of the entry".to_owned(),
        };
        let (place, help) = (self.place(index), self.help());
        let expected = match error {
            ScanError::NoFormat => format!("data of type {} in the generic format", self.rtype),
            ScanError::Trailing => format!("the end of the entry after the {} data", self.rtype),
            _ => self.expected(index),
        };
        let message = format!("expected {expected}, found {found}");
        match error {
            ScanError::End | ScanError::NoFormat | ScanError::Trailing => {
                Problem::bad_rdata(place, message, help)
            }
            // What the field is says it all.
            ScanError::Custom(_) if self.has_plain_field(index) => {
                Problem::bad_rdata(place, message, help)
            }
            ScanError::Name(bad) => {
                let problem = Problem::name(place, &found, *bad);
                Problem { message: format!("{message}: {bad}"), ..problem }
            }
            error => Problem::bad_rdata(place, format!("{message}: {error}"), help),
        }
    }

    /// Returns what the word at `index` should be.
    fn expected(&self, index: usize) -> String {
        match self.field(index) {
            _ if self.is_generic() && index == 1 => "the number of octets that follow".to_owned(),
            _ if self.is_generic() => "octets in hexadecimal".to_owned(),
            Some((name, kind)) => format!("the {name} ({})", kind.meaning()),
            None => format!("data of type {}", self.rtype),
        }
    }

    /// Returns where the word at `index` is, or was expected.
    fn place(&self, index: usize) -> Range<usize> {
        self.words.get(index).map_or(self.end..self.end, |word| word.range())
    }

    /// Says whether the data is in the generic format of RFC 3597.
    fn is_generic(&self) -> bool {
        self.words.first().is_some_and(|word| is_generic_mark(*word, self.text))
    }

    /// Says whether the meaning of the field at `index` tells all about it.
    fn has_plain_field(&self, index: usize) -> bool {
        let field = self.field(index);
        !self.is_generic() && field.is_some_and(|(_, kind)| kind != Kind::Parameters)
    }

    /// Returns name and kind of the field at `index`.
    fn field(&self, index: usize) -> Option<(&'static str, Kind)> {
        let fields = fields(self.rtype)?;
        Some(fields[index.min(fields.len() - 1)])
    }

    /// Returns the shape that the data should have.
    fn help(&self) -> String {
        match fields(self.rtype) {
            _ if self.is_generic() => {
                "write generic data as `\\# length octets` (RFC 3597 section 5)".to_owned()
            }
            Some(fields) => {
                let names: Vec<_> = fields.iter().map(|(name, _)| name.replace(' ', "-")).collect();
                format!("write {} data as `{}`", self.rtype, names.join(" "))
            }
            None => format!(
                "write the data of type {} as `\\# length octets` (RFC 3597 section 5)",
                self.rtype
            ),
        }
    }
}

/// The most octets that RDATA can have: its length field has 16 bits.
const RDATA_MAX: usize = 65_535;

/// The most octets of one SVCB parameter.
///
/// An address `::` and its comma take 3 octets here and become 16; below
/// this limit no list of them exceeds the 65535 that `domain` counts on.
const PARAMETER_MAX: usize = 12_000;

//----------- Problem --------------------------------------------------------

/// What is wrong with an entry, before it is a finding.
#[derive(Debug)]
pub(super) struct Problem {
    /// What is wrong.
    pub(super) code: Code,

    /// Where, in the text of the entry.
    pub(super) range: Range<usize>,

    /// What was found and what was expected.
    pub(super) message: String,

    /// What to do.
    pub(super) help: String,
}

impl Problem {
    /// Returns the problem of a word that is no domain name.
    pub(super) fn name(range: Range<usize>, found: &str, error: BadName) -> Self {
        let (code, help) = match error {
            BadName::Name(NameError::LabelTooLong) => {
                (Code::LabelTooLong, "shorten the label: 63 octets is the most DNS can carry")
            }
            BadName::Name(NameError::NameTooLong) => {
                (Code::NameTooLong, "shorten the name: 255 octets is the most DNS can carry")
            }
            BadName::Name(NameError::BadEscape) => {
                (Code::BadName, "write a backslash as `\\\\`, or an octet as `\\DDD` in decimal")
            }
            BadName::Name(_) => (Code::BadName, "write labels with single dots between them"),
            BadName::NonAscii => {
                (Code::BadName, "write an international name in its ASCII form, `xn--…`")
            }
            BadName::Quoted => (Code::BadName, "remove the quotes"),
        };
        let message = format!("expected a domain name, found {found}: {error}");
        Problem { code, range, message, help: help.to_owned() }
    }

    fn bad_rdata(range: Range<usize>, message: String, help: impl Into<String>) -> Self {
        Problem { code: Code::BadRdata, range, message, help: help.into() }
    }
}

/// Reads a word as a domain name.
pub(super) fn read_name(word: Word, text: &str, origin: &Name) -> Result<Name, BadName> {
    let text = word.text(text);
    if word.is_quoted {
        return Err(BadName::Quoted);
    }
    if !text.is_ascii() {
        return Err(BadName::NonAscii);
    }
    Name::parse(text, origin).map_err(BadName::Name)
}

/// Says whether a word was probably meant to end in a dot.
///
/// That is a relative name whose text ends with the zone's own name already:
/// `sbc1.example.com` in the zone `example.com.`.
pub(super) fn lacks_dot(word: Word, text: &str, name: &Name, origin: &Name, apex: &Name) -> bool {
    let text = word.text(text);
    let (len, origin_len) = (name.as_wire().len(), origin.as_wire().len());
    let Some(relative) = len.checked_sub(origin_len) else { return false };
    if *apex == Name::root() || relative < apex.as_wire().len() - 1 || text.ends_with('.') {
        return false;
    }
    let written = [&name.as_wire()[..relative], &[0]].concat();
    Name::from_wire(&written).is_ok_and(|written| written.is_within(apex))
}

/// Replaces the escapes of a text by what they stand for.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    if !text.contains('\\') {
        return Some(text.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(symbol) = Symbol::from_chars(&mut chars).ok()? {
        match symbol {
            Symbol::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            Symbol::SimpleEscape(octet) | Symbol::DecimalEscape(octet) => out.push(octet),
        }
    }
    Some(out)
}

/// Reads seconds, with or without units: `3600`, `1h30m` (as BIND writes them).
///
/// A number too large to count is `u64::MAX`.
pub(super) fn read_seconds(text: &str) -> Option<u64> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (mut total, mut number, mut has_digits) = (0u64, 0u64, false);
    for octet in text.bytes() {
        let unit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
                has_digits = true;
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        if !has_digits {
            return None;
        }
        total = total.saturating_add(number.saturating_mul(unit));
        (number, has_digits) = (0, false);
    }
    Some(total.saturating_add(number))
}

/// Says whether a word is `\#`.
fn is_generic_mark(word: Word, text: &str) -> bool {
    !word.is_quoted && word.text(text) == "\\#"
}

//----------- Words ----------------------------------------------------------

/// The scanner that `domain` reads record data from.
struct Words<'a> {
    data: &'a Data<'a>,

    /// How many words were taken.
    at: usize,

    dotless: Vec<(Word, Name)>,
}

impl Words<'_> {
    /// Reads all words as the data of one record.
    fn read(&mut self) -> Result<Vec<u8>, ScanError> {
        let rdata = match self.scan_opt_unknown_marker()? {
            true => self.read_generic()?,
            false => self.read_typed()?,
        };
        if self.continues() {
            return Err(ScanError::Trailing);
        }
        Ok(rdata)
    }

    /// Reads the generic format of RFC 3597 section 5.
    ///
    /// Of a type whose format is known, it must be that format, without name
    /// compression.
    fn read_generic(&mut self) -> Result<Vec<u8>, ScanError> {
        let len = u16::scan(self)?;
        let rdata = self.convert_entry(base16::SymbolConverter::new())?;
        if rdata.len() != usize::from(len) {
            return Err(ScanError::Custom("not as many octets as the length says"));
        }
        let rtype = DomainRtype::from_int(self.data.rtype.0);
        let mut parser = Parser::from_ref(rdata.as_slice());
        let parsed = ZoneRecordData::<_, ParsedName<_>>::parse_rdata(rtype, &mut parser);
        let is_whole = parser.remaining() == 0;
        match parsed {
            Ok(Some(parsed)) if is_whole && compose(&parsed) == rdata => Ok(rdata),
            Ok(None) => Ok(rdata),
            _ => Err(ScanError::Custom("octets that are no data of this type")),
        }
    }

    /// Reads the format of the type.
    fn read_typed(&mut self) -> Result<Vec<u8>, ScanError> {
        let rdata = match self.data.rtype {
            Rtype::SOA => self.read_soa()?,
            Rtype::TXT | SPF => compose(&Txt::scan(self)?),
            AFSDB | RT | KX => {
                let preference = u16::scan(self)?;
                [&preference.to_be_bytes(), self.scan_name()?.as_slice()].concat()
            }
            LOC => self.read_location()?,
            SMIMEA => compose(&Tlsa::scan(self)?),
            DLV => compose(&Ds::scan(self)?),
            URI => {
                let (priority, weight) = (u16::scan(self)?, u16::scan(self)?);
                let target = self.scan_octets()?;
                [&priority.to_be_bytes(), &weight.to_be_bytes(), target.as_slice()].concat()
            }
            rtype if fields(rtype).is_none() => return Err(ScanError::NoFormat),
            rtype => compose(&ZoneRecordData::scan(DomainRtype::from_int(rtype.0), self)?),
        };
        // Data of many words may end early for the library, and be empty.
        let fields = fields(self.data.rtype).unwrap_or(&[]);
        let needed = fields.iter().filter(|(_, kind)| !kind.is_optional()).count();
        match self.at < needed {
            true => Err(ScanError::End),
            false => Ok(rdata),
        }
    }

    /// Reads an SOA, in which BIND's users write times with units.
    fn read_soa(&mut self) -> Result<Vec<u8>, ScanError> {
        let mut rdata = self.scan_name()?.into_octets();
        rdata.extend_from_slice(self.scan_name()?.as_slice());
        rdata.extend_from_slice(&u32::scan(self)?.to_be_bytes());
        for _ in 0..4 {
            let seconds = read_seconds(self.next()?).and_then(|seconds| seconds.try_into().ok());
            let seconds: u32 = seconds.ok_or(ScanError::Custom("no time"))?;
            rdata.extend_from_slice(&seconds.to_be_bytes());
        }
        Ok(rdata)
    }

    /// Reads a LOC (RFC 1876): where, how high, and optionally how large and
    /// how precise.
    fn read_location(&mut self) -> Result<Vec<u8>, ScanError> {
        let latitude = self.read_angle(["S", "N"], 90)?;
        let longitude = self.read_angle(["W", "E"], 180)?;
        let altitude = self.read_centimetres()? + 10_000_000;
        let altitude = u32::try_from(altitude).map_err(|_| BAD_LOCATION)?;
        // The defaults are 1 m, 10 km and 10 m (RFC 1876 section 3).
        let mut precisions = [0x12, 0x16, 0x13];
        for precision in &mut precisions {
            if self.continues() {
                *precision = power_of_ten(self.read_centimetres()?).ok_or(BAD_LOCATION)?;
            }
        }
        let mut rdata = vec![0];
        rdata.extend(precisions);
        for number in [latitude, longitude, altitude] {
            rdata.extend(number.to_be_bytes());
        }
        Ok(rdata)
    }

    /// Reads degrees, and optionally minutes and seconds, up to the letter of
    /// the hemisphere; returns thousandths of a second, 2³¹ being none.
    fn read_angle(&mut self, letters: [&str; 2], degrees_max: i64) -> Result<u32, ScanError> {
        const DEGREE: i64 = 3_600_000;
        let mut angle = 0;
        let mut units = [(DEGREE, 0, degrees_max), (60_000, 0, 59), (1, 3, 59_999)].into_iter();
        loop {
            let text = self.next()?;
            let letter = letters.iter().position(|letter| text.eq_ignore_ascii_case(letter));
            match (letter, units.next()) {
                (Some(_), Some((DEGREE, ..))) | (None, None) => return Err(BAD_LOCATION),
                (Some(_), _) if angle > degrees_max * DEGREE => return Err(BAD_LOCATION),
                // At most 180 degrees, which is 648000000.
                (Some(side), _) => {
                    return Ok((1u32 << 31).wrapping_add_signed(match side {
                        0 => -(angle as i32),
                        _ => angle as i32,
                    }));
                }
                (None, Some((unit, decimals, max))) => {
                    let number = read_decimal(text, decimals).filter(|n| (0..=max).contains(n));
                    angle += number.ok_or(BAD_LOCATION)? * unit;
                }
            }
        }
    }

    /// Reads metres with up to two decimals.
    fn read_centimetres(&mut self) -> Result<i64, ScanError> {
        let text = self.next()?;
        read_decimal(text.strip_suffix(['m', 'M']).unwrap_or(text), 2).ok_or(BAD_LOCATION)
    }

    fn next_word(&mut self) -> Result<Word, ScanError> {
        let word = self.data.words.get(self.at).ok_or(ScanError::End)?;
        self.at += 1;
        Ok(*word)
    }

    fn next(&mut self) -> Result<&str, ScanError> {
        Ok(self.next_word()?.text(self.data.text))
    }

    /// Says whether the next word follows the last without a blank.
    fn next_is_joined(&self) -> bool {
        let next = self.data.words.get(self.at);
        next.is_some_and(|next| self.at > 0 && next.start == self.data.words[self.at - 1].end)
    }

    /// Hands the symbols of the next word to a converter.
    fn convert(
        &mut self,
        out: &mut Vec<u8>,
        mut process: impl FnMut(Symbol, &mut Vec<u8>) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.scan_symbols(|symbol| process(symbol, out))
    }
}

/// Reads a number with up to some decimals, in units of the last of them.
fn read_decimal(text: &str, decimals: usize) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    // Ten digits are more than any field holds, and their sums fit.
    if whole.is_empty() || whole.len() > 10 || part.len() > decimals {
        return None;
    }
    let all = format!("{whole}{part:0<decimals$}");
    all.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| all.parse::<i64>().ok())?
        .map(|n| sign * n)
}

/// Returns the form of RFC 1876 section 2: a digit and a power of ten.
fn power_of_ten(mut number: i64) -> Option<u8> {
    let mut power = 0;
    while number > 9 {
        number /= 10;
        power += 1;
    }
    (number >= 0 && power <= 9).then_some((number as u8) << 4 | power)
}

/// Returns the wire format; names are not compressed in a plain vector.
fn compose(data: &impl ComposeRecordData) -> Vec<u8> {
    let mut out = Vec::new();
    // A vector takes whatever is appended: its error type has no values.
    let Ok(()) = data.compose_rdata(&mut out);
    out
}

/// Refuses data that is too long already, at the word that makes it so.
fn check_len(data: &[u8]) -> Result<(), ScanError> {
    match data.len() {
        0..=RDATA_MAX => Ok(()),
        _ => Err(ScanError::LongData),
    }
}

impl Scanner for Words<'_> {
    type Octets = Vec<u8>;
    type OctetsBuilder = Vec<u8>;
    type Name = DomainName<Vec<u8>>;
    type Error = ScanError;

    fn has_space(&self) -> bool {
        !self.next_is_joined()
    }

    fn continues(&mut self) -> bool {
        self.at < self.data.words.len()
    }

    fn scan_symbols<F>(&mut self, mut op: F) -> Result<(), ScanError>
    where
        F: FnMut(Symbol) -> Result<(), ScanError>,
    {
        let mut chars = self.next()?.chars();
        while let Some(symbol) =
            Symbol::from_chars(&mut chars).map_err(|_| ScanError::Custom(BAD_ESCAPE))?
        {
            op(symbol)?;
        }
        Ok(())
    }

    fn scan_entry_symbols<F>(&mut self, mut op: F) -> Result<(), ScanError>
    where
        F: FnMut(EntrySymbol) -> Result<(), ScanError>,
    {
        loop {
            self.scan_symbols(|symbol| op(symbol.into()))?;
            op(EntrySymbol::EndOfToken)?;
            if !self.continues() {
                return Ok(());
            }
        }
    }

    fn convert_token<C: ConvertSymbols<Symbol, ScanError>>(
        &mut self,
        mut convert: C,
    ) -> Result<Vec<u8>, ScanError> {
        let mut out = Vec::new();
        self.convert(&mut out, |symbol, out| {
            out.extend_from_slice(convert.process_symbol(symbol)?.unwrap_or_default());
            Ok(())
        })?;
        out.extend_from_slice(convert.process_tail()?.unwrap_or_default());
        Ok(out)
    }

    fn convert_entry<C: ConvertSymbols<EntrySymbol, ScanError>>(
        &mut self,
        mut convert: C,
    ) -> Result<Vec<u8>, ScanError> {
        let mut out = Vec::new();
        while self.continues() {
            self.convert(&mut out, |symbol, out| {
                out.extend_from_slice(convert.process_symbol(symbol.into())?.unwrap_or_default());
                Ok(())
            })?;
            check_len(&out)?;
        }
        out.extend_from_slice(convert.process_tail()?.unwrap_or_default());
        Ok(out)
    }

    fn scan_octets(&mut self) -> Result<Vec<u8>, ScanError> {
        unescape(self.next()?).ok_or(ScanError::Custom(BAD_ESCAPE))
    }

    fn scan_svcb_octets(&mut self) -> Result<Vec<u8>, ScanError> {
        // A value in quotes is a word of its own, joined to its key.
        let mut octets = self.scan_octets()?;
        while self.next_is_joined() {
            octets.extend(self.scan_octets()?);
        }
        match octets.len() {
            0..=PARAMETER_MAX => Ok(octets),
            _ => Err(ScanError::Custom("a parameter of more than 12000 octets")),
        }
    }

    fn scan_ascii_str<F, T>(&mut self, op: F) -> Result<T, ScanError>
    where
        F: FnOnce(&str) -> Result<T, ScanError>,
    {
        let octets = self.scan_octets()?;
        match str::from_utf8(&octets) {
            Ok(text) if text.is_ascii() => op(text),
            _ => Err(ScanError::Custom("characters that are not ASCII")),
        }
    }

    fn scan_name(&mut self) -> Result<DomainName<Vec<u8>>, ScanError> {
        let word = self.next_word()?;
        let Data { text, origin, apex, .. } = *self.data;
        let name = read_name(word, text, origin).map_err(ScanError::Name)?;
        let wire = name.as_wire().to_vec();
        if lacks_dot(word, text, &name, origin, apex) {
            self.dotless.push((word, name));
        }
        DomainName::from_octets(wire).map_err(|_| ScanError::Custom("no domain name"))
    }

    fn scan_charstr(&mut self) -> Result<CharStr<Vec<u8>>, ScanError> {
        CharStr::from_octets(self.scan_octets()?).map_err(|_| ScanError::LongString)
    }

    fn scan_string(&mut self) -> Result<Str<Vec<u8>>, ScanError> {
        Str::from_utf8(self.scan_octets()?)
            .map_err(|_| ScanError::Custom("octets that are not UTF-8"))
    }

    fn scan_charstr_entry(&mut self) -> Result<Vec<u8>, ScanError> {
        let mut out = Vec::new();
        loop {
            let octets = self.scan_octets()?;
            out.push(u8::try_from(octets.len()).map_err(|_| ScanError::LongString)?);
            out.extend_from_slice(&octets);
            check_len(&out)?;
            if !self.continues() {
                return Ok(out);
            }
        }
    }

    fn scan_opt_unknown_marker(&mut self) -> Result<bool, ScanError> {
        let is_generic = self.at == 0 && self.data.is_generic();
        self.at += usize::from(is_generic);
        Ok(is_generic)
    }

    fn octets_builder(&mut self) -> Result<Vec<u8>, ScanError> {
        Ok(Vec::new())
    }
}

const BAD_LOCATION: ScanError = ScanError::Custom("no location");

const BAD_ESCAPE: &str = "a backslash without three digits up to 255 or a character";

//============ Formats =======================================================

// Types for which `Rtype` has no constant.
const AFSDB: Rtype = Rtype(18);
const RT: Rtype = Rtype(21);
const LOC: Rtype = Rtype(29);
const KX: Rtype = Rtype(36);
const SMIMEA: Rtype = Rtype(53);
const SPF: Rtype = Rtype(99);
const URI: Rtype = Rtype(256);
const DLV: Rtype = Rtype(32_769);

/// What a field of record data holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Algorithm,
    Base32,
    Base64,
    Date,
    Gateway,
    Hex,
    Ipv4,
    Ipv6,
    Location,
    Name,
    Parameters,
    Salt,
    Tag,
    Text,
    Time,
    Type,
    Types,
    U8,
    U16,
    U32,
}

impl Kind {
    /// Returns what is expected of such a field.
    fn meaning(self) -> &'static str {
        match self {
            Kind::Algorithm => "its number or mnemonic",
            Kind::Base32 => "octets in base 32",
            Kind::Base64 => "octets in base 64",
            Kind::Date => "YYYYMMDDHHmmSS or seconds since 1970",
            Kind::Gateway => "an address, a domain name or `.`, as its type says",
            Kind::Hex => "octets in hexadecimal",
            Kind::Ipv4 => "an IPv4 address",
            Kind::Ipv6 => "an IPv6 address",
            Kind::Location => "as in 52 22 23.5 N 4 53 32 E -2m 10m 100m 10m",
            Kind::Name => "a domain name",
            Kind::Parameters => "as `key=value`",
            Kind::Salt => "octets in hexadecimal or `-`",
            Kind::Tag => "letters and digits",
            Kind::Text => "a text of at most 255 octets, in quotes if it has blanks",
            Kind::Time => "seconds up to 4294967295, or with units as in 1h30m",
            Kind::Type => "a record type",
            Kind::Types => "record types",
            Kind::U8 => "a number from 0 to 255",
            Kind::U16 => "a number from 0 to 65535",
            Kind::U32 => "a number from 0 to 4294967295",
        }
    }

    /// Says whether data may end before it.
    fn is_optional(self) -> bool {
        matches!(self, Kind::Parameters | Kind::Types)
    }
}

/// Returns the fields of a type's presentation format, in order.
///
/// The last one stands for all words that follow it, too.
fn fields(rtype: Rtype) -> Option<&'static [(&'static str, Kind)]> {
    use Kind::*;
    FORMATS.iter().find(|(number, _)| *number == rtype.0).map(|(_, fields)| *fields).or({
        // One name each: MD, MF, MB, MG, MR.
        matches!(rtype.0, 3 | 4 | 7..=9).then_some(&[("host", Name)])
    })
}

/// The fields of the types that have a format here.
#[rustfmt::skip]
const FORMATS: &[(u16, &[(&str, Kind)])] = {
    use Kind::*;
    &[
        (1, &[("address", Ipv4)]),
        (2, &[("server", Name)]),
        (5, &[("target", Name)]),
        (6, &[("primary", Name), ("contact", Name), ("serial", U32), ("refresh", Time),
            ("retry", Time), ("expire", Time), ("minimum", Time)]),
        (12, &[("target", Name)]),
        (13, &[("CPU", Text), ("OS", Text)]),
        (14, &[("mailbox", Name), ("error mailbox", Name)]),
        (15, &[("preference", U16), ("server", Name)]),
        (16, &[("text", Text)]),
        (17, &[("mailbox", Name), ("text name", Name)]),
        (18, &[("subtype", U16), ("host", Name)]),
        (21, &[("preference", U16), ("host", Name)]),
        (28, &[("address", Ipv6)]),
        (29, &[("location", Location)]),
        (33, &[("priority", U16), ("weight", U16), ("port", U16), ("target", Name)]),
        (35, &[("order", U16), ("preference", U16), ("flags", Text), ("service", Text),
            ("regexp", Text), ("replacement", Name)]),
        (36, &[("preference", U16), ("exchanger", Name)]),
        (39, &[("target", Name)]),
        (43, DS),
        (44, &[("algorithm", Algorithm), ("fingerprint type", Algorithm), ("fingerprint", Hex)]),
        (45, &[("precedence", U8), ("gateway type", U8), ("algorithm", U8), ("gateway", Gateway)]),
        (46, &[("type covered", Type), ("algorithm", Algorithm), ("labels", U8),
            ("original TTL", U32), ("expiration", Date), ("inception", Date), ("key tag", U16),
            ("signer", Name), ("signature", Base64)]),
        (47, &[("next name", Name), ("types", Types)]),
        (48, DNSKEY),
        (50, &[("hash algorithm", Algorithm), ("flags", U8), ("iterations", U16), ("salt", Salt),
            ("next hash", Base32), ("types", Types)]),
        (51, &[("hash algorithm", Algorithm), ("flags", U8), ("iterations", U16), ("salt", Salt)]),
        (52, TLSA),
        (53, TLSA),
        (59, DS),
        (60, DNSKEY),
        (61, &[("key", Base64)]),
        (63, &[("serial", U32), ("scheme", Algorithm), ("hash algorithm", Algorithm),
            ("digest", Hex)]),
        (64, SVCB),
        (65, SVCB),
        (99, &[("text", Text)]),
        (256, &[("priority", U16), ("weight", U16), ("target", Text)]),
        (257, &[("flags", U8), ("tag", Tag), ("value", Text)]),
        (32_769, DS),
    ]
};

const DNSKEY: &[(&str, Kind)] = &[
    ("flags", Kind::U16),
    ("protocol", Kind::U8),
    ("algorithm", Kind::Algorithm),
    ("key", Kind::Base64),
];

const DS: &[(&str, Kind)] = &[
    ("key tag", Kind::U16),
    ("algorithm", Kind::Algorithm),
    ("digest type", Kind::Algorithm),
    ("digest", Kind::Hex),
];

const SVCB: &[(&str, Kind)] =
    &[("priority", Kind::U16), ("target", Kind::Name), ("parameters", Kind::Parameters)];

const TLSA: &[(&str, Kind)] = &[
    ("usage", Kind::Algorithm),
    ("selector", Kind::Algorithm),
    ("matching type", Kind::Algorithm),
    ("data", Kind::Hex),
];

//============ Errors ========================================================

/// Why a word is not a domain name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BadName {
    /// It breaks the rules of names.
    Name(NameError),

    /// It has characters that are not ASCII.
    NonAscii,

    /// It stands in quotes.
    Quoted,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::NonAscii => f.write_str("a character that is not ASCII"),
            Self::Quoted => f.write_str("a text in quotes"),
        }
    }
}

/// Why data could not be read.
#[derive(Clone, Copy, Debug)]
enum ScanError {
    /// The library's reason.
    Custom(&'static str),

    /// A word is missing.
    End,

    /// The data has more than 65535 octets.
    LongData,

    /// A string has more than 255 octets.
    LongString,

    /// A word is not a domain name.
    Name(BadName),

    /// The type has no format here, and the data is not generic.
    NoFormat,

    /// A word is left over.
    Trailing,
}

impl ScannerError for ScanError {
    fn custom(message: &'static str) -> Self {
        Self::Custom(message)
    }

    fn end_of_entry() -> Self {
        Self::End
    }

    fn short_buf() -> Self {
        Self::Custom("too much data")
    }

    fn trailing_tokens() -> Self {
        Self::Trailing
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Custom(message) => f.write_str(message),
            Self::End => f.write_str("a missing word"),
            Self::LongData => write!(f, "more than {RDATA_MAX} octets of data"),
            Self::LongString => f.write_str("a text of more than 255 octets"),
            Self::Name(error) => error.fmt(f),
            Self::NoFormat => f.write_str("a format that is not known"),
            Self::Trailing => f.write_str("a word too many"),
        }
    }
}

impl std::error::Error for ScanError {}

//============ Tests =========================================================

#[cfg(test)]
mod tests;
