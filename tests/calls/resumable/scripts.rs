//! Many streams, and what may happen to their servers in random order: each item comes once, in order.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rpcnet::testing::Network;
use tokio::{task::JoinSet, time::sleep};

use super::service::{CounterClient, End, Fleet, MS};

const STREAMS: u64 = 8;
const ITEMS: u64 = 400;

/// A stream that is read at this pace. Gives up when something is not as it should be.
async fn read(
    client: CounterClient<rpcnet::BalancedChannel>,
    pace: Duration,
    reading: Duration,
) -> Result<(), String> {
    let call = client.count(ITEMS, pace, End::Clean);
    let mut numbers = call.await.map_err(|error| format!("not begun: {error}"))?;
    for expected in 1..=ITEMS {
        match numbers.next().await {
            Some(Ok(number)) if number == expected => {}
            other => return Err(format!("{other:?} in the place of {expected}")),
        }
        sleep(reading).await;
    }
    match numbers.next().await {
        None => Ok(()),
        other => Err(format!("{other:?} in the place of the end")),
    }
}

/// Plays a script that is drawn from the seed. One server in three is spared at a time.
async fn play(seed: u64) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let network = Network::with_seed(seed);
    network.set_latency(MS..5 * MS);
    let mut fleet = Fleet::start(&network, 3).await;
    let mut readers = JoinSet::new();
    for _ in 0..STREAMS {
        let pace = MS * rng.random_range(1..60);
        let reading = MS * [0, 0, rng.random_range(1..80)][rng.random_range(0..3usize)];
        readers.spawn(read(fleet.client.clone(), pace, reading));
    }
    let mut faults = Vec::new();
    while !readers.is_empty() {
        let at = rng.random_range(0..fleet.nodes.len());
        let addr = fleet.nodes[at].addr();
        let fault = rng.random_range(0..5);
        faults.push((at, fault));
        match fault {
            0 => fleet.nodes[at].restart().await,
            1 => fleet.nodes[at].kill_and_start().await,
            2 => network.around(addr).reset_connections(),
            3 => {
                network.freeze(addr);
                sleep(MS * rng.random_range(100..5000)).await;
                network.thaw(addr);
            }
            _ => {
                network.around(addr).cut();
                sleep(MS * rng.random_range(100..5000)).await;
                network.around(addr).heal();
            }
        }
        sleep(MS * rng.random_range(500..2000)).await;
        while let Some(read) = readers.try_join_next() {
            if let Err(what) = read.expect("no panic") {
                panic!("seed {seed}: {what}, after {faults:?}");
            }
        }
    }
    let moves = fleet.channel.retries();
    assert!(moves > 0, "seed {seed}: nothing has moved in {faults:?}");
    moves as usize
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_servers() {
    let mut moves = 0;
    for seed in 0..4 {
        moves += play(seed).await;
    }
    assert!(moves > 30, "{moves}");
}
