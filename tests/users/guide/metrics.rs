//! Monitoring: metrics, Prometheus, the queries of dashboards and alerts.

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use rpcnet_cluster::{ClusterConfig, ClusterExt, WorkerRegistry};
use rpcnet_tests::{until, within};

use super::{
    place::{ComputeClient, Result, connect, server_config, start},
    stand_ins::warp,
};

/// Essential metrics. The guide makes `rpc_requests_total`, `rpc_latency_seconds` and `rpc_errors_total` itself: a server
/// counts them already, so in its registry these names are taken. (Its counter with a label is `register_counter_vec!`.)
#[tokio::test]
async fn essential_metrics() -> Result<()> {
    let (server, address) = start(server_config("server")?.build()?)?;
    let cluster = server.enable_cluster(ClusterConfig::default().with_tag("role", "worker")).await?;
    let compute = ComputeClient::new(connect(&address).await?);
    compute.compute(vec![1]).await?;
    compute.fail().await.expect_err("it always fails");

    let registry = server.metrics().registry();
    let taken = [
        Box::new(IntCounter::new("rpc_requests_total", "What the guide counts.")?)
            as Box<dyn prometheus::core::Collector>,
        Box::new(Histogram::with_opts(
            HistogramOpts::new("rpc_latency_seconds", "What the guide measures.")
                .buckets(vec![0.001, 0.1, 1.0]),
        )?),
        Box::new(IntCounterVec::new(Opts::new("rpc_errors_total", "What the guide counts."), &["type"])?),
    ];
    for metric in taken {
        // The same name, with labels or a text that differ from those of the server's, can't be there twice either.
        assert!(registry.register(metric).is_err());
    }
    let again =
        IntCounterVec::new(Opts::new("rpc_requests_total", "Calls whose handler was started."), &["method"])?;
    let error = registry.register(Box::new(again)).expect_err("the server counts it");
    assert!(matches!(error, prometheus::Error::AlreadyReg), "{error}");

    // One's own, under a name of its own, is told beside them.
    let healthy_workers =
        Gauge::new("guide_healthy_workers", "Workers that are alive, as of the last look.")?;
    registry.register(Box::new(healthy_workers.clone()))?;
    let workers = WorkerRegistry::new(&cluster);
    within(workers.wait_for_healthy(1)).await;
    healthy_workers.set(workers.healthy_count().await as f64);

    let lines = [
        "rpc_requests_total{method=\"guide.v1.Compute/compute\"} 1",
        "rpc_errors_total{type=\"deadline_exceeded\"} 1",
        "guide_healthy_workers 1",
        "cluster_healthy_workers 1",
    ];
    // The end of a handler is counted after its answer has left.
    until(|| {
        let text = told(registry).expect("it can be encoded");
        lines.iter().all(|line| text.lines().any(|told| told == *line))
    })
    .await;
    Ok(())
}

/// Prometheus integration. The guide gathers from the default registry, where none of the server's metrics are; it is the
/// server's own registry that has them.
async fn start_metrics_server(registry: Registry) -> Result<std::net::SocketAddr> {
    let metrics_route = warp::path("metrics").map(move || {
        let encoder = TextEncoder::new();
        let metric_families = registry.gather();
        let mut buffer = vec![];
        encoder.encode(&metric_families, &mut buffer).expect("a vector takes all");

        warp::reply::with_header(buffer, "Content-Type", "text/plain; charset=utf-8")
    });

    Ok(warp::serve(metrics_route).run(([127, 0, 0, 1], 0)).await?)
}

#[tokio::test]
async fn prometheus_integration() -> Result<()> {
    let (server, address) = start(server_config("server")?.build()?)?;
    let compute = ComputeClient::new(connect(&address).await?);
    compute.compute(vec![1]).await?;
    until(|| server.metrics().render().contains("rpc_requests_total{")).await;

    let default = told(prometheus::default_registry())?;
    assert!(!default.contains("rpc_requests_total"), "{default}");

    let bound = start_metrics_server(server.metrics().registry().clone()).await?;
    let page = warp::get(bound, "/metrics").await?;
    assert!(page.contains("text/plain; charset=utf-8"), "{page}");
    assert!(page.contains("rpc_requests_total{method=\"guide.v1.Compute/compute\"} 1"), "{page}");
    assert!(warp::get(bound, "/other").await?.starts_with("HTTP/1.1 404"));

    // The framework serves the same, with the feature `admin`.
    let bound = rpcnet::admin::serve(&server, ([127, 0, 0, 1], 0).into()).await?;
    assert!(warp::get(bound, "/metrics").await?.contains("rpc_requests_total{"));
    Ok(())
}

/// Dashboards, alerts and autoscaling: the names in their queries exist. What the guide calls `rpc_requests_per_second` is a
/// rule that records `sum(rate(rpc_requests_total[1m]))`: a server tells counters, not rates.
#[tokio::test]
async fn queries_have_something_to_ask() -> Result<()> {
    let (server, address) = start(server_config("server")?.build()?)?;
    server.enable_cluster(ClusterConfig::default()).await?;
    let compute = ComputeClient::new(connect(&address).await?);
    compute.compute(vec![1]).await?;
    compute.fail().await.expect_err("it always fails");
    let has_all = |text: &str| {
        [
            "rpc_requests_total{",
            "rpc_latency_seconds_bucket{",
            "rpc_errors_total{",
            "cluster_healthy_workers ",
        ]
        .iter()
        .all(|name| text.lines().any(|line| line.starts_with(name)))
    };
    until(|| has_all(&server.metrics().render())).await;
    Ok(())
}

fn told(registry: &Registry) -> Result<String> {
    let mut buffer = vec![];
    TextEncoder::new().encode(&registry.gather(), &mut buffer)?;
    Ok(String::from_utf8(buffer)?)
}
