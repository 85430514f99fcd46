//! A destination: where its deliveries go, which transitions it gets, and how it is treated.

use std::time::Duration;

use serde_json::Value;

use super::queue::Order;
use super::request::RequestPlan;
use super::retry::RetryPolicy;
use super::suppression::QuietHours;
use crate::http_client;
use crate::mapping::Expression;

/// The roots of a filter.
pub const FILTER_ROOTS: &[&str] = &["transition", "settings"];

/// Where a destination starts to read when its group has committed no offset.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StartAt {
    /// At the end of each partition: only transitions that are published from now on.
    #[default]
    Latest,
    /// At the oldest transition that exists.
    Earliest,
}

/// A destination with everything compiled.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name, which is part of the name of its consumer group.
    pub name: String,
    /// The values of its settings, secrets included: the root `settings` of its templates.
    pub settings: Value,
    /// Which transitions it gets; `None`: all. Roots: [`FILTER_ROOTS`].
    pub filter: Option<Expression>,
    /// The requests that deliver a transition, in order.
    pub requests: Vec<RequestPlan>,
    /// The request that checks the credentials without sending a customer.
    pub check: Option<RequestPlan>,
    /// The order of deliveries.
    pub order: Order,
    /// How long a batch waits to be filled.
    pub linger: Duration,
    /// Maximum number of batches in flight.
    pub concurrency: usize,
    /// When failed deliveries are attempted again.
    pub retry: RetryPolicy,
    /// Times of day at which nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// Minimum time between two deliveries of one customer with the same name.
    pub interval_min: Option<Duration>,
    /// Whether everything but the requests is done.
    pub is_dry_run: bool,
    /// Whether it is paused at the start.
    pub is_paused: bool,
    /// Where it starts to read.
    pub start: StartAt,
    /// The options of its HTTP client.
    pub http: http_client::Options,
}

impl Destination {
    /// Returns the number of transitions in a full batch.
    #[must_use]
    pub fn batch_max(&self) -> usize {
        self.requests.iter().map(RequestPlan::transitions_max).max().unwrap_or(1).max(1)
    }
}
