//! Finds the selectors of a `PromQL` expression: metric, regular-expression matchers, enclosing function and range.

use lifecycle_processor::telemetry::catalogue::{Kind, METRICS};
use lifecycle_processor::telemetry::deliveries::DELIVERY_METRICS;
use promql_parser::parser::{self, Expr, VectorSelector};

/// Series that Prometheus itself creates.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// A vector or matrix selector of an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Selected {
    pub(crate) metric: String,
    /// Label and pattern of each `=~` matcher.
    pub(crate) patterns: Vec<(String, String)>,
    /// The function that takes the selector as an argument, if any.
    pub(crate) function: Option<String>,
    /// Range of a matrix selector in seconds.
    pub(crate) range: Option<u64>,
}

/// Returns every selector of `expression`, or the parser's error.
pub(crate) fn selected(expression: &str) -> Result<Vec<Selected>, String> {
    let parsed = parser::parse(expression)?;
    let mut found = Vec::new();
    walk(&parsed, None, &mut found);
    Ok(found)
}

/// Returns the metrics of `expression` that neither the service nor Prometheus nor a recording rule exports.
pub(crate) fn unknown_metrics(expression: &str) -> Vec<String> {
    let selected = selected(expression).unwrap_or_else(|problem| panic!("{expression}: {problem}"));
    selected.into_iter().map(|it| it.metric).filter(|name| !is_known(name)).collect()
}

fn is_known(name: &str) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    METRICS.iter().any(|metric| match metric.kind {
        Kind::Histogram => of_histogram == Some(metric.name),
        Kind::Counter | Kind::Gauge => metric.name == name,
    }) || DELIVERY_METRICS.iter().any(|metric| match metric.kind {
        "histogram" => of_histogram == Some(metric.name),
        _ => metric.name == name,
    }) || OF_PROMETHEUS.contains(&name)
        || crate::alerts::records().iter().any(|record| record == name)
}

fn walk(expression: &Expr, function: Option<&str>, found: &mut Vec<Selected>) {
    match expression {
        Expr::Aggregate(aggregate) => walk(&aggregate.expr, None, found),
        Expr::Unary(unary) => walk(&unary.expr, function, found),
        Expr::Binary(binary) => {
            walk(&binary.lhs, None, found);
            walk(&binary.rhs, None, found);
        }
        Expr::Paren(inner) => walk(&inner.expr, function, found),
        Expr::Subquery(inner) => walk(&inner.expr, None, found),
        Expr::Call(call) => {
            for argument in &call.args.args {
                walk(argument, Some(call.func.name), found);
            }
        }
        Expr::VectorSelector(selector) => found.push(of(selector, function, None)),
        Expr::MatrixSelector(matrix) => found.push(of(&matrix.vs, function, Some(matrix.range.as_secs()))),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn of(selector: &VectorSelector, function: Option<&str>, range: Option<u64>) -> Selected {
    // The parser stores the compiled regular expression in `op`; `value` has the text.
    let patterns = selector.matchers.matchers.iter().filter(|matcher| matcher.op.to_string() == "=~");
    Selected {
        metric: selector.name.clone().unwrap_or_default(),
        patterns: patterns.map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect(),
        function: function.map(str::to_owned),
        range,
    }
}
