//! Peers that vanish without a word: the time until that is noticed, and the packets that it costs at rest.

use std::time::Duration;

use rpcnet_tests::netbed::Topology;
use tokio::time::{Instant, sleep};

use super::place::{PATIENCE, Place, say};

#[tokio::test]
async fn a_stream_that_is_read_ends_soon_after_its_worker_is_killed() {
    // A host a round: hosts are sparing with the answers by which a dead process is known.
    let workers = ["b", "c", "d"];
    let Some(mut place) = Place::new(Topology::new(["a", "b", "c", "d"])) else { return };
    let mut took = Vec::new();
    for (round, host) in (0..).zip(workers) {
        place.start_at_host("worker", host, 7501, &format!("{host}:7501"));
        place.up().await;
        let mut reader = place.client("a", host, &format!("channel read --to {host}:7501"));
        let told = reader.told_within(PATIENCE, |told| told.of("item").count() == 1).await;
        told.unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", reader.told(), place.bed.log(host)));
        // The stream is at rest, as it mostly is.
        sleep(Duration::from_millis(1500 + 200 * round)).await;
        let killed = Instant::now();
        place.kill(&format!("worker-{host}-7501")).await;
        reader.told_within(PATIENCE, |told| told.of("ended").count() == 1).await.expect("it notices");
        took.push(killed.elapsed());
        assert!(!reader.told().of("ended").any(|how| how.contains("good order")), "{:?}", reader.told());
    }
    say(format_args!("noticed after {took:?}"));
    // On a busy machine the path can look like a long one, which is given more time.
    took.sort();
    assert!(took[0] <= Duration::from_millis(500), "{took:?}");
    assert!(took[1] <= Duration::from_millis(1000), "{took:?}");
}

#[tokio::test]
async fn a_connection_at_rest_sends_at_most_four_packets_a_second() {
    let Some(mut place) = Place::new(Topology::new(["a", "b", "c"])) else { return };
    place.start_at_host("director", "b", 7500, "c:7501");
    place.start_at_host("worker", "c", 7501, "b:7500");
    place.whole_within(Duration::from_secs(5)).await;
    let mut client = place.client("a", "client", "direct idle --to b:7500");
    client.told_within(PATIENCE, |told| told.of("answered").count() == 1).await.expect("it is answered");
    // To the director, whose list of workers it follows, and to the worker; and what these send.
    let ways = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")];
    let packets = || ways.map(|(from, to)| place.bed.traffic(from, to).packets);
    // Packets of the handshakes are over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, began) = (packets(), Instant::now());
    sleep(Duration::from_secs(5)).await;
    let (after, seconds) = (packets(), began.elapsed().as_secs_f64());
    assert!(before.iter().all(|packets| *packets > 2), "its connections pass here: {before:?}");
    for ((from, to), (before, after)) in ways.into_iter().zip(before.into_iter().zip(after)) {
        let sent = after - before;
        say(format_args!("{from} to {to}: {sent} packets in {seconds} s"));
        assert!(sent as f64 <= 4.0 * seconds, "{from} to {to}: {sent} packets in {seconds} s");
    }
}
