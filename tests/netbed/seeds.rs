//! How nodes find each other, by names that have several addresses.

use std::time::Duration;

use rpcnet_tests::netbed::Topology;

use crate::place::Place;

/// A cluster is whole so long after its nodes were started.
const WHOLE: Duration = Duration::from_secs(5);

const HOSTS: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn a_seed_whose_first_address_is_silent_is_joined_at_the_next() {
    let topology = Topology::new(HOSTS).with_silent("dead").with_name("cluster", ["dead", "a"]);
    let Some(mut place) = Place::new(topology) else { return };
    for host in HOSTS {
        place.start_at_host("director", host, 7500, "cluster:7500");
    }
    place.whole_within(WHOLE).await;
}
