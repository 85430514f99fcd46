//! `/v1/models`: the running models, each with its graph and the number of this instance's customers per stage.

#![expect(clippy::struct_field_names, reason = "fields are named as in the response")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::{self, Language};
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Causes, JourneyPosition, Model, MoveRule, StageMatch};
use crate::lifecycle::model_set::ModelSet;

use super::Api;
use super::extract::{Path, Query};
use super::model_graph::Graph;
use super::problem::Problem;
use super::response::{TimestampText, Titles};

/// The running models.
#[derive(Serialize, JsonSchema)]
pub(super) struct Models {
    /// In the order of the configuration.
    models: Vec<Definition>,
}

/// A running model, with its graph and the number of customers per stage.
#[derive(Serialize, JsonSchema)]
pub(super) struct ModelResponse {
    #[serde(flatten)]
    definition: Definition,
    graph: Graph,
    /// Committed customers of this instance per stage: the stages in the order of `stages`, then customers in no stage.
    customers: Vec<StageCustomers>,
    /// The time of the oldest worker report that these numbers include; null before any worker has joined the group.
    customers_as_of: Option<TimestampText>,
}

/// The number of customers in a stage.
#[derive(Serialize, JsonSchema)]
struct StageCustomers {
    /// Null for customers for whom no stage's condition holds.
    stage: Option<String>,
    customers: u64,
}

/// The definition of a checked model.
#[derive(Serialize, JsonSchema)]
struct Definition {
    model: String,
    version: u32,
    /// Hash of the definition: models with equal hashes publish the same transitions.
    hash: String,
    titles: Titles,
    description: String,
    /// The stages of the journey, in order.
    journey: Vec<String>,
    /// The stages of the journey in order, then the stages outside.
    stages: Vec<Stage>,
    signals: Vec<Signal>,
    milestones: Vec<Milestone>,
    counters: Vec<Counter>,
    /// The names of moves; the first match applies.
    transitions: Vec<Move>,
    /// Named constants with their effective values.
    parameters: Vec<Parameter>,
}

#[derive(Serialize, JsonSchema)]
struct Stage {
    stage: String,
    titles: Titles,
    description: String,
    /// The condition.
    when: String,
    /// Order of evaluation, starting at 1: a customer is in the first stage whose condition holds.
    tested: usize,
    /// Position in the journey, starting at 1; null for stages outside.
    place: Option<usize>,
    /// Whether the stage is outside the journey.
    outside: bool,
}

/// Published when its condition starts and when it stops holding.
#[derive(Serialize, JsonSchema)]
struct Signal {
    signal: String,
    /// The condition.
    when: String,
}

/// Published once, when its condition first holds.
#[derive(Serialize, JsonSchema)]
struct Milestone {
    milestone: String,
    /// The condition.
    when: String,
}

/// Published each time its number exceeds the highest number published so far.
#[derive(Serialize, JsonSchema)]
struct Counter {
    counter: String,
    /// The expression that computes the number.
    of: String,
    /// The lowest number that is published.
    from: i64,
}

/// A named move between stages.
#[derive(Serialize, JsonSchema)]
struct Move {
    name: String,
    /// The stages that the move may leave, where null means no stage; null if it may leave any.
    from: Option<Vec<Option<String>>>,
    /// The stages that the move may enter, where null means no stage; null if it may enter any.
    to: Option<Vec<Option<String>>>,
    /// Touchpoint types and groups that can cause the move, and `time`; null if anything can.
    cause: Option<Vec<String>>,
    /// The condition that must hold right after the move; null if there is none.
    when: Option<String>,
    /// The direction that overrides the one derived from the journey; null if there is none.
    direction: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct Parameter {
    parameter: String,
    value: String,
}

/// The representation of the model.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelQuery {
    #[serde(default)]
    format: Format,
    /// The language of a diagram's labels.
    #[serde(default)]
    language: DiagramLanguage,
}

/// JSON, or only the graph: as an SVG image, or as Mermaid or DOT source.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Svg,
    Mermaid,
    Dot,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DiagramLanguage {
    #[default]
    En,
    Ru,
    Fi,
    Uk,
}

pub(super) async fn models(State(api): State<Arc<Api>>) -> Json<Models> {
    Json(Models { models: api.models.models.iter().map(|model| Definition::of(&api.models, model)).collect() })
}

pub(super) async fn model(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Query(query): Query<ModelQuery>,
) -> Response {
    let Some(index) = api.models.models.iter().position(|model| *model.name == *name) else {
        let detail = "no running model has this name; /v1/models lists the running models".to_owned();
        return Problem::new(StatusCode::NOT_FOUND, "unknown-model", detail).into_response();
    };
    let language = match query.language {
        DiagramLanguage::En => Language::English,
        DiagramLanguage::Ru => Language::Russian,
        DiagramLanguage::Fi => Language::Finnish,
        DiagramLanguage::Uk => Language::Ukrainian,
    };
    let diagram = [graph::diagram(&api.models, &api.models.models[index], language)];
    let (content_type, text) = match query.format {
        Format::Json => return Json(model_response(&api, index, &diagram[0])).into_response(),
        Format::Svg => ("image/svg+xml", graph::svg(&diagram)),
        Format::Mermaid => ("text/plain; charset=utf-8", graph::mermaid(&diagram)),
        Format::Dot => ("text/plain; charset=utf-8", graph::dot(&diagram)),
    };
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

fn model_response(api: &Api, index: usize, diagram: &graph::Diagram) -> ModelResponse {
    let model = &api.models.models[index];
    let snapshots: Vec<_> = api.status_registry.snapshots().into_iter().flatten().collect();
    let partitions = || snapshots.iter().flat_map(|snapshot| &snapshot.status.partitions);
    let customers = |stage: usize| -> u64 {
        partitions().filter_map(|partition| partition.stage_counts.get(index)?.get(stage)).sum()
    };
    let stages = stages_in_display_order(model).into_iter().map(|stage| StageCustomers {
        stage: Some(model.stage(stage).name.to_string()),
        customers: customers(usize::from(stage.0)),
    });
    let no_stage = StageCustomers { stage: None, customers: customers(model.stages.len()) };
    ModelResponse {
        definition: Definition::of(&api.models, model),
        graph: Graph::of(diagram),
        customers: stages.chain([no_stage]).collect(),
        customers_as_of: snapshots.iter().map(|snapshot| snapshot.at).min().map(TimestampText::from),
    }
}

/// Returns the stages of the journey in its order, then those outside.
fn stages_in_display_order(model: &Model) -> Vec<StageIndex> {
    let outside = (0..).zip(&model.stages).filter(|(_, stage)| stage.journey_position == JourneyPosition::Outside);
    let mut order = model.journey();
    order.extend(outside.map(|(index, _)| StageIndex(index)));
    order
}

impl Definition {
    fn of(set: &ModelSet, model: &Model) -> Self {
        let name = |stage: StageIndex| model.stage(stage).name.to_string();
        Self {
            model: model.name.to_string(),
            version: model.version,
            hash: format!("{:016x}", model.hash.0),
            titles: Titles::of(&model.titles),
            description: model.description.to_string(),
            journey: model.journey().into_iter().map(name).collect(),
            stages: stages_in_display_order(model).into_iter().map(|stage| Stage::of(model, stage)).collect(),
            signals: (model.signals.iter())
                .map(|signal| Signal { signal: signal.name.to_string(), when: signal.when.text.to_string() })
                .collect(),
            milestones: (model.milestones.iter())
                .map(|milestone| Milestone {
                    milestone: milestone.name.to_string(),
                    when: milestone.when.text.to_string(),
                })
                .collect(),
            counters: (model.counters.iter())
                .map(|counter| Counter {
                    counter: counter.name.to_string(),
                    of: counter.of.text.to_string(),
                    from: counter.from,
                })
                .collect(),
            transitions: model.moves.iter().map(|rule| Move::of(set, model, rule)).collect(),
            parameters: (model.parameters.iter())
                .map(|(parameter, value)| Parameter { parameter: parameter.to_string(), value: value.to_string() })
                .collect(),
        }
    }
}

impl Stage {
    fn of(model: &Model, index: StageIndex) -> Self {
        let stage = model.stage(index);
        let place = match stage.journey_position {
            JourneyPosition::At(place) => Some(usize::from(place) + 1),
            JourneyPosition::Outside => None,
        };
        Self {
            stage: stage.name.to_string(),
            titles: Titles::of(&stage.titles),
            description: stage.description.to_string(),
            when: stage.when.text.to_string(),
            tested: usize::from(index.0) + 1,
            place,
            outside: place.is_none(),
        }
    }
}

impl Move {
    fn of(set: &ModelSet, model: &Model, rule: &MoveRule) -> Self {
        let side = |side: StageMatch| {
            let matching = stages_in_display_order(model).into_iter().filter(|&stage| side.matches(Some(stage)));
            let names = matching.map(|stage| Some(model.stage(stage).name.to_string()));
            (side != StageMatch::ANY).then(|| names.chain(side.none.then_some(None)).collect())
        };
        let causes = |causes: Causes| {
            let groups = causes.groups.iter().map(|group| &set.vocabulary.groups[usize::from(group.0)].name);
            groups.map(ToString::to_string).chain(causes.time.then(|| "time".to_owned())).collect()
        };
        Self {
            name: rule.name.to_string(),
            from: side(rule.from),
            to: side(rule.to),
            cause: rule.causes.map(causes),
            when: rule.when.as_ref().map(|when| when.text.to_string()),
            direction: rule.direction.map(crate::lifecycle::model::Direction::as_str),
        }
    }
}
