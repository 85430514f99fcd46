//! Errors of the Kafka client, sorted once by what the caller must do.

/// What the caller must do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Nothing has changed: call again after a pause.
    Retry,
    /// Abort the transaction, drop the batch, do it again from the committed offsets.
    Abort,
    /// The outcome is unknown or the producer is unusable: renew the producer, then read the committed offsets.
    Renew,
    /// Stop; a person must act.
    Fatal,
}

/// An error of the Kafka client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {message} ({code})")]
pub struct Error {
    /// What the caller must do.
    pub reaction: Reaction,
    /// The call that failed: `commit_transaction`.
    pub call: &'static str,
    /// The client's name for the error: `ILLEGAL_GENERATION`, `_TIMED_OUT`. Bounded, fit for a metric label.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether a newer owner of the transactional id, or the broker's transaction timeout, has fenced the producer.
    pub fenced: bool,
}
