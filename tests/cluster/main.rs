//! Clusters over real sockets: membership, gossip, directors and registered workers.

mod addresses;
mod broadcasts;
mod by_service;
mod comings_and_goings;
mod directors;
mod duplicates;
mod events;
mod failover;
mod gossip_links;
mod gossip_trust;
mod gossip_versions;
mod joining;
mod membership;
mod metrics;
mod own_socket;
mod snapshots;
