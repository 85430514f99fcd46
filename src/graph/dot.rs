//! Renders diagrams in DOT, the language of Graphviz.

use std::fmt::Write as _;

use super::diagram::{Diagram, Edge, Endpoint};
use super::language::Phrase;
use super::mermaid::label_lines;
use crate::lifecycle::model::Direction;

/// Renders each diagram as a directed graph.
#[must_use]
pub fn dot(diagrams: &[Diagram]) -> String {
    let mut out = String::new();
    for diagram in diagrams {
        write_diagram(&mut out, diagram);
    }
    out
}

fn write_diagram(out: &mut String, diagram: &Diagram) {
    let id = |end: Endpoint| match end {
        Endpoint::Stage(index) => quoted(&diagram.stages[index].name),
        // DOT has no edges to a cluster, so draw the edge to its middle node and clip it at the border (`lhead`,
        // `ltail`).
        Endpoint::Journey => quoted(
            &diagram.stages[diagram.stages.iter().filter(|stage| stage.journey_position.is_some()).count() / 2].name,
        ),
        Endpoint::NoStage => "\"\"".to_owned(),
    };
    let _ = writeln!(out, "digraph {} {{", quoted(&diagram.name));
    let _ =
        writeln!(out, "  graph [label={}, labelloc=t, compound=true, fontname=\"sans-serif\"]", quoted(&diagram.title));
    out.push_str(
        "  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n",
    );
    if diagram.touches(Endpoint::NoStage) {
        let _ = writeln!(out, "  {} [shape=point, width=0.15]", id(Endpoint::NoStage));
    }
    out.push_str("  subgraph cluster_journey {\n    style=rounded\n    color=gray\n    label=\"\"\n");
    for stage in diagram.stages.iter().filter(|stage| stage.journey_position.is_some()) {
        let _ = writeln!(out, "    {} [label={}]", quoted(&stage.name), quoted(&stage.title));
    }
    out.push_str("  }\n");
    for stage in diagram.stages.iter().filter(|stage| stage.journey_position.is_none()) {
        let _ = writeln!(out, "  {} [label={}, style=\"rounded,dashed\"]", quoted(&stage.name), quoted(&stage.title));
    }
    for edge in &diagram.edges {
        write_edge(out, diagram, edge, id);
    }
    if !diagram.other_outputs.is_empty() {
        let lines: Vec<String> =
            diagram.other_outputs.iter().map(|output| format!("{}: {}", output.kind, output.name)).collect();
        let label = lines.join("\n");
        let _ = writeln!(out, "  \"other outputs\" [shape=note, style=\"\", label={}]", quoted(&label));
    }
    out.push_str("}\n");
}

fn write_edge(out: &mut String, diagram: &Diagram, edge: &Edge, id: impl Fn(Endpoint) -> String) {
    let color = match edge.direction {
        Direction::Forward => "#1f6feb",
        Direction::Backward => "#9a6700",
        Direction::Exit => "#cf222e",
        Direction::Reentry => "#1a7f37",
    };
    let label = label_lines(edge, diagram.language.translate(Phrase::By)).join("\n");
    for &from in &edge.from {
        for &to in &edge.to {
            let tail = if from == Endpoint::Journey { ", ltail=cluster_journey" } else { "" };
            let head = if to == Endpoint::Journey { ", lhead=cluster_journey" } else { "" };
            let label = quoted(&label);
            let _ = writeln!(out, "  {} -> {} [label={label}, color=\"{color}\"{tail}{head}]", id(from), id(to));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
