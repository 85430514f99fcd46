//! Metrics of the last seconds, and the rates and quantiles computed from them.
//!
//! If a counter decreases, the process has restarted, and earlier samples are discarded.

use std::collections::VecDeque;
use std::time::Duration;

use super::overview::Overview;

/// Window over which stage moves and latency quantiles are computed.
pub(super) const MOVES_WINDOW: Duration = Duration::from_secs(10);
/// Window over which rates are computed.
const RATE_WINDOW: Duration = Duration::from_secs(4);
/// Limit of kept samples.
const SAMPLES_MAX: usize = 100;
/// Limit of points in the throughput history.
const HISTORY_MAX: usize = 240;

/// Metrics samples of the last seconds.
#[derive(Debug, Default)]
pub(super) struct RecentMetrics {
    samples: VecDeque<(Duration, Overview)>,
    /// Transitions per second, one point per sample, newest last.
    history: VecDeque<u64>,
}

/// Quantiles of the duration of Kafka transactions, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Latency {
    pub(super) median: f64,
    pub(super) p99: f64,
}

/// How many customers moved from one stage to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StageMove {
    /// Empty for no stage.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) customers: u64,
}

impl RecentMetrics {
    pub(super) fn add(&mut self, now: Duration, overview: Overview) {
        let has_restarted = self.latest().is_some_and(|latest| {
            overview.touchpoints < latest.touchpoints || overview.started_at != latest.started_at
        });
        if has_restarted {
            self.samples.clear();
        }
        self.samples.push_back((now, overview));
        while self.samples.len() > SAMPLES_MAX
            || self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= MOVES_WINDOW)
        {
            self.samples.pop_front();
        }
        self.history.push_back(self.rate(|overview| overview.transitions).unwrap_or_default());
        while self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    pub(super) fn latest(&self) -> Option<&Overview> {
        self.samples.back().map(|(_, overview)| overview)
    }

    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.history.iter().copied()
    }

    /// Returns the sample from `window` before the latest one (or else the oldest sample) and the latest sample,
    /// preceded by the seconds between them. `None` with fewer than two samples.
    fn sample_pair(&self, window: Duration) -> Option<(f64, &Overview, &Overview)> {
        let (now, latest) = self.samples.back()?;
        let since = now.saturating_sub(window);
        let (then, earlier) = self.samples.iter().rev().find(|(at, _)| *at <= since).or(self.samples.front())?;
        let seconds = now.saturating_sub(*then).as_secs_f64();
        (seconds > 0.0).then_some((seconds, earlier, latest))
    }

    /// Returns the increase of a counter per second; `None` with fewer than two samples.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are neither negative nor above 2^52"
    )]
    pub(super) fn rate(&self, counter: impl Fn(&Overview) -> u64) -> Option<u64> {
        let (seconds, earlier, latest) = self.sample_pair(RATE_WINDOW)?;
        Some((counter(latest).saturating_sub(counter(earlier)) as f64 / seconds).round() as u64)
    }

    /// Returns by how many seconds the watermark advances per second of wall time.
    pub(super) fn speed(&self) -> Option<f64> {
        let (seconds, earlier, latest) = self.sample_pair(RATE_WINDOW)?;
        Some((latest.watermark? - earlier.watermark?).as_seconds().max(0.0) / seconds)
    }

    /// Returns quantiles of the transactions within [`MOVES_WINDOW`]; `None` if there were none.
    pub(super) fn latency(&self) -> Option<Latency> {
        let (_, earlier, latest) = self.sample_pair(MOVES_WINDOW)?;
        let buckets: Vec<(f64, u64)> = latest
            .commits
            .iter()
            .map(|&(end, count)| {
                let mut earlier = earlier.commits.iter();
                let before = earlier.find(|(at, _)| at.total_cmp(&end).is_eq()).map_or(0, |it| it.1);
                (end, count.saturating_sub(before))
            })
            .collect();
        Some(Latency { median: quantile(&buckets, 0.5)?, p99: quantile(&buckets, 0.99)? })
    }

    /// Returns the moves of `model` within [`MOVES_WINDOW`], most customers first.
    pub(super) fn stage_moves(&self, model: &str) -> Vec<StageMove> {
        let Some((_, earlier, latest)) = self.sample_pair(MOVES_WINDOW) else { return Vec::new() };
        let mut stage_moves: Vec<StageMove> = latest
            .moves
            .iter()
            .filter(|((of, ..), _)| of == model)
            .map(|(key, &count)| StageMove {
                from: key.1.clone(),
                to: key.2.clone(),
                customers: count.saturating_sub(earlier.moves.get(key).copied().unwrap_or_default()),
            })
            .filter(|stage_move| stage_move.customers > 0)
            .collect();
        stage_moves.sort_by(|one, other| other.customers.cmp(&one.customers).then_with(|| one.to.cmp(&other.to)));
        stage_moves
    }
}

/// Computes a quantile of cumulative `buckets` by linear interpolation, like `histogram_quantile` of Prometheus.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn quantile(buckets: &[(f64, u64)], quantile: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total == 0 {
        return None;
    }
    let rank = quantile * total as f64;
    let (mut start, mut below) = (0.0, 0);
    for &(end, count) in buckets {
        if count as f64 >= rank {
            let fraction = (rank - below as f64) / (count - below).max(1) as f64;
            return Some(if end.is_finite() { start + (end - start) * fraction } else { start });
        }
        (start, below) = (end, count);
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;

    fn overview(touchpoints: u64) -> Overview {
        let moves = [(("m".to_owned(), "a".to_owned(), "b".to_owned()), touchpoints / 10)];
        Overview {
            touchpoints,
            transitions: touchpoints * 2,
            watermark: Some(Timestamp::from_millis(1_000_000_000_000)),
            moves: moves.into(),
            commits: vec![(0.01, touchpoints), (0.1, touchpoints * 2), (f64::INFINITY, touchpoints * 2)],
            ..Overview::default()
        }
    }

    fn metrics(samples: &[(u64, u64)]) -> RecentMetrics {
        let mut metrics = RecentMetrics::default();
        for &(second, touchpoints) in samples {
            metrics.add(Duration::from_secs(second), overview(touchpoints));
        }
        metrics
    }

    #[test]
    fn rates_cover_the_last_seconds() {
        let metrics = metrics(&[(0, 0), (1, 10_000), (2, 10_100), (3, 10_200), (4, 10_300), (6, 10_500)]);
        assert_eq!(metrics.rate(|overview| overview.touchpoints), Some(100));
        assert_eq!(RecentMetrics::default().rate(|overview| overview.touchpoints), None);
    }

    #[test]
    fn stage_moves_cover_the_window() {
        let metrics = metrics(&[(0, 0), (5, 1_000), (16, 2_000)]);
        let stage_moves = metrics.stage_moves("m");
        assert_eq!(stage_moves, [StageMove { from: "a".into(), to: "b".into(), customers: 100 }]);
        assert_eq!(metrics.stage_moves("other"), []);
    }

    #[test]
    fn a_restart_discards_earlier_samples() {
        let metrics = metrics(&[(0, 5_000), (1, 6_000), (2, 10), (3, 20)]);
        assert_eq!(metrics.rate(|overview| overview.touchpoints), Some(10));
    }

    #[test]
    fn latency_is_interpolated_within_its_bucket() {
        let latency = metrics(&[(0, 0), (1, 100)]).latency().expect("there were transactions");
        assert!((latency.median - 0.01).abs() < 1e-9 && (latency.p99 - 0.0982).abs() < 1e-9, "{latency:?}");
        assert_eq!(metrics(&[(0, 5), (1, 5)]).latency(), None);
    }

    #[test]
    fn speed_is_how_fast_the_watermark_advances() {
        let mut metrics = RecentMetrics::default();
        for second in 0..5_u32 {
            let watermark = Some(Timestamp::from_millis(1_000_000_000_000 + i64::from(second) * 86_400_000));
            metrics.add(Duration::from_secs(second.into()), Overview { watermark, ..Overview::default() });
        }
        assert_eq!(metrics.speed(), Some(86_400.0));
    }
}
