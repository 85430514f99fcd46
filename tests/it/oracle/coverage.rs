//! Checks that the generated histories reach every stage under each of the names that the definitions allow for it.

use std::collections::BTreeSet;

use super::generator::histories;
use super::models::MODELS;
use super::process::World;
use super::touchpoint::Touchpoint;

/// Model, stage entered (or the kind of publication, if it is not a stage), names: as in the tables of the definitions.
const TABLES: &[(&str, &str, &[&str])] = &[
    ("retention", "churned", &["churned"]),
    ("retention", "at_risk", &["reconciled", "at_risk_of_churn"]),
    ("retention", "active", &["risk_cleared", "reactivated", "became_active"]),
    ("retention", "none", &["purchase_reversed"]),
    ("classic_seven", "churn", &["churned"]),
    ("classic_seven", "loyalty", &["reconciled", "reactivated", "became_loyal"]),
    (
        "classic_seven",
        "repeat_order",
        &["reconciled", "reactivated", "loyalty_lost", "moved_to_repeat_order", "purchase_reversed"],
    ),
    ("classic_seven", "satisfaction", &["reconciled", "entered_satisfaction", "purchase_reversed"]),
    ("classic_seven", "purchase", &["started_purchase", "purchase_reversed"]),
    ("classic_seven", "interest", &["checkout_abandoned", "became_interested", "purchase_reversed"]),
    ("classic_seven", "awareness", &["became_aware"]),
    ("classic_seven", "milestone", &["made_first_purchase", "made_repeat_purchase"]),
    ("reach_to_advocacy", "advocate", &["became_advocate"]),
    ("reach_to_advocacy", "retain", &["advocacy_lapsed", "moved_to_retention", "purchase_reversed"]),
    ("reach_to_advocacy", "develop", &["became_customer", "purchase_reversed"]),
    ("reach_to_advocacy", "acquire", &["acquired_lead", "purchase_reversed"]),
    ("reach_to_advocacy", "reach", &["reached"]),
    ("engagement_cycle", "purchase", &["repurchase_started", "started_purchase"]),
    ("engagement_cycle", "bonding", &["checkout_abandoned", "bonded", "purchase_reversed"]),
    (
        "engagement_cycle",
        "experience",
        &["checkout_abandoned", "bond_broken", "bond_lapsed", "entered_experience", "purchase_reversed"],
    ),
    ("engagement_cycle", "evaluation", &["checkout_abandoned", "started_evaluation", "purchase_reversed"]),
    ("engagement_cycle", "engagement", &["engaged"]),
    ("engagement_cycle", "awareness", &["became_aware"]),
    ("engagement_cycle", "milestone", &["purchased"]),
    ("engagement_cycle", "counter", &["reentered_cycle"]),
    ("awareness_to_loyalty", "loyalty_advocacy", &["became_loyal", "purchase_reversed"]),
    ("awareness_to_loyalty", "post_purchase", &["loyalty_lost", "entered_post_purchase", "purchase_reversed"]),
    ("awareness_to_loyalty", "purchase", &["purchased", "purchase_reversed"]),
    ("awareness_to_loyalty", "decision", &["ready_to_decide", "purchase_reversed"]),
    ("awareness_to_loyalty", "consideration", &["decision_abandoned", "started_considering", "purchase_reversed"]),
    ("awareness_to_loyalty", "awareness", &["became_aware"]),
    ("awareness_to_loyalty", "milestone", &["became_advocate"]),
    ("loyalty_ladder", "partner", &["became_partner"]),
    (
        "loyalty_ladder",
        "brand_advocate",
        &["partner_left", "partnership_lapsed", "became_advocate", "purchase_reversed"],
    ),
    (
        "loyalty_ladder",
        "regular_customer",
        &["partner_left", "partnership_lapsed", "advocacy_lapsed", "moved_to_repeat_purchase", "purchase_reversed"],
    ),
    ("loyalty_ladder", "new_customer", &["became_new_customer", "purchase_reversed"]),
    ("loyalty_ladder", "prospect", &["became_prospect", "purchase_reversed"]),
    ("loyalty_ladder", "milestone", &["made_repeat_purchase"]),
];

/// Model, stage, name and reason: combinations that the tables allow but that no history can reach.
const UNREACHABLE: &[(&str, &str, &str, &str)] = &[
    (
        "retention",
        "active",
        "purchase_reversed",
        "voiding an order makes the last order older, which never reduces a risk",
    ),
    (
        "classic_seven",
        "satisfaction",
        "reactivated",
        "without feedback only a new order ends churn, and then there are two orders",
    ),
    (
        "classic_seven",
        "loyalty",
        "purchase_reversed",
        "three in a row are loyal anyway, and a streak of two that loses one order is no longer loyal",
    ),
    (
        "reach_to_advocacy",
        "advocate",
        "purchase_reversed",
        "voiding can make the first order newer, but not the advocacy",
    ),
    (
        "engagement_cycle",
        "purchase",
        "purchase_reversed",
        "the experience of an earlier order cannot begin later than that of the voided order",
    ),
    (
        "loyalty_ladder",
        "partner",
        "purchase_reversed",
        "voiding makes the last order older, but does not change when the customer left",
    ),
];

#[test]
fn every_stage_and_every_name_is_reached() {
    let mut seen: BTreeSet<(String, String, String)> = BTreeSet::new();
    for seed in 0..150 {
        let mut world = World::with_every_model();
        for touchpoint in histories(seed, 20).iter().map(|line| Touchpoint::parse(line)) {
            world.receive(&touchpoint);
            world.catch_up(60_000);
        }
        world.pass_time(world.advanced_to().unwrap_or(0) + 400 * super::summary::DAY);
        for publication in world.customers.values().flat_map(|customer| &customer.publications) {
            let target = match publication.kind {
                "stage" => publication.to.clone().unwrap_or_else(|| "none".to_owned()),
                kind => kind.to_owned(),
            };
            seen.insert((publication.model.clone(), target, publication.name.clone()));
        }
    }
    let named: BTreeSet<(String, String, String)> = TABLES
        .iter()
        .flat_map(|(model, target, names)| {
            names.iter().map(|name| ((*model).to_owned(), (*target).to_owned(), (*name).to_owned()))
        })
        .collect();
    let missing: Vec<_> = named.difference(&seen).collect();
    let unnamed: Vec<_> = seen.difference(&named).collect();
    assert!(missing.is_empty() && unnamed.is_empty(), "never reached: {missing:#?}\nnot in the tables: {unnamed:#?}");
    for &(model, target, name, reason) in UNREACHABLE {
        let unreachable = (model.to_owned(), target.to_owned(), name.to_owned());
        assert!(!named.contains(&unreachable), "{unreachable:?} is not reached: {reason}");
    }
    for model in &MODELS {
        for stage in model.journey.iter().chain(model.outside) {
            assert!(named.iter().any(|(of, target, _)| of == model.name && target == stage), "{}: {stage}", model.name);
        }
    }
}
