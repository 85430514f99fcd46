//! The reaction to a failed Kafka call outside a transaction: stop the worker, or retry in a later step.

use crate::kafka::{Error, Reaction};

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
            tracing::warn!(call = error.call, code = %error.code, "kafka call failed, will retry");
            Ok(None)
        }
    }
}
