//! A balanced channel whose endpoints serve different services.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, Code, HealthClient, Server,
    balance::{HashOptions, Policy},
    discover::{Endpoint, EndpointSet, ServiceSet},
};
use rpcnet_tests::{Net, over_both, run, until, within};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::service::{COUNT, CountClient, INFER, InferClient, NothingClient, register};

struct Fleet {
    servers: Vec<(String, Server, JoinHandle<()>)>,
    set: watch::Sender<EndpointSet>,
    channel: BalancedChannel,
    count: CountClient<BalancedChannel>,
    infer: InferClient<BalancedChannel>,
}

/// The services that an endpoint is said to have.
#[derive(Clone, Copy)]
enum Said {
    Truth,
    Nothing,
    These(&'static [&'static str]),
}

type Plan = [(&'static str, &'static [&'static str], Said)];

impl Fleet {
    /// One server for each name, with these services, of which that is said.
    async fn start(net: &Net, policy: Policy, plan: &Plan) -> Self {
        Self::start_with(net, BalancedConfig::default().with_policy(policy), plan).await
    }

    async fn start_with(net: &Net, config: BalancedConfig, plan: &Plan) -> Self {
        let mut servers = Vec::new();
        let mut endpoints = Vec::new();
        for (name, services, said) in plan {
            let server = Server::new(net.server().build().expect("complete")).expect("a free port");
            register(&server, name, services);
            endpoints.push(endpoint(name, &server, services, *said));
            let running = run(&server);
            servers.push(((*name).to_owned(), server, running));
        }
        let set = watch::Sender::new(EndpointSet::from(endpoints));
        let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
        let (count, infer) = (CountClient::new(channel.clone()), InferClient::new(channel.clone()));
        let fleet = Self { servers, set, channel, count, infer };
        fleet.ready(plan.len()).await;
        fleet
    }

    async fn ready(&self, size: usize) {
        until(|| self.channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == size).await;
    }

    /// The number of answers of each server, for this many calls to each of the two services in turn.
    async fn shares(&self, calls: usize) -> [BTreeMap<String, usize>; 2] {
        let mut shares = [BTreeMap::new(), BTreeMap::new()];
        for _ in 0..calls {
            let counted = within(self.count.count()).await.expect("it is served");
            let inferred = within(self.infer.infer()).await.expect("it is served");
            *shares[0].entry(counted).or_default() += 1;
            *shares[1].entry(inferred).or_default() += 1;
        }
        shares
    }

    /// Nothing was held against any endpoint.
    fn is_unharmed(&self) {
        for endpoint in self.channel.endpoints() {
            assert_eq!((endpoint.failures, endpoint.ejected), (0, false), "{endpoint:?}");
        }
    }
}

fn endpoint(name: &str, server: &Server, services: &[&str], said: Said) -> Endpoint {
    let endpoint = Endpoint::new(name, server.local_addr());
    match said {
        Said::Truth => endpoint.with_services(services.iter().collect()),
        Said::Nothing => endpoint,
        Said::These(services) => endpoint.with_services(services.iter().collect()),
    }
}

over_both!(
    calls_go_where_they_are_served,
    a_service_that_nobody_serves_is_unimplemented,
    a_service_that_was_served_is_waited_for,
    what_is_said_may_be_wrong,
    keys_stay_where_their_service_is,
    services_of_the_framework_go_anywhere,
    an_answer_of_each_that_serves_it,
    a_stream_moves_to_one_that_serves_it,
);

/// Three of one application, two of another, one that says nothing and has both.
const MIXED: &Plan = &[
    ("a", &[COUNT], Said::Truth),
    ("b", &[INFER], Said::Truth),
    ("c", &[COUNT], Said::Truth),
    ("d", &[INFER], Said::Truth),
    ("e", &[COUNT, INFER], Said::Nothing),
    ("f", &[COUNT], Said::Truth),
];

async fn calls_go_where_they_are_served(net: Net) {
    let policies = [Policy::PeakEwma, Policy::Random, Policy::LeastRequest, Policy::Weighted];
    for policy in policies {
        let fleet = Fleet::start(&net, policy, MIXED).await;
        let [counted, inferred] = fleet.shares(60).await;
        assert!(counted.keys().all(|name| "acef".contains(name)), "{policy}: {counted:?}");
        assert!(inferred.keys().all(|name| "bde".contains(name)), "{policy}: {inferred:?}");
        assert_eq!(fleet.channel.retries(), 0);
        fleet.is_unharmed();
    }
    // Each service has turns of its own.
    let fleet = Fleet::start(&net, Policy::RoundRobin, MIXED).await;
    let [counted, inferred] = fleet.shares(60).await;
    assert!(counted.len() == 4 && counted.values().all(|calls| *calls == 15), "{counted:?}");
    assert!(inferred.len() == 3 && inferred.values().all(|calls| *calls == 20), "{inferred:?}");
}

async fn a_service_that_nobody_serves_is_unimplemented(net: Net) {
    let plan: &Plan = &[("a", &[COUNT], Said::Truth), ("b", &[COUNT], Said::Truth)];
    let fleet = Fleet::start(&net, Policy::default(), plan).await;
    let error = within(fleet.infer.infer()).await.expect_err("nobody serves it");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unimplemented, false), "{error}");
    let message = error.to_string();
    assert!(message.contains("none of 2 endpoints serves tests.v1.Infer"), "{message}");
    // From then on at once.
    let start = Instant::now();
    for _ in 0..20 {
        within(fleet.infer.infer()).await.expect_err("nobody serves it");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    fleet.is_unharmed();
    assert!(fleet.channel.endpoints().iter().all(|endpoint| endpoint.calls == 0));
}

async fn a_service_that_was_served_is_waited_for(net: Net) {
    let plan: &Plan = &[("a", &[COUNT], Said::Truth), ("b", &[INFER], Said::Truth)];
    let fleet = Fleet::start(&net, Policy::default(), plan).await;
    assert_eq!(within(fleet.infer.infer()).await.expect("it is served"), "b");
    let all = fleet.set.borrow().clone();
    // The only one that serves it goes, and comes back.
    fleet.set.send_replace(all.iter().take(1).cloned().collect());
    until(|| fleet.channel.endpoints().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let call = tokio::spawn(fleet.infer.infer());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!call.is_finished());
    fleet.set.send_replace(all.clone());
    assert_eq!(within(call).await.expect("no panic").expect("it came back"), "b");
    // Where it does not, it is not there, and not unknown.
    fleet.set.send_replace(all.iter().take(1).cloned().collect());
    until(|| fleet.channel.endpoints().len() == 1).await;
    let error = within(fleet.infer.infer()).await.expect_err("it does not come back");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, false), "{error}");
    assert!(error.to_string().contains("tests.v1.Infer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_is_waited_for() {
    let net = Net::memory();
    let plan: &Plan = &[("a", &[COUNT], Said::Truth), ("b", &[INFER], Said::These(&[]))];
    let fleet = Fleet::start(&net, Policy::default(), plan).await;
    // As it is while workers are learnt of one after the other.
    let now = fleet.set.borrow().clone();
    let once_more = endpoint("c", &fleet.servers[0].1, &[COUNT], Said::Truth);
    fleet.set.send_replace(now.iter().cloned().chain([once_more]).collect());
    until(|| fleet.channel.endpoints().len() == 3).await;
    let call = tokio::spawn(fleet.infer.infer());
    tokio::time::sleep(Duration::from_millis(20)).await;
    let registered = endpoint("b", &fleet.servers[1].1, &[INFER], Said::Truth);
    fleet.set.send_replace([now[0].clone(), registered].into());
    assert_eq!(within(call).await.expect("no panic").expect("it has come"), "b");
    fleet.is_unharmed();
}

async fn what_is_said_may_be_wrong(net: Net) {
    // Two that say nothing, or something wrong, do not have it. Those that have it are found, and nothing is held
    // against the others.
    let plan: &Plan = &[
        ("a", &[COUNT], Said::Nothing),
        ("b", &[COUNT], Said::These(&[COUNT, INFER])),
        ("c", &[INFER], Said::Nothing),
        ("d", &[INFER], Said::Truth),
    ];
    for policy in [Policy::RoundRobin, Policy::PeakEwma] {
        let fleet = Fleet::start(&net, policy, plan).await;
        for _ in 0..60 {
            let name = within(fleet.infer.infer()).await.expect("two serve it");
            assert!("cd".contains(&name), "{name}");
        }
        if policy == Policy::RoundRobin {
            assert!(fleet.channel.retries() > 0);
        }
        fleet.is_unharmed();
    }
    // Where none turns out to have it, that is the answer, after one question to each.
    let plan: &Plan = &[("a", &[COUNT], Said::Nothing), ("b", &[COUNT], Said::Nothing)];
    let fleet = Fleet::start(&net, Policy::RoundRobin, plan).await;
    let error = within(fleet.infer.infer()).await.expect_err("nobody serves it");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unimplemented, false), "{error}");
    assert_eq!(fleet.channel.endpoints().iter().map(|endpoint| endpoint.calls).sum::<u64>(), 2);
    fleet.is_unharmed();
}

async fn keys_stay_where_their_service_is(net: Net) {
    // Most of the ring does not serve it.
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let plan: Vec<_> = names
        .iter()
        .map(|name| match "cf".contains(name) {
            true => (*name, &[COUNT][..], Said::Truth),
            false => (*name, &[INFER][..], Said::Truth),
        })
        .collect();
    // A bound that lets one of two have all calls: no key has to leave its home, unless the calls of those that do not
    // serve it, or their number, went into the bound.
    let hash = HashOptions::default().with_bound(2.0);
    let config = BalancedConfig::default().with_policy(Policy::ConsistentHash).with_hash(hash);
    let fleet = Fleet::start_with(&net, config, &plan).await;
    let mut homes = BTreeMap::new();
    for user in 0..40 {
        let name = within(fleet.count.keyed(user)).await.expect("two serve it");
        assert!("cf".contains(&name), "{name}");
        homes.insert(user, name);
    }
    let mut calls = JoinSet::new();
    for user in 0..40 {
        let call = fleet.count.slow(user);
        calls.spawn(async move { (user, call.await) });
    }
    for (user, answer) in within(calls.join_all()).await {
        assert_eq!(answer.expect("two serve it"), homes[&user], "user {user}");
    }
    let at_c = homes.values().filter(|home| *home == "c").count();
    assert!((5..=35).contains(&at_c), "{homes:?}");
    fleet.is_unharmed();
}

async fn services_of_the_framework_go_anywhere(net: Net) {
    let fleet = Fleet::start(&net, Policy::RoundRobin, MIXED).await;
    let health = HealthClient::new(fleet.channel.clone());
    for _ in 0..MIXED.len() {
        within(health.health()).await.expect("all live");
    }
    assert!(fleet.channel.endpoints().iter().all(|endpoint| endpoint.calls == 1));
    for (endpoint, (name, services, said)) in fleet.channel.endpoints().iter().zip(MIXED) {
        let told = matches!(said, Said::Truth).then(|| services.iter().collect::<ServiceSet>());
        assert_eq!((&*endpoint.id, &endpoint.services), (*name, &told));
    }
}

async fn an_answer_of_each_that_serves_it(net: Net) {
    let fleet = Fleet::start(&net, Policy::default(), MIXED).await;
    let replies = fleet.channel.call_all(|_| true, |one| InferClient::new(one).infer());
    let mut answered: Vec<_> = within(replies.all()).await;
    answered.sort_by_key(|from| from.id.clone());
    assert_eq!(answered.iter().map(|from| &*from.id).collect::<Vec<_>>(), ["b", "d", "e"]);
    assert!(answered.iter().all(|from| from.output.is_ok()));
    let replies = fleet.channel.call_all(|_| true, |one| InferClient::new(one).infer());
    assert_eq!(within(replies.quorum(3)).await.expect("three serve it").len(), 3);
    let replies = fleet.channel.call_all(|_| true, |one| InferClient::new(one).infer());
    let error = within(replies.quorum(4)).await.expect_err("three serve it");
    assert_eq!((error.wanted, error.asked, error.failures.len()), (4, 3, 0), "{error}");
    fleet.is_unharmed();
}

async fn a_stream_moves_to_one_that_serves_it(net: Net) {
    let plan: &Plan = &[
        ("a", &[COUNT], Said::Truth),
        ("b", &[INFER], Said::Truth),
        ("c", &[INFER], Said::Truth),
        ("d", &[COUNT], Said::Truth),
    ];
    let mut fleet = Fleet::start(&net, Policy::RoundRobin, plan).await;
    let mut numbers = within(fleet.count.numbers()).await.expect("it is served");
    let (first, from) = within(numbers.next()).await.expect("endless").expect("it lives");
    assert_eq!(first, 1);
    let place = fleet.servers.iter().position(|(name, ..)| *name == from).expect("one of them");
    fleet.servers.remove(place).2.abort();
    let mut next = 2;
    let moved_to = loop {
        let (number, name) = within(numbers.next()).await.expect("endless").expect("it goes on");
        assert_eq!(number, next);
        next += 1;
        if name != from {
            break name;
        }
    };
    assert!("ad".contains(&moved_to), "{moved_to}");
}

#[tokio::test(start_paused = true)]
async fn more_services_than_are_grouped() {
    let net = Net::memory();
    let plan: &Plan = &[("a", &[COUNT], Said::Truth), ("b", &[INFER], Said::Truth)];
    let fleet = Fleet::start(&net, Policy::default(), plan).await;
    let live = fleet.set.borrow().clone();
    // Nobody listens there. Each has a service of its own, or all of many: others have no group left for them.
    let silent = |index: u16, services: std::ops::Range<u64>| {
        let addr = SocketAddr::from(([127, 0, 0, 1], 50_000 + index));
        Endpoint::new(format!("silent-{index}"), addr).with_services(ServiceSet::from_ids(services))
    };
    let single: Vec<_> = (0..100).map(|index| silent(index, index.into()..u64::from(index) + 1)).collect();
    for others in [single, vec![silent(0, 0..2000)]] {
        let all: EndpointSet = others.iter().chain(&*live).cloned().collect();
        fleet.set.send_replace(all);
        until(|| fleet.channel.endpoints().len() == others.len() + 2).await;
        for _ in 0..20 {
            assert_eq!(within(fleet.count.count()).await.expect("it is served"), "a");
            assert_eq!(within(fleet.infer.infer()).await.expect("it is served"), "b");
        }
        let error =
            within(NothingClient::new(fleet.channel.clone()).nothing()).await.expect_err("nobody serves it");
        assert_eq!(error.code(), Code::Unimplemented, "{error}");
        let asked = fleet.channel.call_all(|_| true, |one| InferClient::new(one).infer());
        assert_eq!(within(asked.all()).await.len(), 1);
    }
    assert_eq!(fleet.channel.retries(), 0);
}
