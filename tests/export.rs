//! `trunkdns export genesys`: what the platform is told fits the tables.

#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;

use std::fs;

use serde_json::{Value, json};

use server::{command, project, trunkdns};
use support::{World, question};

const ZONE: &str = r#"
[soa]
primary = "ns1"
contact = "hostmaster"
[ns]
hosts = ["ns1"]
[hosts]
ns1 = ["192.0.2.1"]
"sbc1.us" = ["192.0.2.11"]
"sbc1.eu" = ["192.0.2.21"]
[services."_sip._tcp"]
port = 5060
ttl = 60
[services."_sip._tcp".tiers]
primary = { priority = 10, ttl = 60 }
secondary = { priority = 20, ttl = 45 }
"#;

const TLS: &str = "[services.\"_sips._tcp\"]\nport = 5061\nttl = 60\npriorities = \"_sip._tcp\"\n";

const TABLE: &str = r#"
["_sip._tcp".us]
primary = ["sbc1.us"]
secondary = ["sbc1.eu"]
["_sip._tcp".default]
primary = ["sbc1.eu"]
"#;

fn world(zone: &str) -> World {
    World::with_zone("carrier.test", &[("zone.toml", zone), ("priorities.toml", TABLE)])
}

/// Exports; returns exit code, output and what is said besides.
fn export(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut export = trunkdns();
    export.arg("--config").arg(world.path().join("trunkdns.toml"));
    let output = export.args(["export", "genesys"]).args(arguments).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn exported(world: &World, arguments: &[&str]) -> Value {
    let (code, text, errors) = export(world, arguments);
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&text).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

//----------- Bodies ---------------------------------------------------------

#[test]
fn the_shipped_example_gives_the_bodies_of_the_guide() {
    let (code, text) = command(&project().join("trunkdns.toml"), "export genesys --region us-east");
    assert_eq!(code, Some(0));
    let made: Value = serde_json::from_str(&text).unwrap();
    let trunk = &made["trunks"][0];
    assert_eq!(
        names(&made["trunks"]),
        ["US-East-Primary-Trunk", "US-East-Secondary-Trunk", "US-East-Tertiary-Trunk"]
    );
    assert_eq!(trunk["sipUri"], "_sips._tcp.primary.us-east.carrier.example.com");
    assert_eq!(trunk["type"], "SIP");
    assert_eq!(trunk["tls"], json!({ "enabled": true, "certificateVerification": "strict" }));
    assert_eq!(trunk["srtp"], json!({ "enabled": true }));
    assert_eq!(trunk["mediaPorts"], json!({ "startPort": 10_000, "endPort": 20_000 }));
    assert_eq!(
        trunk["healthCheck"],
        json!({
            "enabled": true, "intervalSeconds": 10, "failureThreshold": 3, "successThreshold": 2
        })
    );
    assert_eq!(trunk["authentication"]["password"], "${US_EAST_PRIMARY_PASSWORD}");
    let group = &made["trunkGroups"][0];
    assert_eq!(group["failoverMode"], "Degraded");
    assert_eq!(group["trunks"], json!(names(&made["trunks"])));
    let policy = &made["routingPolicies"][0];
    assert_eq!(policy["evaluationWindowSeconds"], 30);
    assert_eq!(
        (&policy["trunkGroup"], &policy["mediaRegion"]),
        (&json!("US-East"), &json!("auto"))
    );
    // The octets are the same each time.
    assert_eq!(
        command(&project().join("trunkdns.toml"), "export genesys --region us-east").1,
        text
    );
}

#[test]
fn every_exported_name_has_srv_records_of_its_region() {
    let world = world(&format!("{ZONE}{TLS}"));
    let snapshot = world.load();
    for arguments in [&[][..], &["--steered"], &["--service", "_sip._tcp"]] {
        let made = exported(&world, arguments);
        let trunks = made["trunks"].as_array().unwrap();
        assert_eq!(trunks.len(), 6);
        for trunk in trunks {
            let answer = question(trunk["sipUri"].as_str().unwrap(), "SRV").ask(&snapshot);
            assert_eq!(answer.answers().len(), 1, "{trunk}");
        }
    }
}

#[test]
fn trunks_can_be_on_names_that_the_resolvers_region_steers() {
    let made = exported(&world(ZONE), &["--steered", "--region", "eu"]);
    assert_eq!(made["trunks"][1]["sipUri"], "_sip._tcp.secondary.carrier.test");
}

#[test]
fn a_service_without_tls_and_a_tier_without_endpoints_are_told() {
    let (_, _, told) = export(&world(ZONE), &["--region", "eu"]);
    assert!(told.contains("_sip._tcp leads to port 5060"), "{told}");
    assert!(told.contains("eu has no secondary of its own"), "{told}");
    let (_, _, told) = export(&world(&format!("{ZONE}{TLS}")), &["--region", "us"]);
    assert_eq!(told, "");
}

#[test]
fn numbers_are_matched_as_the_operator_says() {
    let arguments = ["--outbound", r"us=^1[2-9]\d{9}$", "--outbound", "us=^911$"];
    let made = exported(&world(ZONE), &arguments);
    let rules = |trunk: usize| made["trunks"][trunk]["outboundRoutingRules"].clone();
    let of_us = names(&made["trunks"]).iter().position(|name| name.starts_with("US")).unwrap();
    assert_eq!(rules(of_us)[0]["pattern"], r"^1[2-9]\d{9}$");
    assert_eq!(names(&rules(of_us)), ["US-1", "US-2"]);
    let of_eu = names(&made["trunks"]).iter().position(|name| name.starts_with("EU")).unwrap();
    assert_eq!(rules(of_eu), json!([]));
}

#[test]
fn terraform_gets_maps_of_the_same() {
    let world = world(ZONE);
    let made = exported(&world, &["--format", "terraform"]);
    let trunk = &made["trunks"]["US-Primary-Trunk"];
    assert_eq!(trunk["sip_uri"], "_sip._tcp.primary.us.carrier.test");
    assert_eq!(trunk["health_check"]["interval_seconds"], 10);
    assert_eq!(made["trunk_groups"]["US"]["failover_mode"], "Degraded");
    assert_eq!(made["routing_policies"].as_object().unwrap().len(), 3);
}

//----------- Comparing ------------------------------------------------------

#[test]
fn what_was_exported_fits_until_the_tables_change() {
    let mut world = world(ZONE);
    let path = world.path().join("trunks.json");
    fs::write(&path, export(&world, &[]).1).unwrap();
    let check = ["--check", path.to_str().unwrap()];
    assert_eq!(export(&world, &check).0, Some(0));
    // Of some regions, what the others have is no difference.
    assert_eq!(export(&world, &["--region", "eu", check[0], check[1]]).0, Some(0));
    world.file("zones/carrier.test/zone.toml", ZONE.replace("secondary =", "backup ="));
    world.file("zones/carrier.test/priorities.toml", TABLE.replace("secondary =", "backup ="));
    let (code, told, _) = export(&world, &check);
    assert_eq!(code, Some(1));
    assert!(told.contains("trunk US-Backup-Trunk is missing"), "{told}");
    assert!(told.contains("trunk US-Secondary-Trunk is not in the tables"), "{told}");
    assert!(
        told.contains(r#"trunk group US: trunks[1] is "US-Secondary-Trunk", not "US-B"#),
        "{told}"
    );
}

#[test]
fn a_downloaded_list_is_compared_by_what_the_tables_decide() {
    let world = world(ZONE);
    let mut trunks = exported(&world, &["--region", "us"])["trunks"].clone();
    for trunk in trunks.as_array_mut().unwrap() {
        // The platform adds to it, and keeps secrets to itself.
        trunk["id"] = json!("5c1b7c8a");
        trunk["authentication"] = Value::Null;
    }
    let path = world.path().join("page.json");
    let check = ["--region", "us", "--check", path.to_str().unwrap()];
    fs::write(&path, json!({ "entities": trunks, "pageCount": 1 }).to_string()).unwrap();
    let (code, told, _) = export(&world, &check);
    assert_eq!((code, told.contains("fits the tables")), (Some(0), true), "{told}");
    trunks[0]["healthCheck"]["intervalSeconds"] = json!(60);
    trunks[1].as_object_mut().unwrap().remove("srtp");
    fs::write(&path, trunks.to_string()).unwrap();
    let (code, told, _) = export(&world, &check);
    assert_eq!(code, Some(1));
    assert!(told.contains("US-Primary-Trunk: healthCheck.intervalSeconds is 60, not 10"), "{told}");
    assert!(told.contains(r#"srtp is missing, not {"enabled":true}"#), "{told}");
}

//----------- Refusals -------------------------------------------------------

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let mut world = world(ZONE);
    let path = world.path().join("notes.json");
    fs::write(&path, "{}").unwrap();
    let absent = world.path().join("absent.json");
    let cases: [(&[&str], &str); 6] = [
        (&["--region", "mars"], "there is no region `mars`; there are ap, eu, us"),
        (&["--service", "_sip._udp"], "has no service `_sip._udp`; it has _sip._tcp"),
        (&["--zone", "other.test"], "no zone other.test has services; there are carrier.test."),
        (&["--check", path.to_str().unwrap()], "neither an export nor a list of trunks"),
        (&["--check", absent.to_str().unwrap()], "cannot read"),
        (&["--outbound", "mars=1"], "there is no region `mars`"),
    ];
    for (arguments, why) in cases {
        let (code, _, told) = export(&world, arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
    assert_eq!(export(&world, &["--outbound", "us"]).0, Some(2));
    world.zone("second.test", &[("zone.toml", ZONE), ("priorities.toml", TABLE)]);
    let (code, _, told) = export(&world, &[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("name a zone by --zone: carrier.test. second.test."), "{told}");
    assert_eq!(export(&world, &["--zone", "Second.Test."]).0, Some(0));
}
