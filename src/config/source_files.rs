//! Loads what the sources refer to: schemas, mappings and the credentials of the schema registry.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::decode::{Decoder, Framing, Registry, RegistryOptions, SchemaSource};
use crate::http_client::TlsFiles;
use crate::lifecycle::suggest::did_you_mean;
use crate::mapping::{FILE_BYTES_MAX, IDENTITY, Mapping, preset, preset_names};
use crate::runtime::{DirectSource, Translator};
use crate::wire::model_file::{self, ModelSource};
use crate::wire::touchpoint_json::TouchpointOptions;

use super::Config;
use super::keys::RegistryConfig;
use super::secret::read_secret;
use super::settings::{read_limited, read_limited_bytes};
use super::sources::SourceConfig;

/// Maximum size of a schema file.
const SCHEMA_BYTES_MAX: u64 = 4 << 20;

/// How the records of a source are read. The mapping is `None` if they are touchpoints.
pub type DecoderAndMapping = (Decoder, Option<Arc<Mapping>>);

/// All problems of the sources; displayed one per line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourcesError(Vec<String>);

impl fmt::Display for SourcesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SourcesError {}

impl Config {
    /// Loads the translators of the re-keyed sources, in their order.
    ///
    /// # Errors
    /// All problems found.
    pub fn translators(&self) -> Result<Vec<Translator>, SourcesError> {
        let mut problems = Vec::new();
        let mut registries = Registries::default();
        if let Err(problem) = registries.open(&self.registry) {
            problems.push(format!("registry: {problem}"));
        }
        let mut translators = Vec::new();
        for source in self.rekeyed_sources() {
            match self.translator(source, &mut registries) {
                Ok(translator) => translators.push(translator),
                Err(problem) => problems.push(problem_of(source, &problem)),
            }
        }
        if problems.is_empty() { Ok(translators) } else { Err(SourcesError(problems)) }
    }

    /// Loads the source that the workers read directly; `None` if there is none.
    ///
    /// # Errors
    /// What is wrong with the source.
    pub fn load_direct_source(&self) -> Result<Option<DirectSource>, SourcesError> {
        let Some(source) = self.direct_source() else { return Ok(None) };
        let translator = self.translator(source, &mut Registries::default());
        let direct = translator.and_then(|it| DirectSource::new(&source.name, &self.topics.touchpoints, it));
        direct.map(Some).map_err(|problem| SourcesError(vec![problem_of(source, &problem)]))
    }

    /// Loads the decoder and the mapping of the source that reads `topic`; `None` if no source does. `has_identity` is
    /// whether its touchpoints have visitors.
    ///
    /// # Errors
    /// What is wrong with the source.
    pub fn source_of(&self, topic: &str, has_identity: bool) -> Result<Option<DecoderAndMapping>, SourcesError> {
        let source = if topic == self.topics.touchpoints {
            self.direct_source()
        } else {
            self.rekeyed_sources().find(|source| source.reads(topic))
        };
        let Some(source) = source else { return Ok(None) };
        let loaded = self.decoder_and_mapping(source, has_identity, &mut Registries::default());
        loaded.map(Some).map_err(|problem| SourcesError(vec![problem_of(source, &problem)]))
    }

    fn translator<'c>(
        &'c self,
        source: &'c SourceConfig,
        registries: &mut Registries<'c>,
    ) -> Result<Translator, String> {
        let identity = &self.identity;
        let (decoder, mapping) = self.decoder_and_mapping(source, identity.enabled, registries)?;
        let options = TouchpointOptions { bytes_max: self.touchpoints.bytes_max };
        let blocked_ids = identity.enabled.then(|| identity.blocked.clone());
        Ok(Translator::new(decoder, mapping, options).with_identity(blocked_ids))
    }

    fn decoder_and_mapping<'c>(
        &'c self,
        source: &'c SourceConfig,
        has_identity: bool,
        registries: &mut Registries<'c>,
    ) -> Result<DecoderAndMapping, String> {
        let schema = match (&source.schema, source.framing) {
            (Some(path), _) => {
                let (path, bytes) = self.schema_file(path)?;
                SchemaSource::File(path, bytes)
            }
            (None, Framing::Confluent) if source.format.has_schema() => {
                let registry = registries.open(source.registry.as_ref().unwrap_or(&self.registry))?;
                SchemaSource::Registry(
                    registry.ok_or("`framing: confluent` needs a schema registry: set registry.url")?,
                )
            }
            (None, _) => SchemaSource::None,
        };
        let decoder = Decoder::new(source.format, source.framing, schema, source.message.as_deref())?;
        let mut settings = source.settings.clone();
        if has_identity {
            settings.insert(IDENTITY.to_owned(), true.into());
        }
        let mapping = source.mapping.as_deref().map(|name| self.mapping(name, &settings)).transpose()?;
        Ok((decoder, mapping))
    }

    /// Reads the file of a schema.
    fn schema_file(&self, path: &Path) -> Result<(PathBuf, Vec<u8>), String> {
        let path = self.directory.join(path);
        match read_limited_bytes(&path, SCHEMA_BYTES_MAX) {
            Ok(bytes) => Ok((path, bytes)),
            Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
        }
    }

    /// Returns the text of the schema of `source`; `None` if it has no file, or one that is not text.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn schema_text(&self, source: &SourceConfig) -> Result<Option<String>, SourcesError> {
        let Some(path) = &source.schema else { return Ok(None) };
        let file = self.schema_file(path).map_err(|problem| SourcesError(vec![problem_of(source, &problem)]));
        file.map(|(_, bytes)| String::from_utf8(bytes).ok())
    }

    /// Returns how to reach the registry of `registry`; `None` if it has no URL.
    ///
    /// # Errors
    /// A credential is missing or cannot be read.
    pub fn registry_options(&self) -> Result<Option<RegistryOptions>, String> {
        registry_options(&self.registry).map_err(|problem| format!("registry: {problem}"))
    }

    /// Loads a preset by name, or a mapping file.
    fn mapping(&self, name: &str, settings: &Map<String, Value>) -> Result<Arc<Mapping>, String> {
        let is_file = name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "yaml");
        let file = match preset(name) {
            Some(file) if !is_file => file,
            _ if !is_file => {
                let names = preset_names();
                let hint = did_you_mean(name, names.iter().copied())
                    .unwrap_or_else(|| format!("the presets are {}", names.join(", ")));
                return Err(format!(
                    "there is no preset `{name}` (the name of a file has a `/`, or ends in .yaml): {hint}"
                ));
            }
            _ => {
                let path = self.directory.join(name);
                let text = read_limited(&path, FILE_BYTES_MAX as u64)
                    .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
                ModelSource { name: path.display().to_string(), text }
            }
        };
        match Mapping::compile(&file, settings) {
            Ok((mapping, _warnings)) => Ok(Arc::new(mapping)),
            Err(problems) => Err(format!(
                "the mapping is not valid\n{}",
                model_file::render(&problems, std::slice::from_ref(&file), false).trim_end()
            )),
        }
    }
}

fn problem_of(source: &SourceConfig, problem: &str) -> String {
    format!("sources: `{}`: {problem}", source.name)
}

/// The clients of the registries, one for each, so that sources share the schemas that it caches.
#[derive(Default)]
struct Registries<'c>(Vec<(&'c RegistryConfig, Arc<Registry>)>);

impl<'c> Registries<'c> {
    /// Returns the client of a registry; `None` if it has no URL.
    fn open(&mut self, keys: &'c RegistryConfig) -> Result<Option<Arc<Registry>>, String> {
        if let Some((_, registry)) = self.0.iter().find(|(other, _)| *other == keys) {
            return Ok(Some(Arc::clone(registry)));
        }
        let Some(options) = registry_options(keys)? else { return Ok(None) };
        let registry = Arc::new(Registry::new(&options)?);
        self.0.push((keys, Arc::clone(&registry)));
        Ok(Some(registry))
    }
}

/// Returns how to reach a registry; `None` if it has no URL.
fn registry_options(keys: &RegistryConfig) -> Result<Option<RegistryOptions>, String> {
    let Some(url) = &keys.url else { return Ok(None) };
    let authorization = match (&keys.username, &keys.password_file, &keys.token_file) {
        (None, None, None) => None,
        (Some(user), Some(file), None) => Some(RegistryOptions::basic(user, &read_secret(file)?)),
        (None, None, Some(file)) => Some(RegistryOptions::bearer(&read_secret(file)?)),
        _ => return Err("set username and password_file, or token_file, or none of them".to_owned()),
    };
    let certificate_and_key = match (&keys.certificate_file, &keys.key_file) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        _ => return Err("set both certificate_file and key_file, or none of them".to_owned()),
    };
    let tls = TlsFiles { ca: keys.ca_file.clone(), certificate_and_key };
    Ok(Some(RegistryOptions { url: url.clone(), authorization, tls }))
}
