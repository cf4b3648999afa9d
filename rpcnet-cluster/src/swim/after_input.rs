//! The follow-up of an input: collects the changes that foca left behind, decides which event each change is, and acts
//! on them.

use std::time::{Duration, Instant};

use foca::{Member, State, Timer};
use rand::RngExt;

use super::{
    effects::Note,
    event::Event,
    identity::{Identity, NodeId, Peer},
    member::MemberState,
    node::Node,
    record::Item,
    timers::Task,
    view::Verdicts,
};

/// The number of times that peers are asked whether a member that is down had left, before it is called failed.
const QUESTIONS: u32 = 4;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The time for which a record of a node that is no member is kept. Such a record may come ahead of the news that the
/// node joined.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(300);

/// The number of waiting updates above which every packet is full of them. foca puts updates first, so records would
/// never be sent.
const CROWDED_UPDATES: usize = 20;

impl Node {
    pub(super) fn start_timers(&mut self, now: Instant) {
        self.out.timers.set(now + SWEEP_INTERVAL, Task::Sweep);
        self.schedule_reconnect(now);
        self.schedule_sync(now);
    }

    /// Follows up one or more calls into foca. `from` is the sender of the packet that was handled, if there was one.
    /// `certain` means that this node itself waited out a suspicion.
    pub(super) fn settle(&mut self, now: Instant, from: Option<Identity>, certain: bool) {
        // Ends: a further round needs news from foca. The loop itself makes two kinds of news. One is that a member is
        // down, which is final. The other is one change of this node's identity.
        loop {
            let mut verdicts = Verdicts::default();
            let (wanted, stale, conflict, reclaim, confirmed) = {
                let mut shared = self.shared.lock();
                let changed = std::mem::take(&mut shared.changed);
                let observed = std::mem::take(&mut shared.observed);
                let mut confirmed = std::mem::take(&mut shared.confirmed);
                confirmed.extend(
                    observed
                        .iter()
                        .filter(|seen| seen.state == State::Suspect)
                        .map(|seen| seen.identity.id()),
                );
                if self.view.me.incarnation != shared.incarnation {
                    if shared.incarnation > self.view.me.incarnation {
                        self.health.refuted();
                    }
                    self.view.me.incarnation = shared.incarnation;
                    self.view.revision += 1;
                }
                // Records come first: the view must know that a member has left before it judges that the member is
                // down.
                for &id in &changed {
                    self.view.record_changed(now, id, &shared, &mut verdicts);
                }
                for seen in observed {
                    self.view.observe(now, seen, certain, &shared, &mut verdicts);
                }
                (
                    std::mem::take(&mut shared.wanted),
                    std::mem::take(&mut shared.stale),
                    shared.conflict.take(),
                    changed.contains(&shared.me.id()),
                    confirmed,
                )
            };
            self.second(now, &confirmed);
            for event in verdicts.events.drain(..) {
                self.out.emit(event);
            }
            for id in confirmed {
                self.reschedule_down(id);
            }
            for id in verdicts.unclear {
                self.ask_about(from, id);
                self.schedule_verdict(now, id);
            }
            if let Some(from) = from {
                self.fetch(now, from, &wanted);
                self.correct(from, &stale);
            }
            if let Some(theirs) = conflict
                && !self.outdo(now, theirs, from)
            {
                self.report_conflict(theirs);
            }
            if reclaim {
                self.reclaim(now);
            }
            let notes = std::mem::take(&mut self.out.notes);
            let settled = notes.is_empty() && verdicts.bury.is_empty() && !reclaim;
            for note in notes {
                self.note(now, note, from);
            }
            self.bury(now, verdicts.bury);
            if settled {
                break;
            }
        }
        self.retune();
        self.hasten(now);
    }

    /// Sends the first piece of news after a quiet time without waiting for the next gossip interval.
    fn hasten(&mut self, now: Instant) {
        let waiting = self.foca.updates_backlog() + self.foca.custom_broadcast_backlog() > 0;
        if waiting && !std::mem::replace(&mut self.has_news, waiting) {
            let wait = self.config.gossip_interval().mul_f64(self.rng.random_range(0.05..0.2));
            self.out.timers.hasten_gossip(now + wait);
        }
        self.has_news = waiting;
    }

    fn note(&mut self, now: Instant, note: Note, from: Option<Identity>) {
        match note {
            Note::Accused { suspect, incarnation, token } => self.accuse(now, suspect, incarnation, token),
            Note::Active => self.became_active(now, from),
            Note::Rejoined(identity) => self.renewed(now, identity, from),
            Note::Defunct if !self.has_left() => {
                tracing::error!(identity = %self.identity(), "declared down and out of generations");
            }
            Note::Defunct => {}
        }
    }

    pub(super) fn bury(&mut self, now: Instant, identities: Vec<Identity>) {
        if identities.is_empty() {
            return;
        }
        let down = identities.into_iter().map(|identity| Member::down(Peer(identity)));
        if let Err(error) = self.foca.apply_many(down, true, self.out.runtime(now)) {
            tracing::warn!(%error, "members could not be declared down");
        }
    }

    pub(super) fn report_conflict(&mut self, theirs: Identity) {
        if self.reported_conflict.replace(theirs) == Some(theirs) {
            return;
        }
        let ours = self.identity();
        self.out.emit(Event::IdentityConflict { ours, theirs });
    }

    /// Follows the size of the cluster with foca's settings.
    fn retune(&mut self) {
        let nodes = self.foca.num_members() + 1;
        if std::mem::replace(&mut self.tuned_for, nodes) == nodes {
            return;
        }
        if let Err(error) = self.foca.set_config(self.config.for_foca(nodes)) {
            tracing::warn!(%error, nodes, "settings could not follow the size of the cluster");
        }
    }

    pub(super) fn fire_foca(&mut self, now: Instant, timer: Timer<Peer>) {
        let mut certain = false;
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
            // foca answers a refuted suspicion with TurnUndead to a live node, which would give up its identity.
            if !self.may_condemn(now, member_id.0, *incarnation) {
                return;
            }
            certain = true;
        }
        let others = self.others();
        if matches!(timer, Timer::ProbeRandomMember(_)) {
            self.refresh_fingerprint(now);
            if self.is_joining(now) || self.health.excuses_probe(now, others) {
                self.out.timers.set(now + self.config.probe_period(), Task::Foca(timer));
                return;
            }
        }
        self.out.slower = self.health.slowness() - 1;
        let probe = matches!(timer, Timer::ProbeRandomMember(_)).then(|| Task::Foca(timer.clone()));
        let gossip = matches!(timer, Timer::PeriodicGossip(_));
        if gossip && self.foca.updates_backlog() + self.foca.custom_broadcast_backlog() > 0 {
            let near = self.news_to_near();
            self.shared.lock().near = near;
        }
        if let Err(error) = self.foca.handle_timer(timer, self.out.runtime(now)) {
            tracing::warn!(%error, "timer could not be handled");
            // An error in between must not end probing for ever.
            if let Some(probe) = probe.filter(|probe| !self.out.timers.is_set(probe)) {
                self.out.timers.set(now + self.config.probe_period(), probe);
            }
        }
        if gossip && self.foca.custom_broadcast_backlog() > 0 && self.foca.updates_backlog() > CROWDED_UPDATES
        {
            let near = self.news_to_near();
            self.shared.lock().near = near;
            if let Err(error) = self.foca.broadcast(self.out.runtime(now)) {
                tracing::warn!(%error, "records could not be broadcast");
            }
        }
        self.shared.lock().near.clear();
        self.settle(now, None, certain);
    }

    fn schedule_verdict(&mut self, now: Instant, id: NodeId) {
        let Some(at) = self.view.entry(id).and_then(|entry| entry.verdict_at) else {
            return;
        };
        let next = (now + self.config.leave_grace() / QUESTIONS).min(at);
        self.out.timers.set(next, Task::Verdict(id));
    }

    pub(super) fn fire_verdict(&mut self, now: Instant, id: NodeId) {
        let Some(at) = self.view.entry(id).and_then(|entry| entry.verdict_at) else {
            return;
        };
        if at > now {
            self.ask_about(None, id);
            self.schedule_verdict(now, id);
            return;
        }
        let mut verdicts = Verdicts::default();
        self.view.fail(now, id, &mut verdicts);
        for event in verdicts.events {
            self.out.emit(event);
        }
    }

    /// Asks `whom`, or else a random member, for its state of `id`.
    pub(super) fn ask_about(&mut self, whom: Option<Identity>, id: NodeId) {
        let whom = whom.filter(|whom| whom.id() != id).or_else(|| self.random_peer());
        if let Some(whom) = whom {
            self.send_summary(whom, &[id]);
        }
    }

    pub(super) fn random_peer(&mut self) -> Option<Identity> {
        self.view.sample(&mut self.rng, 1, |member| member.state().is_active()).pop()
    }

    /// Broadcasts the known record of `id`.
    pub(super) fn broadcast_record(&mut self, id: NodeId) {
        let item = self.shared.lock().record(id).map(|record| Item::encode(id, record));
        if let Some(item) = item
            && let Err(error) = self.foca.add_broadcast(&item)
        {
            tracing::warn!(%error, %id, "record could not be broadcast");
        }
    }

    pub(super) fn fire_sweep(&mut self, now: Instant) {
        let after = self.config.forget_after();
        self.view.forget(now, after);
        self.broadcasts.forget(now, after);
        let me = self.identity().id();
        let view = &self.view;
        let mut shared = self.shared.lock();
        shared.records.retain(|id, (_, since)| {
            *id == me || view.entry(*id).is_some() || now.saturating_duration_since(*since) < ORPHAN_LIFETIME
        });
        shared.suspicions.retain(|id| view.entry(id).is_some_and(|entry| entry.suspected_at.is_some()));
        drop(shared);
        self.out.timers.set(now + SWEEP_INTERVAL, Task::Sweep);
    }
}

/// The state under which foca holds a member.
pub(super) fn foca_state(state: MemberState) -> State {
    match state {
        MemberState::Alive => State::Alive,
        MemberState::Suspect => State::Suspect,
        MemberState::Down | MemberState::Left => State::Down,
    }
}
