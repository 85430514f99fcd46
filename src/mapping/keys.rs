//! The keys of a mapping file, for messages about unknown and missing ones.

use crate::wire::model_file::keys::Keys;

pub(super) const MAPPING: Keys = Keys {
    what: "a mapping",
    known: &[
        "mapping",
        "title",
        "description",
        "documentation",
        "recognise",
        "batch",
        "settings",
        "tables",
        "values",
        "drop",
        "defaults",
        "touchpoints",
    ],
    required: &["mapping", "touchpoints"],
};
pub(super) const BATCH: Keys = Keys { what: "a batch", known: &["records", "shared"], required: &["records"] };
pub(super) const SETTING: Keys = Keys { what: "a setting", known: &["default", "description"], required: &[] };
pub(super) const DROP: Keys = Keys { what: "a drop rule", known: &["when", "reason"], required: &["when", "reason"] };
/// The keys of a touchpoint. The defaults have those after the first two.
const TOUCHPOINT_KEYS: &[&str] = &[
    "when",
    "for_each",
    "touchpoint",
    "event_id",
    "customer_id",
    "anonymous_id",
    "merged_id",
    "occurred_at",
    "order_id",
    "amount",
    "currency",
    "properties",
];
pub(super) const DEFAULTS: Keys = Keys { what: "the defaults", known: TOUCHPOINT_KEYS.split_at(2).1, required: &[] };
pub(super) const TOUCHPOINT: Keys = Keys { what: "a touchpoint", known: TOUCHPOINT_KEYS, required: &[] };
