//! End-to-end tests of expressions, from text to value.

mod horizons;
mod hostile;
mod problems;
mod proofs;
mod values;

use super::{Constant, FactTable};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::Type;

const DAY: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// The facts of these tests: a few of each type; facts named `no_...` are absent.
fn table() -> FactTable {
    let mut table = FactTable::default();
    table.set("orders.count", Constant::Int(3));
    table.set("visits", Constant::Int(7));
    table.set("score", Constant::Double(8.5));
    table.set("plan", Constant::String("premium".into()));
    table.set("subscribed", Constant::Bool(true));
    table.set("last_order", Constant::Timestamp(Timestamp::from_millis(NEW_YEAR)));
    table.set("signed_up", Constant::Timestamp(Timestamp::from_millis(NEW_YEAR - 10 * DAY)));
    table.set("grace", Constant::Duration(Duration::from_days(14)));
    table.set_absent("no_int", Type::Int);
    table.set_absent("no_double", Type::Double);
    table.set_absent("no_string", Type::String);
    table.set_absent("no_bool", Type::Bool);
    table.set_absent("no_time", Type::Timestamp);
    table.set_absent("no_length", Type::Duration);
    table
}
