//! A small deterministic mutator, which knows what messages and tables are
//! made of.

#![allow(unreachable_pub, reason = "a module of test binaries")]

/// The longest input, in octets.
const LEN_MAX: usize = 8192;

/// Names that the world of the targets has, or nearly has.
const NAMES: &[&str] = &[
    "_sip._tcp.carrier.example.com",
    "_sips._tcp.carrier.example.com",
    "_sip._tcp.us.carrier.example.com",
    "_sip._tcp.primary.carrier.example.com",
    "_sip._tcp._sip._tcp.us.carrier.example.com",
    "carrier.example.com",
    "steered.carrier.example.com",
    "mx.carrier.example.com",
    "x.wild.carrier.example.com",
    "host.old.carrier.example.com",
    "x.lab.carrier.example.com",
    "more.carrier.example.com",
    "rich.example",
    "chain1.rich.example",
    "into-wild.rich.example",
    "into-loop.rich.example",
    "a.host.old.rich.example",
    "x.longest.rich.example",
    "x.spiral.rich.example",
    "x.onward.rich.example",
    "a.b.c.wild.rich.example",
    "here.wild.rich.example",
    "x.outward-wild.rich.example",
    "b.ent.rich.example",
    "x.cut.rich.example",
    "below.cut.rich.example",
    "mixed-cut.rich.example",
    "child.rich.example",
    "www.child.rich.example",
    "many.rich.example",
    "crowd.rich.example",
    "_crowd._tcp.rich.example",
    "id.server",
    "version.bind",
    "nowhere.test",
    "",
];

const TYPES: &[u16] = &[
    1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 41, 43, 46, 47, 64, 65, 249, 250, 251, 252, 255, 256,
    257, 0, 65280, 65535,
];

/// Options, well-formed and not.
const OPTIONS: &[&[u8]] = &[
    b"\0\x03\0\0",
    b"\0\x08\0\x07\0\x01\x18\0\x0a\x02\x00",
    b"\0\x08\0\x08\0\x01\x20\0\x0a\x03\x80\x01",
    b"\0\x08\0\x0a\0\x02\x30\0\x20\x01\x0d\xb8\0\x02",
    b"\0\x08\0\x04\0\x01\0\0",
    b"\0\x08\0\x04\0\0\0\0",
    b"\0\x08\0\x07\0\x01\x18\x18\x0a\x02\x00",
    b"\0\x0a\0\x0812345678",
    b"\0\x0a\0\x1812345678\x01\0\0\0\0\0\x03\xe8hashhash",
    b"\0\x0a\0\x0112",
    b"\0\x0b\0\0",
    b"\0\x0b\0\x02\0\x64",
    b"\0\x0c\0\x04\0\0\0\0",
    b"\0\x0f\0\x02\0\x12",
    b"\xff\xfe\0\x03abc",
    b"\0\x03\xff\xff",
];

/// What stands in tables, master files, lists and commands.
const TOKENS: &[&str] = &[
    "=== zone.example/zone.toml\n",
    "=== zone.example/priorities.toml\n",
    "=== zone.example/records.zone\n",
    "=== regions.toml\n",
    "=== trunkdns.toml\n",
    "[soa]\n",
    "[hosts]\n",
    "[services.'_sip._tcp']\n",
    "[[geo]]\n",
    "ttl = 60\n",
    "ttl = -1\n",
    "ttl = 4294967296\n",
    "9223372036854775807",
    "effective = 2026-12-01T02:00:00Z\n",
    "{ priority = 10 }",
    "[[[[[[[[[[[[[[[[",
    "\"\"\"",
    "'",
    "\\u0000",
    "\\255",
    "\\",
    "$INCLUDE records.zone\n",
    "$ORIGIN .\n",
    "$TTL 0\n",
    "@ ",
    "* ",
    " A 192.0.2.1\n",
    " CNAME @\n",
    " DNAME x\n",
    " NS ns\n",
    " SRV 0 0 0 .\n",
    " TXT ( \"\n\" )\n",
    " TYPE65280 \\# 0\n",
    " \\# 4 c0000201\n",
    "; (",
    "\r\n",
    "\u{feff}",
    "\u{2028}",
    "ü",
    "0.0.0.0/0",
    "::/0",
    "::ffff:0:0/96",
    "192.0.2.0/24,US,US-VA,,\n",
    "\"prefixes\":[",
    "\"command\":\"reload\"",
    "null",
    "1e999",
    "manifest\n",
    "18446744073709551615.pack\n",
    "+1.pack\n",
    "01.pack\n",
    "damaged-1-0\n",
    "manifest.new\n",
];

/// Numbers at which something changes.
const NUMBERS: &[u8] = &[0, 1, 0x0c, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

//----------- Mutator --------------------------------------------------------

/// Makes inputs of seeds, the same ones each time.
pub struct Mutator {
    random: Xorshift,
    seeds: Vec<Vec<u8>>,
    kind: Kind,
}

/// What an input is made of.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    /// A message behind so many octets of envelope.
    Message(usize),

    /// Payload size, TTL field and options.
    Options,

    /// Text, or octets that nothing is known of.
    Other,
}

impl Mutator {
    /// Returns the mutator for a target.
    pub fn new(target: &str, seeds: Vec<Vec<u8>>) -> Self {
        let start = target.bytes().fold(0x9e37_79b9_7f4a_7c15, |state: u64, octet| {
            (state ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        let kind = match target {
            "query" => Kind::Message(0),
            "core" => Kind::Message(3),
            "edns" => Kind::Options,
            _ => Kind::Other,
        };
        Mutator { random: Xorshift(start | 1), seeds, kind }
    }

    /// Returns another input.
    pub fn next(&mut self) -> Vec<u8> {
        let mut input = match self.kind {
            Kind::Message(envelope) if self.random.below(2) == 0 => {
                let mut input: Vec<u8> = (0..envelope).map(|_| self.random.octet()).collect();
                input.extend(self.message());
                input
            }
            Kind::Options if self.random.below(2) == 0 => {
                let mut input = b"\x04\xd0\0\0\x80\0".to_vec();
                for _ in 0..self.random.below(5) {
                    input.extend(self.random.pick(OPTIONS).iter());
                }
                input
            }
            _ => self.random.pick(&self.seeds).clone(),
        };
        // Some are left as they are: what is well-formed goes deepest.
        let count = [0, 1, 1, 2, 3, 8][self.random.below(6)];
        for _ in 0..count {
            self.change(&mut input);
        }
        input.truncate(LEN_MAX);
        input
    }

    /// Returns a message that is well-formed, more or less.
    fn message(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let flags: u16 = match random.below(12) {
            0 => random.below(0x10000) as u16,
            1 => (random.below(16) << 11) as u16,
            _ => 0x0100,
        };
        let questions = if random.below(12) == 0 { random.below(3) } else { 1 };
        let has_opt = random.below(4) != 0;
        let mut message = vec![random.octet(), random.octet()];
        message.extend(flags.to_be_bytes());
        for count in [questions as u16, 0, 0, has_opt.into()] {
            message.extend(count.to_be_bytes());
        }
        for _ in 0..questions {
            message.extend(name(random));
            message.extend(random.pick(TYPES).to_be_bytes());
            let class = if random.below(8) == 0 { *random.pick(&[3u16, 255, 254, 4]) } else { 1 };
            message.extend(class.to_be_bytes());
        }
        if has_opt {
            let mut options: Vec<u8> = Vec::new();
            for _ in 0..random.below(4) {
                options.extend(random.pick(OPTIONS).iter());
            }
            let payload = *random.pick(&[0u16, 512, 600, 1232, 4096]);
            let version = u8::from(random.below(20) == 0);
            message.extend(b"\0\0\x29");
            message.extend(payload.to_be_bytes());
            message.extend([0, version, if random.below(2) == 0 { 0x80 } else { 0 }, 0]);
            message.extend((options.len() as u16).to_be_bytes());
            message.extend(options);
        }
        message
    }

    /// Changes an input in one way.
    fn change(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.below(input.len() + 1);
        let len = random.below(16).min(input.len() - at);
        match random.below(11) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = *random.pick(NUMBERS),
            2 if at < input.len() => input[at] = random.octet(),
            3 => input.truncate(at),
            4 => drop(input.drain(at..at + len)),
            5 => {
                let piece = input[at..at + len].to_vec();
                let most = if random.below(8) == 0 { 300 } else { 3 };
                let times = 1 + random.below(most);
                let to = random.below(input.len() + 1);
                input.splice(to..to, piece.repeat(times));
            }
            6 => {
                // The end of another seed.
                let other = random.pick(&self.seeds).clone();
                input.truncate(at);
                input.extend(&other[random.below(other.len() + 1)..]);
            }
            7 if self.kind == Kind::Other => {
                let token = random.pick(TOKENS).bytes();
                drop(input.splice(at..at, token));
            }
            8 if self.kind == Kind::Other => swap_lines(random, input),
            9 => {
                let number = (*random.pick(&[0u32, 1, 0x7fff, 0x8000, 0xffff, 512])).to_be_bytes();
                for (octet, new) in input[at..].iter_mut().zip(&number[2..]) {
                    *octet = *new;
                }
            }
            _ => input.insert(at, random.octet()),
        }
    }
}

/// Moves a line to another place.
fn swap_lines(random: &mut Xorshift, input: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|octet| *octet == b'\n').collect();
    if lines.is_empty() {
        return;
    }
    let line = lines.remove(random.below(lines.len()));
    lines.insert(random.below(lines.len() + 1), line);
    *input = lines.concat();
}

/// Returns a name in wire format, some letters of it in upper case.
fn name(random: &mut Xorshift) -> Vec<u8> {
    let text = random.pick(NAMES);
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    if random.below(4) == 0 {
        // A name below it.
        let label = vec![b'x'; 1 + random.below(63)];
        wire.splice(0..0, [&[label.len() as u8][..], &label].concat());
    }
    if random.below(3) == 0 {
        wire.make_ascii_uppercase();
    }
    wire
}

//----------- Xorshift -------------------------------------------------------

/// Marsaglia's generator: enough to choose by.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below another one, or 0.
    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 11) as usize).checked_rem(limit).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
