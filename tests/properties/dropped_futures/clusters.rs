//! Clusters: joining, following directors, leaving.

use rpcnet::Server;
use rpcnet_cluster::{
    Cluster, ClusterChannel, ClusterEvent, ClusterExt, Director, MemberState, WorkerRegistry,
};
use rpcnet_tests::{Net, local, over_both, until, within};

use super::{
    place::{ShapesClient, bound},
    points::{Point, at_each},
};

over_both!(
    joining,
    waiting_for_others,
    following_a_director,
    waiting_for_a_worker,
    reading_loses_no_event,
    leaving,
);

/// A node that runs.
struct Node {
    server: Server,
    cluster: Cluster,
}

impl Node {
    async fn start(net: &Net, seeds: &[&Node]) -> Self {
        let (server, _) = bound(net.server());
        let seeds: Vec<_> = seeds.iter().map(|node| node.server.local_addr()).collect();
        let config = local(&seeds).with_tag("role", "worker");
        let cluster = server.enable_cluster(config).await.expect("the first of this server");
        rpcnet_tests::run(&server);
        Self { server, cluster }
    }

    async fn sees(&self, other: &Node, state: MemberState) {
        let id = other.cluster.local_node_id();
        let mut view = self.cluster.view();
        let seen =
            view.wait_for(|view| view.iter().any(|member| member.id() == id && member.state() == state));
        within(seen).await.expect("the node lives");
    }
}

async fn joining(net: Net) {
    let seed = Node::start(&net, &[]).await;
    at_each(async |point| {
        let (server, _) = bound(net.server());
        rpcnet_tests::run(&server);
        let config = || local(&[seed.server.local_addr()]);
        let joined = point.drops(server.enable_cluster(config())).await;
        let done = joined.is_some();
        // All or nothing.
        let cluster = match joined {
            Some(joined) => joined.expect("the first of this server"),
            None => server.enable_cluster(config()).await.expect("the first of this server"),
        };
        let node = Node { server, cluster };
        seed.sees(&node, MemberState::Alive).await;
        node.server.shutdown().await.expect("no reason to fail");
        done
    })
    .await;
}

async fn waiting_for_others(net: Net) {
    let seed = Node::start(&net, &[]).await;
    at_each(async |point| {
        let node = Node::start(&net, &[&seed]).await;
        let registry = WorkerRegistry::new(&node.cluster);
        let joined = point.drops(node.cluster.joined()).await;
        let healthy = point.drops(registry.wait_for_healthy(2)).await;
        within(node.cluster.joined()).await;
        within(registry.wait_for_healthy(2)).await;
        node.server.shutdown().await.expect("no reason to fail");
        seed.sees(&node, MemberState::Left).await;
        joined.is_some() && healthy.is_some()
    })
    .await;
}

async fn following_a_director(net: Net) {
    let node = Node::start(&net, &[]).await;
    let _director = Director::new(&node.server, &node.cluster).expect("its first");
    at_each(async |point| {
        let builder = || {
            ClusterChannel::builder()
                .with_directors([node.server.local_addr().to_string()])
                .with_channel(net.channel())
        };
        let channel = point.drops(builder().connect()).await;
        let done = channel.map(|channel| channel.expect("it answers")).is_some();
        // Nodes whose start was given up are gone.
        within(node.server.wait_for_in_flight()).await;
        if let Net::Memory(network) = &net {
            until(|| network.connections() == 0).await;
        }
        let channel = within(builder().connect()).await.expect("it answers");
        assert_eq!(within(ShapesClient::new(channel).double(21)).await.expect("it works"), 42);
        done
    })
    .await;
}

async fn waiting_for_a_worker(net: Net) {
    let node = Node::start(&net, &[]).await;
    let _director = Director::new(&node.server, &node.cluster).expect("its first");
    at_each(async |point| {
        let builder = ClusterChannel::builder()
            .with_directors([node.server.local_addr().to_string()])
            .with_channel(net.channel());
        let channel = within(builder.connect()).await.expect("it answers");
        let ready = point.drops(channel.ready()).await;
        within(channel.ready()).await;
        assert_eq!(within(ShapesClient::new(channel).double(21)).await.expect("it works"), 42);
        ready.is_some()
    })
    .await;
}

async fn reading_loses_no_event(net: Net) {
    let seed = Node::start(&net, &[]).await;
    let other = Node::start(&net, &[&seed]).await;
    seed.sees(&other, MemberState::Alive).await;
    let mut events = seed.cluster.events();
    // Several changes may be told as one.
    let told = |event: Option<ClusterEvent>| match event {
        Some(ClusterEvent::TagsChanged(member)) => member.tags()["turn"].parse::<usize>().expect("a number"),
        event => panic!("{event:?}"),
    };
    let mut last = None;
    for turn in 0..100 {
        other.cluster.set_tag("turn", turn.to_string());
        let mut tries = 0;
        while last < Some(turn) {
            if let Some(event) = Point::turn(tries).drops(events.next()).await {
                let told = told(event);
                assert!(last < Some(told), "it was told before");
                last = Some(told);
            }
            tries += 1;
            assert!(tries < 100, "it was lost");
        }
    }
}

async fn leaving(net: Net) {
    let seed = Node::start(&net, &[]).await;
    at_each(async |point| {
        let node = Node::start(&net, &[&seed]).await;
        seed.sees(&node, MemberState::Alive).await;
        within(node.cluster.joined()).await;
        let left = point.drops(node.cluster.leave()).await;
        let done = left.map(|left| left.expect("it is acknowledged")).is_some();
        // Again, or for the first time: the end is the same.
        within(node.cluster.leave()).await.expect("it is acknowledged");
        seed.sees(&node, MemberState::Left).await;
        // It still answers calls.
        let client = ShapesClient::new(within(net.connect(&node.server)).await);
        assert_eq!(within(client.double(21)).await.expect("it works"), 42);
        node.server.shutdown().await.expect("no reason to fail");
        done
    })
    .await;
}
