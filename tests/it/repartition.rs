//! `lifecycle repartition` on a real broker: the customers of a service move to other numbers of partitions, and
//! nothing that is published afterwards differs from a twin that was never moved.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifecycle_processor::config::Config;
use lifecycle_processor::service::repartition::{
    Action, Failure, Outcome, Progress, Target, repartition as repartition_with,
};
use serde_json::Value;

use crate::broker::{self, NewRecord, until};
use crate::cluster_faults;
use crate::exactly_once::deployment::{Deployment, Instance};

const CUSTOMERS: usize = 600;
/// Time comes from touchpoints, so that both services fire wake-ups by the same clock.
const SETTINGS: &str = "clock: {source: touchpoints}\nworkers: 2";
const FILLER: &str = "filler-";

/// Returns the touchpoints of 60 days in order of time. Some customers pause for a whole part, some never come back.
fn part(number: usize) -> Vec<NewRecord> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut records = Vec::new();
    for customer in 0..CUSTOMERS {
        for _ in 0..random.usize(0..4) {
            let minute = random.usize(0..60 * 24 * 60);
            let kind = if random.usize(0..4) > 0 { "order_completed" } else { "product_viewed" };
            records.push((minute, format!("c-{customer}"), kind));
        }
    }
    records.sort();
    records
        .into_iter()
        .enumerate()
        .map(|(index, (minute, customer, kind))| {
            touchpoint(
                &format!("{number}-{index}"),
                &customer,
                kind,
                i64::try_from(number * 60 * 24 * 60 + minute).expect("a small number"),
            )
        })
        .collect()
}

fn touchpoint(id: &str, customer: &str, kind: &str, minute: i64) -> NewRecord {
    let at = jiff::Timestamp::from_second(1_600_000_000 + minute * 60).expect("a time");
    let value = format!(
        r#"{{"event_id":"{id}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}","order_id":"{id}","amount":10}}"#
    );
    NewRecord::keyed(customer, &value)
}

/// Returns a touchpoint for each partition, so late that all wake-ups of the others are due.
fn fillers(partitions: i32) -> Vec<NewRecord> {
    let filler = |partition| {
        let name = format!("{FILLER}{partition}");
        NewRecord { partition: Some(partition), ..touchpoint(&name, &name, "product_viewed", 1_000 * 24 * 60) }
    };
    (0..partitions).map(filler).collect()
}

fn deployment(partitions: i32) -> Deployment {
    let mut deployment = Deployment::new(partitions, SETTINGS);
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/retention.yaml").clone_into(&mut deployment.model);
    deployment
}

/// Lets a service read the records and stop.
fn run(deployment: &Deployment, records: &[NewRecord]) {
    broker::produce(&deployment.touchpoints, records);
    let mut instance = deployment.start("a");
    wait_until_read(&mut instance, records.len());
    instance.stop();
}

fn wait_until_read(instance: &mut Instance, count: usize) {
    // A service with dozens of partitions restores and commits all of them on a machine that other tests share.
    let deadline = Instant::now() + Duration::from_mins(3);
    while instance.metric("lifecycle_touchpoints_consumed_total").is_none_or(|read| read < count as u64) {
        instance.assert_runs();
        assert!(Instant::now() < deadline, "the touchpoints are not read: {}", instance.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Returns for each customer what was published, in order.
fn published(deployment: &Deployment) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut published: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for topic in [&deployment.replay, &deployment.transitions] {
        for record in broker::read_committed(topic) {
            let transition: Value = serde_json::from_str(&record.text()).expect("JSON");
            let customer = transition["customer_id"].as_str().expect("a customer");
            if !customer.starts_with(FILLER) {
                let sequence = transition["sequence"].as_u64().expect("a sequence number");
                let id = transition["transition_id"].as_str().expect("an id").to_owned();
                published.entry(customer.to_owned()).or_default().push((sequence, id));
            }
        }
    }
    published
}

/// Moves the customers to new topics. Kills the command at several moments before it may finish.
fn repartition(deployment: Deployment, partitions: i32) -> Deployment {
    let touchpoints = broker::unique("touchpoints");
    let changelog = broker::unique("changelog");
    let to = partitions.to_string();
    let arguments = ["repartition", "--to", &to, "--touchpoints", &touchpoints, "--changelog", &changelog];
    // A member that has stopped may still be in the group for a moment.
    let check = until("the members have left", || {
        let check = deployment.run("a", &[&arguments[..], &["--check"]].concat());
        (!check.errors.contains("members")).then_some(check)
    });
    assert_eq!(
        (check.code, check.output.as_str()),
        (0, "all checks passed; nothing was changed\n"),
        "{}",
        check.errors
    );

    // Such as the changelog of another service.
    let foreign = broker::topic("changelog", partitions);
    broker::produce(&foreign, &[NewRecord::keyed("some", "thing")]);
    let occupied = ["repartition", "--to", &to, "--touchpoints", &touchpoints, "--changelog", &foreign];
    let occupied = deployment.run("a", &occupied);
    assert_eq!(occupied.code, 3, "{}", occupied.output);
    assert!(occupied.errors.contains("has records that are not of this command"), "{}", occupied.errors);
    assert_eq!(broker::read_committed(&foreign).len(), 1);

    let configuration = deployment.configuration("a", "127.0.0.1:0");
    let mut killed = 0;
    for attempt in 1..6 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(arguments)
            .arg("--config")
            .arg(&configuration)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(200 * attempt));
        if command.try_wait().expect("the process can be waited for").is_none() {
            command.kill().expect("the process is killed");
            killed += 1;
        }
        command.wait().expect("the process has ended");
    }
    assert!(killed > 0, "no run was killed before it was done");
    let last = deployment.run("a", &arguments);
    assert_eq!(last.code, 0, "{}{}", last.output, last.errors);
    assert!(last.output.contains(&format!("in {partitions} partitions")), "{}", last.output);
    let again = deployment.run("a", &arguments);
    assert!(again.output.starts_with("the customers are already in"), "{}{}", again.output, again.errors);

    // The configuration from before the move.
    let moved = format!("has moved the customers of this group to {touchpoints}");
    let report = deployment.doctor("a");
    assert!(report.contains(&moved), "{report}");
    let (code, log) = deployment.start("old").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains(&moved) && log.contains("use the configuration of the move"), "{log}");
    deployment.with_touchpoints(touchpoints).with_changelog(changelog)
}

#[test]
fn what_is_published_after_two_moves_equals_that_of_an_undisturbed_twin() {
    let twin = deployment(12);
    let all: Vec<NewRecord> = (0..3).flat_map(part).chain(fillers(12)).collect();
    run(&twin, &all);

    let moved = deployment(12);
    run(&moved, &part(0));
    let moved = repartition(moved, 48);
    run(&moved, &part(1));
    let moved = repartition(moved, 30);
    run(&moved, &part(2).into_iter().chain(fillers(30)).collect::<Vec<_>>());

    let (expected, found) = (published(&twin), published(&moved));
    assert!(expected.len() > CUSTOMERS / 2, "{} customers", expected.len());
    assert!(expected.values().map(Vec::len).sum::<usize>() > 2 * CUSTOMERS);
    for (customer, expected) in &expected {
        assert_eq!(found.get(customer), Some(expected), "{customer}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_commit_that_arrives_while_the_customers_move_is_refused_and_moved_by_the_next_run() {
    let deployment = deployment(2);
    run(&deployment, &part(0));
    let target = Target {
        touchpoints: broker::unique("touchpoints"),
        changelog: broker::unique("changelog"),
        hand_overs: None,
        partitions: 3,
    };
    let path = deployment.configuration("a", "127.0.0.1:0");
    let text = std::fs::read_to_string(&path).expect("the configuration is read");
    let config = Config::parse(&text, &path, []).expect("a valid configuration");
    let has_members = |failure: &Failure| matches!(failure, Failure::Refused(found) if found[0].about == "group");
    let move_with = |on_progress: &mut dyn FnMut(Progress)| {
        until("the members have left", || {
            Some(repartition_with(&config, &target, Action::Move, on_progress))
                .filter(|moved| !moved.as_ref().is_err_and(has_members))
        })
    };

    // An instance runs between the copy and the comparison, and has left when the command checks again.
    let mut has_run = false;
    let disturbed = move_with(&mut |progress| {
        if matches!(progress, Progress::Compared { .. }) && !std::mem::replace(&mut has_run, true) {
            run(&deployment, &part(1));
            until("the members have left", || {
                let check = repartition_with(&config, &target, Action::Check, &mut |_| {});
                (!check.as_ref().is_err_and(has_members)).then_some(())
            });
        }
    });
    let Err(Failure::Refused(problems)) = disturbed else { panic!("{disturbed:?}") };
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    for (partition, text) in texts.iter().enumerate() {
        assert!(text.contains(&format!("partition {partition} of {}", deployment.touchpoints)), "{text}");
        assert!(text.contains("the service committed during the move"), "{text}");
    }
    assert_eq!(cluster_faults::committed(&deployment.group, &target.touchpoints, 0), None, "nothing is switched");

    let mut copied = 0;
    let resumed = move_with(&mut |progress| {
        if let Progress::Copied { entries, .. } = progress {
            copied += entries;
        }
    });
    let Ok(Outcome::Moved(contents)) = resumed else { panic!("{resumed:?}") };
    assert!(copied > 0, "the run has copied what was committed meanwhile");
    let customers: BTreeSet<_> = (0..2).flat_map(part).filter_map(|record| record.key).collect();
    assert_eq!(contents.customers, customers.len() as u64);
    assert_eq!(cluster_faults::committed(&deployment.group, &target.touchpoints, 2), Some(0));
}

#[test]
fn a_service_that_runs_or_is_behind_is_not_moved() {
    let deployment = deployment(2);
    let arguments = ["repartition", "--to", "3", "--touchpoints", "new-in", "--changelog", "new-log"];
    let records = part(0);
    broker::produce(&deployment.touchpoints, &records);
    let mut instance = deployment.start("a");
    wait_until_read(&mut instance, records.len());
    let running = deployment.run("b", &arguments);
    assert_eq!(running.code, 3);
    assert!(running.errors.contains("has 2 members; stop every instance of the service"), "{}", running.errors);
    instance.stop();

    broker::produce(&deployment.touchpoints, &[touchpoint("x", "c-1", "product_viewed", 99 * 24 * 60)]);
    let behind = until("the members have left", || {
        Some(deployment.run("b", &arguments)).filter(|run| !run.errors.contains("members"))
    });
    assert_eq!(behind.code, 3);
    assert!(
        behind.errors.contains("1 record is unread; let every producer write to the new topic"),
        "{}",
        behind.errors
    );

    let same = deployment
        .run("b", &["repartition", "--to", "3", "--touchpoints", &deployment.touchpoints, "--changelog", "new-log"]);
    assert!(
        same.errors.contains("it is one of the service's topics; choose new names for all topics"),
        "{}",
        same.errors
    );
    for (changelog, problem) in
        [("new-in", "two topics have this name"), (&deployment.transitions, "it is one of the service's topics")]
    {
        let arguments = ["repartition", "--to", "3", "--touchpoints", "new-in", "--changelog", changelog];
        let refused = deployment.run("b", &arguments);
        assert!(refused.code == 3 && refused.errors.contains(problem), "{changelog}: {}", refused.errors);
    }
    assert_eq!(cluster_faults::committed(&deployment.group, "new-in", 0), None);
}
