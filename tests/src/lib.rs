//! Shared code of the integration tests.

#[cfg(doctest)]
mod book;
pub mod by_hand;
pub mod certificates;
mod crowd;
mod fleet;
mod logs;
mod names;
#[cfg(target_os = "linux")]
pub mod netbed;
mod probe;
pub mod process;
mod relay;
pub mod role;
pub mod weather;

mod host;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rpcnet::{
    BalancedConfig, Channel, ChannelBuilder, Limits, Server, ServerConfig, ServerConfigBuilder,
    dev::{DevCa, DevCert},
    discover::{Endpoint, EndpointSet},
    testing::Network,
};
use tokio::{sync::watch, task::JoinHandle};

pub use self::{
    crowd::{Crowd, connections},
    fleet::{
        Load, Worker, any_port, cluster_channel, executions, free_addr, local, ready_workers, start_director,
        start_director_with, until,
    },
    logs::Logs,
    names::{Names, SilentAddr},
    probe::{Event, Probe, ProbeClient, ProbeServer, ProbeService, Probed},
    relay::Relay,
};

/// Makes each of these functions, which take a [`Net`], a test over QUIC and one in memory, there with paused time; and
/// each of these once more with a stream of its own for each call.
#[macro_export]
macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        $crate::on_lanes!($($name),+);

        mod over_quic_without_lanes {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::Net::quic().without_lanes()).await;
                }
            )+
        }

        mod in_memory_without_lanes {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name($crate::Net::memory().without_lanes()).await;
                }
            )+
        }
    };
}

/// Makes each of these functions, which take a [`Net`], a test over QUIC and one in memory, there with paused time.
#[macro_export]
macro_rules! on_lanes {
    ($($name:ident),+ $(,)?) => {
        mod over_quic {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::Net::quic()).await;
                }
            )+
        }

        mod in_memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name($crate::Net::memory()).await;
                }
            )+
        }
    };
}

/// Makes each of these functions, which take a [`Net`], a test over QUIC and one in memory, there with paused time; in
/// each there is a relay between client and server.
#[macro_export]
macro_rules! over_a_relay {
    ($($name:ident),+ $(,)?) => {
        mod over_quic_and_a_relay {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::Net::quic().relayed()).await;
                }
            )+
        }

        mod in_memory_and_over_a_relay {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name($crate::Net::memory().relayed()).await;
                }
            )+
        }
    };
}

/// The time after which a test that still waits has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The future's output; a test that would hang fails instead.
///
/// # Panics
///
/// When nothing has come for a minute.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

pub use host::{Host, metric};

/// Where a test runs: the same behaviour is asked of both.
#[derive(Debug, Clone)]
pub enum Net {
    /// Sockets on loopback, with certificates.
    Quic(Arc<DevCa>),
    /// Within the process.
    Memory(Network),
    /// One of these, with a stream of its own for each call. (Where a test sets limits of its own, these hold.)
    WithoutLanes(Box<Self>),
    /// One of these, with a relay between client and server.
    Relayed(Box<Self>),
}

impl Net {
    /// QUIC with a certificate authority of its own.
    pub fn quic() -> Self {
        Self::Quic(Arc::new(DevCa::generate().expect("a CA")))
    }

    /// A network in memory.
    pub fn memory() -> Self {
        Self::Memory(Network::new())
    }

    /// The same, with a stream of its own for each call.
    #[must_use]
    pub fn without_lanes(self) -> Self {
        Self::WithoutLanes(Box::new(self))
    }

    /// The same, with a relay between client and server.
    #[must_use]
    pub fn relayed(self) -> Self {
        Self::Relayed(Box::new(self))
    }

    /// Sockets, or memory.
    pub fn medium(&self) -> &Self {
        match self {
            Self::WithoutLanes(net) | Self::Relayed(net) => net.medium(),
            Self::Quic(_) | Self::Memory(_) => self,
        }
    }

    /// A server's configuration on a free port.
    pub fn server(&self) -> ServerConfigBuilder {
        match self {
            Self::Quic(ca) => {
                let DevCert { cert, key } = ca.issue("server").expect("a certificate");
                ServerConfig::builder()
                    .with_cert_and_key(cert, key)
                    .and_then(|builder| builder.with_ca_cert(ca.ca_pem()))
                    .expect("just issued")
                    // On a busy machine a loopback takes long.
                    .with_limits(Limits::default().with_lanes_on_any_path())
            }
            Self::Memory(network) => ServerConfig::builder().with_network(network),
            Self::WithoutLanes(net) => net.server().with_limits(Limits::default().with_lanes(false)),
            Self::Relayed(net) => net.server(),
        }
    }

    /// A channel's configuration.
    pub fn channel(&self) -> ChannelBuilder {
        match self {
            Self::Quic(ca) => {
                let DevCert { cert, key } = ca.issue("client").expect("a certificate");
                Channel::builder()
                    .with_cert_and_key(cert, key)
                    .and_then(|builder| builder.with_ca_cert(ca.ca_pem()))
                    .expect("just issued")
                    // On a busy machine a loopback takes long.
                    .with_limits(Limits::default().with_lanes_on_any_path())
            }
            Self::Memory(network) => Channel::builder().with_network(network),
            Self::WithoutLanes(net) => net.channel().with_limits(Limits::default().with_lanes(false)),
            Self::Relayed(net) => net.channel().with_relay(),
        }
    }

    /// A server that runs, in a task that ends with the runtime.
    pub fn start(&self) -> Server {
        self.start_with(self.server())
    }

    /// A server of this configuration that runs.
    pub fn start_with(&self, config: ServerConfigBuilder) -> Server {
        let server = Server::new(config.build().expect("complete")).expect("a free port");
        run(&server);
        server
    }

    /// A server whose [`Probed`] service answers with this name.
    pub fn start_probed(&self, name: &str) -> (Server, Probed) {
        self.start_probed_with(name, self.server())
    }

    /// A server of this configuration whose [`Probed`] service answers with this name.
    pub fn start_probed_with(&self, name: &str, config: ServerConfigBuilder) -> (Server, Probed) {
        let server = self.start_with(config);
        let (service, probed) = ProbeService::new(name);
        server.register(ProbeServer::new(service)).expect("the first of its name");
        (server, probed)
    }

    /// A channel to this server.
    pub async fn connect(&self, server: &Server) -> Channel {
        self.channel().connect(self.address(server)).await.expect("it listens")
    }

    /// Where clients dial who want this server: its address, or that of a relay to it, with limits as it has them.
    pub fn address(&self, server: &Server) -> String {
        let addr = match self {
            Self::Relayed(_) => self.start_relay([server]).local_addr(),
            _ => server.local_addr(),
        };
        addr.to_string()
    }

    /// A relay to these servers that runs, in a task that ends with the runtime.
    ///
    /// # Panics
    ///
    /// When there is no server.
    pub fn start_relay<'a>(&self, servers: impl IntoIterator<Item = &'a Server>) -> Server {
        let servers: Vec<_> = servers.into_iter().collect();
        let limits = *servers.first().expect("it has somewhere to go").limits();
        let relay = self.start_with(self.server().with_limits(limits));
        let endpoints: EndpointSet = servers
            .iter()
            .map(|server| Endpoint::new(server.local_addr().to_string(), server.local_addr()))
            .collect();
        let set = watch::Sender::new(endpoints);
        let channel = relay.connector().balanced(set.subscribe(), BalancedConfig::default());
        relay.forward(channel).expect("its first");
        relay
    }
}

/// Runs the server in a task; whoever aborts that task and drops the server kills it.
pub fn run(server: &Server) -> JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move { server.run().await.expect("not shut down before") })
}

/// An authority for tests that need but one.
pub fn shared_ca() -> &'static DevCa {
    static CA: OnceLock<DevCa> = OnceLock::new();
    CA.get_or_init(|| DevCa::generate().expect("a CA"))
}
