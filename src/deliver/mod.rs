//! Delivers transitions to destinations over HTTP: webhooks and marketing tools.
//!
//! A destination is a consumer group of its own, so that a slow or dead one delays no other. Its core is pure and gets
//! time as a parameter: [`queue`] (order), [`window`] (what is done), [`retry`], [`gate`] (circuit breaker), [`rate`]
//! and [`suppression`]. [`worker`] reads Kafka and decides what is sent, `sender` threads render and send requests. At
//! least once: an offset is committed when everything before it is delivered, suppressed or in the dead-letter topic.

pub mod destination;
pub mod gate;
pub mod queue;
pub mod rate;
pub mod request;
pub mod response;
pub mod retry;
pub mod signature;
pub mod suppression;
pub mod transition;
pub mod window;
pub mod worker;

mod cloud_event;
mod dead_letter;
mod partitions;
mod sender;
mod status;

pub use destination::{Destination, StartAt};
pub use sender::{Preview, Sender};
pub use status::{DestinationHandle, Statuses};
