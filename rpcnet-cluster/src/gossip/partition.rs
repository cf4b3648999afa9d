//! Detection of partitions: if many nodes are lost at once, this node is probably cut off from them.
//!
//! A node can't tell a partition from the death of many nodes. It can only count. *Lost* nodes have failed within a window and
//! have not come back. Nodes that left are not lost.
//!
//! - A partition is detected when at least two nodes are lost, and they are at least a quarter of the former cluster. A node
//!   that fails within a window of the last loss belongs to the same partition.
//! - A partition has healed when all its lost nodes are back or have left. It has also healed when fewer than a quarter are
//!   still missing, and none has come or gone for a window.
//! - If the lost nodes never come back, the partition never heals, and a further loss of that size is another partition.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::swim::{Event, Member, NodeId};

/// The divisor of a large share: one of this number of nodes.
const SHARE: usize = 4;
/// The fewest lost nodes of a partition. The loss of one of two or three nodes is a crash.
const LEAST: usize = 2;

/// A partition that was detected or has healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Detected { lost: Vec<Member>, remaining: usize },
    Healed { returned: usize, missing: Vec<Member> },
}

/// Watches the events of members. It remembers members that are down, whose number the node bounds.
#[derive(Debug)]
pub(crate) struct PartitionDetector {
    window: Duration,
    recent: BTreeMap<NodeId, (Instant, Member)>,
    partition: Option<Partition>,
}

#[derive(Debug)]
struct Partition {
    missing: BTreeMap<NodeId, Member>,
    returned: usize,
    grown: Instant,
    changed: Instant,
}

impl PartitionDetector {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, recent: BTreeMap::new(), partition: None }
    }

    pub(crate) fn handle(&mut self, now: Instant, event: &Event) {
        match event {
            Event::NodeFailed(member) => self.failed(now, member),
            Event::NodeJoined(member) => self.came(now, member, true),
            Event::NodeLeft(member) => self.came(now, member, false),
            _ => {}
        }
    }

    fn failed(&mut self, now: Instant, member: &Member) {
        let window = self.window;
        match &mut self.partition {
            Some(partition) if now.saturating_duration_since(partition.grown) <= window => {
                partition.missing.insert(member.id(), member.clone());
                partition.grown = now;
                partition.changed = now;
            }
            _ => {
                self.recent.insert(member.id(), (now, member.clone()));
            }
        }
    }

    /// Notes that a member is no longer missing, nor a former one whose id or address it has.
    fn came(&mut self, now: Instant, member: &Member, back: bool) {
        let (id, addr) = (member.id(), member.identity().addr());
        let other = |lost: &Member| !is(lost, id, addr);
        self.recent.retain(|_, (_, lost)| other(lost));
        if let Some(partition) = &mut self.partition {
            let before = partition.missing.len();
            partition.missing.retain(|_, lost| other(lost));
            if partition.missing.len() < before {
                partition.returned += usize::from(back);
                partition.changed = now;
            }
        }
    }

    /// Returns the finding for a node that knows this number of active members, including itself. The caller first handles all
    /// events that happened together, because a node that failed and came back at once was not lost.
    pub(crate) fn look(&mut self, now: Instant, active: usize) -> Option<Finding> {
        let window = self.window;
        self.recent.retain(|_, (at, _)| now.saturating_duration_since(*at) <= window);
        if is_large(self.recent.len(), active) {
            let lost = std::mem::take(&mut self.recent);
            let lost: BTreeMap<_, _> = lost.into_iter().map(|(id, (_, member))| (id, member)).collect();
            let members = lost.values().cloned().collect();
            let known = self.partition.get_or_insert_with(|| Partition {
                missing: BTreeMap::new(),
                returned: 0,
                grown: now,
                changed: now,
            });
            known.missing.extend(lost);
            known.grown = now;
            known.changed = now;
            return Some(Finding::Detected { lost: members, remaining: active });
        }
        let partition = self.partition.as_ref()?;
        let quiet = now.saturating_duration_since(partition.changed) >= window;
        let few = !is_large(partition.missing.len(), active);
        let over = partition.missing.is_empty() || (few && quiet);
        if !over {
            return None;
        }
        let partition = self.partition.take()?;
        let missing = partition.missing.into_values().collect();
        Some(Finding::Healed { returned: partition.returned, missing })
    }
}

fn is(lost: &Member, id: NodeId, addr: SocketAddr) -> bool {
    lost.id() == id || lost.identity().addr() == addr
}

fn is_large(lost: usize, active: usize) -> bool {
    lost >= LEAST && lost * SHARE >= lost + active
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        swim::{Config, Identity, Node},
        testing::{Fault, Simulation},
    };

    const WINDOW: Duration = Duration::from_secs(20);

    #[expect(clippy::disallowed_methods, reason = "an `Instant` can't be made from a number")]
    fn epoch() -> Instant {
        Instant::now()
    }

    fn member(index: u8) -> Member {
        let identity = Identity::new(([10, 0, 0, index], 7946).into(), NodeId::from_u128(index.into()), 1);
        Node::new(identity, Config::new_lan(), 1, epoch()).members().next().expect("itself").clone()
    }

    fn fail(detector: &mut PartitionDetector, now: Instant, indices: impl IntoIterator<Item = u8>) {
        indices.into_iter().for_each(|index| detector.handle(now, &Event::NodeFailed(member(index))));
    }

    fn join(detector: &mut PartitionDetector, now: Instant, indices: impl IntoIterator<Item = u8>) {
        indices.into_iter().for_each(|index| detector.handle(now, &Event::NodeJoined(member(index))));
    }

    #[test]
    fn a_quarter_lost_at_once_is_a_partition() {
        let now = epoch();
        let mut detector = PartitionDetector::new(WINDOW);
        fail(&mut detector, now, 0..4);
        assert_eq!(detector.look(now, 16), None);
        fail(&mut detector, now, 4..5);
        let Some(Finding::Detected { lost, remaining: 15 }) = detector.look(now, 15) else { panic!() };
        assert_eq!(lost.len(), 5);
        assert_eq!(detector.look(now, 15), None, "once");
        // The rest of the other side, then all of it comes back.
        fail(&mut detector, now + WINDOW / 2, 5..10);
        assert_eq!(detector.look(now, 10), None);
        join(&mut detector, now + WINDOW, 0..10);
        let healed = Finding::Healed { returned: 10, missing: Vec::new() };
        assert_eq!(detector.look(now + WINDOW, 20), Some(healed));
        assert_eq!(detector.look(now + WINDOW, 20), None);
    }

    #[test]
    fn losses_far_apart_crashes_of_one_and_leaves_are_none() {
        let mut now = epoch();
        let mut detector = PartitionDetector::new(WINDOW);
        for index in 0..10 {
            fail(&mut detector, now, [index]);
            assert_eq!(detector.look(now, usize::from(10 - index)), None);
            now += WINDOW + Duration::from_millis(1);
        }
        let mut detector = PartitionDetector::new(WINDOW);
        fail(&mut detector, now, [1]);
        assert_eq!(detector.look(now, 1), None, "one of two");
        join(&mut detector, now, [1]);
        for index in 0..10 {
            detector.handle(now, &Event::NodeLeft(member(index)));
        }
        assert_eq!(detector.look(now, 1), None);
    }

    #[test]
    fn a_restart_of_all_is_none() {
        let now = epoch();
        let mut detector = PartitionDetector::new(WINDOW);
        fail(&mut detector, now, 0..9);
        join(&mut detector, now, 0..9);
        assert_eq!(detector.look(now, 10), None);
    }

    #[test]
    fn a_few_that_died_meanwhile_do_not_keep_it_open() {
        let now = epoch();
        let mut detector = PartitionDetector::new(WINDOW);
        fail(&mut detector, now, 0..10);
        assert!(matches!(detector.look(now, 10), Some(Finding::Detected { .. })));
        join(&mut detector, now + WINDOW, 0..8);
        assert_eq!(detector.look(now + WINDOW, 18), None);
        let Some(Finding::Healed { returned: 8, missing }) = detector.look(now + WINDOW * 2, 18) else {
            panic!()
        };
        assert_eq!(missing.len(), 2);
    }

    #[test]
    fn a_second_one_is_another() {
        let now = epoch();
        let mut detector = PartitionDetector::new(WINDOW);
        fail(&mut detector, now, 0..10);
        assert!(matches!(detector.look(now, 30), Some(Finding::Detected { .. })));
        let later = now + WINDOW * 10;
        fail(&mut detector, later, 10..20);
        assert!(matches!(detector.look(later, 20), Some(Finding::Detected { lost, .. }) if lost.len() == 10));
        join(&mut detector, later, 0..20);
        let healed = Finding::Healed { returned: 20, missing: Vec::new() };
        assert_eq!(detector.look(later, 40), Some(healed));
    }

    /// Returns the findings of each node in a cluster that is split for a minute.
    #[test]
    fn both_sides_of_a_split_cluster_notice_and_see_it_heal() {
        for nodes in [4, 20] {
            let config = Config::new_lan();
            let mut simulation = Simulation::cluster(7, config.clone(), nodes);
            simulation.run_until(Duration::from_secs(10), Simulation::agrees).expect("they find each other");
            let before = simulation.events().len();
            let half: Vec<usize> = (nodes / 2..nodes).collect();
            simulation.impose(Fault::Partition(vec![half]), Duration::from_secs(60));
            simulation.run_for(Duration::from_secs(60));
            simulation.run_until(Duration::from_secs(300), Simulation::agrees).expect("it heals");
            simulation.run_for(config.partition_window() * 2);
            let start = epoch();
            for by in 0..nodes {
                let mut detector = PartitionDetector::new(config.partition_window());
                let mut active = nodes;
                let mut found = Vec::new();
                for seen in simulation.events()[before..].iter().filter(|seen| seen.by == by) {
                    match seen.event {
                        Event::NodeJoined(_) => active += 1,
                        Event::NodeFailed(_) => active -= 1,
                        _ => {}
                    }
                    detector.handle(start + seen.at, &seen.event);
                    found.extend(detector.look(start + seen.at, active));
                }
                let last = start + Duration::from_secs(1000);
                found.extend(detector.look(last, active));
                let [Finding::Detected { remaining, .. }, Finding::Healed { returned, missing }] = &found[..]
                else {
                    panic!("node {by} of {nodes}: {found:?}");
                };
                assert!(*remaining < nodes && *returned >= 2 && missing.is_empty(), "{found:?}");
            }
        }
    }
}
