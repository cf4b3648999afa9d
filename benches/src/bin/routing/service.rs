//! The workers' service: calls take a while, and few run at a time.

use std::time::Duration;

use rpcnet::{Context, Status, Streaming, rpc_impl, rpc_trait};
use tokio::sync::Semaphore;

/// The number of calls that a worker has room for at a time.
pub(crate) const ROOM: usize = 4;

#[rpc_trait(name = "bench.Work")]
pub(crate) trait Work {
    /// Takes the worker's time for a call. Returns the worker's number.
    #[rpc(idempotent)]
    async fn work(&self) -> rpcnet::Result<u32>;

    /// The same, with a hedge after 10 ms.
    #[rpc(idempotent, hedge = "10ms")]
    async fn work_hedged(&self) -> rpcnet::Result<u32>;

    /// The same, and may not be made twice.
    async fn once(&self, id: u64) -> rpcnet::Result<u32>;

    /// Streams numbers from one on, one each 2 ms, each with the process that it comes from.
    #[rpc(resumable)]
    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<(u32, u64)>>;

    /// Answers at once.
    #[rpc(idempotent)]
    async fn echo(&self, bytes: [u8; 32]) -> rpcnet::Result<[u8; 32]>;
}

pub(crate) struct Worker {
    index: u32,
    takes: Duration,
    room: Semaphore,
}

impl Worker {
    pub(crate) fn new(index: u32, takes: Duration) -> Self {
        Self { index, takes, room: Semaphore::new(ROOM) }
    }

    async fn do_it(&self) -> rpcnet::Result<u32> {
        let _room = self.room.acquire().await.map_err(|_| Status::unavailable("closed"))?;
        tokio::time::sleep(self.takes).await;
        Ok(self.index)
    }
}

#[rpc_impl]
impl Work for Worker {
    async fn work(&self) -> rpcnet::Result<u32> {
        self.do_it().await
    }

    async fn work_hedged(&self) -> rpcnet::Result<u32> {
        self.do_it().await
    }

    async fn once(&self, id: u64) -> rpcnet::Result<u32> {
        let _ = id;
        self.do_it().await
    }

    async fn numbers(&self, cx: &Context) -> rpcnet::Result<Streaming<(u32, u64)>> {
        let process = std::process::id();
        let (sender, numbers) = Streaming::channel(4);
        let after = cx.resume_after();
        tokio::spawn(async move {
            for number in after + 1.. {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if sender.send((process, number)).await.is_err() {
                    return;
                }
            }
        });
        Ok(numbers)
    }

    async fn echo(&self, bytes: [u8; 32]) -> rpcnet::Result<[u8; 32]> {
        Ok(bytes)
    }
}
