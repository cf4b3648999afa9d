//! The Prometheus metrics of a node, in a registry of their own.

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

/// The upper bounds of the latency histogram's buckets, in seconds: 50 µs to 30 s.
const BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// The value of [`PerMethod::long`] above which a method's handlers are not run in place. One handler that
/// held its thread for long only brings the value here: the thread may just have been descheduled meanwhile.
const SUSPECT: u32 = 64;
/// The value of [`PerMethod::long`] after a second such handler, before the first is forgotten.
const CAREFUL: u32 = SUSPECT + 256;

/// The metrics of a node. Cheap to clone.
///
/// | name | labels | meaning |
/// |---|---|---|
/// | `rpc_requests_total` | `method` | calls whose handler was started |
/// | `rpc_latency_seconds` | `method` | time from a request's arrival to the end of its handler |
/// | `rpc_panics_total` | `method` | handlers that panicked |
/// | `rpc_errors_total` | `type` | calls that ended with an error, by code. `application`: the method's own error. `cancelled`: given up by the caller, or lost with the connection |
/// | `rpc_abandoned_total` | | calls that ran when their client closed its connection gracefully; not counted as errors |
/// | `rpc_internal_requests_total` | `method` | calls of rpcnet's own services (`rpcnet.Health`, `rpcnet.Directory`, …); no metric above counts them, except `rpc_panics_total` |
/// | `rpc_internal_in_flight` | | calls of rpcnet's own services in flight: mostly streams that watch something |
/// | `rpc_connections` | | open connections that peers have opened, of all protocols |
/// | `rpc_connections_refused_total` | `reason` | connections closed because there were too many and none was idle: in total (`total`), or of one peer (`peer`) |
/// | `rpc_connections_evicted_total` | `reason` | idle connections closed to make room for new ones: `total`, `peer` |
/// | `rpc_handshakes_failed_total` | `reason` | handshakes that failed: `certificate`, `timed_out`, `other` |
/// | `rpc_handshakes_retried_total` | | peers that had to prove their address first |
/// | `rpc_admission_limit` | | calls that may run at once; 0 for any number |
/// | `rpc_admission_queued` | | calls that wait for their turn |
/// | `rpc_shed_total` | `reason` | calls refused without being started: `full`, `late` |
///
/// ```
/// use prometheus::IntCounter;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// let orders = IntCounter::new("orders_total", "Orders taken.")?;
/// server.metrics().registry().register(Box::new(orders.clone()))?;
/// orders.inc();
/// // All metrics in Prometheus' text format, rpcnet's own among them.
/// assert!(server.metrics().render().contains("orders_total 1"));
/// # Ok(())
/// # }
/// ```
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
                        "Calls that ran when their client closed its connection gracefully.",
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
                    "Calls of rpcnet's own services in flight: mostly streams that watch something.",
                ),
                connections: gauge(&registry, "rpc_connections", "Connections that peers have opened here."),
                connections_refused: by_reason(
                    &registry,
                    "rpc_connections_refused_total",
                    "Connections closed because there were too many and none was idle.",
                ),
                connections_evicted: by_reason(
                    &registry,
                    "rpc_connections_evicted_total",
                    "Idle connections closed to make room for new ones.",
                ),
                handshakes_failed: by_reason(
                    &registry,
                    "rpc_handshakes_failed_total",
                    "Handshakes that failed.",
                ),
                handshakes_retried: registered(
                    &registry,
                    IntCounter::new(
                        "rpc_handshakes_retried_total",
                        "Peers that had to prove their address first.",
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
    /// The registry. Applications may register metrics of their own.
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

    /// The metrics of a method of rpcnet's own services. They are kept apart, because they say nothing about
    /// users' calls.
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

    /// Counts a connection that a peer has opened, until the returned guard is dropped.
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

/// Counts an open connection until it is dropped.
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
    /// `None` for a method of rpcnet's own services.
    latency: Option<Histogram>,
    panics: IntCounter,
    /// Above [`SUSPECT`], handlers are not run in place. Each call counts it down by one.
    long: AtomicU32,
    blocking: Mutex<blocking::BlockingWarnings>,
}

impl MethodMetrics {
    /// Records that a handler blocked its thread. Returns the number of times since the last warning if
    /// another warning is due.
    pub(crate) fn blocked(&self, now: Instant) -> Option<u64> {
        self.0.blocking.lock().blocked(now)
    }

    /// Records that a handler held its thread for long.
    pub(crate) fn took_long(&self) {
        let before = self.0.long.load(Ordering::Relaxed);
        self.0.long.store(if before == 0 { SUSPECT } else { CAREFUL }, Ordering::Relaxed);
    }

    /// Counts a call. Returns true if handlers of the method held their threads for long recently.
    pub(crate) fn takes_long(&self) -> bool {
        let long = self.0.long.load(Ordering::Relaxed);
        if long > 0 {
            // Threads may overwrite each other's counts: an approximate number is enough.
            self.0.long.store(long - 1, Ordering::Relaxed);
        }
        long > SUSPECT
    }

    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    /// Counts a handler that starts.
    pub(crate) fn started(&self) {
        let PerMethod { metrics, requests, latency, .. } = &*self.0;
        requests.inc();
        if latency.is_none() {
            metrics.inner.internal_in_flight.inc();
        }
    }

    /// Records that a handler that was [started](Self::started) has ended, this long after its request
    /// arrived.
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

/// The way in which a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Well,
    /// Its client closed the connection gracefully.
    Abandoned,
    Error(Code),
}
