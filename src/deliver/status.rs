//! What the worker of a destination shares with the HTTP server: its latest snapshot, and the requests of an operator.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::suppression::Suppression;
use crate::lifecycle::time::Timestamp;
use crate::telemetry::deliveries::{DeliveryError, DeliverySnapshot, FAILED};

/// The handles of all destinations, in the order of the configuration.
pub type Statuses = Vec<Arc<DestinationHandle>>;

/// What an operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OperatorRequest {
    Pause,
    Resume,
}

/// A destination as seen from outside of its worker.
#[derive(Debug)]
pub struct DestinationHandle {
    snapshot: Mutex<DeliverySnapshot>,
    /// 0: none, 1: pause, 2: resume.
    request: AtomicU8,
}

impl DestinationHandle {
    /// Creates the handle of a destination that has not started.
    #[must_use]
    pub fn new(destination: &str) -> Arc<Self> {
        let snapshot = DeliverySnapshot::new(destination, &Suppression::ALL.map(Suppression::as_str));
        Arc::new(Self { snapshot: Mutex::new(snapshot), request: AtomicU8::new(0) })
    }

    /// Returns the latest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> DeliverySnapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn publish(&self, snapshot: &DeliverySnapshot) {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone_from(snapshot);
    }

    /// Records that the worker has failed: its state is `failed` until another one has started.
    pub fn fail(&self, what: &str, at: Timestamp) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        (snapshot.state, snapshot.is_ready) = (FAILED, false);
        snapshot.partitions.clear();
        (snapshot.waiting, snapshot.in_flight, snapshot.oldest_age) = (0, 0, Duration::ZERO);
        snapshot.remember(DeliveryError {
            at_ms: at.as_millis(),
            kind: "worker failed".to_owned(),
            what: what.to_owned(),
        });
    }

    /// Asks the destination to stop sending. It keeps its position.
    pub fn pause(&self) {
        self.request.store(1, Ordering::Relaxed);
    }

    /// Asks the destination to send again, also after it was disabled or held.
    pub fn resume(&self) {
        self.request.store(2, Ordering::Relaxed);
    }

    pub(super) fn take_request(&self) -> Option<OperatorRequest> {
        match self.request.swap(0, Ordering::Relaxed) {
            1 => Some(OperatorRequest::Pause),
            2 => Some(OperatorRequest::Resume),
            _ => None,
        }
    }
}
