//! Keeps `docs/models.md` in sync with the shipped models, from which its tables are generated.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it model_document` regenerates the tables.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lifecycle_processor::lifecycle::model::{Direction, JourneyPosition, Model, MoveRule, StageMatch};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::wire::model_file::{ModelSource, load, shipped, shipped_catalogue, shipped_names};

/// The document is written by hand up to this line and generated after it.
const MARKER: &str = "<!-- Generated from the model files by tests/it/model_document.rs -->\n";

#[test]
fn the_tables_of_the_document_match_the_models() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md");
    let document = fs::read_to_string(&path).expect("readable");
    let (head, tables) = document.split_once(MARKER).expect("the document has the marker");
    let sources: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
    let (set, _) = load(&sources, &shipped_catalogue(), &[]).expect("no problems");
    let mut expected = String::new();
    for (model, source) in set.models.iter().zip(&sources) {
        write_model(&mut expected, &set, model, &source.text);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{head}{MARKER}{expected}")).expect("writable");
    } else {
        assert!(tables == expected, "docs/models.md is outdated; UPDATE_GOLDEN=1 regenerates it");
    }
}

fn write_model(out: &mut String, set: &ModelSet, model: &Model, source: &str) {
    let (_, language) = title_and_language(&model.titles);
    let _ = writeln!(out, "\n## {}\n", model.name);
    let _ = writeln!(
        out,
        "{} ({}). {}\n",
        title_and_language(&model.titles).0,
        title(&model.titles, language),
        model.description
    );
    let _ = writeln!(
        out,
        "| stage, in order of evaluation | title | {language} | meaning | holds when |\n|---|---|---|---|---|"
    );
    for stage in &model.stages {
        let name = match stage.journey_position {
            JourneyPosition::At(position) => format!("`{}` ({})", stage.name, position + 1),
            JourneyPosition::Outside => format!("`{}` (outside)", stage.name),
        };
        let titles = (title_and_language(&stage.titles).0, title(&stage.titles, language));
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} |",
            titles.0,
            titles.1,
            stage.description,
            code(&stage.when.text)
        );
    }
    let _ = writeln!(out, "\n| parameter | default | meaning |\n|---|---|---|");
    for (name, value) in &model.parameters {
        let _ = writeln!(out, "| `{name}` | `{value}` | {} |", comment(source, name));
    }
    let _ = writeln!(
        out,
        "\n| move, first match wins | from | to | caused by | when | direction |\n|---|---|---|---|---|---|"
    );
    for rule in &model.moves {
        write_move(out, set, model, rule);
    }
    let milestones = model.milestones.iter().map(|milestone| ("milestone", &milestone.name, &milestone.when));
    let counters = model.counters.iter().map(|counter| ("counter", &counter.name, &counter.of));
    let mut others = milestones.chain(counters).peekable();
    if others.peek().is_some() {
        let _ = writeln!(out, "\n| also published | kind | condition or number |\n|---|---|---|");
    }
    for (kind, name, condition) in others {
        let _ = writeln!(out, "| `{name}` | {kind} | {} |", code(&condition.text));
    }
}

fn write_move(out: &mut String, set: &ModelSet, model: &Model, rule: &MoveRule) {
    let causes = rule.causes.map(|causes| {
        let mut names: Vec<&str> =
            causes.groups.iter().map(|group| set.vocabulary.groups[usize::from(group.0)].name.as_ref()).collect();
        names.extend(causes.time.then_some("time"));
        names.join(", ")
    });
    let _ = writeln!(
        out,
        "| `{}` | {} | {} | {} | {} | {} |",
        rule.name,
        stage_names(model, rule.from),
        stage_names(model, rule.to),
        causes.unwrap_or_default(),
        rule.when.as_ref().map(|when| code(&when.text)).unwrap_or_default(),
        rule.direction.map(Direction::as_str).unwrap_or_default(),
    );
}

fn stage_names(model: &Model, matched: StageMatch) -> String {
    if matched == StageMatch::ANY {
        return String::new();
    }
    if matched.stages == u64::MAX {
        return "any stage".to_owned();
    }
    let stages = (0_u32..).zip(&model.stages).filter(|(index, _)| matched.stages >> index & 1 == 1);
    let mut names: Vec<&str> = stages.map(|(_, stage)| stage.name.as_ref()).collect();
    names.extend(matched.none.then_some("no stage"));
    names.join(", ")
}

/// Returns the English title and the code of the other language.
fn title_and_language(titles: &[(Box<str>, Box<str>)]) -> (&str, &str) {
    let other = titles.iter().map(|(code, _)| code.as_ref()).find(|code| *code != "en").expect("two languages");
    (title(titles, "en"), other)
}

fn title<'a>(titles: &'a [(Box<str>, Box<str>)], language: &str) -> &'a str {
    titles
        .iter()
        .find(|(code, _)| **code == *language)
        .map(|(_, title)| title.as_ref())
        .expect("a title in each language")
}

/// Returns the comment in the line of the parameter.
fn comment<'a>(source: &'a str, parameter: &str) -> &'a str {
    let line = source
        .lines()
        .find(|line| line.starts_with(&format!("  {parameter}: ")))
        .expect("declared on a line of its own");
    line.split_once('#').expect("every parameter has a comment").1.trim()
}

/// Formats code for a table cell, where `|` must be escaped.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}
