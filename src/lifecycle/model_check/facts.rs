//! Resolves the fact constructors (`count(...)`, `last(...)`, `orders.streak(...)`) to slots of the fact layout.
//!
//! A fact is identified by its canonical text, so that models share facts and edits keep them. The canonical text must
//! not change between releases.

use std::ops::Range;

use super::scope::{Checked, ModelScope};
use crate::lifecycle::condition::{Argument, Binding, ExpressionProblem, codes};
use crate::lifecycle::fact::{FactKind, OrderFact};
use crate::lifecycle::id::{GroupIndex, PropertyIndex, StableId};
use crate::lifecycle::model_draft::ModelDraft;
use crate::lifecycle::suggest::{did_you_mean, nearest, question};
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// A fact that an expression reads, with its slot.
pub(super) struct FactSlot {
    pub(super) slot: Slot,
    pub(super) value_type: Type,
    name: Box<str>,
}

impl FactSlot {
    pub(super) fn binding(self) -> Binding {
        Binding::Slot { slot: self.slot, value_type: self.value_type, name: self.name }
    }
}

/// The constructors, each with an example call.
const CONSTRUCTORS: [(&str, &str); 6] = [
    ("count", "count(group)"),
    ("count_within", "count_within(group, days(30))"),
    ("first", "first(group)"),
    ("last", "last(group)"),
    ("latest", "latest(group, \"property\")"),
    ("sum", "sum(group, \"property\")"),
];
/// The fields of the order ledger, each with an example.
const LEDGER_FIELDS: [(&str, &str); 7] = [
    ("count", "count"),
    ("first", "first"),
    ("last", "last"),
    ("revenue", "revenue"),
    ("streak", "streak(days(180))"),
    ("streak_start", "streak_start(days(180))"),
    ("first_since_last", "first_since_last(group)"),
];

/// Returns the names of the constructors and of the fields of the model's ledger, for suggestions.
pub(super) fn suggestions(draft: &ModelDraft) -> impl Iterator<Item = String> {
    let is_ledger = |text: &str| text.split_whitespace().collect::<String>() == "orders()";
    let ledgers = draft.facts.iter().filter(move |fact| is_ledger(&fact.expression.text));
    let field_names =
        ledgers.flat_map(|ledger| LEDGER_FIELDS.iter().map(|(name, _)| format!("{}.{name}", ledger.name.value)));
    CONSTRUCTORS.iter().map(|(name, _)| (*name).to_owned()).chain(field_names)
}

impl ModelScope<'_> {
    /// Resolves a call to a fact; `None` if the function is not a constructor.
    pub(super) fn fact_call(
        &mut self,
        function: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Option<Checked<FactSlot>> {
        if let Some((ledger, field)) = function.split_once('.') {
            if !self.is_ledger(ledger) {
                return None;
            }
            return Some(self.ledger_call(ledger, field, arguments, span));
        }
        if function == "orders" {
            let problem = ExpressionProblem::new("ledger-value", span, "the order ledger has no value of its own");
            return Some(Err(vec![problem.help("write `orders: orders()` under `facts`, and `orders.count` here")]));
        }
        let &(_, usage) = CONSTRUCTORS.iter().find(|(name, _)| *name == function)?;
        Some(self.constructor(function, usage, arguments, span))
    }

    fn constructor(
        &mut self,
        function: &str,
        usage: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Checked<FactSlot> {
        let expected = if matches!(function, "count" | "first" | "last") { 1 } else { 2 };
        expect_arguments(arguments, expected, usage, &span)?;
        let group = self.group_argument(arguments[0], usage)?;
        let name = self.shared.name(group).to_owned();
        let of = self.shared.canonical(group).to_owned();
        let (kind, value_type, text, canonical) = match function {
            "count" => (FactKind::Count(group), Type::Int, format!("count({name})"), format!("count {of}")),
            "first" => (FactKind::First(group), Type::Timestamp, format!("first({name})"), format!("first {of}")),
            "last" => (FactKind::Last(group), Type::Timestamp, format!("last({name})"), format!("last {of}")),
            "count_within" => {
                let duration = self.duration_argument(arguments[1])?;
                let text = format!("count_within({name}, {})", duration_text(duration));
                (
                    FactKind::CountWithin(group, duration),
                    Type::Int,
                    text,
                    format!("count_within {}ms {of}", duration.as_millis()),
                )
            }
            _ => {
                let (property, value_type, property_name) =
                    self.property_argument(arguments[0], arguments[1], usage)?;
                let text = format!("{function}({name}, \"{property_name}\")");
                let canonical = format!("{function} {property_name}:{} {of}", value_type.name());
                if function == "latest" {
                    (FactKind::Latest(group, property), value_type, text, canonical)
                } else if matches!(value_type, Type::Int | Type::Double) {
                    (FactKind::Sum(group, property), Type::Double, text, canonical)
                } else {
                    let message =
                        format!("property `{property_name}` has type {} and cannot be summed", value_type.name());
                    return Err(vec![ExpressionProblem::new(codes::TYPE_MISMATCH, arguments[1].span(), message)]);
                }
            }
        };
        self.fact_slot(kind, value_type, &text, &canonical, span)
    }

    /// Resolves a path such as `orders.count`; `None` if it does not start with the name of a ledger.
    pub(super) fn ledger_field(&mut self, path: &str, span: Range<usize>) -> Option<Checked<FactSlot>> {
        let (ledger, field) = path.split_once('.')?;
        if !self.is_ledger(ledger) {
            return None;
        }
        let (kind, value_type) = match field {
            "count" => (OrderFact::Count, Type::Int),
            "first" => (OrderFact::First, Type::Timestamp),
            "last" => (OrderFact::Last, Type::Timestamp),
            "revenue" => (OrderFact::Revenue, Type::Double),
            _ => {
                let usage = LEDGER_FIELDS.iter().find(|(name, _)| *name == field).map(|(_, usage)| *usage);
                let problem = unknown_field(ledger, field, &span);
                return Some(Err(vec![match usage {
                    Some(usage) => problem.help(format!("write `{ledger}.{usage}`")),
                    None => problem,
                }]));
            }
        };
        let text = format!("orders.{field}");
        Some(self.fact_slot(FactKind::Orders(kind), value_type, &text, &text, span))
    }

    fn ledger_call(
        &mut self,
        ledger: &str,
        field: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Checked<FactSlot> {
        let usage = format!(
            "{ledger}.{}",
            LEDGER_FIELDS.iter().find(|(name, _)| *name == field).map_or("count", |(_, usage)| usage)
        );
        match field {
            "streak" | "streak_start" => {
                expect_arguments(arguments, 1, &usage, &span)?;
                let gap = self.duration_argument(arguments[0])?;
                let (kind, value_type) = match field {
                    "streak" => (OrderFact::Streak(gap), Type::Int),
                    _ => (OrderFact::StreakStart(gap), Type::Timestamp),
                };
                let text = format!("orders.{field}({})", duration_text(gap));
                let canonical = format!("orders.{field} {}ms", gap.as_millis());
                self.fact_slot(FactKind::Orders(kind), value_type, &text, &canonical, span)
            }
            "first_since_last" => {
                expect_arguments(arguments, 1, &usage, &span)?;
                let group = self.group_argument(arguments[0], &usage)?;
                let text = format!("orders.first_since_last({})", self.shared.name(group));
                let canonical = format!("orders.first_since_last {}", self.shared.canonical(group));
                self.fact_slot(
                    FactKind::Orders(OrderFact::FirstSinceLast(group)),
                    Type::Timestamp,
                    &text,
                    &canonical,
                    span,
                )
            }
            "count" | "first" | "last" | "revenue" => {
                let problem = ExpressionProblem::new(
                    codes::BAD_ARGUMENTS,
                    span,
                    format!("`{ledger}.{field}` takes no arguments"),
                );
                Err(vec![problem.help(format!("write `{usage}`"))])
            }
            _ => Err(vec![unknown_field(ledger, field, &span)]),
        }
    }

    fn fact_slot(
        &mut self,
        kind: FactKind,
        value_type: Type,
        text: &str,
        canonical: &str,
        span: Range<usize>,
    ) -> Checked<FactSlot> {
        match self.shared.layout.intern(kind, text, value_type, StableId::of(canonical)) {
            Some(slot) => Ok(FactSlot { slot, value_type, name: text.into() }),
            None => Err(vec![ExpressionProblem::new(codes::TOO_LARGE, span, "the models read more than 512 facts")]),
        }
    }

    fn group_argument(&mut self, argument: Argument<'_>, usage: &str) -> Checked<GroupIndex> {
        let Some(name) = argument.name() else {
            let problem =
                ExpressionProblem::new(codes::BAD_ARGUMENTS, argument.span(), "expected a touchpoint type or group");
            return Err(vec![problem.help(format!("write `{usage}`"))]);
        };
        self.group(&name, &argument.span())
    }

    fn property_argument(
        &mut self,
        group: Argument<'_>,
        argument: Argument<'_>,
        usage: &str,
    ) -> Checked<(PropertyIndex, Type, String)> {
        let Some(name) = argument.text() else {
            let problem =
                ExpressionProblem::new(codes::BAD_ARGUMENTS, argument.span(), "expected a property name in quotes");
            return Err(vec![problem.help(format!("write `{usage}`"))]);
        };
        let group = group.name().unwrap_or_default();
        let declared =
            self.shared.declarations.group(self.model, &group).map(|group| group.properties).unwrap_or_default();
        let known = if declared.contains(name) { self.shared.property(name) } else { None };
        known.map(|(index, value_type)| (index, value_type, name.to_owned())).ok_or_else(|| {
            let message = format!("no touchpoint type of `{group}` declares the property `{name}`");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, argument.span(), message);
            let help = did_you_mean(name, declared.iter().map(AsRef::as_ref))
                .unwrap_or_else(|| "declare it under `properties` of the group or type".to_owned());
            vec![problem.help(help)]
        })
    }

    fn duration_argument(&mut self, argument: Argument<'_>) -> Checked<Duration> {
        match argument.constant(Type::Duration, self)? {
            OwnedValue::Duration(duration) if duration > Duration::ZERO => Ok(duration),
            _ => {
                let problem = ExpressionProblem::new(
                    codes::BAD_ARGUMENTS,
                    argument.span(),
                    "expected a duration greater than zero",
                );
                Err(vec![problem.help("write `days(30)`")])
            }
        }
    }
}

fn expect_arguments(arguments: &[Argument<'_>], expected: usize, usage: &str, span: &Range<usize>) -> Checked<()> {
    if arguments.len() == expected {
        return Ok(());
    }
    let message =
        format!("expected {expected} argument{}, found {}", if expected == 1 { "" } else { "s" }, arguments.len());
    Err(vec![ExpressionProblem::new(codes::BAD_ARGUMENTS, span.clone(), message).help(format!("write `{usage}`"))])
}

fn unknown_field(ledger: &str, field: &str, span: &Range<usize>) -> ExpressionProblem {
    let problem =
        ExpressionProblem::new(codes::UNKNOWN_NAME, span.clone(), format!("the order ledger has no field `{field}`"));
    let names = LEDGER_FIELDS.map(|(name, _)| name);
    problem.help(
        nearest(field, names).map_or_else(
            || format!("its fields are {}", names.join(", ")),
            |meant| question(&format!("{ledger}.{meant}")),
        ),
    )
}

/// Formats a duration in the largest unit that divides it: `days(180)`, `hours(36)`.
pub(super) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000)];
    match units.iter().find(|(_, unit)| millis % unit == 0) {
        Some((name, unit)) => format!("{name}({})", millis / unit),
        None => format!("milliseconds({millis})"),
    }
}

/// Formats a constant. Equal values have equal texts, which are part of the model hash.
pub(super) fn constant_text(constant: &OwnedValue) -> String {
    match constant {
        OwnedValue::Int(number) => number.to_string(),
        OwnedValue::Double(number) => format!("{number:?}"),
        OwnedValue::Bool(truth) => truth.to_string(),
        OwnedValue::String(text) => format!("{text:?}"),
        OwnedValue::Timestamp(instant) => format!("timestamp {}ms", instant.as_millis()),
        OwnedValue::Duration(duration) => duration_text(*duration),
    }
}
