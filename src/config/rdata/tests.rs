//! Record data, type by type.

use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::BinEncodable;

use super::*;

fn origin() -> Name {
    Name::parse("carrier.example.com.", &Name::root()).unwrap()
}

fn data(rtype: &str, text: &str) -> Result<Box<[u8]>, String> {
    from_text(rtype.parse().unwrap(), text, &origin())
}

fn hex(rtype: &str, text: &str) -> String {
    let octets = data(rtype, text).unwrap_or_else(|error| panic!("{rtype} {text}: {error}"));
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Joins octets written as text.
fn wire(parts: &[&[u8]]) -> Box<[u8]> {
    parts.concat().into()
}

const ORIGIN: &[u8] = b"\x07carrier\x07example\x03com\0";

#[test]
fn data_of_types_with_names_takes_the_origin_and_keeps_the_case() {
    let sbc1 = [b"\x04SbC1", ORIGIN].concat();
    for rtype in ["NS", "CNAME", "PTR", "DNAME", "MB"] {
        assert_eq!(data(rtype, "SbC1").unwrap(), sbc1.clone().into(), "{rtype}");
    }
    assert_eq!(data("NS", "@").unwrap(), ORIGIN.into());
    assert_eq!(data("NS", ".").unwrap(), b"\0"[..].into());
    assert_eq!(data("MX", "10 SbC1").unwrap(), wire(&[b"\0\x0a", &sbc1]));
    assert_eq!(data("AFSDB", "1 SbC1").unwrap(), wire(&[b"\0\x01", &sbc1]));
    assert_eq!(data("KX", "2 SbC1").unwrap(), wire(&[b"\0\x02", &sbc1]));
    assert_eq!(data("RP", "SbC1 .").unwrap(), wire(&[&sbc1, b"\0"]));
    assert_eq!(data("SRV", "10 100 5060 SbC1").unwrap(), wire(&[b"\0\x0a\0\x64\x13\xc4", &sbc1]));
    assert_eq!(
        data("NAPTR", r#"10 20 "s" "SIP+D2U" "" _sip._udp"#).unwrap(),
        wire(&[b"\0\x0a\0\x14\x01s\x07SIP+D2U\0\x04_sip\x04_udp", ORIGIN])
    );
}

#[test]
fn data_without_names_becomes_the_octets_of_its_rfc() {
    for (rtype, text, expected) in [
        ("A", "198.51.100.11", "c633640b"),
        ("AAAA", "2001:db8::1", "20010db8000000000000000000000001"),
        ("TXT", r#""a b" c \100 "\";""#, "03612062016301640222 3b"),
        ("SPF", "a", "0161"),
        ("HINFO", "x86 \"a b\"", "0378383603612062"),
        ("CAA", "0 issue \"ca.example\"", "00056973737565 63612e6578616d706c65"),
        ("TLSA", "3 1 1 00ff AA", "03010100ffaa"),
        ("SMIMEA", "3 1 1 00ff", "03010100ff"),
        ("SSHFP", "4 2 00 ff", "040200ff"),
        ("DS", "60485 5 1 2BB1 83AF", "ec4505012bb183af"),
        ("DLV", "60485 5 1 2BB1", "ec4505012bb1"),
        ("DNSKEY", "257 3 13 AQID BAU=", "0101030d0102030405"),
        ("NSEC3PARAM", "1 0 0 -", "0100000000"),
        ("URI", "10 1 \"sip:a\"", "000a00017369703a61"),
        // The first example of RFC 1876 section 4, and the ends of its ranges.
        ("LOC", "42 21 54 N 71 06 18 W -24m 30m", "00331613 89172dd0 70be15f0 00988d20"),
        ("LOC", "90 S 180 0 0.000 W 0", "00121613 6cb02700 59604e00 00989680"),
        ("LOC", "1 S 1 E 42849672.95m 0 90000000m", "00009913 7fc91180 8036ee80 ffffffff"),
        ("SVCB", "1 . alpn=\"h2,h3\" port=5061", "0001000001000602683202683300030002 13c5"),
        ("HTTPS", "0 .", "000000"),
        ("TYPE65280", "\\# 3 0a 0b0c", "0a0b0c"),
        ("TYPE65280", "\\# 0", ""),
        ("A", "\\# 4 c6336401", "c6336401"),
        ("SRV", "\\# 7 000a006413c400", "000a006413c400"),
    ] {
        assert_eq!(hex(rtype, text), expected.replace(' ', ""), "{rtype} {text}");
    }
}

#[test]
fn signatures_and_denials_are_read() {
    // RFC 4034 sections 3.3 and 4.3, with a short signature.
    assert_eq!(
        hex("RRSIG", "A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1"),
        "0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 076578616d706c6503636f6d00 a09075"
            .replace(' ', "")
    );
    assert_eq!(
        hex("NSEC", "host.example.com. A MX RRSIG NSEC TYPE1234"),
        "04686f7374076578616d706c6503636f6d00 0006400100000003 041b \
         000000000000000000000000000000000000000000000000000020"
            .replace(' ', "")
    );
    // RFC 5155 appendix A.
    assert_eq!(
        hex("NSEC3", "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr A"),
        "0101000c04aabbccdd14174eb2409fe28bcb4887a1836f957f0a8425e27b000140".replace(' ', "")
    );
}

#[test]
fn the_octets_are_those_of_another_library() {
    for (rtype, text) in [
        ("A", "198.51.100.11"),
        ("AAAA", "2001:db8::1"),
        ("MX", "10 mx.example."),
        ("SOA", "ns1.example. hostmaster.other. 1 2 3 4 5"),
        ("TXT", "\"a b\" c"),
        ("SRV", "10 100 5060 sbc1.example."),
        ("NAPTR", r#"10 20 "s" "SIP+D2U" "" _sip._udp.example."#),
        ("CAA", "0 issue \"ca.example\""),
        ("TLSA", "3 1 1 00ff"),
        ("SVCB", "1 sbc.example. alpn=h2 port=5061 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"),
        ("HTTPS", "1 . alpn=h2"),
        ("SSHFP", "4 2 00ff"),
    ] {
        let theirs = RData::try_from_str(rtype.parse().unwrap(), text).unwrap();
        assert_eq!(&data(rtype, text).unwrap()[..], theirs.to_bytes().unwrap(), "{rtype}");
    }
}

#[test]
fn times_of_an_soa_may_have_units() {
    let plain = data("SOA", "ns1 host 2026010101 10800 3600 604800 30").unwrap();
    assert_eq!(data("SOA", "ns1 host 2026010101 3h 1H 1w 30s").unwrap(), plain);
    assert!(plain.ends_with(b"\0\0\x2a\x30\0\0\x0e\x10\0\x09\x3a\x80\0\0\0\x1e"));
    assert_eq!(read_seconds("1h30m"), Some(5400));
    assert_eq!(read_seconds("1w2d3h4m5s"), Some(788_645));
    assert_eq!(read_seconds("99999999999999999999"), Some(u64::MAX));
    for bad in ["", "h", "1hm", "1x", "-1", "1.5h"] {
        assert_eq!(read_seconds(bad), None, "{bad}");
    }
}

#[test]
fn a_message_names_the_field_and_the_shape() {
    for (rtype, text, expected) in [
        (
            "SRV",
            "10 100 sbc1",
            "expected the port (a number from 0 to 65535), found `sbc1`; \
             write SRV data as `priority weight port target`",
        ),
        (
            "SRV",
            "10 100 5060",
            "expected the target (a domain name), found the end of the entry; \
             write SRV data as `priority weight port target`",
        ),
        (
            "MX",
            "10 mx extra",
            "expected the end of the entry after the MX data, found `extra`; \
             write MX data as `preference server`",
        ),
        (
            "A",
            "198.51.100.256",
            "expected the address (an IPv4 address), found `198.51.100.256`; \
             write A data as `address`",
        ),
        (
            "NS",
            "a..b",
            "expected the server (a domain name), found `a..b`: an empty label; \
             write labels with single dots between them",
        ),
        (
            "TYPE65280",
            "x",
            "expected data of type TYPE65280 in the generic format, found `x`; \
             write the data of type TYPE65280 as `\\# length octets` (RFC 3597 section 5)",
        ),
        (
            "A",
            "\\# 3 010203",
            "expected octets in hexadecimal, found `010203`: \
             octets that are no data of this type; \
             write generic data as `\\# length octets` (RFC 3597 section 5)",
        ),
    ] {
        assert_eq!(data(rtype, text), Err(expected.to_owned()), "{rtype} {text}");
    }
}

#[test]
fn data_that_its_type_cannot_have_is_refused() {
    let long = "a".repeat(256);
    for (rtype, text) in [
        ("A", ""),
        ("A", "::1"),
        ("AAAA", "192.0.2.1"),
        ("TXT", ""),
        ("TXT", &*format!("\"{long}\"")),
        ("TXT", "\\256"),
        ("SRV", "65536 0 0 ."),
        ("SRV", "-1 0 0 ."),
        ("NS", "\"ns1\""),
        ("NS", "bücher"),
        ("LOC", "90 0 0.001 N 0 E 0"),
        ("LOC", "N 0 E 0"),
        ("LOC", "1 60 N 0 E 0"),
        ("LOC", "1 1 1 1 N 0 E 0"),
        ("LOC", "1 1 -1 N 0 E 0"),
        ("LOC", "1 N 1 E"),
        ("LOC", "1 N 1 E -100001m"),
        ("LOC", "1 N 1 E 0 -1m"),
        ("LOC", "1 N 1 E 0 90000001m 1 1 1"),
        ("DS", "60485 5 1"),
        ("DNSKEY", "257 3 13"),
        ("TLSA", "3 1 1 0"),
        ("SVCB", "1 . alpn=h2 alpn=h3"),
        ("SVCB", "1 . nosuchkey=1"),
        ("TYPE65280", "\\# 2 00"),
        ("TYPE65280", "\\# 1 zz"),
        // The name is a compression pointer to itself.
        ("NS", "\\# 2 c000"),
        ("SRV", "\\# 8 000a006413c400 00"),
    ] {
        assert!(data(rtype, text).is_err(), "{rtype} {text}");
    }
}

#[test]
fn a_text_holds_one_record_only() {
    for text in ["192.0.2.1\n192.0.2.2", "192.0.2.1 ; x", "(192.0.2.1)", "192.0.2.1\r"] {
        let error = data("A", text).unwrap_err();
        assert!(error.starts_with("expected the data of one A record, found a "), "{error}");
    }
    assert!(data("TXT", "\"a\nb\"").is_err());
    assert!(data("TXT", "\"a").is_err());
    assert!(data("TXT", "a\\").is_err());
    assert_eq!(data("TXT", "\"(;)\"").unwrap(), b"\x03(;)"[..].into());
}

#[test]
fn oversized_data_is_refused_and_nothing_panics() {
    let hints = format!("1 . ipv6hint={}", vec!["::"; 100_000].join(","));
    let key = format!("1 . key65280={}", "x".repeat(70_000));
    let string = format!("\"{}\" ", "x".repeat(255));
    for (rtype, text) in [
        ("SVCB", hints),
        ("SVCB", key),
        ("TXT", string.repeat(300)),
        ("DNSKEY", format!("257 3 13 {}", "AAAA".repeat(30_000))),
        ("DS", format!("1 5 1 {}", "00".repeat(70_000))),
        ("TLSA", format!("3 1 1 {}", "00".repeat(70_000))),
        ("OPENPGPKEY", "AAAA".repeat(30_000)),
        ("URI", format!("1 1 {}", "x".repeat(70_000))),
        ("CAA", format!("1 issue {}", "x".repeat(70_000))),
        ("TYPE65280", format!("\\# 65535 {}", "00".repeat(70_000))),
    ] {
        assert!(data(rtype, &text).is_err(), "{rtype}");
    }
    assert_eq!(data("TXT", &string.repeat(255)).unwrap().len(), 65_280);
}

proptest::proptest! {
    #[test]
    fn no_text_panics_for_any_type(rtype in 0u16..300, text in "[ -~é\\\\]{0,60}") {
        let _ = from_text(Rtype(rtype), &text, &origin());
    }

    #[test]
    fn no_words_that_look_right_panic(
        rtype in proptest::sample::select(
            FORMATS.iter().map(|(rtype, _)| *rtype).collect::<Vec<_>>()
        ),
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "0", "1", "10", "65535", "255", "-", ".", "N", "W", "1.5m", "a.b.", "@", "\\#",
                "\"\"", "00",
                "AQ==", "A", "SRV", "TYPE65280", "192.0.2.1", "::1", "alpn=h2", "port=",
                "mandatory=alpn", "key1=\"\"", "ipv6hint=::", "20260101000000", "2t7b4g4v",
            ]),
            0..10,
        ),
    ) {
        let _ = from_text(Rtype(rtype), &words.join(" "), &origin());
    }
}
