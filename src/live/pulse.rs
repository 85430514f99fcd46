//! The last seconds of a service: what changed between readings.
//!
//! Counters that fell belong to a process that started anew; what was read before it is forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use super::metrics_page::Figures;

/// Over which time moves are counted.
pub(super) const FLOW_WINDOW: Duration = Duration::from_secs(10);
/// Over which time rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(4);
/// How many readings are kept at most, however often one comes.
const READINGS_MAX: usize = 100;
/// How many points the history of throughput has.
const HISTORY_MAX: usize = 240;

/// Readings of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    readings: VecDeque<(Duration, Figures)>,
    /// Transitions a second, one for each reading, the latest last.
    history: VecDeque<u64>,
}

/// How long transactions took: half of them at most `middle` seconds, all but one in a hundred at most `high`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Latency {
    pub(super) middle: f64,
    pub(super) high: f64,
}

/// How many customers moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    /// Empty for none.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) customers: u64,
}

impl Pulse {
    pub(super) fn note(&mut self, now: Duration, figures: Figures) {
        let is_anew = self.latest().is_some_and(|latest| {
            figures.touchpoints < latest.touchpoints || (figures.started - latest.started).abs() > 1.0
        });
        if is_anew {
            self.readings.clear();
        }
        self.readings.push_back((now, figures));
        while self.readings.len() > READINGS_MAX
            || self.readings.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= FLOW_WINDOW)
        {
            self.readings.pop_front();
        }
        self.history.push_back(self.rate(|figures| figures.transitions).unwrap_or_default());
        while self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    pub(super) fn latest(&self) -> Option<&Figures> {
        self.readings.back().map(|(_, figures)| figures)
    }

    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.history.iter().copied()
    }

    /// The latest reading and the one before it by `window`, or the oldest, with the seconds between.
    fn pair(&self, window: Duration) -> Option<(f64, &Figures, &Figures)> {
        let (now, latest) = self.readings.back()?;
        let since = now.saturating_sub(window);
        let (then, earlier) = self.readings.iter().rev().find(|(at, _)| *at <= since).or(self.readings.front())?;
        let seconds = now.saturating_sub(*then).as_secs_f64();
        (seconds > 0.0).then_some((seconds, earlier, latest))
    }

    /// How quickly a counter grows, a second.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are neither negative nor past 2^52"
    )]
    pub(super) fn rate(&self, counter: impl Fn(&Figures) -> u64) -> Option<u64> {
        let (seconds, earlier, latest) = self.pair(RATE_WINDOW)?;
        Some((counter(latest).saturating_sub(counter(earlier)) as f64 / seconds).round() as u64)
    }

    /// How much time passes for the partitions in a second.
    pub(super) fn speed(&self) -> Option<f64> {
        let (seconds, earlier, latest) = self.pair(RATE_WINDOW)?;
        Some((latest.clock? - earlier.clock?).max(0.0) / seconds)
    }

    /// How long the transactions of the last seconds took.
    pub(super) fn latency(&self) -> Option<Latency> {
        let (_, earlier, latest) = self.pair(FLOW_WINDOW)?;
        let buckets: Vec<(f64, u64)> = latest
            .commits
            .iter()
            .map(|&(end, count)| {
                let before = earlier.commits.iter().find(|(at, _)| at.total_cmp(&end).is_eq()).map_or(0, |it| it.1);
                (end, count.saturating_sub(before))
            })
            .collect();
        Some(Latency { middle: quantile(&buckets, 0.5)?, high: quantile(&buckets, 0.99)? })
    }

    /// Who moved in `model` in the last seconds; the largest first.
    pub(super) fn flows(&self, model: &str) -> Vec<Flow> {
        let Some((_, earlier, latest)) = self.pair(FLOW_WINDOW) else { return Vec::new() };
        let mut flows: Vec<Flow> = latest
            .moves
            .iter()
            .filter(|((of, ..), _)| of == model)
            .map(|(key, &count)| Flow {
                from: key.1.clone(),
                to: key.2.clone(),
                customers: count.saturating_sub(earlier.moves.get(key).copied().unwrap_or_default()),
            })
            .filter(|flow| flow.customers > 0)
            .collect();
        flows.sort_by(|one, other| other.customers.cmp(&one.customers).then_with(|| one.to.cmp(&other.to)));
        flows
    }
}

/// The value that a `share` of what is counted in `buckets` does not exceed, between their ends on a straight line.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds are far below 2^52")]
fn quantile(buckets: &[(f64, u64)], share: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let (mut start, mut below) = (0.0, 0);
    for &(end, count) in buckets {
        if count as f64 >= rank {
            let within = (rank - below as f64) / (count - below).max(1) as f64;
            return Some(if end.is_finite() { start + (end - start) * within } else { start });
        }
        (start, below) = (end, count);
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(touchpoints: u64) -> Figures {
        let moves = [(("m".to_owned(), "a".to_owned(), "b".to_owned()), touchpoints / 10)];
        Figures {
            touchpoints,
            transitions: touchpoints * 2,
            clock: Some(1e9),
            moves: moves.into(),
            commits: vec![(0.01, touchpoints), (0.1, touchpoints * 2), (f64::INFINITY, touchpoints * 2)],
            ..Figures::default()
        }
    }

    fn pulse(readings: &[(u64, u64)]) -> Pulse {
        let mut pulse = Pulse::default();
        for &(second, touchpoints) in readings {
            pulse.note(Duration::from_secs(second), figures(touchpoints));
        }
        pulse
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let pulse = pulse(&[(0, 0), (1, 10_000), (2, 10_100), (3, 10_200), (4, 10_300), (6, 10_500)]);
        assert_eq!(pulse.rate(|figures| figures.touchpoints), Some(100));
        assert_eq!(super::Pulse::default().rate(|figures| figures.touchpoints), None);
    }

    #[test]
    fn flows_are_those_of_the_window() {
        let pulse = pulse(&[(0, 0), (5, 1_000), (16, 2_000)]);
        let flows = pulse.flows("m");
        assert_eq!(flows, [Flow { from: "a".into(), to: "b".into(), customers: 100 }]);
        assert_eq!(pulse.flows("other"), []);
    }

    #[test]
    fn a_restart_of_the_service_is_no_fall() {
        let pulse = pulse(&[(0, 5_000), (1, 6_000), (2, 10), (3, 20)]);
        assert_eq!(pulse.rate(|figures| figures.touchpoints), Some(10));
    }

    #[test]
    fn latency_lies_between_the_ends_of_its_bucket() {
        let latency = pulse(&[(0, 0), (1, 100)]).latency().expect("there were transactions");
        assert!((latency.middle - 0.01).abs() < 1e-9 && (latency.high - 0.0982).abs() < 1e-9, "{latency:?}");
        assert_eq!(pulse(&[(0, 5), (1, 5)]).latency(), None);
    }

    #[test]
    fn speed_is_how_quickly_the_clock_runs() {
        let mut pulse = Pulse::default();
        for second in 0..5_u32 {
            let clock = Some(1e9 + f64::from(second) * 86_400.0);
            pulse.note(Duration::from_secs(second.into()), Figures { clock, ..Figures::default() });
        }
        assert_eq!(pulse.speed(), Some(86_400.0));
    }
}
