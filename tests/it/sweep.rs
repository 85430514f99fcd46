//! Sweeps on a real broker: under load, the changelog is swept and truncated, can be restored at any time, and loses
//! all records of erased customers.

mod truncated_during_restore;
mod truncation_denied;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::Timestamp;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Clock, Partition};
use lifecycle_processor::wire::changelog::ChangelogDecoder;
use lifecycle_processor::wire::model_file::{self, ModelSource};
use lifecycle_processor::wire::time::format_timestamp;

use crate::broker::{self, ConsumedRecord, NewRecord, until};
use crate::exactly_once::deployment::{Deployment, Instance, wait_for_records};

const CUSTOMERS: usize = 400;
const ROUNDS_MAX: usize = 40;
const BEGIN_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;
const SECRET: &str = "anna-to-be-erased";

/// Returns a touchpoint in the given round; a round is one day of event time.
fn touchpoint(customer: &str, kind: &str, round: usize) -> NewRecord {
    let at = BEGIN_MS + i64::try_from(round).expect("few rounds") * DAY_MS;
    let at = format_timestamp(Timestamp::from_millis(at));
    let line = format!(
        r#"{{"event_id":"{customer}-{kind}-{round}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}"}}"#
    );
    NewRecord { partition: Some(0), ..NewRecord::keyed(customer, &line) }
}

fn models() -> Arc<ModelSet> {
    let name = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orders_45d.yaml");
    let source = ModelSource { name: name.to_owned(), text: fs::read_to_string(name).expect("the example") };
    let (models, _) = model_file::load(&[source], &model_file::shipped_catalogue(), &[]).expect("the example loads");
    Arc::new(models)
}

/// Restores the customers from changelog records.
fn restored(records: &[ConsumedRecord]) -> Partition {
    let mut partition = Partition::new(models(), FactOptions::default());
    let mut decoder = ChangelogDecoder::default();
    for record in records {
        let batch = decoder.decode(record.value.as_deref().unwrap_or_default()).expect("a changelog record");
        partition.restore(&batch.layout, &batch.customers).expect("customers");
    }
    partition.end_restore(Clock::default(), Timestamp::MIN);
    partition
}

fn bytes(records: &[ConsumedRecord]) -> usize {
    records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum()
}

fn contains_secret(records: &[ConsumedRecord]) -> bool {
    let value = |record: &ConsumedRecord| record.value.clone().unwrap_or_default();
    records.iter().any(|record| value(record).windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
}

#[test]
fn under_load_the_changelog_stays_bounded_and_loses_erased_customers() {
    let settings = "clock: {source: touchpoints}\nworkers: 1\nstate: {sweep_min_bytes: 64KiB}";
    let deployment = Deployment::new(1, settings);
    let mut instance = deployment.start("a");
    let mut published = 0;
    let mut erased_before = None;
    for round in 0..ROUNDS_MAX {
        let mut records: Vec<_> =
            (0..CUSTOMERS).map(|it| touchpoint(&format!("c-{it}"), "order_completed", round)).collect();
        // Each customer reaches a milestone with its first and second order. The marker's milestone shows that the
        // round is complete.
        published += if round < 2 { CUSTOMERS } else { 0 } + 1;
        if round < 4 {
            records.push(touchpoint(SECRET, "order_completed", round));
            published += usize::from(round < 2);
        }
        if round == 4 {
            records.push(touchpoint(SECRET, "customer_erased", round));
        }
        records.push(touchpoint(&format!("marker-{round}"), "order_completed", round));
        broker::produce(&deployment.touchpoints, &records);
        if round % 6 == 5 {
            // Interrupts whatever is in progress: a sweep, a truncation or a commit.
            instance.kill();
            instance = deployment.start("a");
        }
        wait_for_records(&[&deployment.replay], published, &mut [&mut instance]);
        let log = broker::read_committed(&deployment.changelog);
        match erased_before {
            None if round >= 4 => {
                assert!(restored(&log).customer(SECRET).is_none(), "erased by the commit");
                erased_before = log.last().map(|record| record.offset);
            }
            Some(end) if log.first().is_some_and(|record| record.offset > end) => break,
            _ => {}
        }
        assert!(round + 1 < ROUNDS_MAX, "no sweep has deleted the erased customer within {ROUNDS_MAX} rounds");
    }
    let log = wait_until_unchanged(&deployment, &mut instance);
    assert!(!contains_secret(&log));
    let customers = restored(&log);
    assert!(customers.len() > CUSTOMERS);
    let (log_bytes, live_bytes) = (bytes(&log), customers.live_bytes());
    // A sweep begins when the changelog has twice the live bytes; the rest is layouts and the tolerance of one commit.
    assert!(log_bytes <= live_bytes * 5 / 2, "{log_bytes} bytes of changelog for {live_bytes} of customers");
    println!("{log_bytes} bytes of changelog for {live_bytes} bytes of customers");
    instance.stop();

    // The next instance restores the complete state.
    let mut next = deployment.start("b");
    broker::produce(&deployment.touchpoints, &[touchpoint("c-7", "order_completed", 200)]);
    let seen = wait_for_records(&[&deployment.replay], published + CUSTOMERS, &mut [&mut next]);
    assert!(seen.iter().any(|it| it.text().contains("\"reactivated\"") && it.text().contains("\"c-7\"")));
    next.stop();
}

/// Returns the changelog once it no longer changes.
fn wait_until_unchanged(deployment: &Deployment, instance: &mut Instance) -> Vec<ConsumedRecord> {
    let mut last = Vec::new();
    until("the changelog no longer changes", || {
        std::thread::sleep(Duration::from_secs(2));
        instance.assert_runs();
        let now = broker::read_committed(&deployment.changelog);
        let is_unchanged = now == last;
        last = now;
        is_unchanged.then_some(())
    });
    last
}
