//! Explains what becomes of a record, field by field, and which parts of the record no rule reads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::field::Field;
use super::mapping::{Mapping, Outcome, SourceRecord};
use super::slots::Roots;

/// What becomes of a record, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation<'m> {
    /// The result of the mapping.
    pub outcome: Outcome<'m>,
    /// The fields that were rendered, by touchpoint; those before the first problem if there is one.
    pub touchpoints: Vec<Vec<MappedField<'m>>>,
    /// Paths of the record that no rule of these touchpoints reads: `properties.coupon`, `line_items[].sku`.
    pub unread: Vec<String>,
}

/// A field of a touchpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct MappedField<'m> {
    /// The key in the mapping file: `event_id`.
    pub name: &'static str,
    /// The template as written in the file.
    pub text: &'m str,
    /// Its value.
    pub value: Value,
}

impl Mapping {
    /// Maps a record and explains the result.
    #[must_use]
    pub fn explain(&self, record: &SourceRecord<'_>) -> Explanation<'_> {
        let mut rendered: Vec<(usize, Field, Value)> = Vec::new();
        let mut observe = |rule: usize, field: Field, value: &Value| rendered.push((rule, field, value.clone()));
        let roots = [record.value, record.key, record.headers];
        let outcome = self.try_map(Roots::of(&roots), &mut observe).unwrap_or_else(Outcome::Invalid);
        let rules: BTreeSet<usize> = rendered.iter().map(|&(rule, ..)| rule).collect();
        let mut touchpoints: Vec<Vec<MappedField<'_>>> = Vec::new();
        for (rule, field, value) in rendered {
            // The type is rendered first.
            if field == Field::Touchpoint {
                touchpoints.push(Vec::new());
            }
            let text = self.touchpoints[rule].fields[field as usize].as_ref().map_or("", |template| &template.text);
            if let Some(fields) = touchpoints.last_mut() {
                fields.push(MappedField { name: field.name(), text, value });
            }
        }
        let unread = if rules.is_empty() { Vec::new() } else { self.unread(&rules, record.value) };
        Explanation { outcome, touchpoints, unread }
    }

    /// Returns the paths of `record` that neither a drop rule nor one of `rules` reads.
    fn unread(&self, rules: &BTreeSet<usize>, record: &Value) -> Vec<String> {
        let mut read: Vec<&[Box<str>]> = Vec::new();
        self.visit_record_paths_of(rules.iter().copied(), &mut |members| read.push(members));
        let mut unread = BTreeSet::new();
        collect_unread(record, &read, &mut Vec::new(), &mut unread);
        unread.into_iter().collect()
    }
}

/// Adds the leaves of `value`, which is at `path`, that no path in `read` contains.
fn collect_unread<'v>(value: &'v Value, read: &[&[Box<str>]], path: &mut Vec<&'v str>, unread: &mut BTreeSet<String>) {
    let is_read = read.iter().any(|members| {
        let names = path.iter().filter(|step| **step != "[]");
        members.len() <= path.len() && members.iter().zip(names).all(|(member, step)| **member == **step)
    });
    match value {
        _ if is_read => {}
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                path.push(name);
                collect_unread(member, read, path, unread);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                path.push("[]");
                collect_unread(item, read, path, unread);
                path.pop();
            }
        }
        Value::Null => {}
        _ => _ = unread.insert(path.join(".").replace(".[]", "[]")),
    }
}
