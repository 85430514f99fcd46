//! The rules: touchpoints become facts, facts and time become a standing, two standings a transition.
//!
//! Pure and synchronous. There is no clock here, no IO, no logging, no metrics, no randomness: the
//! same touchpoints and the same instants always give the same transitions.

pub mod id;
pub mod money;
pub mod rfc3339;
pub mod time;
pub mod value;

pub mod touchpoint;
pub mod vocabulary;

pub mod fact;

pub mod condition;

pub mod model;
pub mod model_check;
pub mod model_draft;
pub mod model_edit;
pub mod model_set;
pub mod problem;

pub mod author;
pub mod customer;
pub mod evaluate;
pub mod transition;
