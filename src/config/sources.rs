//! The sources: topics of other programs whose records become touchpoints.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::decode::{Format, Framing};
use crate::lifecycle::suggest::suggestion;

use super::key::Key;
use super::keys::RegistryConfig;
use super::node::{Content, Node};
use super::settings::Settings;
use super::values::{kafka_name, one_of, text, topic_name, url};
use super::{OWN_TOPICS, TOUCHPOINTS};

/// Maximum number of sources.
const SOURCES_MAX: usize = 100;

/// A source: topics with records of one format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceConfig {
    /// Its name, in metrics, logs and headers of touchpoints.
    pub name: String,
    /// The topics to read. A `*` matches any text.
    pub topics: Vec<String>,
    /// The format of the records' values.
    pub format: Format,
    /// Whether a schema id precedes the payload.
    pub framing: Framing,
    /// The file of the schema, relative to the configuration file.
    pub schema: Option<PathBuf>,
    /// The full name of the Protobuf message in `schema`.
    pub message: Option<String>,
    /// The registry of its schemas, if it is not that of all sources.
    pub registry: Option<RegistryConfig>,
    /// A preset, or a mapping file relative to the configuration file. `None` if the records are touchpoints.
    pub mapping: Option<String>,
    /// Values for the settings of the mapping.
    pub settings: Map<String, Value>,
}

impl SourceConfig {
    /// Returns the topics without a `*`, which must exist.
    pub fn named_topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str).filter(|topic| !topic.contains('*'))
    }

    /// Whether a topic has a `*`, so that topics may be added while the service runs.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.topics.iter().any(|topic| topic.contains('*'))
    }

    /// Returns each topic with a `*`, and which of `names` it matches.
    #[must_use]
    pub fn matched<'n>(&self, names: &'n [String]) -> Vec<(&str, Vec<&'n str>)> {
        let matched = |pattern: &str| -> Vec<&'n str> {
            names.iter().map(String::as_str).filter(|name| matches(pattern, name)).collect()
        };
        let patterns = self.topics.iter().map(String::as_str).filter(|topic| topic.contains('*'));
        patterns.map(|pattern| (pattern, matched(pattern))).collect()
    }

    /// Returns why the source cannot read `topic`, the topic of the key `own`. A source that reads the touchpoint topic
    /// is read directly by the workers, which read nothing else.
    fn problem_of_own_topic(&self, topic: &str, own: &str) -> Option<String> {
        let name = &self.name;
        if own != TOUCHPOINTS {
            return Some(format!("`{name}` reads `{topic}`, which is {own}: remove it from the source"));
        }
        if self.topics.len() > 1 {
            return Some(format!(
                "`{name}` reads `{topic}`, which is {own}, beside other topics: give it a source of its own, which the \
                 workers read directly"
            ));
        }
        let is_native = (self.format, self.framing, &self.mapping) == (Format::Json, Framing::Plain, &None);
        is_native.then(|| {
            format!("`{name}` reads `{topic}`, which is {own}, as touchpoints in JSON: that needs no source, remove it")
        })
    }

    /// Whether the source reads `topic`.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|pattern| matches(pattern, topic))
    }
}

/// Whether `pattern`, in which a `*` matches any text, matches all of `topic`.
fn matches(pattern: &str, topic: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == topic };
    let Some(mut left) = topic.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

/// Reads the sources. Returns `None` if one of them is invalid.
pub(super) fn sources(settings: &mut Settings, key: &'static Key) -> Option<Vec<SourceConfig>> {
    let problems_before = settings.problem_count();
    let mut sources: Vec<SourceConfig> = Vec::new();
    let items = settings.list(key, "a list of mappings, such as [{name: web, topics: [web.events]}]")?;
    if items.len() > SOURCES_MAX {
        settings.problem(key.path, &format!("{} sources, at most {SOURCES_MAX} are allowed", items.len()));
    }
    for (index, item) in items.into_iter().take(SOURCES_MAX).enumerate() {
        let path = format!("{}[{index}]", key.path);
        let Some(mut fields) = Fields::of(settings, item, &path, "{name: web, topics: [web.events]}") else { continue };
        let source = source(&mut fields);
        fields.reject_unknown();
        let Some(source) = source else { continue };
        if sources.iter().any(|other| other.name == source.name) {
            settings.problem(key.path, &format!("two sources have the name `{}`: give each its own", source.name));
        }
        for topic in source.named_topics() {
            if let Some(other) = sources.iter().find(|other| other.named_topics().any(|taken| taken == topic)) {
                let problem =
                    format!("`{}` and `{}` both read `{topic}`: read it in one of them", other.name, source.name);
                settings.problem(key.path, &problem);
            }
            if let Some(own) = OWN_TOPICS.into_iter().find(|own| settings.text(own) == Some(topic))
                && let Some(problem) = source.problem_of_own_topic(topic, own)
            {
                settings.problem(key.path, &problem);
            }
        }
        sources.push(source);
    }
    (settings.problem_count() == problems_before).then_some(sources)
}

const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("cloudevents", Format::CloudEvents),
    ("avro", Format::Avro),
    ("protobuf", Format::Protobuf),
];
const FRAMINGS: [(&str, Framing); 2] = [("plain", Framing::Plain), ("confluent", Framing::Confluent)];

fn source(fields: &mut Fields<'_>) -> Option<SourceConfig> {
    let name = fields.required("name", kafka_name);
    let topics = fields.list("topics", topic_pattern);
    let format = fields.optional("format", one_of(&FORMATS));
    let framing = fields.optional("framing", one_of(&FRAMINGS));
    let schema = fields.optional("schema", |text| Ok(PathBuf::from(text)));
    let message = fields.optional("message", text);
    let registry = registry(fields);
    let mapping = fields.optional("mapping", text);
    let settings = fields.values("settings");
    if mapping.is_none() && settings.as_ref().is_some_and(|settings| !settings.is_empty()) {
        let path = format!("{}.settings", fields.path);
        let problem = "these are settings of a mapping: set `mapping` as well, or remove them";
        fields.settings.problem_at(&fields.node, &path, problem);
    }
    Some(SourceConfig {
        name: name?,
        topics: topics?,
        format: format.unwrap_or(Format::Json),
        framing: framing.unwrap_or(Framing::Plain),
        schema,
        message,
        registry,
        mapping,
        settings: settings?,
    })
}

/// Reads the registry of one source, which has the keys of `registry`.
fn registry(fields: &mut Fields<'_>) -> Option<RegistryConfig> {
    let node = fields.take("registry")?;
    let path = format!("{}.registry", fields.path);
    let directory = fields.settings.directory();
    let mut fields = Fields::of(fields.settings, node, &path, "{url: \"https://registry:8081\"}")?;
    let file = |text: &str| Ok(directory.join(text));
    let registry = RegistryConfig {
        url: fields.required("url", url),
        username: fields.optional("username", text),
        password_file: fields.optional("password_file", file),
        token_file: fields.optional("token_file", file),
        ca_file: fields.optional("ca_file", file),
        certificate_file: fields.optional("certificate_file", file),
        key_file: fields.optional("key_file", file),
    };
    fields.reject_unknown();
    Some(registry)
}

fn topic_pattern(text: &str) -> Result<String, String> {
    let without = text.replace('*', "x");
    match topic_name(&without) {
        Ok(_) if text.trim_matches('*').is_empty() => {
            Err("write a pattern with some text, such as web.*: a pattern of all topics would read our own".to_owned())
        }
        Ok(_) => Ok(text.to_owned()),
        Err(problem) => Err(format!("{problem}; a `*` matches any text")),
    }
}

/// The keys of one mapping that have not been read yet.
struct Fields<'s> {
    settings: &'s mut Settings,
    path: String,
    node: Node,
    entries: Vec<(Node, Node)>,
    known: Vec<&'static str>,
}

impl<'s> Fields<'s> {
    fn of(settings: &'s mut Settings, mut node: Node, path: &str, example: &str) -> Option<Self> {
        if let Content::Map(entries) = std::mem::replace(&mut node.content, Content::Null) {
            return Some(Self { settings, path: path.to_owned(), node, entries, known: Vec::new() });
        }
        settings.problem_at(&node, path, &format!("write a mapping, such as {example}"));
        None
    }

    fn take(&mut self, name: &'static str) -> Option<Node> {
        self.known.push(name);
        let index = self.entries.iter().position(|(key, _)| key.text() == Some(name))?;
        Some(self.entries.remove(index).1).filter(|node| !matches!(node.content, Content::Null))
    }

    fn required<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if let Some(node) = self.take(name) {
            return self.parse(name, &node, parse);
        }
        let path = self.path.clone();
        self.settings.problem_at(&self.node, &path, &format!("`{name}` is missing: set it"));
        None
    }

    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let node = self.take(name)?;
        self.parse(name, &node, parse)
    }

    /// Returns a list that is not empty. A single value is a list of one.
    fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let Some(node) = self.take(name) else {
            let path = self.path.clone();
            self.settings.problem_at(&self.node, &path, &format!("`{name}` is missing: set it"));
            return None;
        };
        let items = match node.content {
            Content::List(items) if items.is_empty() => {
                let path = format!("{}.{name}", self.path);
                self.settings.problem_at(&self.node, &path, "write at least one");
                return None;
            }
            Content::List(items) => items,
            _ => vec![node],
        };
        items.iter().map(|item| self.parse(name, item, &parse)).collect()
    }

    /// Returns a mapping of single values: texts, and `null` without a value.
    fn values(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        let Some(node) = self.take(name) else { return Some(Map::new()) };
        let values = match &node.content {
            Content::Map(entries) => {
                let single = |node: &Node| match node.content {
                    Content::Null | Content::Scalar(_) => Some(node.to_value()),
                    Content::List(_) | Content::Map(_) => None,
                };
                entries.iter().map(|(key, value)| Some((key.text()?.to_owned(), single(value)?))).collect()
            }
            _ => None,
        };
        if values.is_none() {
            let path = format!("{}.{name}", self.path);
            self.settings.problem_at(&node, &path, "write a mapping of single values, such as {currency: EUR}");
        }
        values
    }

    fn parse<T>(&mut self, name: &'static str, node: &Node, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let parsed = node.text().ok_or_else(|| "write a single value".to_owned()).and_then(parse);
        let path = format!("{}.{name}", self.path);
        parsed.map_err(|problem| self.settings.problem_at(node, &path, &problem)).ok()
    }

    fn reject_unknown(self) {
        let Self { settings, path, entries, known, .. } = self;
        for (key, _) in entries {
            let name = key.text().unwrap_or_default();
            let hint = suggestion(name, known.iter().copied());
            settings.problem_at(&key, &path, &format!("unknown key `{name}`{hint}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, topic, expected) in [
            ("web", "web", true),
            ("web", "web.a", false),
            ("web.*", "web.a", true),
            ("web.*", "web", false),
            ("*.orders", "shop.orders", true),
            ("*.orders", "shop.orders.v2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("aa*a", "aa", false),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }
}
