//! What operators see of a worker: its log lines, its latest errors and its snapshot.

use std::time::{Duration, Instant};

use super::Worker;
use crate::deliver::gate::GateState;
use crate::deliver::sender::Problem;
use crate::telemetry::deliveries::DeliveryError;

/// Interval between snapshots for metrics and the API.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// Interval between queries of the ends of the topics, for the lag.
const LAG_INTERVAL: Duration = Duration::from_secs(10);

impl Worker {
    pub(super) fn remember(&mut self, problem: &Problem) {
        let at_ms = self.options.clock.now().wall.as_millis();
        self.snapshot.remember(DeliveryError { at_ms, kind: problem.kind.clone(), what: problem.what.clone() });
    }

    pub(super) fn log_gate(&self, before: GateState) {
        let destination = &self.destination.name;
        let state = self.gate.state();
        if state == before {
            return;
        }
        let error = self.snapshot.errors.last().map_or("", |error| error.what.as_str());
        match state {
            GateState::Active => tracing::info!(destination, "destination accepts deliveries again"),
            GateState::Open => tracing::warn!(destination, error, "destination fails, waiting before the next probe"),
            GateState::OnHold => tracing::error!(
                destination,
                error,
                "destination rejects credentials or URL, deliveries wait until the configuration is corrected"
            ),
            GateState::Disabled => tracing::error!(
                destination,
                error,
                "destination wants no more deliveries; it keeps its position until it is resumed"
            ),
        }
    }

    pub(super) fn publish_status(&mut self, is_last: bool) {
        let now = Instant::now();
        if !is_last && now < self.status_at + STATUS_INTERVAL {
            return;
        }
        self.status_at = now;
        if !is_last && now >= self.lag_at + LAG_INTERVAL {
            self.lag_at = now;
            let names = self.partitions.names();
            let positions = self.partitions.positions();
            let lags = names.iter().zip(&positions).filter_map(|(partition, (_, next))| {
                self.subscriber.range(partition).ok().map(|(_, end)| u64::try_from(end - next).unwrap_or_default())
            });
            self.snapshot.lag = lags.sum();
        }
        let state = match self.gate.state() {
            GateState::Disabled => GateState::Disabled.as_str(),
            _ if self.is_paused => "paused",
            GateState::Active if self.is_quiet() => "quiet",
            state => state.as_str(),
        };
        let snapshot = &mut self.snapshot;
        snapshot.state = state;
        snapshot.is_ready = self.was_assigned && self.unanswered.is_empty();
        snapshot.partitions = self.partitions.positions();
        let in_flight = self.queue.in_flight_count();
        snapshot.in_flight = in_flight as u64;
        snapshot.waiting = (self.queue.len() - in_flight) as u64;
        let wall = self.options.clock.now().wall;
        let oldest = self.queue.oldest();
        snapshot.oldest_age = oldest.map_or(Duration::ZERO, |(delivery, _)| delivery.transition.age(wall));
        self.options.handle.publish(snapshot);
    }
}
