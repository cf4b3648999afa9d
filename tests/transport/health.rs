//! A node's health and metrics: over the wire, and over HTTP for probes and Prometheus.

use std::{net::SocketAddr, time::Duration};

use rpcnet::{CallError, Code, Context, HealthClient, Server, Status, admin, rpc_impl, rpc_trait};
use rpcnet_tests::{Event, Net, ProbeClient, over_both, run, within};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

over_both!(health_over_the_wire, a_handler_at_work_is_counted);

async fn health_over_the_wire(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let client = HealthClient::new(net.connect(&server).await);
    let health = client.health().await.expect("answered");
    assert_eq!(health.services, ["rpcnet.Health", "test.v1.Probe"]);
    assert_eq!(health.in_flight, 1, "this call itself");
    assert!(health.uptime_ms < 60_000);
    let readiness = client.ready().await.expect("answered");
    assert!(readiness.ready);
    assert!(readiness.reasons.is_empty());
}

async fn a_handler_at_work_is_counted(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let channel = net.connect(&server).await;
    let held = tokio::spawn(ProbeClient::new(channel.clone()).hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    let health = HealthClient::new(channel).health().await.expect("answered");
    assert_eq!(health.in_flight, 2);
    assert_eq!(server.health().in_flight, 1);
    probed.open_gate();
    held.await.expect("no panic").expect("answered");
    assert_eq!(server.health().in_flight, 0);
}

#[rpc_trait(name = "test.v1.Outcomes")]
trait Outcomes {
    async fn well(&self) -> Result<(), OutcomeError>;
    async fn badly(&self) -> Result<(), OutcomeError>;
    async fn status(&self) -> rpcnet::Result<()>;
    async fn panics(&self) -> rpcnet::Result<()>;
    async fn never(&self, cx: &Context) -> rpcnet::Result<()>;
}

#[derive(Debug, Serialize, Deserialize)]
struct OutcomeError;

struct Service;

#[rpc_impl]
impl Outcomes for Service {
    async fn well(&self) -> Result<(), OutcomeError> {
        Ok(())
    }

    async fn badly(&self) -> Result<(), OutcomeError> {
        Err(OutcomeError)
    }

    async fn status(&self) -> rpcnet::Result<()> {
        Err(Status::not_found("it is not here"))
    }

    async fn panics(&self) -> rpcnet::Result<()> {
        panic!("on purpose")
    }

    async fn never(&self, _: &Context) -> rpcnet::Result<()> {
        std::future::pending().await
    }
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

/// One HTTP/1.1 request by hand.
async fn get(addr: SocketAddr, path: &str) -> Response {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

async fn admin(server: &Server) -> SocketAddr {
    admin::serve(server, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port")
}

/// The value of the series of this name and labels.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line =
        metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn liveness_and_readiness_over_http() {
    let net = Net::quic();
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let addr = admin(&server).await;
    let healthz = get(addr, "/healthz").await;
    assert_eq!((healthz.status, healthz.body.as_str()), (200, "ok\n"));
    let readyz = get(addr, "/readyz").await;
    assert_eq!((readyz.status, readyz.body.as_str()), (503, "not ready: the server does not run yet\n"));
    run(&server);
    net.connect(&server).await;
    let readyz = get(addr, "/readyz").await;
    assert_eq!((readyz.status, readyz.body.as_str()), (200, "ready\n"));
    server.stop_accepting().await;
    let readyz = get(addr, "/readyz").await;
    assert_eq!((readyz.status, readyz.body.as_str()), (503, "not ready: the server is draining\n"));
    assert_eq!(get(addr, "/healthz").await.status, 200, "it lives, though it takes nothing");
    assert_eq!(get(addr, "/nothing").await.status, 404);
    within(server.shutdown()).await.expect("no reason to fail");
    within(async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let net = Net::quic();
    let server = net.start();
    server.register(OutcomesServer::new(Service)).expect("the first");
    let addr = admin(&server).await;
    let channel = net.connect(&server).await;
    let client = OutcomesClient::new(channel.clone());
    for _ in 0..5 {
        client.well().await.expect("answered");
    }
    for _ in 0..3 {
        assert!(matches!(client.badly().await, Err(CallError::Application(OutcomeError))));
    }
    for _ in 0..2 {
        assert_eq!(client.status().await.expect_err("it fails").code(), Code::NotFound);
    }
    assert_eq!(client.panics().await.expect_err("it panics").code(), Code::Internal);
    let late = client.never().timeout(Duration::from_secs(1)).await.expect_err("it never ends");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let unknown = ProbeClient::new(channel).once(1).await.expect_err("nobody serves it");
    assert_eq!(unknown.code(), Code::Unimplemented);
    within(server.wait_for_in_flight()).await;

    let metrics = get(addr, "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain"), "{}", metrics.head);
    let metrics = metrics.body;
    for (method, calls) in [("well", 5.0), ("badly", 3.0), ("status", 2.0), ("panics", 1.0), ("never", 1.0)] {
        let label = format!("{{method=\"test.v1.Outcomes/{method}\"}}");
        assert_eq!(
            value(&metrics, &format!("rpc_requests_total{label}")),
            Some(calls),
            "{method}\n{metrics}"
        );
        let latencies = value(&metrics, &format!("rpc_latency_seconds_count{label}"));
        assert_eq!(latencies, Some(calls), "{method}\n{metrics}");
    }
    let label = "{method=\"test.v1.Outcomes/never\"}";
    let waited = value(&metrics, &format!("rpc_latency_seconds_sum{label}")).expect("it was called");
    assert!((0.5..20.0).contains(&waited), "{waited}");
    for (kind, errors) in
        [("application", 3.0), ("not_found", 2.0), ("internal", 1.0), ("unimplemented", 1.0)]
    {
        let series = format!("rpc_errors_total{{type=\"{kind}\"}}");
        assert_eq!(value(&metrics, &series), Some(errors), "{kind}\n{metrics}");
    }
    // The caller gives up in the moment in which the server does: either may be seen first.
    let late = ["deadline_exceeded", "cancelled"]
        .map(|kind| value(&metrics, &format!("rpc_errors_total{{type=\"{kind}\"}}")).unwrap_or_default());
    assert!((late.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{late:?}\n{metrics}");
}

#[tokio::test]
async fn the_admin_endpoint_does_not_keep_a_dropped_server() {
    let net = Net::quic();
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let addr = admin(&server).await;
    let closed = server.closed();
    drop(server);
    within(closed).await;
    within(async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
