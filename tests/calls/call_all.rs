//! One call to each of several servers.

use std::collections::HashSet;

use rpcnet::{
    BalancedChannel, BalancedConfig, Server,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_tests::{
    Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, over_both, run, until, within,
};
use tokio::{sync::watch, task::JoinHandle};

struct Fleet {
    probed: Vec<Probed>,
    channel: BalancedChannel,
    servers: Vec<(Server, JoinHandle<()>)>,
    _set: watch::Sender<EndpointSet>,
}

impl Fleet {
    async fn start(net: &Net, size: usize) -> Self {
        let (mut servers, mut all, mut endpoints) = (vec![], vec![], vec![]);
        for index in 0..size {
            let server = Server::new(net.server().build().expect("complete")).expect("a free port");
            let (service, probed) = ProbeService::new(&index.to_string());
            server.register(ProbeServer::new(service)).expect("the first of its name");
            let tags = [("zone".to_owned(), if index == 0 { "a" } else { "b" }.to_owned())];
            endpoints.push(Endpoint::new(index.to_string(), server.local_addr()).with_tags(tags.into()));
            let running = run(&server);
            servers.push((server, running));
            all.push(probed);
        }
        let set = watch::Sender::new(EndpointSet::from(endpoints));
        let config = BalancedConfig::default();
        let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
        until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == size).await;
        Self { probed: all, channel, servers, _set: set }
    }
}

over_both!(
    each_answers_once,
    those_that_are_chosen,
    a_quorum_cancels_the_rest,
    a_quorum_that_can_not_be_reached_says_who_failed,
    dropped_replies_cancel_their_calls,
);

async fn each_answers_once(net: Net) {
    let fleet = Fleet::start(&net, 3).await;
    let replies = fleet.channel.call_all(|_| true, |one| ProbeClient::new(one).server_name());
    assert_eq!(replies.asked(), 3);
    let all = within(replies.all()).await;
    assert_eq!(all.len(), 3);
    for from in &all {
        assert_eq!(from.output.as_ref().expect("it answers"), &*from.id);
    }
    assert_eq!(all.iter().map(|from| from.id.clone()).collect::<HashSet<_>>().len(), 3);
}

async fn those_that_are_chosen(net: Net) {
    let fleet = Fleet::start(&net, 3).await;
    let in_b = |one: &rpcnet::EndpointCaller| one.tags().get("zone").is_some_and(|zone| zone == "b");
    let replies = fleet.channel.call_all(in_b, |one| ProbeClient::new(one).server_name());
    let mut names: Vec<_> =
        within(replies.all()).await.into_iter().map(|from| from.output.expect("it answers")).collect();
    names.sort_unstable();
    assert_eq!(names, ["1", "2"]);
}

async fn a_quorum_cancels_the_rest(net: Net) {
    let mut fleet = Fleet::start(&net, 3).await;
    let replies = fleet.channel.call_all(
        |_| true,
        |one| async move {
            match &*one.id().clone() {
                "2" => ProbeClient::new(one).hold(7).await,
                _ => ProbeClient::new(one).server_name().await,
            }
        },
    );
    let held = async {
        loop {
            if let Event::Started(7) = fleet.probed[2].event().await {
                return;
            }
        }
    };
    within(held).await;
    let values = within(replies.quorum(2)).await.expect("two answer");
    assert_eq!(values.len(), 2);
    assert!(values.iter().all(|from| &*from.id != "2"));
    assert_eq!(within(fleet.probed[2].event()).await, Event::Dropped(7));
}

async fn a_quorum_that_can_not_be_reached_says_who_failed(net: Net) {
    let fleet = Fleet::start(&net, 3).await;
    fleet.servers[1].0.stop_accepting().await;
    let replies = fleet.channel.call_all(
        |_| true,
        |one| ProbeClient::new(one).server_name().timeout(std::time::Duration::from_secs(1)),
    );
    let error = within(replies.quorum(3)).await.expect_err("one goes away");
    assert_eq!((error.wanted, error.asked), (3, 3));
    assert_eq!(error.failures.iter().map(|from| &*from.id).collect::<Vec<_>>(), ["1"]);
    assert!(error.to_string().starts_with("3 endpoints should have answered, of 3 asked"), "{error}");
}

async fn dropped_replies_cancel_their_calls(net: Net) {
    let mut fleet = Fleet::start(&net, 2).await;
    let replies = fleet.channel.call_all(|_| true, |one| ProbeClient::new(one).hold(3));
    for probed in &mut fleet.probed {
        assert_eq!(within(probed.event()).await, Event::Started(3));
    }
    drop(replies);
    for probed in &mut fleet.probed {
        assert_eq!(within(probed.event()).await, Event::Dropped(3));
    }
}
