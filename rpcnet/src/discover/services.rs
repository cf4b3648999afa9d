//! Sets of services.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de};

use crate::hash::service_id;

/// The number of digits of a hash as text.
const DIGITS: usize = 16;

/// A set of services, each by the 64-bit hash of its wire name.
///
/// Two names with the same hash count as one service. A call may then go to a server that does not have its service.
/// That server refuses it, and the call is made elsewhere.
///
/// As text, and when serialized, a set is the hashes in ascending order, 16 lower-case hexadecimal digits each.
///
/// ```
/// use rpcnet::discover::ServiceSet;
///
/// let services: ServiceSet = ["text.v1.WordCount", "shop.v1.Orders"].into_iter().collect();
/// assert!(services.contains("shop.v1.Orders"));
/// assert!(!services.contains("shop.v1.Stock"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceSet(Arc<[u64]>);

impl ServiceSet {
    /// Creates a set of the services with these hashes.
    pub fn from_ids(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids.into())
    }

    /// Returns true if the set contains the service with this wire name.
    pub fn contains(&self, service: &str) -> bool {
        self.contains_id(service_id(service))
    }

    /// Returns true if the set contains the service with this hash.
    pub fn contains_id(&self, id: u64) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    /// The hashes, in ascending order.
    pub fn ids(&self) -> &[u64] {
        &self.0
    }

    /// The number of services.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for ServiceSet {
    /// The empty set.
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

/// Collects services by their wire names.
impl<S: AsRef<str>> FromIterator<S> for ServiceSet {
    fn from_iter<T: IntoIterator<Item = S>>(names: T) -> Self {
        Self::from_ids(names.into_iter().map(|name| service_id(name.as_ref())))
    }
}

impl fmt::Display for ServiceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|id| write!(f, "{id:0DIGITS$x}"))
    }
}

impl fmt::Debug for ServiceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceSet").field(&format_args!("{self}")).finish()
    }
}

/// The text is not in the form in which a [`ServiceSet`] is displayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a set of services: expected hashes in ascending order, {DIGITS} lower-case hexadecimal digits each"
)]
pub struct ParseServicesError;

impl FromStr for ServiceSet {
    type Err = ParseServicesError;

    /// Parses the one form that [`Display`](fmt::Display) writes, and no other.
    fn from_str(text: &str) -> Result<Self, ParseServicesError> {
        let (hashes, []) = text.as_bytes().as_chunks::<DIGITS>() else { return Err(ParseServicesError) };
        let ids = hashes.iter().map(hash).collect::<Option<Vec<_>>>().ok_or(ParseServicesError)?;
        if ids.is_sorted_by(|a, b| a < b) { Ok(Self(ids.into())) } else { Err(ParseServicesError) }
    }
}

fn hash(digits: &[u8; DIGITS]) -> Option<u64> {
    digits.iter().try_fold(0, |hash, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(hash << 4 | u64::from(value))
    })
}

impl Serialize for ServiceSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_is_read_back(ids in prop::collection::vec(any::<u64>(), 0..70)) {
            let services = ServiceSet::from_ids(ids.iter().copied());
            prop_assert!(ids.iter().all(|id| services.contains_id(*id)));
            prop_assert_eq!(services.to_string().parse::<ServiceSet>(), Ok(services.clone()));
            let encoded = crate::codec::encode(&services).expect("text");
            prop_assert_eq!(crate::codec::decode::<ServiceSet>(&encoded).expect("its own"), services);
        }

        #[test]
        fn there_is_one_form(text in "[0-9a-fA-F+ ]{0,40}|([0-9a-f]{16}){0,3}") {
            if let Ok(services) = text.parse::<ServiceSet>() {
                prop_assert_eq!(services.to_string(), text);
            }
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let (low, high) = ("00000000000000aa", "00000000000000ab");
        assert!(format!("{low}{high}").parse::<ServiceSet>().is_ok());
        for wrong in [format!("{high}{low}"), format!("{low}{low}"), low.to_uppercase(), low[1..].to_owned()]
        {
            assert_eq!(wrong.parse::<ServiceSet>(), Err(ParseServicesError), "{wrong}");
        }
    }
}
