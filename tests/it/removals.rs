//! Tests the removal of customers: by an erasure touchpoint, or after inactivity if they never ordered.
//!
//! The published transitions must not depend on when the partition processes the removal.

use std::sync::{Arc, LazyLock};

use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::lifecycle::transition::Transition;
use lifecycle_processor::partition::{Clock, CustomerView, Effects, Input, Partition};
use lifecycle_processor::wire::changelog::{self, ChangelogDecoder};
use lifecycle_processor::wire::model_file;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

static MODELS: LazyLock<Arc<ModelSet>> = LazyLock::new(|| {
    let sources: Vec<_> = model_file::shipped_names().iter().filter_map(|name| model_file::shipped(name)).collect();
    let (models, _) = model_file::load(&sources, &model_file::shipped_catalogue(), &[]).expect("shipped models load");
    Arc::new(models)
});

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_735_689_600_000;
/// Days of inactivity after which customers are forgotten.
const INACTIVITY_DAYS: i64 = 60;

/// A partition, its effects and its changelog.
struct Fixture {
    partition: Partition,
    effects: Effects,
    decoder: TouchpointDecoder,
    /// The values of all changelog records so far, in order.
    changelog: Vec<Vec<u8>>,
    touchpoints: u32,
}

impl Fixture {
    fn new(forget_after: Option<Duration>) -> Self {
        let facts = FactOptions { forget_after, ..FactOptions::default() };
        Self {
            partition: Partition::new(Arc::clone(&MODELS), facts),
            effects: Effects::default(),
            decoder: TouchpointDecoder::new(&MODELS.vocabulary, TouchpointOptions { bytes_max: 4096 }),
            changelog: Vec::new(),
            touchpoints: 0,
        }
    }

    /// Applies a touchpoint of `customer` with the type `kind`, `days` days after `START_MS`.
    fn apply(&mut self, customer: &str, kind: &str, days: i64) {
        self.apply_at(customer, kind, START_MS + days * DAY_MS);
    }

    fn apply_at(&mut self, customer: &str, kind: &str, at: i64) {
        self.touchpoints += 1;
        let (number, at) = (self.touchpoints, format_timestamp(Timestamp::from_millis(at)));
        let order = if kind == "order_completed" { r#","amount":10"# } else { "" };
        let line = format!(
            r#"{{"event_id":"e{number}","customer_id":"{customer}","type":"{kind}","occurred_at":"{at}"{order}}}"#
        );
        let mut scratch = Scratch::default();
        let touchpoint = self.decoder.decode(line.as_bytes(), &mut scratch).expect("a touchpoint");
        self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
    }

    fn advance_time(&mut self, until: i64) {
        let until = Timestamp::from_millis(until);
        while self.partition.apply(Input::TimePassed { until, wake_ups_max: 3 }, &mut self.effects) {}
    }

    fn commit(&mut self) {
        let batches = self.partition.write_batches(0);
        self.changelog.extend(
            batches
                .iter()
                .map(|batch| changelog::encode(self.partition.layout(), batch, &changelog::InputProgress::default())),
        );
        self.partition.commit();
    }

    /// Restores a partition from the changelog, as its next owner would.
    fn restore(&self, forget_after: Option<Duration>) -> Partition {
        let facts = FactOptions { forget_after, ..FactOptions::default() };
        let mut partition = Partition::new(Arc::clone(&MODELS), facts);
        let mut decoder = ChangelogDecoder::default();
        for value in &self.changelog {
            let record = decoder.decode(value).expect("written just now");
            partition.restore(&record.layout, &record.customers).expect("written just now");
        }
        partition.end_restore(self.partition.clock(), Timestamp::MIN);
        partition
    }

    fn published(&self) -> Vec<String> {
        self.effects.transitions.iter().map(line).collect()
    }
}

/// Formats the parts of a transition that a consumer sees.
fn line(transition: &Transition) -> String {
    let Transition { customer_id, name, occurred_at, id, sequence, .. } = transition;
    format!("{customer_id} {name} {occurred_at:?} {id} {sequence}")
}

fn customers(partition: &Partition) -> Vec<CustomerView> {
    partition.customers().collect()
}

#[test]
fn an_erased_customer_is_removed_at_once_without_a_transition() {
    let mut fixture = Fixture::new(None);
    for customer in ["anna", "bert"] {
        fixture.apply(customer, "product_viewed", 0);
        fixture.apply(customer, "order_completed", 1);
    }
    fixture.commit();
    let published = fixture.published().len();
    fixture.apply("anna", "customer_erased", 2);
    fixture.apply("unknown", "customer_erased", 2);
    assert_eq!(fixture.published().len(), published);
    assert_eq!((fixture.effects.tally.erased, fixture.effects.tally.applied), (1, 6));
    fixture.commit();
    assert!(fixture.partition.customer("anna").is_none() && fixture.partition.customer("unknown").is_none());
    assert_eq!(fixture.partition.len(), 1);
    assert!(fixture.partition.stage_counts().iter().all(|stages| stages.iter().sum::<u64>() == 1));

    // A restore does not recreate the customer, although older changelog records still contain it.
    let restored = fixture.restore(None);
    assert_eq!(customers(&restored), customers(&fixture.partition));
    assert_eq!(restored.stage_counts(), fixture.partition.stage_counts());
    assert_eq!(restored.wake_ups_pending(), fixture.partition.wake_ups_pending());

    // A customer who comes back is new, and later wake-ups depend only on the new touchpoints.
    let before = fixture.published().len();
    fixture.apply("anna", "product_viewed", 3);
    fixture.advance_time(START_MS + 4000 * DAY_MS);
    let of_anna: Vec<_> =
        fixture.effects.transitions[before..].iter().filter(|it| &*it.customer_id == "anna").collect();
    assert_eq!(of_anna[0].sequence, 1);
    assert!(of_anna.iter().all(|transition| transition.orders.count == 0));
}

#[test]
fn an_aborted_erasure_has_no_effect() {
    let mut fixture = Fixture::new(None);
    fixture.apply("anna", "order_completed", 0);
    fixture.commit();
    let before = customers(&fixture.partition);
    let pending = fixture.partition.wake_ups_pending();
    fixture.apply("anna", "customer_erased", 1);
    fixture.apply("anna", "product_viewed", 1);
    fixture.apply("clara", "product_viewed", 1);
    fixture.apply("clara", "customer_erased", 1);
    fixture.partition.write_batches(0);
    fixture.partition.abort();
    fixture.effects = Effects::default();
    assert_eq!((customers(&fixture.partition), fixture.partition.wake_ups_pending()), (before, pending));
    fixture.advance_time(START_MS + 2000 * DAY_MS);
    assert!(!fixture.effects.transitions.is_empty(), "the customer still has its wake-up");
}

#[test]
fn a_customer_erased_and_recreated_in_one_batch_is_new_and_one_created_and_erased_in_it_leaves_no_record() {
    let mut fixture = Fixture::new(None);
    fixture.apply("anna", "order_completed", 0);
    fixture.commit();
    fixture.apply("anna", "customer_erased", 1);
    fixture.apply("anna", "product_viewed", 1);
    fixture.apply("clara", "product_viewed", 1);
    fixture.apply("clara", "customer_erased", 1);
    fixture.apply("clara", "customer_erased", 1);
    let records = fixture.changelog.len();
    fixture.commit();
    let anna = fixture.partition.customer("anna").expect("the customer was created again");
    assert_eq!(anna.orders.count, 0);
    assert_eq!((fixture.partition.len(), fixture.effects.tally.erased), (1, 2));
    assert_eq!(fixture.changelog.len(), records + 1);
    assert!(!String::from_utf8_lossy(&fixture.changelog[records]).contains("clara"));
    let restored = fixture.restore(None);
    assert_eq!(customers(&restored), customers(&fixture.partition));
    assert_eq!(restored.stage_counts(), fixture.partition.stage_counts());
}

#[test]
fn due_wake_ups_fire_before_an_erasure() {
    let run = |advances: bool| {
        let mut fixture = Fixture::new(None);
        fixture.apply("anna", "order_completed", 0);
        if advances {
            fixture.advance_time(START_MS + 1000 * DAY_MS - 60_000);
        }
        fixture.apply("anna", "customer_erased", 1000);
        fixture.advance_time(START_MS + 3000 * DAY_MS);
        fixture.published()
    };
    let published = run(false);
    assert!(published.len() > 1);
    assert_eq!(published, run(true));
}

#[test]
fn a_customer_who_never_ordered_is_forgotten_after_inactivity() {
    let inactivity = Some(Duration::from_days(INACTIVITY_DAYS));
    let mut fixture = Fixture::new(inactivity);
    fixture.apply("anna", "product_viewed", 0);
    fixture.apply("bert", "product_viewed", 0);
    fixture.apply("bert", "order_completed", 0);
    fixture.apply("clara", "product_viewed", 0);
    fixture.apply("clara", "product_viewed", 30);
    fixture.commit();
    let forgotten_at = |fixture: &Fixture, id: &str| fixture.partition.customer(id).expect("a customer").forgotten_at;
    assert_eq!(forgotten_at(&fixture, "anna"), Some(Timestamp::from_millis(START_MS + INACTIVITY_DAYS * DAY_MS)));
    assert_eq!(forgotten_at(&fixture, "bert"), None);

    fixture.advance_time(START_MS + INACTIVITY_DAYS * DAY_MS - 1);
    fixture.commit();
    assert_eq!((fixture.partition.len(), fixture.effects.tally.forgotten), (3, 0));
    fixture.advance_time(START_MS + INACTIVITY_DAYS * DAY_MS);
    fixture.commit();
    assert_eq!((fixture.partition.len(), fixture.effects.tally.forgotten), (2, 1));
    assert!(fixture.partition.customer("anna").is_none());
    let restored = fixture.restore(inactivity);
    assert_eq!(customers(&restored), customers(&fixture.partition));
    assert_eq!(restored.stage_counts(), fixture.partition.stage_counts());

    fixture.advance_time(START_MS + 5000 * DAY_MS);
    fixture.commit();
    assert_eq!(fixture.partition.len(), 1, "a customer with orders stays");
    // The option also applies to customers that were created before it was set.
    let mut unlimited = Fixture::new(None);
    unlimited.apply("anna", "unlisted_type", 0);
    unlimited.commit();
    let mut restored = unlimited.restore(inactivity);
    let until = Timestamp::from_millis(START_MS + INACTIVITY_DAYS * DAY_MS);
    restored.apply(Input::TimePassed { until, wake_ups_max: 10 }, &mut Effects::default());
    restored.write_batches(0);
    restored.commit();
    assert!(restored.is_empty());
}

/// Runs a random history in which `Input::TimePassed` follows about one in `advances` touchpoints; 0 means only at the
/// end. Returns the transitions, the remaining customers and the number of forgotten ones.
fn run(seed: u64, advances: u32) -> (Vec<String>, Vec<CustomerView>, u64) {
    const LATENESS_MS: i64 = 60_000;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut timing = fastrand::Rng::with_seed(seed ^ u64::from(advances) << 32);
    let mut fixture = Fixture::new(Some(Duration::from_days(INACTIVITY_DAYS)));
    let mut stream_time = START_MS;
    for _ in 0..120 {
        let kinds = ["product_viewed", "checkout_started", "referral_shared", "email_clicked", "unlisted_type"];
        let kind = match random.u32(..40) {
            0 => "order_completed",
            1 => "order_cancelled",
            2 => "customer_erased",
            _ => kinds[random.usize(..kinds.len())],
        };
        // Some times are exactly on a boundary, others as late as allowed.
        stream_time += [0, DAY_MS, INACTIVITY_DAYS / 2 * DAY_MS, INACTIVITY_DAYS * DAY_MS][random.usize(..4)] / 4;
        let at = stream_time - [0, 1, LATENESS_MS / 2, LATENESS_MS][random.usize(..4)];
        fixture.apply_at(&format!("c-{}", random.u32(..6)), kind, at);
        if advances > 0 && timing.u32(..advances) == 0 {
            let until = fixture.partition.clock().stream_time().expect("touchpoints").as_millis() - LATENESS_MS;
            fixture.advance_time(until);
        }
        match timing.u32(..24) {
            0..4 => fixture.commit(),
            4 => {
                let committed = fixture.restore(Some(Duration::from_days(INACTIVITY_DAYS)));
                fixture.commit();
                let restored = fixture.restore(Some(Duration::from_days(INACTIVITY_DAYS)));
                assert_eq!(customers(&restored), customers(&fixture.partition), "seed {seed}");
                assert_eq!(restored.stage_counts(), fixture.partition.stage_counts(), "seed {seed}");
                assert!(committed.len() <= 6);
                fixture.partition = restored;
            }
            _ => {}
        }
    }
    fixture.advance_time(stream_time - LATENESS_MS);
    fixture.commit();
    let forgotten = fixture.effects.tally.forgotten;
    let mut published = fixture.published();
    // The order is only guaranteed per customer.
    published.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    (published, customers(&fixture.partition), forgotten)
}

#[test]
fn the_output_does_not_depend_on_when_an_inactive_customer_is_removed() {
    let mut forgotten = 0;
    for seed in 0..10 {
        let (published, remaining, _) = run(seed, 0);
        assert!(!published.is_empty());
        for advances in [1, 5] {
            let (also_published, also_remaining, count) = run(seed, advances);
            assert_eq!(also_published, published, "seed {seed}, one in {advances}");
            assert_eq!(also_remaining, remaining, "seed {seed}, one in {advances}");
            forgotten += count;
        }
    }
    assert!(forgotten > 50, "{forgotten} were forgotten");
}

#[test]
fn finishing_a_restore_with_an_older_clock_recreates_no_customer() {
    let mut fixture = Fixture::new(Some(Duration::from_days(INACTIVITY_DAYS)));
    fixture.apply("anna", "product_viewed", 0);
    fixture.commit();
    fixture.advance_time(START_MS + 1000 * DAY_MS);
    fixture.commit();
    let mut restored = fixture.restore(Some(Duration::from_days(INACTIVITY_DAYS)));
    restored.end_restore(Clock::default(), Timestamp::MIN);
    assert!(restored.is_empty() && restored.wake_ups_pending() == 0);
}

#[test]
fn due_wake_ups_fire_before_a_repeated_erasure_whenever_time_advances() {
    let run = |fires_early: bool| {
        let mut fixture = Fixture::new(Some(Duration::from_days(INACTIVITY_DAYS)));
        fixture.apply("anna", "order_completed", 0);
        fixture.apply("carl", "product_viewed", 0);
        // This touchpoint advances stream time by a year for all customers, before their wake-ups have fired.
        fixture.apply("bert", "order_completed", 365);
        if fires_early {
            fixture.advance_time(START_MS + 364 * DAY_MS);
        }
        // Duplicates sent long after they occurred, when their ids are no longer known.
        fixture.apply("anna", "customer_erased", 1);
        fixture.apply("carl", "product_viewed", 1);
        fixture.advance_time(START_MS + 364 * DAY_MS);
        fixture.commit();
        let mut published = fixture.published();
        published.sort();
        (published, customers(&fixture.partition))
    };
    let (published, customers) = run(true);
    assert!(published.iter().filter(|line| line.starts_with("anna")).count() > 6, "{published:#?}");
    assert_eq!(run(false), (published, customers));
}
