//! What a picker sees of the endpoints.

/// What a picker may know of the endpoints that it chooses from, at the moment of a call. They are numbered from 0.
///
/// All may change while a pick looks at them; a pick that was overtaken is a worse pick, nothing more.
pub trait Candidates {
    /// How many endpoints there are, those included that take no calls.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one more call there would cost, in a unit that is the same for all: latency × √calls, say. `None`
    /// where none may go now.
    fn cost(&self, index: usize) -> Option<f64>;

    /// Whether a call may go there now. Cheaper than [`cost`](Self::cost), and says the same.
    fn takes_calls(&self, index: usize) -> bool;

    /// Calls at work there, as far as this side knows: its own.
    fn pending(&self, index: usize) -> usize;

    /// Its share beside the others, 0 to 1000: 1 for most, more for a larger machine, less while it is suspect or
    /// comes back. With 0 it gets calls only where no other takes them.
    fn weight(&self, index: usize) -> f64;

    /// How many take calls now. Only [`ConsistentHash`](super::Policy::ConsistentHash) asks. Unless it is overridden,
    /// they are counted at each call.
    fn ready(&self) -> usize {
        (0..self.len()).filter(|index| self.takes_calls(*index)).count()
    }

    /// Calls at work at all of them together. Only [`ConsistentHash`](super::Policy::ConsistentHash) asks. Unless it
    /// is overridden, they are added up at each call.
    fn pending_in_all(&self) -> usize {
        (0..self.len()).map(|index| self.pending(index)).sum()
    }
}
