//! The commands that the service does not need, compiled with the feature `tools`: demo, top, generate.

use std::process::ExitCode;

use clap::Subcommand;

use super::{demo, generate, top};

#[derive(Subcommand, Debug)]
pub(super) enum Tool {
    Demo(demo::DemoArguments),
    Top(top::TopArguments),
    Generate(generate::GenerateArguments),
}

/// Runs the tool.
pub(super) fn run(tool: &Tool) -> ExitCode {
    match tool {
        Tool::Demo(arguments) => demo::run(arguments),
        Tool::Top(arguments) => top::run(arguments),
        Tool::Generate(arguments) => generate::run(arguments),
    }
}
