//! Calls beside lines, in memory.

use super::*;
use crate::log::{Answer, Endpoint, Lost, Opened};

/// The second that everything begins at, in milliseconds.
const START: u64 = 1_796_090_400_000;

const NAME: &str = "_sip._tcp.carrier.example.com.";

/// An answer some milliseconds after the start, with targets by priority.
fn answer(after: u64, client: &str, ttl: u32, targets: &[(&str, u16, &str)]) -> Answer {
    let endpoint = |&(target, priority, address): &(&str, u16, &str)| Endpoint {
        target: format!("{target}.carrier.example.com."),
        port: 5060,
        priority,
        weight: 100,
        addresses: address.parse().into_iter().collect(),
    };
    Answer {
        time: show(START + after),
        transport: "udp".into(),
        client: client.into(),
        name: Some(NAME.into()),
        rtype: Some("SRV".into()),
        region: Some("us-east".into()),
        generation: 7,
        outcome: "answered".into(),
        ttl,
        endpoints: targets.iter().map(endpoint).collect(),
        ..Answer::default()
    }
}

const SBC1: (&str, u16, &str) = ("sbc1", 10, "198.51.100.11");
const SBC2: (&str, u16, &str) = ("sbc2", 20, "198.51.100.12");

fn opened(sample: u32, networks: &[&str], regions: &[&str]) -> Line {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let (networks, regions) = (texts(networks), texts(regions));
    Line::Opened(Opened { time: show(START), sample, networks, regions, ..Opened::default() })
}

fn text(lines: impl IntoIterator<Item = Line>) -> String {
    let lines = lines.into_iter().map(|line| serde_json::to_string(&line).unwrap() + "\n");
    lines.collect()
}

fn line(answer: Answer) -> Line {
    Line::Answer(Box::new(answer))
}

/// What becomes of calls: seconds after the start, resolver, endpoint.
fn judge(logs: &[&str], calls: &[(f64, &str, &str)]) -> Vec<Verdict> {
    let rows = calls.iter().map(|(after, resolver, endpoint)| {
        format!("{},{resolver},{endpoint}\n", START as f64 / 1000.0 + after)
    });
    let table = format!("time,resolver,endpoint\n{}", rows.collect::<String>());
    let mut calls = Calls::new(table.as_bytes(), "calls.csv").unwrap();
    let mut join = Join::new(Lines::of_texts(logs), Duration::from_secs(1));
    let mut verdicts = Vec::new();
    while let Some(call) = calls.read_next().unwrap() {
        verdicts.push(join.judge(&call).unwrap());
    }
    verdicts
}

fn names(verdicts: &[Verdict]) -> Vec<&'static str> {
    verdicts.iter().map(Verdict::name).collect()
}

fn priority(verdict: &Verdict) -> Option<u16> {
    let (Verdict::Held(place) | Verdict::Expired(place)) = verdict else {
        panic!("{verdict:?}");
    };
    place.priority
}

#[test]
fn an_answer_is_held_from_when_it_was_given_until_its_ttl_has_run_out() {
    let log = text([line(answer(0, "192.0.2.7", 60, &[SBC1, SBC2]))]);
    let calls = [-1.5, -0.5, 0.0, 60.0, 61.0, 61.5, 3659.0, 3661.0];
    let verdicts = judge(&[&log], &calls.map(|at| (at, "192.0.2.7", "198.51.100.12")));
    let names = names(&verdicts);
    assert_eq!(names[..5], ["nothing-logged", "held", "held", "held", "held"]);
    // For an hour it is known that it was there.
    assert_eq!(names[5..], ["expired", "expired", "nothing-logged"]);
    assert!(verdicts[1..7].iter().all(|verdict| priority(verdict) == Some(20)));
}

#[test]
fn an_endpoint_is_found_by_its_name_its_address_or_an_address_that_was_asked_for() {
    let mut with_addresses = answer(10, "192.0.2.7", 300, &[]);
    with_addresses.name = Some("sbc3.carrier.example.com.".into());
    with_addresses.addresses = vec!["198.51.100.13".parse().unwrap()];
    let bare = ("sbc3", 30, "-");
    let log = text([line(answer(0, "192.0.2.7", 60, &[SBC1, bare])), line(with_addresses)]);
    let calls = ["SBC1.carrier.example.com", "198.51.100.11", "198.51.100.13", "198.51.100.99"];
    let verdicts = judge(&[&log], &calls.map(|endpoint| (20.0, "192.0.2.99", endpoint)));
    assert_eq!(
        verdicts[..3].iter().map(priority).collect::<Vec<_>>(),
        [Some(10), Some(10), Some(30)]
    );
    let Verdict::NotInIt { targets, .. } = &verdicts[3] else { panic!("{:?}", verdicts[3]) };
    assert_eq!(targets[..], ["sbc1.carrier.example.com.", "sbc3.carrier.example.com."]);
}

#[test]
fn an_address_that_was_asked_for_excuses_no_call_past_the_srv_records_that_are_held() {
    let mut with_addresses = answer(10, "192.0.2.7", 300, &[]);
    with_addresses.name = Some("sbc2.carrier.example.com.".into());
    with_addresses.addresses = vec!["198.51.100.12".parse().unwrap()];
    let log = text([line(answer(0, "192.0.2.7", 60, &[SBC1])), line(with_addresses)]);
    let call = |at| (at, "192.0.2.7", "198.51.100.12");
    let verdicts = judge(&[&log], &[call(20.0), call(200.0)]);
    // Once they have run out there is nothing else to go by.
    assert_eq!(names(&verdicts), ["not-in-it", "held"]);
    assert_eq!(priority(&verdicts[1]), None);
}

#[test]
fn what_an_answer_in_a_handover_no_longer_has_is_expired_and_then_not_in_it() {
    let log = text([
        line(answer(0, "192.0.2.7", 60, &[SBC1])),
        // Its TTL is cut to the changeover.
        line(answer(60_000, "192.0.2.7", 5, &[SBC1])),
        line(answer(65_000, "192.0.2.7", 60, &[SBC2])),
    ]);
    let calls = [(64.0, "sbc1"), (65.5, "sbc1"), (67.0, "sbc1"), (67.5, "sbc2")];
    let calls = calls.map(|(at, host)| (at, format!("{host}.carrier.example.com")));
    let calls: Vec<_> = calls.iter().map(|(at, host)| (*at, "192.0.2.7", &host[..])).collect();
    assert_eq!(names(&judge(&[&log], &calls)), ["held", "held", "expired", "held"]);
    let much_later = [(5000.0, "192.0.2.7", "sbc1.carrier.example.com")];
    let again = text([line(answer(4_990_000, "192.0.2.7", 60, &[SBC2]))]);
    assert_eq!(names(&judge(&[&log, &again], &much_later)), ["not-in-it"]);
}

#[test]
fn who_holds_an_answer_is_the_network_that_steered_it_or_the_region() {
    let mut behind = answer(0, "192.0.2.7", 60, &[SBC1]);
    behind.subnet = Some("203.0.113.0/25".into());
    let log = text([line(behind)]);
    let call = |resolver| (1.0, resolver, "198.51.100.11");
    let calls = ["203.0.113.200", "192.0.2.7", "us-east", "us-west"].map(call);
    let expected = ["held", "nothing-logged", "held", "nothing-logged"];
    assert_eq!(names(&judge(&[&log], &calls)), expected);
}

#[test]
fn what_is_cut_short_is_held_by_nobody() {
    let cut = Answer { truncated: true, ..answer(0, "192.0.2.7", 60, &[SBC1]) };
    let log = text([line(cut)]);
    let verdicts = judge(&[&log], &[(1.0, "192.0.2.7", "198.51.100.11")]);
    assert_eq!(names(&verdicts), ["nothing-logged"]);
}

#[test]
fn what_is_not_sampled_is_told_from_what_was_not_asked() {
    let networks: Vec<_> = (0..40).map(|network| format!("192.0.{network}.7")).collect();
    let seen = line(answer(0, "203.0.113.1", 60, &[SBC1]));
    let log = text([opened(2, &[], &[]), seen.clone()]);
    let calls: Vec<_> = networks.iter().map(|one| (1.0, &one[..], "198.51.100.11")).collect();
    let verdicts = judge(&[&log], &calls);
    let absent = names(&verdicts).iter().filter(|name| **name == "nothing-logged").count();
    let skipped = names(&verdicts).iter().filter(|name| **name == "not-sampled").count();
    assert_eq!(absent + skipped, 40);
    // Of three types each is sampled in half of the networks.
    assert!(absent > 20 && skipped > 0, "{absent} {skipped}");
    let call = [(1.0, "192.0.2.7", "198.51.100.11")];
    let narrowed = text([opened(1, &["203.0.113.0/24"], &[]), seen.clone()]);
    assert_eq!(names(&judge(&[&narrowed], &call)), ["not-sampled"]);
    let narrowed = text([opened(1, &["192.0.2.0/24"], &[]), seen.clone()]);
    assert_eq!(names(&judge(&[&narrowed], &call)), ["nothing-logged"]);
    let narrowed = text([opened(1, &[], &["us-east"]), seen]);
    let calls = ["us-west", "192.0.2.7"].map(|resolver| (1.0, resolver, "198.51.100.99"));
    assert_eq!(names(&judge(&[&narrowed], &calls)), ["not-sampled", "not-sampled"]);
}

#[test]
fn files_of_several_servers_and_those_that_were_moved_away_are_read_by_time() {
    let at = |after, target| line(answer(after, "192.0.2.7", 60, &[target]));
    let (first, second) = (text([at(0, SBC1)]), text([at(100_000, SBC2)]));
    let other = text([at(50_000, SBC2), at(160_000, SBC1)]);
    let calls = [(10.0, "198.51.100.11"), (55.0, "198.51.100.12"), (170.0, "198.51.100.11")];
    let calls = calls.map(|(at, endpoint)| (at, "192.0.2.7", endpoint));
    for logs in [[&first, &second, &other], [&other, &second, &first]] {
        let logs = logs.map(|log| &log[..]);
        assert_eq!(names(&judge(&logs, &calls)), ["held"; 3]);
    }
}

#[test]
fn lines_that_are_cut_off_or_lost_are_told_and_others_are_skipped() {
    let whole = text([
        line(answer(0, "192.0.2.7", 60, &[SBC1])),
        Line::Lost(Lost { time: show(START), count: 12, ..Lost::default() }),
    ]);
    let log = format!("trunkdns 0.1.0 ready: 1 zone\n{}\n{whole}", &whole[..40]);
    let table = format!("time,resolver,endpoint\n{},us-east,198.51.100.11\n", START / 1000);
    let mut calls = Calls::new(table.as_bytes(), "calls.csv").unwrap();
    let mut join = Join::new(Lines::of_texts(&[&log]), Duration::ZERO);
    let call = calls.read_next().unwrap().unwrap();
    assert_eq!(join.judge(&call).unwrap().name(), "held");
    let notes = join.notes();
    assert_eq!(notes[0], "a log:2: a line that cannot be read; 1 in all");
    assert!(notes[1].contains("12 lines are missing"), "{notes:?}");
}

#[test]
fn memory_is_bounded_by_who_holds_answers_and_not_by_the_length_of_the_log() {
    let mut answers = Answers::default();
    for minute in 0..2000 {
        for network in 0..10 {
            let client = format!("192.0.{network}.7");
            let targets = if minute % 7 == 0 { [SBC2] } else { [SBC1] };
            let answer = answer(minute * 60_000, &client, 60, &targets);
            answers.take(START + minute * 60_000, line(answer)).unwrap();
        }
    }
    // Eleven keys, each with what was held within the last hour.
    assert!(answers.count() < 11 * 20, "{}", answers.count());
}
