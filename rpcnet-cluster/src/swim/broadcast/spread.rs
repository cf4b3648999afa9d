//! How broadcasts get from node to node.

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

/// A larger entry is spread as its version alone: it would go to most nodes many times.
const INLINE_MAX: usize = 480;

impl Node {
    /// Gives all nodes a value under a key, in place of the one that it had: rules, configuration. All see it within
    /// seconds, later joiners when they join. `unix_millis` is the time by the host's clock. Says its version.
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

    /// Takes the value away from a key, at all nodes. Nothing happens where it has none.
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

    /// Takes in what was known in an earlier life, or elsewhere. Older versions than those known are ignored.
    pub(crate) fn restore_broadcasts(
        &mut self,
        now: Instant,
        broadcasts: impl IntoIterator<Item = (String, Broadcast)>,
    ) {
        // What a peer would not be allowed to say is not taken from a file either.
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

    /// Sends news to some members, and comes back while there is any.
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
            // Whoever joins will ask.
            self.broadcasts.hot.clear();
        }
        if !self.broadcasts.hot.is_empty() {
            self.out.timers.set(now + self.config.gossip_interval(), Task::Spread);
        }
    }

    /// Tells `to` which versions there are here, so that each gets what it lacks. There may be none.
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
        // Naming one key again and again must not multiply the answer.
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
