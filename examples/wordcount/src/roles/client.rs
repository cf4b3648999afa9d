//! The client: sends the text of files to the workers and merges their counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rpcnet::CallError;
use rpcnet_cluster::ClusterChannel;
use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use super::{RoleError, certificates::Pem, init_log, print, say};
use crate::{
    Chunk, ClientLine, ClientSettings, Corpus, CorpusError, Counts, Done, Histogram, Progress,
    SharedSettings, Tally, WordFrequency, merge, multiply,
    service::{CountError, Counted, WordCountClient},
    top, unix_micros,
};

/// The number of chunks that wait to be sent.
const READ_AHEAD: usize = 4;
/// The interval at which progress is reported.
const TICK: Duration = Duration::from_millis(100);

/// Counts the words of the given files on the workers and prints the most frequent ones.
///
/// # Errors
///
/// [`RoleError::Usage`] if a file or a director is not there, [`RoleError::Failed`] if calls failed.
pub async fn run_client(settings: ClientSettings) -> Result<(), RoleError> {
    init_log(&settings.shared.log);
    let inputs = settings.inputs.clone();
    let corpus =
        tokio::task::spawn_blocking(move || Corpus::gather(&inputs)).await.context("reading failed")??;
    let corpus = Arc::new(corpus);
    if !settings.json_lines {
        for skipped in corpus.skipped().iter().filter(|skipped| skipped.reason.is_binary()) {
            say(format_args!("skipped {skipped}"));
        }
    }
    let channel = connect(&settings.directors, &settings.shared).await?;
    let mut run = Run::new(channel.clone(), &settings);
    if settings.json_lines {
        // At a terminal, a user who presses ctrl-c wants no result. The demo wants one.
        let told = run.told.clone();
        tokio::spawn(async move {
            rpcnet::shutdown_signal().await;
            told.store(true, Ordering::Relaxed);
        });
    }
    let counted = async {
        run.all(&corpus).await?;
        run.finish(corpus).await
    };
    let words = counted.await;
    channel.close().await;
    let words = words?;
    if !settings.json_lines {
        for WordFrequency { word, count } in words {
            print(format_args!("{count:>12}  {word}"));
        }
    }
    Ok(())
}

/// Connects to the workers that these directors know.
///
/// # Errors
///
/// [`RoleError::Usage`] if there are no certificates or no director answers.
pub async fn connect(directors: &[String], shared: &SharedSettings) -> Result<ClusterChannel, RoleError> {
    let pem = Pem::load(&shared.certificates, "client")?;
    ClusterChannel::builder()
        .with_directors(directors)
        .with_ca_cert(pem.ca)
        .and_then(|builder| builder.with_cert_and_key(pem.cert, pem.key))
        .context("the certificates can't be used")
        .map_err(RoleError::Usage)?
        .connect()
        .await
        .context("no connection to the cluster")
        .map_err(RoleError::Usage)
}

/// The outcome of a chunk's call.
struct Outcome {
    bytes: usize,
    took: Duration,
    result: Result<Counted, CallError<CountError>>,
}

/// A count under way.
struct Run<'a> {
    settings: &'a ClientSettings,
    channel: ClusterChannel,
    client: WordCountClient<ClusterChannel>,
    started: Instant,
    counts: Counts,
    tally: Tally,
    latency: Histogram,
    /// The latencies since progress was last reported.
    recent: Histogram,
    /// Set when the client is told to end after this pass.
    told: Arc<AtomicBool>,
    failure: Option<CallError<CountError>>,
}

impl<'a> Run<'a> {
    fn new(channel: ClusterChannel, settings: &'a ClientSettings) -> Self {
        Self {
            settings,
            client: WordCountClient::new(channel.clone()),
            channel,
            started: now(),
            counts: Counts::default(),
            tally: Tally::default(),
            latency: Histogram::new(),
            recent: Histogram::new(),
            told: Arc::default(),
            failure: None,
        }
    }

    /// Counts the corpus, and repeats it if that was asked for.
    async fn all(&mut self, corpus: &Arc<Corpus>) -> Result<(), RoleError> {
        loop {
            self.pass(corpus).await?;
            self.tally.passes += 1;
            let failed = self.failure.is_some() && !self.settings.json_lines;
            let told = self.told.load(Ordering::Relaxed);
            if failed || told || self.started.elapsed() >= self.settings.repeat_for {
                return Ok(());
            }
        }
    }

    /// Counts the corpus once. The allowed number of chunks is under way, and only a few more are in memory.
    async fn pass(&mut self, corpus: &Arc<Corpus>) -> Result<(), RoleError> {
        let mut chunks = read(corpus.clone(), self.settings.chunk_bytes);
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = true;
        while reading || !calls.is_empty() {
            tokio::select! {
                Some(outcome) = calls.join_next() => self.take(outcome.context("a call's task failed")?),
                chunk = chunks.recv(), if reading && calls.len() < self.settings.in_flight => match chunk {
                    Some(chunk) => self.send(&mut calls, chunk?),
                    None => reading = false,
                },
                _ = tick.tick() => self.progress()?,
            }
        }
        Ok(())
    }

    fn send(&self, calls: &mut JoinSet<Outcome>, chunk: Chunk) {
        let client = self.client.clone();
        calls.spawn(async move {
            let bytes = chunk.text.len();
            let sent = now();
            let result = client.count(chunk.text).await;
            Outcome { bytes, took: sent.elapsed(), result }
        });
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome.result {
            Ok(counted) => {
                self.tally.chunks += 1;
                self.tally.calls_ok += 1;
                self.tally.bytes += outcome.bytes as u64;
                *self.tally.calls_by_worker.entry(counted.worker).or_default() += 1;
                let micros = outcome.took.as_micros() as u64;
                self.latency.record(micros);
                self.recent.record(micros);
                merge(&mut self.counts, counted.counts);
            }
            Err(error) => {
                self.tally.calls_failed += 1;
                if self.failure.is_none() {
                    say(format_args!("a call failed: {error}"));
                }
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Takes in the channel's figures about the workers. Workers that are gone keep their last figures.
    fn observe(&mut self) {
        self.tally.retries = self.channel.retries();
        for endpoint in self.channel.endpoints() {
            let Some(label) = endpoint.tags.get("label") else { continue };
            if let Some(first) = endpoint.first_pick {
                self.tally.first_call_unix_us.entry(label.clone()).or_insert(unix_micros(first));
            }
            if let Some(last) = endpoint.last_pick {
                let known = self.tally.last_pick_unix_us.entry(label.clone()).or_default();
                *known = unix_micros(last).max(*known);
            }
        }
    }

    fn progress(&mut self) -> Result<(), RoleError> {
        self.observe();
        if self.settings.json_lines {
            let line = ClientLine::Progress(Progress {
                elapsed_ms: self.started.elapsed().as_millis() as u64,
                tally: self.tally.clone(),
                p50_us: self.latency.quantile(0.5),
                p99_us: self.latency.quantile(0.99),
                recent: std::mem::take(&mut self.recent),
            });
            print(line.to_json().context("progress can't be written")?);
        }
        Ok(())
    }

    /// Checks the counts if that was asked for, and returns the most frequent words.
    async fn finish(mut self, corpus: Arc<Corpus>) -> Result<Vec<WordFrequency>, RoleError> {
        let elapsed = self.started.elapsed();
        self.observe();
        let words: Vec<_> = top(&self.counts, self.settings.top)
            .into_iter()
            .map(|(word, count)| WordFrequency { word: word.to_owned(), count })
            .collect();
        if self.settings.json_lines {
            let passes = self.tally.passes;
            let alone =
                tokio::task::spawn_blocking(move || corpus.count()).await.context("counting failed")??;
            let done = Done {
                elapsed_ms: elapsed.as_millis() as u64,
                words: self.counts.values().sum(),
                distinct_words: self.counts.len() as u64,
                top: words.clone(),
                counts_equal: multiply(alone, passes) == self.counts,
                tally: self.tally,
                latency: self.latency,
            };
            print(ClientLine::Done(done).to_json().context("the result can't be written")?);
            return Ok(words);
        }
        match self.failure {
            None => Ok(words),
            Some(error) => Err(RoleError::Failed(
                anyhow::Error::new(error)
                    .context(format!("{} calls failed, the first", self.tally.calls_failed)),
            )),
        }
    }
}

/// Reads the corpus in a thread of its own. The thread waits while no chunk is taken.
fn read(corpus: Arc<Corpus>, target: usize) -> mpsc::Receiver<Result<Chunk, CorpusError>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    tokio::task::spawn_blocking(move || {
        for chunk in corpus.chunks(target) {
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    receiver
}

#[expect(clippy::disallowed_methods, reason = "the client measures real time, here and nowhere else")]
fn now() -> Instant {
    Instant::now()
}
