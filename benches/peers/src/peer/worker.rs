//! The work of a balancer's servers: calls take a while, and few run at a time.

use std::time::Duration;

use tokio::sync::Semaphore;

/// The number of calls that a server has room for at a time.
const ROOM: usize = 4;
const FAST: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Worker {
    slow: bool,
    room: Semaphore,
}

impl Worker {
    pub(super) fn new(slow: bool) -> Self {
        Self { slow, room: Semaphore::new(ROOM) }
    }

    /// Works, and returns whether this is the slow server.
    pub(super) async fn work(&self) -> bool {
        let _room = self.room.acquire().await.expect("the semaphore is never closed");
        tokio::time::sleep(if self.slow { SLOW } else { FAST }).await;
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinSet, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_does_so_many_calls_at_a_time() {
        for (slow, takes) in [(false, FAST), (true, SLOW)] {
            let (worker, started) = (Arc::new(Worker::new(slow)), Instant::now());
            let mut calls = JoinSet::new();
            for _ in 0..3 * ROOM {
                let worker = worker.clone();
                calls.spawn(async move { worker.work().await });
            }
            assert!(calls.join_all().await.into_iter().all(|answer| answer == slow));
            assert_eq!(started.elapsed(), 3 * takes);
        }
    }
}
