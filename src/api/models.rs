//! `/v1/models`: the models that run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::lifecycle::model::{Model, Place};

use super::Api;
use super::answer::titles;

pub(super) async fn models(State(api): State<Arc<Api>>) -> Json<Value> {
    let models: Vec<Value> = api.models.models.iter().map(describe).collect();
    Json(json!({ "models": models }))
}

fn describe(model: &Model) -> Value {
    let journey: Vec<_> = model.journey().into_iter().map(|stage| &model.stage(stage).name).collect();
    let stages: Vec<Value> = model
        .stages
        .iter()
        .map(|stage| {
            json!({
                "stage": stage.name,
                "titles": titles(&stage.titles),
                "when": stage.when.text,
                "outside": stage.place == Place::Outside,
            })
        })
        .collect();
    json!({
        "model": model.name,
        "version": model.version,
        "hash": format!("{:016x}", model.hash.0),
        "titles": titles(&model.titles),
        "description": model.description,
        "journey": journey,
        "stages": stages,
        "signals": model.signals.iter().map(|signal| json!({"signal": signal.name, "when": signal.when.text})).collect::<Vec<_>>(),
        "milestones": model.milestones.iter().map(|of| json!({"milestone": of.name, "when": of.when.text})).collect::<Vec<_>>(),
        "counters": model.counters.iter().map(|of| json!({"counter": of.name, "of": of.of.text, "from": of.from})).collect::<Vec<_>>(),
    })
}
