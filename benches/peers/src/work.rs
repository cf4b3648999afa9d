//! Carrying out orders with any peer.

mod arrivals;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rpcnet_benches::Failure;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    latencies::Latencies,
    order::{Order, Outcome},
    peer::{Client, Peer},
};

/// The number of connections that are opened at a time, if that is not measured.
const OPENING: usize = 16;
/// The payload of a call in bytes, if its size is not measured.
const SMALL: usize = 32;

/// The connections of one process.
pub(crate) struct Work<P: Peer> {
    peer: Arc<P>,
    address: SocketAddr,
    clients: Vec<P::Client>,
}

impl<P: Peer> Work<P> {
    pub(crate) fn new(peer: P, address: SocketAddr) -> Self {
        Self { peer: Arc::new(peer), address, clients: Vec::new() }
    }

    pub(crate) async fn carry_out(&mut self, order: Order) -> Result<Outcome, Failure> {
        match order {
            Order::Connect { connections, call } => self.open(connections, call).await,
            Order::Calls { size, in_flight, millis } => {
                calls(&self.clients, size, in_flight, Duration::from_millis(millis)).await
            }
            Order::Arrivals { rate, settle_millis, millis } => {
                let client = self.clients.first().ok_or("there is no connection")?.clone();
                let [settle, time] = [settle_millis, millis].map(Duration::from_millis);
                tokio::spawn(arrivals::arrivals(client, rate, settle, time)).await?
            }
            Order::Items { count, millis } => {
                let client = self.clients.first().ok_or("there is no connection")?.clone();
                // In a task on a worker thread, like calls.
                tokio::spawn(items(client, count, Duration::from_millis(millis))).await?
            }
            Order::Connects { at_a_time, millis } => {
                self.connects(at_a_time, Duration::from_millis(millis)).await
            }
            Order::Rest { millis } => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(Outcome::default())
            }
        }
    }

    async fn open(&mut self, connections: usize, call: bool) -> Result<Outcome, Failure> {
        self.clients.clear();
        let started = Instant::now();
        let opened = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..OPENING {
            let (peer, address, opened) = (self.peer.clone(), self.address, opened.clone());
            tasks.spawn(async move {
                let mut clients = Vec::new();
                while opened.fetch_add(1, Ordering::Relaxed) < connections {
                    let client = peer.connect(address).await?;
                    if call {
                        check_echo(&client).await?;
                    }
                    clients.push(client);
                }
                Ok::<_, Failure>(clients)
            });
        }
        while let Some(clients) = tasks.join_next().await {
            self.clients.append(&mut clients??);
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Outcome { done: connections as u64, seconds, ..Outcome::default() })
    }

    async fn connects(&self, at_a_time: usize, time: Duration) -> Result<Outcome, Failure> {
        let until = Instant::now() + time;
        in_parallel((0..at_a_time).map(|_| {
            let (peer, address) = (self.peer.clone(), self.address);
            async move {
                let mut latencies = Latencies::default();
                let mut now = Instant::now();
                while now < until {
                    let client = peer.connect(address).await?;
                    check_echo(&client).await?;
                    drop(client);
                    lap(&mut latencies, &mut now);
                }
                Ok::<_, Failure>(latencies)
            }
        }))
        .await
    }
}

/// Makes a call and checks the reply. In rounds only its length is checked.
async fn check_echo<C: Client>(client: &C) -> Result<(), Failure> {
    let payload = payload(SMALL);
    if client.echo(&payload).await? == payload { Ok(()) } else { Err("the echo is not what was sent".into()) }
}

fn payload(size: usize) -> Bytes {
    (0..size).map(|index| index as u8).collect()
}

fn lap(latencies: &mut Latencies, since: &mut Instant) {
    let now = Instant::now();
    latencies.push(now - *since);
    *since = now;
}

async fn calls<C: Client>(
    clients: &[C],
    size: usize,
    in_flight: usize,
    time: Duration,
) -> Result<Outcome, Failure> {
    let payload = payload(size);
    let until = Instant::now() + time;
    let callers = clients.iter().flat_map(|client| std::iter::repeat_n(client, in_flight));
    in_parallel(callers.map(|client| {
        let (client, payload) = (client.clone(), payload.clone());
        async move {
            let mut latencies = Latencies::default();
            let mut now = Instant::now();
            while now < until {
                if client.echo(&payload).await?.len() != payload.len() {
                    return Err("the echo is not as long as what was sent".into());
                }
                lap(&mut latencies, &mut now);
            }
            Ok::<_, Failure>(latencies)
        }
    }))
    .await
}

/// Runs these measurements at the same time, and adds up their results.
async fn in_parallel<F>(callers: impl Iterator<Item = F>) -> Result<Outcome, Failure>
where
    F: Future<Output = Result<Latencies, Failure>> + Send + 'static,
{
    let started = Instant::now();
    let mut tasks: JoinSet<_> = callers.collect();
    let mut latencies = Latencies::default();
    while let Some(task) = tasks.join_next().await {
        latencies.append(task??);
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Outcome { done: latencies.len(), seconds, latency: latencies.summary(), slow_share: None })
}

async fn items<C: Client>(client: C, count: u64, time: Duration) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < time {
        let arrived = client.items(count).await?;
        if arrived != count {
            return Err(format!("{arrived} of {count} items arrived").into());
        }
        done += arrived;
    }
    Ok(Outcome { done, seconds: started.elapsed().as_secs_f64(), ..Outcome::default() })
}

#[cfg(test)]
mod tests;
