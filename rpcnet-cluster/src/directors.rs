//! The directors of a client that leaves its calls to them: found by their names, again and again.

use std::{net::SocketAddr, time::Duration};

use rpcnet::discover::{Endpoint, EndpointSet};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::debug;

/// Between two times that names are resolved.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a resolver is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the endpoints as the names say, for ever. A name that can't be resolved keeps the addresses that it had.
pub(crate) async fn resolve(directors: Vec<String>, endpoints: watch::Sender<EndpointSet>) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); directors.len()];
    loop {
        let mut asked = JoinSet::new();
        for (index, director) in directors.iter().cloned().enumerate() {
            asked.spawn(async move { (index, timeout(PATIENCE, addresses(&director)).await) });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((index, Ok(Ok(addrs)))) if !addrs.is_empty() => known[index] = addrs,
                Ok((index, Ok(Err(error)))) => debug!(director = %directors[index], %error, "not resolved"),
                // No address, no answer, or a panic, which has been reported.
                Ok(_) | Err(_) => {}
            }
        }
        let set = set(&directors, &known);
        endpoints.send_if_modified(|current| {
            let changed = *current != set;
            *current = set;
            changed
        });
        tokio::time::sleep(AGAIN).await;
    }
}

async fn addresses(director: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(director).await?.collect())
}

/// An endpoint for each address; one that has several names is one all the same.
fn set(directors: &[String], known: &[Vec<SocketAddr>]) -> EndpointSet {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (director, addrs) in directors.iter().zip(known) {
        let host = director.rsplit_once(':').map_or(director.as_str(), |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        for &addr in addrs {
            if !endpoints.iter().any(|endpoint| endpoint.addr() == addr) {
                endpoints.push(Endpoint::new(format!("{director}@{addr}"), addr).with_host(host));
            }
        }
    }
    endpoints.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_endpoint() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let names = ["a.example:1".to_owned(), "[::1]:2".to_owned(), "b.example:1".to_owned()];
        let known =
            [vec![addr("10.0.0.1:1"), addr("10.0.0.2:1")], vec![addr("[::1]:2")], vec![addr("10.0.0.1:1")]];
        let set = set(&names, &known);
        let found: Vec<_> = set.iter().map(|endpoint| (endpoint.addr(), endpoint.host())).collect();
        assert_eq!(
            found,
            [(known[0][0], Some("a.example")), (known[0][1], Some("a.example")), (known[1][0], Some("::1")),]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_addresses_are_known_at_once() {
        let (sender, mut endpoints) = watch::channel(EndpointSet::from([]));
        let resolving = tokio::spawn(resolve(vec!["127.0.0.1:7".into(), "nowhere:port".into()], sender));
        let known = endpoints.wait_for(|set| !set.is_empty()).await.expect("it resolves for ever").clone();
        assert_eq!(known.len(), 1);
        resolving.abort();
    }
}
