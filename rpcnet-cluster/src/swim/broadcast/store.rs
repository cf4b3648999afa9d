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

/// What was asked for is not asked for again so soon, from whomever.
const ASK_INTERVAL: Duration = Duration::from_millis(300);

/// At most [`MAX_ENTRIES`] of each.
#[derive(Debug, Default)]
pub(in crate::swim) struct Broadcasts {
    entries: BTreeMap<String, (Broadcast, Instant)>,
    /// News, and in how many rounds it has still to be sent on.
    pub(super) hot: BTreeMap<String, u8>,
    asked: BTreeMap<String, Instant>,
    pub(in crate::swim) revision: u64,
}

impl Broadcasts {
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::swim) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How much news there is to send on.
    pub(in crate::swim) fn waiting(&self) -> usize {
        self.hot.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Broadcast> {
        self.entries.get(key).map(|(broadcast, _)| broadcast)
    }

    pub(super) fn stamp(&self, key: &str) -> Option<Stamp> {
        self.get(key).map(|broadcast| (broadcast.version, broadcast.origin))
    }

    /// All, the withdrawn ones among them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Broadcast)> {
        self.entries.iter().map(|(key, (broadcast, _))| (key.as_str(), broadcast))
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (&str, &Broadcast)> {
        self.all().filter(|(_, broadcast)| broadcast.value.is_some())
    }

    /// Makes a newer version. Tells the version, and whether it is another than before.
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

    /// Keeps what is newer than what is known. Tells whether it was.
    ///
    /// The order is the merge, so it makes no difference in which order news come. Of more than can be kept the oldest
    /// go, which all nodes decide alike.
    pub(super) fn merge(&mut self, now: Instant, key: String, broadcast: Broadcast) -> bool {
        let known = self.get(&key);
        if known.is_some_and(|known| *known >= broadcast) {
            return false;
        }
        // There is nothing here to withdraw. Otherwise memories of it would go round for ever, each node forgetting it
        // and learning it anew.
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

    /// Whether a peer is to be asked for this version now.
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

    /// Forgets what was withdrawn so long ago.
    pub(in crate::swim) fn forget(&mut self, now: Instant, after: Duration) {
        self.entries.retain(|_, (broadcast, since)| {
            broadcast.value.is_some() || now.saturating_duration_since(*since) < after
        });
        self.hot.retain(|key, _| self.entries.contains_key(key));
    }
}
