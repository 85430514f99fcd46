//! Pictures of models: that the committed ones are what the program draws, that nothing is left out, that nothing breaks out.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it graph` draws `docs/graphs` anew.

use std::fs;
use std::path::{Path, PathBuf};

use lifecycle_processor::graph::{End, Language, Picture, dot, mermaid, pictures, svg};
use lifecycle_processor::lifecycle::model::Direction;
use lifecycle_processor::wire::model_file::{ModelSource, load, shipped, shipped_catalogue, shipped_names};

use crate::cli::lifecycle;

const LANGUAGES: [Language; 4] = [Language::English, Language::Russian, Language::Finnish, Language::Ukrainian];

fn draw(source: ModelSource, language: Language) -> Picture {
    let (set, _) = load(&[source], &shipped_catalogue(), &[]).expect("no problems");
    pictures(&set, language).remove(0)
}

fn shipped_picture(name: &str, language: Language) -> Picture {
    draw(shipped(name).expect("it ships"), language)
}

/// The arrows as text: `at_risk>active risk_cleared`; outside of them, `*` is the journey and `-` is no stage.
fn arrows(picture: &Picture) -> Vec<String> {
    let end = |end: &End| match end {
        End::Stage(place) => picture.stages[*place].name.clone(),
        End::Journey => "*".to_owned(),
        End::Nothing => "-".to_owned(),
    };
    let ends = |ends: &[End]| ends.iter().map(end).collect::<Vec<_>>().join(",");
    let arrow = |edge: &lifecycle_processor::graph::Edge| {
        let names: Vec<&str> = edge.labels.iter().map(|label| label.name.as_str()).collect();
        let times = if edge.times.is_empty() { String::new() } else { format!(" @ {}", edge.times.join("; ")) };
        format!("{}>{} {}{times}", ends(&edge.from), ends(&edge.to), names.join(" "))
    };
    picture.edges.iter().map(arrow).collect()
}

#[test]
fn the_pictures_of_the_documentation_are_what_the_program_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/graphs");
    let is_updated = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in shipped_names() {
        let path = folder.join(format!("{name}.svg"));
        let drawn = svg(&[shipped_picture(name, Language::English)]);
        if is_updated {
            fs::create_dir_all(&folder).expect("writable");
            fs::write(&path, drawn).expect("writable");
        } else {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == drawn, "docs/graphs/{name}.svg is not what is drawn; UPDATE_GOLDEN=1 draws it anew");
        }
    }
}

#[test]
fn the_arrows_of_retention_are_its_moves_with_their_times() {
    use Direction::{Backward, Exit, Forward, Reentry};
    let picture = shipped_picture("retention", Language::English);
    assert_eq!(
        arrows(&picture),
        [
            "->active became_active",
            "active>at_risk at_risk_of_churn @ 90 days after the last order",
            "*>churned churned @ 90 or 180 days after the last order",
            "churned>at_risk reconciled",
            "at_risk>active risk_cleared",
            "churned>active reactivated",
        ]
    );
    let directions: Vec<Direction> = picture.edges.iter().map(|edge| edge.direction).collect();
    assert_eq!(directions, [Forward, Forward, Exit, Reentry, Backward, Reentry]);
    assert_eq!(picture.notes.len(), 2);
}

#[test]
fn a_time_is_told_only_where_it_can_lead() {
    let classic = arrows(&shipped_picture("classic_seven", Language::English));
    // A streak ends when the customer churns, so that loyalty is lost by time only when an advocacy grows old.
    let lost = "loyalty>repeat_order loyalty_lost @ 365 days after the last advocacy";
    assert!(classic.contains(&lost.to_owned()), "{classic:?}");
    let satisfied = "purchase>satisfaction entered_satisfaction @ 14 days after the first order";
    assert!(classic.contains(&satisfied.to_owned()), "{classic:?}");
    let cycle = arrows(&shipped_picture("engagement_cycle", Language::English));
    // Who has not ordered has no last order.
    let abandoned =
        "purchase>evaluation started_evaluation checkout_abandoned @ 24 hours after the last checkout_started";
    assert!(cycle.contains(&abandoned.to_owned()), "{cycle:?}");
    // Who bonds is not unhappy, so that the shorter time to churn does not count.
    let lapsed = "bonding>experience bond_broken bond_lapsed @ 180 days after the last order";
    assert!(cycle.contains(&lapsed.to_owned()), "{cycle:?}");
}

#[test]
fn every_name_that_a_model_publishes_stands_in_every_format_and_language() {
    for name in shipped_names() {
        let (set, _) = load(&[shipped(name).expect("it ships")], &shipped_catalogue(), &[]).expect("no problems");
        let model = &set.models[0];
        let moves = model.moves.iter().map(|rule| &rule.name);
        let beside = model.milestones.iter().map(|milestone| &milestone.name);
        let names: Vec<_> = moves.chain(beside).chain(model.counters.iter().map(|counter| &counter.name)).collect();
        for language in LANGUAGES {
            let picture = pictures(&set, language);
            let in_picture = |name: &str| {
                let picture = &picture[0];
                let in_arrow = picture.edges.iter().flat_map(|edge| &edge.labels).any(|label| label.name == name);
                in_arrow
                    || picture.notes.iter().any(|note| note.label.name == name)
                    || picture.beside.iter().any(|beside| beside.name == name)
            };
            let drawn = svg(&picture);
            for published in &names {
                assert!(in_picture(published), "{name} lacks {published}");
                assert!(drawn.contains(&format!(">{published}</text>")), "{name} lacks {published} in {language:?}");
            }
            for stage in &picture[0].stages {
                assert!(dot(&picture).contains(&format!("\"{}\" [label=\"{}\"", stage.name, stage.title)), "{name}");
                assert!(mermaid(&picture).contains(&format!("[\"{}\"]", stage.title)), "{name}");
            }
        }
    }
}

#[test]
fn titles_are_in_the_language_asked_for_and_in_english_where_there_is_none() {
    let title = |name, language| shipped_picture(name, language).title;
    assert_eq!(title("retention", Language::Russian), "Удержание");
    assert_eq!(title("engagement_cycle", Language::Finnish), "Sitoutumisen kehä");
    assert_eq!(title("retention", Language::Finnish), "Retention");
    let times = arrows(&shipped_picture("classic_seven", Language::Russian));
    assert!(times.iter().any(|arrow| arrow.ends_with("24 часа после последнего checkout_started")), "{times:?}");
}

/// Markup in what an author writes is text; the file stays one element that loads nothing.
#[test]
fn what_an_author_writes_cannot_break_out() {
    let text = r#"
model: sly
title: {en: '</text><script>alert("1")</script> & "so" on\'}
journey: [one, two]
stages:
  - {stage: two, title: '"]; drop --> x', when: count(order_completed) >= 2}
  - {stage: one, title: "<b>one</b>", description: "]]> &amp;", when: count(order_completed) >= 1}
"#;
    let picture = [draw(ModelSource { name: "sly".to_owned(), text: text.to_owned() }, Language::English)];
    let drawn = svg(&picture);
    assert!(is_well_formed(&drawn), "{drawn}");
    assert!(!drawn.contains("<script") && !drawn.contains("<b>") && !drawn.contains("href") && !drawn.contains("url("));
    let flow = mermaid(&picture);
    assert!(flow.contains("#quot;]; drop --#gt; x") && !flow.contains("<b>"), "{flow}");
    assert!(dot(&picture).contains(r#"[label="\"]; drop --> x"]"#));
    assert!(dot(&picture).contains(r#"\"so\" on\\""#));
}

#[test]
fn every_picture_is_well_formed_and_all_of_it_is_on_the_page() {
    for name in shipped_names() {
        for language in LANGUAGES {
            let drawn = svg(&[shipped_picture(name, language)]);
            assert!(is_well_formed(&drawn), "{name} {language:?}");
            let attribute = |text: &str, name: &str| -> Option<f64> {
                text.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
            };
            let width = attribute(&drawn, "width").expect("it has a width");
            let beyond = drawn.lines().filter(|line| line.starts_with("<text")).filter_map(|line| attribute(line, "x"));
            assert!(beyond.clone().count() > 10);
            assert!(beyond.clone().all(|x| (0.0..width).contains(&x)), "{name} {language:?}");
        }
    }
}

/// Whether every element that is opened is closed again, and no `&` or `<` stands bare.
fn is_well_formed(text: &str) -> bool {
    let mut open = Vec::new();
    for part in text.split('<').skip(1) {
        let Some((tag, content)) = part.split_once('>') else { return false };
        let entities = ["amp;", "lt;", "gt;", "quot;"];
        if !content.split('&').skip(1).all(|rest| entities.iter().any(|entity| rest.starts_with(entity))) {
            return false;
        }
        match tag.strip_prefix('/') {
            Some(name) if open.pop() != Some(name) => return false,
            Some(_) => {}
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().unwrap_or_default()),
        }
    }
    open.is_empty()
}

#[test]
fn a_picture_is_written_to_a_file_or_to_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let run = lifecycle(directory.path(), &["graph", "--format", "svg", "--output", "r.svg", "retention"], b"");
    assert_eq!((run.code, run.output.as_str()), (0, ""), "{}", run.errors);
    let written = fs::read_to_string(directory.path().join("r.svg")).unwrap();
    assert_eq!(written, svg(&[shipped_picture("retention", Language::English)]));
    let run = lifecycle(directory.path(), &["graph", "--language", "ru", "retention", "loyalty_ladder"], b"");
    assert_eq!(run.code, 0);
    assert!(run.output.starts_with("flowchart TB\n") && run.output.contains("Лестница лояльности"), "{}", run.output);
    assert_eq!(run.output.matches("subgraph m").count(), 4, "two models, each with its journey");
}

#[test]
fn a_model_that_is_refused_ends_with_2_and_its_report() {
    let directory = tempfile::tempdir().unwrap();
    let run = lifecycle(directory.path(), &["graph", "retentoin"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("did you mean `retention`?"), "{}", run.errors);
    let missing = PathBuf::from("nowhere").join("r.svg").display().to_string();
    let run = lifecycle(directory.path(), &["graph", "--output", &missing, "retention"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("cannot be written"), "{}", run.errors);
}
