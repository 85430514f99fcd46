//! The presets of destinations that are compiled into the binary.

use crate::lifecycle::suggest::suggestion;

/// Names and texts of the presets, sorted by name.
pub const PRESETS: &[(&str, &str)] = &[
    ("braze", include_str!("../../../presets/destinations/braze.yaml")),
    ("customerio", include_str!("../../../presets/destinations/customerio.yaml")),
    ("ga4", include_str!("../../../presets/destinations/ga4.yaml")),
    ("hubspot", include_str!("../../../presets/destinations/hubspot.yaml")),
    ("iterable", include_str!("../../../presets/destinations/iterable.yaml")),
    ("klaviyo", include_str!("../../../presets/destinations/klaviyo.yaml")),
    ("mailchimp", include_str!("../../../presets/destinations/mailchimp.yaml")),
    ("segment", include_str!("../../../presets/destinations/segment.yaml")),
    ("slack", include_str!("../../../presets/destinations/slack.yaml")),
];

/// Returns the text of a preset.
///
/// # Errors
/// The names of all presets, if there is none of this name.
pub fn preset(name: &str) -> Result<&'static str, String> {
    PRESETS.iter().find(|(it, _)| *it == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        let hint = suggestion(name, names.iter().copied());
        format!("there is no preset `{name}`{hint} (presets: {}; or write the path of a file)", names.join(", "))
    })
}
