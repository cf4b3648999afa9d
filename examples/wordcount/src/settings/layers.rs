//! The layers in which a setting is looked up, all of them as text.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{Origin, SettingsError};

/// The names of a setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    flag: &'static str,
    variable: Option<&'static str>,
}

impl Setting {
    pub(super) const fn new(flag: &'static str, variable: Option<&'static str>) -> Self {
        Self { flag, variable }
    }

    fn flag(self) -> String {
        format!("--{}", self.flag)
    }

    fn key(self) -> String {
        self.flag.replace('-', "_")
    }
}

/// The result of reading a value: the value, or a description of a valid one.
pub(super) type Read<T> = Result<T, String>;

/// The setting's values in the first layer that has it.
struct Found {
    values: Vec<String>,
    origin: Origin,
}

/// The environment and the file. Flags are passed to each lookup.
pub(super) struct Layers<'a> {
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    file: Option<(PathBuf, toml::Table)>,
}

impl<'a> Layers<'a> {
    pub(super) fn open(
        file: Option<&Path>,
        environment: &'a dyn Fn(&str) -> Option<OsString>,
        settings: &[&[Setting]],
    ) -> Result<Self, SettingsError> {
        let file = match file {
            Some(path) => Some((path.to_owned(), read(path, settings)?)),
            None => None,
        };
        Ok(Self { environment, file })
    }

    /// The setting's value. `None` if no layer has it.
    pub(super) fn one<T>(
        &self,
        setting: Setting,
        flag: Option<&str>,
        read: impl Fn(&str) -> Read<T>,
    ) -> Result<Option<T>, SettingsError> {
        let flag = flag.map(str::to_owned);
        let Some(found) = self.find(setting, flag.as_slice())? else {
            return Ok(None);
        };
        match found.values.as_slice() {
            [value] => read_as(value, &found.origin, read).map(Some),
            values => Err(SettingsError::Invalid {
                origin: found.origin,
                value: format!("[{}]", values.join(", ")),
                expected: "give one value, not a list".to_owned(),
            }),
        }
    }

    /// The setting's values, comma separated or given one by one. Empty if no layer has it.
    pub(super) fn list<T>(
        &self,
        setting: Setting,
        flags: &[String],
        read: impl Fn(&str) -> Read<T>,
    ) -> Result<Vec<T>, SettingsError> {
        let Some(found) = self.find(setting, flags)? else {
            return Ok(Vec::new());
        };
        let items = found.values.iter().flat_map(|value| value.split(','));
        items
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| read_as(item, &found.origin, &read))
            .collect()
    }

    pub(super) fn default<T>(
        &self,
        setting: Setting,
        value: &str,
        read: impl Fn(&str) -> Read<T>,
    ) -> Result<T, SettingsError> {
        read_as(value, &Origin::Default(setting.flag()), read)
    }

    fn find(&self, setting: Setting, flags: &[String]) -> Result<Option<Found>, SettingsError> {
        if !flags.is_empty() {
            return Ok(Some(Found { values: flags.to_vec(), origin: Origin::Flag(setting.flag()) }));
        }
        if let Some(found) = self.find_in_environment(setting)? {
            return Ok(Some(found));
        }
        self.find_in_file(setting)
    }

    fn find_in_environment(&self, setting: Setting) -> Result<Option<Found>, SettingsError> {
        let Some(variable) = setting.variable else {
            return Ok(None);
        };
        let value = (self.environment)(variable).filter(|value| !value.is_empty());
        let Some(value) = value else {
            return Ok(None);
        };
        let origin = Origin::Environment(variable.to_owned());
        match value.into_string() {
            Ok(value) => Ok(Some(Found { values: vec![value], origin })),
            Err(value) => Err(SettingsError::Invalid {
                origin,
                value: value.to_string_lossy().into_owned(),
                expected: "give valid Unicode".to_owned(),
            }),
        }
    }

    fn find_in_file(&self, setting: Setting) -> Result<Option<Found>, SettingsError> {
        let Some((path, table)) = &self.file else {
            return Ok(None);
        };
        let key = setting.key();
        let Some(value) = table.get(&key) else {
            return Ok(None);
        };
        let path = path.clone();
        let origin = Origin::File { key, path };
        let values = match value {
            toml::Value::Array(items) => items.iter().map(scalar).collect(),
            value => scalar(value).map(|value| vec![value]),
        };
        match values {
            Some(values) => Ok(Some(Found { values, origin })),
            None => Err(SettingsError::Invalid {
                origin,
                value: value.to_string(),
                expected: "give a string, a number, true or false, or an array of them".to_owned(),
            }),
        }
    }
}

fn read_as<T>(value: &str, origin: &Origin, read: impl Fn(&str) -> Read<T>) -> Result<T, SettingsError> {
    read(value.trim()).map_err(|expected| SettingsError::Invalid {
        origin: origin.clone(),
        value: value.to_owned(),
        expected,
    })
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

fn read(path: &Path, settings: &[&[Setting]]) -> Result<toml::Table, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        SettingsError::Syntax {
            path: path.to_owned(),
            line: text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count() + 1,
            message: error.message().replace('\n', ", "),
        }
    })?;
    let known: Vec<String> = settings.iter().copied().flatten().map(|s| s.key()).collect();
    match table.keys().find(|key| !known.contains(key)) {
        Some(key) => Err(SettingsError::UnknownKey {
            path: path.to_owned(),
            key: key.clone(),
            known: known.join(", "),
        }),
        None => Ok(table),
    }
}
