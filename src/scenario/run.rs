//! Runs a scenario over a partition of its own and tells where it went another way than expected.

use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::touchpoint::FactOptions;
use crate::lifecycle::transition::{Change, Transition};
use crate::partition::{CustomerView, Effects, Input, Partition};
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition_text::{change, instant, reason, stage_name};

use super::act::Look;
use super::coverage::Coverage;
use super::expectation::Expectation;
use super::file::{Act, Scenario, Step};

/// How many wake-ups are worked off at once.
const WAKE_UPS_MAX: usize = 1_000;

/// A line of a scenario that went another way than expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The line, from 1.
    pub line: usize,
    /// What stands there, up to `->`.
    pub step: Box<str>,
    /// In which ways.
    pub differences: Vec<Difference>,
}

/// One way in which a line went another way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// It was expected, and was not published.
    Missing {
        /// As it stands in the file.
        expected: String,
    },
    /// It was published, and nobody expected it.
    Unexpected {
        /// The instant, who and what, in the words of a scenario.
        got: String,
        /// Cause, condition, and the values that it read.
        reason: Vec<String>,
    },
    /// All that was expected was published, in another order.
    Disordered {
        /// In the order in which it was published.
        got: Vec<String>,
    },
    /// Something that was looked at is otherwise.
    Otherwise {
        /// As it stands in the file.
        expected: String,
        /// What is so.
        got: String,
    },
}

/// Runs `scenario`; what was published as expected is noted in `coverage`.
#[must_use]
pub fn run(
    scenario: &Scenario,
    models: &Arc<ModelSet>,
    options: &FactOptions,
    coverage: &mut Coverage,
) -> Vec<Failure> {
    let mut world = World {
        models,
        decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: usize::MAX }),
        partition: Partition::new(Arc::clone(models), options.clone()),
        effects: Effects::default(),
    };
    let mut failures = Vec::new();
    for step in &scenario.steps {
        let differences = match &step.act {
            Act::Look(looks) => world.look(&step.customer, looks),
            Act::Nothing => world.publish(step, None, coverage),
            Act::Record(record) => world.publish(step, Some(record), coverage),
        };
        if !differences.is_empty() {
            failures.push(Failure { line: step.line, step: step.text.clone(), differences });
        }
    }
    failures
}

struct World<'a> {
    models: &'a Arc<ModelSet>,
    decoder: TouchpointDecoder,
    partition: Partition,
    effects: Effects,
}

impl World<'_> {
    /// Lets time pass and the touchpoint arrive, and compares what was published with what was expected.
    fn publish(&mut self, step: &Step, record: Option<&str>, coverage: &mut Coverage) -> Vec<Difference> {
        let passed = Input::TimePassed { until: step.now, wake_ups_max: WAKE_UPS_MAX };
        while self.partition.apply(passed, &mut self.effects) {}
        if let Some(record) = record {
            let mut scratch = Scratch::default();
            let touchpoint =
                self.decoder.decode(record.as_bytes(), &mut scratch).expect("records are decoded when a file is read");
            self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
        }
        let published = std::mem::take(&mut self.effects.transitions);
        // Customers can be looked at once they are committed.
        drop(self.partition.write_batches(0));
        self.partition.commit();
        self.compare(&step.expected, &published, coverage)
    }

    fn compare(&self, expected: &[Expectation], published: &[Transition], coverage: &mut Coverage) -> Vec<Difference> {
        let mut left: Vec<usize> = (0..published.len()).collect();
        let mut order = Vec::new();
        let mut differences = Vec::new();
        for expectation in expected {
            if let Some(place) = left.iter().position(|&index| expectation.fits(&published[index])) {
                let index = left.remove(place);
                coverage.note(self.models, &published[index]);
                order.push(index);
            } else {
                differences.push(Difference::Missing { expected: expectation.text.to_string() });
            }
        }
        differences.extend(left.into_iter().map(|index| {
            let transition = &published[index];
            Difference::Unexpected { got: self.told(transition), reason: reason(transition) }
        }));
        if differences.is_empty() && !is_in_order(&order, published) {
            let got = published.iter().map(|transition| self.told(transition)).collect();
            differences.push(Difference::Disordered { got });
        }
        differences
    }

    fn told(&self, transition: &Transition) -> String {
        let model = self.models.model(transition.model);
        let what = change(model, transition);
        let what = if self.models.models.len() > 1 { format!("{}: {what}", model.name) } else { what };
        format!("{}  {}: {what}", instant(transition.occurred_at), transition.customer_id)
    }

    fn look(&self, customer: &str, looks: &[(Box<str>, Look)]) -> Vec<Difference> {
        let Some(view) = self.partition.customer(customer) else {
            let got = format!("nobody called {customer} has done anything");
            return vec![Difference::Otherwise { expected: "a customer".to_owned(), got }];
        };
        let otherwise = |(expected, look): &(Box<str>, Look)| {
            let got = self.otherwise(look, &view)?;
            Some(Difference::Otherwise { expected: expected.to_string(), got })
        };
        looks.iter().filter_map(otherwise).collect()
    }

    /// What is so in place of `look`; `None` when it is as it should be.
    fn otherwise(&self, look: &Look, view: &CustomerView) -> Option<String> {
        let of = |model: crate::lifecycle::id::ModelIndex| &view.models[usize::from(model.0)];
        let (is_so, got) = match look {
            Look::Stage { model, stage } => {
                let found = of(*model).stage;
                let name = stage_name(self.models.model(*model), found);
                (found == *stage, if found.is_some() { format!("stage {name}") } else { name.to_owned() })
            }
            Look::Milestone { model, index, is_reached } => {
                let found = of(*model).milestones.contains(index);
                (found == *is_reached, if found { "it was reached" } else { "it was not reached" }.to_owned())
            }
            Look::Signal { model, index, is_on } => {
                let found = of(*model).signals.contains(index);
                (found == *is_on, if found { "it is on" } else { "it is off" }.to_owned())
            }
            Look::Orders(count) => (view.orders.count == *count, format!("{} orders", view.orders.count)),
            Look::Revenue(amount) => (view.orders.revenue == *amount, format!("revenue {}", view.orders.revenue)),
            Look::WakeUp(instant_expected) => (
                view.next_wake_up == *instant_expected,
                view.next_wake_up.map_or("no wake-up".to_owned(), |next| format!("next wake-up {}", instant(next))),
            ),
        };
        (!is_so).then_some(got)
    }
}

/// Whether the moves of each customer in each model were expected in the order in which they came.
fn is_in_order(order: &[usize], published: &[Transition]) -> bool {
    let moves: Vec<usize> =
        order.iter().copied().filter(|&index| matches!(published[index].change, Change::Stage { .. })).collect();
    let is_same_story = |a: usize, b: usize| {
        published[a].customer_id == published[b].customer_id && published[a].model == published[b].model
    };
    moves.iter().enumerate().all(|(place, &earlier)| {
        moves[place + 1..].iter().all(|&later| earlier < later || !is_same_story(earlier, later))
    })
}
