//! The rules that must hold after every step.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{process::Process, simulation::ObservedEvent};
use crate::swim::{Broadcast, Event, Identity, Member, MemberState, Node, NodeId};

/// A broken rule: something that should never happen in a simulation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    at: Duration,
    by: Option<usize>,
    broken: Broken,
}

/// The rule that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Broken {
    WentBack(String),
    Resurrected(String),
    Disagreed(String),
    Unbounded(String),
    Storm(u64),
    OutOfOrder(String),
    Refused(u64),
    Apart(String),
}

impl Violation {
    pub(super) fn new(at: Duration, by: usize, broken: Broken) -> Self {
        Self { at, by: Some(by), broken }
    }

    /// The nodes did not come to agree in time, or did not stay so.
    pub(super) fn apart(at: Duration, disagreement: String) -> Self {
        Self { at, by: None, broken: Broken::Apart(disagreement) }
    }

    /// Returns whether both break the same rule, at any node and any time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.broken) == std::mem::discriminant(&other.broken)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} ms", self.at.as_millis())?;
        if let Some(by) = self.by {
            write!(f, ", at node {by}")?;
        }
        match &self.broken {
            Broken::WentBack(what) => write!(f, ": a number went back: {what}"),
            Broken::Resurrected(what) => write!(f, ": who had left is back: {what}"),
            Broken::Disagreed(what) => write!(f, ": two views of one version: {what}"),
            Broken::Unbounded(what) => write!(f, ": a queue exceeds its bound: {what}"),
            Broken::Storm(packets) => write!(f, ": {packets} packets sent within a second"),
            Broken::OutOfOrder(what) => write!(f, ": an event out of order: {what}"),
            Broken::Refused(count) => write!(f, ": {count} packets of well-behaved peers were refused"),
            Broken::Apart(what) => write!(f, ": the views are apart: {what}"),
        }
    }
}

impl std::error::Error for Violation {}

/// The most packets that a node may send within a second: as many as a blocked node holds back, and some more. A loop
/// in which answers cause answers exceeds any number.
const STORM: u64 = 8192;

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum MemberPhase {
    Joined,
    Suspect,
    Ended,
}

/// The states of one node that one observer has seen so far.
#[derive(Clone, Debug, Default)]
struct NodeHistory {
    generation: u64,
    incarnation: u16,
    left_in: Option<u64>,
    named: Option<(u64, MemberPhase)>,
}

#[derive(Debug, Default)]
struct Observer {
    revision: Option<u64>,
    own: u64,
    known: BTreeMap<NodeId, NodeHistory>,
    broadcasts: HeardBroadcasts,
    /// The start of the current second, and the number of packets sent before it.
    second: (u64, u64),
}

/// The observations of the whole simulation that are compared.
#[derive(Debug, Default)]
pub(super) struct Checker {
    observers: BTreeMap<usize, Observer>,
    /// The tags that belong to a node's generation and version.
    tags: BTreeMap<(NodeId, u64, u64), BTreeMap<String, String>>,
    /// The broadcasts that belong to a key, a version and an author.
    values: BTreeMap<(String, u64, NodeId), Broadcast>,
}

/// The broadcasts that one observer has seen: the newest version of each key, and whether it has a value.
#[derive(Clone, Debug, Default)]
struct HeardBroadcasts {
    revision: u64,
    newest: BTreeMap<String, ((u64, NodeId), bool)>,
}

impl Checker {
    pub(super) fn started(&mut self, node: usize) {
        self.observers.insert(node, Observer::default());
    }

    /// Checks a node that had an input at `at`. `sent` is the number of packets that it has sent so far, in all its
    /// lives.
    pub(super) fn check(
        &mut self,
        by: usize,
        process: &Process,
        seen: &[ObservedEvent],
        (at, sent): (Duration, u64),
    ) -> Result<(), Broken> {
        let node = process.node();
        let observer = self.observers.entry(by).or_default();
        if observer.second.0 != at.as_secs() {
            observer.second = (at.as_secs(), sent);
        }
        let within_second = sent - observer.second.1.min(sent);
        if within_second > STORM {
            return Err(Broken::Storm(within_second));
        }
        for seen in seen {
            observer.event(&seen.event)?;
        }
        if process.refused() > 0 {
            return Err(Broken::Refused(process.refused()));
        }
        if let Some(what) = node.overfull() {
            return Err(Broken::Unbounded(what));
        }
        if std::mem::replace(&mut observer.broadcasts.revision, node.broadcasts_revision())
            != node.broadcasts_revision()
        {
            observer.broadcasts.check(node, &mut self.values)?;
        }
        if observer.revision.replace(node.revision()) == Some(node.revision()) {
            return Ok(());
        }
        let own = node.identity().generation();
        if std::mem::replace(&mut observer.own, own) > own {
            return Err(Broken::WentBack(format!("its own generation, to {own}")));
        }
        for member in node.members().skip(1) {
            observer.member(member)?;
            check_tags(&mut self.tags, node, member)?;
        }
        Ok(())
    }
}

impl HeardBroadcasts {
    fn check(
        &mut self,
        node: &Node,
        values: &mut BTreeMap<(String, u64, NodeId), Broadcast>,
    ) -> Result<(), Broken> {
        let mut before = std::mem::take(&mut self.newest);
        for (key, broadcast) in node.broadcasts() {
            let stamp = (broadcast.version(), broadcast.origin());
            match before.remove(key) {
                Some((newest, _)) if stamp < newest => {
                    return Err(Broken::WentBack(format!("the version of broadcast {key}, to {}", stamp.0)));
                }
                Some((newest, false)) if stamp == newest => {
                    return Err(Broken::Resurrected(format!("broadcast {key}, version {}", stamp.0)));
                }
                _ => {}
            }
            let known = values.entry((key.to_owned(), stamp.0, stamp.1)).or_insert_with(|| broadcast.clone());
            if known != broadcast {
                return Err(Broken::Disagreed(format!("broadcast {key}, version {}", stamp.0)));
            }
            self.newest.insert(key.to_owned(), (stamp, true));
        }
        self.newest.extend(before.into_iter().map(|(key, (stamp, _))| (key, (stamp, false))));
        Ok(())
    }
}

fn check_tags(
    versions: &mut BTreeMap<(NodeId, u64, u64), BTreeMap<String, String>>,
    node: &Node,
    member: &Member,
) -> Result<(), Broken> {
    let Some((generation, version)) = node.record_version(member.id()) else { return Ok(()) };
    // The record of a leave has no tags, while the view keeps the last ones.
    if member.state() == MemberState::Left {
        return Ok(());
    }
    let known = versions.entry((member.id(), generation, version)).or_insert_with(|| member.tags().clone());
    if known != member.tags() {
        let identity = member.identity();
        return Err(Broken::Disagreed(format!(
            "{identity}, version {version}: {known:?} and {:?}",
            member.tags()
        )));
    }
    Ok(())
}

impl Observer {
    fn member(&mut self, member: &Member) -> Result<(), Broken> {
        let identity = member.identity();
        let (generation, incarnation) = (identity.generation(), member.incarnation());
        let known = self.known.entry(member.id()).or_default();
        if generation < known.generation {
            return Err(Broken::WentBack(format!("the generation of {identity}, from {}", known.generation)));
        }
        let same = generation == known.generation;
        // A Down claim is taken from any peer and at any incarnation.
        if member.state().is_active() {
            if same && incarnation < known.incarnation {
                return Err(Broken::WentBack(format!(
                    "the incarnation of {identity}, from {} to {incarnation}",
                    known.incarnation
                )));
            }
            known.incarnation = incarnation;
            if known.left_in.is_some_and(|left| generation <= left) {
                return Err(Broken::Resurrected(identity.to_string()));
            }
        }
        known.generation = generation;
        if member.state() == MemberState::Left {
            known.left_in = Some(generation);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), Broken> {
        let (name, member, allowed, next): (_, _, &[MemberPhase], _) = match event {
            Event::NodeJoined(member) => ("joined", member, &[], MemberPhase::Joined),
            Event::NodeSuspect(member) => ("suspect", member, &[MemberPhase::Joined], MemberPhase::Suspect),
            Event::NodeRecovered(member) => {
                ("recovered", member, &[MemberPhase::Suspect], MemberPhase::Joined)
            }
            Event::NodeFailed(member) => {
                ("failed", member, &[MemberPhase::Joined, MemberPhase::Suspect], MemberPhase::Ended)
            }
            Event::NodeLeft(member) => {
                ("left", member, &[MemberPhase::Joined, MemberPhase::Suspect], MemberPhase::Ended)
            }
            Event::TagsChanged(member) => {
                return self.named(member.identity()).map(|_| ()).ok_or_else(|| out_of_order("tags", member));
            }
            _ => return Ok(()),
        };
        let identity = member.identity();
        let before = self.known.get(&member.id()).and_then(|known| known.named);
        let fits = match (event, before) {
            (Event::NodeJoined(_), None) => true,
            (Event::NodeJoined(_), Some((generation, phase))) => {
                generation < identity.generation() && phase == MemberPhase::Ended
            }
            (_, Some((generation, phase))) => generation == identity.generation() && allowed.contains(&phase),
            (_, None) => false,
        };
        if !fits {
            return Err(out_of_order(name, member));
        }
        self.known.entry(member.id()).or_default().named = Some((identity.generation(), next));
        Ok(())
    }

    fn named(&self, identity: Identity) -> Option<MemberPhase> {
        let (generation, phase) = self.known.get(&identity.id())?.named?;
        (generation == identity.generation() && phase != MemberPhase::Ended).then_some(phase)
    }
}

fn out_of_order(name: &str, member: &Member) -> Broken {
    Broken::OutOfOrder(format!("{name} {}", member.identity()))
}
