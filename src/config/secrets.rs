//! The file with the secrets of DNS cookies.
//!
//! A line a secret, of 32 hexadecimal digits; empty lines and lines that begin
//! with `#` do not count. The text is not kept among the sources: a finding
//! that showed the line would carry a secret into logs. Findings stand at the
//! key that names the file instead.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::text::unreadable;
use crate::diag::{Code, Finding, Located, Report};
use crate::wire::CookieSecrets;

/// Those besides the file's owner and group who may read or write it.
const OTHERS: u32 = 0o006;

/// Reads the file that `[server] cookie-secrets` names.
///
/// There is nothing where it cannot be used; the reason is reported.
pub fn read_cookie_secrets(path: &Located<PathBuf>, report: &mut Report) -> Option<CookieSecrets> {
    let (text, metadata) = match read(path) {
        Ok(read) => read,
        Err(error) => {
            report.add(unreadable(&path.value, &error));
            return None;
        }
    };
    add_if_readable(path, &metadata, "the secrets", report);
    let secrets = secrets(&text, path, report)?;
    Some(CookieSecrets::new(&secrets))
}

/// Reports that others than a file's owner and group can use what is in it.
pub(super) fn add_if_readable(
    path: &Located<PathBuf>,
    metadata: &fs::Metadata,
    what: &str,
    report: &mut Report,
) {
    if metadata.permissions().mode() & OTHERS != 0 {
        let message = format!("everybody on this host can use {what} in this file");
        let help = format!("take the permission from others: chmod o= {}", path.value.display());
        add(Code::SecretReadable, path, &message, &help, report);
    }
}

/// Reads the text, and who may read it, of one and the same file.
fn read(path: &Located<PathBuf>) -> std::io::Result<(String, fs::Metadata)> {
    let mut file = File::open(&path.value)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, file.metadata()?))
}

/// Reads the secrets in a text, of which the first signs.
fn secrets(text: &str, path: &Located<PathBuf>, report: &mut Report) -> Option<Vec<[u8; 16]>> {
    let mut secrets = Vec::new();
    let mut is_sound = true;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (code, message, help) = match parse(line) {
            Some(secret) if !secrets.contains(&secret) => {
                secrets.push(secret);
                continue;
            }
            Some(_) => (Code::DuplicateValue, "repeats a secret", "remove the line"),
            None => (
                Code::BadValue,
                "is not a secret of 32 hexadecimal digits",
                "write one of `openssl rand -hex 16`",
            ),
        };
        is_sound = false;
        add(code, path, &format!("line {number} of this file {message}"), help, report);
    }
    let (max, count) = (CookieSecrets::MAX, secrets.len());
    if count > max {
        let message = format!("{count} secrets in this file, at most {max}");
        add(Code::TooMany, path, &message, "remove those that no server signs with", report);
    } else if count == 0 && is_sound {
        let help = "write one of `openssl rand -hex 16`, or remove the key";
        add(Code::EmptySet, path, "there is no secret in this file", help, report);
    }
    (is_sound && (1..=max).contains(&count)).then_some(secrets)
}

/// Reads 32 hexadecimal digits.
fn parse(line: &str) -> Option<[u8; 16]> {
    let is_secret = line.len() == 32 && line.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(line, 16).ok().filter(|_| is_secret)?;
    Some(number.to_be_bytes())
}

fn add(code: Code, path: &Located<PathBuf>, message: &str, help: &str, report: &mut Report) {
    report.add(Finding::new(code, path.span, message, help));
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::diag::Sources;

    /// Reads a text; returns the secrets and the codes of what is found.
    fn read(text: &str) -> (Option<Vec<[u8; 16]>>, Vec<Code>) {
        let span = Sources::default().add(Path::new("trunkdns.toml"), "").span(0..0);
        let mut report = Report::default();
        let secrets = secrets(text, &Located::new("cookies".into(), span), &mut report);
        (secrets, report.findings().iter().map(|finding| finding.code).collect())
    }

    const SECRET: &str = "e5e973e5a6b2a43f48E7DC849e37bfcf";

    #[test]
    fn each_line_is_a_secret_and_the_first_comes_first() {
        let text = format!("# signs\n{SECRET}\r\n\n  000102030405060708090a0b0c0d0e0f \n");
        let (secrets, findings) = read(&text);
        let [first, second] = secrets.unwrap().try_into().unwrap();
        assert_eq!(first[..4], [0xe5, 0xe9, 0x73, 0xe5]);
        assert_eq!(second, std::array::from_fn(|at| at as u8));
        assert!(findings.is_empty());
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for line in ["e5e9", "+5e973e5a6b2a43f48e7dc849e37bfcf", &SECRET.replace('e', "x")] {
            assert_eq!(read(&format!("{SECRET}\n{line}")), (None, vec![Code::BadValue]), "{line}");
        }
    }

    #[test]
    fn none_too_many_and_the_same_twice_are_refused() {
        assert_eq!(read("# none\n"), (None, vec![Code::EmptySet]));
        assert_eq!(read(&format!("{SECRET}\n{SECRET}")), (None, vec![Code::DuplicateValue]));
        let four: String = (0..4).map(|at| format!("{at:032x}\n")).collect();
        assert_eq!(read(&four), (None, vec![Code::TooMany]));
    }
}
