//! A writer of small MMDB files, for tests.
//!
//! It writes what the format's specification (version 2.0) says, with records
//! of 24 or 28 bits, and no pointers in the data.

use ipnet::IpNet;

use super::prefix::{self, Family};

/// A value in a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(&'static str),
    Double(f64),
    Float(f32),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

/// Which addresses a file is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    V4,
    V6,
    /// IPv4 at `::/96`, and again where IPv6 carries it.
    Combined,
}

/// A node's child: nothing, a node, or the position of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Child {
    Empty,
    Node(usize),
    Record(usize),
}

/// Writes a database. A later network must not hold an earlier one.
pub(super) fn mmdb(layout: Layout, record_bits: u32, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Child::Empty; 2]];
    for (record, (network, _)) in networks.iter().enumerate() {
        let network: IpNet = network.parse().unwrap();
        let (bits, length) = path(layout, network);
        insert(&mut nodes, bits, length, Child::Record(record));
    }
    if layout == Layout::Combined {
        insert_aliases(&mut nodes);
    }
    let mut data = Vec::new();
    let offsets: Vec<_> = networks
        .iter()
        .map(|(_, value)| {
            let offset = data.len();
            write(&mut data, value);
            offset
        })
        .collect();
    let mut file = tree(&nodes, record_bits, &offsets);
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    write(&mut file, &metadata(layout, record_bits, nodes.len()));
    file
}

/// Returns a network's bits from the left of a `u128`, and how many count.
fn path(layout: Layout, network: IpNet) -> (u128, u32) {
    let (start, _) = prefix::bounds(network);
    let length = u32::from(network.prefix_len());
    match (Family::of(network.addr()), layout) {
        (Family::V4, Layout::V4) => (start << 96, length),
        (Family::V4, _) => (start, 96 + length),
        (Family::V6, _) => (start, length),
    }
}

fn insert(nodes: &mut Vec<[Child; 2]>, bits: u128, length: u32, leaf: Child) {
    let mut node = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[node][side] = leaf;
            return;
        }
        node = match nodes[node][side] {
            Child::Node(next) => next,
            // A record of a wider network is handed on to both halves.
            above => {
                nodes.push([above; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Child::Node(next);
                next
            }
        };
    }
}

fn insert_aliases(nodes: &mut Vec<[Child; 2]>) {
    let mut v4 = Child::Node(0);
    for _ in 0..96 {
        let Child::Node(node) = v4 else { return };
        v4 = nodes[node][0];
    }
    for block in ["::ffff:0:0/96", "2001::/32", "2002::/16"] {
        let block: IpNet = block.parse().unwrap();
        let (bits, length) = path(Layout::V6, block);
        insert(nodes, bits, length, v4);
    }
}

fn tree(nodes: &[[Child; 2]], record_bits: u32, offsets: &[usize]) -> Vec<u8> {
    let number = |child: Child| match child {
        Child::Empty => nodes.len() as u32,
        Child::Node(node) => node as u32,
        Child::Record(record) => (nodes.len() + 16 + offsets[record]) as u32,
    };
    let mut out = Vec::new();
    for node in nodes {
        let [left, right] = node.map(|child| number(child).to_be_bytes());
        out.extend(&left[1..]);
        if record_bits == 28 {
            out.push(left[0] << 4 | right[0]);
        }
        out.extend(&right[1..]);
    }
    out
}

fn metadata(layout: Layout, record_bits: u32, nodes: usize) -> Value {
    let version = if layout == Layout::V4 { 4 } else { 6 };
    Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1_780_000_000)),
        ("database_type", Value::Text("test")),
        ("description", Value::Map(Vec::new())),
        ("ip_version", Value::Short(version)),
        ("languages", Value::List(Vec::new())),
        ("node_count", Value::Number(nodes as u32)),
        ("record_size", Value::Short(record_bits as u16)),
    ])
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            control(out, 2, text.len());
            out.extend(text.bytes());
        }
        Value::Double(number) => {
            control(out, 3, 8);
            out.extend(number.to_be_bytes());
        }
        Value::Float(number) => {
            control(out, 15, 4);
            out.extend(number.to_be_bytes());
        }
        Value::Short(number) => {
            control(out, 5, 2);
            out.extend(number.to_be_bytes());
        }
        Value::Long(number) => {
            control(out, 9, 8);
            out.extend(number.to_be_bytes());
        }
        Value::Number(number) => {
            control(out, 6, 4);
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            control(out, 7, entries.len());
            for (key, value) in entries {
                write(out, &Value::Text(key));
                write(out, value);
            }
        }
        Value::List(items) => {
            control(out, 11, items.len());
            items.iter().for_each(|item| write(out, item));
        }
    }
}

/// Writes a control octet: the type, and a size below 285.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let short = size.min(29) as u8;
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend([short, kind - 7]);
    }
    if size >= 29 {
        out.push((size - 29) as u8);
    }
}
