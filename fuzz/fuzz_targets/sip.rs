//! `cargo fuzz` of one target; what it does stands in `tests/fuzz/targets.rs`.

#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("sip", data));
