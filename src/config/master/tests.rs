//! Master files, feature by feature and finding by finding.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::rdata::from_text;
use super::*;

const ZONE: &str = "carrier.example.com.";

fn name(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap()
}

/// What came out of reading some files, the first of which is the zone's.
struct Outcome {
    /// `owner TTL type`, in order.
    records: Vec<String>,

    /// `file:line:column code`, in order.
    findings: Vec<String>,

    /// `message; help` of each of these.
    texts: Vec<String>,

    raw: Vec<Record>,
    sources: Sources,
}

fn read_files(files: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut sources = Sources::default();
    let mut report = Report::default();
    let path = folder.path().join(files[0].0);
    let raw = read_master(&mut sources, &path, &name(ZONE), &mut report);
    let prefix = format!("{}/", folder.path().display());
    let show = |record: &Record| format!("{} {} {}", record.owner, record.ttl, record.rtype);
    Outcome {
        records: raw.iter().map(show).collect(),
        findings: report
            .findings()
            .iter()
            .map(|finding| format!("{} {}", finding.locator(&sources), finding.code))
            .map(|line| line.replace(&prefix, ""))
            .collect(),
        texts: report
            .findings()
            .iter()
            .map(|finding| format!("{}; {}", finding.message, finding.help))
            .map(|line| line.replace(&prefix, ""))
            .collect(),
        raw,
        sources,
    }
}

fn read(text: &str) -> Outcome {
    read_files(&[("z", text)])
}

/// Returns the records of a text in which nothing is wrong.
fn records(text: &str) -> Vec<String> {
    let outcome = read(text);
    assert_eq!(outcome.texts, [""; 0], "{text}");
    outcome.records
}

/// Returns the findings of a text that begins with `$TTL 60` on line 1.
fn findings(text: &str) -> Vec<String> {
    read(&format!("$TTL 60\n{text}")).findings
}

//--- What is read

#[test]
fn the_example_of_rfc_1035_section_5_3_is_read() {
    let outcome = read_files(&[
        (
            "z",
            "$TTL 60\n\
             @   IN  SOA     VENERA      Action\\.domains (\n\
             \x20                                20     ; SERIAL\n\
             \x20                                7200   ; REFRESH\n\
             \x20                                600    ; RETRY\n\
             \x20                                3600000; EXPIRE\n\
             \x20                                60)    ; MINIMUM\n\
             \n\
             \x20       NS      A.ISI.EDU.\n\
             \x20       NS      VENERA\n\
             \x20       MX      10      VENERA\n\
             A       A       26.3.0.103\n\
             VENERA  A       10.1.0.52\n\
             \x20       A       128.9.0.32\n\
             $INCLUDE sub/mailboxes.txt",
        ),
        (
            "sub/mailboxes.txt",
            "MOE     MB      A.ISI.EDU.\nSTOOGES MG      MOE\n\x20       MG      LARRY\n",
        ),
    ]);
    assert_eq!(outcome.texts, [""; 0]);
    let z = ZONE;
    assert_eq!(
        outcome.records,
        [
            format!("{z} 60 SOA"),
            format!("{z} 60 NS"),
            format!("{z} 60 NS"),
            format!("{z} 60 MX"),
            format!("A.{z} 60 A"),
            format!("VENERA.{z} 60 A"),
            format!("VENERA.{z} 60 A"),
            format!("MOE.{z} 60 MB"),
            format!("STOOGES.{z} 60 MG"),
            format!("STOOGES.{z} 60 MG"),
        ]
    );
    let soa = from_text(Rtype::SOA, "venera action\\.domains 20 7200 600 3600000 60", &name(ZONE));
    assert!(outcome.raw[0].rdata.eq_ignore_ascii_case(&soa.unwrap()));
    let position = outcome.sources.position(outcome.raw[9].span);
    assert_eq!((position.line, position.column), (3, 9));
}

#[test]
fn a_record_has_the_span_of_its_first_line() {
    let text = "$TTL 60\nsbc1 A 192.0.2.1 ; x\n  TXT ( a ; y\n b )\n";
    let spans: Vec<_> = read(text)
        .raw
        .iter()
        .map(|record| &text[record.span.start as usize..record.span.end as usize])
        .collect();
    assert_eq!(spans, ["sbc1 A 192.0.2.1", "TXT ( a"]);
}

#[test]
fn ttl_and_class_come_in_either_order_or_not_at_all() {
    let expected = [format!("a.{ZONE} 5400 A")];
    for text in [
        "a 5400 IN A 192.0.2.1",
        "a IN 5400 A 192.0.2.1",
        "a in 1h30m a 192.0.2.1",
        "a 5400 CLASS1 TYPE1 192.0.2.1",
        "$TTL 90m\na A 192.0.2.1",
        "\u{feff}a 5400 A 192.0.2.1",
        "a 5400 A 192.0.2.1\r\n",
        "\r\na\t5400\tA\t(\r\n192.0.2.1\r\n)\r\n",
        "$ORIGIN com.\n$ORIGIN carrier.example\na 5400 A 192.0.2.1",
        "$origin a.carrier.example.com.\n@ 5400 A 192.0.2.1",
        "\\097 5400 A 192.0.2.1",
        "a 5400 A \\# 4 c0000201",
    ] {
        assert_eq!(records(text), expected, "{text}");
    }
}

#[test]
fn a_missing_ttl_is_that_of_the_directive_or_else_the_last() {
    let ttls = |text| read(text).raw.iter().map(|record| record.ttl).collect::<Vec<_>>();
    assert_eq!(
        ttls("a 5 A 192.0.2.1\nb A 192.0.2.1\nc 7 A 192.0.2.1\nd A 192.0.2.1"),
        [5, 5, 7, 7]
    );
    assert_eq!(ttls("$TTL 9\na 5 A 192.0.2.1\nb A 192.0.2.1\n$TTL 8\nc A 192.0.2.1"), [5, 9, 8]);
}

#[test]
fn odd_owners_are_read() {
    assert_eq!(
        records("$TTL 60\n* A 192.0.2.1\n\\@ A 192.0.2.1\n\\$ttl A 192.0.2.1\na\\.b A 192.0.2.1"),
        [
            format!("*.{ZONE} 60 A"),
            format!("\\@.{ZONE} 60 A"),
            format!("\\$ttl.{ZONE} 60 A"),
            format!("a\\.b.{ZONE} 60 A"),
        ]
    );
}

#[test]
fn an_included_file_changes_nothing_behind_it() {
    let outcome = read_files(&[
        (
            "z",
            "$TTL 60\na A 192.0.2.1\n$INCLUDE \"d/i\" us\n  A 192.0.2.2\n$INCLUDE d/i\n\
             b A 192.0.2.1",
        ),
        ("d/i", "  TXT x\n$TTL 70\n$ORIGIN in\nc 5 TXT y\n$INCLUDE j\n"),
        ("d/j", "@ TXT z"),
    ]);
    // The text of `a` is included twice.
    assert_eq!(outcome.findings, ["d/i:1:3 duplicate-record"]);
    assert_eq!(
        outcome.records,
        [
            format!("a.{ZONE} 60 A"),
            format!("a.{ZONE} 60 TXT"),
            format!("c.in.us.{ZONE} 5 TXT"),
            format!("in.us.{ZONE} 70 TXT"),
            format!("a.{ZONE} 60 A"),
            format!("c.in.{ZONE} 5 TXT"),
            format!("in.{ZONE} 70 TXT"),
            format!("b.{ZONE} 60 A"),
        ]
    );
}

//--- What is found

#[test]
fn all_errors_are_reported_and_good_records_kept() {
    let outcome = read(
        "$TTL 60\n\
         a A 192.0.2.1\n\
         b A 192.0.2.256\n\
         c SRV 10 100 sbc1\n\
         d NOPE x\n\
         \x20 TXT \"open\n\
         e..f A 192.0.2.1\n\
         \x20 A 192.0.2.300\n\
         g A 192.0.2.1\n",
    );
    assert_eq!(
        outcome.findings,
        [
            "z:3:5 bad-rdata",
            "z:4:14 bad-rdata",
            "z:5:3 master-syntax",
            "z:6:7 master-syntax",
            "z:7:1 bad-name",
            "z:8:5 bad-rdata",
        ]
    );
    assert_eq!(outcome.records, [format!("a.{ZONE} 60 A"), format!("g.{ZONE} 60 A")]);
    assert_eq!(
        outcome.texts[1],
        "expected the port (a number from 0 to 65535), found `sbc1`; \
         write SRV data as `priority weight port target`"
    );
}

#[test]
fn each_finding_has_its_code_and_place() {
    let label = "x".repeat(64);
    let long = [&"x".repeat(60)[..]; 4].join(".");
    for (text, expected) in [
        ("a CH A 192.0.2.1", "z:2:3 master-syntax"),
        ("a IN IN A 192.0.2.1", "z:2:6 master-syntax"),
        ("a 1 2 A 192.0.2.1", "z:2:5 master-syntax"),
        ("a ANY x", "z:2:3 master-syntax"),
        ("a OPT x", "z:2:3 master-syntax"),
        ("a AXFR", "z:2:3 master-syntax"),
        ("a TSIG x", "z:2:3 master-syntax"),
        ("a", "z:2:2 master-syntax"),
        ("a 60 IN", "z:2:8 master-syntax"),
        ("\"a\" A 192.0.2.1", "z:2:1 bad-name"),
        ("bücher A 192.0.2.1", "z:2:1 bad-name"),
        ("a\\300 A 192.0.2.1", "z:2:1 bad-name"),
        (&*format!("{label} A 192.0.2.1"), "z:2:1 label-too-long"),
        (&*format!("{long} A 192.0.2.1"), "z:2:1 name-too-long"),
        (&*format!("a CNAME {label}"), "z:2:9 label-too-long"),
        (&*format!("a CNAME {long}"), "z:2:9 name-too-long"),
        ("a 0 A 192.0.2.1", "z:2:3 bad-ttl"),
        ("a 2147483648 A 192.0.2.1", "z:2:3 bad-ttl"),
        ("a 99999w A 192.0.2.1", "z:2:3 bad-ttl"),
        ("$TTL 0", "z:2:6 bad-ttl"),
        ("$TTL x", "z:2:6 bad-ttl"),
        ("a.example. A 192.0.2.1", "z:2:1 outside-zone"),
        ("example.com. A 192.0.2.1", "z:2:1 outside-zone"),
        ("  A 192.0.2.1\n  A 192.0.2.2", "z:2:3 master-syntax"),
        ("a A 192.0.2.1 192.0.2.2", "z:2:15 bad-rdata"),
        ("a A", "z:2:4 bad-rdata"),
        ("a CERT 1", "z:2:8 bad-rdata"),
        ("$GENERATE 1-9 a$ A 192.0.2.$", "z:2:1 master-syntax"),
        ("$NOPE", "z:2:1 master-syntax"),
        ("$ORIGIN", "z:2:8 master-syntax"),
        ("$ORIGIN a b", "z:2:11 master-syntax"),
        ("$ORIGIN a..", "z:2:9 bad-name"),
        ("$INCLUDE nope", "z:2:10 file-unreadable"),
        ("$INCLUDE z", "z:2:10 master-syntax"),
        ("$INCLUDE ./z a..b", "z:2:14 bad-name"),
        ("a TXT x)", "z:2:8 master-syntax"),
        ("a TXT (x", "z:2:7 master-syntax"),
        ("a TXT \"x", "z:2:7 master-syntax"),
        ("a TXT x\\", "z:2:8 master-syntax"),
        ("a TXT x\0\0", "z:2:8 master-syntax"),
        ("a TXT \"x\u{7}\"", "z:2:9 master-syntax"),
        ("sbc1.carrier.example.com A 192.0.2.1", "z:2:1 missing-dot"),
        ("carrier.example.com A 192.0.2.1", "z:2:1 missing-dot"),
        ("$ORIGIN us\nsbc1.Carrier.example.com A 192.0.2.1", "z:3:1 missing-dot"),
        ("a SRV 1 1 1 sbc1.carrier.example.com", "z:2:13 missing-dot"),
        ("a MX 1 sbc1.carrier.example.com", "z:2:8 missing-dot"),
        ("a TXT x\nA TXT x", "z:3:1 duplicate-record"),
    ] {
        assert_eq!(findings(text), [expected], "{text}");
    }
}

#[test]
fn texts_say_what_was_expected_and_what_to_do() {
    for (text, expected) in [
        (
            " A 192.0.2.1",
            "expected an owner, as no record stands before this one; \
             begin the first record in the first column with its owner, such as `@`",
        ),
        (
            "a CH A 192.0.2.1",
            "expected class IN, found CH; only class IN is served; remove the record",
        ),
        (
            "$GENERATE 1-9 a$ A 192.0.2.$",
            "$GENERATE isn't supported; write the records out, one by one",
        ),
        (
            "b.example. A 192.0.2.1",
            "expected a name within carrier.example.com., found b.example.; \
             move the record to the zone it belongs to, or mend the name or `$ORIGIN`",
        ),
        (
            "a.carrier.example.com A 192.0.2.1",
            "`a.carrier.example.com` has no final dot and so is \
             a.carrier.example.com.carrier.example.com.; \
             write `a.carrier.example.com.`, or leave the zone's name out",
        ),
        (
            "a 0 A 192.0.2.1",
            "expected a TTL from 1 to 2147483647, found `0`; \
             write at least 1: with TTL 0 calls fail, as SIP stacks find nothing cached",
        ),
    ] {
        assert_eq!(read(&format!("$TTL 60\n{text}")).texts, [expected]);
    }
}

#[test]
fn a_ttl_that_nothing_states_is_reported_once() {
    let outcome = read("a A 192.0.2.1\nb A 192.0.2.1\n  TXT x\n");
    assert_eq!(outcome.findings, ["z:1:3 bad-ttl"]);
    assert!(outcome.texts[0].contains("add a `$TTL` line"));
    assert_eq!(outcome.records.len(), 3);
}

#[test]
fn a_parenthesis_left_open_costs_one_entry() {
    let outcome = read(
        "$TTL 60\n\
         @ SOA ns1 host ( 1 2\n\
         \x20 3 4 5\n\
         a A 192.0.2.1\n\
         @ MX ( 10 mx )\n\
         b TXT ( x\n\
         ; comment )\n\
         c A 192.0.2.1\n",
    );
    assert_eq!(outcome.findings, ["z:2:16 master-syntax", "z:6:7 master-syntax"]);
    assert!(outcome.texts[0].starts_with("found a parenthesis that is not closed before"));
    assert!(outcome.texts[1].starts_with("found a parenthesis that is never closed"));
    assert_eq!(
        outcome.records,
        [format!("a.{ZONE} 60 A"), format!("{ZONE} 60 MX"), format!("c.{ZONE} 60 A")]
    );
}

#[test]
fn records_of_an_owner_that_cannot_be_read_go_to_no_other() {
    let outcome = read("$TTL 60\na A 192.0.2.1\nb..c A 192.0.2.1\n  TXT x\n");
    assert_eq!(outcome.findings, ["z:3:1 bad-name"]);
    assert_eq!(outcome.records, [format!("a.{ZONE} 60 A")]);
    // The same for an owner of another zone, reported once.
    let outcome = read("$TTL 60\na.example. A 192.0.2.1\n  TXT x\n");
    assert_eq!(outcome.findings, ["z:2:1 outside-zone"]);
    assert_eq!(outcome.records, [""; 0]);
}

#[test]
fn includes_are_bounded_and_findings_are_in_their_file() {
    let outcome = read_files(&[("z", "$TTL 60\n$INCLUDE i\n"), ("i", "\na A x\n$INCLUDE z")]);
    assert_eq!(outcome.findings, ["i:2:5 bad-rdata", "i:3:10 master-syntax"]);

    let files: Vec<_> =
        (0..12).map(|at| (format!("f{at}"), format!("$INCLUDE f{}", at + 1))).collect();
    let files: Vec<_> = files.iter().map(|(file, text)| (&file[..], &text[..])).collect();
    assert_eq!(read_files(&files).findings, ["f8:1:10 master-syntax"]);

    let many = "$INCLUDE i\n".repeat(INCLUDES_MAX + 5);
    let outcome = read_files(&[("z", &many), ("i", "")]);
    assert_eq!(outcome.findings, [format!("z:{}:10 master-syntax", INCLUDES_MAX + 1)]);
}

#[test]
fn the_zones_file_that_is_missing_is_named() {
    let mut report = Report::default();
    let path = Path::new("/nowhere/records.zone");
    read_master(&mut Sources::default(), path, &name(ZONE), &mut report);
    let finding = report.findings()[0];
    assert_eq!(finding.code, Code::FileUnreadable);
    assert_eq!(finding.place, path.to_owned().into());
}

#[test]
fn findings_are_bounded_and_errors_are_not_crowded_out() {
    let outcome = read(&"a A x\n".repeat(ERRORS_MAX + 10));
    assert_eq!(outcome.findings.len(), ERRORS_MAX + 1);
    assert!(outcome.texts.iter().any(|text| text.starts_with("more than 1000 errors")));

    let mut text = "$TTL 60\n".to_owned();
    for at in 0..WARNINGS_MAX + 10 {
        let _ = writeln!(text, "x{at} CNAME a.carrier.example.com");
    }
    let outcome = read(&(text + "a A x\n"));
    assert_eq!(outcome.findings.len(), WARNINGS_MAX + 1);
    assert!(outcome.findings.last().unwrap().ends_with("bad-rdata"));
}

#[test]
fn duplicates_with_another_ttl_are_kept() {
    let outcome = read("a 5 A 192.0.2.1\na 6 A 192.0.2.1\na 5 A 192.0.2.1\n");
    assert_eq!(outcome.records, [format!("a.{ZONE} 5 A"), format!("a.{ZONE} 6 A")]);
    assert_eq!(outcome.findings, ["z:3:1 duplicate-record"]);
}

#[test]
fn a_line_of_a_megabyte_is_read_in_reasonable_time() {
    let outcome = read(&format!("$TTL 60\na TXT {}\nb A 192.0.2.1", "x ".repeat(500_000)));
    assert_eq!(outcome.findings, ["z:2:65541 bad-rdata"]);
    assert_eq!(outcome.records, [format!("b.{ZONE} 60 A")]);
    let outcome = read(&"(\n".repeat(500_000));
    assert_eq!(outcome.findings.len(), ERRORS_MAX + 1);
    let outcome = read(&format!("{} 60 A 192.0.2.1", "x".repeat(1_000_000)));
    assert_eq!(outcome.findings, ["z:1:1 label-too-long"]);
    assert!(outcome.texts[0].len() < 300);
}

#[test]
fn a_carriers_zone_is_read_whole() {
    let outcome = read(include_str!("../../../tests/data/carrier.zone"));
    assert_eq!(outcome.texts, [""; 0]);
    let count = |rtype| outcome.raw.iter().filter(|record| record.rtype == rtype).count();
    assert_eq!(outcome.raw.len(), 44);
    assert_eq!((count(Rtype::SOA), count(Rtype::NS), count(Rtype::SRV)), (1, 2, 12));
    assert_eq!((count(Rtype::A), count(Rtype::AAAA), count(Rtype::NAPTR)), (9, 6, 3));
    let srv = &outcome.raw.iter().find(|record| record.rtype == Rtype::SRV).unwrap();
    assert_eq!((srv.owner.to_string(), srv.ttl), (format!("_sip._udp.{ZONE}"), 60));
    let expected = from_text(Rtype::SRV, "10 60 5060 sbc1.us-east", &name(ZONE)).unwrap();
    assert_eq!(srv.rdata, expected);
}

proptest! {
    #[test]
    fn no_text_panics_and_all_spans_lie_in_the_file(text in any_text()) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("z"), text.clone());
        let mut report = Report::default();
        let apex = name("example.");
        let mut reader = Reader::new(&mut sources, &apex, &mut report);
        reader.read_file(file, &mut State::new(&apex));
        reader.drop_duplicates();
        let mut spans: Vec<_> = reader.records.iter().map(|record| record.span).collect();
        for finding in report.findings() {
            let crate::diag::Place::Span(span) = finding.place else { panic!("{finding:?}") };
            spans.push(span);
        }
        for span in spans {
            prop_assert!(span.start <= span.end && span.end as usize <= text.len());
            prop_assert!(text.is_char_boundary(span.start as usize));
            prop_assert!(text.is_char_boundary(span.end as usize));
        }
        report.render(&sources, false);
    }
}

/// Texts of pieces that mean something, and of any characters.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r\n",
        " ",
        "\t",
        "(",
        ")",
        "\"",
        ";",
        "\\",
        "\\#",
        "\\065",
        "@",
        "$TTL",
        "$ORIGIN",
        "$INCLUDE",
        "/nowhere",
        "a",
        "a.example",
        "a.example.",
        "A",
        "AAAA",
        "SRV",
        "TXT",
        "SOA",
        "SVCB",
        "NSEC",
        "IN",
        "CH",
        "60",
        "0",
        "192.0.2.1",
        "::1",
        "alpn=",
        "é",
        "\0",
        "\u{feff}",
        "..",
    ]);
    let pieces = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, any::<String>()]
}

/// Not a test of behaviour: prints how long a million records take.
#[test]
#[ignore = "a measurement, for `cargo test --release -- --ignored --nocapture`"]
#[expect(clippy::print_stdout)]
fn a_million_records() {
    let mut text = "$TTL 60\n".to_owned();
    for at in 0..500_000 {
        let _ = writeln!(text, "sbc{at} 300 IN A 10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
        let _ = writeln!(text, "_sip._udp.n{at} SRV 10 100 5060 sbc{at}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("z");
    std::fs::write(&path, &text).unwrap();
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let start = std::time::Instant::now();
    let records = read_master(&mut sources, &path, &name(ZONE), &mut report);
    println!("{} records, {} octets: {:?}", records.len(), text.len(), start.elapsed());
    assert_eq!(records.len(), 1_000_000);
}
