//! A naive oracle of the six shipped models, and an adversarial generator of histories.
//!
//! Written from the definitions alone, by brute force over everything that a customer was received to have done, so
//! that the program is never compared with itself: nothing here imports the library. Slow, and meant to be read.
//!
//! Where the definitions leave room, the oracle reads them thus:
//!
//! - Orders share one space of ids: an order without `order_id` whose `event_id` is `x` is the order `x`.
//! - A currency belongs to an amount. A refund without an amount is full, whatever its currency.
//! - An order's currency is that of the report that gave its amount.
//! - A refund of zero is a refund with an amount: it adds nothing, and voids nothing.
//! - Only an *empty* `order_id` is none; one of spaces is an id. Ids are compared byte by byte, never trimmed or folded.
//! - `null` for an optional field is the same as leaving it out. Digits past the millisecond are cut off.
//! - A streak of 0 has no start.
//! - "A first stage" is any move from having none; so a reversal that gives one is named by the table.
//! - What a name depends on ("when unhappy since ...") is read after the touchpoint, at the instant of the move.
//! - A touchpoint is late when it is older than the customer's clock, an equal time is not late.
//! - A repeated touchpoint changes nothing, the clock included.
//! - Time moves a customer's clock where it publishes something; instants at which nothing is published leave it (the
//!   comparison allows a program to have moved it to any instant that has passed).

pub(crate) mod catalogue;
mod chance;
mod coverage;
pub(crate) mod generator;
mod journeys;
pub(crate) mod models;
mod names;
mod orders;
pub(crate) mod picture;
pub(crate) mod process;
pub(crate) mod touchpoint;
mod writing;
