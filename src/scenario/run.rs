//! Runs a scenario on its own partition and reports every difference between expected and published transitions.

use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::touchpoint::FactOptions;
use crate::lifecycle::transition::{Change, Transition};
use crate::partition::{CustomerView, Effects, Input, Partition};
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition_text::{describe_change, describe_reason, describe_timestamp, stage_name};

use super::assertion::Assertion;
use super::coverage::Coverage;
use super::expectation::Expectation;
use super::file::{Scenario, Step, StepAction};

/// The limit of wake-ups that one input fires.
const WAKE_UPS_MAX: usize = 1_000;

/// A line of a scenario whose outcome differs from its expectations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The line number, starting at 1.
    pub line: usize,
    /// The text of the line up to `->`.
    pub step: Box<str>,
    /// The differences, at least one.
    pub differences: Vec<Difference>,
}

/// One difference between the expected and the actual outcome of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// An expected transition was not published.
    Missing {
        /// The text in the file.
        expected: String,
    },
    /// A transition was published that the line does not expect.
    Unexpected {
        /// Instant, customer and change, in the syntax of a scenario.
        got: String,
        /// The cause, the condition, and the values that it read.
        reason: Vec<String>,
    },
    /// All expected transitions were published, in a different order.
    OutOfOrder {
        /// The transitions in the order of publication.
        got: Vec<String>,
    },
    /// An assertion does not hold.
    Mismatch {
        /// The text in the file.
        expected: String,
        /// The actual value.
        got: String,
    },
}

/// Runs `scenario`. Adds the transitions that were expected and published to `coverage`.
#[must_use]
pub fn run(
    scenario: &Scenario,
    models: &Arc<ModelSet>,
    options: &FactOptions,
    coverage: &mut Coverage,
) -> Vec<Failure> {
    let mut run = Run {
        models,
        decoder: TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: usize::MAX }),
        partition: Partition::new(Arc::clone(models), options.clone()),
        effects: Effects::default(),
    };
    let mut failures = Vec::new();
    for step in &scenario.steps {
        let differences = match &step.action {
            StepAction::Assert(assertions) => run.check(&step.customer, assertions),
            StepAction::Wait => run.execute(step, None, coverage),
            StepAction::Touchpoint(record) => run.execute(step, Some(record), coverage),
        };
        if !differences.is_empty() {
            failures.push(Failure { line: step.line, step: step.text.clone(), differences });
        }
    }
    failures
}

struct Run<'a> {
    models: &'a Arc<ModelSet>,
    decoder: TouchpointDecoder,
    partition: Partition,
    effects: Effects,
}

impl Run<'_> {
    /// Advances time to that of the step, applies its touchpoint, and compares the transitions with the expectations.
    fn execute(&mut self, step: &Step, record: Option<&str>, coverage: &mut Coverage) -> Vec<Difference> {
        let passed = Input::TimePassed { until: step.now, wake_ups_max: WAKE_UPS_MAX };
        while self.partition.apply(passed, &mut self.effects) {}
        if let Some(record) = record {
            let mut scratch = Scratch::default();
            let touchpoint =
                self.decoder.decode(record.as_bytes(), &mut scratch).expect("records are decoded when a file is read");
            self.partition.apply(Input::Touchpoint(&touchpoint), &mut self.effects);
        }
        let published = std::mem::take(&mut self.effects.transitions);
        // Assertions read committed customers only.
        drop(self.partition.write_batches(0));
        self.partition.commit();
        self.compare(&step.expected, &published, coverage)
    }

    fn compare(&self, expected: &[Expectation], published: &[Transition], coverage: &mut Coverage) -> Vec<Difference> {
        let mut unmatched: Vec<usize> = (0..published.len()).collect();
        let mut matched = Vec::new();
        let mut differences = Vec::new();
        for expectation in expected {
            if let Some(position) = unmatched.iter().position(|&index| expectation.is_met_by(&published[index])) {
                let index = unmatched.remove(position);
                coverage.record(self.models, &published[index]);
                matched.push(index);
            } else {
                differences.push(Difference::Missing { expected: expectation.text.to_string() });
            }
        }
        differences.extend(unmatched.into_iter().map(|index| {
            let transition = &published[index];
            Difference::Unexpected { got: self.describe(transition), reason: describe_reason(transition) }
        }));
        if differences.is_empty() && !is_in_order(&matched, published) {
            let got = published.iter().map(|transition| self.describe(transition)).collect();
            differences.push(Difference::OutOfOrder { got });
        }
        differences
    }

    fn describe(&self, transition: &Transition) -> String {
        let model = self.models.model(transition.model);
        let what = describe_change(model, transition);
        let what = if self.models.models.len() > 1 { format!("{}: {what}", model.name) } else { what };
        format!("{}  {}: {what}", describe_timestamp(transition.occurred_at), transition.customer_id)
    }

    fn check(&self, customer: &str, assertions: &[(Box<str>, Assertion)]) -> Vec<Difference> {
        let Some(view) = self.partition.customer(customer) else {
            let got = format!("no touchpoint of {customer} so far");
            return vec![Difference::Mismatch { expected: "a customer".to_owned(), got }];
        };
        let mismatch = |(expected, assertion): &(Box<str>, Assertion)| {
            let got = self.mismatch(assertion, &view)?;
            Some(Difference::Mismatch { expected: expected.to_string(), got })
        };
        assertions.iter().filter_map(mismatch).collect()
    }

    /// Returns the actual value if `assertion` does not hold.
    fn mismatch(&self, assertion: &Assertion, view: &CustomerView) -> Option<String> {
        let of = |model: crate::lifecycle::id::ModelIndex| &view.models[usize::from(model.0)];
        let (holds, got) = match assertion {
            Assertion::Stage { model, stage } => {
                let found = of(*model).stage;
                let name = stage_name(self.models.model(*model), found);
                (found == *stage, if found.is_some() { format!("stage {name}") } else { name.to_owned() })
            }
            Assertion::Milestone { model, index, is_reached } => {
                let found = of(*model).milestones.contains(index);
                (found == *is_reached, if found { "it was reached" } else { "it was not reached" }.to_owned())
            }
            Assertion::Signal { model, index, is_on } => {
                let found = of(*model).signals.contains(index);
                (found == *is_on, if found { "it is on" } else { "it is off" }.to_owned())
            }
            Assertion::Orders(count) => (view.orders.count == *count, format!("{} orders", view.orders.count)),
            Assertion::Revenue(amount) => (view.orders.revenue == *amount, format!("revenue {}", view.orders.revenue)),
            Assertion::WakeUp(instant_expected) => (
                view.next_wake_up == *instant_expected,
                view.next_wake_up
                    .map_or("no wake-up".to_owned(), |next| format!("next wake-up {}", describe_timestamp(next))),
            ),
        };
        (!holds).then_some(got)
    }
}

/// Whether the moves of each customer in each model were expected in the order of their publication.
fn is_in_order(order: &[usize], published: &[Transition]) -> bool {
    let moves: Vec<usize> =
        order.iter().copied().filter(|&index| matches!(published[index].change, Change::Stage { .. })).collect();
    let is_same_customer_and_model = |a: usize, b: usize| {
        published[a].customer_id == published[b].customer_id && published[a].model == published[b].model
    };
    moves.iter().enumerate().all(|(position, &earlier)| {
        moves[position + 1..].iter().all(|&later| earlier < later || !is_same_customer_and_model(earlier, later))
    })
}
