//! `/healthz`, `/readyz` and `/metrics` over plain HTTP, for probes and Prometheus.
//!
//! It has no authentication: bind it to an address that only probes and Prometheus can reach.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = rpcnet::testing::Network::new();
//! # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
//! # let server = rpcnet::Server::new(config)?;
//! # let address = server.local_addr();
//! let admin = rpcnet::admin::serve(&server, "127.0.0.1:0".parse()?).await?;
//! println!("http://{admin}/metrics");
//! # let answer = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(admin)?;
//! #     stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer)?;
//! #     Ok(answer)
//! # });
//! # let answer = answer.await??;
//! # assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
//! # Ok(())
//! # }
//! ```

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{Server, server::WeakServer};

/// Serves the three paths until the server is shut down or dropped. Returns the address that was bound.
///
/// # Errors
///
/// An I/O error if the address cannot be bound.
pub async fn serve(server: &Server, addr: SocketAddr) -> io::Result<SocketAddr> {
    let bound = server.on_runtime(TcpListener::bind(addr)).await;
    let bound = bound.ok_or_else(|| io::Error::other("the server's tokio runtime is shut down"))?;
    let listener = bound.map_err(|error| {
        let message = format!(
            "can't bind {addr} (TCP) for the admin endpoint: {error}; take another port, or stop the process that \
             listens there"
        );
        io::Error::new(error.kind(), message)
    })?;
    let bound = listener.local_addr()?;
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(server.downgrade());
    let closed = server.closed();
    server.spawn_owned(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(closed).await;
        if let Err(error) = served {
            tracing::warn!(%error, "admin endpoint ended");
        }
    });
    Ok(bound)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(server): State<WeakServer>) -> (StatusCode, String) {
    let Some(server) = server.upgrade() else { return gone() };
    let readiness = server.readiness();
    if readiness.ready && readiness.reasons.is_empty() {
        (StatusCode::OK, "ready\n".into())
    } else if readiness.ready {
        (StatusCode::OK, format!("ready; note: {}\n", readiness.reasons.join("; ")))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", readiness.reasons.join("; ")))
    }
}

async fn metrics(State(server): State<WeakServer>) -> Response {
    match server.upgrade() {
        Some(server) => {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], server.metrics().render()).into_response()
        }
        None => gone().into_response(),
    }
}

/// The answer to a request on a connection that has outlived the server.
fn gone() -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, "the server has been dropped\n".into())
}
