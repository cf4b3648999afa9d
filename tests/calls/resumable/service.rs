//! The service whose streams move, the servers that serve it, and a channel to them.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Context, Server, Status, Streaming,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
    testing::Network,
};
use rpcnet_tests::{Net, until};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub(crate) const MS: Duration = Duration::from_millis(1);

#[rpc_trait(name = "test.v1.Counter")]
pub(crate) trait Counter {
    /// Counts from one to `to`, and ends as it is told.
    #[rpc(resumable)]
    async fn count(
        &self,
        cx: &Context,
        to: u64,
        pace: Duration,
        end: End,
    ) -> Result<Streaming<u64, CallError<Refused>>, Refused>;

    /// As many blocks as are asked for, as fast as they are read.
    #[rpc(resumable)]
    async fn blocks(
        &self,
        cx: &Context,
        count: u64,
        size: usize,
    ) -> rpcnet::Result<Streaming<(u64, Vec<u8>)>>;
}

/// The end of a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    Clean,
    /// In the stream's own error.
    Refused,
    /// In a status.
    Internal,
    /// As if the server were not there.
    Unavailable,
    /// It can be begun, and not gone on with.
    NotInTheMiddle,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused(pub(crate) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// An event at a server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// A handler was started, behind so many items, with so much time.
    Started(String, u64, Option<Duration>),
    /// Nobody reads what it makes.
    Left(String),
}

#[derive(Clone)]
struct Service {
    name: String,
    seen: mpsc::UnboundedSender<Seen>,
}

#[rpc_impl]
impl Counter for Service {
    async fn count(
        &self,
        cx: &Context,
        to: u64,
        pace: Duration,
        end: End,
    ) -> Result<Streaming<u64, CallError<Refused>>, Refused> {
        let (name, seen) = (self.name.clone(), self.seen.clone());
        let after = cx.resume_after();
        let _ = seen.send(Seen::Started(name.clone(), after, cx.remaining()));
        if end == End::NotInTheMiddle && after > 0 {
            return Err(Refused("begin anew".into()));
        }
        let _ = cx.add_metadata("x-server", &name);
        let _ = cx.add_trailer("x-last", &name);
        let (sender, items) = Streaming::channel(1);
        tokio::spawn(async move {
            for number in after + 1..=to {
                tokio::time::sleep(pace).await;
                if sender.send(number).await.is_err() {
                    let _ = seen.send(Seen::Left(name));
                    return;
                }
            }
            match end {
                End::Clean | End::NotInTheMiddle => sender.finish(),
                End::Refused => sender.fail(CallError::Application(Refused("enough".into()))).await,
                End::Internal => sender.fail(Status::internal("broken")).await,
                End::Unavailable => sender.fail(Status::unavailable("not now")).await,
            }
        });
        Ok(items)
    }

    async fn blocks(
        &self,
        cx: &Context,
        count: u64,
        size: usize,
    ) -> rpcnet::Result<Streaming<(u64, Vec<u8>)>> {
        let after = cx.resume_after();
        let _ = self.seen.send(Seen::Started(self.name.clone(), after, cx.remaining()));
        Ok(Streaming::iter((after + 1..=count).map(move |number| (number, vec![number as u8; size]))))
    }
}

/// A server that can be started again where it was.
pub(crate) struct Node {
    net: Net,
    name: String,
    pub(crate) server: Server,
    running: JoinHandle<()>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Node {
    pub(crate) fn start(net: Net, name: &str, addr: SocketAddr, seen: mpsc::UnboundedSender<Seen>) -> Self {
        let server = bind(&net, addr).expect("the address is free");
        let running = serve(&server, name, &seen);
        Self { net, name: name.into(), server, running, seen }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Goes down in good order, and comes back.
    pub(crate) async fn restart(&mut self) {
        self.server.stop_accepting().await;
        self.server.wait_for_in_flight().await;
        self.server.shutdown().await.expect("it has run");
        self.start_again().await;
    }

    /// Is dropped as it is, and comes back.
    pub(crate) async fn kill_and_start(&mut self) {
        self.running.abort();
        self.start_again().await;
    }

    async fn start_again(&mut self) {
        let addr = self.addr();
        // The socket goes with the last handle; tasks that end have some.
        self.server = bind(&self.net, ([0, 0, 0, 0], 0).into()).expect("some port is free");
        let mut bound = None;
        until(|| {
            bound = bind(&self.net, addr);
            bound.is_some()
        })
        .await;
        self.server = bound.expect("just bound");
        self.running = serve(&self.server, &self.name, &self.seen);
    }
}

fn bind(net: &Net, addr: SocketAddr) -> Option<Server> {
    Server::new(net.server().with_bind_addr(addr).build().expect("complete")).ok()
}

fn serve(server: &Server, name: &str, seen: &mpsc::UnboundedSender<Seen>) -> JoinHandle<()> {
    let service = Service { name: name.into(), seen: seen.clone() };
    server.register(CounterServer::new(service)).expect("the first of its name");
    let server = server.clone();
    tokio::spawn(async move {
        // It is shut down, or killed.
        let _ = server.run().await;
    })
}

pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    pub(crate) channel: BalancedChannel,
    pub(crate) client: CounterClient<BalancedChannel>,
    pub(crate) seen: Mutex<mpsc::UnboundedReceiver<Seen>>,
    pub(crate) set: watch::Sender<EndpointSet>,
}

impl Fleet {
    /// Servers on hosts of their own, and a channel from another.
    pub(crate) async fn start(network: &Network, size: u8) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let nodes: Vec<_> = (1..=size)
            .map(|host| {
                let net = Net::Memory(network.host([10, 0, 0, host]));
                Node::start(net, &host.to_string(), ([10, 0, 0, host], 80).into(), sender.clone())
            })
            .collect();
        Self::of(&Net::Memory(network.host([10, 0, 0, 100])), nodes, seen).await
    }

    pub(crate) async fn over_quic(size: u8) -> Self {
        let net = Net::quic();
        let (sender, seen) = mpsc::unbounded_channel();
        let nodes: Vec<_> = (1..=size)
            .map(|name| {
                Node::start(net.clone(), &name.to_string(), ([127, 0, 0, 1], 0).into(), sender.clone())
            })
            .collect();
        Self::of(&net, nodes, seen).await
    }

    async fn of(net: &Net, nodes: Vec<Node>, seen: mpsc::UnboundedReceiver<Seen>) -> Self {
        let endpoints = nodes.iter().map(|node| Endpoint::new(node.name.clone(), node.addr()));
        let set = watch::Sender::new(endpoints.collect::<EndpointSet>());
        let config = BalancedConfig::default().with_policy(Policy::RoundRobin);
        let channel =
            BalancedChannel::new(net.channel(), set.subscribe(), config).expect("all that it needs");
        let size = nodes.len();
        until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == size).await;
        let client = CounterClient::new(channel.clone());
        Self { nodes, channel, client, seen: Mutex::new(seen), set }
    }

    /// The events since the last call of this function.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| seen.try_recv().ok()).collect()
    }

    /// The numbers after which handlers began since the last call, with the server's index.
    pub(crate) fn started(&self) -> Vec<(String, u64)> {
        let started = |seen| match seen {
            Seen::Started(name, after, _) => Some((name, after)),
            Seen::Left(_) => None,
        };
        self.seen().into_iter().filter_map(started).collect()
    }

    /// Where the call that was made last is at work.
    pub(crate) fn at(&self) -> usize {
        let (name, _) = self.started().pop().expect("a handler has begun");
        self.nodes.iter().position(|node| node.name == name).expect("one of these")
    }
}
