//! `lifecycle schema`: JSON Schemas of the files that people write, for their editors.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::print;
use crate::wire::model_file::{catalogue_schema, model_schema};

const EXAMPLES: &str = "\
Examples:
  lifecycle schema models > model.schema.json
  lifecycle schema catalogue > catalogue.schema.json

An editor with a YAML language server reads it when the model begins with
  # yaml-language-server: $schema=model.schema.json";

/// Print the JSON Schema of model files, for editors.
///
/// It knows the shape of a file: keys, lists, spellings. Names and conditions are the business of `lifecycle check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArguments {
    /// Of what
    #[arg(value_enum)]
    of: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// Model files
    Models,
    /// Catalogues of touchpoints
    Catalogue,
}

/// Prints.
pub(super) fn run(arguments: &SchemaArguments) -> ExitCode {
    let schema = match arguments.of {
        Kind::Models => model_schema(),
        Kind::Catalogue => catalogue_schema(),
    };
    print(&format!("{schema:#}\n")).into()
}
