//! Every error code of the client library has exactly one reaction at every kind of call, and the codes that occur in
//! practice have the expected one.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::*;

const NO_FLAGS: Flags = Flags { is_fatal: false, is_retriable: false, requires_abort: false };
const FATAL: Flags = Flags { is_fatal: true, ..NO_FLAGS };
const RETRIABLE: Flags = Flags { is_retriable: true, ..NO_FLAGS };
const ABORT: Flags = Flags { requires_abort: true, ..NO_FLAGS };

/// An error code, the flags that librdkafka sets with it, and the expected reaction.
type Case = (Code, Flags, Reaction);

/// The errors that each call of the transaction API returns in practice.
const TRANSACTION_CASES: &[(&str, &[Case])] = &[
    (
        "init_transactions",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorLoadInProgress, RETRIABLE, Reaction::ResetProducer),
            (Code::NotCoordinator, RETRIABLE, Reaction::ResetProducer),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::ResetProducer),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::ResetProducer),
            (Code::PreviousInProgress, RETRIABLE, Reaction::ResetProducer),
            (Code::ProducerFenced, FATAL, Reaction::ResetProducer),
            (Code::Fenced, FATAL, Reaction::ResetProducer),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::ClusterAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::InvalidTransactionTimeout, FATAL, Reaction::Fatal),
            (Code::UnsupportedVersion, FATAL, Reaction::Fatal),
            (Code::UnsupportedFeature, NO_FLAGS, Reaction::Fatal),
            (Code::NotConfigured, NO_FLAGS, Reaction::Fatal),
            (Code::State, NO_FLAGS, Reaction::Fatal),
        ],
    ),
    (
        "begin_transaction",
        &[
            (Code::State, NO_FLAGS, Reaction::Fatal),
            (Code::Fenced, FATAL, Reaction::ResetProducer),
            (Code::Fatal, FATAL, Reaction::ResetProducer),
        ],
    ),
    (
        "send_offsets_to_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::ResetProducer),
            (Code::OperationTimedOut, ABORT, Reaction::ResetProducer),
            (Code::TimedOutQueue, RETRIABLE, Reaction::ResetProducer),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::ResetProducer),
            (Code::RequestTimedOut, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::ResetProducer),
            (Code::NotCoordinator, RETRIABLE, Reaction::ResetProducer),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::ResetProducer),
            (Code::IllegalGeneration, ABORT, Reaction::Abort),
            (Code::UnknownMemberId, ABORT, Reaction::Abort),
            (Code::RebalanceInProgress, ABORT, Reaction::Abort),
            (Code::FencedInstanceId, ABORT, Reaction::Abort),
            (Code::UnknownTopicOrPartition, ABORT, Reaction::Abort),
            (Code::OffsetMetadataTooLarge, ABORT, Reaction::Abort),
            (Code::InvalidProducerIdMapping, ABORT, Reaction::Abort),
            (Code::InvalidProducerIdMapping, FATAL, Reaction::ResetProducer),
            (Code::InvalidProducerEpoch, FATAL, Reaction::ResetProducer),
            (Code::InvalidProducerEpoch, ABORT, Reaction::ResetProducer),
            (Code::ProducerFenced, FATAL, Reaction::ResetProducer),
            (Code::Fenced, FATAL, Reaction::ResetProducer),
            (Code::InvalidTransactionalState, FATAL, Reaction::ResetProducer),
            (Code::GroupAuthorizationFailed, ABORT, Reaction::Fatal),
            (Code::TopicAuthorizationFailed, ABORT, Reaction::Fatal),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NO_FLAGS, Reaction::Fatal),
        ],
    ),
    (
        "commit_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::ResetProducer),
            (Code::TimedOutQueue, RETRIABLE, Reaction::ResetProducer),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::ResetProducer),
            (Code::NetworkException, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorLoadInProgress, RETRIABLE, Reaction::ResetProducer),
            (Code::NotCoordinator, RETRIABLE, Reaction::ResetProducer),
            (Code::ConcurrentTransactions, RETRIABLE, Reaction::ResetProducer),
            (Code::PreviousInProgress, RETRIABLE, Reaction::ResetProducer),
            (Code::Inconsistent, ABORT, Reaction::Abort),
            (Code::PurgeQueue, ABORT, Reaction::Abort),
            (Code::PurgeInflight, ABORT, Reaction::Abort),
            (Code::MessageTimedOut, ABORT, Reaction::ResetProducer),
            (Code::TransactionCoordinatorFenced, ABORT, Reaction::Abort),
            (Code::OutOfOrderSequenceNumber, ABORT, Reaction::Abort),
            (Code::UnknownProducerId, ABORT, Reaction::Abort),
            (Code::InvalidTransactionalState, FATAL, Reaction::ResetProducer),
            (Code::InvalidProducerIdMapping, FATAL, Reaction::ResetProducer),
            (Code::InvalidProducerEpoch, FATAL, Reaction::ResetProducer),
            (Code::ProducerFenced, FATAL, Reaction::ResetProducer),
            (Code::Fenced, FATAL, Reaction::ResetProducer),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NO_FLAGS, Reaction::Fatal),
        ],
    ),
    (
        "abort_transaction",
        &[
            (Code::OperationTimedOut, RETRIABLE, Reaction::ResetProducer),
            (Code::BrokerTransportFailure, RETRIABLE, Reaction::ResetProducer),
            (Code::CoordinatorNotAvailable, RETRIABLE, Reaction::ResetProducer),
            (Code::InvalidTransactionalState, FATAL, Reaction::ResetProducer),
            (Code::Fenced, FATAL, Reaction::ResetProducer),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Reaction::Fatal),
            (Code::State, NO_FLAGS, Reaction::Fatal),
        ],
    ),
];

/// The errors of delivery reports, and the expected reaction.
const DELIVERY_CASES: &[(Code, Reaction)] = &[
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

/// The errors that stop a consumer. The client recovers from all others automatically.
const STOPS_CONSUMER: &[Code] = &[
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

/// Returns every error code of librdkafka.
fn every_code() -> Vec<RDKafkaErrorCode> {
    let codes: Vec<_> =
        (-200..=200).filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(RDKafkaErrorCode::from).collect();
    assert!(codes.len() > 150, "only {} codes were found", codes.len());
    codes
}

#[test]
fn each_error_of_a_transaction_call_has_the_expected_reaction() {
    for (call, table) in TRANSACTION_CASES {
        for &(code, flags, reaction) in *table {
            assert_eq!(reaction_to(code, flags), reaction, "{call}: {code:?} {flags:?}");
        }
    }
}

#[test]
fn each_delivery_error_has_the_expected_reaction() {
    for &(code, reaction) in DELIVERY_CASES {
        let error = Error::of_delivery(code, "out", None);
        assert_eq!(error.reaction, reaction, "{code:?}");
        assert_eq!(error.code, code);
    }
}

#[test]
fn no_code_leaves_a_transaction_open_or_retries_its_call() {
    for code in every_code().into_iter().map(Code::from) {
        for flags in [NO_FLAGS, FATAL, RETRIABLE, ABORT, Flags { is_retriable: true, ..ABORT }] {
            let reaction = reaction_to(code, flags);
            assert_ne!(reaction, Reaction::Retry, "{code:?} {flags:?}");
            if needs_operator(code) {
                assert_eq!(reaction, Reaction::Fatal, "{code:?} {flags:?}");
            } else if is_fenced(code) || is_indeterminate(code) || flags.is_fatal {
                assert_eq!(reaction, Reaction::ResetProducer, "{code:?} {flags:?}");
            } else if flags.requires_abort {
                assert_eq!(reaction, Reaction::Abort, "{code:?} {flags:?}");
            }
        }
    }
}

#[test]
fn every_code_of_a_query_is_retried_or_fatal() {
    for code in every_code() {
        let error = Error::of_query("committed", &KafkaError::OffsetFetch(code));
        let code = Code::from(code);
        let expected = if needs_operator(code) { Reaction::Fatal } else { Reaction::Retry };
        assert_eq!(error.reaction, expected, "{code:?}");
    }
}

#[test]
fn leader_changes_are_repeated_and_described_in_words() {
    let leader = Error::of_query("range", &KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition));
    assert!(leader.is_leader_change());
    assert_eq!(leader.what, "the leader of a partition has just changed");
    let coordinator = Error::of_query("committed", &KafkaError::OffsetFetch(RDKafkaErrorCode::NotCoordinator));
    assert!(coordinator.is_leader_change());
    let denied = Error::of_query("range", &KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed));
    assert!(!denied.is_leader_change());
}

#[test]
fn consuming_stops_only_at_errors_that_the_client_cannot_recover_from() {
    for code in every_code() {
        let stops = Error::of_consuming("poll", &KafkaError::MessageConsumption(code), "in", None);
        let fatal = Error::of_consuming("poll", &KafkaError::MessageConsumptionFatal(code), "in", None);
        let code = Code::from(code);
        assert_eq!(stops.is_some(), STOPS_CONSUMER.contains(&code) || needs_operator(code), "{code:?}");
        assert_eq!(fatal.map(|error| error.reaction), Some(Reaction::Fatal), "{code:?}");
    }
}

#[test]
fn a_changelog_truncated_while_it_is_read_aborts_the_restore() {
    for code in every_code() {
        let Some(error) = Error::of_consuming("read_changelog", &KafkaError::MessageConsumption(code), "log", None)
        else {
            continue;
        };
        let is_truncated = [Code::AutoOffsetReset, Code::OffsetOutOfRange].contains(&code.into());
        let expected = if is_truncated { Reaction::Abort } else { Reaction::Fatal };
        assert_eq!(error.reclassify_for_changelog().reaction, expected, "{code:?}");
    }
}

#[test]
fn no_advice_for_hand_overs_is_to_set_the_offsets_of_the_group() {
    for code in every_code() {
        let Some(error) = Error::of_consuming("read_hand_overs", &KafkaError::MessageConsumption(code), "h", None)
        else {
            continue;
        };
        let error = error.reclassify_for_hand_overs();
        assert!(!error.to_do().is_some_and(|to_do| to_do.contains("the group's offset")), "{error}");
        assert!(!error.is_out_of_range() || error.to_do() == Some(RESTORE_HAND_OVERS), "{error}");
    }
    let stalled =
        Stalled { code: Code::BadMessage, partition: 1, position: 7, since: std::time::Duration::from_mins(1) };
    let error = Error::of_stalled_read("read_hand_overs", "h", &stalled).reclassify_for_hand_overs();
    assert!(error.to_do().is_some_and(|to_do| to_do.ends_with(RESTORE_HAND_OVERS)), "{error}");
}

#[test]
fn a_delivery_error_after_a_fatal_error_is_classified_by_the_fatal_error() {
    for code in every_code().into_iter().map(Code::from) {
        let error = Error::of_delivery(Code::Fatal, "out", Some((code, "why".to_owned())));
        let expected = if needs_operator(code) { Reaction::Fatal } else { Reaction::ResetProducer };
        assert_eq!((error.reaction, error.fenced), (expected, is_fenced(code)), "{code:?}");
    }
}

#[test]
fn flags_decide_the_reaction_to_a_transaction_error() {
    let none = Flags::default();
    let abort = Flags { requires_abort: true, ..none };
    let retriable = Flags { is_retriable: true, ..none };
    let fatal = Flags { is_fatal: true, ..none };
    assert_eq!(reaction_to(Code::IllegalGeneration, abort), Reaction::Abort);
    assert_eq!(reaction_to(Code::UnknownMemberId, abort), Reaction::Abort);
    assert_eq!(reaction_to(Code::Inconsistent, abort), Reaction::Abort);
    assert_eq!(reaction_to(Code::CoordinatorNotAvailable, retriable), Reaction::ResetProducer);
    assert_eq!(reaction_to(Code::InvalidTransactionalState, fatal), Reaction::ResetProducer);
    assert_eq!(reaction_to(Code::State, none), Reaction::Fatal);
}

#[test]
fn a_timeout_resets_the_producer_regardless_of_flags() {
    for flags in [
        Flags::default(),
        Flags { requires_abort: true, ..Flags::default() },
        Flags { is_retriable: true, ..Flags::default() },
    ] {
        assert_eq!(reaction_to(Code::OperationTimedOut, flags), Reaction::ResetProducer);
        assert_eq!(reaction_to(Code::BrokerTransportFailure, flags), Reaction::ResetProducer);
    }
}

#[test]
fn missing_permissions_are_fatal_even_when_the_transaction_could_be_aborted() {
    let abort = Flags { requires_abort: true, ..Flags::default() };
    assert_eq!(reaction_to(Code::TopicAuthorizationFailed, abort), Reaction::Fatal);
    assert_eq!(reaction_to(Code::GroupAuthorizationFailed, abort), Reaction::Fatal);
}

#[test]
fn a_fenced_producer_is_reset_and_the_error_says_fenced() {
    let error = Error::of_delivery(Code::Fatal, "out", Some((Code::Fenced, "fenced".to_owned())));
    assert_eq!(error.reaction, Reaction::ResetProducer);
    assert!(error.fenced);
}

#[test]
fn the_value_of_an_invalid_setting_is_not_in_the_message() {
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

#[test]
fn no_error_contains_an_instruction_besides_the_one_it_ends_with() {
    use crate::finding::instructions;

    let mut errors = Vec::new();
    for code in every_code() {
        errors.push(Error::of_query("query", &KafkaError::OffsetFetch(code)));
        errors.extend(Error::of_consuming("poll", &KafkaError::MessageConsumptionFatal(code), "in", None));
        errors.push(Error::of_delivery(code.into(), "out", None));
        let what = message_for(code.into()).unwrap_or("rejected");
        errors.push(Error::new(Reaction::Fatal, "commit_transaction", code, what));
    }
    for error in errors {
        let finding = error.finding("kafka", "the kafka client", "start the service again");
        assert_eq!(instructions(&finding.what), Vec::<&str>::new(), "{error}");
        assert!(!instructions(&finding.to_do).is_empty(), "{finding}");
        assert!(finding.to_string().ends_with(&finding.to_do), "{finding}");
    }
}

#[test]
fn a_code_keeps_the_name_that_metrics_and_alerts_use() {
    for code in every_code() {
        match Code::from(code) {
            Code::Other(number) => assert_eq!(number, code as i32),
            known => assert_eq!(known.to_string(), format!("{code:?}")),
        }
    }
    assert_eq!(Code::SSL.to_string(), "SSL");
    assert_eq!(Code::Other(-5).to_string(), "Other(-5)");
}
