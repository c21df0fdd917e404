//! A writer of a country database in the layout of MaxMind's.
//!
//! The shipped database has the flat layout, which no peer but Knot reads.
//! This writes the same IPv4 networks with `continent.code` and
//! `country.iso_code`, in a file for IPv6 with IPv4 at its beginning, because
//! gdnsd takes no other. The format is that of the specification, version 2.0.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// A country and its continent, by their codes.
pub type Place = ([u8; 2], [u8; 2]);

/// A child of a node: nothing, a node, or the number of a place.
#[derive(Clone, Copy)]
enum Child {
    Empty,
    Node(u32),
    Place(u32),
}

/// Writes a database of networks that do not overlap: address, length, place.
pub fn write(networks: impl Iterator<Item = (Ipv4Addr, u8, Place)>) -> Vec<u8> {
    let mut nodes = vec![[Child::Empty; 2]];
    let mut places: Vec<Place> = Vec::new();
    let mut numbers = HashMap::new();
    for (address, length, place) in networks {
        let number = *numbers.entry(place).or_insert_with(|| {
            places.push(place);
            places.len() as u32 - 1
        });
        insert(&mut nodes, address, length, Child::Place(number));
    }
    let mut data = Vec::new();
    let offsets: Vec<_> = places.iter().map(|place| record(&mut data, *place)).collect();
    let number = |child| match child {
        Child::Empty => nodes.len() as u32,
        Child::Node(node) => node,
        Child::Place(place) => (nodes.len() + 16 + offsets[place as usize]) as u32,
    };
    // Records of 24 bits: there are some 2^19 nodes.
    let tree = nodes.iter().flatten().flat_map(|child| {
        let [_, octets @ ..] = number(*child).to_be_bytes();
        octets
    });
    let mut file: Vec<u8> = tree.collect();
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut file, nodes.len() as u32);
    file
}

fn insert(nodes: &mut Vec<[Child; 2]>, address: Ipv4Addr, length: u8, leaf: Child) {
    let bits = u128::from(u32::from(address));
    let length = 96 + u32::from(length);
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[node][side] = leaf;
            return;
        }
        node = match nodes[node][side] {
            Child::Node(next) => next as usize,
            above => {
                nodes.push([above; 2]);
                nodes[node][side] = Child::Node(nodes.len() as u32 - 1);
                nodes.len() - 1
            }
        };
    }
}

/// Writes the record of a place; returns where it begins.
fn record(out: &mut Vec<u8>, (country, continent): Place) -> usize {
    let at = out.len();
    control(out, MAP, 2);
    for (outer, inner, code) in [("continent", "code", continent), ("country", "iso_code", country)]
    {
        text(out, outer.as_bytes());
        control(out, MAP, 1);
        text(out, inner.as_bytes());
        text(out, &code);
    }
    at
}

fn metadata(out: &mut Vec<u8>, nodes: u32) {
    let epoch = 1_780_000_000u64;
    control(out, MAP, 9);
    for (key, kind, value) in [
        ("binary_format_major_version", SHORT, &2u16.to_be_bytes()[..]),
        ("binary_format_minor_version", SHORT, &0u16.to_be_bytes()),
        ("build_epoch", LONG, &epoch.to_be_bytes()),
        ("database_type", TEXT, b"GeoLite2-Country"),
        ("description", MAP, b""),
        ("ip_version", SHORT, &6u16.to_be_bytes()),
        ("languages", LIST, b""),
        ("node_count", NUMBER, &nodes.to_be_bytes()),
        ("record_size", SHORT, &24u16.to_be_bytes()),
    ] {
        text(out, key.as_bytes());
        control(out, kind, value.len());
        out.extend(value);
    }
}

const TEXT: u8 = 2;
const SHORT: u8 = 5;
const NUMBER: u8 = 6;
const MAP: u8 = 7;
const LONG: u8 = 9;
const LIST: u8 = 11;

fn text(out: &mut Vec<u8>, text: &[u8]) {
    control(out, TEXT, text.len());
    out.extend(text);
}

/// Writes a control octet: the type, and a size below 29.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29, "no text here is longer");
    match kind {
        0..8 => out.push(kind << 5 | size as u8),
        _ => out.extend([size as u8, kind - 7]),
    }
}
