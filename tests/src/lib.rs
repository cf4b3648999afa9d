//! What the integration tests share.

use std::sync::{Arc, OnceLock};

use rpcnet::{
    Channel, ChannelBuilder, Server, ServerConfig, ServerConfigBuilder,
    dev::{DevCa, DevCert},
    transport::MemoryNetwork,
};

/// Where a test runs: the same behaviour is asked of both.
#[derive(Debug, Clone)]
pub enum Net {
    /// Sockets on loopback, with certificates.
    Quic(Arc<DevCa>),
    /// Within the process.
    Memory(MemoryNetwork),
}

impl Net {
    /// QUIC with a certificate authority of its own.
    pub fn quic() -> Self {
        Self::Quic(Arc::new(DevCa::generate().expect("a CA")))
    }

    /// A network in memory.
    pub fn memory() -> Self {
        Self::Memory(MemoryNetwork::new())
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
            }
            Self::Memory(network) => ServerConfig::builder().with_network(network),
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
            }
            Self::Memory(network) => Channel::builder().with_network(network),
        }
    }

    /// A server that runs, in a task that ends with the runtime.
    pub fn start(&self) -> Server {
        self.start_with(self.server())
    }

    /// A server of this configuration that runs.
    pub fn start_with(&self, config: ServerConfigBuilder) -> Server {
        let server = Server::new(config.build().expect("complete")).expect("a free port");
        let running = server.clone();
        tokio::spawn(async move { running.run().await });
        server
    }

    /// A channel to this server.
    pub async fn connect(&self, server: &Server) -> Channel {
        self.channel().connect(server.local_addr().to_string()).await.expect("it listens")
    }
}

/// An authority for tests that need but one.
pub fn shared_ca() -> &'static DevCa {
    static CA: OnceLock<DevCa> = OnceLock::new();
    CA.get_or_init(|| DevCa::generate().expect("a CA"))
}
