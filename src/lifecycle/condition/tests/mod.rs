//! End-to-end tests of expressions, from text to value.

mod horizons;
mod hostile;
mod problems;
mod proofs;
mod values;

use super::FactTable;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{OwnedValue, Type};

const DAY: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// The facts of these tests: a few of each type; facts named `no_...` are absent.
fn table() -> FactTable {
    let mut table = FactTable::default();
    table.set("orders.count", OwnedValue::Int(3));
    table.set("visits", OwnedValue::Int(7));
    table.set("score", OwnedValue::Double(8.5));
    table.set("plan", OwnedValue::String("premium".into()));
    table.set("subscribed", OwnedValue::Bool(true));
    table.set("last_order", OwnedValue::Timestamp(Timestamp::from_millis(NEW_YEAR)));
    table.set("signed_up", OwnedValue::Timestamp(Timestamp::from_millis(NEW_YEAR - 10 * DAY)));
    table.set("grace", OwnedValue::Duration(Duration::from_days(14)));
    table.set_absent("no_int", Type::Int);
    table.set_absent("no_double", Type::Double);
    table.set_absent("no_string", Type::String);
    table.set_absent("no_bool", Type::Bool);
    table.set_absent("no_time", Type::Timestamp);
    table.set_absent("no_length", Type::Duration);
    table
}
