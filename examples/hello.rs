//! A service, a server and a client. Run this page with `cargo run --bin hello`.

use rpcnet::{Channel, Server, ServerConfig, dev::DevCa, rpc_impl, rpc_trait};

/// The service. `#[rpc_trait]` makes the types `GreeterClient` and `GreeterServer`.
#[rpc_trait(name = "greet.v1.Greeter")]
trait Greeter {
    /// Running this method twice does no harm: the channel may repeat a call that failed.
    #[rpc(idempotent, timeout = "2s")]
    async fn greet(&self, name: String) -> rpcnet::Result<String>;
}

/// An implementation.
struct English;

#[rpc_impl]
impl Greeter for English {
    async fn greet(&self, name: String) -> rpcnet::Result<String> {
        Ok(format!("hello, {name}"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Server and client each show the other a certificate. In production both load PEM files that your own CA issued.
    let ca = DevCa::generate()?;
    let (server_cert, client_cert) = (ca.issue("server")?, ca.issue("client")?);

    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(&server_cert.cert, &server_cert.key)?
        .with_ca_cert(ca.ca_pem())?
        .build()?;
    let server = Server::new(config)?;
    server.register(GreeterServer::new(English))?;
    let running = server.clone();
    tokio::spawn(async move { running.run().await });

    let channel = Channel::builder()
        .with_cert_and_key(&client_cert.cert, &client_cert.key)?
        .with_ca_cert(ca.ca_pem())?
        .connect(server.local_addr().to_string())
        .await?;
    let greeter = GreeterClient::new(channel.clone());
    println!("{}", greeter.greet("Ada".into()).await?);

    channel.close().await;
    server.shutdown().await?;
    Ok(())
}
