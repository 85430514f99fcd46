//! The promise under faults: three brokers, up to four instances, and a nemesis; afterwards every transition is there once.
//!
//! `LIFECYCLE_CHAOS_SECONDS=90 cargo test --test it chaos -- --nocapture` does harm for that long; without the variable
//! nothing is done. `LIFECYCLE_CHAOS_CLOCK=wall` has time pass by the wall, and the touchpoints are of the moment; else they
//! are of years, and time passes by them. `LIFECYCLE_CHAOS_SEED` repeats the load, and the faults as far as real time allows.
//! `LIFECYCLE_CHAOS_PROGRAM` names another build of the program than the one that is tested.

mod cluster;
mod fleet;
mod history;
mod load;
mod nemesis;
mod present;
mod proxy;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::runtime::WallClock;

use lifecycle_processor::wire::time::{format_duration, format_timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{self, Seen};
use cluster::{Cluster, Deliveries};
use fleet::{Fleet, Meant, Settings};
use load::{AHEAD, Load};
use nemesis::Nemesis;
use proxy::Proxy;
use verdict::Published;

const PARTITIONS: i32 = 6;
/// How long after the last fault everything may take to be done.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long what silence brings may take to be committed once everything is read.
const REST: Duration = Duration::from_secs(8);
/// How many customers are asked for at most.
const STATES_MAX: usize = 1_000;
/// A run that compares fewer customers word for word has shown too little.
const PUNCTUAL_MIN: usize = 100;
/// A run with fewer faults, or fewer kinds of them, has shown too little: these for ten minutes or more, some of them for less.
const FAULTS_MIN: u64 = 200;
const KINDS_MIN: u64 = 8;
/// How much later than its instant plus the lateness a wake-up is worked off that had to wait for something.
const HELD_UP_MS: i64 = 5_000;

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
    let clock_source = std::env::var("LIFECYCLE_CHAOS_CLOCK").unwrap_or_else(|_| "touchpoints".to_owned());
    eprintln!("chaos: seed {seed}, {seconds} s, time by {clock_source}");
    let cluster = Cluster::start();
    let mut load = load::load(&clock_source, seed, seconds);
    let mut run = Run {
        seed,
        length: Duration::from_secs(seconds),
        settings: settings(&cluster, load.as_ref(), seed),
        logs: tempfile::Builder::new().prefix("lifecycle-chaos-logs-").tempdir().expect("a temporary folder"),
        proxy: Proxy::start(&cluster.proxied),
        cluster,
    };
    let at = |bootstrap: &str| bootstrap.to_owned();
    let direct = || at(&run.cluster.bootstrap);
    let instances = vec![("a", direct()), ("b", direct()), ("c", at(&run.proxy.bootstrap)), ("guest", direct())];
    let mut fleet = Fleet::new(run.settings.clone(), run.logs.path(), instances);
    (0..3).for_each(|index| assert!(fleet.start(index)));

    let failed = catch_unwind(AssertUnwindSafe(|| run.take_its_course(load.as_mut(), &mut fleet))).err();
    // The reader of the logs is a person, and only when something is wrong.
    if let Some(failure) = failed {
        run.logs.disable_cleanup(true);
        run.cluster.keep(run.logs.path());
        eprintln!("chaos: the logs, the touchpoints and the transitions are kept in {}", run.logs.path().display());
        resume_unwind(failure);
    }
}

impl Run {
    fn take_its_course(&self, load: &mut dyn Load, fleet: &mut Fleet) {
        let deliveries = Deliveries::new();
        let faults = self.do_harm(load, &deliveries, fleet);
        let healed_at = WallClock::start().now().wall;
        let recovered = self.settle(fleet);
        // What silence has brought meanwhile is worked off and committed.
        thread::sleep(load.wait() + REST);
        let mut report = Report::new(self.seed, self.length, load.clock_source(), recovered, &faults);
        self.judge_harm(&faults);
        let expected = self.judge(load, &deliveries, healed_at, &mut report);
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

    /// Does harm while the load is written, then ends every fault and has the rest written. Returns how often what was done.
    fn do_harm(&self, load: &mut dyn Load, deliveries: &Deliveries, fleet: &mut Fleet) -> BTreeMap<&'static str, u32> {
        let mut nemesis = Nemesis::new(self.seed, 3, 2);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // By itself: faults take their time, and touchpoints are written at theirs.
            let writer = scope.spawn(|| self.write(load, deliveries, &is_over));
            let started = Instant::now();
            while started.elapsed() < self.length && !writer.is_finished() {
                nemesis.step(&self.cluster, &self.proxy, fleet);
                fleet.supervise();
                thread::sleep(Duration::from_millis(50));
            }
            nemesis.heal(&self.cluster, &self.proxy, fleet);
            is_over.store(true, Ordering::Relaxed);
            writer.join().expect("everything is written");
        });
        nemesis.faults
    }

    fn write(&self, load: &mut dyn Load, deliveries: &Deliveries, is_over: &AtomicBool) {
        let producer = self.cluster.producer(deliveries);
        let started = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            broker::enqueue(&producer, &self.settings.input, &load.due(started.elapsed()));
            // Hears of every acknowledgement when it comes.
            producer.poll(Duration::from_millis(20));
        }
        broker::enqueue(&producer, &self.settings.input, &load.rest());
        broker::flush(&producer);
    }

    fn judge_harm(&self, faults: &BTreeMap<&'static str, u32>) {
        let seconds = self.length.as_secs();
        let (faults_min, kinds_min) =
            if seconds >= 600 { (FAULTS_MIN, KINDS_MIN) } else { (seconds / 10, KINDS_MIN.min(seconds / 15)) };
        let (count, kinds) = (faults.values().map(|&it| u64::from(it)).sum::<u64>(), faults.len() as u64);
        assert!(
            count >= faults_min && kinds >= kinds_min,
            "{count} faults of {kinds} kinds in {seconds} s: {faults:?}"
        );
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
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Compares what a reader of committed records sees with what `replay` prints for the topic of touchpoints.
    fn judge(&self, load: &dyn Load, deliveries: &Deliveries, healed_at: Timestamp, report: &mut Report) -> Expected {
        let read_as = |topic: &str, level| broker::read_at(&self.cluster.bootstrap, topic, level, PATIENCE);
        let read = |topic: &str| read_as(topic, "read_committed");
        let touchpoints = read(&self.settings.input);
        let unpunctual = load.unpunctual(&touchpoints, &deliveries.acknowledged());
        let expected = Expected { published: self.replay(load, &touchpoints, &unpunctual), unpunctual };
        // Touchpoints of the moment are news, those of years are not.
        let (news, old_news) = (read(&self.settings.output), read(&self.settings.replay));
        let is_by_wall = load.clock_source() == "wall";
        let (topic, transitions, others) =
            if is_by_wall { (&self.settings.output, news, old_news) } else { (&self.settings.replay, old_news, news) };
        assert!(others.is_empty(), "{} transitions are in the other topic", others.len());
        save(&self.logs.path().join("transitions.ndjson"), transitions.iter().map(Seen::text));
        let published = verdict::by_customer(transitions.iter().map(Seen::text));
        let mut set_aside: Vec<_> = read(&self.settings.dead_letters).iter().map(verdict::origin).collect();
        set_aside.sort_unstable();
        report.add("touchpoints written, repetitions included", touchpoints.len());
        report.add("transitions, each found once, in order, as `replay` prints them", transitions.len());
        report.add("dead letters, each found once", set_aside.len());
        let in_future = set_aside.iter().filter(|(.., reason)| reason == "in_future").count();
        report.add("of those, touchpoints from the future", in_future);
        let uncommitted = read_as(topic, "read_uncommitted").len();
        report
            .add("transitions of aborted transactions, which no committed reader saw", uncommitted - transitions.len());
        let divergences = verdict::divergences(&published, &expected.published, &expected.unpunctual);
        let first = &divergences[..divergences.len().min(5)];
        assert!(divergences.is_empty(), "{} customers diverge: {first:#?}", divergences.len());
        let broken = verdict::broken_sequences(&published);
        assert!(broken.is_empty(), "sequences are broken: {broken:#?}");
        let doubled = verdict::doubled(&published);
        assert!(doubled.is_empty(), "published more than once: {doubled:#?}");
        let bad: Vec<_> = touchpoints
            .iter()
            .filter_map(|it| Some((it.partition, it.offset, verdict::reason_to_set_aside(it)?.to_owned())))
            .collect();
        assert_eq!(set_aside, bad, "dead letters are not the bad records");
        report.add("lost, doubled, reordered or foreign transitions", 0);
        if is_by_wall {
            self.judge_time(load, &transitions, &published, healed_at, report);
        }
        let (customers, late) = (expected.published.len(), expected.unpunctual.len());
        report.add("customers, whose transitions were compared word for word unless they were late", customers);
        report.add("of those, customers with a touchpoint later than allowed", late);
        assert!(customers >= late + PUNCTUAL_MIN, "{late} of {customers} customers were late: too little is shown");
        expected
    }

    /// What `replay` prints for the records that it has no reason to take for bad ones, and that are none.
    fn replay(&self, load: &dyn Load, touchpoints: &[Seen], unpunctual: &BTreeSet<String>) -> Published {
        let end = format_timestamp(load.end());
        let directory = self.logs.path();
        let mut expected = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let of_partition = touchpoints.iter().filter(|it| it.partition == partition);
            let good = of_partition.filter(|it| verdict::reason_to_set_aside(it) != Some("in_future"));
            // To `replay`, what is ahead makes the rest late. So those ahead are replayed by themselves.
            let is_ahead = |it: &&Seen| verdict::customer_of(it).is_some_and(|customer| customer.starts_with(AHEAD));
            let (ahead, others): (Vec<_>, Vec<_>) = good.partition(is_ahead);
            for (name, records, lateness) in
                [("touchpoints", others, load.lateness()), ("ahead", ahead, load.lateness_of_ahead())]
            {
                verdict::assert_in_time(&records, lateness, unpunctual);
                let path = directory.join(format!("{name}-{partition}.ndjson"));
                save(&path, records.iter().map(|it| it.text()));
                let lateness = format_duration(lateness);
                expected.extend(verdict::replayed(&records, directory, &self.settings.models, &lateness, &end));
            }
        }
        expected
    }

    /// Time has brought about what it should: all along, held up where something was in the way, and in the end everything.
    fn judge_time(
        &self,
        load: &dyn Load,
        transitions: &[Seen],
        published: &Published,
        healed_at: Timestamp,
        report: &mut Report,
    ) {
        // Earlier ones were worked off before a touchpoint of the same customer.
        let mut delays = verdict::delays(transitions, healed_at);
        delays.retain(|&delay| delay >= load.lateness());
        let held_up =
            delays.iter().filter(|&&delay| delay.as_millis() - load.lateness().as_millis() >= HELD_UP_MS).count();
        report.add("transitions that silence brought while harm was done", delays.len());
        report.add("of those, held up for five seconds or more", held_up);
        // A short run may be over before the first is due and nothing is in its way.
        let is_long = self.length >= Duration::from_mins(2);
        let seconds = usize::try_from(self.length.as_secs()).expect("a short run");
        let is_enough = delays.len() >= seconds && held_up > 0;
        assert!(!is_long || is_enough, "{} wake-ups, {held_up} held up: too few", delays.len());
        let is_gone = |transitions: &Vec<Value>| verdict::stages(transitions).get("presence") == Some(&"gone".into());
        let here: Vec<_> = published.iter().filter(|(_, it)| !is_gone(it)).map(|(customer, _)| customer).collect();
        assert!(here.is_empty(), "customers have not gone: {here:?}");
    }

    /// Compares where customers stand, as the instances show it, with where `replay` leaves them. This holds for those, too,
    /// whose touchpoints came later than allowed: what was published of them may differ, where they stand may not.
    fn judge_states(&self, fleet: &Fleet, expected: &Expected, report: &mut Report) {
        let is_late = |it: &&String| expected.unpunctual.contains(*it);
        let (late, others): (Vec<_>, Vec<_>) = expected.published.keys().partition(is_late);
        let late: Vec<_> = late.into_iter().take(STATES_MAX / 2).collect();
        let asked: Vec<_> = late.iter().copied().chain(others.into_iter().take(STATES_MAX / 2)).collect();
        for customer in &asked {
            let shown = broker::until("an instance shows the customer", || fleet.customer(customer));
            let shown: BTreeMap<String, Value> = shown["models"]
                .as_array()
                .expect("models")
                .iter()
                .filter(|it| it["sequence"].as_u64().is_some_and(|it| it > 0))
                .map(|it| (it["model"].as_str().expect("a model").to_owned(), it["stage"].clone()))
                .collect();
            for (model, stage) in verdict::stages(&expected.published[*customer]) {
                assert_eq!(
                    shown.get(&model),
                    Some(&stage),
                    "{customer} stands elsewhere in {model}, seed {}",
                    self.seed
                );
            }
        }
        report.add("customers asked for over HTTP, each where `replay` leaves it", asked.len());
        report.add("of those asked for, customers with a touchpoint later than allowed", late.len());
    }
}

/// What `replay` prints, and of whom it may print something else than the service publishes.
struct Expected {
    published: Published,
    unpunctual: BTreeSet<String>,
}

/// What a run did and found, as a table for people.
struct Report {
    title: String,
    rows: Vec<(String, String)>,
}

impl Report {
    fn new(
        seed: u64,
        length: Duration,
        clock_source: &str,
        recovered: Duration,
        faults: &BTreeMap<&'static str, u32>,
    ) -> Self {
        let seconds = length.as_secs();
        let title = format!("`clock.source: {clock_source}`, seed {seed}, {seconds} s of faults");
        let mut report = Self { title, rows: Vec::new() };
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
        thread::sleep(Duration::from_millis(100));
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

fn settings(cluster: &Cluster, load: &dyn Load, seed: u64) -> Settings {
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
        clock_source: load.clock_source(),
        lateness: format_duration(load.lateness()),
        models: load.models(),
        // Odd seeds try static members.
        is_static_member: seed % 2 == 1,
    }
}
