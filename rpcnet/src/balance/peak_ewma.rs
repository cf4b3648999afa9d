//! The cost of a call to an endpoint: a latency estimate that rises at once and falls slowly.
//!
//! Source: Finagle's peak EWMA (`com.twitter.finagle.loadbalancer.p2c.PeakEwma`). Finagle keeps one number. It jumps to
//! each peak, falls to the average within the decay, and fades to zero while no calls are made. That has two drawbacks:
//! after one stutter of 50 ms, an endpoint would rank behind one that always takes 20 ms, for ten seconds. And each
//! slow endpoint would be tried again after a few decays. So this implementation keeps four values, which are valid for
//! different times:
//!
//! - The *average* latency of answers, over the decay. While nothing is answered, it fades six times slower: a worker
//!   ten times slower than others is tried again after 14 decays. An endpoint with only a few answers is tried again
//!   sooner. One without any answer is tried again after about ten times its assumed latency.
//! - The *excess* of the last peak over the average, at most as much again. It falls ten times faster, and bridges the
//!   time until the average has followed.
//! - The share of calls that *failed*, over the decay. Failures are fast, so their latency says nothing.
//! - The time for which nothing was answered although calls wait. A worker that hangs completes no calls, and without
//!   this value would look as good as before.
//!
//! Finagle's cost of a call is the estimate times the number of calls that would then be in flight at the endpoint.
//! That is the time for a worker that serves one call after the other. A worker that serves all calls at once takes the
//! estimate, however many there are. The client does not know which kind a worker is, so the cost is the geometric mean
//! of the two: the estimate times the root of the number of calls. In simulations it is about as good as Finagle's cost
//! if workers serve one call at a time. If they serve four, a slow worker gets a tenth of the calls that Finagle's
//! product sends it in each burst.

use std::time::{Duration, Instant};

/// The factor by which the excess falls faster than the average.
const EXCESS_FASTER: f64 = 10.0;
/// The factor by which the average fades slower while nothing is answered.
const FADES_SLOWER: f64 = 6.0;
/// The excess that one failure adds, as a multiple of the average.
const FAILURE: f64 = 4.0;
/// The bound on the excess of a peak, as a multiple of the average. Without it, one stutter would send calls to workers
/// that are always slow.
const PEAK: f64 = 1.0;
/// The number of answers after which an average fades at its slowest. The first answers depend on cold caches and
/// connections.
const ENOUGH: f64 = 20.0;
/// The time for which an assumed latency lasts, as a multiple of itself. The assumption comes from the round trips of a
/// handshake, including both sides' cryptography. If it lasted longer, a worker that answers in a fraction of that time
/// would get no calls for seconds, beside another one that was asked first.
const ASSUMPTION: f64 = 10.0;
/// The factor on the cost of an endpoint whose calls all fail. A smaller factor would be outweighed by calls in flight
/// at other endpoints.
const ALL_FAIL: f64 = 100.0;
/// The bound on a latency that enters the average, as a multiple of the average. After a pause of seconds, one answer
/// has the weight of many.
const MOST_SURPRISE: f64 = 8.0;
/// The smallest estimate in nanoseconds. It makes calls in flight count where little is known.
const LEAST: f64 = 1000.0;

/// An exponentially weighted moving average of an endpoint's latencies that remembers peaks, failures and silence.
///
/// Each call has to be reported once when it is sent ([`begin`](Self::begin)), and once when it ends: as
/// [`observe`](Self::observe)d, [`fail`](Self::fail)ed or [given up](Self::give_up).
#[derive(Debug, Clone)]
pub struct PeakEwma {
    /// In nanoseconds, at the time `at`.
    average: f64,
    /// The excess of the last peak over the average.
    excess: f64,
    /// The share of calls that failed, 0 to 1.
    failing: f64,
    at: Instant,
    /// The number of answers so far, saturating. If it is 0, the average is an assumption.
    answers: u8,
    /// The number of calls that wait for an answer.
    waiting: usize,
    /// The time since which none of them was answered.
    silent_since: Instant,
    /// In nanoseconds.
    decay: f64,
}

impl PeakEwma {
    /// Creates an estimate from an assumed latency, for example [`assumed`](Self::assumed). The first answer replaces
    /// it. Within `decay`, earlier answers lose all but 1/e of their weight. 10 s suits most services.
    pub fn new(now: Instant, assumed: Duration, decay: Duration) -> Self {
        Self {
            average: assumed.as_nanos() as f64,
            excess: 0.0,
            failing: 0.0,
            at: now,
            answers: 0,
            waiting: 0,
            silent_since: now,
            decay: decay.as_nanos().max(1) as f64,
        }
    }

    /// Estimates the latency of a first call. `rtt` and `loss` describe the path: its round-trip time, and the share of
    /// lost packets, 0 to 1. `handling` is the time that the endpoint needs, which is taken from other endpoints'
    /// latencies beyond their paths. An estimate below theirs would send all calls of the moment to the new endpoint.
    ///
    /// An exchange has a packet in each direction. If one is lost, the sender waits for a probe timeout, and twice as
    /// long the next time. The timeout is 3 × RTT, as little is known of the path, plus 25 ms for the peer's
    /// acknowledgement delay. If q is the chance that either packet is lost, the sum over all repetitions is q/(1 − 2q)
    /// timeouts.
    ///
    /// Source: RFC 9002, sections 5.3 and 6.2.1.
    pub fn assumed(rtt: Duration, loss: f64, handling: Duration) -> Duration {
        let loss = if loss.is_nan() { 0.0 } else { loss.clamp(0.0, 0.2) };
        let lost = 1.0 - (1.0 - loss) * (1.0 - loss);
        let timeout = rtt.saturating_mul(3).saturating_add(Duration::from_millis(25));
        let repeating = timeout.as_secs_f64() * lost / (1.0 - 2.0 * lost);
        let repeating = Duration::try_from_secs_f64(repeating).unwrap_or(Duration::MAX);
        handling.saturating_add(rtt).saturating_add(repeating)
    }

    /// Records that a call was sent to the endpoint.
    pub fn begin(&mut self, now: Instant) {
        if self.waiting == 0 {
            self.silent_since = now;
        }
        self.waiting += 1;
    }

    /// Records that a call was answered after this latency.
    pub fn observe(&mut self, now: Instant, latency: Duration) {
        self.waiting = self.waiting.saturating_sub(1);
        self.silent_since = self.silent_since.max(now);
        let latency = latency.as_nanos() as f64;
        let weight = self.advance(now);
        let is_first = self.answers == 0;
        self.answers = self.answers.saturating_add(1);
        if is_first {
            self.average = latency;
            return;
        }
        let learnt = latency.min(self.average.max(LEAST) * MOST_SURPRISE);
        self.average += (learnt - self.average) * weight;
        self.excess = self.excess.max((latency - self.average).min(self.average * PEAK));
    }

    /// Records that a call failed after this time, for a reason that lies with the endpoint.
    pub fn fail(&mut self, now: Instant, after: Duration) {
        self.give_up(now, after);
        let weight = self.advance(now);
        self.failing += (1.0 - self.failing) * weight;
        self.excess = self.excess.max(self.average * FAILURE);
    }

    /// Records that the caller gave up a call after this time. The call would have taken at least that long.
    pub fn give_up(&mut self, now: Instant, after: Duration) {
        self.waiting = self.waiting.saturating_sub(1);
        let idle = self.idle(now);
        let excess = after.as_nanos() as f64 - self.faded(idle);
        // Scaled to the time `at`, to which all values refer.
        self.excess = self.excess.max(excess * (idle * EXCESS_FASTER).min(50.0).exp());
    }

    /// Starts again from an assumption, because the endpoint's ejection has dealt with its faults, or because it is
    /// another process. Calls in flight still count.
    pub fn forgive(&mut self, now: Instant, assumed: Duration) {
        *self = Self {
            waiting: self.waiting,
            ..Self::new(now, assumed, Duration::from_nanos(self.decay as u64))
        };
    }

    /// Returns the cost of one more call in nanoseconds: the latency times the root of the number of calls that would
    /// then be in flight.
    pub fn load(&self, now: Instant, pending: usize) -> f64 {
        self.estimate(now) * (pending as f64 + 1.0).sqrt()
    }

    /// Returns the average latency, without peaks and failures.
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.average as u64)
    }

    fn estimate(&self, now: Instant) -> f64 {
        let idle = self.idle(now);
        let mut latency = self.faded(idle) + self.excess * faded_by(idle * EXCESS_FASTER);
        if self.waiting > 0 {
            latency = latency.max(nanos(self.silent_since, now));
        }
        if self.failing > 0.0 {
            latency *= 1.0 + self.failing * faded_by(idle) * ALL_FAIL;
        }
        latency.max(LEAST)
    }

    /// Returns the time since the last outcome, in decays.
    fn idle(&self, now: Instant) -> f64 {
        nanos(self.at, now) / self.decay
    }

    fn faded(&self, idle: f64) -> f64 {
        self.average * faded_by(idle / self.lasts())
    }

    /// Returns the time in which the average fades while nothing is answered, in decays.
    fn lasts(&self) -> f64 {
        let lasts = FADES_SLOWER * (f64::from(self.answers) / ENOUGH).clamp(0.02, 1.0);
        if self.answers > 0 {
            return lasts;
        }
        lasts.min(ASSUMPTION * self.average.max(LEAST) / self.decay)
    }

    /// Fades all values until `now`. Returns the weight of an outcome at that time.
    fn advance(&mut self, now: Instant) -> f64 {
        let idle = self.idle(now);
        let kept = faded_by(idle);
        self.excess *= faded_by(idle * EXCESS_FASTER);
        self.failing *= kept;
        self.at = self.at.max(now);
        1.0 - kept
    }
}

fn nanos(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_nanos() as f64
}

/// Returns e to the power of `-decays`. An exponential function would cost as much as the rest of a pick. For short
/// times, the first terms of the series are exact to a few parts in ten thousand.
fn faded_by(decays: f64) -> f64 {
    if decays < 0.1 { 1.0 / (1.0 + decays + decays * decays / 2.0) } else { (-decays).exp() }
}

#[cfg(test)]
mod tests;
