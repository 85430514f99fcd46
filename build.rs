//! Compiles `proto/` into Rust, without `protoc`.

use std::error::Error;

const SCHEMAS: [&str; 3] =
    ["lifecycle/v1/touchpoint.proto", "lifecycle/v1/transition.proto", "lifecycle/v1/changelog.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(SCHEMAS, ["proto"])?;
    prost_build::Config::new()
        // The well-known types come from here as well: nothing else of them is needed than their fields.
        .compile_well_known_types()
        // Their comments hold code in other languages, which would be taken for tests.
        .disable_comments([".google"])
        .btree_map(["."])
        .include_file("proto.rs")
        .compile_fds(files)?;
    Ok(())
}
