//! Field numbers and wire types of `lifecycle.v1.Customer` and its nested messages; see
//! `proto/lifecycle/v1/changelog.proto`.

pub(crate) const CUSTOMER_ID: u32 = 1;
pub(crate) const REMOVED: u32 = 2;
pub(crate) const CLOCK: u32 = 3;
pub(crate) const WAKE_UP_IN: u32 = 4;
pub(crate) const STANDINGS: u32 = 5;
pub(crate) const NUMBERS: u32 = 6;
pub(crate) const RECENT_EVENTS: u32 = 7;
pub(crate) const ORDERS: u32 = 8;
pub(crate) const LATEST: u32 = 9;
pub(crate) const WINDOWS: u32 = 10;
pub(crate) const FOLLOWED: u32 = 11;
pub(crate) const FOLDED: u32 = 12;
pub(crate) const OUTDATED_MODELS: u32 = 13;
pub(crate) const HEARD_AGE: u32 = 14;
pub(crate) const NUMBERS_HIGH: u32 = 15;
pub(crate) const VISITOR: u32 = 16;
pub(crate) const IDENTITY: u32 = 17;

pub(crate) mod identity {
    pub(crate) const STUB: u32 = 1;
    pub(crate) const FORMER: u32 = 2;
    pub(crate) const ALIASES: u32 = 3;
    pub(crate) const ERASED_AT: u32 = 4;
    pub(crate) const ERASURE_KEPT_UNTIL: u32 = 5;
    pub(crate) const RETIRED: u32 = 6;
    pub(crate) const ERASED_MOVES: u32 = 7;
    pub(crate) const ERASURE_REQUESTED_AT: u32 = 8;
    pub(crate) const SPLIT_AT: u32 = 9;
    pub(crate) const REMOVALS: u32 = 10;
}

/// A stub, a former stub or an alias.
pub(crate) mod link {
    pub(crate) const ID: u32 = 1;
    pub(crate) const DRAIN: u32 = 2;
    pub(crate) const TIME: u32 = 3;
    pub(crate) const MERGED: u32 = 4;
    pub(crate) const UNSETTLED: u32 = 5;
    pub(crate) const LIFE: u32 = 6;
    pub(crate) const COMMANDED_AT: u32 = 7;
    pub(crate) const LAST_LIFE: u32 = 8;
    pub(crate) const SPLIT: u32 = 9;
    pub(crate) const ENDS_AT: u32 = 10;
}

pub(crate) mod order {
    pub(crate) const ID: u32 = 1;
    pub(crate) const AGE: u32 = 2;
    pub(crate) const NAMED_AGE: u32 = 3;
    pub(crate) const AMOUNT: u32 = 4;
    pub(crate) const CURRENCY: u32 = 5;
    pub(crate) const AMOUNT_AGE: u32 = 6;
    pub(crate) const AMOUNT_EVENT_ID: u32 = 7;
    pub(crate) const AMOUNT_EVENT_UUID: u32 = 8;
    pub(crate) const VOID: u32 = 9;
    pub(crate) const REFUNDS: u32 = 10;
    pub(crate) const FOLLOWED: u32 = 11;
    pub(crate) const REFUNDS_HIGH: u32 = 12;
}

pub(crate) mod latest {
    pub(crate) const INDEX: u32 = 1;
    pub(crate) const AGE: u32 = 2;
    pub(crate) const INT: u32 = 3;
    pub(crate) const DOUBLE: u32 = 4;
    pub(crate) const BOOL: u32 = 5;
    pub(crate) const STRING: u32 = 6;
    pub(crate) const TIMESTAMP: u32 = 7;
    pub(crate) const DURATION: u32 = 8;
}

pub(crate) mod folded {
    pub(crate) const COUNT: u32 = 1;
    pub(crate) const REVENUE: u32 = 2;
    pub(crate) const FIRST_AGE: u32 = 3;
    pub(crate) const LAST_AGE: u32 = 4;
    pub(crate) const CHAINS: u32 = 5;
    pub(crate) const FOLLOWED: u32 = 6;
    pub(crate) const REVENUE_HIGH: u32 = 7;
    pub(crate) const IDS: u32 = 8;
}

pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LENGTH_DELIMITED: u32 = 2;
pub(crate) const FIXED32: u32 = 5;
