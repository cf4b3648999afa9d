//! Resolution of names to addresses.
//!
//! A name stands for a *set* of addresses that changes, for example one name for all nodes of a cluster with DNS round
//! robin or a headless service of Kubernetes. Channels, cluster channels and gossip resolve the name for each attempt
//! to connect, with the [`Resolve`] of their socket. They try all addresses. The attempts are staggered, so that a
//! silent address costs a quarter of a second instead of the whole timeout (RFC 8305, *Happy Eyeballs*).

mod address;
mod stagger;
mod system;

use std::{
    collections::{HashSet, VecDeque},
    fmt, io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

pub(crate) use self::stagger::race;
pub use self::{
    address::{AddressError, HostPort},
    system::SystemResolver,
};

/// The number of a name's addresses that are used; further ones are ignored.
pub const MAX_ADDRESSES: usize = 1024;

/// The future of a lookup.
pub type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves names for the channels of a socket. Set with
/// [`ChannelBuilder::with_resolver`](crate::ChannelBuilder::with_resolver) or
/// [`ServerConfigBuilder::with_resolver`](crate::ServerConfigBuilder::with_resolver).
///
/// The default is the operating system's resolver ([`SystemResolver`]). Use another one for service discovery without
/// DNS, or for tests: a resolver that answers by itself needs no name server and works under paused time.
///
/// ```
/// use rpcnet::resolve::{HostPort, Resolve, ResolveFuture};
///
/// /// Knows one name.
/// #[derive(Debug)]
/// struct OneName;
///
/// impl Resolve for OneName {
///     fn resolve(&self, name: &HostPort) -> ResolveFuture {
///         let known = name.host() == "directors";
///         let addrs = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| (ip, name.port()).into());
///         Box::pin(async move { Ok(if known { addrs.to_vec() } else { Vec::new() }) })
///     }
/// }
/// ```
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// Looks up the addresses of a name, in the order in which they should be tried. An error or an empty answer fails
    /// the attempt to connect. The caller bounds the time, and drops the future when it is over. Names that are IP
    /// addresses are not looked up.
    fn resolve(&self, name: &HostPort) -> ResolveFuture;
}

/// The resolver of a socket.
#[derive(Debug, Clone)]
pub(crate) struct Resolver(Arc<dyn Resolve>);

impl Default for Resolver {
    fn default() -> Self {
        Self::new(SystemResolver::default())
    }
}

impl Resolver {
    pub(crate) fn new(resolve: impl Resolve) -> Self {
        Self(Arc::new(resolve))
    }

    /// Resolves a name to its addresses, without duplicates and with families interleaved. Never returns an empty list.
    /// Fails at the deadline, which is `limit` after the start. Cancel-safe.
    pub(crate) async fn addresses(
        &self,
        name: &HostPort,
        deadline: Instant,
        limit: Duration,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Some(ip) = name.ip() {
            return Ok(vec![SocketAddr::new(ip, name.port())]);
        }
        let found = match timeout_at(deadline, self.0.resolve(name)).await {
            Ok(found) => found?,
            Err(_) => {
                let message = format!("the resolver did not answer within {limit:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        };
        let addrs = interleaved(found);
        if addrs.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addrs)
    }
}

/// Sorts addresses: the resolver's order, but with alternating families (RFC 8305, section 4). Removes duplicates, and
/// keeps at most [`MAX_ADDRESSES`].
fn interleaved(addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let mut seen = HashSet::new();
    let unique = addrs.into_iter().filter(|addr| seen.insert(*addr)).take(MAX_ADDRESSES);
    let (mut next, mut other): (VecDeque<_>, VecDeque<_>) =
        unique.partition(|addr| addr.is_ipv6() == v6_first);
    let mut merged = Vec::with_capacity(next.len() + other.len());
    while let Some(addr) = next.pop_front() {
        merged.push(addr);
        if !other.is_empty() {
            mem::swap(&mut next, &mut other);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[derive(Debug)]
    struct Answers(Vec<SocketAddr>);

    impl Resolve for Answers {
        fn resolve(&self, _: &HostPort) -> ResolveFuture {
            let addrs = self.0.clone();
            Box::pin(async move { Ok(addrs) })
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl Resolve for Silent {
        fn resolve(&self, _: &HostPort) -> ResolveFuture {
            Box::pin(std::future::pending())
        }
    }

    async fn look_up(resolve: impl Resolve, name: &str) -> io::Result<Vec<SocketAddr>> {
        let limit = Duration::from_secs(1);
        let name = name.parse().expect("host:port");
        Resolver::new(resolve).addresses(&name, Instant::now() + limit, limit).await
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let v4 = |n| addr(&format!("10.0.0.{n}:1"));
        let v6 = |n| addr(&format!("[fd00::{n}]:1"));
        assert_eq!(interleaved(vec![v6(1), v6(2), v6(3), v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(interleaved(vec![v4(1), v6(1), v6(2), v4(2)]), [v4(1), v6(1), v4(2), v6(2)]);
        assert_eq!(interleaved(vec![v4(1), v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(interleaved(vec![]), []);
        let many = (0..2000_u16).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        assert_eq!(interleaved(many).len(), MAX_ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_takes_no_longer_than_allowed() {
        let start = Instant::now();
        let error = look_up(Silent, "cluster:7500").await.expect_err("nothing answers");
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_not_looked_up() {
        assert_eq!(look_up(Silent, "[fd00::1]:7").await.expect("an address"), [addr("[fd00::1]:7")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_address_is_an_error() {
        let error = look_up(Answers(Vec::new()), "cluster:7500").await.expect_err("no address");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
