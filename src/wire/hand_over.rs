//! Records of the hand-over topic: `lifecycle.v1.HandOver`.
//!
//! A record holds a message of `partition`, or a touchpoint to forward. The encoding of a customer belongs to the
//! partition; here it is bytes. Decoding never panics, even on arbitrary bytes.

use prost::Message as _;

use super::changelog::{stored_from_proto, stored_to_proto};
use super::proto::lifecycle::v1 as proto;
use crate::lifecycle::identity::{Alias, AliasKind};
use crate::lifecycle::time::Timestamp;
use crate::partition::{Link, StoredLayout};

/// Format version that this release writes, and the newest one that it can read. Format 1 has no merges of customers.
pub const FORMAT: u32 = 2;

/// A record of the hand-over topic.
#[derive(Clone, PartialEq, Debug)]
pub struct HandOverRecord {
    /// The id that it is for.
    pub to: String,
    /// The life of the id that it is for; `None` if the sender does not know it, or if the content names a move.
    pub life: Option<u16>,
    /// Event time: the receiving partition first reads its own touchpoints up to it.
    pub at: Timestamp,
    /// The ids that have passed it on, each once, the latest last.
    pub path: Vec<String>,
    /// The number of times that it was passed on, or waited.
    pub rounds: u32,
    /// The content.
    pub content: Content,
}

/// The content of a record of the hand-over topic.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// To a visitor: a customer claims it. To the id that a command merges: its customer.
    Claim {
        /// The customer.
        by: String,
        /// The life of the customer.
        life: u16,
        /// The touchpoint that names both.
        link: Link,
        /// Other ids of the customer.
        names: Vec<String>,
        /// When the id joins the customer; `None` if the link is from before an erasure of the customer.
        joined_at: Option<Timestamp>,
    },
    /// To a customer: the facts of another id move to it.
    Facts {
        /// The other id.
        of: String,
        /// Identifies the move.
        drain: u64,
        /// The touchpoint that names both.
        link: Link,
        /// As in the claim.
        joined_at: Option<Timestamp>,
        /// The encoded customer and its layout; `None` if nothing was known of the id.
        customer: Option<Box<(StoredLayout, Vec<u8>)>>,
        /// The ids whose facts had moved to it before.
        aliases: Vec<Alias>,
    },
    /// To an alias: the customer that its facts moved to was removed.
    Erase {
        /// Identifies the move.
        drain: u64,
        /// Whether what is not later was erased; otherwise, the customer was forgotten.
        is_erasure: bool,
    },
    /// To an id that a customer has claimed: the customer was erased before the facts of the id arrived.
    EraseClaimed {
        /// The customer.
        by: String,
        /// The life of the customer.
        life: u16,
    },
    /// To a customer that has claimed an id: an erasure names the id.
    EraseCustomer {
        /// As in the claim.
        joined_at: Option<Timestamp>,
    },
    /// To an alias: its facts have arrived.
    Redirect {
        /// Identifies the move.
        drain: u64,
        /// The customer that has the facts.
        into: String,
        /// The life of the customer.
        life: u16,
    },
    /// A touchpoint.
    Touchpoint {
        /// The record, as it was read.
        value: Vec<u8>,
        /// The moves of facts that must arrive first.
        needs: Vec<u64>,
    },
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
    /// Returns the size of the encoded customer, in bytes.
    #[must_use]
    pub fn customer_bytes(&self) -> usize {
        match &self.content {
            Content::Facts { customer: Some(customer), .. } => customer.1.len(),
            _ => 0,
        }
    }

    /// Returns the size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Claim { by, link, names, .. } => by.len() + link_bytes(link) + texts(names.iter()),
            Content::Facts { of, link, aliases, .. } => {
                let aliases: usize = aliases.iter().map(|alias| size_of::<Alias>() + alias.id.len()).sum();
                of.len() + link_bytes(link) + self.customer_bytes() + aliases
            }
            Content::Erase { .. } | Content::EraseCustomer { .. } => 0,
            Content::EraseClaimed { by, .. } => by.len(),
            Content::Redirect { into, .. } => into.len(),
            Content::Touchpoint { value, needs } => value.len() + size_of_val(needs.as_slice()),
        };
        size_of::<Self>() + self.to.len() + texts(self.path.iter()) + content
    }

    /// Encodes the value of a record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use proto::hand_over::{Claim, Erase, EraseClaimed, EraseCustomer, Facts, Message, Redirect};

        let millis = |instant: &Option<Timestamp>| instant.map(Timestamp::as_millis);
        let mut moves = Vec::new();
        let message = match &self.content {
            Content::Claim { by, life, link, names, joined_at } => Message::Claim(Claim {
                by: by.clone(),
                life: (*life).into(),
                link: Some(cause(link)),
                names: names.clone(),
                joined_at: millis(joined_at),
            }),
            Content::Facts { of, drain, link, joined_at, customer, aliases } => Message::Facts(Facts {
                of: of.clone(),
                drain: *drain,
                link: Some(cause(link)),
                joined_at: millis(joined_at),
                layout: customer.as_ref().map(|customer| stored_to_proto(&customer.0)),
                customer: customer.as_ref().map(|customer| customer.1.clone()),
                aliases: aliases.iter().map(alias_to_proto).collect(),
            }),
            Content::Erase { drain, is_erasure } => Message::Erase(Erase { drain: *drain, is_erasure: *is_erasure }),
            Content::EraseClaimed { by, life } => {
                Message::EraseClaimed(EraseClaimed { by: by.clone(), life: (*life).into() })
            }
            Content::EraseCustomer { joined_at } => {
                Message::EraseCustomer(EraseCustomer { joined_at: millis(joined_at) })
            }
            Content::Redirect { drain, into, life } => {
                Message::Redirect(Redirect { drain: *drain, into: into.clone(), life: (*life).into() })
            }
            Content::Touchpoint { value, needs } => {
                moves.clone_from(needs);
                Message::Touchpoint(value.clone())
            }
        };
        let record = proto::HandOver {
            format: FORMAT,
            to: self.to.clone(),
            at: self.at.as_millis(),
            life: self.life.map(u32::from),
            path: self.path.clone(),
            rounds: self.rounds,
            needs: moves,
            message: Some(message),
        };
        record.encode_to_vec()
    }

    /// Decodes the value of a record.
    ///
    /// # Errors
    /// When a newer release wrote the record, or it is corrupt.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandOverError> {
        use HandOverError::{Corrupt, Newer};
        use proto::hand_over::Message;

        let instant = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let record = proto::HandOver::decode(bytes).map_err(|_| Corrupt("it is not a HandOver message"))?;
        match record.format {
            0 => return Err(Corrupt("it has no format version")),
            1..=FORMAT => {}
            format => return Err(Newer(format)),
        }
        if record.to.is_empty() || record.path.iter().any(String::is_empty) {
            return Err(Corrupt("it has no id"));
        }
        let content = match record.message.ok_or(Corrupt("it has no message"))? {
            Message::Claim(claim) => {
                let (by, names, life) = (claim.by, claim.names, life(claim.life)?);
                Content::Claim { by, life, link: link(claim.link)?, names, joined_at: instant(claim.joined_at) }
            }
            Message::Facts(facts) => Content::Facts {
                of: facts.of,
                drain: facts.drain,
                link: link(facts.link)?,
                joined_at: instant(facts.joined_at),
                customer: facts
                    .customer
                    .map(|customer| {
                        let layout = facts.layout.ok_or(Corrupt("it has facts without their layout"))?;
                        Ok(Box::new((stored_from_proto(layout), customer)))
                    })
                    .transpose()?,
                aliases: facts.aliases.into_iter().map(alias_from_proto).collect(),
            },
            Message::Erase(erase) => Content::Erase { drain: erase.drain, is_erasure: erase.is_erasure },
            Message::EraseClaimed(erase) => Content::EraseClaimed { by: erase.by, life: life(erase.life)? },
            Message::EraseCustomer(erase) => Content::EraseCustomer { joined_at: instant(erase.joined_at) },
            Message::Redirect(redirect) => {
                Content::Redirect { drain: redirect.drain, into: redirect.into, life: life(redirect.life)? }
            }
            Message::Touchpoint(value) => Content::Touchpoint { value, needs: record.needs },
        };
        let at = Timestamp::from_millis(record.at);
        let life = record.life.map(life).transpose()?;
        Ok(Self { to: record.to, life, at, path: record.path, rounds: record.rounds, content })
    }
}

fn life(number: u32) -> Result<u16, HandOverError> {
    u16::try_from(number).map_err(|_| HandOverError::Corrupt("a life is above 65,535"))
}

fn texts<'a>(ids: impl Iterator<Item = &'a String>) -> usize {
    ids.map(|id| size_of::<String>() + id.len()).sum()
}

fn link_bytes(link: &Link) -> usize {
    link.event_id.len() + link.type_name.len()
}

fn alias_to_proto(alias: &Alias) -> proto::Link {
    proto::Link {
        id: alias.id.to_string(),
        drain: alias.drain,
        time: alias.claimed_at.as_millis(),
        merged: alias.kind != AliasKind::Visitor,
        split: alias.kind == AliasKind::Split,
        ..proto::Link::default()
    }
}

fn alias_from_proto(link: proto::Link) -> Alias {
    let kind = match (link.merged, link.split) {
        (_, true) => AliasKind::Split,
        (true, false) => AliasKind::Customer,
        (false, false) => AliasKind::Visitor,
    };
    Alias { id: link.id.into(), drain: link.drain, claimed_at: Timestamp::from_millis(link.time), kind }
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
        let alias = Alias { id: "other".into(), drain: 7, claimed_at: at, kind: AliasKind::Visitor };
        let facts = |customer| Content::Facts {
            of: "visitor".to_owned(),
            drain: u64::MAX,
            link: link.clone(),
            joined_at: Some(at),
            customer,
            aliases: [AliasKind::Visitor, AliasKind::Customer, AliasKind::Split]
                .map(|kind| Alias { kind, ..alias.clone() })
                .into(),
        };
        let layout = StoredLayout { numbers: vec![StableId(u64::MAX)], orders: true, ..StoredLayout::default() };
        let names = vec!["anne".to_owned()];
        let contents = [
            Content::Claim { by: "anna".to_owned(), life: 2, link: link.clone(), names, joined_at: Some(at) },
            facts(None),
            facts(Some(Box::new((layout, b"\x0a\x07visitor".to_vec())))),
            Content::Erase { drain: 3, is_erasure: false },
            Content::Erase { drain: 3, is_erasure: true },
            Content::EraseClaimed { by: "anna".to_owned(), life: 1 },
            Content::EraseCustomer { joined_at: None },
            Content::Redirect { drain: 3, into: "anna".to_owned(), life: 1 },
            Content::Touchpoint { value: b"{}".to_vec(), needs: vec![5, u64::MAX] },
        ];
        let path = vec!["visitor".to_owned()];
        contents
            .map(|content| HandOverRecord {
                to: "id".to_owned(),
                life: Some(0),
                at,
                path: path.clone(),
                rounds: 2,
                content,
            })
            .into()
    }

    #[test]
    fn records_round_trip() {
        for record in records() {
            assert_eq!(HandOverRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_newer_format_and_incomplete_messages_are_rejected() {
        assert_eq!(HandOverRecord::decode(&[8, 3]), Err(HandOverError::Newer(3)));
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
