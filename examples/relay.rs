//! A client that reaches no worker leaves its calls to a director: `cargo run --bin relay`.

use std::error::Error;

use rpcnet::{Context, Server, ServerConfig, dev::DevCa, rpc_impl, rpc_trait};
use rpcnet_cluster::{ClusterChannel, ClusterConfig, ClusterExt, Director, Mode, WorkerRegistry};

#[rpc_trait(name = "greet.v1.Greeter")]
trait Greeter {
    #[rpc(idempotent)]
    async fn greet(&self, cx: &Context, name: String) -> rpcnet::Result<String>;
}

struct Worker;

#[rpc_impl]
impl Greeter for Worker {
    async fn greet(&self, cx: &Context, name: String) -> rpcnet::Result<String> {
        // The peer is the node at the other end of the connection, by its certificate.
        Ok(format!("hello {name}, I was called by {}", cx.peer().name()))
    }
}

/// A server on a free port of this machine, with a certificate of this name.
fn bind(ca: &DevCa, name: &str) -> Result<Server, Box<dyn Error>> {
    let node = ca.issue(name)?;
    let config = ServerConfig::builder().with_bind_addr("127.0.0.1:0".parse()?);
    let config = config.with_cert_and_key(&node.cert, &node.key)?.with_ca_cert(ca.ca_pem())?;
    Ok(Server::new(config.build()?)?)
}

/// Answers calls until the server is shut down.
fn run(server: &Server) {
    let server = server.clone();
    tokio::spawn(async move { server.run().await });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = DevCa::generate()?;
    let director = bind(&ca, "director")?;
    let address = director.local_addr().to_string();
    let cluster = director.enable_cluster(ClusterConfig::default()).await?;
    // A director relays unless `with_relay(false)` says otherwise. It decodes no arguments and needs no types.
    let _routes = Director::builder(&director, &cluster).with_relay(true).start()?;
    run(&director);

    let worker = bind(&ca, "worker")?;
    worker.register(GreeterServer::new(Worker))?;
    let config = ClusterConfig::default().with_seeds([&address]).with_tag("role", "worker");
    worker.enable_cluster(config).await?;
    run(&worker);
    WorkerRegistry::new(&cluster).wait_for_healthy(1).await;

    let client = ca.issue("client")?;
    for mode in [Mode::Direct, Mode::Relay] {
        let channel = ClusterChannel::builder()
            .with_directors([&address])
            .with_mode(mode)
            .with_ca_cert(ca.ca_pem())?
            .with_cert_and_key(&client.cert, &client.key)?
            .connect()
            .await?;
        let greeter = GreeterClient::new(channel.clone());
        println!("{mode:?}: {}", greeter.greet("Ada".into()).await?);
        channel.close().await;
    }
    Ok(())
}
