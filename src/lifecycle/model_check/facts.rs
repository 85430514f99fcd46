//! The fact constructors: what `count(...)`, `last(...)` or `orders.streak(...)` make, and what identifies it.

use std::ops::Range;

use super::scope::{Found, ModelScope};
use crate::lifecycle::condition::{Argument, Constant, ExpressionProblem, Named, codes};
use crate::lifecycle::fact::{FactKind, OrdersReading};
use crate::lifecycle::id::{GroupIndex, PropertyIndex, StableId};
use crate::lifecycle::model_draft::ModelDraft;
use crate::lifecycle::problem::closest;
use crate::lifecycle::time::Duration;
use crate::lifecycle::value::{Slot, Type};

/// A fact that an expression reads.
pub(super) struct Made {
    pub(super) slot: Slot,
    pub(super) value_type: Type,
    name: Box<str>,
}

impl Made {
    pub(super) fn named(self) -> Named {
        Named::Slot { slot: self.slot, value_type: self.value_type, name: self.name }
    }
}

/// The constructors, with the arguments that they take.
const CONSTRUCTORS: [(&str, &str); 6] = [
    ("count", "count(group)"),
    ("count_within", "count_within(group, days(30))"),
    ("first", "first(group)"),
    ("last", "last(group)"),
    ("latest", "latest(group, \"property\")"),
    ("sum", "sum(group, \"property\")"),
];
/// The readings of the ledger, with the arguments that they take.
const READINGS: [(&str, &str); 7] = [
    ("count", "count"),
    ("first", "first"),
    ("last", "last"),
    ("revenue", "revenue"),
    ("streak", "streak(days(180))"),
    ("streak_start", "streak_start(days(180))"),
    ("first_since_last", "first_since_last(group)"),
];

/// What the constructors and the readings of the model's ledger are called.
pub(super) fn suggestions(draft: &ModelDraft) -> impl Iterator<Item = String> {
    let is_ledger = |text: &str| text.split_whitespace().collect::<String>() == "orders()";
    let ledgers = draft.facts.iter().filter(move |fact| is_ledger(&fact.expression.text));
    let readings = ledgers.flat_map(|ledger| READINGS.iter().map(|(name, _)| format!("{}.{name}", ledger.name.value)));
    CONSTRUCTORS.iter().map(|(name, _)| (*name).to_owned()).chain(readings)
}

impl ModelScope<'_> {
    /// The fact that the call makes; `None` when it makes none.
    pub(super) fn make_fact(
        &mut self,
        function: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Option<Found<Made>> {
        if let Some((ledger, reading)) = function.split_once('.') {
            if !self.is_ledger(ledger) {
                return None;
            }
            return Some(self.reading_call(ledger, reading, arguments, span));
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
    ) -> Found<Made> {
        let wanted = if matches!(function, "count" | "first" | "last") { 1 } else { 2 };
        expect_arguments(arguments, wanted, usage, &span)?;
        let group = self.group_argument(arguments[0], usage)?;
        let name = self.shared.name(group).to_owned();
        let of = self.shared.canonical(group).to_owned();
        let (kind, value_type, text, canonical) = match function {
            "count" => (FactKind::Count(group), Type::Int, format!("count({name})"), format!("count {of}")),
            "first" => (FactKind::First(group), Type::Timestamp, format!("first({name})"), format!("first {of}")),
            "last" => (FactKind::Last(group), Type::Timestamp, format!("last({name})"), format!("last {of}")),
            "count_within" => {
                let length = self.length(arguments[1])?;
                let text = format!("count_within({name}, {})", spell_length(length));
                (
                    FactKind::CountWithin(group, length),
                    Type::Int,
                    text,
                    format!("count_within {}ms {of}", length.as_millis()),
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
                        format!("property `{property_name}` is a {} and cannot be added up", value_type.name());
                    return Err(vec![ExpressionProblem::new(codes::TYPE_MISMATCH, arguments[1].span(), message)]);
                }
            }
        };
        self.slot(kind, value_type, &text, &canonical, span)
    }

    /// The reading of the ledger that `path` names; `None` when it names none.
    pub(super) fn ledger_reading(&mut self, path: &str, span: Range<usize>) -> Option<Found<Made>> {
        let (ledger, reading) = path.split_once('.')?;
        if !self.is_ledger(ledger) {
            return None;
        }
        let (kind, value_type) = match reading {
            "count" => (OrdersReading::Count, Type::Int),
            "first" => (OrdersReading::First, Type::Timestamp),
            "last" => (OrdersReading::Last, Type::Timestamp),
            "revenue" => (OrdersReading::Revenue, Type::Double),
            _ => {
                let usage = READINGS.iter().find(|(name, _)| *name == reading).map(|(_, usage)| *usage);
                let problem = unknown_reading(ledger, reading, &span);
                return Some(Err(vec![match usage {
                    Some(usage) => problem.help(format!("write `{ledger}.{usage}`")),
                    None => problem,
                }]));
            }
        };
        let text = format!("orders.{reading}");
        Some(self.slot(FactKind::Orders(kind), value_type, &text, &text, span))
    }

    fn reading_call(
        &mut self,
        ledger: &str,
        reading: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Found<Made> {
        let usage = format!(
            "{ledger}.{}",
            READINGS.iter().find(|(name, _)| *name == reading).map_or("count", |(_, usage)| usage)
        );
        match reading {
            "streak" | "streak_start" => {
                expect_arguments(arguments, 1, &usage, &span)?;
                let gap = self.length(arguments[0])?;
                let (kind, value_type) = match reading {
                    "streak" => (OrdersReading::Streak(gap), Type::Int),
                    _ => (OrdersReading::StreakStart(gap), Type::Timestamp),
                };
                let text = format!("orders.{reading}({})", spell_length(gap));
                let canonical = format!("orders.{reading} {}ms", gap.as_millis());
                self.slot(FactKind::Orders(kind), value_type, &text, &canonical, span)
            }
            "first_since_last" => {
                expect_arguments(arguments, 1, &usage, &span)?;
                let group = self.group_argument(arguments[0], &usage)?;
                let text = format!("orders.first_since_last({})", self.shared.name(group));
                let canonical = format!("orders.first_since_last {}", self.shared.canonical(group));
                self.slot(
                    FactKind::Orders(OrdersReading::FirstSinceLast(group)),
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
                    format!("`{ledger}.{reading}` takes no arguments"),
                );
                Err(vec![problem.help(format!("write `{usage}`"))])
            }
            _ => Err(vec![unknown_reading(ledger, reading, &span)]),
        }
    }

    fn slot(
        &mut self,
        kind: FactKind,
        value_type: Type,
        text: &str,
        canonical: &str,
        span: Range<usize>,
    ) -> Found<Made> {
        match self.shared.layout.slot(kind, text, value_type, StableId::of(canonical)) {
            Some(slot) => Ok(Made { slot, value_type, name: text.into() }),
            None => Err(vec![ExpressionProblem::new(codes::TOO_LARGE, span, "the models read more than 512 facts")]),
        }
    }

    fn group_argument(&mut self, argument: Argument<'_>, usage: &str) -> Found<GroupIndex> {
        let Some(name) = argument.name() else {
            let problem = ExpressionProblem::new(
                codes::BAD_ARGUMENTS,
                argument.span(),
                "a touchpoint type or group belongs here",
            );
            return Err(vec![problem.help(format!("write `{usage}`"))]);
        };
        self.group(&name, &argument.span())
    }

    fn property_argument(
        &mut self,
        group: Argument<'_>,
        argument: Argument<'_>,
        usage: &str,
    ) -> Found<(PropertyIndex, Type, String)> {
        let Some(name) = argument.text() else {
            let problem = ExpressionProblem::new(
                codes::BAD_ARGUMENTS,
                argument.span(),
                "the name of a property belongs here, in quotes",
            );
            return Err(vec![problem.help(format!("write `{usage}`"))]);
        };
        let group = group.name().unwrap_or_default();
        let declared = self.shared.words.group(self.model, &group).map(|word| word.properties).unwrap_or_default();
        let known = if declared.contains(name) { self.shared.property(name) } else { None };
        known.map(|(index, value_type)| (index, value_type, name.to_owned())).ok_or_else(|| {
            let message = format!("no touchpoint of `{group}` declares a property `{name}`");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, argument.span(), message);
            let help = closest(name, declared.iter().map(AsRef::as_ref)).map_or_else(
                || "declare it under `properties` of the group or type".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            vec![problem.help(help)]
        })
    }

    fn length(&mut self, argument: Argument<'_>) -> Found<Duration> {
        match argument.constant(Type::Duration, self)? {
            Constant::Duration(length) if length > Duration::ZERO => Ok(length),
            _ => {
                let problem = ExpressionProblem::new(
                    codes::BAD_ARGUMENTS,
                    argument.span(),
                    "a length of time above zero belongs here",
                );
                Err(vec![problem.help("write `days(30)`")])
            }
        }
    }
}

fn expect_arguments(arguments: &[Argument<'_>], wanted: usize, usage: &str, span: &Range<usize>) -> Found<()> {
    if arguments.len() == wanted {
        return Ok(());
    }
    let message = format!("{wanted} argument{} wanted, {} given", if wanted == 1 { "" } else { "s" }, arguments.len());
    Err(vec![ExpressionProblem::new(codes::BAD_ARGUMENTS, span.clone(), message).help(format!("write `{usage}`"))])
}

fn unknown_reading(ledger: &str, reading: &str, span: &Range<usize>) -> ExpressionProblem {
    let problem = ExpressionProblem::new(
        codes::UNKNOWN_NAME,
        span.clone(),
        format!("the order ledger has no reading `{reading}`"),
    );
    let names = READINGS.map(|(name, _)| name);
    problem.help(closest(reading, names).map_or_else(
        || format!("its readings are {}", names.join(", ")),
        |meant| format!("did you mean `{ledger}.{meant}`?"),
    ))
}

/// `days(180)`, `hours(36)`: the largest unit that divides it.
pub(super) fn spell_length(length: Duration) -> String {
    let millis = length.as_millis();
    let units = [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000)];
    match units.iter().find(|(_, unit)| millis % unit == 0) {
        Some((name, unit)) => format!("{name}({})", millis / unit),
        None => format!("milliseconds({millis})"),
    }
}

/// A constant as text, the same for the same value.
pub(super) fn spell(constant: &Constant) -> String {
    match constant {
        Constant::Int(number) => number.to_string(),
        Constant::Double(number) => format!("{number:?}"),
        Constant::Bool(truth) => truth.to_string(),
        Constant::String(text) => format!("{text:?}"),
        Constant::Timestamp(instant) => format!("timestamp {}ms", instant.as_millis()),
        Constant::Duration(length) => spell_length(*length),
    }
}
