//! Tests of model diagrams: the committed SVG files are up to date, diagrams are complete, and model text is escaped.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it graph` rewrites `docs/graphs`.

use std::fs;
use std::path::{Path, PathBuf};

use lifecycle_processor::graph::{Diagram, Endpoint, Language, diagrams, dot, mermaid, svg};
use lifecycle_processor::lifecycle::model::Direction;
use lifecycle_processor::wire::model_file::{ModelSource, load, shipped, shipped_catalogue, shipped_names};

use crate::cli::lifecycle;

const LANGUAGES: [Language; 4] = [Language::English, Language::Russian, Language::Finnish, Language::Ukrainian];

fn draw(source: ModelSource, language: Language) -> Diagram {
    let (set, _) = load(&[source], &shipped_catalogue(), &[]).expect("no problems");
    diagrams(&set, language).remove(0)
}

fn shipped_diagram(name: &str, language: Language) -> Diagram {
    draw(shipped(name).expect("a shipped model"), language)
}

/// Returns the arrows as text, such as `at_risk>active risk_cleared`; `*` is the journey and `-` no stage.
fn arrows(diagram: &Diagram) -> Vec<String> {
    let end = |end: &Endpoint| match end {
        Endpoint::Stage(index) => diagram.stages[*index].name.clone(),
        Endpoint::Journey => "*".to_owned(),
        Endpoint::NoStage => "-".to_owned(),
    };
    let ends = |ends: &[Endpoint]| ends.iter().map(end).collect::<Vec<_>>().join(",");
    let arrow = |edge: &lifecycle_processor::graph::Edge| {
        let names: Vec<&str> = edge.labels.iter().map(|label| label.name.as_str()).collect();
        let times = if edge.deadlines.is_empty() { String::new() } else { format!(" @ {}", edge.deadlines.join("; ")) };
        format!("{}>{} {}{times}", ends(&edge.from), ends(&edge.to), names.join(" "))
    };
    diagram.edges.iter().map(arrow).collect()
}

#[test]
fn the_diagrams_in_the_documentation_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/graphs");
    let is_updated = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in shipped_names() {
        let path = folder.join(format!("{name}.svg"));
        let drawn = svg(&[shipped_diagram(name, Language::English)]);
        if is_updated {
            fs::create_dir_all(&folder).expect("writable");
            fs::write(&path, drawn).expect("writable");
        } else {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == drawn, "docs/graphs/{name}.svg is outdated; set UPDATE_GOLDEN=1 to rewrite it");
        }
    }
}

#[test]
fn the_arrows_of_retention_are_its_moves_with_their_times() {
    use Direction::{Backward, Exit, Forward, Reentry};
    let diagram = shipped_diagram("retention", Language::English);
    assert_eq!(
        arrows(&diagram),
        [
            "->active became_active",
            "active>at_risk at_risk_of_churn @ 90 days after the last order",
            "*>churned churned @ 90 or 180 days after the last order",
            "churned>at_risk reconciled",
            "at_risk>active risk_cleared",
            "churned>active reactivated",
        ]
    );
    let directions: Vec<Direction> = diagram.edges.iter().map(|edge| edge.direction).collect();
    assert_eq!(directions, [Forward, Forward, Exit, Reentry, Backward, Reentry]);
    assert_eq!(diagram.undrawn_moves.len(), 2);
}

#[test]
fn a_deadline_is_shown_only_where_it_can_cause_the_move() {
    let classic = arrows(&shipped_diagram("classic_seven", Language::English));
    // The order streak ends no earlier than the customer churns, so the only deadline of this move is the age of the
    // last advocacy.
    let lost = "loyalty>repeat_order loyalty_lost @ 365 days after the last advocacy";
    assert!(classic.contains(&lost.to_owned()), "{classic:?}");
    let satisfied = "purchase>satisfaction entered_satisfaction @ 14 days after the first order";
    assert!(classic.contains(&satisfied.to_owned()), "{classic:?}");
    let cycle = arrows(&shipped_diagram("engagement_cycle", Language::English));
    // A customer in this stage has no orders, so the last order contributes no deadline.
    let abandoned =
        "purchase>evaluation started_evaluation checkout_abandoned @ 24 hours after the last checkout_started";
    assert!(cycle.contains(&abandoned.to_owned()), "{cycle:?}");
    // A bonding customer is not unhappy, so the shorter churn deadline does not apply.
    let lapsed = "bonding>experience bond_broken bond_lapsed @ 180 days after the last order";
    assert!(cycle.contains(&lapsed.to_owned()), "{cycle:?}");
}

#[test]
fn every_published_name_is_in_every_format_and_language() {
    for name in shipped_names() {
        let (set, _) =
            load(&[shipped(name).expect("a shipped model")], &shipped_catalogue(), &[]).expect("no problems");
        let model = &set.models[0];
        let moves = model.moves.iter().map(|rule| &rule.name);
        let milestones = model.milestones.iter().map(|milestone| &milestone.name);
        let names: Vec<_> = moves.chain(milestones).chain(model.counters.iter().map(|counter| &counter.name)).collect();
        for language in LANGUAGES {
            let diagram = diagrams(&set, language);
            let in_diagram = |name: &str| {
                let diagram = &diagram[0];
                let in_arrow = diagram.edges.iter().flat_map(|edge| &edge.labels).any(|label| label.name == name);
                in_arrow
                    || diagram.undrawn_moves.iter().any(|listed| listed.label.name == name)
                    || diagram.other_outputs.iter().any(|output| output.name == name)
            };
            let drawn = svg(&diagram);
            for published in &names {
                assert!(in_diagram(published), "{name} lacks {published}");
                assert!(drawn.contains(&format!(">{published}</text>")), "{name} lacks {published} in {language:?}");
            }
            for stage in &diagram[0].stages {
                assert!(dot(&diagram).contains(&format!("\"{}\" [label=\"{}\"", stage.name, stage.title)), "{name}");
                assert!(mermaid(&diagram).contains(&format!("[\"{}\"]", stage.title)), "{name}");
            }
        }
    }
}

#[test]
fn titles_are_in_the_requested_language_or_else_in_english() {
    let title = |name, language| shipped_diagram(name, language).title;
    assert_eq!(title("retention", Language::Russian), "Удержание");
    assert_eq!(title("engagement_cycle", Language::Finnish), "Sitoutumisen kehä");
    assert_eq!(title("retention", Language::Finnish), "Retention");
    let times = arrows(&shipped_diagram("classic_seven", Language::Russian));
    assert!(times.iter().any(|arrow| arrow.ends_with("24 часа после последнего checkout_started")), "{times:?}");
}

/// Markup in a model is rendered as text; the SVG contains no scripts and loads no resources.
#[test]
fn markup_in_a_model_is_escaped() {
    let text = r#"
model: sly
title: {en: '</text><script>alert("1")</script> & "so" on\'}
journey: [one, two]
stages:
  - {stage: two, title: '"]; drop --> x', when: count(order_completed) >= 2}
  - {stage: one, title: "<b>one</b>", description: "]]> &amp;", when: count(order_completed) >= 1}
"#;
    let diagram = [draw(ModelSource { name: "sly".to_owned(), text: text.to_owned() }, Language::English)];
    let drawn = svg(&diagram);
    assert!(is_well_formed(&drawn), "{drawn}");
    assert!(!drawn.contains("<script") && !drawn.contains("<b>") && !drawn.contains("href") && !drawn.contains("url("));
    let flow = mermaid(&diagram);
    assert!(flow.contains("#quot;]; drop --#gt; x") && !flow.contains("<b>"), "{flow}");
    assert!(dot(&diagram).contains(r#"[label="\"]; drop --> x"]"#));
    assert!(dot(&diagram).contains(r#"\"so\" on\\""#));
}

#[test]
fn every_diagram_is_well_formed_and_within_the_page() {
    for name in shipped_names() {
        for language in LANGUAGES {
            let drawn = svg(&[shipped_diagram(name, language)]);
            assert!(is_well_formed(&drawn), "{name} {language:?}");
            let attribute = |text: &str, name: &str| -> Option<f64> {
                text.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
            };
            let width = attribute(&drawn, "width").expect("a width");
            let positions =
                drawn.lines().filter(|line| line.starts_with("<text")).filter_map(|line| attribute(line, "x"));
            assert!(positions.clone().count() > 10);
            assert!(positions.clone().all(|x| (0.0..width).contains(&x)), "{name} {language:?}");
        }
    }
}

/// Returns whether every element is closed and every `&` starts an entity.
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
fn a_diagram_is_written_to_a_file_or_to_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let run = lifecycle(directory.path(), &["graph", "--format", "svg", "--output", "r.svg", "retention"], b"");
    assert_eq!((run.code, run.output.as_str()), (0, ""), "{}", run.errors);
    let written = fs::read_to_string(directory.path().join("r.svg")).unwrap();
    assert_eq!(written, svg(&[shipped_diagram("retention", Language::English)]));
    let run = lifecycle(directory.path(), &["graph", "--language", "ru", "retention", "loyalty_ladder"], b"");
    assert_eq!(run.code, 0);
    assert!(run.output.starts_with("flowchart TB\n") && run.output.contains("Лестница лояльности"), "{}", run.output);
    assert_eq!(run.output.matches("subgraph m").count(), 4, "two models with one journey each");
}

#[test]
fn an_invalid_model_exits_with_2_and_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let run = lifecycle(directory.path(), &["graph", "retentoin"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("did you mean `retention`?"), "{}", run.errors);
    let missing = PathBuf::from("nowhere").join("r.svg").display().to_string();
    let run = lifecycle(directory.path(), &["graph", "--output", &missing, "retention"], b"");
    assert_eq!(run.code, 2);
    assert!(run.errors.contains("cannot be written"), "{}", run.errors);
}
