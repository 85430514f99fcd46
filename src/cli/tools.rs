//! The commands that the service does not need, compiled with the feature `tools`: demo, top, customers, generate.

use std::process::ExitCode;

use clap::Subcommand;

use super::{customers, demo, generate, top};

#[derive(Subcommand, Debug)]
pub(super) enum Tool {
    Demo(demo::DemoArguments),
    Top(top::TopArguments),
    Customers(customers::CustomersArguments),
    Generate(generate::GenerateArguments),
}

/// Runs the tool.
pub(super) fn run(tool: &Tool) -> ExitCode {
    match tool {
        Tool::Demo(arguments) => demo::run(arguments),
        Tool::Top(arguments) => top::run(arguments),
        Tool::Customers(arguments) => customers::run(arguments),
        Tool::Generate(arguments) => generate::run(arguments),
    }
}
