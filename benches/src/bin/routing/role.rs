//! The processes of the benchmark: workers, and a director.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use rpcnet::{
    Channel, ChannelBuilder, Server, ServerConfig,
    dev::DevCa,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_benches::{Credentials, Failure, ServerProcess, exit_with_parent};
use rpcnet_cluster::{ClusterConfig, ClusterExt, Director};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    runtime,
    service::{WorkServer, Worker},
};

/// The orders of a process, on its stdin.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    credentials: Credentials,
    index: u32,
    takes_us: u64,
    /// The cluster nodes to join through. Empty without a cluster.
    seeds: Vec<String>,
    cluster: bool,
    director: bool,
    /// The address to listen at. Any address if this is `None`.
    at: Option<SocketAddr>,
}

/// Starts processes with certificates of one CA.
pub(crate) struct Stage {
    ca: DevCa,
}

/// A process of the benchmark.
pub(crate) struct Process {
    pub(crate) process: ServerProcess,
    pub(crate) addr: SocketAddr,
}

impl Process {
    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = Pid::from_raw(self.process.id() as i32).ok_or("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Lets the process shut down gracefully, and waits until it has ended. Blocks.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        // The process answers no more, so a failed question means that it has ended.
        while self.process.ask("").is_ok() {}
        Ok(())
    }
}

impl Stage {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self { ca: DevCa::generate()? })
    }

    /// Starts workers without a cluster. `takes` is the time of each worker's calls.
    pub(crate) fn workers(&self, takes: &[Duration]) -> Result<Vec<Process>, Failure> {
        let start = |(index, takes): (usize, &Duration)| self.start(&self.orders(index as u32, *takes)?);
        takes.iter().enumerate().map(start).collect()
    }

    /// Starts a director that knows these others, at a given address if there is one.
    pub(crate) fn director(&self, others: &[SocketAddr], at: Option<SocketAddr>) -> Result<Process, Failure> {
        self.start(&Orders { director: true, at, ..self.member_of(100, Duration::ZERO, others)? })
    }

    /// Starts a worker in the cluster of these directors. `takes` is the time of its calls.
    pub(crate) fn member(
        &self,
        index: u32,
        takes: Duration,
        directors: &[SocketAddr],
    ) -> Result<Process, Failure> {
        self.start(&self.member_of(index, takes, directors)?)
    }

    fn member_of(&self, index: u32, takes: Duration, others: &[SocketAddr]) -> Result<Orders, Failure> {
        let seeds = others.iter().map(SocketAddr::to_string).collect();
        Ok(Orders { seeds, cluster: true, ..self.orders(index, takes)? })
    }

    fn orders(&self, index: u32, takes: Duration) -> Result<Orders, Failure> {
        Ok(Orders {
            credentials: Credentials::issue(&self.ca, &format!("node-{index}"))?,
            index,
            takes_us: takes.as_micros() as u64,
            seeds: Vec::new(),
            cluster: false,
            director: false,
            at: None,
        })
    }

    fn start(&self, orders: &Orders) -> Result<Process, Failure> {
        let name = format!("node-{}", orders.index);
        let process = ServerProcess::start(&name, &["--serve"], &serde_json::to_string(orders)?)?;
        let addr = process.greeting().parse()?;
        Ok(Process { process, addr })
    }

    /// The builder of the client's channels.
    pub(crate) fn channel(&self) -> Result<ChannelBuilder, Failure> {
        let own = Credentials::issue(&self.ca, "client")?;
        Ok(Channel::builder().with_ca_cert(own.ca)?.with_cert_and_key(own.cert, own.key)?)
    }
}

/// The set of these workers' endpoints.
pub(crate) fn endpoints(workers: &[Process]) -> EndpointSet {
    let endpoint = |(index, worker): (usize, &Process)| Endpoint::new(index.to_string(), worker.addr);
    workers.iter().enumerate().map(endpoint).collect()
}

/// Runs such a process, until the parent ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    exit_with_parent();
    let orders: Orders = serde_json::from_str(&line)?;
    runtime()?.block_on(run(orders))
}

async fn run(orders: Orders) -> Result<(), Failure> {
    let own = &orders.credentials;
    let config = ServerConfig::builder()
        .with_bind_addr(orders.at.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))))
        .with_cert_and_key(&own.cert, &own.key)?
        .with_ca_cert(&own.ca)?
        .build()?;
    let server = Server::new(config)?;
    if !orders.director {
        server
            .register(WorkServer::new(Worker::new(orders.index, Duration::from_micros(orders.takes_us))))?;
    }
    if orders.cluster {
        let role = if orders.director { "director" } else { "worker" };
        let config = ClusterConfig::default().with_seeds(orders.seeds).with_tag("role", role);
        let cluster = server.enable_cluster(config).await?;
        if orders.director {
            Director::new(&server, &cluster)?;
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", server.local_addr())?;
    out.flush()?;
    drop(out);
    Ok(server.run_until(rpcnet::shutdown_signal()).await?)
}
