//! Keeps `docs/models.md` equal to the models that ship: its tables are made of them.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it model_document` writes the tables anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lifecycle_processor::lifecycle::model::{Direction, Model, MoveRule, Place, StageMatch};
use lifecycle_processor::lifecycle::model_set::ModelSet;
use lifecycle_processor::wire::model_file::{ModelSource, load, shipped, shipped_catalogue, shipped_names};

/// What stands before is written by hand.
const MARK: &str = "<!-- From here on made of the model files by tests/it/model_document.rs -->\n";

#[test]
fn the_document_of_the_models_equals_the_models() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md");
    let document = fs::read_to_string(&path).expect("readable");
    let (head, tables) = document.split_once(MARK).expect("the mark is there");
    let sources: Vec<ModelSource> = shipped_names().iter().filter_map(|name| shipped(name)).collect();
    let (set, _) = load(&sources, &shipped_catalogue(), &[]).expect("no problems");
    let mut wanted = String::new();
    for (model, source) in set.models.iter().zip(&sources) {
        write_model(&mut wanted, &set, model, &source.text);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{head}{MARK}{wanted}")).expect("writable");
    } else {
        assert!(tables == wanted, "docs/models.md is not what the models say; UPDATE_GOLDEN=1 writes it anew");
    }
}

fn write_model(out: &mut String, set: &ModelSet, model: &Model, source: &str) {
    let (_, language) = both(&model.titles);
    let _ = writeln!(out, "\n## {}\n", model.name);
    let _ = writeln!(out, "{} ({}). {}\n", both(&model.titles).0, title(&model.titles, language), model.description);
    let _ =
        writeln!(out, "| stage, from the top | title | {language} | stands for | holds when |\n|---|---|---|---|---|");
    for stage in &model.stages {
        let name = match stage.place {
            Place::Journey(place) => format!("`{}` ({})", stage.name, place + 1),
            Place::Outside => format!("`{}` (outside)", stage.name),
        };
        let titles = (both(&stage.titles).0, title(&stage.titles, language));
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
        "\n| move, the first that fits | from | to | caused by | when | direction |\n|---|---|---|---|---|---|"
    );
    for rule in &model.moves {
        write_move(out, set, model, rule);
    }
    let milestones = model.milestones.iter().map(|milestone| ("milestone", &milestone.name, &milestone.when));
    let counters = model.counters.iter().map(|counter| ("counter", &counter.name, &counter.of));
    let mut beside = milestones.chain(counters).peekable();
    if beside.peek().is_some() {
        let _ = writeln!(out, "\n| published beside | kind | of |\n|---|---|---|");
    }
    for (kind, name, condition) in beside {
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
        side(model, rule.from),
        side(model, rule.to),
        causes.unwrap_or_default(),
        rule.when.as_ref().map(|when| code(&when.text)).unwrap_or_default(),
        rule.direction.map(Direction::as_str).unwrap_or_default(),
    );
}

fn side(model: &Model, side: StageMatch) -> String {
    if side == StageMatch::ANYTHING {
        return String::new();
    }
    if side.stages == u64::MAX {
        return "any stage".to_owned();
    }
    let stages = (0_u32..).zip(&model.stages).filter(|(index, _)| side.stages >> index & 1 == 1);
    let mut names: Vec<&str> = stages.map(|(_, stage)| stage.name.as_ref()).collect();
    names.extend(side.none.then_some("no stage"));
    names.join(", ")
}

/// The English title, and the code of the other language.
fn both(titles: &[(Box<str>, Box<str>)]) -> (&str, &str) {
    let other = titles.iter().map(|(code, _)| code.as_ref()).find(|code| *code != "en").expect("two languages");
    (title(titles, "en"), other)
}

fn title<'a>(titles: &'a [(Box<str>, Box<str>)], language: &str) -> &'a str {
    titles.iter().find(|(code, _)| **code == *language).map(|(_, title)| title.as_ref()).expect("both languages")
}

/// What stands behind `#` in the line of the parameter.
fn comment<'a>(source: &'a str, parameter: &str) -> &'a str {
    let line = source
        .lines()
        .find(|line| line.starts_with(&format!("  {parameter}: ")))
        .expect("declared on a line of its own");
    line.split_once('#').expect("every parameter says what it means").1.trim()
}

/// In a table, `|` would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}
