//! A client: connects, calls, and tells how long each took.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use rpcnet::{Caller, Channel};
use rpcnet_benches::{Failure, chain};
use rpcnet_cluster::ClusterChannel;
use rpcnet_tests::role::{Pem, tell};
use tokio::time::{Instant, sleep_until};

use crate::service::DeskClient;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// A channel to one server.
    Channel,
    /// A cluster's channel, to workers that a director names.
    Direct,
    /// A cluster's channel, through directors.
    Relay,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Job {
    /// Calls once, and ends.
    Once,
    /// Calls again and again.
    Repeat,
    /// Calls once, and then does nothing.
    Idle,
    /// Reads a stream that has one item and does not end.
    Read,
}

/// Connects and tells `connected MS`, or `unconnected MS WHY` and ends. Then tells `answered MS NAME`, `failed MS WHY` of
/// each call, from its begin; `item NAME` and `ended WHY` of a stream.
#[derive(Debug, Args)]
pub(crate) struct Client {
    way: Way,
    job: Job,
    /// `host:port` of the server, or of directors.
    #[arg(long, value_delimiter = ',')]
    to: Vec<String>,
    #[arg(long)]
    certificates: PathBuf,
    /// In milliseconds.
    #[arg(long)]
    connect_timeout: Option<u64>,
    /// In milliseconds.
    #[arg(long, default_value_t = 10_000)]
    call_timeout: u64,
}

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn run(client: Client) -> Result<(), Failure> {
    let Pem { cert, key, ca } = Pem::read(&client.certificates)?;
    let began = Instant::now();
    let connect_timeout = client.connect_timeout.map(Duration::from_millis);
    match client.way {
        Way::Channel => {
            let mut builder = Channel::builder().with_cert_and_key(cert, key)?.with_ca_cert(ca)?;
            if let Some(timeout) = connect_timeout {
                builder = builder.with_connect_timeout(timeout);
            }
            let to = client.to.first().ok_or("--to is missing")?;
            match builder.connect(to).await {
                Ok(channel) => work(channel, &client, began).await,
                Err(error) => unconnected(began, &error),
            }
        }
        Way::Direct | Way::Relay => {
            let mut builder = ClusterChannel::builder()
                .with_directors(&client.to)
                .with_cert_and_key(cert, key)?
                .with_ca_cert(ca)?
                .with_mode(match client.way {
                    Way::Relay => rpcnet_cluster::Mode::Relay,
                    _ => rpcnet_cluster::Mode::Direct,
                });
            if let Some(timeout) = connect_timeout {
                builder = builder.with_connect_timeout(timeout);
            }
            match builder.connect().await {
                Ok(channel) => work(channel, &client, began).await,
                Err(error) => unconnected(began, &error),
            }
        }
    }
}

fn unconnected(began: Instant, error: &rpcnet::ConnectError) -> Result<(), Failure> {
    Ok(tell(&format!("unconnected {} {}", began.elapsed().as_millis(), chain(error)))?)
}

async fn work<C: Caller>(channel: C, client: &Client, began: Instant) -> Result<(), Failure> {
    tell(&format!("connected {}", began.elapsed().as_millis()))?;
    let timeout = Duration::from_millis(client.call_timeout);
    let desk = DeskClient::new(channel);
    match client.job {
        Job::Once => call(&desk, timeout).await,
        Job::Idle => {
            call(&desk, timeout).await?;
            std::future::pending().await
        }
        Job::Repeat => loop {
            let next = Instant::now() + PAUSE;
            call(&desk, timeout).await?;
            sleep_until(next).await;
        },
        Job::Read => read(&desk).await,
    }
}

async fn call<C: Caller>(desk: &DeskClient<C>, timeout: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    let answer = desk.worker_name().timeout(timeout).await;
    let took = began.elapsed().as_millis();
    let line = match answer {
        Ok(name) => format!("answered {took} {name}"),
        Err(error) => format!("failed {took} {}", chain(&error)),
    };
    Ok(tell(&line)?)
}

async fn read<C: Caller>(desk: &DeskClient<C>) -> Result<(), Failure> {
    let mut items = desk.stall().await?;
    loop {
        match items.next().await {
            Some(Ok(name)) => tell(&format!("item {name}"))?,
            Some(Err(error)) => return Ok(tell(&format!("ended {}", chain(&error)))?),
            None => return Ok(tell("ended in good order")?),
        }
    }
}
