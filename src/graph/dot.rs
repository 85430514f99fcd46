//! Pictures in DOT, the language of Graphviz.

use std::fmt::Write as _;

use super::mermaid::lines;
use super::picture::{Edge, End, Picture};
use super::words::Phrase;
use crate::lifecycle::model::Direction;

/// The pictures, one graph each.
#[must_use]
pub fn dot(pictures: &[Picture]) -> String {
    let mut out = String::new();
    for picture in pictures {
        write_picture(&mut out, picture);
    }
    out
}

fn write_picture(out: &mut String, picture: &Picture) {
    let id = |end: End| match end {
        End::Stage(place) => quoted(&picture.stages[place].name),
        // An edge cannot end at a cluster; it is cut off at its border.
        End::Journey => {
            quoted(&picture.stages[picture.stages.iter().filter(|stage| stage.place.is_some()).count() / 2].name)
        }
        End::Nothing => "\"\"".to_owned(),
    };
    let _ = writeln!(out, "digraph {} {{", quoted(&picture.name));
    let _ =
        writeln!(out, "  graph [label={}, labelloc=t, compound=true, fontname=\"sans-serif\"]", quoted(&picture.title));
    out.push_str(
        "  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n",
    );
    if picture.touches(End::Nothing) {
        let _ = writeln!(out, "  {} [shape=point, width=0.15]", id(End::Nothing));
    }
    out.push_str("  subgraph cluster_journey {\n    style=rounded\n    color=gray\n    label=\"\"\n");
    for stage in picture.stages.iter().filter(|stage| stage.place.is_some()) {
        let _ = writeln!(out, "    {} [label={}]", quoted(&stage.name), quoted(&stage.title));
    }
    out.push_str("  }\n");
    for stage in picture.stages.iter().filter(|stage| stage.place.is_none()) {
        let _ = writeln!(out, "  {} [label={}, style=\"rounded,dashed\"]", quoted(&stage.name), quoted(&stage.title));
    }
    for edge in &picture.edges {
        write_edge(out, picture, edge, id);
    }
    if !picture.beside.is_empty() {
        let lines: Vec<String> =
            picture.beside.iter().map(|beside| format!("{}: {}", beside.kind, beside.name)).collect();
        let beside = lines.join("\n");
        let _ = writeln!(out, "  \"beside the stages\" [shape=note, style=\"\", label={}]", quoted(&beside));
    }
    out.push_str("}\n");
}

fn write_edge(out: &mut String, picture: &Picture, edge: &Edge, id: impl Fn(End) -> String) {
    let color = match edge.direction {
        Direction::Forward => "#1f6feb",
        Direction::Backward => "#9a6700",
        Direction::Exit => "#cf222e",
        Direction::Reentry => "#1a7f37",
    };
    let label = lines(edge, picture.language.say(Phrase::By)).join("\n");
    for &from in &edge.from {
        for &to in &edge.to {
            let tail = if from == End::Journey { ", ltail=cluster_journey" } else { "" };
            let head = if to == End::Journey { ", lhead=cluster_journey" } else { "" };
            let label = quoted(&label);
            let _ = writeln!(out, "  {} -> {} [label={label}, color=\"{color}\"{tail}{head}]", id(from), id(to));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
