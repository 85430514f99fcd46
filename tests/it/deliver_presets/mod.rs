//! Each preset on a real Kafka, against a server that keeps the contract of its vendor: every transition arrives, in
//! order per customer and within the limits, and what the vendor refuses is a dead letter.
//!
//! The transitions are real: `lifecycle generate` simulates a shop, and `lifecycle replay` computes what the service
//! publishes. `rig` runs a preset, `vendors` has what the presets and their tools differ in.

mod pages;
mod rig;
mod vendors;

use std::collections::BTreeSet;
use std::time::Duration;

use rig::{Run, Workload};
use vendors::{VENDORS, Vendor};

use crate::deliver_vendors::server::Fault;

/// What a vendor does to the first requests: it is down, asks to wait, loses an answer, and answers too late.
const FAULTS: [Fault; 5] = [
    Fault::Status(503),
    Fault::TooMany(Duration::from_secs(1)),
    Fault::AnswerLost(502),
    Fault::Slow(Duration::from_secs(3)),
    Fault::Status(429),
];

fn vendor(name: &str) -> &'static Vendor {
    VENDORS.iter().find(|vendor| vendor.preset == name).expect("a vendor")
}

/// Delivers everything while the vendor has faults, and one customer whom the vendor rejects.
fn deliver_all(name: &str) -> Run {
    let vendor = vendor(name);
    let workload = Workload::small();
    let run = Run::new(vendor);
    run.server.add_faults(&FAULTS);
    let rejected = &workload.customers()[1];
    if vendor.rejects_customers {
        run.server.tool().rejected_customers.insert(rejected.clone());
    }
    let is_delivered = |customer: &str| !(vendor.rejects_customers && customer == rejected);
    let expected = workload.expected(vendor, is_delivered);
    run.produce(workload);
    let deliverer = run.deployment.start();
    run.wait_for(expected.values().map(Vec::len).sum());
    let dead =
        run.dead_letters(workload.expected(vendor, |customer| !is_delivered(customer)).values().map(Vec::len).sum());
    deliverer.stop();

    assert_eq!(run.delivered(), expected, "{}", run.log());
    assert_eq!(dead, workload.expected(vendor, |customer| !is_delivered(customer)), "dead letters of {name}");
    let tool = run.server.tool();
    assert_eq!(tool.lost, Vec::<String>::new(), "{name} lost something");
    for ((customer, model), stage) in workload.stages(vendor) {
        if is_delivered(&customer) {
            assert_eq!((vendor.stage)(&tool, &customer, &model), stage, "{name}: {customer}, {model}");
        }
    }
    // The server answers 429 to whatever exceeds a limit. Two answers are faults; requests that leave evenly may
    // arrive close together on a busy machine, but never often.
    drop(tool);
    let answers = run.server.answers(429);
    assert!((2..10).contains(&answers), "{answers} requests exceed a limit of {name}");
    run
}

#[test]
fn braze_gets_every_live_transition_in_order() {
    drop(deliver_all("braze"));
}

#[test]
fn customerio_gets_every_live_transition_in_order() {
    let run = deliver_all("customerio");
    assert!(run.has_no_event_twice(), "a repeated delivery counts twice");
}

#[test]
fn klaviyo_gets_every_transition_in_order_and_the_replayed_ones_start_no_flow() {
    let run = deliver_all("klaviyo");
    assert!(run.has_no_event_twice(), "a repeated delivery counts twice");
    let live = Workload::small().live();
    for event in &run.server.tool().events {
        let id = event.properties["transition_id"].as_str().expect("an id");
        assert_eq!(event.starts_campaigns, live.contains(id), "{id}");
    }
}

#[test]
fn hubspot_gets_every_live_transition_in_order() {
    drop(deliver_all("hubspot"));
}

#[test]
fn segment_gets_every_live_transition_in_order() {
    let run = deliver_all("segment");
    assert!(run.has_no_event_twice(), "a repeated delivery counts twice");
}

#[test]
fn iterable_gets_every_live_transition_in_order() {
    let run = deliver_all("iterable");
    assert!(run.has_no_event_twice(), "a repeated delivery counts twice");
}

#[test]
fn mailchimp_gets_every_live_transition_in_order() {
    drop(deliver_all("mailchimp"));
}

#[test]
fn google_analytics_gets_every_live_transition_in_order() {
    drop(deliver_all("ga4"));
}

#[test]
fn hubspot_requests_that_change_nothing_are_repeated() {
    let workload = Workload::small();
    let run = Run::new(vendor("hubspot"));
    run.server.tool().silent_failures = 3;
    run.produce(workload);
    let expected = workload.expected(run.vendor, |_| true);
    let deliverer = run.deployment.start();
    run.wait_for(expected.values().map(Vec::len).sum());
    deliverer.stop();
    assert_eq!(run.delivered(), expected, "{}", run.log());
    assert_eq!(run.server.tool().silent_failures, 0);
}

#[test]
fn slack_gets_digests_that_count_every_live_transition() {
    let workload = Workload::small();
    let run = Run::new(vendor("slack"));
    run.produce(workload);
    let expected: usize = workload.expected(run.vendor, |_| true).values().map(Vec::len).sum();
    let deliverer = run.deployment.start();
    rig::until("digests", || (rig::counted_by_slack(&run.server.tool()) >= expected).then_some(()));
    deliverer.stop();
    let tool = run.server.tool();
    assert_eq!(rig::counted_by_slack(&tool), expected, "{:?}", tool.events);
    assert!(tool.events.len() < 10, "{} messages are a flood", tool.events.len());
    let text = tool.events[0].properties["text"].as_str().expect("a text");
    assert!(text.starts_with("Customer lifecycle: ") && !text.contains("example.com"), "{text}");
}

#[test]
fn the_check_distinguishes_good_and_bad_credentials() {
    for vendor in VENDORS {
        let run = Run::new(vendor);
        let (code, output) = run.deployment.run(&["--config", "deliver.yaml", "--check"]);
        assert_eq!(code, 0, "{}: {output}", vendor.preset);
        run.spoil_credentials();
        let (code, output) = run.deployment.run(&["--config", "deliver.yaml", "--check"]);
        // Segment answers everything with success, and Google checks only the shape of a request.
        let expected = i32::from(!["segment", "ga4"].contains(&vendor.preset));
        assert_eq!(code, expected, "{}: {output}", vendor.preset);
        assert!(!output.contains("wrong-secret"), "{}: {output}", vendor.preset);
        let tool = run.server.tool();
        assert!(tool.events.is_empty() && tool.profiles.is_empty(), "the check of {} sent a customer", vendor.preset);
    }
}

#[test]
fn a_wrong_key_holds_the_destination_until_it_is_right() {
    let workload = Workload::small();
    let run = Run::new(vendor("braze"));
    run.spoil_credentials();
    run.produce(workload);
    let deliverer = run.deployment.start();
    rig::until("an answer 401", || (run.server.answers(401) > 0).then_some(()));
    deliverer.stop();
    assert_eq!(run.dead_letters(0).len(), 0);
    run.restore_credentials();
    let expected = workload.expected(run.vendor, |_| true);
    let deliverer = run.deployment.start();
    run.wait_for(expected.values().map(Vec::len).sum());
    deliverer.stop();
    assert_eq!(run.delivered(), expected, "{}", run.log());
}

#[test]
fn every_preset_has_a_server_and_a_page() {
    let shipped: BTreeSet<&str> = lifecycle_processor::config::deliver::PRESETS.iter().map(|(name, _)| *name).collect();
    let tested: BTreeSet<&str> = VENDORS.iter().map(|vendor| vendor.preset).collect();
    assert_eq!(shipped, tested);
    let overview = include_str!("../../../docs/campaigns/README.md");
    for name in shipped {
        assert!(overview.contains(&format!("]({name}.md)")), "docs/campaigns/README.md does not name {name}");
    }
}

/// 100,000 transitions to one vendor, at its documented limits: `LIFECYCLE_DELIVERIES_LONG=braze`.
#[test]
#[ignore = "a long run of the preset that the variable LIFECYCLE_DELIVERIES_LONG names"]
fn a_long_run_delivers_each_transition_in_order() {
    let name = std::env::var("LIFECYCLE_DELIVERIES_LONG").expect("LIFECYCLE_DELIVERIES_LONG is the name of a preset");
    let workload = Workload::generate(112_000, 3_600);
    let run = Run::new(vendor(&name));
    let expected = workload.expected(run.vendor, |_| true);
    let count = expected.values().map(Vec::len).sum();
    run.produce(&workload);
    let start = std::time::Instant::now();
    let deliverer = run.deployment.start();
    // Digests of Slack count transitions, and name none.
    let is_digest = name == "slack";
    if is_digest {
        rig::until("digests", || (rig::counted_by_slack(&run.server.tool()) >= count).then_some(()));
    } else {
        run.wait_for(count);
    }
    let seconds = start.elapsed().as_secs_f64();
    deliverer.stop();
    if is_digest {
        assert_eq!(rig::counted_by_slack(&run.server.tool()), count);
    } else {
        assert_eq!(run.delivered(), expected);
    }
    assert!(run.server.tool().lost.is_empty());
    println!("{name}: {count} transitions in {seconds:.1} s, {} answers 429", run.server.answers(429));
}
