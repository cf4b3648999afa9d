//! Calls, and what makes connections for them.

use std::time::Duration;

use rpcnet::{
    Admission, BalancedChannel, BalancedConfig, Limits, Streaming,
    discover::{Endpoint, EndpointSet},
    transport::DialOptions,
};
use rpcnet_tests::{Net, over_both, until, within};
use tokio::{sync::watch, time::sleep};

use super::{
    place::{Place, ShapesClient},
    points::at_each,
};

over_both!(
    calls_with_one_answer,
    calls_larger_than_a_window,
    calls_that_wait_for_a_connection,
    calls_that_wait_for_their_turn,
    calls_that_wait_for_a_stream,
    calls_that_send_items,
    calls_with_items_both_ways,
    answers_with_what_is_beside_them,
    calls_on_a_balanced_channel,
    waiting_for_an_endpoint,
    connecting,
    connecting_from_a_socket,
    dialling,
);

async fn calls_with_one_answer(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let answer = point.drops(place.client.double(4)).await;
        place.works().await;
        answer.is_some_and(|answer| answer.expect("it stands") == 8)
    })
    .await;
    assert!(place.channel.is_connected());
}

async fn calls_larger_than_a_window(net: Net) {
    let place = Place::new(&net).await;
    let bytes = vec![7; 3 << 20];
    at_each(async |point| {
        let answer = point.drops(place.client.echo(bytes.clone())).await;
        place.works().await;
        // A long one has more await points than are worth trying.
        answer.is_some_and(|answer| answer.expect("it stands") == bytes) || point.is_after(20)
    })
    .await;
    assert!(place.channel.is_connected());
}

async fn calls_that_wait_for_a_connection(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let channel = net.channel().connect_lazy(place.server.local_addr().to_string()).expect("an address");
        let client = ShapesClient::new(channel);
        let answer = point.drops(client.double(4)).await;
        assert_eq!(within(client.double(21)).await.expect("it stands"), 42);
        place.works().await;
        answer.is_some_and(|answer| answer.expect("it stands") == 8)
    })
    .await;
}

async fn calls_that_wait_for_their_turn(net: Net) {
    let config = net.server().with_admission(Admission::fixed(1).with_queue(1));
    let mut place =
        Place::with(&net, config.with_limits(Limits::default().with_max_calls_per_connection(2))).await;
    at_each(async |point| {
        let running = tokio::spawn(place.client.hang());
        within(place.contexts.recv()).await.expect("the service stands");
        let giving_up = async {
            sleep(Duration::from_millis(5)).await;
            running.abort();
        };
        // One waits at the server; the other for a stream, or it is refused.
        let calls = async { tokio::join!(place.client.double(4), place.client.double(4)) };
        let (answers, ()) = tokio::join!(point.drops(calls), giving_up);
        place.works().await;
        answers.is_some_and(|(one, other)| one.is_ok() || other.is_ok())
    })
    .await;
}

async fn calls_that_wait_for_a_stream(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        // The stream, where it is there, is dropped unread.
        let answer = point.drops(place.client.count(u64::MAX)).await;
        let done = answer.map(|answer| drop(answer.expect("it stands"))).is_some();
        place.works().await;
        done
    })
    .await;
}

async fn calls_that_send_items(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let (sender, numbers) = Streaming::channel(1);
        let source = tokio::spawn(async move {
            for number in 0..100 {
                if sender.send(number).await.is_err() {
                    return;
                }
            }
            sender.finish();
        });
        let answer = point.drops(place.client.sum(numbers)).await;
        // The sender of the items is told that nobody takes them.
        within(source).await.expect("no panic");
        place.works().await;
        answer.is_some_and(|answer| answer.expect("it stands") == 4950)
    })
    .await;
}

async fn calls_with_items_both_ways(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let (sender, numbers) = Streaming::channel(1);
        let answer = point.drops(place.client.mirror(numbers)).await;
        let done = answer.map(|answer| drop(answer.expect("it stands"))).is_some();
        within(sender.closed()).await;
        place.works().await;
        done
    })
    .await;
}

async fn answers_with_what_is_beside_them(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let response = point.drops(place.client.double(4).response()).await;
        place.works().await;
        response.is_some_and(|response| response.expect("it stands").value == 8)
    })
    .await;
}

fn endpoints(place: &Place) -> EndpointSet {
    let addr = place.server.local_addr();
    [Endpoint::new("the one", addr)].into_iter().collect()
}

async fn calls_on_a_balanced_channel(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        // Anew each time: that an endpoint is waited for is a part of it.
        let (_set, endpoints) = watch::channel(endpoints(&place));
        let channel = BalancedChannel::new(net.channel(), endpoints, BalancedConfig::default());
        let channel = channel.expect("complete");
        let client = ShapesClient::new(channel.clone());
        let answer = point.drops(client.double(4)).await;
        let numbers = point.drops(client.count(u64::MAX)).await;
        drop(numbers);
        assert_eq!(within(client.double(21)).await.expect("it stands"), 42);
        until(|| channel.endpoints()[0].pending == 0).await;
        place.works().await;
        answer.is_some_and(|answer| answer.expect("it stands") == 8)
    })
    .await;
}

async fn waiting_for_an_endpoint(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let (_set, endpoints) = watch::channel(endpoints(&place));
        let channel = BalancedChannel::new(net.channel(), endpoints, BalancedConfig::default());
        let channel = channel.expect("complete");
        let ready = point.drops(channel.ready()).await;
        within(channel.ready()).await;
        assert_eq!(within(ShapesClient::new(channel).double(21)).await.expect("it stands"), 42);
        ready.is_some()
    })
    .await;
}

/// Connections that were dialled and given up are gone.
async fn nothing_is_dialled(place: &Place) {
    place.works().await;
    place.works_anew().await;
    if let Net::Memory(network) = &place.net {
        until(|| network.connections() == 1).await;
    }
}

async fn connecting(net: Net) {
    let place = Place::new(&net).await;
    at_each(async |point| {
        let channel = point.drops(net.channel().connect(place.server.local_addr().to_string())).await;
        let done = channel.map(|channel| channel.expect("it listens")).is_some();
        nothing_is_dialled(&place).await;
        done
    })
    .await;
}

async fn connecting_from_a_socket(net: Net) {
    let place = Place::new(&net).await;
    let connector = net.channel().connector().expect("complete");
    at_each(async |point| {
        let address = place.server.local_addr().to_string();
        let channel = point.drops(connector.connect(&address)).await;
        let done = channel.map(|channel| channel.expect("it listens")).is_some();
        let client = ShapesClient::new(within(connector.connect(&address)).await.expect("it listens"));
        assert_eq!(within(client.double(21)).await.expect("it stands"), 42);
        drop(client);
        nothing_is_dialled(&place).await;
        done
    })
    .await;
}

async fn dialling(net: Net) {
    let place = Place::new(&net).await;
    let connector = net.channel().connector().expect("complete");
    let address = place.server.local_addr().to_string();
    let options = DialOptions::default();
    at_each(async |point| {
        // Calls' own protocol is as good as any.
        let connection = point.drops(connector.dial(&address, b"rpcnet/1", &options)).await;
        let done = connection.map(|connection| connection.expect("it listens")).is_some();
        nothing_is_dialled(&place).await;
        done
    })
    .await;
}
