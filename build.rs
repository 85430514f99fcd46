//! Generates Rust code from `proto/`. Uses protox, so the build does not need the `protoc` binary.

use std::error::Error;

const SCHEMAS: [&str; 5] = [
    "lifecycle/v1/touchpoint.proto",
    "lifecycle/v1/transition.proto",
    "lifecycle/v1/current_stages.proto",
    "lifecycle/v1/changelog.proto",
    "lifecycle/v1/hand_over.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(SCHEMAS, ["proto"])?;
    prost_build::Config::new()
        // Generate the well-known types too, instead of depending on prost-types: only their fields are used.
        .compile_well_known_types()
        // Their comments contain code in other languages, which rustdoc would run as doc tests.
        .disable_comments([".google"])
        .btree_map(["."])
        .include_file("proto.rs")
        .compile_fds(files)?;
    Ok(())
}
