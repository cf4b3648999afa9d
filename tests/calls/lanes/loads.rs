//! A service for what lanes find hard.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use rpcnet::{Context, Server, rpc_impl, rpc_trait};
use rpcnet_tests::{Net, ProbeClient};
use tokio::{sync::mpsc, time::Instant};

#[rpc_trait(name = "test.v1.Loads")]
pub(crate) trait Loads {
    /// Answers with this many bytes.
    async fn fill(&self, size: u64) -> rpcnet::Result<Vec<u8>>;
    /// Answers with this many bytes, but not at once.
    async fn fill_later(&self, size: u64) -> rpcnet::Result<Vec<u8>>;
    /// Keeps its thread for so many microseconds; then says in which task it runs.
    async fn keep(&self, micros: u64) -> rpcnet::Result<String>;
    /// Never answers; a task that it spawns hears when it is given up.
    async fn spawns(&self, cx: &Context) -> rpcnet::Result<()>;
    /// Never answers, and panics when it is dropped.
    async fn bursts(&self) -> rpcnet::Result<()>;
    /// Lets the caller echo a text, within so many milliseconds.
    async fn ask(&self, cx: &Context, text: String, millis: u64) -> rpcnet::Result<String>;
}

#[derive(Debug, Clone)]
pub(crate) struct Here {
    /// The number of calls that were filled.
    pub(crate) filled: Arc<AtomicUsize>,
    given_up: mpsc::UnboundedSender<()>,
}

impl Here {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (given_up, told) = mpsc::unbounded_channel();
        (Self { filled: Arc::default(), given_up }, told)
    }

    /// Serves it; what is told by tasks whose call was given up.
    pub(crate) fn on(server: &Server) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (here, told) = Self::new();
        server.register(LoadsServer::new(here.clone())).expect("the first of its name");
        (here, told)
    }

    pub(crate) fn filled(&self) -> usize {
        self.filled.load(Ordering::Relaxed)
    }
}

struct Burst;

impl Drop for Burst {
    fn drop(&mut self) {
        panic!("as it was told to");
    }
}

/// Lets others run first.
async fn later() {
    tokio::task::yield_now().await;
}

#[rpc_impl]
impl Loads for Here {
    async fn fill(&self, size: u64) -> rpcnet::Result<Vec<u8>> {
        self.filled.fetch_add(1, Ordering::Relaxed);
        Ok(vec![size as u8; size as usize])
    }

    async fn fill_later(&self, size: u64) -> rpcnet::Result<Vec<u8>> {
        later().await;
        self.fill(size).await
    }

    async fn keep(&self, micros: u64) -> rpcnet::Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(micros) {
            std::hint::spin_loop();
        }
        Ok(tokio::task::id().to_string())
    }

    async fn spawns(&self, cx: &Context) -> rpcnet::Result<()> {
        let (cx, given_up) = (cx.clone(), self.given_up.clone());
        tokio::spawn(async move {
            cx.cancelled().await;
            let _ = given_up.send(());
        });
        std::future::pending().await
    }

    async fn bursts(&self) -> rpcnet::Result<()> {
        let _burst = Burst;
        poll_fn(|_| Poll::<()>::Pending).await;
        Ok(())
    }

    async fn ask(&self, cx: &Context, text: String, millis: u64) -> rpcnet::Result<String> {
        let caller = ProbeClient::new(cx.caller());
        Ok(caller.echo(text).timeout(Duration::from_millis(millis)).await?)
    }
}

/// A server of this, and a client.
pub(crate) async fn served(net: &Net) -> (Server, Here, LoadsClient) {
    let server = net.start();
    let (here, _) = Here::on(&server);
    let client = LoadsClient::new(net.connect(&server).await);
    (server, here, client)
}
