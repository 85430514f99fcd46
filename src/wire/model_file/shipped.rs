//! The models and the catalogue that are compiled into the program.

use super::ModelSource;

const NAMES: [&str; 6] =
    ["retention", "classic_seven", "reach_to_advocacy", "engagement_cycle", "awareness_to_loyalty", "loyalty_ladder"];

/// Returns the names of the shipped models.
#[must_use]
pub fn shipped_names() -> &'static [&'static str] {
    &NAMES
}

/// Returns the shipped model named `name`.
#[must_use]
pub fn shipped(name: &str) -> Option<ModelSource> {
    let text = match name {
        "retention" => include_str!("../../../models/retention.yaml"),
        "classic_seven" => include_str!("../../../models/classic_seven.yaml"),
        "reach_to_advocacy" => include_str!("../../../models/reach_to_advocacy.yaml"),
        "engagement_cycle" => include_str!("../../../models/engagement_cycle.yaml"),
        "awareness_to_loyalty" => include_str!("../../../models/awareness_to_loyalty.yaml"),
        "loyalty_ladder" => include_str!("../../../models/loyalty_ladder.yaml"),
        _ => return None,
    };
    Some(ModelSource { name: name.to_owned(), text: text.to_owned() })
}

/// Returns the shipped catalogue of touchpoints.
#[must_use]
pub fn shipped_catalogue() -> ModelSource {
    ModelSource { name: "catalogue".to_owned(), text: include_str!("../../../models/catalogue.yaml").to_owned() }
}
