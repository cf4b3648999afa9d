//! A service behind a channel.

use rpcnet::{Channel, Server, ServerConfig, Service, testing::Network};

/// Serves it in a network of its own, for as long as the test's runtime stands.
pub(crate) async fn serve(service: impl Service) -> Channel {
    let network = Network::new();
    let config =
        ServerConfig::builder().with_network(&network).build().expect("a network needs nothing else");
    let server = Server::new(config).expect("port 0 is free");
    server.register(service).expect("it is the first of its name");
    let address = server.local_addr();
    tokio::spawn(async move { server.run().await });
    Channel::builder().with_network(&network).connect(address.to_string()).await.expect("the server runs")
}
