//! The worker: generates text.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rpcnet::{Context, Streaming, rpc_impl};
use rpcnet_wordcount::{
    WorkerSettings,
    roles::{Node, NodeSettings, RoleError, init_log},
};

use crate::{DEFAULT_TEXT, Inference, InferenceServer, MOST_TOKENS, Model, PromptError, Token};

/// The number of tokens that are generated before they can be sent.
const AHEAD: usize = 16;

/// Generates text.
#[derive(Debug, Clone)]
pub struct Worker {
    label: String,
    model: Arc<Model>,
    pace: Duration,
}

impl Worker {
    /// A worker with this name and this model, which takes `pace` for each token.
    pub fn new(label: impl Into<String>, model: Arc<Model>, pace: Duration) -> Self {
        Self { label: label.into(), model, pace }
    }
}

#[rpc_impl]
impl Inference for Worker {
    async fn generate(
        &self,
        cx: &Context,
        prompt: String,
        seed: u64,
        tokens: u32,
    ) -> Result<Streaming<Token>, PromptError> {
        if tokens > MOST_TOKENS {
            return Err(PromptError::TooManyTokens { tokens });
        }
        // The worker's name only informs the client; nothing depends on it.
        let _ = cx.add_metadata("x-worker", &self.label);
        let (model, pace, had) = (self.model.clone(), self.pace, cx.resume_after());
        let (sender, stream) = Streaming::channel(AHEAD);
        tokio::spawn(async move {
            let mut generation = model.generate(&prompt, seed);
            for number in 1..=u64::from(tokens) {
                let text = generation.next(&model).to_owned();
                // The tokens that the caller has are generated again, because the following ones depend on them. This
                // takes microseconds.
                if number <= had {
                    continue;
                }
                tokio::time::sleep(pace).await;
                if sender.send(Token { number, text }).await.is_err() {
                    // No reader is left: the caller has gone, or the stream has moved.
                    return;
                }
            }
            sender.finish();
        });
        Ok(stream)
    }
}

/// Runs a worker until SIGTERM or ctrl-c. It is trained on the text of the file `text`, or on [`DEFAULT_TEXT`], and
/// takes `pace` for each token.
///
/// All workers of a cluster must be trained on the same text. The tag `model` identifies the text, so that a client's
/// filter may ask for it.
///
/// # Errors
///
/// [`RoleError::Usage`] if the worker can't start with these settings.
pub async fn run_worker(
    settings: WorkerSettings,
    text: Option<PathBuf>,
    pace: Duration,
) -> Result<(), RoleError> {
    init_log(&settings.shared.log);
    let label = settings.label.clone().unwrap_or_else(|| format!("inference-{}", settings.bind.port()));
    let model = tokio::task::spawn_blocking(move || train(text.as_deref())).await.context("not trained")?;
    let model = Arc::new(model.map_err(RoleError::Usage)?);
    let worker = Worker::new(label.clone(), model.clone(), pace);
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
        |server| Ok(server.register(InferenceServer::new(worker))?),
    )
    .await?;
    node.cluster.set_tag("model", format!("{:016x}", model.fingerprint()));
    node.run().await
}

fn train(text: Option<&Path>) -> anyhow::Result<Model> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("can't read {} as text", path.display()))
    };
    match text {
        None => Model::train(DEFAULT_TEXT),
        Some(path) => Model::train(&read(path)?),
    }
    .context("the text has no words to be trained on")
}
