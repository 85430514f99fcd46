//! `lifecycle doctor` and the start checks of `lifecycle run` on a real broker.
//!
//! Each test injects a fault, and the doctor must report where it is and how to fix it. A fault that would stop a
//! worker must also make `lifecycle run` exit with code 3.
#![expect(clippy::unwrap_used, reason = "a failed setup step fails the test")]

pub(crate) mod permissions;

use lifecycle_processor::runtime::WallClock;
use rdkafka::producer::Producer;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

use crate::broker::{self, NewRecord, until};
use crate::cli::{Run, lifecycle};
use crate::cluster_faults;

/// The topics, group and configuration of one service.
pub(crate) struct ServiceFixture {
    directory: TempDir,
    name: String,
    bootstrap: String,
}

impl ServiceFixture {
    /// Creates a configuration whose topics do not exist yet.
    pub(crate) fn empty(bootstrap: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fixture = Self { directory, name: broker::unique("doctor"), bootstrap: bootstrap.to_owned() };
        fixture.configure("session_timeout: 6s");
        fixture
    }

    /// Creates a configuration and its topics.
    fn new() -> Self {
        let fixture = Self::empty(broker::bootstrap());
        fixture.create_topics();
        fixture
    }

    pub(crate) fn create_topics(&self) {
        // A busy broker may not return a topic in its metadata right after creating it.
        until("the topics pass the check", || {
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

    /// Configures one source that reads `topics`.
    fn configure_source(&self, topics: &str) {
        self.configure("session_timeout: 6s");
        let file = self.directory.path().join("lifecycle.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{text}sources: [{{name: web, topics: ['{topics}']}}]\n")).unwrap();
    }

    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        lifecycle(self.path(), &[arguments, &["--config", "lifecycle.yaml"]].concat(), b"")
    }

    /// Runs the doctor, asserts its exit code, and returns the checks that did not pass.
    fn findings(&self, arguments: &[&str]) -> Vec<Finding> {
        let run = self.run(&[&["doctor", "--format", "json", "--brief"], arguments].concat());
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

    /// Returns the only finding with this verdict and subject, which must say what to do.
    fn finding(&self, verdict: &str, about: &str) -> Finding {
        let mut findings = self.findings(&[]);
        findings.retain(|it| it.verdict == verdict && it.about == about);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = findings.remove(0);
        assert!(!finding.to_do.is_empty(), "{finding:?}");
        finding
    }

    /// Asserts that the doctor reports the problem, and that the service refuses to start with the same message.
    fn assert_start_refused(&self, about: &str, place: &str, what: &str) {
        let problem = self.finding("problem", about);
        assert_eq!(problem.place, place);
        assert!(problem.what.contains(what), "{problem:?}");
        let run = self.run(&["run"]);
        assert_eq!(run.code, 3, "{}", run.errors);
        for part in [&problem.place, &problem.what, &problem.to_do] {
            assert!(run.errors.contains(part.as_str()), "{part}: {}", run.errors);
        }
        assert!(run.errors.contains("run `lifecycle doctor` for details"), "{}", run.errors);
    }

    /// Commits an offset with metadata for the group, in place of an earlier run of the service.
    fn commit(&self, partition: i32, offset: i64, metadata: &str) {
        cluster_faults::commit(&self.name, &self.topic("in"), partition, offset, metadata);
    }

    /// Writes five touchpoints to partition 0 and three changelog records, and commits the offsets after them.
    fn write_state(&self, metadata: &str) {
        let touchpoints: Vec<_> = (0..5).map(|number| NewRecord::to(0, &touchpoint(number))).collect();
        broker::produce(&self.topic("in"), &touchpoints);
        // An encoded changelog record: the format number, an empty layout, no customers.
        let record = NewRecord { partition: Some(0), value: Some(vec![0x08, 1, 0x12, 0]), ..NewRecord::default() };
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

/// Offset metadata that matches the records of [`ServiceFixture::write_state`].
const METADATA: &str = "lifecycle=1 changelog=0..3 models=00000000000000ff partitions=2 by=a-0";

fn touchpoint(number: i64) -> String {
    format!(
        r#"{{"event_id":"e{number}","customer_id":"anna","type":"ad_clicked","occurred_at":"2026-01-01T08:00:0{number}Z"}}"#
    )
}

fn now_ms() -> i64 {
    WallClock::start().now().wall.as_millis()
}

#[test]
fn a_healthy_cluster_has_no_problems_while_the_service_runs_and_afterwards() {
    let fixture = ServiceFixture::new();
    broker::produce(
        &fixture.topic("in"),
        &(0..5).map(|it| NewRecord::keyed("anna", &touchpoint(it))).collect::<Vec<_>>(),
    );
    let before = fixture.run(&["doctor"]);
    assert_eq!(before.code, 0, "{}{}", before.output, before.errors);
    assert!(before.output.contains("nothing is committed yet"), "{}", before.output);
    assert!(before.output.contains("the group has no members"), "{}", before.output);
    assert!(before.output.contains("4.1 or newer"), "the brokers run Kafka 4.3: {}", before.output);

    let service = crate::run::ServiceProcess::start(fixture.path());
    let during = until("the service is running", || {
        let run = fixture.run(&["doctor"]);
        let is_running = run.output.contains("1 members: lifecycle-a-0 on") && run.output.contains("can be read");
        is_running.then_some(run)
    });
    assert_eq!(during.code, 0, "{}", during.output);
    assert!(during.output.contains("2 of 2 partitions have a committed offset"), "{}", during.output);
    assert!(during.output.contains("to do: run `lifecycle doctor --probe`"), "{}", during.output);

    // The probe runs beside the service, and neither the service nor consumers notice it.
    let probed = fixture.findings(&["--probe"]);
    assert!(probed.iter().all(|it| it.about != "rights"), "{probed:#?}");
    for kind in ["out", "out.replay", "dead"] {
        let seen = broker::read_committed(&fixture.topic(kind));
        assert!(seen.iter().all(|it| !it.text().contains("doctor")), "{seen:?}");
    }
    broker::produce(&fixture.topic("in"), &[NewRecord::keyed("anna", &touchpoint(9))]);
    until("the service consumes the next touchpoint", || {
        let page = service.get("/metrics")?;
        page.contains("\nlifecycle_touchpoints_consumed_total 6\n").then_some(())
    });
    assert_eq!(service.stop(), Some(0));
    let after = fixture.run(&["doctor"]);
    assert_eq!(after.code, 0, "{}", after.output);
    assert!(after.output.contains("no transaction is open in"), "{}", after.output);
}

#[test]
fn missing_or_misconfigured_topics_are_problems() {
    let fixture = ServiceFixture::empty(broker::bootstrap());
    let missing = fixture.findings(&[]);
    let topics: Vec<_> = missing.iter().filter(|it| it.verdict == "problem" && it.about == "topics").collect();
    assert_eq!(topics.len(), 5, "{missing:#?}");
    assert!(topics.iter().all(|it| it.what.contains("does not exist") && it.to_do.contains("topics --create")));

    fixture.create_topics();
    let settings = [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
    cluster_faults::alter_topic(&fixture.topic("changelog"), &settings);
    cluster_faults::add_partitions(&fixture.topic("in"), 3);
    let problems: Vec<_> = fixture.findings(&[]).into_iter().filter(|it| it.verdict == "problem").collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|it| it.place == fixture.topic("changelog")), "{problems:#?}");
    assert!(problems[0].what.contains("2 partitions, but"), "{problems:#?}");
    assert!(problems[1].to_do.contains("set cleanup.policy=delete"), "{problems:#?}");
    let run = fixture.run(&["run"]);
    assert_eq!(run.code, 3);
    assert!(run.errors.contains("set cleanup.policy=delete"), "{}", run.errors);
}

#[test]
fn a_committed_offset_below_the_log_start_stops_the_service_at_start() {
    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    assert!(fixture.findings(&[]).iter().all(|it| it.verdict != "problem"));
    fixture.commit(0, 2, METADATA);
    broker::delete_records(&fixture.topic("in"), 0, 4);
    let place = format!("partition 0 of {}", fixture.topic("in"));
    fixture.assert_start_refused("offsets", &place, "the committed offset 2 is below the first offset 4");
}

#[test]
fn missing_committed_offsets_with_a_nonempty_changelog_stop_the_service_at_start() {
    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    cluster_faults::delete_group(&fixture.name);
    let place = format!("partition 0 of {}", fixture.topic("changelog"));
    fixture.assert_start_refused("offsets", &place, "the group has no committed offset");
}

#[test]
fn deleted_topics_of_sources_are_reported() {
    let fixture = ServiceFixture::new();
    let topic = broker::topic("source", 1);
    fixture.configure_source(&format!("{topic}*"));
    assert!(fixture.findings(&[]).iter().all(|it| it.about != "sources"), "the pattern matches the topic");
    broker::delete_topic(&topic);
    let warning = until("the topic is gone", || {
        fixture.findings(&[]).into_iter().find(|it| it.about == "sources" && it.verdict == "warning")
    });
    assert_eq!(warning.place, "source web");
    assert!(warning.what.starts_with(&format!("no topic matches `{topic}*`")), "{warning:?}");
    assert!(warning.to_do.contains("correct the pattern"), "{warning:?}");
    fixture.configure_source(&topic);
    fixture.assert_start_refused("topics", &topic, "the topic of a source does not exist");
}

#[test]
fn a_changed_number_of_partitions_stops_the_service_at_start() {
    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    for kind in ["in", "changelog"] {
        cluster_faults::add_partitions(&fixture.topic(kind), 3);
    }
    let problems: Vec<_> = fixture.findings(&[]).into_iter().filter(|it| it.verdict == "problem").collect();
    assert_eq!(problems.len(), 2, "one problem for each old partition: {problems:#?}");
    assert!(problems.iter().all(|it| it.what.contains("has 3 partitions, but had 2")), "{problems:#?}");
    let run = fixture.run(&["run"]);
    assert_eq!(run.code, 3, "{}", run.errors);
    assert!(run.errors.contains("has 3 partitions, but had 2"), "{}", run.errors);
}

#[test]
fn formats_of_a_newer_release_stop_the_service_at_start() {
    let fixture = ServiceFixture::new();
    fixture.write_state("lifecycle=9 unknown");
    let place = format!("partition 0 of {}", fixture.topic("in"));
    fixture.assert_start_refused("offsets", &place, "format 9 was written by a newer release");

    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    let newer = NewRecord { partition: Some(0), value: Some(vec![0x08, 9]), ..NewRecord::default() };
    broker::produce(&fixture.topic("changelog"), &[newer]);
    fixture.commit(0, 5, &METADATA.replace("0..3", "0..4"));
    let place = format!("partition 0 of {}", fixture.topic("changelog"));
    fixture.assert_start_refused("changelog", &place, "changelog format 9 was written by a newer release");
}

#[test]
fn a_changelog_with_deleted_records_stops_the_service_at_start() {
    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    broker::delete_records(&fixture.topic("changelog"), 0, 2);
    let place = format!("partition 0 of {}", fixture.topic("changelog"));
    fixture.assert_start_refused("offsets", &place, "it starts at offset 2, but records from 0 on are needed");
}

#[test]
fn logs_that_end_before_the_committed_offsets_are_problems() {
    let fixture = ServiceFixture::new();
    fixture.write_state(&METADATA.replace("0..3", "0..30"));
    let problem = fixture.finding("problem", "offsets");
    assert_eq!(problem.place, format!("partition 0 of {}", fixture.topic("changelog")));
    assert!(problem.what.contains("ends at offset 3, but was committed up to 30"), "{problem:?}");
    fixture.commit(0, 50, METADATA);
    let problem = fixture.finding("problem", "offsets");
    assert!(problem.what.contains("the committed offset 50 is past the end 5"), "{problem:?}");
}

#[test]
fn manually_set_offsets_are_a_warning() {
    let fixture = ServiceFixture::new();
    fixture.write_state("");
    let warning = fixture.finding("warning", "offsets");
    assert!(warning.what.contains("[0]") && warning.what.contains("set by hand"), "{warning:?}");
}

/// Returns the age of a transaction in the text of a finding.
fn seconds_open(what: &str) -> u64 {
    let (_, age) = what.split_once("open for ").expect("an age");
    age.split(' ').next().and_then(|age| age.parse().ok()).expect("a number of seconds")
}

#[test]
fn a_hanging_transaction_is_reported_with_its_age_and_how_to_abort_it() {
    let fixture = ServiceFixture::new();
    let writer = broker::producer(Some(&broker::unique("upstream")));
    writer.begin_transaction().unwrap();
    let minutes_ago = |minutes: i64| NewRecord {
        timestamp_ms: Some(now_ms() - minutes * 60_000),
        ..NewRecord::to(1, &touchpoint(1))
    };
    broker::write(&writer, &fixture.topic("in"), &[minutes_ago(20)]);
    let problem = fixture.finding("problem", "transactions");
    assert_eq!(problem.place, format!("partition 1 of {}", fixture.topic("in")));
    assert!(seconds_open(&problem.what) >= 1_200, "20 minutes: {problem:?}");
    assert!(problem.to_do.contains("kafka-transactions.sh"), "{problem:?}");
    writer.abort_transaction(broker::TIMEOUT).unwrap();

    // Older than the service's transaction timeout, younger than the broker's maximum.
    writer.begin_transaction().unwrap();
    broker::write(&writer, &fixture.topic("in"), &[minutes_ago(2)]);
    let warning = fixture.finding("warning", "transactions");
    assert!(seconds_open(&warning.what) >= 120, "2 minutes: {warning:?}");
    writer.abort_transaction(broker::TIMEOUT).unwrap();
    assert!(fixture.findings(&[]).iter().all(|it| it.about != "transactions"));
}

#[test]
fn offsets_held_up_by_an_open_transaction_are_a_warning() {
    let fixture = ServiceFixture::new();
    fixture.write_state(METADATA);
    let writer = broker::producer(Some(&broker::unique("other-program")));
    writer.begin_transaction().unwrap();
    cluster_faults::commit_within(&writer, &fixture.name, &fixture.topic("in"), 0, 3, "");
    let warning = fixture.finding("warning", "transactions");
    assert_eq!(warning.place, format!("group {}", fixture.name));
    writer.abort_transaction(broker::TIMEOUT).unwrap();
    assert!(fixture.findings(&[]).iter().all(|it| it.about != "transactions"));
}

#[test]
fn another_program_in_the_group_is_a_problem() {
    let fixture = ServiceFixture::new();
    let _other_program = cluster_faults::join(&fixture.name, &fixture.topic("in"));
    let group: Vec<_> = fixture.findings(&[]).into_iter().filter(|it| it.about == "group").collect();
    assert!(group.iter().any(|it| it.what.contains("another program is in the group")), "{group:#?}");
    assert!(group.iter().any(|it| it.what.contains("uses the assignor range")), "{group:#?}");
}

#[test]
fn a_producer_clock_that_is_ahead_is_a_warning() {
    let fixture = ServiceFixture::new();
    let ahead = NewRecord { timestamp_ms: Some(now_ms() + 600_000), ..NewRecord::to(0, &touchpoint(1)) };
    broker::produce(&fixture.topic("in"), &[ahead]);
    let warning = fixture.finding("warning", "clock");
    assert!(warning.what.contains("ahead of this machine") && warning.what.contains("producer's clock"), "{warning:?}");
}

#[test]
fn an_unreachable_cluster_exits_with_code_3() {
    let fixture = ServiceFixture::empty("127.0.0.1:9");
    let run = fixture.run(&["doctor"]);
    assert_eq!(run.code, 3, "{}{}", run.output, run.errors);
    assert!(run.errors.contains("127.0.0.1:9"), "{}", run.errors);
}
