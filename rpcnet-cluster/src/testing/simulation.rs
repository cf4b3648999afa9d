//! A cluster of this crate's nodes in a world, with checkers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    check::{Checker, Violation},
    network::Fault,
    operation::{Operation, Script},
    process::{Process, index_of},
    world::{Step, World},
};
use crate::swim::{Config, Event, MemberState, Node, NodeId};

/// The wall clock at the beginning in Unix milliseconds. Generations are taken from it.
const BEGINNING: u64 = 1_800_000_000_000;

/// An event that a node of a [`Simulation`] has reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObservedEvent {
    /// The time of the event after the start of the simulation.
    pub at: Duration,
    /// The index of the node that reported it.
    pub by: usize,
    /// The event.
    pub event: Event,
}

/// The state that outlives a process.
#[derive(Clone, Debug, Default)]
struct Past {
    generation: u64,
    /// The milliseconds by which the wall clock was put back.
    back: u64,
    known: BTreeSet<usize>,
}

/// A cluster of nodes under virtual time, on a controlled network.
///
/// Nodes are known by index. Each is a whole [`Node`] with the part of its driver that joins. The network, the clocks
/// and the fate of the processes are simulated. One seed replays everything, bit for bit.
///
/// After every step, checkers look at the node that had an input. The first broken rule that they find is the
/// [`violation`](Self::violation).
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet_cluster::{swim, testing::Simulation};
///
/// let mut simulation = Simulation::cluster(1, swim::Config::new_lan(), 3);
/// simulation.run_until(Duration::from_secs(10), Simulation::agrees).expect("the nodes find each other");
/// simulation.crash(2);
/// simulation.run_until(Duration::from_secs(60), Simulation::agrees).expect("the others notice");
/// assert_eq!(simulation.violation(), None);
/// ```
#[derive(Debug)]
pub struct Simulation {
    world: World<Process>,
    /// Separate from the world's source, so that the nodes draw the same numbers whatever the network does.
    rng: StdRng,
    config: Config,
    seeds: BTreeSet<usize>,
    fresh_ids: bool,
    past: BTreeMap<usize, Past>,
    pending: VecDeque<(Duration, Operation)>,
    events: Vec<ObservedEvent>,
    checker: Checker,
    violation: Option<Violation>,
}

impl Simulation {
    /// A simulation without nodes. All nodes have this configuration and join through node 0.
    pub fn new(seed: u64, config: Config) -> Self {
        Self {
            world: World::new(seed),
            rng: StdRng::seed_from_u64(!seed),
            config,
            seeds: BTreeSet::from([0]),
            fresh_ids: false,
            past: BTreeMap::new(),
            pending: VecDeque::new(),
            events: Vec::new(),
            checker: Checker::default(),
            violation: None,
        }
    }

    /// A simulation with `count` nodes that have just been started.
    pub fn cluster(seed: u64, config: Config, count: usize) -> Self {
        let mut simulation = Self::new(seed, config);
        for node in 0..count {
            simulation.start(node);
        }
        simulation
    }

    /// Sets the seeds of nodes that are started from here on. Node 0 by default.
    #[must_use]
    pub fn with_seeds(mut self, seeds: impl IntoIterator<Item = usize>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }

    /// Sets whether each life of a node has an id of its own, as for nodes that are given no id. `false` by default: a
    /// node keeps its id.
    #[must_use]
    pub fn with_fresh_ids(mut self, fresh: bool) -> Self {
        self.fresh_ids = fresh;
        self
    }

    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.world.now()
    }

    /// Starts a node, even one that has crashed or left.
    pub fn start(&mut self, node: usize) {
        self.apply(&Operation::Start { node, remembering: false });
    }

    /// Ends a node at once.
    pub fn crash(&mut self, node: usize) {
        self.apply(&Operation::Crash(node));
    }

    /// Begins a fault.
    pub fn impose(&mut self, fault: Fault, lasting: Duration) {
        self.apply(&Operation::Fault { fault, lasting });
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.world.heal();
    }

    /// Does an operation. Operations on a node that does not run change nothing.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Start { node, remembering } => self.launch(*node, *remembering),
            Operation::Crash(node) => self.end(*node),
            Operation::Leave(node) => {
                self.with_node(*node, Node::leave);
            }
            // Tags and values that are not allowed are a mistake in the script, and change nothing.
            Operation::SetTag { node, key, value } => {
                let _ = self.with_node(*node, |node, now| node.set_tag(now, key, value));
            }
            Operation::RemoveTag { node, key } => {
                let _ = self.with_node(*node, |node, now| node.remove_tag(now, key));
            }
            Operation::Broadcast { node, key, value } => {
                let (wall, value) = (self.wall(*node), Bytes::copy_from_slice(value.as_bytes()));
                let _ = self.with_node(*node, |node, now| node.broadcast(now, wall, key, value));
            }
            Operation::Withdraw { node, key } => {
                let wall = self.wall(*node);
                let _ = self.with_node(*node, |node, now| node.withdraw_broadcast(now, wall, key));
            }
            Operation::Forward { node, by } => self.world.jump_clock(*node, *by),
            Operation::Back { node, by } => {
                self.past.entry(*node).or_default().back += by.as_millis() as u64;
            }
            Operation::Fault { fault, lasting } => self.world.impose(fault.clone(), *lasting),
        }
    }

    /// Plays a script while the simulation runs. Its times count from now.
    pub fn play(&mut self, script: &Script) {
        let now = self.now();
        self.pending.extend(script.operations().iter().map(|(at, operation)| (now + *at, operation.clone())));
        self.pending.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    /// Lets time pass, up to the first violation.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until `done` returns true. `done` is called after every step. Returns the time that this took, or
    /// `None` if it would take longer than `limit` or a rule was violated.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let start = self.now();
        loop {
            if self.violation.is_some() {
                return None;
            }
            if done(self) {
                return Some(self.now() - start);
            }
            if !self.step(start + limit) {
                return None;
            }
        }
    }

    /// Does the next thing that happens until `end`. Returns `false` if there is none.
    fn step(&mut self, end: Duration) -> bool {
        let due = self.pending.front().map(|(at, _)| *at).filter(|at| *at <= end);
        match self.world.step(due.unwrap_or(end)) {
            Some(Step::Host(node)) => self.look(node),
            Some(Step::Nothing) => {}
            None => {
                let Some((_, operation)) = due.and_then(|_| self.pending.pop_front()) else { return false };
                self.apply(&operation);
            }
        }
        true
    }

    /// The node with this index, if it runs.
    pub fn node(&self, node: usize) -> Option<&Node> {
        self.world.host(node).map(Process::node)
    }

    /// The nodes that run, by index, including nodes that have left.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.world.hosts().map(|(index, process)| (index, process.node()))
    }

    /// Gives a node an input, such as [`Node::set_tag`]. Returns `None` if the node does not run.
    pub fn with_node<T>(&mut self, node: usize, input: impl FnOnce(&mut Node, Instant) -> T) -> Option<T> {
        let result = self.world.with(node, |process, now| input(process.node_mut(), now));
        self.look(node);
        result
    }

    /// All events that were reported so far, in order.
    pub fn events(&self) -> &[ObservedEvent] {
        &self.events
    }

    /// The world below, for example to read the traffic of its network.
    #[doc(hidden)]
    pub fn world(&self) -> &World<Process> {
        &self.world
    }

    /// The first broken rule. After it nothing more happens.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Returns whether all running nodes that have not left agree: each lists exactly these nodes, alive, in their
    /// newest life and with their tags, and all have the same broadcasts.
    pub fn agrees(&self) -> bool {
        self.disagreement().is_none()
    }

    /// The first disagreement that is found: the observer and the node that it concerns.
    pub(super) fn disagreement(&self) -> Option<String> {
        let live: BTreeMap<NodeId, &Node> = self
            .nodes()
            .filter(|(_, node)| !node.has_left())
            .map(|(_, node)| (node.identity().id(), node))
            .collect();
        for (by, node) in self.nodes().filter(|(_, node)| !node.has_left()) {
            let mut listed = 0;
            for member in node.members().filter(|member| member.state().is_active()) {
                listed += 1;
                let Some(itself) = live.get(&member.id()) else {
                    return Some(format!("{by} still lists {}", member.identity()));
                };
                let state = member.state();
                if itself.identity() != member.identity() || state != MemberState::Alive {
                    return Some(format!(
                        "{by} holds {} {state:?}, but it is {}",
                        member.identity(),
                        itself.identity()
                    ));
                }
                if itself.tags() != member.tags() {
                    return Some(format!("{by} has not the tags of {}", member.identity()));
                }
            }
            if listed < live.len() {
                return Some(format!("{by} lists {listed} of {} nodes", live.len()));
            }
        }
        let mut shared = live.values().map(|node| node.broadcasts());
        if let Some(first) = shared.next().map(Iterator::collect::<Vec<_>>)
            && let Some(other) = shared.map(Iterator::collect::<Vec<_>>).find(|other| *other != first)
        {
            return Some(format!("broadcasts are {first:?} and {other:?}"));
        }
        None
    }

    /// The clock of a node's host, in Unix milliseconds.
    fn wall(&self, node: usize) -> u64 {
        let back = self.past.get(&node).map_or(0, |past| past.back);
        (BEGINNING + self.world.now().as_millis() as u64).saturating_sub(back)
    }

    fn launch(&mut self, node: usize, remembering: bool) {
        self.end(node);
        let past = self.past.entry(node).or_default();
        let known = if remembering { past.known.clone() } else { BTreeSet::new() };
        let wall = BEGINNING + self.world.now().as_millis() as u64;
        // Two starts are more than a millisecond apart, unless the clock was put back.
        let generation =
            if past.back == 0 { wall.max(past.generation + 1) } else { wall - past.back.min(wall) };
        past.generation = generation;
        let id =
            if self.fresh_ids { NodeId::random(&mut self.rng) } else { NodeId::from_u128(node as u128 + 1) };
        let seeds = self.seeds.union(&known).copied().collect::<Vec<_>>();
        let now = self.world.clock(node);
        let process = Process::new((node, id, generation), self.config.clone(), seeds, &mut self.rng, now);
        self.checker.started(node);
        self.world.start(node, process);
        self.look(node);
    }

    fn end(&mut self, node: usize) {
        if let Some(process) = self.world.stop(node) {
            let past = self.past.entry(node).or_default();
            let known = process.node().members().filter(|member| member.state() != MemberState::Left);
            past.known = known.map(|member| index_of(member.identity().addr())).collect();
            past.generation = process.node().identity().generation();
        }
    }

    /// Collects the events of the node, and checks it.
    fn look(&mut self, by: usize) {
        let at = self.world.now();
        let seen = self.events.len();
        let events = &mut self.events;
        self.world.with(by, |process, _| {
            while let Some(event) = process.node_mut().poll_event() {
                events.push(ObservedEvent { at, by, event });
            }
        });
        let Some(process) = self.world.host(by) else { return };
        if self.violation.is_none()
            && let Err(broken) =
                self.checker.check(by, process, &self.events[seen..], (at, self.world.sent(by).packets))
        {
            self.violation = Some(Violation::new(at, by, broken));
        }
    }
}
