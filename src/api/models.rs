//! `/v1/models`: the models that run, each with its graph and the customers of this instance in its stages.

#![expect(clippy::struct_field_names, reason = "fields are named as in the answer")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::{self, Language};
use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::{Causes, Model, MoveRule, Place, StageMatch};
use crate::lifecycle::model_set::ModelSet;

use super::Api;
use super::answer::{Instant, Titles};
use super::extract::{Path, Query};
use super::model_graph::Graph;
use super::problem::Problem;

/// The models that run.
#[derive(Serialize, JsonSchema)]
pub(super) struct Models {
    /// In the order of the configuration.
    models: Vec<Definition>,
}

/// A model that runs, and how it does.
#[derive(Serialize, JsonSchema)]
pub(super) struct ModelAnswer {
    #[serde(flatten)]
    definition: Definition,
    graph: Graph,
    /// Customers of this instance in each stage, as committed: the stages in the order of `stages`, then those in none.
    customers: Vec<StageCustomers>,
    /// Of when the eldest of these numbers is; null while no worker has joined the group.
    customers_as_of: Option<Instant>,
}

/// How many customers stand in a stage.
#[derive(Serialize, JsonSchema)]
struct StageCustomers {
    /// Null for those whom no stage's condition holds for.
    stage: Option<String>,
    customers: u64,
}

/// A model as it was checked.
#[derive(Serialize, JsonSchema)]
struct Definition {
    model: String,
    version: u32,
    /// The same for two definitions that publish the same.
    hash: String,
    titles: Titles,
    description: String,
    /// The stages of the journey, in its order.
    journey: Vec<String>,
    /// In the order of the journey, then those outside.
    stages: Vec<Stage>,
    signals: Vec<Signal>,
    milestones: Vec<Milestone>,
    counters: Vec<Counter>,
    /// The names of moves: the first that fits.
    transitions: Vec<Move>,
    /// Named constants with the values that hold, overridden or not.
    parameters: Vec<Parameter>,
}

#[derive(Serialize, JsonSchema)]
struct Stage {
    stage: String,
    titles: Titles,
    description: String,
    /// The condition.
    when: String,
    /// The how-manieth condition to be tested, from 1: a customer is in the first stage whose condition holds.
    tested: usize,
    /// The how-manieth stage of the journey, from 1; null outside.
    place: Option<usize>,
    /// Whether the stage lies outside the journey.
    outside: bool,
}

/// Published when its condition starts and when it stops to hold.
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

/// Published when its number grows.
#[derive(Serialize, JsonSchema)]
struct Counter {
    counter: String,
    /// The number.
    of: String,
    /// The least that is published.
    from: i64,
}

/// What a move between stages is called.
#[derive(Serialize, JsonSchema)]
struct Move {
    name: String,
    /// The stages that it may leave, null standing for none; null for any.
    from: Option<Vec<Option<String>>>,
    /// The stages that it may enter, null standing for none; null for any.
    to: Option<Vec<Option<String>>>,
    /// Types and groups of touchpoints that may cause it, and `time`; null for anything.
    cause: Option<Vec<String>>,
    /// What must hold at that instant; null for nothing.
    when: Option<String>,
    /// The direction that is published instead of the one that the journey gives.
    direction: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct Parameter {
    parameter: String,
    value: String,
}

/// How the model is told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelQuery {
    #[serde(default)]
    format: Format,
    /// Of a picture's labels.
    #[serde(default)]
    language: PictureLanguage,
}

/// JSON, or the graph alone as a picture or in a language for pictures.
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
enum PictureLanguage {
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
        let detail = "no model of that name runs; /v1/models lists those that do".to_owned();
        return Problem::new(StatusCode::NOT_FOUND, "unknown-model", detail).into_response();
    };
    let language = match query.language {
        PictureLanguage::En => Language::English,
        PictureLanguage::Ru => Language::Russian,
        PictureLanguage::Fi => Language::Finnish,
        PictureLanguage::Uk => Language::Ukrainian,
    };
    let picture = [graph::picture(&api.models, &api.models.models[index], language)];
    let (kind, text) = match query.format {
        Format::Json => return Json(answer(&api, index, &picture[0])).into_response(),
        Format::Svg => ("image/svg+xml", graph::svg(&picture)),
        Format::Mermaid => ("text/plain; charset=utf-8", graph::mermaid(&picture)),
        Format::Dot => ("text/plain; charset=utf-8", graph::dot(&picture)),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn answer(api: &Api, index: usize, picture: &graph::Picture) -> ModelAnswer {
    let model = &api.models.models[index];
    let seen: Vec<_> = api.board.read().into_iter().flatten().collect();
    let partitions = || seen.iter().flat_map(|seen| &seen.status.partitions);
    let customers = |place: usize| -> u64 {
        partitions().filter_map(|partition| partition.population.get(index)?.get(place)).sum()
    };
    let stages = order(model).into_iter().map(|stage| StageCustomers {
        stage: Some(model.stage(stage).name.to_string()),
        customers: customers(usize::from(stage.0)),
    });
    let none = StageCustomers { stage: None, customers: customers(model.stages.len()) };
    ModelAnswer {
        definition: Definition::of(&api.models, model),
        graph: Graph::of(picture),
        customers: stages.chain([none]).collect(),
        customers_as_of: seen.iter().map(|seen| seen.at).min().map(Instant::from),
    }
}

/// The stages of the journey in its order, then those outside.
fn order(model: &Model) -> Vec<StageIndex> {
    let outside = (0..).zip(&model.stages).filter(|(_, stage)| stage.place == Place::Outside);
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
            stages: order(model).into_iter().map(|stage| Stage::of(model, stage)).collect(),
            signals: (model.signals.iter())
                .map(|signal| Signal { signal: signal.name.to_string(), when: signal.when.text.to_string() })
                .collect(),
            milestones: (model.milestones.iter())
                .map(|of| Milestone { milestone: of.name.to_string(), when: of.when.text.to_string() })
                .collect(),
            counters: (model.counters.iter())
                .map(|of| Counter { counter: of.name.to_string(), of: of.of.text.to_string(), from: of.from })
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
        let place = match stage.place {
            Place::Journey(place) => Some(usize::from(place) + 1),
            Place::Outside => None,
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
            let fitting = order(model).into_iter().filter(|&stage| side.fits(Some(stage)));
            let names = fitting.map(|stage| Some(model.stage(stage).name.to_string()));
            (side != StageMatch::ANYTHING).then(|| names.chain(side.none.then_some(None)).collect())
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
