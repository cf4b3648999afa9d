//! Calls whose worker is lost: they fail only if they may not be repeated.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use rpcnet::{Code, balance::Policy};
use rpcnet_cluster::{ClusterChannel, ClusterChannelBuilder, Director};
use rpcnet_tests::{
    Event, Host, Load, Net, ProbeClient, Worker, any_port, cluster_channel, executions, local, ready_workers,
    start_director, until, within,
};
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

/// A director, three workers, and a channel to them.
struct Fleet {
    net: Net,
    director: (Host, Director),
    workers: Vec<Worker>,
    channel: ClusterChannel,
}

impl Fleet {
    async fn start() -> Self {
        Self::start_with(|channel| channel).await
    }

    /// One whose calls go to each worker in turn, however fast it answers.
    async fn start_in_turn() -> Self {
        Self::start_with(|channel| channel.with_policy(Policy::RoundRobin)).await
    }

    async fn start_with(configure: impl FnOnce(ClusterChannelBuilder) -> ClusterChannelBuilder) -> Self {
        let net = Net::quic();
        let director = start_director(&net, any_port(), &[]).await;
        let mut workers = Vec::new();
        for name in ["first", "second", "third"] {
            workers.push(Worker::start(&net, name, &[director.0.addr()]).await);
        }
        let channel = configure(cluster_channel(&net, &[director.0.addr()]));
        let channel = channel.connect().await.expect("it answers");
        ready_workers(&channel, 3).await;
        Self { net, director, workers, channel }
    }

    fn client(&self) -> ProbeClient<ClusterChannel> {
        ProbeClient::new(self.channel.clone())
    }

    fn seeds(&self) -> [SocketAddr; 1] {
        [self.director.0.addr()]
    }

    /// When the worker at this address was picked last; `None` once the channel knows none there.
    fn last_pick(&self, addr: SocketAddr) -> Option<SystemTime> {
        self.channel.endpoints().iter().find(|endpoint| endpoint.addr == addr)?.last_pick
    }
}

/// Waits until each of these calls runs at some worker: which ones at which.
async fn all_started(workers: &mut [Worker], calls: usize) -> Vec<Vec<u64>> {
    let mut started = vec![Vec::new(); workers.len()];
    until(|| {
        for (worker, started) in workers.iter_mut().zip(&mut started) {
            while let Some(event) = worker.probed.try_event() {
                if let Event::Started(id) = event {
                    started.push(id);
                }
            }
        }
        started.iter().map(Vec::len).sum::<usize>() == calls
    })
    .await;
    started
}

const CALLS: u64 = 24;

#[tokio::test]
async fn idempotent_calls_in_flight_on_a_killed_worker_succeed_elsewhere() {
    let mut fleet = Fleet::start_in_turn().await;
    let mut calls = JoinSet::new();
    for id in 0..CALLS {
        let call = fleet.client().hold_idempotent(id);
        calls.spawn(call);
    }
    let started = all_started(&mut fleet.workers, CALLS as usize).await;
    assert!(!started[0].is_empty(), "{started:?}");
    let victim = fleet.workers.remove(0);
    victim.host.kill().await;
    for worker in &fleet.workers {
        worker.probed.open_gate();
    }
    for answer in within(calls.join_all()).await {
        assert_ne!(answer.expect("another worker takes it"), "first");
    }
    assert_eq!(fleet.channel.retries(), started[0].len() as u64);
}

#[tokio::test]
async fn a_killed_worker_is_not_picked_for_more_than_a_second() {
    let mut fleet = Fleet::start().await;
    let load = Load::start_idempotent(&fleet.channel, 8);
    load.more(200).await;
    let victim = fleet.workers.remove(0);
    let addr = victim.host.addr();
    until(|| fleet.last_pick(addr).is_some()).await;
    victim.host.kill().await;
    let killed = SystemTime::now();
    let mut last_pick = None;
    // Until the directors have taken it off the list.
    until(|| {
        let now = fleet.last_pick(addr);
        last_pick = now.or(last_pick);
        now.is_none()
    })
    .await;
    let picked_for = last_pick.map_or(Duration::ZERO, |last| last.duration_since(killed).unwrap_or_default());
    assert!(picked_for < Duration::from_secs(1), "{picked_for:?}");
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn a_call_that_may_have_run_is_not_repeated() {
    let mut fleet = Fleet::start_in_turn().await;
    let mut calls = JoinSet::new();
    for id in 0..CALLS {
        let call = fleet.client().hold(id);
        calls.spawn(async move { (id, call.await) });
    }
    let started = all_started(&mut fleet.workers, CALLS as usize).await;
    assert!(!started[0].is_empty(), "{started:?}");
    let victim = fleet.workers.remove(0);
    victim.host.kill().await;
    for worker in &fleet.workers {
        worker.probed.open_gate();
    }
    for (id, answer) in within(calls.join_all()).await {
        if started[0].contains(&id) {
            let error = answer.expect_err("its worker is dead");
            assert_eq!(error.code(), Code::Unavailable, "{error}");
            assert!(error.maybe_executed(), "{error}");
        } else {
            answer.expect("its worker lives");
        }
    }
    // The survivors ran nothing new.
    let survivors = executions(&fleet.workers);
    let before: HashMap<_, _> = started[1..].iter().flatten().map(|id| (*id, 1)).collect();
    assert_eq!(survivors, before);
    assert_eq!(fleet.channel.retries(), 0);
}

#[tokio::test]
async fn a_worker_that_drains_gets_no_calls_and_fails_none() {
    let fleet = Fleet::start().await;
    // Not idempotent: what is refused was never started, or the count below is wrong.
    let load = Load::start(&fleet.channel, 32);
    load.more(500).await;
    fleet.workers[0].host.server.stop_accepting().await;
    fleet.workers[0].host.server.wait_for_in_flight().await;
    let before = fleet.workers[0].executed();
    load.more(500).await;
    assert_eq!(fleet.workers[0].executed(), before);
    let (answered, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    let executions = executions(&fleet.workers);
    assert_eq!(executions.len() as u64, answered);
    assert!(executions.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_worker_leaves_under_load_and_no_call_fails() {
    let fleet = Fleet::start().await;
    let (leave, left) = oneshot::channel::<()>();
    let leaver = fleet.workers[0].host.server.clone();
    let down = tokio::spawn(async move { leaver.run_until(async { drop(left.await) }).await });
    let load = Load::start(&fleet.channel, 16);
    load.more(500).await;
    until(|| fleet.workers[0].executed() > 0).await;
    leave.send(()).expect("it runs");
    within(down).await.expect("no panic").expect("it was not shut down before");
    load.more(500).await;
    let (answered, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    let executions = executions(&fleet.workers);
    assert_eq!(executions.len() as u64, answered);
    assert!(executions.values().all(|times| *times == 1));
    ready_workers(&fleet.channel, 2).await;
}

#[tokio::test]
async fn a_worker_that_leaves_finishes_what_it_has_begun() {
    let mut fleet = Fleet::start_in_turn().await;
    let mut calls = JoinSet::new();
    for id in 0..CALLS {
        let call = fleet.client().hold(id);
        calls.spawn(call);
    }
    let started = all_started(&mut fleet.workers, CALLS as usize).await;
    assert!(!started[0].is_empty(), "{started:?}");
    let leaver = fleet.workers[0].host.server.clone();
    let down = tokio::spawn(async move { leaver.run_until(std::future::ready(())).await });
    let leaver = &fleet.workers[0].host.server;
    until(|| !leaver.readiness().ready).await;
    // It takes nothing new, and the others do.
    for worker in &fleet.workers[1..] {
        worker.probed.open_gate();
    }
    for id in CALLS..2 * CALLS {
        assert_ne!(within(fleet.client().hold(id)).await.expect("two workers are left"), "first");
    }
    fleet.workers[0].probed.open_gate();
    let mut names: HashMap<String, usize> = HashMap::new();
    for answer in within(calls.join_all()).await {
        *names.entry(answer.expect("it was let finish")).or_default() += 1;
    }
    assert_eq!(names.get("first"), Some(&started[0].len()));
    within(down).await.expect("no panic").expect("it was not shut down before");
}

#[tokio::test]
async fn a_worker_restarted_under_its_address_serves_again() {
    let mut fleet = Fleet::start().await;
    let load = Load::start_idempotent(&fleet.channel, 4);
    load.more(100).await;
    let victim = fleet.workers.remove(0);
    let addr = victim.host.addr();
    let id = |channel: &ClusterChannel| {
        channel.endpoints().iter().find(|endpoint| endpoint.addr == addr).map(|endpoint| endpoint.id.clone())
    };
    let before = id(&fleet.channel).expect("it was there");
    victim.host.kill().await;
    let since = Instant::now();
    let again = Worker::start_at(&fleet.net, "again", addr, local(&fleet.seeds())).await;
    let client = fleet.client();
    within(async { while client.server_name().await.expect("two others live") != "again" {} }).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    until(|| fleet.channel.endpoints().len() == 3).await;
    assert_ne!(id(&fleet.channel).expect("it is there again"), before);
    ready_workers(&fleet.channel, 3).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    drop(again);
}

#[tokio::test]
async fn a_late_worker_gets_calls() {
    let fleet = Fleet::start().await;
    let load = Load::start(&fleet.channel, 4);
    let late = Worker::start(&fleet.net, "late", &fleet.seeds()).await;
    until(|| late.executed() >= 10).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn all_workers_but_one_die_and_calls_go_on() {
    let mut fleet = Fleet::start().await;
    let load = Load::start_idempotent(&fleet.channel, 8);
    load.more(100).await;
    let last = fleet.workers.pop().expect("three");
    for victim in fleet.workers.drain(..) {
        victim.host.kill().await;
    }
    load.more(100).await;
    ready_workers(&fleet.channel, 1).await;
    load.more(100).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    drop(last);
}
