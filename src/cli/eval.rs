//! `lifecycle eval`: evaluates one expression over facts given on the command line.
//!
//! Lets users try out a condition before they add it to a model. Tests of the expression language call [`evaluate`].

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::{Exit, print_error, print_json};
use crate::lifecycle::condition::{Condition, ExpressionProblem, FactTable, compile};
use crate::lifecycle::problem::{Problem, Severity};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, OwnedValue, Type, Value};
use crate::wire::model_file::{ModelSource, render};
use crate::wire::time::{format_duration, format_timestamp, parse_timestamp};

const EXAMPLES: &str = r#"Examples:
  lifecycle eval 'orders > 1 && now < last_order + days(90)' \
      --facts '{"orders": 2, "last_order": "2026-01-02T08:00:00Z"}' --now 2026-02-01T00:00:00Z"#;

/// Evaluate one expression over given facts, to try out a condition
///
/// Prints the value as JSON. If the passage of time alone can change it, also prints when, on standard error.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EvalArguments {
    /// Expression in the language of model conditions: orders.count >= 2 && now < orders.last + days(90)
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// Facts by name, as a JSON object. Write times as RFC 3339 strings and absent facts as null
    #[arg(long, value_name = "JSON", default_value = "{}")]
    facts: String,
    /// Value of `now` in the expression (RFC 3339)
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
}

/// Prints the value as JSON and, on standard error, when time alone may change it. If the expression is invalid, prints
/// its problems instead.
#[must_use]
pub fn run(arguments: &EvalArguments) -> ExitCode {
    match evaluate(&arguments.expression, &arguments.facts, arguments.now.as_deref()) {
        Ok(evaluation) => {
            let printed = print_json(&format!("{}\n", evaluation.value));
            if let Some(until) = evaluation.until {
                print_error(format_args!("time alone may change this value at {}", format_timestamp(until)));
            }
            printed.into()
        }
        Err(EvalError::Expression(problems)) => {
            let source = ModelSource { name: "expression".into(), text: arguments.expression.clone() };
            let problems: Vec<Problem> = problems.into_iter().map(to_problem).collect();
            print_error(render(&problems, &[source], true).trim_end());
            Exit::Problems.into()
        }
        Err(EvalError::Arguments(message)) => {
            print_error(format_args!("error: {message}"));
            Exit::Usage.into()
        }
    }
}

fn to_problem(problem: ExpressionProblem) -> Problem {
    let ExpressionProblem { code, span, message, label, help } = problem;
    Problem { severity: Severity::Error, code, file: 0, span, message, label, help }
}

/// Result of an evaluation.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluation {
    /// The value: `null` if it is absent, and a string for types that JSON does not have.
    pub value: Json,
    /// Earliest instant at which time alone may change the value; `None` if it never does.
    pub until: Option<Timestamp>,
}

/// Why an expression could not be evaluated.
#[derive(Clone, PartialEq, Debug)]
pub enum EvalError {
    /// The expression does not compile.
    Expression(Vec<ExpressionProblem>),
    /// The facts or the instant are invalid. Holds the error message.
    Arguments(String),
}

/// Limit of `null` facts. Each one has six possible types, so the number of combinations to try grows exponentially.
const NULL_FACTS_MAX: usize = 3;

/// Types to try for a `null` fact, the most likely first.
const TYPES: [Type; 6] = [Type::Timestamp, Type::Int, Type::Double, Type::String, Type::Bool, Type::Duration];

/// Evaluates `expression` over `facts`, a JSON object, at `now` in RFC 3339.
///
/// A nested object gives dotted names. A string that is an RFC 3339 time becomes a timestamp. A `null` fact is absent;
/// its type is the first one with which the expression compiles.
///
/// # Errors
/// If the expression does not compile, or the facts or the instant are invalid.
pub fn evaluate(expression: &str, facts: &str, now: Option<&str>) -> Result<Evaluation, EvalError> {
    let invalid = |message: String| EvalError::Arguments(message);
    let json: Json =
        serde_json::from_str(facts).map_err(|error| invalid(format!("the facts are not valid JSON: {error}")))?;
    let mut parsed = Facts::default();
    parsed.object("", &json).map_err(invalid)?;
    if parsed.absent.len() > NULL_FACTS_MAX {
        return Err(invalid(format!(
            "more than {NULL_FACTS_MAX} facts are null; omit those that the expression does not use"
        )));
    }
    let now = match now {
        Some(text) => Some(
            parse_timestamp(text)
                .map_err(|_| invalid(format!("`{text}` is not an instant; write it as 2026-01-31T00:00:00Z")))?,
        ),
        None => None,
    };
    let (condition, table) = compile_with_types(expression, &parsed).map_err(EvalError::Expression)?;
    let now = match now {
        Some(now) => now,
        None if condition.program.reads_now() => {
            return Err(invalid("the expression uses `now`; add --now 2026-01-31T00:00:00Z".into()));
        }
        None => Timestamp::from_millis(0),
    };
    let mut horizon = Horizon::NEVER;
    let value = to_json(condition.program.evaluate(&table, now, &mut horizon));
    Ok(Evaluation { value, until: horizon.instant() })
}

/// Compiles with each combination of types for the absent facts until one succeeds. If none does, returns the problems
/// of the first combination.
fn compile_with_types(expression: &str, facts: &Facts) -> Result<(Condition, FactTable), Vec<ExpressionProblem>> {
    let mut first_problems = None;
    let count = u32::try_from(facts.absent.len()).expect("at most NULL_FACTS_MAX");
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

/// Facts parsed from JSON, and the names of the absent ones.
#[derive(Default)]
struct Facts {
    table: FactTable,
    absent: Vec<String>,
    count: usize,
}

impl Facts {
    fn object(&mut self, prefix: &str, json: &Json) -> Result<(), String> {
        let Json::Object(members) = json else {
            return Err("the facts must be a JSON object, such as {\"visits\": 3}".into());
        };
        for (name, value) in members {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            self.count += 1;
            if self.count > FactTable::FACTS_MAX {
                return Err(format!("more than {} facts", FactTable::FACTS_MAX));
            }
            match value {
                Json::Null => self.absent.push(path),
                Json::Bool(truth) => self.table.set(&path, OwnedValue::Bool(*truth)),
                Json::Number(number) => {
                    let constant = match (number.as_i64(), number.as_f64()) {
                        (Some(whole), _) => OwnedValue::Int(whole),
                        (None, Some(double)) => OwnedValue::Double(double),
                        (None, None) => return Err(format!("the number `{path}` is out of range")),
                    };
                    self.table.set(&path, constant);
                }
                Json::String(text) => self.table.set(
                    &path,
                    parse_timestamp(text)
                        .map_or_else(|_| OwnedValue::String(text.as_str().into()), OwnedValue::Timestamp),
                ),
                Json::Object(_) => self.object(&path, value)?,
                Json::Array(_) => return Err(format!("`{path}` is a list, but facts are single values")),
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
        // JSON cannot represent these numbers; the strings follow ProtoJSON.
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
    fn the_next_change_is_reported() {
        let facts = r#"{"last": "2026-01-01T00:00:00Z"}"#;
        let evaluation = evaluate("now >= last + days(90)", facts, Some("2026-02-01T00:00:00Z")).expect("it compiles");
        assert_eq!(evaluation.until, parse_timestamp("2026-04-01T00:00:00Z").ok());
    }

    #[test]
    fn invalid_arguments_are_rejected_with_a_reason() {
        let message = |expression, facts, now| match evaluate(expression, facts, now) {
            Err(EvalError::Arguments(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(message("1", "[", None).starts_with("the facts are not valid JSON"));
        assert!(message("1", "[1]", None).contains("JSON object"));
        assert!(message("1", r#"{"a": [1]}"#, None).contains("`a` is a list"));
        assert!(message("1", "{}", Some("today")).contains("`today` is not an instant"));
        assert!(message("now > timestamp(0)", "{}", None).contains("--now"));
        assert!(message("1", r#"{"a": null, "b": null, "c": null, "d": null}"#, None).contains("more than 3"));
        assert!(matches!(evaluate("1 +", "{}", None), Err(EvalError::Expression(problems)) if problems.len() == 1));
    }
}
