//! The directors of a client in relay mode, resolved from their names again and again.

use std::{error::Error, fmt, net::SocketAddr, time::Duration};

use rpcnet::{
    Connector, EndpointStats,
    discover::{Endpoint, EndpointSet},
    resolve::HostPort,
};
use tokio::{sync::watch, task::JoinSet};
use tracing::debug;

/// The pause between two resolutions of the names.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps the endpoints equal to the addresses of the names, for ever. A name that can't be resolved keeps its former
/// addresses.
pub(crate) async fn resolve(
    directors: Vec<HostPort>,
    connector: Connector,
    endpoints: watch::Sender<EndpointSet>,
) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); directors.len()];
    loop {
        let mut asked = JoinSet::new();
        for (index, director) in directors.iter().cloned().enumerate() {
            let connector = connector.clone();
            asked.spawn(async move { (index, connector.resolve(&director.to_string()).await) });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((index, Ok(addrs))) => known[index] = addrs,
                Ok((index, Err(error))) => debug!(director = %directors[index], %error, "not resolved"),
                // The task panicked, which has been reported.
                Err(_) => {}
            }
            // Known addresses do not wait for a name whose resolver is silent.
            let set = set(&directors, &known);
            endpoints.send_if_modified(|current| {
                let changed = *current != set;
                *current = set;
                changed
            });
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The failures of directors that do not accept calls.
#[derive(Debug)]
pub(crate) struct EndpointFailures(pub(crate) Vec<EndpointStats>);

impl Error for EndpointFailures {}

impl fmt::Display for EndpointFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The most directors in the text: enough to see what they have in common.
        const SHOWN: usize = 4;

        if self.0.is_empty() {
            return f.write_str("none of the names has an address yet");
        }
        for (index, endpoint) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match &endpoint.failure {
                Some(failure) => write!(f, "{separator}{failure}")?,
                None => write!(f, "{separator}{}: no connection yet", endpoint.id)?,
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Returns one endpoint for each address, also for an address of several names.
fn set(directors: &[HostPort], known: &[Vec<SocketAddr>]) -> EndpointSet {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (director, addrs) in directors.iter().zip(known) {
        for &addr in addrs {
            if !endpoints.iter().any(|endpoint| endpoint.addr() == addr) {
                endpoints.push(Endpoint::new(format!("{director}@{addr}"), addr).with_host(director.host()));
            }
        }
    }
    endpoints.into()
}

#[cfg(test)]
mod tests {
    use rpcnet::{
        Channel,
        resolve::{Resolve, ResolveFuture},
        testing::Network,
    };
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn an_address_is_one_endpoint() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let names = ["a.example:1", "[::1]:2", "b.example:1"].map(|name| name.parse().expect("host:port"));
        let known =
            [vec![addr("10.0.0.1:1"), addr("10.0.0.2:1")], vec![addr("[::1]:2")], vec![addr("10.0.0.1:1")]];
        let set = set(&names, &known);
        let found: Vec<_> = set.iter().map(|endpoint| (endpoint.addr(), endpoint.host())).collect();
        assert_eq!(
            found,
            [(known[0][0], Some("a.example")), (known[0][1], Some("a.example")), (known[1][0], Some("::1")),]
        );
    }

    /// Knows one name.
    #[derive(Debug)]
    struct OneName;

    impl Resolve for OneName {
        fn resolve(&self, name: &HostPort) -> ResolveFuture {
            if name.host() != "known" {
                return Box::pin(std::future::pending());
            }
            let addrs = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| (ip, name.port()).into());
            Box::pin(async move { Ok(addrs.to_vec()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_whose_resolver_is_silent_holds_up_none() {
        let (sender, mut endpoints) = watch::channel(EndpointSet::from([]));
        let network = Network::new();
        let channel = Channel::builder().with_network(&network).with_resolver(OneName);
        let connector = channel.connector().expect("a connector in memory");
        let names = ["silent:7", "known:7", "127.0.0.1:7"].map(|name| name.parse().expect("host:port"));
        let resolving = tokio::spawn(resolve(names.to_vec(), connector, sender));
        let start = Instant::now();
        endpoints.wait_for(|set| set.len() == 3).await.expect("it resolves for ever");
        assert_eq!(start.elapsed(), Duration::ZERO);
        resolving.abort();
    }
}
