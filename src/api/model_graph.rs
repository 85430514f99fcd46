//! The graph of a model as JSON: stages as nodes, and the moves between them that a diagram shows as arrows.

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::{Diagram, Edge, Endpoint, Label};

/// The graph of a model, as its diagram shows it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Graph {
    /// The stages of the journey in order, then the stages outside.
    nodes: Vec<Node>,
    /// The arrows, steps of the journey first. Unnamed moves are left out, unless no other move enters their target.
    edges: Vec<Arrow>,
    /// Named moves that are not drawn as arrows, because they start or end at many stages.
    notes: Vec<NamedMove>,
}

#[derive(Serialize, JsonSchema)]
struct Node {
    stage: String,
    title: String,
    /// Position in the journey, starting at 1; null for stages outside.
    place: Option<usize>,
}

/// An arrow. Moves with the same names between several stages share one arrow.
#[derive(Serialize, JsonSchema)]
struct Arrow {
    /// Stages; `*` means any stage of the journey, null means no stage.
    from: Vec<Option<String>>,
    /// Stages; `*` means any stage of the journey, null means no stage.
    to: Vec<Option<String>>,
    names: Vec<MoveName>,
    /// When time alone can cause the move, in words.
    times: Vec<String>,
    direction: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct MoveName {
    name: String,
    /// Touchpoint types and groups that can cause the move, and the passing of time; empty if anything can.
    causes: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct NamedMove {
    name: String,
    /// Touchpoint types and groups that can cause the move, and the passing of time; empty if anything can.
    causes: Vec<String>,
    /// Titles of stages; empty for any stage.
    from: Vec<String>,
    /// Titles of stages; empty for any stage.
    to: Vec<String>,
}

impl Graph {
    pub(super) fn of(diagram: &Diagram) -> Self {
        let nodes = diagram.stages.iter().map(|stage| Node {
            stage: stage.name.clone(),
            title: stage.title.clone(),
            place: stage.journey_position,
        });
        let moves = diagram.undrawn_moves.iter().map(|undrawn| NamedMove {
            name: undrawn.label.name.clone(),
            causes: undrawn.label.causes.clone(),
            from: undrawn.from.clone(),
            to: undrawn.to.clone(),
        });
        Self {
            nodes: nodes.collect(),
            edges: diagram.edges.iter().map(|edge| Arrow::of(diagram, edge)).collect(),
            notes: moves.collect(),
        }
    }
}

impl Arrow {
    fn of(diagram: &Diagram, edge: &Edge) -> Self {
        let ends = |ends: &[Endpoint]| -> Vec<Option<String>> {
            let name = |end: &Endpoint| match *end {
                Endpoint::Stage(index) => Some(diagram.stages[index].name.clone()),
                Endpoint::Journey => Some("*".to_owned()),
                Endpoint::NoStage => None,
            };
            ends.iter().map(name).collect()
        };
        let name = |label: &Label| MoveName { name: label.name.clone(), causes: label.causes.clone() };
        Self {
            from: ends(&edge.from),
            to: ends(&edge.to),
            names: edge.labels.iter().map(name).collect(),
            times: edge.deadlines.clone(),
            direction: edge.direction.as_str(),
        }
    }
}
