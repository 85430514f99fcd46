//! The consequences of edits that `lifecycle check --against` reports.

use lifecycle_processor::lifecycle::model_edit::consequences;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::wire::model_file::{ModelSource, load, shipped, shipped_catalogue};

const OLD: &str = "\
model: club
version: 1
journey: [curious, buyer]
parameters:
  quiet_after: days(60)
facts:
  orders: orders()
stages:
  - {stage: quiet, when: orders.count >= 1 && now >= orders.last + quiet_after}
  - {stage: buyer, when: orders.count >= 1}
  - {stage: curious, when: has(first(interest))}
transitions:
  - {name: went_quiet, to: quiet}
milestones:
  - {milestone: bought, when: orders.count >= 1}
";

fn set(texts: &[&str]) -> ModelSet {
    let sources: Vec<ModelSource> =
        texts.iter().map(|text| ModelSource { name: "club.yaml".to_owned(), text: (*text).to_owned() }).collect();
    load(&sources, &shipped_catalogue(), &[]).expect("no problems").0
}

/// Applies `changes` to `OLD` and returns the kind and text of each consequence.
fn kinds(changes: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let mut text = OLD.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    consequences(&set(&[OLD]), &set(&[&text])).into_iter().map(|found| (found.kind, found.text)).collect()
}

fn codes(changes: &[(&str, &str)]) -> Vec<&'static str> {
    kinds(changes).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn titles_descriptions_and_spaces_do_not_change_a_model() {
    assert_eq!(codes(&[]), ["unchanged"]);
    let words = ("{stage: buyer,", "{stage: buyer, title: Buyer, description: Bought once,");
    assert_eq!(codes(&[words, ("now >= orders.last", "now  >=  orders.last")]), ["unchanged"]);
}

#[test]
fn a_changed_parameter_is_reported_with_both_values() {
    let found = kinds(&[("days(60)", "days(45)"), ("version: 1", "version: 2")]);
    assert_eq!(found[0].0, "evaluated-again");
    assert_eq!(found[1], ("parameter-changed", "parameter `quiet_after` changes from days(60) to days(45)".to_owned()));
    assert_eq!(found.len(), 2);
}

#[test]
fn an_edit_without_a_new_version_is_reported() {
    assert_eq!(codes(&[("days(60)", "days(45)")]), ["evaluated-again", "same-version", "parameter-changed"]);
}

#[test]
fn renamed_removed_and_added_elements_are_distinguished() {
    let renamed = [("version: 1", "version: 2"), ("curious", "interested")];
    assert_eq!(codes(&renamed), ["evaluated-again", "stage-renamed"]);
    let removed = [
        ("version: 1", "version: 2"),
        ("  - {milestone: bought, when: orders.count >= 1}\n", "  - {milestone: again, when: orders.count >= 2}\n"),
    ];
    assert_eq!(codes(&removed), ["evaluated-again", "milestone-removed", "milestone-added"]);
    let named = [("version: 1", "version: 2"), ("went_quiet", "fell_silent")];
    assert_eq!(codes(&named), ["evaluated-again", "move-removed", "move-added"]);
}

#[test]
fn only_facts_that_start_empty_are_reported() {
    let edit = [("version: 1", "version: 2"), ("first(interest)", "last(page_viewed)")];
    let found = kinds(&edit);
    let codes: Vec<&str> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(codes, ["evaluated-again", "stage-changed", "fact-starts-empty", "fact-dropped"]);
    assert!(found[2].1.starts_with("`last(page_viewed)`"), "{}", found[2].1);
    // The ledger already contains the orders, so a new field of it does not start empty.
    let reading = [("version: 1", "version: 2"), ("orders.count >= 1 && now", "orders.streak(days(90)) >= 1 && now")];
    assert!(!self::codes(&reading).contains(&"fact-starts-empty"));
}

#[test]
fn adding_a_model_keeps_the_facts_of_the_others() {
    let ladder = shipped("loyalty_ladder").expect("shipped");
    let without = set(&[OLD]);
    let with = set(&[OLD, &ladder.text]);
    let kinds: Vec<&str> = consequences(&without, &with).iter().map(|found| found.kind).collect();
    assert_eq!(kinds[..2], ["unchanged", "model-added"]);
    // The ledger and `first(interest)` exist already; only facts that the ladder alone reads start empty.
    assert!(consequences(&without, &with).iter().any(|found| found.text.starts_with("`last(leaving)` starts empty")));
    assert!(!consequences(&without, &with).iter().any(|found| found.text.contains("first(interest)")));
    assert!(consequences(&with, &without).iter().any(|found| found.kind == "model-removed"));
}
