//! Parses the metrics that the view shows, from a page in the Prometheus text format.
//!
//! The series of all partitions are combined into their sum or maximum. Unknown series and malformed lines are ignored.

use std::collections::BTreeMap;

/// The metrics of one scrape.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MetricsSnapshot {
    /// Whether every assigned partition is restored and processing.
    pub is_ready: bool,
    /// Customers by model and stage; customers without a stage have an empty stage name.
    pub customers: BTreeMap<(String, String), u64>,
    /// Customers in memory.
    pub customers_in_memory: u64,
    /// Published stage moves since the process started, by model, from and to.
    pub moves: BTreeMap<(String, String, String), u64>,
    /// Touchpoints consumed and committed since the process started.
    pub touchpoints: u64,
    /// Transitions published since the process started.
    pub transitions: u64,
    /// Consumer lag in records, summed over partitions.
    pub lag_records: u64,
    /// Largest consumer lag of a partition, in seconds.
    pub lag_seconds: f64,
    /// Highest watermark of a partition, in seconds since 1970.
    pub watermark: Option<f64>,
    /// Histogram of transaction durations: upper bound in seconds and cumulative count, ascending; the last bound is
    /// infinite.
    pub commit_duration_buckets: Vec<(f64, u64)>,
    /// When the process started, in seconds since 1970.
    pub process_start: f64,
}

impl MetricsSnapshot {
    /// Parses a page of metrics.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are neither negative nor above 2^53"
    )]
    pub fn parse(page: &str) -> Self {
        let mut snapshot = Self::default();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, value)) = parse_series(line) else { continue };
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            let count = value as u64;
            match name {
                "lifecycle_ready" => snapshot.is_ready = value > 0.5,
                "lifecycle_customers" => {
                    *snapshot.customers.entry((label("model"), label("stage"))).or_default() += count;
                }
                "lifecycle_partition_customers" => snapshot.customers_in_memory += count,
                "lifecycle_stage_moves_total" => {
                    *snapshot.moves.entry((label("model"), label("from"), label("to"))).or_default() += count;
                }
                "lifecycle_touchpoints_consumed_total" => snapshot.touchpoints += count,
                "lifecycle_transitions_total" => snapshot.transitions += count,
                "lifecycle_lag_records" => snapshot.lag_records += count,
                "lifecycle_lag_seconds" => snapshot.lag_seconds = snapshot.lag_seconds.max(value),
                "lifecycle_partition_clock_timestamp_seconds" if value > 0.0 => {
                    snapshot.watermark = Some(snapshot.watermark.map_or(value, |time| time.max(value)));
                }
                "process_start_time_seconds" => snapshot.process_start = value,
                "lifecycle_commit_duration_seconds_bucket" => {
                    let end = label("le").parse().unwrap_or(f64::INFINITY);
                    match snapshot.commit_duration_buckets.iter_mut().find(|(at, _)| at.total_cmp(&end).is_eq()) {
                        Some((_, sum)) => *sum += count,
                        None => snapshot.commit_duration_buckets.push((end, count)),
                    }
                }
                _ => {}
            }
        }
        snapshot.commit_duration_buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        snapshot
    }
}

/// Parses a line into name, labels and value.
fn parse_series(line: &str) -> Option<(&str, BTreeMap<&str, String>, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Parses labels up to the closing brace; returns them and the rest of the line.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (at, '"') => {
                    rest = &quoted[at + 1..];
                    break;
                }
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        }
        labels.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_several_partitions_are_added_up() {
        let snapshot = MetricsSnapshot::parse(
            "# HELP lifecycle_ready 1 when\nlifecycle_ready 1\n\
             lifecycle_customers{model=\"retention\",stage=\"active\"} 12\n\
             lifecycle_customers{model=\"retention\",stage=\"\"} 3\n\
             lifecycle_lag_records{partition=\"0\"} 5\nlifecycle_lag_records{partition=\"1\"} 7\n\
             lifecycle_lag_seconds{partition=\"0\"} 1.5\nlifecycle_lag_seconds{partition=\"1\"} 0\n\
             lifecycle_stage_moves_total{model=\"retention\",from=\"\",to=\"active\"} 9\n\
             lifecycle_partition_clock_timestamp_seconds{partition=\"0\"} 1764000000.5\n\
             lifecycle_commit_duration_seconds_bucket{le=\"0.1\"} 5\nlifecycle_commit_duration_seconds_bucket{le=\"+Inf\"} 6\n\
             lifecycle_commit_duration_seconds_bucket{le=\"0.01\"} 2\n\
             something_else{a=\"b \\\"c\\\" }\",d=\"\\\\\"} NaN\nno value\n",
        );
        let stage = |stage: &str| snapshot.customers[&("retention".to_owned(), stage.to_owned())];
        assert_eq!((stage("active"), stage(""), snapshot.lag_records), (12, 3, 12));
        assert_eq!((snapshot.is_ready, snapshot.lag_seconds, snapshot.watermark), (true, 1.5, Some(1_764_000_000.5)));
        assert_eq!(snapshot.commit_duration_buckets, [(0.01, 2), (0.1, 5), (f64::INFINITY, 6)]);
        assert_eq!(snapshot.moves.values().sum::<u64>(), 9);
    }

    #[test]
    fn label_values_may_contain_any_character() {
        let (name, labels, value) = parse_series("a{b=\"c \\\"d\\\" }, \\\\\",e=\"\"} 4 1700000").expect("a series");
        assert_eq!((name, labels["b"].as_str(), labels["e"].as_str(), value), ("a", "c \"d\" }, \\", "", 4.0));
        for broken in ["", "a", "a{", "a{b=\"c} 1", "a{b=\"c\"}", "a b"] {
            assert!(parse_series(broken).is_none(), "{broken}");
        }
    }
}
