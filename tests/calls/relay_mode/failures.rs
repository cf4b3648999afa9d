//! Calls whose worker or relay fails.

use rpcnet::{CallError, Code};
use rpcnet_tests::{Event, Net, over_both, within};
use tokio::task::JoinSet;

use super::place::{Place, endpoints};

over_both!(
    a_worker_dies_and_idempotent_calls_go_elsewhere,
    a_worker_dies_and_other_calls_do_not,
    workers_that_drain_are_not_noticed,
    a_relay_dies_and_calls_go_on_with_the_other,
    a_relay_that_drains_is_not_noticed,
    the_last_relay_dies,
);

/// Which worker has started a call, of two.
async fn started(place: &mut Place) -> usize {
    let [one, other] = &mut place.probed[..] else { unreachable!("there are two") };
    let (index, event) = tokio::select! {
        event = one.event() => (0, event),
        event = other.event() => (1, event),
    };
    assert!(matches!(event, Event::Started(_)), "{event:?}");
    index
}

async fn a_worker_dies_and_idempotent_calls_go_elsewhere(net: Net) {
    let mut place = Place::start(&net, 2, 1).await;
    let call = tokio::spawn(place.client.hold_idempotent(1).into_future());
    let dead = started(&mut place).await;
    place.probed[1 - dead].open_gate();
    place.workers.remove(dead).kill();
    let name = within(call).await.expect("no panic").expect("the other answers");
    assert_eq!(name, (1 - dead).to_string());
    assert_eq!(place.channel.retries(), 0, "the relay sends it again, not its client");
    place.quiet().await;
}

async fn a_worker_dies_and_other_calls_do_not(net: Net) {
    let mut place = Place::start(&net, 2, 2).await;
    let call = tokio::spawn(place.client.hold(1).into_future());
    let dead = started(&mut place).await;
    place.workers.remove(dead).kill();
    let error = within(call).await.expect("no panic").expect_err("it may have run");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, true), "{error}");
    assert!(place.probed[1 - dead].executions().is_empty());
    place.quiet().await;
}

async fn workers_that_drain_are_not_noticed(net: Net) {
    let place = Place::start(&net, 3, 1).await;
    let load = load(&place, 16);
    for worker in &place.workers[..2] {
        worker.server.stop_accepting().await;
        within(worker.server.wait_for_in_flight()).await;
        place.set.send_modify(|set| {
            *set = set.iter().filter(|endpoint| endpoint.addr() != worker.addr()).cloned().collect();
        });
    }
    assert_eq!(within(load.join_all()).await.concat(), Vec::<String>::new());
    place.quiet().await;
}

/// Calls that are not idempotent, each with an id of its own, from so many tasks: how they failed.
fn load(place: &Place, tasks: u64) -> JoinSet<Vec<String>> {
    let mut load = JoinSet::new();
    for task in 0..tasks {
        let client = place.client.clone();
        load.spawn(async move {
            let mut failures = Vec::new();
            for call in 0..100 {
                if let Err(error) = client.once(task * 1000 + call).await {
                    failures.push(error.to_string());
                }
                tokio::task::yield_now().await;
            }
            failures
        });
    }
    load
}

async fn a_relay_dies_and_calls_go_on_with_the_other(net: Net) {
    let mut place = Place::start(&net, 2, 2).await;
    // Whichever has one of these has it still when it dies.
    let calls: Vec<_> =
        (0..20).map(|id| tokio::spawn(place.client.hold_idempotent(id).into_future())).collect();
    for _ in 0..20 {
        tokio::task::yield_now().await;
        within(place.client.server_name()).await.expect("answered");
    }
    place.relays.remove(0).kill();
    place.probed.iter().for_each(rpcnet_tests::Probed::open_gate);
    for call in calls {
        within(call).await.expect("no panic").expect("it is idempotent");
    }
    for id in 100..120 {
        within(place.client.once(id)).await.expect("one relay lives");
    }
    place.quiet().await;
}

async fn a_relay_that_drains_is_not_noticed(net: Net) {
    let place = Place::start(&net, 2, 2).await;
    let load = load(&place, 16);
    place.relays[0].server.stop_accepting().await;
    within(place.relays[0].server.wait_for_in_flight()).await;
    assert_eq!(within(load.join_all()).await.concat(), Vec::<String>::new());
    let mut times: Vec<usize> =
        place.probed.iter().flat_map(|probed| probed.executions().into_values()).collect();
    times.dedup();
    assert_eq!(times, [1], "each ran once");
    place.quiet().await;
}

async fn the_last_relay_dies(net: Net) {
    let mut place = Place::start(&net, 1, 1).await;
    let call = tokio::spawn(place.client.hold(1).into_future());
    assert_eq!(place.probed[0].event().await, Event::Started(1));
    place.relays.remove(0).kill();
    let error = within(call).await.expect("no panic").expect_err("its relay is gone");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, true), "{error}");
    // Nobody waits for it any more.
    assert_eq!(place.probed[0].event().await, Event::Dropped(1));
    let error = within(place.client.once(2)).await.expect_err("there is none");
    assert!(matches!(&error, CallError::Status(status) if !status.maybe_executed()), "{error}");
    let _ = endpoints(&place.relays);
}
