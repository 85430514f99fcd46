//! Writes what a release contains beside the binary: the completions of the shells, the manual pages, and the documents
//! with the files that they link to.
//!
//! `cargo run --example release_files -- FOLDER` writes `completions/`, `man/` and the documents below the folder.

mod documents;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap_complete::aot::{Bash, Fish, Zsh, generate_to};
use lifecycle_processor::cli;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or_else(|| io::Error::other("name the folder to write to"))?);
    let (completions, man) = (folder.join("completions"), folder.join("man"));
    fs::create_dir_all(&completions)?;
    fs::create_dir_all(&man)?;
    // Without the pages of `help`, which repeat the others.
    let mut command = cli::command().disable_help_subcommand(true);
    generate_to(Bash, &mut command, "lifecycle", &completions)?;
    generate_to(Fish, &mut command, "lifecycle", &completions)?;
    generate_to(Zsh, &mut command, "lifecycle", &completions)?;
    clap_mangen::generate_to(command, &man)?;
    documents::copy(Path::new(env!("CARGO_MANIFEST_DIR")), &folder)
}
