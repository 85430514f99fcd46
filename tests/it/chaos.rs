//! The promise under faults: three brokers, up to four instances, and a nemesis; afterwards every transition is there once.
//!
//! `LIFECYCLE_CHAOS_SECONDS=90 cargo test --test it chaos -- --nocapture` does harm for that long; without the variable
//! nothing is done. `LIFECYCLE_CHAOS_SEED` repeats the load exactly, and the faults as far as real time allows.

mod cluster;
mod fleet;
mod load;
mod nemesis;
mod proxy;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lifecycle_processor::wire::time::{format_duration, format_timestamp};

use crate::broker::{self, Seen};
use cluster::Cluster;
use fleet::{Fleet, Meant, Settings};
use load::{LATENESS, Load};
use nemesis::Nemesis;
use proxy::Proxy;

const PARTITIONS: i32 = 6;
const MODELS: &[&str] = &["loyalty_ladder", "retention", "engagement_cycle"];
/// How many touchpoints are written in a second.
const RATE: usize = 300;
/// How long after the last fault everything may take to be done.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn whatever_fails_every_transition_is_published_once() {
    let Some(seconds) = number("LIFECYCLE_CHAOS_SECONDS") else { return };
    let seed = number("LIFECYCLE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("chaos: seed {seed}, {seconds} s");
    let length = Duration::from_secs(seconds);
    let logs = tempfile::Builder::new().prefix("lifecycle-chaos-logs-").tempdir().expect("a temporary folder");
    let cluster = Cluster::start();
    let proxy = Proxy::start(&cluster.proxied);
    let settings = settings(&cluster);
    let (group, input) = (settings.group.clone(), settings.input.clone());
    let (output, replay, dead_letters) =
        (settings.output.clone(), settings.replay.clone(), settings.dead_letters.clone());
    let at = |bootstrap: &str| bootstrap.to_owned();
    let instances = vec![
        ("a", at(&cluster.bootstrap)),
        ("b", at(&cluster.bootstrap)),
        ("c", at(&proxy.bootstrap)),
        ("guest", at(&cluster.bootstrap)),
    ];
    let directory = logs.path().to_owned();
    let mut fleet = Fleet::new(settings, logs.path(), instances);
    (0..3).for_each(|index| assert!(fleet.start(index)));
    let mut nemesis = Nemesis::new(seed, 3, 2);

    let load = Load::generate(seed, RATE * usize::try_from(seconds).expect("a short run"));
    let producer = cluster.producer();
    let started = Instant::now();
    let mut written = 0;
    while started.elapsed() < length {
        nemesis.step(&cluster, &proxy, &mut fleet);
        fleet.supervise();
        let share = started.elapsed().as_secs_f64() / length.as_secs_f64();
        let until = (written..load.records.len()).find(|&it| it as f64 >= share * load.records.len() as f64);
        let until = until.unwrap_or(load.records.len());
        broker::enqueue(&producer, &input, &load.records[written..until]);
        written = until;
        std::thread::sleep(Duration::from_millis(50));
    }
    nemesis.heal(&cluster, &proxy, &mut fleet);
    broker::enqueue(&producer, &input, &load.records[written..]);
    broker::flush(&producer);
    broker::write(&producer, &input, &(0..PARTITIONS).map(|partition| load.marker(partition)).collect::<Vec<_>>());

    let healed = Instant::now();
    let mut kept = Some(logs);
    let mut keep = || {
        if let Some(logs) = kept.take() {
            eprintln!("chaos: the logs are kept in {}", logs.keep().display());
        }
    };
    loop {
        fleet.supervise();
        let positions = cluster.positions(&group, &input, PARTITIONS);
        let is_done = |all: &Vec<(Option<i64>, i64)>| all.iter().all(|(position, end)| *position == Some(*end));
        if positions.as_ref().is_some_and(is_done) {
            break;
        }
        if healed.elapsed() > PATIENCE {
            keep();
            panic!("chaos: partitions do not move: {positions:?}; exits {:?}", fleet.exits);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let recovered = healed.elapsed();
    (0..4).for_each(|index| fleet.signal(index, "-TERM", Meant::Stopping));
    let stopping = Instant::now();
    while !(0..4).all(|index| fleet.those(Meant::Absent).contains(&index)) {
        fleet.supervise();
        assert!(stopping.elapsed() < PATIENCE, "an instance does not stop");
        std::thread::sleep(Duration::from_millis(100));
    }

    let read = |topic: &str| broker::read_committed_at(&cluster.bootstrap, topic);
    let touchpoints = read(&input);
    let (lateness, end) = (format_duration(LATENESS), format_timestamp(load.end));
    let mut expected = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let records: Vec<&Seen> = touchpoints.iter().filter(|it| it.partition == partition).collect();
        verdict::assert_in_time(&records, LATENESS);
        save(&directory.join(format!("touchpoints-{partition}.ndjson")), records.iter().map(|it| it.text()));
        expected.extend(verdict::replayed(&records, &directory, MODELS, &lateness, &end));
    }
    let seen = read(&replay);
    save(&directory.join("transitions.ndjson"), seen.iter().map(Seen::text));
    let published = verdict::by_customer(seen.iter().map(Seen::text));
    let divergences = verdict::divergences(&published, &expected);
    let broken = verdict::broken_sequences(&published);
    let is_bad =
        |it: &&Seen| serde_json::from_slice::<serde_json::Value>(it.value.as_deref().unwrap_or_default()).is_err();
    let bad: Vec<_> = touchpoints.iter().filter(is_bad).map(|it| (it.partition, it.offset)).collect();
    let mut set_aside: Vec<_> = read(&dead_letters).iter().map(origin).collect();
    set_aside.sort_unstable();
    let open = cluster.open_transactions();

    eprintln!(
        "chaos: seed {seed}, {seconds} s: {} touchpoints, {} transitions, {} dead letters, done {:.1} s after the last fault",
        touchpoints.len(),
        published.values().map(Vec::len).sum::<usize>(),
        set_aside.len(),
        recovered.as_secs_f64()
    );
    eprintln!("chaos: faults {:?}", nemesis.faults);
    eprintln!("chaos: exits that nobody asked for {:#?}", fleet.exits);
    eprintln!("chaos: stops that failed {:#?}", fleet.bad_stops);
    if !divergences.is_empty() || !broken.is_empty() || set_aside != bad || !open.is_empty() {
        keep();
    }
    assert!(
        divergences.is_empty(),
        "{} customers diverge: {:#?}",
        divergences.len(),
        &divergences[..divergences.len().min(5)]
    );
    assert!(broken.is_empty(), "sequences are broken: {broken:#?}");
    assert_eq!(set_aside, bad, "dead letters are not the bad records");
    assert!(read(&output).is_empty(), "old news is no news");
    assert!(open.is_empty(), "transactions are left open: {open:#?}");
    // Refused to start, and stuck, are for a supervisor to try again; the rest would be for a person.
    let ends = || fleet.exits.keys().chain(fleet.bad_stops.keys());
    assert!(
        ends().all(|it| it.starts_with("exit status: 3") || it.starts_with("exit status: 5")),
        "an end for a person"
    );
}

/// Writes what is needed to look into a divergence when the cluster is gone.
fn save(path: &Path, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(path, text).expect("a file is written");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

fn settings(cluster: &Cluster) -> Settings {
    let topic = |name: &str| {
        cluster.create_topic(name, PARTITIONS);
        name.to_owned()
    };
    Settings {
        group: "chaos".to_owned(),
        input: topic("touchpoints"),
        output: topic("transitions"),
        replay: topic("transitions-replay"),
        dead_letters: topic("dead-letters"),
        changelog: topic("changelog"),
        lateness: format_duration(LATENESS),
        models: MODELS,
    }
}

/// The partition and the offset from which a dead letter comes.
fn origin(letter: &Seen) -> (i32, i64) {
    let header = |name: &str| {
        let (_, value) = letter.headers.iter().find(|(header, _)| header == name).expect("a header");
        String::from_utf8_lossy(value).into_owned()
    };
    (
        header("lifecycle_partition").parse().expect("a partition"),
        header("lifecycle_offset").parse().expect("an offset"),
    )
}
