//! The scenarios of the shipped models, compiled into the binary.

/// Returns the scenario file of the shipped model `name`; `None` when no such model ships.
#[must_use]
pub fn shipped_scenarios(name: &str) -> Option<&'static str> {
    Some(match name {
        "retention" => include_str!("../../models/retention.scenario"),
        "classic_seven" => include_str!("../../models/classic_seven.scenario"),
        "reach_to_advocacy" => include_str!("../../models/reach_to_advocacy.scenario"),
        "engagement_cycle" => include_str!("../../models/engagement_cycle.scenario"),
        "awareness_to_loyalty" => include_str!("../../models/awareness_to_loyalty.scenario"),
        "loyalty_ladder" => include_str!("../../models/loyalty_ladder.scenario"),
        _ => return None,
    })
}
