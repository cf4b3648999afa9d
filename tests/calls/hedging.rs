//! Late calls are made a second time elsewhere, and nobody notices that one server is slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, Code, Context, RetryBudget, Server, Status,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
    rpc_impl, rpc_trait,
};
use rpcnet_tests::{Net, over_both, run, until, within};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

const DELAY: Duration = Duration::from_millis(100);

/// Late now and then.
#[rpc_trait]
trait Late {
    /// Which server it is; made twice after a while.
    #[rpc(idempotent, hedge = "100ms")]
    async fn name(&self, cx: &Context) -> rpcnet::Result<usize>;

    /// The same; made twice when the channel finds it late.
    #[rpc(idempotent, hedge)]
    async fn when_late(&self) -> rpcnet::Result<usize>;
}

/// The behaviour of a server.
#[derive(Clone, Copy)]
enum Mood {
    Prompt,
    /// Not at all, until it is cancelled.
    Never,
    Fails(Code),
    FailsAfter(Duration, Code),
}

struct Server0 {
    index: usize,
    mood: Mood,
    begun: Arc<AtomicUsize>,
    cancelled: Arc<Notify>,
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Server0 {
    async fn answer(&self) -> rpcnet::Result<usize> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match self.mood {
            Mood::Prompt => Ok(self.index),
            Mood::Never => {
                let _cancelled = OnDrop(self.cancelled.clone());
                std::future::pending().await
            }
            Mood::Fails(code) => Err(Status::new(code, "as it was told to")),
            Mood::FailsAfter(after, code) => {
                tokio::time::sleep(after).await;
                Err(Status::new(code, "as it was told to"))
            }
        }
    }
}

#[rpc_impl]
impl Late for Server0 {
    async fn name(&self, _: &Context) -> rpcnet::Result<usize> {
        self.answer().await
    }

    async fn when_late(&self) -> rpcnet::Result<usize> {
        self.answer().await
    }
}

struct Fleet {
    begun: Vec<Arc<AtomicUsize>>,
    cancelled: Vec<Arc<Notify>>,
    channel: BalancedChannel,
    client: LateClient<BalancedChannel>,
    _servers: Vec<(Server, JoinHandle<()>)>,
    _set: watch::Sender<EndpointSet>,
}

impl Fleet {
    /// Servers in these moods, called in turn from the first on.
    async fn start(net: &Net, moods: &[Mood], config: BalancedConfig) -> Self {
        let (mut servers, mut begun, mut cancelled, mut endpoints) = (vec![], vec![], vec![], vec![]);
        for (index, mood) in moods.iter().enumerate() {
            let server = Server::new(net.server().build().expect("complete")).expect("a free port");
            let (count, notify) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let service = Server0 { index, mood: *mood, begun: count.clone(), cancelled: notify.clone() };
            server.register(LateServer::new(service)).expect("the first of its name");
            endpoints.push(Endpoint::new(index.to_string(), server.local_addr()));
            let running = run(&server);
            servers.push((server, running));
            begun.push(count);
            cancelled.push(notify);
        }
        let set = watch::Sender::new(EndpointSet::from(endpoints));
        let config = config.with_policy(Policy::RoundRobin);
        let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
        let ready = || channel.endpoints().iter().filter(|endpoint| endpoint.ready).count();
        until(|| ready() == moods.len()).await;
        let client = LateClient::new(channel.clone());
        Self { begun, cancelled, channel, client, _servers: servers, _set: set }
    }

    fn begun(&self) -> Vec<usize> {
        self.begun.iter().map(|begun| begun.load(Ordering::SeqCst)).collect()
    }
}

over_both!(
    a_late_call_is_answered_by_another,
    a_call_in_time_is_made_once,
    a_call_that_fails_while_its_hedge_runs_waits_for_the_hedge,
    a_hedge_that_fails_leaves_the_first,
    an_answer_that_no_other_server_changes_counts_at_once,
    hedges_end_with_their_budget,
    without_hedging_a_late_call_waits,
    where_the_method_does_not_say_the_channel_learns_what_is_late,
);

async fn a_late_call_is_answered_by_another(net: Net) {
    let fleet = Fleet::start(&net, &[Mood::Never, Mood::Prompt], BalancedConfig::default()).await;
    for _ in 0..6 {
        let since = Instant::now();
        assert_eq!(within(fleet.client.name()).await.expect("one answers"), 1);
        assert!(since.elapsed() < 20 * DELAY, "{:?}", since.elapsed());
    }
    // The other is not left running.
    within(fleet.cancelled[0].notified()).await;
    assert!(fleet.channel.hedges() > 0);
    assert_eq!(fleet.channel.retries(), 0);
}

async fn a_call_in_time_is_made_once(net: Net) {
    let fleet = Fleet::start(&net, &[Mood::Prompt, Mood::Prompt], BalancedConfig::default()).await;
    for _ in 0..20 {
        within(fleet.client.name().timeout(Duration::from_secs(20))).await.expect("they answer");
    }
    let begun = fleet.begun();
    assert_eq!(begun[0] + begun[1], 20 + fleet.channel.hedges() as usize);
}

async fn a_call_that_fails_while_its_hedge_runs_waits_for_the_hedge(net: Net) {
    let config = BalancedConfig::default().with_max_attempts(2);
    let moods = [Mood::FailsAfter(2 * DELAY, Code::Unavailable), Mood::Prompt];
    let fleet = Fleet::start(&net, &moods, config).await;
    for _ in 0..4 {
        assert_eq!(within(fleet.client.name()).await.expect("one answers"), 1);
    }
}

async fn a_hedge_that_fails_leaves_the_first(net: Net) {
    let moods = [Mood::FailsAfter(3 * DELAY, Code::DataLoss), Mood::Fails(Code::Unavailable)];
    let config = BalancedConfig::default().with_max_attempts(2);
    let fleet = Fleet::start(&net, &moods, config).await;
    let mut codes = Vec::new();
    for _ in 0..2 {
        codes.push(within(fleet.client.name()).await.expect_err("both fail").code());
    }
    // Where the first is the slow one, its answer is waited for though the hedge has failed.
    assert!(codes.contains(&Code::DataLoss), "{codes:?}");
}

async fn an_answer_that_no_other_server_changes_counts_at_once(net: Net) {
    let moods = [Mood::Never, Mood::Fails(Code::PermissionDenied)];
    let fleet = Fleet::start(&net, &moods, BalancedConfig::default()).await;
    for _ in 0..4 {
        let error = within(fleet.client.name()).await.expect_err("it may not");
        assert_eq!(error.code(), Code::PermissionDenied);
    }
}

async fn hedges_end_with_their_budget(net: Net) {
    let config = BalancedConfig::default().with_retry_budget(RetryBudget::new(0.0, 5));
    let fleet = Fleet::start(&net, &[Mood::Never, Mood::Never], config).await;
    let calls: Vec<_> = (0..40).map(|_| tokio::spawn(fleet.client.name().timeout(5 * DELAY))).collect();
    for call in calls {
        let error = within(call).await.expect("no panic").expect_err("nobody answers");
        assert_eq!(error.code(), Code::DeadlineExceeded);
    }
    assert_eq!(fleet.channel.hedges(), 15);
}

async fn without_hedging_a_late_call_waits(net: Net) {
    let config = BalancedConfig::default().with_hedging(false).with_max_attempts(2);
    let fleet = Fleet::start(&net, &[Mood::Never, Mood::Never], config).await;
    let error = within(fleet.client.name().timeout(4 * DELAY)).await.expect_err("nobody answers");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!((fleet.channel.hedges(), fleet.begun().iter().sum::<usize>()), (0, 1));
}

async fn where_the_method_does_not_say_the_channel_learns_what_is_late(net: Net) {
    let fleet = Fleet::start(&net, &[Mood::Never, Mood::Prompt], BalancedConfig::default()).await;
    for _ in 0..8 {
        assert_eq!(within(fleet.client.when_late()).await.expect("one answers"), 1);
    }
    assert!(fleet.channel.hedges() > 0);
}
