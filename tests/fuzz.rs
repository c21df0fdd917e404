//! The fuzz targets as property tests on stable Rust: the seeds as they are,
//! and then what a deterministic mutator makes of them.
//!
//! `TRUNKDNS_FUZZ_RUNS=1000000 cargo test --test fuzz` has each target run
//! that often; a failure leaves its input in a file, to become a seed.

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use mutate::Mutator;
use targets::{ALL, Target};

/// Runs a target on its seeds, and on `runs` inputs made of them.
fn smoke(name: &str, runs: u64) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target of this name");
    let runs = match std::env::var("TRUNKDNS_FUZZ_RUNS") {
        Ok(text) => text.parse().expect("TRUNKDNS_FUZZ_RUNS is a number"),
        Err(_) => runs,
    };
    let seeds = seeds(name);
    for seed in &seeds {
        run(target, seed);
    }
    let mut mutator = Mutator::new(name, seeds);
    for _ in 0..runs {
        run(target, &mutator.next());
    }
}

/// Runs a target, and keeps the input if it fails.
fn run(target: &Target, data: &[u8]) {
    struct Keep<'a>(&'a Target, &'a [u8]);
    impl Drop for Keep<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let name = format!("fuzz-failure-{}", self.0.name);
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
                if fs::write(&path, self.1).is_ok() {
                    let _ = writeln!(std::io::stderr(), "the input is in {}", path.display());
                }
            }
        }
    }
    let keep = Keep(target, data);
    (target.run)(data);
    drop(keep);
}

/// Reads the seeds of a target, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("seeds").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!paths.is_empty(), "{folder:?} has seeds");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

//----------- The targets ----------------------------------------------------

#[test]
fn any_message_has_one_outcome_and_is_encoded_as_it_was_read() {
    smoke("query", 50_000);
}

#[test]
fn any_proxy_header_is_refused_or_read_as_its_specification_says() {
    smoke("proxy", 50_000);
}

#[test]
fn any_options_are_read_as_another_decoder_splits_them() {
    smoke("edns", 10_000);
}

#[test]
fn any_message_is_dropped_or_gets_an_answer_that_two_decoders_read_alike() {
    smoke("core", 50_000);
}

#[test]
fn any_tables_are_refused_or_answer_for_all_of_their_names() {
    smoke("tables", 400);
}

#[test]
fn any_master_file_is_refused_or_answers_for_all_of_its_names() {
    smoke("master", 3_000);
}

#[test]
fn any_database_is_refused_or_places_every_address() {
    smoke("database", 1_000);
}

#[test]
fn any_geofeed_is_refused_or_places_every_address() {
    smoke("geofeed", 400);
}

#[test]
fn any_cloud_list_is_refused_or_places_every_address() {
    smoke("clouds", 3_000);
}

#[test]
fn any_damage_to_the_state_folder_is_noticed() {
    smoke("state", 120);
}

#[test]
fn any_line_on_the_control_socket_is_refused_or_a_command() {
    smoke("control", 20_000);
}

#[test]
fn any_sip_message_is_refused_or_read_alike_when_it_is_written_again() {
    smoke("sip", 20_000);
}

//----------- cargo fuzz -----------------------------------------------------

#[test]
fn cargo_fuzz_has_a_file_and_a_binary_for_each_target_and_no_other() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for Target { name, .. } in ALL {
        let text = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let call = format!("fuzz_target!(|data: &[u8]| targets::run(\"{name}\", data));");
        assert!(text.contains(&call), "{name}.rs runs its target");
        let path = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml has {name}");
    }
    for part in ["fuzz_targets", "seeds"] {
        let count = fs::read_dir(folder().join(part)).unwrap().count();
        assert_eq!(count, ALL.len(), "fuzz/{part} has nothing else");
    }
}

#[test]
fn the_mutator_makes_the_same_inputs_again_and_others_each_time() {
    let inputs = |name: &str| {
        let mut mutator = Mutator::new(name, vec![b"=== zone.toml\nttl = 60\n".to_vec()]);
        (0..200).map(|_| mutator.next()).collect::<Vec<_>>()
    };
    assert_eq!(inputs("core"), inputs("core"));
    assert_ne!(inputs("core"), inputs("query"));
    assert!(inputs("tables").iter().collect::<BTreeSet<_>>().len() > 150);
}
