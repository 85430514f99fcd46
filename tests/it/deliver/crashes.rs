//! Crashes, outages and rebalances while deliveries are on their way.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::Cluster;
use lifecycle_processor::kafka::cluster::admin::{TopicSpec, create_topics};

use super::receiver::{Answer, Receiver};
use super::{Deployment, assert_complete, key, log, produce, records};
use crate::broker::{self, until};

/// Number of kills; more with `LIFECYCLE_CHAOS_SECONDS`, which the long runs set.
fn kills() -> usize {
    if std::env::var_os("LIFECYCLE_CHAOS_SECONDS").is_some() { 20 } else { 4 }
}

fn webhook(receiver: &Receiver, options: &str) -> String {
    format!(
        "  shop:\n    webhook: {{url: \"http://{}/hooks\"}}\n    allow_private_addresses: true\n    start: earliest\n{options}",
        receiver.address
    )
}

/// Waits until the receiver has accepted all transitions.
fn wait_for(receiver: &Receiver, deployment: &Deployment, count: usize, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let distinct = || receiver.accepted().iter().map(key).collect::<BTreeSet<_>>().len();
    while distinct() < count {
        assert!(Instant::now() < deadline, "{} of {count} were delivered\n{}", distinct(), log(deployment));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn kills_at_any_moment_lose_nothing_and_keep_the_order() {
    let seed: u64 =
        std::env::var("LIFECYCLE_CHAOS_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(fastrand::u64(..));
    println!("LIFECYCLE_CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let calls = AtomicUsize::new(0);
    // Every twentieth request fails, so that retries and completions out of order are in the committed progress.
    let receiver = Receiver::start(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        Answer::status(if call % 20 == 19 { 503 } else { 200 }).after(Duration::from_millis(2))
    });
    let kills = kills();
    let (customers, count) = (40, 25 * kills as u64);
    let deployment = Deployment::new(3, &webhook(&receiver, "    retry: {first: 50ms, max: 200ms}\n"));
    produce(&deployment.topic, customers, count);
    for kill in 0..kills {
        let process = deployment.start();
        let before = receiver.count();
        until("the deliverer sends requests", || {
            std::thread::sleep(Duration::from_millis(5));
            (receiver.count() > before).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.u64(0..600)));
        println!("kill {kill} after {} requests", receiver.count() - before);
        process.kill();
    }
    let process = deployment.start();
    let all = usize::try_from(customers * count).expect("a small number");
    wait_for(&receiver, &deployment, all, Duration::from_secs(90));
    process.stop();
    let repeated = assert_complete(&receiver, customers, count);
    println!("{all} transitions, {kills} kills, {repeated} repeated");
    // At most what was delivered between two commits is repeated.
    assert!(repeated < all / 2, "{repeated} of {all} were repeated");
}

#[test]
fn a_destination_that_is_down_for_a_while_gets_everything_in_order() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let receiver = Receiver::start(move |_| Answer::status(if down.load(Ordering::Relaxed) { 503 } else { 200 }));
    let deployment = Deployment::new(2, &webhook(&receiver, "    retry: {first: 100ms, max: 500ms}\n"));
    produce(&deployment.topic, 20, 5);
    let process = deployment.start();
    until("the deliverer has tried", || {
        std::thread::sleep(Duration::from_millis(50));
        (receiver.count() >= 6).then_some(())
    });
    // The circuit breaker is open: a stream of transitions causes no stream of requests.
    let before = receiver.count();
    std::thread::sleep(Duration::from_secs(2));
    assert!(receiver.count() - before <= 4, "{} requests while it is down", receiver.count() - before);
    is_down.store(false, Ordering::Relaxed);
    wait_for(&receiver, &deployment, 100, Duration::from_secs(40));
    process.stop();
    assert_eq!(assert_complete(&receiver, 20, 5), 0, "nothing is repeated without a crash");
}

#[test]
fn progress_beyond_a_waiting_delivery_survives_a_crash() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    // One customer fails; all others are delivered.
    let receiver = Receiver::start(move |received| {
        let is_failing = down.load(Ordering::Relaxed) && key(received) == ("c0".to_owned(), 1);
        Answer::status(if is_failing { 425 } else { 200 })
    });
    let deployment = Deployment::new(1, &webhook(&receiver, "    retry: {first: 300ms, max: 300ms}\n"));
    produce(&deployment.topic, 30, 4);
    let process = deployment.start();
    // 29 customers with 4 transitions each; those of c0 wait behind the first one.
    wait_for(&receiver, &deployment, 29 * 4, Duration::from_secs(40));
    std::thread::sleep(Duration::from_millis(800));
    process.kill();
    is_down.store(false, Ordering::Relaxed);
    let process = deployment.start();
    wait_for(&receiver, &deployment, 120, Duration::from_secs(40));
    process.stop();
    assert_eq!(assert_complete(&receiver, 30, 4), 0, "what was committed as done is not repeated");
}

#[test]
fn two_deliverers_share_the_partitions_and_keep_the_order() {
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(3)));
    let deployment = Deployment::new(4, &webhook(&receiver, ""));
    produce(&deployment.topic, 40, 50);
    let first = deployment.start();
    until("the first deliverer sends requests", || {
        std::thread::sleep(Duration::from_millis(5));
        (receiver.count() > 100).then_some(())
    });
    let second = deployment.start();
    std::thread::sleep(Duration::from_secs(4));
    first.stop();
    wait_for(&receiver, &deployment, 2_000, Duration::from_mins(1));
    second.stop();
    assert_eq!(assert_complete(&receiver, 40, 50), 0, "a rebalance without a crash repeats nothing");
}

/// Runs a command of `scripts/kafka` on the node in `folder`, and returns what it prints.
fn kafka(command: &str, folder: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
    let output = Command::new(script).arg(command).arg(folder).output().expect("the script runs");
    assert!(output.status.success(), "scripts/kafka {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Stops the node when the test ends.
struct Node(std::path::PathBuf);

impl Drop for Node {
    fn drop(&mut self) {
        // It may be stopped already.
        drop(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka")).arg("kill").arg(&self.0).output());
    }
}

#[test]
fn a_crash_of_the_broker_loses_nothing_and_keeps_the_order() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("node");
    let bootstrap = kafka("start", &folder);
    let _node = Node(folder.clone());
    let topic = |name: &str, partitions| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: Some(1),
        configs: Vec::new(),
    };
    let cluster = Cluster { bootstrap_servers: bootstrap.clone(), settings: Vec::new() };
    create_topics(&cluster, &[topic("transitions", 2), topic("dead", 1)]).expect("the topics are created");
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(4)));
    let deployment = Deployment::on(&bootstrap, "transitions", "dead", &webhook(&receiver, ""));
    broker::produce_at(&bootstrap, "transitions", &records(30, 60));
    let process = deployment.start();
    until("the deliverer sends requests", || {
        std::thread::sleep(Duration::from_millis(5));
        (receiver.count() > 200).then_some(())
    });
    kafka("kill", &folder);
    let before = receiver.count();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(kafka("start", &folder), bootstrap);
    println!("{before} requests before the crash, {} during it", receiver.count() - before);
    wait_for(&receiver, &deployment, 1_800, Duration::from_mins(1));
    process.stop();
    let repeated = assert_complete(&receiver, 30, 60);
    // What was delivered while the broker was down is remembered; only what was in flight may be repeated.
    println!("{repeated} repeated");
    assert!(repeated <= 8, "{repeated} were repeated");
}
