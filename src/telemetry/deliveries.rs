//! The state of each destination of `lifecycle deliver`, and its metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::histogram::Histogram;

/// From a local server to a backlog of a day.
const LATENCY_SECONDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];
/// Up to the longest timeout of a request.
const REQUEST_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The state of a destination whose worker has failed and starts again; only inside `lifecycle run`.
pub const FAILED: &str = "failed";
/// Values of the label `state`.
pub const DELIVERY_STATES: [&str; 7] = ["active", "open", "held", "disabled", "paused", "quiet", FAILED];
/// Number of errors that are kept for the API.
const ERRORS_MAX: usize = 10;
/// Values of the label `outcome`.
pub const ATTEMPT_OUTCOMES: [&str; 6] = ["done", "retry", "dead", "hold", "disable", "network"];

/// An error of a destination, without data of customers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryError {
    /// When it happened, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its kind: `status 503`, `timeout`.
    pub kind: String,
    /// What failed.
    pub what: String,
}

/// What a destination has counted, and its state at the moment.
#[derive(Clone, PartialEq, Debug)]
pub struct DeliverySnapshot {
    /// The name of the destination.
    pub destination: String,
    /// One of [`DELIVERY_STATES`].
    pub state: &'static str,
    /// Whether its partitions are assigned, or it has none.
    pub is_ready: bool,
    /// Its partitions: name and offset of the next record to read.
    pub partitions: Vec<(String, i64)>,
    /// Transitions delivered.
    pub delivered: u64,
    /// Requests by outcome.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Attempts of a delivery after its first one.
    pub retried: u64,
    /// Transitions that were not delivered on purpose, by reason.
    pub suppressed: BTreeMap<&'static str, u64>,
    /// Transitions written to the dead-letter topic.
    pub dead: u64,
    /// Deliveries that are neither done nor in flight.
    pub waiting: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// Age of the oldest delivery that is not done, since its publication.
    pub oldest_age: Duration,
    /// Records that are published and not yet read.
    pub lag: u64,
    /// Seconds from publication to delivery.
    pub latency: Histogram,
    /// Seconds of a request.
    pub request: Histogram,
    /// The latest errors, newest last.
    pub errors: Vec<DeliveryError>,
}

impl DeliverySnapshot {
    /// Creates the snapshot of a destination that has done nothing yet.
    #[must_use]
    pub fn new(destination: &str, suppressions: &[&'static str]) -> Self {
        Self {
            destination: destination.to_owned(),
            state: DELIVERY_STATES[0],
            is_ready: false,
            partitions: Vec::new(),
            delivered: 0,
            attempts: ATTEMPT_OUTCOMES.iter().map(|it| (*it, 0)).collect(),
            retried: 0,
            suppressed: suppressions.iter().map(|it| (*it, 0)).collect(),
            dead: 0,
            waiting: 0,
            in_flight: 0,
            oldest_age: Duration::ZERO,
            lag: 0,
            latency: Histogram::new(LATENCY_SECONDS),
            request: Histogram::new(REQUEST_SECONDS),
            errors: Vec::new(),
        }
    }

    /// Adds an error, and drops the oldest one if there are too many.
    pub fn remember(&mut self, error: DeliveryError) {
        if self.errors.len() >= ERRORS_MAX {
            self.errors.remove(0);
        }
        self.errors.push(error);
    }
}

/// A metric of `lifecycle deliver`.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryMetric {
    /// The name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: &'static str,
    /// The labels besides `destination`.
    pub labels: &'static str,
    /// What it measures.
    pub help: &'static str,
    write: fn(&DeliverySnapshot, &mut Lines<'_>),
}

/// All metrics of `lifecycle deliver`.
pub const DELIVERY_METRICS: &[DeliveryMetric] = &[
    DeliveryMetric {
        name: "lifecycle_delivered_total",
        kind: "counter",
        labels: "",
        help: "Transitions delivered.",
        write: |snapshot, lines| lines.line("", &[], snapshot.delivered),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_attempts_total",
        kind: "counter",
        labels: "outcome",
        help: "Requests sent, by what the response means: done, retry, dead, hold (credentials or URL rejected), disable, network (no response).",
        write: |snapshot, lines| {
            for (outcome, count) in &snapshot.attempts {
                lines.line("", &[("outcome", outcome)], *count);
            }
        },
    },
    DeliveryMetric {
        name: "lifecycle_delivery_retries_total",
        kind: "counter",
        labels: "",
        help: "Attempts of a delivery after its first one.",
        write: |snapshot, lines| lines.line("", &[], snapshot.retried),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_suppressed_total",
        kind: "counter",
        labels: "reason",
        help: "Transitions not delivered on purpose, by reason: filter, interval, quiet_hours, dry_run.",
        write: |snapshot, lines| {
            for (reason, count) in &snapshot.suppressed {
                lines.line("", &[("reason", reason)], *count);
            }
        },
    },
    DeliveryMetric {
        name: "lifecycle_delivery_dead_total",
        kind: "counter",
        labels: "",
        help: "Transitions written to the dead-letter topic of deliveries.",
        write: |snapshot, lines| lines.line("", &[], snapshot.dead),
    },
    DeliveryMetric {
        name: "lifecycle_deliveries_waiting",
        kind: "gauge",
        labels: "",
        help: "Deliveries in memory that are neither done nor in flight.",
        write: |snapshot, lines| lines.line("", &[], snapshot.waiting),
    },
    DeliveryMetric {
        name: "lifecycle_deliveries_in_flight",
        kind: "gauge",
        labels: "",
        help: "Deliveries in requests that are not answered yet.",
        write: |snapshot, lines| lines.line("", &[], snapshot.in_flight),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_oldest_age_seconds",
        kind: "gauge",
        labels: "",
        help: "Time since the publication of the oldest delivery in memory that is not done; 0 without one.",
        write: |snapshot, lines| lines.line("", &[], snapshot.oldest_age.as_secs_f64()),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_lag_records",
        kind: "gauge",
        labels: "",
        help: "Records of the transitions topics that this instance has not read yet; the end of a transaction counts, too.",
        write: |snapshot, lines| lines.line("", &[], snapshot.lag),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_state",
        kind: "gauge",
        labels: "state",
        help: "1 for the current state of the destination: active, open (requests fail), held (credentials or URL rejected), disabled (status 410), paused, quiet, failed (inside `lifecycle run`: starts again).",
        write: |snapshot, lines| {
            for state in DELIVERY_STATES {
                lines.line("", &[("state", state)], u8::from(state == snapshot.state));
            }
        },
    },
    DeliveryMetric {
        name: "lifecycle_delivery_latency_seconds",
        kind: "histogram",
        labels: "",
        help: "Time from the publication of a transition to its delivery.",
        write: |snapshot, lines| lines.histogram(&snapshot.latency),
    },
    DeliveryMetric {
        name: "lifecycle_delivery_request_seconds",
        kind: "histogram",
        labels: "",
        help: "Time from sending a request to the end of the response.",
        write: |snapshot, lines| lines.histogram(&snapshot.request),
    },
];

/// Writes the lines of one metric of one destination.
struct Lines<'a> {
    name: &'static str,
    destination: &'a str,
    text: &'a mut String,
}

impl Lines<'_> {
    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        // The names of destinations and all values of labels need no escape: the configuration and enums limit them.
        let mut all = format!("destination=\"{}\"", self.destination);
        for (name, value) in labels {
            write!(all, ",{name}=\"{value}\"").expect("writing to memory cannot fail");
        }
        writeln!(self.text, "{}{suffix}{{{all}}} {value}", self.name).expect("writing to memory cannot fail");
    }

    fn histogram(&mut self, histogram: &Histogram) {
        for (bound, count) in histogram.buckets() {
            self.line("_bucket", &[("le", &bound.to_string())], count);
        }
        self.line("_bucket", &[("le", "+Inf")], histogram.count());
        self.line("_sum", &[], histogram.sum());
        self.line("_count", &[], histogram.count());
    }
}

/// Renders the metrics of all destinations in the Prometheus text format.
#[must_use]
pub fn render(snapshots: &[DeliverySnapshot]) -> String {
    let mut text = String::new();
    for metric in DELIVERY_METRICS {
        writeln!(text, "# HELP {} {}", metric.name, metric.help).expect("writing to memory cannot fail");
        writeln!(text, "# TYPE {} {}", metric.name, metric.kind).expect("writing to memory cannot fail");
        for snapshot in snapshots {
            let mut lines = Lines { name: metric.name, destination: &snapshot.destination, text: &mut text };
            (metric.write)(snapshot, &mut lines);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_series_before_anything_has_happened() {
        let text = render(&[DeliverySnapshot::new("shop", &["filter"])]);
        for metric in DELIVERY_METRICS {
            let suffix = if metric.kind == "histogram" { "_count" } else { "" };
            let series = format!("{}{suffix}{{destination=\"shop\"", metric.name);
            assert!(text.lines().any(|line| line.starts_with(&series)), "{series}\n{text}");
        }
        assert!(text.contains("lifecycle_delivery_state{destination=\"shop\",state=\"active\"} 1\n"), "{text}");
    }
}
