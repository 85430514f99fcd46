//! Pictures as Mermaid flowcharts, which many places that show Markdown draw by themselves.

use std::fmt::Write as _;

use super::picture::{Edge, End, Picture};
use super::words::Phrase;
use crate::lifecycle::model::Direction;

/// The pictures as one flowchart.
#[must_use]
pub fn mermaid(pictures: &[Picture]) -> String {
    let mut out = String::from("flowchart TB\n");
    let mut links = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        write_picture(&mut out, picture, number, &mut links);
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

/// Notes the direction of each link, by which they are colored.
fn write_picture(out: &mut String, picture: &Picture, number: usize, links: &mut Vec<Direction>) {
    let id = |end: End| match end {
        End::Stage(place) => format!("m{number}s{place}"),
        End::Journey => format!("m{number}j"),
        End::Nothing => format!("m{number}n"),
    };
    let say = |phrase| picture.language.say(phrase);
    let _ = writeln!(out, "  subgraph m{number}[\"{} ({})\"]", text(&picture.title), text(&picture.name));
    if picture.touches(End::Nothing) {
        let _ = writeln!(out, "    {}((\" \"))", id(End::Nothing));
    }
    let _ = writeln!(out, "    subgraph {}[\" \"]", id(End::Journey));
    for (place, stage) in picture.stages.iter().enumerate() {
        if stage.place.is_some() {
            let _ = writeln!(out, "      {}[\"{}\"]", id(End::Stage(place)), text(&stage.title));
        }
    }
    out.push_str("    end\n");
    for (place, stage) in picture.stages.iter().enumerate() {
        if stage.place.is_none() {
            let _ = writeln!(out, "    {}[\"{}\"]:::outside", id(End::Stage(place)), text(&stage.title));
        }
    }
    for edge in &picture.edges {
        let label = lines(edge, say(Phrase::By)).iter().map(|line| text(line)).collect::<Vec<_>>().join("<br>");
        for &from in &edge.from {
            for &to in &edge.to {
                let _ = writeln!(out, "    {} -->|\"{label}\"| {}", id(from), id(to));
                links.push(edge.direction);
            }
        }
    }
    let beside: Vec<String> =
        picture.beside.iter().map(|beside| text(&format!("{}: {}", beside.kind, beside.name))).collect();
    if !beside.is_empty() {
        let _ = writeln!(out, "    m{number}b[/\"{}\"/]", beside.join("<br>"));
    }
    out.push_str("  end\n");
}

/// The label of an arrow, a line for each move and each time.
pub(super) fn lines(edge: &Edge, by: &str) -> Vec<String> {
    let names = edge.labels.iter().map(|label| match label.causes.as_slice() {
        [] => label.name.clone(),
        causes => format!("{} ({by} {})", label.name, causes.join(", ")),
    });
    // A quartered circle, for a clock: fonts have it more often than a stopwatch.
    names.chain(edge.times.iter().map(|time| format!("\u{25f7} {time}"))).collect()
}

/// In quotes, only these mean something.
fn text(text: &str) -> String {
    text.replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
