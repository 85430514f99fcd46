//! Replaces a model by a new version: checks which facts are kept, which start empty, and what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use lifecycle_processor::lifecycle::id::StageIndex;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::{Cause, Change, Transition};
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use serde_json::Value;

use super::broker::{self, NewRecord};
use super::cli::lifecycle;
use super::exactly_once::deployment::{self, Deployment, wait_for_records};

const OLD: &str = "
model: buyers
version: 1
journey: [buyer, regular]
facts:
  orders: orders()
stages:
  - {stage: regular, when: orders.count >= 2}
  - {stage: buyer, when: orders.count >= 1}
milestones:
  - {milestone: first, when: orders.count >= 1}
";

/// In version 2, `regular` needs three orders, `visitor` is a new stage, facts and stages have a different order, and a
/// milestone is new.
const NEW: &str = "
model: buyers
version: 2
journey: [visitor, buyer, regular]
facts:
  visits: count(page_viewed)
  orders: orders()
stages:
  - {stage: regular, when: orders.count >= 3}
  - {stage: buyer, when: orders.count >= 1}
  - {stage: visitor, when: visits >= 1}
milestones:
  - {milestone: second, when: orders.count >= 2}
  - {milestone: first, when: orders.count >= 1}
";

/// Stream time of the partition when the models changed.
const STREAM_TIME: Timestamp = Timestamp::from_millis(1_767_312_000_000);

fn load(texts: &[&str]) -> Arc<ModelSet> {
    let source = |text: &&str| ModelSource { name: "buyers.yaml".into(), text: (*text).into() };
    let sources: Vec<_> = texts.iter().map(source).collect();
    match model_file::load(&sources, &model_file::shipped_catalogue(), &[]) {
        Ok((models, _)) => Arc::new(models),
        Err(problems) => panic!("the models are rejected: {problems:#?}"),
    }
}

fn receive(partition: &mut Partition, models: &ModelSet, line: &str) -> Vec<Transition> {
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
    let mut effects = Effects::default();
    let mut scratch = Scratch::default();
    let touchpoint = decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
    partition.apply(Input::Touchpoint(&touchpoint), &mut effects);
    effects.transitions
}

fn pass_time(partition: &mut Partition) -> Vec<Transition> {
    let mut effects = Effects::default();
    let until = Timestamp::from_millis(1_800_000_000_000);
    partition.apply(Input::TimePassed { until, wake_ups_max: 1_000 }, &mut effects);
    effects.transitions
}

fn order(number: u32) -> String {
    format!(
        r#"{{"event_id":"e{number}","customer_id":"ann","type":"order_completed","occurred_at":"2026-01-0{number}T00:00:00Z","amount":10}}"#
    )
}

/// Restores a partition under `models` from the changelog of `old`, at stream time.
fn restore_with(old: &mut Partition, models: &Arc<ModelSet>) -> Partition {
    restore_at(old, models, STREAM_TIME)
}

/// Restores a partition under `models` from the changelog of `old`. The models take effect at `edited_at`.
fn restore_at(old: &mut Partition, models: &Arc<ModelSet>, edited_at: Timestamp) -> Partition {
    // A sweep writes every customer to the changelog.
    old.begin_sweep();
    let batches = old.write_batches(usize::MAX);
    let records: Vec<_> = batches
        .iter()
        .map(|batch| changelog::encode(old.layout(), batch, &changelog::InputProgress::default()))
        .collect();
    old.commit();
    let mut new = Partition::new(Arc::clone(models), FactOptions::default());
    for record in &records {
        let mut decoder = ChangelogDecoder::default();
        let record = decoder.decode(record).expect("a changelog record");
        new.restore(&record.layout, &record.customers).expect("a layout that can be translated");
    }
    new.end_restore(Clock::at(Some(STREAM_TIME)), edited_at);
    new
}

/// Returns a partition with the customer `ann`, who has two orders under the old models.
fn partition_with_ann() -> Partition {
    let models = load(&[OLD]);
    let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
    receive(&mut partition, &models, &order(1));
    receive(&mut partition, &models, &order(2));
    partition
}

fn view(partition: &mut Partition) -> CustomerView {
    partition.write_batches(0);
    partition.commit();
    partition.customer("ann").expect("ann exists")
}

fn names(transitions: &[Transition]) -> Vec<(&str, bool)> {
    transitions.iter().map(|transition| (&*transition.name, transition.reconciled)).collect()
}

#[test]
fn an_edited_model_is_evaluated_again_and_its_transitions_are_marked() {
    let models = load(&[NEW]);
    let mut partition = restore_with(&mut partition_with_ann(), &models);
    let moves = pass_time(&mut partition);
    assert_eq!(names(&moves), [("stage_entered", true), ("second", true)]);
    assert_eq!(moves[0].sequence, 4, "sequence numbers continue after buyer, first and regular");
    // The instant is the customer's clock, independent of when the machine evaluates the customer.
    assert_eq!(moves[0].occurred_at, Timestamp::from_millis(1_767_312_000_000));
    assert_eq!(partition.stage_counts(), [[1, 0, 0, 0]], "uncommitted changes are not counted");
    let ann = view(&mut partition);
    assert_eq!(ann.orders.count, 2);
    assert_eq!(ann.models[0].stage.map(|stage| &*models.models[0].stage(stage).name), Some("buyer"));
    assert_eq!(ann.models[0].milestones, [0, 1], "`first` is kept with its new index");
    assert_eq!(partition.stage_counts(), [[0, 1, 0, 0]]);
    let since = |name: &str| ann.facts.iter().find(|fact| &*fact.name == name).expect("a fact").counts_since;
    assert_eq!(since("count(page_viewed)"), Some(STREAM_TIME), "earlier visits were not counted");
    assert_eq!(since("orders.count"), None);
    assert_eq!(pass_time(&mut partition), [], "customers are evaluated only once");
    assert_eq!(names(&receive(&mut partition, &models, &order(3))), [("stage_entered", false)]);
}

#[test]
fn an_added_model_uses_existing_facts_and_a_removed_model_leaves_no_state() {
    let other = OLD.replace("buyers", "others");
    let models = load(&[OLD, &other]);
    let mut partition = restore_with(&mut partition_with_ann(), &models);
    let moves = pass_time(&mut partition);
    assert_eq!(names(&moves), [("stage_entered", true), ("first", true)]);
    let models = load(&[&other]);
    let mut partition = restore_with(&mut partition, &models);
    assert_eq!(pass_time(&mut partition), []);
    assert_eq!(view(&mut partition).models.len(), 1);
    assert_eq!(view(&mut partition).models[0].sequence, 2);
    assert!(partition.layout().models.len() == 1 && partition.live_bytes() > 0);
}

#[test]
fn an_unchanged_model_is_not_evaluated_again() {
    let models = load(&[OLD]);
    let mut partition = restore_with(&mut partition_with_ann(), &models);
    assert_eq!(partition.next_wake_up(), None);
    assert_eq!(pass_time(&mut partition), []);
}

#[test]
fn a_touchpoint_after_an_edit_is_its_own_cause() {
    let models = load(&[NEW]);
    let mut partition = restore_with(&mut partition_with_ann(), &models);
    let late = order(3).replace("2026-01-03", "2025-12-31");
    let moves = receive(&mut partition, &models, &late);
    let expected = [("stage_entered", true), ("second", true), ("stage_entered", false)];
    assert_eq!(names(&moves), expected, "the edit first, then the third order makes a regular");
    assert!(moves[2].late);
    assert_eq!(moves.iter().map(|moved| moved.sequence).collect::<Vec<_>>(), [4, 5, 6]);
}

/// A model with a threshold in days, which time alone passes.
fn at_risk_after(days: i64, version: u32) -> String {
    format!(
        "model: buyers\nversion: {version}\njourney: [buyer, at_risk]\nfacts: {{orders: orders()}}\n\
         parameters: {{risk_after: days({days})}}\nstages:\n  \
         - {{stage: at_risk, when: orders.count >= 1 && now >= orders.last + risk_after}}\n  \
         - {{stage: buyer, when: orders.count >= 1}}\n"
    )
}

fn at_day(day: i64) -> Timestamp {
    Timestamp::from_millis(day * 86_400_000)
}

fn order_at(customer: &str, event: &str, instant: Timestamp) -> String {
    let time = format_timestamp(instant);
    format!(
        r#"{{"event_id":"{event}","customer_id":"{customer}","type":"order_completed","occurred_at":"{time}","amount":10}}"#
    )
}

fn pass_time_until(partition: &mut Partition, until: Timestamp) -> Vec<Transition> {
    let mut effects = Effects::default();
    while partition.apply(Input::TimePassed { until, wake_ups_max: 1_000 }, &mut effects) {}
    effects.transitions
}

/// The stage of each customer, and the number of its transitions, for a consumer that follows `from` and `to`.
#[derive(Default)]
struct Follower {
    stages: BTreeMap<String, (Option<StageIndex>, u64)>,
}

impl Follower {
    fn follow(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            let (stage, sequence) = self.stages.entry(transition.customer_id.to_string()).or_default();
            assert_eq!(transition.sequence, *sequence + 1, "no transition is missing: {transition:?}");
            *sequence = transition.sequence;
            if let Change::Stage { from, to, .. } = transition.change {
                assert_eq!(from, *stage, "`from` is the last published `to`: {transition:?}");
                *stage = to;
            }
        }
    }
}

#[test]
fn whatever_an_edited_threshold_changes_up_to_the_edit_is_marked() {
    // The service starts with the edited model at day 100; the latest touchpoint is from day 90.
    let (edited_at, models) = (at_day(100), load(&[&at_risk_after(60, 1)]));
    let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
    let mut follower = Follower::default();
    for age in [10, 29, 30, 45, 59, 60, 80] {
        follower.follow(&receive(&mut partition, &models, &order_at(&format!("{age} days"), "e", at_day(100 - age))));
    }
    follower.follow(&pass_time_until(&mut partition, edited_at));
    let models = load(&[&at_risk_after(30, 2)]);
    let mut partition = restore_at(&mut partition, &models, edited_at);
    let moves = pass_time_until(&mut partition, edited_at);
    follower.follow(&moves);
    let customers: Vec<&str> = moves.iter().map(|transition| &*transition.customer_id).collect();
    assert_eq!(customers, ["59 days", "45 days", "30 days"]);
    assert!(moves.iter().all(|transition| transition.reconciled), "{moves:#?}");
    // From now on, time and touchpoints are the cause.
    let later = pass_time_until(&mut partition, at_day(101));
    follower.follow(&later);
    assert_eq!(
        later.iter().map(|moved| (&*moved.customer_id, moved.reconciled)).collect::<Vec<_>>(),
        [("29 days", false)]
    );
    let returned = receive(&mut partition, &models, &order_at("45 days", "f", at_day(101)));
    follower.follow(&returned);
    assert_eq!(names(&returned), [("stage_entered", false)]);
    // A longer threshold takes customers back.
    let mut partition = restore_at(&mut partition, &load(&[&at_risk_after(70, 3)]), at_day(101));
    let moves = pass_time_until(&mut partition, at_day(101));
    follower.follow(&moves);
    let mut customers: Vec<(&str, bool)> = moves.iter().map(|moved| (&*moved.customer_id, moved.reconciled)).collect();
    customers.sort_unstable();
    // After 80 days, the customer would have been at risk later than it was: it goes back, and becomes at risk again.
    let expected = ["29 days", "30 days", "59 days", "60 days", "80 days", "80 days"];
    assert_eq!(customers, expected.map(|customer| (customer, true)));
}

#[test]
fn a_consumer_can_follow_random_edits_without_a_gap() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut models = load(&[&at_risk_after(random.i64(1..40), 1)]);
        let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
        let mut follower = Follower::default();
        let (mut now, mut edited_at) = (at_day(0), Timestamp::MIN);
        // Customers who have had a touchpoint since the edit.
        let mut active = BTreeSet::new();
        for step in 0..60 {
            let published = match random.u32(..4) {
                0 => {
                    edited_at = now;
                    active.clear();
                    models = load(&[&at_risk_after(random.i64(1..40), step + 2)]);
                    partition = restore_at(&mut partition, &models, edited_at);
                    vec![]
                }
                1 => {
                    now = now + Duration::from_millis(random.i64(0..20 * 86_400_000));
                    pass_time_until(&mut partition, now)
                }
                _ => {
                    let customer = ["ann", "ben", "cid"][random.usize(..3)];
                    // Some touchpoints were waiting to be read since before the edit.
                    active.insert(customer);
                    let at = now - Duration::from_millis(random.i64(0..10 * 86_400_000));
                    receive(&mut partition, &models, &order_at(customer, &step.to_string(), at))
                }
            };
            follower.follow(&published);
            for transition in &published {
                let by_time = transition.cause == Cause::Time;
                assert!(!transition.reconciled || by_time, "seed {seed}: {transition:?}");
                let by_edit = by_time && transition.occurred_at <= edited_at;
                let is_unmarked = !transition.reconciled && !active.contains(&*transition.customer_id);
                assert!(!(by_edit && is_unmarked), "seed {seed}: {transition:?}");
            }
        }
    }
}

#[test]
fn a_removed_stage_is_left_by_a_published_move_even_to_no_stage() {
    let regular = "  - {stage: regular, when: orders.count >= 2}\n";
    let buyer = "  - {stage: buyer, when: orders.count >= 1}\n";
    for (without, now_in) in [(regular, Some(StageIndex(0))), (buyer, None)] {
        // Ann is a regular. Without any other stage that holds, she ends in no stage.
        let text = if now_in.is_some() {
            OLD.replace(without, "").replace("[buyer, regular]", "[buyer]")
        } else {
            OLD.replace("[buyer, regular]", "[fan]")
                .replace(buyer, "")
                .replace(regular, "  - {stage: fan, when: orders.count >= 9}\n")
        };
        let models = load(&[&text.replace("version: 1", "version: 2")]);
        let mut partition = restore_with(&mut partition_with_ann(), &models);
        let moves = pass_time(&mut partition);
        let [transition] = &moves[..] else { panic!("{moves:#?}") };
        let Change::Stage { from, to, .. } = transition.change else { panic!("{transition:?}") };
        assert_eq!((from, to, transition.reconciled, transition.sequence), (None, now_in, true, 4));
        assert_eq!(pass_time(&mut partition), [], "the move is published once");
        assert_eq!(view(&mut partition).models[0].since, Some(transition.occurred_at));
    }
}

/// Starts the service, edits a threshold twice, and reads what a consumer of both topics sees.
#[test]
fn an_edited_threshold_never_publishes_as_live_on_kafka() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let mut deployment = Deployment::new(1, "workers: 1");
    let edit = |deployment: &mut Deployment, days: i64, version: u32| {
        let path = directory.path().join(format!("buyers-{version}.yaml"));
        fs::write(&path, at_risk_after(days, version)).expect("the model is written");
        deployment.model = path.display().to_string();
    };
    let now = Timestamp::from_millis(deployment::now().as_millisecond());
    let produce = |deployment: &Deployment, customer: &str, event: &str, at: Timestamp| {
        broker::produce(&deployment.touchpoints, &[NewRecord::keyed(customer, &order_at(customer, event, at))]);
    };
    // Customer `n` ordered n hours before 30 days ago: with a threshold of 30 days, it is at risk since n hours.
    let hours = [-200, 1, 12, 20, 100, 800];
    for hour in hours {
        let at = now - Duration::from_days(30) - Duration::from_millis(hour * 3_600_000);
        produce(&deployment, &hour.to_string(), "first", at);
    }
    edit(&mut deployment, 60, 1);
    let topics = [&deployment.transitions.clone(), &deployment.replay.clone()];
    let mut instance = deployment.start("a");
    // Six buyers, one of them at risk after 60 days.
    wait_for_records(&topics, 7, &mut [&mut instance]);
    instance.stop();
    assert_eq!(broker::read_committed(topics[0]).len(), 0);

    edit(&mut deployment, 30, 2);
    let mut instance = deployment.start("a");
    let edited = wait_for_records(&topics, 11, &mut [&mut instance]);
    produce(&deployment, "12", "second", now);
    let all = wait_for_records(&topics, 12, &mut [&mut instance]);
    instance.stop();
    assert_eq!((edited.len(), all.len()), (11, 12));

    edit(&mut deployment, 60, 3);
    let mut instance = deployment.start("a");
    let all = wait_for_records(&topics, 15, &mut [&mut instance]);
    let log = instance.stop();
    let mut seen: Vec<Value> =
        all.iter().map(|record| serde_json::from_str(&record.text()).expect("a transition")).collect();
    seen.sort_by_key(|transition| (transition["customer_id"].to_string(), transition["sequence"].as_u64()));
    let mut modes: BTreeMap<(u64, String), Vec<&str>> = BTreeMap::new();
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for transition in &seen {
        let customer = transition["customer_id"].as_str().expect("a customer");
        let (version, mode) = (&transition["model_version"], transition["mode"].as_str().expect("a mode"));
        let of_version = modes.entry((version.as_u64().expect("a version"), mode.to_owned())).or_default();
        of_version.push(customer);
        assert_eq!(&transition["from"], last.get(customer).copied().unwrap_or(&Value::Null), "{transition}; {log}");
        last.insert(customer, &transition["to"]);
    }
    let expected = BTreeMap::from([
        ((1, "replay".to_owned()), vec!["-200", "1", "100", "12", "20", "800", "800"]),
        ((2, "live".to_owned()), vec!["12"]),
        ((2, "reconcile".to_owned()), vec!["1", "100", "12", "20"]),
        ((3, "reconcile".to_owned()), vec!["1", "100", "20"]),
    ]);
    assert_eq!(modes, expected);
    let live = broker::read_committed(topics[0]);
    assert_eq!(live.len(), 1, "only the order after the edit is live");
}

#[test]
fn any_first_touchpoint_publishes_conditions_without_facts() {
    let models = load(&["
model: buyers
version: 1
journey: [visitor, buyer]
facts:
  orders: orders()
stages:
  - {stage: buyer, when: orders.count >= 1}
  - {stage: visitor, when: orders.count == 0}
signals:
  - {signal: late_in_2026, when: 'now >= timestamp(\"2026-12-01T00:00:00Z\")'}
"]);
    let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
    let visit = r#"{"event_id":"v","customer_id":"ann","type":"page_viewed","occurred_at":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(names(&receive(&mut partition, &models, visit)), [("stage_entered", false)]);
    assert_eq!(receive(&mut partition, &models, &visit.replace("\"v\"", "\"w\"")), []);
    assert_eq!(names(&pass_time(&mut partition)), [("late_in_2026", false)]);
}

/// Every page and command describes an edit as the guide does, and the pages link to it.
#[test]
fn every_page_describes_the_same_rule_of_edits() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let [old, new] = [("old.yaml", at_risk_after(60, 1)), ("new.yaml", at_risk_after(30, 2))].map(|(name, text)| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the model is written");
        path.display().to_string()
    });
    let touchpoints = order_at("ann", "e", at_day(0)) + "\n" + &order_at("ben", "f", at_day(45));
    let run = |arguments: &[&str]| lifecycle(directory.path(), arguments, touchpoints.as_bytes()).output;
    let check = run(&["check", "--against", &old, &new]);
    assert!(check.contains("the resulting transitions are published with mode `reconcile`"), "{check}");
    let compare = run(&["replay", "--compare", &old, &new, "-"]);
    let published =
        "transitions at deployment, published to the replay topic with mode `reconcile`:\n    stage stage_entered: 1";
    assert!(compare.contains(published), "{compare}");
    let page = |name: &str| {
        let path = format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).expect("the page")
    };
    assert!(page("guide").contains("### What an edit publishes\n"));
    assert!(page("contracts").contains("(guide.md#what-an-edit-publishes)"));
    assert!(!page("configuration").contains("reconcile"), "the mode of an edit cannot be configured");
}
