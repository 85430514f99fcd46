//! Scenarios: what a customer does, in a few words, and what is expected to be published for it.
//!
//! A scenario file is written by whoever wrote the model (`docs/testing-models.md` describes it). It is run over the
//! same machine as the service, with no Kafka and no wall time. Everything that is published must be expected.

mod act;
mod coverage;
mod expectation;
mod file;
mod moment;
mod names;
mod run;
mod shipped;
mod words;

pub use coverage::Coverage;
pub use file::{FILE_BYTES_MAX, Head, Mistake, Scenario, parse, read_head};
pub use run::{Difference, Failure, run};
pub use shipped::shipped_scenarios;
