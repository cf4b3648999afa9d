//! A client's side of a cluster: its channel, the directors' routes that it follows, and the directors' addresses.

mod channel;
mod resolve;
mod routes;

pub use channel::{ClusterChannel, ClusterChannelBuilder, Mode};
