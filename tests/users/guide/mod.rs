//! The listings of the production guide, each as a test with the same names and calls. Where a listing can't work as it is
//! written there, the corrected form stands here, with a line that says why. Crates of others that the listings use are
//! modules in `stand_ins`.
//!
//! Listings that are no Rust (manifests, scripts, queries) are checked for what they ask of this framework: the names of
//! metrics, what a SIGTERM does, what probes are answered. Its firewall rule, container ports and service for port 8080 say or
//! mean TCP: calls are QUIC, so the protocol is UDP, as for gossip.

mod auth;
mod availability;
mod configuration;
mod logging;
mod metrics;
mod operations;
mod place;
mod stand_ins;
mod tls;
