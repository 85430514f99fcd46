//! Links that identity resolution refuses, and why.

use std::sync::Arc;

use super::hand_over::Link;

/// A link, a merge or a split without effect. Its touchpoint counts as usual.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedLink {
    /// The customer of the touchpoint; the visitor, if its customer id is blocked.
    pub customer_id: Arc<str>,
    /// The id that the touchpoint links or merges; for a split, the customer to split it from, if there is one.
    pub other_id: Arc<str>,
    /// The touchpoint that names both.
    pub link: Link,
    /// Why it is refused.
    pub reason: RefusalReason,
}

/// Why a link is refused. The names are a contract: metric labels and lists of refused links have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalReason {
    /// The id is blocked.
    BlockedId,
    /// The visitor to link is a customer.
    CustomerId,
    /// The visitor to link was merged into another customer by a command.
    MergedId,
    /// Another customer has claimed the visitor.
    SharedId,
    /// The customer has too many new ids within a day.
    NewIdsMax,
    /// The customer has too many merged ids.
    MergedIdsMax,
    /// The id to split was not merged by a command from before.
    NotMerged,
    /// The id to split was split from another customer before.
    SplitBefore,
    /// The id to merge was split by a command from after the merge, which arrived first.
    SplitLater,
}

impl RefusalReason {
    /// All reasons, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::BlockedId,
        Self::CustomerId,
        Self::MergedId,
        Self::SharedId,
        Self::NewIdsMax,
        Self::MergedIdsMax,
        Self::NotMerged,
        Self::SplitBefore,
        Self::SplitLater,
    ];

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlockedId => "blocked_id",
            Self::CustomerId => "customer_id",
            Self::MergedId => "merged_id",
            Self::SharedId => "shared_id",
            Self::NewIdsMax => "new_ids_max",
            Self::MergedIdsMax => "merged_ids_max",
            Self::NotMerged => "not_merged",
            Self::SplitBefore => "split_before",
            Self::SplitLater => "split_later",
        }
    }
}
