//! A director, two workers, and a client that goes on when a worker leaves: `cargo run --bin cluster`.

use std::{collections::BTreeSet, error::Error};

use rpcnet::{Server, ServerConfig, dev::DevCa, rpc_impl, rpc_trait};
use rpcnet_cluster::{ClusterChannel, ClusterConfig, ClusterExt, Director, Policy, WorkerRegistry};

#[rpc_trait(name = "greet.v1.Greeter")]
trait Greeter {
    #[rpc(idempotent)]
    async fn greet(&self, name: String) -> rpcnet::Result<String>;
}

struct Worker(&'static str);

#[rpc_impl]
impl Greeter for Worker {
    async fn greet(&self, name: String) -> rpcnet::Result<String> {
        Ok(format!("hello {name}, this is {}", self.0))
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
    // The first node of a cluster has no seeds. Production runs several directors, each with the others as its seeds.
    let director = bind(&ca, "director")?;
    let address = director.local_addr().to_string();
    let cluster = director.enable_cluster(ClusterConfig::default()).await?;
    let _routes = Director::builder(&director, &cluster).with_policy(Policy::RoundRobin).start()?;
    run(&director);

    let mut workers = Vec::new();
    for name in ["worker-1", "worker-2"] {
        let server = bind(&ca, name)?;
        server.register(GreeterServer::new(Worker(name)))?;
        // Clients are sent to nodes of this role.
        let config = ClusterConfig::default().with_seeds([&address]).with_tag("role", "worker");
        server.enable_cluster(config).await?;
        run(&server);
        workers.push(server);
    }
    WorkerRegistry::new(&cluster).wait_for_healthy(2).await;

    let client = ca.issue("client")?;
    let channel = ClusterChannel::builder().with_directors([&address]).with_ca_cert(ca.ca_pem())?;
    let channel = channel.with_cert_and_key(client.cert, client.key)?.connect().await?;
    let greeter = GreeterClient::new(channel.clone());
    // The channel connects to each worker that the director names; the first calls may all go to one.
    let mut heard = BTreeSet::new();
    while heard.len() < 2 {
        heard.insert(greeter.greet("Ada".into()).await?);
    }
    heard.iter().for_each(|greeting| println!("{greeting}"));

    workers[0].shutdown().await?; // leaves the cluster first: no call fails
    for _ in 0..3 {
        println!("{}", greeter.greet("Bob".into()).await?);
    }
    channel.close().await;
    Ok(())
}
