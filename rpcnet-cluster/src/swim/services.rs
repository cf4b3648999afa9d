//! A node's services among its tags, as they are sent.
//!
//! A record has no field of its own for services, because a node of the previous release could not skip such a field.
//! If that node handed the record on without the field, the services would be lost, and no comparison would find the
//! loss: the record's version would be the same. So the services are sent as a few tags with reserved keys, which every
//! release keeps and hands on. Users do not see these tags among their own.
//!
//! The first key is `rpcnet.services`, the others end in `.1` to `.3`. Each value is up to sixteen hashes of sixteen lower-case
//! hexadecimal digits; only the last may have fewer than sixteen. All hashes are in ascending order. A tag of another form stays
//! an ordinary tag, so that a record which is read and written again has the same bytes.

use std::collections::BTreeMap;

use rpcnet::discover::ServiceSet;

use super::record::{MAX_TAG_VALUE, MAX_TAGS};

/// The largest number of services that a node tells. A node with more services tells none, which means that it may
/// serve any.
pub const MAX_SERVICES: usize = 64;

/// The number of hashes in one tag.
const PART: usize = MAX_TAG_VALUE / 16;

const KEYS: [&str; MAX_SERVICES / PART] =
    ["rpcnet.services", "rpcnet.services.1", "rpcnet.services.2", "rpcnet.services.3"];

/// The number of tags that the services take.
fn parts(services: &ServiceSet) -> usize {
    services.len().div_ceil(PART).max(1)
}

/// Returns true if the services can be sent beside `tags` tags of the user's.
pub(crate) fn fit(services: &ServiceSet, tags: usize) -> bool {
    services.len() <= MAX_SERVICES && tags + parts(services) <= MAX_TAGS
}

/// Adds the services to a record's tags. Adds nothing if there are more than [`MAX_SERVICES`].
pub(crate) fn put(services: &ServiceSet, tags: &mut BTreeMap<String, String>) {
    if services.len() > MAX_SERVICES {
        return;
    }
    let ids = services.ids();
    for (index, key) in KEYS.iter().enumerate().take(parts(services)) {
        let part = &ids[index * PART..ids.len().min((index + 1) * PART)];
        tags.insert((*key).to_owned(), ServiceSet::from_ids(part.iter().copied()).to_string());
    }
}

/// Removes the services from a record's tags and returns them. Returns `None`, and changes nothing, if there are none or if
/// they do not have the form that [`put`] gives them.
pub(crate) fn take(tags: &mut BTreeMap<String, String>) -> Option<ServiceSet> {
    let mut text = String::new();
    let mut taken = 0;
    for key in KEYS {
        let Some(part) = tags.get(key) else { break };
        if part.len() > MAX_TAG_VALUE {
            return None;
        }
        text += part;
        taken += 1;
        if part.len() < MAX_TAG_VALUE {
            break;
        }
    }
    if taken == 0 {
        return None;
    }
    let services: ServiceSet = text.parse().ok()?;
    if parts(&services) != taken {
        return None;
    }
    for key in &KEYS[..taken] {
        tags.remove(*key);
    }
    Some(services)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
        let hashes = prop::collection::btree_set(prop_oneof![any::<u64>(), 0..40u64], 0..20);
        let value = hashes.prop_map(|hashes| ServiceSet::from_ids(hashes).to_string());
        let key = prop::sample::select([&KEYS[..], &["role", "rpcnet.services.4"]].concat());
        prop::collection::btree_map(key.prop_map(str::to_owned), value, 0..6)
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(ids in prop::collection::btree_set(any::<u64>(), 0..=MAX_SERVICES)) {
            let services = ServiceSet::from_ids(ids);
            let before = BTreeMap::from([("role".to_owned(), "worker".to_owned())]);
            let mut tags = before.clone();
            put(&services, &mut tags);
            prop_assert!(fit(&services, MAX_TAGS + 1 - tags.len()));
            prop_assert!(!fit(&services, MAX_TAGS + 2 - tags.len()));
            prop_assert!(tags.values().all(|value| value.len() <= MAX_TAG_VALUE));
            prop_assert_eq!(take(&mut tags), Some(services));
            prop_assert_eq!(tags, before);
        }

        #[test]
        fn what_is_taken_can_be_put_back(before in tags()) {
            let mut tags = before.clone();
            if let Some(services) = take(&mut tags) {
                put(&services, &mut tags);
            }
            prop_assert_eq!(tags, before);
        }
    }

    #[test]
    fn a_value_longer_than_a_tag_is_no_list_of_services() {
        let long = ServiceSet::from_ids(0..=PART as u64).to_string();
        let before = BTreeMap::from([(KEYS[0].to_owned(), long), (KEYS[1].to_owned(), String::new())]);
        let mut tags = before.clone();
        assert_eq!(take(&mut tags), None);
        assert_eq!(tags, before);
    }

    #[test]
    fn more_are_not_told() {
        let services = ServiceSet::from_ids(0..=MAX_SERVICES as u64);
        let mut tags = BTreeMap::new();
        put(&services, &mut tags);
        assert!(tags.is_empty());
        assert!(!fit(&services, 0));
    }
}
