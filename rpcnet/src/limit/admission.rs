//! The limit on concurrent calls of a server.

use super::gradient::Gradient;
use crate::ConfigError;

/// The default bounds of an adaptive limit.
const ADAPTIVE: (usize, usize) = (4, 1000);
/// The bound on limits and queues: waiting calls take memory.
const LARGEST: usize = 1 << 20;

/// The number of calls that a server runs at once, over all connections, and of those that wait for their turn.
///
/// Further calls are refused at once with [`ResourceExhausted`](crate::Code::ResourceExhausted), never started, and
/// told when to retry. Waiting calls start in the order of their priority, and first come first served within one. A
/// full queue refuses the newest call of the lowest priority. A call that would have to wait beyond its deadline is
/// refused at once, as nobody would read its reply.
///
/// A call that returns a stream occupies its place until the stream ends, even if its reader reads nothing. Give such
/// methods a timeout if peers are not trusted. Services whose names begin with `rpcnet.`, such as
/// [`Health`](crate::Health), need no place. A [`BalancedChannel`](crate::BalancedChannel) retries a refused call at
/// another endpoint, within its retry budget; a [`Channel`](crate::Channel) does not.
///
/// ```
/// # use rpcnet::Admission;
/// // A handler that needs one of eight connections to a database.
/// let fixed = Admission::fixed(8).with_queue(16);
/// // A limit that is found by measuring.
/// let adaptive = Admission::adaptive().with_bounds(8, 500).with_queue(64);
/// ```
///
/// A queue smooths bursts; it does not make a server faster. One or two times the limit is enough, as each place adds
/// to the time that all calls behind it wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    limit: Limit,
    queue: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Fixed(usize),
    Adaptive {
        least: usize,
        most: usize,
    },
    /// Bounds were set on a fixed limit.
    Contradiction(usize),
}

impl Admission {
    /// Runs up to `limit` calls at once. No call waits, unless [`with_queue`](Self::with_queue) allows it.
    pub fn fixed(limit: usize) -> Self {
        Self { limit: Limit::Fixed(limit), queue: 0 }
    }

    /// Finds the limit by measuring: as many calls at once as run without slowing each other down. Between 4 and 1000.
    ///
    /// The limit grows while handlers are as fast as at little load, and shrinks when they are slower. It fits services
    /// whose calls cost about the same. If some take a thousand times as long as others, a fixed limit is better. A
    /// handler's time counts from its start, without the wait for its turn.
    ///
    /// The limit starts at its lower bound. It returns to this bound for short times to measure again: every half
    /// minute under load, for at most a fiftieth of the time, and if calls stay slow although the limit was cut, for at
    /// most a tenth.
    pub fn adaptive() -> Self {
        Self { limit: Limit::Adaptive { least: ADAPTIVE.0, most: ADAPTIVE.1 }, queue: 0 }
    }

    /// Sets the bounds of an [adaptive](Self::adaptive) limit, both inclusive. The lower one should be a number of
    /// calls that do not slow each other down.
    #[must_use]
    pub fn with_bounds(mut self, least: usize, most: usize) -> Self {
        self.limit = match self.limit {
            Limit::Adaptive { .. } => Limit::Adaptive { least, most },
            Limit::Fixed(limit) | Limit::Contradiction(limit) => Limit::Contradiction(limit),
        };
        self
    }

    /// Sets the number of calls that may wait for their turn. None by default.
    #[must_use]
    pub fn with_queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        let wrong =
            |name, value: usize, expected| Err(ConfigError::Range { name, value: value as u64, expected });
        match self.limit {
            Limit::Fixed(limit) if !(1..=LARGEST).contains(&limit) => {
                wrong("admission limit", limit, "between 1 and 1048576 calls")
            }
            Limit::Adaptive { least, most } if least == 0 || least > most || most > LARGEST => wrong(
                "lower bound of the admission limit",
                least,
                "at least 1, and at most the upper bound, which is at most 1048576",
            ),
            Limit::Contradiction(limit) => wrong(
                "admission limit",
                limit,
                "without bounds where it is fixed: with_bounds is for Admission::adaptive",
            ),
            Limit::Fixed(_) | Limit::Adaptive { .. } if self.queue > LARGEST => {
                wrong("admission queue", self.queue, "at most 1048576 calls")
            }
            Limit::Fixed(_) | Limit::Adaptive { .. } => Ok(self),
        }
    }

    /// Returns the limit to start with.
    pub(super) fn first_limit(&self) -> usize {
        match self.limit {
            Limit::Fixed(limit) | Limit::Contradiction(limit) => limit,
            Limit::Adaptive { least, .. } => least,
        }
    }

    pub(super) fn queue(&self) -> usize {
        self.queue
    }

    pub(super) fn gradient(&self) -> Option<Gradient> {
        match self.limit {
            Limit::Adaptive { least, most } => Some(Gradient::new(least, most)),
            Limit::Fixed(_) | Limit::Contradiction(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (admission, said) in [
            (Admission::fixed(0), "between 1 and"),
            (Admission::fixed(8).with_queue(LARGEST + 1), "at most 1048576"),
            (Admission::adaptive().with_bounds(0, 5), "at least 1"),
            (Admission::adaptive().with_bounds(6, 5), "at most the upper bound"),
            (Admission::fixed(8).with_bounds(1, 9), "with_bounds is for Admission::adaptive"),
        ] {
            let error = admission.check().expect_err("it makes no sense").to_string();
            assert!(error.contains(said), "{error}");
        }
        Admission::fixed(1).check().expect("one call, no queue");
        Admission::adaptive().with_bounds(5, 5).with_queue(1).check().expect("a fixed limit in disguise");
    }
}
