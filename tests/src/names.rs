//! Names that a test gives addresses.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rpcnet::resolve::{HostPort, Resolve, ResolveFuture};

/// A resolver that knows the names which a test has set, and has no answer for others: it stays silent. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>);

impl Names {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Vec<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the addresses of a host. The port that is asked for does not matter.
    pub fn set(&self, host: &str, addrs: impl IntoIterator<Item = SocketAddr>) {
        self.known().insert(host.to_owned(), addrs.into_iter().collect());
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &HostPort) -> ResolveFuture {
        match self.known().get(name.host()).cloned() {
            Some(addrs) => Box::pin(async move { Ok(addrs) }),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// An address where packets are taken and nothing answers.
#[derive(Debug)]
pub struct SilentAddr(UdpSocket);

impl SilentAddr {
    /// One on loopback.
    ///
    /// # Panics
    ///
    /// Where no socket can be bound.
    pub fn bind() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"))
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }
}
