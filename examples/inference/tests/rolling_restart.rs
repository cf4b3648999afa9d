//! A stream of tokens goes on while all workers are replaced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rpcnet_inference::{DEFAULT_TEXT, InferenceClient, InferenceServer, MOST_TOKENS, Model, Worker};
use rpcnet_tests::{
    Host, Net, any_port, cluster_channel, local, ready_workers, start_director, until, within,
};
use tokio::time::Instant;

const PACE: Duration = Duration::from_millis(5);
/// The number of tokens that are read after all workers are new.
const MORE: u32 = 100;
const PROMPT: &str = "A worker";
const SEED: u64 = 7;

async fn start_worker(net: &Net, label: String, model: &Arc<Model>, director: &Host) -> Host {
    let worker = Worker::new(label, model.clone(), PACE);
    let config = local(&[director.addr()]).with_tag("role", "worker");
    Host::start(net, any_port(), config, move |server| {
        server.register(InferenceServer::new(worker)).expect("the first of its name");
    })
    .await
}

/// Shuts a worker down as on SIGTERM.
async fn stop(worker: Host) {
    within(async {
        worker.server.stop_accepting().await;
        worker.server.wait_for_in_flight().await;
        worker.cluster.leave().await.expect("it is in the cluster");
        worker.server.shutdown().await.expect("it has run");
    })
    .await;
    worker.kill().await;
}

#[tokio::test]
async fn no_token_is_lost_or_comes_twice() {
    let net = Net::quic();
    // Each worker trains a model of its own, as separate processes do.
    let train = || Arc::new(Model::train(DEFAULT_TEXT).expect("it has words"));
    let (director, _) = start_director(&net, any_port(), &[]).await;
    let mut workers = Vec::new();
    for number in 0..3 {
        workers.push(start_worker(&net, format!("old-{number}"), &train(), &director).await);
    }
    let channel = cluster_channel(&net, &[director.addr()]).connect().await.expect("a director is there");
    ready_workers(&channel, 3).await;

    let client = InferenceClient::new(channel.clone());
    let mut stream = client.generate(PROMPT.into(), SEED, MOST_TOKENS).await.expect("it begins");
    let replaced = Arc::<AtomicBool>::default();
    let all_new = replaced.clone();
    let reader = tokio::spawn(async move {
        let (mut tokens, mut seen, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut since = Instant::now();
        let mut more = MORE;
        while more > 0 {
            more -= u32::from(all_new.load(Ordering::Relaxed));
            let Some(token) = stream.next().await else { break };
            tokens.push(token.expect("it goes on elsewhere"));
            longest = longest.max(since.elapsed());
            since = Instant::now();
            let worker = stream.metadata().get("x-worker").expect("workers say who they are").to_owned();
            if seen.last() != Some(&worker) {
                seen.push(worker);
            }
        }
        (tokens, seen, longest)
    });

    for (number, old) in std::mem::take(&mut workers).into_iter().enumerate() {
        let new = start_worker(&net, format!("new-{number}"), &train(), &director).await;
        let addr = new.addr();
        until(|| channel.endpoints().iter().any(|endpoint| endpoint.addr == addr && endpoint.ready)).await;
        stop(old).await;
        workers.push(new);
    }
    replaced.store(true, Ordering::Relaxed);

    let (tokens, seen, longest) = within(reader).await.expect("no panic");
    let model = train();
    let mut generation = model.generate(PROMPT, SEED);
    let expected: Vec<_> =
        (1..=tokens.len() as u64).map(|number| (number, generation.next(&model).to_owned())).collect();
    let tokens: Vec<_> = tokens.into_iter().map(|token| (token.number, token.text)).collect();
    assert_eq!(tokens, expected);
    assert!(seen[0].starts_with("old") && seen[seen.len() - 1].starts_with("new"), "{seen:?}");
    assert!(longest < Duration::from_secs(10), "{longest:?} between two tokens");
}
