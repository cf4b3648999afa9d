//! Stands for the crate `config`: JSON files, one laid over the other, and variables over them.

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) struct Config(Value);

impl Config {
    pub(crate) fn builder() -> Builder {
        Builder { value: Ok(Value::Object(Map::new())) }
    }

    pub(crate) fn try_deserialize<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        Ok(serde_json::from_value(self.0)?)
    }
}

pub(crate) struct Builder {
    value: anyhow::Result<Value>,
}

pub(crate) trait Source {
    fn read(self) -> anyhow::Result<Value>;
}

impl Builder {
    pub(crate) fn add_source(self, source: impl Source) -> Self {
        let value = self.value.and_then(|mut value| {
            overlay(&mut value, source.read()?);
            Ok(value)
        });
        Self { value }
    }

    pub(crate) fn build(self) -> anyhow::Result<Config> {
        Ok(Config(self.value?))
    }
}

fn overlay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

pub(crate) struct File {
    path: String,
    required: bool,
}

impl File {
    pub(crate) fn with_name(name: &str) -> Self {
        Self { path: format!("{name}.json"), required: true }
    }

    pub(crate) fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }
}

impl Source for File {
    fn read(self) -> anyhow::Result<Value> {
        if !self.required && !std::fs::exists(&self.path)? {
            return Ok(Value::Object(Map::new()));
        }
        let text = std::fs::read(&self.path).with_context(|| format!("{} can't be read", self.path))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

pub(crate) struct Environment<'a> {
    prefix: String,
    variables: &'a [(&'a str, &'a str)],
}

impl<'a> Environment<'a> {
    pub(crate) fn with_prefix(prefix: &str, variables: &'a [(&'a str, &'a str)]) -> Self {
        Self { prefix: format!("{prefix}_"), variables }
    }
}

impl Source for Environment<'_> {
    fn read(self) -> anyhow::Result<Value> {
        let mut all = Value::Object(Map::new());
        for (name, value) in self.variables {
            let Some(path) = name.strip_prefix(&self.prefix) else { continue };
            let nested = path.to_lowercase().rsplit("__").fold(Value::from(*value), |inner, key| {
                Value::Object(Map::from_iter([(key.to_owned(), inner)]))
            });
            overlay(&mut all, nested);
        }
        Ok(all)
    }
}
