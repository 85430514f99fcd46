//! Turns histories into publications, touchpoint by touchpoint. Before each touchpoint, time advances to it.

use std::collections::{BTreeMap, BTreeSet};

use super::models::{MODELS, Model};
use super::names;
use super::summary::{Summary, THRESHOLDS};
use super::touchpoint::{Micros, Millis, Touchpoint};

/// One published transition.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Publication {
    pub(crate) model: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) skipped: Vec<String>,
    pub(crate) direction: Option<&'static str>,
    pub(crate) count: Option<i64>,
    pub(crate) occurred_at: Millis,
    /// The touchpoint's event id and type; `None` for time.
    pub(crate) cause: Option<(String, String)>,
    pub(crate) late: bool,
    /// Sequence number of the publication for this customer and model, starting at 1.
    pub(crate) sequence: u64,
    /// When the customer entered `from`.
    pub(crate) previous_since: Option<Millis>,
    /// The valid orders: count, revenue, time of the last one.
    pub(crate) orders: (u64, Micros, Option<Millis>),
}

/// The last published state of a customer in one model.
#[derive(Clone, Default, Debug)]
struct Published {
    stage: Option<&'static str>,
    since: Option<Millis>,
    milestones: BTreeSet<&'static str>,
    counters: BTreeMap<&'static str, usize>,
    sequence: u64,
}

/// A customer: the received touchpoints and the publications.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) history: Vec<Touchpoint>,
    summary: Summary,
    pub(crate) clock: Option<Millis>,
    /// All future instants at which time alone may change something, ascending, and some at which nothing changes.
    upcoming: Vec<Millis>,
    published: [Published; MODELS.len()],
    pub(crate) publications: Vec<Publication>,
}

impl Customer {
    pub(crate) fn new() -> Self {
        Self {
            history: Vec::new(),
            summary: Summary::of(&[]),
            clock: None,
            upcoming: Vec::new(),
            published: std::array::from_fn(|_| Published::default()),
            publications: Vec::new(),
        }
    }

    /// Receives a touchpoint; `order` is the publication order of the models, as indices of [`MODELS`].
    pub(crate) fn receive(&mut self, touchpoint: &Touchpoint, order: &[usize]) {
        if self.history.iter().any(|known| known.event_id == touchpoint.event_id) {
            return;
        }
        self.pass_time(touchpoint.at, order);
        let is_late = self.clock.is_some_and(|clock| touchpoint.at < clock);
        let now = self.clock.map_or(touchpoint.at, |clock| clock.max(touchpoint.at));
        self.clock = Some(now);
        self.history.push(touchpoint.clone());
        self.summary = Summary::of(&self.history);
        self.publish(now, Some((touchpoint, is_late)), order);
        self.upcoming = self.instants_after(now);
    }

    /// Evaluates each upcoming instant up to `until`.
    pub(crate) fn pass_time(&mut self, until: Millis, order: &[usize]) {
        let due = self.upcoming.partition_point(|&instant| instant <= until);
        for instant in self.upcoming.drain(..due).collect::<Vec<_>>() {
            if self.publish(instant, None, order) {
                self.clock = Some(instant);
            }
        }
    }

    /// Returns the stage in each model at `now`, which must not be before any received touchpoint.
    pub(crate) fn stages_at(&self, now: Millis) -> [Option<&'static str>; MODELS.len()] {
        assert!(self.history.iter().all(|touchpoint| touchpoint.at <= now), "no touchpoint is later than now");
        MODELS.each_ref().map(|model| (model.stage)(&self.summary, now))
    }

    pub(crate) fn published_stages(&self) -> [Option<&'static str>; MODELS.len()] {
        self.published.each_ref().map(|published| published.stage)
    }

    /// Returns count, revenue and last time of the valid orders.
    pub(crate) fn orders(&self) -> (u64, Micros, Option<Millis>) {
        (self.summary.order_count() as u64, self.summary.revenue(), self.summary.last_order())
    }

    /// Returns every touchpoint time plus every threshold, each also one millisecond later.
    fn instants_after(&self, now: Millis) -> Vec<Millis> {
        let mut instants: Vec<Millis> = self
            .history
            .iter()
            .flat_map(|touchpoint| THRESHOLDS.iter().map(|threshold| touchpoint.at + threshold))
            .flat_map(|instant| [instant, instant + 1])
            .filter(|&instant| instant > now)
            .collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    /// Publishes the differences at `now`; returns whether there were any.
    fn publish(&mut self, now: Millis, cause: Option<(&Touchpoint, bool)>, order: &[usize]) -> bool {
        let before = self.publications.len();
        for &index in order {
            self.publish_model(index, now, cause);
        }
        self.publications.len() > before
    }

    fn publish_model(&mut self, index: usize, now: Millis, cause: Option<(&Touchpoint, bool)>) {
        let model = &MODELS[index];
        let orders = self.orders();
        let published = &mut self.published[index];
        let mut found = Vec::new();
        let stage = (model.stage)(&self.summary, now);
        if stage != published.stage {
            found.push(stage_move(model, published, stage, cause.map(|(touchpoint, _)| touchpoint), &self.summary));
            published.stage = stage;
            published.since = Some(now);
        }
        for &(name, holds) in model.milestones {
            if holds(&self.summary, now) && published.milestones.insert(name) {
                found.push(blank("milestone", name));
            }
        }
        for &(name, lowest) in model.counters {
            let count = self.summary.order_count();
            let highest = published.counters.entry(name).or_insert(lowest - 1);
            if count > *highest {
                *highest = count;
                found.push(Publication { count: i64::try_from(count).ok(), ..blank("counter", name) });
            }
        }
        for publication in found {
            published.sequence += 1;
            self.publications.push(Publication {
                model: model.name.to_owned(),
                occurred_at: now,
                cause: cause.map(|(touchpoint, _)| (touchpoint.event_id.clone(), touchpoint.type_name.clone())),
                late: cause.is_some_and(|(_, is_late)| is_late),
                sequence: published.sequence,
                orders,
                ..publication
            });
        }
    }
}

/// Returns a publication with only kind and name set.
fn blank(kind: &'static str, name: &str) -> Publication {
    Publication {
        model: String::new(),
        kind,
        name: name.to_owned(),
        from: None,
        to: None,
        skipped: Vec::new(),
        direction: None,
        count: None,
        occurred_at: 0,
        cause: None,
        late: false,
        sequence: 0,
        previous_since: None,
        orders: (0, 0, None),
    }
}

fn stage_move(
    model: &Model,
    published: &Published,
    to: Option<&'static str>,
    cause: Option<&Touchpoint>,
    summary: &Summary,
) -> Publication {
    let described = names::describe(model, published.stage, to, cause, summary);
    Publication {
        from: published.stage.map(str::to_owned),
        to: to.map(str::to_owned),
        skipped: described.skipped.into_iter().map(str::to_owned).collect(),
        direction: Some(described.direction),
        previous_since: published.stage.and(published.since),
        ..blank("stage", described.name)
    }
}

/// All customers of a partition, with the shared stream time.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) customers: BTreeMap<String, Customer>,
    /// Publication order of the models, as indices of [`MODELS`].
    order: Vec<usize>,
    stream_time: Option<Millis>,
    advanced_to: Option<Millis>,
}

impl World {
    /// Creates a world that publishes models in the order of `names`.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let index_of = |name: &str| MODELS.iter().position(|model| model.name == name).expect("a model is known");
        Self { order: names.into_iter().map(index_of).collect(), ..Self::default() }
    }

    /// Creates a world with every model, in the order of the definitions.
    pub(crate) fn with_every_model() -> Self {
        Self::new(MODELS.iter().map(|model| model.name))
    }

    pub(crate) fn receive(&mut self, touchpoint: &Touchpoint) {
        let customer = self.customers.entry(touchpoint.customer_id.clone()).or_insert_with(Customer::new);
        customer.receive(touchpoint, &self.order);
        self.stream_time = self.stream_time.max(Some(touchpoint.at));
    }

    /// Advances every customer to `until`.
    pub(crate) fn pass_time(&mut self, until: Millis) {
        self.advanced_to = self.advanced_to.max(Some(until));
        for customer in self.customers.values_mut() {
            customer.pass_time(until, &self.order);
        }
    }

    /// Advances every customer to the stream time minus `lateness`.
    pub(crate) fn catch_up(&mut self, lateness: Millis) {
        if let Some(stream_time) = self.stream_time {
            self.pass_time(stream_time - lateness);
        }
    }

    /// Returns the instant to which all customers were last advanced.
    pub(crate) fn advanced_to(&self) -> Option<Millis> {
        self.advanced_to
    }
}

#[test]
fn nothing_changes_between_the_evaluated_instants() {
    use super::generator::histories;
    for seed in 1_000..1_040 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::with_every_model();
        for touchpoint in histories(seed, 4).iter().map(|line| Touchpoint::parse(line)) {
            world.receive(&touchpoint);
            let id = touchpoint.customer_id;
            let mut probe = world.customers[&id].clock.expect("a customer that received something has a clock");
            for _ in 0..30 {
                probe += [1, 3_600_000, 86_399_999, 86_400_000 * 20][rng.usize(..4)];
                world.pass_time(probe);
                let customer = &world.customers[&id];
                if customer.history.iter().all(|known| known.at <= probe) {
                    assert_eq!(customer.stages_at(probe), customer.published_stages(), "seed {seed}, {id} at {probe}");
                }
            }
        }
    }
}
