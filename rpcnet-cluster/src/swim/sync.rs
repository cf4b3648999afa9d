//! Anti-entropy: a digest one way, a delta back, and a delta for entries that the digest had newer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foca::Member;
use rand::RngExt;

use super::{
    after_input::foca_state,
    digest::{Delta, DeltaWriter, Digest, DigestScope, Precedence, Summary},
    error::PacketError,
    fingerprint::{self, Groups},
    foca_state::{FocaState, ObservedState},
    identity::{Identity, NodeId, Peer},
    member,
    node::{Delivery, Node},
    timers::Task,
    view::View,
    wire::MAX_MEMBERS,
};

/// The number of members above which a delta comes from a first comparison. Its members are not sent on: the other
/// nodes know them.
const NEWS: usize = 32;

/// The time for which a record that was asked for is not asked for again, from any peer.
const ASK_INTERVAL: Duration = Duration::from_millis(300);

/// The number of probe periods for which a node counts as joining at most.
const JOINING: u32 = 10;

/// The number of gossip intervals without a change after which a view is compared: by then news has reached all nodes.
const QUIET: u32 = 5;

pub(super) const MAX_ASKED: usize = 4096;

impl Node {
    /// Begins as a member: `from` is this node's first active member, because the node has just joined or come back.
    pub(super) fn became_active(&mut self, now: Instant, from: Option<Identity>) {
        self.broadcast_record(self.identity().id());
        if let Some(peer) = from.or_else(|| self.random_peer()) {
            self.send_digest(peer);
            self.offer_broadcasts(peer);
        }
        self.sync_backoff = self.config.probe_period();
        self.schedule_sync(now);
    }

    pub(super) fn schedule_sync(&mut self, now: Instant) {
        let wait = self.jittered(self.sync_backoff);
        self.out.timers.set(now + wait, Task::Sync);
    }

    pub(super) fn jittered(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(self.rng.random_range(0.8..1.2))
    }

    pub(super) fn fire_sync(&mut self, now: Instant) {
        let interval = self.config.sync_interval();
        // A near peer is good enough to learn which members there are. News that all near peers have missed comes from
        // random peers in time.
        let peer = if self.sync_backoff < interval { self.near_peer() } else { self.random_peer() };
        if let Some(peer) = peer {
            self.send_groups(peer);
        }
        // Nodes that join together know little of each other after their first comparison, so the next ones follow
        // soon.
        self.sync_backoff = (self.sync_backoff * 2).min(interval);
        self.schedule_sync(now);
    }

    fn send_digest(&mut self, to: Identity) {
        self.counted.syncs += 1;
        let summaries = {
            let shared = self.shared.lock();
            self.view.members().map(|member| summarize(&self.view, &shared, member.id())).collect()
        };
        let digest = Digest { scope: DigestScope::Whole, summaries };
        self.out.send(to, Delivery::Stream, digest.encode());
    }

    /// Makes the fingerprint that goes with probes anew if the view has changed since.
    pub(super) fn refresh_fingerprint(&mut self, now: Instant) {
        let mut shared = self.shared.lock();
        if self.fingerprint.is_stale(self.view.revision) {
            let summaries = self.view.members().map(|member| summarize(&self.view, &shared, member.id()));
            let hash = summaries.fold(0, |all, summary| all ^ fingerprint::hash(&summary));
            self.fingerprint.renew(now, self.view.revision, hash);
        }
        shared.fingerprint = self.fingerprint.encoded(now, self.config.gossip_interval() * QUIET);
    }

    /// Compares this node's fingerprint with the one of `from`, which came with a probe or with the answer to one.
    pub(super) fn compare(&mut self, now: Instant, from: Identity, theirs: u64) {
        self.refresh_fingerprint(now);
        let ours = self.shared.lock().fingerprint;
        if ours == theirs {
            self.counted.agreed = Some(now);
        }
        if now >= self.fingerprint.rests_until && fingerprint::differ(ours, theirs) {
            self.fingerprint.rests_until = now + self.config.probe_period() / 2;
            self.send_groups(from);
        }
    }

    /// Returns whether this node was just started and still learns of others. Such a node probes nobody: the members
    /// that it learns of are alive. Each probe of a random member takes a handshake, and if many nodes start at once,
    /// all of them would wait for these handshakes.
    pub(super) fn is_joining(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) < self.config.probe_period() * JOINING
            && !self.fingerprint.is_quiet(now, self.config.gossip_interval() * QUIET)
    }

    fn send_groups(&mut self, to: Identity) {
        let groups = {
            let shared = self.shared.lock();
            let summaries = self.view.members().map(|member| summarize(&self.view, &shared, member.id()));
            Groups::new(self.others() + 1, summaries)
        };
        self.counted.syncs += 1;
        self.out.send(to, Delivery::Stream, groups.encode());
        self.offer_broadcasts(to);
    }

    /// Answers with a digest of the groups that differ.
    pub(super) fn handle_groups(&mut self, from: Identity, theirs: &Groups) {
        let (scope, summaries) = {
            let shared = self.shared.lock();
            let all = || self.view.members().map(|member| summarize(&self.view, &shared, member.id()));
            let difference = Groups::like(theirs, all()).difference(theirs);
            if difference.is_empty() {
                return;
            }
            let summaries = all().filter(|summary| difference.contains(summary.id)).collect();
            (DigestScope::Groups(difference), summaries)
        };
        let digest = Digest { scope, summaries };
        self.out.send(from, Delivery::Stream, digest.encode());
    }

    /// Asks `to` for everything about `ids` that it has newer.
    pub(super) fn send_summary(&mut self, to: Identity, ids: &[NodeId]) {
        let summaries = {
            let shared = self.shared.lock();
            ids.iter().map(|id| summarize(&self.view, &shared, *id)).collect()
        };
        let digest = Digest { scope: DigestScope::Named, summaries };
        self.send_by_size(to, digest.encode());
    }

    pub(super) fn send_by_size(&mut self, to: Identity, payload: Bytes) {
        let delivery = if payload.len() <= self.config.max_packet_size() {
            Delivery::Datagram
        } else {
            Delivery::Stream
        };
        self.out.send(to, delivery, payload);
    }

    /// Fetches the records of `wanted`, which `from` has newer.
    pub(super) fn fetch(&mut self, now: Instant, from: Identity, wanted: &[NodeId]) {
        if self.asked.len() > MAX_ASKED {
            self.asked.clear();
        }
        let mut due = Vec::new();
        for &id in wanted {
            let asked = self.asked.get(&id);
            if asked.is_none_or(|at| now.saturating_duration_since(*at) >= ASK_INTERVAL) {
                self.asked.insert(id, now);
                due.push(id);
            }
        }
        if !due.is_empty() {
            self.send_summary(from, &due);
        }
    }

    /// Tells `from` which members have left: it still takes these for active.
    pub(super) fn correct(&mut self, from: Identity, stale: &[NodeId]) {
        let frames = {
            let shared = self.shared.lock();
            let mut delta = DeltaWriter::default();
            for id in stale {
                if let Some(record) = shared.record(*id) {
                    delta.record(*id, record);
                }
            }
            delta.finish()
        };
        for frame in frames {
            self.send_by_size(from, frame);
        }
    }

    pub(super) fn handle_digest(&mut self, from: Identity, digest: &Digest) {
        let mut delta = DeltaWriter::default();
        let mut lacking = Vec::new();
        {
            let shared = self.shared.lock();
            let mut listed = BTreeSet::new();
            for theirs in &digest.summaries {
                // A digest that names one node many times must not multiply the answer.
                if !listed.insert(theirs.id) {
                    continue;
                }
                let ours = summarize(&self.view, &shared, theirs.id);
                add_newer(&self.view, &shared, &ours, theirs, &mut delta);
                if digest.scope != DigestScope::Named && has_newer(theirs, &ours) {
                    lacking.push(theirs.id);
                }
            }
            if digest.scope != DigestScope::Named {
                let unlisted = self.view.members().map(member::Member::id);
                for id in unlisted.filter(|id| digest.scope.contains(*id) && !listed.contains(id)) {
                    if id == self.identity().id() || !self.view.is_gone(id) {
                        let ours = summarize(&self.view, &shared, id);
                        let nothing = Summary { id, member: None, record: None };
                        add_newer(&self.view, &shared, &ours, &nothing, &mut delta);
                    }
                }
            }
        }
        for frame in delta.finish() {
            if digest.scope != DigestScope::Named {
                self.out.send(from, Delivery::Stream, frame);
            } else {
                self.send_by_size(from, frame);
            }
        }
        if !lacking.is_empty() {
            self.send_summary(from, &lacking);
        }
    }

    pub(super) fn handle_delta(
        &mut self,
        now: Instant,
        from: Identity,
        delta: Delta,
    ) -> Result<(), PacketError> {
        let Delta { mut members, records } = delta;
        let known = |member: &Member<Peer>| self.view.knows_addr(member.id().0.addr());
        let added = members.iter().filter(|member| !known(member)).count();
        if self.member_count() + added > MAX_MEMBERS {
            return Err(PacketError::TooManyMembers);
        }
        self.counted.members_fetched += members.len() as u64;
        self.counted.records_fetched += records.len() as u64;
        let spread = records.len() <= NEWS;
        for (id, record) in records {
            let merged = self.shared.lock().merge(id, record);
            if merged {
                self.asked.remove(&id);
                if spread {
                    self.broadcast_record(id);
                }
            }
        }
        let me = self.identity();
        let accused = members.iter().any(|member| {
            let claimed = member.id().0;
            claimed.id() == me.id() && (member.state() != foca::State::Alive || claimed != me)
        });
        // Records come first: a member that has left is down.
        let claimed: Vec<_> = members
            .extract_if(.., |member| member.id().0.id() != from.id() && self.doubts(now, member))
            .collect();
        if !members.is_empty() {
            let news = members.len() <= NEWS;
            {
                let mut shared = self.shared.lock();
                for member in &members {
                    shared.heard(&member.id().0, member.state() != foca::State::Down);
                }
            }
            if let Err(error) = self.foca.apply_many(members.into_iter(), news, self.out.runtime(now)) {
                tracing::warn!(%error, %from, "members could not be applied");
            }
            if !news {
                self.observe_all();
            }
        }
        self.hold(now, from, &claimed);
        self.settle(now, Some(from), false);
        if accused {
            self.protest(from);
        }
        Ok(())
    }

    /// Hands all of foca's members to the view. foca encodes only changes that it broadcasts, so other changes have to
    /// be looked for. This happens once for each delta with many members and is linear in foca's members, as the delta
    /// itself is.
    fn observe_all(&mut self) {
        let mut shared = self.shared.lock();
        for member in self.foca.iter_membership_state() {
            shared.observed.push(ObservedState {
                identity: member.id().0,
                incarnation: member.incarnation(),
                state: member.state(),
            });
        }
    }
}

fn summarize(view: &View, shared: &FocaState, id: NodeId) -> Summary {
    Summary {
        id,
        member: view.member(id).map(|member| Precedence {
            generation: member.identity().generation(),
            incarnation: member.incarnation(),
            state: foca_state(member.state()),
        }),
        record: shared.version(id),
    }
}

fn add_newer(view: &View, shared: &FocaState, ours: &Summary, theirs: &Summary, delta: &mut DeltaWriter) {
    if let (Some(member), Some(standing)) = (view.member(ours.id), ours.member)
        && standing.replaces(theirs.member.as_ref())
    {
        delta.member(&Member::new(Peer(member.identity()), standing.incarnation, standing.state));
    }
    if let Some(record) = shared.record(ours.id)
        && ours.record > theirs.record
    {
        delta.record(ours.id, record);
    }
}

/// Returns whether `theirs` is worth asking for. A member that is down and unknown here is not.
fn has_newer(theirs: &Summary, ours: &Summary) -> bool {
    let Some(standing) = theirs.member else {
        return ours.member.is_some() && theirs.record > ours.record;
    };
    if ours.member.is_none() && standing.state == foca::State::Down {
        return false;
    }
    standing.replaces(ours.member.as_ref()) || theirs.record > ours.record
}
