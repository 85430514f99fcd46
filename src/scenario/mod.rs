//! Scenarios: short tests of a model, each a list of touchpoints and the transitions expected from them.
//!
//! The author of a model writes them (`docs/testing-models.md` describes the format). They run on the same partition
//! machine as the service, without Kafka and without wall time. A scenario fails on every transition that it does not
//! expect.

mod assertion;
mod coverage;
mod expectation;
mod file;
mod given_touchpoint;
mod names;
mod run;
mod shipped;
mod step_time;
mod words;

pub use coverage::Coverage;
pub use file::{FILE_BYTES_MAX, Header, Scenario, SyntaxError, parse, parse_header};
pub use run::{Difference, Failure, run};
pub use shipped::shipped_scenarios;
