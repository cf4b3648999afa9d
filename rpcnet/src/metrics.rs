//! Prometheus metrics of a node's calls, in a registry of their own.

use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, core::Collector,
};
use tokio::time::Instant;

use crate::{Code, Method};

/// Upper bounds of the latency histogram in seconds: 50 µs to 30 s.
const BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// The metrics of a node. Cheap to clone.
///
/// | name | labels | what |
/// |---|---|---|
/// | `rpc_requests_total` | `method` | calls whose handler was started |
/// | `rpc_latency_seconds` | `method` | time from a request's arrival to the end of its handler |
/// | `rpc_panics_total` | `method` | handlers that panicked |
/// | `rpc_errors_total` | `type` | calls that ended in an error, by its code; `application` for the method's own |
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
    panics: IntCounterVec,
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
        MethodMetrics(Arc::new(PerMethod {
            metrics: self.clone(),
            requests: self.inner.requests.with_label_values(&[&label]),
            latency: self.inner.latency.with_label_values(&[&label]),
            panics: self.inner.panics.with_label_values(&[&label]),
        }))
    }

    pub(crate) fn error(&self, code: Code) {
        self.inner.errors.with_label_values(&[code.as_str()]).inc();
    }
}

/// The metrics of one method. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MethodMetrics(Arc<PerMethod>);

#[derive(Debug)]
struct PerMethod {
    metrics: Metrics,
    requests: IntCounter,
    latency: Histogram,
    panics: IntCounter,
}

impl MethodMetrics {
    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    pub(crate) fn start(&self) -> Timer {
        self.0.requests.inc();
        Timer { metrics: self.clone(), started: Instant::now(), open: true }
    }
}

/// A handler at work; one that is dropped before it is done was cancelled.
#[derive(Debug)]
pub(crate) struct Timer {
    metrics: MethodMetrics,
    started: Instant,
    open: bool,
}

impl Timer {
    /// With the code of the error that it ended in.
    pub(crate) fn done(mut self, error: Option<Code>) {
        self.finish(error);
    }

    fn finish(&mut self, error: Option<Code>) {
        self.open = false;
        let PerMethod { metrics, latency, .. } = &*self.metrics.0;
        latency.observe(self.started.elapsed().as_secs_f64());
        match error {
            None => {}
            Some(Code::Unknown) => metrics.inner.errors.with_label_values(&["application"]).inc(),
            Some(code) => metrics.error(code),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.open {
            self.finish(Some(Code::Cancelled));
        }
    }
}
