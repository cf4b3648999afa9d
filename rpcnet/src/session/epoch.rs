//! Which connections lead to the same process.
//!
//! A call that has failed on one connection is to be made elsewhere, and another connection to the same process is not
//! elsewhere. No peer says which process it is, so that is told by what happens to its connections: a life of an
//! endpoint ends with the first of its connections that is lost, or on which it says that it goes away. What is dialled
//! from then on belongs to the next life. So a connection that was lost alone begins a life too soon, which costs a
//! call one attempt; and a process that was restarted always has a life that its predecessor's calls were not tried in.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts the lives of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Epochs(AtomicU64);

impl Epochs {
    /// The present life, for a connection that is dialled now.
    pub(crate) fn present(self: &Arc<Self>) -> Epoch {
        Epoch { of: self.clone(), number: self.0.load(Ordering::SeqCst) }
    }
}

/// A life of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    of: Arc<Epochs>,
    number: u64,
}

impl Epoch {
    /// One of its connections was lost, or its peer goes away. Those that are lost after the first say nothing new.
    pub(crate) fn ends(&self) {
        let next = self.number + 1;
        let _ = self.of.0.compare_exchange(self.number, next, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Returns whether what was tried in this life need not be tried in the other: that is the same, or an earlier one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.of, &other.of) && other.number <= self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_stand_together_are_one_life() {
        let epochs = Arc::<Epochs>::default();
        let (first, further) = (epochs.present(), epochs.present());
        assert!(first.covers(&further) && further.covers(&first));
    }

    #[test]
    fn what_is_dialled_after_a_loss_is_another() {
        let epochs = Arc::<Epochs>::default();
        let (first, further) = (epochs.present(), epochs.present());
        first.ends();
        let successor = epochs.present();
        // The one that is lost later belongs to the process that is no more.
        further.ends();
        let beside = epochs.present();
        for before in [&first, &further] {
            assert!(!before.covers(&successor) && successor.covers(before));
        }
        assert!(successor.covers(&beside) && beside.covers(&successor));
        successor.ends();
        assert!(!successor.covers(&epochs.present()));
    }

    #[test]
    fn endpoints_have_their_own() {
        let (one, other) = (Arc::<Epochs>::default(), Arc::<Epochs>::default());
        assert!(!one.present().covers(&other.present()));
    }
}
