//! Counts observations by size: what a Prometheus histogram is made of.
//!
//! Plain numbers with one owner, so that the hot road counts without a lock; a scrape adds up copies.

/// From a millisecond, where commits are, to half a minute, where timeouts are.
pub(super) const CALL_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a commit interval to a day. Fine around a minute, the usual `clock.lateness`: nothing caused by time is quicker.
const EVENT_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 62.5, 65.0, 75.0, 120.0, 300.0, 900.0, 3_600.0,
    21_600.0, 86_400.0,
];
/// From a commit interval to an hour, which is an outage.
const APPEND_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
/// From a look at the clock to half a day.
const LATENESS_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0];
/// From a partition without customers to one with a hundred million.
const RESTORE_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
/// Up to what no commit goes past by much.
const BATCH_SIZES: &[f64] = &[0.0, 1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];

/// How many observations fell under each bound, and their sum.
#[derive(Clone, PartialEq, Debug)]
pub struct Distribution {
    bounds: &'static [f64],
    /// One for each bound, of those above the bound before it, and one for those above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Distribution {
    /// Nothing observed yet.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts one observation; one below 0, as of two clocks that disagree, counts as 0.
    pub fn observe(&mut self, size: f64) {
        let size = size.max(0.0);
        let place = self.bounds.iter().position(|&bound| size <= bound).unwrap_or(self.bounds.len());
        self.counts[place] += 1;
        self.sum += size;
    }

    /// Adds what another of the same bounds has counted.
    pub(super) fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "only what is counted alike can be added");
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// For each bound, how many observations are not above it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let running = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        self.bounds.iter().copied().zip(running)
    }

    /// How many observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

/// What a worker measures of its work. Times in seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// From the instant of a live transition that a touchpoint caused until it was committed.
    pub touchpoint_latency: Distribution,
    /// The same of those caused by time.
    pub time_latency: Distribution,
    /// From a consumed record's Kafka timestamp until it was committed.
    pub append_latency: Distribution,
    /// From the instant a wake-up was due, lateness added, until it was committed.
    pub wake_up_lateness: Distribution,
    /// Records consumed in a transaction.
    pub batch_touchpoints: Distribution,
    /// How long the customers of a partition were read back.
    pub restore_duration: Distribution,
    /// From the gain of a partition until it was worked on.
    pub rebalance_duration: Distribution,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            touchpoint_latency: Distribution::new(EVENT_SECONDS),
            time_latency: Distribution::new(EVENT_SECONDS),
            append_latency: Distribution::new(APPEND_SECONDS),
            wake_up_lateness: Distribution::new(LATENESS_SECONDS),
            batch_touchpoints: Distribution::new(BATCH_SIZES),
            restore_duration: Distribution::new(RESTORE_SECONDS),
            rebalance_duration: Distribution::new(RESTORE_SECONDS),
        }
    }
}

impl Measured {
    /// Adds what another worker has measured.
    pub(super) fn add(&mut self, other: &Self) {
        self.touchpoint_latency.add(&other.touchpoint_latency);
        self.time_latency.add(&other.time_latency);
        self.append_latency.add(&other.append_latency);
        self.wake_up_lateness.add(&other.wake_up_lateness);
        self.batch_touchpoints.add(&other.batch_touchpoints);
        self.restore_duration.add(&other.restore_duration);
        self.rebalance_duration.add(&other.rebalance_duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_under_its_own_bound_and_every_higher_one() {
        let mut distribution = Distribution::new(&[1.0, 2.0, 5.0]);
        for size in [2.0, 2.1, 9.0, -3.0] {
            distribution.observe(size);
        }
        assert_eq!(distribution.buckets().collect::<Vec<_>>(), [(1.0, 1), (2.0, 2), (5.0, 3)]);
        assert_eq!(distribution.count(), 4);
        assert!((distribution.sum() - 13.1).abs() < 1e-9);
    }

    #[test]
    fn what_workers_have_measured_adds_up() {
        let (mut total, mut other) = (Measured::default(), Measured::default());
        total.batch_touchpoints.observe(3.0);
        other.batch_touchpoints.observe(700.0);
        other.time_latency.observe(61.0);
        total.add(&other);
        assert_eq!((total.batch_touchpoints.count(), total.time_latency.count()), (2, 1));
        assert_eq!(total.touchpoint_latency.count(), 0);
    }

    #[test]
    fn bounds_rise() {
        for bounds in [CALL_SECONDS, EVENT_SECONDS, APPEND_SECONDS, LATENESS_SECONDS, RESTORE_SECONDS, BATCH_SIZES] {
            assert!(bounds.is_sorted_by(|lower, higher| lower < higher), "{bounds:?}");
        }
    }
}
