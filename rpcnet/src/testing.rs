//! Tests of services without sockets.

pub use crate::transport::memory::{Between, Network, Place, Traffic};
