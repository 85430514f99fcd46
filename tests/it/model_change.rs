//! Replaces a model by a new version: checks which facts are kept, which start empty, and what is published.

use std::sync::Arc;

use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::Transition;
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

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

/// Restores a partition under `models` from the changelog of `old`.
fn restore_with(old: &mut Partition, models: &Arc<ModelSet>, publish_reconciled: bool) -> Partition {
    let records: Vec<_> = old.write_batches(0).iter().map(|batch| changelog::encode(old.layout(), batch)).collect();
    old.commit();
    let options = FactOptions { publish_reconciled, ..FactOptions::default() };
    let mut new = Partition::new(Arc::clone(models), options);
    for record in &records {
        let mut decoder = ChangelogDecoder::default();
        let record = decoder.decode(record).expect("a changelog record");
        new.restore(&record.layout, &record.customers).expect("a layout that can be translated");
    }
    new.end_restore(Clock::at(Some(STREAM_TIME)));
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
    let mut partition = restore_with(&mut partition_with_ann(), &models, true);
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
fn an_unpublished_edit_moves_customers_without_sequence_numbers() {
    let models = load(&[NEW]);
    let mut partition = restore_with(&mut partition_with_ann(), &models, false);
    assert_eq!(pass_time(&mut partition), []);
    assert_eq!(view(&mut partition).models[0].sequence, 3);
    assert_eq!(partition.stage_counts(), [[0, 1, 0, 0]]);
    let moves = receive(&mut partition, &models, &order(3));
    assert_eq!((moves[0].sequence, &*moves[0].name), (4, "stage_entered"));
}

#[test]
fn an_added_model_uses_existing_facts_and_a_removed_model_leaves_no_state() {
    let other = OLD.replace("buyers", "others");
    let models = load(&[OLD, &other]);
    let mut partition = restore_with(&mut partition_with_ann(), &models, true);
    let moves = pass_time(&mut partition);
    assert_eq!(names(&moves), [("stage_entered", true), ("first", true)]);
    let models = load(&[&other]);
    let mut partition = restore_with(&mut partition, &models, true);
    assert_eq!(pass_time(&mut partition), []);
    assert_eq!(view(&mut partition).models.len(), 1);
    assert_eq!(view(&mut partition).models[0].sequence, 2);
    assert!(partition.layout().models.len() == 1 && partition.live_bytes() > 0);
}

#[test]
fn an_unchanged_model_is_not_evaluated_again() {
    let models = load(&[OLD]);
    let mut partition = restore_with(&mut partition_with_ann(), &models, true);
    assert_eq!(partition.next_wake_up(), None);
    assert_eq!(pass_time(&mut partition), []);
}

#[test]
fn a_late_touchpoint_is_published_while_an_unpublished_edit_is_pending() {
    let models = load(&[NEW]);
    let mut partition = restore_with(&mut partition_with_ann(), &models, false);
    let late = order(3).replace("2026-01-03", "2025-12-31");
    let moves = receive(&mut partition, &models, &late);
    assert_eq!(names(&moves), [("stage_entered", false)], "the third order makes a regular, not the edit");
    assert!(moves[0].late);
    assert_eq!(moves[0].sequence, 4);
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
