//! A mapping: which records become which touchpoints.
//!
//! Compiled from a mapping file (`file.rs`). A record becomes touchpoints, or is dropped with a reason, or is invalid
//! with the path of the value that caused it. Pure.

use serde_json::Value;

use super::batch::BatchRule;
use super::error::EvaluationError;
use super::expression::Expression;
use super::field::{FIELDS, Field, FieldProblem, Rendered};
use super::node::Path;
use super::projection::Projection;
use super::record::RecordValues;
use super::slots::Roots;
use super::template::Template;
use super::touchpoint::MappedTouchpoint;
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::{DeadLetterCause, ID_BYTES_MAX, TYPE_BYTES_MAX};

/// Maximum number of touchpoints of one record.
pub const TOUCHPOINTS_MAX: usize = 1_000;
/// The index of the root `record`.
const RECORD: usize = 0;
/// The index of the root `key`.
const KEY: usize = 1;
/// The index of the root `headers`.
const HEADERS: usize = 2;
/// The reason of a record that no touchpoint of the mapping applies to.
pub const NO_TOUCHPOINT: &str = "no_touchpoint";

/// A record of a source, decoded to JSON.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    /// The record's key: a text, or null.
    pub key: &'a Value,
    /// The headers: an object of texts.
    pub headers: &'a Value,
    /// The record's value.
    pub value: &'a Value,
}

/// What becomes of a record.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome<'m> {
    /// One touchpoint or several, in the order of the mapping.
    Touchpoints(Vec<MappedTouchpoint>),
    /// The record is not a touchpoint. The reason is a name of the mapping, or [`NO_TOUCHPOINT`].
    Dropped(&'m str),
    /// The record should be a touchpoint, but is not valid. The detail names the path, never the content.
    Invalid(DeadLetterCause),
}

/// A compiled mapping file.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) recognise: Option<Expression>,
    /// Where the records of a value are; `None` if every value is one record.
    pub(super) batch: Option<BatchRule>,
    /// Computed once for each record, in this order; each is a root of what follows.
    pub(super) values: Vec<(String, Expression)>,
    pub(super) drop: Vec<DropRule>,
    pub(super) touchpoints: Vec<TouchpointRule>,
    /// Whether visitors are linked to customers: touchpoints then have `anonymous_id` and `merged_id`, and may
    /// lack `customer_id`.
    pub(super) has_identity: bool,
    /// The parts of a record that an expression reads.
    pub(super) projection: Projection,
    /// Whether an expression reads the key.
    pub(super) reads_key: bool,
    /// Whether an expression reads a header.
    pub(super) reads_headers: bool,
}

/// Drops records that are not touchpoints.
#[derive(Clone, Debug)]
pub(super) struct DropRule {
    pub(super) when: Expression,
    pub(super) reason: String,
}

/// One touchpoint, or one for each item of a list.
#[derive(Clone, Debug)]
pub(super) struct TouchpointRule {
    pub(super) when: Option<Expression>,
    pub(super) for_each: Option<ForEach>,
    /// Indexed by [`Field`].
    pub(super) fields: [Option<FieldTemplate>; FIELDS.len()],
}

/// The list of a rule with `for_each`. The templates and conditions of the rule have the item as an additional root.
#[derive(Clone, Debug)]
pub(super) struct ForEach {
    pub(super) item: String,
    pub(super) list: Expression,
}

/// The template of a field.
#[derive(Clone, Debug)]
pub(super) struct FieldTemplate {
    pub(super) template: Template,
    /// As written in the file.
    pub(super) text: String,
}

impl Mapping {
    /// Returns the name in the mapping file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the title; the name if the file has none.
    #[must_use]
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// Whether a value may contain several records.
    #[must_use]
    pub const fn reads_batches(&self) -> bool {
        self.batch.is_some()
    }

    /// Whether the record, or the first one of a batch, has the shape that the mapping is made for. False if the
    /// mapping does not say so.
    #[must_use]
    pub fn recognises(&self, record: &SourceRecord<'_>) -> bool {
        let first = self.batch.as_ref().and_then(|batch| batch.first(record.value));
        let roots = [first.as_ref().unwrap_or(record.value), record.key, record.headers];
        self.recognise.as_ref().is_some_and(|shape| shape.is_true(&roots).unwrap_or(false))
    }

    /// Prepares [`read`](Self::read): finds what the expressions of the mapping read.
    pub(super) fn set_projection(&mut self) {
        let (mut projection, mut reads_key, mut reads_headers) = (Projection::default(), false, false);
        self.visit_paths_of(0..self.touchpoints.len(), &mut |root, path| match root {
            RECORD => projection.add(&path.members),
            KEY => reads_key = true,
            HEADERS => reads_headers = true,
            _ => {}
        });
        if let Some(batch) = &self.batch {
            projection = projection.with_items(&batch.path);
        }
        projection.number_slots(0);
        self.visit_paths_of(0..self.touchpoints.len(), &mut |root, path| {
            if let Some(slot) = projection.slot(&path.members).filter(|_| root == RECORD) {
                path.slot.set(slot).expect("the slots of a mapping are set once");
            }
        });
        self.projection = projection;
        (self.reads_key, self.reads_headers) = (reads_key, reads_headers);
    }

    /// Calls `visit` with each path of the record that an expression of the mapping reads, only for some of the
    /// touchpoint rules.
    pub(super) fn visit_record_paths_of<'n>(
        &'n self,
        rules: impl IntoIterator<Item = usize>,
        visit: &mut dyn FnMut(&'n [Box<str>]),
    ) {
        self.visit_paths_of(rules, &mut |root, path| {
            if root == RECORD {
                visit(&path.members);
            }
        });
    }

    fn visit_paths_of<'n>(&'n self, rules: impl IntoIterator<Item = usize>, visit: &mut dyn FnMut(usize, &'n Path)) {
        self.values.iter().for_each(|(_, value)| value.visit_paths(visit));
        self.drop.iter().for_each(|rule| rule.when.visit_paths(visit));
        for rule in rules.into_iter().map(|index| &self.touchpoints[index]) {
            if let Some(when) = &rule.when {
                when.visit_paths(visit);
            }
            if let Some(each) = &rule.for_each {
                each.list.visit_paths(visit);
            }
            rule.fields.iter().flatten().for_each(|field| field.template.visit_paths(visit));
        }
    }

    /// Reads a record of a topic whose value is JSON, without those parts that the mapping does not read. `headers` are
    /// read only if the mapping does.
    ///
    /// # Errors
    /// As [`RecordValues::of_topic`].
    pub fn read<'h>(
        &self,
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        value: &[u8],
    ) -> Result<RecordValues, DeadLetterCause> {
        let headers = headers.into_iter().filter(|_| self.reads_headers);
        RecordValues::projected(key, headers, value, Some(&self.projection))
    }

    /// Maps a record.
    #[must_use]
    pub fn map(&self, record: &SourceRecord<'_>) -> Outcome<'_> {
        let roots = [record.value, record.key, record.headers];
        self.try_map(Roots::of(&roots), &mut |_, _, _| {}).unwrap_or_else(Outcome::Invalid)
    }

    /// Maps a record of a topic whose value is one JSON object, faster than [`read`](Self::read) and
    /// [`map`](Self::map). `None` if the value is anything else: a batch, or not valid.
    #[must_use]
    pub fn map_object<'h>(
        &self,
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        value: &[u8],
    ) -> Option<Outcome<'_>> {
        let slots = self.projection.slots(std::str::from_utf8(value).ok()?)?;
        let headers = headers.into_iter().filter(|_| self.reads_headers);
        let RecordValues { key, headers, value } = RecordValues::without_value(key.filter(|_| self.reads_key), headers);
        let roots = Roots { values: &[&value, &key, &headers], slots: Some(&slots) };
        Some(self.try_map(roots, &mut |_, _, _| {}).unwrap_or_else(Outcome::Invalid))
    }

    /// Maps a record, and calls `observe` with the rule, the field and the value of every field that is rendered.
    pub(super) fn try_map(
        &self,
        roots: Roots<'_>,
        observe: &mut dyn FnMut(usize, Field, &Value),
    ) -> Result<Outcome<'_>, DeadLetterCause> {
        let values = self.values(roots)?;
        let with_values: Vec<&Value> = roots.values.iter().copied().chain(&values).collect();
        let roots = Roots { values: &with_values, ..roots };
        for rule in &self.drop {
            if rule.when.holds(roots).map_err(|error| self.invalid("drop", error, roots))? {
                return Ok(Outcome::Dropped(&rule.reason));
            }
        }
        let mut touchpoints = Vec::new();
        for (index, rule) in self.touchpoints.iter().enumerate() {
            let Some(each) = &rule.for_each else {
                if self.applies(rule, roots)? {
                    touchpoints.push(self.render(rule, roots, &mut |field, value| observe(index, field, value))?);
                }
                continue;
            };
            let list_path = || {
                let path = self.path_in_record(each.list.source(roots).to_owned(), roots);
                if path.is_empty() { "for_each".to_owned() } else { path }
            };
            let list = each.list.value_of(roots).map_err(|error| self.invalid("for_each", error, roots))?;
            let items = match &list {
                Value::Null => &[][..],
                Value::Array(items) => items,
                _ => {
                    let detail = format!("{}: expected a list", list_path());
                    return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
                }
            };
            if touchpoints.len() + items.len() > TOUCHPOINTS_MAX {
                let detail = format!("{}: more than {TOUCHPOINTS_MAX} items", list_path());
                return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
            }
            for (at, item) in items.iter().enumerate() {
                let with_item: Vec<&Value> = roots.values.iter().copied().chain([item]).collect();
                let with_item = Roots { values: &with_item, ..roots };
                let in_item = |mut cause: DeadLetterCause| {
                    let list = list_path();
                    cause.detail = format!("{} (item {at} of {list})", cause.detail).into();
                    cause
                };
                if self.applies(rule, with_item).map_err(in_item)? {
                    let mut observe = |field: Field, value: &Value| observe(index, field, value);
                    touchpoints.push(self.render(rule, with_item, &mut observe).map_err(in_item)?);
                }
            }
        }
        if touchpoints.is_empty() {
            return Ok(Outcome::Dropped(NO_TOUCHPOINT));
        }
        reject_repeated_ids(&touchpoints)?;
        Ok(Outcome::Touchpoints(touchpoints))
    }
}

impl Mapping {
    fn values(&self, roots: Roots<'_>) -> Result<Vec<Value>, DeadLetterCause> {
        let mut values: Vec<Value> = Vec::with_capacity(self.values.len());
        for (name, expression) in &self.values {
            let with_values: Vec<&Value> = roots.values.iter().copied().chain(&values).collect();
            let roots = Roots { values: &with_values, ..roots };
            let value = expression.value_of(roots).map_err(|error| self.invalid(name, error, roots))?;
            values.push(value);
        }
        Ok(values)
    }

    fn invalid(&self, field: &str, mut error: EvaluationError, roots: Roots<'_>) -> DeadLetterCause {
        error.path = self.path_in_record(error.path, roots);
        DeadLetterCause::new(DeadLetterReason::BadField, format!("{field}: {error}"))
    }

    /// Replaces the name of a value at the start of `path` by the path that the value comes from.
    fn path_in_record(&self, path: String, roots: Roots<'_>) -> String {
        let (start, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
        let Some(index) = self.values.iter().position(|(name, _)| name == start) else { return path };
        let source = self.values[index].1.source(roots);
        if source.is_empty() { path } else { self.path_in_record(format!("{source}{rest}"), roots) }
    }

    fn applies(&self, rule: &TouchpointRule, roots: Roots<'_>) -> Result<bool, DeadLetterCause> {
        let Some(when) = &rule.when else { return Ok(true) };
        when.holds(roots).map_err(|error| self.invalid("when", error, roots))
    }

    fn render(
        &self,
        rule: &TouchpointRule,
        roots: Roots<'_>,
        observe: &mut dyn FnMut(Field, &Value),
    ) -> Result<MappedTouchpoint, DeadLetterCause> {
        rule.render(self.has_identity, roots, observe).map_err(|problem| match problem {
            FieldProblem::Evaluation(field, error) => self.invalid(field.name(), error, roots),
            FieldProblem::Value(field, reason, what) => {
                let template = rule.fields[field as usize].as_ref();
                let source = template.map_or("", |template| template.template.source(roots)).to_owned();
                let error = EvaluationError { path: source, message: what };
                DeadLetterCause { reason, ..self.invalid(field.name(), error, roots) }
            }
        })
    }
}

/// Of two touchpoints of a customer with one id, the second would be dropped as a duplicate.
fn reject_repeated_ids(touchpoints: &[MappedTouchpoint]) -> Result<(), DeadLetterCause> {
    if touchpoints.len() < 2 {
        return Ok(());
    }
    let mut ids: Vec<_> = touchpoints
        .iter()
        .map(|touchpoint| (&touchpoint.event_id, touchpoint.customer_id.as_ref().or(touchpoint.anonymous_id.as_ref())))
        .collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        let detail = "event_id: two touchpoints of the record have the same id; the mapping must make them differ";
        return Err(DeadLetterCause::new(DeadLetterReason::BadField, detail));
    }
    Ok(())
}

impl TouchpointRule {
    fn render(
        &self,
        has_identity: bool,
        roots: Roots<'_>,
        observe: &mut dyn FnMut(Field, &Value),
    ) -> Result<MappedTouchpoint, FieldProblem> {
        let mut field = |field: Field| -> Result<Rendered, FieldProblem> {
            let Some(template) = &self.fields[field as usize] else {
                return Ok(Rendered { field, value: Value::Null });
            };
            let value = match field {
                Field::Properties => template.template.render_present(roots),
                _ => template.template.render_of(roots),
            };
            let value = value.map_err(|error| FieldProblem::Evaluation(field, error))?;
            observe(field, &value);
            Ok(Rendered { field, value })
        };
        let type_name = field(Field::Touchpoint)?.required_text(TYPE_BYTES_MAX)?;
        let (customer_id, anonymous_id, merged_id) = if has_identity {
            let customer_id = field(Field::CustomerId)?.text(ID_BYTES_MAX)?;
            let anonymous_id = field(Field::AnonymousId)?.text(ID_BYTES_MAX)?;
            if customer_id.is_none() && anonymous_id.is_none() {
                return Err(Rendered { field: Field::CustomerId, value: Value::Null }.missing());
            }
            (customer_id, anonymous_id, field(Field::MergedId)?.text(ID_BYTES_MAX)?)
        } else {
            (Some(field(Field::CustomerId)?.required_text(ID_BYTES_MAX)?), None, None)
        };
        let event_id = field(Field::EventId)?.required_text(ID_BYTES_MAX)?;
        let occurred_at = field(Field::OccurredAt)?.time()?;
        let order_id = field(Field::OrderId)?.text(ID_BYTES_MAX)?;
        let amount = field(Field::Amount)?.amount()?;
        let currency = field(Field::Currency)?.currency()?;
        let properties = field(Field::Properties)?.properties()?;
        Ok(MappedTouchpoint {
            event_id,
            customer_id,
            anonymous_id,
            merged_id,
            type_name,
            occurred_at,
            order_id,
            amount,
            currency,
            properties,
        })
    }
}
