//! Nodes find each other by names that have several addresses.

use std::net::{IpAddr, Ipv4Addr};

use rpcnet_tests::netbed::Topology;

use super::place::{HOSTS, Place, WHOLE};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[tokio::test]
async fn one_name_for_all_nodes_is_seed_enough() {
    let Some(place) = Place::of_one_name().await else { return };
    for way in ["direct", "relay"] {
        place.calls_at_once("c", way, &format!("{way} once --to cluster:7500")).await;
    }
}

#[tokio::test]
async fn a_seed_whose_first_address_is_silent_is_joined_at_the_next() {
    let topology = Topology::new(HOSTS).with_silent("dead").with_name("cluster", ["dead", "a"]);
    let Some(mut place) = Place::new(topology) else { return };
    for host in HOSTS {
        place.start_at_host("director", host, 7500, "cluster:7500");
    }
    place.whole_within(WHOLE).await;
}

#[tokio::test]
async fn nodes_on_all_addresses_advertise_the_one_where_others_reach_them() {
    let topology = Topology::new(HOSTS).with_name("cluster", HOSTS);
    let Some(mut place) = Place::new(topology) else { return };
    for host in HOSTS {
        place.start("director", host, ANY, 7500, "cluster:7500");
    }
    place.whole_within(WHOLE).await;
}

#[tokio::test]
async fn nodes_on_all_addresses_with_neighbours_on_their_host_do_so_too() {
    let topology = Topology::new(HOSTS);
    let Some(mut place) = Place::new(topology) else { return };
    for host in HOSTS {
        // The neighbour is the first to see where the other node is.
        place.start("director", host, ANY, 7500, "localhost:7501,a:7500,b:7500,c:7500");
        place.start("worker", host, ANY, 7501, "localhost:7500,a:7500");
    }
    place.whole_within(WHOLE).await;
    place.calls_at_once("b", "client", "direct once --to a:7500").await;
}
