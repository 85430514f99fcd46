//! How a history becomes publications: touchpoint by touchpoint, time catching up before each.

use std::collections::{BTreeMap, BTreeSet};

use super::models::{MODELS, Model};
use super::names;
use super::picture::{Picture, THRESHOLDS};
use super::touchpoint::{Micros, Millis, Touchpoint};

/// One published change.
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
    /// The how-manieth publication of this customer and model.
    pub(crate) sequence: u64,
    /// Since when the customer had been in `from`.
    pub(crate) previous_since: Option<Millis>,
    /// Count, revenue and time of the last of the valid orders.
    pub(crate) orders: (u64, Micros, Option<Millis>),
}

/// What was published last of a customer in one model.
#[derive(Clone, Default, Debug)]
struct Published {
    stage: Option<&'static str>,
    since: Option<Millis>,
    milestones: BTreeSet<&'static str>,
    counters: BTreeMap<&'static str, usize>,
    sequence: u64,
}

/// A customer: everything received, and what was published of it.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) history: Vec<Touchpoint>,
    picture: Picture,
    pub(crate) clock: Option<Millis>,
    /// The instants ahead at which time alone may change something, and then some; ascending.
    upcoming: Vec<Millis>,
    published: [Published; MODELS.len()],
    pub(crate) publications: Vec<Publication>,
}

impl Customer {
    pub(crate) fn new() -> Self {
        Self {
            history: Vec::new(),
            picture: Picture::of(&[]),
            clock: None,
            upcoming: Vec::new(),
            published: std::array::from_fn(|_| Published::default()),
            publications: Vec::new(),
        }
    }

    /// Receives a touchpoint; `order` is in which order models are published.
    pub(crate) fn receive(&mut self, touchpoint: &Touchpoint, order: &[usize]) {
        if self.history.iter().any(|known| known.event_id == touchpoint.event_id) {
            return;
        }
        self.pass_time(touchpoint.at, order);
        let is_late = self.clock.is_some_and(|clock| touchpoint.at < clock);
        let now = self.clock.map_or(touchpoint.at, |clock| clock.max(touchpoint.at));
        self.clock = Some(now);
        self.history.push(touchpoint.clone());
        self.picture = Picture::of(&self.history);
        self.publish(now, Some((touchpoint, is_late)), order);
        self.upcoming = self.instants_after(now);
    }

    /// Works off the instants up to `until`, each on its own.
    pub(crate) fn pass_time(&mut self, until: Millis, order: &[usize]) {
        let due = self.upcoming.partition_point(|&instant| instant <= until);
        for instant in self.upcoming.drain(..due).collect::<Vec<_>>() {
            if self.publish(instant, None, order) {
                self.clock = Some(instant);
            }
        }
    }

    /// The stage in each model at an instant that nothing received is later than.
    pub(crate) fn stages_at(&self, now: Millis) -> [Option<&'static str>; MODELS.len()] {
        assert!(self.history.iter().all(|touchpoint| touchpoint.at <= now), "a history never reaches beyond now");
        MODELS.each_ref().map(|model| (model.stage)(&self.picture, now))
    }

    pub(crate) fn published_stages(&self) -> [Option<&'static str>; MODELS.len()] {
        self.published.each_ref().map(|published| published.stage)
    }

    /// Count, revenue and time of the last of the valid orders.
    pub(crate) fn orders(&self) -> (u64, Micros, Option<Millis>) {
        (self.picture.order_count() as u64, self.picture.revenue(), self.picture.last_order())
    }

    /// Every touchpoint's time, every threshold past it, and a millisecond more.
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

    /// Publishes what differs at `now`; says whether anything did.
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
        let stage = (model.stage)(&self.picture, now);
        if stage != published.stage {
            found.push(stage_move(model, published, stage, cause.map(|(touchpoint, _)| touchpoint), &self.picture));
            published.stage = stage;
            published.since = Some(now);
        }
        for &(name, holds) in model.milestones {
            if holds(&self.picture, now) && published.milestones.insert(name) {
                found.push(blank("milestone", name));
            }
        }
        for &(name, least) in model.counters {
            let count = self.picture.order_count();
            let highest = published.counters.entry(name).or_insert(least - 1);
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

/// A publication of which only kind and name are known yet.
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
    picture: &Picture,
) -> Publication {
    let described = names::describe(model, published.stage, to, cause, picture);
    Publication {
        from: published.stage.map(str::to_owned),
        to: to.map(str::to_owned),
        skipped: described.skipped.into_iter().map(str::to_owned).collect(),
        direction: Some(described.direction),
        previous_since: published.stage.and(published.since),
        ..blank("stage", described.name)
    }
}

/// Many customers, and the event time that they have reached together.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) customers: BTreeMap<String, Customer>,
    /// In which order models are published, as indices of [`MODELS`].
    order: Vec<usize>,
    reached: Option<Millis>,
    passed: Option<Millis>,
}

impl World {
    /// A world that publishes models in the order of `names`.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let place = |name: &str| MODELS.iter().position(|model| model.name == name).expect("a model is known");
        Self { order: names.into_iter().map(place).collect(), ..Self::default() }
    }

    /// Every model, in the order of the definitions.
    pub(crate) fn with_every_model() -> Self {
        Self::new(MODELS.iter().map(|model| model.name))
    }

    pub(crate) fn receive(&mut self, touchpoint: &Touchpoint) {
        let customer = self.customers.entry(touchpoint.customer_id.clone()).or_insert_with(Customer::new);
        customer.receive(touchpoint, &self.order);
        self.reached = self.reached.max(Some(touchpoint.at));
    }

    /// Moves every customer on to `until`.
    pub(crate) fn pass_time(&mut self, until: Millis) {
        self.passed = self.passed.max(Some(until));
        for customer in self.customers.values_mut() {
            customer.pass_time(until, &self.order);
        }
    }

    /// Moves every customer on to `lateness` before the event time reached.
    pub(crate) fn catch_up(&mut self, lateness: Millis) {
        if let Some(reached) = self.reached {
            self.pass_time(reached - lateness);
        }
    }

    /// Up to when time has passed for customers that were silent.
    pub(crate) fn passed(&self) -> Option<Millis> {
        self.passed
    }
}

#[test]
fn nothing_changes_between_the_instants_that_are_tried() {
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
