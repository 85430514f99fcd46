//! An output file of a command. It is never one of the input files, and an incomplete one is removed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that a command writes. Unless `finish` succeeds, the file is removed: a part of the output, for example on a
/// full disk, must not look whole. Devices and pipes are never removed.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    file: BufWriter<File>,
    is_removable: bool,
}

impl OutputFile {
    /// Creates or truncates the file at `path`, which must not be one of the `inputs`.
    ///
    /// # Errors
    /// When the file cannot be created, or is an input, also as a symbolic or hard link to it.
    pub(super) fn create(path: &Path, inputs: &[PathBuf]) -> io::Result<Self> {
        if let Some(input) = inputs.iter().find(|input| is_same_file(input, path)) {
            let input = input.display();
            return Err(io::Error::other(format!("it is the input file {input}: write to another file")));
        }
        let file = File::create(path)?;
        let is_removable = file.metadata()?.is_file();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), is_removable })
    }

    /// Writes what is buffered and keeps the file.
    ///
    /// # Errors
    /// When the file cannot be written; it is removed.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.is_removable = false;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_removable {
            // The error that led here is reported; a second one would not help.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns whether both paths refer to the same regular file, directly or through links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) if one.is_file() => identity(&one) == identity(&other),
        _ => false,
    }
}

#[cfg(unix)]
fn identity(file: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}
