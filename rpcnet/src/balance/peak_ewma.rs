//! What a call to an endpoint costs: latency, remembered so that it rises at once and falls slowly.
//!
//! Source: Finagle's peak EWMA (`com.twitter.finagle.loadbalancer.p2c.PeakEwma`). It keeps one number, which jumps to each
//! peak, falls to the average within the decay, and fades to zero where no calls are made. That one stutter of 50 ms
//! would rank an endpoint behind one that always takes 20 ms, for ten seconds, and each endpoint that is slow would be
//! tried anew after a few decays. So it is kept apart here what differs in how long it is true:
//!
//! - the *average* of what answers took, over the decay. Where nothing is answered it fades six times slower: a worker ten
//!   times slower than others is tried again after 14 decays. One that has answered but a few times is tried again soon,
//!   and one that has not answered yet after some ten times what was assumed of it;
//! - the *excess* of the last peak over it, at most as much again, which falls ten times faster. It bridges the time until
//!   the average knows;
//! - the share of calls that *failed*, over the decay. What fails is fast, and its latency says nothing;
//! - for how long nothing was answered although calls wait. A worker that hangs completes no calls: without this it would
//!   look as well as before.
//!
//! Finagle's cost of a call is the estimate times the calls that would then be at work there: what it takes where a worker
//! serves one after the other. One that serves all at a time takes the estimate, however many there are. Which one it is,
//! nobody has told, so the cost is the geometric mean of the two: the estimate times the root of the calls. Simulated, it is
//! about as good as Finagle's where workers serve one at a time, and where they serve four, a slow one gets a tenth of the calls
//! that the product sends it in every burst.

use std::time::{Duration, Instant};

/// How much faster than the average an excess falls, and how much slower it fades while nothing is answered.
const EXCESS_FASTER: f64 = 10.0;
const FADES_SLOWER: f64 = 6.0;
/// What one failure adds, in latencies.
const FAILURE: f64 = 4.0;
/// So many times the average is all that a peak may exceed it by: else one stutter would send calls to workers that are
/// always slow.
const PEAK: f64 = 1.0;
/// Answers that an average takes to be believed for long. The first ones tell of caches and connections that are cold.
const ENOUGH: f64 = 20.0;
/// So many times itself is how long an assumption lasts. It is made from the round trips of a handshake, with both sides'
/// cryptography in them: a worker that answers in a fraction of that would go without calls for seconds beside one that was
/// asked first.
const ASSUMPTION: f64 = 10.0;
/// How much dearer is an endpoint all of whose calls fail. Fewer would be outweighed by calls at work elsewhere.
const ALL_FAIL: f64 = 100.0;
/// So many times the average is all that one answer may add to it: after a pause of seconds it has the weight of many.
const MOST_SURPRISE: f64 = 8.0;
/// The estimate is never less, so that where little is known calls at work still count. In nanoseconds.
const LEAST: f64 = 1000.0;

/// An exponentially weighted moving average of an endpoint's latencies that remembers peaks, failures and silence.
///
/// Each call that is sent is told once by [`begin`](Self::begin), and once as
/// [`observe`](Self::observe)d, [`fail`](Self::fail)ed or [given up](Self::give_up).
#[derive(Debug, Clone)]
pub struct PeakEwma {
    /// In nanoseconds, as of `at`.
    average: f64,
    /// The peak above it.
    excess: f64,
    /// 0 to 1.
    failing: f64,
    at: Instant,
    /// Answers so far, up to what is enough; without one the average is an assumption.
    answers: u8,
    /// Calls that wait for an answer, and since when none has come.
    waiting: usize,
    silent_since: Instant,
    /// In nanoseconds.
    decay: f64,
}

impl PeakEwma {
    /// Starts with an assumed latency ([`assumed`](Self::assumed), say); the first answer takes its place. Old answers
    /// lose all but 1/e of their weight within `decay`; 10 s suits most.
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

    /// What a first call will take over a path with this round-trip time and this share of lost packets, 0 to 1, to an
    /// endpoint that takes `handling` for it: what others take beyond their paths. To assume less than those take would
    /// send all calls of a moment to the newcomer.
    ///
    /// An exchange is a packet each way. Where one of them is lost, the sender waits for a probe timeout, 3 × RTT while
    /// little is known of the path and 25 ms at the peer, and twice that the next time. With q, the chance that either is
    /// lost, the sum over all repetitions is q/(1 − 2q) timeouts.
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

    /// A call was sent there.
    pub fn begin(&mut self, now: Instant) {
        if self.waiting == 0 {
            self.silent_since = now;
        }
        self.waiting += 1;
    }

    /// A call was answered that took so long.
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

    /// A call failed, for a reason that lies with the endpoint, after so long.
    pub fn fail(&mut self, now: Instant, after: Duration) {
        self.give_up(now, after);
        let weight = self.advance(now);
        self.failing += (1.0 - self.failing) * weight;
        self.excess = self.excess.max(self.average * FAILURE);
    }

    /// Nobody waits for a call any more that was sent so long ago: it would have taken that, or more.
    pub fn give_up(&mut self, now: Instant, after: Duration) {
        self.waiting = self.waiting.saturating_sub(1);
        let idle = self.idle(now);
        let excess = after.as_nanos() as f64 - self.faded(idle);
        // As of `at`, to which everything refers.
        self.excess = self.excess.max(excess * (idle * EXCESS_FASTER).min(50.0).exp());
    }

    /// The endpoint gets a new start: what was held against it has been dealt with by taking it out, or it is another
    /// process. Calls at work stay.
    pub fn forgive(&mut self, now: Instant, assumed: Duration) {
        *self = Self {
            waiting: self.waiting,
            ..Self::new(now, assumed, Duration::from_nanos(self.decay as u64))
        };
    }

    /// The cost of sending one more call there: its latency times the root of the calls that it would then hold. In
    /// nanoseconds.
    pub fn load(&self, now: Instant, pending: usize) -> f64 {
        self.estimate(now) * (pending as f64 + 1.0).sqrt()
    }

    /// What an answer takes there, apart from peaks and failures.
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

    /// How long ago the last outcome was, in decays.
    fn idle(&self, now: Instant) -> f64 {
        nanos(self.at, now) / self.decay
    }

    fn faded(&self, idle: f64) -> f64 {
        self.average * faded_by(idle / self.lasts())
    }

    /// How many decays the average takes to fade while nothing is answered.
    fn lasts(&self) -> f64 {
        let lasts = FADES_SLOWER * (f64::from(self.answers) / ENOUGH).clamp(0.02, 1.0);
        if self.answers > 0 {
            return lasts;
        }
        lasts.min(ASSUMPTION * self.average.max(LEAST) / self.decay)
    }

    /// Lets fall what falls until now; returns the weight of an outcome now.
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

/// What is left of 1 after so many decays: e to the power of minus that. An exponential function costs as much as the rest
/// of a pick; for short times the first terms of its series are right to a few parts in ten thousand.
fn faded_by(decays: f64) -> f64 {
    if decays < 0.1 { 1.0 / (1.0 + decays + decays * decays / 2.0) } else { (-decays).exp() }
}

#[cfg(test)]
mod tests;
