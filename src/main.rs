//! Entry point of the `lifecycle` binary: runs the command line and returns its exit code.

use std::process::ExitCode;

/// Customer state consists of many small, short-lived allocations. mimalloc handles them faster than the system
/// allocator; see docs/decisions/0005.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lifecycle_processor::cli::run()
}
