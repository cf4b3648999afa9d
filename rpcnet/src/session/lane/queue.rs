//! Calls of a lane that wait for others to end. Sans-io.

use std::collections::{BTreeMap, HashMap};

/// Calls by their ids, in the order in which they came. Each step takes logarithmic time, however many a peer gives up.
#[derive(Debug)]
pub(super) struct CallQueue<C> {
    calls: BTreeMap<u64, (u64, C)>,
    /// Where the call of an id stands in that order.
    places: HashMap<u64, u64>,
    /// The number of calls that were ever pushed: the next call's place.
    came: u64,
}

impl<C> Default for CallQueue<C> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), places: HashMap::new(), came: 0 }
    }
}

impl<C> CallQueue<C> {
    /// Adds a call at the end. None of this id may wait.
    pub(super) fn push(&mut self, id: u64, call: C) {
        let before = self.places.insert(id, self.came);
        debug_assert!(before.is_none(), "an id is of one call");
        self.calls.insert(self.came, (id, call));
        self.came += 1;
    }

    /// Takes the call that has waited longest.
    pub(super) fn pop(&mut self) -> Option<C> {
        let (_, (id, call)) = self.calls.pop_first()?;
        self.places.remove(&id);
        Some(call)
    }

    /// Takes this call.
    pub(super) fn remove(&mut self, id: u64) -> Option<C> {
        let place = self.places.remove(&id)?;
        self.calls.remove(&place).map(|(_, call)| call)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue_from_which_any_may_be_taken(steps in vec((0..3u8, 0..8u64), 0..200)) {
            let mut waiting = CallQueue::default();
            let mut model: Vec<u64> = Vec::new();
            for (step, id) in steps {
                match step {
                    0 if !model.contains(&id) => {
                        waiting.push(id, id);
                        model.push(id);
                    }
                    0 => {}
                    1 => {
                        let first = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(waiting.pop(), first);
                    }
                    _ => {
                        let place = model.iter().position(|waits| *waits == id);
                        prop_assert_eq!(waiting.remove(id), place.map(|place| model.remove(place)));
                    }
                }
                prop_assert_eq!((waiting.len(), waiting.is_empty()), (model.len(), model.is_empty()));
                prop_assert!((0..8).all(|id| waiting.contains(id) == model.contains(&id)));
            }
        }
    }
}
