//! What a configuration key is, and the macro that turns the declarations in `keys` into [`super::Config`].

use std::path::PathBuf;

use super::settings::Settings;

/// A configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Path in the file: `clock.lateness`.
    pub path: &'static str,
    /// Syntax of the value, for the reference.
    pub syntax: &'static str,
    /// Lines of the meaning, for the reference.
    pub(super) meaning: &'static [&'static str],
    pub(super) default: DefaultValue,
}

/// The value of a key that is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum DefaultValue {
    /// The key must be set.
    Required,
    /// This text is parsed.
    Is(&'static str),
    /// The text that the function returns is parsed; the note describes it. The function may read the text of keys that
    /// are declared earlier. Its error is reported as a problem of the key.
    Derived(&'static str, fn(&Settings) -> Result<String, String>),
    /// Nothing; the note describes what that means.
    Unset(&'static str),
}

/// Prefix of all environment variables of the program.
pub(super) const VARIABLE_PREFIX: &str = "LIFECYCLE_";

impl Key {
    /// Returns the environment variable that overrides the file: `LIFECYCLE_CLOCK_LATENESS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_uppercase())
    }

    /// Returns the meaning of the key, on one line.
    #[must_use]
    pub fn meaning(&self) -> String {
        self.meaning.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// Returns the description of the default.
    pub(super) fn default_note(&self) -> String {
        match self.default {
            DefaultValue::Required => "required".to_owned(),
            DefaultValue::Is(text) => format!("`{text}`"),
            DefaultValue::Derived(note, _) | DefaultValue::Unset(note) => note.to_owned(),
        }
    }
}

/// Returns the reader of a key that always has a value: it is required or has a default.
pub(super) fn value<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&mut Settings, &'static Key) -> Option<T> {
    move |settings, key| settings.value(key, parse)
}

/// Returns the reader of a key without a default.
pub(super) fn optional<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&mut Settings, &'static Key) -> Option<Option<T>> {
    move |settings, key| Some(settings.optional(key, parse))
}

/// Returns the reader of the path of a file, which is relative to the configuration file.
pub(super) fn file() -> impl FnOnce(&mut Settings, &'static Key) -> Option<Option<PathBuf>> {
    |settings, key| {
        let directory = settings.directory();
        Some(settings.optional(key, |text| Ok(directory.join(text))))
    }
}

/// Declares the keys: the struct `Config` with a field per key or section, a struct per section, the table `KEYS`, and
/// `Config::read`. See `keys` for the syntax.
///
/// A reader returns `None` if the value is missing or invalid, and has then recorded the problem.
macro_rules! declare_keys {
    ($(
        $(section $section:ident: $struct:ident {$(
            $(#[doc = $key_doc:literal])+
            $key:ident: $key_type:ty = $key_syntax:literal, $key_default:expr, $key_reader:expr;
        )+})?
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty = $syntax:literal, $default:expr, $reader:expr
        )?
    ;)+) => {
        /// The validated configuration.
        #[allow(clippy::doc_markdown, reason = "the meaning of a key is prose for operators")]
        #[derive(Clone, Debug)]
        pub struct Config {
            $(
                $($(#[doc = $doc])+ pub $name: $type,)?
                $(#[doc = concat!("Keys under `", stringify!($section), "`.")] pub $section: $struct,)?
            )+
            pub(super) origins: Origins,
            pub(super) directory: PathBuf,
        }

        $($(
            #[doc = concat!("Keys under `", stringify!($section), "`.")]
            #[allow(clippy::doc_markdown, reason = "the meaning of a key is prose for operators")]
            #[derive(Clone, PartialEq, Eq, Debug)]
            pub struct $struct {
                $($(#[doc = $key_doc])+ pub $key: $key_type,)+
            }
        )?)+

        /// All keys, in the order of the documentation.
        pub const KEYS: &[Key] = &[$(
            $(Key { path: stringify!($name), syntax: $syntax, default: $default, meaning: &[$($doc),+] },)?
            $($(Key {
                path: concat!(stringify!($section), ".", stringify!($key)),
                syntax: $key_syntax,
                default: $key_default,
                meaning: &[$($key_doc),+],
            },)+)?
        )+];

        impl Config {
            /// Reads all keys. Returns `None` if a value is missing or invalid; `settings` then contains the problem.
            pub(super) fn read(settings: &mut Settings) -> Option<Self> {
                let mut keys = KEYS.iter();
                $(
                    $(let $name = keys.next().and_then(|key| ($reader)(settings, key));)?
                    $(let $section = {
                        $(let $key = keys.next().and_then(|key| ($key_reader)(settings, key));)+
                        (|| Some($struct { $($key: $key?),+ }))()
                    };)?
                )+
                super::check(settings);
                settings.reject_unknown();
                Some(Self {
                    $($($name: $name?,)? $($section: $section?,)?)+
                    origins: settings.take_origins(),
                    directory: settings.directory(),
                })
            }
        }
    };
}
pub(super) use declare_keys;
