//! The client: prints tokens as they come.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Context as _;
use rpcnet_cluster::ClusterChannel;
use rpcnet_wordcount::{
    CallerSettings,
    roles::{RoleError, connect, init_log, say},
};

use crate::InferenceClient;

/// The result of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The number of tokens.
    pub tokens: u64,
    /// The workers that sent them, in order.
    pub workers: Vec<String>,
    /// The longest time between two tokens.
    pub longest_pause: Duration,
}

/// Asks for `tokens` tokens that follow the prompt. Prints them on stdout as they come, and the names of their workers
/// on stderr.
///
/// # Errors
///
/// [`RoleError::Usage`] if no director is there, [`RoleError::Failed`] if the stream fails before its end.
pub async fn run_client(
    settings: CallerSettings,
    prompt: &str,
    seed: u64,
    tokens: u32,
) -> Result<(), RoleError> {
    init_log(&settings.shared.log);
    let channel = connect(&settings.directors, &settings.shared).await?;
    let client = InferenceClient::new(channel.clone());
    let streamed = stream(&client, prompt, seed, tokens, &mut io::stdout()).await;
    channel.close().await;
    let Finished { tokens, workers, longest_pause } = streamed?;
    let workers = workers.join(", then ");
    say(format_args!(
        "{tokens} tokens from {workers}; the longest pause was {} ms",
        longest_pause.as_millis()
    ));
    Ok(())
}

async fn stream(
    client: &InferenceClient<ClusterChannel>,
    prompt: &str,
    seed: u64,
    tokens: u32,
    output: &mut impl Write,
) -> anyhow::Result<Finished> {
    let mut stream =
        client.generate(prompt.to_owned(), seed, tokens).await.context("nothing was generated")?;
    let mut finished = Finished { tokens: 0, workers: Vec::new(), longest_pause: Duration::ZERO };
    let mut since = tokio::time::Instant::now();
    // A reader of stdout that has gone away is no error.
    let _ = write!(output, "{prompt}");
    while let Some(token) = stream.next().await {
        let token = token.with_context(|| format!("it ended behind token {}", finished.tokens))?;
        if finished.tokens > 0 {
            finished.longest_pause = finished.longest_pause.max(since.elapsed());
        }
        since = tokio::time::Instant::now();
        finished.tokens += 1;
        anyhow::ensure!(
            token.number == finished.tokens,
            "token {} came in the place of {}",
            token.number,
            finished.tokens
        );
        if let Some(worker) = stream.metadata().get("x-worker")
            && finished.workers.last().is_none_or(|last| last != worker)
        {
            finished.workers.push(worker.to_owned());
        }
        let _ = write!(output, " {}", token.text).and_then(|()| output.flush());
    }
    let _ = writeln!(output);
    Ok(finished)
}
