//! The operating system's resolver, without its faults.
//!
//! `getaddrinfo` blocks, for as long as the name servers are silent: 10 s for one, a minute for three. On tokio's
//! blocking pool such a lookup holds up the end of the runtime, and with it the process, for all that time. So lookups have
//! threads of their own, which nobody waits for.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    thread,
};

use tokio::sync::{Semaphore, oneshot};

use super::{HostPort, Resolve, ResolveFuture};

/// The most lookups at a time, and so threads, of one resolver. Further ones wait.
const LOOKUPS: usize = 8;

/// Asks the operating system: the hosts file, DNS, and whatever else it is configured for.
///
/// A lookup runs in a thread of its own, at most eight of one resolver at a time. A lookup whose caller has given up goes
/// on until the system's own timeout, and does not delay the end of the runtime or the process.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &HostPort) -> ResolveFuture {
        let (lookups, name) = (self.lookups.clone(), name.clone());
        Box::pin(async move { look_up(lookups, move || addresses(&name)).await })
    }
}

fn addresses(name: &HostPort) -> io::Result<Vec<SocketAddr>> {
    Ok((name.host(), name.port()).to_socket_addrs()?.collect())
}

async fn look_up<T: Send + 'static>(
    lookups: Arc<Semaphore>,
    lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
    let (sender, answer) = oneshot::channel();
    thread::Builder::new().name("rpcnet-resolve".into()).spawn(move || {
        let found = lookup();
        drop(permit);
        // Nobody listens where the caller has given up.
        let _ = sender.send(found);
    })?;
    answer.await.unwrap_or_else(|_| Err(io::Error::other("the lookup panicked")))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::{runtime, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_name_of_this_host_resolves() {
        let name = "localhost:7".parse().expect("host:port");
        let found = SystemResolver::default().resolve(&name).await.expect("every host has it");
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7), "{found:?}");
    }

    #[test]
    fn a_lookup_that_hangs_does_not_hold_up_the_end_of_the_runtime() {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let lookups = SystemResolver::default().lookups;
        let (release, hangs) = mpsc::channel::<()>();
        let given_up = runtime.block_on(async {
            let lookup = look_up(lookups.clone(), move || Ok(hangs.recv()));
            timeout(Duration::from_millis(10), lookup).await
        });
        assert!(given_up.is_err());
        // Returns at once, though the lookup goes on: it is released only below.
        drop(runtime);
        assert_eq!(lookups.available_permits(), LOOKUPS - 1);
        drop(release);
    }

    #[tokio::test]
    async fn so_many_at_a_time_and_no_more() {
        let lookups = SystemResolver::default().lookups;
        let hanging: Vec<_> = (0..LOOKUPS)
            .map(|_| {
                let (release, hangs) = mpsc::channel::<()>();
                let lookup = tokio::spawn(look_up(lookups.clone(), move || Ok(hangs.recv().is_ok())));
                (release, lookup)
            })
            .collect();
        let further = tokio::spawn(look_up(lookups.clone(), || Ok(())));
        while lookups.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!further.is_finished());
        for (release, lookup) in hanging {
            drop(release);
            assert!(!lookup.await.expect("no panic").expect("no error"));
        }
        further.await.expect("no panic").expect("its turn has come");
    }
}
