//! Records of services, also of nodes of other releases.

use std::sync::Arc;

use rpcnet::{
    __private::{HandlerFuture, Inbound},
    Method, Service, ServiceDescriptor, Status,
};
use rpcnet_cluster::{
    ClusterConfig,
    swim::{MAX_SERVICES, MAX_TAGS},
};
use rpcnet_tests::{Host, Net, any_port, cluster_channel, local, start_director, until, within};

use super::service::{COUNT, CountClient, INFER, InferClient, register};

/// One of many services.
struct Numbered(&'static ServiceDescriptor);

impl Service for Numbered {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.0
    }

    fn call(&self, _: usize, _: Inbound) -> HandlerFuture {
        Box::pin(async { Err(Status::internal("nobody calls it")) })
    }
}

fn numbered(number: usize) -> Numbered {
    let name: &'static str = format!("tests.v1.Numbered{number}").leak();
    let methods = vec![Method::new(name, "call", "")].leak();
    Numbered(Box::leak(Box::new(ServiceDescriptor { name, methods })))
}

/// A worker's configuration as a release would have it that speaks these versions of gossip.
fn worker(seeds: &[std::net::SocketAddr], versions: std::ops::RangeInclusive<u8>) -> ClusterConfig {
    local(seeds).with_tag("role", "worker").with_gossip_versions(versions)
}

#[tokio::test]
async fn services_pass_nodes_of_the_release_before() {
    let net = Net::quic();
    // The director in the middle speaks the first version alone, as do one worker and one that watches.
    let old = local(&[]).with_gossip_versions(1..=1);
    let middle = Host::start(&net, any_port(), old, |_| {}).await;
    let seeds = [middle.addr()];
    let config = worker(&seeds, 1..=2);
    let counting = Host::start(&net, any_port(), config, |server| register(server, "a", &[COUNT])).await;
    let config = worker(&seeds, 1..=1);
    let inferring = Host::start(&net, any_port(), config, |server| register(server, "b", &[INFER])).await;
    let watching = Host::start(&net, any_port(), local(&seeds), |_| {}).await;
    for host in [&middle, &counting, &inferring, &watching] {
        let mut view = host.cluster.view();
        let told = view.wait_for(|view| {
            let serves = |of: &Host, service: &str| {
                let member = view.iter().find(|member| member.id() == of.id());
                member.is_some_and(|member| {
                    member
                        .services()
                        .is_some_and(|services| services.len() == 1 && services.contains(service))
                })
            };
            serves(&counting, COUNT) && serves(&inferring, INFER)
        });
        within(told).await.expect("the node lives");
        assert!(
            view.borrow().iter().all(|member| member.tags().keys().all(|key| !key.starts_with("rpcnet.s")))
        );
    }
}

#[tokio::test]
async fn a_worker_that_tells_nothing_is_asked_and_calls_go_on_elsewhere() {
    let net = Net::quic();
    let (host, director) = start_director(&net, any_port(), &[]).await;
    let seeds = [host.addr()];
    // It tells nothing of what it serves, as a worker of the release before, for it has too much to tell.
    let config = local(&seeds).with_tag("role", "worker");
    let silent = Host::start(&net, any_port(), config.clone(), |server| {
        register(server, "silent", &[COUNT]);
        for number in 0..MAX_SERVICES {
            server.register(numbered(number)).expect("the first of its name");
        }
    })
    .await;
    let telling = Host::start(&net, any_port(), config, |server| register(server, "b", &[INFER])).await;
    within(director.registry().wait_for_healthy(2)).await;
    let workers = director.registry().workers();
    let told =
        |of: &Host| workers.iter().find(|worker| worker.id == of.id()).expect("known").services.clone();
    assert_eq!(told(&silent), None);
    assert_eq!(told(&telling).map(|services| services.contains(INFER)), Some(true));
    let channel = cluster_channel(&net, &seeds).connect().await.expect("it answers");
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 2).await;
    let (count, infer) = (CountClient::new(channel.clone()), InferClient::new(channel.clone()));
    for _ in 0..50 {
        assert_eq!(within(count.count()).await.expect("it serves it"), "silent");
        assert_eq!(within(infer.infer()).await.expect("one serves it"), "b");
    }
    for endpoint in channel.endpoints() {
        assert_eq!((endpoint.failures, endpoint.ejected), (0, false), "{endpoint:?}");
    }
}

#[tokio::test]
async fn tags_of_users_have_all_their_room() {
    let net = Net::quic();
    let seed = Host::start(&net, any_port(), local(&[]), |_| {}).await;
    let worker =
        Host::start(&net, any_port(), local(&[seed.addr()]), |server| register(server, "a", &[COUNT])).await;
    let id = worker.id();
    let seen = |what: fn(&rpcnet_cluster::Member) -> bool| {
        let mut view = seed.cluster.view();
        async move {
            let told = view.wait_for(|view| view.iter().any(|member| member.id() == id && what(member)));
            within(told).await.expect("the node lives");
        }
    };
    seen(|member| member.services().is_some()).await;
    let set = Arc::new(|worker: &Host, from: usize, to: usize| {
        for index in from..to {
            worker.cluster.try_set_tag(format!("tag-{index}"), "v").expect("there is room");
        }
    });
    set(&worker, 0, MAX_TAGS - 1);
    seen(|member| member.tags().len() == MAX_TAGS - 1 && member.services().is_some()).await;
    // With the last one there is no room for services: then it may serve any.
    set(&worker, MAX_TAGS - 1, MAX_TAGS);
    seen(|member| member.tags().len() == MAX_TAGS && member.services().is_none()).await;
    worker.cluster.try_remove_tag("tag-0").expect("it has not left");
    seen(|member| member.services().is_some()).await;
}
