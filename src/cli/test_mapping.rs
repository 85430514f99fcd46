//! `lifecycle test --source`: runs the golden records of a mapping.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::mapping_argument::{self, SourceArguments};
use super::{Exit, print, print_error};
use crate::mapping::{golden_records, golden_settings};

/// Runs the golden records in `paths`, or those beside the mapping file: `shop.golden.ndjson` of `shop.yaml`.
pub(super) fn run(arguments: &SourceArguments, name: &str, paths: &[String]) -> Exit {
    let paths = match golden_files(name, paths) {
        Ok(paths) => paths,
        Err(message) => {
            print_error(format_args!("lifecycle test: {message}"));
            return Exit::Usage;
        }
    };
    let (mut records, mut failed) = (0, 0);
    let mut text = String::new();
    for path in &paths {
        match run_file(arguments, name, path, &mut text) {
            Ok((all, wrong)) => {
                records += all;
                failed += wrong;
            }
            Err(exit) => return exit,
        }
    }
    _ = writeln!(text, "{records} golden records, {failed} failed");
    match print(&text) {
        Exit::Success if failed > 0 => Exit::Problems,
        printed => printed,
    }
}

fn golden_files(name: &str, paths: &[String]) -> Result<Vec<PathBuf>, String> {
    if !paths.is_empty() {
        return Ok(paths.iter().map(PathBuf::from).collect());
    }
    let beside = Path::new(name).with_extension("golden.ndjson");
    if beside.is_file() {
        return Ok(vec![beside]);
    }
    Err(format!("{}: there is no such file; name the files with golden records of {name}", beside.display()))
}

/// Returns the number of records and of failures.
fn run_file(arguments: &SourceArguments, name: &str, path: &Path, text: &mut String) -> Result<(usize, usize), Exit> {
    let failed = |message: String| {
        print_error(format_args!("lifecycle test: {}: {message}", path.display()));
        Exit::Usage
    };
    let golden = fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let mut settings: Map<String, Value> = golden_settings(&golden).map_err(failed)?;
    settings.extend(arguments.source_setting.iter().cloned());
    let settings: Vec<_> = settings.into_iter().collect();
    let mapping = mapping_argument::load(name, &settings)?;
    let records = golden_records(&mapping, &golden).map_err(failed)?;
    _ = writeln!(text, "{}", path.display());
    let mut wrong = 0;
    for record in &records {
        let verdict = if record.is_as_expected() { "ok    " } else { "FAILED" };
        _ = writeln!(text, "  {verdict}  {}: {}", record.line, record.about);
        if !record.is_as_expected() {
            wrong += 1;
            let expected =
                record.expected.as_ref().map_or("no outcome".to_owned(), |(kind, value)| format!("{kind}: {value}"));
            _ = writeln!(
                text,
                "          expected  {expected}\n          found     {}: {}",
                record.found.0, record.found.1
            );
        }
    }
    Ok((records.len(), wrong))
}
