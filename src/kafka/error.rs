//! Errors of the Kafka client, classified once by what the caller must do.
//!
//! The classification uses error codes and librdkafka's flags, never message text. Error messages say what failed and
//! what to do next; they never contain the value of a setting.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaError};

use crate::finding::{Finding, Severity};

use super::context::ClientReport;
use super::error_code::ErrorCode as Code;

use super::member::stalled_reads::Stalled;

/// What the caller must do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Nothing has changed: repeat the call after a back-off.
    Retry,
    /// Abort the transaction, drop the batch, and process it again from the committed offsets.
    Abort,
    /// The outcome is unknown or the producer is unusable: reset the producer, then read the committed offsets.
    ResetProducer,
    /// Stop: an operator must act.
    Fatal,
}

impl Reaction {
    /// Returns the value of the metric label `reaction`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abort => "abort",
            Self::ResetProducer => "reset_producer",
            Self::Fatal => "fatal",
        }
    }
}

/// An error of the Kafka client.
#[derive(Clone, Debug)]
pub struct Error {
    /// What the caller must do.
    pub reaction: Reaction,
    /// The call that failed, such as `commit_transaction`.
    pub call: &'static str,
    /// The client's error code.
    pub code: Code,
    /// What failed, in words for the operator. Contains no instruction.
    pub what: String,
    /// What the operator should do; `None` if the code determines it.
    pub to_do: Option<String>,
    /// Whether the producer was fenced, by a newer producer of the same transactional id or by the transaction timeout.
    pub fenced: bool,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}: {})", self.what, self.call, self.code)?;
        self.to_do().map_or(Ok(()), |to_do| write!(formatter, "; {to_do}"))
    }
}

impl Error {
    /// Creates an error without an error of librdkafka.
    pub fn new(reaction: Reaction, call: &'static str, code: impl Into<Code>, what: impl Into<String>) -> Self {
        Self { reaction, call, code: code.into(), what: what.into(), to_do: None, fenced: false }
    }

    /// Sets what the operator should do.
    #[must_use]
    pub fn with_to_do(self, to_do: impl Into<String>) -> Self {
        Self { to_do: Some(to_do.into()), ..self }
    }

    /// Returns what the operator should do, if known.
    #[must_use]
    pub fn to_do(&self) -> Option<&str> {
        self.to_do.as_deref().or_else(|| self.code.to_do())
    }

    /// Returns the error as a finding about `place`. `otherwise` is the instruction if the error has none.
    #[must_use]
    pub fn finding(&self, about: &'static str, place: impl Into<String>, otherwise: &str) -> Finding {
        let what = format!("{} ({}: {})", self.what, self.call, self.code);
        Finding::new(Severity::Problem, about, place, what, self.to_do().unwrap_or(otherwise))
    }

    /// Creates an error about one or more invalid settings.
    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self::new(Reaction::Fatal, "settings", Code::InvalidConfig, message)
    }

    /// Classifies an error of a setting that the client rejects: an unknown name or an invalid value.
    pub(super) fn of_settings(error: &KafkaError) -> Self {
        Self::settings(describe(error))
    }

    /// Appends the client's last error from its error callback. librdkafka reports the cause of a lost connection only
    /// there.
    pub(super) fn with_reported(mut self, reported: Option<ClientReport>) -> Self {
        if let Some(ClientReport { reason, .. }) = reported {
            self.what = format!("{} (last client error: {reason})", self.what);
        }
        self
    }

    /// Classifies an error of a read-only request.
    pub(super) fn of_query(call: &'static str, error: &KafkaError) -> Self {
        let code = code_of(error).unwrap_or(Code::Unspecified);
        let reaction = if needs_operator(code) { Reaction::Fatal } else { Reaction::Retry };
        match message_of_leader_change(code) {
            Some(what) => Self::new(reaction, call, code, what),
            None => Self::of(reaction, call, error),
        }
    }

    /// Classifies an error of an operation on the consumer's local assignment. It fails only when the client is
    /// unusable.
    pub(super) fn of_assignment(call: &'static str, error: &KafkaError) -> Self {
        Self::of(Reaction::Fatal, call, error)
    }

    /// Classifies an error of polling a consumer; `None` when the client recovers from it automatically.
    pub(super) fn of_consuming(
        call: &'static str,
        error: &KafkaError,
        topic: &str,
        reported: Option<ClientReport>,
    ) -> Option<Self> {
        let code = code_of(error)?;
        let fatal = match error {
            KafkaError::MessageConsumptionFatal(_) => true,
            _ => needs_operator(code) || stops_consuming(code),
        };
        if !fatal {
            return None;
        }
        let found = |what: String, to_do: &str| Self::new(Reaction::Fatal, call, code, what).with_to_do(to_do);
        let error = match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => found(
                format!(
                    "the offset to read from does not exist in {topic}: retention or a deletion removed it, or the topic was \
                     recreated, so records were lost before they were read"
                ),
                "stop the service, set the group's offsets to where it should continue, and start it again: the service never \
                 skips records itself",
            ),
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                found(format!("the topic {topic} does not exist or was deleted"), CREATE_TOPICS)
            }
            Code::TopicAuthorizationFailed => {
                found(format!("not allowed to read {topic}"), &format!("grant READ on the topic {topic}"))
            }
            Code::GroupAuthorizationFailed => found(
                "not allowed to use the consumer group".to_owned(),
                "grant READ on the group that kafka.group_id names",
            ),
            _ => Self::new(Reaction::Fatal, call, code, describe(error)),
        };
        Some(error.with_reported(reported))
    }

    /// Classifies an error of polling a consumer from which the client recovers automatically.
    pub(super) fn of_transient(call: &'static str, error: &KafkaError) -> Self {
        Self::of(Reaction::Retry, call, error)
    }

    /// Returns whether an error of polling a consumer is about the records of a partition, not about the connection or
    /// the availability of the cluster. Errors of the latter kind end without an operator, so the client retries
    /// indefinitely.
    pub(super) fn is_read_error(error: &KafkaError) -> bool {
        code_of(error).is_some_and(|code| !is_outage(code))
    }

    /// Returns the error of a partition that cannot be read, because the same error comes back at the same position.
    pub(super) fn of_stalled_read(call: &'static str, topic: &str, stalled: &Stalled) -> Self {
        let Stalled { code, partition, position, since } = stalled;
        let message = format!(
            "partition {partition} of {topic} cannot be read from offset {position} on: {code} has come back for {} s",
            since.as_secs()
        );
        let to_do = "if a batch is larger when decompressed than receive.message.max.bytes in kafka.client (1 GiB unless set), raise \
                     it; if it is corrupt, restore it from another replica, or set the group's offset past it to accept \
                     the loss; the service does not skip records";
        Self::new(Reaction::Fatal, call, *code, message).with_to_do(to_do)
    }

    /// Returns whether the offset to read from does not exist.
    pub(super) fn is_out_of_range(&self) -> bool {
        matches!(self.code, Code::AutoOffsetReset | Code::OffsetOutOfRange)
    }

    /// Returns whether another static member with the same `group.instance.id` has replaced this one.
    pub(super) fn is_fenced_membership(&self) -> bool {
        self.code == Code::FencedInstanceId
    }

    /// Returns whether a topic or a partition does not exist.
    #[must_use]
    pub fn is_missing_topic(&self) -> bool {
        matches!(self.code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
    }

    /// Returns whether the brokers answer that a partition or a group has no leader now, or another one than before.
    pub(super) fn is_leader_change(&self) -> bool {
        message_of_leader_change(self.code).is_some()
    }

    /// Returns whether a permission is missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code.is_denied()
    }

    /// Reclassifies an error of reading a changelog. An offset that is out of range is not fatal here: another owner
    /// may have truncated the changelog since the read position was committed, and the caller must determine the
    /// position again.
    pub(super) fn reclassify_for_changelog(self) -> Self {
        if self.is_out_of_range() { Self { reaction: Reaction::Abort, ..self } } else { self }
    }

    /// Gives an error of reading hand-overs its own advice. Their position is not an offset of the group, so an
    /// operator cannot set it past records that are lost.
    pub(super) fn reclassify_for_hand_overs(self) -> Self {
        let is_stalled = self.reaction == Reaction::Fatal && self.to_do.is_some() && !self.is_denied();
        if self.is_out_of_range() || self.is_missing_topic() {
            self.with_to_do(RESTORE_HAND_OVERS)
        } else if is_stalled {
            self.with_to_do(format!(
                "if a batch is larger when decompressed than receive.message.max.bytes in kafka.client (1 GiB unless set), \
                 raise it; if it is corrupt, {RESTORE_HAND_OVERS}"
            ))
        } else {
            self
        }
    }

    /// Classifies an error of a call to the transaction API.
    pub(super) fn of_transaction(call: &'static str, error: &KafkaError) -> Self {
        let KafkaError::Transaction(transaction) = error else {
            return Self::of(Reaction::Abort, call, error);
        };
        let flags = Flags::of(transaction);
        let code = Code::from(transaction.code());
        let what = message_for(code).map_or_else(|| transaction.string(), str::to_owned);
        Self { fenced: is_fenced(code), ..Self::new(reaction_to(code, flags), call, code, what) }
    }

    /// Classifies a failed delivery of a record in a transaction. `fatal` is the producer's fatal error, if there is
    /// one.
    pub(super) fn of_delivery(code: Code, topic: &str, fatal: Option<(Code, String)>) -> Self {
        let call = "send";
        if let Some((code, message)) = fatal {
            let reaction = reaction_to(code, Flags { is_fatal: true, ..Flags::default() });
            return Self { fenced: is_fenced(code), ..Self::new(reaction, call, code, message) };
        }
        let (what, to_do) = match code {
            Code::TopicAuthorizationFailed => {
                (format!("not allowed to write to {topic}"), format!("grant WRITE on the topic {topic}"))
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                (format!("the topic {topic} or its partition does not exist"), CREATE_TOPICS.to_owned())
            }
            Code::MessageSizeTooLarge => (
                format!("the record is too large for {topic}"),
                format!("raise max.message.bytes of the topic {topic}"),
            ),
            Code::InvalidTimestamp => (
                format!("{topic} rejects the record's timestamp"),
                "check the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms".to_owned(),
            ),
            Code::InvalidRecord => (
                format!(
                    "{topic} rejects the record, as a topic with cleanup.policy=compact does when a record has no key"
                ),
                format!("set cleanup.policy=delete on the topic {topic}"),
            ),
            Code::PolicyViolation => (
                format!("a policy of the cluster rejects the record for {topic}"),
                "check the create and alter policies of the brokers".to_owned(),
            ),
            _ => (format!("the record was not delivered to {topic}: {code}"), String::new()),
        };
        let permanent = matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::InvalidTimestamp
                | Code::InvalidRecord
                | Code::PolicyViolation
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
        );
        let reaction = if permanent || needs_operator(code) { Reaction::Fatal } else { Reaction::Abort };
        let error = Self::new(reaction, call, code, what);
        if to_do.is_empty() { error } else { error.with_to_do(to_do) }
    }

    fn of(reaction: Reaction, call: &'static str, error: &KafkaError) -> Self {
        Self::new(reaction, call, code_of(error).unwrap_or(Code::Unspecified), describe(error))
    }

    /// Classifies an error of creating a client. The message never contains the value of a setting, which may be a
    /// secret.
    pub(super) fn of_creation(call: &'static str, error: &KafkaError) -> Self {
        Self::of(Reaction::Fatal, call, error)
    }
}

/// What to do about a topic that was deleted under a running service.
const CREATE_TOPICS: &str = "stop the service and create the topic with all its partitions: lifecycle topics --create; if it was the \
                             changelog, delete the hand-over topic and the group's offsets first: the service then starts from the \
                             beginning; if it was the hand-over topic, restore it from a backup";

/// What to do about hand-overs that cannot be read.
const RESTORE_HAND_OVERS: &str = "restore the topic from a replica or a backup, or start from the beginning with new topics for changelog and \
                                  hand-overs and another kafka.group_id: the facts of visitors that were under way are lost";

/// The flags that librdkafka sets on an error of the transaction API.
#[derive(Clone, Copy, Default, Debug)]
struct Flags {
    is_fatal: bool,
    is_retriable: bool,
    requires_abort: bool,
}

impl Flags {
    fn of(error: &RDKafkaError) -> Self {
        Self {
            is_fatal: error.is_fatal(),
            is_retriable: error.is_retriable(),
            requires_abort: error.txn_requires_abort(),
        }
    }
}

/// Returns the reaction to an error of the transaction API.
///
/// A timeout always resets the producer, regardless of the flags. The request may still be in flight, and librdkafka
/// does not bump the epoch per transaction (KIP-890 part 2), so a commit request that arrives late could end the next
/// transaction. A new producer has a new epoch, and the broker rejects the old producer's requests.
fn reaction_to(code: Code, flags: Flags) -> Reaction {
    if needs_operator(code) {
        Reaction::Fatal
    } else if is_fenced(code) || is_indeterminate(code) {
        Reaction::ResetProducer
    } else if flags.requires_abort {
        Reaction::Abort
    } else if flags.is_retriable || flags.is_fatal {
        Reaction::ResetProducer
    } else {
        // Without a flag the call was made in the wrong state: a bug, which retrying does not fix.
        Reaction::Fatal
    }
}

fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

fn is_indeterminate(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::NetworkException
    )
}

/// Returns whether the error repeats until an operator grants a permission or changes a setting.
fn needs_operator(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::InvalidTransactionTimeout
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol
            | Code::InvalidGroupId
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
    )
}

/// Returns whether the error says that brokers cannot be reached or a partition has no leader.
fn is_outage(code: Code) -> bool {
    is_indeterminate(code)
        || matches!(
            code,
            Code::Resolve
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::BrokerNotAvailable
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::OffsetNotAvailable
                | Code::KafkaStorageError
                | Code::RebalanceInProgress
                | Code::PollExceeded
        )
}

fn stops_consuming(code: Code) -> bool {
    matches!(
        code,
        Code::AutoOffsetReset
            | Code::OffsetOutOfRange
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::FencedInstanceId
            | Code::UnreleasedInstanceId
            | Code::UnsupportedAssignor
            | Code::GroupMaxSizeReached
    )
}

fn message_for(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::TransactionalIdAuthorizationFailed => "not allowed to use the transactional id",
        Code::GroupAuthorizationFailed => "not allowed to commit for the consumer group",
        Code::TopicAuthorizationFailed => "not allowed to write to a topic of the transaction",
        Code::InvalidTransactionTimeout => {
            "the transaction timeout is longer than the broker's transaction.max.timeout.ms"
        }
        _ => return None,
    })
}

/// Returns what an answer means that brokers give while leaders change. The client's own words are the protocol's.
fn message_of_leader_change(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::LeaderNotAvailable => "a partition has no leader at the moment",
        Code::NotLeaderForPartition | Code::FencedLeaderEpoch | Code::UnknownLeaderEpoch => {
            "the leader of a partition has just changed"
        }
        Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator => {
            "the coordinator of the group has just changed"
        }
        _ => return None,
    })
}

fn code_of(error: &KafkaError) -> Option<Code> {
    error.rdkafka_error_code().map(Code::from)
}

fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("the client rejects the setting {key}: {why}"),
        KafkaError::ClientCreation(why) => format!("cannot create the client: {why}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
