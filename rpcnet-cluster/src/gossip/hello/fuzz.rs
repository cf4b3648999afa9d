//! The checks of the fuzz targets: the two frames of a hello.

use std::{fmt::Debug, net::SocketAddr};

use rpcnet::__cluster::{decode, encode};
use serde::{Serialize, de::DeserializeOwned};

use super::{Identity, NodeHello, Observed, ProcessLife, Versions};
use crate::swim::NodeId;

/// Checks a frame of the hello. The first byte selects the frame.
pub fn gossip_hello(input: &[u8]) {
    let Some((&choice, frame)) = input.split_first() else { return };
    if choice % 2 == 0 { round_trip::<Observed>(frame) } else { round_trip::<NodeHello>(frame) }
}

fn round_trip<T: Debug + Serialize + DeserializeOwned>(frame: &[u8]) {
    let Ok(value) = decode::<T>(frame) else { return };
    let encoded = encode(&value).expect("it was decoded");
    let again: T = decode(&encoded).expect("just encoded");
    assert_eq!(encode(&again).expect("it was decoded"), encoded, "{value:?}");
}

/// Returns target, name and bytes of each seed.
pub(crate) fn hello_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let seed = |name, choice: u8, frame: &[u8]| ("gossip_hello", name, [&[choice], frame].concat());
    let observed = |you: SocketAddr| encode(&Observed { you }).expect("it has a form");
    let hello = |cluster: &str, addr: SocketAddr, generation| {
        let identity = Identity::new(addr, NodeId::from_u128(7), generation);
        let life = ProcessLife { started: generation, nonce: 9 };
        encode(&NodeHello::new(Versions(1, 2), cluster, identity, life)).expect("it has a form")
    };
    let v4 = SocketAddr::from(([10, 0, 0, 1], 7946));
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 7946));
    vec![
        seed("observed_v4", 0, &observed(v4)),
        seed("observed_v6", 0, &observed(v6)),
        seed("hello", 1, &hello("cluster", v4, 1_800_000_000_000)),
        seed("hello_v6", 1, &hello("", v6, 0)),
        seed("last_generation", 1, &hello("ß", v6, u64::MAX)),
        seed("mapped_address", 1, &hello("a", "[::ffff:10.0.0.1]:1".parse().expect("an address"), 7)),
        seed("name_too_long", 1, &[1, 1, 0xfc, 0xff, 0xff, 0xff, 0xff]),
    ]
}
