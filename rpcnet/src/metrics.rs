//! Prometheus metrics of a node's calls, in a registry of their own.

mod blocking;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    core::Collector,
};
use tokio::time::Instant;

pub(crate) use self::blocking::BLOCKS;
use crate::{Code, Method, limit::ShedReason, lock::Mutex};

/// Upper bounds of the latency histogram in seconds: 50 µs to 30 s.
const BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// A method is not run in place while its [`PerMethod::long`] is above this. One handler that kept its thread for long
/// brings it here: its thread may have been taken off its processor meanwhile.
const SUSPECT: u32 = 64;
/// What another one among the next calls makes of it.
const CAREFUL: u32 = SUSPECT + 256;

/// The metrics of a node. Cheap to clone.
///
/// | name | labels | what |
/// |---|---|---|
/// | `rpc_requests_total` | `method` | calls whose handler was started |
/// | `rpc_latency_seconds` | `method` | time from a request's arrival to the end of its handler |
/// | `rpc_panics_total` | `method` | handlers that panicked |
/// | `rpc_errors_total` | `type` | calls that ended in an error, by its code; `application` for the method's own, `cancelled` for those that their caller gave up, or that were lost with their connection |
/// | `rpc_abandoned_total` | | calls that ran when their client closed its connection in good order; no errors |
/// | `rpc_internal_requests_total` | `method` | calls of rpcnet's own services (`rpcnet.Health`, `rpcnet.Directory`, …); in none of the above but panics |
/// | `rpc_internal_in_flight` | | those of them that are at work: mostly streams that watch |
/// | `rpc_connections` | | connections that peers have opened here and that stand, of all protocols |
/// | `rpc_connections_refused_total` | `reason` | connections closed because there are too many: `total`, `peer` |
/// | `rpc_connections_evicted_total` | `reason` | idle connections that went for new ones: `total`, `peer` |
/// | `rpc_handshakes_failed_total` | `reason` | peers that did not get in: `certificate`, `timed_out`, `other` |
/// | `rpc_handshakes_retried_total` | | peers that were asked to prove their address first |
/// | `rpc_admission_limit` | | calls that may run at once; 0 for any number |
/// | `rpc_admission_queued` | | calls that wait for their turn |
/// | `rpc_shed_total` | `reason` | calls refused without being started: `full`, `late` |
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    errors: IntCounterVec,
    abandoned: IntCounter,
    internal_requests: IntCounterVec,
    internal_in_flight: IntGauge,
    panics: IntCounterVec,
    connections: IntGauge,
    connections_refused: IntCounterVec,
    connections_evicted: IntCounterVec,
    handshakes_failed: IntCounterVec,
    handshakes_retried: IntCounter,
    admission_limit: IntGauge,
    admission_queued: IntGauge,
    shed: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("rpc_requests_total", "Calls whose handler was started."),
            &["method"],
        );
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "rpc_latency_seconds",
                "Time from a request's arrival to the end of its handler.",
            )
            .buckets(BUCKETS.to_vec()),
            &["method"],
        );
        let errors = IntCounterVec::new(
            Opts::new("rpc_errors_total", "Calls that ended in an error, by its code."),
            &["type"],
        );
        let panics =
            IntCounterVec::new(Opts::new("rpc_panics_total", "Handlers that panicked."), &["method"]);
        Self {
            inner: Arc::new(Inner {
                panics: registered(&registry, panics),
                requests: registered(&registry, requests),
                latency: registered(&registry, latency),
                errors: registered(&registry, errors),
                abandoned: registered(
                    &registry,
                    IntCounter::new(
                        "rpc_abandoned_total",
                        "Calls that ran when their client closed its connection in good order.",
                    ),
                ),
                internal_requests: registered(
                    &registry,
                    IntCounterVec::new(
                        Opts::new("rpc_internal_requests_total", "Calls of rpcnet's own services."),
                        &["method"],
                    ),
                ),
                internal_in_flight: gauge(
                    &registry,
                    "rpc_internal_in_flight",
                    "Calls of rpcnet's own services that are at work: mostly streams that watch.",
                ),
                connections: gauge(&registry, "rpc_connections", "Connections that peers have opened here."),
                connections_refused: by_reason(
                    &registry,
                    "rpc_connections_refused_total",
                    "Connections closed because there are too many.",
                ),
                connections_evicted: by_reason(
                    &registry,
                    "rpc_connections_evicted_total",
                    "Idle connections that went for new ones.",
                ),
                handshakes_failed: by_reason(
                    &registry,
                    "rpc_handshakes_failed_total",
                    "Peers that did not get in.",
                ),
                handshakes_retried: registered(
                    &registry,
                    IntCounter::new(
                        "rpc_handshakes_retried_total",
                        "Peers that were asked to prove their address first.",
                    ),
                ),
                admission_limit: gauge(
                    &registry,
                    "rpc_admission_limit",
                    "Calls that may run at once; 0 for any number.",
                ),
                admission_queued: gauge(&registry, "rpc_admission_queued", "Calls that wait for their turn."),
                shed: by_reason(&registry, "rpc_shed_total", "Calls refused without being started."),
                registry,
            }),
        }
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels above are valid");
    registry.register(Box::new(metric.clone())).expect("names above are distinct");
    metric
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn by_reason(registry: &Registry, name: &str, help: &str) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), &["reason"]))
}

impl Metrics {
    /// The registry, to which others may add their own.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.inner.registry.gather()).unwrap_or_default()
    }

    pub(crate) fn method(&self, method: &Method) -> MethodMetrics {
        let label = method.to_string();
        let latency = self.inner.latency.with_label_values(&[&label]);
        self.of(&label, &self.inner.requests, Some(latency))
    }

    /// Of a service of this crate's family. Its calls say nothing of what users wait for: they stand apart.
    pub(crate) fn internal(&self, method: &Method) -> MethodMetrics {
        self.of(&method.to_string(), &self.inner.internal_requests, None)
    }

    fn of(&self, label: &str, requests: &IntCounterVec, latency: Option<Histogram>) -> MethodMetrics {
        MethodMetrics(Arc::new(PerMethod {
            metrics: self.clone(),
            requests: requests.with_label_values(&[label]),
            latency,
            panics: self.inner.panics.with_label_values(&[label]),
            long: AtomicU32::new(0),
            blocking: Mutex::default(),
        }))
    }

    pub(crate) fn error(&self, code: Code) {
        self.inner.errors.with_label_values(&[code.as_str()]).inc();
    }

    /// Counts a connection that a peer has opened, until what is returned is dropped.
    pub(crate) fn connection(&self) -> ConnectionGauge {
        self.inner.connections.inc();
        ConnectionGauge(self.inner.connections.clone())
    }

    pub(crate) fn connection_refused(&self, reason: &str) {
        self.inner.connections_refused.with_label_values(&[reason]).inc();
    }

    pub(crate) fn connection_evicted(&self, reason: &str) {
        self.inner.connections_evicted.with_label_values(&[reason]).inc();
    }

    pub(crate) fn handshake_failed(&self, reason: &str) {
        self.inner.handshakes_failed.with_label_values(&[reason]).inc();
    }

    pub(crate) fn handshake_retried(&self) {
        self.inner.handshakes_retried.inc();
    }

    pub(crate) fn admission(&self, limit: usize, queued: usize) {
        self.inner.admission_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.inner.admission_queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
    }

    pub(crate) fn shed(&self, reason: ShedReason) {
        self.inner.shed.with_label_values(&[reason.as_str()]).inc();
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct ConnectionGauge(IntGauge);

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The metrics of one method. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MethodMetrics(Arc<PerMethod>);

#[derive(Debug)]
struct PerMethod {
    metrics: Metrics,
    requests: IntCounter,
    /// `None` for a method of our own.
    latency: Option<Histogram>,
    panics: IntCounter,
    /// For so many calls more, less [`SUSPECT`], its handlers are not run in place.
    long: AtomicU32,
    blocking: Mutex<blocking::BlockingWarnings>,
}

impl MethodMetrics {
    /// Its handler blocked its thread. How often that has happened since the last warning, where there is to be another.
    pub(crate) fn blocked(&self, now: Instant) -> Option<u64> {
        self.0.blocking.lock().blocked(now)
    }

    /// Its handler kept its thread for long.
    pub(crate) fn took_long(&self) {
        let before = self.0.long.load(Ordering::Relaxed);
        self.0.long.store(if before == 0 { SUSPECT } else { CAREFUL }, Ordering::Relaxed);
    }

    /// Whether its handlers did so lately.
    pub(crate) fn takes_long(&self) -> bool {
        let long = self.0.long.load(Ordering::Relaxed);
        if long > 0 {
            // Counts may be lost among threads: it is about so many.
            self.0.long.store(long - 1, Ordering::Relaxed);
        }
        long > SUSPECT
    }

    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    /// A handler is started.
    pub(crate) fn started(&self) {
        let PerMethod { metrics, requests, latency, .. } = &*self.0;
        requests.inc();
        if latency.is_none() {
            metrics.inner.internal_in_flight.inc();
        }
    }

    /// A handler that was [started](Self::started) has ended, this long after its request came.
    pub(crate) fn ended(&self, after: Duration, ended: CallEnd) {
        let PerMethod { metrics, latency, .. } = &*self.0;
        let Some(latency) = latency else { return metrics.inner.internal_in_flight.dec() };
        latency.observe(after.as_secs_f64());
        match ended {
            CallEnd::Well => {}
            CallEnd::Abandoned => metrics.inner.abandoned.inc(),
            CallEnd::Error(Code::Unknown) => metrics.inner.errors.with_label_values(&["application"]).inc(),
            CallEnd::Error(code) => metrics.error(code),
        }
    }
}

/// The end of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Well,
    /// Its client has closed the connection in good order.
    Abandoned,
    Error(Code),
}
