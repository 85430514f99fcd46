//! The changelog on a real broker: swept and truncated under load, restored in between, and without a trace of the erased.

mod cut_while_restoring;
mod refused;

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

use crate::broker::{self, Seen, ToWrite, until};
use crate::exactly_once::running::{Deployment, Instance, read};

const CUSTOMERS: usize = 400;
const ROUNDS_MAX: usize = 40;
const BEGIN_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;
const SECRET: &str = "anna-whom-nobody-may-remember";

/// A touchpoint of the round, which is a day.
fn touchpoint(customer: &str, kind: &str, round: usize) -> ToWrite {
    let at = BEGIN_MS + i64::try_from(round).expect("few rounds") * DAY_MS;
    let at = format_timestamp(Timestamp::from_millis(at));
    let line = format!(
        r#"{{"event_id":"{customer}-{kind}-{round}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}"}}"#
    );
    ToWrite { partition: Some(0), ..ToWrite::keyed(customer, &line) }
}

fn models() -> Arc<ModelSet> {
    let name = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orders_45d.yaml");
    let source = ModelSource { name: name.to_owned(), text: fs::read_to_string(name).expect("the example") };
    let (models, _) = model_file::load(&[source], &model_file::shipped_catalogue(), &[]).expect("the example loads");
    Arc::new(models)
}

/// The customers that the changelog holds now.
fn restored(records: &[Seen]) -> Partition {
    let mut partition = Partition::new(models(), FactOptions::default());
    let mut decoder = ChangelogDecoder::default();
    for record in records {
        let batch = decoder.decode(record.value.as_deref().unwrap_or_default()).expect("a changelog record");
        partition.restore(&batch.layout, &batch.customers).expect("customers");
    }
    partition.end_restore(Clock::default());
    partition
}

fn bytes(records: &[Seen]) -> usize {
    records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum()
}

fn knows_the_secret(records: &[Seen]) -> bool {
    let value = |record: &Seen| record.value.clone().unwrap_or_default();
    records.iter().any(|record| value(record).windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
}

#[test]
fn under_load_the_changelog_keeps_twice_what_is_alive_and_no_trace_of_the_erased() {
    let settings = "clock: {source: touchpoints}\nworkers: 1\nstate: {sweep_min_bytes: 64KiB}";
    let deployment = Deployment::new(1, settings);
    let mut instance = deployment.start("a");
    let mut published = 0;
    let mut erased_before = None;
    for round in 0..ROUNDS_MAX {
        let mut records: Vec<_> =
            (0..CUSTOMERS).map(|it| touchpoint(&format!("c-{it}"), "order_completed", round)).collect();
        // Two milestones of everybody, and one of somebody new in each round, which tells that the round is through.
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
            // Whatever it is about: a sweep, a truncation, a commit.
            instance.kill();
            instance = deployment.start("a");
        }
        read(&[&deployment.replay], published, &mut [&mut instance]);
        let log = broker::read_committed(&deployment.changelog);
        match erased_before {
            None if round >= 4 => {
                assert!(restored(&log).customer(SECRET).is_none(), "erased with the commit");
                erased_before = log.last().map(|record| record.offset);
            }
            Some(end) if log.first().is_some_and(|record| record.offset > end) => break,
            _ => {}
        }
        assert!(round + 1 < ROUNDS_MAX, "no sweep has gone past the erasure in {ROUNDS_MAX} rounds");
    }
    let log = at_rest(&deployment, &mut instance);
    assert!(!knows_the_secret(&log));
    let customers = restored(&log);
    assert!(customers.len() > CUSTOMERS);
    let (log_bytes, live_bytes) = (bytes(&log), customers.live_bytes());
    // A record has its layout before its customers.
    assert!(log_bytes <= live_bytes * 5 / 2, "{log_bytes} bytes of changelog for {live_bytes} of customers");
    println!("{log_bytes} bytes of changelog for {live_bytes} bytes of customers");
    instance.stop();

    // All of it is still there for the next one.
    let mut next = deployment.start("b");
    broker::produce(&deployment.touchpoints, &[touchpoint("c-7", "order_completed", 200)]);
    let seen = read(&[&deployment.replay], published + CUSTOMERS, &mut [&mut next]);
    assert!(seen.iter().any(|it| it.text().contains("\"reactivated\"") && it.text().contains("\"c-7\"")));
    next.stop();
}

/// The changelog once nothing happens to it any more.
fn at_rest(deployment: &Deployment, instance: &mut Instance) -> Vec<Seen> {
    let mut last = Vec::new();
    until("the changelog comes to rest", || {
        std::thread::sleep(Duration::from_secs(2));
        instance.assert_runs();
        let now = broker::read_committed(&deployment.changelog);
        let rests = now == last;
        last = now;
        rests.then_some(())
    });
    last
}
