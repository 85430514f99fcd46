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

/// Returns the name of the first preset that recognises the shape of the record.
#[must_use]
pub fn recognise(record: &SourceRecord<'_>) -> Option<&'static str> {
    let presets = NAMES.iter().filter_map(|name| Some((*name, Mapping::compile(&preset(name)?, &Map::new()).ok()?.0)));
    presets.into_iter().find(|(_, mapping)| mapping.recognises(record)).map(|(name, _)| name)
}
