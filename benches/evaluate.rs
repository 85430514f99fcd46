//! CPU time per touchpoint with all six shipped models, without Kafka and without decoding.
//!
//! Group `rules`: folds one touchpoint into a customer's facts and, if a fact that a condition reads changes, evaluates
//! every model. Group `touchpoint`: applies one touchpoint per customer to a partition, encodes the changes and
//! commits, as a worker does, without and with identity resolution; times are per batch, and the throughput counts
//! touchpoints. None of them has a link.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::customer::{Customer, Rules};
use lifecycle_processor::lifecycle::evaluate::evaluate;
use lifecycle_processor::lifecycle::fact::FactInputs;
use lifecycle_processor::lifecycle::identity::IdentityOptions;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::money::Amount;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::{FactOptions, Touchpoint};
use lifecycle_processor::partition::{Effects, Input, Partition};

/// Number of customers in the partition, and of touchpoints in a batch.
const CUSTOMERS: usize = 10_000;

/// A partition in which every customer has ordered once, and a generator of further touchpoints.
struct Stream {
    models: Arc<ModelSet>,
    partition: Partition,
    effects: Effects,
    customer_ids: Vec<String>,
    now: Timestamp,
    touchpoints: u64,
}

impl Stream {
    fn new(identity: Option<IdentityOptions>) -> Self {
        let models = Arc::new(ModelChoice::default().load(false).expect("the shipped models are valid"));
        let mut stream = Self {
            partition: Partition::new(Arc::clone(&models), FactOptions { identity, ..FactOptions::default() }),
            models,
            effects: Effects::default(),
            customer_ids: (0..CUSTOMERS).map(|number| format!("customer-{number:06}")).collect(),
            now: Timestamp::from_millis(1_700_000_000_000),
            touchpoints: 0,
        };
        let ids = stream.event_ids();
        stream.apply("order_completed", &ids);
        stream
    }

    /// Returns event ids that no touchpoint has used.
    fn event_ids(&mut self) -> Vec<String> {
        let first = self.touchpoints;
        self.touchpoints += CUSTOMERS as u64;
        (first..self.touchpoints).map(|number| format!("event-{number:012}")).collect()
    }

    /// Applies one touchpoint of the type per customer, one minute after the last ones, and commits them.
    fn apply(&mut self, type_name: &str, event_ids: &[String]) {
        self.now = self.now + Duration::from_millis(60_000);
        let amount = (type_name == "order_completed").then(|| Amount::from_micros(39_900_000));
        for (customer_id, event_id) in self.customer_ids.iter().zip(event_ids) {
            let touchpoint = Touchpoint {
                event_id,
                customer_id,
                anonymous_id: None,
                merged_id: None,
                blocked_id: None,
                is_visitor: false,
                kind: self.models.vocabulary.type_index(type_name),
                type_name,
                occurred_at: self.now,
                order_id: None,
                amount,
                currency: None,
                properties: &[],
            };
            self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
        }
        assert_eq!(self.effects.tally.applied, CUSTOMERS as u64, "no touchpoint is a duplicate");
        drop(self.partition.write_batches(0));
        self.partition.commit();
        self.effects = Effects::default();
    }
}

fn touchpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("touchpoint");
    group.throughput(Throughput::Elements(CUSTOMERS as u64)).sample_size(20);
    let kinds = [
        ("that no fact reads", "unknown_type"),
        ("that changes facts", "product_viewed"),
        ("that is an order", "order_completed"),
    ];
    for (name, type_name) in kinds {
        for (suffix, identity) in [("", None), (", with identity resolution", Some(IdentityOptions::default()))] {
            group.bench_function(format!("{name}{suffix}"), |bencher| {
                let stream = std::cell::RefCell::new(Stream::new(identity));
                bencher.iter_batched(
                    || stream.borrow_mut().event_ids(),
                    |event_ids| stream.borrow_mut().apply(type_name, &event_ids),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Folds touchpoints of a type for a single customer, and evaluates all models if facts changed.
fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rules");
    for (name, type_name) in [("that no fact reads", "unknown_type"), ("that changes facts", "product_viewed")] {
        let models = Arc::new(ModelChoice::default().load(false).expect("the shipped models are valid"));
        let rules = Rules { models: Arc::clone(&models), options: FactOptions::default(), edited_at: Timestamp::MIN };
        let mut now = Timestamp::from_millis(1_700_000_000_000);
        let mut customer = Customer::new("customer".into(), now, &models);
        let touchpoint = |type_name: &'static str, now| Touchpoint {
            event_id: type_name,
            customer_id: "customer",
            anonymous_id: None,
            merged_id: None,
            blocked_id: None,
            is_visitor: false,
            kind: models.vocabulary.type_index(type_name),
            type_name,
            occurred_at: now,
            order_id: None,
            amount: None,
            currency: None,
            properties: &[],
        };
        for type_name in ["product_viewed", "order_completed"] {
            let touchpoint = touchpoint(type_name, now);
            let groups = models.vocabulary.groups_of(&touchpoint);
            customer.apply(&rules, &touchpoint, groups, &mut Vec::new());
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now = now.next();
                let touchpoint = touchpoint(type_name, now);
                let groups = models.vocabulary.groups_of(&touchpoint);
                let facts = &mut customer.facts;
                if facts.apply(&models.layout, &rules.options, &touchpoint, groups, now) != 0 {
                    let facts = FactInputs { layout: &models.layout, facts };
                    for model in &models.models {
                        std::hint::black_box(evaluate(model, &facts, now, 0));
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rules, touchpoints);
criterion_main!(benches);
