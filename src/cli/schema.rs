//! `lifecycle schema`: prints the JSON Schemas of model and catalogue files, for editors.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::print_json;
use crate::wire::model_file::{catalogue_schema, model_schema};

const EXAMPLES: &str = "\
Examples:
  lifecycle schema models > model.schema.json
  lifecycle schema catalogue > catalogue.schema.json

Editors with a YAML language server use the schema if the model file starts with
  # yaml-language-server: $schema=model.schema.json";

/// Print the JSON Schema of model files, for editors
///
/// The schema describes the structure of a file: keys, types and allowed values. It does not check names and
/// conditions; `lifecycle check` does.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArguments {
    /// File type that the schema describes
    #[arg(value_enum)]
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// Model files
    Models,
    /// Catalogues of touchpoint types
    Catalogue,
}

/// Prints the schema.
pub(super) fn run(arguments: &SchemaArguments) -> ExitCode {
    let schema = match arguments.kind {
        Kind::Models => model_schema(),
        Kind::Catalogue => catalogue_schema(),
    };
    print_json(&format!("{schema:#}\n")).into()
}
