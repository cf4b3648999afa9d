//! A picker's view of the endpoints.

/// The endpoints that a picker chooses from, at the moment of a call. They are numbered from 0.
///
/// All values may change during a pick. Such a pick may be a worse one, but nothing else happens.
pub trait Candidates {
    /// Returns the number of endpoints, including those that take no calls.
    fn len(&self) -> usize;

    /// Returns true if there are no endpoints.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the cost of one more call at this endpoint, for example latency × √calls. All endpoints have the same
    /// unit. `None` if the endpoint takes no calls now.
    fn cost(&self, index: usize) -> Option<f64>;

    /// Returns true if the endpoint takes calls now. Equivalent to [`cost`](Self::cost) being `Some`, but cheaper.
    fn takes_calls(&self, index: usize) -> bool;

    /// Returns the number of this client's calls in flight at the endpoint.
    fn pending(&self, index: usize) -> usize;

    /// Returns the endpoint's relative weight, 0 to 1000: 1 for most, more for a larger machine, less for an endpoint
    /// that is suspect or comes back. An endpoint with weight 0 gets calls only if no other takes them.
    fn weight(&self, index: usize) -> f64;

    /// Returns the number of endpoints that take calls now. Used only by
    /// [`ConsistentHash`](super::Policy::ConsistentHash). The default implementation counts them each time.
    fn ready(&self) -> usize {
        (0..self.len()).filter(|index| self.takes_calls(*index)).count()
    }

    /// Returns the number of calls in flight at all endpoints together. Used only by
    /// [`ConsistentHash`](super::Policy::ConsistentHash). The default implementation adds them up each time.
    fn pending_in_all(&self) -> usize {
        (0..self.len()).map(|index| self.pending(index)).sum()
    }
}
