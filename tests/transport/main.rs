//! Connections and servers: TLS, addresses, limits, bad networks, runtimes and shutdown.

mod goodbye;
mod health;
mod limits;
mod names;
mod network;
mod reconnect;
mod refused_certificates;
mod runtimes;
mod shutdown;
mod tls;
mod windows;
mod wire;
