//! The code that users write, as the guide has it: it has to compile, and to do what it says.

use std::{error::Error, time::Duration};

use rpcnet::{
    CallError, Caller, Channel, Code, Context, Server, ServerConfig, Status, Streaming, rpc_impl, rpc_trait,
};
use rpcnet_cluster::{ClusterChannel, ClusterConfig, ClusterExt, Director, Policy, WorkerRegistry};
use rpcnet_tests::shared_ca;
use serde::{Deserialize, Serialize};

/// Docs reach the trait, the client and the schema.
#[rpc_trait(name = "text.v1.WordCount")]
trait WordCount {
    #[rpc(idempotent, timeout = "2s")]
    async fn count(&self, text: String) -> Result<Counts, CountError>; // typed error crosses the wire

    async fn tail(&self, cx: &Context, from: u64) -> Result<Streaming<Line>, CountError>; // server stream
    async fn load(&self, lines: Streaming<Line>) -> Result<u64, CountError>; // client stream
    async fn chat(&self, said: Streaming<Line>) -> Result<Streaming<Line>, CountError>; // both

    #[rpc(idempotent)]
    async fn profile(&self, user: u64, fields: Vec<String>) -> rpcnet::Result<Profile>; // Status as error
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counts(u64);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    number: u64,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum CountError {
    TooLong { max: usize },
    NoSuchLine { last: u64 },
    BrokenOff,
}

impl std::fmt::Display for CountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "longer than {max} bytes"),
            Self::NoSuchLine { last } => write!(f, "the last line is {last}"),
            Self::BrokenOff => f.write_str("the lines broke off"),
        }
    }
}

impl Error for CountError {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Profile {
    user: u64,
    fields: Vec<String>,
}

/// The number of the last line.
const LAST: u64 = 9;

struct Worker;

#[rpc_impl]
impl WordCount for Worker {
    async fn count(&self, text: String) -> Result<Counts, CountError> {
        if text.len() > 100 {
            return Err(CountError::TooLong { max: 100 });
        }
        Ok(Counts(text.split_whitespace().count() as u64))
    }

    async fn tail(&self, cx: &Context, from: u64) -> Result<Streaming<Line>, CountError> {
        if from > LAST {
            return Err(CountError::NoSuchLine { last: LAST });
        }
        let text = format!("for {}", cx.peer().name());
        Ok(Streaming::iter((from..=LAST).map(move |number| Line { number, text: text.clone() })))
    }

    async fn load(&self, mut lines: Streaming<Line>) -> Result<u64, CountError> {
        let mut bytes = 0;
        while let Some(line) = lines.next().await {
            bytes += line.map_err(|_| CountError::BrokenOff)?.text.len() as u64;
        }
        Ok(bytes)
    }

    async fn chat(&self, mut said: Streaming<Line>) -> Result<Streaming<Line>, CountError> {
        let (answers, stream) = Streaming::channel(4);
        tokio::spawn(async move {
            while let Some(line) = said.next().await {
                let answered = match line {
                    Ok(Line { number, text }) => {
                        answers.send(Line { number: number + 1, text: text.to_uppercase() }).await
                    }
                    Err(status) => return answers.fail(status).await,
                };
                if answered.is_err() {
                    return;
                }
            }
            answers.finish();
        });
        Ok(stream)
    }

    async fn profile(&self, user: u64, fields: Vec<String>) -> rpcnet::Result<Profile> {
        match user {
            0 => Err(Status::not_found("nobody")),
            _ => Ok(Profile { user, fields }),
        }
    }
}

async fn calls(channel: Channel) -> Result<(), Box<dyn Error>> {
    let words = WordCountClient::new(channel.clone());
    let counts = words.count("to be or not".into()).await?;
    assert_eq!(counts, Counts(4));
    let d = Duration::from_secs(1);
    let counts = words.count("to be".into()).timeout(d).metadata("x-tenant", "a").await?;
    assert_eq!(counts, Counts(2));
    match words.count("x".repeat(101)).await {
        Err(CallError::Application(CountError::TooLong { max })) => assert_eq!(max, 100),
        Err(CallError::Status(status)) if status.code() == Code::Unavailable => panic!("{status}"),
        other => panic!("{other:?}"),
    }
    let fields = vec!["name".to_owned(), "age".to_owned()];
    assert_eq!(words.profile(7, fields.clone()).await?, Profile { user: 7, fields });
    match words.profile(0, Vec::new()).await {
        Err(CallError::Status(status)) => assert_eq!(status.code(), Code::NotFound),
        Ok(profile) => panic!("{profile:?}"),
    }
    Ok(())
}

async fn streams<C: Caller>(words: &WordCountClient<C>) -> Result<(), Box<dyn Error>> {
    let mut tail = words.tail(8).await?;
    let mut numbers = Vec::new();
    while let Some(line) = tail.next().await {
        let line = line?;
        assert_eq!(line.text, "for client");
        numbers.push(line.number);
    }
    assert_eq!(numbers, [8, 9]);
    match words.tail(10).await {
        Err(CallError::Application(CountError::NoSuchLine { last })) => assert_eq!(last, LAST),
        other => panic!("{other:?}"),
    }

    let line = |number: u64, text: &str| Line { number, text: text.to_owned() };
    let lines = Streaming::iter([line(1, "to be"), line(2, ""), line(3, "or not")]);
    assert_eq!(words.load(lines).await?, 11);
    let (sender, lines) = Streaming::channel(1);
    let load = tokio::spawn(words.load(lines));
    sender.send(line(1, "to be")).await?;
    sender.fail(Status::cancelled("no more")).await;
    match load.await? {
        Err(CallError::Application(CountError::BrokenOff)) => {}
        other => panic!("{other:?}"),
    }

    let (sender, said) = Streaming::channel(1);
    let mut answers = words.chat(said).await?;
    for (number, text, answer) in [(1, "to be", "TO BE"), (2, "or not", "OR NOT")] {
        sender.send(line(number, text)).await?;
        assert_eq!(answers.next().await.transpose()?, Some(line(number + 1, answer)));
    }
    sender.finish();
    assert_eq!(answers.next().await.transpose()?, None);
    Ok(())
}

#[tokio::test]
async fn a_server_and_a_client() -> Result<(), Box<dyn Error>> {
    let ca = shared_ca();
    let node = ca.issue("server")?;
    let config = ServerConfig::builder()
        .with_bind_addr("127.0.0.1:0".parse()?)
        .with_cert_and_key(&node.cert, &node.key)?
        .with_ca_cert(ca.ca_pem())?
        .build()?;
    let server = Server::new(config)?;
    let address = server.local_addr();
    server.register(WordCountServer::new(Worker))?;
    let running = server.clone();
    let run = tokio::spawn(async move { running.run().await });

    let node = ca.issue("client")?;
    let channel = Channel::builder()
        .with_ca_cert(ca.ca_pem())?
        .with_cert_and_key(node.cert, node.key)?
        .connect(address.to_string())
        .await?;
    calls(channel.clone()).await?;
    streams(&WordCountClient::new(channel)).await?;

    let new = ca.issue("server")?;
    server.reload_certificate(new.cert, new.key).await?;
    server.reload_ca_cert(ca.ca_pem()).await?;

    server.stop_accepting().await;
    server.wait_for_in_flight().await;
    server.shutdown().await?;
    run.await??;
    Ok(())
}

#[tokio::test]
async fn a_cluster() -> Result<(), Box<dyn Error>> {
    let ca = shared_ca();
    let config = |name: &str| {
        let node = ca.issue(name).expect("a certificate");
        ServerConfig::builder()
            .with_cert_and_key(node.cert, node.key)
            .and_then(|builder| builder.with_ca_cert(ca.ca_pem()))
            .and_then(rpcnet::ServerConfigBuilder::build)
    };
    let server = Server::new(config("director")?)?;
    let cluster = server.enable_cluster(ClusterConfig::default().with_region("us-east")).await?;
    let director =
        Director::builder(&server, &cluster).with_policy(Policy::PeakEwma).with_relay(true).start()?;
    let running = server.clone();
    tokio::spawn(async move { running.run().await });
    let address = server.local_addr().to_string();

    let worker = Server::new(config("worker")?)?;
    worker.register(WordCountServer::new(Worker))?;
    let joined = worker.enable_cluster(ClusterConfig::default().with_seeds([address.as_str()])).await?;
    joined.set_tag("role", "worker");
    let mut events = joined.events();
    let running = worker.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(async move { running.run_until(async { drop(stopped.await) }).await });

    let registry = WorkerRegistry::new(&cluster);
    registry.wait_for_healthy(1).await;
    assert_eq!(registry.worker_count().await, 1);
    assert_eq!(registry.healthy_count().await, 1);
    assert_eq!(director.registry().select_worker(Some("role=worker"))?.id, joined.local_node_id());
    assert_eq!(cluster.node_count().await, 2);
    assert_eq!(cluster.nodes().await.active().count(), 2);
    assert!(events.next().await.is_some());

    let client = ca.issue("client")?;
    let channel = ClusterChannel::builder()
        .with_directors([address])
        .with_ca_cert(ca.ca_pem())?
        .with_cert_and_key(client.cert, client.key)?
        .with_policy(Policy::RoundRobin)
        .connect()
        .await?;
    let words = WordCountClient::new(channel.clone());
    assert_eq!(words.count("to be or not".into()).await?, Counts(4));
    streams(&words).await?;

    drop(stop);
    run.await??;
    joined.leave().await?;
    cluster.leave().await?;
    server.shutdown().await?;
    Ok(())
}

#[test]
fn what_users_hold_crosses_threads() {
    fn assert_send_sync<T: Send + Sync + 'static>() {}
    assert_send_sync::<Server>();
    assert_send_sync::<Channel>();
    assert_send_sync::<ClusterChannel>();
    assert_send_sync::<rpcnet_cluster::Cluster>();
    assert_send_sync::<CallError<CountError>>();
    assert_send_sync::<rpcnet::ConnectError>();
    assert_send_sync::<rpcnet::ServerError>();
    assert_send_sync::<rpcnet_cluster::ClusterError>();
    fn assert_send<T: Send + 'static>() {}
    assert_send::<rpcnet::Call<Channel, Counts, CountError>>();
    assert_send::<rpcnet::Call<ClusterChannel, Counts, CountError>>();
    assert_send::<rpcnet::Call<Channel, Streaming<Line>, CountError>>();
    assert_send::<Streaming<Line>>();
}
