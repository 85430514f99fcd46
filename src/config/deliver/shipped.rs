//! The presets of destinations that are compiled into the binary.

use crate::lifecycle::suggest::nearest;

/// Names and texts of the presets, sorted by name.
pub const PRESETS: &[(&str, &str)] = &[];

/// Returns the text of a preset.
///
/// # Errors
/// The names of all presets, if there is none of this name.
pub fn preset(name: &str) -> Result<&'static str, String> {
    PRESETS.iter().find(|(it, _)| *it == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        let hint =
            nearest(name, names.iter().copied()).map_or(String::new(), |name| format!(": did you mean `{name}`?"));
        format!("there is no preset `{name}`{hint} (presets: {}; or write the path of a file)", names.join(", "))
    })
}
