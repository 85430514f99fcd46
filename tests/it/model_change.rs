//! Customers of yesterday's models under today's: what is kept, what starts empty, what is published.

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

/// Regulars need three orders now, visitors have a stage, the order of facts and stages is another, a milestone is new.
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

/// How far the partition had come when the models changed.
const TAKEN_OVER: Timestamp = Timestamp::from_millis(1_767_312_000_000);

fn load(texts: &[&str]) -> Arc<ModelSet> {
    let source = |text: &&str| ModelSource { name: "buyers.yaml".into(), text: (*text).into() };
    let sources: Vec<_> = texts.iter().map(source).collect();
    match model_file::load(&sources, &model_file::shipped_catalogue(), &[]) {
        Ok((models, _)) => Arc::new(models),
        Err(problems) => panic!("the models are refused: {problems:#?}"),
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

/// A partition under `models` that takes over what `old` has written.
fn take_over(old: &mut Partition, models: &Arc<ModelSet>, publish_reconciled: bool) -> Partition {
    let records: Vec<_> = old.write_batches(0).iter().map(|batch| changelog::encode(old.layout(), batch)).collect();
    old.commit();
    let options = FactOptions { publish_reconciled, ..FactOptions::default() };
    let mut new = Partition::new(Arc::clone(models), options);
    for record in &records {
        let mut decoder = ChangelogDecoder::default();
        let record = decoder.decode(record).expect("a changelog record");
        new.restore(&record.layout, &record.customers).expect("a layout that can be translated");
    }
    new.end_restore(Clock::at(Some(TAKEN_OVER)));
    new
}

/// Ann, with two orders under the old models.
fn ann() -> Partition {
    let models = load(&[OLD]);
    let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
    receive(&mut partition, &models, &order(1));
    receive(&mut partition, &models, &order(2));
    partition
}

fn view(partition: &mut Partition) -> CustomerView {
    partition.write_batches(0);
    partition.commit();
    partition.customer("ann").expect("ann is known")
}

fn names(transitions: &[Transition]) -> Vec<(&str, bool)> {
    transitions.iter().map(|transition| (&*transition.name, transition.reconciled)).collect()
}

#[test]
fn an_edited_model_is_evaluated_again_and_what_moves_is_marked() {
    let models = load(&[NEW]);
    let mut partition = take_over(&mut ann(), &models, true);
    let moves = pass_time(&mut partition);
    assert_eq!(names(&moves), [("stage_entered", true), ("second", true)]);
    assert_eq!(moves[0].sequence, 4, "numbers go on after buyer, first and regular");
    // At the customer's own instant, whenever the machine gets to it.
    assert_eq!(moves[0].occurred_at, Timestamp::from_millis(1_767_312_000_000));
    assert_eq!(partition.population(), [[1, 0, 0, 0]], "what is not committed is not counted");
    let ann = view(&mut partition);
    assert_eq!(ann.orders.count, 2);
    assert_eq!(ann.models[0].stage.map(|stage| &*models.models[0].stage(stage).name), Some("buyer"));
    assert_eq!(ann.models[0].milestones, [0, 1], "first was kept under another number");
    assert_eq!(partition.population(), [[0, 1, 0, 0]]);
    let since = |name: &str| ann.facts.iter().find(|fact| &*fact.name == name).expect("a fact").counts_since;
    assert_eq!(since("count(page_viewed)"), Some(TAKEN_OVER), "visits before were not counted");
    assert_eq!(since("orders.count"), None);
    assert_eq!(pass_time(&mut partition), [], "once is enough");
    assert_eq!(names(&receive(&mut partition, &models, &order(3))), [("stage_entered", false)]);
}

#[test]
fn a_muted_edit_moves_customers_in_silence_and_without_numbers() {
    let models = load(&[NEW]);
    let mut partition = take_over(&mut ann(), &models, false);
    assert_eq!(pass_time(&mut partition), []);
    assert_eq!(view(&mut partition).models[0].sequence, 3);
    assert_eq!(partition.population(), [[0, 1, 0, 0]]);
    let moves = receive(&mut partition, &models, &order(3));
    assert_eq!((moves[0].sequence, &*moves[0].name), (4, "stage_entered"));
}

#[test]
fn an_added_model_starts_with_what_is_known_and_a_removed_one_leaves_nothing() {
    let other = OLD.replace("buyers", "others");
    let models = load(&[OLD, &other]);
    let mut partition = take_over(&mut ann(), &models, true);
    let moves = pass_time(&mut partition);
    assert_eq!(names(&moves), [("stage_entered", true), ("first", true)]);
    let models = load(&[&other]);
    let mut partition = take_over(&mut partition, &models, true);
    assert_eq!(pass_time(&mut partition), []);
    assert_eq!(view(&mut partition).models.len(), 1);
    assert_eq!(view(&mut partition).models[0].sequence, 2);
    assert!(partition.layout().models.len() == 1 && partition.live_bytes() > 0);
}

#[test]
fn an_unchanged_model_is_not_evaluated_again() {
    let models = load(&[OLD]);
    let mut partition = take_over(&mut ann(), &models, true);
    assert_eq!(partition.next_wake_up(), None);
    assert_eq!(pass_time(&mut partition), []);
}

#[test]
fn a_late_touchpoint_is_published_also_when_a_muted_edit_is_still_to_be_followed() {
    let models = load(&[NEW]);
    let mut partition = take_over(&mut ann(), &models, false);
    let late = order(3).replace("2026-01-03", "2025-12-31");
    let moves = receive(&mut partition, &models, &late);
    assert_eq!(names(&moves), [("stage_entered", false)], "a regular by the third order, not by the edit");
    assert!(moves[0].late);
    assert_eq!(moves[0].sequence, 4);
}

#[test]
fn what_holds_of_anybody_is_published_by_the_first_touchpoint_whatever_it_is() {
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
