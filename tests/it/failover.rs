//! How long the work stands still when one of two instances is killed under load: for the partitions that it had, and for the
//! others.
//!
//! `LIFECYCLE_FAILOVER_ROUNDS=10 cargo test --test it failover -- --nocapture` kills that often and prints a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::kafka::Cluster;
use lifecycle_processor::kafka::group::describe_group;
use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;

use crate::broker::{self, ToWrite, until};
use crate::exactly_once::running::Deployment;

const PARTITIONS: i32 = 8;
/// After how long the group takes an instance for dead.
const SESSION: Duration = Duration::from_secs(6);
/// Far longer than a failover may take, so that none of them waits for it.
const TIMEOUTS: &str = "session_timeout: 6s, transaction_timeout: 60s";
/// How long after the session timeout the survivor must have published for every partition of the dead one.
const TAKEOVER_MAX: Duration = Duration::from_secs(3);
/// How long the partitions that stay where they are may publish nothing.
const GAP_MAX: Duration = Duration::from_secs(1);
/// Each touchpoint leads to a transition; so there is one in each partition every 27 ms.
const RATE: u64 = 300;

/// What one kill did.
struct Measured {
    /// From the kill until the last of the dead one's partitions was published for.
    takeover: Duration,
    /// The longest silence of a partition that stayed.
    gap: Duration,
    /// The longest silence of any partition in as long a time before.
    gap_before: Duration,
}

#[test]
fn a_killed_instance_is_replaced_within_the_session_timeout_and_three_seconds_and_disturbs_nobody() {
    let rounds = std::env::var("LIFECYCLE_FAILOVER_ROUNDS").ok().map(|it| it.parse().expect("a number"));
    let mut table = "| kill | takeover | takeover less the session | gap elsewhere | gap before the kill |\n|---|---|---|---|---|\n".to_owned();
    let mut measured = Vec::new();
    for round in 1..=rounds.unwrap_or(1) {
        let it = kill_one_of_two();
        let beyond = it.takeover.saturating_sub(SESSION);
        _ = writeln!(
            table,
            "| {round} | {:.2?} | {beyond:.2?} | {:.2?} | {:.2?} |",
            it.takeover, it.gap, it.gap_before
        );
        measured.push(it);
    }
    eprintln!("{table}");
    for it in measured {
        assert!(it.takeover <= SESSION + TAKEOVER_MAX, "the takeover took {:.2?}", it.takeover);
        // A machine that has other things to do shows it before the kill, too. One that has far too much to do shows nothing else.
        let allowed = if rounds.is_some() { GAP_MAX } else { GAP_MAX + it.gap_before.min(GAP_MAX) };
        assert!(it.gap <= allowed, "partitions that stayed were silent for {:.2?}", it.gap);
    }
}

fn kill_one_of_two() -> Measured {
    let mut deployment = Deployment::new(PARTITIONS, "workers: 1");
    deployment.timeouts = TIMEOUTS;
    let (killed, survivor) = (deployment.start("a"), deployment.start("b"));
    let owned = until("both have their share", || {
        let owned = partitions_of(&deployment, "lifecycle-a-0")?;
        let others = partitions_of(&deployment, "lifecycle-b-0")?;
        (owned.len() == 4 && others.len() == 4).then_some(owned)
    });

    let is_over = Arc::new(AtomicBool::new(false));
    let (topic, told) = (deployment.touchpoints.clone(), Arc::clone(&is_over));
    let load = thread::spawn(move || write_until(&topic, &told));
    let (topic, told) = (deployment.transitions.clone(), Arc::clone(&is_over));
    let reader = thread::spawn(move || read_until(&topic, &told));
    let window = SESSION + TAKEOVER_MAX + Duration::from_secs(2);
    thread::sleep(window);
    let killed_at = Instant::now();
    killed.kill();
    thread::sleep(window + Duration::from_secs(3));
    is_over.store(true, Ordering::Relaxed);
    load.join().expect("the load was written");
    let seen = reader.join().expect("the transitions were read");
    survivor.stop();
    measure(&seen, &owned, killed_at, window)
}

/// When each partition's transitions were seen, and when their touchpoints were written.
type Seen = BTreeMap<i32, Vec<(Instant, Instant)>>;

fn measure(seen: &Seen, lost: &BTreeSet<i32>, killed_at: Instant, window: Duration) -> Measured {
    assert_eq!(seen.len(), usize::try_from(PARTITIONS).expect("few"), "every partition has published");
    let first_after = |partition: &i32| {
        let new = seen[partition].iter().find(|(_, written)| *written >= killed_at);
        new.unwrap_or_else(|| panic!("nothing was published for partition {partition}")).0 - killed_at
    };
    let gap = |partition: &i32, from: Instant, to: Instant| {
        let times: Vec<Instant> =
            seen[partition].iter().map(|(at, _)| *at).filter(|at| (from..to).contains(at)).collect();
        let ends = [from, to];
        let all: Vec<Instant> = ends[..1].iter().chain(&times).chain(&ends[1..]).copied().collect();
        all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    };
    let stayed = seen.keys().filter(|partition| !lost.contains(partition));
    // The first seconds are those of the start.
    let before = killed_at.checked_sub(window / 2).expect("the machine runs for longer");
    Measured {
        takeover: lost.iter().map(first_after).max().expect("something was lost"),
        gap: stayed.map(|it| gap(it, killed_at, killed_at + window)).max().expect("something stayed"),
        gap_before: seen.keys().map(|it| gap(it, before, killed_at)).max().expect("there are partitions"),
    }
}

fn partitions_of(deployment: &Deployment, client_id: &str) -> Option<BTreeSet<i32>> {
    let cluster = Cluster { bootstrap_servers: broker::bootstrap().to_owned(), settings: Vec::new() };
    let group = describe_group(&cluster, &deployment.group, &deployment.touchpoints).ok()?;
    let member = group.members.into_iter().find(|it| it.client_id == client_id)?;
    Some(member.partitions?.into_iter().collect())
}

/// Writes orders of new customers, whose ids tell when they were written.
fn write_until(topic: &str, is_over: &AtomicBool) {
    let producer = broker::producer(None);
    let began = Instant::now();
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = u64::try_from(began.elapsed().as_millis()).expect("a short run") * RATE / 1000;
        let records: Vec<_> = (written..due).map(order).collect();
        broker::enqueue(&producer, topic, &records);
        written = due;
        thread::sleep(Duration::from_millis(10));
    }
    broker::flush(&producer);
}

/// Instants by which writer and reader tell the time to each other.
fn milliseconds() -> i64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    i64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_millis()).expect("a short run")
}

fn order(number: u64) -> ToWrite {
    let at = format_timestamp(WallClock::start().now().wall);
    let customer = format!("c{number}");
    let text = format!(
        r#"{{"event_id":"{}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"o{number}","amount":1,"currency":"USD"}}"#,
        milliseconds()
    );
    ToWrite::keyed(&customer, &text)
}

fn read_until(topic: &str, is_over: &AtomicBool) -> Seen {
    let consumer = broker::reader(topic);
    let mut seen = Seen::new();
    while !is_over.load(Ordering::Relaxed) {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
        let text = message.payload().expect("a transition has a value");
        let json: serde_json::Value = serde_json::from_slice(text).expect("a transition is JSON");
        let written: i64 = json["cause"]["event_id"].as_str().and_then(|it| it.parse().ok()).expect("a number");
        let age = Duration::from_millis(u64::try_from(milliseconds() - written).expect("written before read"));
        let now = Instant::now();
        seen.entry(message.partition()).or_default().push((now, now.checked_sub(age).expect("written in this run")));
    }
    consumer.unassign().expect("the reader lets go");
    seen
}
