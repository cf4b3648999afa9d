//! Clients find servers by names that have several addresses.

use std::time::Duration;

use rpcnet_tests::netbed::Topology;
use tokio::time::Instant;

use super::place::{Lines, PATIENCE, Place, say};

const WHOLE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_name_whose_first_address_is_silent_is_connected_to_at_the_next() {
    let topology = Topology::new(["a", "b", "c"]).with_silent("dead").with_name("servers", ["dead", "a"]);
    let Some(mut place) = Place::new(topology) else { return };
    place.start_at_host("director", "a", 7500, "b:7501");
    place.start_at_host("worker", "a", 7501, "a:7500");
    place.start_at_host("worker", "b", 7501, "a:7500");
    place.whole_within(WHOLE).await;
    place.calls_at_once("c", "channel", "channel once --to servers:7501").await;
    place.calls_at_once("c", "direct", "direct once --to servers:7500").await;
    place.calls_at_once("c", "relay", "relay once --to servers:7500").await;
}

#[tokio::test]
async fn a_running_client_follows_on_when_the_directors_name_gets_a_silent_first_address() {
    for way in ["direct", "relay"] {
        let topology = Topology::new(["a", "b", "c"]).with_silent("dead").with_name("directors", ["a"]);
        let Some(mut place) = Place::new(topology) else { return };
        place.start_at_host("director", "a", 7500, "b:7501");
        place.start_at_host("worker", "b", 7501, "a:7500");
        place.whole_within(WHOLE).await;
        let client = format!("{way} repeat --to directors:7500 --call-timeout 500");
        let mut client = place.client("c", "client", &client);
        let answered_by =
            |worker: &'static str| move |told: &Lines| told.of("answered").any(|line| line.ends_with(worker));
        client.told_within(PATIENCE, answered_by("worker-b-7501")).await.expect("it is answered");
        place.bed.set_name("c", "directors", ["dead", "a"]);
        // Another director at the same address, and another worker.
        place.kill("director-a-7500").await;
        place.kill("worker-b-7501").await;
        let killed = Instant::now();
        place.start_at_host("director", "a", 7500, "b:7502");
        place.start_at_host("worker", "b", 7502, "a:7500");
        let followed = client.told_within(Duration::from_secs(10), answered_by("worker-b-7502")).await;
        followed.unwrap_or_else(|error| {
            panic!("{way}: {error}\n{:?}\n{}", client.told(), place.bed.log("client"))
        });
        say(format_args!(
            "{way}: answered by the new worker {:?} after the old ones were killed",
            killed.elapsed()
        ));
    }
}

#[tokio::test]
async fn localhost_is_connected_to_at_the_address_where_the_server_is() {
    let topology = Topology::new(["a"]).with_name("localhost", ["::1", "127.0.0.1"]);
    let Some(mut place) = Place::new(topology) else { return };
    let loopback = [127, 0, 0, 1].into();
    place.start("director", "a", loopback, 7500, "127.0.0.1:7501");
    place.start("worker", "a", loopback, 7501, "localhost:7500");
    place.whole_within(WHOLE).await;
    place.calls_at_once("a", "channel", "channel once --to localhost:7501").await;
    place.calls_at_once("a", "direct", "direct once --to localhost:7500").await;
    place.calls_at_once("a", "relay", "relay once --to localhost:7500").await;
}

#[tokio::test]
async fn the_time_to_connect_covers_a_name_server_that_is_silent() {
    let topology = Topology::new(["a"]).with_silent("dead").with_name_server("dead");
    let Some(place) = Place::new(topology) else { return };
    for way in ["channel", "direct", "relay"] {
        let began = Instant::now();
        let arguments = format!("{way} once --to nobody.example:7500 --connect-timeout 1000");
        let mut client = place.client("a", way, &arguments);
        let ended = client.end(PATIENCE).await.expect("it is a child");
        let (told, elapsed) = (client.told_to_end().await, began.elapsed());
        say(format_args!("{way}: ended after {elapsed:?}, {told:?}"));
        let after =
            told.of("unconnected").next().and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(after.is_some_and(|after| (900..2000).contains(&after)), "{way}: {told:?}");
        assert!(ended.is_some_and(|status| status.success()), "{way}: {ended:?}");
        assert!(elapsed < Duration::from_secs(3), "{way}: it ended after {elapsed:?}");
    }
}

#[tokio::test]
async fn a_channel_takes_another_port_where_its_own_is_pinned_by_a_middlebox() {
    let Some(mut place) = Place::new(Topology::new(["a", "b"])) else { return };
    place.start_at_host("worker", "b", 7501, "b:7501");
    place.up().await;
    let arguments = "channel repeat --to b:7501 --connect-timeout 1000 --call-timeout 500";
    let mut client = place.client("a", "client", arguments);
    let told = client.told_within(PATIENCE, |told| told.of("answered").count() > 2).await;
    told.unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", client.told(), place.bed.log("client")));
    assert_eq!(place.bed.pin("a", "b"), 1, "one connection");
    let pinned = Instant::now();
    let told = client.told_within(PATIENCE, |told| told.of("failed").count() > 2).await.expect("calls fail");
    let before = told.of("answered").count();
    // 3 s until it is known to be lost, a second for each dial, and pauses between.
    let again =
        client.told_within(Duration::from_secs(12), |told| told.of("answered").count() > before + 2).await;
    again.unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", client.told(), place.bed.log("client")));
    say(format_args!("answered {:?} after the port was pinned", pinned.elapsed()));
}
