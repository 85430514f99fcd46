//! Kafka for the commands that load or demonstrate the service: a producer without transactions, a broker in memory.
//!
//! The service itself uses none of it.

pub mod mock_broker;
pub mod plain_producer;
