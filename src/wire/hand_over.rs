//! Records of the hand-over topic: `lifecycle.v1.HandOver`.
//!
//! A record holds a message of `partition`, or a touchpoint to forward. The encoding of a visitor belongs to the
//! partition; here it is bytes. Decoding never panics, even on arbitrary bytes.

use prost::Message as _;

use super::changelog::{stored_from_proto, stored_to_proto};
use super::proto::lifecycle::v1 as proto;
use crate::lifecycle::time::Timestamp;
use crate::partition::{Link, StoredLayout};

/// Format version that this release writes, and the newest one that it can read.
pub const FORMAT: u32 = 1;

/// A record of the hand-over topic.
#[derive(Clone, PartialEq, Debug)]
pub struct HandOverRecord {
    /// The id that it is for.
    pub to: String,
    /// Event time: the receiving partition first reads its own touchpoints up to it.
    pub at: Timestamp,
    /// The content.
    pub content: Content,
}

/// The content of a record of the hand-over topic.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// To a visitor: a customer claims it.
    Claim {
        /// The customer.
        by: String,
        /// The touchpoint that names both.
        link: Link,
    },
    /// To a customer: the facts of a visitor move to it.
    Facts {
        /// The id of the visitor.
        of: String,
        /// Identifies the move.
        drain: u64,
        /// The touchpoint that names both.
        link: Link,
        /// The encoded visitor and its layout; `None` if nothing was known of it.
        visitor: Option<Box<(StoredLayout, Vec<u8>)>>,
    },
    /// To a visitor: the customer that its facts moved to was removed.
    Erase {
        /// Identifies the move.
        drain: u64,
    },
    /// A touchpoint, as it was read.
    Touchpoint(Vec<u8>),
}

/// Why a record of the hand-over topic cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandOverError {
    /// A newer release wrote the record in this format version.
    #[error("hand-over format {0} was written by a newer release; this release reads formats up to {FORMAT}")]
    Newer(u32),
    /// The bytes are not a hand-over, for this reason.
    #[error("corrupt hand-over: {0}")]
    Corrupt(&'static str),
}

impl HandOverRecord {
    /// Returns the size of the encoded visitor, in bytes.
    #[must_use]
    pub fn visitor_bytes(&self) -> usize {
        match &self.content {
            Content::Facts { visitor: Some(visitor), .. } => visitor.1.len(),
            _ => 0,
        }
    }

    /// Returns the size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Claim { by, link } => by.len() + link_bytes(link),
            Content::Facts { of, link, .. } => of.len() + link_bytes(link) + self.visitor_bytes(),
            Content::Erase { .. } => 0,
            Content::Touchpoint(value) => value.len(),
        };
        size_of::<Self>() + self.to.len() + content
    }

    /// Encodes the value of a record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = match &self.content {
            Content::Claim { by, link } => {
                proto::hand_over::Message::Claim(proto::hand_over::Claim { by: by.clone(), link: Some(cause(link)) })
            }
            Content::Facts { of, drain, link, visitor } => proto::hand_over::Message::Facts(proto::hand_over::Facts {
                of: of.clone(),
                drain: *drain,
                link: Some(cause(link)),
                layout: visitor.as_ref().map(|visitor| stored_to_proto(&visitor.0)),
                visitor: visitor.as_ref().map(|visitor| visitor.1.clone()),
            }),
            Content::Erase { drain } => proto::hand_over::Message::Erase(proto::hand_over::Erase { drain: *drain }),
            Content::Touchpoint(value) => proto::hand_over::Message::Touchpoint(value.clone()),
        };
        let record =
            proto::HandOver { format: FORMAT, to: self.to.clone(), at: self.at.as_millis(), message: Some(message) };
        record.encode_to_vec()
    }

    /// Decodes the value of a record.
    ///
    /// # Errors
    /// When a newer release wrote the record, or it is corrupt.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandOverError> {
        use HandOverError::{Corrupt, Newer};

        let record = proto::HandOver::decode(bytes).map_err(|_| Corrupt("it is not a HandOver message"))?;
        match record.format {
            0 => return Err(Corrupt("it has no format version")),
            FORMAT => {}
            format => return Err(Newer(format)),
        }
        if record.to.is_empty() {
            return Err(Corrupt("it has no id"));
        }
        let content = match record.message.ok_or(Corrupt("it has no message"))? {
            proto::hand_over::Message::Claim(claim) => Content::Claim { by: claim.by, link: link(claim.link)? },
            proto::hand_over::Message::Facts(facts) => Content::Facts {
                of: facts.of,
                drain: facts.drain,
                link: link(facts.link)?,
                visitor: facts
                    .visitor
                    .map(|visitor| {
                        let layout = facts.layout.ok_or(Corrupt("it has facts without their layout"))?;
                        Ok(Box::new((stored_from_proto(layout), visitor)))
                    })
                    .transpose()?,
            },
            proto::hand_over::Message::Erase(erase) => Content::Erase { drain: erase.drain },
            proto::hand_over::Message::Touchpoint(value) => Content::Touchpoint(value),
        };
        Ok(Self { to: record.to, at: Timestamp::from_millis(record.at), content })
    }
}

fn link_bytes(link: &Link) -> usize {
    link.event_id.len() + link.type_name.len()
}

fn cause(link: &Link) -> proto::hand_over::Cause {
    proto::hand_over::Cause {
        event_id: link.event_id.to_string(),
        r#type: link.type_name.to_string(),
        occurred_at: link.occurred_at.as_millis(),
    }
}

fn link(cause: Option<proto::hand_over::Cause>) -> Result<Link, HandOverError> {
    let cause = cause.ok_or(HandOverError::Corrupt("it has no link"))?;
    Ok(Link {
        event_id: cause.event_id.into(),
        type_name: cause.r#type.into(),
        occurred_at: Timestamp::from_millis(cause.occurred_at),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::id::StableId;

    fn records() -> Vec<HandOverRecord> {
        let at = Timestamp::from_millis(-5);
        let link = Link { event_id: "e-1".into(), type_name: "customer_identified".into(), occurred_at: at };
        let facts = |visitor| Content::Facts { of: "visitor".to_owned(), drain: u64::MAX, link: link.clone(), visitor };
        let layout = StoredLayout { numbers: vec![StableId(u64::MAX)], orders: true, ..StoredLayout::default() };
        let contents = [
            Content::Claim { by: "anna".to_owned(), link: link.clone() },
            facts(None),
            facts(Some(Box::new((layout, b"\x0a\x07visitor".to_vec())))),
            Content::Erase { drain: 3 },
            Content::Touchpoint(b"{}".to_vec()),
        ];
        contents.map(|content| HandOverRecord { to: "id".to_owned(), at, content }).into()
    }

    #[test]
    fn records_round_trip() {
        for record in records() {
            assert_eq!(HandOverRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_newer_format_and_incomplete_messages_are_rejected() {
        assert_eq!(HandOverRecord::decode(&[8, 2]), Err(HandOverError::Newer(2)));
        for bytes in [&b""[..], &[8, 1], &[8, 1, 18, 1, b'k'], &[8, 1, 18, 1, b'k', 34, 0], &[0xff]] {
            assert!(matches!(HandOverRecord::decode(bytes), Err(HandOverError::Corrupt(_))), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..80) {
            let _ = HandOverRecord::decode(&noise);
            for record in records() {
                let bytes = record.encode();
                let _ = HandOverRecord::decode(&bytes[..cut.min(bytes.len())]);
            }
        }
    }
}
