//! Filters that choose nodes by their tags.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// Conditions on tags, all of which must hold. The empty filter matches every node.
///
/// A condition is `key=value`, or `key` alone for a tag with any value. Commas separate conditions.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use rpcnet_cluster::TagFilter;
///
/// let filter: TagFilter = "role=worker,zone=x,gpu".parse()?;
/// let mut tags = BTreeMap::from([("role", "worker"), ("zone", "x")].map(|(key, value)| (key.into(), value.into())));
/// assert!(!filter.matches(&tags));
/// tags.insert("gpu".into(), "2".into());
/// assert!(filter.matches(&tags));
/// # Ok::<(), rpcnet_cluster::FilterError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagFilter {
    conditions: Vec<(String, Option<String>)>,
}

/// The error of a text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a tag filter: write conditions as key=value or key, with commas between them")]
pub struct FilterError {
    text: String,
}

impl TagFilter {
    /// Returns whether these tags meet all conditions.
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        self.conditions.iter().all(|(key, wanted)| match (tags.get(key), wanted) {
            (Some(value), Some(wanted)) => value == wanted,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        })
    }
}

impl FromStr for TagFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut conditions = Vec::new();
        if text.trim().is_empty() {
            return Ok(Self { conditions });
        }
        for condition in text.split(',') {
            let (key, value) = match condition.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
                None => (condition.trim(), None),
            };
            if key.is_empty() {
                return Err(FilterError { text: text.to_owned() });
            }
            conditions.push((key.to_owned(), value));
        }
        Ok(Self { conditions })
    }
}

impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.conditions.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match value {
                Some(value) => write!(f, "{comma}{key}={value}")?,
                None => write!(f, "{comma}{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter: TagFilter = "role=worker, zone=x,gpu".parse().expect("well formed");
        assert!(filter.matches(&tags(&[("role", "worker"), ("zone", "x"), ("gpu", "")])));
        assert!(!filter.matches(&tags(&[("role", "worker"), ("zone", "x")])));
        assert!(!filter.matches(&tags(&[("role", "worker"), ("zone", "y"), ("gpu", "1")])));
        assert_eq!(filter.to_string(), "role=worker,zone=x,gpu");
    }

    #[test]
    fn the_empty_filter_matches_all_and_nonsense_is_refused() {
        assert!("".parse::<TagFilter>().expect("empty").matches(&tags(&[])));
        for wrong in ["=x", "role=worker,,gpu", ",", "a,=b"] {
            assert!(wrong.parse::<TagFilter>().is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "[a-z]{1,5}(=[a-z]{0,3})?(,[a-z]{1,5}(=[a-z]{0,3})?){0,3}") {
            let filter: TagFilter = text.parse().expect("well formed");
            assert_eq!(filter.to_string().parse::<TagFilter>().expect("printed"), filter);
        }
    }
}
