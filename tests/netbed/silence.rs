//! What is noticed of a peer that has gone without a word, and what that costs while nothing happens.

use std::time::Duration;

use rpcnet_tests::netbed::Topology;
use tokio::time::{Instant, sleep};

use crate::place::{PATIENCE, Place, say};

#[tokio::test]
async fn a_connection_at_rest_sends_at_most_four_packets_a_second() {
    let Some(mut place) = Place::new(Topology::new(["a", "b", "c"])) else { return };
    place.start_at_host("director", "b", 7500, "c:7501");
    place.start_at_host("worker", "c", 7501, "b:7500");
    place.whole_within(Duration::from_secs(5)).await;
    let mut client = place.client("a", "client", "direct idle --to b:7500");
    client.told_within(PATIENCE, |told| told.of("answered").count() == 1).await.expect("it is answered");
    // To the director, whose list of workers it follows, and to the worker.
    let packets =
        || ["b", "c"].map(|peer| place.bed.traffic("a", peer).packets + place.bed.traffic(peer, "a").packets);
    // What the handshakes leave is over by then.
    sleep(Duration::from_secs(2)).await;
    let (before, began) = (packets(), Instant::now());
    sleep(Duration::from_secs(5)).await;
    let (after, seconds) = (packets(), began.elapsed().as_secs_f64());
    assert!(before.iter().all(|packets| *packets > 4), "its connections pass here: {before:?}");
    for (peer, (before, after)) in ["director", "worker"].iter().zip(before.into_iter().zip(after)) {
        let sent = after - before;
        say(format_args!("{peer}: {sent} packets in {seconds} s"));
        assert!(sent as f64 <= 4.0 * seconds, "{peer}: {sent} packets in {seconds} s");
    }
}
