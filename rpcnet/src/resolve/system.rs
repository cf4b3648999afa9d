//! The operating system's resolver, in threads of its own.
//!
//! `getaddrinfo` blocks as long as the name servers are silent: 10 s for one, a minute for three. On tokio's blocking
//! pool, such a lookup delays the shutdown of the runtime, and so the end of the process. So each lookup runs in its
//! own thread, which nobody waits for.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    thread,
};

use tokio::sync::{Semaphore, oneshot};

use super::{HostPort, Resolve, ResolveFuture};

/// The number of lookups, and so threads, of one resolver at a time. Further lookups wait.
const LOOKUPS: usize = 8;

/// Resolves names through the operating system: the hosts file, DNS, and other configured sources.
///
/// Each lookup runs in its own thread, at most eight of one resolver at a time. If its caller gives up, a lookup goes
/// on until the system's own timeout. It does not delay the end of the runtime or the process.
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
        // Fails if the caller has given up.
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
        // Returns at once, although the lookup hangs until `release` is dropped below.
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
