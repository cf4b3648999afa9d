//! Logging: structured logging.

use std::sync::{Arc, Mutex};

use rpcnet::{Caller, rpc_impl};
use rpcnet_cluster::NodeId;
use tracing::{Instrument as _, error, info, info_span};
use tracing_subscriber::fmt::MakeWriter;

use super::place::{Compute, ComputeClient, ComputeServer, Result, connect, server_config, start};

/// The guide calls `worker.call("compute", data)`: calls are typed, so the worker is a generated client. Ids of nodes
/// are `NodeId`s, in the form of UUIDs. The span that the guide's `#[instrument(skip(data))]` makes is made by hand
/// here.
async fn process_request<C: Caller>(
    worker: &ComputeClient<C>,
    request_id: u128,
    worker_id: NodeId,
    data: Vec<u8>,
) -> Result<Vec<u8>> {
    let span = info_span!("process_request", %request_id, %worker_id);
    async {
        info!(%request_id, %worker_id, data_size = data.len(), "calling a worker");

        let answer = worker.compute(data).await;
        match &answer {
            Ok(response) => info!(%request_id, %worker_id, response_size = response.len(), "answered"),
            Err(error) => error!(%request_id, %worker_id, %error, "not answered"),
        }
        Ok(answer?)
    }
    .instrument(span)
    .await
}

struct Refuses;

#[rpc_impl]
impl Compute for Refuses {
    async fn compute(&self, _: Vec<u8>) -> rpcnet::Result<Vec<u8>> {
        Err(rpcnet::Status::invalid_argument("no such data"))
    }

    async fn wait(&self, _: u64) -> rpcnet::Result<()> {
        Ok(())
    }

    async fn fail(&self) -> rpcnet::Result<()> {
        Ok(())
    }
}

/// The log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn structured_logging() -> Result<()> {
    let (_server, address) = start(server_config("server")?.build()?)?;
    let refusing = rpcnet::Server::new(server_config("server")?.build()?)?;
    refusing.register(ComputeServer::new(Refuses))?;
    rpcnet_tests::run(&refusing);
    let well = ComputeClient::new(connect(&address).await?);
    let ill = ComputeClient::new(connect(&refusing.local_addr().to_string()).await?);
    let worker_id = NodeId::from_u128(7);

    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    assert_eq!(process_request(&well, 1, worker_id, vec![1, 2]).await?, [2, 1]);
    process_request(&ill, 2, worker_id, vec![1]).await.expect_err("it refuses");
    drop(guard);

    let text = String::from_utf8(log.0.lock().expect("no panic").clone())?;
    let has = |level: &str, parts: &[&str]| {
        text.lines().any(|line| line.contains(level) && parts.iter().all(|part| line.contains(part)))
    };
    let id = worker_id.to_string();
    assert!(has("INFO", &["calling a worker", "request_id=1", &id, "data_size=2"]), "{text}");
    assert!(has("INFO", &["answered", "request_id=1", "response_size=2"]), "{text}");
    assert!(has("ERROR", &["not answered", "request_id=2", "invalid_argument: no such data"]), "{text}");
    Ok(())
}
