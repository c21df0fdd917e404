//! What the answer core says, by RFC clause, on zones made of real tables.
//!
//! No sockets: octets go in, octets come out and are read by hickory-proto.

mod support;

use support::{AP, EU, US, World, question};
use trunkdns::snapshot::Moment;

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
ttl = 3600
minimum = 30
serial = 7
[ns]
hosts = ["ns1", "ns2.example.net."]
[hosts]
ns1 = ["192.0.2.53", "2001:db8::53"]
"sbc1.us" = { addresses = ["198.51.100.11", "2001:db8:a::11"], ttl = 300 }
"sbc2.us" = ["198.51.100.12"]
"sbc1.eu" = ["198.51.100.21", "2001:db8:a::21"]
"sbc2.eu" = ["198.51.100.22"]
"sbc1.ap" = ["198.51.100.31"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
tertiary = { priority = 30, ttl = 30 }
[services."_sips._tcp"]
port = 5061
ttl = 50
priorities = "_sip._tcp"
[naptr]
order = ["_sips._tcp", "_sip._tcp"]
[[geo]]
name = "proxy"
type = "A"
ttl = 60
records.eu = ["198.51.100.21"]
records.default = ["198.51.100.11"]
"#;

const PRIORITIES: &str = r#"
["_sip._tcp".us]
primary = ["sbc1.us"]
secondary = [{ target = "sbc2.us", weight = 40, port = 5070 }, { target = "sbc1.ap", weight = 60 }]
tertiary = ["sbc1.eu"]
["_sip._tcp".eu]
primary = ["sbc1.eu"]
tertiary = ["sbc2.eu"]
["_sip._tcp".default]
secondary = ["sbc1.ap"]
"#;

const RECORDS: &str = "\
$TTL 120
@ TXT \"carrier\"
www CNAME Sbc1.us
far CNAME host.example.net.
gone CNAME missing
steered CNAME proxy
chain CNAME steered
mx MX 10 proxy
lab NS ns.lab
lab NS ns1
lab DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766
ns.lab A 192.0.2.99
old DNAME new
host.new A 192.0.2.77
";

fn world() -> World {
    World::with_zone(
        "carrier.example.com",
        &[("zone.toml", ZONE), ("priorities.toml", PRIORITIES), ("records.zone", RECORDS)],
    )
}

const SRV: &str = "_sip._tcp.carrier.example.com.";

//----------- Steering -------------------------------------------------------

#[test]
fn clients_of_each_region_get_its_row_in_failover_order() {
    let snapshot = world().load();
    let us = question(SRV, "SRV").from(US).ask(&snapshot);
    assert_eq!(us.flags(), "aa");
    assert_eq!(
        us.answers(),
        [
            "_sip._tcp.carrier.example.com. 60 SRV 10 100 5060 sbc1.us.carrier.example.com.",
            "_sip._tcp.carrier.example.com. 60 SRV 20 60 5060 sbc1.ap.carrier.example.com.",
            "_sip._tcp.carrier.example.com. 60 SRV 20 40 5070 sbc2.us.carrier.example.com.",
            "_sip._tcp.carrier.example.com. 60 SRV 30 100 5060 sbc1.eu.carrier.example.com.",
        ]
    );
    let eu = question(SRV, "SRV").from(EU).ask(&snapshot);
    assert_eq!(
        eu.data(),
        ["10 100 5060 sbc1.eu.carrier.example.com.", "30 100 5060 sbc2.eu.carrier.example.com."]
    );
    let ap = question(SRV, "SRV").from(AP).ask(&snapshot);
    assert_eq!(ap.data(), ["20 100 5060 sbc1.ap.carrier.example.com."]);
}

#[test]
fn clients_that_nothing_places_get_the_default_region() {
    let snapshot = world().load();
    let nobody = question(SRV, "SRV").from("203.0.113.5").ask(&snapshot);
    let us = question(SRV, "SRV").from(US).ask(&snapshot);
    assert_eq!(nobody.answers(), us.answers());
}

#[test]
fn ipv6_clients_and_ipv4_in_ipv6_are_placed() {
    let snapshot = world().load();
    let eu = question(SRV, "SRV").from(EU).ask(&snapshot);
    for address in ["2001:db8:2::1", "::ffff:10.2.0.1", "64:ff9b::10.2.0.1", "2002:a02:1::"] {
        let answer = question(SRV, "SRV").from(address).ask(&snapshot);
        assert_eq!(answer.answers(), eu.answers(), "{address}");
    }
}

#[test]
fn addresses_of_all_targets_come_along_in_failover_order() {
    let snapshot = world().load();
    let us = question(SRV, "SRV").from(US).ask(&snapshot);
    assert_eq!(
        us.additionals(),
        [
            "sbc1.us.carrier.example.com. 300 A 198.51.100.11",
            "sbc1.us.carrier.example.com. 300 AAAA 2001:db8:a::11",
            "sbc1.ap.carrier.example.com. 300 A 198.51.100.31",
            "sbc2.us.carrier.example.com. 300 A 198.51.100.12",
            "sbc1.eu.carrier.example.com. 300 A 198.51.100.21",
            "sbc1.eu.carrier.example.com. 300 AAAA 2001:db8:a::21",
        ]
    );
}

#[test]
fn a_region_name_answers_everybody_with_that_region() {
    let snapshot = world().load();
    let name = "_sip._tcp.eu.carrier.example.com.";
    for address in [US, EU, AP] {
        let answer = question(name, "SRV").from(address).subnet("10.2.0.0/16").ask(&snapshot);
        assert_eq!(answer.data()[0], "10 100 5060 sbc1.eu.carrier.example.com.");
        assert_eq!(answer.message.answers[0].ttl, 60);
        assert_eq!(answer.scope(), Some(0));
    }
}

#[test]
fn a_tier_name_answers_with_its_tier_and_ttl() {
    let snapshot = world().load();
    let answer =
        question("_sip._tcp.secondary.carrier.example.com.", "SRV").from(US).ask(&snapshot);
    assert_eq!(
        answer.answers(),
        [
            "_sip._tcp.secondary.carrier.example.com. 45 SRV 20 60 5060 \
             sbc1.ap.carrier.example.com.",
            "_sip._tcp.secondary.carrier.example.com. 45 SRV 20 40 5070 \
             sbc2.us.carrier.example.com.",
        ]
    );
    let answer = question("_sip._tcp.tertiary.us.carrier.example.com.", "SRV").ask(&snapshot);
    assert_eq!(answer.data(), ["30 100 5060 sbc1.eu.carrier.example.com."]);
    assert_eq!(answer.message.answers[0].ttl, 30);
}

#[test]
fn a_tier_that_a_row_lacks_answers_with_the_nearest_earlier_else_later_one() {
    let snapshot = world().load();
    // eu has primary and tertiary, ap (the default row) has secondary only.
    let ask = |tier: &str, address| {
        let name = format!("_sip._tcp.{tier}.carrier.example.com.");
        question(&name, "SRV").from(address).ask(&snapshot).data().join(",")
    };
    assert_eq!(ask("secondary", EU), "10 100 5060 sbc1.eu.carrier.example.com.");
    assert_eq!(ask("tertiary", EU), "30 100 5060 sbc2.eu.carrier.example.com.");
    for tier in ["primary", "secondary", "tertiary"] {
        assert_eq!(ask(tier, AP), "20 100 5060 sbc1.ap.carrier.example.com.", "{tier}");
    }
}

#[test]
fn a_service_that_shares_a_table_has_its_own_port_and_ttl() {
    let snapshot = world().load();
    let answer = question("_sips._tcp.carrier.example.com.", "SRV").from(US).ask(&snapshot);
    assert_eq!(
        answer.data(),
        [
            "10 100 5061 sbc1.us.carrier.example.com.",
            "20 60 5061 sbc1.ap.carrier.example.com.",
            // The port of the endpoint is _sip._tcp's alone.
            "20 40 5061 sbc2.us.carrier.example.com.",
            "30 100 5061 sbc1.eu.carrier.example.com.",
        ]
    );
    assert_eq!(answer.message.answers[0].ttl, 50);
}

#[test]
fn other_types_are_steered_and_so_is_what_leads_to_them() {
    let snapshot = world().load();
    for (address, expected) in [(EU, "198.51.100.21"), (US, "198.51.100.11")] {
        let direct = question("proxy.carrier.example.com.", "A").from(address).ask(&snapshot);
        assert_eq!(direct.data(), [expected]);
        let chain = question("chain.carrier.example.com.", "A").from(address).ask(&snapshot);
        assert_eq!(
            chain.data(),
            ["steered.carrier.example.com.", "proxy.carrier.example.com.", expected]
        );
        let mx = question("mx.carrier.example.com.", "MX").from(address).ask(&snapshot);
        assert_eq!(mx.additionals(), [format!("proxy.carrier.example.com. 60 A {expected}")]);
    }
}

#[test]
fn naptr_lists_the_services_in_order_of_preference() {
    let snapshot = world().load();
    let answer = question("carrier.example.com.", "NAPTR").ask(&snapshot);
    assert_eq!(
        answer.answers(),
        [
            "carrier.example.com. 300 NAPTR 10 10 \"s\" \"SIPS+D2T\" \"\" \
             _sips._tcp.carrier.example.com.",
            "carrier.example.com. 300 NAPTR 20 10 \"s\" \"SIP+D2T\" \"\" \
             _sip._tcp.carrier.example.com.",
        ]
    );
}

#[test]
fn the_same_question_gets_the_same_octets_over_udp_and_tcp() {
    let snapshot = world().load();
    let again = world().load();
    let udp = question(SRV, "SRV").edns(1232);
    let first = udp.ask_octets(&snapshot).0;
    for _ in 0..100 {
        assert_eq!(udp.ask_octets(&snapshot).0, first);
    }
    assert_eq!(udp.ask_octets(&again).0, first, "compiled again");
    assert_eq!(udp.clone().tcp().ask_octets(&snapshot).0, first, "over TCP");
}

#[test]
fn srv_owners_answer_as_hosts_when_asked_to() {
    let zone = ZONE.to_owned() + "[compat]\nsrv-owner-as-host = true\n";
    let world = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", &zone), ("priorities.toml", PRIORITIES)],
    );
    let snapshot = world.load();
    let owner = "_sip._tcp.us.carrier.example.com.";
    let doubled = question(&format!("_sip._tcp.{owner}"), "SRV").from(EU).ask(&snapshot);
    let plain = question(owner, "SRV").from(EU).ask(&snapshot);
    assert_eq!(doubled.data(), plain.data());
    let answer = question(owner, "A").from(EU).ask(&snapshot);
    assert_eq!(answer.answers(), [format!("{owner} 60 A 198.51.100.11")]);
    let answer = question(SRV, "AAAA").from(EU).ask(&snapshot);
    assert_eq!(answer.data(), ["2001:db8:a::21"]);
    let any = question(SRV, "ANY").from(AP).ask(&snapshot);
    assert!(!any.answers().is_empty(), "the name has records for every region");
    // The endpoint that clients of ap are given has no IPv6 address.
    let answer = question(SRV, "AAAA").from(AP).subnet("10.3.0.0/24").ask(&snapshot);
    assert_eq!((answer.rcode(), answer.answers().len()), ("NOERROR", 0));
    assert_eq!(answer.scope(), Some(16));
}

//----------- Client subnet (RFC 7871) ---------------------------------------

#[test]
fn the_client_subnet_steers_before_the_resolvers_address() {
    let snapshot = world().load();
    let answer = question(SRV, "SRV").from(US).subnet("10.2.0.0/24").ask(&snapshot);
    assert_eq!(answer.data()[0], "10 100 5060 sbc1.eu.carrier.example.com.");
}

#[test]
fn the_scope_is_the_widest_prefix_with_the_same_answer() {
    let snapshot = world().load();
    let scope = |name: &str, subnet: &str| {
        question(name, "SRV").subnet(subnet).ask(&snapshot).scope().unwrap()
    };
    // 10.2.0.0/16 is eu; its neighbour 10.3.0.0/16 is ap.
    assert_eq!(scope(SRV, "10.2.3.0/24"), 16);
    assert_eq!(scope(SRV, "2001:db8:2::/64"), 48);
    // us has 10.1.0.0/16 and everything else: 10.0.0.0/15 is all us.
    assert_eq!(scope(SRV, "10.1.0.0/24"), 15);
    // 128.0.0.0/1 is as far from 10.2.0.0 as can be.
    assert_eq!(scope(SRV, "203.0.113.0/24"), 1);
}

#[test]
fn regions_with_equal_answers_share_a_scope() {
    let snapshot = world().load();
    let answer =
        |subnet: &str| question("proxy.carrier.example.com.", "A").subnet(subnet).ask(&snapshot);
    // us and ap have the same proxy, so only eu's 10.2.0.0/16 stands out.
    assert_eq!(answer("10.3.0.0/24").scope(), Some(16));
    assert_eq!(answer("10.4.0.0/24").scope(), Some(14));
}

#[test]
fn names_that_are_the_same_for_all_have_scope_0() {
    let snapshot = world().load();
    for (name, rtype) in [
        ("sbc1.us.carrier.example.com.", "A"),
        ("carrier.example.com.", "NAPTR"),
        ("missing.carrier.example.com.", "A"),
        ("_tcp.carrier.example.com.", "SRV"),
        ("a.lab.carrier.example.com.", "A"),
    ] {
        let answer = question(name, rtype).subnet("10.2.0.0/24").ask(&snapshot);
        assert_eq!(answer.scope(), Some(0), "{name}");
    }
    let answer = question("example.org.", "A").subnet("10.2.0.0/24").ask(&snapshot);
    assert_eq!((answer.rcode(), answer.scope()), ("REFUSED", Some(0)));
}

#[test]
fn no_answer_of_a_steered_name_has_scope_0() {
    let snapshot = world().load();
    let eu_only = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", ZONE), ("priorities.toml", PRIORITIES)],
    );
    let eu_only = {
        let mut world = eu_only;
        // IPv4 is us alone here; IPv6 is not.
        world.file(
            "regions.toml",
            "default = \"us\"\n[regions.us]\nlocation = [39, -77]\n[regions.eu]\n\
             location = [50, 8]\nnetworks = [\"2001:db8:2::/48\"]\n[regions.ap]\n\
             location = [35, 139]\n",
        );
        world.load()
    };
    for (name, rtype) in [(SRV, "SRV"), (SRV, "TXT"), (SRV, "ANY")] {
        for subnet in ["10.1.0.0/24", "203.0.113.0/24", "2001:db8:9::/48"] {
            let answer = question(name, rtype).subnet(subnet).ask(&snapshot);
            assert_ne!(answer.scope(), Some(0), "{name} {rtype} {subnet}");
        }
        let answer = question(name, rtype).subnet("10.1.0.0/24").ask(&eu_only);
        assert_eq!(answer.scope(), Some(1), "{name} {rtype}");
    }
}

#[test]
fn a_prefix_of_length_0_opts_out() {
    let snapshot = world().load();
    for prefix in ["0.0.0.0/0", "::/0"] {
        let answer = question(SRV, "SRV").from(EU).subnet(prefix).ask(&snapshot);
        assert_eq!(answer.data()[0], "10 100 5060 sbc1.eu.carrier.example.com.");
        assert_eq!(answer.scope(), Some(0), "{prefix}");
    }
}

#[test]
fn without_the_option_there_is_none_in_the_response() {
    let snapshot = world().load();
    assert_eq!(question(SRV, "SRV").edns(1232).ask(&snapshot).scope(), None);
    assert!(question(SRV, "SRV").ask(&snapshot).message.edns.is_none());
}

#[test]
fn client_subnets_can_be_switched_off() {
    let mut world = world();
    world.file(
        "trunkdns.toml",
        "[geoip]\ndatabases = []\nregions = \"regions.toml\"\nclient-subnet = false\n",
    );
    let answer = question(SRV, "SRV").from(US).subnet("10.2.0.0/24").ask(&world.load());
    assert_eq!(answer.data()[0], "10 100 5060 sbc1.us.carrier.example.com.");
    assert_eq!(answer.scope(), None);
    assert!(answer.message.edns.is_some());
}

#[test]
fn a_malformed_client_subnet_is_a_format_error_with_opt() {
    let snapshot = world().load();
    // 10.2.0.1/24 has host bits.
    let answer = question(SRV, "SRV").option(8, &[0, 1, 24, 0, 10, 2, 0, 1]).ask(&snapshot);
    assert_eq!(answer.rcode(), "FORMERR");
    assert!(answer.message.edns.is_some());
    assert_eq!(answer.message.queries.len(), 1);
}

//----------- Negative answers (RFC 2308, RFC 8020) --------------------------

const SOA: &str = "carrier.example.com. 30 SOA ns1.carrier.example.com. \
                   hostmaster.carrier.example.com. 7 3600 600 1209600 30";

#[test]
fn a_missing_name_is_nxdomain_with_the_soa_at_the_negative_ttl() {
    let answer = question("missing.carrier.example.com.", "A").ask(&world().load());
    assert_eq!((answer.rcode(), answer.flags().as_str()), ("NXDOMAIN", "aa"));
    assert_eq!(answer.authorities(), [SOA]);
    assert!(answer.answers().is_empty() && answer.additionals().is_empty());
}

#[test]
fn the_negative_ttl_is_the_smaller_of_ttl_and_minimum() {
    let zone = ZONE.replace("ttl = 3600\nminimum = 30", "ttl = 20\nminimum = 30");
    let world = World::with_zone(
        "carrier.example.com",
        &[("zone.toml", &zone), ("priorities.toml", PRIORITIES)],
    );
    let snapshot = world.load();
    let answer = question("missing.carrier.example.com.", "A").ask(&snapshot);
    assert_eq!(answer.message.authorities[0].ttl, 20);
    let answer = question("carrier.example.com.", "SOA").ask(&snapshot);
    assert_eq!(answer.message.answers[0].ttl, 20);
}

#[test]
fn an_existing_name_without_the_type_is_nodata() {
    let snapshot = world().load();
    for (name, rtype) in [
        (SRV, "A"),
        ("sbc2.us.carrier.example.com.", "AAAA"),
        // Empty non-terminals: a resolver that minimises names (RFC 9156)
        // asks for each of these on its way to the SRV records.
        ("_tcp.carrier.example.com.", "NS"),
        ("us.carrier.example.com.", "A"),
        ("_tcp.primary.carrier.example.com.", "A"),
        ("carrier.example.com.", "MX"),
    ] {
        let answer = question(name, rtype).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.flags().as_str()), ("NOERROR", "aa"), "{name}");
        assert!(answer.answers().is_empty(), "{name}");
        assert_eq!(answer.authorities(), [SOA], "{name}");
    }
}

#[test]
fn names_above_and_beside_the_zones_are_refused() {
    let snapshot = world().load();
    for name in ["example.com.", ".", "xcarrier.example.com.", "carrier.example.org."] {
        let answer = question(name, "A").edns(1232).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.flags().as_str()), ("REFUSED", ""), "{name}");
        assert!(answer.authorities().is_empty());
    }
}

//----------- Aliases (RFC 1034 section 3.6.2, RFC 6604) ---------------------

#[test]
fn an_alias_is_followed_inside_the_zone_and_keeps_its_spelling() {
    let snapshot = world().load();
    let answer = question("www.carrier.example.com.", "A").ask(&snapshot);
    assert_eq!(
        answer.answers(),
        [
            "www.carrier.example.com. 120 CNAME Sbc1.us.carrier.example.com.",
            "Sbc1.us.carrier.example.com. 300 A 198.51.100.11",
        ]
    );
    let answer = question("www.carrier.example.com.", "CNAME").ask(&snapshot);
    assert_eq!(answer.data(), ["Sbc1.us.carrier.example.com."]);
}

#[test]
fn an_alias_of_a_name_elsewhere_is_answered_alone() {
    let answer = question("far.carrier.example.com.", "A").ask(&world().load());
    assert_eq!(answer.data(), ["host.example.net."]);
    assert_eq!((answer.rcode(), answer.authorities().len()), ("NOERROR", 0));
}

#[test]
fn an_alias_of_a_missing_name_is_nxdomain_with_soa() {
    let answer = question("gone.carrier.example.com.", "A").ask(&world().load());
    assert_eq!(answer.rcode(), "NXDOMAIN");
    assert_eq!(answer.data(), ["missing.carrier.example.com."]);
    assert_eq!(answer.authorities(), [SOA]);
}

#[test]
fn an_alias_of_a_name_without_the_type_is_nodata_with_soa() {
    let answer = question("www.carrier.example.com.", "TXT").ask(&world().load());
    assert_eq!(answer.rcode(), "NOERROR");
    assert_eq!(answer.data(), ["Sbc1.us.carrier.example.com."]);
    assert_eq!(answer.authorities(), [SOA]);
}

#[test]
fn a_dname_redirects_what_is_below_it() {
    let snapshot = world().load();
    let answer = question("Host.old.carrier.example.com.", "A").ask(&snapshot);
    assert_eq!(
        answer.answers(),
        [
            // Hickory knows no DNAME: this is the RDATA in base 64.
            "old.carrier.example.com. 120 DNAME A25ldwdjYXJyaWVyB2V4YW1wbGUDY29tAA==",
            "Host.old.carrier.example.com. 120 CNAME Host.new.carrier.example.com.",
            "Host.new.carrier.example.com. 120 A 192.0.2.77",
        ]
    );
    let answer = question("old.carrier.example.com.", "A").ask(&snapshot);
    assert_eq!((answer.answers().len(), answer.authorities()), (0, vec![SOA.to_owned()]));
    // RFC 6672 section 2.2: what becomes too long is YXDOMAIN.
    let label = "x".repeat(60);
    let long = format!("{label}.{label}.{label}.{}.old.carrier.example.com.", "y".repeat(45));
    let zone = ZONE.to_owned();
    let world = World::with_zone(
        "carrier.example.com",
        &[
            ("zone.toml", &zone),
            ("priorities.toml", PRIORITIES),
            ("records.zone", "$TTL 60\nold DNAME much-longer-than-it-was\n"),
        ],
    );
    let answer = question(&long, "A").ask(&world.load());
    assert_eq!(answer.rcode(), "YXDOMAIN");
    assert_eq!(answer.message.answers.len(), 1);
}

#[test]
fn a_target_that_a_wildcard_answers_for_brings_its_addresses_along() {
    let records = "$TTL 60\n@ SOA ns x 1 2 3 4 5\n@ NS ns.example.net.\n*.pool A 192.0.2.1\n\
                   _sip._udp SRV 10 100 5060 Sbc.pool\n";
    let snapshot = World::with_zone("z.example", &[("records.zone", records)]).load();
    let answer = question("_sip._udp.z.example.", "SRV").ask(&snapshot);
    assert_eq!(answer.additionals(), ["Sbc.pool.z.example. 60 A 192.0.2.1"]);
}

#[test]
fn chains_that_come_back_say_everything_once() {
    let records = "$TTL 60\n@ SOA ns x 1 2 3 4 5\n@ NS ns.example.net.\n*.loop CNAME x.loop\n\
                   old DNAME old\nto DNAME mid\nx.mid CNAME y.to\ny.mid A 192.0.2.1\n";
    let snapshot = World::with_zone("z.example", &[("records.zone", records)]).load();
    let ask = |name: &str| question(name, "A").ask(&snapshot).answers();
    assert_eq!(ask("a.loop.z.example.").len(), 2);
    assert_eq!(ask("x.loop.z.example.").len(), 1);
    assert_eq!(ask("a.old.z.example.").len(), 2);
    // DNAME, CNAME, CNAME, and of the same DNAME another CNAME, A.
    let chain = ask("x.to.z.example.");
    let dnames = chain.iter().filter(|line| line.contains("DNAME")).count();
    assert_eq!((chain.len(), dnames), (5, 1), "{chain:?}");
}

//----------- Wildcards (RFC 4592) -------------------------------------------

/// The zone of RFC 4592 section 2.2.1.
const WILD: &str = "\
$TTL 3600
@ SOA ns hostmaster 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
* TXT \"this is a wildcard\"
* MX 10 host1
sub.* TXT \"this is not a wildcard\"
host1 A 192.0.2.2
_ssh._tcp.host1 SRV 0 0 22 host1
_ssh._tcp.host2 SRV 0 0 22 host1
subdel NS ns.example.com.
subdel NS ns.example.net.
";

#[test]
fn wildcards_answer_as_rfc_4592_section_2_2_1_says() {
    let snapshot = World::with_zone("example", &[("records.zone", WILD)]).load();
    let ask = |name: &str, rtype: &str| question(name, rtype).ask(&snapshot);
    // Synthesised from the wildcard.
    assert_eq!(ask("host3.example.", "MX").data(), ["10 host1.example."]);
    assert_eq!(ask("foo.bar.example.", "TXT").data(), ["this is a wildcard"]);
    let nodata = ask("host3.example.", "A");
    assert_eq!((nodata.rcode(), nodata.authorities().len()), ("NOERROR", 1));
    // Not synthesised: the name exists, has names below it, or the closest
    // encloser is not the wildcard's parent.
    assert!(ask("host1.example.", "MX").data().is_empty());
    assert!(ask("sub.*.example.", "MX").data().is_empty());
    assert_eq!(ask("_telnet._tcp.host1.example.", "SRV").rcode(), "NXDOMAIN");
    let referral = ask("host.subdel.example.", "A");
    assert_eq!((referral.rcode(), referral.flags().as_str()), ("NOERROR", ""));
    assert_eq!(referral.authorities().len(), 2);
    assert_eq!(ask("ghost.*.example.", "MX").rcode(), "NXDOMAIN");
    // The asterisk itself is a name like any other.
    assert_eq!(ask("*.example.", "MX").data(), ["10 host1.example."]);
    assert_eq!(ask("host2.example.", "MX").data(), Vec::<String>::new());
}

//----------- Delegations (RFC 1034 section 4.2.1, RFC 9471) -----------------

#[test]
fn a_delegated_name_is_referred_with_glue() {
    let snapshot = world().load();
    for (name, rtype) in [
        ("lab.carrier.example.com.", "A"),
        ("lab.carrier.example.com.", "NS"),
        ("ns.lab.carrier.example.com.", "A"),
        ("a.b.lab.carrier.example.com.", "SRV"),
    ] {
        let answer = question(name, rtype).ask(&snapshot);
        assert_eq!((answer.rcode(), answer.flags().as_str()), ("NOERROR", ""), "{name}");
        assert!(answer.answers().is_empty());
        assert_eq!(
            answer.authorities(),
            [
                "lab.carrier.example.com. 120 NS ns.lab.carrier.example.com.",
                "lab.carrier.example.com. 120 NS ns1.carrier.example.com.",
            ]
        );
        assert_eq!(answer.additionals()[0], "ns.lab.carrier.example.com. 120 A 192.0.2.99");
        assert_eq!(answer.additionals().len(), 3);
    }
}

#[test]
fn ds_records_at_a_cut_are_the_parents() {
    let answer = question("lab.carrier.example.com.", "DS").ask(&world().load());
    assert_eq!((answer.flags().as_str(), answer.answers().len()), ("aa", 1));
}

#[test]
fn a_child_zone_here_answers_for_itself_and_the_parent_for_its_ds() {
    let mut world = world();
    world.zone(
        "lab.carrier.example.com",
        &[("records.zone", "$TTL 60\n@ SOA ns x 1 2 3 4 5\n@ NS ns\nns A 192.0.2.99\n")],
    );
    let snapshot = world.load();
    let answer = question("lab.carrier.example.com.", "NS").ask(&snapshot);
    assert_eq!((answer.flags().as_str(), answer.data().len()), ("aa", 1));
    let answer = question("lab.carrier.example.com.", "DS").ask(&snapshot);
    assert_eq!((answer.flags().as_str(), answer.data().len()), ("aa", 1));
    // Without its parent here the child denies the type itself.
    let answer = question("carrier.example.com.", "DS").ask(&snapshot);
    assert_eq!((answer.flags().as_str(), answer.authorities()), ("aa", vec![SOA.to_owned()]));
}

//----------- Types and classes ----------------------------------------------

#[test]
fn any_gets_one_rrset() {
    let snapshot = world().load();
    let answer = question(SRV, "ANY").from(EU).ask(&snapshot);
    assert_eq!(answer.data(), question(SRV, "SRV").from(EU).ask(&snapshot).data());
    let answer = question("sbc1.us.carrier.example.com.", "ANY").ask(&snapshot);
    assert_eq!(answer.data(), ["198.51.100.11"]);
    let answer = question("www.carrier.example.com.", "ANY").ask(&snapshot);
    assert_eq!(answer.data(), ["Sbc1.us.carrier.example.com."]);
}

#[test]
fn transfers_and_other_classes_are_refused() {
    let snapshot = world().load();
    for rtype in ["AXFR", "IXFR"] {
        let answer = question("carrier.example.com.", rtype).tcp().ask(&snapshot);
        assert_eq!(answer.rcode(), "REFUSED", "{rtype}");
    }
    for class in [hickory_proto::rr::DNSClass::CH, hickory_proto::rr::DNSClass::ANY] {
        let answer = question(SRV, "SRV")
            .with(|message| {
                message.queries[0].set_query_class(class);
            })
            .ask(&snapshot);
        assert_eq!((answer.rcode(), answer.answers().len()), ("REFUSED", 0));
    }
}

#[test]
fn unknown_types_are_served_and_denied_like_others() {
    let mut world = world();
    world.zone(
        "other.example",
        &[(
            "records.zone",
            "$TTL 60\n@ SOA ns x 1 2 3 4 5\n@ NS ns.example.net.\n\
                            a TYPE65280 \\# 3 010203\n",
        )],
    );
    let snapshot = world.load();
    let ask = |name: &str| {
        question(name, "A")
            .with(|message| {
                message.queries[0].set_query_type(hickory_proto::rr::RecordType::Unknown(65280));
            })
            .ask(&snapshot)
    };
    assert_eq!(ask("a.other.example.").message.answers.len(), 1);
    assert_eq!(ask(SRV).authorities(), [SOA]);
}

#[test]
fn the_identity_is_given_when_it_is_asked_for() {
    let mut world = world();
    world.file(
        "trunkdns.toml",
        "[server]\nidentity = \"ns1\"\n[geoip]\ndatabases = []\nregions = \"regions.toml\"\n",
    );
    let snapshot = world.load();
    let answer = question(SRV, "SRV").option(3, b"").ask(&snapshot);
    let edns = answer.message.edns.as_ref().unwrap();
    let nsid = edns.option(hickory_proto::rr::rdata::opt::EdnsCode::NSID).unwrap();
    assert_eq!(Vec::<u8>::try_from(nsid).unwrap(), b"ns1");
    assert!(
        question(SRV, "SRV")
            .edns(1232)
            .ask(&snapshot)
            .message
            .edns
            .unwrap()
            .options()
            .as_ref()
            .is_empty()
    );
    for name in ["id.server.", "HOSTNAME.bind."] {
        let chaos = |message: &mut hickory_proto::op::Message| {
            message.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
        };
        let answer = question(name, "TXT").with(chaos).ask(&snapshot);
        assert_eq!(answer.answers(), [format!("{name} 0 TXT ns1")]);
    }
}

#[test]
fn listed_networks_are_told_how_the_server_is_and_others_that_there_is_no_such_name() {
    let mut world = world();
    world.file(
        "trunkdns.toml",
        "[server]\nidentity = \"ns1\"\n[geoip]\ndatabases = []\nregions = \"regions.toml\"\n\
         [admin]\nhealth-from = [\"10.2.0.0/16\"]\n",
    );
    let mut snapshot = world.load();
    (snapshot.generation, snapshot.published) = (7, 1_000_000);
    let name = "_TRUNKDNS.carrier.example.com.";
    let ask = |from, qtype| question(name, qtype).from(from).at(1_000_060_000).ask(&snapshot);
    let text = format!("{name} 0 TXT generation=7 age=60 node=ns1");
    assert_eq!(ask(EU, "TXT").answers(), [text]);
    assert!(ask(EU, "TXT").flags().contains("aa"));
    for (from, qtype) in [(US, "TXT"), (EU, "A")] {
        assert_eq!(ask(from, qtype).rcode(), "NXDOMAIN", "{from} {qtype}");
    }
    let below = question("x._trunkdns.carrier.example.com.", "TXT").from(EU).ask(&snapshot);
    assert_eq!(below.rcode(), "NXDOMAIN");
    // What the operator's own tables have there comes first.
    let own =
        format!("{}_trunkdns TXT \"own\"\n", world.text("zones/carrier.example.com/records.zone"));
    world.file("zones/carrier.example.com/records.zone", own);
    let answer = question(name, "TXT").from(EU).ask(&world.load());
    assert_eq!(answer.data(), ["own"]);
}

//----------- EDNS and sizes (RFC 6891, RFC 2181 section 9) ------------------

#[test]
fn the_server_offers_its_own_payload_size_and_never_sends_more() {
    let snapshot = world().load();
    let answer = question(SRV, "SRV").edns(65535).ask(&snapshot);
    assert_eq!(answer.message.edns.unwrap().max_payload(), 1232);
}

#[test]
fn an_unknown_edns_version_is_badvers() {
    let snapshot = world().load();
    let answer = question(SRV, "SRV")
        .edns(1232)
        .with(|message| {
            message.edns.as_mut().unwrap().set_version(1);
        })
        .ask(&snapshot);
    assert_eq!(answer.rcode(), "BADVERS");
    assert!(answer.answers().is_empty());
}

/// A zone whose SRV set is `count` targets in as many tiers.
fn zone_of_targets(count: usize) -> World {
    let mut zone =
        "[soa]\nprimary = \"ns1\"\ncontact = \"h\"\nserial = 1\n[ns]\nhosts = [\"ns1\"]\n\
                    [hosts]\nns1 = [\"192.0.2.53\"]\n"
            .to_owned();
    let mut tiers = "[services.\"_sip._tcp\"]\nport = 5060\nttl = 60\n\
                     [services.\"_sip._tcp\".tiers]\n"
        .to_owned();
    let mut row = "[\"_sip._tcp\".default]\n".to_owned();
    for at in 0..count {
        zone += &format!("sbc{at:02} = [\"198.51.100.{at}\", \"2001:db8::{at:x}\"]\n");
        tiers += &format!("tier{at:02} = {{ priority = {at} }}\n");
        row += &format!("tier{at:02} = [\"sbc{at:02}\"]\n");
    }
    World::with_zone(
        "carrier.example.com",
        &[("zone.toml", &(zone + &tiers)), ("priorities.toml", &row)],
    )
}

#[test]
fn glue_that_does_not_fit_is_left_out_by_host_last_tier_first_without_tc() {
    let snapshot = zone_of_targets(6).load();
    let small = question(SRV, "SRV").ask(&snapshot);
    assert!(small.len <= 512);
    assert_eq!((small.flags().as_str(), small.answers().len()), ("aa", 6));
    let kept = small.additionals();
    assert!(!kept.is_empty() && kept.len() < 12 && kept.len().is_multiple_of(2), "{kept:?}");
    let all = question(SRV, "SRV").edns(1232).ask(&snapshot);
    assert_eq!(all.additionals().len(), 12);
    assert_eq!(all.additionals()[..kept.len()], kept[..]);
}

#[test]
fn an_answer_that_does_not_fit_is_truncated_whole_and_given_over_tcp() {
    let snapshot = zone_of_targets(40).load();
    let small = question(SRV, "SRV").edns(512).ask(&snapshot);
    assert_eq!((small.flags().as_str(), small.answers().len()), ("aa tc", 0));
    assert!(small.additionals().is_empty() && small.message.edns.is_some());
    let tcp = question(SRV, "SRV").tcp().ask(&snapshot);
    assert_eq!((tcp.flags().as_str(), tcp.answers().len()), ("aa", 40));
    assert_eq!(tcp.additionals().len(), 80);
}

#[test]
fn every_limit_gives_a_whole_answer_or_tc() {
    let snapshot = zone_of_targets(8).load();
    let full = question(SRV, "SRV").edns(1232).ask(&snapshot);
    for payload in 512..=1232 {
        let answer = question(SRV, "SRV").edns(payload).ask(&snapshot);
        assert!(answer.len <= usize::from(payload));
        match answer.flags().as_str() {
            "aa" => assert_eq!(answer.answers(), full.answers()),
            flags => assert_eq!((flags, answer.answers().len()), ("aa tc", 0)),
        }
    }
}

#[test]
fn payload_sizes_below_512_count_as_512() {
    let snapshot = zone_of_targets(5).load();
    let least = question(SRV, "SRV").edns(512).ask_octets(&snapshot).0;
    for payload in [0, 1, 511] {
        assert_eq!(question(SRV, "SRV").edns(payload).ask_octets(&snapshot).0, least);
    }
}

//----------- The question (RFC 4343) ----------------------------------------

#[test]
fn the_question_comes_back_with_its_letter_case() {
    let snapshot = world().load();
    let name = "_SiP._tCp.CarrieR.example.COM.";
    let (octets, _) = question(name, "SRV").ask_octets(&snapshot);
    let sent = question(name, "SRV").octets();
    assert_eq!(octets[12..12 + 35], sent[12..12 + 35]);
    let answer = question(name, "SRV").ask(&snapshot);
    let plain = question(SRV, "SRV").ask(&snapshot);
    assert_eq!(answer.data(), plain.data());
}

#[test]
fn an_answer_says_which_srv_records_it_hands_out_and_for_how_long() {
    let world = world();
    let snapshot = world.load();
    let version = snapshot.timelines()[0].newest().clone();
    for question in [question(SRV, "SRV"), question(SRV, "SRV").from(EU)] {
        let (_, outcome) = question.ask_octets(&snapshot);
        let handed_out = outcome.handed_out.unwrap();
        assert!(std::ptr::eq(handed_out.expiries, &version.expiries));
        assert_eq!(handed_out.ttl, 60);
        handed_out.note(Moment(1_000_001).next_second(), 0);
        assert_eq!(version.expiries.last(handed_out.slot, handed_out.ttl), 1061);
    }
    let (_, outcome) = question("ns1.carrier.example.com.", "A").ask_octets(&snapshot);
    assert!(outcome.handed_out.is_none());
}
