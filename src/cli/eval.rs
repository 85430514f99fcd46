//! `lifecycle eval`: the value of one expression over facts given on the spot, to try out a condition before it stands in a model.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::{Exit, print};
use crate::lifecycle::condition::{Condition, Constant, ExpressionProblem, FactTable, compile};
use crate::lifecycle::problem::{Problem, Severity};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Type, Value};
use crate::wire::model_file::{ModelSource, render};
use crate::wire::time::{format_duration, format_timestamp, parse_timestamp};

const EXAMPLES: &str = r#"Examples:
  lifecycle eval 'orders > 1 && now < last_order + days(90)' \
      --facts '{"orders": 2, "last_order": "2026-01-02T08:00:00Z"}' --now 2026-02-01T00:00:00Z"#;

/// Evaluate an expression over facts given on the spot.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EvalArguments {
    /// An expression as conditions of a model are written: `orders.count >= 2 && now < last_order + days(90)`
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// The facts by name, as a JSON object: times as RFC 3339 text, `null` for a fact that is absent
    #[arg(long, value_name = "JSON", default_value = "{}")]
    facts: String,
    /// The instant that `now` means, in RFC 3339
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
}

/// Prints the value as JSON and, on the standard error, when time alone may change it; or the expression's problems.
#[must_use]
pub fn run(arguments: &EvalArguments) -> ExitCode {
    match evaluate(&arguments.expression, &arguments.facts, arguments.now.as_deref()) {
        Ok(evaluation) => {
            let printed = print(&format!("{}\n", evaluation.value));
            if let Some(until) = evaluation.until {
                anstream::eprintln!("time alone may change this at {}", format_timestamp(until));
            }
            printed.into()
        }
        Err(Refusal::Expression(problems)) => {
            let source = ModelSource { name: "expression".into(), text: arguments.expression.clone() };
            let problems: Vec<Problem> = problems.into_iter().map(in_file).collect();
            anstream::eprint!("{}", render(&problems, &[source], true));
            Exit::Problems.into()
        }
        Err(Refusal::Arguments(message)) => {
            anstream::eprintln!("error: {message}");
            Exit::Usage.into()
        }
    }
}

fn in_file(problem: ExpressionProblem) -> Problem {
    let ExpressionProblem { code, span, message, label, help } = problem;
    Problem { severity: Severity::Error, code, file: 0, span, message, label, help }
}

/// What an expression came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluation {
    /// The value; `null` when it is absent, text for what JSON has no form for.
    pub value: Json,
    /// When time alone may change it.
    pub until: Option<Timestamp>,
}

/// Why an expression could not be evaluated.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// The expression has problems.
    Expression(Vec<ExpressionProblem>),
    /// The facts or the instant cannot be read.
    Arguments(String),
}

/// How many facts may be `null`: the type of each is found by trying.
const NULL_FACTS_MAX: usize = 3;

/// The types that a `null` fact may have, the likeliest first.
const TYPES: [Type; 6] = [Type::Timestamp, Type::Int, Type::Double, Type::String, Type::Bool, Type::Duration];

/// Evaluates `expression` over `facts`, a JSON object, at `now` in RFC 3339.
///
/// An object within it makes dotted names. Text that is an RFC 3339 time is a timestamp. A `null` fact is absent, and of the
/// first type with which the expression compiles.
///
/// # Errors
/// When the expression has problems, or the facts or the instant cannot be read.
pub fn evaluate(expression: &str, facts: &str, now: Option<&str>) -> Result<Evaluation, Refusal> {
    let refused = |message: String| Refusal::Arguments(message);
    let json: Json = serde_json::from_str(facts).map_err(|error| refused(format!("the facts are no JSON: {error}")))?;
    let mut read = Facts::default();
    read.object("", &json).map_err(refused)?;
    if read.absent.len() > NULL_FACTS_MAX {
        return Err(refused(format!("more than {NULL_FACTS_MAX} facts are null; leave out those that are not read")));
    }
    let now = match now {
        Some(text) => Some(
            parse_timestamp(text)
                .map_err(|_| refused(format!("`{text}` is no instant; write it as 2026-01-31T00:00:00Z")))?,
        ),
        None => None,
    };
    let (condition, table) = typed(expression, &read).map_err(Refusal::Expression)?;
    let now = match now {
        Some(now) => now,
        None if condition.program.reads_now() => {
            return Err(refused("the expression reads `now`; add --now 2026-01-31T00:00:00Z".into()));
        }
        None => Timestamp::from_millis(0),
    };
    let mut horizon = Horizon::NEVER;
    let value = to_json(condition.program.evaluate(&table, now, &mut horizon));
    Ok(Evaluation { value, until: horizon.instant() })
}

/// Compiles with each assignment of types to the absent facts until one fits; reports the problems of the first.
fn typed(expression: &str, facts: &Facts) -> Result<(Condition, FactTable), Vec<ExpressionProblem>> {
    let mut first_problems = None;
    let count = u32::try_from(facts.absent.len()).expect("a few");
    for choice in 0..TYPES.len().pow(count) {
        let mut table = facts.table.clone();
        let mut rest = choice;
        for name in &facts.absent {
            table.set_absent(name, TYPES[rest % TYPES.len()]);
            rest /= TYPES.len();
        }
        match compile(expression, None, &mut table) {
            Ok(condition) => return Ok((condition, table)),
            Err(problems) => {
                first_problems.get_or_insert(problems);
            }
        }
    }
    Err(first_problems.unwrap_or_default())
}

/// Facts as they are read from JSON.
#[derive(Default)]
struct Facts {
    table: FactTable,
    absent: Vec<String>,
    count: usize,
}

impl Facts {
    fn object(&mut self, prefix: &str, json: &Json) -> Result<(), String> {
        let Json::Object(members) = json else {
            return Err("the facts have to be a JSON object: {\"visits\": 3}".into());
        };
        for (name, value) in members {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            self.count += 1;
            if self.count > FactTable::FACTS_MAX {
                return Err(format!("there are more than {} facts", FactTable::FACTS_MAX));
            }
            match value {
                Json::Null => self.absent.push(path),
                Json::Bool(truth) => self.table.set(&path, Constant::Bool(*truth)),
                Json::Number(number) => {
                    let constant = match (number.as_i64(), number.as_f64()) {
                        (Some(whole), _) => Constant::Int(whole),
                        (None, Some(double)) => Constant::Double(double),
                        (None, None) => return Err(format!("the number of `{path}` is out of range")),
                    };
                    self.table.set(&path, constant);
                }
                Json::String(text) => self.table.set(
                    &path,
                    parse_timestamp(text).map_or_else(|_| Constant::String(text.as_str().into()), Constant::Timestamp),
                ),
                Json::Object(_) => self.object(&path, value)?,
                Json::Array(_) => return Err(format!("`{path}` is a list, and facts are single values")),
            }
        }
        Ok(())
    }
}

fn to_json(value: Value<'_>) -> Json {
    match value {
        Value::Absent => Json::Null,
        Value::Int(number) => json!(number),
        Value::Double(number) if number.is_finite() => json!(number),
        // JSON has no form for these; ProtoJSON writes them so.
        Value::Double(number) if number.is_nan() => json!("NaN"),
        Value::Double(number) => json!(if number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Bool(truth) => json!(truth),
        Value::String(text) => json!(text),
        Value::Timestamp(instant) => json!(format_timestamp(instant)),
        Value::Duration(length) => json!(format_duration(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(expression: &str, facts: &str) -> Json {
        evaluate(expression, facts, Some("2026-02-01T00:00:00Z")).expect(expression).value
    }

    #[test]
    fn values_are_printed_as_json() {
        let facts =
            r#"{"orders": {"count": 3, "last": "2026-01-01T00:00:00Z"}, "plan": "90d", "score": 8.5, "gone": null}"#;
        assert_eq!(value("orders.count + 1", facts), json!(4));
        assert_eq!(value("score * 2", facts), json!(17.0));
        assert_eq!(value("plan", facts), json!("90d"));
        assert_eq!(value("orders.last + days(1)", facts), json!("2026-01-02T00:00:00Z"));
        assert_eq!(value("orders.last - orders.last + hours(36)", facts), json!("1d12h"));
        assert_eq!(value("gone > 3", facts), json!(false));
        assert_eq!(value("gone + 3", facts), Json::Null);
        assert_eq!(value("1e308 * 10.0", facts), json!("Infinity"));
        assert_eq!(value("gone == \"a\" || gone.size() == 2", facts), json!(false));
    }

    #[test]
    fn the_next_change_is_told() {
        let facts = r#"{"last": "2026-01-01T00:00:00Z"}"#;
        let evaluation = evaluate("now >= last + days(90)", facts, Some("2026-02-01T00:00:00Z")).expect("it is fine");
        assert_eq!(evaluation.until, parse_timestamp("2026-04-01T00:00:00Z").ok());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let message = |expression, facts, now| match evaluate(expression, facts, now) {
            Err(Refusal::Arguments(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(message("1", "[", None).starts_with("the facts are no JSON"));
        assert!(message("1", "[1]", None).contains("JSON object"));
        assert!(message("1", r#"{"a": [1]}"#, None).contains("`a` is a list"));
        assert!(message("1", "{}", Some("today")).contains("`today` is no instant"));
        assert!(message("now > timestamp(0)", "{}", None).contains("--now"));
        assert!(message("1", r#"{"a": null, "b": null, "c": null, "d": null}"#, None).contains("more than 3"));
        assert!(matches!(evaluate("1 +", "{}", None), Err(Refusal::Expression(problems)) if problems.len() == 1));
    }
}
