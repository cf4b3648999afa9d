//! A concurrency limit that is found by measuring. Sans-io.
//!
//! Two averages of latency are compared. The short one is over a window of calls. The long one is over windows in which
//! the server was not at its limit. While the short one exceeds the long one by no more than a tolerance, calls do not
//! wait for each other, and the limit grows by a headroom (the queue that may form). Otherwise calls queue inside the
//! server, and the limit shrinks in proportion: `limit × long / short + headroom`, smoothed.
//!
//! Source: *Gradient2* of Netflix' concurrency-limits (<https://github.com/Netflix/concurrency-limits>, and
//! "Performance Under Load", Netflix Technology Blog, 2018), with the headroom of √limit that its predecessor and
//! Envoy's adaptive concurrency filter use.
//!
//! Under lasting overload, Gradient2's long average follows the short one, and the limit drifts to its maximum. So here
//! the long average learns from a server at its limit only through *probes*, as Envoy's filter measures its `minRTT`
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter>). In a
//! probe, the limit goes to its lower bound until a few calls that began under it have ended. Their average is the new
//! long average. There is a probe at the start, then every half minute at the limit. There is also one when the limit
//! was cut and calls did not get faster, as then their number is not what makes them slow.

use std::time::{Duration, Instant};

/// The factor on the latency at little load up to which the latency counts as good.
const TOLERANCE: f64 = 1.5;
/// The weight of a new limit in the smoothed one.
const SMOOTHING: f64 = 0.2;
/// The smallest headroom.
const LEAST_HEADROOM: f64 = 4.0;
/// The minimum length of a window.
const WINDOW: Duration = Duration::from_millis(100);
/// The minimum number of calls in a window.
const CALLS: usize = 10;
/// The weight of a faster window in the long average.
const DOWN: f64 = 0.1;
/// The weight of a slower window in the long average.
const UP: f64 = 0.02;
/// The limit after the first probe.
const FIRST: f64 = 20.0;
/// The interval between probes at the limit.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// The interval between these probes is at least this multiple of the last probe's duration, so that they take at most
/// a fiftieth of the time.
const PROBE_COST: u32 = 50;
/// The same multiple for probes because a cut did not help.
const URGENT_COST: u32 = 10;
/// The longest duration of a probe: a time, or a multiple of the long average if that is longer.
const PROBE_LONGEST: (Duration, f64) = (Duration::from_secs(1), 20.0);
/// The number of consecutive slow windows at the lower end after which the number of calls is not the cause.
const STUCK: u32 = 5;
/// A cut of the limit to this share ...
const CUT: f64 = 0.7;
/// ... should reduce the latency below this share. Otherwise the number of calls is not the cause.
const FASTER: f64 = 0.9;

/// A limit on concurrent calls that follows their latency.
#[derive(Debug)]
pub(super) struct Gradient {
    least: f64,
    most: f64,
    limit: f64,
    /// The long average in seconds; zero before the first window.
    long: f64,
    window: LatencyWindow,
    /// The current probe. The first one starts when the first call ends.
    probe: Option<Probe>,
    /// The end and the duration of the last probe.
    probed: Option<(Instant, Duration)>,
    /// The limit and the latency at the last cut.
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

/// A probe: calls run at the lower bound to measure their latency.
#[derive(Debug)]
struct Probe {
    /// Calls that began before this time don't count.
    since: Instant,
    /// The limit after the probe.
    back_to: f64,
}

impl Gradient {
    /// Creates a limit within these bounds, which are at least 1 and in order.
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

    /// Returns the current limit.
    pub(super) fn limit(&self) -> usize {
        match self.probe {
            Some(_) => self.least as usize,
            None => self.limit as usize,
        }
    }

    /// Records a call that has ended. `in_flight` calls were running, including this one.
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

    /// Records the end of a call whose duration says nothing. A probe must be able to end even if all calls are like
    /// this.
    pub(super) fn pass(&mut self, now: Instant) {
        let Some(probe) = &self.probe else {
            if self.probed.is_none() {
                // Starts the first probe. The limit is at the lower bound already, and the time is known only now.
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

    /// Ends the probe. If it measured nothing, the long average stays.
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
        // Nobody knows if a higher limit would have let more calls in. A server that uses half of the limit counts as
        // pressed.
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

    /// Returns true if the number of calls is not what makes them slow, as fewer calls are no faster.
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
        // If latency has doubled and only the headroom is left, nothing more can be cut.
        let floor = (2.0 * LEAST_HEADROOM).max(self.least);
        self.stuck = if gradient == 0.5 && self.limit <= floor * 1.25 { self.stuck + 1 } else { 0 };
        elsewhere || self.stuck >= STUCK
    }

    /// Starts a probe, unless the last one was too recent.
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
