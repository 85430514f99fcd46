//! `lifecycle repartition` of a state with identity resolution on a real broker: a service is killed while hand-overs
//! are under way, its customers move to another number of partitions, and the end is the same as that of `lifecycle
//! replay`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lifecycle_processor::config::Config;
use lifecycle_processor::service::repartition::{Action, Failure, Outcome, Progress, Target, repartition};
use tempfile::TempDir;

use crate::broker::{self, NewRecord, until};
use crate::cli::Run;
use crate::cluster_faults;
use crate::exactly_once::deployment::Deployment;
use crate::identity_live::{
    PARTITIONS, SETTINGS, deployment, erase_by_alias, fillers, history, wait_until_as_replayed, wait_until_read,
};

/// A model whose stage is the number of views: a touchpoint that is lost, or counted twice, changes it.
fn model() -> String {
    let numbers = || (1..64).rev();
    let journey: Vec<String> = numbers().rev().map(|number| format!("v{number}")).collect();
    let mut text = format!(
        "model: views\nversion: 1\njourney: [{}]\nfacts: {{views: count(product_viewed)}}\nstages:\n",
        journey.join(", ")
    );
    for number in numbers() {
        writeln!(text, "  - {{stage: v{number}, when: views >= {number}}}").expect("text can be appended");
    }
    text
}

/// Runs the command until it reports `line`, then kills it. Returns the line.
fn kill_after(deployment: &Deployment, arguments: &[&str], line: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(arguments)
        .arg("--config")
        .arg(deployment.configuration("a", "127.0.0.1:0"))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let errors = BufReader::new(command.stderr.take().expect("standard error is piped"));
    let found = errors.lines().map_while(Result::ok).find(|found| found.contains(line));
    // It may have ended by itself.
    drop(command.kill());
    command.wait().expect("the process has ended");
    found.unwrap_or_else(|| panic!("the command does not report: {line}"))
}

/// Returns a service that has read `records` and was killed while hand-overs were under way, with the folder of its
/// model.
fn killed(records: &[NewRecord]) -> (Deployment, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("views.yaml");
    std::fs::write(&path, model()).expect("the model is written");
    // Each step of a hand-over is a commit.
    let mut deployment = deployment().with_settings(&format!("{SETTINGS}\ncommit: {{interval: 3s}}"));
    path.to_str().expect("a path of text").clone_into(&mut deployment.model);
    let (before, after) = records.split_at(records.len() * 2 / 3);
    broker::produce(&deployment.touchpoints, before);
    let mut instance = deployment.start("a");
    until("facts move", || instance.metric(r#"lifecycle_hand_overs_total{kind="facts"}"#).filter(|count| *count > 0));
    broker::produce(&deployment.touchpoints, after);
    wait_until_read(&mut instance, records.len() as u64);
    instance.kill();
    (deployment, directory)
}

/// Waits until nothing but the group or an open transaction of a service that has ended prevents the move.
fn wait_until_possible(deployment: &Deployment, arguments: &[&str]) {
    until("the group has no members, and no transaction is open", || {
        let check = deployment.run("a", &[arguments, &["--check"]].concat());
        let is_early = check.errors.contains("members") || check.errors.contains("still open");
        assert!(is_early || check.code == 0, "{}", check.errors);
        (check.code == 0).then_some(())
    });
}

/// Moves the customers while another run has just copied the hand-overs. Returns how both ended.
fn move_twice_at_once(deployment: &Deployment, arguments: &[&str]) -> (Run, Result<Outcome, Failure>) {
    let path = deployment.configuration("a", "127.0.0.1:0");
    let text = std::fs::read_to_string(&path).expect("the configuration is read");
    let config = Config::parse(&text, &path, []).expect("a valid configuration");
    let after = |name: &str| arguments.iter().skip_while(|it| **it != name).nth(1).expect("a value").to_string();
    let target = Target {
        touchpoints: after("--touchpoints"),
        changelog: after("--changelog"),
        hand_overs: Some(after("--hand-overs")),
        partitions: after("--to").parse().expect("a number"),
    };
    let mut moved = None;
    let other = repartition(&config, &target, Action::Move, &mut |progress| {
        if let Progress::HandOversCopied(_) = progress {
            moved = Some(deployment.run("a", arguments));
        }
    });
    (moved.expect("the hand-overs are copied"), other)
}

#[test]
fn a_move_while_hand_overs_are_under_way_ends_as_a_replay_does() {
    let history = history();
    let (deployment, _directory) = killed(&history[..600]);

    let names = ["touchpoints", "changelog", "hand-overs"].map(broker::unique);
    let arguments = ["repartition", "--to", "12", "--touchpoints", &names[0], "--changelog", &names[1]];
    let refused = deployment.run("a", &arguments);
    assert!(refused.code == 3 && refused.errors.contains("name a new topic with --hand-overs"), "{}", refused.errors);
    let used = broker::topic("hand-overs", 12);
    let with_used = [&arguments[..], &["--hand-overs", &used]].concat();
    let arguments = [&arguments[..], &["--hand-overs", &names[2]]].concat();
    wait_until_possible(&deployment, &arguments);

    // The topic of another service.
    broker::produce(&used, &[NewRecord::keyed("some", "thing")]);
    let occupied = deployment.run("a", &with_used);
    assert!(
        occupied.code == 3 && occupied.errors.contains("records that are not of this command"),
        "{}",
        occupied.errors
    );
    kill_after(&deployment, &arguments, "entries copied");
    let copied = kill_after(&deployment, &arguments, "hand-overs under way");
    assert!(!copied.contains(" 0 copied"), "no hand-over was under way");
    let (moved, second) = move_twice_at_once(&deployment, &arguments);
    assert_eq!(moved.code, 0, "{}{}", moved.output, moved.errors);
    let Err(Failure::Refused(problems)) = second else { panic!("{second:?}") };
    assert!(problems[0].what.contains("has moved the customers of this group"), "{problems:?}");
    let next = format!("topics.changelog to {} and topics.hand_overs to {}", names[1], names[2]);
    assert!(moved.output.contains(&next), "{}", moved.output);
    let under_way = broker::read_committed(&names[2]).len() - 12;
    assert!(copied.ends_with(&format!(": {under_way} copied")), "{copied}, but {under_way} in the new topic");

    // The configuration from before the move, and one with another topic of hand-overs, are refused.
    let (code, log) = deployment.start("old").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains(&format!("has moved the customers of this group to {}", names[0])), "{log}");
    let [touchpoints, changelog, hand_overs] = names;
    let mut deployment = deployment.with_touchpoints(touchpoints).with_changelog(changelog).with_settings(SETTINGS);
    deployment.hand_overs = Some(broker::topic_with("hand-overs", 12, &[("max.message.bytes", "8388608")]));
    let (code, log) = deployment.start("wrong").wait_for_exit();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("is past the end 0"), "{log}");
    assert!(deployment.doctor("wrong").contains("is past the end 0"), "{}", deployment.doctor("wrong"));
    deployment.hand_overs = Some(hand_overs);
    deployment.configuration("a", "127.0.0.1:0");
    assert!(deployment.doctor("a").contains(" 0 problems"), "{}", deployment.doctor("a"));

    broker::produce(&deployment.touchpoints, &history[600..]);
    let mut instance = deployment.start("a");
    wait_until_read(&mut instance, 200);
    instance.kill();
    broker::produce(&deployment.touchpoints, &fillers(12));
    let instance = deployment.start("a");
    let stages = wait_until_as_replayed(&deployment, &instance, &[history, fillers(12)].concat());
    erase_by_alias(&deployment, &instance, &stages);
    let log = instance.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn hand_overs_that_are_applied_after_an_interrupted_move_are_not_applied_again() {
    let records = [&history()[..300], &fillers(PARTITIONS)].concat();
    let (deployment, _directory) = killed(&records);
    let names = ["touchpoints", "changelog", "hand-overs", "hand-overs"].map(broker::unique);
    let to = ["repartition", "--to", "3", "--touchpoints", &names[0], "--changelog", &names[1], "--hand-overs"];
    let (first, second) = ([&to[..], &[&names[2]]].concat(), [&to[..], &[&names[3]]].concat());
    wait_until_possible(&deployment, &first);
    kill_after(&deployment, &first, "hand-overs under way");

    let deployment = deployment.with_settings(SETTINGS);
    let instance = deployment.start("a");
    wait_until_as_replayed(&deployment, &instance, &records);
    instance.stop();
    wait_until_possible(&deployment, &first);
    let refused = deployment.run("a", &first);
    let problem = format!("{} has hand-overs that the service has applied since", names[2]);
    assert!(refused.code == 3 && refused.errors.contains(&problem), "{}{}", refused.output, refused.errors);
    let moved = deployment.run("a", &second);
    assert_eq!(moved.code, 0, "{}{}", moved.output, moved.errors);

    // Back to the old topics: the changelog contains the position of each partition in the hand-overs.
    for partition in 0..PARTITIONS {
        let offset = cluster_faults::committed(&deployment.group, &deployment.touchpoints, partition);
        let offset = offset.expect("a committed offset");
        cluster_faults::commit(&deployment.group, &deployment.touchpoints, partition, offset, "");
    }
    let instance = deployment.start("a");
    until("the service is ready", || instance.get("/readyz"));
    let stages = wait_until_as_replayed(&deployment, &instance, &records);
    erase_by_alias(&deployment, &instance, &stages);
    let log = instance.stop();
    assert!(!log.contains("ERROR"), "{log}");
}
