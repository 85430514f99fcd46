//! `lifecycle doctor` and the refusals of `lifecycle run`, on a real broker: each fault is planted and must be found, with
//! where it is and what to do.
#![expect(clippy::unwrap_used, reason = "what cannot be made ends the test")]

pub(crate) mod rights;

use lifecycle_processor::runtime::WallClock;
use rdkafka::producer::Producer;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

use crate::broker::{self, ToWrite, until};
use crate::cli::{Run, lifecycle};
use crate::plant;

/// A service's topics, group and configuration.
pub(crate) struct Clinic {
    directory: TempDir,
    name: String,
    bootstrap: String,
}

impl Clinic {
    /// Without topics yet.
    pub(crate) fn empty(bootstrap: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clinic = Self { directory, name: broker::unique("doctor"), bootstrap: bootstrap.to_owned() };
        clinic.configure("session_timeout: 6s");
        clinic
    }

    /// With topics as the service makes them.
    fn new() -> Self {
        let clinic = Self::empty(broker::bootstrap());
        clinic.create_topics();
        clinic
    }

    pub(crate) fn create_topics(&self) {
        // A busy broker may not know yet what it has just made.
        until("the topics are good", || {
            (self.run(&["topics", "--create", "--partitions", "2"]).code == 0).then_some(())
        });
    }

    pub(crate) fn configure(&self, kafka: &str) {
        let Self { name, bootstrap, .. } = self;
        let text = format!(
            "kafka: {{bootstrap_servers: '{bootstrap}', group_id: {name}, instance_id: a, {kafka}}}\n\
             topics: {{touchpoints: {name}.in, transitions: {name}.out, changelog: {name}.changelog, dead_letters: {name}.dead}}\n\
             workers: 1\nhttp: {{listen: '127.0.0.1:0'}}\nlog: {{format: json}}\n"
        );
        std::fs::write(self.directory.path().join("lifecycle.yaml"), text).unwrap();
    }

    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, words: &[&str]) -> Run {
        lifecycle(self.path(), &[words, &["--config", "lifecycle.yaml"]].concat(), b"")
    }

    /// The checks that did not pass; the exit code must fit them.
    fn findings(&self, words: &[&str]) -> Vec<Finding> {
        let run = self.run(&[&["doctor", "--format", "json", "--brief"], words].concat());
        let report: Value =
            serde_json::from_str(&run.output).unwrap_or_else(|_| panic!("{}{}", run.output, run.errors));
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        let findings: Vec<Finding> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| Finding {
                verdict: text(&it["verdict"]),
                about: text(&it["about"]),
                place: text(&it["place"]),
                what: text(&it["what"]),
                to_do: text(&it["to_do"]),
            })
            .collect();
        let has_problems = findings.iter().any(|it| it.verdict == "problem");
        assert_eq!(run.code, i32::from(has_problems), "{findings:#?}");
        findings
    }

    /// The one finding of the kind, which must say what to do.
    fn finding(&self, verdict: &str, about: &str) -> Finding {
        let mut findings = self.findings(&[]);
        findings.retain(|it| it.verdict == verdict && it.about == about);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = findings.remove(0);
        assert!(!finding.to_do.is_empty(), "{finding:?}");
        finding
    }

    /// The doctor finds the problem, and the service refuses to start with the same words.
    fn assert_refused(&self, about: &str, place: &str, what: &str) {
        let problem = self.finding("problem", about);
        assert_eq!(problem.place, place);
        assert!(problem.what.contains(what), "{problem:?}");
        let run = self.run(&["run"]);
        assert_eq!(run.code, 3, "{}", run.errors);
        for part in [&problem.place, &problem.what, &problem.to_do] {
            assert!(run.errors.contains(part.as_str()), "{part}: {}", run.errors);
        }
        assert!(run.errors.contains("`lifecycle doctor` tells"), "{}", run.errors);
    }

    /// Commits for the group, as a service before has done.
    fn commit(&self, partition: i32, offset: i64, text: &str) {
        plant::commit(&self.name, &self.topic("in"), partition, offset, text);
    }

    /// Five touchpoints in partition 0, three changelog records, and a position after them.
    fn at_work(&self, metadata: &str) {
        let touchpoints: Vec<_> = (0..5).map(|number| ToWrite::to(0, &touchpoint(number))).collect();
        broker::produce(&self.topic("in"), &touchpoints);
        // The format, a layout of nothing, no customers.
        let record = ToWrite { partition: Some(0), value: Some(vec![0x08, 1, 0x12, 0]), ..ToWrite::default() };
        broker::produce(&self.topic("changelog"), &[record.clone(), record.clone(), record]);
        self.commit(0, 5, metadata);
        self.commit(1, 0, "lifecycle=1 changelog=0..0 models=00000000000000ff partitions=2 by=a-0");
    }
}

#[derive(Debug)]
struct Finding {
    verdict: String,
    about: String,
    place: String,
    what: String,
    to_do: String,
}

const GOOD: &str = "lifecycle=1 changelog=0..3 models=00000000000000ff partitions=2 by=a-0";

fn touchpoint(number: i64) -> String {
    format!(
        r#"{{"event_id":"e{number}","customer_id":"anna","type":"ad_clicked","occurred_at":"2026-01-01T08:00:0{number}Z"}}"#
    )
}

fn now_ms() -> i64 {
    WallClock::start().now().wall.as_millis()
}

#[test]
fn a_cluster_that_is_good_has_no_problem_beside_the_service_and_after_it() {
    let clinic = Clinic::new();
    broker::produce(&clinic.topic("in"), &(0..5).map(|it| ToWrite::keyed("anna", &touchpoint(it))).collect::<Vec<_>>());
    let before = clinic.run(&["doctor"]);
    assert_eq!(before.code, 0, "{}{}", before.output, before.errors);
    assert!(before.output.contains("nothing is committed yet"), "{}", before.output);
    assert!(before.output.contains("nobody is a member"), "{}", before.output);
    assert!(before.output.contains("4.1 or newer"), "the versions of Kafka 4.3 are heard: {}", before.output);

    let service = crate::run::Running::start(clinic.path());
    let during = until("the service is at work", || {
        let run = clinic.run(&["doctor"]);
        let is_at_work = run.output.contains("1 members: lifecycle-a-0 on") && run.output.contains("can be read");
        is_at_work.then_some(run)
    });
    assert_eq!(during.code, 0, "{}", during.output);
    assert!(during.output.contains("2 of 2 partitions have a position"), "{}", during.output);
    assert!(during.output.contains("to do: run `lifecycle doctor --probe`"), "{}", during.output);

    // While the service works: neither it nor readers notice.
    let probed = clinic.findings(&["--probe"]);
    assert!(probed.iter().all(|it| it.about != "rights"), "{probed:#?}");
    for kind in ["out", "out.replay", "dead"] {
        let seen = broker::read_committed(&clinic.topic(kind));
        assert!(seen.iter().all(|it| !it.text().contains("doctor")), "{seen:?}");
    }
    broker::produce(&clinic.topic("in"), &[ToWrite::keyed("anna", &touchpoint(9))]);
    until("the service goes on", || {
        let page = service.get("/metrics")?;
        page.contains("\nlifecycle_touchpoints_consumed_total 6\n").then_some(())
    });
    assert_eq!(service.stop(), Some(0));
    let after = clinic.run(&["doctor"]);
    assert_eq!(after.code, 0, "{}", after.output);
    assert!(after.output.contains("none is open in"), "{}", after.output);
}

#[test]
fn topics_that_are_missing_or_wrong_are_problems() {
    let clinic = Clinic::empty(broker::bootstrap());
    let missing = clinic.findings(&[]);
    let topics: Vec<_> = missing.iter().filter(|it| it.verdict == "problem" && it.about == "topics").collect();
    assert_eq!(topics.len(), 5, "{missing:#?}");
    assert!(topics.iter().all(|it| it.what.contains("does not exist") && it.to_do.contains("topics --create")));

    clinic.create_topics();
    let settings = [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
    plant::alter_topic(&clinic.topic("changelog"), &settings);
    plant::add_partitions(&clinic.topic("in"), 3);
    let problems: Vec<_> = clinic.findings(&[]).into_iter().filter(|it| it.verdict == "problem").collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|it| it.place == clinic.topic("changelog")), "{problems:#?}");
    assert!(problems[0].what.contains("2 partitions, but"), "{problems:#?}");
    assert!(problems[1].to_do.contains("set cleanup.policy=delete"), "{problems:#?}");
    let run = clinic.run(&["run"]);
    assert_eq!(run.code, 3);
    assert!(run.errors.contains("set cleanup.policy=delete"), "{}", run.errors);
}

#[test]
fn a_position_below_the_first_touchpoint_is_refused() {
    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    assert!(clinic.findings(&[]).iter().all(|it| it.verdict != "problem"));
    clinic.commit(0, 2, GOOD);
    broker::cut(&clinic.topic("in"), 0, 4);
    let place = format!("partition 0 of {}", clinic.topic("in"));
    clinic.assert_refused("offsets", &place, "the committed offset 2 is below the first offset 4");
}

#[test]
fn positions_that_are_lost_while_the_customers_are_there_are_refused() {
    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    plant::delete_group(&clinic.name);
    let place = format!("partition 0 of {}", clinic.topic("changelog"));
    clinic.assert_refused("offsets", &place, "the group has no committed offset");
}

#[test]
fn a_number_of_partitions_that_has_changed_is_refused() {
    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    for kind in ["in", "changelog"] {
        plant::add_partitions(&clinic.topic(kind), 3);
    }
    let problems: Vec<_> = clinic.findings(&[]).into_iter().filter(|it| it.verdict == "problem").collect();
    assert_eq!(problems.len(), 2, "both old partitions tell: {problems:#?}");
    assert!(problems.iter().all(|it| it.what.contains("has 3 partitions, but had 2")), "{problems:#?}");
    let run = clinic.run(&["run"]);
    assert_eq!(run.code, 3, "{}", run.errors);
    assert!(run.errors.contains("has 3 partitions, but had 2"), "{}", run.errors);
}

#[test]
fn formats_of_a_newer_release_are_refused_by_their_number() {
    let clinic = Clinic::new();
    clinic.at_work("lifecycle=9 whatever");
    let place = format!("partition 0 of {}", clinic.topic("in"));
    clinic.assert_refused("offsets", &place, "format 9 was written by a newer release");

    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    let newer = ToWrite { partition: Some(0), value: Some(vec![0x08, 9]), ..ToWrite::default() };
    broker::produce(&clinic.topic("changelog"), &[newer]);
    clinic.commit(0, 5, &GOOD.replace("0..3", "0..4"));
    let place = format!("partition 0 of {}", clinic.topic("changelog"));
    clinic.assert_refused("changelog", &place, "changelog format 9 was written by a newer release");
}

#[test]
fn a_changelog_whose_head_somebody_deleted_is_refused() {
    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    broker::cut(&clinic.topic("changelog"), 0, 2);
    let place = format!("partition 0 of {}", clinic.topic("changelog"));
    clinic.assert_refused("offsets", &place, "it starts at offset 2, but records from 0 on are needed");
}

#[test]
fn logs_that_end_before_what_was_committed_are_problems() {
    let clinic = Clinic::new();
    clinic.at_work(&GOOD.replace("0..3", "0..30"));
    let problem = clinic.finding("problem", "offsets");
    assert_eq!(problem.place, format!("partition 0 of {}", clinic.topic("changelog")));
    assert!(problem.what.contains("ends at offset 3, but was committed up to 30"), "{problem:?}");
    clinic.commit(0, 50, GOOD);
    let problem = clinic.finding("problem", "offsets");
    assert!(problem.what.contains("the committed offset 50 is past the end 5"), "{problem:?}");
}

#[test]
fn offsets_set_by_hand_are_told() {
    let clinic = Clinic::new();
    clinic.at_work("");
    let warning = clinic.finding("warning", "offsets");
    assert!(warning.what.contains("[0]") && warning.what.contains("set by hand"), "{warning:?}");
}

#[test]
fn a_transaction_that_hangs_is_found_with_its_age_and_the_way_to_end_it() {
    let clinic = Clinic::new();
    let writer = broker::producer(Some(&broker::unique("upstream")));
    writer.begin_transaction().unwrap();
    let minutes_ago =
        |minutes: i64| ToWrite { timestamp_ms: Some(now_ms() - minutes * 60_000), ..ToWrite::to(1, &touchpoint(1)) };
    broker::write(&writer, &clinic.topic("in"), &[minutes_ago(20)]);
    let problem = clinic.finding("problem", "transactions");
    assert_eq!(problem.place, format!("partition 1 of {}", clinic.topic("in")));
    assert!(problem.what.contains("open for 120"), "20 minutes: {problem:?}");
    assert!(problem.to_do.contains("kafka-transactions.sh"), "{problem:?}");
    writer.abort_transaction(broker::PATIENCE).unwrap();

    // Longer than ours may take, shorter than the brokers allow.
    writer.begin_transaction().unwrap();
    broker::write(&writer, &clinic.topic("in"), &[minutes_ago(2)]);
    let warning = clinic.finding("warning", "transactions");
    assert!(warning.what.contains("open for 12"), "{warning:?}");
    writer.abort_transaction(broker::PATIENCE).unwrap();
    assert!(clinic.findings(&[]).iter().all(|it| it.about != "transactions"));
}

#[test]
fn offsets_that_wait_for_a_transaction_are_told() {
    let clinic = Clinic::new();
    clinic.at_work(GOOD);
    let writer = broker::producer(Some(&broker::unique("stranger")));
    writer.begin_transaction().unwrap();
    plant::commit_within(&writer, &clinic.name, &clinic.topic("in"), 0, 3, "");
    let warning = clinic.finding("warning", "transactions");
    assert_eq!(warning.place, format!("group {}", clinic.name));
    writer.abort_transaction(broker::PATIENCE).unwrap();
    assert!(clinic.findings(&[]).iter().all(|it| it.about != "transactions"));
}

#[test]
fn a_stranger_in_the_group_is_a_problem() {
    let clinic = Clinic::new();
    let _stranger = plant::join(&clinic.name, &clinic.topic("in"));
    let group: Vec<_> = clinic.findings(&[]).into_iter().filter(|it| it.about == "group").collect();
    assert!(group.iter().any(|it| it.what.contains("another program is in the group")), "{group:#?}");
    assert!(group.iter().any(|it| it.what.contains("shared out by range")), "{group:#?}");
}

#[test]
fn a_clock_that_is_ahead_is_told() {
    let clinic = Clinic::new();
    let ahead = ToWrite { timestamp_ms: Some(now_ms() + 600_000), ..ToWrite::to(0, &touchpoint(1)) };
    broker::produce(&clinic.topic("in"), &[ahead]);
    let warning = clinic.finding("warning", "clock");
    assert!(warning.what.contains("ahead of this machine") && warning.what.contains("writer's clock"), "{warning:?}");
}

#[test]
fn a_cluster_that_does_not_answer_is_no_report() {
    let clinic = Clinic::empty("127.0.0.1:9");
    let run = clinic.run(&["doctor"]);
    assert_eq!(run.code, 3, "{}{}", run.output, run.errors);
    assert!(run.errors.contains("127.0.0.1:9"), "{}", run.errors);
}
