//! The error codes of the Kafka client that the service or its operators act on.
//!
//! Code compares codes, never the text of an error. The names are librdkafka's, because operators search for them, and
//! they are values of a metric label: a code without a name here is [`ErrorCode::Other`], so their number is bounded.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode;

/// Defines [`ErrorCode`]: the listed codes of librdkafka, and codes for errors that this folder detects itself.
macro_rules! error_codes {
    (of the client: $($code:ident)+; detected here: $($(#[$meaning:meta])* $own:ident)+;) => {
        /// The cause of an error of the Kafka client.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ErrorCode {
            $(#[doc = concat!("librdkafka's `", stringify!($code), "`.")] $code,)+
            $($(#[$meaning])* $own,)+
            /// Another code of librdkafka, by its number.
            Other(i32),
        }

        impl From<RDKafkaErrorCode> for ErrorCode {
            fn from(code: RDKafkaErrorCode) -> Self {
                match code {
                    $(RDKafkaErrorCode::$code => Self::$code,)+
                    other => Self::Other(other as i32),
                }
            }
        }

        impl fmt::Display for ErrorCode {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$code => formatter.write_str(stringify!($code)),)+
                    $(Self::$own => formatter.write_str(stringify!($own)),)+
                    Self::Other(number) => write!(formatter, "Other({number})"),
                }
            }
        }
    };
}

error_codes! {
    of the client:
        AllBrokersDown AssignmentLost BadCompression BadMessage Authentication AutoOffsetReset BrokerTransportFailure Fatal Fenced
        Inconsistent InvalidArgument MessageTimedOut NotConfigured OperationTimedOut PartitionEOF PollExceeded PreviousInProgress
        PurgeInflight PurgeQueue QueueFull Resolve SSL State TimedOutQueue UnknownPartition UnknownTopic
        UnsupportedFeature
        BrokerNotAvailable ClusterAuthorizationFailed ConcurrentTransactions CoordinatorLoadInProgress CoordinatorNotAvailable
        FencedInstanceId FencedLeaderEpoch GroupAuthorizationFailed GroupMaxSizeReached IllegalGeneration InconsistentGroupProtocol
        InvalidConfig InvalidGroupId InvalidProducerEpoch InvalidProducerIdMapping InvalidRecord
        InvalidReplicationFactor InvalidSessionTimeout InvalidTimestamp InvalidTopic InvalidTransactionTimeout
        InvalidTransactionalState KafkaStorageError LeaderNotAvailable MessageSizeTooLarge NetworkException
        NotCoordinator NotEnoughReplicas NotEnoughReplicasAfterAppend NotLeaderForPartition OffsetMetadataTooLarge OffsetNotAvailable
        OffsetOutOfRange OutOfOrderSequenceNumber PolicyViolation ProducerFenced RebalanceInProgress ReplicaNotAvailable RequestTimedOut
        SaslAuthenticationFailed TopicAlreadyExists TopicAuthorizationFailed TransactionCoordinatorFenced
        TransactionalIdAuthorizationFailed Unknown UnknownLeaderEpoch UnknownMemberId UnknownProducerId UnknownTopicOrPartition
        UnreleasedInstanceId UnstableOffsetCommit UnsupportedAssignor UnsupportedForMessageFormat UnsupportedVersion;
    detected here:
        /// The client library reports an error without a code, such as one of creating a client.
        Unspecified
        /// A record has no delivery report.
        NoReport
        /// The client purged records without reporting a cause.
        NoCause
        /// The consumer has no group metadata.
        NoGroup
        /// Records were not acknowledged before the timeout.
        NotDelivered
        /// The operating system does not create a thread.
        Thread;
}

impl ErrorCode {
    /// Returns whether a permission is missing.
    #[must_use]
    pub const fn is_denied(self) -> bool {
        matches!(
            self,
            Self::TopicAuthorizationFailed
                | Self::GroupAuthorizationFailed
                | Self::ClusterAuthorizationFailed
                | Self::TransactionalIdAuthorizationFailed
        )
    }

    /// Returns what to do about an error with this code, if that does not depend on the call that failed.
    pub(super) const fn to_do(self) -> Option<&'static str> {
        Some(match self {
            Self::TransactionalIdAuthorizationFailed => {
                "grant WRITE on the transactional ids that begin with kafka.group_id"
            }
            Self::TopicAuthorizationFailed => {
                "grant READ on the touchpoint topic, WRITE on the transition, replay and dead-letter topics, and both on \
                 the changelog"
            }
            Self::GroupAuthorizationFailed => "grant READ on the group that kafka.group_id names",
            Self::ClusterAuthorizationFailed => "grant the principal the permissions listed in docs/configuration.md",
            Self::SaslAuthenticationFailed | Self::Authentication => {
                "check sasl.mechanism, sasl.username and sasl.password under kafka.client"
            }
            Self::SSL => "check the certificates and ssl.ca.location under kafka.client",
            Self::InvalidTransactionTimeout => {
                "make kafka.transaction_timeout at most the brokers' transaction.max.timeout.ms"
            }
            Self::InvalidSessionTimeout => {
                "set kafka.session_timeout within the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"
            }
            Self::FencedInstanceId => "give each running instance its own kafka.instance_id",
            Self::UnknownTopicOrPartition | Self::UnknownTopic | Self::UnknownPartition => {
                "create the topics: lifecycle topics --create"
            }
            _ => return None,
        })
    }
}
