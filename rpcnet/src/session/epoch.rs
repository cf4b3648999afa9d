//! Tells which connections lead to the same process.
//!
//! A call that has failed on one connection is retried elsewhere, and another connection to the same process is not
//! elsewhere. No peer tells which process it is. So an endpoint has *epochs*, which follow from its connections: an epoch
//! ends with the first connection that is lost, or on which the peer says that it goes away. Connections that are dialled
//! from then on belong to the next epoch. A connection that was lost alone ends an epoch too soon, which costs a call one
//! attempt. A process that was restarted always has an epoch in which its predecessor's calls were not tried.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts the epochs of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Epochs(AtomicU64);

impl Epochs {
    /// Returns the present epoch, for a connection that is dialled now.
    pub(crate) fn present(self: &Arc<Self>) -> Epoch {
        Epoch { of: self.clone(), number: self.0.load(Ordering::SeqCst) }
    }
}

/// An epoch of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    of: Arc<Epochs>,
    number: u64,
}

impl Epoch {
    /// Ends the epoch: one of its connections was lost, or its peer goes away. Losses after the first change nothing.
    pub(crate) fn ends(&self) {
        let next = self.number + 1;
        let _ = self.of.0.compare_exchange(self.number, next, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Returns whether a call that was tried in this epoch need not be tried in the other: that is the same or an
    /// earlier one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.of, &other.of) && other.number <= self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_stand_together_are_one_epoch() {
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
