//! Contracts on the wire: what is read, what is written, and that the documentation's examples are so.

mod contracts;
mod touchpoints;
mod transitions;
