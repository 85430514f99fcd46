//! Converts a YAML tree into the draft of a model or of the catalogue.

use std::ops::Range;

use super::fields::{Fields, Reader, join_quoted};
use super::keys::{
    CATALOGUE, COUNTER, DIRECTIONS, GROUP, Keys, MILESTONE, MODEL, PROPERTY, SIGNAL, STAGE, TRANSITION, TYPE, TYPES,
};
use super::yaml::{Content, Node, parse};
use crate::lifecycle::model::Direction;
use crate::lifecycle::model_draft::{
    CatalogueDraft, CounterDraft, ExpressionDraft, GroupDraft, ModelDraft, NamedExpression, PropertyDraft, Spanned,
    SpannedString, StageDraft, TransitionDraft, TypeDraft,
};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::value::Type;

/// Maximum size of a model file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;

/// Returns the draft of the model in `text`, as far as it can be read, and all problems found.
pub(super) fn model(file: usize, text: &str) -> (Option<ModelDraft>, Vec<Problem>) {
    let mut reader = Reader { file, text, problems: Vec::new() };
    let draft = parse_tree(&mut reader).and_then(|tree| reader.model(&tree));
    (draft, reader.problems)
}

/// Returns the draft of the catalogue in `text`, as far as it can be read, and all problems found.
pub(super) fn catalogue(file: usize, text: &str) -> (Option<CatalogueDraft>, Vec<Problem>) {
    let mut reader = Reader { file, text, problems: Vec::new() };
    let draft = parse_tree(&mut reader).and_then(|tree| reader.catalogue(&tree));
    (draft, reader.problems)
}

fn parse_tree(reader: &mut Reader<'_>) -> Option<Node> {
    if reader.text.len() > FILE_BYTES_MAX {
        reader.error(
            "too-large",
            &(0..0),
            format!("the file is larger than {} KiB", FILE_BYTES_MAX / 1024),
            "split the model",
        );
        return None;
    }
    match parse(reader.text) {
        Ok(tree) => Some(tree),
        Err(error) => {
            reader.error("yaml", &error.span, error.message, error.help.unwrap_or_default());
            None
        }
    }
}

impl Reader<'_> {
    fn model(&mut self, tree: &Node) -> Option<ModelDraft> {
        let fields = self.fields(tree, &MODEL)?;
        let name = self.required_scalar(&fields, "model", "the file");
        let version = u32::try_from(self.number(&fields, "version", 1, 1)).unwrap_or(u32::MAX);
        let about = self.about(&fields);
        let journey =
            fields.get("journey").map(|node| self.scalars(node, "a stage of the journey")).unwrap_or_default();
        let parameters = self.named_expressions(fields.get("parameters"), "`parameters`");
        let types = self.types(fields.get("types"));
        let groups = self.groups(fields.get("touchpoints"), "`touchpoints`");
        let facts = self.named_expressions(fields.get("facts"), "`facts`");
        let conditions = self.named_expressions(fields.get("conditions"), "`conditions`");
        let stages = self.read_items(&fields, "stages", Self::stage);
        let transitions = self.read_items(&fields, "transitions", Self::transition);
        let signals =
            self.read_items(&fields, "signals", |reader, node| reader.named_condition(node, "signal", &SIGNAL));
        let milestones = self
            .read_items(&fields, "milestones", |reader, node| reader.named_condition(node, "milestone", &MILESTONE));
        let counters = self.read_items(&fields, "counters", Self::counter);
        Some(ModelDraft {
            file: self.file,
            name: name?,
            version,
            about,
            journey,
            parameters,
            types,
            groups,
            facts,
            conditions,
            stages,
            transitions,
            signals,
            milestones,
            counters,
        })
    }

    fn catalogue(&mut self, tree: &Node) -> Option<CatalogueDraft> {
        let fields = self.fields(tree, &CATALOGUE)?;
        self.required_scalar(&fields, "catalogue", "the file")?;
        let types = self.types(fields.get("types"));
        let groups = self.groups(fields.get("groups"), "`groups`");
        Some(CatalogueDraft { file: self.file, types, groups })
    }

    fn read_items<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<T> {
        let items = self.items(fields.get(key), &format!("`{key}`"));
        items.iter().filter_map(|item| read(self, item)).collect()
    }

    fn stage(&mut self, node: &Node) -> Option<StageDraft> {
        let fields = self.fields(node, &STAGE)?;
        let name = self.required_scalar(&fields, "stage", "the stage");
        let about = self.about(&fields);
        let what = label("the stage", name.as_ref());
        let when = self.required_expression(&fields, "when", &what);
        Some(StageDraft { name: name?, about, when })
    }

    fn named_condition(&mut self, node: &Node, key: &str, keys: &Keys) -> Option<NamedExpression> {
        let fields = self.fields(node, keys)?;
        let name = self.required_scalar(&fields, key, &format!("the {key}"));
        let expression = self.required_expression(&fields, "when", &label(&format!("the {key}"), name.as_ref()));
        Some(NamedExpression { name: name?, expression: expression? })
    }

    fn counter(&mut self, node: &Node) -> Option<CounterDraft> {
        let fields = self.fields(node, &COUNTER)?;
        let name = self.required_scalar(&fields, "counter", "the counter");
        let of = self.required_expression(&fields, "of", &label("the counter", name.as_ref()));
        let from = self.number(&fields, "from", 1, 1);
        Some(CounterDraft { name: name?, of: of?, from })
    }

    fn transition(&mut self, node: &Node) -> Option<TransitionDraft> {
        let fields = self.fields(node, &TRANSITION)?;
        let name = self.required_scalar(&fields, "name", "the transition");
        let from = fields.get("from").map(|node| self.scalars(node, "`from`"));
        let to = fields.get("to").map(|node| self.scalars(node, "`to`"));
        let cause = fields.get("cause").map(|node| self.scalars(node, "`cause`"));
        let when = fields.get("when").and_then(|node| self.expression(node, "`when`"));
        let direction = fields.get("direction").and_then(|node| self.direction(node));
        Some(TransitionDraft { name: name?, span: node.span.clone(), from, to, cause, when, direction })
    }

    fn direction(&mut self, node: &Node) -> Option<Spanned<Direction>> {
        let word = self.scalar(node, "`direction`")?;
        let direction = DIRECTIONS.into_iter().find(|direction| direction.as_str() == word.value);
        if direction.is_none() {
            let known = DIRECTIONS.map(Direction::as_str);
            self.report_unknown(&word, "direction", &known);
        }
        direction.map(|value| Spanned { value, span: word.span })
    }

    fn types(&mut self, node: Option<&Node>) -> Vec<TypeDraft> {
        let Some(entries) = node.and_then(|node| self.entries(node, "`types`")) else { return Vec::new() };
        let mut types = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            if value.is_null() {
                types.push(TypeDraft { name, description: String::new(), properties: Vec::new() });
            } else if let Some(fields) = self.fields(value, &TYPE) {
                let description = self.optional_text(&fields, "description");
                let properties = self.properties(fields.get("properties"));
                types.push(TypeDraft { name, description, properties });
            }
        }
        types
    }

    fn groups(&mut self, node: Option<&Node>, what: &str) -> Vec<GroupDraft> {
        let Some(entries) = node.and_then(|node| self.entries(node, what)) else { return Vec::new() };
        let mut groups = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            groups.extend(self.group(name, value));
        }
        groups
    }

    fn group(&mut self, name: SpannedString, node: &Node) -> Option<GroupDraft> {
        // The short form: a list of touchpoint types instead of a mapping.
        if let Content::Sequence(_) = node.content {
            let types = self.scalars(node, "a touchpoint type");
            let (groups, except, properties) = (Vec::new(), Vec::new(), Vec::new());
            return Some(GroupDraft {
                name,
                description: String::new(),
                types,
                groups,
                except,
                properties,
                condition: None,
            });
        }
        let fields = self.fields(node, &GROUP)?;
        let mut words =
            |key: &str| fields.get(key).map(|node| self.scalars(node, &format!("`{key}`"))).unwrap_or_default();
        let (types, groups, except) = (words("types"), words("groups"), words("except"));
        Some(GroupDraft {
            name,
            description: self.optional_text(&fields, "description"),
            types,
            groups,
            except,
            properties: self.properties(fields.get("properties")),
            condition: self.condition(&fields),
        })
    }

    fn condition(&mut self, fields: &Fields<'_>) -> Option<ExpressionDraft> {
        fields.get("where").and_then(|node| self.expression(node, "`where`"))
    }

    fn properties(&mut self, node: Option<&Node>) -> Vec<PropertyDraft> {
        let Some(entries) = node.and_then(|node| self.entries(node, "`properties`")) else { return Vec::new() };
        let mut properties = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let (value_type, unit, description) = if let Content::Mapping(_) = value.content {
                let Some(fields) = self.fields(value, &PROPERTY) else { continue };
                let value_type = self.required_scalar(&fields, "type", &label("the property", Some(&name)));
                (value_type, self.optional_text(&fields, "unit"), self.optional_text(&fields, "description"))
            } else {
                (self.scalar(value, "a property's type"), String::new(), String::new())
            };
            let Some(value_type) = value_type.and_then(|word| self.value_type(&word)) else { continue };
            properties.push(PropertyDraft { name, value_type, unit, description });
        }
        properties
    }

    fn value_type(&mut self, word: &SpannedString) -> Option<Type> {
        let found = TYPES.into_iter().find(|value_type| value_type.name() == word.value);
        if found.is_none() {
            self.report_unknown(word, "type", &TYPES.map(Type::name));
        }
        found
    }

    fn report_unknown(&mut self, word: &SpannedString, what: &str, known: &[&str]) {
        let span: Range<usize> = word.span.clone();
        let problem = Problem::error("bad-value", self.file, span, format!("unknown {what} `{}`", word.value));
        let otherwise = format!("write one of {}", join_quoted(known));
        self.problems.push(problem.did_you_mean(&word.value, known.iter().copied(), &otherwise));
    }
}

/// Returns how messages refer to an entry: ``the stage `loyal` ``, or `the stage` if the name is missing.
fn label(what: &str, name: Option<&SpannedString>) -> String {
    name.map_or_else(|| what.to_owned(), |name| format!("{what} `{}`", name.value))
}
