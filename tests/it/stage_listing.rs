//! The list of the customers in a stage: pages of one partition.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::id::StageIndex;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Effects, Input, Partition, StageCursor};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

fn models() -> Arc<ModelSet> {
    Arc::new(ModelChoice::of(&["retention".to_owned()]).load(false).unwrap())
}

/// Returns a partition with the customers `names`, of whom every third only views a page and is in no stage.
fn partition(models: &Arc<ModelSet>, names: &[String]) -> Partition {
    let mut partition = Partition::new(Arc::clone(models), FactOptions::default());
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
    for (number, name) in names.iter().enumerate() {
        let kind = if number % 3 == 0 { "page_viewed" } else { "order_completed" };
        let text = format!(
            r#"{{"event_id":"e","customer_id":"{name}","type":"{kind}","occurred_at":"2026-01-02T08:00:00Z","order_id":"o","amount":5}}"#
        );
        let mut scratch = Scratch::default();
        let touchpoint = decoder.decode(text.as_bytes(), &mut scratch).unwrap();
        partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
    }
    partition.write_batches(0);
    partition.commit();
    partition
}

fn stage(models: &ModelSet, name: &str) -> StageIndex {
    StageIndex((0..).zip(&models.models[0].stages).find(|(_, stage)| &*stage.name == name).unwrap().0)
}

#[test]
fn pages_cover_every_customer_of_the_stage_once_and_each_reads_a_bounded_number_of_records() {
    let models = models();
    let names: Vec<String> = (0..10_000).map(|number| format!("c{number}")).collect();
    let partition = partition(&models, &names);
    let active = stage(&models, "active");
    let (mut cursor, mut pages, mut found) = (Some(StageCursor::default()), 0, Vec::new());
    while let Some(from) = cursor {
        let page = partition.stage_page(0, active, from, 1_000).unwrap();
        assert!(page.customers.len() <= 1_000);
        found.extend(page.customers.iter().map(|customer| customer.view().customer_id.to_string()));
        cursor = page.next;
        pages += 1;
    }
    let expected: Vec<&String> =
        names.iter().enumerate().filter(|(number, _)| number % 3 != 0).map(|it| it.1).collect();
    assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
    assert_eq!((found.len(), pages), (6_666, 7));
    // No customer has churned: a page is empty although it has read as many records as it may.
    let page = partition.stage_page(0, stage(&models, "churned"), StageCursor::default(), 1_000).unwrap();
    assert!(page.customers.is_empty());
    assert_eq!(page.next.unwrap().slot, 4_096);
}

#[test]
fn a_cursor_from_another_order_of_customers_has_expired() {
    let models = models();
    let names: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    let active = stage(&models, "active");
    let cursor = partition(&models, &names).stage_page(0, active, StageCursor::default(), 10).unwrap().next.unwrap();
    assert!(partition(&models, &names).stage_page(0, active, cursor, 10).is_some(), "the order is the same");
    assert!(partition(&models, &reversed).stage_page(0, active, cursor, 10).is_none());
    let empty = Partition::new(Arc::clone(&models), FactOptions::default());
    assert!(empty.stage_page(0, active, cursor, 10).is_none());
}
