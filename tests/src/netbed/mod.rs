//! A network of hosts on this machine, for tests that need several addresses, names, or a network that fails.
//!
//! A [`Topology`] describes the network; [`Topology::start`] makes it, as a [`Bed`], which is removed when it is dropped.
//!
//! - Each host is a network namespace with one address, a hosts file of its own, and no other way to look a name up.
//!   Programs [run](Bed::start) in it as they would on a machine of their own.
//! - All hosts are connected to a router, which is a namespace too. The test process carries each UDP datagram between two
//!   hosts there, and leaves its source address as it was. Each direction has its [weather](crate::weather::Weather) and a
//!   counter, and [flows](Bed::pin) can be dropped. (The router's routes hand all datagrams to transparent sockets of the
//!   test process: not every kernel has netem.)
//! - TCP and ICMP pass the router without weather.
//!
//! ```no_run
//! # use rpcnet_tests::{netbed::Topology, process::{Process, Told}, weather::Weather};
//! # async fn test() {
//! let topology = Topology::new(["a", "b", "c"])
//!     .with_silent("dead")
//!     .with_name("cluster", ["a", "b", "c"])
//!     .with_name("directors", ["dead", "a"])
//!     .with_weather("a", "b", Weather { loss: 0.1, ..Weather::FAIR });
//! let Some(bed) = topology.start() else { return };
//! let node: Process<Told> = bed.start("a", "first node", "/bin/my-node", ["--seeds", "cluster:7500"]);
//! # }
//! ```
//!
//! What is made carries the test process' id and start in its name. A bed that is started removes what is left of processes
//! that have ended. Nothing is shared between beds, so any number of them runs at a time.

mod bed;
mod carrier;
mod leftovers;
mod namespace;
mod topology;

pub use self::{
    bed::Bed,
    carrier::Traffic,
    leftovers::sweep,
    topology::{PORTS, Topology},
};
