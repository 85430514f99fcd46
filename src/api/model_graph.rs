//! The graph of a model as JSON: the stages, and the moves between them that a picture shows as arrows.

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::{Edge, End, Label, Picture};

/// What a picture of the model shows.
#[derive(Serialize, JsonSchema)]
pub(super) struct Graph {
    /// The stages of the journey in its order, then those outside.
    nodes: Vec<Node>,
    /// The arrows; the steps of the journey first. Moves that no rule names, except into stages that nothing else enters, are left
    /// out.
    edges: Vec<Arrow>,
    /// Named moves that are no arrows: from or to many stages.
    notes: Vec<NamedMove>,
}

#[derive(Serialize, JsonSchema)]
struct Node {
    stage: String,
    title: String,
    /// The how-manieth stage of the journey, from 1; null outside.
    place: Option<usize>,
}

/// It may begin or end at several places, which all bear the same names.
#[derive(Serialize, JsonSchema)]
struct Arrow {
    /// Stages; `*` is any stage of the journey, null no stage.
    from: Vec<Option<String>>,
    /// Stages; `*` is any stage of the journey, null no stage.
    to: Vec<Option<String>>,
    names: Vec<MoveName>,
    /// When time alone may cause the move, in words.
    times: Vec<String>,
    direction: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct MoveName {
    name: String,
    /// Types and groups of touchpoints that may cause it, and the passing of time; empty for anything.
    causes: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct NamedMove {
    name: String,
    /// See the names of arrows.
    causes: Vec<String>,
    /// Titles of stages; empty for any.
    from: Vec<String>,
    /// Titles of stages; empty for any.
    to: Vec<String>,
}

impl Graph {
    pub(super) fn of(picture: &Picture) -> Self {
        let nodes = picture.stages.iter().map(|stage| Node {
            stage: stage.name.clone(),
            title: stage.title.clone(),
            place: stage.place,
        });
        let moves = picture.notes.iter().map(|note| NamedMove {
            name: note.label.name.clone(),
            causes: note.label.causes.clone(),
            from: note.from.clone(),
            to: note.to.clone(),
        });
        Self {
            nodes: nodes.collect(),
            edges: picture.edges.iter().map(|edge| Arrow::of(picture, edge)).collect(),
            notes: moves.collect(),
        }
    }
}

impl Arrow {
    fn of(picture: &Picture, edge: &Edge) -> Self {
        let ends = |ends: &[End]| -> Vec<Option<String>> {
            let name = |end: &End| match *end {
                End::Stage(index) => Some(picture.stages[index].name.clone()),
                End::Journey => Some("*".to_owned()),
                End::Nothing => None,
            };
            ends.iter().map(name).collect()
        };
        let name = |label: &Label| MoveName { name: label.name.clone(), causes: label.causes.clone() };
        Self {
            from: ends(&edge.from),
            to: ends(&edge.to),
            names: edge.labels.iter().map(name).collect(),
            times: edge.times.clone(),
            direction: edge.direction.as_str(),
        }
    }
}
