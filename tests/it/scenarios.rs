//! `lifecycle test`: the scenarios of the shipped models and of the examples pass and cover the models completely, and
//! mistakes in scenario files are reported.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::cli::{Run, lifecycle};
use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::scenario::{Coverage, Difference, Failure, SyntaxError, parse, run, shipped_scenarios};
use lifecycle_processor::wire::model_file::shipped_names;

const DOCUMENT: &str = include_str!("../../docs/testing-models.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped(name: &str) -> Arc<ModelSet> {
    Arc::new(ModelChoice::of(&[name.to_owned()]).load(false).expect("the model is accepted"))
}

#[test]
fn the_scenarios_of_every_shipped_model_pass_and_cover_it_completely() {
    for name in shipped_names() {
        let models = shipped(name);
        let scenarios = parse(shipped_scenarios(name).expect("every shipped model has scenarios"), &models)
            .expect("the scenarios parse");
        let mut coverage = Coverage::default();
        for scenario in &scenarios {
            let failures = run(scenario, &models, &FactOptions::default(), &mut coverage);
            assert_eq!(failures, [], "{name}: {}", scenario.title);
        }
        assert_eq!(coverage.unreached(&models.models[0]), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn without_arguments_the_scenarios_of_the_shipped_models_run() {
    let Run { code, output, errors } = lifecycle(root(), &["test", "--coverage"], b"");
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    for name in shipped_names() {
        assert!(output.contains(&format!("{name}.scenario\n")), "{output}");
    }
    assert!(output.ends_with(" scenarios, 0 failed\n"), "{output}");
}

#[test]
fn the_scenarios_of_the_examples_pass() {
    let Run { code, output, errors } = lifecycle(root(), &["test", "--coverage", "examples"], b"");
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    let one = lifecycle(root(), &["test", "examples/orders_45d.yaml"], b"");
    assert_eq!(one.code, 0, "{}", one.output);
    assert!(one.output.contains("orders_45d.scenario"), "{}", one.output);
}

/// Runs one scenario on `loyalty_ladder`.
fn failures_of(lines: &str) -> Vec<Failure> {
    let models = shipped("loyalty_ladder");
    let scenarios = parse(&format!("scenario: one\n{lines}"), &models).expect("the scenario parses");
    run(&scenarios[0], &models, &FactOptions::default(), &mut Coverage::default())
}

#[test]
fn an_unexpected_transition_is_reported_with_instant_and_reason() {
    let failures = failures_of("2026-01-01 order_completed order_id=A amount=30\n");
    let [Failure { line: 2, differences, .. }] = &failures[..] else { panic!("{failures:?}") };
    let [Difference::Unexpected { got, reason }] = &differences[..] else { panic!("{differences:?}") };
    assert_eq!(
        got,
        "2026-01-01 00:00  customer: became_new_customer (no stage to new_customer, forward, skips prospect)"
    );
    assert_eq!(
        reason,
        &["caused by order_completed", "because orders.count >= 1", "with orders.count = 1"].map(str::to_owned)
    );
}

#[test]
fn a_wrong_expectation_fails() {
    let first = "2026-01-01 order_completed order_id=A amount=30 ->";
    for expected in [
        "nothing",
        "became_prospect",
        "became_new_customer (prospect)",
        "became_new_customer (prospect to new_customer)",
        "became_new_customer (new_customer, backward)",
        "became_new_customer (new_customer, skips nothing)",
        "became_new_customer (new_customer, late)",
        "became_new_customer at 2026-01-02",
        "became_new_customer, became_new_customer",
        "became_new_customer, milestone made_repeat_purchase",
        "anna: became_new_customer",
    ] {
        assert_eq!(failures_of(&format!("{first} {expected}\n")).len(), 1, "{expected}");
    }
    let got = "became_new_customer (no stage to new_customer, forward, skips prospect) at 2026-01-01";
    assert_eq!(failures_of(&format!("{first} {got}\n")), []);
    for check in [
        "stage prospect",
        "no stage",
        "2 orders",
        "revenue 31",
        "milestone made_repeat_purchase",
        "next wake-up 2026-01-01",
    ] {
        assert_eq!(failures_of(&format!("{first} {got}\nnow {check}\n")).len(), 1, "{check}");
    }
}

#[test]
fn transitions_must_be_expected_in_order() {
    let head = "2026-01-01 order_completed order_id=A amount=30 -> became_new_customer\n\
                then order_completed order_id=B amount=30 -> moved_to_repeat_purchase, milestone made_repeat_purchase\n\
                then referral_shared -> became_advocate\n\
                then partner_joined -> became_partner\n";
    let end = "+365 days account_deleted -> ";
    // Advocacy lapses without a move while the customer is a partner; leaving then ends the partnership.
    assert_eq!(failures_of(&format!("{head}{end}partnership_lapsed (regular_customer)")), []);
    let head = "2026-01-01 product_viewed -> became_prospect\n365 days later anna: product_viewed -> became_prospect\n";
    assert_eq!(failures_of(head), []);
    let two = "2026-01-01 order_completed order_id=A amount=30 -> became_new_customer\n\
               +1 day order_completed order_id=B amount=30 -> milestone made_repeat_purchase, moved_to_repeat_purchase\n\
               +1 day referral_shared -> became_advocate\n\
               +365 days referral_shared -> became_advocate, advocacy_lapsed\n";
    let failures = failures_of(two);
    assert!(matches!(&failures[0].differences[..], [Difference::OutOfOrder { got }] if got.len() == 2), "{failures:?}");
}

#[test]
fn mistakes_are_reported_with_line_and_correction() {
    let models = shipped("loyalty_ladder");
    for (lines, line, message) in [
        ("product_viewed", 2, "start the line with a time"),
        ("+2 days product_viewed", 2, "the first line of a scenario must start with a date"),
        ("2026-01-02 product_viewed\n2026-01-01 product_viewed", 3, "write `3 days ago`"),
        ("2026-01-02 product_veiwed", 2, "did you mean `product_viewed`?"),
        ("2026-01-02 product_viewed -> became_prospekt", 2, "did you mean `became_prospect`?"),
        ("2026-01-02 product_viewed -> became_prospect (prospekt)", 2, "did you mean `prospect`?"),
        ("2026-01-02 product_viewed -> became_prospect (prospect", 2, "missing `)`"),
        ("2026-01-02 product_viewed -> made_repeat_purchase", 2, "write `milestone made_repeat_purchase`"),
        ("2026-01-02 product_viewed -> counter x", 2, "write the number"),
        ("2026-01-02 product_viewed -> became_prospect,", 2, "an expectation is missing after"),
        ("2026-01-02 product_viewed became_prospect", 2, "expectations come after `->`"),
        ("2026-01-02 order_completed amount=much", 2, "write a number such as 29.90"),
        ("2026-01-02 order_completed currency=euro", 2, "three capital letters"),
        ("2026-01-02 order_completed query=\"a\\b\"", 2, "is not a valid value"),
        ("2026-01-02 product_viewed -> other.became_prospect", 2, "this file has no model `other`"),
        ("2026-01-02 product_viewed\n2 months later", 3, "a month has no fixed length"),
        ("2026-01-02 product_viewed\nnow happy", 3, "is not an assertion"),
        ("2026-01-02 product_viewed\nnow stage x -> became_prospect", 3, "there is no stage `x`"),
        ("-> became_prospect", 2, "expectations must follow a line"),
        ("", 1, "the scenario has no lines"),
    ] {
        let mistakes = parse(&format!("scenario: one\n{lines}\n"), &models).expect_err(lines);
        let [SyntaxError { line: found, message: found_message }] = &mistakes[..] else {
            panic!("{lines}: {mistakes:?}")
        };
        assert_eq!(*found, line, "{lines}: {found_message}");
        assert!(found_message.contains(message), "{lines}: {found_message}");
    }
}

#[test]
fn exit_codes_distinguish_failures_from_unusable_files() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("failing.scenario", "model: retention\nscenario: one\n2026-01-01 order_completed\n");
    write("broken.scenario", "model: retention\nscenario: one\n2026-01-01 order_complete\n");
    write("headless.scenario", "modell: retention\nscenario: one\n2026-01-01 page_viewed\n");
    write("orphan.yaml", "model: orphan\n");
    let run = |path: &str| lifecycle(directory.path(), &["test", path], b"");

    let failing = run("failing.scenario");
    assert_eq!(failing.code, 1, "{}", failing.output);
    assert!(failing.output.contains("+ got       2026-01-01 00:00  customer: became_active"), "{}", failing.output);
    assert!(failing.output.ends_with("1 scenario, 1 failed\n"), "{}", failing.output);
    for (path, message) in [
        ("broken.scenario", "broken.scenario:3: there is no touchpoint type `order_complete`: did you mean"),
        ("headless.scenario", "headless.scenario:1: before the first scenario"),
        ("orphan.yaml", "orphan.yaml has no scenarios: create orphan.scenario"),
        ("nowhere.scenario", "nowhere.scenario: cannot be read"),
        ("nobody", "`nobody` is not a shipped model"),
    ] {
        let run = run(path);
        assert_eq!(run.code, 2, "{path}");
        assert!(run.errors.contains(message), "{path}: {}", run.errors);
    }
}

#[test]
fn a_model_file_next_to_the_scenarios_overrides_a_shipped_model() {
    let directory = tempfile::tempdir().unwrap();
    let model = fs::read_to_string(root().join("models/retention.yaml")).unwrap();
    fs::write(directory.path().join("retention.yaml"), model.replace("risk_after: days(90)", "risk_after: days(30)"))
        .unwrap();
    let text = "scenario: a month\n2026-01-01 order_completed -> became_active\n30 days later -> at_risk_of_churn\n";
    fs::write(directory.path().join("retention.scenario"), text).unwrap();
    let run = lifecycle(directory.path(), &["test", "retention.yaml"], b"");
    assert_eq!(run.code, 0, "{}{}", run.output, run.errors);
}

#[test]
fn several_models_and_signals_can_be_tested_together() {
    let directory = tempfile::tempdir().unwrap();
    let model = "model: mine\nversion: 1\ntitle: {en: Mine}\njourney: [active]\nfacts: {orders: orders()}\n\
                 stages:\n  - {stage: active, when: orders.count >= 1}\n\
                 transitions:\n  - {name: became_active, to: active}\n\
                 signals:\n  - {signal: fresh, when: now < orders.last + days(7)}\n";
    fs::write(directory.path().join("mine.yaml"), model).unwrap();
    let text = "models: retention, ./mine.yaml\ncurrency: EUR\nscenario: both\n\
                2026-01-01 order_completed amount=5 -> retention.became_active, mine.became_active, signal fresh started\n\
                now stage retention.active, stage mine.active, signal fresh, revenue 5\n\
                7 days later -> signal fresh stopped at 2026-01-08\n\
                now no signal fresh\n";
    fs::write(directory.path().join("both.scenario"), text).unwrap();
    let run = lifecycle(directory.path(), &["test", "both.scenario"], b"");
    assert_eq!(run.code, 0, "{}{}", run.output, run.errors);
    fs::write(directory.path().join("both.scenario"), text.replace("mine.became_active, ", "")).unwrap();
    let run = lifecycle(directory.path(), &["test", "both.scenario"], b"");
    assert_eq!(run.code, 1, "{}{}", run.output, run.errors);
    fs::write(directory.path().join("both.scenario"), text.replace("mine.became", "became")).unwrap();
    let run = lifecycle(directory.path(), &["test", "both.scenario"], b"");
    assert_eq!(run.code, 2, "{}{}", run.output, run.errors);
    assert!(run.errors.contains("write retention.became_active or mine.became_active"), "{}", run.errors);
}

#[test]
fn the_examples_of_the_document_pass() {
    let blocks: Vec<&str> = DOCUMENT.split("```scenario\n").skip(1).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    let directory = tempfile::tempdir().unwrap();
    for block in blocks {
        let block = block.split("```").next().expect("the first part");
        let head = if block.starts_with("model") { "" } else { "model: loyalty_ladder\n" };
        fs::write(directory.path().join("block.scenario"), format!("{head}{block}")).unwrap();
        let run = lifecycle(directory.path(), &["test", "block.scenario"], b"");
        assert_eq!(run.code, 0, "{block}\n{}{}", run.output, run.errors);
    }
}
