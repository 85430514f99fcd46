//! Merges the settings of the file and the environment by key, and collects all problems found in them.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::suggest::{nearest, question, suggestion};
use crate::wire::model_file::Override;

use super::client::{self, ClientSetting};
use super::key::{DefaultValue, Key, VARIABLE_PREFIX};
use super::keys::{KEYS, key};
use super::kubernetes;
use super::node::{self, Content, Node};

/// Variables with our prefix that are not configuration keys: the path of the file, and settings of the tests.
const OTHER_VARIABLES: &[&str] =
    &["LIFECYCLE_CONFIG", "LIFECYCLE_TEST_BROKER", "LIFECYCLE_CHAOS_SECONDS", "LIFECYCLE_CHAOS_SEED"];

/// Where a key was set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// Nowhere: the default applies.
    Default,
    /// Nowhere: the default is derived, as this note describes.
    Derived(&'static str),
    /// In the file, at this line.
    File(u64),
    /// In the environment variable of this name.
    Variable(String),
}

/// The text of each key that has a value, and where it was set.
pub(super) type Origins = BTreeMap<&'static str, (String, Origin)>;

/// The settings that have not been read yet, each with its location, and the problems found so far.
pub(super) struct Settings {
    /// `None` if only the environment is used.
    file: Option<PathBuf>,
    text: String,
    nodes: HashMap<String, Node>,
    variables: BTreeMap<String, String>,
    origins: Origins,
    problems: Vec<String>,
}

impl Settings {
    /// Parses the text of the file and keeps the variables with our prefix.
    ///
    /// # Errors
    /// The problem of a file that is not valid YAML. Nothing else is checked then, because keys would seem missing.
    pub(super) fn read(
        text: &str,
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let variables = variables.into_iter().filter(|(name, value)| {
            name.starts_with(VARIABLE_PREFIX)
                && !OTHER_VARIABLES.contains(&name.as_str())
                && !kubernetes::is_service_variable(name, value)
        });
        let mut settings = Self {
            file: file.map(Path::to_owned),
            text: text.to_owned(),
            nodes: HashMap::new(),
            variables: variables.collect(),
            origins: BTreeMap::new(),
            problems: Vec::new(),
        };
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(settings);
        }
        match Node::parse(text) {
            Ok(root) => {
                settings.flatten(root, "");
                Ok(settings)
            }
            Err(error) => Err(node::syntax_problem(&error, &settings.file())),
        }
    }

    /// Returns the directory that relative paths start from: that of the file.
    pub(super) fn directory(&self) -> PathBuf {
        self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned()
    }

    /// Returns the text of a key that has been read.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.origins.get(path).map(|(text, _)| text.as_str())
    }

    /// Returns the value of a key that is required or has a default. `None` means that a problem was recorded.
    pub(super) fn value<T>(&mut self, key: &'static Key, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.take(key) {
            RawSetting::Value(text, origin) => self.parse(key.path, text, origin, parse),
            RawSetting::Invalid => None,
            RawSetting::Missing => match key.default {
                DefaultValue::Is(text) => self.parse(key.path, text.to_owned(), Origin::Default, parse),
                DefaultValue::Derived(note, derive) => match derive(self) {
                    Ok(text) => self.parse(key.path, text, Origin::Derived(note), parse),
                    Err(problem) => {
                        self.problem(key.path, &problem);
                        None
                    }
                },
                // The section of the key is not a mapping, which is reported.
                DefaultValue::Required if self.nodes.keys().any(|it| is_section(it, key.path)) => None,
                DefaultValue::Required | DefaultValue::Unset(_) => {
                    let (path, variable) = (key.path, key.variable());
                    self.problems.push(match &self.file {
                        Some(file) => format!("{}: `{path}` is missing: set it, or {variable}", file.display()),
                        None => format!(
                            "`{path}` is missing: there is no configuration file and {variable} is not set; name a file with --config FILE or \
                             LIFECYCLE_CONFIG, or set the variable"
                        ),
                    });
                    None
                }
            },
        }
    }

    /// Returns the value of an optional key.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.take(key) {
            RawSetting::Value(text, origin) => self.parse(key.path, text, origin, parse),
            RawSetting::Invalid | RawSetting::Missing => None,
        }
    }

    /// Returns the settings of the Kafka client, with secrets read from their files.
    pub(super) fn client(&mut self, key: &'static Key) -> Option<BTreeMap<String, ClientSetting>> {
        let (path, directory) = (key.path, self.directory());
        let problems_before = self.problems.len();
        let mut settings = BTreeMap::new();
        let node = self.nodes.remove(path);
        for (name, value) in node.map(|node| self.entries(path, node)).unwrap_or_default() {
            let location = self.location(&value);
            let Some(text) = value.text() else {
                self.problems.push(format!("{location}: `{path}.{name}`: write a single value"));
                continue;
            };
            match client::from_file(&name, text, &directory) {
                Ok(setting) => _ = settings.insert(name, setting),
                Err(problem) => self.problems.push(format!("{location}: `{path}.{name}`: {problem}")),
            }
        }
        let prefix = format!("{}_", key.variable());
        let variables: Vec<_> = self.variables.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        for variable in variables {
            let text = self.variables.remove(&variable).unwrap_or_default();
            let name = variable[prefix.len()..].to_lowercase().replace('_', ".");
            match client::from_variable(&name, &text, &directory) {
                Ok(setting) => _ = settings.insert(name, setting),
                Err(problem) => self.problems.push(format!("{variable}: `{path}.{name}`: {problem}")),
            }
        }
        (self.problems.len() == problems_before).then_some(settings)
    }

    /// Returns the names and files of the models to run. In the environment, they are separated by commas.
    pub(super) fn models(&mut self, key: &'static Key) -> Option<Vec<String>> {
        let path = key.path;
        let node = self.nodes.remove(path);
        if let Some(list) = self.variables.remove(&key.variable()) {
            let names: Vec<String> =
                list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            self.origins.insert(path, (list, Origin::Variable(key.variable())));
            if names.is_empty() {
                self.problem(path, "write names and files, such as retention,./mine.yaml, or remove the variable");
                return None;
            }
            return Some(names);
        }
        let Some(node) = node else { return Some(Vec::new()) };
        let line = node.line;
        let location = self.location(&node);
        let items = match node.content {
            Content::List(items) => items,
            Content::Scalar(_) => vec![node],
            Content::Null | Content::Map(_) => Vec::new(),
        };
        let names: Vec<String> = items.iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        self.origins.insert(path, (names.join(", "), Origin::File(line)));
        if names.is_empty() || names.len() < items.len() {
            self.problems.push(format!(
                "{location}: `{path}`: write a list of names and files, such as [retention, ./mine.yaml]"
            ));
            return None;
        }
        Some(names)
    }

    /// Returns the overrides of model parameters.
    pub(super) fn parameters(&mut self, key: &'static Key) -> Option<Vec<Override>> {
        let Some((location, node)) = self.take_node(key) else { return Some(Vec::new()) };
        let values = node.and_then(|node| overrides(&node));
        if values.is_none() {
            let path = key.path;
            self.problems.push(format!(
                "{location}: `{path}`: write a mapping of mappings, such as {{retention: {{risk_after: days(60)}}}}"
            ));
        }
        values
    }

    /// Returns names and expressions.
    pub(super) fn attributes(&mut self, key: &'static Key) -> Option<Vec<(String, String)>> {
        let Some((location, node)) = self.take_node(key) else { return Some(Vec::new()) };
        let values = node.and_then(|node| {
            let Content::Map(entries) = &node.content else { return None };
            entries.iter().map(|(name, value)| Some((name.text()?.to_owned(), value.text()?.to_owned()))).collect()
        });
        if values.is_none() {
            let path = key.path;
            self.problems.push(format!(
                "{location}: `{path}`: write a mapping of names to expressions, such as {{country: 'latest(signed_up, \"country\")'}}"
            ));
        }
        values
    }

    /// Returns the items of a key whose value is a list.
    pub(super) fn list(&mut self, key: &'static Key, syntax: &str) -> Option<Vec<Node>> {
        let Some((location, node)) = self.take_node(key) else { return Some(Vec::new()) };
        if let Some(Content::List(items)) = node.map(|node| node.content) {
            return Some(items);
        }
        self.problems.push(format!("{location}: `{}`: write {syntax}", key.path));
        None
    }

    /// Returns the document that contains `key`, whose value has keys of its own, and the name of the document in
    /// problems. In the environment, the mapping of the file is written on one line.
    pub(super) fn document(&mut self, key: &'static Key) -> Option<(String, String)> {
        let (path, variable) = (key.path, key.variable());
        let in_file = self.nodes.remove(path);
        if let Some(text) = self.variables.remove(&variable) {
            let document = format!("{path}: {text}");
            self.origins.insert(path, (text, Origin::Variable(variable.clone())));
            return Some((document, variable));
        }
        let line = in_file?.line;
        self.origins.insert(path, (format!("from line {line}"), Origin::File(line)));
        Some((self.text.clone(), self.file()))
    }

    /// Adds problems with a value that another reader has found.
    pub(super) fn extend_problems(&mut self, problems: Vec<String>) {
        self.problems.extend(problems);
    }

    /// Returns the ids of `identity.blocked`.
    pub(super) fn blocked_ids(&mut self, key: &'static Key) -> Option<BlockedIds> {
        let syntax = "a list of ids, such as [test-user, shop@example.com]";
        let items = self.list(key, syntax)?;
        let ids: Option<Vec<&str>> = items.iter().map(|item| item.text().filter(|id| !id.is_empty())).collect();
        if ids.is_none() {
            self.problem(key.path, &format!("write {syntax}"));
        }
        ids.map(BlockedIds::new)
    }

    /// Returns the number of problems so far.
    pub(super) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// Records a problem with the node at `path`.
    pub(super) fn problem_at(&mut self, node: &Node, path: &str, problem: &str) {
        let key = path.split('[').next().unwrap_or(path);
        let location = match self.origins.get(key) {
            Some((_, Origin::Variable(variable))) => format!("{variable}:{}:{}", node.line, node.column),
            _ => self.location(node),
        };
        self.problems.push(format!("{location}: `{path}`: {problem}"));
    }

    /// Records a problem with the value of `path`.
    pub(super) fn problem(&mut self, path: &'static str, problem: &str) {
        let location = match self.origins.get(path) {
            Some((_, Origin::File(line))) => format!("{}:{line}", self.file()),
            Some((_, Origin::Variable(variable))) => variable.clone(),
            Some((_, Origin::Default | Origin::Derived(_))) | None => self.file(),
        };
        self.problems.push(format!("{location}: `{path}`: {problem}"));
    }

    /// Reports every setting that has not been read as unknown.
    pub(super) fn reject_unknown(&mut self) {
        let mut unknown: Vec<_> = std::mem::take(&mut self.nodes).into_iter().collect();
        unknown.sort_by_key(|(_, node)| (node.line, node.column));
        for (path, node) in unknown {
            let inner = format!("{path}.");
            if let Some(example) = KEYS.iter().find(|key| key.path.starts_with(&inner)) {
                self.problems.push(format!(
                    "{}: `{path}`: write a mapping of keys, such as `{}`",
                    self.location(&node),
                    &example.path[inner.len()..]
                ));
                continue;
            }
            let hint = if is_client_setting(&path) {
                ": settings of the Kafka client go under `kafka.client`".to_owned()
            } else {
                meant(&path).map_or(String::new(), |name| format!(": {}", question(name)))
            };
            self.problems.push(format!("{}: unknown key `{path}`{hint}", self.location(&node)));
        }
        let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
        for variable in std::mem::take(&mut self.variables).into_keys() {
            let hint = suggestion(&variable, names.iter().map(String::as_str));
            self.problems.push(format!("{variable}: unknown environment variable{hint}"));
        }
    }

    /// Takes the text of each key that has a value, and where it was set.
    pub(super) fn take_origins(&mut self) -> Origins {
        std::mem::take(&mut self.origins)
    }

    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// Flattens nested mappings to dotted paths, down to known keys and to entries that are not a mapping.
    fn flatten(&mut self, node: Node, path: &str) {
        let is_key = key(path).is_some();
        match node.content {
            Content::Map(entries) if !is_key => {
                for (name, value) in entries {
                    let Some(name) = name.text() else {
                        self.problems.push(format!("{}: write a name as key", self.location(&value)));
                        continue;
                    };
                    let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                    self.flatten(value, &inner);
                }
            }
            Content::Null if !is_key && KEYS.iter().any(|key| key.path.starts_with(path)) => {}
            _ if path.is_empty() => {
                self.problems.push(format!("{}: write a mapping of keys, such as `workers: 4`", self.location(&node)));
            }
            // A key without a value counts as not set.
            Content::Null if is_key => {}
            _ => _ = self.nodes.insert(path.to_owned(), node),
        }
    }

    fn take(&mut self, key: &'static Key) -> RawSetting {
        let (path, variable) = (key.path, key.variable());
        let node = self.nodes.remove(path);
        if let Some(text) = self.variables.remove(&variable) {
            return RawSetting::Value(text, Origin::Variable(variable));
        }
        match node {
            None => RawSetting::Missing,
            Some(node) => {
                if let Some(text) = node.text() {
                    return RawSetting::Value(text.to_owned(), Origin::File(node.line));
                }
                self.problems.push(format!("{}: `{path}`: write a single value", self.location(&node)));
                RawSetting::Invalid
            }
        }
    }

    /// Takes the value of a key whose value is a mapping or a list, and its location for problems; `None` if it is not
    /// set. In the environment, the value is written on one line; there is no node if that is not YAML.
    fn take_node(&mut self, key: &'static Key) -> Option<(String, Option<Node>)> {
        let (path, variable) = (key.path, key.variable());
        let in_file = self.nodes.remove(path);
        let (location, node, text, origin) = match (self.variables.remove(&variable), in_file) {
            (Some(text), _) => (variable.clone(), Node::parse(&text).ok(), text, Origin::Variable(variable)),
            (None, Some(node)) => {
                let (text, origin) = (format!("from line {}", node.line), Origin::File(node.line));
                (self.location(&node), Some(node), text, origin)
            }
            (None, None) => return None,
        };
        self.origins.insert(path, (text, origin));
        Some((location, node))
    }

    fn parse<T>(
        &mut self,
        path: &'static str,
        text: String,
        origin: Origin,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let parsed = parse(&text);
        self.origins.insert(path, (text, origin));
        parsed.map_err(|problem| self.problem(path, &problem)).ok()
    }

    fn entries(&mut self, path: &str, node: Node) -> Vec<(String, Node)> {
        let location = self.location(&node);
        let Content::Map(entries) = node.content else {
            self.problems.push(format!("{location}: `{path}`: write a mapping"));
            return Vec::new();
        };
        entries.into_iter().filter_map(|(name, value)| Some((name.text()?.to_owned(), value))).collect()
    }

    fn location(&self, node: &Node) -> String {
        format!("{}:{}:{}", self.file(), node.line, node.column)
    }

    /// Returns the name of the file for problems.
    fn file(&self) -> String {
        self.file.as_ref().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string())
    }
}

enum RawSetting {
    Value(String, Origin),
    Missing,
    Invalid,
}

/// Whether `path` is a section that contains `key`.
fn is_section(path: &str, key: &str) -> bool {
    key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// Reads `{model: {parameter: value}}`; returns `None` for any other shape.
fn overrides(node: &Node) -> Option<Vec<Override>> {
    let Content::Map(models) = &node.content else { return None };
    let mut overrides = Vec::new();
    for (model, values) in models {
        let Content::Map(values) = &values.content else { return None };
        for (parameter, value) in values {
            overrides.push(Override {
                model: model.text()?.to_owned(),
                parameter: parameter.text()?.to_owned(),
                value: value.text()?.to_owned(),
            });
        }
    }
    Some(overrides)
}

/// Returns whether a path outside `kafka.client` names a setting of the Kafka client.
fn is_client_setting(path: &str) -> bool {
    let name = path.strip_prefix("kafka.").unwrap_or(path);
    ["security.", "sasl.", "ssl."].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the key that an unknown path may mean: a similar one, or the only one that ends with its last part.
fn meant(path: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    if matches!(name, "brokers" | "broker" | "servers" | "bootstrap") || path.ends_with("bootstrap.servers") {
        return Some("kafka.bootstrap_servers");
    }
    nearest(path, KEYS.iter().map(|key| key.path)).or_else(|| {
        let mut same = KEYS.iter().filter(|key| key.path.rsplit('.').next() == Some(name));
        same.next().filter(|_| same.next().is_none()).map(|key| key.path)
    })
}

/// Reads a text file of at most `bytes_max` bytes.
pub(super) fn read_limited(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    String::from_utf8(read_limited_bytes(path, bytes_max)?).map_err(|_| std::io::Error::other("not valid UTF-8"))
}

/// Reads a file of at most `bytes_max` bytes.
pub(super) fn read_limited_bytes(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("larger than {} KiB", bytes_max / 1024)));
    }
    Ok(bytes)
}
