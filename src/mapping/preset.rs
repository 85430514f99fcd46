//! The presets: mapping files that are compiled into the program.

use serde_json::Map;

use super::mapping::{Mapping, SourceRecord};
use crate::wire::model_file::ModelSource;

/// In the order in which they are tried on a record: a shape that is a special case of another comes first.
const NAMES: [&str; 8] =
    ["cloudevents", "rudderstack", "segment", "snowplow", "ga4", "stripe", "shopify", "woocommerce"];

/// Returns the names of the presets.
#[must_use]
pub fn preset_names() -> &'static [&'static str] {
    &NAMES
}

/// Returns the preset named `name`.
#[must_use]
pub fn preset(name: &str) -> Option<ModelSource> {
    let text = match name {
        "cloudevents" => include_str!("../../presets/sources/cloudevents.yaml"),
        "rudderstack" => include_str!("../../presets/sources/rudderstack.yaml"),
        "segment" => include_str!("../../presets/sources/segment.yaml"),
        "snowplow" => include_str!("../../presets/sources/snowplow.yaml"),
        "ga4" => include_str!("../../presets/sources/ga4.yaml"),
        "stripe" => include_str!("../../presets/sources/stripe.yaml"),
        "shopify" => include_str!("../../presets/sources/shopify.yaml"),
        "woocommerce" => include_str!("../../presets/sources/woocommerce.yaml"),
        _ => return None,
    };
    Some(ModelSource { name: name.to_owned(), text: text.to_owned() })
}

/// All presets, compiled with their default settings, to find the one that recognises a record.
#[derive(Clone, Debug)]
pub struct Presets {
    mappings: Vec<(&'static str, Mapping)>,
}

impl Presets {
    /// Compiles the presets.
    #[must_use]
    pub fn load() -> Self {
        let compiled = NAMES.iter().filter_map(|name| {
            let (mapping, _) = Mapping::compile(&preset(name)?, &Map::new()).ok()?;
            Some((*name, mapping))
        });
        Self { mappings: compiled.collect() }
    }

    /// Returns the name and title of each preset.
    pub fn titles(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.mappings.iter().map(|(name, mapping)| (*name, mapping.title()))
    }

    /// Returns the name of the first preset that recognises the shape of the record.
    #[must_use]
    pub fn recognise(&self, record: &SourceRecord<'_>) -> Option<&'static str> {
        self.mappings.iter().find(|(_, mapping)| mapping.recognises(record)).map(|(name, _)| *name)
    }
}
