//! Customers go: those who ask for it at once, those who never ordered after a silence; and nobody can tell from what is
//! published when the machine got to it.

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

const DAY: i64 = 86_400_000;
const BEGIN: i64 = 1_735_689_600_000;
/// After how many days of silence customers are forgotten.
const SILENCE: i64 = 60;

/// A partition and what it has led to.
struct World {
    partition: Partition,
    effects: Effects,
    decoder: TouchpointDecoder,
    /// The values of all changelog records so far.
    changelog: Vec<Vec<u8>>,
    touchpoints: u32,
}

impl World {
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

    /// Lets `customer` do `kind` after so many days.
    fn touch(&mut self, customer: &str, kind: &str, days: i64) {
        self.touch_at(customer, kind, BEGIN + days * DAY);
    }

    fn touch_at(&mut self, customer: &str, kind: &str, at: i64) {
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

    fn pass(&mut self, until: i64) {
        let until = Timestamp::from_millis(until);
        while self.partition.apply(Input::TimePassed { until, wake_ups_max: 3 }, &mut self.effects) {}
    }

    fn commit(&mut self) {
        let batches = self.partition.write_batches(0);
        self.changelog.extend(batches.iter().map(|batch| changelog::encode(self.partition.layout(), batch)));
        self.partition.commit();
    }

    /// What a new owner makes of the changelog.
    fn restored(&self, forget_after: Option<Duration>) -> Partition {
        let facts = FactOptions { forget_after, ..FactOptions::default() };
        let mut partition = Partition::new(Arc::clone(&MODELS), facts);
        let mut decoder = ChangelogDecoder::default();
        for value in &self.changelog {
            let record = decoder.decode(value).expect("written just now");
            partition.restore(&record.layout, &record.customers).expect("written just now");
        }
        partition.end_restore(self.partition.clock());
        partition
    }

    fn published(&self) -> Vec<String> {
        self.effects.transitions.iter().map(line).collect()
    }
}

/// What a reader sees of a transition.
fn line(transition: &Transition) -> String {
    let Transition { customer_id, name, occurred_at, id, sequence, .. } = transition;
    format!("{customer_id} {name} {occurred_at:?} {id} {sequence}")
}

fn customers(partition: &Partition) -> Vec<CustomerView> {
    partition.customers().collect()
}

#[test]
fn an_erased_customer_is_gone_at_once_without_a_word() {
    let mut world = World::new(None);
    for customer in ["anna", "bert"] {
        world.touch(customer, "product_viewed", 0);
        world.touch(customer, "order_completed", 1);
    }
    world.commit();
    let published = world.published().len();
    world.touch("anna", "customer_erased", 2);
    world.touch("nobody", "customer_erased", 2);
    assert_eq!(world.published().len(), published);
    assert_eq!((world.effects.tally.erased, world.effects.tally.applied), (1, 6));
    world.commit();
    assert!(world.partition.customer("anna").is_none() && world.partition.customer("nobody").is_none());
    assert_eq!(world.partition.len(), 1);
    assert!(world.partition.population().iter().all(|stages| stages.iter().sum::<u64>() == 1));

    // The next owner does not find the customer either, though the changelog still tells of them.
    let restored = world.restored(None);
    assert_eq!(customers(&restored), customers(&world.partition));
    assert_eq!(restored.population(), world.partition.population());
    assert_eq!(restored.wake_ups_pending(), world.partition.wake_ups_pending());

    // Whoever comes back is new, and time brings only what follows from that.
    let before = world.published().len();
    world.touch("anna", "product_viewed", 3);
    world.pass(BEGIN + 4000 * DAY);
    let of_anna: Vec<_> = world.effects.transitions[before..].iter().filter(|it| &*it.customer_id == "anna").collect();
    assert_eq!(of_anna[0].sequence, 1);
    assert!(of_anna.iter().all(|transition| transition.orders.count == 0));
}

#[test]
fn an_aborted_erasure_has_not_happened() {
    let mut world = World::new(None);
    world.touch("anna", "order_completed", 0);
    world.commit();
    let before = customers(&world.partition);
    let waiting = world.partition.wake_ups_pending();
    world.touch("anna", "customer_erased", 1);
    world.touch("anna", "product_viewed", 1);
    world.touch("clara", "product_viewed", 1);
    world.touch("clara", "customer_erased", 1);
    world.partition.write_batches(0);
    world.partition.abort();
    world.effects = Effects::default();
    assert_eq!((customers(&world.partition), world.partition.wake_ups_pending()), (before, waiting));
    world.pass(BEGIN + 2000 * DAY);
    assert!(!world.effects.transitions.is_empty(), "the customer waits for time as before");
}

#[test]
fn who_is_erased_and_comes_back_in_one_batch_is_new_and_who_came_only_with_it_leaves_nothing() {
    let mut world = World::new(None);
    world.touch("anna", "order_completed", 0);
    world.commit();
    world.touch("anna", "customer_erased", 1);
    world.touch("anna", "product_viewed", 1);
    world.touch("clara", "product_viewed", 1);
    world.touch("clara", "customer_erased", 1);
    world.touch("clara", "customer_erased", 1);
    let records = world.changelog.len();
    world.commit();
    let anna = world.partition.customer("anna").expect("she is back");
    assert_eq!(anna.orders.count, 0);
    assert_eq!((world.partition.len(), world.effects.tally.erased), (1, 2));
    assert_eq!(world.changelog.len(), records + 1);
    assert!(!String::from_utf8_lossy(&world.changelog[records]).contains("clara"));
    let restored = world.restored(None);
    assert_eq!(customers(&restored), customers(&world.partition));
    assert_eq!(restored.population(), world.partition.population());
}

#[test]
fn an_erasure_publishes_first_what_time_had_brought_about() {
    let run = |passes: bool| {
        let mut world = World::new(None);
        world.touch("anna", "order_completed", 0);
        if passes {
            world.pass(BEGIN + 1000 * DAY - 60_000);
        }
        world.touch("anna", "customer_erased", 1000);
        world.pass(BEGIN + 3000 * DAY);
        world.published()
    };
    let published = run(false);
    assert!(published.len() > 1);
    assert_eq!(published, run(true));
}

#[test]
fn whoever_never_ordered_is_forgotten_after_the_silence_and_new_afterwards() {
    let silence = Some(Duration::from_days(SILENCE));
    let mut world = World::new(silence);
    world.touch("anna", "product_viewed", 0);
    world.touch("bert", "product_viewed", 0);
    world.touch("bert", "order_completed", 0);
    world.touch("clara", "product_viewed", 0);
    world.touch("clara", "product_viewed", 30);
    world.commit();
    let forgotten_at = |world: &World, id: &str| world.partition.customer(id).expect("a customer").forgotten_at;
    assert_eq!(forgotten_at(&world, "anna"), Some(Timestamp::from_millis(BEGIN + SILENCE * DAY)));
    assert_eq!(forgotten_at(&world, "bert"), None);

    world.pass(BEGIN + SILENCE * DAY - 1);
    world.commit();
    assert_eq!((world.partition.len(), world.effects.tally.forgotten), (3, 0));
    world.pass(BEGIN + SILENCE * DAY);
    world.commit();
    assert_eq!((world.partition.len(), world.effects.tally.forgotten), (2, 1));
    assert!(world.partition.customer("anna").is_none());
    let restored = world.restored(silence);
    assert_eq!(customers(&restored), customers(&world.partition));
    assert_eq!(restored.population(), world.partition.population());

    world.pass(BEGIN + 5000 * DAY);
    world.commit();
    assert_eq!(world.partition.len(), 1, "who has ordered stays");
    // Whoever sets the option later has it hold for those who are there.
    let mut patient = World::new(None);
    patient.touch("anna", "never_heard_of", 0);
    patient.commit();
    let mut restored = patient.restored(silence);
    let until = Timestamp::from_millis(BEGIN + SILENCE * DAY);
    restored.apply(Input::TimePassed { until, wake_ups_max: 10 }, &mut Effects::default());
    restored.write_batches(0);
    restored.commit();
    assert!(restored.is_empty());
}

/// What a random history publishes, and whom it leaves, where time passes after one in `passes` touchpoints.
fn run(seed: u64, passes: u32) -> (Vec<String>, Vec<CustomerView>, u64) {
    const LATENESS: i64 = 60_000;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut own = fastrand::Rng::with_seed(seed ^ u64::from(passes) << 32);
    let mut world = World::new(Some(Duration::from_days(SILENCE)));
    let mut reached = BEGIN;
    for _ in 0..120 {
        let kinds = ["product_viewed", "checkout_started", "referral_shared", "email_clicked", "never_heard_of"];
        let kind = match random.u32(..40) {
            0 => "order_completed",
            1 => "order_cancelled",
            2 => "customer_erased",
            _ => kinds[random.usize(..kinds.len())],
        };
        // Some come to the very instant, others about as late as may be.
        reached += [0, DAY, SILENCE / 2 * DAY, SILENCE * DAY][random.usize(..4)] / 4;
        let at = reached - [0, 1, LATENESS / 2, LATENESS][random.usize(..4)];
        world.touch_at(&format!("c-{}", random.u32(..6)), kind, at);
        if passes > 0 && own.u32(..passes) == 0 {
            let until = world.partition.clock().reached().expect("touchpoints").as_millis() - LATENESS;
            world.pass(until);
        }
        match own.u32(..24) {
            0..4 => world.commit(),
            4 => {
                let committed = world.restored(Some(Duration::from_days(SILENCE)));
                world.commit();
                let restored = world.restored(Some(Duration::from_days(SILENCE)));
                assert_eq!(customers(&restored), customers(&world.partition), "seed {seed}");
                assert_eq!(restored.population(), world.partition.population(), "seed {seed}");
                assert!(committed.len() <= 6);
                world.partition = restored;
            }
            _ => {}
        }
    }
    world.pass(reached - LATENESS);
    world.commit();
    let forgotten = world.effects.tally.forgotten;
    let mut published = world.published();
    // Order is promised within a customer.
    published.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    (published, customers(&world.partition), forgotten)
}

#[test]
fn nobody_can_tell_when_a_silent_customer_was_removed() {
    let mut forgotten = 0;
    for seed in 0..10 {
        let (published, left, _) = run(seed, 0);
        assert!(!published.is_empty());
        for passes in [1, 5] {
            let (also_published, also_left, count) = run(seed, passes);
            assert_eq!(also_published, published, "seed {seed}, one in {passes}");
            assert_eq!(also_left, left, "seed {seed}, one in {passes}");
            forgotten += count;
        }
    }
    assert!(forgotten > 50, "{forgotten} were forgotten");
}

#[test]
fn an_older_clock_brings_nobody_back() {
    let mut world = World::new(Some(Duration::from_days(SILENCE)));
    world.touch("anna", "product_viewed", 0);
    world.commit();
    world.pass(BEGIN + 1000 * DAY);
    world.commit();
    let mut restored = world.restored(Some(Duration::from_days(SILENCE)));
    restored.end_restore(Clock::default());
    assert!(restored.is_empty() && restored.wake_ups_pending() == 0);
}

#[test]
fn what_time_has_brought_about_before_a_repeated_erasure_is_published_whenever_the_machine_gets_to_it() {
    let run = |is_prompt: bool| {
        let mut world = World::new(Some(Duration::from_days(SILENCE)));
        world.touch("anna", "order_completed", 0);
        world.touch("carl", "product_viewed", 0);
        // By what bert does a year has passed for the others, whether they have been woken or not.
        world.touch("bert", "order_completed", 365);
        if is_prompt {
            world.pass(BEGIN + 364 * DAY);
        }
        // Sent again long after it occurred, and not known any more.
        world.touch("anna", "customer_erased", 1);
        world.touch("carl", "product_viewed", 1);
        world.pass(BEGIN + 364 * DAY);
        world.commit();
        let mut published = world.published();
        published.sort();
        (published, customers(&world.partition))
    };
    let (published, customers) = run(true);
    assert!(published.iter().filter(|line| line.starts_with("anna")).count() > 6, "{published:#?}");
    assert_eq!(run(false), (published, customers));
}
