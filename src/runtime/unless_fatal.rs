//! The reaction to a failed Kafka call outside a transaction: stop the worker, or retry in a later step.

use std::time::Instant;

use crate::kafka::{CLIENT_LOG_THROTTLE, Error, Reaction};

use super::fatal::Fatal;

/// Returns fatal errors and logs all others. `None` means that the call failed and is retried in a later step.
///
/// # Errors
/// Fatal errors of the client.
pub fn unless_fatal<T>(result: Result<T, Error>) -> Result<Option<T>, Fatal> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.reaction == Reaction::Fatal => Err(Fatal::Client(error)),
        Err(error) => {
            let kind = format!("{} {}", error.call, error.code);
            if let Some(suppressed) = CLIENT_LOG_THROTTLE.admit(&kind, Instant::now()) {
                tracing::warn!(call = error.call, code = %error.code, suppressed, "kafka call failed, will retry");
            }
            Ok(None)
        }
    }
}
