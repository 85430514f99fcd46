//! Records of the topic of current stages: what is published of a customer in all models, as JSON or Protobuf.
//!
//! The schema is `lifecycle.v1.CurrentStages`; `docs/contracts.md` describes the JSON mapping.

use std::collections::BTreeMap;

use prost::Message as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proto::lifecycle::v1;
use super::time::format_timestamp;
use super::transition_protobuf::proto_timestamp;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::partition::{ModelView, PublishedStanding};

/// A record of the topic of current stages.
#[derive(Clone, Copy, Debug)]
pub struct CurrentStages<'a> {
    /// Id of the customer.
    pub customer_id: &'a str,
    /// What is published of the customer.
    pub standing: &'a PublishedStanding,
    /// The models that its indices refer to.
    pub models: &'a ModelSet,
    /// The currency of the customer's revenue.
    pub currency: Currency,
}

impl<'a> CurrentStages<'a> {
    fn models(&self) -> impl Iterator<Item = (&'a Model, &'a ModelView)> {
        self.models.models.iter().zip(&self.standing.models)
    }

    /// Appends the record to `out` as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let orders = &self.standing.orders;
        let record = CurrentStagesRecord {
            customer_id: self.customer_id.to_owned(),
            updated_at: format_timestamp(self.standing.clock),
            models: self.models().map(|(model, view)| (model.name.to_string(), standing(model, view))).collect(),
            orders: CurrentOrdersRecord {
                count: orders.count,
                revenue: orders.revenue.to_string(),
                currency: self.currency.as_str().to_owned(),
                last: orders.last.map(format_timestamp),
            },
        };
        write(&record, out);
    }

    /// Appends the record to `out` as Protobuf.
    pub fn write_protobuf(&self, out: &mut Vec<u8>) {
        let orders = &self.standing.orders;
        let standing = |(model, view): (&Model, &ModelView)| {
            let ModelStandingRecord { model_version, stage, signals, milestones, counters, sequence, .. } =
                standing(model, view);
            let since = view.since.map(proto_timestamp);
            let standing = v1::ModelStanding { model_version, stage, since, signals, milestones, counters, sequence };
            (model.name.to_string(), standing)
        };
        let message = v1::CurrentStages {
            customer_id: self.customer_id.to_owned(),
            updated_at: Some(proto_timestamp(self.standing.clock)),
            models: self.models().map(standing).collect(),
            orders: Some(v1::Orders {
                count: orders.count,
                revenue: orders.revenue.to_string(),
                currency: self.currency.as_str().to_owned(),
                last: orders.last.map(proto_timestamp),
            }),
        };
        out.extend_from_slice(&message.encode_to_vec());
    }
}

fn write(record: &CurrentStagesRecord, out: &mut Vec<u8>) {
    serde_json::to_writer(out, record).expect("writing to memory cannot fail");
}

fn standing(model: &Model, view: &ModelView) -> ModelStandingRecord {
    let signals = view.signals.iter().filter_map(|&index| model.signals.get(index));
    let milestones = view.milestones.iter().filter_map(|&index| model.milestones.get(index));
    let counters = model.counters.iter().zip(&view.counters).filter(|(counter, count)| **count >= counter.from);
    ModelStandingRecord {
        model_version: model.version,
        stage: view.stage.map(|stage| model.stage(stage).name.to_string()),
        since: view.since.map(format_timestamp),
        signals: signals.map(|signal| signal.name.to_string()).collect(),
        milestones: milestones.map(|milestone| milestone.name.to_string()).collect(),
        counters: counters.map(|(counter, &count)| (counter.name.to_string(), count)).collect(),
        sequence: view.sequence,
    }
}

/// A record of the topic of current stages, in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.CurrentStages")]
pub struct CurrentStagesRecord {
    pub customer_id: String,
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    pub models: BTreeMap<String, ModelStandingRecord>,
    pub orders: CurrentOrdersRecord,
}

/// What is published of a customer in one model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.ModelStanding")]
pub struct ModelStandingRecord {
    pub model_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    pub signals: Vec<String>,
    pub milestones: Vec<String>,
    pub counters: BTreeMap<String, i64>,
    pub sequence: u64,
}

/// The customer's valid orders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Orders")]
pub struct CurrentOrdersRecord {
    pub count: u64,
    pub revenue: String,
    pub currency: String,
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}
