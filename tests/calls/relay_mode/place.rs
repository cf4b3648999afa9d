//! Workers, relays before them, and a client that reaches the relays alone.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, Context, Limits, Server, Streaming,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
};
use rpcnet_tests::{Net, ProbeClient, ProbeServer, ProbeService, Probed, run, until, within};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) const MS: Duration = Duration::from_millis(1);

#[rpc_trait(name = "test.v1.Desk")]
pub(crate) trait Desk {
    async fn left(&self, cx: &Context) -> rpcnet::Result<Option<Duration>>;
    /// As many bytes.
    #[rpc(idempotent)]
    async fn bytes(&self, count: usize) -> rpcnet::Result<Vec<u8>>;
    /// Blocks of so many bytes, without end.
    async fn blocks(&self, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>>;
    /// The numbers from one on.
    #[rpc(resumable)]
    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<u64>>;
    /// Returns the number of blocks that came.
    async fn count(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<u64>;
    /// Takes none of the blocks.
    async fn ignore(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<u64>;
    #[rpc(key = user)]
    async fn keyed(&self, user: u64) -> rpcnet::Result<u64>;
}

#[derive(Default)]
pub(crate) struct Clerk {
    /// Blocks so far.
    made: Arc<AtomicU64>,
}

#[rpc_impl]
impl Desk for Clerk {
    async fn left(&self, cx: &Context) -> rpcnet::Result<Option<Duration>> {
        Ok(cx.remaining())
    }

    async fn bytes(&self, count: usize) -> rpcnet::Result<Vec<u8>> {
        Ok(vec![7; count])
    }

    async fn blocks(&self, size: usize) -> rpcnet::Result<Streaming<Vec<u8>>> {
        let made = self.made.clone();
        Ok(Streaming::iter(std::iter::repeat_with(move || {
            made.fetch_add(1, Ordering::SeqCst);
            vec![7; size]
        })))
    }

    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<u64>> {
        Ok(Streaming::iter(cx.resume_after() + 1..))
    }

    async fn count(&self, mut blocks: Streaming<Vec<u8>>) -> rpcnet::Result<u64> {
        let mut count = 0;
        while let Some(block) = blocks.next().await {
            block?;
            count += 1;
        }
        Ok(count)
    }

    async fn ignore(&self, blocks: Streaming<Vec<u8>>) -> rpcnet::Result<u64> {
        let _blocks = blocks;
        std::future::pending().await
    }

    async fn keyed(&self, user: u64) -> rpcnet::Result<u64> {
        Ok(user)
    }
}

/// A server that a test can kill.
pub(crate) struct Node {
    pub(crate) server: Server,
    running: JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(net: &Net, limits: Limits, prepare: impl FnOnce(&Server)) -> Self {
        let config = net.server().with_limits(limits).build().expect("complete");
        let server = Server::new(config).expect("a free port");
        prepare(&server);
        let running = run(&server);
        Self { server, running }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Its connections are closed at once.
    pub(crate) fn kill(self) {
        self.running.abort();
    }
}

/// An endpoint for each node.
pub(crate) fn endpoints<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> EndpointSet {
    nodes.into_iter().map(|node| Endpoint::new(node.addr().to_string(), node.addr())).collect()
}

pub(crate) struct Place {
    pub(crate) workers: Vec<Node>,
    /// The test's ends of the workers' probes.
    pub(crate) probed: Vec<Probed>,
    /// Blocks that the workers have made.
    pub(crate) made: Arc<AtomicU64>,
    pub(crate) relays: Vec<Node>,
    /// Where the relays hand calls on to.
    pub(crate) set: watch::Sender<EndpointSet>,
    pub(crate) channel: BalancedChannel,
    pub(crate) client: ProbeClient<BalancedChannel>,
    pub(crate) desk: DeskClient<BalancedChannel>,
}

impl Place {
    /// Starts this many workers and relays.
    pub(crate) async fn start(net: &Net, workers: usize, relays: usize) -> Self {
        Self::with(net, workers, relays, Limits::default()).await
    }

    /// Starts this many workers and relays; all of them and the client have these limits.
    pub(crate) async fn with(net: &Net, workers: usize, relays: usize, limits: Limits) -> Self {
        let mut probed = Vec::new();
        let made = Arc::<AtomicU64>::default();
        let workers: Vec<_> = (0..workers)
            .map(|index| {
                let (service, probe) = ProbeService::new(&index.to_string());
                probed.push(probe);
                Node::start(net, limits, |server| {
                    server.register(ProbeServer::new(service)).expect("the first of its name");
                    server
                        .register(DeskServer::new(Clerk { made: made.clone() }))
                        .expect("the first of its name");
                })
            })
            .collect();
        let set = watch::Sender::new(endpoints(&workers));
        let relays: Vec<_> = (0..relays)
            .map(|_| {
                Node::start(net, limits, |server| {
                    let channel = server.connector().balanced(set.subscribe(), BalancedConfig::default());
                    server.forward(channel).expect("its first");
                })
            })
            .collect();
        let known = watch::Sender::new(endpoints(&relays));
        let builder = net.channel().with_limits(limits).with_relay();
        let channel = BalancedChannel::new(builder, known.subscribe(), BalancedConfig::default());
        let channel = channel.expect("complete");
        let client = ProbeClient::new(channel.clone());
        let desk = DeskClient::new(channel.clone());
        let place = Self { workers, probed, made, relays, set, channel, client, desk };
        until(|| place.channel.endpoints().iter().all(|relay| relay.ready)).await;
        // Each relay has reached a worker.
        for _ in 0..8 * place.relays.len() {
            within(place.client.server_name()).await.expect("a worker answers");
        }
        place
    }

    /// Nothing is at work at any worker or relay.
    pub(crate) async fn quiet(&self) {
        for node in self.workers.iter().chain(&self.relays) {
            within(node.server.wait_for_in_flight()).await;
        }
    }
}
