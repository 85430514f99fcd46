//! The totals of a running service that the view shows, parsed from a response of `/v1/overview`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lifecycle::time::Timestamp;
use crate::wire::time::parse_timestamp;

/// The totals of one response.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Overview {
    /// Whether every assigned partition is restored and processing.
    pub is_ready: bool,
    /// When the service started.
    pub started_at: Option<Timestamp>,
    /// Customers by model and stage; customers without a stage have an empty stage name.
    pub customers_by_stage: BTreeMap<(String, String), u64>,
    /// Customers in memory.
    pub customers: u64,
    /// Published stage moves since the service started, by model, from and to.
    pub moves: BTreeMap<(String, String, String), u64>,
    /// Touchpoints consumed and committed since the service started.
    pub touchpoints: u64,
    /// Transitions published since the service started.
    pub transitions: u64,
    /// Consumer lag in records, summed over partitions.
    pub lag_records: u64,
    /// Highest watermark of a partition.
    pub watermark: Option<Timestamp>,
    /// Histogram of transaction durations: upper bound in seconds and cumulative count, ascending; the last bound is
    /// infinite.
    pub commits: Vec<(f64, u64)>,
}

impl Overview {
    /// Parses a response of `/v1/overview`.
    #[must_use]
    pub fn from_response(response: &Value) -> Self {
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        let mut overview = Self {
            is_ready: response["is_ready"].as_bool().unwrap_or_default(),
            started_at: instant(&response["started_at"]),
            customers: count(&response["customers"]),
            touchpoints: count(&response["touchpoints"]),
            transitions: count(&response["transitions"]),
            lag_records: count(&response["lag_records"]),
            watermark: instant(&response["clock"]),
            commits: list(&response["commits"])
                .map(|bucket| (bucket["seconds"].as_f64().unwrap_or(f64::INFINITY), count(&bucket["count"])))
                .collect(),
            ..Self::default()
        };
        for model in list(&response["models"]) {
            let name = text(&model["model"]);
            for stage in list(&model["stages"]) {
                let key = (name.clone(), text(&stage["stage"]));
                overview.customers_by_stage.insert(key, count(&stage["customers"]));
            }
            for moved in list(&model["moves"]) {
                let key = (name.clone(), text(&moved["from"]), text(&moved["to"]));
                overview.moves.insert(key, count(&moved["count"]));
            }
        }
        overview
    }
}

/// Returns a text; an empty one if it is missing.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the items of a list; none if it is missing.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns a point in time; `None` if it is missing or invalid.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| parse_timestamp(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_response_is_parsed_and_null_is_no_stage() {
        let overview = Overview::from_response(&json!({
            "is_ready": true, "started_at": "2026-01-01T00:00:00Z", "clock": "2026-01-02T00:00:00Z", "touchpoints": 9,
            "transitions": 5, "lag_records": 12, "customers": 15, "commits": [{"seconds": 0.01, "count": 2}, {"seconds": null, "count": 6}],
            "models": [{"model": "retention", "stages": [{"stage": "active", "customers": 12}, {"stage": null, "customers": 3}],
                        "moves": [{"from": null, "to": "active", "count": 9}]}],
        }));
        let stage = |stage: &str| overview.customers_by_stage[&("retention".to_owned(), stage.to_owned())];
        assert_eq!((stage("active"), stage(""), overview.customers, overview.lag_records), (12, 3, 15, 12));
        assert_eq!(overview.moves[&("retention".to_owned(), String::new(), "active".to_owned())], 9);
        assert_eq!(overview.commits, [(0.01, 2), (f64::INFINITY, 6)]);
        assert!(overview.is_ready && overview.started_at < overview.watermark);
        assert_eq!((overview.touchpoints, overview.transitions), (9, 5));
        assert_eq!(Overview::from_response(&json!({})), Overview::default(), "missing fields are empty");
    }
}
