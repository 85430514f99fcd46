//! Golden tests of `lifecycle check` for likely mistakes. Each model file has its expected report next to it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it check` rewrites the reports; review the changes.

use std::fs;
use std::path::{Path, PathBuf};

use lifecycle_processor::lifecycle::problem::Severity;
use lifecycle_processor::wire::model_file::{
    ModelSource, Override, load, render, shipped, shipped_catalogue, shipped_names,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check")
}

fn report(sources: &[ModelSource], overrides: &[Override]) -> (bool, String) {
    let catalogue = shipped_catalogue();
    let (is_usable, problems) = match load(sources, &catalogue, overrides) {
        Ok((_, warnings)) => (true, warnings),
        Err(problems) => (false, problems),
    };
    let files: Vec<ModelSource> = sources.iter().cloned().chain([catalogue]).collect();
    (is_usable, render(&problems, &files, false))
}

#[test]
fn every_likely_mistake_has_the_expected_report() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the folder exists")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "only {} mistakes", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let source = ModelSource { name, text: fs::read_to_string(&path).expect("readable") };
        let (is_usable, found) = report(std::slice::from_ref(&source), &[]);
        let found = format!("{}\n\n{found}", if is_usable { "usable" } else { "rejected" });
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &found).expect("writable");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{found}", source.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn shipped_models_and_examples_have_no_problems() {
    let mut models: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders_45d.yaml");
    models
        .push(ModelSource { name: "orders_45d.yaml".to_owned(), text: fs::read_to_string(example).expect("readable") });
    assert_eq!(report(&models, &[]), (true, String::new()));
    for model in models {
        assert_eq!(report(&[model], &[]), (true, String::new()));
    }
}

#[test]
fn a_catalogue_among_the_files_is_that_of_the_models() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| super::cli::lifecycle(root, arguments, b"");
    let both = run(&["check", "models/retention.yaml", "models/catalogue.yaml"]);
    assert_eq!((both.code, &*both.output), (0, "1 model and 1 catalogue without problems\n"), "{}", both.errors);
    let alone = run(&["check", "models/catalogue.yaml"]);
    assert_eq!((alone.code, &*alone.output), (0, "1 catalogue without problems\n"), "{}", alone.errors);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("catalogue.yaml");
    std::fs::write(&path, "catalogue: 1\ntypes: {page_viewed: {propertys: {}}}\n").expect("a file");
    let wrong = run(&["check", path.to_str().expect("UTF-8")]);
    assert!(wrong.code == 1 && wrong.output.contains("unknown key `propertys`"), "{}", wrong.output);
    let twice = run(&["check", "models/catalogue.yaml", "models/catalogue.yaml"]);
    assert!(twice.code == 2 && twice.errors.contains("are both catalogues"), "{}", twice.errors);
}

#[test]
fn shipped_models_have_titles_in_two_languages() {
    let models: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
    let (set, _) = load(&models, &shipped_catalogue(), &[]).expect("no problems");
    let languages = ["ru", "ru", "ru", "fi", "uk", "ru"];
    for (model, language) in set.models.iter().zip(languages) {
        let stages = model.stages.iter().map(|stage| (&stage.name, &stage.titles));
        for (name, titles) in stages.chain([(&model.name, &model.titles)]) {
            let codes: Vec<&str> = titles.iter().map(|(code, _)| code.as_ref()).collect();
            assert_eq!(codes, ["en", language], "{name} of {}", model.name);
        }
        assert!(model.stages.iter().all(|stage| !stage.description.is_empty()), "{}", model.name);
    }
}

#[test]
fn a_parameter_can_be_overridden() {
    let retention = shipped("retention").expect("shipped");
    let hash = |value: &str| {
        let given =
            Override { model: "retention".to_owned(), parameter: "risk_after".to_owned(), value: value.to_owned() };
        let (set, _) = load(std::slice::from_ref(&retention), &shipped_catalogue(), &[given]).expect("no problems");
        assert_eq!(set.models[0].parameters[0].1.as_ref(), value);
        set.hash
    };
    assert_ne!(hash("days(60)"), hash("days(90)"));
    let (plain, _) = load(std::slice::from_ref(&retention), &shipped_catalogue(), &[]).expect("no problems");
    assert_eq!(plain.hash, hash("days(90)"));
}

#[test]
fn an_unknown_parameter_is_reported() {
    let retention = shipped("retention").expect("shipped");
    let given = |model: &str, parameter: &str, value: &str| Override {
        model: model.to_owned(),
        parameter: parameter.to_owned(),
        value: value.to_owned(),
    };
    let overrides = [
        given("retentoin", "risk_after", "1"),
        given("retention", "risk_aftr", "1"),
        given("retention", "risk_after", "60"),
    ];
    let (is_usable, found) = report(&[retention], &overrides);
    assert!(!is_usable);
    for part in
        ["unknown model `retentoin`", "no parameter `risk_aftr`", "the value `60` for parameter `retention.risk_after`"]
    {
        assert!(found.contains(part), "{part}: {found}");
    }
}

#[test]
fn models_share_equal_facts() {
    let models: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
    let (all, _) = load(&models, &shipped_catalogue(), &[]).expect("no problems");
    let mut ids: Vec<_> = all.layout.definitions.iter().map(|fact| fact.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // The identity of a fact does not depend on the other models.
    for model in models {
        let (alone, _) = load(&[model], &shipped_catalogue(), &[]).expect("no problems");
        for fact in &alone.layout.definitions {
            assert!(all.layout.definitions.iter().any(|other| other.id == fact.id), "{}", fact.text);
        }
        let together = all.models.iter().find(|other| other.name == alone.models[0].name).expect("it is one of them");
        assert_eq!(together.hash, alone.models[0].hash, "{}", together.name);
    }
}

#[test]
fn problems_of_one_file_do_not_hide_those_of_another() {
    let source = |name: &str, text: &str| ModelSource { name: name.to_owned(), text: text.to_owned() };
    let one = source("one.yaml", "model: one\njourney: [a]\nstages: [{stage: a, when: has(first(nothing_known))}]\n");
    let two = source("two.yaml", "model: two\njourney: [b]\nstages: [{stage: b, when: has(first(anything))}]\n");
    let problems = load(&[one, two], &shipped_catalogue(), &[]).expect_err("both are wrong");
    let files: Vec<usize> =
        problems.iter().filter(|problem| problem.severity == Severity::Error).map(|problem| problem.file).collect();
    assert_eq!(files, [0, 1]);
}

/// Returns the codes of all problems of the model in `text`.
fn codes(text: &str) -> Vec<&'static str> {
    let source = ModelSource { name: "model.yaml".to_owned(), text: text.to_owned() };
    match load(&[source], &shipped_catalogue(), &[]) {
        Ok((_, problems)) | Err(problems) => problems.into_iter().map(|problem| problem.code).collect(),
    }
}

#[test]
fn every_limit_is_exact() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join("\n");
    let milestones = |count| list(count, &|i| format!("  - {{milestone: m{i}, when: count(any) >= {}}}", i + 1));
    assert_eq!(codes(&format!("model: m\nmilestones:\n{}\n", milestones(64))), [""; 0]);
    assert_eq!(codes(&format!("model: m\nmilestones:\n{}\n", milestones(65))), ["too-many"]);
    let counters = |count| list(count, &|i| format!("  - {{counter: c{i}, of: count(any), from: {}}}", i + 1));
    assert_eq!(codes(&format!("model: m\ncounters:\n{}\n", counters(16))), [""; 0]);
    assert_eq!(codes(&format!("model: m\ncounters:\n{}\n", counters(17))), ["too-many"]);
    let stages = |count: usize| {
        let stages = list(count, &|i| format!("  - {{stage: s{i}, when: count(any) >= {}}}", count - i));
        format!("model: m\njourney: [s0]\nstages:\n{stages}\n")
    };
    assert_eq!(codes(&stages(64)), [""; 0]);
    assert_eq!(codes(&stages(65)), ["too-many"]);
    let windows = |count| {
        let facts = list(count, &|i| format!("  f{i}: count_within(any, hours({}))", i + 1));
        let whens = list(count, &|i| format!("      {}f{i} >= 1", if i == 0 { "" } else { "|| " }));
        format!("model: m\nfacts:\n{facts}\nsignals:\n  - signal: s\n    when: >-\n{whens}\n")
    };
    assert_eq!(codes(&windows(120)), [""; 0]);
    assert!(codes(&format!("model: m\n# {}\n", "x".repeat(256 * 1024))).contains(&"too-large"));
}

#[test]
fn a_touchpoint_belongs_to_the_groups_that_are_read() {
    let text =
        "model: m\nsignals:\n  - {signal: s, when: has(first(any)) || has(first(interest)) || has(last(promoter))}\n";
    let source = ModelSource { name: "m.yaml".to_owned(), text: text.to_owned() };
    let (set, _) = load(&[source], &shipped_catalogue(), &[]).expect("no problems");
    let groups = |kind: &str| -> Vec<&str> {
        let index = set.vocabulary.type_index(kind);
        let of_type = set.vocabulary.groups_of_type[usize::from(index.0)];
        of_type.iter().map(|group| set.vocabulary.groups[usize::from(group.0)].name.as_ref()).collect()
    };
    assert_eq!(groups("product_viewed"), ["any", "interest"]);
    assert_eq!(groups("email_opened"), ["any"]);
    assert_eq!(groups("feedback_given"), ["any", "promoter"]);
    assert_eq!(groups("never_heard_of"), ["any"]);
    // A type with the name of a group is an unknown type.
    assert_eq!(groups("interest"), ["any"]);
    assert_eq!(groups("any"), ["any"]);
    // Unread facts and properties are not kept.
    assert_eq!(set.layout.definitions.len(), 3);
    let properties: Vec<&str> = set.vocabulary.properties.iter().map(|property| property.name.as_ref()).collect();
    assert_eq!(properties, ["scale", "score"]);
}

#[test]
fn reserved_words_cannot_be_names() {
    assert_eq!(
        codes("model: m\ntypes: {interest: }\nsignals: [{signal: s, when: has(first(any))}]\n"),
        ["duplicate-name"]
    );
    assert_eq!(codes("model: m\ntypes: {time: }\nsignals: [{signal: s, when: has(first(any))}]\n"), ["bad-name"]);
    assert_eq!(
        codes("model: m\ntouchpoints: {interest: [page_viewed]}\nsignals: [{signal: s, when: has(first(interest))}]\n"),
        ["duplicate-name"]
    );
    assert_eq!(codes("model: m\njourney: [none]\nstages: [{stage: none, when: has(first(any))}]\n"), ["bad-name"]);
    assert_eq!(codes("model: m\nfacts: {now: first(any)}\nsignals: [{signal: s, when: now > now}]\n")[0], "bad-name");
    assert_eq!(codes("model: m\n"), ["empty-model"]);
}

#[test]
fn a_model_can_declare_its_own_types() {
    let text = "\
model: m
types:
  espresso_tasted: {properties: {strength: int}}
touchpoints:
  strong: {types: [espresso_tasted], where: strength >= least}
parameters:
  least: 8
signals:
  - {signal: awake, when: 'count(strong) > 1 && sum(espresso_tasted, \"strength\") > 20.0'}
";
    assert_eq!(codes(text), [""; 0]);
    let load_text = |text: &str| {
        let source = ModelSource { name: "m.yaml".to_owned(), text: text.to_owned() };
        load(&[source], &shipped_catalogue(), &[]).expect("no problems").0
    };
    // A different threshold in the condition of the group makes a different fact.
    let (eight, nine) = (load_text(text), load_text(&text.replace("least: 8", "least: 9")));
    assert_ne!(eight.layout.definitions[0].id, nine.layout.definitions[0].id);
    assert_eq!(eight.layout.definitions[1].id, nine.layout.definitions[1].id);
}
