//! Checks that values change only at their horizons: compares random conditions with a naive evaluation at every
//! millisecond of a time window.

use std::fmt;
use std::ops::Range;

use super::super::{Argument, Binding, ExpressionProblem, Scope, compile};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot, Type, Value};

/// The time window, in milliseconds. It includes all facts with a margin.
const WINDOW: Range<i64> = -40..100;

/// A customer whose facts are all within a few milliseconds.
#[derive(Clone, Debug)]
struct Customer {
    /// The facts `a`, `b`, `c`: timestamps that may be absent.
    times: [Option<i64>; 3],
    /// The fact `length`, a duration.
    length: Option<i64>,
    /// Times of past events. The fact `recent` counts the events less than `window` milliseconds old, and the fact
    /// `started` is the latest of these. Both facts change with time alone.
    recent: Vec<i64>,
    window: i64,
    /// The fact `flag`.
    flag: Option<bool>,
}

impl Customer {
    fn random(random: &mut fastrand::Rng) -> Self {
        let time = |random: &mut fastrand::Rng| (random.u8(..6) > 0).then(|| random.i64(0..40));
        Self {
            times: [time(random), time(random), time(random)],
            length: (random.u8(..6) > 0).then(|| random.i64(-10..20)),
            recent: (0..random.usize(..4)).map(|_| random.i64(0..40)).collect(),
            window: random.i64(1..20),
            flag: [None, Some(false), Some(true)][random.usize(..3)],
        }
    }

    fn recent(&self, now: i64) -> impl Iterator<Item = i64> {
        self.recent.iter().copied().filter(move |at| *at <= now && now < at + self.window)
    }
}

const NAMES: [(&str, Type); 7] = [
    ("a", Type::Timestamp),
    ("b", Type::Timestamp),
    ("c", Type::Timestamp),
    ("length", Type::Duration),
    ("recent", Type::Int),
    ("started", Type::Timestamp),
    ("flag", Type::Bool),
];

struct Names;

impl Scope for Names {
    fn name(&mut self, path: &str, _span: Range<usize>) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        let index = NAMES.iter().position(|(name, _)| *name == path)?;
        let slot = Slot(u16::try_from(index).expect("there are seven names"));
        Some(Ok(Binding::Slot { slot, value_type: NAMES[index].1, name: path.into() }))
    }

    fn call(
        &mut self,
        _function: &str,
        _arguments: &[Argument<'_>],
        _span: Range<usize>,
    ) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Inputs for Customer {
    fn read(&self, slot: Slot, now: Timestamp, horizon: &mut Horizon) -> Value<'_> {
        let instant = |millis: i64| Value::Timestamp(Timestamp::from_millis(millis));
        let at = now.as_millis();
        if slot.0 == 4 || slot.0 == 5 {
            for change in self.recent.iter().flat_map(|time| [*time, time + self.window]).filter(|change| *change > at)
            {
                horizon.lower_to(Timestamp::from_millis(change));
            }
        }
        match slot.0 {
            3 => self.length.map_or(Value::Absent, |millis| Value::Duration(Duration::from_millis(millis))),
            4 => Value::Int(i64::try_from(self.recent(at).count()).expect("the count is small")),
            5 => self.recent(at).max().map_or(Value::Absent, instant),
            6 => self.flag.map_or(Value::Absent, Value::Bool),
            time => self.times[usize::from(time)].map_or(Value::Absent, instant),
        }
    }
}

/// An expression for a timestamp or a duration.
enum TimeExpression {
    Now,
    Fact(usize),
    Started,
    Length,
    Constant(i64),
    Sum(Box<TimeExpression>, Box<TimeExpression>),
    Difference(Box<TimeExpression>, Box<TimeExpression>),
    Negation(Box<TimeExpression>),
    Product(Box<TimeExpression>, i64),
    Least(Box<TimeExpression>, Box<TimeExpression>),
    Greatest(Box<TimeExpression>, Box<TimeExpression>),
    Conditional(Box<BoolExpression>, Box<TimeExpression>, Box<TimeExpression>),
}

/// An expression for a bool.
enum BoolExpression {
    Relation(&'static str, TimeExpression, TimeExpression),
    Recent(&'static str, i64),
    Flag,
    Has(TimeExpression),
    Not(Box<BoolExpression>),
    And(Vec<BoolExpression>),
    Or(Vec<BoolExpression>),
    Conditional(Box<BoolExpression>, Box<BoolExpression>, Box<BoolExpression>),
    Equal(Box<BoolExpression>, Box<BoolExpression>),
}

const OPERATORS: [&str; 6] = ["<", "<=", ">", ">=", "==", "!="];

fn compare(operator: &str, left: i64, right: i64) -> bool {
    match operator {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "==" => left == right,
        _ => left != right,
    }
}

impl TimeExpression {
    /// Generates a timestamp expression, which may contain `now` if `with_now` is true.
    fn instant(random: &mut fastrand::Rng, depth: u32, with_now: bool) -> Self {
        let without_now = |random: &mut fastrand::Rng| Box::new(Self::instant(random, depth.saturating_sub(1), false));
        match random.u8(..if depth == 0 { 5 } else { 11 }) {
            0 | 1 if with_now => Self::Now,
            0..=3 => Self::Fact(random.usize(..3)),
            4 => Self::Started,
            5 | 6 => Self::Sum(
                Box::new(Self::instant(random, depth - 1, with_now)),
                Box::new(Self::length(random, depth - 1, with_now)),
            ),
            7 => Self::Difference(
                Box::new(Self::instant(random, depth - 1, with_now)),
                Box::new(Self::length(random, depth - 1, with_now)),
            ),
            8 => Self::Least(without_now(random), without_now(random)),
            9 => Self::Greatest(without_now(random), without_now(random)),
            _ => Self::Conditional(
                Box::new(BoolExpression::random(random, depth - 1)),
                without_now(random),
                without_now(random),
            ),
        }
    }

    /// Generates a duration expression.
    fn length(random: &mut fastrand::Rng, depth: u32, with_now: bool) -> Self {
        let operand = |random: &mut fastrand::Rng| Box::new(Self::length(random, depth.saturating_sub(1), with_now));
        match random.u8(..if depth == 0 { 3 } else { 9 }) {
            0 | 1 => Self::Constant(random.i64(0..20)),
            2 => Self::Length,
            3..=5 => Self::Difference(
                Box::new(Self::instant(random, depth - 1, with_now)),
                Box::new(Self::instant(random, depth - 1, with_now)),
            ),
            6 => Self::Sum(operand(random), operand(random)),
            7 => Self::Negation(operand(random)),
            _ => Self::Product(operand(random), random.i64(-3..4)),
        }
    }

    fn at(&self, customer: &Customer, now: i64) -> Option<i64> {
        let both = |left: &Self, right: &Self| (left.at(customer, now), right.at(customer, now));
        match self {
            Self::Now => Some(now),
            Self::Fact(index) => customer.times[*index],
            Self::Started => customer.recent(now).max(),
            Self::Length => customer.length,
            Self::Constant(millis) => Some(*millis),
            Self::Sum(left, right) => Some(left.at(customer, now)? + right.at(customer, now)?),
            Self::Difference(left, right) => Some(left.at(customer, now)? - right.at(customer, now)?),
            Self::Negation(of) => of.at(customer, now).map(|value| -value),
            Self::Product(of, factor) => of.at(customer, now).map(|value| value * factor),
            Self::Least(left, right) => match both(left, right) {
                (Some(left), Some(right)) => Some(left.min(right)),
                (left, right) => left.or(right),
            },
            Self::Greatest(left, right) => match both(left, right) {
                (Some(left), Some(right)) => Some(left.max(right)),
                (left, right) => left.or(right),
            },
            Self::Conditional(condition, then, otherwise) => {
                if condition.at(customer, now) { then } else { otherwise }.at(customer, now)
            }
        }
    }
}

impl BoolExpression {
    fn random(random: &mut fastrand::Rng, depth: u32) -> Self {
        let operand = |random: &mut fastrand::Rng| Box::new(Self::random(random, depth.saturating_sub(1)));
        let operands = |random: &mut fastrand::Rng| {
            (0..random.usize(2..4)).map(|_| Self::random(random, depth.saturating_sub(1))).collect()
        };
        match random.u8(..if depth == 0 { 8 } else { 16 }) {
            0..=2 => Self::comparison(random, depth.min(2), true),
            3 | 4 => Self::comparison(random, depth.min(2), false),
            5 => Self::Recent(OPERATORS[random.usize(..6)], random.i64(0..3)),
            6 => Self::Flag,
            7 => Self::Has(TimeExpression::instant(random, 0, false)),
            8 | 9 => Self::Not(operand(random)),
            10 | 11 => Self::And(operands(random)),
            12 | 13 => Self::Or(operands(random)),
            14 => Self::Conditional(operand(random), operand(random), operand(random)),
            _ => Self::Equal(operand(random), operand(random)),
        }
    }

    fn comparison(random: &mut fastrand::Rng, depth: u32, of_instants: bool) -> Self {
        let operator = OPERATORS[random.usize(..6)];
        let side = |random: &mut fastrand::Rng| {
            if of_instants {
                TimeExpression::instant(random, depth, true)
            } else {
                TimeExpression::length(random, depth + 1, true)
            }
        };
        Self::Relation(operator, side(random), side(random))
    }

    fn at(&self, customer: &Customer, now: i64) -> bool {
        match self {
            Self::Relation(operator, left, right) => match (left.at(customer, now), right.at(customer, now)) {
                (Some(left), Some(right)) => compare(operator, left, right),
                _ => false,
            },
            Self::Recent(operator, count) => {
                compare(operator, i64::try_from(customer.recent(now).count()).expect("the count is small"), *count)
            }
            Self::Flag => customer.flag == Some(true),
            Self::Has(of) => of.at(customer, now).is_some(),
            Self::Not(of) => !of.at(customer, now),
            Self::And(parts) => parts.iter().all(|part| part.at(customer, now)),
            Self::Or(parts) => parts.iter().any(|part| part.at(customer, now)),
            Self::Conditional(condition, then, otherwise) => {
                if condition.at(customer, now) { then } else { otherwise }.at(customer, now)
            }
            Self::Equal(left, right) => left.at(customer, now) == right.at(customer, now),
        }
    }
}

impl fmt::Display for TimeExpression {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => write!(to, "now"),
            Self::Fact(index) => write!(to, "{}", NAMES[*index].0),
            Self::Started => write!(to, "started"),
            Self::Length => write!(to, "length"),
            Self::Constant(millis) => write!(to, "duration(\"{millis}ms\")"),
            Self::Sum(left, right) => write!(to, "({left} + {right})"),
            Self::Difference(left, right) => write!(to, "({left} - {right})"),
            Self::Negation(of) => write!(to, "-({of})"),
            Self::Product(of, factor) => write!(to, "({of} * {factor})"),
            Self::Least(left, right) => write!(to, "min({left}, {right})"),
            Self::Greatest(left, right) => write!(to, "max({left}, {right})"),
            Self::Conditional(condition, then, otherwise) => write!(to, "({condition} ? {then} : {otherwise})"),
        }
    }
}

impl fmt::Display for BoolExpression {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined =
            |parts: &[Self], operator: &str| parts.iter().map(Self::to_string).collect::<Vec<_>>().join(operator);
        match self {
            Self::Relation(operator, left, right) => write!(to, "{left} {operator} {right}"),
            Self::Recent(operator, count) => write!(to, "recent {operator} {count}"),
            // A bare fact may be absent; `!!flag` is always true or false.
            Self::Flag => write!(to, "!!flag"),
            Self::Has(of) => write!(to, "has({of})"),
            Self::Not(of) => write!(to, "!({of})"),
            Self::And(parts) => write!(to, "({})", joined(parts, " && ")),
            Self::Or(parts) => write!(to, "({})", joined(parts, " || ")),
            Self::Conditional(condition, then, otherwise) => write!(to, "({condition} ? {then} : {otherwise})"),
            Self::Equal(left, right) => write!(to, "(({left}) == ({right}))"),
        }
    }
}

/// Evaluates `text` at every millisecond, and compares values with the naive ones and changes with the horizons.
/// Returns the number of horizons and the number of changes.
fn check(text: &str, customer: &Customer, naive: impl Fn(i64) -> bool) -> (usize, usize) {
    let program =
        compile(text, Some(Type::Bool), &mut Names).unwrap_or_else(|found| panic!("{text}: {found:?}")).program;
    let mut expected_change: Option<i64> = None;
    let mut before = None;
    let (mut horizons, mut changes) = (0, 0);
    for now in WINDOW {
        let mut horizon = Horizon::NEVER;
        let holds = program.evaluate(customer, Timestamp::from_millis(now), &mut horizon).is_true();
        let until = horizon.instant().map(Timestamp::as_millis);
        assert_eq!(holds, naive(now), "{text} at {now} for {customer:?}");
        assert!(until.is_none_or(|until| until > now), "{text} at {now}: horizon {until:?} for {customer:?}");
        let is_due = expected_change == Some(now);
        if before.is_some_and(|before| before != holds) {
            assert!(is_due, "{text} changes at {now}, expected at {expected_change:?} for {customer:?}");
            changes += 1;
        }
        if is_due || before.is_none() {
            // A horizon stays valid until it is due.
            expected_change = until;
            horizons += usize::from(until.is_some_and(|until| WINDOW.contains(&until)));
        }
        before = Some(holds);
    }
    (horizons, changes)
}

#[test]
fn a_condition_changes_only_at_its_horizons() {
    let mut total = (0, 0);
    for seed in 0..800 {
        let mut random = fastrand::Rng::with_seed(seed);
        let condition = BoolExpression::random(&mut random, 3);
        let text = condition.to_string();
        if compile(&text, Some(Type::Bool), &mut Names).is_err() && text.contains(" * ") {
            // An expression may be rejected only if it contains too large a multiple of `now`.
            continue;
        }
        for _ in 0..3 {
            let customer = Customer::random(&mut random);
            let found = check(&text, &customer, |now| condition.at(&customer, now));
            total = (total.0 + found.0, total.1 + found.1);
        }
    }
    assert!(total.1 > 500, "too few conditions changed: {total:?}");
}

#[test]
fn a_single_comparison_of_now_announces_exactly_its_changes() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let depth = random.u32(0..3);
        let of_instants = random.bool();
        let condition = BoolExpression::comparison(&mut random, depth, of_instants);
        let text = condition.to_string();
        // If facts change with time, or the expression has branches, the value need not change at a horizon.
        if ["started", "recent", "?", "min", "max"].iter().any(|moving| text.contains(moving)) {
            continue;
        }
        let customer = Customer::random(&mut random);
        let (horizons, changes) = check(&text, &customer, |now| condition.at(&customer, now));
        assert_eq!(horizons, changes, "{text} for {customer:?}");
    }
}

/// Returns value and horizon of `text` at `now`, with `a` at 10, `b` at 20, `c` absent and `length` 5.
fn horizon(text: &str, now: i64) -> (bool, Option<i64>) {
    let customer =
        Customer { times: [Some(10), Some(20), None], length: Some(5), recent: vec![], window: 1, flag: Some(true) };
    let program = compile(text, Some(Type::Bool), &mut Names).expect("it compiles").program;
    let mut horizon = Horizon::NEVER;
    let holds = program.evaluate(&customer, Timestamp::from_millis(now), &mut horizon).is_true();
    (holds, horizon.instant().map(Timestamp::as_millis))
}

#[test]
fn horizons_are_exact_to_the_millisecond() {
    for (text, now, expected) in [
        ("now >= a", 9, (false, Some(10))),
        ("now >= a", 10, (true, None)),
        ("now > a", 10, (false, Some(11))),
        ("now > a", 11, (true, None)),
        ("now < a", 9, (true, Some(10))),
        ("now < a", 10, (false, None)),
        ("now <= a", 10, (true, Some(11))),
        ("now == a", 9, (false, Some(10))),
        ("now == a", 10, (true, Some(11))),
        ("now == a", 11, (false, None)),
        ("now != a", 9, (true, Some(10))),
        ("now != a", 10, (false, Some(11))),
        ("now >= a + length", 0, (false, Some(15))),
        ("now - a < length", 0, (true, Some(15))),
        ("a + length <= now", 0, (false, Some(15))),
        ("a > now - length", 0, (true, Some(15))),
        ("(now - a) - (now - b) == duration(\"10ms\")", 0, (true, None)),
        ("now - a > b - now", 0, (false, Some(16))),
        ("now - a == b - now", 0, (false, Some(15))),
        ("now - a + duration(\"1ms\") == b - now", 0, (false, None)),
        ("now >= c", 0, (false, None)),
        ("now >= min(a, c)", 0, (false, Some(10))),
    ] {
        assert_eq!(horizon(text, now), expected, "{text} at {now}");
    }
}

#[test]
fn the_deciding_operands_determine_the_horizon() {
    for (text, now, expected) in [
        // Both operands are true: the earlier change is the horizon.
        ("now < a && now < b", 0, (true, Some(10))),
        // An operand that is always false makes the result false forever, at any position.
        ("now >= a && now < b && c == a", 0, (false, None)),
        ("c == a && now >= a", 0, (false, None)),
        // Both operands are false: the result cannot change before the later change.
        ("now >= a && now >= b", 0, (false, Some(20))),
        ("now >= a || now >= b", 0, (false, Some(10))),
        ("now < a || now < b", 0, (true, Some(20))),
        ("flag || now >= a", 0, (true, None)),
        ("!(now >= a)", 0, (true, Some(10))),
        ("now >= a ? now >= b : flag", 0, (true, Some(10))),
        ("now >= a ? now >= b : flag", 12, (false, Some(20))),
        ("now >= (now >= a ? b : a)", 0, (false, Some(10))),
    ] {
        assert_eq!(horizon(text, now), expected, "{text} at {now}");
    }
}

#[test]
fn instants_beyond_64_bits_do_not_wrap_around() {
    let mut scope = Names;
    let program = compile("now >= a + duration(\"9000000000000000000ms\")", None, &mut scope);
    let program = program.expect("it compiles").program;
    let mut customer = Customer::random(&mut fastrand::Rng::with_seed(1));
    for at in [i64::MAX, i64::MAX - 10, 9_000_000_000_000_000_000] {
        customer.times[0] = Some(at);
        let mut horizon = Horizon::NEVER;
        let value = program.evaluate(&customer, Timestamp::from_millis(0), &mut horizon);
        assert_eq!((value, horizon), (Value::Bool(false), Horizon::NEVER));
    }
    customer.times[0] = Some(i64::MIN);
    let value = program.evaluate(&customer, Timestamp::from_millis(0), &mut Horizon::NEVER.clone());
    assert_eq!(OwnedValue::of(value), Some(OwnedValue::Bool(true)));
}
