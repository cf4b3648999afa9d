//! The worker: counts words.

use rpcnet::rpc_impl;

use super::{
    RoleError, init_log,
    node::{Node, NodeSettings},
};
use crate::{
    WorkerSettings,
    service::{CountError, Counted, MAX_TEXT_BYTES, WordCount, WordCountServer},
    text::count_words,
};

struct Worker {
    label: String,
}

#[rpc_impl]
impl WordCount for Worker {
    async fn count(&self, text: String) -> Result<Counted, CountError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CountError::TooLong { length: text.len(), max: MAX_TEXT_BYTES });
        }
        // A chunk takes well below a millisecond; a handler that computed for longer would go to `spawn_blocking`.
        Ok(Counted { worker: self.label.clone(), counts: count_words(&text) })
    }
}

/// Runs a worker until SIGTERM or ctrl-c.
///
/// # Errors
///
/// [`RoleError::Usage`] if the worker can't start with these settings.
pub async fn run_worker(settings: WorkerSettings) -> Result<(), RoleError> {
    init_log(&settings.shared.log);
    let label = settings.label.clone().unwrap_or_else(|| format!("worker-{}", settings.bind.port()));
    let worker = Worker { label: label.clone() };
    let node = Node::start(
        &NodeSettings {
            role: "worker",
            label: &label,
            bind: settings.bind,
            seeds: &settings.seeds,
            region: settings.region.as_deref(),
            gossip: settings.gossip,
            metrics: settings.metrics,
            shared: &settings.shared,
        },
        |server| Ok(server.register(WordCountServer::new(worker))?),
    )
    .await?;
    node.run().await
}
