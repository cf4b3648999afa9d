//! Clusters under virtual time, for tests of code that depends on membership.
//!
//! A [`Simulation`] runs whole clusters within the test's thread, without sockets, tasks or waiting: a partition of a
//! minute takes milliseconds. The nodes are the ones that servers run ([`swim::Node`](crate::swim::Node)), so their
//! views and events are those of a real cluster. [`Operation`]s and [`Fault`]s control the network, the clocks and the
//! processes.
//!
//! ```
//! use std::time::Duration;
//!
//! use rpcnet_cluster::{MemberState, swim, testing::{Fault, Simulation}};
//!
//! let mut simulation = Simulation::cluster(7, swim::Config::new_lan(), 5);
//! simulation.run_until(Duration::from_secs(5), Simulation::agrees).expect("all find each other");
//! simulation.with_node(4, |node, now| node.set_tag(now, "role", "worker"));
//!
//! // Nodes 3 and 4 can't reach the others for a minute.
//! simulation.impose(Fault::Partition(vec![vec![3, 4]]), Duration::from_secs(60));
//! simulation.run_for(Duration::from_secs(60));
//! let node = simulation.node(0).expect("node 0 runs");
//! assert_eq!(node.members().filter(|member| member.state() == MemberState::Alive).count(), 3);
//!
//! let took = simulation.run_until(Duration::from_secs(120), Simulation::agrees).expect("all find each other again");
//! println!("healed after {took:?}");
//! for seen in simulation.events().iter().filter(|seen| seen.by == 0) {
//!     println!("{:?}: {:?}", seen.at, seen.event);
//! }
//! assert_eq!(simulation.violation(), None);
//! ```
//!
//! A [`Script`] is a list of operations that can be printed and read back. A [`Trial`] makes a random script from a
//! seed, runs it, and looks for the shortest script that still fails. `cargo run --release -p rpcnet-benches --bin
//! simulate` runs thousands of trials.
//!
//! The engine is a [`World`](engine::World) of [`Host`](engine::Host)s, which may be any protocol that does no input or
//! output itself.

mod check;
mod host;
mod links;
mod network;
mod operation;
mod process;
mod simulation;
mod trial;
mod world;

pub use check::Violation;
pub use network::Fault;
pub use operation::{Operation, ParseScriptError, Script};
pub use simulation::{ObservedEvent, Simulation};
pub use trial::{Trial, TrialFailure};

/// The engine, for benchmarks that run other protocols in it, and for tests that forge packets.
///
/// Not part of the public API: it may change in any release.
#[doc(hidden)]
pub mod engine {
    pub use super::{
        host::{Host, Outgoing},
        process::{Packet, Process, announcement},
        world::{Step, TrafficCounts, World},
    };
}
