//! Servers, and a channel over all of them.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, ChannelBuilder, Limits, Server, ServerConfigBuilder,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_tests::{Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, Relay, run, until, within};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) probed: Probed,
    pub(crate) running: JoinHandle<()>,
    /// Between the channel and this server, where there are sockets.
    relay: Option<Relay>,
}

impl Node {
    pub(crate) async fn start(net: &Net, name: &str) -> Self {
        Self::start_with(net, name, net.server()).await
    }

    pub(crate) async fn start_with(net: &Net, name: &str, config: ServerConfigBuilder) -> Self {
        let server = Server::new(config.build().expect("complete")).expect("a free port");
        let (service, probed) = ProbeService::new(name);
        server.register(ProbeServer::new(service)).expect("the first of its name");
        let running = run(&server);
        let relay = match net.medium() {
            Net::Quic(_) => Some(Relay::start(server.local_addr()).await),
            _ => None,
        };
        Self { server, probed, running, relay }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.relay.as_ref().map_or(self.server.local_addr(), Relay::addr)
    }

    pub(crate) fn cut(&self) {
        self.relay.as_ref().expect("there are sockets").cut();
    }

    /// Its connections are closed at once; what is left is what it has run, and the way to where it was.
    pub(crate) fn kill(self) -> (Probed, Option<Relay>) {
        self.running.abort();
        (self.probed, self.relay)
    }
}

/// Servers `0`, `1`, … and a channel to them all.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    pub(crate) set: watch::Sender<EndpointSet>,
    pub(crate) channel: BalancedChannel,
    pub(crate) client: ProbeClient<BalancedChannel>,
}

pub(crate) fn round_robin() -> BalancedConfig {
    BalancedConfig::default().with_policy(Policy::RoundRobin)
}

pub(crate) fn endpoint(index: usize, node: &Node) -> Endpoint {
    Endpoint::new(index.to_string(), node.addr())
}

impl Fleet {
    pub(crate) async fn start(net: &Net, size: usize, config: BalancedConfig, limits: Limits) -> Self {
        let mut nodes = Vec::new();
        for index in 0..size {
            nodes.push(Node::start(net, &index.to_string()).await);
        }
        Self::of(nodes, net.channel().with_limits(limits), config).await
    }

    pub(crate) async fn of(nodes: Vec<Node>, builder: ChannelBuilder, config: BalancedConfig) -> Self {
        let size = nodes.len();
        let all =
            nodes.iter().enumerate().map(|(index, node)| endpoint(index, node)).collect::<EndpointSet>();
        let set = watch::Sender::new(all);
        let builder = builder.with_connect_timeout(500 * MS);
        let channel = BalancedChannel::new(builder, set.subscribe(), config).expect("complete");
        let client = ProbeClient::new(channel.clone());
        let fleet = Self { nodes, set, channel, client };
        let ready = || fleet.channel.endpoints().iter().filter(|endpoint| endpoint.ready).count();
        until(|| ready() == size).await;
        fleet
    }

    /// The next event at any of three servers, and the server's index.
    pub(crate) async fn any_event(&mut self) -> (usize, Event) {
        let [a, b, c] = &mut self.nodes[..] else { unreachable!("for three") };
        tokio::select! {
            event = a.probed.event() => (0, event),
            event = b.probed.event() => (1, event),
            event = c.probed.event() => (2, event),
        }
    }

    /// Calls until all of these have answered, and nobody else has for a while.
    pub(crate) async fn served_by(&self, names: &HashSet<String>) {
        within(async {
            loop {
                let mut seen = HashSet::new();
                for _ in 0..4 * names.len() {
                    seen.insert(self.client.server_name().await.expect("it is idempotent"));
                }
                if seen == *names {
                    return;
                }
            }
        })
        .await;
    }
}

pub(crate) fn names(names: &[&str]) -> HashSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
