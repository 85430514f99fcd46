//! What the view needs of a page of metrics in the Prometheus text format.

use std::collections::BTreeMap;

/// What was read at once.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// Whether every partition of the instance is worked on.
    pub is_ready: bool,
    /// Customers by model and stage; the empty stage is none.
    pub customers: BTreeMap<(String, String), u64>,
    /// Customers kept in all.
    pub customers_kept: u64,
    /// Moves published since the start, by model, from and to.
    pub moves: BTreeMap<(String, String, String), u64>,
    /// Records read and committed since the start.
    pub touchpoints: u64,
    /// Transitions published since the start.
    pub transitions: u64,
    /// Records not yet read.
    pub lag_records: u64,
    /// How far touchpoints read lie behind wall time, in seconds, at the partition that is furthest behind.
    pub lag_seconds: f64,
    /// The time that partitions have reached, in seconds since 1970; that of the one ahead.
    pub clock: Option<f64>,
    /// How many transactions took up to so many seconds, since the start; ascending, the last without an end.
    pub commits: Vec<(f64, u64)>,
    /// When the process started, in seconds since 1970.
    pub started: f64,
}

impl Figures {
    /// Reads a page; what it does not know is left out.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are neither negative nor past 2^53"
    )]
    pub fn of_page(page: &str) -> Self {
        let mut figures = Self::default();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, value)) = series(line) else { continue };
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            let count = value as u64;
            match name {
                "lifecycle_ready" => figures.is_ready = value > 0.5,
                "lifecycle_customers" => {
                    *figures.customers.entry((label("model"), label("stage"))).or_default() += count;
                }
                "lifecycle_partition_customers" => figures.customers_kept += count,
                "lifecycle_stage_moves_total" => {
                    *figures.moves.entry((label("model"), label("from"), label("to"))).or_default() += count;
                }
                "lifecycle_touchpoints_consumed_total" => figures.touchpoints += count,
                "lifecycle_transitions_total" => figures.transitions += count,
                "lifecycle_lag_records" => figures.lag_records += count,
                "lifecycle_lag_seconds" => figures.lag_seconds = figures.lag_seconds.max(value),
                "lifecycle_partition_clock_timestamp_seconds" if value > 0.0 => {
                    figures.clock = Some(figures.clock.map_or(value, |clock| clock.max(value)));
                }
                "process_start_time_seconds" => figures.started = value,
                "lifecycle_commit_duration_seconds_bucket" => {
                    let end = label("le").parse().unwrap_or(f64::INFINITY);
                    match figures.commits.iter_mut().find(|(at, _)| at.total_cmp(&end).is_eq()) {
                        Some((_, sum)) => *sum += count,
                        None => figures.commits.push((end, count)),
                    }
                }
                _ => {}
            }
        }
        figures.commits.sort_by(|one, other| one.0.total_cmp(&other.0));
        figures
    }
}

/// A line: name, labels and value.
fn series(line: &str) -> Option<(&str, BTreeMap<&str, String>, f64)> {
    let name_ends = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_ends);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<&str, String>, &str)> {
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
    fn a_page_is_read_and_partitions_are_added_up() {
        let figures = Figures::of_page(
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
        let stage = |stage: &str| figures.customers[&("retention".to_owned(), stage.to_owned())];
        assert_eq!((stage("active"), stage(""), figures.lag_records), (12, 3, 12));
        assert_eq!((figures.is_ready, figures.lag_seconds, figures.clock), (true, 1.5, Some(1_764_000_000.5)));
        assert_eq!(figures.commits, [(0.01, 2), (0.1, 5), (f64::INFINITY, 6)]);
        assert_eq!(figures.moves.values().sum::<u64>(), 9);
    }

    #[test]
    fn labels_may_hold_anything() {
        let (name, labels, value) = series("a{b=\"c \\\"d\\\" }, \\\\\",e=\"\"} 4 1700000").expect("a series");
        assert_eq!((name, labels["b"].as_str(), labels["e"].as_str(), value), ("a", "c \"d\" }, \\", "", 4.0));
        for broken in ["", "a", "a{", "a{b=\"c} 1", "a{b=\"c\"}", "a b"] {
            assert!(series(broken).is_none(), "{broken}");
        }
    }
}
