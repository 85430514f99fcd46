//! Renders diagrams as Mermaid flowcharts, which many Markdown viewers display.

use std::fmt::Write as _;

use super::diagram::{Diagram, Edge, Endpoint};
use super::language::Phrase;
use crate::lifecycle::model::Direction;

/// Renders all diagrams as one flowchart.
#[must_use]
pub fn mermaid(diagrams: &[Diagram]) -> String {
    let mut out = String::from("flowchart TB\n");
    let mut links = Vec::new();
    for (number, diagram) in diagrams.iter().enumerate() {
        write_diagram(&mut out, diagram, number, &mut links);
    }
    for (direction, color) in [
        (Direction::Forward, "#1f6feb"),
        (Direction::Backward, "#9a6700"),
        (Direction::Exit, "#cf222e"),
        (Direction::Reentry, "#1a7f37"),
    ] {
        let indices: Vec<String> = (0..)
            .zip(&links)
            .filter(|(_, link)| **link == direction)
            .map(|(index, _): (usize, _)| index.to_string())
            .collect();
        if !indices.is_empty() {
            let _ = writeln!(out, "  linkStyle {} stroke:{color}", indices.join(","));
        }
    }
    out.push_str("  classDef outside stroke-dasharray:4 3\n");
    out
}

/// Appends the direction of each link to `links`; Mermaid colors links by their index.
fn write_diagram(out: &mut String, diagram: &Diagram, number: usize, links: &mut Vec<Direction>) {
    let id = |end: Endpoint| match end {
        Endpoint::Stage(index) => format!("m{number}s{index}"),
        Endpoint::Journey => format!("m{number}j"),
        Endpoint::NoStage => format!("m{number}n"),
    };
    let translate = |phrase| diagram.language.translate(phrase);
    let _ = writeln!(out, "  subgraph m{number}[\"{} ({})\"]", text(&diagram.title), text(&diagram.name));
    if diagram.touches(Endpoint::NoStage) {
        let _ = writeln!(out, "    {}((\" \"))", id(Endpoint::NoStage));
    }
    let _ = writeln!(out, "    subgraph {}[\" \"]", id(Endpoint::Journey));
    for (index, stage) in diagram.stages.iter().enumerate() {
        if stage.journey_position.is_some() {
            let _ = writeln!(out, "      {}[\"{}\"]", id(Endpoint::Stage(index)), text(&stage.title));
        }
    }
    out.push_str("    end\n");
    for (index, stage) in diagram.stages.iter().enumerate() {
        if stage.journey_position.is_none() {
            let _ = writeln!(out, "    {}[\"{}\"]:::outside", id(Endpoint::Stage(index)), text(&stage.title));
        }
    }
    for edge in &diagram.edges {
        let label =
            label_lines(edge, translate(Phrase::By)).iter().map(|line| text(line)).collect::<Vec<_>>().join("<br>");
        for &from in &edge.from {
            for &to in &edge.to {
                let _ = writeln!(out, "    {} -->|\"{label}\"| {}", id(from), id(to));
                links.push(edge.direction);
            }
        }
    }
    let outputs: Vec<String> =
        diagram.other_outputs.iter().map(|output| text(&format!("{}: {}", output.kind, output.name))).collect();
    if !outputs.is_empty() {
        let _ = writeln!(out, "    m{number}b[/\"{}\"/]", outputs.join("<br>"));
    }
    out.push_str("  end\n");
}

/// Returns the label of an arrow: one line per move name and per deadline.
pub(super) fn label_lines(edge: &Edge, by: &str) -> Vec<String> {
    let names = edge.labels.iter().map(|label| match label.causes.as_slice() {
        [] => label.name.clone(),
        causes => format!("{} ({by} {})", label.name, causes.join(", ")),
    });
    // The clock symbol is a quartered circle, because more fonts contain it than a clock character.
    names.chain(edge.deadlines.iter().map(|deadline| format!("\u{25f7} {deadline}"))).collect()
}

/// Escapes the special characters of a quoted label.
fn text(text: &str) -> String {
    text.replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
