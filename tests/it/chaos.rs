//! Tests exactly-once processing under faults, with three brokers, up to four instances and a nemesis that injects the
//! faults. Afterwards the output topics must contain every transition exactly once.
//!
//! `LIFECYCLE_CHAOS_SECONDS=90 cargo test --test it chaos:: -- --ignored --nocapture` injects faults for that long;
//! without the variable for 45 s. With `LIFECYCLE_CHAOS_CLOCK=wall` the service runs by wall time on live touchpoints;
//! otherwise it runs by event time on touchpoints of several years. `LIFECYCLE_CHAOS_SEED` repeats the load exactly and
//! the faults as far as real time allows. With `LIFECYCLE_CHAOS_LINKS=1`, a part of the touchpoints are of visitors who
//! become customers, and customers are merged and split. `LIFECYCLE_CHAOS_PROGRAM` is the path of another build of the
//! program to test.

pub(crate) mod cluster;
pub(crate) mod fleet;
mod historical_load;
mod links;
mod live_load;
mod load;
mod nemesis;
mod proxy;
mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::WallClock;

use lifecycle_processor::wire::time::{format_duration, format_timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{self, ConsumedRecord};
use cluster::{Cluster, Deliveries};
use fleet::{DesiredState, Fleet, Settings};
use links::LinkedLoad;
use load::{CLOCK_AHEAD_PREFIX, Load};
use nemesis::Nemesis;
use proxy::Proxy;
use verification::TransitionsByCustomer;

pub(crate) const PARTITIONS: i32 = 6;
/// How long the service may take after the last fault to read and commit everything.
const TIMEOUT: Duration = Duration::from_mins(3);
/// How long the service may take to commit due wake-ups once everything is read.
const WAKE_UP_COMMIT_WAIT: Duration = Duration::from_secs(8);
/// The maximum number of customers queried over HTTP.
const STATES_MAX: usize = 1_000;
/// The number of customers queried at the same time.
const QUERIES_AT_ONCE: usize = 16;
/// A run fails if it compares the transitions of fewer customers field by field.
const ON_TIME_CUSTOMERS_MIN: usize = 100;
/// A run of ten minutes or more fails with fewer faults or fewer kinds of faults; a shorter run needs proportionally
/// less.
const FAULTS_MIN: u64 = 200;
const KINDS_MIN: u64 = 8;
/// A wake-up counts as delayed if it fires this many milliseconds after its time plus the allowed lateness.
const DELAYED_MS: i64 = 5_000;

/// The cluster, the configuration and the log folder of a run.
struct Run {
    seed: u64,
    duration: Duration,
    settings: Settings,
    logs: TempDir,
    proxy: Proxy,
    cluster: Cluster,
}

#[test]
#[ignore = "starts three brokers and takes minutes"]
fn every_transition_is_published_exactly_once_under_faults() {
    let seconds = number("LIFECYCLE_CHAOS_SECONDS").unwrap_or(45);
    let seed = number("LIFECYCLE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let clock_source = std::env::var("LIFECYCLE_CHAOS_CLOCK").unwrap_or_else(|_| "touchpoints".to_owned());
    let has_links = std::env::var_os("LIFECYCLE_CHAOS_LINKS").is_some();
    eprintln!("chaos: seed {seed}, {seconds} s, time by {clock_source}{}", if has_links { ", with links" } else { "" });
    let cluster = Cluster::start();
    let mut load = load::load(&clock_source, seed, seconds);
    if has_links {
        load = Box::new(LinkedLoad(load));
    }
    let mut run = Run {
        seed,
        duration: Duration::from_secs(seconds),
        settings: settings(&cluster, load.as_ref(), seed, has_links),
        logs: tempfile::Builder::new().prefix("lifecycle-chaos-logs-").tempdir().expect("a temporary folder"),
        proxy: Proxy::start(&cluster.proxied),
        cluster,
    };
    let direct = || run.cluster.bootstrap.clone();
    let instances = vec![("a", direct()), ("b", direct()), ("c", run.proxy.bootstrap.clone()), ("temporary", direct())];
    let mut fleet = Fleet::new(run.settings.clone(), run.logs.path(), instances);
    (0..3).for_each(|index| assert!(fleet.start(index)));

    let failed = catch_unwind(AssertUnwindSafe(|| run.execute(load.as_mut(), &mut fleet))).err();
    // The logs are kept only for a failed run.
    if let Some(failure) = failed {
        run.logs.disable_cleanup(true);
        run.cluster.copy_data(run.logs.path());
        eprintln!("chaos: the logs, the touchpoints and the transitions are kept in {}", run.logs.path().display());
        resume_unwind(failure);
    }
}

impl Run {
    fn execute(&self, load: &mut dyn Load, fleet: &mut Fleet) {
        let deliveries = Deliveries::new();
        let faults = self.inject_faults(load, &deliveries, fleet);
        let healed_at = WallClock::start().now().wall;
        let recovered = self.wait_until_caught_up(fleet);
        // Wait until the wake-ups that are due by now have fired and are committed.
        thread::sleep(load.time_until_last_wake_up() + WAKE_UP_COMMIT_WAIT);
        let mut report = Report::new(self.seed, self.duration, load.clock_source(), recovered, &faults);
        self.verify_faults(&faults);
        if self.settings.hand_overs.is_some() {
            self.verify_links(load, fleet, &mut report);
        } else {
            let expected = self.verify_topics(load, &deliveries, healed_at, &mut report);
            self.verify_states(fleet, &expected, &mut report);
        }
        stop(fleet);
        let open = self.cluster.open_transactions();
        assert!(open.is_empty(), "transactions are left open: {open:#?}");
        report.add("transactions left open", open.len());
        let deleted = self.cluster.deleted_offsets(&self.settings.changelog, PARTITIONS);
        report.add("changelog offsets deleted by sweeps", deleted);
        report
            .add("instances that exited unexpectedly and were restarted", fleet.unexpected_exits.values().sum::<u32>());
        report.print();
        eprintln!("chaos: unexpected exits {:#?}", fleet.unexpected_exits);
        eprintln!("chaos: stops that failed {:#?}", fleet.failed_stops);
        // A supervisor restarts after exit code 3 (start refused) and 5 (stuck). Other codes would require an operator.
        let mut ends = fleet.unexpected_exits.keys().chain(fleet.failed_stops.keys());
        let is_restartable = |it: &String| it.starts_with("exit status: 3") || it.starts_with("exit status: 5");
        assert!(ends.all(is_restartable), "an instance exited with a code that requires an operator");
    }

    /// Injects faults while the load is written, then ends every fault and writes the rest. Returns how often each kind
    /// of fault was injected.
    fn inject_faults(
        &self,
        load: &mut dyn Load,
        deliveries: &Deliveries,
        fleet: &mut Fleet,
    ) -> BTreeMap<&'static str, u32> {
        let mut nemesis = Nemesis::new(self.seed, 3, 2);
        let is_stopping = AtomicBool::new(false);
        thread::scope(|scope| {
            // On its own thread, because injecting a fault blocks and the load must keep its rate.
            let writer = scope.spawn(|| self.write(load, deliveries, &is_stopping));
            let started = Instant::now();
            while started.elapsed() < self.duration && !writer.is_finished() {
                nemesis.step(&self.cluster, &self.proxy, fleet);
                fleet.supervise();
                thread::sleep(Duration::from_millis(50));
            }
            nemesis.heal(&self.cluster, &self.proxy, fleet);
            is_stopping.store(true, Ordering::Relaxed);
            writer.join().expect("the whole load is written");
        });
        nemesis.faults
    }

    fn write(&self, load: &mut dyn Load, deliveries: &Deliveries, is_stopping: &AtomicBool) {
        let producer = self.cluster.producer(deliveries);
        let started = Instant::now();
        while !is_stopping.load(Ordering::Relaxed) {
            broker::enqueue(&producer, &self.settings.input, &load.due(started.elapsed()));
            // Serves the delivery reports while waiting, so that the acknowledgement times are exact.
            producer.poll(Duration::from_millis(20));
        }
        broker::enqueue(&producer, &self.settings.input, &load.rest());
        broker::flush(&producer);
    }

    fn verify_faults(&self, faults: &BTreeMap<&'static str, u32>) {
        let seconds = self.duration.as_secs();
        let (faults_min, kinds_min) =
            if seconds >= 600 { (FAULTS_MIN, KINDS_MIN) } else { (seconds / 10, KINDS_MIN.min(seconds / 15)) };
        let (count, kinds) = (faults.values().map(|&it| u64::from(it)).sum::<u64>(), faults.len() as u64);
        assert!(
            count >= faults_min && kinds >= kinds_min,
            "{count} faults of {kinds} kinds in {seconds} s: {faults:?}"
        );
    }

    /// Waits until everything is read and committed, and returns how long it took.
    fn wait_until_caught_up(&self, fleet: &mut Fleet) -> Duration {
        let healed = Instant::now();
        loop {
            fleet.supervise();
            let offsets =
                self.cluster.committed_and_end_offsets(&self.settings.group, &self.settings.input, PARTITIONS);
            let has_caught_up =
                |all: &Vec<(Option<i64>, i64)>| all.iter().all(|(committed, end)| *committed == Some(*end));
            if offsets.as_ref().is_some_and(has_caught_up) {
                return healed.elapsed();
            }
            assert!(
                healed.elapsed() < TIMEOUT,
                "partitions make no progress, committed and end offsets {offsets:?}; unexpected exits {:#?}",
                fleet.unexpected_exits
            );
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Compares the committed records with the output of `replay` for the same touchpoints.
    fn verify_topics(
        &self,
        load: &dyn Load,
        deliveries: &Deliveries,
        healed_at: Timestamp,
        report: &mut Report,
    ) -> Expected {
        let read_as = |topic: &str, level| broker::read_at(&self.cluster.bootstrap, topic, level, TIMEOUT);
        let read = |topic: &str| read_as(topic, "read_committed");
        let touchpoints = read(&self.settings.input);
        let late_customers = load.late_customers(&touchpoints, &deliveries.acknowledged());
        let expected = Expected { transitions: self.replay(load, &touchpoints, &late_customers), late_customers };
        // Transitions of live touchpoints are in the main topic, those of historical touchpoints in the replay topic.
        let (live, replayed) = (read(&self.settings.output), read(&self.settings.replay));
        let is_wall_clock = load.clock_source() == "wall";
        let (topic, transitions, others) = if is_wall_clock {
            (&self.settings.output, live, replayed)
        } else {
            (&self.settings.replay, replayed, live)
        };
        assert!(others.is_empty(), "{} transitions are in the other topic", others.len());
        save(&self.logs.path().join("transitions.ndjson"), transitions.iter().map(ConsumedRecord::text));
        let published = verification::by_customer(transitions.iter().map(ConsumedRecord::text));
        let mut dead_letters: Vec<_> =
            read(&self.settings.dead_letters).iter().map(verification::dead_letter_source).collect();
        dead_letters.sort_unstable();
        report.add("touchpoints written, duplicates included", touchpoints.len());
        report.add("transitions, each published once, in the order of `replay`", transitions.len());
        report.add("dead letters, each published once", dead_letters.len());
        let in_future = dead_letters.iter().filter(|(.., reason)| reason == "in_future").count();
        report.add("of those, touchpoints too far in the future", in_future);
        let uncommitted = read_as(topic, "read_uncommitted").len();
        report.add(
            "transitions of aborted transactions, not visible to `read_committed`",
            uncommitted - transitions.len(),
        );
        let divergences = verification::divergences(&published, &expected.transitions, &expected.late_customers);
        let first = &divergences[..divergences.len().min(5)];
        assert!(divergences.is_empty(), "{} customers diverge: {first:#?}", divergences.len());
        verification::assert_exactly_once(&published);
        let bad: Vec<_> = touchpoints
            .iter()
            .filter_map(|it| Some((it.partition, it.offset, verification::dead_letter_reason(it)?.to_owned())))
            .collect();
        assert_eq!(dead_letters, bad, "the dead letters differ from the bad records");
        report.add("lost, duplicated, reordered or unexpected transitions", 0);
        if is_wall_clock {
            self.verify_wake_ups(load, &transitions, &published, healed_at, report);
        }
        let (customers, late) = (expected.transitions.len(), expected.late_customers.len());
        report.add("customers whose transitions were compared field by field unless they were late", customers);
        report.add("of those, customers with a touchpoint later than allowed", late);
        assert!(
            customers >= late + ON_TIME_CUSTOMERS_MIN,
            "{late} of {customers} customers were late: too few were compared"
        );
        expected
    }

    /// Returns the output of `replay` for the valid records. Records too far in the future are left out, because
    /// `replay` has no wall time to reject them by.
    fn replay(
        &self,
        load: &dyn Load,
        touchpoints: &[ConsumedRecord],
        late_customers: &BTreeSet<String>,
    ) -> TransitionsByCustomer {
        let end = format_timestamp(load.end());
        let directory = self.logs.path();
        let mut expected = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let of_partition = touchpoints.iter().filter(|it| it.partition == partition);
            let valid = of_partition.filter(|it| verification::dead_letter_reason(it) != Some("in_future"));
            // `replay` advances its clock by event time, so touchpoints of device clocks that are ahead would make the
            // others late. They are replayed separately.
            let is_ahead = |it: &&ConsumedRecord| {
                verification::customer_of(it).is_some_and(|customer| customer.starts_with(CLOCK_AHEAD_PREFIX))
            };
            let (ahead, others): (Vec<_>, Vec<_>) = valid.partition(is_ahead);
            for (name, records, lateness) in
                [("touchpoints", others, load.lateness()), ("ahead", ahead, load.clock_ahead_lateness())]
            {
                verification::assert_within_lateness(&records, lateness, late_customers);
                let path = directory.join(format!("{name}-{partition}.ndjson"));
                save(&path, records.iter().map(|it| it.text()));
                let lateness = format_duration(lateness);
                expected.extend(verification::run_replay(&records, directory, &self.settings.models, &lateness, &end));
            }
        }
        expected
    }

    /// Verifies the transitions from wake-ups: they fired throughout the run, some of them delayed by faults, and in
    /// the end every customer has reached the final stage.
    fn verify_wake_ups(
        &self,
        load: &dyn Load,
        transitions: &[ConsumedRecord],
        published: &TransitionsByCustomer,
        healed_at: Timestamp,
        report: &mut Report,
    ) {
        // A wake-up that fires earlier than the lateness after its due time was fired by a later touchpoint of the same
        // customer, not by the clock.
        let mut delays = verification::delays(transitions, healed_at);
        delays.retain(|&delay| delay >= load.lateness());
        let delayed =
            delays.iter().filter(|&&delay| delay.as_millis() - load.lateness().as_millis() >= DELAYED_MS).count();
        report.add("transitions from wake-ups during the faults", delays.len());
        report.add("of those, delayed by five seconds or more", delayed);
        // A short run may end before the first wake-up is due or delayed.
        let is_long = self.duration >= Duration::from_mins(2);
        let seconds = usize::try_from(self.duration.as_secs()).expect("a short run");
        let is_enough = delays.len() >= seconds && delayed > 0;
        assert!(!is_long || is_enough, "{} wake-ups, {delayed} delayed: too few", delays.len());
        let is_gone =
            |transitions: &Vec<Value>| verification::stages(transitions).get("presence") == Some(&"gone".into());
        let active: Vec<_> = published.iter().filter(|(_, it)| !is_gone(it)).map(|(customer, _)| customer).collect();
        assert!(active.is_empty(), "customers are not in the stage `gone`: {active:?}");
    }

    /// Compares the stages of customers, queried over HTTP, with those of `replay`. They must also be equal for
    /// customers with late touchpoints: only their published transitions may differ.
    fn verify_states(&self, fleet: &Fleet, expected: &Expected, report: &mut Report) {
        let is_late = |it: &&String| expected.late_customers.contains(*it);
        let (late, others): (Vec<_>, Vec<_>) = expected.transitions.keys().partition(is_late);
        let late: Vec<_> = late.into_iter().take(STATES_MAX / 2).collect();
        let queried: Vec<_> = late.iter().copied().chain(others.into_iter().take(STATES_MAX / 2)).collect();
        verify_at_once(&queried, |customer| self.verify_state(fleet, customer, &expected.transitions[*customer]));
        report.add("customers queried over HTTP, each in the stages of `replay`", queried.len());
        report.add("of those queried, customers with a touchpoint later than allowed", late.len());
    }

    /// Compares the stages of a customer, queried over HTTP, with those after the `expected` transitions.
    fn verify_state(&self, fleet: &Fleet, customer: &str, expected: &[Value]) {
        let shown = broker::until("an instance returns the customer", || fleet.customer(customer));
        let shown: BTreeMap<String, Value> = shown["models"]
            .as_array()
            .expect("models")
            .iter()
            .filter(|it| it["sequence"].as_u64().is_some_and(|it| it > 0))
            .map(|it| (it["model"].as_str().expect("a model").to_owned(), it["stage"].clone()))
            .collect();
        for (model, stage) in verification::stages(expected) {
            assert_eq!(
                shown.get(&model),
                Some(&stage),
                "{customer} is in another stage of {model}, seed {}",
                self.seed
            );
        }
    }
}

/// The output of `replay`, and the customers whose published transitions may differ from it.
struct Expected {
    transitions: TransitionsByCustomer,
    late_customers: BTreeSet<String>,
}

/// The results of a run as a Markdown table.
struct Report {
    title: String,
    rows: Vec<(String, String)>,
}

impl Report {
    fn new(
        seed: u64,
        duration: Duration,
        clock_source: &str,
        recovered: Duration,
        faults: &BTreeMap<&'static str, u32>,
    ) -> Self {
        let seconds = duration.as_secs();
        let title = format!("`clock.source: {clock_source}`, seed {seed}, {seconds} s of faults");
        let mut report = Self { title, rows: Vec::new() };
        for (kind, count) in faults {
            report.add(kind, count);
        }
        report.add(&format!("**faults of {} kinds**", faults.len()), faults.values().sum::<u32>());
        report.add("time after the last fault until everything was read and committed", format!("{recovered:.1?}"));
        report
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers pass numbers by value")]
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
    all.clone().for_each(|index| fleet.signal(index, "-TERM", DesiredState::Stopping));
    let stopping = Instant::now();
    while fleet.in_state(DesiredState::Stopped).len() < all.len() {
        fleet.supervise();
        assert!(stopping.elapsed() < TIMEOUT, "an instance does not stop");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Calls `verify` for all items. A worker answers between two polls, so a query over HTTP lasts up to 100 ms, and many
/// are sent at the same time.
fn verify_at_once<T: Sync>(items: &[T], verify: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..QUERIES_AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    verify(item);
                }
            });
        }
    });
}

/// Writes a file that is kept for investigating a failed run.
fn save(path: &Path, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(path, text).expect("a file is written");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

fn settings(cluster: &Cluster, load: &dyn Load, seed: u64, has_links: bool) -> Settings {
    let topic = |name: &str| {
        assert!(cluster::TOPICS.contains(&name), "{name} is known to the nemesis");
        cluster.create_topic(name, PARTITIONS);
        name.to_owned()
    };
    // Also moved with the leaders if it is not used.
    let hand_overs = topic("hand-overs");
    Settings {
        group: "chaos".to_owned(),
        input: topic("touchpoints"),
        output: topic("transitions"),
        replay: topic("transitions-replay"),
        dead_letters: topic("dead-letters"),
        changelog: topic("changelog"),
        hand_overs: has_links.then_some(hand_overs),
        clock_source: load.clock_source(),
        lateness: format_duration(load.lateness()),
        models: load.models(),
        // Odd seeds use static membership.
        is_static_member: seed % 2 == 1,
        timeouts: "session_timeout: 6s, transaction_timeout: 10s,",
        workers: 2,
    }
}
