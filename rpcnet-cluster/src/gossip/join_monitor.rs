//! Reports whether this node is in its cluster: to the log, the metrics, and the server's readiness.

use std::{sync::Arc, time::Duration};

use rpcnet::ReadinessCondition;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    driver::{Gossip, View, now, until},
    join::SeedStates,
    join_state::{ClusterObservation, ConditionState, JoinState, LogLine},
};
use crate::{
    swim::MemberState,
    tags::{ROLE, WORKER},
};

/// The name of the condition in the server's readiness.
pub(crate) const CONDITION: &str = "cluster";

/// The task that watches the members and the seeds.
pub(super) struct JoinMonitor {
    gossip: Arc<Gossip>,
    condition: ReadinessCondition,
    state: JoinState,
    view: watch::Receiver<View>,
    seeds: watch::Receiver<SeedStates>,
    told: ConditionState,
}

impl JoinMonitor {
    pub(super) fn new(gossip: &Arc<Gossip>, condition: ReadinessCondition, grace: Duration) -> Self {
        let (view, seeds) = (gossip.view(), gossip.seed_states.subscribe());
        let state = JoinState::new(grace, now());
        let mut monitor =
            Self { gossip: gossip.clone(), condition, state, view, seeds, told: ConditionState::Well };
        // Sets the condition at once, so that the server is not ready for a moment at first.
        monitor.look();
        monitor
    }

    /// Watches for as long as the node lives.
    pub(super) async fn watch(mut self) {
        let closed = self.gossip.closed.clone();
        tokio::select! {
            () = self.look_on() => {}
            () = closed.cancelled() => {}
        }
    }

    async fn look_on(&mut self) {
        loop {
            self.look();
            let next = self.state.next(now());
            tokio::select! {
                changed = self.view.changed() => if changed.is_err() { return },
                changed = self.seeds.changed() => if changed.is_err() { return },
                () = until(next) => {}
            }
        }
    }

    fn look(&mut self) {
        let view = self.view.borrow_and_update().clone();
        let seeds = self.seeds.borrow_and_update().clone();
        let Some((own, others)) = view.split_first() else { return };
        if own.state() == MemberState::Left {
            return;
        }
        let observation = ClusterObservation {
            is_alone: !others.iter().any(|member| member.state().is_active()),
            has_lost: others.iter().any(|member| member.state() == MemberState::Down),
            is_worker: own.tags().get(ROLE).is_some_and(|role| role == WORKER),
            seeds: &seeds,
        };
        let identity = own.identity();
        match self.state.look(now(), &observation) {
            Some(LogLine::Joined) => info!(%identity, members = others.len(), "in the cluster"),
            Some(LogLine::Alone { for_, had_company: false }) => {
                let causes = observation.causes();
                warn!(%identity, alone_for = ?for_, causes, "not in the cluster: no seed has let this node in");
            }
            Some(LogLine::Alone { for_, had_company: true }) => {
                let causes = observation.causes();
                warn!(%identity, alone_for = ?for_, causes, "not in the cluster any more: all other members are lost");
            }
            None => {}
        }
        self.gossip.metrics.joined(self.state.is_joined(&observation));
        let verdict = self.state.verdict(now(), &observation);
        if verdict != self.told {
            match &verdict {
                ConditionState::Well => self.condition.meet(),
                ConditionState::Note(note) => self.condition.meet_with_note(note),
                ConditionState::NotReady(reason) => self.condition.fail(reason),
            }
            self.told = verdict;
        }
    }
}
