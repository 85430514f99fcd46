//! Errors of the Kafka client, sorted once by what the caller must do: by code and flags, never by text.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode as Code};

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

impl Reaction {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Abort => "abort",
            Self::Renew => "renew",
            Self::Fatal => "fatal",
        }
    }
}

/// An error of the Kafka client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}{advice} ({call}: {code})", advice = .to_do.map_or(String::new(), |to_do| format!("; {to_do}")))]
pub struct Error {
    /// What the caller must do.
    pub reaction: Reaction,
    /// The call that failed: `commit_transaction`.
    pub call: &'static str,
    /// The client's name for the error: `IllegalGeneration`, `OperationTimedOut`. Bounded, fit for a metric label.
    pub code: String,
    /// For people: what is wrong.
    pub message: String,
    /// For people: what to do about it, where more can be said than the message does.
    pub to_do: Option<&'static str>,
    /// Whether a newer owner of the transactional id, or the broker's transaction timeout, has fenced the producer.
    pub fenced: bool,
}

/// The code of errors that the client library has no code for, such as a refused setting.
const UNCODED: &str = "Unspecified";

impl Error {
    /// An error found by this folder itself.
    pub(super) fn new(reaction: Reaction, call: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self { reaction, call, code: code.to_owned(), message: message.into(), to_do: None, fenced: false }
    }

    /// A setting, or several, that cannot be accepted.
    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self::new(Reaction::Fatal, "settings", "InvalidConfig", message)
    }

    /// A setting that the client does not know, or a value that it does not take.
    pub(super) fn of_settings(error: &KafkaError) -> Self {
        Self::settings(describe(error))
    }

    /// Adds what the client reported beside the error: the cause of a lost connection comes only that way.
    pub(super) fn because(mut self, reported: Option<String>) -> Self {
        if let Some(reported) = reported {
            self.message = format!("{}; the client last reported: {reported}", self.message);
        }
        self
    }

    /// An error of a question to the cluster that changes nothing.
    pub(super) fn of_question(call: &'static str, error: &KafkaError) -> Self {
        let reaction = match error.rdkafka_error_code() {
            Some(code) if needs_a_person(code) => Reaction::Fatal,
            _ => Reaction::Retry,
        };
        Self::of(reaction, call, error)
    }

    /// An error of an act on the consumer's own assignment. It fails only when the client is beyond use.
    pub(super) fn of_assignment(call: &'static str, error: &KafkaError) -> Self {
        Self::of(Reaction::Fatal, call, error)
    }

    /// An error that reading brought; `None` when the client recovers from it by itself.
    pub(super) fn of_reading(
        call: &'static str,
        error: &KafkaError,
        topic: &str,
        reported: Option<String>,
    ) -> Option<Self> {
        let code = error.rdkafka_error_code()?;
        let fatal = match error {
            KafkaError::MessageConsumptionFatal(_) => true,
            _ => needs_a_person(code) || stops_reading(code),
        };
        if !fatal {
            return None;
        }
        let advice = match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => format!(
                "the position to read {topic} from does not exist there: retention or a deletion has passed it, or the topic was \
                 made anew, so records were lost before they were read; nothing is skipped by itself: decide where to go on \
                 and set the group's offsets there, then start again"
            ),
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                format!("the topic {topic} does not exist or was deleted: create it, then start again")
            }
            Code::TopicAuthorizationFailed => format!("not allowed to read {topic}: grant READ on the topic"),
            Code::GroupAuthorizationFailed => {
                "not allowed to use the consumer group: grant READ on the group".to_owned()
            }
            Code::FencedInstanceId => {
                "another member has taken this group.instance.id: give each member its own".to_owned()
            }
            _ => describe(error),
        };
        Some(Self::new(Reaction::Fatal, call, &name(code), advice).because(reported))
    }

    /// Whether another member of the same fixed name has taken this one's place in the group.
    pub(super) fn is_fenced_membership(&self) -> bool {
        self.code == name(Code::FencedInstanceId)
    }

    /// Whether rights are missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let denials = [
            Code::TopicAuthorizationFailed,
            Code::GroupAuthorizationFailed,
            Code::ClusterAuthorizationFailed,
            Code::TransactionalIdAuthorizationFailed,
        ];
        denials.into_iter().any(|code| self.code == name(code))
    }

    /// An error of reading a changelog. Where its head is gone, somebody else may have swept it since the position was committed:
    /// whoever reads must find out anew from where.
    pub(super) fn of_changelog(self) -> Self {
        if [Code::AutoOffsetReset, Code::OffsetOutOfRange].map(name).contains(&self.code) {
            Self { reaction: Reaction::Abort, ..self }
        } else {
            self
        }
    }

    /// An error of a call to the transaction API.
    pub(super) fn of_transaction(call: &'static str, error: &KafkaError) -> Self {
        let KafkaError::Transaction(transaction) = error else {
            return Self::of(Reaction::Abort, call, error);
        };
        let flags = Flags::of(transaction);
        let code = transaction.code();
        Self {
            reaction: react(code, flags),
            call,
            code: name(code),
            message: advise(code).unwrap_or_else(|| transaction.string()),
            to_do: None,
            fenced: is_fenced(code),
        }
    }

    /// An error of a record within a transaction. `fatal` is the error that has ended the producer, if one has.
    pub(super) fn of_record(code: Code, topic: &str, fatal: Option<(Code, String)>) -> Self {
        let call = "send";
        if let Some((code, message)) = fatal {
            let reaction = react(code, Flags { is_fatal: true, ..Flags::default() });
            return Self { fenced: is_fenced(code), ..Self::new(reaction, call, &name(code), message) };
        }
        let message = match code {
            Code::TopicAuthorizationFailed => format!("not allowed to write to {topic}: grant WRITE on the topic"),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                format!("{topic} or its partition does not exist: create the topic with the partitions that are needed")
            }
            Code::MessageSizeTooLarge => {
                format!("{topic} takes no record of this size: raise the topic's max.message.bytes")
            }
            Code::InvalidTimestamp => {
                format!(
                    "{topic} refuses the record's timestamp: check its message.timestamp.before.max.ms and .after.max.ms"
                )
            }
            Code::InvalidRecord => {
                format!("{topic} refuses the record: its cleanup.policy must not be compact where records have no key")
            }
            Code::PolicyViolation => format!("a policy of the cluster refuses the record for {topic}"),
            _ => format!("the record did not reach {topic}: {code}"),
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
        let reaction = if permanent || needs_a_person(code) { Reaction::Fatal } else { Reaction::Abort };
        Self::new(reaction, call, &name(code), message)
    }

    fn of(reaction: Reaction, call: &'static str, error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code().map_or_else(|| UNCODED.to_owned(), name);
        Self::new(reaction, call, &code, describe(error))
    }

    /// An error of making a client, which never repeats the value of a setting: it may be a secret.
    pub(super) fn of_creation(call: &'static str, error: &KafkaError) -> Self {
        Self::of(Reaction::Fatal, call, error)
    }
}

/// What the transaction API says about its own error.
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

/// The reaction to an error of the transaction API.
///
/// A timeout always renews the producer, whatever its flags: the request may still be under way, and this client library
/// does not tell one transaction from the next (KIP-890 part 2), so a late commit could end the next transaction. A new
/// producer has a new epoch, and the broker refuses what the old one still has under way.
fn react(code: Code, flags: Flags) -> Reaction {
    if needs_a_person(code) {
        Reaction::Fatal
    } else if is_fenced(code) || leaves_the_outcome_open(code) {
        Reaction::Renew
    } else if flags.requires_abort {
        Reaction::Abort
    } else if flags.is_retriable || flags.is_fatal {
        Reaction::Renew
    } else {
        // Without a flag it is a call in the wrong state: a bug, and nothing that trying again mends.
        Reaction::Fatal
    }
}

fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

fn leaves_the_outcome_open(code: Code) -> bool {
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

/// Errors that repeat until somebody grants a right or changes a setting.
fn needs_a_person(code: Code) -> bool {
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

fn stops_reading(code: Code) -> bool {
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

fn advise(code: Code) -> Option<String> {
    let advice = match code {
        Code::TransactionalIdAuthorizationFailed => "not allowed to use the transactional id: grant WRITE on it",
        Code::GroupAuthorizationFailed => "not allowed to commit for the consumer group: grant READ on the group",
        Code::TopicAuthorizationFailed => {
            "not allowed to write to a topic of the transaction: grant WRITE on the output, dead-letter and changelog topics"
        }
        Code::InvalidTransactionTimeout => {
            "the transaction timeout is longer than the broker's transaction.max.timeout.ms"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

fn name(code: Code) -> String {
    format!("{code:?}")
}

fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, key, _) => format!("the client refuses the setting {key}: {what}"),
        KafkaError::ClientCreation(what) => format!("the client cannot be made: {what}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
