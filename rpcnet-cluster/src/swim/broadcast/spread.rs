//! Spreading of broadcasts from node to node.

use std::{collections::BTreeSet, time::Instant};

use bytes::Bytes;

use super::{
    super::{
        config::Config, error::PacketError, identity::Identity, member::Member, node::Node, timers::Task,
        wire::PacketReader,
    },
    Broadcast, BroadcastError,
    packet::{BroadcastEntry, BroadcastPacket, packets},
};

/// The length in bytes above which an entry is spread as its version alone: a whole entry would reach most nodes many
/// times.
const INLINE_MAX: usize = 480;

impl Node {
    /// Gives all nodes a value under a key, such as rules or configuration, in place of the key's former value. Returns
    /// the version. All members see the value within seconds, and later joiners when they join. `unix_millis` is the
    /// time by the host's clock.
    ///
    /// # Errors
    ///
    /// A limit is exceeded, or the node has left. Nothing is changed.
    pub fn broadcast(
        &mut self,
        now: Instant,
        unix_millis: u64,
        key: &str,
        value: Bytes,
    ) -> Result<u64, BroadcastError> {
        self.make_broadcast(now, unix_millis, key, Some(value))
    }

    /// Takes the value away from a key, at all nodes. Does nothing if the key has no value.
    ///
    /// # Errors
    ///
    /// The node has left.
    pub fn withdraw_broadcast(
        &mut self,
        now: Instant,
        unix_millis: u64,
        key: &str,
    ) -> Result<(), BroadcastError> {
        if !self.has_left() && self.broadcasts.get(key).is_none() {
            return Ok(());
        }
        self.make_broadcast(now, unix_millis, key, None).map(drop)
    }

    fn make_broadcast(
        &mut self,
        now: Instant,
        unix_millis: u64,
        key: &str,
        value: Option<Bytes>,
    ) -> Result<u64, BroadcastError> {
        if self.has_left() {
            return Err(BroadcastError::Left);
        }
        let origin = self.identity().id();
        let (version, changed) = self.broadcasts.make(now, unix_millis, origin, key, value)?;
        if changed {
            self.heat(key);
            self.fire_spread(now);
        }
        Ok(version)
    }

    /// Takes in broadcasts that were known in an earlier life, or elsewhere. Versions older than the known ones are
    /// ignored.
    pub(crate) fn restore_broadcasts(
        &mut self,
        now: Instant,
        broadcasts: impl IntoIterator<Item = (String, Broadcast)>,
    ) {
        // The limits for peers apply to a file too.
        let allowed = broadcasts.into_iter().filter(|(key, broadcast)| broadcast.is_allowed(key));
        self.take_entries(now, allowed.map(|(key, broadcast)| BroadcastEntry::Value(key, broadcast)));
    }

    /// The values that the cluster shares, by key.
    pub fn broadcasts(&self) -> impl Iterator<Item = (&str, &Broadcast)> {
        self.broadcasts.live()
    }

    /// A number that rises whenever one of the broadcasts changes.
    pub(crate) fn broadcasts_revision(&self) -> u64 {
        self.broadcasts.revision
    }

    fn heat(&mut self, key: &str) {
        let rounds = Config::max_transmissions(self.active_count()).get();
        self.broadcasts.hot.insert(key.to_owned(), rounds);
    }

    /// Sends news to some members, and sets the timer again while there is any news left.
    pub(in crate::swim) fn fire_spread(&mut self, now: Instant) {
        let mut entries = Vec::new();
        let hot = std::mem::take(&mut self.broadcasts.hot);
        for (key, rounds) in hot {
            let (Some(broadcast), Some(stamp)) = (self.broadcasts.get(&key), self.broadcasts.stamp(&key))
            else {
                continue;
            };
            let value = BroadcastEntry::Value(key.clone(), broadcast.clone());
            let length = key.len() + broadcast.value.as_ref().map_or(0, Bytes::len);
            entries.push(if length <= INLINE_MAX { value } else { BroadcastEntry::Has(key.clone(), stamp) });
            if rounds > 1 {
                self.broadcasts.hot.insert(key, rounds - 1);
            }
        }
        let mut peers = self.news_to_near();
        let missing = self.config.gossip_fanout().saturating_sub(peers.len());
        let others = |member: &Member| member.state().is_active() && !peers.contains(&member.identity());
        let others = self.view.sample(&mut self.rng, missing, others);
        peers.extend(others);
        for packet in packets(false, &entries, self.config.max_packet_size()) {
            for peer in &peers {
                self.send_by_size(*peer, packet.clone());
            }
        }
        if peers.is_empty() {
            // A node that joins will ask.
            self.broadcasts.hot.clear();
        }
        if !self.broadcasts.hot.is_empty() {
            self.out.timers.set(now + self.config.gossip_interval(), Task::Spread);
        }
    }

    /// Tells `to` which versions this node has, even if it has none, so that each side gets what it lacks.
    pub(in crate::swim) fn offer_broadcasts(&mut self, to: Identity) {
        let all = self.broadcasts.all();
        let entries: Vec<_> = all
            .map(|(key, known)| BroadcastEntry::Has(key.to_owned(), (known.version, known.origin)))
            .collect();
        for packet in packets(true, &entries, usize::MAX) {
            self.send_by_size(to, packet);
        }
    }

    pub(in crate::swim) fn handle_broadcasts(
        &mut self,
        now: Instant,
        from: Identity,
        reader: &mut PacketReader<'_>,
    ) -> Result<(), PacketError> {
        let BroadcastPacket { whole, entries } = BroadcastPacket::decode(reader)?;
        let mut answer = Vec::new();
        // A packet that names one key many times must not multiply the answer.
        let mut named = BTreeSet::new();
        for entry in &entries {
            match entry {
                BroadcastEntry::Value(..) => {}
                BroadcastEntry::Has(key, theirs) => {
                    if !named.insert(key.clone()) {
                        continue;
                    }
                    if self.broadcasts.stamp(key).is_some_and(|ours| ours > *theirs) {
                        answer.extend(self.value_of(key));
                    } else if self.broadcasts.should_ask(now, key, *theirs) {
                        answer.push(BroadcastEntry::Wants(key.clone()));
                    }
                }
                BroadcastEntry::Wants(key) => {
                    if named.insert(key.clone()) {
                        answer.extend(self.value_of(key));
                    }
                }
            }
        }
        if whole {
            let unnamed = self.broadcasts.live().filter(|(key, _)| !named.contains(*key));
            answer.extend(
                unnamed.map(|(key, broadcast)| BroadcastEntry::Value(key.to_owned(), broadcast.clone())),
            );
        }
        for packet in packets(false, &answer, usize::MAX) {
            self.send_by_size(from, packet);
        }
        self.take_entries(now, entries);
        Ok(())
    }

    fn value_of(&self, key: &str) -> Option<BroadcastEntry> {
        self.broadcasts.get(key).map(|broadcast| BroadcastEntry::Value(key.to_owned(), broadcast.clone()))
    }

    fn take_entries(&mut self, now: Instant, entries: impl IntoIterator<Item = BroadcastEntry>) {
        for entry in entries {
            if let BroadcastEntry::Value(key, broadcast) = entry
                && self.broadcasts.merge(now, key.clone(), broadcast)
            {
                self.heat(&key);
            }
        }
        if !self.broadcasts.hot.is_empty() && !self.out.timers.is_set(&Task::Spread) {
            let wait = self.jittered(self.config.gossip_interval() / 4);
            self.out.timers.set(now + wait, Task::Spread);
        }
    }
}
