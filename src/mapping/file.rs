//! Reads mapping files: YAML to a [`Mapping`], or every problem with its position.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::batch::BatchRule;
use super::draft::CHANGE_ME;
use super::expression::{Environment, Expression};
use super::field::{FIELDS, Field};
use super::file_text::{first_line, is_plain_name, typed_setting};
use super::keys::{BATCH, DEFAULTS, DROP, MAPPING, SETTING, TOUCHPOINT};
use super::kind::Kind;
use super::mapping::{DropRule, FieldTemplate, ForEach, Mapping, TouchpointRule};
use super::projection::Projection;
use super::template::Template;
use crate::lifecycle::condition::{Dialect, ExpressionProblem, Syntax, SyntaxKind, is_reserved};
use crate::lifecycle::model_draft::ExpressionDraft;
use crate::lifecycle::problem::{Problem, Severity};
use crate::lifecycle::suggest::did_you_mean;
use crate::wire::model_file::fields::{Fields, Reader};
use crate::wire::model_file::yaml::{self, Content, Node};
use crate::wire::model_file::{ModelSource, catalogue_types};
use crate::wire::time::parse_timestamp;

/// Maximum size of a mapping file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The setting that every mapping has: whether identity resolution is on. The service sets it.
pub const IDENTITY: &str = "identity";

/// The code of a place that a draft left open.
const OPEN_PLACE: &str = "open-place";
/// The names that may start a path, in the order in which a mapping passes their values.
const ROOTS: [&str; 3] = ["record", "key", "headers"];

impl Mapping {
    /// Compiles the mapping file `source`. `settings` are values of the source that replace the file's defaults.
    ///
    /// # Errors
    /// All problems found, warnings included. Positions are in `source`, whose index is 0.
    pub fn compile(source: &ModelSource, settings: &Map<String, Value>) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut compiler = Compiler {
            reader: Reader { file: 0, text: &source.text, problems: Vec::new() },
            constants: BTreeMap::new(),
            roots: ROOTS.map(str::to_owned).to_vec(),
        };
        let mapping = compiler.mapping(settings);
        let problems = compiler.reader.problems;
        match mapping {
            Some(mapping) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
                Ok((mapping, problems))
            }
            _ => Err(problems),
        }
    }
}

struct Compiler<'a> {
    reader: Reader<'a>,
    /// `settings` and the tables.
    constants: BTreeMap<String, Value>,
    /// The names that may start a path: [`ROOTS`], and the values read so far.
    roots: Vec<String>,
}

impl Compiler<'_> {
    fn mapping(&mut self, given: &Map<String, Value>) -> Option<Mapping> {
        let text = self.reader.text;
        if text.len() > FILE_BYTES_MAX {
            self.reader.error("too-large", &(0..0), format!("the file is larger than {FILE_BYTES_MAX} bytes"), "");
            return None;
        }
        let root = match yaml::parse(text) {
            Ok(root) => root,
            Err(error) => {
                self.reader.error("not-yaml", &error.span, error.message, error.help.unwrap_or_default());
                return None;
            }
        };
        self.open_places();
        let fields = self.reader.fields(&root, &MAPPING)?;
        let name = self.reader.required_scalar(&fields, "mapping", MAPPING.what);
        let has_identity = self.settings(fields.get("settings"), given);
        self.tables(fields.get("tables"));
        let recognise = self.recognise(&fields);
        let batch = fields.get("batch").map(|node| self.batch(node));
        let values = self.values(fields.get("values"));
        let root_names = self.roots.clone();
        let roots: Vec<&str> = root_names.iter().map(String::as_str).collect();
        let drop = self.drop_rules(fields.get("drop"), &roots);
        let defaults = match fields.get("defaults") {
            Some(node) => self.reader.fields(node, &DEFAULTS).map(|fields| self.templates(&fields, &roots)),
            None => None,
        };
        let defaults = defaults.unwrap_or_default();
        let mut touchpoints = Vec::new();
        if fields.get("touchpoints").is_none() {
            self.reader.error(
                "missing-key",
                &first_line(text, &root.span),
                "a mapping lacks `touchpoints`",
                "add `touchpoints:`, a list",
            );
        }
        for node in self.reader.items(fields.get("touchpoints"), "`touchpoints`") {
            touchpoints.extend(self.touchpoint(node, &roots, &defaults));
        }
        let mut mapping = Mapping {
            name: name?.value,
            title: self.reader.optional_text(&fields, "title"),
            recognise,
            batch: match batch {
                Some(batch) => Some(batch?),
                None => None,
            },
            values,
            drop,
            touchpoints,
            has_identity,
            projection: Projection::default(),
            reads_key: false,
            reads_headers: false,
        };
        mapping.set_projection();
        Some(mapping)
    }

    /// Reports what a draft of `lifecycle map --suggest` leaves open. A value is an error; a comment is a warning,
    /// because its line works as it is.
    fn open_places(&mut self) {
        let text = self.reader.text;
        for (at, mark) in text.match_indices(CHANGE_ME) {
            let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let span = at..at + mark.len();
            let problem = if text[line..at].trim_start().starts_with('#') || text[line..at].contains(" #") {
                let what = "the draft is not sure about this line";
                Problem::warning(OPEN_PLACE, 0, span, what).help("check it, and remove the comment")
            } else {
                let what = format!("`{CHANGE_ME}` is a place that the draft left open");
                Problem::error(OPEN_PLACE, 0, span, what)
                    .help("write the path of the field or the type that belongs here")
            };
            self.reader.problems.push(problem);
        }
    }

    /// Reads the settings and their defaults, and adds the given values. Returns whether identity resolution is on.
    fn settings(&mut self, node: Option<&Node>, given: &Map<String, Value>) -> bool {
        let mut settings = Map::from_iter([(IDENTITY.to_owned(), Value::Bool(false))]);
        for (name, value) in node.and_then(|node| self.reader.entries(node, "`settings`")).unwrap_or_default() {
            let fields = self.reader.fields(value, &SETTING);
            let default = fields.as_ref().and_then(|fields| fields.get("default")).map_or(Value::Null, Node::to_json);
            settings.insert(name.value, default);
        }
        for (name, value) in given {
            if let Some(setting) = settings.get_mut(name) {
                match typed_setting(value, setting) {
                    Ok(value) => *setting = value,
                    Err(problem) => {
                        self.reader.error("bad-setting", &(0..0), format!("the setting `{name}`: {problem}"), "");
                    }
                }
                continue;
            }
            let known: Vec<&str> = settings.keys().map(String::as_str).collect();
            let problem = Problem::error("unknown-setting", 0, 0..0, format!("the mapping has no setting `{name}`"));
            let otherwise =
                if known.is_empty() { String::new() } else { format!("its settings are {}", known.join(", ")) };
            self.reader.problems.push(problem.did_you_mean(name, known.iter().copied(), &otherwise));
        }
        let has_identity = settings.get(IDENTITY) == Some(&Value::Bool(true));
        self.constants.insert("settings".to_owned(), Value::Object(settings));
        has_identity
    }

    fn tables(&mut self, node: Option<&Node>) {
        for (name, value) in node.and_then(|node| self.reader.entries(node, "`tables`")).unwrap_or_default() {
            if ROOTS.contains(&name.value.as_str()) || name.value == "settings" || !is_plain_name(&name.value) {
                let message = format!("`{}` cannot be the name of a table", name.value);
                self.reader.error("bad-name", &name.span, message, "choose another name of a-z, 0-9 and _");
                continue;
            }
            let Some(entries) = self.reader.entries(value, "a table") else { continue };
            let members = entries.into_iter().map(|(key, value)| (key.value, value.to_json())).collect();
            self.constants.insert(name.value, Value::Object(members));
        }
    }

    fn drop_rules(&mut self, node: Option<&Node>, roots: &[&str]) -> Vec<DropRule> {
        let mut rules = Vec::new();
        for item in self.reader.items(node, "`drop`") {
            let Some(fields) = self.reader.fields(item, &DROP) else { continue };
            let when = self.reader.required_expression(&fields, "when", DROP.what);
            let when = when.and_then(|draft| self.condition(&draft, roots));
            let Some(reason) = self.reader.required_scalar(&fields, "reason", DROP.what) else { continue };
            if !is_plain_name(&reason.value) {
                let message = format!("`{}` is not a name", reason.value);
                self.reader.error(
                    "bad-name",
                    &reason.span,
                    message,
                    "a reason is a label of a metric: write a name such as `test_order`",
                );
                continue;
            }
            rules.extend(when.map(|when| DropRule { when, reason: reason.value }));
        }
        rules
    }

    fn touchpoint(
        &mut self,
        node: &Node,
        roots: &[&str],
        defaults: &[Option<FieldTemplate>; FIELDS.len()],
    ) -> Option<TouchpointRule> {
        let fields = self.reader.fields(node, &TOUCHPOINT)?;
        let for_each = match fields.get("for_each") {
            Some(node) => Some(self.for_each(node, roots)?),
            None => None,
        };
        let mut roots: Vec<&str> = roots.to_vec();
        roots.extend(for_each.as_ref().map(|each| each.item.as_str()));
        let when = match fields.get("when") {
            Some(node) => {
                let draft = self.reader.expression(node, "`when`");
                Some(draft.and_then(|draft| self.condition(&draft, &roots)))
            }
            None => None,
        };
        let mut templates = self.templates(&fields, &roots);
        for (field, name) in FIELDS {
            let at = field as usize;
            let is_given = fields.get(name).is_some();
            match (&mut templates[at], &defaults[at]) {
                (Some(own), Some(default)) if field == Field::Properties => {
                    own.template = Template::merged(default.template.clone(), own.template.clone());
                }
                (own @ None, Some(default)) if !is_given => *own = Some(default.clone()),
                _ => {}
            }
            let is_required = match field {
                Field::Touchpoint | Field::EventId | Field::OccurredAt => true,
                Field::CustomerId => {
                    let visitor = Field::AnonymousId as usize;
                    templates[visitor].is_none() && defaults[visitor].is_none()
                }
                _ => false,
            };
            if is_required && templates[at].is_none() && !is_given {
                let message = format!("a touchpoint lacks `{name}`");
                let span = first_line(self.reader.text, &fields.span);
                self.reader.error("missing-key", &span, message, &format!("add `{name}:` here or under `defaults`"));
            }
        }
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        Some(TouchpointRule { when, for_each, fields: templates })
    }

    /// Reads `item in list`.
    fn for_each(&mut self, node: &Node, roots: &[&str]) -> Option<ForEach> {
        let draft = self.reader.expression(node, "`for_each`")?;
        let help = "write `item in record.items`: a name for each item, and a list";
        let syntax = match Syntax::parse_as(&draft.text, Dialect::Records) {
            Ok(syntax) => syntax,
            Err(problems) => {
                self.report(&draft, problems);
                return None;
            }
        };
        let SyntaxKind::In(item, list) = &syntax.kind else {
            self.reader.error("wrong-shape", &draft.span, "`for_each` is not `item in list`", help);
            return None;
        };
        let SyntaxKind::Name(name) = &item.kind else {
            self.reader.error("bad-name", &draft.source_span(&item.span), "expected a name for each item", help);
            return None;
        };
        if roots.contains(&&**name) || self.constants.contains_key(&**name) || is_reserved(name) {
            let message = format!("`{name}` has a meaning already");
            self.reader.error("bad-name", &draft.source_span(&item.span), message, "choose another name");
            return None;
        }
        let start = list.span.start;
        let part = ExpressionDraft {
            text: draft.text[list.span.clone()].to_owned(),
            span: draft.span.clone(),
            source_offsets: draft.source_offsets.get(start..).unwrap_or_default().to_vec(),
        };
        let list = self.expression(&part, roots, Kind::List)?;
        Some(ForEach { item: name.to_string(), list })
    }

    fn recognise(&mut self, fields: &Fields<'_>) -> Option<Expression> {
        let draft = self.reader.expression(fields.get("recognise")?, "`recognise`")?;
        self.condition(&draft, &ROOTS)
    }

    /// Reads where the records of a batch are, and what they share.
    fn batch(&mut self, node: &Node) -> Option<BatchRule> {
        let fields = self.reader.fields(node, &BATCH)?;
        let draft = self.reader.required_expression(&fields, "records", BATCH.what)?;
        let expression = self.expression(&draft, &ROOTS, Kind::List)?;
        let Some(path) = expression.path_of_root(0) else {
            let help = "write the path of a list, such as `record.batch`, or `record` if the value is the list";
            self.reader.error("wrong-shape", &draft.span, "`records` is not a path of the record", help);
            return None;
        };
        let shared = fields.get("shared").map(|node| self.reader.scalars(node, "`shared`")).unwrap_or_default();
        let shared = shared.into_iter().map(|name| name.value).collect();
        Some(BatchRule { path: path.into(), text: draft.text, shared })
    }

    /// Reads the named expressions. Each may read those before it.
    fn values(&mut self, node: Option<&Node>) -> Vec<(String, Expression)> {
        let mut values = Vec::new();
        for named in self.reader.named_expressions(node, "`values`") {
            let name = named.name.value;
            if self.constants.contains_key(&name) || self.roots.contains(&name) || !is_plain_name(&name) {
                let message = format!("`{name}` cannot be the name of a value");
                self.reader.error("bad-name", &named.name.span, message, "choose another name of a-z, 0-9 and _");
                continue;
            }
            let names = self.roots.clone();
            let roots: Vec<&str> = names.iter().map(String::as_str).collect();
            if let Some(expression) = self.expression(&named.expression, &roots, Kind::Any) {
                values.push((name.clone(), expression));
                self.roots.push(name);
            }
        }
        values
    }

    fn condition(&mut self, draft: &ExpressionDraft, roots: &[&str]) -> Option<Expression> {
        self.expression(draft, roots, Kind::Bool)
    }

    fn expression(&mut self, draft: &ExpressionDraft, roots: &[&str], expected: Kind) -> Option<Expression> {
        let expression = match Expression::compile_in(&draft.text, &self.environment(roots)) {
            Ok(expression) => expression,
            Err(problems) => {
                self.report(draft, problems);
                return None;
            }
        };
        if !expression.kind().fits(expected) {
            let found = expression.kind().with_article();
            let message = format!("expected {}, found {found}", expected.with_article());
            let help = if draft.text.contains("${") { "write the expression without `${ }`" } else { "" };
            self.reader.error("type-mismatch", &draft.span, message, help);
            return None;
        }
        Some(expression)
    }

    fn environment<'e>(&'e self, roots: &'e [&'e str]) -> Environment<'e> {
        let constants = self.constants.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        Environment { roots, constants }
    }

    fn report(&mut self, draft: &ExpressionDraft, problems: Vec<ExpressionProblem>) {
        for problem in problems {
            self.reader.problems.push(Problem {
                severity: Severity::Error,
                code: problem.code,
                file: 0,
                span: draft.source_span(&problem.span),
                message: problem.message,
                label: problem.label,
                help: problem.help,
            });
        }
    }

    fn templates(&mut self, fields: &Fields<'_>, roots: &[&str]) -> [Option<FieldTemplate>; FIELDS.len()] {
        FIELDS.map(|(field, name)| {
            let node = fields.get(name)?;
            let template = self.template(node, roots)?;
            self.check_field(field, node, &template);
            let text = self.reader.text.get(node.span.clone()).unwrap_or_default().to_owned();
            Some(FieldTemplate { template, text })
        })
    }

    fn template(&mut self, node: &Node, roots: &[&str]) -> Option<Template> {
        match &node.content {
            Content::Scalar { .. } => {
                let value = node.to_json();
                let Value::String(text) = &value else { return Some(Template::literal(value)) };
                let draft = ExpressionDraft {
                    text: text.clone(),
                    span: node.span.clone(),
                    source_offsets: node.source_offsets(self.reader.text),
                };
                match Template::compile_in(&value, &self.environment(roots)) {
                    Ok(template) => Some(template),
                    Err(problems) => {
                        self.report(&draft, problems.into_iter().map(|problem| problem.problem).collect());
                        None
                    }
                }
            }
            Content::Sequence(items) => {
                let parts: Vec<_> = items.iter().map(|item| self.template(item, roots)).collect();
                parts.into_iter().collect::<Option<Vec<_>>>().map(Template::list)
            }
            Content::Mapping(_) => {
                let entries = self.reader.entries(node, "a mapping")?;
                let parts: Vec<_> =
                    entries.into_iter().map(|(key, value)| Some((key.value, self.template(value, roots)?))).collect();
                parts.into_iter().collect::<Option<Vec<_>>>().map(Template::object)
            }
        }
    }

    /// Reports a value that is wrong for every record.
    fn check_field(&mut self, field: Field, node: &Node, template: &Template) {
        let name = field.name();
        let constant = template.constant();
        let path = constant.and_then(Value::as_str).filter(|text| {
            self.roots
                .iter()
                .any(|root| text.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with(['.', '['])))
        });
        if let Some(path) = path {
            let message = format!("`{name}` is the text `{path}`, not the value at that path");
            self.reader.error("bad-value", &node.span, message, &format!("write `${{{path}}}`"));
            return;
        }
        match (field, constant) {
            (Field::EventId | Field::CustomerId | Field::AnonymousId, Some(_)) => {
                let message = format!("`{name}` is the same for every record");
                self.reader.error("bad-value", &node.span, message, "read it from the record: `${record.id}`");
            }
            (Field::OccurredAt, Some(Value::String(text))) if parse_timestamp(text).is_ok() => {}
            (Field::OccurredAt, Some(_)) => {
                let help = "read it from the record: `${rfc3339(record.time)}`";
                self.reader.error("bad-value", &node.span, "`occurred_at` is not a time", help);
            }
            (Field::Touchpoint, Some(Value::String(text))) => {
                let known = catalogue_types();
                let question = did_you_mean(text, known.iter().map(String::as_str));
                if let Some(question) = question.filter(|_| !known.contains(text)) {
                    let message = format!("the catalogue has no type `{text}`");
                    let problem = Problem::warning("unknown-type", 0, node.span.clone(), message);
                    self.reader.problems.push(problem.help(question));
                }
            }
            _ => {
                let expected = match field {
                    Field::Touchpoint | Field::OccurredAt | Field::Currency => Kind::Text,
                    Field::Properties => Kind::Object,
                    _ => return self.check_id_or_amount(field, node, template.kind()),
                };
                let found = template.kind();
                if !found.fits(expected) {
                    let message =
                        format!("`{name}` must be {}, found {}", expected.with_article(), found.with_article());
                    let help = match (field, found) {
                        (Field::OccurredAt, Kind::Number) => "write `${epoch_seconds(x)}` or `${epoch_millis(x)}`",
                        _ => "",
                    };
                    self.reader.error("type-mismatch", &node.span, message, help);
                }
            }
        }
    }

    fn check_id_or_amount(&mut self, field: Field, node: &Node, found: Kind) {
        if !matches!(found, Kind::Any | Kind::Text | Kind::Number) {
            let message = format!("`{}` must be a text or a number, found {}", field.name(), found.with_article());
            self.reader.error("type-mismatch", &node.span, message, "");
        }
    }
}
