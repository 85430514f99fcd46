//! Tests of the record formats: decoded touchpoints, encoded transitions, and the examples in the documentation.

mod contracts;
mod touchpoints;
mod transitions;
