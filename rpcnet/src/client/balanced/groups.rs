//! Groups of endpoints by service, computed when the set changes.
//!
//! Services that are served by the same endpoints share a [`Group`]. A pick looks up the group of its service
//! and picks as if there were no other endpoints. So its cost does not depend on how many endpoints lack the
//! service, and rings and tables of weights hold only endpoints that serve it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::endpoint::EndpointState;
use crate::{
    balance::{HashOptions, Layout, Picker, Policy},
    discover::ServiceSet,
};

/// The most services that get a group. For a call of another service, each pick reads the endpoints' lists of
/// services.
const MOST_SERVICES: usize = 1024;
/// The most groups, not counting the group of all endpoints. Each may have a ring.
const MOST_GROUPS: usize = 64;

/// A set of endpoints, and the data that is computed for the set.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: Vec<Arc<EndpointState>>,
    pub(super) layout: Layout,
    /// Shared with the group that this one replaces, so that round robin continues.
    pub(super) picker: Arc<Picker>,
    /// The number of members that took calls at the last count. Counted only if the policy needs it.
    pub(super) ready: AtomicUsize,
    /// Set for the group of all endpoints.
    pub(super) is_whole: bool,
    /// The members' weights in the layout.
    weights: Vec<f64>,
}

/// The endpoints that a call may go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct CandidateGroup<'a> {
    pub(super) group: &'a Arc<Group>,
    /// Set if the group may have members that do not serve the service. Each member's list is then checked.
    pub(super) check: bool,
}

/// A snapshot of the endpoints.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) all: Vec<Arc<EndpointState>>,
    whole: Arc<Group>,
    /// The groups by service, in ascending order. Empty if every endpoint may serve any service.
    by_service: Vec<(u64, Arc<Group>)>,
    /// The endpoints that may serve any service.
    any: Arc<Group>,
    /// Set if some service that is served has no group of its own.
    more: bool,
}

/// The settings for layouts and pickers.
#[derive(Debug, Clone)]
pub(super) struct Arrange {
    pub(super) policy: Policy,
    pub(super) hash: HashOptions,
}

impl Members {
    pub(super) fn none(arrange: &Arrange) -> Self {
        let whole = arrange.group(Vec::new(), true, None);
        Self { all: Vec::new(), any: whole.clone(), whole, by_service: Vec::new(), more: false }
    }

    /// Computes the groups of these endpoints. Unchanged groups are kept.
    pub(super) fn next(&self, all: Vec<Arc<EndpointState>>, arrange: &Arrange) -> Self {
        let whole = arrange.group(all.clone(), true, Some(&self.whole));
        let lists: Vec<_> = all.iter().map(|member| member.services()).collect();
        if lists.iter().all(Option::is_none) {
            return Self { all, any: whole.clone(), whole, by_service: Vec::new(), more: false };
        }
        let (served, mut more) = served(&lists);
        let mut groups: HashMap<Vec<u32>, Arc<Group>> = HashMap::new();
        let mut group = |indices: &[u32], before: Option<&Arc<Group>>| {
            if indices.len() == all.len() {
                return Some(whole.clone());
            }
            if let Some(group) = groups.get(indices) {
                return Some(group.clone());
            }
            if groups.len() >= MOST_GROUPS {
                return None;
            }
            let members = indices.iter().map(|index| all[*index as usize].clone()).collect();
            // If one group splits into two, they must not share the state of a picker: each would take turns
            // away from the other.
            let before = before
                .filter(|before| !groups.values().any(|group| Arc::ptr_eq(&group.picker, &before.picker)));
            let group = arrange.group(members, false, before);
            groups.insert(indices.to_vec(), group.clone());
            Some(group)
        };
        let every: Vec<_> =
            (0..).zip(&lists).filter(|(_, list)| list.is_none()).map(|(index, _)| index).collect();
        let any = group(&every, Some(&self.any)).expect("the first group is below MOST_GROUPS");
        let mut by_service = Vec::with_capacity(served.len());
        for (service, listed) in served {
            let mut indices = [listed.as_slice(), every.as_slice()].concat();
            indices.sort_unstable();
            match group(&indices, self.group_of(service)) {
                Some(group) => by_service.push((service, group)),
                None => more = true,
            }
        }
        Self { all, whole, by_service, any, more }
    }

    fn group_of(&self, service: u64) -> Option<&Arc<Group>> {
        let place = self.by_service.binary_search_by_key(&service, |(service, _)| *service).ok()?;
        Some(&self.by_service[place].1)
    }

    /// Returns true if every endpoint may serve any service.
    fn serve_all(&self) -> bool {
        Arc::ptr_eq(&self.any, &self.whole)
    }

    /// The endpoints for a call of this service. `None` stands for a call that any endpoint may serve.
    pub(super) fn choice(&self, service: Option<u64>) -> CandidateGroup<'_> {
        let group = match service {
            None => &self.whole,
            Some(_) if self.serve_all() => &self.whole,
            Some(service) => match self.group_of(service) {
                Some(group) => group,
                None if self.more => return CandidateGroup { group: &self.whole, check: true },
                None => &self.any,
            },
        };
        CandidateGroup { group, check: false }
    }

    /// Returns true if some endpoint may serve the service.
    pub(super) fn has_service(&self, service: Option<u64>) -> bool {
        let CandidateGroup { group, check } = self.choice(service);
        group.members.iter().any(|member| !check || member.has_service(service))
    }

    /// The groups, each once.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        let mut seen = BTreeSet::new();
        let all = [&self.whole, &self.any].into_iter().chain(self.by_service.iter().map(|(_, group)| group));
        all.filter(move |group| seen.insert(Arc::as_ptr(group)))
    }

    /// The services that have a group.
    pub(super) fn services(&self) -> impl Iterator<Item = u64> {
        self.by_service.iter().map(|(service, _)| *service)
    }
}

/// Returns the indices of the endpoints that list each service, and true if there are more services than may
/// have a group.
fn served(lists: &[Option<ServiceSet>]) -> (BTreeMap<u64, Vec<u32>>, bool) {
    let mut served: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let mut more = false;
    for (index, list) in (0..).zip(lists) {
        for service in list.iter().flat_map(ServiceSet::ids) {
            if served.len() >= MOST_SERVICES && !served.contains_key(service) {
                more = true;
                continue;
            }
            served.entry(*service).or_default().push(index);
        }
    }
    (served, more)
}

impl Arrange {
    /// Returns a group of these members: the previous group if nothing has changed.
    fn group(
        &self,
        members: Vec<Arc<EndpointState>>,
        is_whole: bool,
        before: Option<&Arc<Group>>,
    ) -> Arc<Group> {
        let before = before.filter(|before| before.is_whole == is_whole);
        let weights: Vec<_> = members.iter().map(|member| member.full_weight()).collect();
        if let Some(before) = before
            && before.weights == weights
            && before.members.len() == members.len()
            && before.members.iter().zip(&members).all(|(before, now)| Arc::ptr_eq(before, now))
        {
            return before.clone();
        }
        let ids = members.iter().map(|member| &**member.id());
        let layout = Layout::new(self.policy, ids, &self.hash).with_weights(weights.iter().copied());
        let picker = match before {
            Some(before) => before.picker.clone(),
            None => Arc::new(Picker::new(self.policy)),
        };
        let ready = before.map_or(0, |before| before.ready.load(Ordering::Relaxed)).min(members.len());
        Arc::new(Group { members, layout, picker, ready: AtomicUsize::new(ready), is_whole, weights })
    }
}
