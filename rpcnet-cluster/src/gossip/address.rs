//! At what address others reach this node.

use std::net::SocketAddr;

/// What is known of the address from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advertise {
    /// It was configured, or a certain address was bound.
    Known(SocketAddr),
    /// The server is bound to any address: the first peer's view and our own port tell.
    Learn { port: u16 },
}

impl Advertise {
    pub(super) fn new(configured: Option<SocketAddr>, bound: SocketAddr) -> Self {
        match configured {
            Some(addr) => Self::Known(addr),
            None if bound.ip().is_unspecified() => Self::Learn { port: bound.port() },
            None => Self::Known(bound),
        }
    }

    /// The address, where a peer sees us at `observed`. The port is ours: behind NAT the peer sees another one.
    pub(super) fn resolve(self, observed: SocketAddr) -> SocketAddr {
        match self {
            Self::Known(addr) => addr,
            Self::Learn { port } => SocketAddr::new(observed.ip().to_canonical(), port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_then_bound_then_observed() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let seen = addr("10.0.0.7:40000");
        let configured = Advertise::new(Some(addr("1.2.3.4:5")), addr("0.0.0.0:8080"));
        assert_eq!(configured.resolve(seen), addr("1.2.3.4:5"));
        assert_eq!(Advertise::new(None, addr("127.0.0.1:8080")).resolve(seen), addr("127.0.0.1:8080"));
        assert_eq!(Advertise::new(None, addr("0.0.0.0:8080")).resolve(seen), addr("10.0.0.7:8080"));
        let mapped = addr("[::ffff:10.0.0.7]:40000");
        assert_eq!(Advertise::new(None, addr("[::]:8080")).resolve(mapped), addr("10.0.0.7:8080"));
    }
}
