//! The program: parses the command line and returns the exit code.

use std::process::ExitCode;

/// Customers' records are many small allocations, made and freed on the worker threads; see ADR 0005.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lifecycle_processor::cli::run()
}
