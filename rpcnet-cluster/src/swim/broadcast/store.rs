//! The broadcasts that a node has, and which of them are news.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    super::NodeId, Broadcast, BroadcastError, MAX_BROADCAST_KEY, MAX_BROADCAST_VALUE, MAX_BROADCASTS,
    MAX_ENTRIES, MAX_VERSION, packet::Stamp,
};

/// The time for which a value that was asked for is not asked for again, from any peer.
const ASK_INTERVAL: Duration = Duration::from_millis(300);

/// Each of the maps has at most [`MAX_ENTRIES`] entries.
#[derive(Debug, Default)]
pub(in crate::swim) struct Broadcasts {
    entries: BTreeMap<String, (Broadcast, Instant)>,
    /// The keys with news, each with the number of rounds in which the news is still to be sent on.
    pub(super) hot: BTreeMap<String, u8>,
    asked: BTreeMap<String, Instant>,
    pub(in crate::swim) revision: u64,
}

impl Broadcasts {
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::swim) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of keys with news to send on.
    pub(in crate::swim) fn waiting(&self) -> usize {
        self.hot.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Broadcast> {
        self.entries.get(key).map(|(broadcast, _)| broadcast)
    }

    pub(super) fn stamp(&self, key: &str) -> Option<Stamp> {
        self.get(key).map(|broadcast| (broadcast.version, broadcast.origin))
    }

    /// All broadcasts, including withdrawn ones.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Broadcast)> {
        self.entries.iter().map(|(key, (broadcast, _))| (key.as_str(), broadcast))
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (&str, &Broadcast)> {
        self.all().filter(|(_, broadcast)| broadcast.value.is_some())
    }

    /// Makes a newer version. Returns the version, and whether it differs from the former one.
    pub(super) fn make(
        &mut self,
        now: Instant,
        unix_millis: u64,
        origin: NodeId,
        key: &str,
        value: Option<Bytes>,
    ) -> Result<(u64, bool), BroadcastError> {
        match key.len() {
            0 => return Err(BroadcastError::EmptyKey),
            len if len > MAX_BROADCAST_KEY => return Err(BroadcastError::KeyTooLong { len }),
            _ => {}
        }
        if let Some(len) = value.as_ref().map(Bytes::len).filter(|len| *len > MAX_BROADCAST_VALUE) {
            return Err(BroadcastError::ValueTooLong { len });
        }
        let known = self.get(key);
        if let Some(known) = known.filter(|known| known.value == value) {
            return Ok((known.version, false));
        }
        let is_live = known.is_some_and(|known| known.value.is_some());
        if value.is_some() && !is_live && self.live().count() >= MAX_BROADCASTS {
            return Err(BroadcastError::TooMany);
        }
        let after = known.map_or(0, |known| known.version.saturating_add(1));
        let version = after.max(unix_millis).min(MAX_VERSION);
        self.merge(now, key.to_owned(), Broadcast { version, origin, value });
        Ok((version, true))
    }

    /// Keeps `broadcast` if it is newer than the known one. Returns whether it was.
    ///
    /// The order of broadcasts is the merge, so the order in which news comes makes no difference. If there are more
    /// broadcasts than can be kept, the oldest are dropped, on which all nodes decide alike.
    pub(super) fn merge(&mut self, now: Instant, key: String, broadcast: Broadcast) -> bool {
        let known = self.get(&key);
        if known.is_some_and(|known| *known >= broadcast) {
            return false;
        }
        // There is nothing here to withdraw. If the withdrawal were kept, memories of it would go round for ever: each
        // node would forget them and learn them anew.
        if known.is_none() && broadcast.value.is_none() {
            return false;
        }
        self.asked.remove(&key);
        self.entries.insert(key.clone(), (broadcast, now));
        self.revision += 1;
        if self.entries.len() > MAX_ENTRIES {
            let order = |(key, (broadcast, _)): &(&String, &(Broadcast, Instant))| {
                (broadcast.version, broadcast.origin, (*key).clone())
            };
            if let Some(oldest) = self.entries.iter().min_by_key(order).map(|(key, _)| key.clone()) {
                tracing::warn!(key = oldest, "broadcast dropped: there are more than can be kept");
                self.entries.remove(&oldest);
                self.hot.remove(&oldest);
                return oldest != key;
            }
        }
        true
    }

    /// Returns whether a peer is to be asked for this version now, and notes the time if so.
    pub(super) fn should_ask(&mut self, now: Instant, key: &str, theirs: Stamp) -> bool {
        if self.stamp(key).is_some_and(|ours| ours >= theirs) {
            return false;
        }
        if self.asked.len() >= MAX_ENTRIES {
            self.asked.clear();
        }
        let asked = self.asked.get(key);
        let due = asked.is_none_or(|at| now.saturating_duration_since(*at) >= ASK_INTERVAL);
        if due {
            self.asked.insert(key.to_owned(), now);
        }
        due
    }

    /// Forgets the values that were withdrawn more than `after` ago.
    pub(in crate::swim) fn forget(&mut self, now: Instant, after: Duration) {
        self.entries.retain(|_, (broadcast, since)| {
            broadcast.value.is_some() || now.saturating_duration_since(*since) < after
        });
        self.hot.retain(|key, _| self.entries.contains_key(key));
    }
}
