//! Histograms with fixed buckets, as Prometheus defines them.
//!
//! A histogram has one owner and no lock; a scrape adds up copies of the workers' histograms.

/// From one millisecond (a fast commit) to half a minute (a timeout).
pub(super) const CALL_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a commit interval to a day. The buckets are narrow around one minute, the default `clock.lateness` and
/// therefore the minimum latency of transitions caused by time.
const EVENT_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 62.5, 65.0, 75.0, 120.0, 300.0, 900.0, 3_600.0,
    21_600.0, 86_400.0,
];
/// From a commit interval to an hour (an outage).
const APPEND_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
/// From a step of the loop to half a day.
const LATENESS_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0];
/// From an empty partition to one with a hundred million customers.
const RESTORE_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
/// Up to the approximate limit of a batch.
const BATCH_SIZES: &[f64] = &[0.0, 1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];

/// A histogram: the number of observations per bucket, and their sum.
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Number of observations per bucket, not cumulative. The last bucket has no upper bound.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Creates an empty histogram.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts an observation. Negative values, which differences between clocks can produce, count as 0.
    pub fn observe(&mut self, value: f64) {
        let value = value.max(0.0);
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Adds the counts of a histogram with the same bounds.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "only histograms with the same bounds can be added");
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// Returns the cumulative count of each bound.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let cumulative = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        self.bounds.iter().copied().zip(cumulative)
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of the observations.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

/// Histograms of one worker. Times are in seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurements {
    /// From the instant of a live transition caused by a touchpoint until its commit.
    pub touchpoint_latency: Histogram,
    /// The same for live transitions caused by time.
    pub time_latency: Histogram,
    /// From the Kafka timestamp of a consumed record until its commit.
    pub append_latency: Histogram,
    /// From the due time of a wake-up plus the lateness until its commit.
    pub wake_up_lateness: Histogram,
    /// From begin to commit of a transaction.
    pub commit_duration: Histogram,
    /// Records consumed per transaction.
    pub batch_touchpoints: Histogram,
    /// Duration of a partition's restore.
    pub restore_duration: Histogram,
    /// From the assignment of a partition until it processes touchpoints.
    pub rebalance_duration: Histogram,
}

impl Default for Measurements {
    fn default() -> Self {
        Self {
            touchpoint_latency: Histogram::new(EVENT_SECONDS),
            time_latency: Histogram::new(EVENT_SECONDS),
            append_latency: Histogram::new(APPEND_SECONDS),
            wake_up_lateness: Histogram::new(LATENESS_SECONDS),
            commit_duration: Histogram::new(CALL_SECONDS),
            batch_touchpoints: Histogram::new(BATCH_SIZES),
            restore_duration: Histogram::new(RESTORE_SECONDS),
            rebalance_duration: Histogram::new(RESTORE_SECONDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_under_its_own_bound_and_every_higher_one() {
        let mut histogram = Histogram::new(&[1.0, 2.0, 5.0]);
        for value in [2.0, 2.1, 9.0, -3.0] {
            histogram.observe(value);
        }
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(1.0, 1), (2.0, 2), (5.0, 3)]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 13.1).abs() < 1e-9);
    }

    #[test]
    fn histograms_of_workers_add_up() {
        let (mut total, mut other) = (Histogram::new(&[1.0]), Histogram::new(&[1.0]));
        total.observe(3.0);
        other.observe(0.5);
        total.add(&other);
        assert_eq!((total.count(), total.buckets().collect::<Vec<_>>()), (2, vec![(1.0, 1)]));
    }

    #[test]
    fn bounds_are_ascending() {
        for bounds in [CALL_SECONDS, EVENT_SECONDS, APPEND_SECONDS, LATENESS_SECONDS, RESTORE_SECONDS, BATCH_SIZES] {
            assert!(bounds.is_sorted_by(|lower, higher| lower < higher), "{bounds:?}");
        }
    }
}
