//! Expressions, templates and mapping files over JSON records.
//!
//! An [`Expression`] is written in the syntax of conditions and evaluated over JSON values. A [`Template`] is a tree of
//! JSON whose texts contain expressions. Both are compiled once, and both have limits on size, depth and work. Pure:
//! the same record always has the same result.

mod batch;
mod compile;
mod datum;
mod draft;
mod error;
mod evaluate;
mod explain;
mod expression;
mod field;
mod file;
mod file_text;
mod function;
mod golden;
mod keys;
mod kind;
#[expect(clippy::module_inception, reason = "the folder and its main type have one name")]
mod mapping;
mod node;
mod preset;
mod projection;
mod record;
mod slots;
mod template;
mod touchpoint;

pub use batch::{BATCH_RECORDS_MAX, Records};
pub use draft::draft;
pub use error::EvaluationError;
pub use explain::{Explanation, MappedField};
pub use expression::{Environment, Expression};
pub use file::{FILE_BYTES_MAX, IDENTITY};
pub use file_text::{is_mapping_file, typed_setting};
pub use function::FUNCTION_NAMES;
pub use golden::{GoldenRecord, golden_records, golden_settings};
pub use mapping::{Mapping, NO_TOUCHPOINT, Outcome, SourceRecord, TOUCHPOINTS_MAX};
pub use preset::{Presets, preset, preset_names};
pub use record::RecordValues;
pub use template::{Template, TemplateProblem};
pub use touchpoint::MappedTouchpoint;

pub use crate::lifecycle::condition::ExpressionProblem;

#[cfg(test)]
mod tests;
