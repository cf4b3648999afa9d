//! A limit of concurrency that is found by measuring. Sans-io.
//!
//! Two averages of latency are compared: a short one, over a window of calls, and a long one, of windows in which the
//! server was not at its limit. While the short one is no more than a tolerance above the long one, calls do not wait
//! for each other, and the limit grows by a headroom (the queue that is allowed to form). Where it is more, calls
//! queue inside of the server, and the limit shrinks in proportion: `limit × long / short + headroom`, smoothed.
//!
//! Source: *Gradient2* of Netflix' concurrency-limits (<https://github.com/Netflix/concurrency-limits>, and
//! "Performance Under Load", Netflix Technology Blog, 2018), with the headroom of √limit that its predecessor and
//! Envoy's adaptive concurrency filter use. Under lasting overload Gradient2's long average follows the short one, and
//! the limit drifts to its maximum. So here it learns from a server at its limit only by *probes*, as Envoy's filter
//! measures its `minRTT`
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter>): the
//! limit goes to its lower bound until a few calls that were begun under it have ended, and what they took is the
//! new long average. There is a probe at the start, then each half minute at the limit, and whenever the limit was
//! cut and calls did not get faster: then it is not their number that makes them slow.

use std::time::{Duration, Instant};

/// How much slower than at little load is still well.
const TOLERANCE: f64 = 1.5;
/// The share of a new limit in the next one.
const SMOOTHING: f64 = 0.2;
/// The headroom is never less.
const LEAST_HEADROOM: f64 = 4.0;
/// A window ends when it is this long and has this many calls.
const WINDOW: Duration = Duration::from_millis(100);
const CALLS: usize = 10;
/// The share of a window in the long average, where it is faster, and where it is slower.
const DOWN: f64 = 0.1;
const UP: f64 = 0.02;
/// Where to go on after the first probe.
const FIRST: f64 = 20.0;
/// At the limit, a probe each so often; so many times longer than one took, that they cost a fiftieth at most.
const PROBE_EVERY: Duration = Duration::from_secs(30);
const PROBE_COST: u32 = 50;
/// Likewise for those that have a cause.
const URGENT_COST: u32 = 10;
/// It is given up after this time, and so many times the long average.
const PROBE_LONGEST: (Duration, f64) = (Duration::from_secs(1), 20.0);
/// After so many windows that are slow at the lower end, the cause lies elsewhere.
const STUCK: u32 = 5;
/// A cut of the limit to this share should make calls faster than this.
const CUT: f64 = 0.7;
const FASTER: f64 = 0.9;

/// How many calls may run at once, by their latency.
#[derive(Debug)]
pub(super) struct Gradient {
    least: f64,
    most: f64,
    limit: f64,
    /// The long average, in seconds; zero while nothing is known.
    long: f64,
    window: LatencyWindow,
    /// The first one begins with the first call that ends.
    probe: Option<Probe>,
    probed: Option<(Instant, Duration)>,
    /// Limit and latency when it was last cut.
    cut: Option<(f64, f64)>,
    stuck: u32,
}

/// The calls of the short average.
#[derive(Debug, Default)]
struct LatencyWindow {
    since: Option<Instant>,
    calls: usize,
    latency: Duration,
    in_flight: usize,
}

impl LatencyWindow {
    fn add(&mut self, now: Instant, latency: Duration, in_flight: usize) {
        self.since.get_or_insert(now);
        self.calls += 1;
        self.latency = self.latency.saturating_add(latency);
        self.in_flight = self.in_flight.max(in_flight);
    }

    fn is_over(&self, now: Instant, length: Duration) -> bool {
        self.calls >= CALLS && self.since.is_some_and(|since| now.saturating_duration_since(since) >= length)
    }

    fn average(&self) -> f64 {
        self.latency.as_secs_f64() / self.calls.max(1) as f64
    }
}

/// Calls run at the lower bound, in order to see how fast they are then.
#[derive(Debug)]
struct Probe {
    /// Calls that began before don't count.
    since: Instant,
    /// The limit to go back to.
    back_to: f64,
}

impl Gradient {
    /// A limit within these bounds, which are at least 1 and in order.
    pub(super) fn new(least: usize, most: usize) -> Self {
        let (least, most) = (least as f64, most as f64);
        Self {
            least,
            most,
            limit: least,
            long: 0.0,
            window: LatencyWindow::default(),
            probe: None,
            probed: None,
            cut: None,
            stuck: 0,
        }
    }

    /// How many calls may run now.
    pub(super) fn limit(&self) -> usize {
        match self.probe {
            Some(_) => self.least as usize,
            None => self.limit as usize,
        }
    }

    /// A call has ended that took so long, while so many ran, itself included.
    pub(super) fn observe(&mut self, now: Instant, latency: Duration, in_flight: usize) {
        self.pass(now);
        let Some(probe) = &self.probe else {
            self.window.add(now, latency, in_flight);
            if self.window.is_over(now, WINDOW) {
                let window = std::mem::take(&mut self.window);
                self.adjust(now, &window);
            }
            return;
        };
        if now.checked_sub(latency).is_none_or(|began| began < probe.since) {
            return;
        }
        self.window.add(now, latency, in_flight);
        if self.window.is_over(now, Duration::ZERO) {
            self.end_probe(now);
        }
    }

    /// A call has ended of which nothing can be learnt. Were all like that, a probe would never end by itself.
    pub(super) fn pass(&mut self, now: Instant) {
        let Some(probe) = &self.probe else {
            if self.probed.is_none() {
                // The first one: the limit is the lower bound already, and now the time is known.
                self.probed = Some((now, Duration::ZERO));
                self.probe = Some(Probe { since: now, back_to: FIRST });
            }
            return;
        };
        let (least, share) = PROBE_LONGEST;
        let longest = Duration::try_from_secs_f64(self.long * share).unwrap_or(Duration::MAX).max(least);
        if now.saturating_duration_since(probe.since) > longest {
            self.end_probe(now);
        }
    }

    /// Goes on with what is known now, which after a probe that was given up may be nothing new.
    fn end_probe(&mut self, now: Instant) {
        let Some(probe) = self.probe.take() else { return };
        let window = std::mem::take(&mut self.window);
        if window.calls > 0 {
            self.long = window.average();
        }
        self.limit = probe.back_to.clamp(self.least, self.most);
        self.probed = Some((now, now.saturating_duration_since(probe.since)));
        self.cut = None;
        self.stuck = 0;
    }

    fn adjust(&mut self, now: Instant, window: &LatencyWindow) {
        let short = window.average();
        if self.long == 0.0 {
            self.long = short;
        }
        // Whether more calls would have come in, had the limit been higher, is not known; half of it is the line.
        let pressed = window.in_flight as f64 * 2.0 >= self.limit;
        if short < self.long {
            self.long += (short - self.long) * DOWN;
        } else if !pressed {
            self.long += (short - self.long) * UP;
        }
        let gradient = if short > 0.0 { (TOLERANCE * self.long / short).clamp(0.5, 1.0) } else { 1.0 };
        if gradient == 1.0 && !pressed {
            return;
        }
        let headroom = self.limit.sqrt().max(LEAST_HEADROOM);
        let next = gradient * self.limit + headroom;
        self.limit = (self.limit + (next - self.limit) * SMOOTHING).clamp(self.least, self.most);
        if self.is_elsewhere(gradient, short) {
            self.probe_after(now, Duration::ZERO, URGENT_COST);
        } else if pressed {
            self.probe_after(now, PROBE_EVERY, PROBE_COST);
        }
    }

    /// Whether calls are slow for another reason than that there are too many: fewer are no faster.
    fn is_elsewhere(&mut self, gradient: f64, short: f64) -> bool {
        if gradient == 1.0 {
            self.cut = None;
            self.stuck = 0;
            return false;
        }
        let (limit, latency) = *self.cut.get_or_insert((self.limit, short));
        let mut elsewhere = false;
        if self.limit <= limit * CUT {
            elsewhere = short > latency * FASTER;
            self.cut = Some((self.limit, short));
        }
        // Where latency has doubled and the headroom alone remains, there is nothing more to cut.
        let floor = (2.0 * LEAST_HEADROOM).max(self.least);
        self.stuck = if gradient == 0.5 && self.limit <= floor * 1.25 { self.stuck + 1 } else { 0 };
        elsewhere || self.stuck >= STUCK
    }

    /// Begins a probe, unless the last one was just now.
    fn probe_after(&mut self, now: Instant, least: Duration, cost: u32) {
        let due = self.probed.is_none_or(|(at, took)| {
            now.saturating_duration_since(at) >= least.max(took.saturating_mul(cost))
        });
        if due {
            self.probe = Some(Probe { since: now, back_to: self.limit });
            self.stuck = 0;
        }
    }
}

#[cfg(test)]
mod tests;
