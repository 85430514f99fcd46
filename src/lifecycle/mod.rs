//! The rules: touchpoints update facts, a model maps facts and an instant to a standing, and transitions are the
//! differences between standings.
//!
//! Pure and synchronous, without clock, IO, logging, metrics or randomness: the same touchpoints and the same instants
//! always produce the same transitions.

pub mod id;
pub mod money;
pub mod rfc3339;
pub mod time;
pub mod value;

pub mod identity;
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
pub mod suggest;

pub mod customer;
pub mod evaluate;
mod merge;
pub mod transition;
pub mod transition_builder;
