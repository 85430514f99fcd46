//! The promise under faults: three brokers, up to four instances, and a nemesis; afterwards every transition is there once.
//!
//! `LIFECYCLE_CHAOS_SECONDS=90 cargo test --test it chaos -- --nocapture` does harm for that long; without the variable
//! nothing is done. `LIFECYCLE_CHAOS_SEED` repeats the load exactly, and the faults as far as real time allows.
//! `LIFECYCLE_CHAOS_PROGRAM` names another build of the program than the one that is tested.

mod cluster;
mod fleet;
mod load;
mod nemesis;
mod proxy;
mod verdict;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use lifecycle_processor::wire::time::{format_duration, format_timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{self, Seen};
use cluster::Cluster;
use fleet::{Fleet, Meant, Settings};
use load::{LATENESS, Load, is_unpunctual};
use nemesis::Nemesis;
use proxy::Proxy;
use verdict::Published;

const PARTITIONS: i32 = 6;
const MODELS: &[&str] = &["loyalty_ladder", "retention", "engagement_cycle"];
/// How many touchpoints are written in a second.
const RATE: usize = 300;
/// How long after the last fault everything may take to be done.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long what silence brings may take to be committed once everything is read.
const REST: Duration = Duration::from_secs(8);
/// How many customers are asked for at most.
const STATES_MAX: usize = 1_000;

/// A run: what it works on, and where its logs are.
struct Run {
    seed: u64,
    length: Duration,
    settings: Settings,
    logs: TempDir,
    proxy: Proxy,
    cluster: Cluster,
}

#[test]
fn whatever_fails_every_transition_is_published_once() {
    let Some(seconds) = number("LIFECYCLE_CHAOS_SECONDS") else { return };
    let seed = number("LIFECYCLE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("chaos: seed {seed}, {seconds} s");
    let cluster = Cluster::start();
    let mut run = Run {
        seed,
        length: Duration::from_secs(seconds),
        settings: settings(&cluster, seed),
        logs: tempfile::Builder::new().prefix("lifecycle-chaos-logs-").tempdir().expect("a temporary folder"),
        proxy: Proxy::start(&cluster.proxied),
        cluster,
    };
    let at = |bootstrap: &str| bootstrap.to_owned();
    let direct = || at(&run.cluster.bootstrap);
    let instances = vec![("a", direct()), ("b", direct()), ("c", at(&run.proxy.bootstrap)), ("guest", direct())];
    let mut fleet = Fleet::new(run.settings.clone(), run.logs.path(), instances);
    (0..3).for_each(|index| assert!(fleet.start(index)));
    let load = Load::generate(seed, RATE * usize::try_from(seconds).expect("a short run"));

    let failed = catch_unwind(AssertUnwindSafe(|| run.take_its_course(&load, &mut fleet))).err();
    // The reader of the logs is a person, and only when something is wrong.
    if let Some(failure) = failed {
        run.logs.disable_cleanup(true);
        eprintln!("chaos: the logs, the touchpoints and the transitions are kept in {}", run.logs.path().display());
        resume_unwind(failure);
    }
}

impl Run {
    fn take_its_course(&self, load: &Load, fleet: &mut Fleet) {
        let faults = self.do_harm(load, fleet);
        let recovered = self.settle(fleet);
        // What silence has brought meanwhile is worked off and committed.
        std::thread::sleep(REST);
        let mut report = Report::new(self.seed, self.length, recovered, &faults);
        let expected = self.judge(load, &mut report);
        self.judge_states(fleet, &expected, &mut report);
        stop(fleet);
        let open = self.cluster.open_transactions();
        assert!(open.is_empty(), "transactions are left open: {open:#?}");
        report.add("transactions left open", open.len());
        let deleted = self.cluster.deleted(&self.settings.changelog, PARTITIONS);
        report.add("changelog offsets deleted by sweeps meanwhile", deleted);
        report.add("instances that ended by themselves and were started again", fleet.exits.values().sum::<u32>());
        report.print();
        eprintln!("chaos: exits that nobody asked for {:#?}", fleet.exits);
        eprintln!("chaos: stops that failed {:#?}", fleet.bad_stops);
        // Refused to start, and stuck, are for a supervisor to try again; the rest would be for a person.
        let mut ends = fleet.exits.keys().chain(fleet.bad_stops.keys());
        let is_for_supervisors = |it: &String| it.starts_with("exit status: 3") || it.starts_with("exit status: 5");
        assert!(ends.all(is_for_supervisors), "an instance ended as if a person had to act");
    }

    /// Writes the load while the nemesis acts, then ends every fault. Returns how often what was done.
    fn do_harm(&self, load: &Load, fleet: &mut Fleet) -> BTreeMap<&'static str, u32> {
        let mut nemesis = Nemesis::new(self.seed, 3, 2);
        let producer = self.cluster.producer();
        let input = &self.settings.input;
        let started = Instant::now();
        let mut written = 0;
        while started.elapsed() < self.length {
            nemesis.step(&self.cluster, &self.proxy, fleet);
            fleet.supervise();
            let due = load.records.len() as u128 * started.elapsed().as_millis() / self.length.as_millis();
            let due = usize::try_from(due).map_or(load.records.len(), |due| due.min(load.records.len()));
            broker::enqueue(&producer, input, &load.records[written..due]);
            written = due;
            std::thread::sleep(Duration::from_millis(50));
        }
        nemesis.heal(&self.cluster, &self.proxy, fleet);
        broker::enqueue(&producer, input, &load.records[written..]);
        broker::flush(&producer);
        broker::write(&producer, input, &(0..PARTITIONS).map(|partition| load.marker(partition)).collect::<Vec<_>>());
        nemesis.faults
    }

    /// Waits until everything has been read and committed; says how long it took.
    fn settle(&self, fleet: &mut Fleet) -> Duration {
        let healed = Instant::now();
        loop {
            fleet.supervise();
            let positions = self.cluster.positions(&self.settings.group, &self.settings.input, PARTITIONS);
            let is_done = |all: &Vec<(Option<i64>, i64)>| all.iter().all(|(position, end)| *position == Some(*end));
            if positions.as_ref().is_some_and(is_done) {
                return healed.elapsed();
            }
            assert!(healed.elapsed() < PATIENCE, "partitions do not move: {positions:?}; exits {:#?}", fleet.exits);
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Compares what a reader of committed records sees with what `replay` prints for the topic of touchpoints. Returns the
    /// latter.
    fn judge(&self, load: &Load, report: &mut Report) -> Published {
        let read_as = |topic: &str, level| broker::read_at(&self.cluster.bootstrap, topic, level, PATIENCE);
        let read = |topic: &str| read_as(topic, "read_committed");
        let (lateness, end) = (format_duration(LATENESS), format_timestamp(load.end));
        let directory = self.logs.path();
        let touchpoints = read(&self.settings.input);
        let mut expected = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let records: Vec<&Seen> = touchpoints.iter().filter(|it| it.partition == partition).collect();
            verdict::assert_in_time(&records, LATENESS);
            save(&directory.join(format!("touchpoints-{partition}.ndjson")), records.iter().map(|it| it.text()));
            expected.extend(verdict::replayed(&records, directory, MODELS, &lateness, &end));
        }
        let transitions = read(&self.settings.replay);
        save(&directory.join("transitions.ndjson"), transitions.iter().map(Seen::text));
        let published = verdict::by_customer(transitions.iter().map(Seen::text));
        let mut set_aside: Vec<_> = read(&self.settings.dead_letters).iter().map(verdict::origin).collect();
        set_aside.sort_unstable();
        report.add("touchpoints written, repetitions included", touchpoints.len());
        report.add("transitions, each found once, in order, as `replay` prints them", transitions.len());
        report.add("dead letters, each found once", set_aside.len());
        let uncommitted = read_as(&self.settings.replay, "read_uncommitted").len();
        report
            .add("transitions of aborted transactions, which no committed reader saw", uncommitted - transitions.len());
        let divergences = verdict::divergences(&published, &expected);
        let first = &divergences[..divergences.len().min(5)];
        assert!(divergences.is_empty(), "{} customers diverge: {first:#?}", divergences.len());
        let broken = verdict::broken_sequences(&published);
        assert!(broken.is_empty(), "sequences are broken: {broken:#?}");
        let doubled = verdict::doubled(&published);
        assert!(doubled.is_empty(), "published more than once: {doubled:#?}");
        let bad: Vec<_> =
            touchpoints.iter().filter(|it| verdict::is_bad(it)).map(|it| (it.partition, it.offset)).collect();
        assert_eq!(set_aside, bad, "dead letters are not the bad records");
        assert!(read(&self.settings.output).is_empty(), "old news is no news");
        report.add("lost, doubled, reordered or foreign transitions", 0);
        expected
    }

    /// Compares where customers stand, as the instances show it, with where `replay` leaves them. This holds for those, too,
    /// whose touchpoints came later than allowed: what was published of them may differ, where they stand may not.
    fn judge_states(&self, fleet: &Fleet, expected: &Published, report: &mut Report) {
        let unpunctual = expected.keys().filter(|it| is_unpunctual(it));
        let punctual = expected.keys().filter(|it| !is_unpunctual(it));
        let asked: Vec<_> = unpunctual.take(STATES_MAX / 2).chain(punctual.take(STATES_MAX / 2)).collect();
        let late = asked.iter().filter(|it| is_unpunctual(it)).count();
        for customer in &asked {
            let shown = broker::until("an instance shows the customer", || fleet.customer(customer));
            let shown: BTreeMap<String, Value> = shown["models"]
                .as_array()
                .expect("models")
                .iter()
                .filter(|it| it["sequence"].as_u64().is_some_and(|it| it > 0))
                .map(|it| (it["model"].as_str().expect("a model").to_owned(), it["stage"].clone()))
                .collect();
            for (model, stage) in verdict::stages(&expected[*customer]) {
                assert_eq!(
                    shown.get(&model),
                    Some(&stage),
                    "{customer} stands elsewhere in {model}, seed {}",
                    self.seed
                );
            }
        }
        report.add("customers asked for over HTTP, each where `replay` leaves it", asked.len());
        report.add("of those, customers with touchpoints later than allowed", late);
    }
}

/// What a run did and found, as a table for people.
struct Report {
    title: String,
    rows: Vec<(String, String)>,
}

impl Report {
    fn new(seed: u64, length: Duration, recovered: Duration, faults: &BTreeMap<&'static str, u32>) -> Self {
        let seconds = length.as_secs();
        let mut report = Self { title: format!("seed {seed}, {seconds} s of faults"), rows: Vec::new() };
        for (kind, count) in faults {
            report.add(kind, count);
        }
        report.add(&format!("**faults of {} kinds**", faults.len()), faults.values().sum::<u32>());
        report.add("time until everything was read and committed after the last fault", format!("{recovered:.1?}"));
        report
    }

    #[expect(clippy::needless_pass_by_value, reason = "a number is given as it is")]
    fn add(&mut self, what: &str, value: impl ToString) {
        self.rows.push((what.to_owned(), value.to_string()));
    }

    fn print(&self) {
        eprintln!("| {} | |\n|---|---|", self.title);
        for (what, value) in &self.rows {
            eprintln!("| {what} | {value} |");
        }
    }
}

fn stop(fleet: &mut Fleet) {
    let all = 0..fleet.instances.len();
    all.clone().for_each(|index| fleet.signal(index, "-TERM", Meant::Stopping));
    let stopping = Instant::now();
    while fleet.those(Meant::Absent).len() < all.len() {
        fleet.supervise();
        assert!(stopping.elapsed() < PATIENCE, "an instance does not stop");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Writes what is needed to look into a divergence when the cluster is gone.
fn save(path: &Path, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(path, text).expect("a file is written");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

fn settings(cluster: &Cluster, seed: u64) -> Settings {
    let topic = |name: &str| {
        assert!(cluster::TOPICS.contains(&name), "{name} is known to the nemesis");
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
        // Odd seeds try static members.
        is_static_member: seed % 2 == 1,
    }
}
