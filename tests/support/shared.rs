//! Data that others made and that stay out of this repository: they are in a
//! folder beside it.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::server::skip;

/// Unpacks a file below `../shared`; without it the test is to end, and fails
/// where every test has to run.
pub fn octets(file: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(file);
    let Ok(packed) = File::open(&path) else {
        skip(&format!("there is no {}", path.display()));
        return None;
    };
    let mut octets = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut octets).unwrap();
    Some(octets)
}

/// Unpacks a text.
pub fn text(file: &str) -> Option<String> {
    octets(file).map(|octets| String::from_utf8(octets).unwrap())
}
