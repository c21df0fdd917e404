//! Databases with as many networks as those of all cities, in MaxMind's format
//! (MaxMind DB File Format Specification 2.0).

use std::fs;
use std::path::{Path, PathBuf};

/// Some of the countries that the shipped region table tells apart.
const COUNTRIES: [&[u8; 2]; 16] = [
    b"US", b"CA", b"MX", b"BR", b"AR", b"GB", b"DE", b"FR", b"ZA", b"NG", b"AE", b"IN", b"JP",
    b"SG", b"AU", b"RU",
];

/// Writes a database of about 0.9 million networks for each family; returns
/// the files.
///
/// Those of IPv4 are no longer than /24, those of IPv6 no longer than /48 and
/// in 2000::/3, as in a city database.
pub(crate) fn city(folder: &Path) -> Vec<PathBuf> {
    let v4 = Tree::new(130_000, |random| u128::from(random >> 40) << 104, 24);
    let v6 = Tree::new(30_000, |random| 1 << 125 | u128::from(random >> 19) << 80, 48);
    let write = |tree: Tree, name: &str, version| {
        let path = folder.join(name);
        fs::write(&path, tree.to_octets(version)).expect("a scratch file");
        path
    };
    vec![write(v4, "city-ipv4.mmdb", 4), write(v6, "city-ipv6.mmdb", 6)]
}

//----------- Tree -----------------------------------------------------------

/// A search tree: for each bit of an address the next node, 0 at a leaf.
struct Tree {
    nodes: Vec<[u32; 2]>,
}

impl Tree {
    /// Makes room for networks of a length, drawn with the same seed each
    /// time. Addresses are left-aligned in 128 bits.
    fn new(networks: usize, draw: impl Fn(u64) -> u128, len: usize) -> Self {
        let mut tree = Tree { nodes: vec![[0; 2]] };
        let mut state = 5u64;
        for _ in 0..networks {
            tree.insert(draw(next(&mut state)), len);
        }
        tree
    }

    fn insert(&mut self, address: u128, len: usize) {
        let mut node = 0;
        for depth in 0..len - 1 {
            let side = (address >> (127 - depth) & 1) as usize;
            if self.nodes[node][side] == 0 {
                self.nodes[node][side] = self.nodes.len() as u32;
                self.nodes.push([0; 2]);
            }
            node = self.nodes[node][side] as usize;
        }
    }

    /// Returns a database in which each leaf has a country of its own.
    fn to_octets(&self, version: u8) -> Vec<u8> {
        const SEPARATOR: usize = 16;
        /// A map of one entry (0xe1), its key, and a string of two octets.
        const KEY: &[u8] = b"\xe1\x4ccountry_code\x42";
        let record = KEY.len() + 2;
        let mut state = 7u64;
        let mut leaf = || {
            let country = (next(&mut state) >> 33) as usize % COUNTRIES.len();
            (self.nodes.len() + SEPARATOR + country * record) as u32
        };
        let mut octets = Vec::new();
        for side in self.nodes.iter().flatten() {
            let value = if *side == 0 { leaf() } else { *side };
            octets.extend(value.to_be_bytes());
        }
        octets.extend([0; SEPARATOR]);
        for country in COUNTRIES {
            octets.extend([KEY, country].concat());
        }
        octets.extend(self.metadata(version));
        octets
    }

    fn metadata(&self, version: u8) -> Vec<u8> {
        let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
        let short = |value: u16| [&[0xa2][..], &value.to_be_bytes()].concat();
        let number = |value: u32| [&[0xc4][..], &value.to_be_bytes()].concat();
        let kind = text(if version == 4 { "city ipv4" } else { "city ipv6" });
        // Times have 64 bits, in the extended type 9.
        let built = [&[0x04, 0x02][..], &1_780_000_000u32.to_be_bytes()].concat();
        [
            b"\xab\xcd\xefMaxMind.com\xe9".to_vec(),
            [text("binary_format_major_version"), short(2)].concat(),
            [text("binary_format_minor_version"), short(0)].concat(),
            [text("build_epoch"), built].concat(),
            [text("database_type"), kind].concat(),
            [text("description"), vec![0xe0]].concat(),
            [text("ip_version"), short(version.into())].concat(),
            [text("languages"), vec![0x00, 0x04]].concat(),
            [text("node_count"), number(self.nodes.len() as u32)].concat(),
            [text("record_size"), short(32)].concat(),
        ]
        .concat()
    }
}

/// Returns the next number of a congruential generator (Knuth's multiplier);
/// its upper bits are the good ones.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state
}
