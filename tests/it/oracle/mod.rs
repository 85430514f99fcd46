//! A naive oracle of the six shipped models, and an adversarial generator of histories.
//!
//! The oracle follows only the definitions of the models, and evaluates the complete history of a customer by brute
//! force. Nothing here imports the library, so the program is never compared with itself. The oracle is slow, but easy
//! to read.
//!
//! Where the definitions are ambiguous, the oracle interprets them as follows:
//!
//! - Orders share one id space: an order without `order_id` whose `event_id` is `x` is the order `x`.
//! - A currency belongs to an amount. A refund without an amount is a full refund in any currency.
//! - The currency of an order is that of the touchpoint that gave its amount.
//! - A refund of zero is a partial refund: it adds nothing and does not void the order.
//! - Only an *empty* `order_id` counts as missing; one of spaces is an id. Ids are compared byte by byte, without
//!   trimming or case folding.
//! - `null` for an optional field is the same as a missing field. Digits after the millisecond are truncated.
//! - A streak of 0 has no start.
//! - Any move from no stage enters "a first stage". The table of the model names it, even if a reversal causes it.
//! - The condition of a name ("when unhappy since ...") is evaluated after the touchpoint, at the instant of the move.
//! - A touchpoint is late if it is older than the customer's clock. An equal time is not late.
//! - A duplicate touchpoint changes nothing, including the clock.
//! - Time advances a customer's clock only when it publishes something. (The comparison also accepts a program that
//!   advances the clock at other instants.)

pub(crate) mod catalogue;
mod coverage;
pub(crate) mod generator;
pub(crate) mod models;
mod names;
mod orders;
pub(crate) mod process;
mod random_touchpoints;
mod scripts;
pub(crate) mod summary;
pub(crate) mod touchpoint;
mod touchpoint_draft;
