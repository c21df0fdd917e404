//! The same questions to ours, to Knot and to NSD: each difference between
//! what they say on the same static zone is explained in a table below.
//!
//! A difference that no explanation fits fails the test, and so does an
//! explanation that fits no difference any more.

#[path = "fuzz/decoders.rs"]
mod decoders;
#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use decoders::Seen;
use server::{Server, free_port, installed};
use trunkdns::config::read_regions;
use trunkdns::daemon::load::compile_texts;
use trunkdns::diag::{Report, Sources};
use trunkdns::snapshot::{Status, Zone};
use trunkdns::state::Tables;

/// The zones that all three serve, with their files.
const ZONES: [(&str, &str); 2] = [
    ("rich.example", include_str!("data/rich.zone")),
    ("child.rich.example", include_str!("data/child.rich.zone")),
];

/// The least number of questions for the test to say anything.
const QUESTIONS_MIN: usize = 5_000;

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a message that may be dropped is waited for behind the answer to
/// the one after it.
const GRACE: Duration = Duration::from_millis(150);

#[test]
fn each_difference_to_knot_and_nsd_is_explained() {
    if !installed("knotd") || !installed("nsd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = start_ours(folder.path());
    let knot = Peer::start_knot(folder.path());
    let nsd = Peer::start_nsd(folder.path());
    let mut parties = [
        Party::new("trunkdns", ours.address),
        Party::new("Knot", knot.address),
        Party::new("NSD", nsd.address),
    ];
    let questions = questions();
    assert!(questions.len() >= QUESTIONS_MIN, "{} questions", questions.len());
    let mut tally = Tally::default();
    for asked in &questions {
        let [ours, knot, nsd] = ask(&mut parties, asked);
        // What we say is read alike by two decoders.
        let ours = ours.map(|octets| decoders::read(&octets));
        for (peer, theirs) in [("Knot", knot), ("NSD", nsd)] {
            let theirs = theirs.map(|octets| {
                decoders::by_domain(&octets).unwrap_or_else(|error| panic!("{peer}: {error}"))
            });
            tally.compare(asked, peer, ours.as_ref(), theirs.as_ref());
        }
    }
    tally.conclude(questions.len());
}

//----------- Explanations ---------------------------------------------------

/// Why an answer of ours differs from that of another server.
struct Explanation {
    why: &'static str,
    reference: &'static str,
    fits: fn(&Difference<'_>) -> bool,
}

/// Each difference has the first of these that fits it.
const EXPLANATIONS: &[Explanation] = &[
    // Messages that are no queries.
    Explanation {
        why: "a malformed message with a header is told so, not dropped",
        reference: "RFC 1035 section 4.1.1, RFC 9619 section 4",
        fits: |d| d.aspect == Aspect::Drop && d.asked.is_odd && d.rcodes() == (Some(1), None),
    },
    Explanation {
        why: "what of a malformed message comes back is each server's own",
        reference: "RFC 1035 section 4.1.1 leaves it open",
        fits: |d| {
            [Aspect::Question, Aspect::Opt].contains(&d.aspect) && d.rcodes() == (Some(1), Some(1))
        },
    },
    Explanation {
        why: "what cannot be in a query, or ends elsewhere than it says, is malformed",
        reference: "RFC 6891 sections 6.1.1 and 6.1.2, RFC 9619 section 4",
        fits: |d| {
            let kinds = [
                "answer",
                "authority",
                "OPT below the root",
                "bad option",
                "trailing",
                "no question",
            ];
            kinds.contains(&&d.asked.kind[..]) && d.rcodes() == (Some(1), Some(0))
        },
    },
    Explanation {
        why: "NSD takes flags and records that mean nothing in a query for errors",
        reference: "RFC 1035 section 4.1.1: TC means nothing in a query",
        fits: |d| {
            let kinds = ["flags", "additional"];
            d.peer == "NSD"
                && kinds.contains(&&d.asked.kind[..])
                && d.rcodes() == (Some(0), Some(1))
        },
    },
    // Operations, classes and types that are not served.
    Explanation {
        why: "NOTIFY and UPDATE are not implemented here, and refused there",
        reference: "RFC 1996 section 3.12, RFC 2136 section 2.2",
        fits: |d| {
            let kinds = ["opcode 4", "opcode 5"];
            let codes = [(Some(4), Some(9)), (Some(4), Some(5))];
            d.aspect == Aspect::Rcode
                && kinds.contains(&&d.asked.kind[..])
                && codes.contains(&d.rcodes())
        },
    },
    Explanation {
        why: "NSD's errors lack the OPT record or the question",
        reference: "RFC 6891 section 6.1.1",
        fits: |d| {
            d.peer == "NSD"
                && [Aspect::Opt, Aspect::Question].contains(&d.aspect)
                && matches!(
                    d.rcodes(),
                    (Some(4), Some(4 | 5)) | (Some(5), Some(5)) | (Some(9), Some(9))
                )
        },
    },
    Explanation {
        why: "a question for all classes is refused: no answer to it is authoritative",
        reference: "RFC 1035 section 3.2.5; ours serves IN, and CH for its identity",
        fits: |d| d.asked.kind == "class" && d.rcodes() == (Some(5), Some(0)),
    },
    Explanation {
        why: "AA is set where the server speaks of itself",
        reference: "RFC 1035 section 4.1.1; RFC 4892 is silent",
        fits: |d| {
            d.aspect == Aspect::Authoritative
                && d.asked.kind == "class CH"
                && d.rcodes() == (Some(0), Some(0))
        },
    },
    Explanation {
        why: "ANY of an identity is answered with it",
        reference: "RFC 8482 section 4.1",
        fits: |d| {
            d.asked.kind == "class CH" && d.asked.qtype == 255 && d.rcodes() == (Some(0), Some(5))
        },
    },
    Explanation {
        why: "type 0 is a type that no name has",
        reference: "RFC 6895 section 3.1",
        fits: |d| d.asked.kind == "type 0" && d.rcodes() == (Some(0), Some(4)),
    },
    Explanation {
        why: "transfers are refused, whatever asks for them and however",
        reference: "RFC 5936 section 2.2.1, RFC 1995 section 2",
        fits: |d| {
            d.aspect == Aspect::Rcode
                && [251, 252].contains(&d.asked.qtype)
                && matches!(d.rcodes(), (Some(5), Some(1 | 4 | 9)))
        },
    },
    Explanation {
        why: "a cookie can be asked for alone; Knot and NSD run without cookies here",
        reference: "RFC 7873 section 5.4",
        fits: |d| d.asked.kind == "cookie alone" && d.rcodes().0 == Some(0),
    },
    // Limits.
    Explanation {
        why: "an answer that is cut short has no part of an RRset",
        reference: "RFC 2181 section 9",
        fits: |d| {
            let is_empty = |seen: &Seen| seen.sections.iter().all(Vec::is_empty);
            let is_cut = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.flags.truncated);
            let is_own_sound = !is_cut(d.ours) || d.ours.is_some_and(is_empty);
            d.is_section() && is_own_sound && (is_cut(d.ours) || is_cut(d.theirs))
        },
    },
    Explanation {
        why: "names in the data of a DNAME are not compressed against: some answers are longer",
        reference: "RFC 3597 section 4, RFC 6672 section 2.5",
        fits: |d| {
            d.aspect == Aspect::Truncated
                && d.ours.is_some_and(|seen| seen.flags.truncated)
                && d.asked.is_below(b"\x07longest\x04rich\x07example\0")
        },
    },
    Explanation {
        why: "a chain of aliases is followed 16 times, elsewhere less or more",
        reference: "RFC 1034 section 5.2.2 leaves it to the resolver",
        fits: |d| {
            [Aspect::Answer, Aspect::Authority].contains(&d.aspect)
                && d.asked.is_below(b"\x06spiral\x04rich\x07example\0")
                && d.rcodes() == (Some(0), Some(0))
                && (d.is_part(0) || d.has_part(0))
        },
    },
    // What is answered.
    Explanation {
        why: "ANY gets one RRset, of our choice, and a CNAME that answers it is not followed",
        reference: "RFC 8482 section 4.1",
        fits: |d| {
            d.asked.qtype == 255
                && (d.is_section() || d.aspect == Aspect::Rcode)
                && matches!(d.rcodes(), (Some(0), Some(0 | 3)))
                && (d.is_part(0) || (one_type(d.ours) && one_type(d.theirs)))
        },
    },
    Explanation {
        why: "Knot takes RRSIG and NSEC to be at home beside a CNAME, and does not follow it",
        reference: "RFC 4035 section 2.5; the zone is not signed, and NSD does as ours",
        fits: |d| {
            let is_alias = d.ours.is_some_and(|seen| {
                seen.sections[0].iter().any(|r| r.rtype == 5 && r.owner == d.asked.owner)
            });
            let no_answer = d.theirs.is_some_and(|seen| seen.sections[0].is_empty());
            d.peer == "Knot" && [46, 47].contains(&d.asked.qtype) && is_alias && no_answer
        },
    },
    Explanation {
        why: "a name that a DNAME makes too long is YXDOMAIN, for Knot NXDOMAIN",
        reference: "RFC 6672 section 2.2",
        fits: |d| d.peer == "Knot" && d.rcodes() == (Some(6), Some(3)),
    },
    Explanation {
        why: "an alias is not followed out of its zone, though the other zone is here too",
        reference: "RFC 1034 section 4.3.2 step 3a allows both; each zone has its own timeline",
        fits: |d| {
            let targets =
                [&b"\x03www\x05child\x04rich\x07example\0"[..], b"\x04mail\x04rich\x07example\0"];
            let alias = d.ours.and_then(|seen| seen.sections[0].last());
            let leads_out =
                alias.is_some_and(|alias| alias.rtype == 5 && targets.contains(&&alias.rdata[..]));
            d.peer == "NSD" && d.is_section() && leads_out && d.is_part(0)
        },
    },
    Explanation {
        why: "NSD adds the zone's name servers, which a resolver has already",
        reference: "RFC 1034 section 4.3.2 step 6 asks for what is useful",
        fits: |d| d.adds_name_servers(),
    },
];

/// Says whether an answer is one RRset.
fn one_type(seen: Option<&Seen>) -> bool {
    seen.is_some_and(|seen| {
        let mut types = seen.sections[0].iter().map(|record| record.rtype);
        let first = types.next();
        first.is_some() && types.all(|rtype| Some(rtype) == first)
    })
}

//----------- Difference -----------------------------------------------------

/// Something that two answers to a question do not have in common.
struct Difference<'a> {
    asked: &'a Asked,
    peer: &'static str,
    aspect: Aspect,
    ours: Option<&'a Seen>,
    theirs: Option<&'a Seen>,
}

impl Difference<'_> {
    /// Returns the response codes of both.
    fn rcodes(&self) -> (Option<u16>, Option<u16>) {
        (self.ours.map(|seen| seen.rcode), self.theirs.map(|seen| seen.rcode))
    }

    /// Says whether the difference is in a section of records.
    fn is_section(&self) -> bool {
        [Aspect::Answer, Aspect::Authority, Aspect::Additional].contains(&self.aspect)
    }

    /// Says whether all that ours has in a section is in the other one.
    fn is_part(&self, section: usize) -> bool {
        let (Some(ours), Some(theirs)) = (self.ours, self.theirs) else { return false };
        ours.sections[section].iter().all(|record| theirs.sections[section].contains(record))
    }

    /// Says whether all that the other one has in a section is in ours.
    fn has_part(&self, section: usize) -> bool {
        let (Some(ours), Some(theirs)) = (self.ours, self.theirs) else { return false };
        theirs.sections[section].iter().all(|record| ours.sections[section].contains(record))
    }

    /// Says whether NSD has all that ours has, and beside it nothing but the
    /// NS records of a zone with their addresses.
    fn adds_name_servers(&self) -> bool {
        let (Some(ours), Some(theirs)) = (self.ours, self.theirs) else { return false };
        let [_, own_authority, own_additional] = &ours.sections;
        let [answers, authority, additional] = &theirs.sections;
        let apexes = [&b"\x04rich\x07example\0"[..], b"\x05child\x04rich\x07example\0"];
        let is_zone_ns =
            |record: &decoders::Record| record.rtype == 2 && apexes.contains(&&record.owner[..]);
        let is_server =
            |record: &decoders::Record| authority.iter().any(|server| server.rdata == record.owner);
        let extra = additional.iter().filter(|record| !own_additional.contains(record));
        self.peer == "NSD"
            && [Aspect::Authority, Aspect::Additional].contains(&self.aspect)
            && !answers.is_empty()
            && own_authority.is_empty()
            && !authority.is_empty()
            && authority.iter().all(is_zone_ns)
            && own_additional.iter().all(|record| additional.contains(record))
            && extra.clone().all(is_server)
    }
}

/// In what two answers differ.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Aspect {
    /// One answers, and the other drops.
    Drop,
    Rcode,
    Authoritative,
    Truncated,
    /// One of RD, RA, AD, CD, QR, opcode or ID.
    Header,
    Question,
    /// Whether there is an OPT record, its version or flag.
    Opt,
    Answer,
    Authority,
    Additional,
}

/// Compares two answers.
fn differences(ours: Option<&Seen>, theirs: Option<&Seen>) -> Vec<Aspect> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return if ours.is_none() && theirs.is_none() { Vec::new() } else { vec![Aspect::Drop] };
    };
    let flags = |seen: &Seen| {
        let rest = decoders::Flags { authoritative: false, truncated: false, ..seen.flags };
        (seen.id, seen.opcode, rest)
    };
    let opt = |seen: &Seen| seen.opt.map(|opt| (opt.version, opt.dnssec_ok));
    let sets = |seen: &Seen, section: usize| {
        let mut records = seen.sections[section].clone();
        records.sort();
        records
    };
    let checks = [
        (Aspect::Rcode, ours.rcode == theirs.rcode),
        (Aspect::Authoritative, ours.flags.authoritative == theirs.flags.authoritative),
        (Aspect::Truncated, ours.flags.truncated == theirs.flags.truncated),
        (Aspect::Header, flags(ours) == flags(theirs)),
        (Aspect::Question, ours.questions == theirs.questions),
        (Aspect::Opt, opt(ours) == opt(theirs)),
        (Aspect::Answer, sets(ours, 0) == sets(theirs, 0)),
        (Aspect::Authority, sets(ours, 1) == sets(theirs, 1)),
        (Aspect::Additional, sets(ours, 2) == sets(theirs, 2)),
    ];
    checks.into_iter().filter(|(_, is_same)| !is_same).map(|(aspect, _)| aspect).collect()
}

/// What was found, by explanation.
#[derive(Default)]
struct Tally {
    explained: BTreeMap<usize, usize>,

    /// Unexplained differences by peer, aspect and kind of question, with the
    /// first of each.
    unexplained: BTreeMap<String, (usize, String)>,
}

impl Tally {
    fn compare(
        &mut self,
        asked: &Asked,
        peer: &'static str,
        ours: Option<&Seen>,
        theirs: Option<&Seen>,
    ) {
        for aspect in differences(ours, theirs) {
            let difference = Difference { asked, peer, aspect, ours, theirs };
            let fits = EXPLANATIONS.iter().position(|explanation| (explanation.fits)(&difference));
            match fits {
                Some(at) => *self.explained.entry(at).or_default() += 1,
                None => {
                    let rcodes = [ours, theirs].map(|seen| seen.map(|seen| seen.rcode));
                    let key = format!("{peer} {aspect:?} {} {rcodes:?}", asked.kind);
                    let (count, _) =
                        self.unexplained.entry(key).or_insert_with(|| (0, difference.to_string()));
                    *count += 1;
                }
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "shown with --nocapture, and where the test fails")]
    fn conclude(self, questions: usize) {
        println!("{questions} questions to three servers");
        for (at, Explanation { why, reference, .. }) in EXPLANATIONS.iter().enumerate() {
            let count = self.explained.get(&at).copied().unwrap_or(0);
            println!("{count:6} {why} ({reference})");
        }
        let mut complaints = String::new();
        for (key, (count, first)) in &self.unexplained {
            complaints += &format!("\n{count} x {key}, the first:\n{first}");
        }
        for (at, explanation) in EXPLANATIONS.iter().enumerate() {
            if !self.explained.contains_key(&at) {
                complaints += &format!("\nno difference needs: {}\n", explanation.why);
            }
        }
        assert!(complaints.is_empty(), "{complaints}");
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  asked {}", self.asked)?;
        for (party, seen) in [("trunkdns", self.ours), (self.peer, self.theirs)] {
            let Some(seen) = seen else {
                writeln!(f, "  {party}: nothing")?;
                continue;
            };
            writeln!(f, "  {party}: rcode {} {:?} {:?}", seen.rcode, seen.flags, seen.opt)?;
            for (name, records) in ["answer", "authority", "additional"].iter().zip(&seen.sections)
            {
                for record in records.iter().take(6) {
                    writeln!(f, "    {name} {record}")?;
                }
                if records.len() > 6 {
                    writeln!(f, "    {name} and {} more", records.len() - 6)?;
                }
            }
        }
        Ok(())
    }
}

//----------- Questions ------------------------------------------------------

/// A message, and what is known of it.
struct Asked {
    /// What sort of question it is, to sort differences by.
    kind: String,
    octets: Vec<u8>,
    is_tcp: bool,

    /// Whether it is none of the plain ones, so that perhaps nobody answers.
    is_odd: bool,

    /// The name asked for in lower case, of plain questions.
    owner: Vec<u8>,
    qtype: u16,
}

impl Asked {
    /// Says whether the name asked for is below another one.
    fn is_below(&self, name: &[u8]) -> bool {
        self.owner.len() > name.len() && self.owner.ends_with(name)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.is_tcp { "TCP" } else { "UDP" };
        let name = decoders::by_domain(&self.octets).ok().and_then(|seen| {
            let (name, rtype, class) = seen.questions.first()?.clone();
            Some(format!("{} type {rtype} class {class}", decoders::name(&name)))
        });
        let name = name.unwrap_or_else(|| format!("{:02x?}", self.octets));
        write!(f, "{name} over {transport}: {}", self.kind)
    }
}

/// Payload size, version, DO flag and options of an OPT record.
type Edns = (u16, u8, bool, &'static [u8]);

/// What a question says of EDNS.
const EDNS: &[(&str, Option<Edns>)] = &[
    ("no EDNS", None),
    ("EDNS 1232", Some((1232, 0, false, b""))),
    ("EDNS 512", Some((512, 0, false, b""))),
    ("DO", Some((1232, 0, true, b""))),
    ("NSID", Some((1232, 0, false, b"\0\x03\0\0"))),
    ("cookie", Some((1232, 0, false, b"\0\x0a\0\x0812345678"))),
    ("unknown option", Some((4096, 0, false, b"\xff\xfe\0\x03abc"))),
    ("EDNS version 1", Some((1232, 1, false, b""))),
];

const TYPES: &[u16] =
    &[1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 39, 43, 46, 47, 48, 65, 255, 257, 65280, 65282];

fn questions() -> Vec<Asked> {
    let mut questions = Vec::new();
    let owners = owners();
    let mut at = 0;
    for owner in &owners {
        for (number, qtype) in TYPES.iter().enumerate() {
            // Each owner and each type meets each variant.
            at += 1;
            let edns = (at + number / 8) % EDNS.len();
            questions.push(plain(owner, *qtype, edns, at % 10 == 0));
            questions.push(plain(owner, *qtype, (edns + 3) % EDNS.len(), at % 10 == 5));
        }
    }
    questions.extend(odd());
    questions
}

/// Every name of the zones, names below and beside them, and others.
fn owners() -> Vec<Vec<u8>> {
    let mut owners = Vec::new();
    for (origin, text) in ZONES {
        let zone = compile(origin, text);
        for (at, node) in zone.nodes().enumerate() {
            let owner = node.owner().to_vec();
            // Thirty hosts alike say no more than three.
            if owner.starts_with(b"\x07hosts") && !owner.starts_with(b"\x07hosts00") {
                continue;
            }
            let below = |labels: &[u8]| [labels, &owner].concat();
            owners.push(below(b"\x05below"));
            if at % 3 == 0 {
                owners.push(below(b"\x01a\x05Below"));
            }
            if at % 5 == 0 {
                owners.push(below(b"\x01*"));
            }
            let is_long = node.status() != Status::Authoritative;
            if at % 4 == 0 || is_long {
                owners.push(owner.to_ascii_uppercase());
            }
            owners.push(owner);
        }
    }
    let long = [&[63; 1][..], &[b'x'; 63], b"\x07longest\x04rich\x07example\0"].concat();
    owners.push(long);
    for name in [&b"\0"[..], b"\x07example\0", b"\x05other\x07example\0", b"\x04test\0"] {
        owners.push(name.to_vec());
    }
    owners.retain(|owner| owner.len() <= 255);
    owners
}

fn compile(origin: &str, text: &str) -> Arc<Zone> {
    let regions = Path::new("regions.toml");
    let table = Arc::from("default = 'a'\n[regions.a]\n");
    let mut sources = Sources::of_texts([(regions.to_owned(), table)]);
    let regions = read_regions(&mut sources, regions, &mut Report::default()).unwrap();
    let path = Path::new(origin);
    let files = vec![(path.join("records.zone"), Arc::from(text))];
    compile_texts(&Tables::new(path.to_owned(), files), &regions, 1).unwrap()
}

fn plain(owner: &[u8], qtype: u16, edns: usize, is_tcp: bool) -> Asked {
    let (name, edns) = EDNS[edns];
    let question = [owner, &qtype.to_be_bytes(), b"\0\x01"].concat();
    Asked {
        kind: name.to_owned(),
        octets: message(0x0100, [1, 0, 0, 0], &question, edns),
        is_tcp,
        is_odd: false,
        owner: owner.to_ascii_lowercase(),
        qtype,
    }
}

/// Returns a message; an OPT record is counted in.
fn message(flags: u16, mut counts: [u16; 4], body: &[u8], edns: Option<Edns>) -> Vec<u8> {
    let mut message = vec![0, 0];
    counts[3] += u16::from(edns.is_some());
    message.extend([flags].into_iter().chain(counts).flat_map(u16::to_be_bytes));
    message.extend(body);
    if let Some((payload, version, dnssec_ok, options)) = edns {
        message.extend(b"\0\0\x29");
        message.extend(payload.to_be_bytes());
        message.extend([0, version, if dnssec_ok { 0x80 } else { 0 }, 0]);
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
    }
    message
}

/// Other classes, operations, flags and transfers, and what is no query.
fn odd() -> Vec<Asked> {
    const NAME: &[u8] = b"\x04mail\x04rich\x07example\0";
    const APEX: &[u8] = b"\x04rich\x07example\0";
    let question = |name: &[u8], qtype: u16, class: u16| {
        [name, &qtype.to_be_bytes(), &class.to_be_bytes()].concat()
    };
    let a = &question(NAME, 1, 1);
    let soa = &question(APEX, 6, 1);
    let plain_opt = EDNS[1].1;
    let mut odd = Vec::new();
    let mut add = |kind: &str, qtype: u16, octets: Vec<u8>| {
        for is_tcp in [false, true] {
            let (kind, octets) = (kind.to_owned(), octets.clone());
            odd.push(Asked { kind, octets, is_tcp, is_odd: true, owner: Vec::new(), qtype });
        }
    };
    for class in [0, 2, 4, 254, 255, 65535] {
        add("class", 1, message(0x0100, [1, 0, 0, 0], &question(NAME, 1, class), plain_opt));
    }
    for name in [
        &b"\x02id\x06server\0"[..],
        b"\x08hostname\x04bind\0",
        b"\x07version\x04bind\0",
        b"\x07version\x06server\0",
        b"\x07authors\x04bind\0",
    ] {
        for qtype in [16, 1, 255] {
            add("class CH", qtype, message(0, [1, 0, 0, 0], &question(name, qtype, 3), None));
        }
    }
    for opcode in 1..16 {
        add(&format!("opcode {opcode}"), 6, message(opcode << 11, [1, 0, 0, 0], soa, plain_opt));
    }
    for flag in [0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x0003] {
        add("flags", 1, message(flag | 0x0100, [1, 0, 0, 0], a, plain_opt));
    }
    add("response", 1, message(0x8100, [1, 0, 0, 0], a, plain_opt));
    for qtype in [251, 252, 253, 254, 41, 249, 250, 0, 65535, 256, 100] {
        let octets = message(0, [1, 0, 0, 0], &question(APEX, qtype, 1), plain_opt);
        add(&format!("type {qtype}"), qtype, octets);
    }
    add("no question", 0, message(0, [0, 0, 0, 0], b"", None));
    add("no question", 0, message(0, [0, 0, 0, 0], b"", plain_opt));
    add("cookie alone", 0, message(0, [0, 0, 0, 0], b"", EDNS[5].1));
    add("two questions", 1, message(0, [2, 0, 0, 0], &[&a[..], soa].concat(), plain_opt));
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    for (kind, counts) in [("answer", [1, 1, 0, 0]), ("authority", [1, 0, 1, 0])] {
        add(kind, 1, message(0, counts, &[&a[..], record].concat(), plain_opt));
    }
    add("additional", 1, message(0, [1, 0, 0, 1], &[&a[..], record].concat(), plain_opt));
    add(
        "two OPT",
        1,
        message(
            0,
            [1, 0, 0, 1],
            &[&a[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat(),
            plain_opt,
        ),
    );
    add(
        "OPT below the root",
        1,
        message(
            0,
            [1, 0, 0, 1],
            &[&a[..], &[1, b'x', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat(),
            None,
        ),
    );
    let tsig = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\x65\x01\x02\x03\x01\x2c\
                 \0\x20abcdefghijklmnopqrstuvwxyzabcdef\0\0\0\0\0\0";
    add("TSIG", 1, message(0, [1, 0, 0, 1], &[&a[..], tsig].concat(), None));
    add("trailing", 1, [message(0, [1, 0, 0, 0], a, None), vec![0]].concat());
    add("trailing", 1, [message(0, [1, 0, 0, 0], a, plain_opt), vec![0; 3]].concat());
    add("compressed", 1, message(0, [1, 0, 0, 0], b"\x04mail\xc0\x0c\0\x01\0\x01", None));
    add("pointer", 1, message(0, [1, 0, 0, 0], b"\xc0\x0c\0\x01\0\x01", None));
    add("label type", 1, message(0, [1, 0, 0, 0], b"\x40\0\0\x01\0\x01", None));
    let too_long = question(&[[&[63][..], &[b'x'; 63]].concat().repeat(4), vec![0]].concat(), 1, 1);
    add("name too long", 1, message(0, [1, 0, 0, 0], &too_long, None));
    for options in [&b"\0\x03\0"[..], b"\0\x03\0\x09x", b"\0\x0a\0\x0112"[..5].as_ref()] {
        add("bad option", 1, message(0, [1, 0, 0, 0], a, Some((1232, 0, false, options))));
    }
    let whole = message(0, [1, 0, 0, 0], a, plain_opt);
    for len in [4, 11, 12, 13, 20, 30, whole.len() - 11, whole.len() - 1] {
        add("cut", 1, whole[..len].to_vec());
    }
    odd
}

//----------- Asking ---------------------------------------------------------

/// One of the servers, and the sockets to ask it with.
struct Party {
    name: &'static str,
    address: SocketAddr,
    socket: UdpSocket,

    /// Counts messages, for their IDs.
    count: u16,
}

/// A question that is always answered.
const SENTINEL: &[u8] = b"\x01\0\0\x01\0\0\0\0\0\0\x04rich\x07example\0\0\x06\0\x01";

impl Party {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        Party { name, address, socket, count: 0 }
    }

    /// Sends a message under a fresh ID, which is returned.
    fn send(&mut self, octets: &[u8]) -> [u8; 2] {
        self.count = self.count.wrapping_add(1);
        let id = self.count.to_be_bytes();
        let mut message = octets.to_vec();
        for (octet, id) in message.iter_mut().zip(id) {
            *octet = id;
        }
        self.socket.send(&message).unwrap();
        id
    }

    /// Waits for an answer to one of some messages.
    fn receive(&self, ids: &[[u8; 2]], patience: Duration) -> Option<([u8; 2], Vec<u8>)> {
        let deadline = Instant::now() + patience;
        let mut octets = vec![0; 65_535];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok(len) = self.socket.recv(&mut octets) else { continue };
            let id = ids.iter().find(|id| octets[..len].starts_with(&id[..]));
            if let Some(id) = id {
                return Some((*id, octets[..len].to_vec()));
            }
        }
    }

    /// Waits for the answer to a message, if there is one.
    fn answer(&mut self, id: [u8; 2], may_drop: bool) -> Option<Vec<u8>> {
        if !may_drop {
            let answer = self.receive(&[id], PATIENCE);
            return Some(answer.unwrap_or_else(|| panic!("{} does not answer", self.name)).1);
        }
        let sentinel = self.send(&[&[0, 0], SENTINEL].concat());
        let first = self.receive(&[id, sentinel], PATIENCE);
        match first.unwrap_or_else(|| panic!("{} does not answer", self.name)) {
            (found, octets) if found == id => Some(octets),
            _ => self.receive(&[id], GRACE).map(|(_, octets)| octets),
        }
    }

    /// Asks over a connection of its own; nothing where it is closed.
    fn tcp(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let frame = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
        let sentinel = frame(&[&[0xff, 0xff], SENTINEL].concat());
        stream.write_all(&[frame(octets), sentinel].concat()).ok()?;
        let mut read = || {
            let mut len = [0; 2];
            stream.read_exact(&mut len).ok()?;
            let mut octets = vec![0; u16::from_be_bytes(len).into()];
            stream.read_exact(&mut octets).ok()?;
            Some(octets)
        };
        let is_sentinel = |octets: &Vec<u8>| octets.starts_with(&[0xff, 0xff]);
        read().filter(|octets| !is_sentinel(octets))
    }
}

/// Asks all parties, and returns what each sends back.
fn ask(parties: &mut [Party; 3], asked: &Asked) -> [Option<Vec<u8>>; 3] {
    if asked.is_tcp {
        return parties.each_ref().map(|party| party.tcp(&asked.octets));
    }
    let ids = parties.each_mut().map(|party| party.send(&asked.octets));
    let mut at = 0;
    parties.each_mut().map(|party| {
        let id = ids[at];
        at += 1;
        party.answer(id, asked.is_odd).map(|octets| [&[0, 0], &octets[2..]].concat())
    })
}

//----------- Servers --------------------------------------------------------

fn start_ours(folder: &Path) -> Server {
    for (origin, text) in ZONES {
        let zone = folder.join("zones").join(origin);
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("records.zone"), text).unwrap();
    }
    std::fs::write(folder.join("regions.toml"), "default = 'a'\n[regions.a]\n").unwrap();
    let config = "[server]\nlisten = ['127.0.0.1:0']\nidentity = 'ns1'\nversion = 'v'\n\
                  watch = false\n[geoip]\ndatabases = []\nregions = 'regions.toml'\n";
    let path = folder.join("trunkdns.toml");
    std::fs::write(&path, config).unwrap();
    Server::start(&path)
}

/// A server that others wrote; it is stopped when this is dropped.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    fn start_knot(folder: &Path) -> Self {
        let port = free_port();
        let folder_text = folder.display();
        let mut config = format!(
            "server:\n  rundir: \"{folder_text}\"\n  listen: 127.0.0.1@{port}\n  identity: ns1\n  \
             version: v\n  nsid: ns1\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\n\
             database:\n  storage: \"{folder_text}/knot\"\n\
             log:\n  - target: stderr\n    any: error\n\
             template:\n  - id: default\n    semantic-checks: off\n    journal-content: none\n    \
             zonefile-sync: -1\nzone:\n"
        );
        for (origin, _) in ZONES {
            config += &format!(
                "  - domain: {origin}\n    file: \"{folder_text}/zones/{origin}/records.zone\"\n"
            );
        }
        let path = folder.join("knot.conf");
        std::fs::write(&path, config).unwrap();
        Self::start("knotd", &["-c"], &path, port)
    }

    fn start_nsd(folder: &Path) -> Self {
        let port = free_port();
        let folder_text = folder.display();
        let mut config = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  port: {port}\n  username: \"\"\n  \
             chroot: \"\"\n  zonesdir: \"{folder_text}\"\n  pidfile: \"\"\n  database: \"\"\n  \
             zonelistfile: \"{folder_text}/nsd.list\"\n  xfrdfile: \"{folder_text}/nsd.xfrd\"\n  \
             xfrdir: \"{folder_text}\"\n  server-count: 1\n  identity: ns1\n  version: v\n  \
             nsid: ascii_ns1\n  rrl-ratelimit: 0\n  round-robin: no\n\
             remote-control:\n  control-enable: no\n"
        );
        for (origin, _) in ZONES {
            config +=
                &format!("zone:\n  name: {origin}\n  zonefile: zones/{origin}/records.zone\n");
        }
        let path = folder.join("nsd.conf");
        std::fs::write(&path, config).unwrap();
        Self::start("nsd", &["-d", "-c"], &path, port)
    }

    fn start(program: &str, arguments: &[&str], config: &Path, port: u16) -> Self {
        let spawn = |program: String| {
            let mut command = Command::new(program);
            command.args(arguments).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
        };
        let child = spawn(program.to_owned()).or_else(|_| spawn(format!("/usr/sbin/{program}")));
        let peer = Peer { child: child.unwrap(), address: ([127, 0, 0, 1], port).into() };
        let deadline = Instant::now() + PATIENCE;
        while !peer.serves() {
            assert!(Instant::now() < deadline, "{program} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        peer
    }

    /// Says whether the zone with the most records is loaded.
    fn serves(&self) -> bool {
        let mut party = Party::new("a server", self.address);
        let id = party.count.wrapping_add(1).to_be_bytes();
        let message = [&id[..], SENTINEL].concat();
        if party.socket.send(&message).is_err() {
            return false;
        }
        party.count += 1;
        let answer = party.receive(&[id], Duration::from_millis(200));
        let seen = answer.and_then(|(_, octets)| decoders::by_domain(&octets).ok());
        seen.is_some_and(|seen| seen.rcode == 0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // NSD's own processes end with the one that was started, if it is asked.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        server::end(&mut self.child, PATIENCE);
    }
}
