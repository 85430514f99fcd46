//! Every code that the client library has, at every kind of call, has one reaction; and those that occur have the right one.

use rdkafka::types::RDKafkaRespErr;

use super::*;

const NONE: Flags = Flags { is_fatal: false, is_retriable: false, requires_abort: false };
const FATAL: Flags = Flags { is_fatal: true, ..NONE };
const RETRIABLE: Flags = Flags { is_retriable: true, ..NONE };
const ABORT: Flags = Flags { requires_abort: true, ..NONE };

/// What a call ends in: the code, the flags that the library gives it there, and what is done.
type End = (Code, Flags, Reaction);

/// What the calls of a transaction end in.
const TRANSACTION: &[(&str, &[End])] = &[
    (
        "init_transactions",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorLoadInProgress, RETRIABLE, Reaction::Renew),
            (Code::NotCoordinator, RETRIABLE, Reaction::Renew),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::Renew),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::Renew),
            (Code::PreviousInProgress, RETRIABLE, Reaction::Renew),
            (Code::ProducerFenced, FATAL, Reaction::Renew),
            (Code::Fenced, FATAL, Reaction::Renew),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::ClusterAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::InvalidTransactionTimeout, FATAL, Reaction::Fatal),
            (Code::UnsupportedVersion, FATAL, Reaction::Fatal),
            (Code::UnsupportedFeature, NONE, Reaction::Fatal),
            (Code::NotConfigured, NONE, Reaction::Fatal),
            (Code::State, NONE, Reaction::Fatal),
        ],
    ),
    (
        "begin_transaction",
        &[
            (Code::State, NONE, Reaction::Fatal),
            (Code::Fenced, FATAL, Reaction::Renew),
            (Code::Fatal, FATAL, Reaction::Renew),
        ],
    ),
    (
        "send_offsets_to_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::Renew),
            (Code::OperationTimedOut, ABORT, Reaction::Renew),
            (Code::TimedOutQueue, RETRIABLE, Reaction::Renew),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::Renew),
            (Code::RequestTimedOut, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::Renew),
            (Code::NotCoordinator, RETRIABLE, Reaction::Renew),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::Renew),
            (Code::IllegalGeneration, ABORT, Reaction::Abort),
            (Code::UnknownMemberId, ABORT, Reaction::Abort),
            (Code::RebalanceInProgress, ABORT, Reaction::Abort),
            (Code::FencedInstanceId, ABORT, Reaction::Abort),
            (Code::UnknownTopicOrPartition, ABORT, Reaction::Abort),
            (Code::OffsetMetadataTooLarge, ABORT, Reaction::Abort),
            (Code::InvalidProducerIdMapping, ABORT, Reaction::Abort),
            (Code::InvalidProducerIdMapping, FATAL, Reaction::Renew),
            (Code::InvalidProducerEpoch, FATAL, Reaction::Renew),
            (Code::InvalidProducerEpoch, ABORT, Reaction::Renew),
            (Code::ProducerFenced, FATAL, Reaction::Renew),
            (Code::Fenced, FATAL, Reaction::Renew),
            (Code::InvalidTransactionalState, FATAL, Reaction::Renew),
            (Code::GroupAuthorizationFailed, ABORT, Reaction::Fatal),
            (Code::TopicAuthorizationFailed, ABORT, Reaction::Fatal),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NONE, Reaction::Fatal),
        ],
    ),
    (
        "commit_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::Renew),
            (Code::TimedOutQueue, RETRIABLE, Reaction::Renew),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::Renew),
            (Code::NetworkException, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorLoadInProgress, RETRIABLE, Reaction::Renew),
            (Code::NotCoordinator, RETRIABLE, Reaction::Renew),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::Renew),
            (Code::PreviousInProgress, RETRIABLE, Reaction::Renew),
            (Code::Inconsistent, ABORT, Reaction::Abort),
            (Code::PurgeQueue, ABORT, Reaction::Abort),
            (Code::PurgeInflight, ABORT, Reaction::Abort),
            (Code::MessageTimedOut, ABORT, Reaction::Renew),
            (Code::TransactionCoordinatorFenced, ABORT, Reaction::Abort),
            (Code::OutOfOrderSequenceNumber, ABORT, Reaction::Abort),
            (Code::UnknownProducerId, ABORT, Reaction::Abort),
            (Code::InvalidTransactionalState, FATAL, Reaction::Renew),
            (Code::InvalidProducerIdMapping, FATAL, Reaction::Renew),
            (Code::InvalidProducerEpoch, FATAL, Reaction::Renew),
            (Code::ProducerFenced, FATAL, Reaction::Renew),
            (Code::Fenced, FATAL, Reaction::Renew),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NONE, Reaction::Fatal),
        ],
    ),
    (
        "abort_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::Renew),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::Renew),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::Renew),
            (Code::InvalidTransactionalState, FATAL, Reaction::Renew),
            (Code::Fenced, FATAL, Reaction::Renew),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NONE, Reaction::Fatal),
        ],
    ),
];

/// What a record of a transaction is refused with, and what is done.
const RECORD: &[(Code, Reaction)] = &[
    (Code::MessageTimedOut, Reaction::Abort),
    (Code::BrokerTransportFailure, Reaction::Abort),
    (Code::NotEnoughReplicas, Reaction::Abort),
    (Code::NotEnoughReplicasAfterAppend, Reaction::Abort),
    (Code::NotLeaderForPartition, Reaction::Abort),
    (Code::LeaderNotAvailable, Reaction::Abort),
    (Code::KafkaStorageError, Reaction::Abort),
    (Code::OutOfOrderSequenceNumber, Reaction::Abort),
    (Code::UnknownProducerId, Reaction::Abort),
    (Code::PurgeQueue, Reaction::Abort),
    (Code::PurgeInflight, Reaction::Abort),
    (Code::MessageSizeTooLarge, Reaction::Fatal),
    (Code::InvalidTimestamp, Reaction::Fatal),
    (Code::InvalidRecord, Reaction::Fatal),
    (Code::PolicyViolation, Reaction::Fatal),
    (Code::UnknownTopicOrPartition, Reaction::Fatal),
    (Code::UnknownPartition, Reaction::Fatal),
    (Code::TopicAuthorizationFailed, Reaction::Fatal),
    (Code::ClusterAuthorizationFailed, Reaction::Fatal),
];

/// What reading stops at; everything else the client recovers from by itself.
const READING: &[Code] = &[
    Code::AutoOffsetReset,
    Code::OffsetOutOfRange,
    Code::UnknownTopicOrPartition,
    Code::UnknownTopic,
    Code::UnknownPartition,
    Code::FencedInstanceId,
    Code::UnreleasedInstanceId,
    Code::UnsupportedAssignor,
    Code::GroupMaxSizeReached,
];

/// Every code of the library.
fn every_code() -> Vec<Code> {
    let codes: Vec<_> =
        (-200..=200).filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(Code::from).collect();
    assert!(codes.len() > 150, "the library has more codes than these {}", codes.len());
    codes
}

#[test]
fn each_error_that_a_call_of_a_transaction_ends_in_has_its_reaction() {
    for (call, table) in TRANSACTION {
        for &(code, flags, reaction) in *table {
            assert_eq!(react(code, flags), reaction, "{call}: {code:?} {flags:?}");
        }
    }
}

#[test]
fn each_refusal_of_a_record_has_its_reaction() {
    for &(code, reaction) in RECORD {
        let error = Error::of_record(code, "out", None);
        assert_eq!(error.reaction, reaction, "{code:?}");
        assert_eq!(error.code, format!("{code:?}"));
    }
}

#[test]
fn whatever_the_code_a_transaction_is_never_left_open_and_never_simply_tried_again() {
    for code in every_code() {
        for flags in [NONE, FATAL, RETRIABLE, ABORT, Flags { is_retriable: true, ..ABORT }] {
            let reaction = react(code, flags);
            assert_ne!(reaction, Reaction::Retry, "{code:?} {flags:?}");
            if needs_a_person(code) {
                assert_eq!(reaction, Reaction::Fatal, "{code:?} {flags:?}");
            } else if is_fenced(code) || leaves_the_outcome_open(code) || flags.is_fatal {
                assert_eq!(reaction, Reaction::Renew, "{code:?} {flags:?}");
            } else if flags.requires_abort {
                assert_eq!(reaction, Reaction::Abort, "{code:?} {flags:?}");
            }
        }
    }
}

#[test]
fn whatever_the_code_a_question_is_asked_again_or_is_for_a_person() {
    for code in every_code() {
        let error = Error::of_question("committed", &KafkaError::OffsetFetch(code));
        let expected = if needs_a_person(code) { Reaction::Fatal } else { Reaction::Retry };
        assert_eq!(error.reaction, expected, "{code:?}");
    }
}

#[test]
fn reading_stops_only_at_what_the_client_cannot_mend() {
    for code in every_code() {
        let stops = Error::of_reading("poll", &KafkaError::MessageConsumption(code), "in", None);
        assert_eq!(stops.is_some(), READING.contains(&code) || needs_a_person(code), "{code:?}");
        let fatal = Error::of_reading("poll", &KafkaError::MessageConsumptionFatal(code), "in", None);
        assert_eq!(fatal.map(|error| error.reaction), Some(Reaction::Fatal), "{code:?}");
    }
}

#[test]
fn a_changelog_cut_while_it_was_read_is_no_matter_for_a_person_yet() {
    for code in every_code() {
        let Some(error) = Error::of_reading("read_changelog", &KafkaError::MessageConsumption(code), "log", None)
        else {
            continue;
        };
        let is_cut = [Code::AutoOffsetReset, Code::OffsetOutOfRange].contains(&code);
        let expected = if is_cut { Reaction::Abort } else { Reaction::Fatal };
        assert_eq!(error.of_changelog().reaction, expected, "{code:?}");
    }
}

#[test]
fn a_refused_record_ends_as_the_error_that_ended_the_producer() {
    for code in every_code() {
        let error = Error::of_record(Code::Fatal, "out", Some((code, "told".to_owned())));
        let expected = if needs_a_person(code) { Reaction::Fatal } else { Reaction::Renew };
        assert_eq!((error.reaction, error.fenced), (expected, is_fenced(code)), "{code:?}");
    }
}

#[test]
fn flags_decide_the_reaction_to_a_transaction_error() {
    let none = Flags::default();
    let abort = Flags { requires_abort: true, ..none };
    let retriable = Flags { is_retriable: true, ..none };
    let fatal = Flags { is_fatal: true, ..none };
    assert_eq!(react(Code::IllegalGeneration, abort), Reaction::Abort);
    assert_eq!(react(Code::UnknownMemberId, abort), Reaction::Abort);
    assert_eq!(react(Code::Inconsistent, abort), Reaction::Abort);
    assert_eq!(react(Code::CoordinatorNotAvailable, retriable), Reaction::Renew);
    assert_eq!(react(Code::InvalidTransactionalState, fatal), Reaction::Renew);
    assert_eq!(react(Code::State, none), Reaction::Fatal);
}

#[test]
fn a_timeout_renews_whatever_its_flags() {
    for flags in [
        Flags::default(),
        Flags { requires_abort: true, ..Flags::default() },
        Flags { is_retriable: true, ..Flags::default() },
    ] {
        assert_eq!(react(Code::OperationTimedOut, flags), Reaction::Renew);
        assert_eq!(react(Code::BrokerTransportFailure, flags), Reaction::Renew);
    }
}

#[test]
fn missing_rights_are_for_a_person_even_when_the_transaction_could_be_aborted() {
    let abort = Flags { requires_abort: true, ..Flags::default() };
    assert_eq!(react(Code::TopicAuthorizationFailed, abort), Reaction::Fatal);
    assert_eq!(react(Code::GroupAuthorizationFailed, abort), Reaction::Fatal);
}

#[test]
fn a_fenced_producer_is_renewed_and_says_so() {
    let error = Error::of_record(Code::Fatal, "out", Some((Code::Fenced, "fenced".to_owned())));
    assert_eq!(error.reaction, Reaction::Renew);
    assert!(error.fenced);
}

#[test]
fn the_value_of_a_refused_setting_is_not_repeated() {
    let refused = KafkaError::ClientConfig(
        rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
        "invalid".to_owned(),
        "sasl.password".to_owned(),
        "hunter2".to_owned(),
    );
    let error = Error::of_creation("consumer", &refused);
    assert!(error.to_string().contains("sasl.password"));
    assert!(!error.to_string().contains("hunter2"));
}
